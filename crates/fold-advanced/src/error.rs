//! What can go wrong in this crate, with stable codes.

use fold_core::Shape;
use fold_core::invariants::Breach;

use crate::mechanism::Phase;
use crate::stateful::Dtype;

/// An error of a layer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The numerics core refused.
    #[error(transparent)]
    Core(#[from] fold_core::Error),
    /// Two mechanisms of one name.
    #[error("mechanism `{mechanism}` is given twice")]
    Duplicate {
        /// Its name.
        mechanism: &'static str,
    },
    /// A mechanism needs another one that is not there.
    #[error("mechanism `{mechanism}` needs `{requires}`, which is not configured")]
    Missing {
        /// The one that is there.
        mechanism: &'static str,
        /// The one that is not.
        requires: &'static str,
    },
    /// A mechanism is given after one of a later phase.
    #[error(
        "mechanism `{mechanism}` acts in phase {phase} and cannot follow `{after}`, which acts in phase {after_phase}"
    )]
    Order {
        /// The one given too late.
        mechanism: &'static str,
        /// Its phase.
        phase: Phase,
        /// The one before it.
        after: &'static str,
        /// That one's phase.
        after_phase: Phase,
    },
    /// The wiring is not of the configured shape or number of lines.
    #[error("wiring is {given} over {given_lines} lines, the configuration says {expected} over {expected_lines}")]
    WiringMismatch {
        /// Configured shape.
        expected: Shape,
        /// Configured M.
        expected_lines: u32,
        /// The wiring's shape.
        given: Shape,
        /// The wiring's M.
        given_lines: u32,
    },
    /// A step was given another number of samples than the layer holds state for. The state is unchanged.
    #[error("step of {given} samples, the layer holds the state of {expected}: call `set_samples` first")]
    SampleCount {
        /// Samples the layer holds.
        expected: usize,
        /// Samples given.
        given: usize,
    },
    /// A batch of no samples, or of too many.
    #[error("a batch of {given} samples: must be in [1, {max}]")]
    Samples {
        /// Samples given.
        given: u64,
        /// The most allowed.
        max: usize,
    },
    /// A step option, or the width of a response, lies outside its range. The state is unchanged.
    #[error("option `{option}` is {value}: must be in [{low}, {high}]")]
    OptionRange {
        /// Which option.
        option: &'static str,
        /// The value given.
        value: f32,
        /// Lowest value allowed.
        low: f32,
        /// Highest value allowed.
        high: f32,
    },
    /// The health policy is `Stop`, or the breach belongs to no neuron. The step has been taken.
    #[error("stopped: {breach}")]
    Stopped {
        /// The first breach found.
        breach: Breach,
    },
    /// A stored state lacks an array.
    #[error("stored state lacks `{array}`")]
    StateMissing {
        /// Its name.
        array: &'static str,
    },
    /// A stored array has another element type.
    #[error("stored `{array}` is {given}, expected {expected}")]
    StateType {
        /// Its name.
        array: &'static str,
        /// The type it must have.
        expected: Dtype,
        /// The type found.
        given: Dtype,
    },
    /// A stored array has another shape, or not as many values as its shape says.
    #[error("stored `{array}` has shape {given:?}, expected {expected:?}")]
    StateShape {
        /// Its name.
        array: &'static str,
        /// The shape it must have.
        expected: Vec<usize>,
        /// The shape found.
        given: Vec<usize>,
    },
    /// A stored number contradicts the configuration.
    #[error("stored `{array}` is {stored}, the configuration says {configured}")]
    StateConflict {
        /// Its name.
        array: &'static str,
        /// The value stored.
        stored: u64,
        /// The value configured.
        configured: u64,
    },
    /// PyFolds' consolidation of an eligibility whose transfer no integer of 64 bits holds: there it ends with an error of Python.
    #[error(
        "synapse {synapse} has eligibility {eligibility}, whose transfer to filaments is no number of 64 bits: PyFolds stops here"
    )]
    Consolidation {
        /// Flat index into [D, S].
        synapse: usize,
        /// The eligibility found.
        eligibility: f32,
    },
    /// PyFolds' update of a dendrite from a presynaptic rate that is not a number: there it ends with a `ValueError`.
    #[error("the presynaptic rate of dendrite {dendrite} is not a number: PyFolds stops here")]
    Rate {
        /// Which of the neuron's.
        dendrite: usize,
    },
    /// A stored state breaks an invariant.
    #[error("stored state: {breach}")]
    StateInvalid {
        /// The first breach found.
        breach: Breach,
    },
}

impl Error {
    /// The stable code: the key of the runbook entry.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Core(source) => source.code(),
            Self::Duplicate { .. }
            | Self::Missing { .. }
            | Self::Order { .. }
            | Self::WiringMismatch { .. }
            | Self::Samples { .. }
            | Self::OptionRange { .. } => "FOLD-E0001",
            Self::SampleCount { .. } => "FOLD-E0008",
            Self::StateMissing { .. } => "FOLD-E0501",
            Self::StateType { .. } | Self::StateShape { .. } => "FOLD-E0502",
            Self::StateConflict { .. } => "FOLD-E0503",
            Self::Stopped { .. } | Self::StateInvalid { .. } | Self::Consolidation { .. } | Self::Rate { .. } => {
                "FOLD-E0505"
            }
        }
    }
}
