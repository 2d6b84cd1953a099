//! Version 1 of the container: the files of PyFolds, read for ever.
//!
//! A header, chunks one after the other, a JSON index at the end. Every dialect that PyFolds 1.0 and its 2.x head wrote is
//! read; each property of a file is decided by what the file has, not by a version. Where the reader of PyFolds is lax
//! this one is strict, and where it fails over its own files (parity before digests) this one reads them.
//!
//! ```no_run
//! use fold_format::{Depth, Limits, VerifyOptions, v1};
//!
//! let report = v1::verify("neuron.fold", Depth::All, &v1::Keys::new(), VerifyOptions::new())?;
//! println!("{}: {} findings", report.verdict, report.findings_total);
//! let file = v1::File::open("neuron.fold", v1::Keys::new(), Limits::DEFAULT)?;
//! let payload = file.payload("torch_state")?;
//! let state = v1::torch::read(&payload)?;
//! println!("{} tensors", state.tensors.len());
//! # Ok::<(), fold_format::Error>(())
//! ```

mod chunk;
mod content;
mod digest;
mod fault;
mod file;
mod frame;
mod index;
mod keys;
mod layout;
mod parity;
mod repair;
mod rs;
pub mod torch;
mod trust;
mod verify;
mod write;

pub use chunk::{Payload, Standing};
pub use content::{Content, Located};
pub use fault::{Finding, Kind};
pub use file::{Dialect, File, Info, is_version_1};
pub use index::Entry;
pub use keys::Keys;
pub use layout::{DRAFT_MAGIC, MAGIC};
pub use repair::{Repair, repair};
pub use verify::{ChunkReport, Report, verify, verify_source};
pub use write::{Chunk, Compression, Protection, Version1, write};
