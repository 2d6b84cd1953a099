//! Items that are tests: the workspace's tests are built once, run once, and shared out to the items by their subject.
//!
//! Each test belongs to the first item that claims it, so that a broken one turns that item red and no other; `tests` has
//! what nobody claims. Where `tests` is among the items of a run, every test binary runs once and all items are answered
//! from that; else an item runs its own tests alone. Always built with the features of the whole workspace: each other
//! choice of packages would build most dependencies once more.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use crate::checklist::Ended;
use crate::evidence::{cargo, must, run, text};

/// Tests of one binary whose names have a text in them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject {
    package: &'static str,
    /// `lib`, `bin NAME` or `test NAME`; empty: all of the package.
    target: &'static str,
    /// What the tests' names begin with, or a function's name; empty: all.
    name: &'static str,
}

pub(super) const fn subject(package: &'static str, target: &'static str, name: &'static str) -> Subject {
    Subject { package, target, name }
}

impl Subject {
    fn is_of(&self, binary: &Binary) -> bool {
        self.package == binary.package && (self.target.is_empty() || self.target == binary.target)
    }

    fn claims(&self, binary: &Binary, test: &str) -> bool {
        let function = test.rsplit("::").next().unwrap_or(test);
        self.is_of(binary) && (test.starts_with(self.name) || function.starts_with(self.name))
    }

    /// The command that runs these tests alone.
    fn command(&self) -> String {
        let mut words = vec!["cargo test --package", self.package];
        if !self.target.is_empty() {
            words.push(if self.target == "lib" { "--lib" } else { "--test" });
            words.extend(self.target.strip_prefix("test "));
        }
        words.extend((!self.name.is_empty()).then_some(self.name));
        words.join(" ")
    }
}

/// A program that holds tests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Binary {
    package: String,
    target: String,
    executable: PathBuf,
    /// Where cargo runs it.
    folder: PathBuf,
}

/// How the tests of one binary ended.
#[derive(Debug, Default)]
struct Results {
    /// Test -> whether it passed; ignored ones are not in it.
    tests: BTreeMap<String, bool>,
    /// What failed ones printed, and what was said beside the tests.
    said: String,
    /// Lines in which a test says what it could not try here.
    skipped: Vec<String>,
    /// Why there may be tests missing: the binary ended before it told all results.
    broken: Option<String>,
}

/// The tests of a run of the checklist.
pub(crate) struct Suites<'a> {
    root: &'a Path,
    /// What each item claims, in the order of the items.
    claims: Vec<(&'static str, &'static [Subject])>,
    /// Whether all tests are run, so that items share them.
    shared: bool,
    results: Option<Vec<(Binary, Results)>>,
}

impl<'a> Suites<'a> {
    pub(crate) fn new(root: &'a Path, claims: Vec<(&'static str, &'static [Subject])>, shared: bool) -> Self {
        Self {
            root,
            claims,
            shared,
            results: None,
        }
    }

    /// Answers the item that claims `subjects`.
    pub(crate) fn of(&mut self, item: &str, subjects: &[Subject]) -> anyhow::Result<Ended> {
        let alone;
        let results = if self.shared {
            self.run_all()?;
            self.results.as_deref().unwrap_or_default()
        } else {
            alone = self.alone(subjects)?;
            &alone
        };
        let mut seen = Vec::new();
        for subject in subjects {
            let mine = |binary: &Binary, test: &str| {
                subject.claims(binary, test) && owner(&self.claims, binary, test) == Some(item)
            };
            let passed = judged(results, mine, |binary| subject.is_of(binary))?;
            ensure!(passed > 0, "{}: no test ran", subject.command());
            seen.push(format!("{passed} passed: {}", subject.command()));
        }
        seen.extend(skipped(results, |binary| {
            subjects.iter().any(|subject| subject.is_of(binary))
        }));
        Ok(Ended::Passed(seen.join("\n")))
    }

