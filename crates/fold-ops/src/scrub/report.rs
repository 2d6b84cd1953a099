//! What a scrub answers: the values that serialise to `fold.scrub/1`.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::Serialize;

use super::RunResult;
use crate::check::{FileReport, FindingReport, lossy};
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
    /// What the command ends with: 1 where any file of the store is not whole, 3 where files are left for the next call.
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
    /// The files that this call found not whole, at most 100.
    pub files: Vec<FileReport>,
    /// What came of repairing them, where that was asked for.
    pub repairs: Vec<RepairedCopy>,
    /// Why the directory could not be scrubbed; empty otherwise.
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
    /// can be made, and there is none.
    pub outcome: RepairOutcome,
    /// Blocks that were restored from parity.
    pub blocks_repaired: Int,
    /// Whole blocks that are missing for an exact copy.
    pub blocks_missing: Int,
}

/// How a repair ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RepairOutcome {
    /// A whole copy was written.
    Repaired,
    /// A file of that name was there before; it was left alone.
    Kept,
    /// No exact copy can be made.
    Refused,
}

impl RepairOutcome {
    /// `repaired`, `kept` or `refused`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Repaired => "repaired",
            Self::Kept => "kept",
            Self::Refused => "refused",
        }
    }
}
