//! Items that need tools beside Rust, or minutes: cargo-deny, cargo-fuzz, cargo-public-api, benches, other tasks.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::checklist::Ended;
use crate::evidence::{cargo, has_cargo_command, must, run, text};
use crate::interop;

/// Seconds that each fuzz target runs.
const FUZZ_SECONDS: u32 = 60;
/// A bench may take this many times as long, against the others, as when the baseline was recorded.
const SLOWDOWN_MAX: f64 = 2.0;
/// Where the baseline of the benches lies.
const BASELINE: &str = "benches/baseline.json";
const DENY: &str = "cargo-deny is not installed: `cargo install cargo-deny --locked`";

pub(super) fn deny(root: &Path) -> anyhow::Result<Ended> {
    if !has_cargo_command(root, "deny") {
        return Ok(Ended::Skipped(DENY.into()));
    }
    let (out, err) = must(&mut cargo(root, &["deny", "check", "bans", "licenses", "sources"]))?;
    Ok(Ended::Passed(format!("{out}{err}").trim().to_owned()))
}

pub(super) fn advisories(root: &Path) -> anyhow::Result<Ended> {
    if !has_cargo_command(root, "deny") {
        return Ok(Ended::Skipped(DENY.into()));
    }
    let output = run(&mut cargo(root, &["deny", "check", "advisories"]))?;
    let said = text(&output.stderr);
    if output.status.success() {
        return Ok(Ended::Passed(said.trim().to_owned()));
    }
    if said.contains("failed to fetch advisory database") {
        return Ok(Ended::Skipped(
            "the advisory database could not be fetched; run this item where there is a network".into(),
        ));
    }
    bail!("{said}")
}

pub(super) fn public_api(root: &Path) -> anyhow::Result<Ended> {
    let tags = run(Command::new("git")
        .current_dir(root)
        .args(["describe", "--tags", "--abbrev=0", "--match", "v*"]))?;
    let tag = text(&tags.stdout).trim().to_owned();
    if tag.is_empty() {
        return Ok(Ended::Skipped(
            "there is no tag v* to compare with: nothing was released yet".into(),
        ));
    }
    if !has_cargo_command(root, "public-api") {
        return Ok(Ended::Skipped(
            "cargo-public-api is not installed: `cargo install cargo-public-api --locked` (it needs nightly)".into(),
        ));
    }
    let mut said = vec![format!("against {tag}")];
    for name in ["fold-format", "fold-core", "fold-advanced", "fold-ops", "fold-train"] {
        let range = format!("{tag}..HEAD");
        let (out, _) = must(&mut cargo(root, &["public-api", "--package", name, "diff", &range]))?;
        said.push(format!("{name}:\n{out}"));
    }
    Ok(Ended::Passed(said.join("\n")))
}

/// Runs another task of the tree's own xtask, where it has it. By cargo: building the tests may have replaced this program.
fn task(root: &Path, name: &str, arguments: &[&str]) -> anyhow::Result<Ended> {
    let known = run(&mut cargo(root, &["xtask", name, "--help"]))?;
    if !known.status.success() {
        let said = text(&known.stderr);
        ensure!(said.contains("unrecognized subcommand"), "cargo xtask {name}: {said}");
        return Ok(Ended::Skipped(format!("this tree has no task `cargo xtask {name}`")));
    }
    let (out, err) = must(cargo(root, &["xtask", name]).args(arguments))?;
    Ok(Ended::Passed(format!(
        "cargo xtask {name} {}\n{out}{err}",
        arguments.join(" ")
    )))
}

pub(super) fn interop(root: &Path) -> anyhow::Result<Ended> {
    interop::run(root, false)
}

pub(super) fn corruption_fuzz(root: &Path) -> anyhow::Result<Ended> {
    task(root, "corruption-fuzz", &["--minutes", "20"])
}

pub(super) fn perf_check(root: &Path) -> anyhow::Result<Ended> {
    let compared = crate::perf::check(root, &root.join("target"))?;
    Ok(compared.map_or_else(
        || Ended::Skipped("no measurement is recorded to compare with: `cargo xtask perf-report`".into()),
        Ended::Passed,
    ))
}

pub(super) fn fuzz(root: &Path) -> anyhow::Result<Ended> {
    if !has_cargo_command(root, "fuzz") {
        return Ok(Ended::Skipped(
            "cargo-fuzz is not installed: `cargo install cargo-fuzz --locked`".into(),
        ));
    }
    let mut targets = Vec::new();
    for entry in std::fs::read_dir(root.join("fuzz/fuzz_targets")).context("cannot list fuzz/fuzz_targets")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        targets.extend(name.strip_suffix(".rs").map(str::to_owned));
    }
    targets.sort();
    ensure!(!targets.is_empty(), "there are no fuzz targets");
    let mut said = Vec::new();
    for target in targets {
        // The canary holds a planted bug, and proves that the fuzzer would find one.
        let must_fail = target == "canary";
        match fuzzed(root, &target)? {
            None => return Ok(Ended::Skipped("no nightly toolchain is installed".into())),
            Some((found, closing)) => {
                ensure!(found == must_fail, "{target}: {closing}");
                said.push(format!(
                    "{target}: {}",
                    if must_fail { "found its planted bug" } else { &closing }
                ));
            }
        }
    }
    Ok(Ended::Passed(said.join("\n")))
}

