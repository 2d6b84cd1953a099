//! Saving, atomically: a new file is whole under its name, or the old one still is.
//!
//! Temporary file in the target's directory, all bytes, flush, close, rename, flush of the directory. The first failing
//! flush or close abandons the temporary file: after one, what the medium holds is unknown, and a second flush that
//! succeeds would prove nothing. Retention, locking and cleaning up after killed processes are the store's business.

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::content::Content;
use crate::digest::Digest;
use crate::error::{Error, IoFault, Misuse, Operation};
use crate::layout::BLOCK_LOG2_DEFAULT;
use crate::plan::Plan;
use crate::storage::{Storage, StorageFile};
use crate::write::{Identity, write_plan};

/// What must have happened when a save returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// The file and its name are on the medium: they survive a power cut.
    Full,
    /// The file is whole under its name for every process, but nothing is flushed: a power cut may lose or tear it.
    None,
}

/// What to do with a file that has the target's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Existing {
    /// Leave it and fail.
    Refuse,
    /// Put the new file in its place, at once.
    Replace,
}

/// How to save. `uuid` and `created_unix_ns` are inputs: the same content and options give the same bytes.
#[derive(Clone, Debug)]
#[must_use]
pub struct SaveOptions {
    pub(crate) durability: Durability,
    pub(crate) existing: Existing,
    pub(crate) uuid: [u8; 16],
    pub(crate) created_unix_ns: u64,
    pub(crate) block_log2: u8,
}

impl SaveOptions {
    /// Refuses an existing target; no uuid, no time, blocks of 64 KiB.
    pub const fn new(durability: Durability) -> Self {
        Self {
            durability,
            existing: Existing::Refuse,
            uuid: [0; 16],
            created_unix_ns: 0,
            block_log2: BLOCK_LOG2_DEFAULT,
        }
    }

    /// What to do with a file that has the target's name.
    pub const fn existing(mut self, existing: Existing) -> Self {
        self.existing = existing;
        self
    }

    /// The file's uuid; it enters every digest. All zero: none.
    pub const fn uuid(mut self, uuid: [u8; 16]) -> Self {
        self.uuid = uuid;
        self
    }

    /// Nanoseconds since 1970-01-01 UTC; 0: not stated.
    pub const fn created_unix_ns(mut self, created_unix_ns: u64) -> Self {
        self.created_unix_ns = created_unix_ns;
        self
    }

    /// Block size as a power of two, 12 to 20. Smaller blocks locate damage more narrowly and cost more digests.
    pub const fn block_log2(mut self, block_log2: u8) -> Self {
        self.block_log2 = block_log2;
        self
    }
}

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

/// What a temporary file's name begins with.
const TEMPORARY_PREFIX: &str = ".fold-tmp-";

/// How many taken names are passed over before creating the temporary file fails.
const NAME_TRIES: u32 = 100;

