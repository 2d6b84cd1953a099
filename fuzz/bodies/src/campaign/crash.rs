//! Simulated power cuts: a script runs over a simulated disk until it is killed at a call, the power fails, and what is
//! left must be the old state or the new one; the new one once the script was acknowledged.
//!
//! The process is killed at every call in turn. Where up to 12 changes wait for the medium every subset of them is tried,
//! elsewhere random ones. From some of the states the script is started again, killed again and cut again. [`Lie`] holds the
//! planted bugs: the same counting over a storage that lies about flushing must find the third state.

use std::fmt;
use std::fs::Permissions;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use fold_format::parity::Level;
use fold_format::seal::PrivateKey;
use fold_format::storage::{Fault, Faulty, SimDisk, SimFile, Storage, StorageFile, When};
use fold_format::{
    Content, DigestKind, Durability, Encoding, Existing, Limits, ReadAt, SaveOptions, repair, save, sign,
};

use super::{Settings, Tally, sweep};
use crate::layouts::{noise, private_key};
use crate::random::Random;
use crate::writer::Memory;

/// Up to this many waiting changes every subset is tried.
const EXHAUSTIVE: usize = 12;

/// Of this many states one is recovered from, and cut again.
const RECOVERED_OF: usize = 64;

/// What a storage does about flushing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lie {
    /// What it says.
    None,
    /// A flush of a file does nothing.
    NoSync,
    /// A flush of a directory does nothing.
    NoSyncDir,
    /// A file is flushed when its directory is: the rename comes first.
    RenameFirst,
    /// The first flush of a file fails and loses half of the data; it is tried again, and said to have succeeded.
    RetriedSync,
    /// The same failure, told as it is: no lie.
    FailedSync,
}

impl Lie {
    /// The planted bugs, each of which must be found.
    pub const PLANTED: [Self; 4] = [Self::NoSync, Self::NoSyncDir, Self::RenameFirst, Self::RetriedSync];
}

impl fmt::Display for Lie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "no lie",
            Self::NoSync => "no flush of the file",
            Self::NoSyncDir => "no flush of the directory",
            Self::RenameFirst => "rename before the flush",
            Self::RetriedSync => "a failed flush tried again",
            Self::FailedSync => "a failed flush, told",
        })
    }
}

/// A simulated disk behind what may be a lie.
#[derive(Debug)]
pub struct Medium {
    disk: SimDisk,
    lie: Lie,
    renamed: Mutex<Vec<PathBuf>>,
}

/// A file of a [`Medium`].
#[derive(Debug)]
pub struct MediumFile {
    file: SimFile,
    lie: Lie,
}

impl Medium {
    const fn new(disk: SimDisk, lie: Lie) -> Self {
        Self {
            disk,
            lie,
            renamed: Mutex::new(Vec::new()),
        }
    }
}

impl ReadAt for MediumFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }
}

impl StorageFile for MediumFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.file.write_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        match self.lie {
            Lie::None | Lie::NoSyncDir => self.file.sync(),
            Lie::NoSync | Lie::RenameFirst => Ok(()),
            Lie::RetriedSync | Lie::FailedSync => {
                let half = self.file.len()? / 2;
                self.file.write_at(&vec![0; half as usize], half)?;
                match self.lie {
                    Lie::RetriedSync => self.file.sync(),
                    _ => Err(io::Error::from_raw_os_error(5)),
                }
            }
        }
    }

    fn close(self) -> io::Result<()> {
        self.file.close()
    }
}

impl Storage for Medium {
    type File = MediumFile;

    fn create_new(&self, path: &Path, permissions: Option<&Permissions>) -> io::Result<MediumFile> {
        let (file, lie) = (self.disk.create_new(path, permissions)?, self.lie);
        Ok(MediumFile { file, lie })
    }

    fn open(&self, path: &Path) -> io::Result<MediumFile> {
        let (file, lie) = (self.disk.open(path)?, self.lie);
        Ok(MediumFile { file, lie })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.renamed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(to.into());
        self.disk.rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.renamed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(to.into());
        self.disk.rename_new(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if self.lie == Lie::NoSyncDir {
            return Ok(());
        }
        if self.lie == Lie::RenameFirst {
            let renamed = std::mem::take(&mut *self.renamed.lock().unwrap_or_else(PoisonError::into_inner));
            for path in renamed {
                self.disk.open(&path)?.sync()?;
            }
        }
        self.disk.sync_dir(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        self.disk.list(dir)
    }
}

/// Something that changes what is on a disk, and what may be there afterwards.
pub trait Script: Sync {
    /// For reports.
    fn name(&self) -> &str;

    /// The disk before it, everything on the medium.
    fn disk(&self) -> SimDisk;

    /// Does it. Returns how many of its parts were acknowledged: all of them at the end, fewer where the storage died.
    fn perform(&self, storage: &Faulty<Medium>) -> u64;

    /// How many parts it has.
    fn parts(&self) -> u64;

    /// Whether a disk after a power cut is one of those that were promised when so many parts were acknowledged.
    fn is_allowed(&self, disk: &SimDisk, acknowledged: u64) -> bool;

    /// Its share of the random states, against the others.
    fn weight(&self) -> u64;
}

/// A moment at which the power fails.
struct Cut<'a> {
    script: &'a dyn Script,
    disk: SimDisk,
    acknowledged: u64,
    /// How many changes wait for the medium.
    pending: usize,
}

impl Cut<'_> {
    /// How many states are tried, where a unit of weight is worth `unit` random ones.
    fn states(&self, unit: u64) -> u64 {
        match self.pending {
            0..=EXHAUSTIVE => 1 << self.pending,
            _ => unit * self.script.weight(),
        }
    }