/// Whether the fuzzer found a fault in a target, and its closing line. None where there is no nightly toolchain.
fn fuzzed(root: &Path, target: &str) -> anyhow::Result<Option<(bool, String)>> {
    // The toolchain that runs this task is stable; libFuzzer's instrumentation needs nightly.
    let mut command = Command::new("cargo");
    command
        .current_dir(root)
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO")
        .stdin(Stdio::null());
    command.args(["+nightly", "fuzz", "run", target, "--"]);
    command.arg(format!("-max_total_time={FUZZ_SECONDS}"));
    command.args(["-malloc_limit_mb=64", "-rss_limit_mb=512", "-timeout=1"]);
    let output = run(&mut command)?;
    let said = text(&output.stderr);
    if said.contains("toolchain 'nightly") && said.contains("not installed") {
        return Ok(None);
    }
    let fuzzed = said.contains("INFO: Seed:");
    ensure!(fuzzed, "{target} was not built:\n{said}");
    let closing = if output.status.success() {
        said.lines()
            .rfind(|line| line.starts_with("Done "))
            .unwrap_or("no closing line")
            .to_owned()
    } else {
        said
    };
    Ok(Some((!output.status.success(), closing)))
}

/// Runs every bench and reads the medians, in nanoseconds, that criterion left.
fn medians(root: &Path) -> anyhow::Result<BTreeMap<String, f64>> {
    let arguments = [
        "bench",
        "--package",
        "fold-benches",
        "--",
        "--warm-up-time",
        "1",
        "--measurement-time",
        "2",
        "--noplot",
    ];
    must(&mut cargo(root, &arguments))?;
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    let mut found = BTreeMap::new();
    collect(&target.join("criterion"), &mut found)?;
    ensure!(!found.is_empty(), "criterion left no estimates");
    Ok(found)
}

fn collect(folder: &Path, found: &mut BTreeMap<String, f64>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() && path.file_name().is_some_and(|name| name == "new") {
            let read = |name: &str| -> anyhow::Result<Value> {
                Ok(serde_json::from_str(&std::fs::read_to_string(path.join(name))?)?)
            };
            let name = read("benchmark.json")?["full_id"]
                .as_str()
                .unwrap_or_default()
                .to_owned();
            if let Some(median) = read("estimates.json")?["median"]["point_estimate"].as_f64() {
                found.insert(name, median);
            }
        } else if path.is_dir() {
            collect(&path, found)?;
        }
    }
    Ok(())
}

/// How much slower each bench got than the middle one did: what a slower machine does to all of them cancels out.
fn slowdowns(before: &BTreeMap<String, f64>, now: &BTreeMap<String, f64>) -> Vec<(String, f64)> {
    let mut ratios: Vec<(String, f64)> = now
        .iter()
        .filter_map(|(name, now)| Some((name.clone(), now / before.get(name)?)))
        .collect();
    ratios.sort_by(|(_, a), (_, b)| a.total_cmp(b));
    let middle = ratios.get(ratios.len() / 2).map_or(1.0, |(_, ratio)| *ratio);
    ratios.into_iter().map(|(name, ratio)| (name, ratio / middle)).collect()
}

pub(super) fn benches(root: &Path) -> anyhow::Result<Ended> {
    let path = root.join(BASELINE);
    if !path.exists() {
        must(&mut cargo(
            root,
            &["bench", "--package", "fold-benches", "--", "--test"],
        ))?;
        return Ok(Ended::Skipped(format!(
            "every bench ran once, but there is no {BASELINE} to compare with: `cargo xtask record-benches`"
        )));
    }
    let baseline: Value = serde_json::from_str(&std::fs::read_to_string(&path)?).context(BASELINE)?;
    let before = serde_json::from_value(baseline["medians_ns"].clone()).context(BASELINE)?;
    let slowdowns = slowdowns(&before, &medians(root)?);
    ensure!(!slowdowns.is_empty(), "no bench of {BASELINE} is left");
    let table: Vec<String> = slowdowns
        .iter()
        .map(|(name, ratio)| format!("{ratio:6.2}  {name}"))
        .collect();
    let worst = slowdowns.last().map_or(0.0, |(_, ratio)| *ratio);
    ensure!(
        worst <= SLOWDOWN_MAX,
        "a bench got {worst:.2} times slower than the others:\n{}",
        table.join("\n")
    );
    Ok(Ended::Passed(format!(
        "time against the baseline, the middle bench being 1:\n{}",
        table.join("\n")
    )))
}

/// Runs the benches and records their medians as the baseline.
pub(crate) fn record_benches(root: &Path) -> anyhow::Result<String> {
    let medians = medians(root)?;
    let baseline = serde_json::json!({
        "recorded_at": crate::evidence::commit(root),
        "note": "nanoseconds on the machine that recorded them: only their ratios to each other are compared",
        "medians_ns": medians,
    });
    std::fs::write(
        root.join(BASELINE),
        format!("{}\n", serde_json::to_string_pretty(&baseline)?),
    )?;
    Ok(format!("{BASELINE}: {} benches", medians.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slower_machine_is_no_slowdown_and_a_slower_bench_is() {
        let before: BTreeMap<String, f64> = [("a", 10.0), ("b", 20.0), ("c", 30.0)]
            .map(|(n, t)| (n.to_owned(), t))
            .into();
        let scaled: BTreeMap<String, f64> = before.iter().map(|(name, time)| (name.clone(), time * 3.0)).collect();
        assert!(
            slowdowns(&before, &scaled)
                .iter()
                .all(|(_, ratio)| (ratio - 1.0).abs() < 1e-9)
        );
        let mut one = scaled;
        one.insert("b".to_owned(), 180.0);
        one.insert("new".to_owned(), 1.0);
        let found = slowdowns(&before, &one);
        assert_eq!(found.len(), 3);
        assert_eq!(
            found.last().map(|(name, ratio)| (name.as_str(), ratio.round())),
            Some(("b", 3.0))
        );
    }
}
