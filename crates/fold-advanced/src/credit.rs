//! Credit: the three-factor rule between STDP and the synapses.
//!
//! STDP's drive goes into an eligibility per synapse instead of the filaments; the modulator M turns eligibility into drive.
//! The law is [`fold_core::three_factor`]; this is its place in a layer.

use std::fmt;

use fold_core::invariants::{Breach, Invariant, Part, Place, check_range};
use fold_core::three_factor::{ThreeFactor, ThreeFactorParams};
use fold_core::{Shape, threads};

use rayon::prelude::*;

use crate::Result;
use crate::mechanism::{Drive, Mechanism, Phase, StepContext};
use crate::stateful::{StateSlice, Stored};
use crate::stdp::Stdp;

/// Below this many synapses a second thread does not pay.
const SERIAL_WORK: usize = 1 << 15;

/// The eligibility of each synapse, [n, D, S], in drive units.
#[derive(Debug, Clone, PartialEq)]
pub struct Credit {
    params: ThreeFactorParams,
    law: ThreeFactor,
    shape: Shape,
    eligibility: Vec<f32>,
}

impl Credit {
    /// The mechanism's name.
    pub const NAME: &'static str = "three_factor";

    /// Eligibility zero everywhere.
    ///
    /// - `hebb_max`: the largest |drive| of one step before credit, in drive units, > 0.
    #[must_use]
    pub fn new(params: &ThreeFactorParams, dt_ms: f32, hebb_max: f32, shape: Shape) -> Self {
        let eligibility = vec![0.0; shape.synapse_count()];
        Self {
            params: *params,
            law: ThreeFactor::new(params, dt_ms, hebb_max),
            shape,
            eligibility,
        }
    }
}

impl Mechanism for Credit {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn boxed(&self) -> Box<dyn Mechanism> {
        Box::new(self.clone())
    }

    fn phase(&self) -> Phase {
        Phase::Credit
    }

    fn requires(&self) -> &'static [&'static str] {
        &[Stdp::NAME]
    }

    fn parameters(&self) -> &dyn fmt::Debug {
        &self.params
    }

    fn act(&mut self, context: &mut StepContext<'_>) {
        let plasticity = context.options.plasticity;
        let row_len = self.shape.row_len();
        let law = self.law;
        let (touched, drive) = context.drive.parts_mut();
        touched.fill(1);
        let step = |eligibility: &mut [f32], modulator: &f32, drive: &mut [f32]| {
            law.advance(eligibility, drive);
            law.release(eligibility, modulator * plasticity, drive);
        };
        if !threads::pay(self.eligibility.len(), SERIAL_WORK) {
            let rows = self.eligibility.chunks_exact_mut(row_len).zip(&*context.modulators);
            let drives = drive.chunks_exact_mut(row_len);
            rows.zip(drives).for_each(|((e, m), d)| step(e, m, d));
        } else {
            let rows = self.eligibility.par_chunks_exact_mut(row_len);
            let rows = rows.zip(context.modulators.par_iter());
            let drives = drive.par_chunks_exact_mut(row_len).with_min_len(8);
            rows.zip(drives).for_each(|((e, m), d)| step(e, m, d));
        }
    }

    fn sleep(&mut self, duration_ms: f32, _drive: &mut Drive) {
        self.law.forget(&mut self.eligibility, duration_ms);
    }

    fn rest(&mut self, _samples: usize) {}

    fn reset_neuron(&mut self, neuron: usize) {
        let row = self.shape.row_len();
        self.eligibility[neuron * row..(neuron + 1) * row].fill(0.0);
    }

    fn check(&self, part: Part, found: &mut Vec<Breach>) {
        let span = part.of_len(self.eligibility.len());
        let place = |k: usize| Place::synapse(self.shape, k);
        let bounds = (-self.law.bound(), self.law.bound());
        let breach = (Invariant::Range, "three_factor.eligibility");
        check_range(
            breach,
            &self.eligibility[span.clone()],
            bounds,
            span.start,
            place,
            found,
        );
    }

    fn visit_state(&self, visit: &mut dyn FnMut(&'static str, &[usize], StateSlice<'_>)) {
        visit(
            "three_factor.eligibility",
            &self.shape.dims(),
            StateSlice::F32(&self.eligibility),
        );
    }

    fn restore(&mut self, _samples: usize, stored: &mut Stored<'_>) -> Result<()> {
        self.eligibility = stored.f32s("three_factor.eligibility", &self.shape.dims())?;
        Ok(())
    }
}
