//! Sleep: what eligibility has gathered becomes filaments, rounded; the rest is forgotten (defect A10).
//!
//! ```text
//! e = 0: nothing at all.   Else  d = round(e rate abs(duration)),  e <- 0,  I <- I i_decay,
//!                                N <- clip(N + d, n_min, n_max) where d is not 0
//! ```
//!
//! Rounding is half to even, in f64. N + d wraps at 32 bits before it is clipped: a long sleep can turn a full synapse into an empty one.

use super::parameters::Parameters;
use super::plasticity::Synapses;
use super::scalar::single;
use crate::{Error, Result};

/// Consolidates every synapse over `duration` milliseconds.
///
/// # Errors
/// [`Error::Consolidation`] with the first synapse whose transfer is below -2^63, at least 2^64, or no number (PyFolds raises there
/// too); nothing has changed then.
pub fn consolidate(p: &Parameters, synapses: &mut Synapses, duration: f64) -> Result<()> {
    let transfer = |e: f32| (f64::from(e) * p.consolidation_rate * duration.abs()).round_ties_even();
    let addable = |d: f64| (-9_223_372_036_854_775_808.0..18_446_744_073_709_551_616.0).contains(&d);
    if let Some(synapse) = synapses
        .eligibility
        .iter()
        .position(|&e| e != 0.0 && !addable(transfer(e)))
    {
        return Err(Error::Consolidation {
            synapse,
            eligibility: synapses.eligibility[synapse],
        });
    }
    let decay = single(p.i_decay_sleep);
    let rows = synapses
        .filaments
        .iter_mut()
        .zip(&mut synapses.internal)
        .zip(&mut synapses.eligibility);
    for ((n, i), e) in rows.filter(|(_, e)| **e != 0.0) {
        let change = transfer(*e) as i128;
        if change != 0 {
            let sum = n.wrapping_add(change as i32);
            *n = i64::from(sum).clamp(p.n_min, p.n_max) as i32;
        }
        *e = 0.0;
        *i *= decay;
    }
    Ok(())
}
