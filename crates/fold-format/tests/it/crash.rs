//! A power cut after every operation of a save leaves the old file or the new one, and the new one once the save has
//! returned. The same checker must find the third state in twins of the storage that lie about flushing.

use std::fs::Permissions;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use fold_format::parity::Level;
use fold_format::seal::PrivateKey;
use fold_format::storage::{Fault, Faulty, SimDisk, SimFile, Storage, StorageFile, When};
use fold_format::{
    Content, Depth, DigestKind, Durability, Encoding, Existing, Limits, ReadAt, SaveOptions, Verdict, VerifyOptions,
    repair, save, sign, verify_source,
};

use crate::content::{file, noise, options};

const PATH: &str = "/d/a.fold";

/// Up to this many pending changes every subset is tried.
const EXHAUSTIVE: usize = 10;

/// Random subsets beyond.
const SAMPLES: u64 = 60;

fn new_data() -> Vec<u8> {
    noise(2, 9000)
}

fn small() -> SaveOptions {
    options().block_log2(12)
}

/// A disk that holds an old file, flushed, or nothing.
fn disk(with_old: bool) -> SimDisk {
    let disk = SimDisk::new();
    if with_old {
        let old = noise(1, 5000);
        save(&disk, Path::new(PATH), &Content::new().bytes("x", &old), &small()).unwrap();
    }
    disk
}

/// What may be found under the name: these bytes, or nothing.
struct Allowed {
    old: Option<Vec<u8>>,
    new: Vec<u8>,
    acknowledged: bool,
}

/// Whether a state after a power cut is one of those that were promised.
fn is_allowed(disk: &SimDisk, allowed: &Allowed) -> bool {
    match disk.read(Path::new(PATH)) {
        Ok(bytes) if bytes == allowed.new => true,
        Ok(bytes) => !allowed.acknowledged && Some(bytes) == allowed.old,
        Err(_) => !allowed.acknowledged && allowed.old.is_none(),
    }
}

/// Tries power cuts of `disk`: every subset of few pending changes, samples of many, and the extremes. Returns how many
/// states were seen and how many of them were not allowed.
fn cut_power(disk: &SimDisk, allowed: &Allowed) -> (usize, usize) {
    let pending = disk.pending();
    let mut states = Vec::new();
    if pending <= EXHAUSTIVE {
        states.extend((0..1_u32 << pending).map(|kept| disk.crash(|change| kept >> change & 1 == 1)));
    } else {
        states.extend((0..SAMPLES).map(|seed| disk.crash_seeded(seed)));
        states.push(disk.crash(|_| false));
        states.push(disk.crash(|_| true));
        // All but one, and one alone.
        for chosen in 0..pending {
            states.push(disk.crash(|change| change != chosen));
            states.push(disk.crash(|change| change == chosen));
        }
    }
    let bad = states.iter().filter(|state| !is_allowed(state, allowed)).count();
    (states.len(), bad)
}

/// What writes the new file.
#[derive(Clone, Copy, Debug)]
enum Operation {
    Save,
    SaveEveryFeature,
    Repair,
    Sign,
}

impl Operation {
    /// Writes the new file under the name; whether that succeeded.
    fn perform<S: Storage>(self, storage: &S, existing: Existing) -> bool {
        let data = new_data();
        let content = Content::new().bytes("x", &data).json("y", "[1]");
        let options = small().existing(existing);
        let every_feature = small()
            .encoding(Encoding::Zstd)
            .digest_kind(DigestKind::Blake3)
            .parity(Some(Level::Low));
        let path = Path::new(PATH);
        match self {
            Self::Save => save(storage, path, &content, &options).is_ok(),
            Self::SaveEveryFeature => save(storage, path, &content, &every_feature.existing(existing)).is_ok(),
            Self::Repair => {
                let mut damaged = file(&content, &every_feature);
                let middle = damaged.len() / 2;
                damaged[middle] ^= 1;
                repair(storage, &damaged, path, &Limits::DEFAULT).is_ok()
            }
            Self::Sign => {
                let key = PrivateKey::load(Path::new(concat!(
                    env!("CARGO_MANIFEST_DIR"),
                    "/testdata/keys/openssl.pem"
                )));
                let source = file(&content, &every_feature);
                sign(storage, &source, path, &key.unwrap(), &Limits::DEFAULT).is_ok()
            }
        }
    }
}

