//! What is wrong with a file, and where: the typed cause and the narrowest place that the digests allow.
//!
//! A finding carries no advice: which command cures it is the operations layer's business, keyed by the code.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::Path;

use crate::code::{Class, Code, Severity};
use crate::digest::Digest;
use crate::frames::FrameFault;
use crate::layout::{REQUIRED_FEATURES, VERSION_MAJOR, VERSION_MINOR};
use crate::name::Escaped;

/// The part of the file in which a finding lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Region {
    /// The file as a whole, or what follows its end.
    File,
    /// The first 4096 bytes.
    SuperblockA,
    /// The last 4096 bytes.
    SuperblockB,
    /// The copy of the index behind superblock A.
    Index1,
    /// The copy of the index behind the payload.
    Index2,
    /// The digest table behind index 1.
    Digests1,
    /// The digest table behind index 2.
    Digests2,
    /// The first 4096 bytes of a chunk.
    Prologue,
    /// A chunk's stored bytes: tensors, text or bytes, frames, the tensor directory, and the padding between and behind.
    Content,
    /// The parity blocks.
    Parity,
    /// Zeros between an index or a digest table and the next region.
    Padding,
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "file",
            Self::SuperblockA => "superblock A",
            Self::SuperblockB => "superblock B",
            Self::Index1 => "index 1",
            Self::Index2 => "index 2",
            Self::Digests1 => "digest table 1",
            Self::Digests2 => "digest table 2",
            Self::Prologue => "prologue",
            Self::Content => "content",
            Self::Parity => "parity",
            Self::Padding => "padding",
        })
    }
}

/// Which digest did not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Digested {
    /// A superblock's own.
    Superblock,
    /// The root, over the superblock's facts.
    Root,
    /// A copy of the index.
    Index,
    /// A copy of the digest table.
    DigestTable,
    /// A chunk's, over the digests of its blocks.
    Chunk,
    /// A prologue's own.
    Prologue,
    /// A block's.
    Block,
}

/// Why a file is not a container that this module reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Foreign {
    /// A directory, a device, a pipe or a socket.
    NotRegularFile,
    /// Not one byte.
    Empty,
    /// It begins and ends with other bytes than a container does.
    Magic {
        /// The first bytes, zero where the file is shorter.
        found: [u8; 8],
    },
    /// A PyFolds container, version 1.
    Version1,
}

/// Why a signature does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SignatureProblem {
    /// There is none, and one was asked for.
    Missing,
    /// It is another key's.
    OtherKey {
        /// The key that the file records.
        signed_by: [u8; 32],
    },
    /// It is not a signature of the root by the key that the file records.
    Invalid,
}

/// What is wrong, as values.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// Not a container at all.
    NotContainer(Foreign),
    /// A major version that this reader does not know.
    NewerVersion {
        /// The file's major version.
        major: u16,
        /// The file's minor version.
        minor: u16,
    },
    /// Required feature bits that this reader does not implement.
    UnknownFeatures {
        /// Those bits alone.
        bits: u64,
    },
    /// A digest that does not match what it covers.
    Digest {
        /// Which one.
        of: Digested,
        /// As the file holds it.
        stored: Digest,
        /// As computed from the bytes that were read.
        computed: Digest,
    },
    /// The file is longer or shorter than its superblock says.
    Length {
        /// By the superblock, bytes.
        expected: u64,
        /// As it is, bytes.
        actual: u64,
    },
    /// An offset, length or count that leaves its region or overflows.
    OutOfBounds {
        /// The field's name, as in SPEC.md.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// An entry that begins before the one in front of it ends.
    Overlap {
        /// Where the entry in front ends.
        previous_end: u64,
        /// Where this one begins.
        begin: u64,
    },
    /// More than the reader's limits allow.
    OverLimit {
        /// The limit's name, a field of [`Limits`](crate::Limits).
        limit: &'static str,
        /// What the file asks for.
        value: u64,
        /// What is allowed.
        max: u64,
    },
    /// A name that another entry has.
    DuplicateName,
    /// A name that does not follow the one before it in the order of its bytes.
    Unsorted,
    /// A name that is empty, too long, not UTF-8 or has control characters, or text that is not UTF-8.
    InvalidText {
        /// The field's name, as in SPEC.md.
        field: &'static str,
    },
    /// A field with a value that the format does not allow.
    Field {
        /// The field's name, as in SPEC.md.
        field: &'static str,
        /// Its value.
        value: u64,
    },
    /// A field that contradicts the rest of the metadata.
    Contradiction {
        /// The field's name, as in SPEC.md.
        field: &'static str,
        /// Its value.
        value: u64,
        /// What the rest of the metadata makes of it.
        expected: u64,
    },
    /// A byte of padding that is not zero; the digests, where there are some, match.
    NonZeroPadding,
    /// Two copies of the metadata, each whole in itself, that are not the same.
    CopiesDiffer,
    /// A prologue that is not the one that the index describes.
    Prologue,
    /// A chunk's tensor directory that is not the one that the index describes.
    TensorDirectory,
    /// A frame of a compressed chunk that does not decode to what the index says, although its bytes match their digests.
    Frame {
        /// The frame's number in its chunk.
        frame: u64,
        /// What is wrong with it.
        fault: FrameFault,
    },
    /// The signature is not the one that is asked for.
    Signature(SignatureProblem),
    /// A lost block that was restored from parity for a read.
    ThroughParity,
    /// Bytes that the system did not deliver.
    Unreadable {
        /// The kind of the error.
        kind: io::ErrorKind,
        /// The system's number for it, where there is one.
        errno: Option<i32>,
    },
}

