//! Items that are cargo's: formatting, lints, documentation and its examples, a test that takes too long for every run.

use std::path::Path;

use anyhow::ensure;

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

pub(super) fn doctests(root: &Path) -> anyhow::Result<Ended> {
    tests(root, &["test", "--workspace", "--doc"])
}

/// What the tests of the exponential function take samples of, for every number there is.
pub(super) fn exponential(root: &Path) -> anyhow::Result<Ended> {
    let chosen = ["-p", "fold-core", "--lib", "for_every_number", "--", "--ignored"];
    tests(root, &[&["test", "--release"], chosen.as_slice()].concat())
}

/// Runs tests by cargo; none is an error.
fn tests(root: &Path, arguments: &[&str]) -> anyhow::Result<Ended> {
    let (out, _) = must(&mut cargo(root, arguments))?;
    let passed = passed(&out)?;
    Ok(Ended::Passed(format!("{passed} passed: cargo {}", arguments.join(" "))))
}

/// How many tests passed, of all packages; none is an error.
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