/// Runs an operation over a storage made by `wrap` and kills the process after every call in turn, then cuts the power;
/// at last lets the operation return and cuts the power. Returns the states seen and the bad ones.
fn run<S: Storage>(
    wrap: impl Fn(SimDisk) -> S,
    operation: Operation,
    with_old: bool,
    existing: Existing,
) -> (usize, usize) {
    let reference = SimDisk::new();
    assert!(operation.perform(&reference, existing));
    let mut allowed = Allowed {
        old: disk(with_old).read(Path::new(PATH)).ok(),
        new: reference.read(Path::new(PATH)).unwrap(),
        acknowledged: false,
    };
    let (mut seen, mut bad) = (0, 0);
    for call in 0.. {
        let disk = disk(with_old);
        let storage = Faulty::failing(wrap(disk.clone()), Fault::Kill, When::Once(call));
        let done = operation.perform(&storage, existing);
        allowed.acknowledged = done;
        let (states, violations) = cut_power(&disk, &allowed);
        seen += states;
        bad += violations;
        if done {
            return (seen, bad);
        }
    }
    unreachable!("an operation ends")
}

#[test]
fn a_power_cut_at_any_moment_leaves_the_old_file_or_the_new_one() {
    let mut seen = 0;
    for (operation, with_old, existing) in [
        (Operation::Save, true, Existing::Replace),
        (Operation::Save, false, Existing::Replace),
        (Operation::Save, false, Existing::Refuse),
        (Operation::SaveEveryFeature, true, Existing::Replace),
        (Operation::Repair, false, Existing::Refuse),
        (Operation::Sign, false, Existing::Refuse),
    ] {
        let (states, bad) = run(|disk| disk, operation, with_old, existing);
        assert_eq!(
            bad, 0,
            "of {states} states, {operation:?}, with_old: {with_old}, {existing:?}"
        );
        seen += states;
    }
    assert!(seen > 3000, "only {seen} states were looked at");
}

/// Passes everything on, except where a twin lies.
macro_rules! twin {
    ($name:ident, $file:ident, sync: $sync:expr, sync_dir: $sync_dir:expr, rename: $rename:expr) => {
        struct $name {
            disk: SimDisk,
            waiting: Mutex<Vec<PathBuf>>,
        }

        struct $file {
            file: SimFile,
        }

        impl $name {
            fn new(disk: SimDisk) -> Self {
                Self {
                    disk,
                    waiting: Mutex::default(),
                }
            }
        }

        impl ReadAt for $file {
            fn len(&self) -> io::Result<u64> {
                self.file.len()
            }

            fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
                self.file.read_at(buffer, offset)
            }
        }

        impl StorageFile for $file {
            fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
                self.file.write_at(bytes, offset)
            }

            fn set_len(&self, len: u64) -> io::Result<()> {
                self.file.set_len(len)
            }

            fn sync(&self) -> io::Result<()> {
                $sync(&self.file)
            }

            fn close(self) -> io::Result<()> {
                self.file.close()
            }
        }

        impl Storage for $name {
            type File = $file;

            fn create_new(&self, path: &Path, permissions: Option<&Permissions>) -> io::Result<$file> {
                Ok($file {
                    file: self.disk.create_new(path, permissions)?,
                })
            }

            fn open(&self, path: &Path) -> io::Result<$file> {
                Ok($file {
                    file: self.disk.open(path)?,
                })
            }

            fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
                self.waiting.lock().unwrap().push(to.into());
                $rename(&self.disk, from, to)
            }

            fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
                self.rename(from, to)
            }

            fn remove(&self, path: &Path) -> io::Result<()> {
                self.disk.remove(path)
            }

            fn sync_dir(&self, dir: &Path) -> io::Result<()> {
                $sync_dir(self, dir)
            }

            fn exists(&self, path: &Path) -> io::Result<bool> {
                self.disk.exists(path)
            }

            fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
                self.disk.list(dir)
            }
        }
    };
}

