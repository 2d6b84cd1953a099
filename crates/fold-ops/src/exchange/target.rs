//! A new file under its name, or none: written beside it, read back, flushed, and only then renamed.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use fold_format::storage::Storage as _;
use fold_format::{Disk, IoFault, Misuse, Operation};
use tempfile::NamedTempFile;

use crate::error::Error;
use crate::replace::{dir_of, temporary};

/// What the name of a file begins with that has not got its own yet.
const TEMPORARY_PREFIX: &str = ".fold-tmp-convert-";

/// A file on its way.
pub(super) struct Pending<'a> {
    temporary: NamedTempFile,
    target: &'a Path,
    dir: &'a Path,
}

fn fault(operation: Operation, path: &Path, error: std::io::Error) -> Error {
    Error::Format(IoFault::new(operation, Some(path.into()), error).into())
}

impl<'a> Pending<'a> {
    /// Begins a file that will be called `target`, which must not exist.
    pub(super) fn new(target: &'a Path) -> Result<Self, Error> {
        let exists = target.symlink_metadata().is_ok();
        if exists {
            return Err(Error::Format(Misuse::TargetExists { path: target.into() }.into()));
        }
        let temporary =
            temporary(target, TEMPORARY_PREFIX, "").map_err(|error| fault(Operation::Create, target, error))?;
        let dir = dir_of(target);
        Ok(Self { temporary, target, dir })
    }

    /// Where it lies until it gets its name.
    pub(super) fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Fills it.
    pub(super) fn fill<T>(&self, write: impl FnOnce(&mut BufWriter<&File>) -> Result<T, Error>) -> Result<T, Error> {
        let mut out = BufWriter::with_capacity(1 << 20, self.temporary.as_file());
        let written = write(&mut out)?;
        out.flush()
            .map_err(|error| fault(Operation::Write, self.target, error))?;
        Ok(written)
    }

    /// Flushes it and gives it its name; another file that got the name meanwhile is left alone.
    pub(super) fn publish(self) -> Result<u64, Error> {
        let synced = File::open(self.temporary.path()).and_then(|file| {
            file.sync_all()?;
            Ok(file.metadata()?.len())
        });
        let len = synced.map_err(|error| fault(Operation::Sync, self.target, error))?;
        self.temporary
            .persist_noclobber(self.target)
            .map_err(|error| match error.error.kind() {
                std::io::ErrorKind::AlreadyExists => Error::Format(
                    Misuse::TargetExists {
                        path: self.target.into(),
                    }
                    .into(),
                ),
                _ => fault(Operation::Rename, self.target, error.error),
            })?;
        Disk.sync_dir(self.dir)
            .map_err(|error| fault(Operation::SyncDirectory, self.dir, error))?;
        Ok(len)
    }
}
