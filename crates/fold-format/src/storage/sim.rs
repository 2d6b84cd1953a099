//! A simulated disk that loses what was not flushed.
//!
//! A test instrument, deterministic: what the operating system sees and what the medium holds are kept apart. A write
//! reaches the medium at `sync`; until then a power cut keeps any subset of its 512-byte sectors, in any order, with or
//! without the length they need. Names reach the medium at `sync_dir`; until then any subset of creations, renames and
//! removals is kept, and a name may be there before its file's data. Not modelled: several directories levels (every
//! directory exists), permissions, and running out of space ([`Faulty`](super::Faulty) does that).

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{Storage, StorageFile};
use crate::source::ReadAt;
use crate::wire::len_u64;

/// What a disk writes at once or not at all, bytes.
const SECTOR_LEN: usize = 512;

/// A change of a file that the medium does not have yet.
#[derive(Clone, Debug)]
enum FileChange {
    Length(usize),
    Sector { offset: usize, bytes: Vec<u8> },
}

/// A change of a name that the medium does not have yet.
#[derive(Clone, Debug)]
enum NameChange {
    Create { path: PathBuf, file: usize },
    Rename { from: PathBuf, to: PathBuf, file: usize },
    Remove { path: PathBuf },
}

impl NameChange {
    fn dir(&self) -> &Path {
        match self {
            Self::Create { path, .. } | Self::Remove { path } | Self::Rename { to: path, .. } => parent(path),
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Create { path, file } => {
                names.insert(path.clone(), *file);
            }
            Self::Rename { from, to, file } => {
                if names.get(from) == Some(file) {
                    names.remove(from);
                }
                names.insert(to.clone(), *file);
            }
            Self::Remove { path } => {
                names.remove(path);
            }
        }
    }
}

#[derive(Clone, Debug, Default)]
struct FileState {
    /// As the operating system sees it.
    seen: Vec<u8>,
    /// As the medium holds it.
    medium: Vec<u8>,
    pending: Vec<FileChange>,
}

#[derive(Clone, Debug, Default)]
struct State {
    files: Vec<FileState>,
    names: BTreeMap<PathBuf, usize>,
    medium_names: BTreeMap<PathBuf, usize>,
    pending_names: Vec<NameChange>,
}