impl Cause {
    /// The stable code of this cause.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::NotContainer(_) => Code::NotContainer,
            Self::NewerVersion { .. } => Code::NewerVersion,
            Self::UnknownFeatures { .. } => Code::UnknownFeature,
            Self::Digest { of, .. } => match of {
                Digested::Superblock => Code::SuperblockDigest,
                Digested::Root => Code::RootDigest,
                Digested::Index | Digested::DigestTable => Code::IndexDigest,
                Digested::Chunk => Code::ChunkDigest,
                Digested::Prologue => Code::Prologue,
                Digested::Block => Code::BlockDigest,
            },
            Self::Length { .. } => Code::WrongLength,
            Self::OutOfBounds { .. } => Code::OutOfBounds,
            Self::Overlap { .. } => Code::Overlap,
            Self::OverLimit { .. } => Code::OverLimit,
            Self::DuplicateName => Code::DuplicateName,
            Self::Unsorted | Self::InvalidText { .. } | Self::Field { .. } | Self::Contradiction { .. } => {
                Code::Malformed
            }
            Self::NonZeroPadding => Code::NonZeroPadding,
            Self::CopiesDiffer => Code::CopiesDiffer,
            Self::Prologue => Code::Prologue,
            Self::TensorDirectory => Code::TensorDirectory,
            Self::Frame { .. } => Code::Decompression,
            Self::Signature(_) => Code::Signature,
            Self::ThroughParity => Code::ReadThroughParity,
            Self::Unreadable { .. } => Code::Io,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotContainer(Foreign::NotRegularFile) => f.write_str("not a regular file"),
            Self::NotContainer(Foreign::Empty) => f.write_str("an empty file"),
            Self::NotContainer(Foreign::Magic { found }) => {
                f.write_str("not a fold container, it begins with")?;
                found.iter().try_for_each(|byte| write!(f, " {byte:02x}"))
            }
            Self::NotContainer(Foreign::Version1) => f.write_str("a version 1 container, written by PyFolds"),
            Self::NewerVersion { major, minor } => {
                write!(
                    f,
                    "version {major}.{minor}, this reader knows {VERSION_MAJOR}.{VERSION_MINOR}"
                )
            }
            Self::UnknownFeatures { bits } => {
                f.write_str("the file requires")?;
                let mut separator = " ";
                for bit in (0..u64::BITS).filter(|bit| bits >> bit & 1 == 1) {
                    let name = REQUIRED_FEATURES.iter().find(|(known, _)| *known == bit);
                    match name {
                        Some((_, name)) => write!(f, "{separator}feature bit {bit} ({name})")?,
                        None => write!(f, "{separator}feature bit {bit}")?,
                    }
                    separator = ", ";
                }
                Ok(())
            }
            Self::Digest { stored, computed, .. } => write!(f, "stored {stored}, computed {computed}"),
            Self::Length { expected, actual } if actual < expected => {
                write!(
                    f,
                    "{} bytes missing: {actual} of {expected}",
                    expected.saturating_sub(*actual)
                )
            }
            Self::Length { expected, actual } => {
                write!(
                    f,
                    "{} bytes too many: {actual} instead of {expected}",
                    actual.saturating_sub(*expected)
                )
            }
            Self::OutOfBounds { field, value } => write!(f, "{field} = {value} leaves its region"),
            Self::Overlap { previous_end, begin } => {
                write!(f, "begins at {begin}, before its predecessor's end at {previous_end}")
            }
            Self::OverLimit { limit, value, max } => write!(f, "{value} exceeds the limit {limit} = {max}"),
            Self::DuplicateName => f.write_str("the name is used twice"),
            Self::Unsorted => f.write_str("the name is out of order"),
            Self::InvalidText { field } => write!(f, "{field} is not valid text"),
            Self::Field { field, value } => write!(f, "{field} = {value} is not allowed"),
            Self::Contradiction { field, value, expected } => write!(f, "{field} = {value}, must be {expected}"),
            Self::NonZeroPadding => f.write_str("padding is not zero"),
            Self::CopiesDiffer => f.write_str("differs from the other copy although both are whole"),
            Self::Prologue | Self::TensorDirectory => f.write_str("does not agree with the index"),
            Self::Signature(SignatureProblem::Missing) => f.write_str("the file is not signed"),
            Self::Signature(SignatureProblem::OtherKey { signed_by }) => {
                f.write_str("signed by another key: ")?;
                signed_by.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Self::Signature(SignatureProblem::Invalid) => {
                f.write_str("the signature is not one of this root by the recorded key")
            }
            Self::ThroughParity => f.write_str("lost, restored from parity for this read"),
            Self::Frame { frame, fault } => write!(f, "frame {frame}: {fault}"),
            Self::Unreadable {
                kind,
                errno: Some(errno),
            } => write!(f, "cannot be read: {kind} (errno {errno})"),
            Self::Unreadable { kind, errno: None } => write!(f, "cannot be read: {kind}"),
        }
    }
}