/// Saves `content` under `path`: into a temporary file in the same directory, flushed, renamed, the directory flushed.
///
/// When it returns `Ok` under [`Durability::Full`], the file survives a power cut. Until then a file that had the name
/// before is still there, whole; should the machine stop meanwhile, the name leads to the old file or to the new one.
/// A symbolic link that has the name is replaced itself, what it leads to is not touched.
/// A temporary file of a killed process is recognised by [`is_temporary_name`].
///
/// Bytes are read from the caller's slices while they are written; beside the index and 8 bytes per block no more than
/// two buffers of 4 MiB are allocated. Hashing runs on rayon's global pool.
///
/// # Errors
/// - [`Misuse`]: the content breaks a rule of the format, the target exists and was not to be replaced, or `path` has no
///   file name. Nothing was written.
/// - [`IoFault`] with operation, target and the system's answer. The temporary file was removed, or is named as
///   `leftover`. Up to [`Operation::Rename`] the old file is untouched; after a failed
///   [`Operation::SyncDirectory`] the new one has its name but may lose it in a power cut.
pub fn save<S: Storage>(
    storage: &S,
    path: &Path,
    content: &Content<'_>,
    options: &SaveOptions,
) -> Result<Saved, Error> {
    let plan = Plan::new(content, options.block_log2)?;
    if path.file_name().is_none() {
        return Err(Misuse::NoFileName { path: path.into() }.into());
    }
    let dir = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let fault = |operation, source| IoFault::new(operation, Some(path.into()), source);
    let exists = || Error::from(Misuse::TargetExists { path: path.into() });
    if options.existing == Existing::Refuse
        && storage
            .exists(path)
            .map_err(|source| fault(Operation::Metadata, source))?
    {
        return Err(exists());
    }

    let (temporary, file) = create_temporary(storage, dir).map_err(|source| fault(Operation::Create, source))?;
    let identity = Identity {
        uuid: options.uuid,
        created_unix_ns: options.created_unix_ns,
        block_log2: options.block_log2,
    };
    let root = match fill(&plan, identity, options.durability, file) {
        Ok(root) => root,
        Err((operation, source)) => return Err(temporary.abandon(fault(operation, source)).into()),
    };
    let renamed = match options.existing {
        Existing::Refuse => storage.rename_new(&temporary.path, path),
        Existing::Replace => storage.rename(&temporary.path, path),
    };
    match renamed {
        Ok(()) => temporary.keep(),
        Err(error) if options.existing == Existing::Refuse && error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(match temporary.abandon(fault(Operation::Rename, error)) {
                IoFault { leftover: None, .. } => exists(),
                left => left.into(),
            });
        }
        Err(error) => return Err(temporary.abandon(fault(Operation::Rename, error)).into()),
    }
    if options.durability == Durability::Full {
        storage
            .sync_dir(dir)
            .map_err(|source| IoFault::new(Operation::SyncDirectory, Some(dir.into()), source))?;
    }
    log::debug!(
        "saved {} bytes, {} blocks, root {root}",
        plan.geometry.file_len(),
        plan.block_count
    );
    Ok(Saved {
        bytes: plan.geometry.file_len(),
        root,
        blocks: plan.block_count,
    })
}

/// Writes, flushes and closes; the first failure ends it, with the operation that failed.
fn fill(
    plan: &Plan<'_>,
    identity: Identity,
    durability: Durability,
    file: impl StorageFile,
) -> Result<Digest, (Operation, io::Error)> {
    file.set_len(plan.geometry.file_len())
        .map_err(|error| (Operation::SetLength, error))?;
    let root = write_plan(plan, identity, &file).map_err(|error| (Operation::Write, error))?;
    if durability == Durability::Full {
        file.sync().map_err(|error| (Operation::Sync, error))?;
    }
    file.close().map_err(|error| (Operation::Close, error))?;
    Ok(root)
}

/// A temporary file that is removed unless it was given its name, also when a panic passes through.
struct Temporary<'s, S: Storage> {
    storage: &'s S,
    path: PathBuf,
    kept: bool,
}

impl<S: Storage> Temporary<'_, S> {
    /// The file has its final name now.
    fn keep(mut self) {
        self.kept = true;
    }

    /// Removes the file and notes in `fault` when that fails too.
    fn abandon(mut self, mut fault: IoFault) -> IoFault {
        self.kept = true;
        match self.storage.remove(&self.path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => fault.leftover = Some(self.path.clone()),
        }
        fault
    }
}

impl<S: Storage> Drop for Temporary<'_, S> {
    fn drop(&mut self) {
        if !self.kept && self.storage.remove(&self.path).is_err() {
            log::warn!("the temporary file {:?} could not be removed", self.path);
        }
    }
}

/// Creates a file under a name that no other save of this or another process uses.
fn create_temporary<'s, S: Storage>(storage: &'s S, dir: &Path) -> io::Result<(Temporary<'s, S>, S::File)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut tries = 0;
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = dir.join(format!("{TEMPORARY_PREFIX}{}-{number}", std::process::id()));
        match storage.create_new(&path) {
            Ok(file) => {
                return Ok((
                    Temporary {
                        storage,
                        path,
                        kept: false,
                    },
                    file,
                ));
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < NAME_TRIES => tries += 1,
            Err(error) => return Err(error),
        }
    }
}

/// Whether a file name is that of a temporary file of [`save`]: one that a killed process left behind, when no save is
/// running.
#[must_use]
pub fn is_temporary_name(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with(TEMPORARY_PREFIX))
}
