//! The binary as its users call it: exit codes, JSON, damage, resumption, closed outputs.

#![allow(clippy::unwrap_used, reason = "a test whose setting cannot be made has failed")]

mod exchange;
mod faults;
mod hostile;
#[cfg(unix)]
mod interrupted;
mod mend;
mod operations;
mod outputs;
#[cfg(unix)]
mod rehearsals;
mod run;
mod schemas;
mod simulate;
mod verify;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// `fold` with `arguments`.
fn fold(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fold"));
    command.args(arguments).env_remove("RUST_LOG");
    command
}

/// A shell's command line, in which `fold` is this one.
#[cfg(unix)]
fn shell(line: &str) -> Command {
    let bin = Path::new(env!("CARGO_BIN_EXE_fold")).parent().unwrap().to_path_buf();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(std::iter::once(bin).chain(std::env::split_paths(&path))).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", line]).env("PATH", path).env_remove("RUST_LOG");
    command
}

/// A small training run into `out`, quick enough for a test.
fn train(out: &Path, epochs: &str) -> Command {
    let mut command = fold(&[
        "train",
        "--data",
        "digits",
        "--neurons",
        "24",
        "--progress",
        "never",
        "--epochs",
        epochs,
    ]);
    command.arg("--out").arg(out);
    command
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The object that a command printed, after it was validated against its schema.
fn json(output: &Output) -> Value {
    let object = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(schemas::complaints(&object), Vec::<String>::new());
    object
}

/// The names of what lies in a directory.
fn names_in(dir: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// The checkpoints of a run: name -> bytes.
fn checkpoints(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    let files = entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.path()));
    files
        .filter(|(name, _)| name.ends_with(".fold"))
        .map(|(name, path)| (name, std::fs::read(path).unwrap()))
        .collect()
}
