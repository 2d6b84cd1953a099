//! The writer's lock on a checkpoint directory: an exclusive lock of the operating system on `.fold-lock`.
//!
//! The system gives the lock back when the process ends, however it ends, so that a killed writer leaves none behind. The
//! file itself stays: removing it would let two writers lock two files of one name.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use crate::error::{DirectoryOperation, Error};

/// The lock file's name. It begins with a dot so that listings of checkpoints leave it out.
pub(crate) const FILE_NAME: &str = ".fold-lock";

/// Held as long as this value lives.
#[derive(Debug)]
pub(crate) struct WriterLock {
    _file: File,
}

impl WriterLock {
    /// Takes the lock on a checkpoint directory without waiting.
    pub(super) fn take(dir: &Path) -> Result<Self, Error> {
        Self::take_file(dir, dir.join(FILE_NAME))
    }

    /// Takes the lock file `path`, which stands for `what`, without waiting.
    pub(crate) fn take_file(what: &Path, path: PathBuf) -> Result<Self, Error> {
        let refused = |source| Error::Directory {
            operation: DirectoryOperation::Lock,
            path: path.clone(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(refused)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::Locked {
                    dir: what.into(),
                    process: holder(&path),
                });
            }
            Err(TryLockError::Error(error)) => return Err(refused(error)),
        }
        // For the message of whoever comes next. That it cannot be written does not weaken the lock.
        if let Err(error) = note(&mut file) {
            log::debug!("the lock file does not name this process: {error}");
        }
        Ok(Self { _file: file })
    }
}

fn note(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

/// The process that the lock file names.
fn holder(path: &Path) -> Option<u32> {
    let mut text = String::new();
    File::open(path).ok()?.take(32).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

/// Creates the directory and those above it, each flushed into its parent: a checkpoint is only as durable as the names
/// that lead to it.
pub(crate) fn create_dir(dir: &Path) -> Result<(), Error> {
    let mut missing = Vec::new();
    let mut at = dir;
    while !at.as_os_str().is_empty() && !at.exists() {
        missing.push(at);
        let Some(parent) = at.parent() else { break };
        at = parent;
    }
    fs::create_dir_all(dir).map_err(|source| Error::Directory {
        operation: DirectoryOperation::Create,
        path: dir.into(),
        source,
    })?;
    for made in missing.iter().rev() {
        let parent = made
            .parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .unwrap_or(Path::new("."));
        fold_format::storage::Storage::sync_dir(&fold_format::Disk, parent).map_err(|source| Error::Directory {
            operation: DirectoryOperation::Sync,
            path: parent.into(),
            source,
        })?;
    }
    Ok(())
}