    /// Answers for every test that no item claims.
    pub(crate) fn rest(&mut self) -> anyhow::Result<Ended> {
        self.run_all()?;
        let results = self.results.as_deref().unwrap_or_default();
        let claims = &self.claims;
        let unclaimed = |binary: &Binary, test: &str| owner(claims, binary, test).is_none();
        let passed = judged(results, unclaimed, |_| true)?;
        ensure!(passed > 0, "no test ran");
        let total: usize = results.iter().map(|(_, results)| results.tests.len()).sum();
        let mut seen = vec![format!(
            "{passed} passed; with those of the items below, {total} in {} binaries ran: cargo test --workspace",
            results.len()
        )];
        seen.extend(skipped(results, |_| true));
        Ok(Ended::Passed(seen.join("\n")))
    }

    /// Runs every test, when their results are first asked for.
    fn run_all(&mut self) -> anyhow::Result<()> {
        if self.results.is_none() {
            let found = built(self.root, &["--workspace"])?
                .tests
                .into_iter()
                .map(|binary| {
                    let results = binary.run(self.root, &[])?;
                    Ok((binary, results))
                })
                .collect::<anyhow::Result<Vec<_>>>()?;
            self.results = Some(found);
        }
        Ok(())
    }

    /// Runs just what `subjects` name.
    fn alone(&self, subjects: &[Subject]) -> anyhow::Result<Vec<(Binary, Results)>> {
        // The project's tasks have few dependencies, and their tests need no other package.
        let tasks_alone = subjects.iter().all(|subject| subject.package == "xtask");
        let packages: &[&str] = if tasks_alone {
            &["--package", "xtask"]
        } else {
            &["--workspace"]
        };
        let mut found = Vec::new();
        for binary in built(self.root, packages)?.tests {
            let mine: Vec<&str> = subjects
                .iter()
                .filter(|subject| subject.is_of(&binary))
                .map(|subject| subject.name)
                .collect();
            if !mine.is_empty() {
                let results = binary.run(self.root, if mine.contains(&"") { &[] } else { &mine })?;
                found.push((binary, results));
            }
        }
        Ok(found)
    }
}

/// The item that a test belongs to: the first that claims it.
fn owner(claims: &[(&'static str, &'static [Subject])], binary: &Binary, test: &str) -> Option<&'static str> {
    let claiming = claims
        .iter()
        .find(|(_, subjects)| subjects.iter().any(|subject| subject.claims(binary, test)));
    claiming.map(|(item, _)| *item)
}

/// How many of the tests that are `mine` passed; an error with what they printed where one did not, or where one of the
/// binaries that I need broke off.
fn judged(
    results: &[(Binary, Results)],
    mine: impl Fn(&Binary, &str) -> bool,
    needed: impl Fn(&Binary) -> bool,
) -> anyhow::Result<usize> {
    let mut passed = 0;
    let mut failed = Vec::new();
    for (binary, results) in results {
        let of = || results.tests.iter().filter(|(test, _)| mine(binary, test));
        passed += of().filter(|(_, passed)| **passed).count();
        for (test, _) in of().filter(|(_, passed)| !**passed) {
            failed.push(format!(
                "{} {}: {test} FAILED\n{}",
                binary.package,
                binary.target,
                printed(&results.said, test)
            ));
        }
        if let (Some(why), true) = (&results.broken, needed(binary)) {
            failed.push(format!("{} {}: {why}\n{}", binary.package, binary.target, results.said));
        }
    }
    if !failed.is_empty() {
        bail!("{}", failed.join("\n"));
    }
    Ok(passed)
}

/// What a failed test printed.
fn printed<'a>(said: &'a str, test: &str) -> &'a str {
    let after = said.split_once(&format!("---- {test} stdout ----\n"));
    let block = after.map_or("", |(_, after)| after);
    let end = block
        .find("\n---- ")
        .or_else(|| block.find("\n\nfailures:"))
        .unwrap_or(block.len());
    block.get(..end).unwrap_or(block)
}

