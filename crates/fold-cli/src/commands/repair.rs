//! `fold repair`: what was restored, or what is missing and what to do then.

use std::fmt::Write as _;

use fold_ops::mend::{self, Mode, RepairReport};
use fold_ops::{Escaped, ExitCode};

use super::verify::one_finding;
use crate::arguments::{Global, Repair};
use crate::failure::Failure;
use crate::key_files;
use crate::output::{Output, painted};

pub(crate) fn run(arguments: &Repair, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let mode = if arguments.dry_run { Mode::Plan } else { Mode::Write };
    let keys = key_files::read_secret(&arguments.keys)?;
    let report = mend::repair(&arguments.file, &arguments.output, mode, &keys)?;
    if global.json {
        output.json(&report)?;
    } else {
        output.text(&rendered(&report))?;
    }
    Ok(report.exit_code)
}

fn rendered(report: &RepairReport) -> String {
    let mut text = String::new();
    let path = Escaped(&report.path.to_string_lossy()).to_string();
    let verdict = painted(report.verdict, report.code.is_none());
    let _ = writeln!(text, "{path}: {verdict}, {} finding(s)", report.findings_total.0);
    if let (Some(code), Some(message)) = (report.code, &report.message) {
        for finding in &report.findings {
            one_finding(finding, &mut text);
        }
        let _ = writeln!(text, "not repaired: {code} {message}");
        for group in &report.shortages {
            let _ = writeln!(
                text,
                "  group {}: {} blocks lost, {} can be restored",
                group.group, group.lost, group.restorable
            );
        }
        if let Some(command) = &report.next_command {
            let _ = writeln!(text, "next: {command}");
        }
        return text;
    }
    for finding in &report.findings {
        let _ = writeln!(text, "  {} {} ({})", finding.code, finding.message, finding.place());
    }
    let verb = if report.applied { "restored" } else { "can be restored" };
    let _ = match &report.version_1 {
        Some(done) => writeln!(
            text,
            "{verb}: {} chunks, {} headers, {} parity areas; {} bytes differ",
            done.chunks.0, done.headers.0, done.parities.0, done.bytes_changed.0
        ),
        None => writeln!(
            text,
            "{verb}: {} blocks; {} whole parity blocks",
            report.blocks_repaired.0,
            report.parity_available.map_or(0, |count| count.0)
        ),
    };
    if let Some(output) = &report.output {
        let output = Escaped(&output.to_string_lossy()).to_string();
        let _ = match report.applied {
            true => writeln!(text, "wrote {output}, {} bytes, verified", report.bytes_written.0),
            false => writeln!(text, "would write {output}"),
        };
    }
    if let Some(command) = &report.next_command {
        let _ = writeln!(text, "next: {command}");
    }
    text
}
