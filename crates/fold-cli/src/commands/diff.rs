//! `fold diff`: what two files differ in.

use std::fmt::Write as _;

use fold_ops::exchange::{self, Tolerance};
use fold_ops::{Escaped, ExitCode};

use crate::arguments::{Diff, Global};
use crate::failure::Failure;
use crate::key_files;
use crate::output::Output;

pub(crate) fn run(arguments: &Diff, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let tolerance = match (arguments.atol, arguments.rtol) {
        (None, None) => Tolerance::Bitwise,
        (atol, rtol) => Tolerance::within(atol.unwrap_or(0.0), rtol.unwrap_or(0.0)),
    };
    let keys = key_files::read(&arguments.keys)?;
    let report = exchange::diff(&arguments.first, &arguments.second, tolerance, &keys)?;
    if global.json {
        output.json(&report)?;
        return Ok(report.exit_code);
    }
    let mut text = String::new();
    if report.state.is_some() {
        text.push_str("one file has the state of its neurons as a dict, which is compared as arrays\n");
    }
    let mut named = |sign: &str, what: &str, names: &[String]| {
        for name in names {
            let _ = writeln!(text, "{sign} {what} {}", Escaped(name));
        }
    };
    named("-", "tensor", &report.tensors.removed);
    named("+", "tensor", &report.tensors.added);
    named("~", "metadata", &report.metadata.changed);
    named("~", "chunk", &report.metadata.chunks);
    named("~", "type of chunk", &report.metadata.types);
    named("~", "order of tensors in chunk", &report.metadata.order);
    for changed in &report.tensors.changed {
        let _ = write!(text, "~ tensor {}: {}", Escaped(&changed.name), changed.reason);
        if let Some(differing) = changed.differing {
            let _ = write!(text, ", {} elements", differing.0);
        }
        if let Some(max_abs) = changed.max_abs {
            let _ = write!(text, ", by at most {max_abs}");
        }
        text.push('\n');
    }
    if report.equal {
        text.push_str("equal\n");
    }
    output.text(&text)?;
    Ok(report.exit_code)
}
