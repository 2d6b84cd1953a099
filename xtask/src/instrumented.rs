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

/// A tool of LLVM: by its name, or with a version behind it.
fn llvm_tool(name: &str) -> Option<String> {
    let versioned = (14..40).rev().map(|version| format!("{name}-{version}"));
    [name.to_owned()]
        .into_iter()
        .chain(versioned)
        .find(|tool| installed(tool))
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
#[derive(Clone, Copy, Default)]
struct Covered {
    lines: Reach,
    branches: Reach,
}

/// Runs the tests with coverage and lists each file of the container: lines and branches, and the branches not taken.
pub(crate) fn coverage(root: &Path) -> anyhow::Result<Ended> {
    if host(root)?.is_none() {
        return Ok(Ended::Skipped(NO_NIGHTLY.into()));
    }
    let (Some(profdata), Some(cov)) = (llvm_tool("llvm-profdata"), llvm_tool("llvm-cov")) else {
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
    export.args(["export", "--format=text", "--summary-only", "--instr-profile"]);
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
            let (lines, branches) = (Reach::of(file, "lines")?, Reach::of(file, "branches")?);
            rows.insert(name.display().to_string(), Covered { lines, branches });
        }
    }
    ensure!(!rows.is_empty(), "no file of {COVERED} was covered");
    Ok(Ended::Passed(table(&rows, tests)))
}

/// Lines and branches of each file, what was not reached, and the sums.
fn table(rows: &BTreeMap<String, Covered>, tests: usize) -> String {
    let row = |name: &str, Covered { lines, branches }: Covered| {
        format!(
            "| `{name}` | {} | {} | {} | {} of {} |",
            lines.percent(),
            lines.missed,
            branches.percent(),
            branches.missed,
            branches.all
        )
    };
    let mut said = vec![
        format!("{COVERED}: {tests} tests"),
        "| file | lines | not run | branches | not taken |".to_owned(),
        "|---|---|---|---|---|".to_owned(),
    ];
    let mut all = Covered::default();
    for (name, &covered) in rows {
        said.push(row(name, covered));
        all.lines.add(covered.lines);
        all.branches.add(covered.branches);
    }
    said.push(row("all", all));
    said.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_reached_is_summed_and_shown() {
        let covered = |[lines, lines_missed, branches, branches_missed]: [u64; 4]| Covered {
            lines: Reach {
                all: lines,
                missed: lines_missed,
            },
            branches: Reach {
                all: branches,
                missed: branches_missed,
            },
        };
        let rows = [("a.rs", [10, 1, 4, 2]), ("b.rs", [90, 0, 0, 0])];
        let rows = rows.map(|(name, row)| (name.to_owned(), covered(row))).into();
        let said = table(&rows, 7);
        assert!(said.contains("| `a.rs` | 90.0 % | 1 | 50.0 % | 2 of 4 |"), "{said}");
        assert!(said.contains("| `b.rs` | 100.0 % | 0 | - | 0 of 0 |"), "{said}");
        assert!(said.ends_with("| `all` | 99.0 % | 1 | 50.0 % | 2 of 4 |"), "{said}");
    }

    #[test]
    fn tests_that_passed_are_counted_over_all_binaries() {
        let said = "test a ... ok\ntest result: ok. 3 passed; 0 failed\n\ntest result: ok. 40 passed; 0 failed\n";
        assert_eq!(passed(said), (2, 43));
    }
}
