//! `fold convert`: a file in another format, verified before and after.

use std::fmt::Write as _;

use fold_ops::exchange::{self, Compression, ConvertOptions, Protection, SaveOptions, Target};
use fold_ops::{Escaped, ExitCode};

use crate::arguments::{Convert, DigestName, Encoding, Global, Lossy, Parity, To};
use crate::failure::Failure;
use crate::key_files;
use crate::output::Output;

pub(crate) fn run(arguments: &Convert, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let options = ConvertOptions {
        to: arguments.to.map(|to| match to {
            To::V2 => Target::Version2,
            To::V1 => Target::Version1,
            To::Safetensors => Target::Safetensors,
            To::Npz => Target::Npz,
        }),
        lossy: match arguments.lossy {
            Lossy::Deny => exchange::Lossy::Deny,
            Lossy::Allow => exchange::Lossy::Allow,
        },
        keys: key_files::read(&arguments.keys)?,
        version_2: version_2(arguments),
        compression: match arguments.encoding {
            Encoding::Raw => Compression::Stored,
            Encoding::Zstd | Encoding::ShuffleZstd => Compression::Zstd,
        },
        protection: match arguments.parity {
            Parity::Off => Protection::Off,
            Parity::Low => Protection::Low,
            Parity::Med => Protection::Med,
            Parity::High => Protection::High,
        },
    };
    let report = exchange::convert(&arguments.source, &arguments.target, &options)?;
    if global.json {
        output.json(&report)?;
        return Ok(report.exit_code);
    }
    let mut text = format!(
        "{} ({}) -> {} ({}): {} tensors, {} bytes, verified and read back\n",
        Escaped(&report.source.to_string_lossy()),
        report.source_format,
        Escaped(&report.output.to_string_lossy()),
        report.output_format,
        report.tensors.0,
        report.bytes.0,
    );
    for loss in &report.losses {
        let _ = writeln!(text, "  {} left behind: {}", loss.code, loss.what);
    }
    output.text(&text)?;
    Ok(report.exit_code)
}

fn version_2(arguments: &Convert) -> SaveOptions {
    use exchange::{DigestKind, StoredAs};
    let options = SaveOptions::new(exchange::Durability::Full)
        .encoding(match arguments.encoding {
            Encoding::Raw => StoredAs::Raw,
            Encoding::Zstd => StoredAs::Zstd,
            Encoding::ShuffleZstd => StoredAs::ShuffleZstd,
        })
        .digest_kind(match arguments.digest {
            DigestName::Xxh3 => DigestKind::Xxh3,
            DigestName::Blake3 => DigestKind::Blake3,
        });
    options.parity(arguments.parity.level())
}