/// What tests said that they could not try.
fn skipped(results: &[(Binary, Results)], wanted: impl Fn(&Binary) -> bool) -> Vec<String> {
    let mut found: Vec<String> = results
        .iter()
        .filter(|(binary, _)| wanted(binary))
        .flat_map(|(binary, results)| {
            results
                .skipped
                .iter()
                .map(|line| format!("in {} {}: {line}", binary.package, binary.target))
        })
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

impl Binary {
    /// Runs the tests that have one of `names` in theirs; all where there is none.
    fn run(&self, root: &Path, names: &[&str]) -> anyhow::Result<Results> {
        let mut command = Command::new(&self.executable);
        command.args(names).current_dir(&self.folder).stdin(Stdio::null());
        command.env("CARGO_MANIFEST_DIR", &self.folder);
        command.env("CARGO", cargo(root, &[]).get_program());
        let output = run(&mut command)?;
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        let mut results = parsed(&out);
        if results.broken.is_none() && output.status.success() != results.tests.values().all(|passed| *passed) {
            results.broken = Some(format!("ended with {} whatever its tests did", output.status));
        }
        if let Some(why) = &mut results.broken {
            *why += &format!(" ({})", output.status);
        }
        results.skipped = err
            .lines()
            .filter(|line| line.starts_with("skipped: "))
            .map(str::to_owned)
            .collect();
        if results.broken.is_some() {
            results.said += &err;
        }
        Ok(results)
    }
}

/// What a test binary printed about its tests.
fn parsed(out: &str) -> Results {
    let mut results = Results::default();
    for line in out.lines() {
        let told = line.strip_prefix("test ").and_then(|line| line.split_once(" ... "));
        match told {
            Some((test, "ok")) => {
                results.tests.insert(test.to_owned(), true);
            }
            Some((test, "FAILED")) => {
                results.tests.insert(test.to_owned(), false);
            }
            // Ignored, or the summary `test result: ...`, which has no dots.
            _ => {}
        }
    }
    if !out.lines().any(|line| line.starts_with("test result: ")) {
        results.broken = Some("the test binary broke off".to_owned());
    }
    if let Some((_, failures)) = out.split_once("\nfailures:\n") {
        failures.clone_into(&mut results.said);
    }
    results
}

/// What cargo built.
struct Built {
    tests: Vec<Binary>,
    /// The binary `fold`, in the profile of the tests.
    fold: Option<PathBuf>,
}

fn built(root: &Path, packages: &[&str]) -> anyhow::Result<Built> {
    let arguments = ["--tests", "--no-run", "--message-format", "json-render-diagnostics"];
    let (messages, _) = must(cargo(root, &["test"]).args(packages).args(arguments))?;
    let mut found = Built {
        tests: Vec::new(),
        fold: None,
    };
    for line in messages.lines() {
        let message: Value = serde_json::from_str(line).context("a message of cargo")?;
        let (Some(executable), Some(id)) = (message["executable"].as_str(), message["package_id"].as_str()) else {
            continue;
        };
        let name = message["target"]["name"].as_str().unwrap_or_default();
        let kind = message["target"]["kind"][0].as_str().unwrap_or_default();
        if message["profile"]["test"] != true {
            if (kind, name) == ("bin", "fold") {
                found.fold = Some(executable.into());
            }
            continue;
        }
        let folder = message["manifest_path"]
            .as_str()
            .and_then(|path| Path::new(path).parent());
        found.tests.push(Binary {
            package: package_name(id).to_owned(),
            target: if kind == "lib" {
                kind.to_owned()
            } else {
                format!("{kind} {name}")
            },
            executable: executable.into(),
            folder: folder.context("a package without a folder")?.to_path_buf(),
        });
    }
    found.tests.sort();
    ensure!(!found.tests.is_empty(), "cargo built no test");
    Ok(found)
}

/// `fold-ops` from `path+file:///.../fold-ops#0.1.0`, `b` from `path+file:///a#b@0.1.0`.
fn package_name(id: &str) -> &str {
    let (path, fragment) = id.rsplit_once('#').unwrap_or((id, ""));
    match fragment.split_once('@') {
        Some((name, _)) => name,
        None => path.rsplit('/').next().unwrap_or(path),
    }
}

/// Builds the binary `fold` as the tests use it, optimised but with its assertions on, and returns its path.
pub(super) fn tested_binary(root: &Path) -> anyhow::Result<PathBuf> {
    built(root, &["--workspace"])?
        .fold
        .context("cargo named no executable `fold`")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLAIMS: &[(&str, &[Subject])] = &[
        ("golden", &[subject("a", "test it", "golden")]),
        ("all-of-b", &[subject("b", "", "")]),
        ("later", &[subject("a", "test it", "")]),
    ];

    fn binary(package: &str, target: &str) -> Binary {
        Binary {
            package: package.to_owned(),
            target: target.to_owned(),
            executable: PathBuf::new(),
            folder: PathBuf::new(),
        }
    }

    #[test]
    fn a_test_belongs_to_the_first_that_claims_it() {
        let owner = |package: &str, target: &str, test: &str| owner(CLAIMS, &binary(package, target), test);
        assert_eq!(owner("a", "test it", "golden::x"), Some("golden"));
        assert_eq!(owner("a", "test it", "deep::golden_files"), Some("golden"));
        assert_eq!(owner("a", "test it", "other::x"), Some("later"));
        assert_eq!(owner("a", "lib", "golden::x"), None);
        assert_eq!(owner("b", "lib", "anything"), Some("all-of-b"));
    }

    #[test]
    fn a_broken_test_is_its_owner_s_alone_and_one_that_broke_off_is_everybody_s() {
        let out = "\nrunning 3 tests\ntest golden::x ... FAILED\ntest other::y ... ok\ntest other::z ... ignored\n\n\
            failures:\n\n---- golden::x stdout ----\nthe byte 7 differs\n\n\nfailures:\n    golden::x\n\n\
            test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";
        let mut suites = Suites::new(Path::new("."), CLAIMS.to_vec(), true);
        suites.results = Some(vec![
            (binary("a", "test it"), parsed(out)),
            (
                binary("b", "lib"),
                parsed("test q ... ok\n\ntest result: ok. 1 passed\n"),
            ),
            (
                binary("c", "lib"),
                parsed("test free ... ok\ntest result: ok. 1 passed\n"),
            ),
        ]);
        let error = suites.of("golden", CLAIMS[0].1).unwrap_err().to_string();
        assert!(
            error.contains("golden::x FAILED") && error.contains("the byte 7 differs"),
            "{error}"
        );
        assert!(!error.contains("failures:"), "{error}");
        for (item, subjects) in &CLAIMS[1..] {
            assert!(matches!(suites.of(item, subjects), Ok(Ended::Passed(_))), "{item}");
        }
        let Ok(Ended::Passed(rest)) = suites.rest() else {
            panic!()
        };
        assert!(
            rest.starts_with("1 passed; with those of the items below, 4 in 3 binaries ran"),
            "{rest}"
        );

        suites.results = Some(vec![(
            binary("a", "test it"),
            parsed("test other::y ... ok\nSegmentation"),
        )]);
        for (item, subjects) in [CLAIMS[0], CLAIMS[2]] {
            let error = suites.of(item, subjects).unwrap_err().to_string();
            assert!(error.contains("broke off"), "{error}");
        }
    }

    #[test]
    fn a_run_of_no_tests_proves_nothing() {
        let mut suites = Suites::new(Path::new("."), CLAIMS.to_vec(), true);
        suites.results = Some(vec![(binary("a", "test it"), parsed("test result: ok. 0 passed\n"))]);
        for (item, subjects) in CLAIMS {
            assert!(
                suites
                    .of(item, subjects)
                    .unwrap_err()
                    .to_string()
                    .contains("no test ran"),
                "{item}"
            );
        }
        assert!(suites.rest().is_err());
    }

    #[test]
    fn a_package_is_named_by_its_id() {
        assert_eq!(package_name("path+file:///w/crates/fold-ops#0.1.0"), "fold-ops");
        assert_eq!(
            package_name("path+file:///w/fuzz/bodies#fold-fuzz-bodies@0.1.0"),
            "fold-fuzz-bodies"
        );
    }
}
