//! `fold explain`: what a code means, whose move it is, what a command ends with that it stops, and the runbook's entry.

use std::fmt::Write as _;

use fold_ops::{Code, ExitCode, runbook};
use serde::Serialize;

use crate::arguments::{Explain, Global};
use crate::failure::Failure;
use crate::output::Output;

#[derive(Serialize)]
struct Explanation {
    code: Code,
    severity: &'static str,
    class: &'static str,
    meaning: &'static str,
    exit_code: ExitCode,
    /// The runbook's entry, as Markdown; left out of a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    runbook: Option<&'static str>,
}

#[derive(Serialize)]
struct Answer {
    schema: &'static str,
    exit_code: ExitCode,
    codes: Vec<Explanation>,
}

pub(crate) fn run(arguments: &Explain, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let codes = match &arguments.code {
        Some(text) => vec![Code::find(text).ok_or_else(|| Failure::UnknownCode(text.clone()))?],
        None => Code::all(),
    };
    let explained = codes.into_iter().map(|code| Explanation {
        code,
        severity: code.severity().as_str(),
        class: code.class().as_str(),
        meaning: code.meaning(),
        exit_code: code.exit(),
        runbook: (!arguments.list).then(|| runbook::entry(code)).flatten(),
    });
    let answer = Answer {
        schema: "fold.explain/1",
        exit_code: ExitCode::Done,
        codes: explained.collect(),
    };
    if global.json {
        output.json(&answer)?;
        return Ok(ExitCode::Done);
    }
    let mut text = String::new();
    for row in &answer.codes {
        if arguments.list {
            let _ = writeln!(
                text,
                "{}  {:<8} {:<11} {}",
                row.code, row.severity, row.class, row.meaning
            );
        } else {
            let _ = writeln!(text, "{}: {}.", row.code, row.meaning);
            let _ = writeln!(text, "severity: {}", row.severity);
            let _ = writeln!(text, "class: {}", row.class);
            let _ = writeln!(
                text,
                "exit code: {} ({})",
                row.exit_code.number(),
                row.exit_code.meaning()
            );
            // The title says again what the first line says.
            if let Some((_, sections)) = row.runbook.and_then(|text| text.split_once('\n')) {
                text.push_str(sections);
            }
        }
    }
    output.text(&text)?;
    Ok(ExitCode::Done)
}
