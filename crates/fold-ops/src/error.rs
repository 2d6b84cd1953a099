//! The crate's one error type.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use fold_format::interchange;
use fold_format::seal::KeyFault;
use fold_format::{Class, Dtype, Escaped, Shape};

use crate::check::FindingReport;
use crate::code::Code;
use crate::exit::ExitCode;

/// Why an operation of this crate failed. The text begins with code and class, as the container's errors do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The container refused: damage, misuse or the system.
    #[error(transparent)]
    Format(#[from] fold_format::Error),
    /// The container of this path refused.
    #[error("{}: {source}", shown(.path))]
    File {
        /// The file.
        path: PathBuf,
        /// What the container says.
        source: fold_format::Error,
    },
    /// The system refused an operation on the checkpoint directory or on a name in it.
    #[error("{code} {class}: cannot {operation} {}: {source}", shown(.path), code = self.code(), class = self.class())]
    Directory {
        /// What was tried.
        operation: DirectoryOperation,
        /// On what.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Another process writes to the directory.
    #[error("{code} {class}: {} is being written to by {}", shown(.dir), holder(.process), code = self.code(), class = self.class())]
    Locked {
        /// The checkpoint directory.
        dir: PathBuf,
        /// The process that said so when it took the lock, where it can be read.
        process: Option<u32>,
    },
    /// A tensor that the state needs is not in the checkpoint.
    #[error("{code} {class}: the checkpoint has no tensor {}", Escaped(.tensor), code = self.code(), class = self.class())]
    StateMissing {
        /// Its name.
        tensor: Box<str>,
    },
    /// A tensor that the state needs has another type or shape.
    #[error("{code} {class}: {0}", code = self.code(), class = self.class())]
    StateMismatch(Box<Mismatch>),
    /// The checkpoint has no layer of the name asked for.
    #[error("{code} {class}: the checkpoint has no layer {}; `fold inspect` lists its tensors, whose names begin with their layer's", Escaped(.layer), code = self.code(), class = self.class())]
    NoLayer {
        /// The name asked for.
        layer: Box<str>,
    },
    /// The checkpoint's layer has another shape than the configuration.
    #[error("{code} {class}: layer {} has the shape {stored:?}, the configuration {configured:?}: give the one it was saved with", Escaped(.layer), code = self.code(), class = self.class())]
    LayerShape {
        /// The layer's name.
        layer: Box<str>,
        /// Its neurons, dendrites and synapses.
        stored: Vec<usize>,
        /// Those of the configuration.
        configured: Vec<usize>,
    },
    /// The checkpoint has state of a layer that the configuration has no place for.
    #[error("{code} {class}: layer {}: the configuration has no mechanism for {}: give the one it was saved with", Escaped(.layer), Escaped(.tensor), code = self.code(), class = self.class())]
    StateLeft {
        /// The layer's name.
        layer: Box<str>,
        /// The first tensor that is left.
        tensor: Box<str>,
    },
    /// The checkpoint's tensors are whole, and no layer can be made of them.
    #[error("{code} {class}: layer {}: {source}", Escaped(.layer), code = self.code(), class = self.class())]
    Layer {
        /// The layer's name, the first part of its tensors' names.
        layer: Box<str>,
        /// What is missing, does not fit, or breaks an invariant.
        source: fold_advanced::Error,
    },
    /// A mechanism has an array of a type that this release cannot store.
    #[error("{code} {class}: the array {} has a type that cannot be stored", Escaped(.array), code = self.code(), class = self.class())]
    UnknownArray {
        /// Its name.
        array: Box<str>,
    },
    /// A simulation was refused, or could not go on.
    #[error("{code} {class}: {0}", code = self.code(), class = self.class())]
    Simulation(Box<crate::simulate::Fault>),
    /// The state file of a scrub is something else.
    #[error("{code} {class}: {} is no state of a scrub: {source}; move it away to begin anew", shown(.path), code = self.code(), class = self.class())]
    ScrubState {
        /// The file.
        path: PathBuf,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// The source of a conversion does not verify.
    #[error("{code} {class}: {} does not verify: {}", shown(.path), .finding.message, code = self.code(), class = self.class())]
    SourceDamaged {
        /// The source.
        path: PathBuf,
        /// The first thing that is wrong with it.
        finding: Box<FindingReport>,
    },
    /// The target of a conversion cannot hold something, and it was not to be lost.
    #[error("{code} {class}: {what}; --lossy allow goes on without it", code = self.code(), class = self.class())]
    LossyRefused {
        /// What would be lost.
        what: Box<str>,
    },
    /// The target of a conversion cannot hold something, whatever may be lost.
    #[error("{code} {class}: {what}; {instead}", code = self.code(), class = self.class())]
    Unheld {
        /// What it is.
        what: Box<str>,
        /// What to do instead.
        instead: Box<str>,
    },
    /// A chunk is whole, and its content is not read here.
    #[error("{}: {code} {class}: chunk {} is whole and is not read: {fault}", shown(.path), Escaped(.chunk), code = self.code(), class = self.class())]
    Content {
        /// The file.
        path: PathBuf,
        /// The chunk.
        chunk: Box<str>,
        /// What is refused.
        fault: Box<interchange::Fault>,
    },
    /// A setting of a command that does not go with the file it is for.
    #[error("{code} {class}: {what}", code = self.code(), class = self.class())]
    Setting {
        /// What does not go, and what would.
        what: Box<str>,
    },
    /// A written file that does not read back as what was to be written; it was removed.
    #[error("{code} {class}: {} did not read back as it was to be written and was removed", shown(.path), code = self.code(), class = self.class())]
    ReadBack {
        /// The target.
        path: PathBuf,
    },
    /// A file was to be signed whose digests a signature cannot rest on.
    #[error("{code} {class}: {} has xxh3 digests, which anybody can forge; write it with BLAKE3 first: {}", shown(.path), .sealing.as_deref().unwrap_or("`fold convert` with --digest blake3"), code = self.code(), class = self.class())]
    NotSealed {
        /// The file.
        path: PathBuf,
        /// The command that writes it anew, where its path can be shown.
        sealing: Option<String>,
    },
    /// A small file is longer than one of its kind can be.
    #[error("{code} {class}: {} is longer than a file of its kind, which has at most {bytes_max} bytes", shown(.path), code = self.code(), class = self.class())]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The limit.
        bytes_max: u64,
    },
    /// The name of a metrics file is taken by something else.
    #[error("{code} {class}: {} is {what} and is not replaced; name another file, or move it away", shown(.path), code = self.code(), class = self.class())]
    NotMetrics {
        /// What was to become the metrics file.
        path: PathBuf,
        /// What it is.
        what: &'static str,
    },
    /// A key file cannot be read, written or used.
    #[error("{code} {class}: {0}", code = self.code(), class = self.class())]
    Key(KeyFault),
    /// A plan is not carried out, since the checkpoint that it relies on is not valid any more.
    #[error("{code} {class}: nothing removed, {} is not valid any more and was to be the newest valid checkpoint", shown(.path), code = self.code(), class = self.class())]
    LastValid {
        /// The checkpoint that the plan relies on.
        path: PathBuf,
    },
}

/// A tensor that is not what the state needs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Mismatch {
    /// Its name.
    pub tensor: Box<str>,
    /// The type and shape that the state needs; none where it has no array of the tensor's type at all.
    pub expected: Option<(Dtype, Shape)>,
    /// The type in the checkpoint.
    pub dtype: Dtype,
    /// The shape in the checkpoint.
    pub shape: Shape,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tensor {} is {} {}", Escaped(&self.tensor), self.dtype, self.shape)?;
        match &self.expected {
            Some((dtype, shape)) => write!(f, ", the state needs {dtype} {shape}"),
            None => f.write_str(", the state has no array of that type"),
        }
    }
}

