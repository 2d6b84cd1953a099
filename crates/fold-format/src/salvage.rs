//! Taking what is intact out of a file that is beyond repair.
//!
//! Every tensor, text or byte string that is handed out matched its digests; what did not is named with what is wrong.
//! Where the metadata are lost, chunks are found by their prologues (`carve`).
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::ops::ControlFlow;

use crate::carve::{Carved, carve};
use crate::checkpoint::Checkpoint;
use crate::directory::{Directory, OpenMode};
use crate::error::{Error, IoFault, Operation};
use crate::finding::{Cause, Finding, Region};
use crate::info::ChunkKind;
use crate::limits::Limits;
use crate::source::ReadAt;
use crate::tensor::Tensor;

/// One intact thing.
#[derive(Debug)]
#[non_exhaustive]
pub enum Salvaged<'a> {
    /// A tensor.
    Tensor {
        /// Its name.
        name: &'a str,
        /// The chunk that holds it.
        chunk: &'a str,
        /// Its bytes, dtype and shape.
        tensor: &'a Tensor,
    },
    /// A chunk of text or bytes; or the stored bytes of a tensor chunk whose tensors cannot be told any more.
    Chunk {
        /// Its name.
        name: &'a str,
        /// What it holds.
        kind: ChunkKind,
        /// Its content.
        bytes: &'a [u8],
    },
}

/// Something that is lost, and why.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Lost {
    /// The name of the tensor or chunk.
    pub name: Box<str>,
    /// What is wrong with it.
    pub finding: Finding,
}

/// What a salvage took out and what it could not.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Salvage {
    /// Whether the metadata are lost, so that chunks were looked for. What is not listed may then have been there too.
    pub carved: bool,
    /// Names of the tensors handed out, in the order of the file.
    pub tensors_saved: Vec<Box<str>>,
    /// Tensors that are damaged.
    pub tensors_lost: Vec<Lost>,
    /// Names of the chunks of text or bytes handed out.
    pub chunks_saved: Vec<Box<str>>,
    /// Chunks of which nothing, or not all, can be told.
    pub chunks_lost: Vec<Lost>,
    /// What is wrong with the metadata.
    pub findings: Vec<Finding>,
}

impl Salvage {
    /// Whether everything that the file is known to have held was handed out.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        !self.carved && self.tensors_lost.is_empty() && self.chunks_lost.is_empty()
    }
}

