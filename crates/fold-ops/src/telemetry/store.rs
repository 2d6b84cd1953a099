//! What is known about a store right now: its listing, its file system, and what scrubs have found.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fold_format::Verdict;
use jiff::Timestamp;

use super::{
    BUILD_INFO, BYTES, DAMAGED, FILES, FINDINGS, FREE, LATEST_DAMAGED, LATEST_STEP, LATEST_TIME, READABLE, RunState,
    SCRUB_BYTES, SCRUB_DONE_SECONDS, SCRUB_DONE_TIME, SCRUB_FILES, SCRUB_INTERVAL, SCRUB_REPAIRS, SCRUB_RUNS,
    SCRUB_SECONDS, SIZE, VERIFIED_TIME, count, counter, counter_f64, gauge, rendered, unix_seconds,
};
use crate::check::targets;
use crate::code::Code;
use crate::host::Space;
use crate::scrub::{FileRecord, Identity, RunResult, ScrubState, is_ok, name_of};
use crate::store::step_of;

/// The most files that are named one by one: what keeps the number of series bounded.
pub const DAMAGED_MAX: usize = 100;

/// The verdicts of a full verification, as the label `result` has them.
const VERDICTS: [Verdict; 4] = [Verdict::Ok, Verdict::Corrected, Verdict::Damaged, Verdict::Unreadable];
const UNVERIFIED: &str = "unverified";
const REPAIRS: [&str; 3] = ["repaired", "conflict", "refused"];

/// A store at one moment.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StoreSnapshot {
    /// The directory.
    pub dir: PathBuf,
    /// Its checkpoints; none where it cannot be listed.
    pub files: Option<BTreeMap<PathBuf, Identity>>,
    /// Room on its file system, where that can be told.
    pub space: Option<Space>,
    /// What scrubs have found.
    pub state: ScrubState,
}

impl StoreSnapshot {
    /// Lists `dir`. A directory that cannot be listed is told by a metric and is no error.
    #[must_use]
    pub fn take(dir: &Path, state: ScrubState) -> Self {
        let listed = match targets::expand(dir) {
            Ok(_) if !dir.is_dir() => None,
            Ok(files) => Some(files),
            // Listed, and there is none.
            Err(_) => std::fs::read_dir(dir).is_ok().then(Vec::new),
        };
        let files = listed.map(|files| {
            let known = files
                .into_iter()
                .filter_map(|path| Some((path.clone(), Identity::found(&path)?.unwrap_or(Identity::UNKNOWN))));
            known.collect()
        });
        Self {
            dir: dir.into(),
            files,
            space: Space::of(dir).ok(),
            state,
        }
    }

    /// Of `dir` before anything in it is looked at.
    pub(crate) fn unseen(dir: &Path) -> Self {
        Self {
            dir: dir.into(),
            files: None,
            space: None,
            state: ScrubState::default(),
        }
    }

    /// The snapshot in the text format.
    #[must_use]
    pub fn render(&self) -> String {
        rendered(|| self.record())
    }

    /// As [`StoreSnapshot::render`], and what the run in the same directory reports, where one does.
    #[must_use]
    pub fn render_with_run(&self) -> String {
        let run = RunState::load(&self.dir);
        rendered(|| {
            self.record();
            if let Some(run) = &run {
                run.record(&self.dir.to_string_lossy());
            }
        })
    }

    fn known(&self, path: &Path, identity: &Identity) -> Option<&FileRecord> {
        self.state.known(&name_of(path), identity)
    }

    pub(super) fn record(&self) {
        let store = self.dir.to_string_lossy().into_owned();
        let labels = [("store", store.as_str())];
        gauge(
            &BUILD_INFO,
            &[("store", &store), ("kind", env!("CARGO_PKG_VERSION"))],
            1.0,
        );
        gauge(&READABLE, &labels, if self.files.is_some() { 1.0 } else { 0.0 });
        if let Some(files) = &self.files {
            self.record_files(files, &store);
        }
        if let Some(space) = &self.space {
            gauge(&FREE, &labels, space.free_bytes as f64);
            gauge(&SIZE, &labels, space.total_bytes as f64);
        }
        let whole = self
            .state
            .files
            .values()
            .filter(|record| is_ok(record))
            .map(|record| record.verified);
        gauge(&VERIFIED_TIME, &labels, unix_seconds(whole.max()));
        self.record_counters(&store);
    }

