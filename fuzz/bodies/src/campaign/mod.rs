//! The corruption campaign: every kind of damage of the fault model, exhaustively where that is possible, over every layout.
//!
//! A phase counts its cases: how many were noticed, repaired, rightly refused, and how many went wrong. Three things are
//! wrong: damage that nothing reports, a damaged byte that is handed out or a repair that is not the original byte for byte
//! (all *silent*), and a panic. The cases follow from the seed alone; a time limit cuts them short and is then reported.
//! `cargo xtask corruption-fuzz` runs all of it, `cargo test` a thinned one with every planted bug.

pub mod crash;
mod flips;
mod judge;
mod lengths;
mod losses;
mod random;
mod sample;
pub mod twins;
mod version1;

use std::io::{self, Write};
use std::ops::{AddAssign, Range};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use rayon::prelude::*;

use self::crash::Script;

/// How many examples of what went wrong a phase keeps.
const EXAMPLES: usize = 5;

/// Cases that one thread takes at a time.
const BATCH: usize = 256;

/// How much of a campaign is run.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// All random choices follow from it.
    pub seed: u64,
    /// The time for all phases together; none: until they are through.
    pub limit: Option<Duration>,
    /// Of the exhaustive phases every case of this number, 1 for all: how a test runs them in seconds.
    pub stride: usize,
    /// Random cases of damage and of blocks lost within parity.
    pub random_cases: usize,
    /// Files that the mutator breaks, with right digests.
    pub mutations: usize,
    /// Simulated power cuts, over all scripts.
    pub crash_states: u64,
}

impl Settings {
    /// Everything that a release asks for.
    #[must_use]
    pub const fn full(seed: u64) -> Self {
        Self {
            seed,
            limit: None,
            stride: 1,
            random_cases: 100_000,
            mutations: 1_000_000,
            crash_states: 10_000_000,
        }
    }

    /// A few thousand cases of every kind.
    #[must_use]
    pub const fn thin(seed: u64) -> Self {
        Self {
            seed,
            limit: None,
            stride: 9973,
            random_cases: 100,
            mutations: 500,
            crash_states: 4000,
        }
    }
}

/// What a number of cases came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Cases that were run.
    pub cases: u64,
    /// The damage was reported and, where it can be told, located.
    pub detected: u64,
    /// Repaired to the original, byte for byte.
    pub repaired: u64,
    /// A repair that is beyond the parity was refused and nothing written.
    pub refused: u64,
    /// No damage to anything that can be read: what was laid over the bytes is what they were; or, in version 1, a byte that
    /// means nothing, or one of metadata of which the report warns that nothing speaks for them.
    pub harmless: u64,
    /// Not reported, handed out although damaged, or repaired to something else.
    pub silent: u64,
    /// Panics.
    pub panics: u64,
    /// The first of what went wrong.
    pub examples: Vec<String>,
}

impl Tally {
    fn wrong(&mut self, what: impl FnOnce() -> String) {
        self.silent += 1;
        if self.examples.len() < EXAMPLES {
            self.examples.push(what());
        }
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.cases += other.cases;
        self.detected += other.detected;
        self.repaired += other.repaired;
        self.refused += other.refused;
        self.harmless += other.harmless;
        self.silent += other.silent;
        self.panics += other.panics;
        let room = EXAMPLES.saturating_sub(self.examples.len());
        self.examples.extend(other.examples.into_iter().take(room));
    }
}

/// What a phase came to.
#[derive(Clone, Debug)]
pub struct Row {
    /// The number of the test in the fault model, and what is done.
    pub phase: &'static str,
    /// Files or scripts that it ran over.
    pub subjects: usize,
    /// Cases that it consists of.
    pub planned: u64,
    /// What those that were run came to.
    pub tally: Tally,
    /// How long it took.
    pub elapsed: Duration,
}

