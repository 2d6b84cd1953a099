//! `fold keygen` and `fold sign`.

use fold_ops::{Escaped, ExitCode, sign};

use crate::arguments::{Global, Keygen, Sign};
use crate::failure::Failure;
use crate::output::Output;

pub(crate) fn keygen(arguments: &Keygen, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let report = sign::keygen(&arguments.output)?;
    if global.json {
        output.json(&report)?;
    } else {
        output.text(&format!(
            "private key {}, to be kept secret\npublic key {} ({})\n",
            Escaped(&report.private_key.to_string_lossy()),
            Escaped(&report.public_key.to_string_lossy()),
            report.public_key_hex
        ))?;
    }
    Ok(report.exit_code)
}

pub(crate) fn sign(arguments: &Sign, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let report = sign::sign(&arguments.file, &arguments.key, &arguments.output)?;
    if global.json {
        output.json(&report)?;
    } else {
        output.text(&format!(
            "wrote {}, {} bytes, root {}, signed by {}\n",
            Escaped(&report.output.to_string_lossy()),
            report.bytes.0,
            report.root_digest,
            report.public_key_hex
        ))?;
    }
    Ok(report.exit_code)
}
