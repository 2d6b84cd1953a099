//! The checklist itself: which items run, what each ended with, and the report that is left behind.
//!
//! An item passes, fails, or is skipped *with a reason that is printed*: a check that did not run must never look like
//! one that passed. What the items do is in [`crate::items`].

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde::Serialize;

/// One item of the checklist.
pub(crate) struct Item {
    /// What `--only` calls it.
    pub(crate) name: &'static str,
    /// The claim that it proves, in one line.
    pub(crate) proves: &'static str,
    /// Takes minutes: left out by `--quick`.
    pub(crate) slow: bool,
    /// Does it. An error is a failure and its text the evidence.
    pub(crate) run: fn(&Path) -> anyhow::Result<Ended>,
}

/// How an item ended, unless it failed.
#[derive(Debug)]
pub(crate) enum Ended {
    /// The claim holds; the text shows why.
    Passed(String),
    /// It could not be tried here; the text says why.
    Skipped(String),
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Passed,
    Skipped,
    Failed,
}

#[derive(Debug, Serialize)]
struct Line {
    item: &'static str,
    proves: &'static str,
    outcome: Outcome,
    seconds: f64,
    evidence: String,
}

/// What a run of the checklist found.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    schema: &'static str,
    commit: String,
    items: Vec<Line>,
}

/// The items to run: those named by `only` or all, without the slow ones where `quick` asks for that.
pub(crate) fn choose<'a>(all: &'a [Item], only: &[String], quick: bool) -> anyhow::Result<Vec<&'a Item>> {
    for name in only {
        if !all.iter().any(|item| item.name == name) {
            bail!("there is no item `{name}`: `cargo xtask release-check --list` prints them");
        }
    }
    let named = |item: &Item| only.is_empty() || only.iter().any(|name| name == item.name);
    Ok(all
        .iter()
        .filter(|item| named(item) && !(quick && item.slow && only.is_empty()))
        .collect())
}

/// Runs the items in their order and tells `out` about each.
pub(crate) fn run(root: &Path, items: &[&Item], out: &mut dyn Write) -> anyhow::Result<Report> {
    let mut lines = Vec::new();
    for item in items {
        write!(out, "{:<16} ... ", item.name)?;
        out.flush()?;
        let start = Instant::now();
        let (outcome, evidence) = match (item.run)(root) {
            Ok(Ended::Passed(evidence)) => (Outcome::Passed, evidence),
            Ok(Ended::Skipped(reason)) => (Outcome::Skipped, reason),
            Err(error) => (Outcome::Failed, format!("{error:#}")),
        };
        let line = Line {
            item: item.name,
            proves: item.proves,
            outcome,
            seconds: seconds(start.elapsed()),
            evidence,
        };
        writeln!(
            out,
            "{:<8} {:>7.1} s   {}",
            word(&line.outcome),
            line.seconds,
            first_line(&line.evidence)
        )?;
        lines.push(line);
    }
    Ok(Report {
        schema: "fold.release-check/1",
        commit: crate::evidence::commit(root),
        items: lines,
    })
}

impl Report {
    /// Whether no item failed.
    pub(crate) fn passed(&self) -> bool {
        !self.items.iter().any(|line| matches!(line.outcome, Outcome::Failed))
    }

    /// The closing lines for a person.
    pub(crate) fn summary(&self) -> String {
        let count = |wanted: fn(&Outcome) -> bool| self.items.iter().filter(|line| wanted(&line.outcome)).count();
        let failed = count(|outcome| matches!(outcome, Outcome::Failed));
        let skipped = count(|outcome| matches!(outcome, Outcome::Skipped));
        let passed = self.items.len() - failed - skipped;
        let mut text = format!("{passed} passed, {failed} failed, {skipped} skipped\n");
        for line in self
            .items
            .iter()
            .filter(|line| !matches!(line.outcome, Outcome::Passed))
        {
            let _ = writeln!(text, "\n{} {}:\n{}", word(&line.outcome), line.item, line.evidence);
        }
        text
    }

    /// Writes report.json and report.md into `folder`.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        std::fs::write(folder.join("report.json"), serde_json::to_string_pretty(self)?)?;
        let mut text = format!("# Release check of {}\n\n", self.commit);
        text.push_str("| item | ended | seconds | proves |\n|---|---|---|---|\n");
        for line in &self.items {
            let _ = writeln!(
                text,
                "| {} | {} | {:.1} | {} |",
                line.item,
                word(&line.outcome),
                line.seconds,
                line.proves
            );
        }
        for line in &self.items {
            let _ = write!(
                text,
                "\n## {}: {}\n\n```\n{}\n```\n",
                line.item,
                word(&line.outcome),
                line.evidence
            );
        }
        std::fs::write(folder.join("report.md"), text)?;
        Ok(())
    }
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Passed => "passed",
        Outcome::Skipped => "skipped",
        Outcome::Failed => "FAILED",
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn seconds(elapsed: Duration) -> f64 {
    (elapsed.as_secs_f64() * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const ITEMS: &[Item] = &[
        Item {
            name: "good",
            proves: "",
            slow: false,
            run: |_| Ok(Ended::Passed("yes".into())),
        },
        Item {
            name: "absent",
            proves: "",
            slow: true,
            run: |_| Ok(Ended::Skipped("no such tool".into())),
        },
        Item {
            name: "bad",
            proves: "",
            slow: false,
            run: |_| bail!("broken"),
        },
    ];

    #[test]
    fn a_failed_item_fails_the_report_and_a_skipped_one_is_named() {
        let chosen = choose(ITEMS, &[], false).unwrap();
        let report = run(Path::new("."), &chosen, &mut std::io::sink()).unwrap();
        assert!(!report.passed());
        assert!(report.summary().starts_with("1 passed, 1 failed, 1 skipped"));
        assert!(report.summary().contains("no such tool") && report.summary().contains("broken"));
    }

    #[test]
    fn quick_leaves_out_the_slow_items_and_only_overrides_it() {
        let names = |only: &[&str], quick| {
            let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
            choose(ITEMS, &only, quick)
                .unwrap()
                .iter()
                .map(|item| item.name)
                .collect::<Vec<_>>()
        };
        assert_eq!(names(&[], true), ["good", "bad"]);
        assert_eq!(names(&["absent"], true), ["absent"]);
        assert!(choose(ITEMS, &["nothing".to_owned()], false).is_err());
    }
}
