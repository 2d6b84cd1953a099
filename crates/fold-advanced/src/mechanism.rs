//! What a mechanism is, what it may touch in a step, and the one order of phases.

use std::fmt;

use fold_core::invariants::{Breach, Part};
use fold_core::lanes::Lane;
use fold_core::{LayerState, Wiring};

use crate::Result;
use crate::stateful::{StateSlice, Stored};

/// When a mechanism acts. The order of the variants is the order of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Turns presynaptic events into what the synapses transmit, before the dendrites integrate.
    Transmit,
    /// Chooses the spikes among the neurons of a layer.
    Compete,
    /// Removes spikes. It comes last: no later phase can add one.
    Gate,
    /// Carries the spikes back into the dendrites.
    Backpropagate,
    /// Turns the step's events into a drive on the synapses.
    Learn,
    /// Sets the modulator of each neuron.
    Modulate,
    /// Decides what of that drive is credited to the synapses, and when.
    Credit,
    /// Keeps drive back until the layer sleeps.
    Consolidate,
    /// Takes synapses out.
    Prune,
    /// Moves the thresholds.
    Regulate,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Transmit => "transmit",
            Self::Compete => "compete",
            Self::Gate => "gate",
            Self::Backpropagate => "backpropagate",
            Self::Learn => "learn",
            Self::Modulate => "modulate",
            Self::Credit => "credit",
            Self::Consolidate => "consolidate",
            Self::Prune => "prune",
            Self::Regulate => "regulate",
        })
    }
}

/// Whether homeostasis moves theta in a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Thresholds {
    /// It does.
    #[default]
    Adapt,
    /// Theta and the filtered error stay as they are.
    Hold,
}

/// What the caller decides for one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StepOptions {
    /// Factor on the plastic drive, in [0, 1]. 0 freezes the weights, and no eligibility arises; traces go on.
    pub plasticity: f32,
    /// The modulator M of the three-factor rule, in [-1, 1]; with external neuromodulation the reward R that M is made of.
    /// Without that rule it has no effect.
    pub modulator: f32,
    /// Whether homeostasis moves theta.
    pub thresholds: Thresholds,
    /// Factor on the integral step Ki dt E of homeostasis, in [0, 1]: below 1 for a batch that stands for less than a step, such as a last
    /// one with fewer samples. The error's filter and the proportional step do not know of it.
    pub homeostasis: f32,
}

impl Default for StepOptions {
    fn default() -> Self {
        Self {
            plasticity: 1.0,
            modulator: 1.0,
            thresholds: Thresholds::Adapt,
            homeostasis: 1.0,
        }
    }
}

/// The drive that this step puts on the synapses, row by row, [n, D, S] in drive units. Rows nobody touched are zero.
#[derive(Debug, Clone, Default)]
pub struct Drive {
    rows: Vec<f32>,
    touched: Vec<u8>,
    row_len: usize,
}

impl Drive {
    /// Zero drive on `neurons` rows of `row_len` synapses.
    #[must_use]
    pub fn zeros(neurons: usize, row_len: usize) -> Self {
        Self {
            rows: vec![0.0; neurons * row_len],
            touched: vec![0; neurons],
            row_len,
        }
    }

    /// Each neuron with its flag and its row [D * S]. Whoever writes to a row sets its flag to 1.
    pub fn rows_mut(&mut self) -> impl Iterator<Item = (&mut u8, &mut [f32])> {
        self.touched.iter_mut().zip(self.rows.chunks_exact_mut(self.row_len))
    }

    /// Flags \[n\] and rows [n, D * S] as two slices, for those that work in parallel.
    pub fn parts_mut(&mut self) -> (&mut [u8], &mut [f32]) {
        (&mut self.touched, &mut self.rows)
    }
}

