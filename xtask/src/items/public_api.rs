//! The item that holds the public API against that of the last tag: what is gone and what is new, and whether the version
//! has moved as far as that takes.
//!
//! The API is what cargo-public-api lists, a line for each thing, of the tree here and of a clone at the tag: a thing that
//! changed is a line that is gone and another that is new. Whether a change is meant, and whether a function with the same
//! line does something else, a person says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail, ensure};
use serde_json::Value;

use super::Scratch;
use crate::checklist::Ended;
use crate::evidence::{cargo, has_cargo_command, must, nightly_cargo, run, target_dir, text};

/// The packages whose API is a promise.
const LIBRARIES: [&str; 5] = ["fold-format", "fold-core", "fold-advanced", "fold-ops", "fold-train"];

/// A version as semver.org orders them; what follows the three numbers is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    major: u64,
    minor: u64,
    patch: u64,
}

impl Version {
    fn parse(text: &str) -> Option<Self> {
        let numbers = text.split(['-', '+']).next()?.split('.');
        let numbers: Vec<u64> = numbers.map(str::parse).collect::<Result<_, _>>().ok()?;
        let [major, minor, patch] = numbers[..] else {
            return None;
        };
        Some(Self { major, minor, patch })
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// How far a version moves, and how far an API takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Step {
    None,
    Patch,
    Minor,
    Major,
}

impl Step {
    /// None where the version went back.
    fn between(then: Version, now: Version) -> Option<Self> {
        match now {
            _ if now < then => None,
            _ if now.major > then.major => Some(Self::Major),
            _ if now.minor > then.minor => Some(Self::Minor),
            _ if now.patch > then.patch => Some(Self::Patch),
            _ => Some(Self::None),
        }
    }

    /// What a difference takes. Before 1.0 the minor number is the one that promises compatibility.
    const fn needed(then: Version, gone: bool, new: bool) -> Self {
        match (gone, new, then.major) {
            (false, false, _) => Self::None,
            (true, _, 0) => Self::Minor,
            (true, _, _) => Self::Major,
            (false, true, 0) => Self::Patch,
            (false, true, _) => Self::Minor,
        }
    }
}

/// One library then and now.
struct Difference {
    then: Version,
    now: Version,
    gone: Vec<String>,
    new: Vec<String>,
}

impl Difference {
    fn new(then: (Version, &BTreeSet<String>), now: (Version, &BTreeSet<String>)) -> Self {
        Self {
            then: then.0,
            now: now.0,
            gone: then.1.difference(now.1).cloned().collect(),
            new: now.1.difference(then.1).cloned().collect(),
        }
    }

    /// What is wrong with the version, if anything.
    fn complaint(&self) -> Option<String> {
        let Self { then, now, gone, new } = self;
        let Some(moved) = Step::between(*then, *now) else {
            return Some(format!("the version went back from {then} to {now}"));
        };
        let needed = Step::needed(*then, !gone.is_empty(), !new.is_empty());
        (moved < needed).then(|| {
            let step = match needed {
                Step::Major => "major",
                Step::Minor => "minor",
                Step::None | Step::Patch => "patch",
            };
            format!("{self}, which takes a {step} step of the version: it was {then} and is {now}")
        })
    }

    /// Every line of the API that differs.
    fn lines(&self) -> String {
        let gone = self.gone.iter().map(|line| format!("\n-{line}"));
        gone.chain(self.new.iter().map(|line| format!("\n+{line}"))).collect()
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} lines are gone or changed, {} new",
            self.gone.len(),
            self.new.len()
        )
    }
}

