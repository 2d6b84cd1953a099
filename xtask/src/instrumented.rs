//! The container's tests in builds that look at themselves: with the address sanitizer and the checks of undefined
//! behaviour, and with coverage by branches.
//!
//! Both need a nightly toolchain; coverage also needs `llvm-profdata` and `llvm-cov`, of any version that reads what rustc's
//! LLVM writes. Each has a target directory of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::checklist::Ended;
use crate::evidence::{installed, must, nightly_cargo, run, target_dir, text};

/// What is covered, and whose tests run beside its own: the bodies send corpus, hostile files and campaigns through it.
const COVERED: &str = "crates/fold-format/src/";
const PACKAGES: [&str; 4] = ["--package", "fold-format", "--package", "fold-fuzz-bodies"];

const NO_NIGHTLY: &str = "no nightly toolchain is installed";

/// Cargo of the nightly toolchain with flags of the compiler.
fn nightly(root: &Path, flags: &str, target_dir: &Path) -> Command {
    let mut command = nightly_cargo(root, &[]);
    command.env("RUSTFLAGS", flags).env("CARGO_TARGET_DIR", target_dir);
    command
}

/// The host's triple by the nightly toolchain; none where there is no such toolchain.
fn host(root: &Path) -> anyhow::Result<Option<String>> {
    let mut rustc = Command::new("rustc");
    rustc
        .current_dir(root)
        .env_remove("RUSTUP_TOOLCHAIN")
        .args(["+nightly", "-vV"]);
    let Ok(output) = run(&mut rustc) else { return Ok(None) };
    if !output.status.success() {
        return Ok(None);
    }
    let said = text(&output.stdout);
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(Some(host.context("rustc names no host")?.to_owned()))
}

/// The sums of the lines in which test binaries say how they ended: binaries, tests that passed.
fn passed(said: &str) -> (usize, usize) {
    let counts = said.lines().filter_map(|line| {
        let counts = line.strip_prefix("test result: ok. ")?;
        counts.split(' ').next()?.parse::<usize>().ok()
    });
    counts.fold((0, 0), |(binaries, tests), count| (binaries + 1, tests + count))
}

/// Runs the tests under the address sanitizer and with the checks of undefined behaviour that the standard library holds.
pub(crate) fn sanitize(root: &Path) -> anyhow::Result<Ended> {
    let Some(host) = host(root)? else {
        return Ok(Ended::Skipped(NO_NIGHTLY.into()));
    };
    let flags = "-Zsanitizer=address -Zub-checks=yes";
    let mut command = nightly(root, flags, &target_dir(root, "sanitize"));
    // With a target named, the flags are not those of build scripts and macros.
    command
        .args(["test", "--lib", "--tests", "--target", &host])
        .args(PACKAGES);
    let (out, _) = must(&mut command)?;
    let (binaries, tests) = passed(&out);
    ensure!(tests > 0, "no test ran:\n{out}");
    Ok(Ended::Passed(format!(
        "{flags}: {tests} tests of {binaries} binaries passed, nothing was reported"
    )))
}

/// `llvm-profdata` and `llvm-cov` of one version, the newest that is installed: each reads its own profiles and older ones.
fn llvm_tools() -> Option<[String; 2]> {
    let versions = (14..40).rev().map(|version| format!("-{version}"));
    versions
        .chain([String::new()])
        .map(|version| ["llvm-profdata", "llvm-cov"].map(|name| format!("{name}{version}")))
        .find(|tools| tools.iter().all(|tool| installed(tool)))
}

/// How many of something there are, and how many of them were not reached.
#[derive(Clone, Copy, Default)]
struct Reach {
    all: u64,
    missed: u64,
}

impl Reach {
    fn of(file: &Value, what: &str) -> anyhow::Result<Self> {
        let number = |key: &str| {
            let number = file["summary"][what][key].as_u64();
            number.with_context(|| format!("no {what}.{key}"))
        };
        let (all, covered) = (number("count")?, number("covered")?);
        let missed = all - covered;
        Ok(Self { all, missed })
    }

