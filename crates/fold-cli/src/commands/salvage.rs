//! `fold salvage`: what was saved into which file, and what is lost.

use std::fmt::Write as _;

use fold_ops::mend::{self, LostItem, Mode, SalvageReport};
use fold_ops::{Escaped, ExitCode};

use crate::arguments::{Global, Salvage};
use crate::failure::Failure;
use crate::interrupt;
use crate::key_files;
use crate::output::{Output, painted};

pub(crate) fn run(arguments: &Salvage, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let mode = if arguments.dry_run { Mode::Plan } else { Mode::Write };
    let report = mend::salvage(
        &arguments.file,
        &arguments.output,
        mode,
        &key_files::read_secret(&arguments.keys)?,
        &interrupt::requested,
    )?;
    if global.json {
        output.json(&report)?;
    } else {
        output.text(&rendered(&report))?;
    }
    Ok(report.exit_code)
}

fn rendered(report: &SalvageReport) -> String {
    let mut text = String::new();
    for finding in &report.findings {
        let _ = writeln!(text, "{} {} ({})", finding.code, finding.message, finding.place());
    }
    let verb = if report.applied { "saved" } else { "intact" };
    for item in &report.files {
        let _ = write!(text, "{} {}", painted(verb, true), item.kind);
        if let Some(name) = &item.name {
            let _ = write!(text, " {}", Escaped(name));
        }
        if report.applied {
            let _ = write!(text, " as {}", item.file);
        }
        text.push('\n');
    }
    lost("tensor", &report.tensors_lost, &mut text);
    lost("chunk", &report.chunks_lost, &mut text);
    if report.carved {
        text.push_str("the metadata are lost: there may have been more than is listed\n");
    }
    let _ = writeln!(
        text,
        "{}: {} tensors and {} chunks {verb}, {} tensors and {} chunks lost",
        Escaped(&report.path.to_string_lossy()),
        report.tensors_saved.len(),
        report.chunks_saved.len(),
        report.tensors_lost.len(),
        report.chunks_lost.len()
    );
    if let Some(output) = &report.output {
        let verb = if report.applied { "wrote" } else { "would write" };
        let output = Escaped(&output.to_string_lossy()).to_string();
        let _ = writeln!(text, "{verb} {output}, with a list of everything in report.json");
    }
    text
}

fn lost(kind: &str, items: &[LostItem], text: &mut String) {
    for item in items {
        let _ = writeln!(text, "{} {kind} {}", painted("lost", false), Escaped(&item.name));
        for finding in &item.findings {
            let _ = writeln!(text, "  {} {} ({})", finding.code, finding.message, finding.place());
        }
    }
}