/// Hands every intact tensor and chunk of a file to `take`, one at a time; through parity where a read needs it.
///
/// Any bytes may be given. Memory: the metadata and one tensor.
///
/// - `stop`: asked before every tensor and chunk, and at every page that is searched for chunks; `Break` ends the work.
///
/// ```
/// use std::ops::ControlFlow;
///
/// use fold_format::{Content, Disk, Durability, Error, Limits, SaveOptions, Salvaged, TensorSource};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("layer.fold");
/// # let content = Content::new().tensors("state", [TensorSource::of("theta", &[3], &[0.5_f32, -1.0, 2.0])?]);
/// # fold_format::save(&Disk, &path, &content, &SaveOptions::new(Durability::None))?;
/// let mut bytes = std::fs::read(&path)?;
/// // Both superblocks are lost: the file cannot be opened, nor repaired.
/// let end = bytes.len() - 4096;
/// bytes[..4096].fill(0xa5);
/// bytes[end..].fill(0xa5);
///
/// let mut tensors = Vec::new();
/// let going_on = || ControlFlow::Continue(());
/// let salvage = fold_format::salvage(&bytes, &Limits::DEFAULT, &going_on, &mut |item| {
///     if let Salvaged::Tensor { name, tensor, .. } = item {
///         tensors.push((name.to_owned(), tensor.as_slice::<f32>()?.to_vec()));
///     }
///     Ok::<(), Error>(())
/// })?;
/// assert_eq!(tensors, [("theta".to_owned(), vec![0.5, -1.0, 2.0])]);
/// assert!(salvage.carved && salvage.tensors_lost.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// The source's length cannot be had, there is no memory, it is a container of a newer version or none at all (nothing
/// to carve either); [`Error::Cancelled`] where `stop` broke off; what `take` fails with.
pub fn salvage<S: ReadAt + ?Sized, E: From<Error>>(
    source: &S,
    limits: &Limits,
    stop: &dyn Fn() -> ControlFlow<()>,
    take: &mut dyn FnMut(Salvaged<'_>) -> Result<(), E>,
) -> Result<Salvage, E> {
    let mut salvage = Salvage::default();
    let stopped = match Directory::open(source, None, limits, OpenMode::Degraded) {
        Ok((directory, findings)) => {
            salvage.findings = findings;
            match directory.check_tensors() {
                Ok(()) => {
                    let checkpoint = Checkpoint::of(source, directory);
                    drain(&checkpoint, &mut salvage, stop, take)?;
                    return Ok(salvage);
                }
                Err(finding) => *finding,
            }
        }
        Err(Error::Finding(finding)) => *finding,
        Err(error) => return Err(error.into()),
    };
    if matches!(
        stopped.cause,
        Cause::NewerVersion { .. } | Cause::UnknownFeatures { .. }
    ) {
        return Err(Error::from(stopped).into());
    }
    salvage.carved = true;
    let source_len = source
        .len()
        .map_err(|error| Error::from(IoFault::new(Operation::Metadata, None, error)))?;
    let mut any = false;
    carve::<S, E>(source, source_len, limits, stop, &mut |carved| {
        any = true;
        drain_carved(carved, &mut salvage, stop, take)
    })?;
    if !any && matches!(stopped.cause, Cause::NotContainer(_)) {
        return Err(Error::from(stopped).into());
    }
    salvage.findings.push(stopped);
    Ok(salvage)
}

fn drain_carved<S: ReadAt + ?Sized, E: From<Error>>(
    carved: Carved<'_, S>,
    salvage: &mut Salvage,
    stop: &dyn Fn() -> ControlFlow<()>,
    take: &mut dyn FnMut(Salvaged<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let Carved {
        name,
        kind,
        checkpoint,
        named,
    } = carved;
    let lost = |finding| Lost {
        name: name.as_str().into(),
        finding,
    };
    match checkpoint {
        Err(finding) => {
            salvage.chunks_lost.push(lost(*finding));
            Ok(())
        }
        Ok(checkpoint) => {
            if kind == ChunkKind::Tensors && !named {
                let finding = Finding::new(Cause::TensorDirectory, Region::Content, 0..0).chunk(&name);
                salvage.chunks_lost.push(lost(finding));
            }
            drain(&checkpoint, salvage, stop, take)
        }
    }
}

/// Hands out what is intact of an open file.
fn drain<S: ReadAt, E: From<Error>>(
    checkpoint: &Checkpoint<S>,
    salvage: &mut Salvage,
    stop: &dyn Fn() -> ControlFlow<()>,
    take: &mut dyn FnMut(Salvaged<'_>) -> Result<(), E>,
) -> Result<(), E> {
    for tensor in checkpoint.tensors()? {
        go_on(stop)?;
        match checkpoint.tensor(tensor.name) {
            Ok(whole) => {
                take(Salvaged::Tensor {
                    name: tensor.name,
                    chunk: tensor.chunk,
                    tensor: &whole,
                })?;
                salvage.tensors_saved.push(tensor.name.into());
            }
            Err(Error::Finding(finding)) => salvage.tensors_lost.push(Lost {
                name: tensor.name.into(),
                finding: *finding,
            }),
            Err(error) => return Err(error.into()),
        }
    }
    for chunk in checkpoint.chunks().filter(|chunk| chunk.kind != ChunkKind::Tensors) {
        go_on(stop)?;
        match checkpoint.chunk(chunk.name) {
            Ok(bytes) => {
                take(Salvaged::Chunk {
                    name: chunk.name,
                    kind: chunk.kind,
                    bytes: &bytes,
                })?;
                salvage.chunks_saved.push(chunk.name.into());
            }
            Err(Error::Finding(finding)) => salvage.chunks_lost.push(Lost {
                name: chunk.name.into(),
                finding: *finding,
            }),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Asks whether to go on.
pub(crate) fn go_on(stop: &dyn Fn() -> ControlFlow<()>) -> Result<(), Error> {
    match stop() {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Cancelled),
    }
}