    fn add(&mut self, other: Self) {
        self.all += other.all;
        self.missed += other.missed;
    }

    fn percent(self) -> String {
        match self.all {
            0 => "-".to_owned(),
            all => format!("{:.1} %", 100.0 * (all - self.missed) as f64 / all as f64),
        }
    }
}

/// What of a file was reached.
#[derive(Clone, Default)]
struct Covered {
    lines: Reach,
    branches: Reach,
    /// Of the branches that were not taken, the line and what its condition never was.
    never: Vec<(u64, bool)>,
}

impl Covered {
    /// Of a file as llvm-cov exports it. A branch of generic code is listed once for each of its instances: it was taken where one
    /// of them took it.
    fn of(file: &Value) -> anyhow::Result<Self> {
        let lines = Reach::of(file, "lines")?;
        let mut taken = BTreeMap::<[u64; 4], [u64; 2]>::new();
        for branch in file["branches"].as_array().context("no branches")? {
            let number = |at: usize| branch[at].as_u64().context("a branch is no row of numbers");
            let place = [number(0)?, number(1)?, number(2)?, number(3)?];
            let counts = taken.entry(place).or_default();
            for (count, at) in counts.iter_mut().zip(4..) {
                *count += number(at)?;
            }
        }
        let outcomes = taken.iter().flat_map(|(place, counts)| {
            [true, false]
                .into_iter()
                .zip(counts)
                .filter(|(_, count)| **count == 0)
                .map(|(outcome, _)| (place[0], outcome))
        });
        let never = outcomes.collect::<Vec<_>>();
        let branches = Reach {
            all: 2 * taken.len() as u64,
            missed: never.len() as u64,
        };
        Ok(Self { lines, branches, never })
    }
}

