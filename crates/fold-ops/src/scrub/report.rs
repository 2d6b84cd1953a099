//! What a scrub answers: the values that serialise to `fold.scrub/1`.

use std::path::{Path, PathBuf};

use fold_format::Verdict;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{FileRecord, RunResult};
use crate::check::{FileReport, FindingReport, Level, lossy};
use crate::code::Code;
use crate::exit::ExitCode;
use crate::json::Int;

/// What `fold scrub` answers, schema `fold.scrub/1`.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ScrubReport {
    /// `fold.scrub/1`.
    pub schema: &'static str,
    /// `scrub`.
    pub command: &'static str,
    /// The release that scrubbed.
    pub tool_version: &'static str,
    /// What the command ends with: 21 where a whole copy's name is taken by another file, 1
    /// where any file of the store is not whole, 74 where state or
    /// metrics could not be saved, 3 where files are left for the next call.
    pub exit_code: ExitCode,
    /// The directory.
    #[serde(serialize_with = "lossy")]
    pub store: PathBuf,
    /// The state file.
    #[serde(serialize_with = "lossy")]
    pub state: PathBuf,
    /// `clean`, `damaged` or `partial`.
    pub result: RunResult,
    /// When this call began and ended.
    pub started: Timestamp,
    /// See `started`.
    pub ended: Timestamp,
    /// The answer in numbers.
    pub summary: ScrubSummary,
    /// The files that are not whole, at most 100: as this call found them, or, of those that an earlier call of the pass
    /// has read, verdict and codes alone.
    pub files: Vec<FileReport>,
    /// What came of repairing them, where that was asked for.
    pub repairs: Vec<RepairedCopy>,
    /// Why the directory could not be scrubbed, or state or metrics not be saved; empty otherwise.
    pub findings: Vec<FindingReport>,
}

/// The answer in numbers.
#[derive(Clone, Copy, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct ScrubSummary {
    /// Files of the store.
    pub files: usize,
    /// Those read in this call.
    pub read: usize,
    /// Those not read again: verified earlier in this pass, or whole since the time that was said.
    pub fresh: usize,
    /// Those left for the next call.
    pub left: usize,
    /// Those that are not whole, as far as is known: `corrected` ones too.
    pub damaged: usize,
    /// Bytes read in this call.
    pub bytes_read: Int,
    /// Seconds that this call took.
    pub seconds: f64,
    /// Bytes read per second.
    pub bytes_per_second: f64,
    /// The pass that this call belongs to, from 1.
    pub pass: Int,
}

/// What came of one repair.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct RepairedCopy {
    /// The file that is not whole; it was not changed.
    #[serde(serialize_with = "lossy")]
    pub source: PathBuf,
    /// Where the whole copy is.
    #[serde(serialize_with = "lossy")]
    pub output: PathBuf,
    /// `repaired`: the copy is there, byte for byte as it was saved; `kept`: it was there before; `refused`: no exact copy
    /// can be made, and there is none; `conflict`: another file has its name, which is left alone.
    pub outcome: RepairOutcome,
    /// Blocks that were restored from parity.
    pub blocks_repaired: Int,
    /// Whole blocks that are missing for an exact copy.
    pub blocks_missing: Int,
}

/// How a repair ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RepairOutcome {
    /// A whole copy was written.
    Repaired,
    /// The whole copy was there before.
    Kept,
    /// A file of that name is there which is not whole, or not of the checkpoint that the damaged one is.
    Conflict,
    /// No exact copy can be made.
    Refused,
}

impl RepairOutcome {
    /// `repaired`, `kept`, `conflict` or `refused`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Repaired => "repaired",
            Self::Kept => "kept",
            Self::Conflict => "conflict",
            Self::Refused => "refused",
        }
    }
}

/// What is remembered of a file that is not whole.
pub(super) fn recorded(path: &Path, record: &FileRecord) -> FileReport {
    let verdicts = [Verdict::Corrected, Verdict::Unreadable];
    let verdict = verdicts.into_iter().find(|verdict| verdict.as_str() == record.verdict);
    let verdict = verdict.unwrap_or(Verdict::Damaged);
    let codes = record.codes.iter().filter_map(|code| Code::find(code));
    let mendable = verdict == Verdict::Corrected;
    FileReport {
        path: path.into(),
        format: None,
        verdict,
        level: Level::Full,
        bytes_total: Int(record.identity.bytes),
        bytes_read: Int(0),
        blocks_total: Int(0),
        blocks_checked: Int(0),
        blocks_bad: Int(0),
        damaged_tensors: Vec::new(),
        findings_total: Int(record.codes.len() as u64),
        findings: codes
            .map(|code| FindingReport::remembered(code, mendable, path, record.identity.bytes))
            .collect(),
        version_1: None,
    }
}
