//! The file operations that saving is built on, behind one trait.
//!
//! Three back ends: [`Disk`] is the real one; [`SimDisk`] and [`Faulty`] are test instruments, public because the
//! layers above test their own crash safety with them. Nothing here knows the container's format.

mod disk;
mod faulty;
mod sim;

use std::fs::Permissions;
use std::io;
use std::path::{Path, PathBuf};

pub use disk::Disk;
pub use faulty::{Call, Fault, Faulty, FaultyFile, When};
pub use sim::{SimDisk, SimFile};

use crate::source::ReadAt;

/// A file opened for reading and writing at positions.
pub trait StorageFile: ReadAt {
    /// Writes at most `bytes.len()` bytes at `offset`, beyond the end too, and says how many.
    ///
    /// # Errors
    /// What the system says.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// The same file once more, for writing past the page cache: bytes that begin at a page of memory and at a page of
    /// the file, whole pages, that will be flushed and not read soon. `None` where the storage cannot.
    fn past_cache(&self) -> Option<Self>
    where
        Self: Sized,
    {
        None
    }

    /// Sets the length of a new file and takes room on the medium for it, where the storage can. New bytes are zero.
    ///
    /// # Errors
    /// What the system says.
    fn reserve(&self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    /// Sets the length; new bytes are zero.
    ///
    /// # Errors
    /// What the system says.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Returns when data and length are on the medium.
    ///
    /// # Errors
    /// What the system says. After the first error the file's state on the medium is unknown: it must be abandoned,
    /// a second `sync` that succeeds proves nothing.
    fn sync(&self) -> io::Result<()>;

    /// Closes the file and says so when that fails.
    ///
    /// # Errors
    /// What the system says, where it says anything ([`Disk`] cannot tell).
    fn close(self) -> io::Result<()>;
}

/// The operations on names and files that a crash-safe save needs.
pub trait Storage: Send + Sync {
    /// A file of this storage.
    type File: StorageFile;

    /// Creates a new, empty file for reading and writing.
    ///
    /// - `permissions`: who else may do what with it; where none are given, what the system allows by default. A storage that
    ///   knows no permissions takes no notice.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is taken; else what the system says.
    fn create_new(&self, path: &Path, permissions: Option<&Permissions>) -> io::Result<Self::File>;

    /// Opens an existing file for reading.
    ///
    /// # Errors
    /// What the system says.
    fn open(&self, path: &Path) -> io::Result<Self::File>;

    /// Gives a file another name in the same directory, replacing a file that has it, at once.
    ///
    /// # Errors
    /// What the system says.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file another name in the same directory that no file has.
    ///
    /// # Errors
    /// `AlreadyExists` when the name is taken, both files are then as before; else what the system says.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file's name.
    ///
    /// # Errors
    /// What the system says.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Returns when the directory's names are on the medium.
    ///
    /// # Errors
    /// What the system says.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Who may do what with the file of this name, where the system says so; none where there is no such file.
    ///
    /// # Errors
    /// What the system says.
    fn permissions(&self, _path: &Path) -> io::Result<Option<Permissions>> {
        Ok(None)
    }

    /// Whether something has this name.
    ///
    /// # Errors
    /// What the system says.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// The paths of the files in a directory, sorted.
    ///
    /// # Errors
    /// What the system says.
    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>>;
}

/// How often one call may be interrupted or write nothing in a row before it counts as failed.
const PATIENCE: u32 = 64;

/// Writes all of `bytes` at `offset`; short writes and `EINTR` are gone on with, but not for ever.
pub(crate) fn write_full(file: &impl StorageFile, bytes: &[u8], offset: u64) -> io::Result<()> {
    let mut rest = bytes;
    let mut offset = offset;
    let mut interruptions = 0;
    while !rest.is_empty() {
        match file.write_at(rest, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => {
                let taken = count.min(rest.len());
                offset = offset.saturating_add(crate::wire::len_u64(taken));
                rest = rest.get(taken..).unwrap_or(&[]);
                interruptions = 0;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted && interruptions < PATIENCE => interruptions += 1,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
