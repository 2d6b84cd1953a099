//! A new file is whole under its name, or the old one still is.
//!
//! Temporary file in the target's directory, all bytes, flush, close, rename, flush of the directory. The first failing
//! flush or close abandons the temporary file: after one, what the medium holds is unknown, and a second flush that
//! succeeds would prove nothing.

use std::ffi::OsStr;
use std::fs::Permissions;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::error::{Error, IoFault, Misuse, Operation};
use crate::options::{Durability, Existing};
use crate::storage::{Storage, StorageFile};

/// What a temporary file's name begins with.
const TEMPORARY_PREFIX: &str = ".fold-tmp-";

/// How many taken names are passed over before creating the temporary file fails.
const NAME_TRIES: u32 = 100;

/// Why a file was not filled.
pub(crate) enum Failure {
    /// An operation on the new file.
    Io(Operation, io::Error),
    /// Something else; the text already says where.
    Other(Error),
}

/// Fills a temporary file and gives it its name; whatever fails, the temporary file is removed, or named: as `leftover` of the
/// error where that has a place for it, else in an error record of the log.
///
/// - `like`: who may read the new file, where that is known. A file that is replaced says so itself.
///
/// # Errors
/// As [`save`](crate::save()); what `fill` fails with.
pub(crate) fn write_atomically<S: Storage, T>(
    storage: &S,
    path: &Path,
    existing: Existing,
    durability: Durability,
    like: Option<Permissions>,
    fill: impl FnOnce(&S::File) -> Result<T, Failure>,
) -> Result<T, Error> {
    if path.file_name().is_none() {
        return Err(Misuse::NoFileName { path: path.into() }.into());
    }
    let dir = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let fault = |operation, source| IoFault::new(operation, Some(path.into()), source);
    let exists = || Error::from(Misuse::TargetExists { path: path.into() });
    if existing == Existing::Refuse
        && storage
            .exists(path)
            .map_err(|source| fault(Operation::Metadata, source))?
    {
        return Err(exists());
    }

    let like = match existing {
        Existing::Refuse => like,
        Existing::Replace => storage
            .permissions(path)
            .map_err(|source| fault(Operation::Metadata, source))?
            .or(like),
    };
    let (temporary, file) =
        create_temporary(storage, dir, like.as_ref()).map_err(|source| fault(Operation::Create, source))?;
    let filled = match filled(file, durability, fill) {
        Ok(filled) => filled,
        Err(Failure::Io(operation, source)) => return Err(temporary.abandon(fault(operation, source)).into()),
        Err(Failure::Other(Error::Io(fault))) => return Err(temporary.abandon(*fault).into()),
        Err(Failure::Other(error)) => {
            drop(temporary);
            return Err(error);
        }
    };
    let renamed = match existing {
        Existing::Refuse => storage.rename_new(&temporary.path, path),
        Existing::Replace => storage.rename(&temporary.path, path),
    };
    match renamed {
        Ok(()) => temporary.keep(),
        Err(error) if existing == Existing::Refuse && error.kind() == io::ErrorKind::AlreadyExists => {
            return Err(match temporary.abandon(fault(Operation::Rename, error)) {
                IoFault { leftover: None, .. } => exists(),
                left => left.into(),
            });
        }
        Err(error) => return Err(temporary.abandon(fault(Operation::Rename, error)).into()),
    }
    if durability == Durability::Full {
        storage
            .sync_dir(dir)
            .map_err(|source| IoFault::new(Operation::SyncDirectory, Some(dir.into()), source))?;
    }
    Ok(filled)
}

/// Fills, flushes and closes; the first failure ends it, with the operation that failed.
fn filled<F: StorageFile, T>(
    file: F,
    durability: Durability,
    fill: impl FnOnce(&F) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let filled = fill(&file)?;
    if durability == Durability::Full {
        file.sync().map_err(|error| Failure::Io(Operation::Sync, error))?;
    }
    file.close().map_err(|error| Failure::Io(Operation::Close, error))?;
    Ok(filled)
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
            log::error!("the temporary file {:?} could not be removed", self.path);
        }
    }
}

/// What the names of this process' temporary files begin with.
#[must_use]
pub fn temporary_prefix() -> String {
    format!("{TEMPORARY_PREFIX}{}-", std::process::id())
}

/// Creates a file under a name that no other save of this or another process uses.
fn create_temporary<'s, S: Storage>(
    storage: &'s S,
    dir: &Path,
    permissions: Option<&Permissions>,
) -> io::Result<(Temporary<'s, S>, S::File)> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut tries = 0;
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = dir.join(format!("{}{number}", temporary_prefix()));
        match storage.create_new(&path, permissions) {
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

/// Whether a file name is that of a temporary file of [`save`](crate::save()): one that a killed process left behind, when no save is
/// running.
#[must_use]
pub fn is_temporary_name(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with(TEMPORARY_PREFIX))
}
