//! `fold doctor`: what speaks for and against trusting a run to this machine and directory.

use std::fmt::Write as _;

use fold_ops::doctor::{Status, doctor};
use fold_ops::{ExitCode, Timestamp};

use crate::arguments::{Doctor, Global};
use crate::failure::Failure;
use crate::output::{Output, painted};

pub(crate) fn run(arguments: &Doctor, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let report = doctor(&arguments.dir, Timestamp::now());
    if global.json {
        output.json(&report)?;
        return Ok(report.exit_code);
    }
    let mut text = String::new();
    for checked in &report.checks {
        let status = painted(checked.status.as_str(), checked.status < Status::Warning);
        let _ = write!(text, "{:<12} {status}: {}", checked.check, checked.message);
        match checked.code {
            Some(code) => {
                let _ = writeln!(text, " ({code})");
            }
            None => text.push('\n'),
        }
    }
    output.text(&text)?;
    Ok(report.exit_code)
}