/// Everything a mechanism may see and touch in a step. Arrays over samples are row-major.
#[derive(Debug)]
pub struct StepContext<'a> {
    /// Which line each synapse listens to.
    pub wiring: &'a Wiring,
    /// B.
    pub samples: usize,
    /// The step clock before this step.
    pub clock: u64,
    /// The caller's choices.
    pub options: StepOptions,
    /// Presynaptic events [B, M], each in [0, 1].
    pub input: &'a [f32],
    /// u, [B, n].
    pub potential: &'a [f32],
    /// The dendrites' activations a, [n, D, ceil(B / LANES)], in [0, 1]. Empty unless a mechanism needs them.
    pub activations: &'a [Lane],
    /// u - theta + noise - boosts, [B, n]. Minus infinity takes a neuron out of the competition. Read before `Compete`.
    pub score: &'a mut [f32],
    /// 1 where a neuron fires, [B, n]. Fixed after `Gate`.
    pub spikes: &'a mut [u8],
    /// Spikes of each neuron over the batch, \[n\]. Known from `Learn` on.
    pub counts: &'a mut [u32],
    /// How much of a spike arrives at each dendrite, [n, D, ceil(B / LANES)], in [0, 1]; only what fired is written.
    /// Empty when no mechanism acts in `Backpropagate`: all of it arrives everywhere.
    pub arrival: &'a mut [Lane],
    /// Whether a mechanism acts in `Credit`: it then applies the plasticity of the options, and `Learn` does not.
    pub credited: bool,
    /// The modulator M of each neuron, \[n\], in [-1, 1]: the caller's, unless a mechanism acts in `Modulate`.
    pub modulators: &'a mut [f32],
    /// Filaments, residuals, weights and theta.
    pub state: &'a mut LayerState,
    /// What `Learn` writes and the phases up to `Prune` may change; absorbed by the filaments before `Regulate`.
    pub drive: &'a mut Drive,
}

/// A part of a layer's dynamics.
///
/// An implementation keeps its own dynamic state, all of which it lists in `visit_state`; whatever it computes is a function of
/// that state and of the [`StepContext`] alone, in the same bits for any number of threads.
pub trait Mechanism: fmt::Debug + Send + Sync {
    /// The stable name: prefix of its state arrays and of its parameters.
    fn name(&self) -> &'static str;

    /// A copy with the same parameters and state, for a copy of the layer.
    fn boxed(&self) -> Box<dyn Mechanism>;

    /// When [`Mechanism::act`] runs.
    fn phase(&self) -> Phase;

    /// Mechanisms that must be there for this one to make sense.
    fn requires(&self) -> &'static [&'static str] {
        &[]
    }

    /// The parameters, for the log record at initialisation.
    fn parameters(&self) -> &dyn fmt::Debug;

    /// Whether it reads [`StepContext::activations`].
    fn needs_activations(&self) -> bool {
        false
    }

    /// Runs before the dendrites integrate, in the phase `Transmit` alone: from the events s to what is transmitted, [B, M].
    ///
    /// - `events`: in [0, 1].   - `transmitted`: holds the events; what it holds afterwards must be in [0, 1].
    fn transmit(&mut self, _events: &[f32], _transmitted: &mut [f32]) {}

    /// Runs after integration and before the other phases, and may lower the scores.
    fn prepare(&mut self, _context: &mut StepContext<'_>) {}

    /// Runs in [`Mechanism::phase`].
    fn act(&mut self, context: &mut StepContext<'_>);

    /// Lets `duration_ms` of sleep pass: may add to the drive, which is then absorbed by the filaments.
    fn sleep(&mut self, _duration_ms: f32, _drive: &mut Drive) {}

    /// Puts the transient state per sample to rest, for `samples` samples from now on.
    fn rest(&mut self, samples: usize);

    /// Gives everything that belongs to `neuron` a valid resting value.
    fn reset_neuron(&mut self, neuron: usize);

    /// Notes every breach of its invariants in `part` of its state.
    fn check(&self, part: Part, found: &mut Vec<Breach>);

    /// Hands every array of its dynamic state, with name and shape, to `visit`.
    fn visit_state(&self, visit: &mut dyn FnMut(&'static str, &[usize], StateSlice<'_>));

    /// Takes its arrays back. The caller then runs [`Mechanism::check`] on the whole.
    ///
    /// # Errors
    /// An array is missing, or has another type or shape.
    fn restore(&mut self, samples: usize, stored: &mut Stored<'_>) -> Result<()>;
}

impl Clone for Box<dyn Mechanism> {
    fn clone(&self) -> Self {
        (**self).boxed()
    }
}
