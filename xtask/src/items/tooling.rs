//! Items that need tools beside Rust, or minutes: cargo-deny, cargo-fuzz, benches, other tasks.

use std::path::Path;

use anyhow::{Context, bail, ensure};

use super::Scratch;
use crate::checklist::Ended;
use crate::evidence::{cargo, has_cargo_command, must, nightly_cargo, run, text};
use crate::interop;

/// Seconds that each fuzz target runs.
const FUZZ_SECONDS: u32 = 60;
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
    let scratch = Scratch::new(root, "fuzz")?;
    let seeds = scratch.path("seeds");
    let write_seeds = ["run", "--package", "fold-fuzz-bodies", "--example", "seeds", "--"];
    must(cargo(root, &write_seeds).arg(&seeds))?;
    let mut said = Vec::new();
    for target in targets {
        // The canary holds a planted bug, and proves that the fuzzer would find one.
        let must_fail = target == "canary";
        match fuzzed(root, &target, &seeds)? {
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

/// The seeds that a target starts from, beside its corpus: without them a reader of files finds none that gets past the magic.
fn seeds_of(target: &str) -> Option<&str> {
    match target {
        "fold_reader" | "differential" | "repair" | "salvage" | "canary" => Some("v2"),
        "v1_reader" | "unpickler" | "interchange" => Some(target),
        _ => None,
    }
}

/// Whether the fuzzer found a fault in a target, and its closing line. None where there is no nightly toolchain.
fn fuzzed(root: &Path, target: &str, seeds: &Path) -> anyhow::Result<Option<(bool, String)>> {
    let corpus = root.join("fuzz/corpus").join(target);
    std::fs::create_dir_all(&corpus)?;
    // libFuzzer's instrumentation needs nightly.
    let mut command = nightly_cargo(root, &["fuzz", "run", target]);
    command
        .arg(corpus)
        .args(seeds_of(target).map(|folder| seeds.join(folder)))
        .arg("--");
    command.arg(format!("-max_total_time={FUZZ_SECONDS}"));
    command.args(["-malloc_limit_mb=64", "-rss_limit_mb=512", "-timeout=20"]);
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

/// Runs every bench once. How fast they are against each other and against peers is what `perf-check` compares.
pub(super) fn benches(root: &Path) -> anyhow::Result<Ended> {
    let (out, _) = must(&mut cargo(
        root,
        &["bench", "--package", "fold-benches", "--", "--test"],
    ))?;
    let run = out.lines().filter(|line| line.starts_with("Testing ")).count();
    ensure!(run > 0, "no bench ran:\n{out}");
    Ok(Ended::Passed(format!("{run} benches ran once")))
}
