//! Verifying files and directories: the answer of `fold verify` as one value that serialises to `fold.verify/1`.
//!
//! A report names the level it was reached at: `header-ok` and `structure-ok` are no clean bill, only `ok` is. Whatever is
//! wrong with a file is a finding of its report, that it is absent too; an error is only what stops the whole command.

pub(crate) mod advice;
mod finding;
mod foreign;
pub(crate) mod targets;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use fold_format::v1::Keys;
use fold_format::{Cause, Depth, Foreign, Progress, Report, Verdict, VerifyOptions};
use serde::{Serialize, Serializer};

pub use finding::FindingReport;
pub use foreign::{ChunkVerdict, Version1Report};
pub(crate) use foreign::{Kind as FileKind, MAX_ARRAY_BYTES, read_range, sniff};

use crate::code::Code;
use crate::error::Error;
use crate::exit::ExitCode;
use crate::json::Int;
use crate::store::step_of;

/// How far a verification goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Level {
    /// Both superblocks and the length: milliseconds, whatever the file's size.
    Quick,
    /// Also the index and the digest table, both copies.
    Structure,
    /// Every byte.
    Full,
}

impl Level {
    /// `quick`, `structure` or `full`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Structure => "structure",
            Self::Full => "full",
        }
    }

    const fn depth(self) -> Depth<'static> {
        match self {
            Self::Quick => Depth::Superblock,
            Self::Structure => Depth::Index,
            Self::Full => Depth::All,
        }
    }
}

/// What `fold verify` answers, schema `fold.verify/1`.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct VerifyReport {
    /// `fold.verify/1`.
    pub schema: &'static str,
    /// `verify`.
    pub command: &'static str,
    /// The release that verified.
    pub tool_version: &'static str,
    /// What the command ends with.
    pub exit_code: ExitCode,
    /// The answer in three numbers.
    pub summary: VerifySummary,
    /// One entry per file, in the order asked for; those of a directory by name.
    pub files: Vec<FileReport>,
}

/// The answer in three numbers.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct VerifySummary {
    /// Files looked at.
    pub files: usize,
    /// Those that are not whole, absent ones too.
    pub damaged: usize,
    /// How far the verification went.
    pub level: Level,
}

/// What is known about one file.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct FileReport {
    /// The path, as asked for; what is not UTF-8 in it is replaced.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    /// `fold-v2`, `fold-v1`, or none where it is not a container.
    pub format: Option<&'static str>,
    /// The answer.
    #[serde(serialize_with = "text")]
    pub verdict: Verdict,
    /// How far the verification went.
    pub level: Level,
    /// Bytes of the file.
    pub bytes_total: Int,
    /// Bytes that were read.
    pub bytes_read: Int,
    /// Blocks: of content and of parity.
    pub blocks_total: Int,
    /// Those that were checked.
    pub blocks_checked: Int,
    /// Those that are damaged.
    pub blocks_bad: Int,
    /// Tensors that lie on a damaged block.
    pub damaged_tensors: Vec<Box<str>>,
    /// How many findings there are; `findings` may hold fewer.
    pub findings_total: Int,
    /// What is wrong, in the order of the file.
    pub findings: Vec<FindingReport>,
    /// What more there is to say of a version 1 file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_1: Option<Version1Report>,
}

pub(crate) fn lossy<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.display())
}

fn text<S: Serializer>(verdict: &Verdict, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(verdict.as_str())
}

