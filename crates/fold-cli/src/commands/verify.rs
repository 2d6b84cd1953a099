//! `fold verify`: every file with its verdict, and for each finding what, where and what next.

use std::fmt::Write as _;

use fold_ops::check::{self, FileReport, FindingReport, VerifyReport};
use fold_ops::{Escaped, ExitCode};

use crate::arguments::{Global, Level, Verify};
use crate::failure::Failure;
use crate::interrupt;
use crate::key_files;
use crate::output::{Output, painted};

pub(crate) fn run(arguments: &Verify, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let level = match arguments.level {
        Level::Quick => check::Level::Quick,
        Level::Structure => check::Level::Structure,
        Level::Full => check::Level::Full,
    };
    let keys = key_files::read(&arguments.keys)?;
    let report = check::verify(&arguments.paths, level, arguments.max_errors, &keys, &mut |_, _| {
        interrupt::requested()
    })?;
    if global.json {
        output.json(&report)?;
    } else {
        output.text(&rendered(&report))?;
    }
    Ok(report.exit_code)
}

fn rendered(report: &VerifyReport) -> String {
    let mut text = String::new();
    for file in &report.files {
        one_file(file, &mut text);
    }
    if report.files.len() > 1 {
        let summary = &report.summary;
        let whole = summary.files - summary.damaged;
        let _ = writeln!(
            text,
            "{whole} of {} files whole at level {}",
            summary.files,
            summary.level.as_str()
        );
    }
    text
}

/// What, where and what next.
pub(super) fn one_finding(finding: &FindingReport, text: &mut String) {
    let _ = writeln!(text, "  {} {}", finding.code, finding.message);
    let _ = writeln!(text, "    where: {}", finding.place());
    let _ = writeln!(text, "    do:    {}", finding.action);
    if let Some(command) = &finding.next_command {
        let _ = writeln!(text, "    next:  {command}");
    }
}

/// A file, its verdict, and for each finding what, where and what next.
pub(super) fn one_file(file: &FileReport, text: &mut String) {
    let path = file.path.to_string_lossy();
    let verdict = painted(file.verdict.as_str(), file.is_whole());
    let _ = writeln!(
        text,
        "{}: {verdict} ({} of {} bytes read, {} of {} blocks bad)",
        Escaped(&path),
        file.bytes_read.0,
        file.bytes_total.0,
        file.blocks_bad.0,
        file.blocks_total.0,
    );
    for finding in &file.findings {
        one_finding(finding, text);
    }
    let shown = u64::try_from(file.findings.len()).unwrap_or(u64::MAX);
    if file.findings_total.0 > shown {
        let _ = writeln!(text, "  and {} further findings", file.findings_total.0 - shown);
    }
    let Some(version_1) = &file.version_1 else { return };
    for finding in &version_1.content_findings {
        one_finding(finding, text);
    }
    if !version_1.unprotected.is_empty() {
        let _ = writeln!(text, "  unprotected: {}", version_1.unprotected.join("; "));
    }
}
