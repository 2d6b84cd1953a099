//! Scrubbing a store: every checkpoint read in full now and then, slowly, so that damage is found while another copy lives.
//!
//! A scrub is a pass over all files that may be spread over many calls: what was found is kept in a state file
//! ([`ScrubState`]), and a call that was stopped is gone on from by the next. Bandwidth and time can be limited; memory
//! stays within a few MiB per thread whatever the size of the files. No checkpoint is changed; what can be
//! repaired is written elsewhere, where that is asked for.

mod pace;
mod report;
mod state;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io;
use std::num::NonZeroU64;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fold_format::storage::Storage as _;
use fold_format::v1::Keys;
use fold_format::{Checkpoint, Disk, Limits, Progress, Verdict};
use jiff::Timestamp;

pub use report::{RepairOutcome, RepairedCopy, ScrubReport, ScrubSummary};
pub use state::{FileRecord, Identity, RunResult, STATE_FILE_NAME, ScrubState, Totals};

use crate::check::{self, FileReport, FindingReport, Level, targets};
use crate::clock::Clock;
use crate::code::Code;
use crate::error::{DirectoryOperation, Error, shown};
use crate::exit::ExitCode;
use crate::input_file;
use crate::json::Int;
use crate::store::lock::{self, WriterLock};
use crate::telemetry;
use pace::Pace;

/// How long a state that is not saved yet may get: what a killed scrub reads again.
const SAVE_EVERY: Duration = Duration::from_secs(2);
/// Reports of files that are not whole that are kept; those beyond are counted.
const REPORTS_MAX: usize = 100;
/// Findings that are kept per file.
const FINDINGS_MAX: usize = 100;

/// There is no file of that name.
const ABSENT: Code = Code::Format(fold_format::Code::Absent);

/// How to scrub. The default reads everything at full speed and keeps its state in the directory.
#[derive(Clone, Debug, Default)]
pub struct ScrubOptions {
    /// Bytes per second that are read at most, on average over a few MiB per thread.
    pub bytes_per_second: Option<NonZeroU64>,
    /// No further file is begun after this time. At least one file is read, so that every call gets on.
    pub max_duration: Option<Duration>,
    /// Files that were found whole at or after this time, and did not change, are not read again.
    pub since: Option<Timestamp>,
    /// Time between two passes: only told in the metrics, so that an alert knows when one is overdue.
    pub interval: Option<Duration>,
    /// The state file; `DIR/.fold-scrub.json` where none is said.
    pub state: Option<PathBuf>,
    /// Written with each saving of the state, for node_exporter's textfile collector.
    pub metrics_file: Option<PathBuf>,
    /// A directory that whole copies of damaged files are written to, where parity or a second copy of the metadata
    /// restores every byte. The damaged files themselves are never touched.
    pub repair_to: Option<PathBuf>,
}

/// What a scrub tells while it goes on.
#[derive(Debug)]
#[non_exhaustive]
pub enum ScrubEvent<'a> {
    /// A file is begun or gone on with. `Break` stops the scrub; what is done is kept.
    Reading {
        /// The file.
        path: &'a Path,
        /// Bytes read in this call.
        done: u64,
        /// Bytes that this call is to read.
        total: u64,
        /// Time that the rest will take.
        eta: Option<Duration>,
    },
    /// A file was read.
    Verified {
        /// What was found.
        file: &'a FileReport,
    },
}

