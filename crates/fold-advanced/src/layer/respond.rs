//! Reading: what the neurons answer to an input, without a step.

use fold_core::dendrite::to_sample_rows;
use fold_core::input::{self, InputPolicy};
use fold_core::lanes::{LANES, Lane, Lanes};
use fold_core::{spike, threads};

use super::{Layer, check_option};
use crate::Result;

/// What [`Layer::respond`] computes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Response {
    /// u itself, in [0, D].
    Potential,
    /// s((u - theta) / width), the probability to fire under escape noise of `width` in (0, 16].
    Probability {
        /// The noise width to read with; it may differ from the one the layer learns with.
        width: f32,
    },
}

/// Reusable memory for [`Layer::respond`]: one per thread that reads.
#[derive(Debug, Clone, Default)]
pub struct Scratch {
    input: Lanes,
    lanes: Vec<Lane>,
}

impl Layer {
    /// Computes what each neuron answers to each sample, with nothing learned and no state changed or consulted but
    /// weights, thresholds and quarantine. Competition, noise and refractoriness play no part.
    ///
    /// - `x`: [B, M] as for a step; B is free.   - `out`: [B, n], written in full; quarantined neurons answer 0.
    ///
    /// # Errors
    /// Input, lengths or width out of range; `out` is then unchanged.
    pub fn respond(
        &self,
        x: &[f32],
        samples: usize,
        response: Response,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) -> Result<()> {
        if let Response::Probability { width } = response {
            check_option("width", width, f32::MIN_POSITIVE, 16.0)?;
        }
        let neurons = self.config.shape.neuron_count();
        let expected = samples.saturating_mul(neurons);
        if out.len() != expected {
            return Err(fold_core::Error::Length {
                array: "response",
                expected,
                given: out.len(),
            }
            .into());
        }
        let lines = self.wiring.lines() as usize;
        input::accept(x, samples, lines, InputPolicy::Reject, &mut Vec::new())?;
        scratch.lanes.resize(neurons * samples.div_ceil(LANES), [0.0; LANES]);
        let weights = self.state.weights();
        let Scratch { input, lanes, .. } = scratch;
        threads::in_pool(self.helpers(samples), || {
            self.dendrite.integrate(&self.wiring, weights, x, input, lanes, &mut []);
        });
        to_sample_rows(&scratch.lanes, samples, out);
        for row in out.chunks_exact_mut(neurons) {
            let neuron = row.iter_mut().zip(self.state.theta()).zip(self.state.quarantined());
            for ((u, &theta), &quarantined) in neuron {
                *u = match response {
                    _ if quarantined != 0 => 0.0,
                    Response::Potential => *u,
                    Response::Probability { width } => spike::rate(*u, theta, width),
                };
            }
        }
        Ok(())
    }
}