/// Runs the tests with coverage and lists each file of the container: lines and branches, and the branches not taken.
pub(crate) fn coverage(root: &Path) -> anyhow::Result<Ended> {
    if host(root)?.is_none() {
        return Ok(Ended::Skipped(NO_NIGHTLY.into()));
    }
    let Some([profdata, cov]) = llvm_tools() else {
        return Ok(Ended::Skipped("llvm-profdata and llvm-cov are not installed".into()));
    };
    let folder = target_dir(root, "coverage");
    let profiles = folder.join("profiles");
    if profiles.exists() {
        std::fs::remove_dir_all(&profiles)?;
    }
    let flags = "-Cinstrument-coverage -Zcoverage-options=branch";
    let test = || {
        let mut command = nightly(root, flags, &folder);
        command.env("LLVM_PROFILE_FILE", profiles.join("%p-%8m.profraw"));
        command.args(["test", "--lib", "--tests"]).args(PACKAGES);
        command
    };
    let (messages, _) = must(test().args(["--no-run", "--message-format", "json-render-diagnostics"]))?;
    let binaries = messages
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).context("a message of cargo"))
        .filter_map(|message| {
            let message = match message {
                Ok(message) => message,
                Err(error) => return Some(Err(error)),
            };
            let executable = message["executable"].as_str().map(str::to_owned);
            (message["profile"]["test"] == true)
                .then_some(executable)
                .flatten()
                .map(Ok)
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    ensure!(!binaries.is_empty(), "cargo built no test");
    let (out, _) = must(&mut test())?;
    let (_, tests) = passed(&out);
    let raw = std::fs::read_dir(&profiles)?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<Vec<_>>>()?;
    let merged = folder.join("merged.profdata");
    let merge = run(Command::new(&profdata)
        .args(["merge", "--sparse", "--output"])
        .arg(&merged)
        .args(raw))?;
    if !merge.status.success() {
        let said = text(&merge.stderr);
        // Each version of LLVM reads its own format and some older ones.
        let other_version = said.contains("unsupported") || said.contains("version mismatch");
        ensure!(other_version, "{profdata}: {said}");
        return Ok(Ended::Skipped(format!(
            "{profdata} is too old for what rustc writes: {said}"
        )));
    }
    let mut export = Command::new(&cov);
    export.args(["export", "--format=text", "--skip-functions", "--instr-profile"]);
    export.arg(&merged);
    for binary in &binaries {
        export.args(["--object", binary]);
    }
    let (exported, _) = must(&mut export)?;
    let exported: Value = serde_json::from_str(&exported).context("what llvm-cov exports")?;
    let covered = root.join(COVERED);
    let files = exported["data"][0]["files"]
        .as_array()
        .context("llvm-cov names no file")?;
    let mut rows = BTreeMap::new();
    for file in files {
        let path = Path::new(file["filename"].as_str().unwrap_or_default());
        let Ok(name) = path.strip_prefix(&covered) else {
            continue;
        };
        let tests_alone = name.file_name().is_some_and(|name| name == "tests.rs");
        if !tests_alone {
            rows.insert(name.display().to_string(), Covered::of(file)?);
        }
    }
    ensure!(!rows.is_empty(), "no file of {COVERED} was covered");
    Ok(Ended::Passed(table(&rows, tests)))
}

/// Lines and branches of each file, what was not reached, and the sums.
fn table(rows: &BTreeMap<String, Covered>, tests: usize) -> String {
    let row = |name: &str, Covered { lines, branches, never }: &Covered| {
        let never = never.iter().map(|(line, outcome)| format!("{line} {outcome}"));
        format!(
            "| `{name}` | {} | {} | {} | {} of {} | {} |",
            lines.percent(),
            lines.missed,
            branches.percent(),
            branches.missed,
            branches.all,
            never.collect::<Vec<_>>().join(", ")
        )
    };
    let mut said = vec![
        format!("{COVERED}: {tests} tests"),
        "| file | lines | not run | branches | not taken | line, and what its condition never was |".to_owned(),
        "|---|---|---|---|---|---|".to_owned(),
    ];
    let mut all = Covered::default();
    for (name, covered) in rows {
        said.push(row(name, covered));
        all.lines.add(covered.lines);
        all.branches.add(covered.branches);
    }
    said.push(row("all", &all));
    said.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_reached_is_summed_and_shown() {
        let file = |lines: [u64; 2], branches: Value| {
            let lines = serde_json::json!({"count": lines[0], "covered": lines[1]});
            Covered::of(&serde_json::json!({"summary": {"lines": lines}, "branches": branches})).unwrap()
        };
        // Line 3 has two instances, which together took both branches; line 5 was never true, line 8 was never run.
        let branches = serde_json::json!([
            [3, 8, 3, 20, 1, 0, 0, 0, 4],
            [3, 8, 3, 20, 0, 2, 0, 0, 4],
            [5, 8, 5, 20, 0, 9, 0, 0, 4],
            [8, 8, 8, 20, 0, 0, 0, 0, 4]
        ]);
        let rows = [
            ("a.rs", file([10, 9], branches)),
            ("b.rs", file([90, 90], serde_json::json!([]))),
        ];
        let rows = rows.map(|(name, row)| (name.to_owned(), row)).into();
        let said = table(&rows, 7);
        let row = "| `a.rs` | 90.0 % | 1 | 50.0 % | 3 of 6 | 5 true, 8 true, 8 false |";
        assert!(said.contains(row), "{said}");
        assert!(said.contains("| `b.rs` | 100.0 % | 0 | - | 0 of 0 |  |"), "{said}");
        assert!(said.ends_with("| `all` | 99.0 % | 1 | 50.0 % | 3 of 6 |  |"), "{said}");
    }

    #[test]
    fn tests_that_passed_are_counted_over_all_binaries() {
        let said = "test a ... ok\ntest result: ok. 3 passed; 0 failed\n\ntest result: ok. 40 passed; 0 failed\n";
        assert_eq!(passed(said), (2, 43));
    }
}
