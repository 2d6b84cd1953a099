//! An array [B, K] of transient state that rests at zero: one row per sample, one value per unit.

use fold_core::invariants::{Breach, Invariant, Part, Place, check_range};

use crate::Result;
use crate::stateful::{StateSlice, Stored};

/// Values [B, K] in [0, `high`], under the name they have in a checkpoint.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PerSample {
    name: &'static str,
    high: f32,
    samples: usize,
    width: usize,
    values: Vec<f32>,
}

impl PerSample {
    /// `width` units, without samples.
    pub(crate) fn new(name: &'static str, width: usize, high: f32) -> Self {
        Self {
            name,
            high,
            samples: 0,
            width,
            values: Vec::new(),
        }
    }

    /// Row-major.
    pub(crate) fn values(&self) -> &[f32] {
        &self.values
    }

    /// Row-major.
    pub(crate) fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// One row per sample.
    pub(crate) fn rows_mut(&mut self) -> impl ExactSizeIterator<Item = &mut [f32]> {
        self.values.chunks_exact_mut(self.width)
    }

    /// The values unit by unit, [K, B], into `units`.
    pub(crate) fn by_unit(&self, units: &mut Vec<f32>) {
        units.resize(self.values.len(), 0.0);
        for (sample, row) in self.values.chunks_exact(self.width).enumerate() {
            for (to, from) in units.iter_mut().skip(sample).step_by(self.samples).zip(row) {
                *to = *from;
            }
        }
    }

    /// Multiplies every value by `keep`. What becomes too small to be a normal number becomes zero.
    pub(crate) fn decay(&mut self, keep: f32) {
        for x in &mut self.values {
            *x *= keep;
            if *x < f32::MIN_POSITIVE {
                *x = 0.0;
            }
        }
    }

    pub(crate) fn rest(&mut self, samples: usize) {
        self.samples = samples;
        self.values.clear();
        self.values.resize(samples * self.width, 0.0);
    }

    pub(crate) fn reset_unit(&mut self, unit: usize) {
        self.values
            .iter_mut()
            .skip(unit)
            .step_by(self.width)
            .for_each(|x| *x = 0.0);
    }

    /// Notes every value of `part` outside [0, high]; `place` tells where (sample, unit) is.
    pub(crate) fn check(&self, part: Part, place: impl Fn(usize, usize) -> Place, found: &mut Vec<Breach>) {
        let span = part.of_len(self.values.len());
        let at = |k: usize| place(k / self.width, k % self.width);
        let breach = (Invariant::Range, self.name);
        check_range(
            breach,
            &self.values[span.clone()],
            (0.0, self.high),
            span.start,
            at,
            found,
        );
    }

    pub(crate) fn visit(&self, visit: &mut dyn FnMut(&'static str, &[usize], StateSlice<'_>)) {
        visit(self.name, &[self.samples, self.width], StateSlice::F32(&self.values));
    }

    /// # Errors
    /// The array is missing, or has another type or shape.
    pub(crate) fn restore(&mut self, samples: usize, stored: &mut Stored<'_>) -> Result<()> {
        self.samples = samples;
        self.values = stored.f32s(self.name, &[samples, self.width])?;
        Ok(())
    }
}

/// The place of a neuron's value in a sample.
pub(crate) fn of_neuron(sample: usize, neuron: usize) -> Place {
    Place::SampleNeuron { sample, neuron }
}
