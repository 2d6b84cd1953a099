//! `cargo xtask kill-soak`: training is killed at any moment of a save, again and again, while a reader looks on.
//!
//! What must hold after every kill: each file that has a checkpoint's name is whole; no step that had been seen is gone,
//! unless newer ones took its place; and a step's bytes are the same however often the run was killed on the way to it.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::evidence::{must, run};

/// Kills after which a new run begins: a directory that is resumed for ever would show one run's luck alone.
const KILLS_PER_RUN: u64 = 100;

/// The newest checkpoints that training keeps.
const KEEP: usize = 3;

/// A save must appear within this time.
const PATIENCE: Duration = Duration::from_secs(60);

/// The kill comes up to this long after a save appeared, in microseconds: some saves later at most.
const DELAY_MAX_MICROS: u64 = 60_000;

/// What a soak came to.
struct Soak<'a> {
    fold: &'a Path,
    /// Of each step that was ever seen whole, its bytes' hash.
    steps: BTreeMap<u64, u64>,
    /// Kills that left the temporary file of a save behind.
    during_save: u64,
    /// Kills after which a step was there that had not been seen before the kill.
    newer: u64,
}

/// Kills training `kills` times; what was seen.
///
/// - `scratch`: a folder that is there and empty.
/// - `seed`: the moments of the kills follow from it, as far as the machine lets them.
///
/// # Errors
/// Whatever should hold after a kill and does not, with what was found.
pub(crate) fn run_soak(fold: &Path, scratch: &Path, kills: u64, seed: u64) -> anyhow::Result<String> {
    let mut soak = Soak {
        fold,
        steps: BTreeMap::new(),
        during_save: 0,
        newer: 0,
    };
    let reads = AtomicU64::new(0);
    let mut random = seed;
    for kill in 0..kills {
        let out = scratch.join(format!("run-{}", kill / KILLS_PER_RUN));
        let delay = Duration::from_micros(next(&mut random) % DELAY_MAX_MICROS);
        let done = soak.kill(&out, delay, &reads);
        done.with_context(|| format!("kill {kill} in {}", out.display()))?;
        if (kill + 1) % KILLS_PER_RUN == 0 {
            std::fs::remove_dir_all(&out)?;
        }
    }
    Ok(format!(
        "{kills} kills, {} of them inside a save, {} with a newer step than was seen before; {} steps, each with the same \
         bytes in every run; {} reads meanwhile, all whole",
        soak.during_save,
        soak.newer,
        soak.steps.len(),
        reads.into_inner()
    ))
}

impl Soak<'_> {
    /// Starts or resumes training, kills it `delay` after a new step appeared, and looks at what is left.
    fn kill(&mut self, out: &Path, delay: Duration, reads: &AtomicU64) -> anyhow::Result<()> {
        let before = newest(out)?;
        let mut child = self.train(out)?;
        let started = Instant::now();
        let seen = loop {
            if let Some(status) = child.try_wait()? {
                bail!("training ended by itself: {status}");
            }
            match newest(out)? {
                Some(step) if Some(step) > before => break step,
                _ if started.elapsed() > PATIENCE => {
                    child.kill()?;
                    bail!("no save within {} s", PATIENCE.as_secs());
                }
                _ => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        let stop = AtomicBool::new(false);
        let seen = std::thread::scope(|scope| {
            let reader = scope.spawn(|| read_until(self.fold, out, &stop, reads));
            std::thread::sleep(delay);
            let seen = newest(out)?.unwrap_or(seen);
            child.kill()?;
            child.wait()?;
            stop.store(true, Ordering::Relaxed);
            match reader.join() {
                Ok(read) => read?,
                Err(_) => bail!("the reader panicked"),
            }
            Ok(seen)
        })?;
        self.look(out, seen)
    }

    fn train(&self, out: &Path) -> anyhow::Result<Child> {
        let mut command = Command::new(self.fold);
        command.args(["train", "--data", "digits", "--neurons", "8", "--parity", "low"]);
        command.args(["--epochs", "10000", "--progress", "never", "--quiet", "--keep-last"]);
        command.arg(KEEP.to_string());
        if out.exists() {
            command.arg("--resume");
        }
        command.arg("--out").arg(out);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().with_context(|| format!("cannot run {command:?}"))
    }

    /// Whether what should hold after a kill does. `seen`: the newest step that was there before it.
    fn look(&mut self, out: &Path, seen: u64) -> anyhow::Result<()> {
        let steps = checkpoints(out)?;
        let newest = steps.keys().next_back().copied().context("no checkpoint is left")?;
        ensure!(
            newest >= seen,
            "step {seen} was there and is gone; the newest is {newest}"
        );
        self.newer += u64::from(newest > seen);
        must(Command::new(self.fold).args(["verify", "--quiet"]).arg(out))?;
        for (step, path) in steps {
            let mut hasher = DefaultHasher::new();
            std::fs::read(&path)?.hash(&mut hasher);
            let hash = hasher.finish();
            let known = *self.steps.entry(step).or_insert(hash);
            ensure!(known == hash, "step {step} has other bytes than in a run before");
        }
        let names = std::fs::read_dir(out)?.map(|entry| Ok(entry?.file_name()));
        let names = names.collect::<std::io::Result<Vec<_>>>()?;
        let temporary = |name: &std::ffi::OsString| name.to_string_lossy().starts_with(".fold-tmp-");
        self.during_save += u64::from(names.iter().any(temporary));
        Ok(())
    }
}

/// Verifies the newest checkpoint over and over; one that is pruned meanwhile is no fault.
fn read_until(fold: &Path, out: &Path, stop: &AtomicBool, reads: &AtomicU64) -> anyhow::Result<()> {
    while !stop.load(Ordering::Relaxed) {
        let Some((step, path)) = checkpoints(out)?.pop_last() else {
            continue;
        };
        let output = run(Command::new(fold).args(["verify", "--quiet"]).arg(&path))?;
        if output.status.success() {
            reads.fetch_add(1, Ordering::Relaxed);
        } else {
            ensure!(
                !path.exists(),
                "step {step} is not whole while training goes on: {output:?}"
            );
        }
    }
    Ok(())
}

/// The checkpoints of a run by their steps; none where there is no directory yet.
fn checkpoints(out: &Path) -> anyhow::Result<BTreeMap<u64, PathBuf>> {
    if !out.exists() {
        return Ok(BTreeMap::new());
    }
    let step = |path: PathBuf| {
        let name = path.file_name()?.to_str()?;
        let step = name.strip_prefix("step-")?.strip_suffix(".fold")?.parse().ok()?;
        Some((step, path))
    };
    let entries = std::fs::read_dir(out)?.map(|entry| Ok(entry?.path()));
    let paths = entries.collect::<std::io::Result<Vec<_>>>()?;
    Ok(paths.into_iter().filter_map(step).collect())
}

fn newest(out: &Path) -> anyhow::Result<Option<u64>> {
    Ok(checkpoints(out)?.keys().next_back().copied())
}

/// The next number of a sequence (SplitMix64).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
