//! A power cut after every operation of save and prune leaves the newest acknowledged checkpoint, or a newer one.

use std::fs::Permissions;
use std::io;
use std::path::{Path, PathBuf};

use fold_format::storage::{Fault, Faulty, SimDisk, SimFile, Storage, When};
use fold_ops::bridge::read_array;
use fold_ops::{Error, Retention, StoreWriter};

use crate::written::{DIR, save_step, weights};

const STEPS: u64 = 4;
const KEEP: Retention = Retention {
    keep_last: 1,
    keep_every: 0,
    keep_best: 1,
};

/// Saves and prunes step by step. What was acknowledged is told as it happens; the first failure ends the run, as the end
/// of the process would.
fn run<S: Storage>(storage: S, acknowledged: &mut u64) -> Result<(), Error> {
    let writer = StoreWriter::over(storage, DIR)?;
    for step in 1..=STEPS {
        // The first step stays the best, so that a prune has to pass over it.
        save_step(&writer, step, 1.0 / step as f64)?;
        *acknowledged = step;
        writer.prune(&writer.store().plan(&KEEP)?)?;
    }
    Ok(())
}

/// What is wrong with the disk, if anything: the newest valid checkpoint must be the acknowledged one or its successor.
fn complaint(disk: &SimDisk, acknowledged: u64) -> Option<String> {
    // Recovery itself: a new writer cleans up, then the newest valid one is looked for.
    let writer = StoreWriter::over(disk.clone(), DIR).unwrap();
    let latest = writer.store().latest_valid().unwrap();
    let Some(chosen) = latest.chosen else {
        return (acknowledged > 0).then(|| format!("nothing is left of step {acknowledged}"));
    };
    if chosen.step != acknowledged && chosen.step != acknowledged + 1 {
        return Some(format!("step {} instead of {acknowledged}", chosen.step));
    }
    let read = read_array::<f32, _>(&chosen.checkpoint, "layer0.weights", &[30, 100]).unwrap();
    (read != weights(chosen.step)).then(|| format!("step {} holds something else", chosen.step))
}

/// Runs until call `kill`, cuts the power in several ways, and collects complaints. None when the run ended before.
fn after_kill<S: Storage>(wrap: impl Fn(SimDisk) -> S, kill: usize) -> Option<Vec<String>> {
    let disk = SimDisk::new();
    let faulty = Faulty::failing(wrap(disk.clone()), Fault::Kill, When::Once(kill));
    let mut acknowledged = 0;
    if run(faulty, &mut acknowledged).is_ok() {
        return None;
    }
    let seeded = (0..24).map(|seed| disk.crash_seeded(seed ^ (kill as u64) << 8));
    let edges = [disk.crash(|_| true), disk.crash(|_| false)];
    Some(
        edges
            .into_iter()
            .chain(seeded)
            .filter_map(|crashed| complaint(&crashed, acknowledged))
            .collect(),
    )
}

#[test]
fn a_power_cut_at_any_call_leaves_the_newest_acknowledged_checkpoint() {
    let mut kills = 0;
    while let Some(complaints) = after_kill(|disk| disk, kills) {
        assert_eq!(complaints, Vec::<String>::new(), "power cut at call {kills}");
        kills += 1;
    }
    assert!(kills > 100, "only {kills} calls: the scenario has shrunk");
}

/// The planted bug: a disk whose directory is never flushed.
struct NoDirectorySync(SimDisk);

impl Storage for NoDirectorySync {
    type File = SimFile;

    fn create_new(&self, path: &Path, permissions: Option<&Permissions>) -> io::Result<SimFile> {
        self.0.create_new(path, permissions)
    }

    fn open(&self, path: &Path) -> io::Result<SimFile> {
        self.0.open(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename_new(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.0.exists(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        self.0.list(dir)
    }
}

#[test]
fn the_test_turns_red_without_the_directory_flush() {
    let lost = (0..)
        .map_while(|kill| after_kill(NoDirectorySync, kill))
        .any(|complaints| !complaints.is_empty());
    assert!(lost, "the planted bug was not noticed");
}
