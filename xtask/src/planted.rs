//! Faults planted into a copy of the tree: each must turn its item of the checklist red, and no other one.
//!
//! The copy lies under target/planted and holds what git knows of, with uncommitted changes. For each fault the item
//! that must notice it runs, and with it every item that takes no build; all of them are green before the first one.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail, ensure};

use crate::evidence::{must, run, text};

/// How a file is broken.
enum Break {
    /// The first occurrence of one text becomes another.
    Replace(&'static str, &'static str),
    /// A text follows the end.
    Append(&'static str),
    /// One bit of the byte at this offset is flipped.
    Flip(usize),
    /// The file is gone.
    Remove,
}

struct Planted {
    name: &'static str,
    /// The item that must notice.
    item: &'static str,
    file: &'static str,
    how: Break,
}

const fn planted(name: &'static str, item: &'static str, file: &'static str, how: Break) -> Planted {
    Planted { name, item, file, how }
}

/// The faults.
const ALL: &[Planted] = &[
    planted(
        "unformatted-source",
        "fmt",
        "crates/fold-core/src/weight.rs",
        Break::Append("\n  const X:u8=1 ;\n"),
    ),
    planted(
        "layer-edge",
        "layers",
        "crates/fold-core/Cargo.toml",
        Break::Replace("[dependencies]\n", "[dependencies]\nfold-format.workspace = true\n"),
    ),
    planted(
        "dead-link",
        "links",
        "SECURITY.md",
        Break::Append("\nSee [this](docs/absent.md).\n"),
    ),
    planted(
        "alert-without-severity",
        "alerts",
        "alerts/fold.rules.yml",
        Break::Replace("          severity: critical\n", "          team: nobody\n"),
    ),
    planted(
        "alert-on-unknown-metric",
        "alerts",
        "alerts/dashboard.json",
        Break::Replace("fold_neuron_dead_ratio", "fold_neuron_lost_ratio"),
    ),
    planted(
        "alert-never-fires",
        "alert-rules",
        "alerts/fold.rules.yml",
        Break::Replace("fold_neuron_dead_ratio > 0.5", "fold_neuron_dead_ratio > 1.5"),
    ),
    planted(
        "metric-without-row",
        "spec-tables",
        "docs/telemetry.md",
        Break::Replace("fold_train_epochs_total", "fold_train_rounds_total"),
    ),
    planted(
        "licence-notice-missing",
        "licences",
        "THIRD-PARTY.md",
        Break::Replace("| serde |", "| surd |"),
    ),
    planted(
        "licence-not-allowed",
        "licences",
        "deny.toml",
        Break::Replace("    \"BSD-3-Clause\",\n", ""),
    ),
    planted(
        "runbook-entry-missing-section",
        "runbook",
        "docs/runbook/codes/FOLD-E0301.md",
        Break::Replace("## Impact", "### Impact"),
    ),
    planted(
        "runbook-mitigation-does-not-help",
        "runbook",
        "docs/runbook/scenarios/damage-found.md",
        Break::Replace("fold train --out RUN --resume\n", "true\n"),
    ),
    planted(
        "schema-lacks-key",
        "schemas",
        "docs/schemas/scrub.json",
        Break::Replace("\"bytes_per_second\"", "\"bytes_per_hour\""),
    ),
    planted(
        "readme-lies",
        "readme",
        "README.md",
        Break::Replace("8 of 9 files whole", "9 of 9 files whole"),
    ),
    planted(
        "spec-constant-changed",
        "spec-tables",
        "docs/format/SPEC.md",
        Break::Replace("| root | 5 |", "| root | 6 |"),
    ),
    planted(
        "code-without-entry",
        "runbook",
        "crates/fold-ops/src/runbook.rs",
        Break::Replace("    \"FOLD-E0901\"\n", ""),
    ),
    planted(
        "action-by-tag",
        "workflows",
        ".github/workflows/ci.yml",
        Break::Replace(
            "actions/checkout@de0fac2e4500dabe0009e67214ff5f5447ce83dd",
            "actions/checkout@v6",
        ),
    ),
    planted(
        "golden-byte-changed",
        "golden",
        "crates/fold-format/testdata/golden-2.0.fold",
        Break::Flip(20_000),
    ),
    planted(
        "rename-without-flush",
        "crash",
        "crates/fold-format/src/atomic.rs",
        Break::Replace(
            "    if durability == Durability::Full {\n        file.sync()",
            "    if durability != Durability::Full {\n        file.sync()",
        ),
    ),
    planted(
        "prune-removes-unasked",
        "crash",
        "crates/fold-ops/src/store/writer.rs",
        Break::Replace(
            "        let mut pruned = Pruned::default();\n",
            "        for item in plan.items.iter() {\n            self.store.remove(&item.path)?;\n        }\n        let mut pruned = Pruned::default();\n",
        ),
    ),
    planted(
        "public-item-gone",
        "public-api",
        "crates/fold-train/src/encode.rs",
        Break::Replace("    pub fn on_line(", "    pub(crate) fn on_line("),
    ),
    planted(
        "package-without-licence",
        "package",
        "crates/fold-core/LICENSE",
        Break::Remove,
    ),
    planted(
        "dead-documentation-link",
        "docs",
        "crates/fold-core/src/weight.rs",
        Break::Replace("//! ", "//! [`Nowhere::at_all`] "),
    ),
    planted(
        "lint",
        "clippy",
        "crates/fold-core/src/weight.rs",
        Break::Append("\n#[test]\nfn planted() {\n    let kept = 1;\n    return assert_eq!(kept, 1);\n}\n"),
    ),
];

/// Items that take no build of the workspace: they run beside the item of every fault, and must stay green.
const CHEAP: &[&str] = &["fmt", "layers", "links", "alerts", "workflows", "licences"];

/// Plants the faults, or those of `only`, one by one.
pub(crate) fn run_all(root: &Path, only: &[String], out: &mut dyn Write) -> anyhow::Result<bool> {
    for name in only {
        ensure!(
            ALL.iter().any(|planted| planted.name == name),
            "there is no planted fault `{name}`"
        );
    }
    let copy = copied(root)?;
    // Building the copy's tests replaces this program where it lies: what runs the checklist is a copy of its own.
    let this = root.join("target/planted-xtask");
    std::fs::copy(std::env::current_exe()?, &this).context("cannot copy this program")?;
    let chosen: Vec<&Planted> = ALL
        .iter()
        .filter(|planted| only.is_empty() || only.iter().any(|name| name == planted.name))
        .collect();
    let mut items: Vec<&str> = chosen
        .iter()
        .map(|planted| planted.item)
        .chain(CHEAP.iter().copied())
        .collect();
    items.sort_unstable();
    items.dedup();
    let (red, skipped) = checked(&this, &copy, &items)?;
    ensure!(
        red.is_empty(),
        "these items are red before anything is planted: {red:?}"
    );
    let mut all_noticed = true;
    for planted in chosen {
        if skipped.iter().any(|item| item == planted.item) {
            writeln!(
                out,
                "{:<34} skipped: the item {} cannot run here",
                planted.name, planted.item
            )?;
            continue;
        }
        let path = copy.join(planted.file);
        let before = std::fs::read(&path).with_context(|| format!("{}: cannot read {}", planted.name, planted.file))?;
        plant(planted, &path, &before)?;
        let mut items: Vec<&str> = CHEAP.to_vec();
        if !items.contains(&planted.item) {
            items.push(planted.item);
        }
        let found = checked(&this, &copy, &items);
        std::fs::write(&path, &before)?;
        let (red, _) = found?;
        let right = red == [planted.item];
        all_noticed &= right;
        let verdict = if right { "noticed by" } else { "WRONG:" };
        writeln!(out, "{:<34} {verdict} {red:?}", planted.name)?;
        out.flush()?;
    }
    Ok(all_noticed)
}

fn plant(planted: &Planted, path: &Path, before: &[u8]) -> anyhow::Result<()> {
    match planted.how {
        Break::Remove => std::fs::remove_file(path)?,
        Break::Flip(offset) => {
            let mut bytes = before.to_vec();
            *bytes
                .get_mut(offset)
                .with_context(|| format!("{} has no byte {offset}", planted.file))? ^= 1;
            std::fs::write(path, bytes)?;
        }
        Break::Append(more) => std::fs::write(path, [before, more.as_bytes()].concat())?,
        Break::Replace(from, to) => {
            let source = std::str::from_utf8(before).context(planted.file)?;
            let Some((head, tail)) = source.split_once(from) else {
                bail!("{}: {} does not hold {from:?}", planted.name, planted.file);
            };
            std::fs::write(path, format!("{head}{to}{tail}"))?;
        }
    }
    Ok(())
}

/// The tree as git knows it, and what is not committed yet, under target/planted. What is there already and the same is
/// left alone, so that it need not be built again.
fn copied(root: &Path) -> anyhow::Result<PathBuf> {
    let copy = root.join("target/planted");
    std::fs::create_dir_all(&copy)?;
    let git = |arguments: &[&str]| must(Command::new("git").current_dir(root).args(arguments));
    let (listed, _) = git(&["ls-files", "-z", "--cached", "--others", "--exclude-standard"])?;
    let mut wanted = BTreeSet::new();
    for name in listed.split('\0').filter(|name| !name.is_empty()) {
        let (from, to) = (root.join(name), copy.join(name));
        let Ok(kind) = from.symlink_metadata() else { continue };
        if let Some(folder) = to.parent() {
            std::fs::create_dir_all(folder)?;
        }
        if kind.is_symlink() {
            if to.symlink_metadata().is_ok() {
                std::fs::remove_file(&to)?;
            }
            symlink(&std::fs::read_link(&from)?, &to)?;
        } else {
            let bytes = std::fs::read(&from).with_context(|| format!("cannot read {name}"))?;
            if std::fs::read(&to).ok().as_ref() != Some(&bytes) {
                std::fs::write(&to, bytes).with_context(|| format!("cannot copy {name}"))?;
            }
        }
        wanted.insert(to);
    }
    remove_others(&copy, &wanted)?;
    // Packages are listed from what git knows, and the public API is compared with a tag before the last commit.
    let who = [
        "-c",
        "user.name=planted",
        "-c",
        "user.email=",
        "-c",
        "commit.gpgSign=false",
    ];
    let commit = |message| [&who[..], &["commit", "--quiet", "--allow-empty", "--message", message]].concat();
    for arguments in [
        vec!["init", "--quiet"],
        vec!["add", "--all"],
        commit("The tree before a fault"),
        vec!["tag", "--no-sign", "--force", "v0-before"],
        commit("Nothing since"),
    ] {
        must(Command::new("git").current_dir(&copy).args(arguments))?;
    }
    Ok(copy)
}

/// Removes the files below `folder` that are not `wanted`, but not what git and cargo keep there.
fn remove_others(folder: &Path, wanted: &BTreeSet<PathBuf>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let (path, kind) = (entry.path(), entry.file_type()?);
        if kind.is_dir() {
            if ![".git", "target"].iter().any(|kept| entry.file_name() == *kept) {
                remove_others(&path, wanted)?;
            }
        } else if !wanted.contains(&path) {
            std::fs::remove_file(&path)?;
        }
    }
    Ok(())
}

