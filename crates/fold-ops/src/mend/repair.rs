//! `fold repair`: the file as it was saved, under a new name, or a refusal that says what is missing.

use std::fs::File;
use std::path::{Path, PathBuf};

use fold_format::v1::Keys;
use fold_format::{Depth, Disk, Limits, Misuse, Severity, Verdict, VerifyOptions, parity, v1};
use serde::Serialize;

use super::{Format, Mode, open};
use crate::check::{FindingReport, advice, lossy};
use crate::code::Code;
use crate::error::Error;
use crate::exit::ExitCode;
use crate::json::Int;
use crate::new_file;

/// How many findings a report holds.
const FINDINGS_MAX: usize = 100;

/// What `fold repair` answers, schema `fold.repair/1`.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct RepairReport {
    /// `fold.repair/1`.
    pub schema: &'static str,
    /// `repair`.
    pub command: &'static str,
    /// The release that repaired.
    pub tool_version: &'static str,
    /// What the command ends with: 0, or 20 where it was refused.
    pub exit_code: ExitCode,
    /// The file, which was not changed.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    /// `fold-v2` or `fold-v1`.
    pub format: &'static str,
    /// `ok`: nothing is wrong. `corrected`: every byte can be restored. `damaged`: it cannot, and nothing was written.
    pub verdict: &'static str,
    /// Whether the new file was written; false for a plan and for a refusal.
    pub applied: bool,
    /// Why it was refused; none where it was not.
    pub code: Option<Code>,
    /// The same in one line.
    pub message: Option<String>,
    /// Lost blocks that were restored from parity, or would be.
    pub blocks_repaired: Int,
    /// Whole blocks that are missing for an exact copy.
    pub blocks_missing: Int,
    /// Whole parity blocks in the file; none for version 1, whose parity is counted per chunk.
    pub parity_available: Option<Int>,
    /// The groups of blocks that lost more than their parity restores.
    pub shortages: Vec<ShortageReport>,
    /// What was restored of a version 1 file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_1: Option<Version1Repair>,
    /// How many findings there are; `findings` may hold fewer.
    pub findings_total: Int,
    /// What is wrong with the file.
    pub findings: Vec<FindingReport>,
    /// The new file; for a plan, where it would be. None where it was refused.
    #[serde(serialize_with = "lossy_option")]
    pub output: Option<PathBuf>,
    /// Bytes of the new file; 0 where none was written.
    pub bytes_written: Int,
    /// A command that goes on from here.
    pub next_command: Option<String>,
}

/// A group of blocks that lost more than its parity restores.
#[derive(Clone, Copy, Debug, Serialize)]
#[non_exhaustive]
pub struct ShortageReport {
    /// The group.
    pub group: u32,
    /// Blocks of it that are lost, of data and of parity.
    pub lost: u32,
    /// As many of its blocks may be lost.
    pub restorable: u32,
}

/// What was restored of a version 1 file, or would be.
#[derive(Clone, Copy, Debug, Serialize)]
#[non_exhaustive]
pub struct Version1Repair {
    /// Chunks whose stored bytes were restored from parity.
    pub chunks: Int,
    /// Chunk headers that were written anew from the index.
    pub headers: Int,
    /// Parity areas that were written anew.
    pub parities: Int,
    /// Bytes that differ from the source.
    pub bytes_changed: Int,
}

pub(super) fn lossy_option<S: serde::Serializer>(path: &Option<PathBuf>, serializer: S) -> Result<S::Ok, S::Error> {
    match path {
        Some(path) => lossy(path, serializer),
        None => serializer.serialize_none(),
    }
}

/// Writes a whole copy of a damaged file under a new name, byte for byte as it was saved, or nothing.
///
/// Any bytes may be in the file. The copy is verified in full before it gets its name, and is then on the disk.
///
/// - `keys`: what a version 1 file may need to be verified.
///
/// # Errors
/// `FOLD-E0003` the output exists, whether it is to be written or not; the file is absent, no container, or of a newer
/// version; what the system refuses. A file that cannot be repaired is a report.
pub fn repair(path: &Path, output: &Path, mode: Mode, keys: &Keys) -> Result<RepairReport, Error> {
    if output.symlink_metadata().is_ok() {
        return Err(Error::Format(Misuse::TargetExists { path: output.into() }.into()));
    }
    let (source, format) = open(path)?;
    let mut report = RepairReport {
        schema: "fold.repair/1",
        command: "repair",
        tool_version: env!("CARGO_PKG_VERSION"),
        exit_code: ExitCode::Done,
        path: path.into(),
        format: format.as_str(),
        verdict: Verdict::Ok.as_str(),
        applied: false,
        code: None,
        message: None,
        blocks_repaired: Int(0),
        blocks_missing: Int(0),
        parity_available: None,
        shortages: Vec::new(),
        version_1: None,
        findings_total: Int(0),
        findings: Vec::new(),
        output: None,
        bytes_written: Int(0),
        next_command: None,
    };
    let refused = match format {
        Format::Version2 => version_2(&mut report, &source, output, mode)?,
        Format::Version1 => version_1(&mut report, source, output, mode, keys)?,
    };
    match refused {
        None => {
            report.output = Some(output.into());
            report.applied = mode == Mode::Write;
            report.next_command = if report.applied {
                advice::quoted(output).map(|output| format!("fold verify {output}"))
            } else {
                advice::quoted(path)
                    .zip(advice::quoted(output))
                    .map(|(path, output)| format!("fold repair {path} -o {output}"))
            };
        }
        Some((code, message)) => {
            report.exit_code = ExitCode::Damaged;
            report.verdict = Verdict::Damaged.as_str();
            report.code = Some(code);
            report.message = Some(message);
            report.next_command = advice::salvage_command(path);
        }
    }
    Ok(report)
}

