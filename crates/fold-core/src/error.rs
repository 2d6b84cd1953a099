//! What can go wrong in this crate, with stable codes.

use crate::invariants::Breach;
use crate::params::Violations;
use crate::shape::{MAX_SYNAPSES, Shape};

/// An error of the numerics core.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A dimension is zero, or there are too many synapses.
    #[error("shape {shape}: each dimension must be at least 1 and their product at most {MAX_SYNAPSES}")]
    Shape {
        /// The shape given.
        shape: Shape,
    },
    /// A wiring does not have one line index per synapse.
    #[error("wiring has {given} line indices, the shape has {expected} synapses")]
    WiringLength {
        /// n * D * S.
        expected: usize,
        /// Indices given.
        given: usize,
    },
    /// A synapse listens to a line that does not exist.
    #[error("synapse {synapse} listens to line {line}, there are {lines}")]
    WiringLine {
        /// Flat index into [n, D, S].
        synapse: usize,
        /// The line index given.
        line: u32,
        /// M.
        lines: u32,
    },
    /// Parameters outside their ranges; all of them are listed.
    #[error("parameters out of range: {violations}")]
    Parameters {
        /// Every violation found.
        violations: Violations,
    },
    /// An array does not have the length its shape demands.
    #[error("{array} has {given} values, its shape demands {expected}")]
    Length {
        /// Which array.
        array: &'static str,
        /// Values demanded.
        expected: usize,
        /// Values given.
        given: usize,
    },
    /// An input is not a number of [0, 1]. The state is unchanged.
    #[error("input [{sample}, {line}] is {value}: an input is a number of presynaptic events in [0, 1]")]
    Input {
        /// Which sample b.
        sample: usize,
        /// Which line m.
        line: usize,
        /// The value given.
        value: f32,
    },
    /// The state breaks an invariant.
    #[error("{breach}")]
    Invariant {
        /// Which, where, and the value found.
        breach: Breach,
    },
}

impl Error {
    /// The stable code: the key of the runbook entry.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Shape { .. } | Self::WiringLength { .. } | Self::WiringLine { .. } | Self::Parameters { .. } => {
                "FOLD-E0001"
            }
            Self::Length { .. } | Self::Input { .. } => "FOLD-E0008",
            Self::Invariant { .. } => "FOLD-E0505",
        }
    }
}