twin!(Honest, HonestFile,
    sync: |file: &SimFile| file.sync(),
    sync_dir: |twin: &Honest, dir: &Path| twin.disk.sync_dir(dir),
    rename: |disk: &SimDisk, from: &Path, to: &Path| disk.rename(from, to));
twin!(NoSync, NoSyncFile,
    sync: |_: &SimFile| Ok(()),
    sync_dir: |twin: &NoSync, dir: &Path| twin.disk.sync_dir(dir),
    rename: |disk: &SimDisk, from: &Path, to: &Path| disk.rename(from, to));
twin!(NoSyncDir, NoSyncDirFile,
    sync: |file: &SimFile| file.sync(),
    sync_dir: |_: &NoSyncDir, _: &Path| Ok(()),
    rename: |disk: &SimDisk, from: &Path, to: &Path| disk.rename(from, to));
// The rename happens before the data are flushed: they are, but only when the directory is.
twin!(RenameFirst, RenameFirstFile,
    sync: |_: &SimFile| Ok(()),
    sync_dir: |twin: &RenameFirst, dir: &Path| {
        for path in twin.waiting.lock().unwrap().drain(..) {
            twin.disk.open(&path)?.sync()?;
        }
        twin.disk.sync_dir(dir)
    },
    rename: |disk: &SimDisk, from: &Path, to: &Path| disk.rename(from, to));

#[test]
fn the_checker_finds_the_third_state_when_a_flush_is_left_out() {
    let replace = Existing::Replace;
    let (states, bad) = run(Honest::new, Operation::Save, true, replace);
    assert_eq!(bad, 0, "the wrapper itself changes nothing, {states} states");
    assert!(
        run(NoSync::new, Operation::Save, true, replace).1 > 0,
        "no flush of the file"
    );
    assert!(
        run(NoSyncDir::new, Operation::Save, true, replace).1 > 0,
        "no flush of the directory"
    );
    assert!(
        run(NoSyncDir::new, Operation::Save, false, Existing::Refuse).1 > 0,
        "no flush of the directory, no old file"
    );
    assert!(
        run(RenameFirst::new, Operation::Save, true, replace).1 > 0,
        "rename before the flush"
    );
}

#[test]
fn without_durability_the_file_is_whole_for_processes_but_a_power_cut_may_tear_it() {
    let disk = disk(true);
    let data = new_data();
    let content = Content::new().bytes("x", &data);
    let options = SaveOptions::new(Durability::None).existing(Existing::Replace);
    save(&disk, Path::new(PATH), &content, &options).unwrap();
    let verdict = |disk: &SimDisk| {
        let bytes = disk.read(Path::new(PATH)).unwrap();
        verify_source(&bytes, Depth::All, VerifyOptions::new()).unwrap().verdict
    };
    assert_eq!(verdict(&disk), Verdict::Ok);
    let name_only = disk.pending() - 1;
    assert_eq!(verdict(&disk.crash(|change| change == name_only)), Verdict::Unreadable);
}

#[test]
fn a_second_flush_after_a_failed_one_is_never_tried() {
    use fold_format::storage::Call;
    let data = new_data();
    let content = Content::new().bytes("x", &data);
    let clean = Faulty::recording(disk(true));
    save(&clean, Path::new(PATH), &content, &small().existing(Existing::Replace)).unwrap();
    let sync = clean.calls().iter().position(|call| *call == Call::Sync).unwrap();
    let failing = Faulty::failing(disk(true), Fault::Errno(5), When::Once(sync));
    save(
        &failing,
        Path::new(PATH),
        &content,
        &small().existing(Existing::Replace),
    )
    .unwrap_err();
    assert_eq!(failing.calls()[sync..], [Call::Sync, Call::Remove]);
}
