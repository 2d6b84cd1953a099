//! The real file system.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::path::{Path, PathBuf};

use super::{Storage, StorageFile};

/// The file system of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Disk;

impl StorageFile for File {
    #[cfg(unix)]
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::write_at(self, bytes, offset)
    }

    #[cfg(windows)]
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        std::os::windows::fs::FileExt::seek_write(self, bytes, offset)
    }

    #[cfg(target_os = "linux")]
    fn past_cache(&self) -> Option<Self> {
        use std::os::fd::AsRawFd as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        let flags = i32::try_from(rustix::fs::OFlags::DIRECT.bits()).ok()?;
        // Through its descriptor: the name may lead to another file by now.
        let path = format!("/proc/self/fd/{}", self.as_raw_fd());
        OpenOptions::new().write(true).custom_flags(flags).open(path).ok()
    }

    /// A file that has its room from the start is not cut up by its writer, and a full disk is noticed before anything
    /// is written.
    #[cfg(target_os = "linux")]
    fn reserve(&self, len: u64) -> io::Result<()> {
        use rustix::fs::FallocateFlags;
        use rustix::io::Errno;
        if len == 0 {
            return Ok(());
        }
        match rustix::io::retry_on_intr(|| rustix::fs::fallocate(self, FallocateFlags::empty(), 0, len)) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.set_len(len),
            reserved => Ok(reserved?),
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        Self::set_len(self, len)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_all()
    }

    /// The standard library drops what `close` answers. After a successful `sync` nothing is left for it to report on
    /// local file systems; without one ([`Durability::None`](crate::Durability::None)) nothing was promised.
    fn close(self) -> io::Result<()> {
        drop(self);
        Ok(())
    }
}

impl Storage for Disk {
    type File = File;

    /// The owner may read and write it in any case; the umask takes away what it does.
    fn create_new(&self, path: &Path, permissions: Option<&Permissions>) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true);
        #[cfg(unix)]
        if let Some(permissions) = permissions {
            use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
            options.mode(permissions.mode() & 0o777 | 0o600);
        }
        #[cfg(not(unix))]
        let _ = permissions;
        options.open(path)
    }

    /// Regular files only: opening a pipe for reading waits until somebody writes.
    fn open(&self, path: &Path) -> io::Result<File> {
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        File::open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    /// At once where Linux or macOS has it. Else by a hard link, which fails where the name is taken, and the removal of
    /// the old name. Where the file system has no hard links either, by a look and a rename: another process can then slip
    /// in between.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        #[cfg(any(target_os = "linux", target_vendor = "apple"))]
        {
            use rustix::fs::{CWD, RenameFlags};
            let renamed = rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE);
            match renamed.map_err(io::Error::from) {
                // Not on every file system, and not in every kernel.
                Err(error) if is_unsupported(&error) => {}
                renamed => return renamed,
            }
        }
        link_and_remove(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    #[cfg(unix)]
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        match File::open(dir)?.sync_all() {
            // Nobody can flush it there: the file itself is flushed, and a save that fails each time would keep less.
            Err(error) if is_unsupported(&error) => {
                log::warn!(
                    "the file system of {dir:?} cannot flush a directory ({error}): a power cut may lose the new name"
                );
                Ok(())
            }
            flushed => flushed,
        }
    }

    /// Windows has no flush of a directory; NTFS journals the rename.
    #[cfg(not(unix))]
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn permissions(&self, path: &Path) -> io::Result<Option<Permissions>> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(metadata.permissions())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        match fs::symlink_metadata(path) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                paths.push(entry.path());
            }
        }
        paths.sort();
        Ok(paths)
    }
}

/// Gives a file another name that no file has, without the system's help.
fn link_and_remove(from: &Path, to: &Path) -> io::Result<()> {
    match fs::hard_link(from, to) {
        Ok(()) => {
            // The file has its name: that it has another one too is no failure.
            if let Err(error) = fs::remove_file(from) {
                log::error!("{to:?} is written, and its temporary name {from:?} could not be removed: {error}");
            }
            Ok(())
        }
        Err(error) if may_lack_links(&error) => match Disk.exists(to)? {
            true => Err(io::ErrorKind::AlreadyExists.into()),
            false => fs::rename(from, to),
        },
        Err(error) => Err(error),
    }
}

