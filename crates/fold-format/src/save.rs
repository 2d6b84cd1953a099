//! Saving content: planned, streamed, and under its name at once.
//!
//! How a file gets its name is in `atomic`. Retention, locking and cleaning up after killed processes are the store's
//! business.

use std::io;
use std::path::Path;

use crate::atomic::{Failure, write_atomically};
use crate::content::Content;
use crate::digest::Digest;
use crate::error::{Error, Operation};
use crate::options::SaveOptions;
use crate::plan::Plan;
use crate::storage::{Storage, StorageFile};
use crate::write::{Written, write_plan};

/// What a save has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Saved {
    /// Bytes of the file.
    pub bytes: u64,
    /// The root digest: it stands for the whole content, the uuid and the time.
    pub root: Digest,
    /// Blocks of content.
    pub blocks: u64,
}

/// Saves `content` under `path`: into a temporary file in the same directory, flushed, renamed, the directory flushed.
///
/// When it returns `Ok` under [`Durability::Full`](crate::Durability::Full), the file survives a power cut. Until then a
/// file that had the name before is still there, whole; should the machine stop meanwhile, the name leads to the old file
/// or to the new one. A symbolic link that has the name is replaced itself, what it leads to is not touched.
/// A temporary file of a killed process is recognised by [`is_temporary_name`](crate::is_temporary_name).
///
/// Bytes are read from the caller's slices while they are written. Beside the index, a copy of every tensor record and the
/// digests, two buffers of 4 MiB are allocated; for a compressed chunk, the frames of 8 MiB of content; for parity, the
/// code's tables of 8.5 MiB and less than 7 MiB, with the parity itself where that is not more than 32 MiB, or 64 MiB where
/// a chunk is compressed or not in memory or the content is more than 1 GiB. Hashing, compression and parity run on rayon's
/// current pool.
///
/// # Errors
/// - [`Misuse`](crate::Misuse): the content breaks a rule of the format, the target exists and was not to be replaced, or
///   `path` has no file name. Nothing was written.
/// - [`IoFault`](crate::IoFault) with operation, target and the system's answer. The temporary file was removed, or is
///   named as `leftover`. Up to [`Operation::Rename`] the old file is untouched; after a failed
///   [`Operation::SyncDirectory`] the new one has its name but may lose it in a power cut.
pub fn save<S: Storage>(
    storage: &S,
    path: impl AsRef<Path>,
    content: &Content<'_>,
    options: &SaveOptions,
) -> Result<Saved, Error> {
    let (path, plan) = (path.as_ref(), Plan::new(content, options)?);
    let written = write_atomically(storage, path, options.existing, options.durability, None, |file| {
        let most = plan.most.file_len();
        let prepared = match file.reserve(most) {
            // A compressed file comes out shorter, and may find the room that it then takes.
            Err(error) if plan.is_compressed() && is_full(&error) => file.set_len(most),
            prepared => prepared,
        };
        prepared.map_err(|error| Failure::Io(Operation::SetLength, error))?;
        write_plan(&plan, options, file).map_err(|error| Failure::Io(Operation::Write, error))
    });
    // A source that is too short is not the target's fault.
    let written = written.map_err(|error| plan.misfit().map_or(error, Into::into))?;
    let Written { root, file_len, blocks } = written;
    log::debug!("saved {file_len} bytes, {blocks} blocks, root {root}");
    Ok(Saved {
        bytes: file_len,
        root,
        blocks,
    })
}

fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}