/// One thing that is wrong with a file, located.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// The file, where it was opened by its path.
    pub path: Option<Box<Path>>,
    /// What is wrong.
    pub cause: Cause,
    /// In which part of the file.
    pub region: Region,
    /// The chunk concerned, where one is.
    pub chunk: Option<Box<str>>,
    /// The first tensor concerned, where one is.
    pub tensor: Option<Box<str>>,
    /// How many further tensors share the damaged bytes' block.
    pub more_tensors: u64,
    /// The block concerned, counted over the whole file, where it is content that is damaged.
    pub block: Option<u64>,
    /// File offsets, half-open: covers everything that may be damaged, as narrowly as the digests allow.
    pub byte_range: Range<u64>,
    /// Whether the file itself holds what is needed to restore these bytes exactly (the mirror, the index).
    pub repairable: bool,
}

impl Finding {
    pub(crate) fn new(cause: Cause, region: Region, byte_range: Range<u64>) -> Self {
        Self {
            path: None,
            cause,
            region,
            chunk: None,
            tensor: None,
            more_tensors: 0,
            block: None,
            byte_range,
            repairable: false,
        }
    }

    pub(crate) fn chunk(mut self, name: &str) -> Self {
        self.chunk = Some(name.into());
        self
    }

    pub(crate) fn tensor(mut self, name: &str) -> Self {
        self.tensor = Some(name.into());
        self
    }

    pub(crate) fn block(mut self, number: u64) -> Self {
        self.block = Some(number);
        self
    }

    pub(crate) fn repairable(mut self, repairable: bool) -> Self {
        self.repairable = repairable;
        self
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.cause.code()
    }

    /// How bad it is.
    #[must_use]
    pub const fn severity(&self) -> Severity {
        self.code().severity()
    }

    /// Whose move it is.
    #[must_use]
    pub const fn class(&self) -> Class {
        self.code().class()
    }
}

/// `FOLD-E0301 damaged: tensor `layer0.weights`, block 17, bytes 81920..86016: stored ..., computed ...`
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", self.code(), self.class())?;
        if let Some(path) = &self.path {
            write!(f, "{}, ", Escaped(&path.to_string_lossy()))?;
        }
        match (&self.tensor, &self.chunk) {
            (Some(tensor), _) => write!(f, "tensor {}", Escaped(tensor))?,
            (None, Some(chunk)) => write!(f, "chunk {}", Escaped(chunk))?,
            (None, None) => write!(f, "{}", self.region)?,
        }
        if self.more_tensors > 0 {
            write!(f, " and {} more", self.more_tensors)?;
        }
        if self.chunk.is_some() && !matches!(self.region, Region::Content) {
            write!(f, ", {}", self.region)?;
        }
        if let Some(block) = self.block {
            write!(f, ", block {block}")?;
        }
        write!(
            f,
            ", bytes {}..{}: {}",
            self.byte_range.start, self.byte_range.end, self.cause
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_reads_like_the_style_guide() {
        let finding = Finding::new(
            Cause::Digest {
                of: Digested::Block,
                stored: Digest::from_entry(&1_u64.to_le_bytes()),
                computed: Digest::from_entry(&2_u64.to_le_bytes()),
            },
            Region::Content,
            81920..86016,
        )
        .chunk("state")
        .tensor("layer0.weights\n")
        .block(17);
        let named = Finding {
            path: Some(Path::new("run/a.fold").into()),
            ..finding.clone()
        };
        assert!(
            named
                .to_string()
                .starts_with("FOLD-E0301 damaged: `run/a.fold`, tensor `layer0.weights\\n`, block 17, ")
        );
        assert_eq!(
            finding.to_string(),
            "FOLD-E0301 damaged: tensor `layer0.weights\\n`, block 17, bytes 81920..86016: \
             stored 0100000000000000, computed 0200000000000000"
        );
    }

    #[test]
    fn unknown_features_are_named() {
        let cause = Cause::UnknownFeatures { bits: 0b10 | 1 << 40 };
        assert_eq!(
            cause.to_string(),
            "the file requires feature bit 1 (parity), feature bit 40"
        );
    }

    #[test]
    fn metadata_names_its_region() {
        let finding = Finding::new(Cause::NonZeroPadding, Region::Padding, 5000..5001);
        assert_eq!(
            finding.to_string(),
            "FOLD-E0208 damaged: padding, bytes 5000..5001: padding is not zero"
        );
        let finding = Finding::new(Cause::Prologue, Region::Prologue, 1..2).chunk("history");
        assert_eq!(
            finding.to_string(),
            "FOLD-E0210 damaged: chunk `history`, prologue, bytes 1..2: does not agree with the index"
        );
    }
}
