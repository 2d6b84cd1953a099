//! The program `fold`: arguments in, a library call, its answer rendered, an exit code out.
//!
//! What is not here: anything that decides. Findings, codes and exit codes come from `fold-ops`, learning from
//! `fold-train`.

mod arguments;
mod commands;
mod durations;
mod failure;
mod interrupt;
mod key_files;
mod output;
mod progress;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command, Global};
use failure::Failure;
use output::Output;

/// Does what the arguments say, the first of which is the program's name, and returns what the process ends with.
///
/// Once in a process: it takes over the log, the signals and, with `--threads`, the global thread pool.
#[must_use]
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let arguments = match Arguments::try_parse_from(&arguments) {
        Ok(arguments) => arguments,
        Err(error) => return ExitCode::from(not_parsed(&error, &arguments).number()),
    };
    let mut output = Output::new(&arguments.global);
    let ended = set_up(&arguments.global)
        .and_then(|()| end_at_once(&arguments))
        .and_then(|()| run(&arguments, &mut output));
    let exit = ended.unwrap_or_else(|failure| report(&failure, &arguments.global, &mut output));
    ExitCode::from(interrupt::named(exit).number())
}

fn run(arguments: &Arguments, output: &mut Output) -> Result<fold_ops::ExitCode, Failure> {
    let global = &arguments.global;
    match &arguments.command {
        Command::Train(train) => commands::train::run(train, global, output),
        Command::Eval(eval) => commands::eval::run(eval, global, output),
        Command::Simulate(simulate) => commands::simulate::run(simulate, global, output),
        Command::Inspect(inspect) => commands::inspect::run(inspect, global, output),
        Command::Verify(verify) => commands::verify::run(verify, global, output),
        Command::Convert(convert) => commands::convert::run(convert, global, output),
        Command::Diff(diff) => commands::diff::run(diff, global, output),
        Command::Extract(extract) => commands::extract::run(extract, global, output),
        Command::Repair(repair) => commands::repair::run(repair, global, output),
        Command::Salvage(salvage) => commands::salvage::run(salvage, global, output),
        Command::Sign(sign) => commands::sign::sign(sign, global, output),
        Command::Keygen(keygen) => commands::sign::keygen(keygen, global, output),
        Command::Scrub(scrub) => commands::scrub::run(scrub, global, output),
        Command::Prune(prune) => commands::prune::run(prune, global, output),
        Command::Exporter(exporter) => commands::exporter::run(exporter, global, output),
        Command::Doctor(doctor) => commands::doctor::run(doctor, global, output),
        Command::Explain(explain) => commands::explain::run(explain, global, output),
        Command::Completions(completions) => commands::generated::completions(completions, global, output),
        Command::Man => commands::generated::man(global, output),
    }
}

/// Shows help or the version, which were asked for, or what is wrong with the arguments: an object too, where JSON is
/// asked for among them.
fn not_parsed(error: &clap::Error, arguments: &[OsString]) -> fold_ops::ExitCode {
    let shown = error.print().and_then(|()| std::io::stdout().flush());
    if !error.use_stderr() {
        return match shown {
            Ok(()) => fold_ops::ExitCode::Done,
            Err(_) => fold_ops::ExitCode::Io,
        };
    }
    let exit = fold_ops::ExitCode::Usage;
    let options = arguments.iter().skip(1).take_while(|argument| *argument != "--");
    if !options.into_iter().any(|argument| argument == "--json") {
        return exit;
    }
    // What is wrong, without the usage below it.
    let text = error.to_string();
    let message = text
        .split("\n\n")
        .next()
        .unwrap_or_default()
        .trim_start_matches("error: ");
    let code = fold_ops::Code::BadConfiguration.as_str();
    let object = error_object(exit, Some(code), message);
    match writeln!(std::io::stdout(), "{object}").and_then(|()| std::io::stdout().flush()) {
        Ok(()) => exit,
        Err(_) => fold_ops::ExitCode::Io,
    }
}

/// What a command prints with `--json` that ends without its result, schema `fold.error/1`.
fn error_object(exit: fold_ops::ExitCode, code: Option<&str>, message: &str) -> serde_json::Value {
    serde_json::json!({"schema": "fold.error/1", "exit_code": exit, "code": code, "message": message})
}

/// Logging and threads.
fn set_up(global: &Global) -> Result<(), Failure> {
    let level = match (global.quiet, global.verbose) {
        (true, _) => log::LevelFilter::Error,
        (false, 0) => log::LevelFilter::Warn,
        (false, 1) => log::LevelFilter::Info,
        (false, _) => log::LevelFilter::Debug,
    };
    env_logger::Builder::new()
        .filter_level(level)
        .parse_default_env()
        .init();
    interrupt::listen().map_err(|error| Failure::Internal(error.into()))?;
    if let Some(threads) = global.threads {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads.into());
        pool.build_global().map_err(|error| Failure::Internal(error.into()))?;
    }
    Ok(())
}

/// Has a signal end commands at once that have nothing to bring to an end: their only trace, if any, is a file that gets its
/// name when it is whole.
fn end_at_once(arguments: &Arguments) -> Result<(), Failure> {
    let target = match &arguments.command {
        Command::Convert(convert) => Some(convert.target.clone()),
        Command::Extract(extract) => Some(extract.output.clone()),
        Command::Repair(repair) => Some(repair.output.clone()),
        Command::Sign(sign) => Some(sign.output.clone()),
        Command::Simulate(simulate) => Some(simulate.output.clone()),
        Command::Diff(_) | Command::Eval(_) | Command::Inspect(_) => None,
        _ => return Ok(()),
    };
    let global = arguments.global.clone();
    let say = move || {
        let stopped = Failure::Ops(fold_ops::Error::cancelled());
        report(&stopped, &global, &mut Output::new(&global))
    };
    interrupt::end_at_once(target, say).map_err(|error| Failure::Internal(error.into()))
}

/// Says why a command failed: on standard error, and as an object where JSON was asked for.
fn report(failure: &Failure, global: &Global, output: &mut Output) -> fold_ops::ExitCode {
    let exit = interrupt::named(failure.exit());
    output::note(&format!("fold: {failure}"));
    if let Some(code) = failure.code() {
        output.note(&format!("      `fold explain {code}` says more"));
    }
    if global.json && !matches!(failure, Failure::Output(_)) {
        let object = error_object(exit, failure.code(), &failure.to_string());
        if output.json(&object).is_err() {
            return fold_ops::ExitCode::Io;
        }
    }
    exit
}