/// What was tried on a checkpoint directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DirectoryOperation {
    /// Creating it.
    Create,
    /// Listing it.
    List,
    /// Flushing its names to the disk.
    Sync,
    /// Locking it for a writer.
    Lock,
    /// Asking whether a name is taken.
    Look,
    /// Opening a file in it.
    Open,
    /// Reading a file in it.
    Read,
    /// Giving a file in it another name.
    Rename,
    /// Removing a file from it.
    Remove,
    /// Writing a file into it.
    Write,
}

impl fmt::Display for DirectoryOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Create => "create",
            Self::List => "list",
            Self::Sync => "sync",
            Self::Lock => "lock",
            Self::Look => "look at",
            Self::Open => "open",
            Self::Read => "read",
            Self::Rename => "rename",
            Self::Remove => "remove",
            Self::Write => "write",
        })
    }
}

impl From<crate::simulate::Fault> for Error {
    fn from(fault: crate::simulate::Fault) -> Self {
        Self::Simulation(Box::new(fault))
    }
}

impl From<KeyFault> for Error {
    /// What the system refused says so by itself.
    fn from(fault: KeyFault) -> Self {
        match fault {
            KeyFault::Io(fault) => Self::Format(fault.into()),
            fault => Self::Key(fault),
        }
    }
}

