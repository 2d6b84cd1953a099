//! Running commands and keeping what they said.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, bail};

/// A cargo command in the workspace's folder.
pub(crate) fn cargo(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root).args(arguments).stdin(Stdio::null());
    command
}

/// A cargo command of the nightly toolchain in the workspace's folder; the toolchain that runs this program is stable.
pub(crate) fn nightly_cargo(root: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command
        .current_dir(root)
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO")
        .arg("+nightly")
        .args(arguments)
        .stdin(Stdio::null());
    command
}

/// A folder of this name under cargo's target directory.
pub(crate) fn target_dir(root: &Path, name: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
    target.join(name)
}

/// Runs a command that must succeed; its standard output and its standard error.
pub(crate) fn must(command: &mut Command) -> anyhow::Result<(String, String)> {
    let output = run(command)?;
    if !output.status.success() {
        bail!("{command:?} ended with {}\n{}", output.status, tail(&output, 60));
    }
    Ok((text(&output.stdout), text(&output.stderr)))
}

/// Runs a command and hands back how it ended.
pub(crate) fn run(command: &mut Command) -> anyhow::Result<Output> {
    command.output().with_context(|| format!("cannot run {command:?}"))
}

/// Bytes as text, with anything that is not UTF-8 replaced.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The last lines of both streams.
fn tail(output: &Output, lines: usize) -> String {
    let all = format!("{}{}", text(&output.stdout), text(&output.stderr));
    let all: Vec<&str> = all.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Whether `cargo NAME` is installed.
pub(crate) fn has_cargo_command(root: &Path, name: &str) -> bool {
    cargo(root, &[name, "--version"])
        .output()
        .is_ok_and(|output| output.status.success())
}

/// Whether a program can be started.
pub(crate) fn installed(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success())
}

/// The commit that is checked out, marked when the work tree differs from it.
pub(crate) fn commit(root: &Path) -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").current_dir(root).args(arguments).output().ok()?;
        output.status.success().then(|| text(&output.stdout).trim().to_owned())
    };
    match (git(&["rev-parse", "HEAD"]), git(&["status", "--porcelain"])) {
        (Some(commit), Some(changes)) if changes.is_empty() => commit,
        (Some(commit), _) => format!("{commit} with uncommitted changes"),
        _ => "unknown commit".to_owned(),
    }
}

/// When, where and with which tools something is checked.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Surroundings {
    /// The moment, in UTC.
    pub(crate) began: String,
    /// The system, its release and the processor's kind.
    pub(crate) machine: String,
    pub(crate) cores: usize,
    pub(crate) rustc: String,
}

impl Surroundings {
    pub(crate) fn now(root: &Path) -> Self {
        let said = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).current_dir(root).args(arguments).output().ok();
            output.map_or_else(|| "unknown".to_owned(), |output| text(&output.stdout).trim().to_owned())
        };
        Self {
            began: said("date", &["-u", "+%Y-%m-%dT%H:%M:%SZ"]),
            machine: said("uname", &["-srm"]),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            rustc: said("rustc", &["--version"]),
        }
    }
}

/// Builds the binary `fold` as it is released and returns its path.
pub(crate) fn fold_binary(root: &Path) -> anyhow::Result<PathBuf> {
    released(root, "fold-cli", "fold")
}

/// Builds a binary of a package as it is released and returns its path.
pub(crate) fn released(root: &Path, package: &str, name: &str) -> anyhow::Result<PathBuf> {
    let (messages, _) = must(&mut cargo(
        root,
        &[
            "build",
            "--quiet",
            "--release",
            "--package",
            package,
            "--bin",
            name,
            "--message-format",
            "json-render-diagnostics",
        ],
    ))?;
    let executable = |line: &str| -> Option<PathBuf> {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        (message["target"]["name"] == name).then(|| message["executable"].as_str().map(PathBuf::from))?
    };
    messages
        .lines()
        .find_map(executable)
        .with_context(|| format!("cargo named no executable `{name}`"))
}
