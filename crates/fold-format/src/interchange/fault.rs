//! What is wrong with the bytes of another program's format.

use crate::code::Code;
use crate::name::Escaped;

/// Why bytes cannot be read as the format they are said to be in. Nothing in them was executed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Not a zip archive, or one whose directory, member or checksum is damaged.
    #[error("not a sound zip archive: {what}")]
    Zip {
        /// What is wrong.
        what: &'static str,
    },
    /// A member of a zip archive that is not what it must be.
    #[error("member {}: {what}", Escaped(.member))]
    Member {
        /// Its name.
        member: Box<str>,
        /// What is wrong.
        what: &'static str,
    },
    /// A npy header that breaks its format.
    #[error("npy: {what}")]
    NpyHeader {
        /// What is wrong.
        what: &'static str,
    },
    /// A npy dtype that has no counterpart here; object arrays (pickles) among them.
    #[error("npy: dtype {} is not supported", Escaped(.descr))]
    NpyDtype {
        /// As the header says it.
        descr: Box<str>,
    },
    /// A safetensors file that ends before its header.
    #[error("safetensors: {len} bytes, the header's length needs 8")]
    SafetensorsTruncated {
        /// Bytes there are.
        len: u64,
    },
    /// A safetensors header that is too long, not JSON, or has a name twice.
    #[error("safetensors: {what}")]
    SafetensorsHeader {
        /// What is wrong.
        what: &'static str,
    },
    /// A tensor whose bytes overlap others, leave a hole or the file, or are not as many as its shape says.
    #[error("safetensors: tensor {} does not lie where it must", Escaped(.tensor))]
    SafetensorsBounds {
        /// Its name.
        tensor: Box<str>,
    },
    /// A dtype that has no counterpart here.
    #[error("safetensors: tensor {} has dtype {}, which is not supported", Escaped(.tensor), Escaped(.dtype))]
    SafetensorsDtype {
        /// The tensor's name.
        tensor: Box<str>,
        /// As the header says it.
        dtype: Box<str>,
    },
    /// More than the reader's limits allow.
    #[error("{value} exceeds the limit {limit} = {max}")]
    OverLimit {
        /// What is limited.
        limit: &'static str,
        /// What the bytes ask for.
        value: u64,
        /// What is allowed.
        max: u64,
    },
    /// An array of more than eight dimensions.
    #[error("array {} has {rank} dimensions, 8 are supported", Escaped(.name))]
    Rank {
        /// Its name.
        name: Box<str>,
        /// Its dimensions.
        rank: usize,
    },
}

impl Fault {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::OverLimit { .. } => Code::OverLimit,
            Self::NpyDtype { .. } | Self::SafetensorsDtype { .. } | Self::Rank { .. } => Code::ForeignContent,
            Self::Zip { .. }
            | Self::Member { .. }
            | Self::NpyHeader { .. }
            | Self::SafetensorsTruncated { .. }
            | Self::SafetensorsHeader { .. }
            | Self::SafetensorsBounds { .. } => Code::BrokenContent,
        }
    }

    pub(crate) fn over(limit: &'static str, value: u64, max: u64) -> Self {
        Self::OverLimit { limit, value, max }
    }
}
