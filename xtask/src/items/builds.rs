//! Items that are cargo's: formatting, lints, documentation, and tests by their subject.

use std::path::Path;

use anyhow::{Context, ensure};

use crate::checklist::Ended;
use crate::evidence::{cargo, must};

pub(super) fn fmt(root: &Path) -> anyhow::Result<Ended> {
    must(&mut cargo(root, &["fmt", "--all", "--check"]))?;
    Ok(Ended::Passed("cargo fmt --all --check".into()))
}

pub(super) fn clippy(root: &Path) -> anyhow::Result<Ended> {
    let arguments = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
    must(&mut cargo(root, &arguments))?;
    Ok(Ended::Passed(format!("cargo {}", arguments.join(" "))))
}

pub(super) fn docs(root: &Path) -> anyhow::Result<Ended> {
    must(cargo(root, &["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))?;
    Ok(Ended::Passed(
        "cargo doc --workspace --no-deps with warnings denied".into(),
    ))
}

pub(super) fn tests(root: &Path) -> anyhow::Result<Ended> {
    tested(root, &[&["--workspace", "--lib", "--bins", "--tests"]])
}

pub(super) fn doctests(root: &Path) -> anyhow::Result<Ended> {
    tested(root, &[&["--workspace", "--doc"]])
}

pub(super) fn layers(root: &Path) -> anyhow::Result<Ended> {
    tested(root, &[&["--package", "xtask", "--test", "layers"]])
}

pub(super) fn links(root: &Path) -> anyhow::Result<Ended> {
    tested(root, &[&["--package", "xtask", "--test", "links"]])
}

pub(super) fn spec_tables(root: &Path) -> anyhow::Result<Ended> {
    tested(
        root,
        &[
            &["--package", "fold-ops", "--lib", "telemetry::tests"],
            &[
                "--package",
                "fold-ops",
                "--lib",
                "the_index_is_what_the_code_table_gives",
            ],
            &["--package", "fold-format", "--test", "it", "of_the_specification_are"],
            &["--package", "fold-advanced", "--test", "it", "docs"],
        ],
    )
}

pub(super) fn golden(root: &Path) -> anyhow::Result<Ended> {
    tested(root, &[&["--package", "fold-format", "--test", "it", "golden"]])
}

pub(super) fn corruption(root: &Path) -> anyhow::Result<Ended> {
    tested(
        root,
        &[
            &["--package", "fold-format", "--test", "it", "flips"],
            &["--package", "fold-format", "--test", "it", "hostile"],
            &["--package", "fold-format", "--test", "it", "faults"],
        ],
    )
}

pub(super) fn crash(root: &Path) -> anyhow::Result<Ended> {
    tested(
        root,
        &[
            &["--package", "fold-format", "--test", "it", "crash"],
            &["--package", "fold-ops", "--test", "it", "crash"],
        ],
    )
}

pub(super) fn vectors(root: &Path) -> anyhow::Result<Ended> {
    tested(
        root,
        &[
            &["--package", "fold-core"],
            &["--package", "fold-advanced", "--lib", "--tests"],
        ],
    )
}

pub(super) fn runbook(root: &Path) -> anyhow::Result<Ended> {
    tested(
        root,
        &[
            &["--package", "fold-ops", "--lib", "runbook"],
            &["--package", "fold-cli", "--test", "it", "rehearsals"],
        ],
    )
}

pub(super) fn schemas(root: &Path) -> anyhow::Result<Ended> {
    tested(root, &[&["--package", "fold-cli", "--test", "it", "schemas"]])
}

pub(super) fn faults(root: &Path) -> anyhow::Result<Ended> {
    tested(
        root,
        &[
            &["--package", "fold-cli", "--test", "it", "faults"],
            &["--package", "fold-cli", "--test", "it", "outputs"],
        ],
    )
}

pub(super) fn fuzz_replay(root: &Path) -> anyhow::Result<Ended> {
    tested(root, &[&["--package", "fold-fuzz-bodies"]])
}

/// Runs `cargo test` with each of the argument lists; in each at least one test must have run.
fn tested(root: &Path, calls: &[&[&str]]) -> anyhow::Result<Ended> {
    let mut evidence = Vec::new();
    for call in calls {
        let mut command = cargo(root, &["test"]);
        let (out, _) = must(command.args(*call))?;
        let passed = passed(&out).with_context(|| format!("cargo test {}", call.join(" ")))?;
        evidence.push(format!("cargo test {}: {passed} passed", call.join(" ")));
    }
    Ok(Ended::Passed(evidence.join("\n")))
}

/// How many tests passed, of all binaries of a run; none is an error, for a filter may have become stale.
fn passed(out: &str) -> anyhow::Result<u64> {
    let results = out.lines().filter(|line| line.starts_with("test result:"));
    let passed = results
        .filter_map(|line| line.split(' ').nth(3)?.parse::<u64>().ok())
        .sum();
    ensure!(passed > 0, "no test ran");
    Ok(passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_no_tests_proves_nothing() {
        let line = |n| format!("test result: ok. {n} passed; 0 failed; 0 ignored; 0 measured; 7 filtered out\n");
        assert_eq!(passed(&format!("{}{}", line(3), line(4))).unwrap(), 7);
        assert!(passed(&line(0)).is_err() && passed("").is_err());
    }
}
