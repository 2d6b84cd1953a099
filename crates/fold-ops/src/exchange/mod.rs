//! Files of other formats in and out: conversion, comparison, extraction.
//!
//! Whatever is read was verified in full first: a converter that reads damage writes it down as if it were good. What a
//! target cannot hold is refused, or named when its loss is allowed. A written file is read back before it gets its name.
//!
//! Little of a file's content is in memory at a time: tensors are described, and read where they lie, window by window.

mod convert;
mod diff;
mod document;
mod envelope;
mod extract;
mod neurons;
mod spool;
mod tensor;
mod version_1;
mod version_2;

pub use convert::{ConvertOptions, ConvertReport, Loss, Lossy, Target, convert};
pub(crate) use diff::number;
pub use diff::{Changed, DiffReport, MetadataDiff, TensorsDiff, Tolerance, diff};
pub(crate) use document::read_fault;
pub use extract::{ExtractReport, Wanted, extract};
/// The containers' types that [`ConvertOptions`] needs.
pub use fold_format::{
    DigestKind, Durability, Encoding as StoredAs, SaveOptions,
    parity::Level as ParityLevel,
    v1::{Compression, Protection},
};
pub use neurons::{Mapped, StateForm, StateReport};
pub(crate) use version_1::Naming;

/// The bytes of a tensor could not be read where they lie.
fn unread(error: std::io::Error) -> crate::Error {
    crate::Error::Format(fold_format::IoFault::new(fold_format::Operation::Read, None, error).into())
}
