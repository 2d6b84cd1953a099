//! `fold convert`: a file in another format, verified before and after.

use std::fmt::Write as _;

use fold_ops::exchange::{self, Compression, ConvertOptions, Protection, SaveOptions, StateForm, StateReport, Target};
use fold_ops::{Escaped, ExitCode};

use crate::arguments::{Convert, DigestName, Encoding, Global, Lossy, Parity, State, To};
use crate::failure::Failure;
use crate::key_files;
use crate::output::Output;

/// What is asked for and the target cannot have: nobody is to believe that it has it.
fn refuse_in_vain(arguments: &Convert, to: Target) -> Result<(), Failure> {
    let parity = arguments.parity != Parity::Off;
    let sealed = arguments.digest == DigestName::Blake3;
    let in_vain = match (to, arguments.encoding) {
        (Target::Version2, _) => None,
        (_, _) if sealed => Some("--digest blake3"),
        (Target::Version1, Encoding::ShuffleZstd) => Some("--encoding shuffle-zstd"),
        (Target::Version1, _) => None,
        (_, _) if parity => Some("--parity"),
        (_, Encoding::Zstd | Encoding::ShuffleZstd) => Some("--encoding"),
        (_, Encoding::Raw) => None,
    };
    match in_vain {
        Some(option) => Err(Failure::Ops(fold_ops::Error::Setting {
            what: format!(
                "{} has nothing like {option}: leave it out, or convert to v2",
                to.as_str()
            )
            .into(),
        })),
        None => Ok(()),
    }
}

pub(crate) fn run(arguments: &Convert, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let to = arguments.to.map(|to| match to {
        To::V2 => Target::Version2,
        To::V1 => Target::Version1,
        To::Safetensors => Target::Safetensors,
        To::Npz => Target::Npz,
    });
    if let Some(to) = to.or_else(|| Target::of_name(&arguments.target)) {
        refuse_in_vain(arguments, to)?;
    }
    let options = ConvertOptions {
        to,
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
        state: arguments.state.map(|state| match state {
            State::Arrays => StateForm::Arrays,
            State::Dict => StateForm::Dict,
        }),
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
    if arguments.state.is_some() {
        match &report.state {
            Some(state) => text.push_str(&rendered(state)),
            None => text.push_str("  no neurons to lay out\n"),
        }
    }
    output.text(&text)?;
    Ok(report.exit_code)
}

fn rendered(state: &StateReport) -> String {
    let form = match state.form {
        "arrays" => "gathered into arrays",
        _ => "taken apart into tensors",
    };
    let mut text = format!("  {} neurons, {} tensors {form}\n", state.neurons.0, state.tensors.0);
    for mapped in &state.mapped {
        let (tensor, array) = (Escaped(&mapped.tensor), Escaped(&mapped.array));
        let _ = writeln!(text, "  {tensor} is {array}");
    }
    for name in &state.kept {
        let _ = writeln!(text, "  kept, without a counterpart: {}", Escaped(name));
    }
    for name in &state.untouched {
        let _ = writeln!(text, "  left as it is: {}", Escaped(name));
    }
    text
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
