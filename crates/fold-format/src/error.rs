//! The crate's one error type.
//!
//! By whose move it is: something is wrong with the file (a [`Finding`], a [`Fault`](interchange::Fault)), the caller asked
//! for what cannot be ([`Misuse`]), the system refused ([`IoFault`]), or the caller stopped the work.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::code::{Class, Code};
use crate::dtype::Dtype;
use crate::finding::Finding;
use crate::interchange;
use crate::name::Escaped;
use crate::parity::Unsuited;
use crate::v1;

/// Why an operation of this crate failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is damaged, or not made for this reader.
    #[error("{0}")]
    Finding(Box<Finding>),
    /// The system refused an operation.
    #[error(transparent)]
    Io(Box<IoFault>),
    /// The caller asked for what cannot be.
    #[error("{code} {class}: {0}", code = .0.code(), class = .0.code().class())]
    Misuse(Misuse),
    /// A version 1 file is damaged, or needs a key.
    #[error("{0}")]
    Version1(Box<v1::Finding>),
    /// A chunk, or a file of another program, is not what its format says.
    #[error("{code} {class}: {0}", code = .0.code(), class = .0.code().class())]
    Content(Box<interchange::Fault>),
    /// The caller's progress callback broke off.
    #[error("{code} {class}: stopped by the caller", code = Code::Cancelled, class = Code::Cancelled.class())]
    Cancelled,
}

impl Error {
    /// The stable code.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Finding(finding) => finding.code(),
            Self::Io(fault) => fault.code(),
            Self::Misuse(misuse) => misuse.code(),
            Self::Version1(finding) => finding.code(),
            Self::Content(fault) => fault.code(),
            Self::Cancelled => Code::Cancelled,
        }
    }

    /// Whose move it is.
    #[must_use]
    pub fn class(&self) -> Class {
        self.code().class()
    }

    /// The file that is damaged or that the system refused, where it was opened by its path.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Finding(finding) => finding.path.as_deref(),
            Self::Version1(finding) => finding.path.as_deref(),
            Self::Io(fault) => fault.path.as_deref(),
            Self::Misuse(_) | Self::Content(_) | Self::Cancelled => None,
        }
    }

    /// Says which file is damaged or was refused, where that is known and not said yet.
    pub(crate) fn about(mut self, path: Option<&Path>) -> Self {
        let Some(path) = path else { return self };
        match &mut self {
            Self::Finding(finding) => _ = finding.path.get_or_insert_with(|| path.into()),
            Self::Version1(finding) => _ = finding.path.get_or_insert_with(|| path.into()),
            Self::Io(fault) => _ = fault.path.get_or_insert_with(|| path.into()),
            Self::Misuse(_) | Self::Content(_) | Self::Cancelled => {}
        }
        self
    }

    /// The located finding, where the file is at fault.
    #[must_use]
    pub fn finding(&self) -> Option<&Finding> {
        match self {
            Self::Finding(finding) => Some(finding),
            _ => None,
        }
    }
}

impl From<Finding> for Error {
    fn from(finding: Finding) -> Self {
        Self::Finding(Box::new(finding))
    }
}

impl From<Box<Finding>> for Error {
    fn from(finding: Box<Finding>) -> Self {
        Self::Finding(finding)
    }
}

impl From<Box<v1::Finding>> for Error {
    fn from(finding: Box<v1::Finding>) -> Self {
        Self::Version1(finding)
    }
}

impl From<interchange::Fault> for Error {
    fn from(fault: interchange::Fault) -> Self {
        Self::Content(Box::new(fault))
    }
}

impl From<Misuse> for Error {
    fn from(misuse: Misuse) -> Self {
        Self::Misuse(misuse)
    }
}

impl From<IoFault> for Error {
    fn from(fault: IoFault) -> Self {
        Self::Io(Box::new(fault))
    }
}

/// The operation that the system refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Opening a file for reading.
    Open,
    /// Asking for a file's kind or length.
    Metadata,
    /// Reading at an offset.
    Read,
    /// Mapping a file.
    Map,
    /// Getting memory for what is to be read.
    Allocate,
    /// Creating the temporary file.
    Create,
    /// Setting the temporary file's length.
    SetLength,
    /// Writing at an offset.
    Write,
    /// Flushing the temporary file to the disk.
    Sync,
    /// Closing the temporary file.
    Close,
    /// Giving the temporary file its final name.
    Rename,
    /// Flushing the directory to the disk, after the rename.
    SyncDirectory,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Metadata => "stat",
            Self::Read => "read",
            Self::Map => "map",
            Self::Allocate => "allocate memory for",
            Self::Create => "create",
            Self::SetLength => "set the length of",
            Self::Write => "write",
            Self::Sync => "sync",
            Self::Close => "close",
            Self::Rename => "rename to",
            Self::SyncDirectory => "sync the directory",
        })
    }
}