/// Whether the system answered that it, or the file system, does not do what it was asked for: a directory's flush on
/// shared folders of VirtualBox and old CIFS, a rename that replaces nothing on many.
#[cfg(unix)]
fn is_unsupported(error: &io::Error) -> bool {
    use rustix::io::Errno;
    // The last two are one number on some systems, and two on others.
    [Errno::INVAL, Errno::NOSYS, Errno::NOTSUP, Errno::OPNOTSUPP]
        .into_iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Whether a link may have failed because the file system has none: systems answer that in many ways, so all counts but
/// what says something of the two names or of the disk.
fn may_lack_links(error: &io::Error) -> bool {
    use io::ErrorKind::{AlreadyExists, NotFound, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    /// EIO, on Windows `ERROR_IO_DEVICE`: the standard library has no kind for it.
    const IO: i32 = if cfg!(windows) { 1117 } else { 5 };
    let of_names_or_disk = matches!(
        error.kind(),
        AlreadyExists | NotFound | QuotaExceeded | ReadOnlyFilesystem | StorageFull
    );
    !of_names_or_disk && error.raw_os_error() != Some(IO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::ReadAt as _;

    #[test]
    fn names_are_taken_once_and_replaced_when_asked() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let write = |name: &str, bytes: &[u8]| {
            let file = Disk.create_new(&at(name), None).unwrap();
            super::super::write_full(&file, bytes, 0).unwrap();
            file.close().unwrap();
        };
        write("a", b"one");
        write("b", b"two");
        assert_eq!(
            Disk.create_new(&at("a"), None).unwrap_err().kind(),
            io::ErrorKind::AlreadyExists
        );
        for rename in [|from: &Path, to: &Path| Disk.rename_new(from, to), link_and_remove] {
            let refused = rename(&at("a"), &at("b")).unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        }
        assert_eq!(
            Disk.list(dir.path()).unwrap(),
            [at("a"), at("b")],
            "a refused rename changes nothing"
        );
        Disk.rename_new(&at("a"), &at("d")).unwrap();
        link_and_remove(&at("d"), &at("c")).unwrap();
        assert_eq!(Disk.list(dir.path()).unwrap(), [at("b"), at("c")]);
        Disk.rename(&at("c"), &at("b")).unwrap();
        let mut bytes = [0; 8];
        let file = Disk.open(&at("b")).unwrap();
        assert_eq!(file.read_at(&mut bytes, 0).unwrap(), 3);
        assert_eq!(&bytes[..3], b"one");
        assert_eq!(file.len().unwrap(), 3);
        Disk.sync_dir(dir.path()).unwrap();
        Disk.remove(&at("b")).unwrap();
        assert!(!Disk.exists(&at("b")).unwrap());
    }

    #[cfg(unix)]
    #[test]
    fn what_a_file_system_cannot_do_is_told_from_what_failed() {
        use rustix::io::Errno;
        let error = |errno: Errno| io::Error::from(errno);
        for errno in [Errno::INVAL, Errno::NOSYS, Errno::NOTSUP, Errno::OPNOTSUPP] {
            assert!(is_unsupported(&error(errno)), "{errno}");
            assert!(may_lack_links(&error(errno)), "{errno}");
        }
        // FAT, where Linux and others answer so.
        assert!(may_lack_links(&error(Errno::PERM)));
        for errno in [
            Errno::IO,
            Errno::NOSPC,
            Errno::DQUOT,
            Errno::ROFS,
            Errno::NOENT,
            Errno::EXIST,
        ] {
            assert!(!is_unsupported(&error(errno)), "{errno}");
            assert!(!may_lack_links(&error(errno)), "{errno}");
        }
        // Not of the system.
        assert!(!is_unsupported(&io::ErrorKind::InvalidInput.into()));
    }

    #[cfg(unix)]
    #[test]
    fn a_new_file_is_for_those_alone_that_it_is_meant_for() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        for (asked, given) in [(0o600, 0o600), (0o400, 0o600), (0o700, 0o700)] {
            let path = dir.path().join(format!("{asked:o}"));
            let file = Disk.create_new(&path, Some(&Permissions::from_mode(asked))).unwrap();
            let permissions = crate::ReadAt::permissions(&file).unwrap().unwrap();
            assert_eq!(permissions.mode() & 0o777, given);
        }
    }
}
