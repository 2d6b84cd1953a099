//! Questions to the operating system, answered where it can: room, kind of file system, limits of the process.

use std::io;
use std::path::Path;

/// Room on a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Space {
    /// Bytes that an ordinary user can still write.
    pub free_bytes: u64,
    /// All bytes.
    pub total_bytes: u64,
    /// Files that can still be created; none where the file system does not count them.
    pub free_files: Option<u64>,
    /// Whether it is mounted read-only.
    pub read_only: bool,
}

impl Space {
    /// Of the file system that `path` lies on.
    ///
    /// # Errors
    /// What the system says; `Unsupported` where this program cannot ask it.
    #[cfg(unix)]
    pub fn of(path: &Path) -> io::Result<Self> {
        let answer = rustix::fs::statvfs(path)?;
        Ok(Self {
            free_bytes: answer.f_bavail.saturating_mul(answer.f_frsize),
            total_bytes: answer.f_blocks.saturating_mul(answer.f_frsize),
            free_files: (answer.f_files > 0).then_some(answer.f_favail),
            read_only: answer.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
        })
    }

    /// This program cannot ask this system.
    ///
    /// # Errors
    /// `Unsupported`, always.
    #[cfg(not(unix))]
    pub fn of(_: &Path) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// What is known of a kind of file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileSystem {
    /// Its name, for example `ext4`.
    pub(crate) name: &'static str,
    /// Why a save on it may not be durable; none where nothing speaks against it.
    pub(crate) doubt: Option<&'static str>,
}

/// Magic numbers of `statfs(2)`.
#[cfg(target_os = "linux")]
const FILE_SYSTEMS: &[(u64, FileSystem)] = &[
    (0xEF53, sound("ext2, ext3 or ext4")),
    (0x5846_5342, sound("xfs")),
    (0x9123_683E, sound("btrfs")),
    (0x2FC1_2FC1, sound("zfs")),
    (0xF2F5_2010, sound("f2fs")),
    (
        0x794C_7630,
        doubtful("overlayfs", "it is a container's layer and goes with the container"),
    ),
    (0x0102_1994, doubtful("tmpfs", "it is memory and goes with the machine")),
    (0x8584_58F6, doubtful("ramfs", "it is memory and goes with the machine")),
    (
        0x6969,
        doubtful("nfs", "what the server flushes depends on its export and mount options"),
    ),
    (
        0xFF53_4D42,
        doubtful("cifs", "what the server flushes depends on its options"),
    ),
    (
        0xFE53_4D42,
        doubtful("smb2", "what the server flushes depends on its options"),
    ),
    (
        0x0102_1997,
        doubtful("9p", "what the host flushes depends on its options"),
    ),
    (
        0x6573_5546,
        doubtful("fuse", "what is flushed depends on the program behind it"),
    ),
    (
        0x4D44,
        doubtful("fat", "it has no journal, and a rename is not atomic on it"),
    ),
];

#[cfg(target_os = "linux")]
const fn sound(name: &'static str) -> FileSystem {
    FileSystem { name, doubt: None }
}

#[cfg(target_os = "linux")]
const fn doubtful(name: &'static str, doubt: &'static str) -> FileSystem {
    FileSystem {
        name,
        doubt: Some(doubt),
    }
}

/// The kind of file system that `path` lies on; none where it is not in the table.
#[cfg(target_os = "linux")]
pub(crate) fn file_system(path: &Path) -> io::Result<Option<FileSystem>> {
    // The field is signed on some targets; the magic numbers fill 32 bits.
    let magic = rustix::fs::statfs(path)?.f_type as u64 & 0xFFFF_FFFF;
    Ok(FILE_SYSTEMS
        .iter()
        .find(|(number, _)| *number == magic)
        .map(|(_, kind)| *kind))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn file_system(_: &Path) -> io::Result<Option<FileSystem>> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Limits of the process: open files, and bytes of a file; none: unlimited, or not known here.
#[cfg(unix)]
pub(crate) fn limits() -> [Option<u64>; 2] {
    use rustix::process::{Resource, getrlimit};
    [Resource::Nofile, Resource::Fsize].map(|resource| getrlimit(resource).current)
}

#[cfg(not(unix))]
pub(crate) fn limits() -> [Option<u64>; 2] {
    [None, None]
}