impl State {
    fn file(&mut self, number: usize) -> io::Result<&mut FileState> {
        self.files.get_mut(number).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn number(&self, path: &Path) -> io::Result<usize> {
        self.names
            .get(path)
            .copied()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change_name(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.pending_names.push(change);
    }
}

/// The directory of a path; `.` for a bare name.
fn parent(path: &Path) -> &Path {
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// A simulated disk. Clones share the disk; [`SimDisk::crash`] makes an independent one.
#[derive(Clone, Debug, Default)]
pub struct SimDisk {
    state: Arc<Mutex<State>>,
}

/// An open file of a [`SimDisk`].
#[derive(Debug)]
pub struct SimFile {
    state: Arc<Mutex<State>>,
    number: usize,
}

impl SimDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many changes the medium does not have yet: lengths, sectors and names.
    #[must_use]
    pub fn pending(&self) -> usize {
        let state = self.lock();
        let changes = state.files.iter().map(|file| file.pending.len()).sum::<usize>();
        changes.saturating_add(state.pending_names.len())
    }

    /// The disk after a power cut that kept those pending changes for which `keep` says so, asked in the order
    /// `0..pending()`. Everything on it is on the medium.
    #[must_use]
    pub fn crash(&self, mut keep: impl FnMut(usize) -> bool) -> Self {
        let mut state = self.lock().clone();
        let mut number = 0_usize;
        let mut next = || {
            let kept = keep(number);
            number = number.saturating_add(1);
            kept
        };
        for file in &mut state.files {
            let kept = std::mem::take(&mut file.pending)
                .into_iter()
                .filter(|_| next())
                .collect::<Vec<_>>();
            flush(&mut file.medium, kept);
            file.seen.clone_from(&file.medium);
        }
        for change in std::mem::take(&mut state.pending_names) {
            if next() {
                change.apply(&mut state.medium_names);
            }
        }
        state.names.clone_from(&state.medium_names);
        Self {
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// As [`SimDisk::crash`], the choice drawn from `seed`; some seeds keep nearly everything, some nearly nothing.
    #[must_use]
    pub fn crash_seeded(&self, seed: u64) -> Self {
        let mut random = seed;
        let mut next = || {
            // SplitMix64: Steele, Lea, Flood 2014, figure 10.
            random = random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = random;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            mixed ^ (mixed >> 31)
        };
        let of_16 = [1, 8, 15]
            .get(usize::try_from(next() % 3).unwrap_or(0))
            .copied()
            .unwrap_or(8);
        self.crash(|_| next() % 16 < of_16)
    }

    /// The bytes of a file as a process sees them now.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let mut state = self.lock();
        let number = state.number(path)?;
        Ok(state.file(number)?.seen.clone())
    }
}

/// Brings kept changes to the medium. The order among them is that of the calls; a change that comes late is one whose
/// successors were not kept.
fn flush(medium: &mut Vec<u8>, kept: Vec<FileChange>) {
    // Sectors may reach the medium before the length that makes them visible: written into a longer buffer, cut at the end.
    let mut len = medium.len();
    for change in kept {
        match change {
            FileChange::Length(new_len) => {
                if let Some(cut) = medium.get_mut(new_len..) {
                    cut.fill(0);
                }
                len = new_len;
            }
            FileChange::Sector { offset, bytes } => {
                let end = offset.saturating_add(bytes.len());
                if medium.len() < end {
                    medium.resize(end, 0);
                }
                if let Some(slot) = medium.get_mut(offset..end) {
                    slot.copy_from_slice(&bytes);
                }
            }
        }
    }
    medium.resize(len, 0);
}

impl SimFile {
    fn with<T>(&self, work: impl FnOnce(&mut FileState) -> T) -> io::Result<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(work(state.file(self.number)?))
    }
}

impl ReadAt for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.with(|file| len_u64(file.seen.len()))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|file| file.seen.read_at(buffer, offset))?
    }
}

