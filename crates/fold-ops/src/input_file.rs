//! Small files that a command line names: regular ones only, and no more of them than is wanted.
//!
//! A pipe would be waited for, a device need not end. Checkpoints are not read by this, but for those that are copied: the
//! container opens them itself.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use fold_format::storage::Storage as _;
use fold_format::{Checkpoint, Disk};

use crate::error::{DirectoryOperation, Error};

/// Opens a regular file.
///
/// # Errors
/// `FOLD-E0103` it is not there; `FOLD-E0406` it is something else, or cannot be opened.
pub fn open(path: &Path) -> Result<File, Error> {
    Disk.open(path).map_err(|source| Error::Directory {
        operation: DirectoryOperation::Open,
        path: path.into(),
        source,
    })
}

/// Opens what may be a container.
///
/// # Errors
/// `FOLD-E0101` it is a pipe or a device, as every reader of a container says; else as [`open`].
pub(crate) fn open_container(path: &Path) -> Result<File, Error> {
    if std::fs::metadata(path).is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir()) {
        Checkpoint::open(path).map_err(|error| Error::of(path, error))?;
    }
    open(path)
}

/// The bytes of a regular file that has at most `bytes_max`.
///
/// # Errors
/// As [`open`]; `FOLD-E0001` it is longer; it cannot be read.
pub fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let mut limited = open(path)?.take(bytes_max.saturating_add(1));
    limited.read_to_end(&mut bytes).map_err(|source| Error::Directory {
        operation: DirectoryOperation::Read,
        path: path.into(),
        source,
    })?;
    if bytes.len() as u64 > bytes_max {
        return Err(Error::TooLong {
            path: path.into(),
            bytes_max,
        });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        std::fs::write(&path, b"1234").unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"1234");
        let error = read(&path, 3).unwrap_err();
        assert_eq!((error.code().as_str(), error.exit().number()), ("FOLD-E0001", 2));
        assert!(error.to_string().contains("config.json") && error.to_string().contains("at most 3"));
        let error = read(&dir.path().join("absent"), 4).unwrap_err();
        assert_eq!((error.code().as_str(), error.exit().number()), ("FOLD-E0103", 10));
    }

    #[cfg(unix)]
    #[test]
    fn what_is_no_regular_file_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        for path in [dir.path(), Path::new("/dev/zero")] {
            let error = read(path, 4).unwrap_err();
            assert_eq!((error.code().as_str(), error.exit().number()), ("FOLD-E0406", 74));
            assert!(error.to_string().contains("not a regular file"), "{error}");
        }
    }
}