#[cfg(unix)]
fn symlink(target: &Path, at: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(target, at)
}

#[cfg(not(unix))]
fn symlink(_: &Path, _: &Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// The red and the skipped ones of `items`, run on the copy. It is built in a folder of its own: cargo tells two trees with
/// the same packages apart by the paths within them alone, and would take what was built from one for the other's.
fn checked(this: &Path, copy: &Path, items: &[&str]) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let mut command = Command::new(this);
    command.current_dir(copy).arg("--root").arg(copy).arg("release-check");
    for item in items {
        command.args(["--only", item]);
    }
    let output = run(command.env("CARGO_TARGET_DIR", copy.join("target")))?;
    let report = std::fs::read_to_string(copy.join("target/release-check/report.json"))
        .with_context(|| format!("no report: {}", text(&output.stderr)))?;
    let report: serde_json::Value = serde_json::from_str(&report)?;
    let lines = report["items"].as_array().context("a report without items")?;
    ensure!(
        lines.len() == items.len(),
        "{} of {} items ran",
        lines.len(),
        items.len()
    );
    let of = |outcome: &str| {
        let lines = lines.iter().filter(|line| line["outcome"] == outcome);
        lines
            .filter_map(|line| line["item"].as_str().map(str::to_owned))
            .collect()
    };
    let red: Vec<String> = of("failed");
    ensure!(
        output.status.success() == red.is_empty(),
        "the exit code does not say what the report says"
    );
    Ok((red, of("skipped")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fault whose text is gone plants nothing; a fault of an item that is gone is noticed by nobody.
    #[test]
    fn every_fault_can_be_planted() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        assert!(ALL.len() >= 12);
        for planted in ALL {
            assert!(
                crate::items::ALL.iter().any(|item| item.name == planted.item),
                "{}",
                planted.name
            );
            let path = root.join(planted.file);
            let source = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", planted.file));
            if let Break::Replace(from, to) = planted.how {
                let source = String::from_utf8(source).unwrap();
                assert!(source.contains(from), "{}: {} has changed", planted.name, planted.file);
                assert_ne!(from, to);
            }
        }
        assert!(
            CHEAP
                .iter()
                .all(|name| crate::items::ALL.iter().any(|item| item.name == *name))
        );
    }
}