/// Why a repair is refused.
type Refusal = Option<(Code, String)>;

fn version_2(report: &mut RepairReport, source: &File, output: &Path, mode: Mode) -> Result<Refusal, Error> {
    let path = report.path.clone();
    let repaired = match mode {
        Mode::Plan => fold_format::plan_repair(source, &Limits::DEFAULT),
        Mode::Write => fold_format::repair(&Disk, source, output, &Limits::DEFAULT),
    };
    let repair = match repaired {
        Ok(repair) => repair,
        Err(fold_format::Error::Finding(finding)) if Code::from(finding.code()).exit() == ExitCode::Damaged => {
            let finding = FindingReport::of(&finding, &path, false);
            let refusal = (finding.code, finding.message.clone());
            report.findings_total = Int(1);
            report.findings = vec![finding];
            return Ok(Some(refusal));
        }
        Err(error) => return Err(Error::of(&path, error)),
    };
    let whole = repair.verdict != Verdict::Damaged;
    report.verdict = repair.verdict.as_str();
    report.blocks_repaired = Int(repair.blocks_repaired);
    report.blocks_missing = Int(repair.blocks_missing);
    report.parity_available = Some(Int(repair.parity_available));
    report.shortages = repair.shortages.iter().map(shortage).collect();
    report.findings_total = Int(repair.findings_total);
    let shown = repair.findings.iter().take(FINDINGS_MAX);
    report.findings = shown.map(|finding| FindingReport::of(finding, &path, whole)).collect();
    report.bytes_written = Int(repair.bytes_written);
    if whole {
        return Ok(None);
    }
    Ok(Some(match (repair.blocks_missing, report.shortages.is_empty()) {
        (0, _) => {
            let first = report.findings.iter().find(|finding| !finding.repairable);
            let first = first.or(report.findings.first());
            first.map_or_else(nothing_to_repair_from, |finding| {
                (finding.code, finding.message.clone())
            })
        }
        (missing, true) => (
            Code::NoParity,
            format!("{}: {missing} blocks are lost", Code::NoParity.meaning()),
        ),
        (missing, false) => {
            let code = Code::Format(fold_format::Code::BeyondParity);
            (code, format!("{}: {missing} whole blocks too few", code.meaning()))
        }
    }))
}

fn nothing_to_repair_from() -> (Code, String) {
    (Code::NoParity, Code::NoParity.meaning().to_owned())
}

fn shortage(shortage: &parity::Shortage) -> ShortageReport {
    ShortageReport {
        group: shortage.group,
        lost: shortage.lost_data.saturating_add(shortage.lost_parity),
        restorable: shortage.group_parity,
    }
}

fn version_1(
    report: &mut RepairReport,
    source: File,
    output: &Path,
    mode: Mode,
    keys: &Keys,
) -> Result<Refusal, Error> {
    let path = report.path.clone();
    let failed = |error| Error::of(&path, error);
    let options = || VerifyOptions::new().max_findings(FINDINGS_MAX);
    let before = v1::verify_source(&source, Depth::All, keys, options()).map_err(failed)?;
    report.verdict = before.verdict.as_str();
    report.findings_total = Int(before.findings_total);
    let whole = matches!(before.verdict, Verdict::Ok | Verdict::Corrected);
    let found = before.findings.iter();
    report.findings = found
        .map(|finding| FindingReport::of_version_1(finding, &path, whole))
        .collect();
    let worst = || {
        let mut errors = report
            .findings
            .iter()
            .filter(|finding| finding.severity == Severity::Error);
        let first = errors.clone().find(|finding| !finding.repairable).or(errors.next());
        first.map_or_else(nothing_to_repair_from, |finding| {
            (finding.code, finding.message.clone())
        })
    };
    if !whole {
        return Ok(Some(worst()));
    }
    let file = v1::File::open_source(source, keys.clone(), Limits::DEFAULT).map_err(failed)?;
    let done = match mode {
        Mode::Plan => v1::repair(&file, &mut std::io::sink()).map_err(failed),
        Mode::Write => new_file::create(output, Some(&path), |out| {
            let done = v1::repair(&file, out).map_err(failed)?;
            let after = v1::verify_source(out, Depth::All, keys, options()).map_err(failed)?;
            match after.findings.into_iter().next() {
                Some(finding) if after.verdict != Verdict::Ok => {
                    Err(failed(fold_format::Error::Version1(finding.into())))
                }
                _ => Ok(done),
            }
        }),
    };
    let done = match done {
        Ok(done) => done,
        Err(Error::File {
            source: fold_format::Error::Version1(_),
            ..
        }) => return Ok(Some(worst())),
        Err(error) => return Err(error),
    };
    if mode == Mode::Write {
        report.bytes_written = Int(file.info().file_bytes);
    }
    report.version_1 = Some(Version1Repair {
        chunks: Int(done.chunks),
        headers: Int(done.headers),
        parities: Int(done.parities),
        bytes_changed: Int(done.bytes_changed),
    });
    Ok(None)
}
