//! `fold inspect`: what a container says it holds. Nothing of the content is checked unless statistics are asked for.

use std::fmt::Write as _;

use fold_ops::inspect::{self, FileInspection, InspectOptions};
use fold_ops::{Escaped, ExitCode};

use crate::arguments::{Global, Inspect};
use crate::failure::Failure;
use crate::key_files;
use crate::output::Output;

pub(crate) fn run(arguments: &Inspect, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let options = InspectOptions {
        tensor: arguments.tensor.clone(),
        stats: arguments.stats,
        keys: key_files::read(&arguments.keys)?,
    };
    let report = inspect::inspect(&arguments.path, &options)?;
    if global.json {
        output.json(&report)?;
    } else {
        let mut text = String::new();
        for file in &report.files {
            one(file, report.digests, &mut text);
        }
        output.text(&text)?;
    }
    Ok(report.exit_code)
}

fn one(file: &FileInspection, digests: &str, text: &mut String) {
    let _ = write!(text, "{}", Escaped(&file.path.to_string_lossy()));
    if let (Some(format), Some(version), Some(digest)) = (file.format, &file.version, file.digest) {
        let _ = write!(
            text,
            ": {format} {version}, {} bytes, {digest} digests ({digests}), parity {}",
            file.bytes.0, file.parity
        );
        if let Some(key) = &file.signed_by {
            let _ = write!(text, ", signed by {key} (recorded, not checked)");
        }
    }
    text.push('\n');
    if let Some(facts) = &file.version_1 {
        let _ = write!(text, "  dialect {} of PyFolds", facts.dialect);
        for (is_so, what) in [
            (facts.mind, "a mind"),
            (facts.encrypted, "encrypted"),
            (facts.merkle, "with a Merkle root"),
            (facts.signed_fields, "with a signature over four fields of its metadata"),
            (facts.trust_block, "with a trust block"),
        ] {
            if is_so {
                let _ = write!(text, ", {what}");
            }
        }
        text.push_str(" (recorded, not checked)\n");
    }
    for chunk in &file.chunks {
        let name = Escaped(&chunk.name).to_string();
        let _ = writeln!(
            text,
            "  chunk  {name:<32} {} {} {} bytes",
            chunk.kind, chunk.encoding, chunk.bytes.0
        );
    }
    for tensor in &file.tensors {
        let shape: Vec<String> = tensor.shape.iter().map(|extent| extent.0.to_string()).collect();
        let name = Escaped(&tensor.name).to_string();
        let _ = write!(text, "  tensor {name:<32} {:<4} [{}]", tensor.dtype, shape.join(", "));
        if let Some(stats) = &tensor.stats {
            let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.6}"));
            let (min, mean, max) = (number(stats.min), number(stats.mean), number(stats.max));
            let _ = write!(
                text,
                "  min {min} mean {mean} max {max}, {} not finite",
                stats.non_finite.0
            );
        }
        text.push('\n');
    }
    for finding in &file.findings {
        let _ = writeln!(text, "  {} {} ({})", finding.code, finding.message, finding.place());
    }
}