impl StorageFile for SimFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let too_large = || io::Error::from(io::ErrorKind::FileTooLarge);
        let start = usize::try_from(offset).map_err(|_| too_large())?;
        let end = start.checked_add(bytes.len()).ok_or_else(too_large)?;
        self.with(|file| {
            if file.seen.len() < end {
                file.seen.resize(end, 0);
                file.pending.push(FileChange::Length(end));
            }
            if let Some(slot) = file.seen.get_mut(start..end) {
                slot.copy_from_slice(bytes);
            }
            let (mut at, mut rest) = (start, bytes);
            while !rest.is_empty() {
                let to_boundary = SECTOR_LEN.saturating_sub(at % SECTOR_LEN).min(rest.len());
                let (sector, behind) = rest.split_at(to_boundary);
                file.pending.push(FileChange::Sector {
                    offset: at,
                    bytes: sector.to_vec(),
                });
                at = at.saturating_add(to_boundary);
                rest = behind;
            }
            bytes.len()
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        self.with(|file| {
            file.seen.resize(len, 0);
            file.pending.push(FileChange::Length(len));
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.with(|file| {
            let pending = std::mem::take(&mut file.pending);
            flush(&mut file.medium, pending);
        })
    }

    fn close(self) -> io::Result<()> {
        Ok(())
    }
}

impl Storage for SimDisk {
    type File = SimFile;

    fn create_new(&self, path: &Path, _: Option<&Permissions>) -> io::Result<SimFile> {
        let mut state = self.lock();
        if state.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let number = state.files.len();
        state.files.push(FileState::default());
        state.change_name(NameChange::Create {
            path: path.into(),
            file: number,
        });
        Ok(SimFile {
            state: Arc::clone(&self.state),
            number,
        })
    }

    fn open(&self, path: &Path) -> io::Result<SimFile> {
        let number = self.lock().number(path)?;
        Ok(SimFile {
            state: Arc::clone(&self.state),
            number,
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if parent(from) != parent(to) {
            return Err(io::ErrorKind::CrossesDevices.into());
        }
        let mut state = self.lock();
        let file = state.number(from)?;
        state.change_name(NameChange::Rename {
            from: from.into(),
            to: to.into(),
            file,
        });
        Ok(())
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.exists(to)? {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.lock();
        state.number(path)?;
        state.change_name(NameChange::Remove { path: path.into() });
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.lock();
        let (here, elsewhere): (Vec<_>, Vec<_>) = std::mem::take(&mut state.pending_names)
            .into_iter()
            .partition(|change| change.dir() == dir);
        state.pending_names = elsewhere;
        for change in here {
            change.apply(&mut state.medium_names);
        }
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.lock().names.contains_key(path))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(self
            .lock()
            .names
            .keys()
            .filter(|path| parent(path) == dir)
            .cloned()
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::write_full;
    use super::*;

    fn path(name: &str) -> PathBuf {
        Path::new("/d").join(name)
    }

    #[test]
    fn unsynced_writes_are_lost_torn_or_kept() {
        let disk = SimDisk::new();
        let file = disk.create_new(&path("a"), None).unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        write_full(&file, &[7; 1000], 100).unwrap();
        // Length, then the sectors 100..512, 512..1024, 1024..1100.
        assert_eq!(disk.pending(), 4);
        assert!(disk.crash(|_| false).read(&path("a")).unwrap().is_empty());
        let size_only = disk.crash(|change| change == 0).read(&path("a")).unwrap();
        assert_eq!(size_only, vec![0; 1100], "the length may persist before the data");
        let torn = disk.crash(|change| change != 2).read(&path("a")).unwrap();
        assert_eq!((torn[511], torn[512], torn[1023], torn[1024]), (7, 0, 0, 7));
        assert!(
            disk.crash(|change| change != 0).read(&path("a")).unwrap().is_empty(),
            "data without a length is not there"
        );
        file.sync().unwrap();
        assert_eq!(
            disk.crash(|_| false).read(&path("a")).unwrap(),
            disk.read(&path("a")).unwrap()
        );
    }

    #[test]
    fn names_wait_for_the_directory_and_may_come_before_the_data() {
        let disk = SimDisk::new();
        let file = disk.create_new(&path("t"), None).unwrap();
        write_full(&file, b"new", 0).unwrap();
        disk.rename(&path("t"), &path("a")).unwrap();
        // Changes: length, sector, create, rename.
        assert!(!disk.crash(|change| change < 2).exists(&path("a")).unwrap());
        assert!(
            disk.crash(|change| change >= 2).read(&path("a")).unwrap().is_empty(),
            "the name came before the data"
        );
        let renamed = disk.crash(|change| change == 3);
        assert_eq!(renamed.list(Path::new("/d")).unwrap(), [path("a")]);
        let created = disk.crash(|change| change == 2);
        assert_eq!(created.list(Path::new("/d")).unwrap(), [path("t")]);
        disk.sync_dir(Path::new("/e")).unwrap();
        assert_eq!(disk.pending(), 4, "another directory's flush does not help");
        disk.sync_dir(Path::new("/d")).unwrap();
        assert_eq!(disk.crash(|_| false).list(Path::new("/d")).unwrap(), [path("a")]);
    }

    #[test]
    fn an_old_write_may_outlive_a_newer_one() {
        let disk = SimDisk::new();
        let file = disk.create_new(&path("a"), None).unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        write_full(&file, &[1; 512], 0).unwrap();
        write_full(&file, &[2; 512], 0).unwrap();
        assert_eq!(disk.crash(|change| change != 2).read(&path("a")).unwrap(), [1; 512]);
        assert_eq!(disk.crash(|_| true).read(&path("a")).unwrap(), [2; 512]);
    }

    #[test]
    fn a_seed_gives_one_outcome() {
        let disk = SimDisk::new();
        let file = disk.create_new(&path("a"), None).unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        write_full(&file, &[7; 1 << 16], 0).unwrap();
        let outcome = |seed| disk.crash_seeded(seed).read(&path("a")).unwrap();
        assert_eq!(outcome(5), outcome(5));
        assert!((0..20).any(|seed| outcome(seed) != outcome(5)));
    }
}