/// Who is told.
pub type OnScrub<'a> = &'a mut (dyn FnMut(&ScrubEvent<'_>) -> ControlFlow<()> + Send);

/// Scrubs the checkpoints of a directory.
///
/// Any bytes may be in the files. A file that vanishes meanwhile was removed by a writer and is passed over.
///
/// # Errors
/// `FOLD-E0007` when `on` breaks off, with the state saved; `FOLD-E0105` while another scrub uses the state file;
/// `FOLD-E0604` the state file is something else; `FOLD-E0003` the metrics file is; a repaired copy cannot be written. State
/// or metrics that cannot be written are findings of the report, which says what was read.
pub fn scrub(dir: &Path, options: &ScrubOptions, clock: &dyn Clock, on: OnScrub<'_>) -> Result<ScrubReport, Error> {
    if let Some(file) = &options.metrics_file {
        telemetry::check_textfile(file, &telemetry::StoreSnapshot::unseen(dir).render())?;
    }
    let path = options.state.clone().unwrap_or_else(|| ScrubState::default_path(dir));
    // Without a directory there is no state in it either: nothing is locked, counted or written.
    let nowhere = options.state.is_none() && !dir.is_dir();
    // Looked at before a lock file is made beside it.
    if !nowhere
        && let Err(error) = input_file::open(&path)
        && error.code() != ABSENT
    {
        return Err(error);
    }
    // Without a lock, as on a disk that cannot be written to, the state is not saved, and the store is read all the same.
    let (_lock, unlocked) = if nowhere {
        (None, None)
    } else {
        match WriterLock::take_file(&path, lock_path(&path)) {
            Ok(lock) => (Some(lock), None),
            Err(error @ Error::Locked { .. }) => return Err(error),
            Err(error) => (None, Some(FindingReport::of_unsaved(&error, &path))),
        }
    };
    let mut state = if nowhere {
        ScrubState::default()
    } else {
        ScrubState::load(&path)?
    };
    state.interval_seconds = options.interval.map_or(0.0, |interval| interval.as_secs_f64());
    let started = clock.now();
    state.forget_the_future(started);
    let begun = clock.elapsed();
    let mut run = Run {
        dir,
        options,
        clock,
        path,
        state,
        begun,
        saved: begun,
        summary: ScrubSummary::default(),
        reports: Vec::new(),
        repairs: Vec::new(),
        started,
        unlocked,
        conflict: false,
        unsaved: Vec::new(),
    };
    let found = targets::expand(dir);
    let files = match found {
        Ok(_) if !dir.is_dir() => Err(FindingReport::not_a_directory(dir)),
        Ok(files) => Ok(files),
        Err(finding) => Err(*finding),
    };
    match files {
        Ok(files) => {
            let ended = run.all(&files, on);
            let result = match &ended {
                Ok(result) => *result,
                Err(_) => RunResult::Interrupted,
            };
            run.close(result);
            ended.map(|result| run.report(result, Vec::new()))
        }
        Err(finding) => {
            if !nowhere {
                run.close(RunResult::Failed);
            }
            Ok(run.report(RunResult::Failed, vec![finding]))
        }
    }
}

fn lock_path(state: &Path) -> PathBuf {
    let mut name = state.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
}

/// The name under which a file is known in the state: its own, where a backslash is doubled and a byte that is not UTF-8
/// stands as `\xff`, so that no two files have one.
pub(crate) fn name_of(path: &Path) -> String {
    let mut name = String::new();
    for chunk in path.file_name().unwrap_or_default().as_encoded_bytes().utf8_chunks() {
        name.push_str(&chunk.valid().replace('\\', "\\\\"));
        for byte in chunk.invalid() {
            let _ = write!(name, "\\x{byte:02x}");
        }
    }
    name
}

/// Where the whole copy of a file goes.
fn copy_path(to: &Path, path: &Path) -> PathBuf {
    to.join(path.file_name().unwrap_or_default())
}

/// Whether `copy` is whole, and of what was saved as `source`: a damaged file tells that as long as it can be opened.
fn is_copy(source: &Path, copy: &Path) -> Result<bool, Error> {
    let on = &mut |_: &Path, _| ControlFlow::Continue(());
    let verified = check::file(copy, Level::Full, 1, &Keys::new(), on)?;
    let saved = |path| {
        let checkpoint = Checkpoint::open(path).ok()?;
        let info = checkpoint.info();
        Some((info.uuid, info.root))
    };
    Ok(verified.is_whole() && saved(source).is_some_and(|of| saved(copy) == Some(of)))
}

/// Whether a recorded verdict is a clean bill.
pub(crate) fn is_ok(record: &FileRecord) -> bool {
    record.verdict == Verdict::Ok.as_str()
}

/// A call under way.
struct Run<'a> {
    dir: &'a Path,
    options: &'a ScrubOptions,
    clock: &'a dyn Clock,
    path: PathBuf,
    state: ScrubState,
    begun: Duration,
    saved: Duration,
    summary: ScrubSummary,
    reports: Vec<FileReport>,
    repairs: Vec<RepairedCopy>,
    started: Timestamp,
    /// Why the state is not saved, where its lock could not be taken.
    unlocked: Option<FindingReport>,
    /// Whether another file has the name of a whole copy.
    conflict: bool,
    /// What of the last saving failed.
    unsaved: Vec<FindingReport>,
}

impl Run<'_> {
    fn all(&mut self, files: &[PathBuf], on: OnScrub<'_>) -> Result<RunResult, Error> {
        if self.state.pass_done {
            self.state.pass = self.state.pass.saturating_add(1);
            self.state.pass_done = false;
            self.state.pass_started = Some(self.started);
            self.state.pass_seconds = 0.0;
        }
        let names = files.iter().map(|path| name_of(path)).collect::<BTreeSet<_>>();
        self.state.files.retain(|name, _| names.contains(name));
        self.summary.files = files.len();
        self.summary.pass = Int(self.state.pass);
        let pending = self.pending(files);
        let total = pending
            .iter()
            .filter_map(|(_, identity)| Some(identity.as_ref().ok()?.bytes))
            .fold(0, u64::saturating_add);
        let pace = Pace::new(self.begun, self.options.bytes_per_second, total);
        let all = pending.len();
        for (count, (path, identity)) in pending.into_iter().enumerate() {
            let spent = self.clock.elapsed().saturating_sub(self.begun);
            if count > 0 && self.options.max_duration.is_some_and(|limit| spent >= limit) {
                self.summary.left = all - count;
                self.name_known(files);
                return Ok(RunResult::Partial);
            }
            self.one(&path, identity, &pace, on)?;
        }
        self.name_known(files);
        self.state.pass_done = true;
        self.state.completed = Some(self.clock.now());
        Ok(match self.state.files.values().all(is_ok) && self.reports.is_empty() {
            true => RunResult::Clean,
            false => RunResult::Damaged,
        })
    }

    /// What is to be read, what was never verified first, then what was verified longest ago.
    fn pending(&mut self, files: &[PathBuf]) -> Vec<(PathBuf, io::Result<Identity>)> {
        let pass = self.state.pass;
        let mut pending = Vec::new();
        for path in files {
            // A file that vanished since the listing was removed by a writer.
            let Some(identity) = Identity::found(path) else {
                continue;
            };
            let name = name_of(path);
            let known = self.state.known(&name, identity.as_ref().unwrap_or(&Identity::UNKNOWN));
            let fresh = known.is_some_and(|record| {
                (record.pass == pass && !self.lacks_repair(path, record))
                    || (is_ok(record) && self.options.since.is_some_and(|since| record.verified >= since))
            });
            if fresh {
                self.summary.fresh += 1;
            } else {
                pending.push((known.map(|record| record.verified), path.clone(), identity));
            }
        }
        pending.sort_by(|(a, path_a, _), (b, path_b, _)| a.cmp(b).then_with(|| path_a.cmp(path_b)));
        pending
            .into_iter()
            .map(|(_, path, identity)| (path, identity))
            .collect()
    }

    /// Whether a file is not whole and a repair is asked for of which nothing has come yet: an earlier call was not to
    /// repair, or could not, or what it wrote is not there.
    fn lacks_repair(&self, path: &Path, record: &FileRecord) -> bool {
        let Some(to) = &self.options.repair_to else {
            return false;
        };
        let done = match record.repair {
            Some(RepairOutcome::Refused) => true,
            Some(_) => copy_path(to, path).exists(),
            None => false,
        };
        !is_ok(record) && !done
    }

    /// Adds the files that are known not to be whole and were not read in this call to those that were: damage is
    /// named by every call that counts it.
    fn name_known(&mut self, files: &[PathBuf]) {
        for path in files {
            let told = self.reports.iter().any(|report| report.path == *path);
            match self.state.files.get(&name_of(path)) {
                Some(record) if !told && !is_ok(record) && self.reports.len() < REPORTS_MAX => {
                    self.reports.push(report::recorded(path, record));
                }
                _ => {}
            }
        }
    }

    fn one(&mut self, path: &Path, identity: io::Result<Identity>, pace: &Pace, on: OnScrub<'_>) -> Result<(), Error> {
        let (clock, before) = (self.clock, self.summary.bytes_read.0);
        let mut read = 0;
        let mut progress = |path: &Path, so_far: Progress| {
            read = so_far.bytes_done;
            let done = before.saturating_add(read);
            loop {
                let now = clock.elapsed();
                let event = ScrubEvent::Reading {
                    path,
                    done,
                    total: pace.total(),
                    eta: pace.eta(done, now),
                };
                if on(&event).is_break() {
                    return ControlFlow::Break(());
                }
                match pace.wait(done, now) {
                    Some(wait) => clock.sleep(wait),
                    None => return ControlFlow::Continue(()),
                }
            }
        };
        let (identity, verified) = match identity {
            Ok(identity) => {
                let verified = check::file(path, Level::Full, FINDINGS_MAX, &Keys::new(), &mut progress);
                (identity, verified)
            }
            Err(error) => (Identity::UNKNOWN, Ok(FileReport::out_of_sight(path, &error))),
        };
        let bytes = verified.as_ref().map_or(read, |report| report.bytes_read.0);
        self.summary.bytes_read = Int(before.saturating_add(bytes));
        self.state.totals.bytes = self.state.totals.bytes.saturating_add(bytes);
        let report = verified?;
        // Gone, or what a link leads to is: looked at again by the next call.
        if report.findings.iter().any(|finding| finding.code == ABSENT) {
            self.state.files.remove(&name_of(path));
            return Ok(());
        }
        self.summary.read += 1;
        self.note(path, identity, &report);
        if let (false, Some(to)) = (report.is_whole(), &self.options.repair_to) {
            let outcome = self.repair(path, &copy_path(to, path))?;
            self.conflict |= outcome == RepairOutcome::Conflict;
            if let Some(record) = self.state.files.get_mut(&name_of(path)) {
                // A conflict is looked at again until it is solved.
                record.repair = Some(outcome).filter(|outcome| *outcome != RepairOutcome::Conflict);
            }
        }
        let event = ScrubEvent::Verified { file: &report };
        let stopped = on(&event).is_break();
        if !report.is_whole() && self.reports.len() < REPORTS_MAX {
            self.reports.push(report);
        }
        if self.clock.elapsed().saturating_sub(self.saved) >= SAVE_EVERY {
            self.save();
        }
        match stopped {
            true => Err(fold_format::Error::Cancelled.into()),
            false => Ok(()),
        }
    }

    fn note(&mut self, path: &Path, identity: Identity, report: &FileReport) {
        let totals = &mut self.state.totals;
        let verdict = report.verdict.as_str();
        *totals.files.entry(verdict.to_owned()).or_default() += 1;
        for finding in &report.findings {
            *totals.findings.entry(finding.code.to_string()).or_default() += 1;
        }
        let codes = report.findings.iter().map(|finding| finding.code.to_string());
        let record = FileRecord {
            identity,
            verdict: verdict.to_owned(),
            codes: codes.collect::<BTreeSet<_>>().into_iter().collect(),
            verified: self.clock.now(),
            pass: self.state.pass,
            repair: None,
        };
        if !report.is_whole() {
            log::debug!("scrub: {} is {verdict}", shown(path));
        }
        self.state.files.insert(name_of(path), record);
    }

    /// Writes a whole copy of a file under another name, where every byte can be restored.
    fn repair(&mut self, source: &Path, output: &Path) -> Result<RepairOutcome, Error> {
        let failed = |error| Error::of(source, error);
        if let Some(dir) = output.parent() {
            lock::create_dir(dir)?;
        }
        let (outcome, blocks_repaired, blocks_missing) = if output.symlink_metadata().is_ok() {
            match is_copy(source, output)? {
                true => (RepairOutcome::Kept, 0, 0),
                false => (RepairOutcome::Conflict, 0, 0),
            }
        } else {
            let file = Disk.open(source).map_err(|error| Error::Directory {
                operation: DirectoryOperation::Open,
                path: source.into(),
                source: error,
            })?;
            match fold_format::repair(&Disk, &file, output, &Limits::DEFAULT) {
                Ok(repair) if repair.verdict == Verdict::Damaged => (RepairOutcome::Refused, 0, repair.blocks_missing),
                Ok(repair) => (RepairOutcome::Repaired, repair.blocks_repaired, 0),
                Err(fold_format::Error::Finding(_)) => (RepairOutcome::Refused, 0, 0),
                Err(error) => return Err(failed(error)),
            }
        };
        log::info!("scrub: {} {}", shown(output), outcome.as_str());
        if outcome != RepairOutcome::Kept {
            *self
                .state
                .totals
                .repairs
                .entry(outcome.as_str().to_owned())
                .or_default() += 1;
        }
        if self.repairs.len() < REPORTS_MAX {
            self.repairs.push(RepairedCopy {
                source: source.into(),
                output: output.into(),
                outcome,
                blocks_repaired: Int(blocks_repaired),
                blocks_missing: Int(blocks_missing),
            });
        }
        Ok(outcome)
    }

    /// Saves the state and the metrics, each whatever becomes of the other.
    fn save(&mut self) {
        self.saved = self.clock.elapsed();
        let state = match &self.unlocked {
            Some(finding) => Some(finding.clone()),
            None => {
                let failed = self.state.save(&self.path).err();
                failed.map(|error| FindingReport::of_unsaved(&error, &self.path))
            }
        };
        let metrics = self.options.metrics_file.as_ref().and_then(|file| {
            let snapshot = telemetry::StoreSnapshot::take(self.dir, self.state.clone());
            let failed = telemetry::write_textfile(file, &snapshot.render()).err();
            failed.map(|error| FindingReport::of_unsaved(&error, file))
        });
        self.unsaved = state.into_iter().chain(metrics).collect();
        for finding in &self.unsaved {
            log::info!("scrub: {} {}", finding.code, finding.message);
        }
    }

    /// Counts the call and saves.
    fn close(&mut self, result: RunResult) {
        let seconds = self.clock.elapsed().saturating_sub(self.begun).as_secs_f64();
        self.summary.seconds = seconds;
        self.summary.bytes_per_second = if seconds > 0.0 {
            self.summary.bytes_read.0 as f64 / seconds
        } else {
            0.0
        };
        let damaged = self.state.files.values().filter(|record| !is_ok(record)).count();
        self.summary.damaged = damaged.max(self.reports.len());
        *self.state.totals.runs.entry(result).or_default() += 1;
        self.state.totals.seconds += seconds;
        self.state.pass_seconds += seconds;
        if matches!(result, RunResult::Clean | RunResult::Damaged) {
            self.state.completed_seconds = self.state.pass_seconds;
        }
        log::info!(
            "scrub of {}: {}, {} files read, {} not whole, {} left",
            shown(self.dir),
            result.as_str(),
            self.summary.read,
            self.summary.damaged,
            self.summary.left
        );
        self.save();
    }

    fn report(self, result: RunResult, mut findings: Vec<FindingReport>) -> ScrubReport {
        let exit_code = match result {
            RunResult::Failed => check::worst(findings.iter().map(|finding| finding.code.exit())),
            _ if self.conflict => Code::Format(fold_format::Code::TargetExists).exit(),
            _ if self.summary.damaged > 0 => ExitCode::No,
            // What is left, or was found whole, is read again where it could not be remembered.
            _ if !self.unsaved.is_empty() => check::worst(self.unsaved.iter().map(|finding| finding.code.exit())),
            RunResult::Partial => ExitCode::Partial,
            _ => ExitCode::Done,
        };
        findings.extend(self.unsaved);
        ScrubReport {
            schema: "fold.scrub/1",
            command: "scrub",
            tool_version: env!("CARGO_PKG_VERSION"),
            exit_code,
            store: self.dir.into(),
            state: self.path,
            result,
            started: self.started,
            ended: self.clock.now(),
            summary: self.summary,
            files: self.reports,
            repairs: self.repairs,
            findings,
        }
    }
}
