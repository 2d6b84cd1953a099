//! `fold extract`: one chunk or tensor as a file of its own.

use fold_ops::exchange::{self, Wanted};
use fold_ops::{Escaped, ExitCode};

use crate::arguments::{Extract, Global};
use crate::failure::Failure;
use crate::key_files;
use crate::output::Output;

pub(crate) fn run(arguments: &Extract, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let wanted = match (&arguments.chunk, &arguments.tensor) {
        (Some(chunk), _) => Wanted::Chunk(chunk.clone()),
        (None, tensor) => Wanted::Tensor(tensor.clone().unwrap_or_default()),
    };
    let keys = key_files::read(&arguments.keys)?;
    let report = exchange::extract(&arguments.file, &wanted, &arguments.output, &keys)?;
    if global.json {
        output.json(&report)?;
        return Ok(report.exit_code);
    }
    output.text(&format!(
        "{} {} -> {}: {} bytes\n",
        report.kind,
        Escaped(&report.name),
        Escaped(&report.output.to_string_lossy()),
        report.bytes.0,
    ))?;
    if let Some(note) = report.note {
        output.note(note);
    }
    Ok(report.exit_code)
}
