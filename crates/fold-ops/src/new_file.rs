//! A file at once under its name: small ones that are replaced, such as state and metrics, and new ones that take no
//! other's name.
//!
//! Checkpoints are not written by this: `fold_format::save` is. A temporary file of a killed process has a name of which
//! `fold_format::is_temporary_name` knows.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{BufWriter, Write as _};
use std::path::Path;

use fold_format::storage::Storage as _;
use fold_format::{Disk, IoFault, Misuse, Operation};
use tempfile::{NamedTempFile, TempPath};

use crate::error::{DirectoryOperation, Error};

fn fault(operation: Operation, path: &Path, error: std::io::Error) -> Error {
    Error::Format(IoFault::new(operation, Some(path.into()), error).into())
}

/// Writes `bytes` under a temporary name in the same directory, flushes them, and gives them the name `path`. Readable
/// by all, as the umask allows: metrics and figures are other users' business too.
///
/// # Errors
/// What the system refuses; what had the name is then as before.
pub fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let failed = |source| Error::Directory {
        operation: DirectoryOperation::Write,
        path: path.into(),
        source,
    };
    let mut file = temporary(path, None).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.as_file().sync_data().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

/// Has a new file filled and gives it the name `path`. Whatever fails, there is no such file.
///
/// - `source`: what it is made of, where that is a file: the new one is for nobody else.
///
/// # Errors
/// `FOLD-E0003` the name is taken; what `fill` fails with; what the system refuses.
pub(crate) fn create<T>(
    path: &Path,
    source: Option<&Path>,
    fill: impl FnOnce(&mut File) -> Result<T, Error>,
) -> Result<T, Error> {
    let pending = Pending::new(path, source)?;
    let filled = fill(&mut pending.open(File::options().read(true).write(true))?)?;
    pending.publish()?;
    Ok(filled)
}

/// A new file on its way: filled under a temporary name beside its own, and perhaps read back, before it gets that. It
/// goes when it is dropped before. Nobody holds it open meanwhile: a save may replace it, which Windows then refuses.
pub(crate) struct Pending<'a> {
    temporary: TempPath,
    target: &'a Path,
    dir: &'a Path,
}

impl<'a> Pending<'a> {
    /// Begins a file that will be called `target`, which must not exist.
    ///
    /// - `source`: as for [`create`].
    pub(crate) fn new(target: &'a Path, source: Option<&Path>) -> Result<Self, Error> {
        if target.symlink_metadata().is_ok() {
            return Err(taken(target));
        }
        let seen = |source| std::fs::metadata(source).map_err(|error| fault(Operation::Metadata, source, error));
        let source = source.map(seen).transpose()?;
        let like = source.map(|source| source.permissions());
        let temporary = temporary(target, like).map_err(|error| fault(Operation::Create, target, error))?;
        Ok(Self {
            temporary: temporary.into_temp_path(),
            target,
            dir: dir_of(target),
        })
    }

    fn open(&self, options: &OpenOptions) -> Result<File, Error> {
        options
            .open(&self.temporary)
            .map_err(|error| fault(Operation::Open, self.target, error))
    }

    /// Where it lies until it gets its name.
    pub(crate) fn path(&self) -> &Path {
        &self.temporary
    }

    /// Fills it, through a buffer.
    pub(crate) fn fill<T>(&self, write: impl FnOnce(&mut BufWriter<File>) -> Result<T, Error>) -> Result<T, Error> {
        let mut out = BufWriter::with_capacity(1 << 20, self.open(File::options().write(true))?);
        let written = write(&mut out)?;
        out.flush()
            .map_err(|error| fault(Operation::Write, self.target, error))?;
        Ok(written)
    }

