//! Replacing a small file at once: state files and metrics, which a reader must never see in part.
//!
//! Checkpoints are not written by this: `fold_format::save` is.

use std::io::Write as _;
use std::path::Path;

use crate::error::{DirectoryOperation, Error};

/// Writes `bytes` under a temporary name in the same directory, flushes them, and gives them the name `path`. Readable
/// by all, as the umask allows: the metrics are another user's business.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let failed = |source| Error::Directory {
        operation: DirectoryOperation::Write,
        path: path.into(),
        source,
    };
    let dir = path
        .parent()
        .filter(|dir| !dir.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".fold-write-").suffix(".part");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.tempfile_in(dir).map_err(failed)?;
    file.write_all(bytes).map_err(failed)?;
    file.as_file().sync_data().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

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