impl Row {
    /// Whether every case was run.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        self.tally.cases == self.planned
    }

    /// Whether nothing went wrong in the cases that were run.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.tally.silent == 0 && self.tally.panics == 0
    }
}

/// The time that the phases share: each may take its part of what is left by then.
pub(crate) struct Clock {
    end: Option<Instant>,
    weights_left: u32,
}

impl Clock {
    pub(crate) fn new(limit: Option<Duration>, weights: u32) -> Self {
        Self {
            end: limit.map(|limit| Instant::now() + limit),
            weights_left: weights,
        }
    }

    /// When a phase of that weight must end.
    pub(crate) fn share(&mut self, weight: u32) -> Option<Instant> {
        let left = self.weights_left.max(weight);
        self.weights_left = left - weight;
        let now = Instant::now();
        self.end
            .map(|end| now + end.saturating_duration_since(now) * weight / left)
    }
}

/// Runs the cases of `range` on all threads, until `end`; what those that were run came to.
///
/// - `scratch`: made once per thread and batch; what `case` changes in it, it must change back.
pub(crate) fn sweep<T>(
    range: Range<usize>,
    end: Option<Instant>,
    scratch: impl Fn() -> T + Sync,
    case: impl Fn(&mut T, usize, &mut Tally) + Sync,
) -> Tally {
    let batches = range.len().div_ceil(BATCH);
    let batch = |number: usize| {
        let mut tally = Tally::default();
        if end.is_some_and(|end| Instant::now() >= end) {
            return tally;
        }
        let start = range.start + number * BATCH;
        let mut prepared = scratch();
        for at in start..(start + BATCH).min(range.end) {
            tally.cases += 1;
            let mut own = Tally::default();
            match catch_unwind(AssertUnwindSafe(|| case(&mut prepared, at, &mut own))) {
                Ok(()) => tally += own,
                Err(_) => {
                    tally.panics += 1;
                    tally.examples.push(format!("a panic in case {at}"));
                    prepared = scratch();
                }
            }
        }
        tally
    };
    let add = |mut sum: Tally, other: Tally| {
        sum += other;
        sum
    };
    (0..batches).into_par_iter().map(batch).reduce(Tally::default, add)
}

/// A phase: what it is called, its share of the time, and how it is run.
struct Phase<'a> {
    name: &'static str,
    weight: u32,
    run: Box<dyn Fn(Option<Instant>) -> (usize, u64, Tally) + 'a>,
}

