//! Why a simulation was refused.

use fold_format::Escaped;
use fold_format::interchange;

use crate::code::Code;

/// Why a simulation was refused: the case, its input, or what they ask for together.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The case is not JSON, lacks a key, has an unknown one, or a value of another type.
    #[error("case: {source}")]
    Case {
        /// What is wrong, with line and column.
        source: serde_json::Error,
        /// Whether it is a key that there is not.
        unknown_key: bool,
    },
    /// A shape with a zero.
    #[error("case: shape {shape:?} has no synapses")]
    NoSynapses {
        /// [D, S].
        shape: [u32; 2],
    },
    /// There is no parameter of this name.
    #[error("case: there is no parameter {}", Escaped(.name))]
    UnknownParameter {
        /// The name.
        name: Box<str>,
    },
    /// A parameter has a value of another type.
    #[error("case: parameter {}: {source}", Escaped(.name))]
    Parameter {
        /// Its name.
        name: Box<str>,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// An override contradicts the shape.
    #[error("case: parameter {name} is not the {extent} of the case's shape; leave it out")]
    ShapeOverride {
        /// Its name.
        name: &'static str,
        /// What the shape says.
        extent: u32,
    },
    /// The case's `sound` object says what the case itself does.
    #[error("case: sound.{key} is the case's to say: {instead}")]
    SoundKey {
        /// The key.
        key: &'static str,
        /// Where it belongs.
        instead: &'static str,
    },
    /// A section of the case's `sound` object that cannot be read.
    #[error("case: section {} of sound: {source}", Escaped(.key))]
    SoundSection {
        /// Its key.
        key: Box<str>,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// No steps between snapshots.
    #[error("snapshot_every is 0; it must be at least 1")]
    NoSnapshots,
    /// Parameters outside their ranges, or that do not go together.
    #[error("case: {0}")]
    Parameters(fold_advanced::Error),
    /// Something that this semantics does not do.
    #[error("program row {row}: {what}")]
    Row {
        /// Which row, from 0.
        row: usize,
        /// What it may not ask for.
        what: RowFault,
    },
    /// A row's computation failed.
    #[error("program row {row}: {source}")]
    Step {
        /// Which row, from 0.
        row: usize,
        /// Why.
        source: fold_advanced::Error,
    },
    /// The input is no archive of arrays.
    #[error("input: {0}")]
    Archive(interchange::Fault),
    /// The input lacks an array.
    #[error("input: there is no array {array}")]
    ArrayMissing {
        /// Its name.
        array: &'static str,
    },
    /// The input has an array that nothing reads.
    #[error("input: {} is not part of a neuron's saved state", Escaped(.array))]
    ArrayUnknown {
        /// Its name.
        array: Box<str>,
    },
    /// An array has another type or shape.
    #[error("input: {array} is {found}, the case needs {needed}")]
    ArrayShape {
        /// Its name.
        array: &'static str,
        /// dtype and shape found.
        found: String,
        /// dtype and shape needed.
        needed: String,
    },
    /// An array holds a value that cannot be.
    #[error("input: {array} holds {value} at {index}: {rule}")]
    ArrayValue {
        /// Its name.
        array: &'static str,
        /// The value.
        value: f64,
        /// Its flat index.
        index: usize,
        /// What it must be.
        rule: &'static str,
    },
    /// The program has more forward rows than `x` has rows.
    #[error("the program has {steps} forward rows, x has {rows} rows")]
    TooFewInputs {
        /// Forward rows.
        steps: usize,
        /// Rows of x.
        rows: usize,
    },
    /// The trace would be too large.
    #[error("the trace would have {bytes} bytes, at most {max} are written: take fewer snapshots or steps")]
    TraceSize {
        /// Its bytes.
        bytes: u64,
        /// The limit.
        max: u64,
    },
}

/// What a program's row may not ask for.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RowFault {
    /// More samples than the case's batch.
    #[error("{samples} samples, the case's batch is {batch}")]
    Samples {
        /// Samples asked for.
        samples: usize,
        /// B.
        batch: usize,
    },
    /// A sleep that takes no time, or negative time.
    #[error("a sleep of {duration_ms} ms; it must last longer than 0")]
    SleepDuration {
        /// The row's duration.
        duration_ms: f64,
    },
    /// A step's duration that single precision does not hold.
    #[error("a step of {duration_ms:e} ms; it must be below 3.4e38")]
    StepDuration {
        /// The row's duration.
        duration_ms: f64,
    },
    /// A batch of no samples.
    #[error("a step of no samples")]
    NoSamples,
}

impl Fault {
    /// Of a case, or a part of one, that is not what it should be.
    pub(super) fn of_case(source: serde_json::Error) -> Self {
        let unknown_key = source.to_string().starts_with("unknown field");
        Self::Case { source, unknown_key }
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Case { unknown_key: true, .. } | Self::UnknownParameter { .. } => Code::UnknownKey,
            Self::Case { .. }
            | Self::NoSynapses { .. }
            | Self::Parameter { .. }
            | Self::ShapeOverride { .. }
            | Self::SoundKey { .. }
            | Self::SoundSection { .. }
            | Self::NoSnapshots
            | Self::Row { .. }
            | Self::TraceSize { .. } => Code::BadConfiguration,
            Self::Archive(fault) => Code::Format(fault.code()),
            Self::ArrayMissing { .. }
            | Self::ArrayUnknown { .. }
            | Self::ArrayShape { .. }
            | Self::ArrayValue { .. }
            | Self::TooFewInputs { .. } => Code::InputMismatch,
            Self::Parameters(source) | Self::Step { source, .. } => Code::find(source.code()).unwrap_or(Code::Internal),
        }
    }
}