impl Error {
    /// Names the file that a container's error is about, where it does not name one itself.
    pub(crate) fn of(path: &Path, source: fold_format::Error) -> Self {
        match source.path() {
            Some(_) => Self::Format(source),
            None => Self::File {
                path: path.into(),
                source,
            },
        }
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Format(source) | Self::File { source, .. } => source.code().into(),
            Self::Directory { operation, source, .. } => Code::Format(match (operation, source.kind()) {
                (_, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge) => {
                    fold_format::Code::NoSpace
                }
                (DirectoryOperation::Sync, _) => fold_format::Code::SyncFailed,
                (DirectoryOperation::List | DirectoryOperation::Open, io::ErrorKind::NotFound) => {
                    fold_format::Code::Absent
                }
                _ => fold_format::Code::Io,
            }),
            Self::Locked { .. } => Code::Locked,
            Self::StateMissing { .. } => Code::StateMissing,
            Self::NoLayer { .. } => Code::Format(fold_format::Code::NoSuchEntry),
            Self::StateLeft { .. } | Self::LayerShape { .. } => Code::ResumeDiffers,
            Self::StateMismatch(_) => Code::StateMismatch,
            Self::Layer { source, .. } => Code::find(source.code()).unwrap_or(Code::Internal),
            Self::UnknownArray { .. } => Code::Internal,
            Self::Simulation(fault) => fault.code(),
            Self::ScrubState { .. } => Code::ScrubState,
            Self::LastValid { .. } => Code::LastValid,
            // It may be whole, and is read with the key.
            Self::SourceDamaged { finding, .. } if finding.code == Code::Format(fold_format::Code::KeyNeeded) => {
                finding.code
            }
            Self::SourceDamaged { .. } => Code::SourceDamaged,
            Self::LossyRefused { .. } | Self::Unheld { .. } => Code::LossyRefused,
            // Its digests match: the bytes are those that were written.
            Self::Content { fault, .. } => match fault.code() {
                fold_format::Code::BrokenContent => Code::Format(fold_format::Code::ForeignContent),
                code => code.into(),
            },
            Self::Setting { .. } | Self::TooLong { .. } => Code::BadConfiguration,
            Self::ReadBack { .. } => Code::Internal,
            Self::NotMetrics { .. } => Code::Format(fold_format::Code::TargetExists),
            Self::NotSealed { .. } => Code::Format(fold_format::Code::NotSealed),
            Self::Key(fault) => match fault {
                KeyFault::Exists { .. } => Code::Format(fold_format::Code::TargetExists),
                KeyFault::Random(_) => Code::Format(fold_format::Code::Io),
                _ => Code::BadConfiguration,
            },
        }
    }

    /// The caller stopped what was under way.
    #[must_use]
    pub const fn cancelled() -> Self {
        Self::Format(fold_format::Error::Cancelled)
    }

    /// What is wrong with the file `path`, where that is what the error is about.
    pub(crate) fn finding(&self, path: &Path) -> Option<FindingReport> {
        match self {
            Self::Format(fold_format::Error::Misuse(_))
            | Self::File {
                source: fold_format::Error::Misuse(_),
                ..
            } => None,
            Self::Format(source) | Self::File { source, .. } => Some(FindingReport::of_error(source, path)),
            Self::SourceDamaged { finding, .. } => Some((**finding).clone()),
            _ => None,
        }
    }

    /// Whose move it is.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            // What is sound and not read is not called damaged.
            Self::SourceDamaged { finding, .. } => finding.code.class(),
            _ => self.code().class(),
        }
    }

    /// What a command ends with when this error stops it.
    #[must_use]
    pub fn exit(&self) -> ExitCode {
        match self {
            // What is absent or no container is not called damaged.
            Self::SourceDamaged { finding, .. } => match finding.code.exit() {
                exit @ (ExitCode::Usage | ExitCode::Absent | ExitCode::Newer | ExitCode::Io) => exit,
                _ => self.code().exit(),
            },
            _ => self.code().exit(),
        }
    }
}

/// A path as messages and logs have it: nothing in it acts on a terminal.
pub(crate) fn shown(path: &Path) -> String {
    Escaped(&path.to_string_lossy()).to_string()
}

fn holder(process: &Option<u32>) -> String {
    match process {
        Some(process) => format!("process {process}"),
        None => "another process".to_owned(),
    }
}
