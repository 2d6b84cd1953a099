//! The corruption campaign, run as a program of its own: `fuzz/bodies/examples/corruption_fuzz.rs`, built with optimisation.

use std::path::Path;

use anyhow::Context;

use crate::evidence::cargo;

/// Runs the campaign and passes its table through. Returns whether nothing was silent, nothing panicked and every planted
/// bug was found.
///
/// - `minutes`: a limit on its time; without one every case is run.
/// - `seed`: of the random cases.
/// - `only`: what the names of the phases to run begin with; empty: all are run.
pub(crate) fn run(root: &Path, minutes: Option<u64>, seed: u64, only: &[String]) -> anyhow::Result<bool> {
    let program = [
        "run",
        "--quiet",
        "--release",
        "--package",
        "fold-fuzz-bodies",
        "--example",
        "corruption_fuzz",
        "--",
    ];
    let mut command = cargo(root, &program);
    command.args(["--seed", &seed.to_string()]);
    if let Some(minutes) = minutes {
        command.args(["--minutes", &minutes.to_string()]);
    }
    for phase in only {
        command.args(["--only", phase]);
    }
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    Ok(status.success())
}
