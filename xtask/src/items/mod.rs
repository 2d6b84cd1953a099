//! The items of the pre-release checklist: the table, and what several of them need.
//!
//! An item is one function that runs commands a person could run, and returns what it saw; or it is tests. [`builds`] are
//! cargo's, [`documents`] compare files with each other, [`monitoring`] needs Prometheus, [`packages`] looks at what would
//! be published, [`public_api`] compares with the last tag, [`runs`] use the binary, [`suites`] are tests by their subject,
//! [`tooling`] needs tools that are not part of Rust, [`workflows`] reads the pipeline. How items are chosen and reported is
//! in [`crate::checklist`].

mod builds;
pub(crate) mod documents;
mod drill;
mod monitoring;
mod packages;
mod public_api;
mod runs;
mod session;
pub(crate) mod suites;
mod tooling;
mod workflows;

use std::path::{Path, PathBuf};

use crate::checklist::{Ended, How, Item};
use crate::instrumented;
use suites::{Subject, subject};

pub(crate) use drill::drill;
pub(crate) use packages::notices;
pub(crate) use runs::kill_soak;

/// Shorthand for the table.
const fn item(name: &'static str, slow: bool, proves: &'static str, run: fn(&Path) -> anyhow::Result<Ended>) -> Item {
    Item {
        name,
        proves,
        slow,
        how: How::Run(run),
    }
}

/// An item that is tests.
const fn tested(name: &'static str, proves: &'static str, subjects: &'static [Subject]) -> Item {
    Item {
        name,
        proves,
        slow: QUICK,
        how: How::Tests(subjects),
    }
}

const QUICK: bool = false;
const SLOW: bool = true;

/// Every item, in the order in which they run: what is cheap and fails often comes first, then what is built alike.
pub(crate) const ALL: &[Item] = &[
    item("fmt", QUICK, "the sources are formatted", builds::fmt),
    item(
        "alerts",
        QUICK,
        "every alert has severity, summary and a runbook section, and names metrics that exist",
        documents::alerts,
    ),
    item(
        "workflows",
        QUICK,
        "the pipeline runs foreign code by its full commit alone, with the least permissions, and tasks that exist",
        workflows::workflows,
    ),
    item(
        "licences",
        QUICK,
        "every dependency has an allowed licence and THIRD-PARTY.md names it",
        packages::licences,
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
        "package",
        QUICK,
        "each package holds what it needs and nothing else, in an order that can be published",
        packages::package,
    ),
    item("clippy", QUICK, "no lint warns", builds::clippy),
    item(
        "docs",
        QUICK,
        "the API documentation builds without a warning",
        builds::docs,
    ),
    Item {
        name: "tests",
        proves: "unit, integration and property tests pass, those that no item below names",
        slow: QUICK,
        how: How::OtherTests,
    },
    tested(
        "layers",
        "no crate knows one that it must not",
        &[subject("xtask", "test layers", "")],
    ),
    tested(
        "links",
        "every link of every document leads somewhere",
        &[subject("xtask", "test links", "")],
    ),
    tested(
        "spec-tables",
        "the tables of codes, metrics, exit codes, fields and parameters in the documents are those of the code",
        &[
            subject("fold-ops", "lib", "telemetry::tests"),
            subject("fold-ops", "lib", "the_index_is_what_the_code_table_gives"),
            subject("fold-format", "test it", "the_tables_of_the_specification_are"),
            subject("fold-format", "test it", "the_codes_of_the_specification_are"),
            subject("fold-advanced", "test it", "docs"),
        ],
    ),
    tested(
        "golden",
        "files of released versions are read and written as ever",
        &[subject("fold-format", "test it", "golden")],
    ),
    tested(
        "corruption",
        "flips, truncation and hostile metadata are noticed and located, none silently; parity restores or refuses",
        &[
            subject("fold-format", "test it", "flips"),
            subject("fold-format", "test it", "forms"),
            subject("fold-format", "test it", "hostile"),
            subject("fold-format", "test it", "faults"),
            subject("fold-format", "test it", "salvaged"),
            subject("fold-format", "test it", "signed"),
        ],
    ),
    tested(
        "crash",
        "a power cut at any call of a save or a prune loses nothing acknowledged",
        &[
            subject("fold-format", "test it", "crash"),
            subject("fold-ops", "test it", "crash"),
        ],
    ),
    tested(
        "vectors",
        "the numerics reproduce their recorded bits and references",
        &[
            subject("fold-core", "", ""),
            subject("fold-advanced", "lib", ""),
            subject("fold-advanced", "test it", ""),
        ],
    ),
    tested(
        "runbook",
        "every code has an entry, and the scenarios end healthy when their pages are followed",
        &[
            subject("fold-ops", "lib", "runbook"),
            subject("fold-cli", "test it", "rehearsals"),
        ],
    ),
    tested(
        "schemas",
        "what commands print is what docs/schemas says",
        &[subject("fold-cli", "test it", "schemas")],
    ),
    tested(
        "faults",
        "signals, full and read-only disks, a full standard output and a second writer lose nothing",
        &[
            subject("fold-cli", "test it", "faults"),
            subject("fold-cli", "test it", "outputs"),
        ],
    ),
    tested(
        "fuzz-replay",
        "the committed fuzz inputs and hostile files replay",
        &[subject("fold-fuzz-bodies", "", "")],
    ),
    item(
        "doctests",
        QUICK,
        "the examples of the documentation run",
        builds::doctests,
    ),
    item(
        "alert-rules",
        QUICK,
        "promtool accepts the rules, their unit tests and the metrics",
        monitoring::alert_rules,
    ),
    item(
        "alert-drill",
        QUICK,
        "a real Prometheus alerts on damage within two scrubs, names the file, and resolves after the repair",
        drill::item,
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
        "public-api",
        QUICK,
        "the public API is that of the tag before, or the version says that it changed",
        public_api::item,
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
    item("benches", SLOW, "every bench runs", tooling::benches),
    item(
        "perf-check",
        SLOW,
        "the ratios to peers and limits are those of the newest record",
        tooling::perf_check,
    ),
    item(
        "fuzz",
        SLOW,
        "each target survives a minute of coverage-guided fuzzing",
        tooling::fuzz,
    ),
    item(
        "sanitizers",
        SLOW,
        "the address sanitizer and the checks of undefined behaviour report nothing of the container's tests",
        instrumented::sanitize,
    ),
    item(
        "coverage",
        SLOW,
        "the container's tests ran with coverage; the evidence lists lines and branches not reached",
        instrumented::coverage,
    ),
    item(
        "exponential",
        SLOW,
        "e^x and the logistic function keep their bounds and their order for every number there is",
        builds::exponential,
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
        "training killed at any moment loses no save, shows no reader a broken file, and resumes to the same files",
        runs::kills,
    ),
];

/// What each item claims of the tests.
pub(crate) fn claims() -> Vec<(&'static str, &'static [Subject])> {
    let claimed = ALL.iter().filter_map(|item| match item.how {
        How::Tests(subjects) => Some((item.name, subjects)),
        How::Run(_) | How::OtherTests => None,
    });
    claimed.collect()
}

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