/// Runs the phases and tells each row when it is there.
///
/// - `only`: what the names of the phases to run begin with; empty: all are run.
/// - `scripts`: what the simulated power cuts go through, beside those of the container itself.
///
/// # Errors
/// What telling a row fails with.
pub fn run(
    settings: &Settings,
    only: &[String],
    scripts: &[&dyn Script],
    tell: &mut dyn FnMut(&Row) -> io::Result<()>,
) -> io::Result<Vec<Row>> {
    let samples = sample::samples();
    let (samples, settings) = (&samples, *settings);
    let phases = [
        Phase {
            name: "T1 every bit of every layout flipped",
            weight: 30,
            run: Box::new(move |end| flips::every_bit(samples, &settings, end)),
        },
        Phase {
            name: "T1 every bit of every small version 1 file flipped",
            weight: 8,
            run: Box::new(move |end| version1::every_bit(&settings, end)),
        },
        Phase {
            name: "T2 every value of every byte of superblock A",
            weight: 4,
            run: Box::new(move |end| flips::every_superblock_byte(samples, &settings, end)),
        },
        Phase {
            name: "T2 every two bits of an index copy",
            weight: 4,
            run: Box::new(move |end| flips::index_pairs(samples, &settings, end)),
        },
        Phase {
            name: "T3 cut at every length",
            weight: 10,
            run: Box::new(move |end| lengths::every_cut(samples, &settings, end)),
        },
        Phase {
            name: "T3 1 to 4096 bytes of junk behind",
            weight: 3,
            run: Box::new(move |end| lengths::junk(samples, &settings, end)),
        },
        Phase {
            name: "T4 every set of up to r+1 lost blocks, small",
            weight: 1,
            run: Box::new(move |end| losses::every_set(&settings, end)),
        },
        Phase {
            name: "T4 random sets of r lost blocks",
            weight: 10,
            run: Box::new(move |end| losses::random_sets(&settings, 0, end)),
        },
        Phase {
            name: "T4 random sets of r+1 lost blocks",
            weight: 4,
            run: Box::new(move |end| losses::random_sets(&settings, 1, end)),
        },
        Phase {
            name: "T4 a burst of r blocks from every sector on",
            weight: 2,
            run: Box::new(move |end| losses::bursts(&settings, end)),
        },
        Phase {
            name: "T5 every sector and every page lost, swapped, stale",
            weight: 2,
            run: Box::new(move |end| losses::sectors(samples, &settings, end)),
        },
        Phase {
            name: "T6 power cuts",
            weight: 25,
            run: Box::new(move |end| crash::campaign(&settings, scripts, end)),
        },
        Phase {
            name: "random damage of many bits and sectors",
            weight: 5,
            run: Box::new(move |end| random::damage(samples, &settings, end)),
        },
        Phase {
            name: "T10 random changes with right digests, two readers",
            weight: 10,
            run: Box::new(move |end| random::mutations(samples, &settings, end)),
        },
        Phase {
            name: "T1 every bit of a file of 1 MiB flipped",
            weight: 30,
            run: Box::new(move |end| flips::every_bit_of_a_mebibyte(&settings, end)),
        },
        Phase {
            name: "T2 every two bits of superblock A",
            weight: 30,
            run: Box::new(move |end| flips::superblock_pairs(samples, &settings, end)),
        },
    ];
    let chosen = |phase: &&Phase<'_>| only.is_empty() || only.iter().any(|name| phase.name.starts_with(name.as_str()));
    let phases = phases.iter().filter(chosen).collect::<Vec<_>>();
    let mut clock = Clock::new(settings.limit, phases.iter().map(|phase| phase.weight).sum());
    let mut rows = Vec::new();
    for phase in &phases {
        let started = Instant::now();
        let (subjects, planned, tally) = (phase.run)(clock.share(phase.weight));
        let row = Row {
            phase: phase.name,
            subjects,
            planned,
            tally,
            elapsed: started.elapsed(),
        };
        tell(&row)?;
        rows.push(row);
    }
    Ok(rows)
}

/// Writes the heading of the table of rows.
///
/// # Errors
/// What `out` fails with.
pub fn heading(out: &mut impl Write) -> io::Result<()> {
    writeln!(
        out,
        "{:<54} {:>5} {:>12} {:>12} {:>11} {:>9} {:>8} {:>6} {:>6} {:>8}",
        "", "files", "cases", "detected", "repaired", "refused", "harmless", "silent", "panics", "seconds"
    )
}

/// Writes a row of the table, what went wrong, and what was not run.
///
/// # Errors
/// What `out` fails with.
pub fn line(out: &mut impl Write, row: &Row) -> io::Result<()> {
    let Tally {
        cases,
        detected,
        repaired,
        refused,
        harmless,
        silent,
        panics,
        ref examples,
    } = row.tally;
    writeln!(
        out,
        "{:<54} {:>5} {cases:>12} {detected:>12} {repaired:>11} {refused:>9} {harmless:>8} {silent:>6} {panics:>6} {:>8.1}",
        row.phase,
        row.subjects,
        row.elapsed.as_secs_f64()
    )?;
    if !row.is_complete() {
        writeln!(
            out,
            "    not completed: {} of {} cases were not run",
            row.planned - cases,
            row.planned
        )?;
    }
    for example in examples {
        writeln!(out, "    {example}")?;
    }
    Ok(())
}
