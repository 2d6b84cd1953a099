//! The items of the pre-release checklist: the table, and what several of them need.
//!
//! An item is one function that runs commands a person could run, and returns what it saw. [`builds`] are cargo's,
//! [`documents`] compare files with each other, [`monitoring`] needs Prometheus, [`packages`] looks at what would be
//! published, [`runs`] use the binary, [`tooling`] needs tools that are not part of Rust. How items are chosen and
//! reported is in [`crate::checklist`].

mod builds;
pub(crate) mod documents;
mod drill;
mod monitoring;
mod packages;
mod runs;
mod session;
mod tooling;

use std::path::{Path, PathBuf};

use crate::checklist::{Ended, Item};

pub(crate) use drill::drill;
pub(crate) use packages::notices;
pub(crate) use tooling::record_benches;

/// Shorthand for the table.
const fn item(name: &'static str, slow: bool, proves: &'static str, run: fn(&Path) -> anyhow::Result<Ended>) -> Item {
    Item {
        name,
        proves,
        slow,
        run,
    }
}

const QUICK: bool = false;
const SLOW: bool = true;

/// Every item, in the order in which they run: what is cheap and fails often comes first.
pub(crate) const ALL: &[Item] = &[
    item("fmt", QUICK, "the sources are formatted", builds::fmt),
    item("layers", QUICK, "no crate knows one that it must not", builds::layers),
    item(
        "links",
        QUICK,
        "every link of every document leads somewhere",
        builds::links,
    ),
    item(
        "alerts",
        QUICK,
        "every alert has severity, summary and a runbook section, and names metrics that exist",
        documents::alerts,
    ),
    item(
        "spec-tables",
        QUICK,
        "the tables of metrics, exit codes and parameters are those of the code",
        builds::spec_tables,
    ),
    item(
        "licences",
        QUICK,
        "every dependency has an allowed licence and THIRD-PARTY.md names it",
        packages::licences,
    ),
    item(
        "alert-rules",
        QUICK,
        "promtool accepts the rules, their unit tests and the metrics",
        monitoring::alert_rules,
    ),
    item("clippy", QUICK, "no lint warns", builds::clippy),
    item(
        "tests",
        QUICK,
        "unit, integration and property tests pass",
        builds::tests,
    ),
    item(
        "doctests",
        QUICK,
        "the examples of the documentation run",
        builds::doctests,
    ),
    item(
        "docs",
        QUICK,
        "the API documentation builds without a warning",
        builds::docs,
    ),
    item(
        "golden",
        QUICK,
        "files of released versions are read and written as ever",
        builds::golden,
    ),
    item(
        "corruption",
        QUICK,
        "flips, truncation and hostile metadata are noticed, none silently",
        builds::corruption,
    ),
    item(
        "crash",
        QUICK,
        "a power cut at any call of a save or a prune loses nothing acknowledged",
        builds::crash,
    ),
    item(
        "vectors",
        QUICK,
        "the numerics reproduce their recorded bits and references",
        builds::vectors,
    ),
    item(
        "runbook",
        QUICK,
        "every code has an entry, and the scenarios end healthy when rehearsed",
        builds::runbook,
    ),
    item(
        "schemas",
        QUICK,
        "what commands print is what docs/schemas says",
        builds::schemas,
    ),
    item(
        "faults",
        QUICK,
        "signals, full and read-only disks and a second writer lose nothing",
        builds::faults,
    ),
    item(
        "fuzz-replay",
        QUICK,
        "the committed fuzz inputs replay",
        builds::fuzz_replay,
    ),
    item(
        "deny",
        QUICK,
        "licences, sources and bans hold (cargo-deny)",
        tooling::deny,
    ),
    item(
        "advisories",
        QUICK,
        "no dependency has a known advisory",
        tooling::advisories,
    ),
    item(
        "public-api",
        QUICK,
        "the public API is that of the last tag, or the version says that it changed",
        tooling::public_api,
    ),
    item(
        "package",
        QUICK,
        "each package holds what it needs and nothing else, in an order that can be published",
        packages::package,
    ),
    item(
        "readme",
        QUICK,
        "the README's session ends as it is printed",
        session::readme,
    ),
    item(
        "identity",
        QUICK,
        "one thread, two threads and a resumed run leave the same files",
        runs::identity,
    ),
    item(
        "flips",
        QUICK,
        "`fold verify` notices a flipped bit anywhere in a checkpoint",
        runs::flips,
    ),
    item(
        "alert-drill",
        QUICK,
        "a real Prometheus alerts on damage within two scrubs and resolves after the repair",
        drill::item,
    ),
    item(
        "train",
        SLOW,
        "the main command learns, beats its frozen twin over five seeds, and its checkpoints verify",
        runs::train,
    ),
    item("interop", SLOW, "PyFolds reads and writes what we do", tooling::interop),
    item(
        "corruption-fuzz",
        SLOW,
        "a campaign of random damage finds nothing silent",
        tooling::corruption_fuzz,
    ),
    item(
        "benches",
        SLOW,
        "no bench got slower than the others since the recorded baseline",
        tooling::benches,
    ),
    item(
        "fuzz",
        SLOW,
        "each target survives a minute of coverage-guided fuzzing",
        tooling::fuzz,
    ),
    item(
        "soak",
        SLOW,
        "ten million steps with hostile inputs keep every invariant, all mechanisms on",
        runs::soak,
    ),
    item(
        "kills",
        SLOW,
        "training killed at any moment resumes to the same files",
        runs::kills,
    ),
];

/// A folder for one item, emptied before and removed after.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new(root: &Path, item: &str) -> anyhow::Result<Self> {
        let folder = root.join("target/release-check/scratch").join(item);
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left behind is removed by the next run; a failure here must not hide the item's own result.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