/// An operation that the system refused: which, on what, and why.
#[derive(Debug)]
#[non_exhaustive]
pub struct IoFault {
    /// What was tried.
    pub operation: Operation,
    /// On which path; none where the source has no path.
    pub path: Option<PathBuf>,
    /// The system's answer.
    pub source: io::Error,
    /// A temporary file that could not be removed after the failure.
    pub leftover: Option<PathBuf>,
}

impl IoFault {
    /// An operation on a path, or on a source without one, that the system refused.
    #[must_use]
    pub fn new(operation: Operation, path: Option<PathBuf>, source: io::Error) -> Self {
        Self {
            operation,
            path,
            source,
            leftover: None,
        }
    }

    /// The stable code: absent, no space, not durable, or another failure.
    #[must_use]
    pub fn code(&self) -> Code {
        match (self.operation, self.source.kind()) {
            (_, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge) => {
                Code::NoSpace
            }
            (Operation::Sync | Operation::Close | Operation::SyncDirectory, _) => Code::SyncFailed,
            (Operation::Open | Operation::Metadata, io::ErrorKind::NotFound) => Code::Absent,
            _ => Code::Io,
        }
    }
}

impl fmt::Display for IoFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: cannot {}", self.code(), self.code().class(), self.operation)?;
        match &self.path {
            Some(path) => write!(f, " {}", Escaped(&path.to_string_lossy()))?,
            None => f.write_str(" the source")?,
        }
        write!(f, ": {}", self.source)?;
        if let Some(leftover) = &self.leftover {
            write!(
                f,
                "; the temporary file {} is left",
                Escaped(&leftover.to_string_lossy())
            )?;
        }
        Ok(())
    }
}

impl std::error::Error for IoFault {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// A request that cannot be met, whatever the file holds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misuse {
    /// The target exists and [`Existing::Refuse`](crate::Existing::Refuse) was asked for.
    #[error("the target {} exists", Escaped(&.path.to_string_lossy()))]
    TargetExists {
        /// The target.
        path: PathBuf,
    },
    /// A path without a file name, or one that names a directory's parent.
    #[error("the target {} has no file name", Escaped(&.path.to_string_lossy()))]
    NoFileName {
        /// The target.
        path: PathBuf,
    },
    /// A chunk or tensor name that is empty, longer than 255 bytes or has control characters.
    #[error("the name {} is not allowed: 1 to 255 bytes without control characters", Escaped(.name))]
    InvalidName {
        /// The name.
        name: Box<str>,
    },
    /// Two chunks or two tensors of one name.
    #[error("the name {} is used twice", Escaped(.name))]
    DuplicateName {
        /// The name.
        name: Box<str>,
    },
    /// A tensor of more than eight dimensions.
    #[error("tensor {} has {rank} dimensions, 8 are allowed", Escaped(.name))]
    RankTooHigh {
        /// The tensor's name.
        name: Box<str>,
        /// Its dimensions.
        rank: usize,
    },
    /// A tensor whose bytes are not what its shape and dtype say.
    #[error("tensor {} has {actual} bytes, its shape and dtype say {}", Escaped(.name), or_too_many(*.expected))]
    ByteLength {
        /// The tensor's name.
        name: Box<str>,
        /// By shape and dtype; none where the product overflows.
        expected: Option<u64>,
        /// Those given.
        actual: u64,
    },
    /// Metadata that is not a JSON object, or a JSON chunk that is not JSON.
    #[error("{} is not {expected}: line {line}, column {column}", Escaped(.name))]
    InvalidJson {
        /// The chunk's name, or `metadata`.
        name: Box<str>,
        /// What it has to be.
        expected: &'static str,
        /// Line of the first error, from 1.
        line: usize,
        /// Column of the first error.
        column: usize,
    },
    /// A block size outside 2^12 to 2^20.
    #[error("a block size of 2^{log2} is not allowed: 2^12 to 2^20")]
    BlockSize {
        /// The power of two.
        log2: u8,
    },
    /// Bytes of a source that are not there.
    #[error("{} is to be made of bytes {start}..{end} of a source of {len} bytes", Escaped(.name))]
    SourceRange {
        /// The tensor's or chunk's name.
        name: Box<str>,
        /// Where the range begins.
        start: u64,
        /// Where it ends.
        end: u64,
        /// The source's length.
        len: u64,
    },
    /// A compression level that zstd does not have.
    #[error("a compression level of {level} is not allowed: 1 to 22")]
    CompressionLevel {
        /// The level.
        level: i32,
    },
    /// A frame size outside 2^12 to 2^20.
    #[error("a frame size of 2^{log2} is not allowed: 2^12 to 2^20")]
    FrameSize {
        /// The power of two.
        log2: u8,
    },
    /// Parity that these blocks cannot have.
    #[error("no such parity: {0}")]
    Parity(Unsuited),
    /// A signature over digests that prove nothing: the file is not sealed with BLAKE3.
    #[error("the file's digests are xxh3, which a signature cannot rest on: write it again with BLAKE3 first")]
    NotSealed,
    /// A view of a tensor that is not stored as it is.
    #[error("tensor {} is compressed and cannot be viewed in the file: read it instead", Escaped(.name))]
    Compressed {
        /// The tensor's name.
        name: Box<str>,
    },
    /// More than the format's fields can count.
    #[error("the content is larger than the format can hold")]
    TooLarge,
    /// No tensor of that name.
    #[error("no tensor {}", Escaped(.name))]
    NoSuchTensor {
        /// The name asked for.
        name: Box<str>,
    },
    /// No chunk of that name.
    #[error("no chunk {}", Escaped(.name))]
    NoSuchChunk {
        /// The name asked for.
        name: Box<str>,
    },
    /// A typed view that does not fit the tensor's dtype.
    #[error("a tensor of {dtype} cannot be viewed as {asked}")]
    WrongDtype {
        /// The tensor's.
        dtype: Dtype,
        /// The view's.
        asked: Dtype,
    },
    /// A buffer that does not have the tensor's length.
    #[error("the buffer has {actual} bytes, the tensor {expected}")]
    BufferLength {
        /// The tensor's bytes.
        expected: u64,
        /// The buffer's.
        actual: u64,
    },
    /// A buffer whose address is not a multiple of the element's size.
    #[error("the bytes are not aligned for {dtype}")]
    Unaligned {
        /// The view's dtype.
        dtype: Dtype,
    },
}