impl FileReport {
    /// Whether nothing is wrong as far as the level goes.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        matches!(self.verdict, Verdict::Ok | Verdict::StructureOk | Verdict::HeaderOk)
    }

    /// What a command ends with that looked at this file alone.
    #[must_use]
    pub fn exit(&self) -> ExitCode {
        if self.is_whole() {
            return ExitCode::Done;
        }
        let first = self.findings.first().map(|finding| finding.code.exit());
        match (self.verdict, first) {
            (Verdict::Unreadable, Some(exit @ (ExitCode::Absent | ExitCode::Newer | ExitCode::Io))) => exit,
            _ => ExitCode::No,
        }
    }

    fn new(path: &Path, level: Level, report: &Report) -> Self {
        let foreign = |cause: &Cause| *cause == Cause::NotContainer(Foreign::Version1);
        let format = match &report.info {
            Some(_) => Some("fold-v2"),
            None if report.findings.iter().any(|finding| foreign(&finding.cause)) => Some("fold-v1"),
            None => None,
        };
        Self {
            path: path.into(),
            format,
            verdict: report.verdict,
            level,
            bytes_total: Int(report.bytes_total),
            bytes_read: Int(report.bytes_read),
            blocks_total: Int(report.blocks_total),
            blocks_checked: Int(report.blocks_checked),
            blocks_bad: Int(report.blocks_bad),
            damaged_tensors: report.damaged_tensors.clone(),
            findings_total: Int(report.findings_total),
            findings: report
                .findings
                .iter()
                .map(|finding| FindingReport::of(finding, path, report.verdict == Verdict::Corrected))
                .collect(),
            version_1: None,
        }
    }

    /// A signature was asked for and there is none: the file fails, whatever else holds.
    ///
    /// - `what`: what it lacks, or cannot have. - `max_findings`: how many findings are kept.
    fn fail_unsigned(&mut self, what: &str, max_findings: usize) {
        if self.verdict == Verdict::Unreadable {
            return;
        }
        self.verdict = Verdict::Damaged;
        self.findings_total = Int(self.findings_total.0.saturating_add(1));
        self.findings.insert(0, FindingReport::of_unsigned(what, &self.path));
        self.findings.truncate(max_findings.max(1));
    }

    /// A file of which not a byte was read.
    /// A file that is there and cannot be looked at.
    pub(crate) fn out_of_sight(path: &Path, error: &std::io::Error) -> Self {
        Self::out_of_reach(path, Level::Full, FindingReport::of_unseen(path, error))
    }

    fn out_of_reach(path: &Path, level: Level, finding: FindingReport) -> Self {
        Self {
            path: path.into(),
            format: None,
            verdict: Verdict::Unreadable,
            level,
            bytes_total: Int(0),
            bytes_read: Int(0),
            blocks_total: Int(0),
            blocks_checked: Int(0),
            blocks_bad: Int(0),
            damaged_tensors: Vec::new(),
            findings_total: Int(1),
            findings: vec![finding],
            version_1: None,
        }
    }
}

/// Told how far the verification of a file is; `Break` ends the command.
pub type OnProgress<'a> = &'a mut (dyn FnMut(&Path, Progress) -> ControlFlow<()> + Send);

/// Verifies files, and every checkpoint (`*.fold`, `*.mind`) of directories, not of those below them.
///
/// Any bytes may be in the files. Memory stays within a few MiB per thread and the files' metadata.
///
/// - `max_findings`: how many findings are kept per file; those beyond are counted.
/// - `keys`: what version 1 files may need; with a public key, a file must have a signature by it, so that files of formats
///   without signatures fail.
///
/// # Errors
/// [`fold_format::Error::Cancelled`] when `progress` breaks off. Everything else is a finding.
pub fn verify(
    paths: &[PathBuf],
    level: Level,
    max_findings: usize,
    keys: &Keys,
    progress: OnProgress<'_>,
) -> Result<VerifyReport, Error> {
    let mut files = Vec::new();
    for path in paths {
        match targets::expand(path) {
            Ok(targets) => {
                let first = files.len();
                for target in targets {
                    files.push(file(&target, level, max_findings, keys, progress)?);
                }
                if path.is_dir() {
                    among_others(files.get_mut(first..).unwrap_or_default());
                }
            }
            Err(finding) => files.push(FileReport::out_of_reach(path, level, *finding)),
        }
    }
    Ok(VerifyReport {
        schema: "fold.verify/1",
        command: "verify",
        tool_version: env!("CARGO_PKG_VERSION"),
        exit_code: worst(files.iter().map(FileReport::exit)),
        summary: VerifySummary {
            files: files.len(),
            damaged: files.iter().filter(|file| !file.is_whole()).count(),
            level,
        },
        files,
    })
}

