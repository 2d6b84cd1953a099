//! Why a command ended without its result, and the exit code that tells so.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use fold_ops::{Escaped, ExitCode};

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Standard output is closed or full.
    Output(io::Error),
    /// A path that must be a directory is something else, or not there.
    NoDirectory(PathBuf),
    /// An address cannot be listened on.
    Listen { address: SocketAddr, source: io::Error },
    /// A key file holds something else.
    Key { path: PathBuf, what: String },
    /// There is no such code.
    UnknownCode(String),
    /// Operations refused.
    Ops(fold_ops::Error),
    /// Training or evaluation refused.
    Train(fold_train::Error),
    /// A bug.
    Internal(anyhow::Error),
}

impl Failure {
    /// What the process ends with.
    pub(crate) fn exit(&self) -> ExitCode {
        match self {
            Self::Output(_) | Self::Listen { .. } => ExitCode::Io,
            Self::NoDirectory(_) => ExitCode::Absent,
            Self::UnknownCode(_) | Self::Key { .. } => ExitCode::Usage,
            Self::Ops(error) => error.exit(),
            Self::Train(error) => error.exit(),
            Self::Internal(_) => ExitCode::Bug,
        }
    }

    /// The stable code, where there is one.
    pub(crate) fn code(&self) -> Option<&'static str> {
        match self {
            Self::Output(_) | Self::UnknownCode(_) | Self::Key { .. } => None,
            Self::NoDirectory(_) => Some("FOLD-E0103"),
            Self::Listen { .. } => Some("FOLD-E0406"),
            Self::Ops(error) => Some(error.code().as_str()),
            Self::Train(error) => Some(error.code()),
            Self::Internal(_) => Some("FOLD-E0901"),
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Output(source) => write!(f, "cannot write to standard output: {source}"),
            Self::NoDirectory(path) => {
                let what = if path.exists() {
                    "is no directory"
                } else {
                    "is not there"
                };
                write!(f, "{} {what}", Escaped(&path.to_string_lossy()))
            }
            Self::Listen { address, source } => write!(f, "cannot listen on {address}: {source}"),
            Self::Key { path, what } => write!(f, "{}: {what}", Escaped(&path.to_string_lossy())),
            Self::UnknownCode(text) => write!(
                f,
                "there is no code {}; `fold explain --list` shows them",
                Escaped(text)
            ),
            Self::Ops(error) => error.fmt(f),
            Self::Train(error) => error.fmt(f),
            Self::Internal(error) => write!(f, "{error:#}"),
        }
    }
}

impl From<fold_ops::Error> for Failure {
    fn from(error: fold_ops::Error) -> Self {
        Self::Ops(error)
    }
}

impl From<fold_train::Error> for Failure {
    fn from(error: fold_train::Error) -> Self {
        Self::Train(error)
    }
}