    /// The disk after the power cut number `state`.
    fn crash(&self, state: u64, seed: u64) -> SimDisk {
        let pending = self.pending as u64;
        match state {
            _ if self.pending <= EXHAUSTIVE => self.disk.crash(|change| state >> change & 1 == 1),
            0 => self.disk.crash(|_| false),
            1 => self.disk.crash(|_| true),
            // One change alone, all but one; then anything.
            _ if state < 2 + pending => self.disk.crash(|change| change as u64 == state - 2),
            _ if state < 2 + 2 * pending => self.disk.crash(|change| change as u64 != state - 2 - pending),
            _ => self.disk.crash_seeded(seed),
        }
    }
}

/// Every moment of a script.
fn cuts(script: &dyn Script, lie: Lie) -> Vec<Cut<'_>> {
    let mut cuts = Vec::new();
    for call in 0.. {
        let disk = script.disk();
        let storage = Faulty::failing(Medium::new(disk.clone(), lie), Fault::Kill, When::Once(call));
        let acknowledged = script.perform(&storage);
        cuts.push(Cut {
            script,
            pending: disk.pending(),
            disk,
            acknowledged,
        });
        if acknowledged == script.parts() || storage.calls().len() <= call {
            break;
        }
    }
    cuts
}

/// Cuts the power at every moment of the scripts, in about `states` ways altogether. Returns how many are planned and what
/// they came to.
fn cut_power(scripts: &[&dyn Script], lie: Lie, states: u64, seed: u64, end: Option<Instant>) -> (u64, Tally) {
    let cuts = scripts.iter().flat_map(|script| cuts(*script, lie)).collect::<Vec<_>>();
    let (few, many): (Vec<&Cut<'_>>, Vec<&Cut<'_>>) = cuts.iter().partition(|cut| cut.pending <= EXHAUSTIVE);
    let exhaustive = few.iter().map(|cut| cut.states(0)).sum::<u64>();
    let weights = many.iter().map(|cut| cut.script.weight()).sum::<u64>().max(1);
    let unit = states.saturating_sub(exhaustive).div_ceil(weights);
    let ends = cuts.iter().scan(0, |sum, cut| {
        *sum += cut.states(unit);
        Some(*sum)
    });
    let ends = ends.collect::<Vec<u64>>();
    let planned = ends.last().copied().unwrap_or(0);
    let tally = sweep(
        0..planned as usize,
        end,
        || (),
        |(), case, tally| {
            let number = ends.partition_point(|&end| end <= case as u64);
            let cut = &cuts[number];
            let state = case as u64 + cut.states(unit) - ends[number];
            let seed = seed ^ (case as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let disk = cut.crash(state, seed);
            let mut allowed = cut.script.is_allowed(&disk, cut.acknowledged);
            if allowed && case % RECOVERED_OF == 0 {
                allowed = recovers(cut, disk, lie, seed);
            }
            if allowed {
                tally.detected += 1;
            } else {
                tally.wrong(|| format!("{}, {lie}: moment {number}, state {state}", cut.script.name()));
            }
        },
    );
    (planned, tally)
}

/// Starts the script again on what the power cut has left, kills it and cuts the power again.
fn recovers(cut: &Cut<'_>, disk: SimDisk, lie: Lie, seed: u64) -> bool {
    let mut random = Random::new(seed);
    let kill = When::Once(random.below(80));
    let storage = Faulty::failing(Medium::new(disk.clone(), lie), Fault::Kill, kill);
    let acknowledged = cut.script.perform(&storage).max(cut.acknowledged);
    cut.script.is_allowed(&disk.crash_seeded(seed), acknowledged)
}

const PATH: &str = "/d/a.fold";

/// What writes one file under one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writing {
    Save,
    SaveEveryFeature,
    Repair,
    Sign,
}

/// One file, written under a name that an older one has, or none.
struct OneFile {
    writing: Writing,
    name: String,
    existing: Existing,
    old: Option<Vec<u8>>,
    new: Vec<u8>,
    /// What a repair or a signing reads.
    source: Vec<u8>,
}

