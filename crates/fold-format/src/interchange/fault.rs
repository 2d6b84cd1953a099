//! What is wrong with the bytes of another program's format.

use crate::code::Code;
use crate::dtype::Dtype;
use crate::json;
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
    /// A member of a zip archive that may be sound, and is of a kind that is not read.
    #[error("member {}: {what}", Escaped(.member))]
    MemberKind {
        /// Its name.
        member: Box<str>,
        /// What it is.
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
    /// As [`Fault::NpyDtype`], of an array in an archive.
    #[error("array {} has dtype {}, which is not supported", Escaped(.array), Escaped(.descr))]
    NpzDtype {
        /// The array's name.
        array: Box<str>,
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
    /// A pickle that names what this reader does not know. It was not looked up, let alone called.
    #[error("the pickle asks for {}, which is not one of the few names that are read", Escaped(&format!("{module}.{name}")))]
    ForbiddenGlobal {
        /// The module.
        module: Box<str>,
        /// The name in it.
        name: Box<str>,
    },
    /// A pickle instruction that tensors do not need.
    #[error("the pickle has instruction 0x{opcode:02x} at byte {offset}, which tensors do not need")]
    PickleOpcode {
        /// The instruction.
        opcode: u8,
        /// Where it is.
        offset: usize,
    },
    /// A pickle of another protocol than 2.
    #[error("the pickle does not begin as protocol 2")]
    PickleProtocol,
    /// A call that builds no tensor, storage or empty ordered dict.
    #[error("the pickle calls what it may name in a way that builds no tensor")]
    PickleCall,
    /// Attributes for something that gets none.
    #[error("the pickle sets attributes other than a state_dict's _metadata")]
    PickleBuild,
    /// A memory slot that nothing was put into.
    #[error("the pickle reads the memory slot {slot}, into which nothing was put")]
    PickleMemo {
        /// Its number.
        slot: u32,
    },
    /// A pickle that ends early, or takes from an empty stack.
    #[error("the pickle is cut off or takes what is not there, at byte {offset}")]
    PickleTruncated {
        /// Where.
        offset: usize,
    },
    /// A tensor's storage that is not in the archive.
    #[error("storage {} is not in the archive", Escaped(.key))]
    StorageMissing {
        /// Its key.
        key: Box<str>,
    },
    /// A storage with another length than the tensor says.
    #[error("storage {} has {actual} bytes, the tensor says {expected:?}", Escaped(.key))]
    StorageSize {
        /// Its key.
        key: Box<str>,
        /// Bytes by the pickle; none where they overflow.
        expected: Option<u64>,
        /// Bytes in the archive.
        actual: u64,
    },
    /// A tensor that reaches out of its storage.
    #[error("tensor {} reaches out of its storage", Escaped(.tensor))]
    TensorBounds {
        /// Its name.
        tensor: Box<str>,
    },
    /// An archive of torch that is no saved state.
    #[error("not a saved state of torch: {what}")]
    TorchLayout {
        /// What is missing or too much.
        what: &'static str,
    },
    /// A dtype that torch's storages do not have.
    #[error("tensor {} has dtype {dtype}, for which torch has no storage", Escaped(.tensor))]
    TorchDtype {
        /// The tensor's name.
        tensor: Box<str>,
        /// Its dtype.
        dtype: Dtype,
    },
    /// A JSON chunk that is not JSON.
    #[error(transparent)]
    Json(json::Fault),
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
    /// What the system did not deliver, memory too. It says nothing of the bytes.
    #[error("the system did not deliver: {kind}")]
    Unreadable {
        /// What it said.
        kind: std::io::ErrorKind,
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
            Self::Unreadable { .. } => Code::Io,
            Self::TorchDtype { .. }
            | Self::NpyDtype { .. }
            | Self::NpzDtype { .. }
            | Self::SafetensorsDtype { .. }
            | Self::MemberKind { .. }
            | Self::Rank { .. } => Code::ForeignContent,
            Self::ForbiddenGlobal { .. }
            | Self::PickleOpcode { .. }
            | Self::PickleProtocol
            | Self::PickleCall
            | Self::PickleBuild => Code::ForbiddenPickle,
            Self::PickleMemo { .. }
            | Self::PickleTruncated { .. }
            | Self::StorageMissing { .. }
            | Self::StorageSize { .. }
            | Self::TensorBounds { .. }
            | Self::TorchLayout { .. }
            | Self::Json(_)
            | Self::Zip { .. }
            | Self::Member { .. }
            | Self::NpyHeader { .. }
            | Self::SafetensorsTruncated { .. }
            | Self::SafetensorsHeader { .. }
            | Self::SafetensorsBounds { .. } => Code::BrokenContent,
        }
    }

    /// The kind's name in the description of version 1, for example `pickle_forbidden_global`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Zip { .. } => "bad_zip",
            Self::Member { .. } | Self::MemberKind { .. } | Self::NpyHeader { .. } => "npz_member",
            Self::NpyDtype { .. } | Self::NpzDtype { .. } => "npz_dtype",
            Self::SafetensorsTruncated { .. } => "sten_truncated",
            Self::SafetensorsHeader { .. } => "sten_header",
            Self::SafetensorsBounds { .. } => "sten_bounds",
            Self::SafetensorsDtype { .. } => "sten_dtype",
            Self::ForbiddenGlobal { .. } => "pickle_forbidden_global",
            Self::PickleOpcode { .. } => "pickle_opcode",
            Self::PickleProtocol => "pickle_protocol",
            Self::PickleCall => "pickle_reduce",
            Self::PickleBuild => "pickle_build",
            Self::PickleMemo { .. } => "pickle_memo",
            Self::PickleTruncated { .. } => "pickle_truncated",
            Self::StorageMissing { .. } => "storage_missing",
            Self::StorageSize { .. } => "storage_size",
            Self::TensorBounds { .. } => "tensor_bounds",
            Self::TorchLayout { .. } => "tsav_layout",
            Self::TorchDtype { .. } => "tsav_dtype",
            Self::Json(_) => "bad_json",
            Self::OverLimit { .. } => "over_limit",
            Self::Unreadable { .. } => "unreadable",
            Self::Rank { .. } => "rank",
        }
    }

    /// Why a writer of this module refused what it was given.
    #[must_use]
    pub fn from_write(error: &std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::InvalidInput => Self::SafetensorsHeader {
                what: "a name is there twice, or bytes do not fit dtype and shape",
            },
            _ => Self::Zip {
                what: "it cannot be written",
            },
        }
    }

    pub(crate) const fn out_of_memory() -> Self {
        Self::Unreadable {
            kind: std::io::ErrorKind::OutOfMemory,
        }
    }

    pub(crate) fn over(limit: &'static str, value: u64, max: u64) -> Self {
        Self::OverLimit { limit, value, max }
    }
}