    fn record_files(&self, files: &BTreeMap<PathBuf, Identity>, store: &str) {
        let labels = [("store", store)];
        let mut by_verdict = BTreeMap::<&str, usize>::new();
        for (path, identity) in files {
            let verdict = match self.known(path, identity) {
                Some(record) => record.verdict.as_str(),
                None if *identity == Identity::UNKNOWN => Verdict::Unreadable.as_str(),
                None => UNVERIFIED,
            };
            *by_verdict.entry(verdict).or_default() += 1;
        }
        for result in VERDICTS.map(Verdict::as_str).into_iter().chain([UNVERIFIED]) {
            let number = by_verdict.get(result).copied().unwrap_or(0);
            gauge(&FILES, &[("store", store), ("result", result)], count(number));
        }
        let bytes = files
            .values()
            .map(|identity| identity.bytes)
            .fold(0, u64::saturating_add);
        gauge(&BYTES, &labels, bytes as f64);
        let mut bad: Vec<(&PathBuf, &FileRecord)> = files
            .iter()
            .filter_map(|(path, identity)| Some((path, self.known(path, identity)?)))
            .filter(|(_, record)| !is_ok(record))
            .collect();
        // What is read through its second copy must not crowd out what is lost.
        bad.sort_by_key(|(_, record)| record.verdict == Verdict::Corrected.as_str());
        for (path, record) in bad.into_iter().take(DAMAGED_MAX) {
            let code = record.codes.first().map_or("", String::as_str);
            let labels = [
                ("store", store),
                ("result", record.verdict.as_str()),
                ("kind", &name_of(path)),
                ("code", code),
            ];
            gauge(&DAMAGED, &labels, 1.0);
        }
        let newest = files
            .iter()
            .filter_map(|(path, identity)| Some((step_of(path.file_name()?)?, path, identity)))
            .max_by_key(|(step, ..)| *step);
        let damaged = newest
            .and_then(|(_, path, identity)| self.known(path, identity))
            .is_some_and(|record| !is_ok(record) && record.verdict != Verdict::Corrected.as_str());
        gauge(&LATEST_DAMAGED, &labels, if damaged { 1.0 } else { 0.0 });
        let written = newest.map(|(.., identity)| identity.modified);
        gauge(
            &LATEST_TIME,
            &labels,
            unix_seconds(written.filter(|time| *time > Timestamp::MIN)),
        );
        if let Some((step, ..)) = newest {
            gauge(&LATEST_STEP, &labels, step as f64);
        }
    }

    fn record_counters(&self, store: &str) {
        let labels = [("store", store)];
        let totals = &self.state.totals;
        for code in Code::all() {
            // What a verification of a file can find: the families of recognising, structure, digests and other formats, and
            // that it cannot be read.
            let found = matches!(code.as_str().get(6..8), Some("01" | "02" | "03" | "08"));
            if found || code == Code::Format(fold_format::Code::Io) {
                let number = totals.findings.get(code.as_str()).copied().unwrap_or(0);
                counter(&FINDINGS, &[("store", store), ("code", code.as_str())], number);
            }
        }
        for result in RunResult::ALL {
            let number = totals.runs.get(&result).copied().unwrap_or(0);
            counter(&SCRUB_RUNS, &[("store", store), ("result", result.as_str())], number);
        }
        for result in VERDICTS.map(Verdict::as_str) {
            let number = totals.files.get(result).copied().unwrap_or(0);
            counter(&SCRUB_FILES, &[("store", store), ("result", result)], number);
        }
        for result in REPAIRS {
            let number = totals.repairs.get(result).copied().unwrap_or(0);
            counter(&SCRUB_REPAIRS, &[("store", store), ("result", result)], number);
        }
        counter(&SCRUB_BYTES, &labels, totals.bytes);
        counter_f64(&SCRUB_SECONDS, &labels, totals.seconds);
        gauge(&SCRUB_DONE_TIME, &labels, unix_seconds(self.state.completed));
        gauge(&SCRUB_DONE_SECONDS, &labels, self.state.completed_seconds);
        gauge(&SCRUB_INTERVAL, &labels, self.state.interval_seconds);
    }
}
