//! The crate's one error type.
//!
//! Codes, classes and exit codes are those of `fold-ops`; nothing here invents one.

use std::io;
use std::path::PathBuf;

use fold_core::params::Violations;
use fold_ops::{Code, Escaped, ExitCode, interchange};

use crate::data::{Defect, ImagesDefect};
use crate::idx::IdxDefect;
use crate::npz::NpzDefect;

/// Why an operation of this crate failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The name of a data set that this release does not have.
    #[error("{code} misuse: there is no data set {}; known: digits, a directory of IDX files, or an npz archive", Escaped(.name), code = self.code())]
    UnknownData {
        /// The name asked for.
        name: Box<str>,
    },
    /// A resumed run whose data set is not embedded does not say where it lies.
    #[error("{code} misuse: {} does not say where the data of its run lie: give --data", Escaped(&dir.to_string_lossy()), code = self.code())]
    DataUnsaid {
        /// The run's directory.
        dir: PathBuf,
    },
    /// A data set's bytes are not what its description says.
    #[error("{code} damaged: data set {data}, line {line}: {defect}", code = self.code())]
    Data {
        /// The data set.
        data: &'static str,
        /// The line, from 1; 0 where the fault is not in a line.
        line: usize,
        /// What is wrong.
        defect: Defect,
    },
    /// A file of a data set is not what the IDX format says, or does not go with the others.
    #[error("{code} misuse: {} {defect}", Escaped(&.path.to_string_lossy()), code = self.code())]
    Idx {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        defect: IdxDefect,
    },
    /// An array of a data set is not what it must be.
    #[error("{code} misuse: {}: {array} {defect}", Escaped(&.path.to_string_lossy()), code = self.code())]
    Npz {
        /// The archive.
        path: PathBuf,
        /// The array.
        array: &'static str,
        /// What is wrong.
        defect: Box<NpzDefect>,
    },
    /// A data set is no archive of arrays, or an array in it cannot be read.
    #[error("{code} {class}: {}{}: {source}", Escaped(&.path.to_string_lossy()), .array.map_or_else(String::new, |name| format!(": {name}")), code = self.code(), class = Code::Format(.source.code()).class())]
    Archive {
        /// The file.
        path: PathBuf,
        /// The array; none where it is the archive itself.
        array: Option<&'static str>,
        /// What is wrong.
        source: interchange::Fault,
    },
    /// A file of a data set is absent or cannot be read.
    #[error("{code} environment: cannot read {}: {source}", Escaped(&.path.to_string_lossy()), code = self.code())]
    DataFile {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Parameters outside their ranges, or that do not go together: all of them.
    #[error("{code} misuse: {violations}", code = self.code())]
    Config {
        /// Every violation.
        violations: Violations,
    },
    /// A configuration text that cannot be read.
    #[error("{code} misuse: the configuration cannot be read: {source}", code = self.code())]
    ConfigText {
        /// The parser's answer, with line and column.
        source: serde_json::Error,
        /// Whether the fault is a key that does not exist.
        unknown_key: bool,
    },
    /// The directory already holds a run and resuming was not asked for.
    #[error(
        "{code} misuse: {} already holds checkpoints up to epoch {newest}; resume that run or choose another directory",
        Escaped(&.dir.to_string_lossy()),
        code = self.code()
    )]
    RunExists {
        /// The directory.
        dir: PathBuf,
        /// The newest epoch whose file is there, whether valid or not.
        newest: u64,
    },
    /// The directory holds checkpoints, but not one that is valid.
    #[error("{code} damaged: none of the {count} checkpoints in {} is valid", Escaped(&.dir.to_string_lossy()), code = self.code())]
    NoValidCheckpoint {
        /// The directory.
        dir: PathBuf,
        /// How many files were tried.
        count: usize,
    },
    /// The directory holds no checkpoint.
    #[error("{code} environment: {} holds no checkpoint of a run; check the path", Escaped(&.dir.to_string_lossy()), code = self.code())]
    NoCheckpoint {
        /// The directory.
        dir: PathBuf,
    },
    /// The run that is to be resumed was started with other settings.
    #[error("{code} misuse: the run was started with other settings: {}", listed(.keys), code = self.code())]
    ResumeDiffers {
        /// Every key that differs, with both values.
        keys: Vec<KeyDifference>,
    },
    /// A run is to go on from a checkpoint of elsewhere in a directory that holds another run.
    #[error(
        "{code} misuse: {} holds another run, started with other settings: {}; go on in another directory",
        Escaped(&.dir.to_string_lossy()),
        listed(.keys),
        code = self.code()
    )]
    OtherRun {
        /// The directory.
        dir: PathBuf,
        /// Every key in which its run differs from the one asked for, with both values.
        keys: Vec<KeyDifference>,
    },
    /// The checkpoint to resume from has seen more epochs than the run is to have.
    #[error("{code} misuse: the checkpoint has seen {epoch} epochs, the run is to have {epochs}", code = self.code())]
    EpochsPassed {
        /// Epochs of the checkpoint.
        epoch: u64,
        /// Epochs asked for.
        epochs: u64,
    },
    /// A checkpoint does not hold what training or evaluation needs.
    #[error("{code} damaged: chunk {chunk} of the checkpoint: {source}", code = self.code())]
    Chunk {
        /// The chunk.
        chunk: &'static str,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// A checkpoint's record is of another data set than the one given.
    #[error("{code} misuse: the checkpoint was trained on {}, not on {}: give its data set", Escaped(.trained), Escaped(.given), code = self.code())]
    OtherData {
        /// The data set of the checkpoint: name and digest.
        trained: Box<str>,
        /// The one given, likewise.
        given: Box<str>,
    },
    /// Pixels and labels that are no images.
    #[error("{code} misuse: {defect}", code = self.code())]
    Images {
        /// What is wrong.
        defect: ImagesDefect,
    },
    /// A data set that nothing can be learned from.
    #[error("{code} misuse: data set {name}: {what}", code = self.code())]
    DataSet {
        /// Its name.
        name: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// A seed that is to be measured twice: mean and spread would be of fewer seeds than they say.
    #[error("{code} misuse: seed {seed} is there twice: leave one of them out", code = self.code())]
    SeedTwice {
        /// The seed.
        seed: u64,
    },
    /// Labels that do not belong to the features.
    #[error("{code} internal: {labels} labels below {classes} are needed for {images} images", code = self.code())]
    Labels {
        /// Rows of features.
        images: usize,
        /// Labels given.
        labels: usize,
        /// The number of classes.
        classes: usize,
    },
    /// The features give a system that no ridge parameter of the grid makes solvable: a non-finite feature.
    #[error("{code} internal: the readout cannot be fitted: a feature is not finite", code = self.code())]
    Readout,
    /// The observer asked to stop; the last checkpoint is whole and the run can be resumed.
    #[error("interrupted after epoch {epoch}; the run can be resumed")]
    Interrupted {
        /// The last epoch that has a checkpoint.
        epoch: u64,
    },
    /// A figure cannot be written.
    #[error("{code} environment: cannot write {}: {source}", Escaped(&.path.to_string_lossy()), code = self.code())]
    Figure {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A figure cannot be drawn.
    #[error("{code} internal: cannot draw {figure}: {source}", code = self.code())]
    Drawing {
        /// Which figure.
        figure: &'static str,
        /// What the drawing library says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The layer refused a step or its configuration, or its monitor stopped it.
    #[error("{coded}: {0}", coded = coded(self.code()))]
    Layer(#[from] fold_advanced::Error),
    /// The core refused.
    #[error("{coded}: {0}", coded = coded(self.code()))]
    Core(#[from] fold_core::Error),
    /// The checkpoint directory or a checkpoint refused.
    #[error(transparent)]
    Ops(#[from] fold_ops::Error),
}

/// A setting that differs between a run and the request to resume it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyDifference {
    /// The setting, as in a configuration file.
    pub key: Box<str>,
    /// Its value in the checkpoint.
    pub stored: Box<str>,
    /// Its value in the request.
    pub asked: Box<str>,
}

impl Error {
    /// The stable code: the key of the runbook entry.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Ops(source) => source.code().as_str(),
            Self::Layer(source) => source.code(),
            Self::Core(source) => source.code(),
            Self::Config { .. }
            | Self::UnknownData { .. }
            | Self::DataUnsaid { .. }
            | Self::SeedTwice { .. }
            | Self::OtherData { .. } => Code::BadConfiguration.as_str(),
            Self::ConfigText { unknown_key: true, .. } => Code::UnknownKey.as_str(),
            Self::ConfigText { .. } => Code::BadConfiguration.as_str(),
            Self::RunExists { .. } => "FOLD-E0003",
            Self::NoValidCheckpoint { .. } => Code::NoValidCheckpoint.as_str(),
            Self::Idx { .. } | Self::Npz { .. } | Self::Images { .. } | Self::DataSet { .. } => {
                Code::InputMismatch.as_str()
            }
            Self::Archive { source, .. } => source.code().as_str(),
            Self::NoCheckpoint { .. } => "FOLD-E0103",
            Self::DataFile { source, .. } if source.kind() == io::ErrorKind::NotFound => "FOLD-E0103",
            Self::DataFile { .. } => "FOLD-E0406",
            Self::ResumeDiffers { .. } | Self::OtherRun { .. } | Self::EpochsPassed { .. } => {
                Code::ResumeDiffers.as_str()
            }
            Self::Chunk { .. } => Code::StateMismatch.as_str(),
            Self::Figure { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => "FOLD-E0404",
                _ => "FOLD-E0406",
            },
            Self::Data { .. } | Self::Readout | Self::Labels { .. } | Self::Drawing { .. } => Code::Internal.as_str(),
            Self::Interrupted { .. } => "FOLD-E0007",
        }
    }

    /// What a command ends with when this error stops it.
    #[must_use]
    pub fn exit(&self) -> ExitCode {
        match self {
            Self::Ops(source) => source.exit(),
            Self::Interrupted { .. } => ExitCode::Interrupted,
            _ => Code::find(self.code()).map_or(ExitCode::Bug, Code::exit),
        }
    }
}

/// A code and its class, for what has neither in its text.
fn coded(code: &str) -> String {
    let class = Code::find(code).map_or_else(String::new, |code| format!(" {}", code.class()));
    format!("{code}{class}")
}

fn listed(keys: &[KeyDifference]) -> String {
    let one = |k: &KeyDifference| {
        format!(
            "{} is {} there and {} here",
            Escaped(&k.key),
            Escaped(&k.stored),
            Escaped(&k.asked)
        )
    };
    keys.iter().map(one).collect::<Vec<_>>().join("; ")
}