pub(crate) fn file(
    path: &Path,
    level: Level,
    max_findings: usize,
    keys: &Keys,
    progress: OnProgress<'_>,
) -> Result<FileReport, Error> {
    let unsigned = |mut report: FileReport, what| {
        if keys.public_key().is_some() {
            report.fail_unsigned(what, max_findings);
        }
        Ok(report)
    };
    match sniff(path) {
        FileKind::Version1 => return foreign::version_1(path, level, max_findings, keys, progress),
        FileKind::Npz => return unsigned(foreign::npz(path, level), "an npz file cannot be signed"),
        FileKind::Safetensors => {
            return unsigned(foreign::safetensors(path, level), "a safetensors file cannot be signed");
        }
        FileKind::Other => {}
    }
    let mut told = |so_far| progress(path, so_far);
    let mut options = VerifyOptions::new()
        .max_findings(max_findings.max(1))
        .progress(&mut told);
    if let Some(key) = keys.public_key() {
        options = options.public_key(key);
    }
    match fold_format::verify(path, level.depth(), options) {
        Ok(report) => Ok(FileReport::new(path, level, &report)),
        Err(fold_format::Error::Cancelled) => Err(fold_format::Error::Cancelled.into()),
        Err(error) => Ok(FileReport::out_of_reach(
            path,
            level,
            FindingReport::of_error(&error, path),
        )),
    }
}

/// What is wrong with a file's signature where `keys` ask for one; none where they do not, or the key's is there.
pub(crate) fn distrusted(path: &Path, keys: &Keys) -> Result<Option<FindingReport>, Error> {
    if keys.public_key().is_none() {
        return Ok(None);
    }
    let report = file(path, Level::Quick, usize::MAX, keys, &mut |_, _| {
        ControlFlow::Continue(())
    })?;
    let signature = Code::Format(fold_format::Code::Signature);
    Ok(report.findings.into_iter().find(|finding| finding.code == signature))
}

/// In the reports of one directory: says of a damaged checkpoint that a newer whole one stands in for it, or that there is
/// none which its run could go on from.
fn among_others(reports: &mut [FileReport]) {
    let step = |report: &FileReport| step_of(report.path.file_name()?);
    let newest = reports
        .iter()
        .filter(|report| report.verdict == Verdict::Ok)
        .filter_map(|report| Some((step(report)?, report.path.clone())))
        .max();
    let Some((newest_step, newest_path)) = newest else {
        let corrected = |report: &FileReport| report.verdict == Verdict::Corrected && step(report).is_some();
        if !reports.iter().any(corrected) {
            for report in reports.iter_mut().filter(|report| step(report).is_some()) {
                let path = report.path.clone();
                for finding in &mut report.findings {
                    finding.last_of_its_run(&path);
                }
            }
        }
        return;
    };
    for report in reports
        .iter_mut()
        .filter(|report| step(report).is_some_and(|step| step < newest_step))
    {
        for finding in &mut report.findings {
            finding.superseded_by(&newest_path);
        }
    }
}

/// What the command ends with: damage outweighs what could not be looked at, and that outweighs what is not there.
pub(crate) fn worst(exits: impl Iterator<Item = ExitCode>) -> ExitCode {
    let weight = |exit: &ExitCode| match exit {
        ExitCode::Done => 0,
        ExitCode::Absent => 1,
        ExitCode::Newer => 2,
        ExitCode::Io => 3,
        _ => 4,
    };
    exits.max_by_key(weight).unwrap_or(ExitCode::Done)
}

/// The code of a finding as the command's tables know it.
pub(crate) fn code_of(finding: &fold_format::Finding) -> Code {
    finding.code().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_outweighs_everything_else() {
        use ExitCode::{Absent, Done, Io, Newer, No};
        assert_eq!(worst([].into_iter()), Done);
        assert_eq!(worst([Done, Absent, Done].into_iter()), Absent);
        assert_eq!(worst([Newer, Absent].into_iter()), Newer);
        assert_eq!(worst([No, Io, Absent].into_iter()), No);
        assert_eq!(worst([Io, Newer].into_iter()), Io);
    }
}
