//! The measurements of docs/performance/REPORT.md: `cargo xtask perf-report` runs this and writes the report from what it prints.
//!
//! `perf FOLDER [--small]`: the files that are measured are written into a new folder inside FOLDER and removed.
//!
//! Cases of one group do the same work and are measured in turns: one round runs each of them once, so that what the machine does
//! meanwhile meets all of them alike. What counts is the ratio of their medians. One line of CSV per case:
//! `group,case,bytes,rounds,low_ns,median_ns,high_ns`, low and high being the quartiles; `bytes` is what the work is about, or the
//! number of synapse updates of a step. `--small` is for trying it: small files, three rounds.

mod container;
mod step;
mod worst;

use std::hint::black_box;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, bail};

/// How much is measured.
#[derive(Clone, Copy)]
struct Scale {
    /// Bytes of the large model.
    large: usize,
    /// Bytes of the model that is written in every form.
    forms: usize,
    /// Tensors of the model with many.
    tensors: usize,
    rounds: usize,
}

const FULL: Scale = Scale {
    large: 1 << 30,
    forms: 256 << 20,
    tensors: 100_000,
    rounds: 9,
};

const SMALL: Scale = Scale {
    large: 8 << 20,
    forms: 4 << 20,
    tensors: 1000,
    rounds: 3,
};

/// A named piece of work; what it answers is kept from being optimised away.
type Case<'c> = (&'static str, Box<dyn FnMut() -> anyhow::Result<u64> + 'c>);

/// Measures the cases of a group in turns and prints a line for each.
fn measure(group: &str, amount: u64, rounds: usize, cases: &mut [Case<'_>]) -> anyhow::Result<()> {
    measure_after(group, amount, rounds, cases, || Ok(()))
}

/// As [`measure`], for saves of `amount` bytes that take less than a second, each of which finds the disk idle and memory free.
fn measure_saves(group: &str, amount: u64, rounds: usize, cases: &mut [Case<'_>]) -> anyhow::Result<()> {
    let room = usize::try_from(amount + amount / 4)?;
    measure_after(group, amount, rounds, cases, || {
        written_back();
        // A virtual machine may give free memory back to its host after some seconds, and then gets it again page by page,
        // many times as slowly as it writes to it.
        black_box(vec![1u8; room]);
        Ok(())
    })
}

/// Waits until nothing of the page cache is left to be written.
#[cfg(target_os = "linux")]
fn written_back() {
    rustix::fs::sync();
}

/// Elsewhere nothing is known to do that: what one case leaves may be written during the next.
#[cfg(not(target_os = "linux"))]
fn written_back() {}

/// As [`measure`], with something done before each run of a case that is not timed.
fn measure_after(
    group: &str,
    amount: u64,
    rounds: usize,
    cases: &mut [Case<'_>],
    before: impl Fn() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut times = vec![Vec::with_capacity(rounds); cases.len()];
    // The first round warms caches and is not counted.
    for round in 0..=rounds {
        for ((name, case), times) in cases.iter_mut().zip(&mut times) {
            before()?;
            let start = Instant::now();
            let answer = case().with_context(|| format!("{group}, {name}"))?;
            let time = start.elapsed();
            black_box(answer);
            if round > 0 {
                times.push(time.as_nanos());
            }
        }
    }
    let mut out = std::io::stdout().lock();
    for ((name, _), mut times) in cases.iter().zip(times) {
        times.sort_unstable();
        let at = |part: usize| times[(times.len() - 1) * part / 4];
        writeln!(out, "{group},{name},{amount},{rounds},{},{},{}", at(1), at(2), at(3))?;
    }
    Ok(())
}

fn main() -> anyhow::Result<()> {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let (folder, scale) = match arguments.as_slice() {
        [folder] => (PathBuf::from(folder), FULL),
        [folder, small] if small == "--small" => (PathBuf::from(folder), SMALL),
        _ => bail!("usage: perf FOLDER [--small]"),
    };
    let dir = tempfile::tempdir_in(folder)?;
    writeln!(std::io::stdout(), "group,case,bytes,rounds,low_ns,median_ns,high_ns")?;
    container::loading(dir.path(), scale)?;
    container::many(dir.path(), scale)?;
    container::saving(dir.path(), scale)?;
    container::forms(dir.path(), scale)?;
    worst::one_byte(dir.path(), scale)?;
    worst::incompressible(dir.path(), scale)?;
    worst::cold(dir.path(), scale)?;
    worst::one_cold(dir.path(), scale)?;
    worst::one_thread(dir.path(), scale)?;
    step::steps(scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_runs_and_tells_the_same_content() {
        let dir = tempfile::tempdir().unwrap();
        let scale = Scale {
            large: 1 << 20,
            forms: 1 << 20,
            tensors: 10,
            rounds: 1,
        };
        container::loading(dir.path(), scale).unwrap();
        container::many(dir.path(), scale).unwrap();
        container::saving(dir.path(), scale).unwrap();
        container::forms(dir.path(), scale).unwrap();
        worst::one_byte(dir.path(), scale).unwrap();
        worst::incompressible(dir.path(), scale).unwrap();
        worst::cold(dir.path(), scale).unwrap();
        worst::one_cold(dir.path(), scale).unwrap();
        worst::one_thread(dir.path(), scale).unwrap();
    }
}
