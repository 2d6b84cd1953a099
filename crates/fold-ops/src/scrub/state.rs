//! What a scrub remembers between calls: a JSON file, replaced at once or not at all.
//!
//! Per file, what was found and when; for the store, the pass under way and the counters that the metrics show. A file
//! that changed since (length or time of change) counts as never verified.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{RepairOutcome, is_ok};
use crate::error::Error;
use crate::input_file;

const SCHEMA: &str = "fold.scrub-state/1";

/// The longest state that is read: some hundred bytes per checkpoint.
const BYTES_MAX: u64 = 1 << 28;

/// How far a clock that is set may go back.
const SLACK: Duration = Duration::from_secs(60);

/// The name of the state file, where none is said.
pub const STATE_FILE_NAME: &str = ".fold-scrub.json";

/// How a call of the scrub ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RunResult {
    /// Every file is whole.
    Clean,
    /// At least one file is not.
    Damaged,
    /// The time was up before every file was read.
    Partial,
    /// Stopped by a signal.
    Interrupted,
    /// The directory could not be read.
    Failed,
}

impl RunResult {
    /// Every result, as the metrics name them.
    pub const ALL: [Self; 5] = [
        Self::Clean,
        Self::Damaged,
        Self::Partial,
        Self::Interrupted,
        Self::Failed,
    ];

    /// For example `clean`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clean => "clean",
            Self::Damaged => "damaged",
            Self::Partial => "partial",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
        }
    }
}

/// What tells a file from another one of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Identity {
    /// Its length.
    pub bytes: u64,
    /// When it was changed last.
    pub modified: Timestamp,
}

impl Identity {
    /// Of a file that cannot be looked at.
    pub(crate) const UNKNOWN: Self = Self {
        bytes: 0,
        modified: Timestamp::MIN,
    };

    /// Of the file at `path`, or why it cannot be looked at; none where there is no such name any more.
    pub(crate) fn found(path: &Path) -> Option<io::Result<Self>> {
        match (Self::of(path), path.symlink_metadata()) {
            (Err(_), Err(error)) if error.kind() == io::ErrorKind::NotFound => None,
            (found, _) => Some(found),
        }
    }

    /// Of the file at `path`.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        let modified = Timestamp::try_from(metadata.modified()?).unwrap_or(Timestamp::MIN);
        Ok(Self {
            bytes: metadata.len(),
            modified,
        })
    }
}

/// What was found in a file, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRecord {
    /// The file as it was verified.
    pub identity: Identity,
    /// `ok`, `corrected`, `damaged` or `unreadable`.
    pub verdict: String,
    /// The codes of its findings, each once.
    pub codes: Vec<String>,
    /// When it was verified in full.
    pub verified: Timestamp,
    /// In which pass.
    pub pass: u64,
    /// What came of repairing it then; none where it is whole, nobody asked, or it was tried and could not be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repair: Option<RepairOutcome>,
}

/// Counters over the life of the store; they never go down.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Totals {
    /// Calls, by how they ended.
    pub runs: BTreeMap<RunResult, u64>,
    /// Files verified, by verdict.
    pub files: BTreeMap<String, u64>,
    /// Findings, by code.
    pub findings: BTreeMap<String, u64>,
    /// Repaired copies written, by `repaired`, `conflict` or `refused`.
    pub repairs: BTreeMap<String, u64>,
    /// Bytes read.
    pub bytes: u64,
    /// Seconds spent.
    pub seconds: f64,
}

/// What a scrub remembers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ScrubState {
    schema: String,
    /// The pass under way, or the last one; 0 before the first.
    pub pass: u64,
    /// Whether every file of that pass was read.
    pub pass_done: bool,
    /// When the pass began.
    pub pass_started: Option<Timestamp>,
    /// Seconds spent on the pass, over all calls.
    pub pass_seconds: f64,
    /// When the last pass was done.
    pub completed: Option<Timestamp>,
    /// Seconds spent on the last pass that was done.
    pub completed_seconds: f64,
    /// Seconds between two passes, where that was said.
    pub interval_seconds: f64,
    /// File name -> what was found.
    pub files: BTreeMap<String, FileRecord>,
    /// Counters.
    pub totals: Totals,
}