/// The versions of a tree's packages.
fn versions(tree: &Path) -> anyhow::Result<BTreeMap<String, Version>> {
    let (out, _) = must(&mut cargo(tree, &["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&out).context("cargo metadata")?;
    let packages = metadata["packages"].as_array().context("no packages")?;
    let version = |package: &Value| {
        let (name, version) = package["name"].as_str().zip(package["version"].as_str())?;
        Some((name.to_owned(), Version::parse(version)?))
    };
    let versions = packages.iter().map(version).collect::<Option<_>>();
    versions.context("a package without a name or a version of three numbers")
}

/// The API of a library, line by line, without what the standard library implements for every type.
fn listed(tree: &Path, library: &str, target: &Path) -> anyhow::Result<BTreeSet<String>> {
    let arguments = ["public-api", "--simplified", "--package", library];
    let (out, _) = must(nightly_cargo(tree, &arguments).env("CARGO_TARGET_DIR", target))?;
    ensure!(!out.is_empty(), "cargo-public-api lists nothing of {library}");
    Ok(out.lines().map(str::to_owned).collect())
}

pub(super) fn item(root: &Path) -> anyhow::Result<Ended> {
    let git = |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.current_dir(root).args(arguments);
        command
    };
    // Before the commit that is checked out: a release is compared with the one before it, not with itself.
    let described = run(&mut git(&[
        "describe",
        "--tags",
        "--abbrev=0",
        "--match",
        "v*",
        "HEAD^",
    ]))?;
    let tag = text(&described.stdout).trim().to_owned();
    if tag.is_empty() {
        return Ok(Ended::Skipped(
            "there is no tag v* before this commit to compare with: nothing was released yet, or the clone is shallow"
                .into(),
        ));
    }
    if !has_cargo_command(root, "public-api") {
        return Ok(Ended::Skipped(
            "cargo-public-api is not installed: `cargo install cargo-public-api --locked` (it needs nightly)".into(),
        ));
    }
    if !run(&mut nightly_cargo(root, &["--version"]))?.status.success() {
        return Ok(Ended::Skipped("no nightly toolchain is installed".into()));
    }
    let scratch = Scratch::new(root, "public-api")?;
    let tree = scratch.path("then");
    must(git(&["clone", "--quiet", "--shared", "--branch", &tag, "."]).arg(&tree))?;
    let (versions_then, versions_now) = (versions(&tree)?, versions(root)?);
    // Each tree is built in a folder of its own, or cargo would take what was built from one for the other's.
    let target = target_dir(root, "public-api");
    let (mut said, mut complaints) = (vec![format!("against {tag}")], Vec::new());
    for library in LIBRARIES {
        let now = *versions_now
            .get(library)
            .with_context(|| format!("no package {library}"))?;
        let Some(&then) = versions_then.get(library) else {
            said.push(format!("{library} {now}: new"));
            continue;
        };
        let difference = Difference::new(
            (then, &listed(&tree, library, &target.join("then"))?),
            (now, &listed(root, library, &target.join("now"))?),
        );
        let lines = difference.lines();
        match difference.complaint() {
            Some(complaint) => complaints.push(format!("{library}: {complaint}{lines}")),
            None => said.push(format!("{library} {then} -> {now}: {difference}{lines}")),
        }
    }
    if !complaints.is_empty() {
        bail!("against {tag}\n{}", complaints.join("\n"));
    }
    Ok(Ended::Passed(said.join("\n")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn difference(then: &str, gone: &[&str], now: &str, new: &[&str]) -> Difference {
        let kept = "pub fn kept()";
        let lines = |own: &[&str]| own.iter().chain([&kept]).map(|&line| line.to_owned()).collect();
        let version = |text| Version::parse(text).unwrap();
        Difference::new((version(then), &lines(gone)), (version(now), &lines(new)))
    }

    #[test]
    fn an_api_takes_its_step_of_the_version() {
        let (one, other): (&[&str], &[&str]) = (&["pub fn f(u8)"], &["pub fn f(u16)"]);
        // The version then, the least that has it right, and the largest that does not; for each kind of difference.
        for (gone, new, then, right, wrong) in [
            (one, &[][..], "0.1.4", "0.2.0", "0.1.5"),
            (one, other, "0.1.4", "0.2.0", "0.1.5"),
            (&[][..], other, "0.1.4", "0.1.5", "0.1.4"),
            (&[][..], &[][..], "0.1.4", "0.1.4", "0.1.3"),
            (one, &[][..], "1.2.3", "2.0.0", "1.3.0"),
            (one, other, "1.2.3", "2.0.0", "1.3.0"),
            (&[][..], other, "1.2.3", "1.3.0", "1.2.4"),
            (&[][..], &[][..], "1.2.3", "1.2.3", "1.1.9"),
            (one, &[][..], "0.9.0", "1.0.0", "0.9.9"),
        ] {
            let with = |now| difference(then, gone, now, new).complaint();
            assert_eq!(with(right), None, "{then} -> {right}");
            assert!(with(wrong).is_some(), "{then} -> {wrong}: {gone:?}, {new:?}");
        }
    }

    #[test]
    fn a_complaint_says_what_is_gone_and_which_step_it_takes() {
        let difference = difference("0.1.0", &["pub fn f(u8)"], "0.1.0", &["pub fn f(u16)", "pub fn g()"]);
        assert_eq!(
            difference.complaint().unwrap(),
            "1 lines are gone or changed, 2 new, which takes a minor step of the version: it was 0.1.0 and is 0.1.0"
        );
        assert_eq!(difference.lines(), "\n-pub fn f(u8)\n+pub fn f(u16)\n+pub fn g()");
    }

    #[test]
    fn a_version_is_three_numbers() {
        let version = |major, minor, patch| Some(Version { major, minor, patch });
        assert_eq!(Version::parse("1.20.3"), version(1, 20, 3));
        assert_eq!(Version::parse("0.2.0-rc.1+x"), version(0, 2, 0));
        assert!(
            ["", "1", "1.2", "1.2.3.4", "1.2.x"]
                .iter()
                .all(|text| Version::parse(text).is_none())
        );
    }
}
