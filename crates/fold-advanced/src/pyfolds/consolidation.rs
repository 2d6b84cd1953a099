//! Sleep: what eligibility has gathered becomes filaments, rounded; the rest is forgotten (defect A10).
//!
//! ```text
//! e = 0: nothing at all.   Else  N <- clip(N + round(e rate abs(duration)), n_min, n_max),  e <- 0,  I <- I i_decay
//! ```
//!
//! Rounding is half to even, in f64.

use super::parameters::Parameters;
use super::plasticity::Synapses;
use super::scalar::single;
use crate::{Error, Result};

/// Consolidates every synapse over `duration` milliseconds.
///
/// # Errors
/// [`Error::Consolidation`] with the first synapse whose transfer is not finite (PyFolds raises there too); nothing has
/// changed then.
pub fn consolidate(p: &Parameters, synapses: &mut Synapses, duration: f64) -> Result<()> {
    let transfer = |e: f32| f64::from(e) * p.consolidation_rate * duration.abs();
    if let Some(synapse) = synapses
        .eligibility
        .iter()
        .position(|&e| e != 0.0 && !transfer(e).is_finite())
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
        // A cast saturates, and a sum of two numbers of at most 2^53 and 2^30 cannot overflow an i64.
        let change = transfer(*e).round_ties_even().clamp(-9.0e15, 9.0e15) as i64;
        *n = (i64::from(*n) + change).clamp(p.n_min, p.n_max) as i32;
        *e = 0.0;
        *i *= decay;
    }
    Ok(())
}
