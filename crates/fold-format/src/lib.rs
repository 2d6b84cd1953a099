//! Bytes to verified tensors: the fold checkpoint container, version 2.
//!
//! A file holds chunks of tensors, JSON text or bytes. Every byte of it is covered by a digest or must be zero; damage
//! is noticed and located (chunk, tensor, block, byte range). A raw tensor is a slice of the file. Saving is atomic.
//! The bytes are specified in `docs/format/SPEC.md`.
//!
//! ```
//! use fold_format::{Checkpoint, Content, Depth, Disk, Durability, SaveOptions, TensorSource, Verdict, VerifyOptions};
//!
//! # let dir = tempfile::tempdir()?;
//! # let path = dir.path().join("layer.fold");
//! let theta = [0.5_f32, -1.0, 2.0];
//! let content = Content::new()
//!     .metadata(r#"{"epoch": 3}"#)
//!     .tensors("state", [TensorSource::of("layer0.theta", &[3], &theta)?]);
//! fold_format::save(&Disk, &path, &content, &SaveOptions::new(Durability::Full))?;
//!
//! let checkpoint = Checkpoint::open(&path)?;
//! assert_eq!(checkpoint.tensor("layer0.theta")?.as_slice::<f32>()?, theta);
//! let report = fold_format::verify(&path, Depth::All, VerifyOptions::new())?;
//! assert_eq!(report.verdict, Verdict::Ok);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What this crate does not do: it knows no numerics and does not decide what a tensor means, it sets no logging policy
//! and prints nothing, and it never changes a committed file in place.

#[cfg(target_endian = "big")]
compile_error!("typed views are slices of the file, which is little-endian: big-endian targets are not supported");

mod archive;
mod atomic;
mod carve;
mod checkpoint;
mod code;
mod content;
mod copies;
mod digest;
mod directory;
mod dtype;
mod error;
mod finding;
mod frames;
mod geometry;
mod index;
mod info;
pub mod interchange;
pub mod json;
pub mod layout;
mod limits;
mod mapping;
mod memory;
mod name;
mod options;
pub mod parity;
mod partial;
mod plan;
mod prologue;
mod read;
mod repair;
mod report;
mod residents;
mod restore;
mod salvage;
mod save;
pub mod seal;
mod shuffle;
mod sign;
mod source;
mod span;
pub mod storage;
mod superblock;
mod task;
mod tensor;
mod tensor_records;
pub mod v1;
mod verify;
mod wire;
mod write;

pub use atomic::{is_temporary_name, temporary_prefix};
pub use checkpoint::{Checkpoint, OpenOptions};
pub use code::{Class, Code, Severity};
pub use content::{Content, TensorSource};
pub use digest::Digest;
pub use directory::OpenMode;
pub use dtype::{Dtype, Element, Shape};
pub use error::{Error, IoFault, Misuse, Operation};
pub use finding::{Cause, Digested, Finding, Foreign, Region, SignatureProblem};
pub use frames::FrameFault;
pub use info::{ChunkInfo, ChunkKind, DigestKind, Encoding, Info, Parity, TensorInfo};
pub use limits::Limits;
pub use mapping::Mapping;
pub use name::Escaped;
pub use options::{Durability, Existing, SaveOptions};
pub use repair::{Repair, plan_repair, repair};
pub use report::{Depth, Progress, Report, Verdict, VerifyOptions};
pub use salvage::{Lost, Salvage, Salvaged, salvage};
pub use save::{Saved, save};
pub use sign::{Signed, sign};
pub use source::ReadAt;
pub use span::Span;
pub use storage::Disk;
pub use tensor::{Tensor, TensorView};
pub use verify::{verify, verify_source};