/// A number of bytes, of which a u64 may not be enough.
fn or_too_many(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "more than 2^64".to_owned(), |bytes| bytes.to_string())
}

impl Misuse {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::TargetExists { .. } => Code::TargetExists,
            Self::NotSealed => Code::NotSealed,
            Self::NoFileName { .. }
            | Self::InvalidName { .. }
            | Self::DuplicateName { .. }
            | Self::RankTooHigh { .. }
            | Self::ByteLength { .. }
            | Self::InvalidJson { .. }
            | Self::BlockSize { .. }
            | Self::FrameSize { .. }
            | Self::SourceRange { .. }
            | Self::CompressionLevel { .. }
            | Self::Parity(_)
            | Self::TooLarge => Code::InvalidContent,
            Self::NoSuchTensor { .. } | Self::NoSuchChunk { .. } => Code::NoSuchEntry,
            Self::WrongDtype { .. } | Self::BufferLength { .. } | Self::Unaligned { .. } | Self::Compressed { .. } => {
                Code::WrongView
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_space_wins_over_the_operation_that_met_it() {
        let code = |operation, errno| IoFault::new(operation, None, io::Error::from_raw_os_error(errno)).code();
        assert_eq!(code(Operation::Write, 28), Code::NoSpace);
        assert_eq!(code(Operation::Sync, 28), Code::NoSpace);
        assert_eq!(code(Operation::Sync, 5), Code::SyncFailed);
        assert_eq!(code(Operation::SyncDirectory, 5), Code::SyncFailed);
        assert_eq!(code(Operation::Open, 2), Code::Absent);
        assert_eq!(code(Operation::Rename, 2), Code::Io);
    }

    #[test]
    fn the_text_names_code_operation_path_and_errno() {
        let mut fault = IoFault::new(
            Operation::Write,
            Some(PathBuf::from("a\u{1b}b")),
            io::Error::from_raw_os_error(28),
        );
        fault.leftover = Some(PathBuf::from("t"));
        let text = Error::from(fault).to_string();
        assert!(
            text.starts_with("FOLD-E0404 environment: cannot write `a\\u{1b}b`: "),
            "{text}"
        );
        assert!(
            text.contains("os error 28") && text.ends_with("the temporary file `t` is left"),
            "{text}"
        );
    }
}
