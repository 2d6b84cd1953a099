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

use crate::evidence::Surroundings;
use crate::items::suites::{Subject, Suites};

/// One item of the checklist.
pub(crate) struct Item {
    /// What `--only` calls it.
    pub(crate) name: &'static str,
    /// The claim that it proves, in one line.
    pub(crate) proves: &'static str,
    /// Takes minutes: left out by `--quick`.
    pub(crate) slow: bool,
    /// How it is done.
    pub(crate) how: How,
}

/// How an item is done.
#[derive(Clone, Copy)]
pub(crate) enum How {
    /// By a function. An error is a failure and its text the evidence.
    Run(fn(&Path) -> anyhow::Result<Ended>),
    /// By tests of the workspace.
    Tests(&'static [Subject]),
    /// By the tests that no item names.
    OtherTests,
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
    /// The commit that was checked.
    commit: String,
    /// Which of the items were run, in words.
    scope: String,
    /// When, where and with which tools.
    surroundings: Surroundings,
    /// Seconds that all of it took.
    seconds: f64,
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
pub(crate) fn run(root: &Path, items: &[&Item], scope: &str, out: &mut dyn Write) -> anyhow::Result<Report> {
    let mut lines = Vec::new();
    let (surroundings, begun) = (Surroundings::now(root), Instant::now());
    let every_test = items.iter().any(|item| matches!(item.how, How::OtherTests));
    let mut suites = Suites::new(root, crate::items::claims(), every_test);
    for item in items {
        write!(out, "{:<16} ... ", item.name)?;
        out.flush()?;
        let start = Instant::now();
        let (outcome, evidence) = match outcome(item, root, &mut suites) {
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
        scope: scope.to_owned(),
        surroundings,
        seconds: seconds(begun.elapsed()),
        items: lines,
    })
}

fn outcome(item: &Item, root: &Path, suites: &mut Suites<'_>) -> anyhow::Result<Ended> {
    match item.how {
        How::Run(run) => run(root),
        How::Tests(subjects) => suites.of(item.name, subjects),
        How::OtherTests => suites.rest(),
    }
}

impl Report {
    /// Whether no item failed.
    pub(crate) fn passed(&self) -> bool {
        !self.items.iter().any(|line| matches!(line.outcome, Outcome::Failed))
    }

    /// How many items ended in which way.
    fn counts(&self) -> String {
        let count = |wanted: fn(&Outcome) -> bool| self.items.iter().filter(|line| wanted(&line.outcome)).count();
        let failed = count(|outcome| matches!(outcome, Outcome::Failed));
        let skipped = count(|outcome| matches!(outcome, Outcome::Skipped));
        let passed = self.items.len() - failed - skipped;
        format!("{passed} passed, {failed} failed, {skipped} skipped")
    }

    /// The closing lines for a person.
    pub(crate) fn summary(&self) -> String {
        let mut text = format!("{} in {:.0} s\n", self.counts(), self.seconds);
        for line in self.unsettled() {
            let _ = writeln!(text, "\n{} {}:\n{}", word(&line.outcome), line.item, line.evidence);
        }
        text
    }

    /// The items that did not pass.
    fn unsettled(&self) -> impl Iterator<Item = &Line> {
        self.items
            .iter()
            .filter(|line| !matches!(line.outcome, Outcome::Passed))
    }

    /// The report for somebody who was not there.
    fn page(&self) -> String {
        let Surroundings {
            began,
            machine,
            cores,
            rustc,
        } = &self.surroundings;
        let verdict = if self.passed() {
            "Nothing failed."
        } else {
            "**Not fit for release.**"
        };
        let mut text = format!(
            "# Release check\n\n{verdict} {} in {:.0} s.\n\n\
            | | |\n|---|---|\n| commit | {} |\n| items | {} |\n| begun | {began} |\n| machine | {machine}, {cores} cores |\n| compiler | {rustc} |\n\n\
            An item passes, fails, or is skipped with the reason. What was skipped has not been checked. \
            `cargo xtask release-check --only ITEM` runs one again.\n\n",
            self.counts(),
            self.seconds,
            self.commit,
            self.scope,
        );
        for line in self.unsettled() {
            let _ = writeln!(
                text,
                "- {} **{}**: {}",
                word(&line.outcome),
                line.item,
                first_line(&line.evidence)
            );
        }
        text.push_str("\n| item | ended | seconds | proves |\n|---|---|---|---|\n");
        for line in &self.items {
            let (item, word) = (line.item, word(&line.outcome));
            let _ = writeln!(
                text,
                "| [{item}](#{item}) | {word} | {:.1} | {} |",
                line.seconds, line.proves
            );
        }
        for line in &self.items {
            let _ = write!(
                text,
                "\n## {}\n\n{}: {}.\n\n```text\n{}\n```\n",
                line.item,
                word(&line.outcome),
                line.proves,
                line.evidence.replace("```", "` ` `")
            );
        }
        text
    }

    /// Writes report.json and report.md into `folder`.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<()> {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        std::fs::write(folder.join("report.json"), serde_json::to_string_pretty(self)?)?;
        std::fs::write(folder.join("report.md"), self.page())?;
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
            how: How::Run(|_| Ok(Ended::Passed("yes".into()))),
        },
        Item {
            name: "absent",
            proves: "",
            slow: true,
            how: How::Run(|_| Ok(Ended::Skipped("no such tool".into()))),
        },
        Item {
            name: "bad",
            proves: "",
            slow: false,
            how: How::Run(|_| bail!("broken")),
        },
    ];

    #[test]
    fn a_failed_item_fails_the_report_and_a_skipped_one_is_named() {
        let chosen = choose(ITEMS, &[], false).unwrap();
        let report = run(Path::new("."), &chosen, "all", &mut std::io::sink()).unwrap();
        assert!(!report.passed());
        assert!(report.summary().starts_with("1 passed, 1 failed, 1 skipped"));
        assert!(report.summary().contains("no such tool") && report.summary().contains("broken"));
        let page = report.page();
        for part in [
            "**Not fit for release.** 1 passed, 1 failed, 1 skipped",
            "- skipped **absent**: no such tool",
            "- FAILED **bad**: broken",
            "| [good](#good) | passed |",
            "## good\n\npassed: ",
        ] {
            assert!(page.contains(part), "{part} is missing:\n{page}");
        }
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