    /// Flushes it, gives it its name and the directory's names to the disk; another file that got the name meanwhile is
    /// left alone. Returns its length in bytes.
    pub(crate) fn publish(self) -> Result<u64, Error> {
        // For writing, without which Windows refuses to flush.
        let file = self.open(File::options().write(true))?;
        let synced = file.sync_all().and_then(|()| Ok(file.metadata()?.len()));
        let len = synced.map_err(|error| fault(Operation::Sync, self.target, error))?;
        drop(file);
        self.temporary
            .persist_noclobber(self.target)
            .map_err(|error| match error.error.kind() {
                std::io::ErrorKind::AlreadyExists => taken(self.target),
                _ => fault(Operation::Rename, self.target, error.error),
            })?;
        Disk.sync_dir(self.dir)
            .map_err(|error| fault(Operation::SyncDirectory, self.dir, error))?;
        Ok(len)
    }
}

fn taken(path: &Path) -> Error {
    Error::Format(Misuse::TargetExists { path: path.into() }.into())
}

/// Removes from the directory of `target` what this process has begun to write there and not yet given its name.
///
/// # Errors
/// The directory cannot be read, or a file not be removed.
pub fn abandon(target: &Path) -> std::io::Result<()> {
    let prefix = fold_format::temporary_prefix();
    for entry in std::fs::read_dir(dir_of(target))? {
        let entry = entry?;
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// The directory of a file's name.
fn dir_of(path: &Path) -> &Path {
    path.parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// A file in the directory of `path` that goes when it is dropped.
///
/// - `like`: what of its permissions it may have at most, where it is made of another file.
fn temporary(path: &Path, like: Option<Permissions>) -> std::io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    let prefix = fold_format::temporary_prefix();
    builder.prefix(&prefix);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // As any new file, or as the source: the umask takes away what it does.
        let mode = like.map_or(0o666, |like| like.mode() & 0o777 | 0o600);
        builder.permissions(Permissions::from_mode(mode));
    }
    #[cfg(not(unix))]
    let _ = like;
    builder.tempfile_in(dir_of(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_takes_no_other_name_and_a_failure_leaves_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new");
        let write = |bytes: &'static [u8]| {
            move |out: &mut File| {
                out.write_all(bytes).unwrap();
                Ok(())
            }
        };
        let failing = create(&path, None, |_| -> Result<(), Error> {
            Err(fold_format::Error::Cancelled.into())
        });
        assert!(failing.is_err());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        create(&path, None, write(b"one")).unwrap();
        assert_eq!(create(&path, None, write(b"two")).unwrap_err().exit().number(), 21);
        assert_eq!(std::fs::read(&path).unwrap(), b"one");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn the_name_before_its_own_is_known_as_temporary() {
        let dir = tempfile::tempdir().unwrap();
        let file = temporary(&dir.path().join("new"), None).unwrap();
        assert!(fold_format::is_temporary_name(file.path().file_name().unwrap()));
    }

    #[cfg(unix)]
    #[test]
    fn a_new_file_is_for_nobody_whom_its_source_was_not_for() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let [source, target] = ["source", "target"].map(|name| dir.path().join(name));
        std::fs::write(&source, b"").unwrap();
        std::fs::set_permissions(&source, Permissions::from_mode(0o400)).unwrap();
        create(&target, Some(&source), |_| Ok(())).unwrap();
        assert_eq!(target.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn what_is_abandoned_leaves_other_files_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new");
        std::fs::write(dir.path().join(".fold-tmp-of-another"), b"").unwrap();
        std::fs::write(dir.path().join("whole"), b"").unwrap();
        let _begun = Pending::new(&path, None).unwrap();
        abandon(&path).unwrap();
        let mut left: Vec<_> = std::fs::read_dir(dir.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, [".fold-tmp-of-another", "whole"]);
    }

    #[test]
    fn what_cannot_be_replaced_stays_and_nothing_is_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("metrics.prom");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        let names = std::fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(names, 1);
        let taken = dir.path().join("taken");
        std::fs::create_dir(&taken).unwrap();
        let error = replace(&taken, b"x").unwrap_err();
        assert!(error.to_string().contains("cannot write"), "{error}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
        let error = replace(&dir.path().join("absent/file"), b"x").unwrap_err();
        assert_eq!(error.exit().number(), 74, "{error}");
    }
}
