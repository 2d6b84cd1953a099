//! Consolidation: what is learned awake waits in a labile store and becomes filaments in sleep.
//!
//! ```text
//! awake            L <- L + share drive            the filaments get (1 - share) drive
//! sleep of T       transfer = L (1 - exp(-T/tau))  L <- L - transfer,  I <- I + transfer
//! ```
//!
//! The quantiser turns I into whole filaments and carries the rest, so nothing is rounded away (A10). L is in drive units and
//! saturates at n_max - n_min filaments on either side: more could never be used.
//!
//! # Properties
//! L + Th N + I is conserved by a sleep while N stays inside its bounds; |sum of the transfers - Th dN| < 2 Th; a sleep of T1 + T2
//! and two sleeps of T1 and T2 end within one filament of each other; no sleep, no change of what waits.
//!
//! # Source
//! Synaptic tagging and capture: Frey and Morris 1997, doi:10.1038/385533a0; Clopath, Ziegler, Vasilaki, Buesing, Gerstner 2008,
//! doi:10.1371/journal.pcbi.1000248 (early and late phase). Transfer in sleep: Diekelmann and Born 2010, doi:10.1038/nrn2762.

use std::fmt;

use fold_core::invariants::{Breach, Invariant, Part, Place, check_range};
use fold_core::params::{FilamentParams, Range, Violations};
use fold_core::{Shape, math};

use crate::Result;
use crate::mechanism::{Drive, Mechanism, Phase, StepContext};
use crate::stateful::{StateSlice, Stored};
use crate::stdp::Stdp;

fold_core::parameters! {
    /// Consolidation in sleep.
    pub struct ConsolidationParams in "consolidation" {
        /// Share of the drive that waits for sleep.
        share: f32 = 1.0, Range::above(0.0, 1.0), "1";
        /// Time constant tau of the transfer in sleep.
        tau_sleep_ms: f32 = 600000.0, Range::above(0.0, 1000000000.0), "ms";
    }
}

impl ConsolidationParams {
    /// Notes every violation.
    pub fn check(&self, violations: &mut Violations) {
        self.check_ranges(violations);
    }
}

/// The labile store of each synapse, [n, D, S], in drive units.
#[derive(Debug, Clone, PartialEq)]
pub struct Consolidation {
    params: ConsolidationParams,
    bound: f32,
    shape: Shape,
    labile: Vec<f32>,
}

impl Consolidation {
    /// The mechanism's name.
    pub const NAME: &'static str = "consolidation";

    /// Nothing waits.
    #[must_use]
    pub fn new(params: &ConsolidationParams, filaments: &FilamentParams, shape: Shape) -> Self {
        Self {
            params: *params,
            bound: f32::from(filaments.n_max - filaments.n_min) * filaments.threshold,
            shape,
            labile: vec![0.0; shape.synapse_count()],
        }
    }

    /// Moves the share that a sleep transfers from `labile` into `drive`.
    fn transfer(share: f32, labile: &mut [f32], drive: &mut [f32]) {
        for (l, d) in labile.iter_mut().zip(drive) {
            let left = *l - *l * share;
            // What leaves the store is what arrives, whatever was rounded: both are numbers of one size.
            *d += *l - left;
            // Below the smallest normal number nothing can be learned from it any more.
            *l = if left.abs() < f32::MIN_POSITIVE { 0.0 } else { left };
        }
    }
}

impl Mechanism for Consolidation {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn boxed(&self) -> Box<dyn Mechanism> {
        Box::new(self.clone())
    }

    fn phase(&self) -> Phase {
        Phase::Consolidate
    }

    fn requires(&self) -> &'static [&'static str] {
        &[Stdp::NAME]
    }

    fn parameters(&self) -> &dyn fmt::Debug {
        &self.params
    }

    fn act(&mut self, context: &mut StepContext<'_>) {
        let rows = self.labile.chunks_exact_mut(self.shape.row_len());
        for (labile, (touched, drive)) in rows.zip(context.drive.rows_mut()) {
            if *touched != 0 {
                for (l, d) in labile.iter_mut().zip(drive) {
                    let waits = self.params.share * *d;
                    *l = (*l + waits).clamp(-self.bound, self.bound);
                    *d -= waits;
                }
            }
        }
    }

    fn sleep(&mut self, duration_ms: f32, drive: &mut Drive) {
        let kept = math::exp(-f64::from(duration_ms) / f64::from(self.params.tau_sleep_ms));
        let share = (1.0 - kept) as f32;
        let rows = self.labile.chunks_exact_mut(self.shape.row_len());
        for (labile, (touched, drive)) in rows.zip(drive.rows_mut()) {
            Self::transfer(share, labile, drive);
            *touched = 1;
        }
    }

    fn rest(&mut self, _samples: usize) {}

    fn reset_neuron(&mut self, neuron: usize) {
        let row = self.shape.row_len();
        self.labile[neuron * row..(neuron + 1) * row].fill(0.0);
    }

    fn check(&self, part: Part, found: &mut Vec<Breach>) {
        let span = part.of_len(self.labile.len());
        let place = |k: usize| Place::synapse(self.shape, k);
        let bounds = (-self.bound, self.bound);
        let breach = (Invariant::Range, "consolidation.labile");
        check_range(breach, &self.labile[span.clone()], bounds, span.start, place, found);
    }

    fn visit_state(&self, visit: &mut dyn FnMut(&'static str, &[usize], StateSlice<'_>)) {
        let labile = StateSlice::F32(&self.labile);
        visit("consolidation.labile", &self.shape.dims(), labile);
    }

    fn restore(&mut self, _samples: usize, stored: &mut Stored<'_>) -> Result<()> {
        self.labile = stored.f32s("consolidation.labile", &self.shape.dims())?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    quickcheck! {
        /// Shares down to those that are too small to change the store.
        fn what_leaves_the_store_is_what_arrives(stored: i32, exponent: u8) -> bool {
            let before = stored as f32 / 65_536.0;
            let share = (-f32::from(exponent % 40)).exp2();
            let (mut labile, mut drive) = ([before], [0.0]);
            Consolidation::transfer(share, &mut labile, &mut drive);
            drive[0] == before - labile[0] && labile[0].abs() <= before.abs()
        }
    }

    #[test]
    fn a_share_too_small_to_leave_brings_nothing() {
        let (mut labile, mut drive) = ([12.0], [0.0]);
        Consolidation::transfer(1e-9, &mut labile, &mut drive);
        assert_eq!((labile, drive), ([12.0], [0.0]));
    }
}