fn small() -> SaveOptions {
    SaveOptions::new(Durability::Full).block_log2(12)
}

fn every_feature() -> SaveOptions {
    small()
        .encoding(Encoding::Zstd)
        .digest_kind(DigestKind::Blake3)
        .parity(Some(Level::Low))
}

/// What is saved: in a file of some pages.
fn content(data: &[u8]) -> Content<'_> {
    Content::new().bytes("x", data).json("y", "[1]")
}

impl OneFile {
    fn new(writing: Writing, with_old: bool, existing: Existing) -> Self {
        let memory = Memory::default();
        let path = Path::new(PATH);
        let old = with_old.then(|| {
            save(&memory, path, &content(&noise(5000)), &small()).expect("memory takes it");
            memory.get(path).expect("it was saved")
        });
        let memory = Memory::default();
        save(&memory, path, &content(&noise(9000)), &every_feature()).expect("memory takes it");
        let mut source = memory.get(path).expect("it was saved");
        if writing == Writing::Repair {
            let middle = source.len() / 2;
            source[middle] ^= 1;
        }
        let mut script = Self {
            writing,
            name: format!("{writing:?}, {existing:?}, old file: {with_old}"),
            existing,
            old,
            new: Vec::new(),
            source,
        };
        let memory = Memory::default();
        assert!(script.write(&memory), "{} does not work at all", script.name);
        script.new = memory.get(path).expect("it was written");
        script
    }

    fn write(&self, storage: &impl Storage) -> bool {
        let (path, data) = (Path::new(PATH), noise(9000));
        let content = content(&data);
        let save = |options: SaveOptions| save(storage, path, &content, &options.existing(self.existing)).is_ok();
        match self.writing {
            Writing::Save => save(small()),
            Writing::SaveEveryFeature => save(every_feature()),
            Writing::Repair => repair(storage, &self.source, path, &Limits::DEFAULT).is_ok(),
            Writing::Sign => sign(storage, &self.source, path, key(), &Limits::DEFAULT).is_ok(),
        }
    }
}

fn key() -> &'static PrivateKey {
    static KEY: std::sync::OnceLock<PrivateKey> = std::sync::OnceLock::new();
    KEY.get_or_init(private_key)
}

impl Script for OneFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn disk(&self) -> SimDisk {
        let disk = SimDisk::new();
        if self.old.is_some() {
            save(&disk, Path::new(PATH), &content(&noise(5000)), &small()).expect("an honest disk takes it");
        }
        disk
    }

    fn perform(&self, storage: &Faulty<Medium>) -> u64 {
        u64::from(self.write(storage))
    }

    fn parts(&self) -> u64 {
        1
    }

    fn is_allowed(&self, disk: &SimDisk, acknowledged: u64) -> bool {
        match disk.read(Path::new(PATH)) {
            Ok(bytes) if bytes == self.new => true,
            Ok(bytes) => acknowledged == 0 && self.old.as_ref() == Some(&bytes),
            Err(_) => acknowledged == 0 && self.old.is_none(),
        }
    }

    fn weight(&self) -> u64 {
        16
    }
}

fn container() -> Vec<OneFile> {
    [
        (Writing::Save, true, Existing::Replace),
        (Writing::Save, false, Existing::Replace),
        (Writing::Save, false, Existing::Refuse),
        (Writing::SaveEveryFeature, true, Existing::Replace),
        (Writing::Repair, false, Existing::Refuse),
        (Writing::Sign, false, Existing::Refuse),
    ]
    .map(|(writing, with_old, existing)| OneFile::new(writing, with_old, existing))
    .into()
}

/// The scripts of the container and those given, honestly and over a disk that fails and says so.
pub(super) fn campaign(settings: &Settings, more: &[&dyn Script], end: Option<Instant>) -> (usize, u64, Tally) {
    let container = container();
    let own = container.iter().map(|script| script as &dyn Script);
    let all = own.clone().chain(more.iter().copied()).collect::<Vec<_>>();
    let (failed, mut tally) = cut_power(
        &own.collect::<Vec<_>>(),
        Lie::FailedSync,
        settings.crash_states / 100,
        settings.seed,
        end,
    );
    let (planned, honest) = cut_power(&all, Lie::None, settings.crash_states, settings.seed, end);
    tally += honest;
    (all.len(), planned + failed, tally)
}

/// How many states over a lying storage are a third one: none means that the counting finds nothing.
#[must_use]
pub fn third_states(lie: Lie, states: u64, seed: u64) -> (u64, u64) {
    let container = container();
    let scripts = container.iter().map(|script| script as &dyn Script).collect::<Vec<_>>();
    let (_, tally) = cut_power(&scripts, lie, states, seed, None);
    (tally.silent, tally.cases)
}