impl Default for ScrubState {
    fn default() -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            pass: 0,
            pass_done: true,
            pass_started: None,
            pass_seconds: 0.0,
            completed: None,
            completed_seconds: 0.0,
            interval_seconds: 0.0,
            files: BTreeMap::new(),
            totals: Totals::default(),
        }
    }
}

impl ScrubState {
    /// Where the state of a store lies, unless said otherwise.
    #[must_use]
    pub fn default_path(dir: &Path) -> PathBuf {
        dir.join(STATE_FILE_NAME)
    }

    /// The state in `path`; that of a store that was never scrubbed where there is no such file.
    ///
    /// # Errors
    /// `FOLD-E0604` the file is something else; the system refuses.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let text = match input_file::read(path, BYTES_MAX) {
            Ok(text) => text,
            Err(Error::Directory { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => return Err(error),
        };
        let unreadable = |source| Error::ScrubState {
            path: path.into(),
            source,
        };
        let state = serde_json::from_slice::<Self>(&text).map_err(unreadable)?;
        if state.schema != SCHEMA {
            return Err(unreadable(serde::de::Error::custom(format_args!(
                "schema {:?} instead of {SCHEMA:?}",
                state.schema
            ))));
        }
        Ok(state)
    }

    /// Replaces the file `path` at once.
    ///
    /// # Errors
    /// The system refuses; the file is then as before.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let text = serde_json::to_vec(self).map_err(|source| Error::ScrubState {
            path: path.into(),
            source,
        })?;
        crate::new_file::replace(path, &text)
    }

    /// Forgets that files were found whole, and that a pass was done, at times that are still to come by more than a
    /// minute: a clock was wrong. What is damaged stays known.
    pub fn forget_the_future(&mut self, now: Timestamp) {
        let latest = now.saturating_add(SLACK).unwrap_or(now);
        self.files
            .retain(|_, record| !is_ok(record) || record.verified <= latest);
        if self.completed.is_some_and(|completed| completed > latest) {
            self.completed = None;
            self.completed_seconds = 0.0;
        }
    }

    /// What is known about a file as it is now; none where it was not verified since it changed.
    #[must_use]
    pub fn known(&self, name: &str, identity: &Identity) -> Option<&FileRecord> {
        self.files.get(name).filter(|record| record.identity == *identity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_comes_back_as_it_was_and_anything_else_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = ScrubState::default_path(dir.path());
        let mut state = ScrubState::load(&path).unwrap();
        assert_eq!(state, ScrubState::default());
        state.pass = 3;
        state.totals.runs.insert(RunResult::Clean, 2);
        state.files.insert(
            "a.fold".to_owned(),
            FileRecord {
                identity: Identity {
                    bytes: 7,
                    modified: "2026-01-02T03:04:05.678901234Z".parse().unwrap(),
                },
                verdict: "ok".to_owned(),
                codes: Vec::new(),
                verified: Timestamp::UNIX_EPOCH,
                pass: 3,
                repair: Some(RepairOutcome::Refused),
            },
        );
        state.save(&path).unwrap();
        assert_eq!(ScrubState::load(&path).unwrap(), state);
        let whole = fs::read(&path).unwrap();
        for text in [&b""[..], b"{}", b"[1]", whole.get(..whole.len() / 2).unwrap()] {
            fs::write(&path, text).unwrap();
            let error = ScrubState::load(&path).unwrap_err();
            assert_eq!(error.code().as_str(), "FOLD-E0604", "{error}");
        }
        let newer = String::from_utf8(whole)
            .unwrap()
            .replace("scrub-state/1", "scrub-state/2");
        fs::write(&path, newer).unwrap();
        assert_eq!(ScrubState::load(&path).unwrap_err().code().as_str(), "FOLD-E0604");
    }
}
