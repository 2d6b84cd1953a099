//! `cargo xtask perf-report` and `perf-check`: the program `perf` of benches/ measures, this records, reports and compares.
//!
//! Only ratios of cases that were measured in turns are compared, never times: a slower machine changes both alike.

mod goals;
mod peers;
mod plot;
mod record;
mod report;

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use self::record::Record;

pub(crate) use self::peers::peers;
use crate::evidence::{cargo, must};

/// Where the recorded measurements lie.
const RECORDS: &str = "benches/record";

/// Where the report and its plots go.
const REPORT: &str = "docs/performance";

/// A case may take this many times as long, against the first of its group, as it was recorded with.
const SLOWDOWN_MAX: f64 = 1.5;

fn measure(root: &Path, folder: &Path) -> anyhow::Result<Record> {
    let folder = folder.to_str().context("the folder's name is not UTF-8")?;
    let arguments = [
        "run",
        "--release",
        "--package",
        "fold-benches",
        "--bin",
        "perf",
        "--",
        folder,
    ];
    let (csv, _) = must(&mut cargo(root, &arguments))?;
    Record::parse(&csv)
}

/// Measures, records, and writes the report; or, with `from`, writes the report of a record.
pub(crate) fn report(root: &Path, folder: &Path, from: Option<&Path>) -> anyhow::Result<String> {
    let (path, record) = match from {
        Some(path) => (path.to_owned(), Record::read(path)?),
        None => {
            let about = record::about(root)?;
            let record = measure(root, folder)?.about(about);
            let path = root.join(RECORDS).join(format!("{}.csv", record.name()?));
            std::fs::create_dir_all(root.join(RECORDS))?;
            std::fs::write(&path, record.to_csv())?;
            (path, record)
        }
    };
    let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
    for (name, svg) in plot::all(&record) {
        std::fs::write(root.join(REPORT).join(name), svg)?;
    }
    let text = report::text(&record, &shown);
    std::fs::write(root.join(REPORT).join("REPORT.md"), text)?;
    Ok(format!("{shown} and {REPORT}/REPORT.md: {} cases", record.cases.len()))
}

/// The newest record of the folder, by its name.
fn newest(root: &Path) -> anyhow::Result<Option<PathBuf>> {
    let Ok(entries) = std::fs::read_dir(root.join(RECORDS)) else {
        return Ok(None);
    };
    let paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<anyhow::Result<Vec<_>>>()?;
    Ok(paths
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "csv"))
        .max())
}

/// Measures again and compares every ratio with the newest record; `None` where there is none. What is slower is measured once
/// more: code that got slower is slower in both runs, a neighbour on the machine seldom is.
pub(crate) fn check(root: &Path, folder: &Path) -> anyhow::Result<Option<String>> {
    let Some(path) = newest(root)? else { return Ok(None) };
    let recorded = Record::read(&path)?;
    let mut slower = recorded.slowdowns(&measure(root, folder)?);
    ensure!(!slower.is_empty(), "no case of {} is left", path.display());
    if slower.iter().any(|(_, ratio)| *ratio > SLOWDOWN_MAX) {
        let again = recorded.slowdowns(&measure(root, folder)?);
        for (name, ratio) in &mut slower {
            let other = again.iter().find(|(other, _)| other == name);
            *ratio = other.map_or(*ratio, |(_, other)| ratio.min(*other));
        }
        slower.sort_by(|(_, one), (_, other)| one.total_cmp(other));
    }
    let lines = slower
        .iter()
        .map(|(name, ratio)| format!("{ratio:6.2}  {name}"))
        .collect::<Vec<_>>();
    let worst = slower.last().map_or(0.0, |(_, ratio)| *ratio);
    ensure!(
        worst <= SLOWDOWN_MAX,
        "a case got {worst:.2} times slower against the first of its group:\n{}",
        lines.join("\n")
    );
    Ok(Some(format!(
        "time against the first case of the group, the recorded ratio being 1:\n{}",
        lines.join("\n")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        std::fs::read_to_string(root.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The record that a report says it was written from.
    fn record_of(report: &str) -> (String, Record) {
        let path = report
            .split("from `")
            .nth(1)
            .and_then(|rest| rest.split('`').next())
            .unwrap();
        (path.to_owned(), Record::parse(&read(path)).unwrap())
    }

    #[test]
    fn no_figure_of_a_report_was_written_by_hand() {
        let written = read("docs/performance/REPORT.md");
        let (path, record) = record_of(&written);
        assert!(
            written == report::text(&record, &path),
            "`cargo xtask perf-report --from {path}`"
        );
        for (name, svg) in plot::all(&record) {
            assert!(read(&format!("{REPORT}/{name}")) == svg, "{name}");
        }
        let written = read("docs/performance/PEERS.md");
        let (path, record) = record_of(&written);
        assert!(
            written == report::peers(&record, &path),
            "`cargo xtask perf-peers --from {path}`"
        );
    }

    /// Words that say a speed, a time or a factor, with the number before them.
    fn figures(text: &str) -> Vec<String> {
        const UNITS: [&str; 6] = ["GB/s", "MB/s", "ms", "us", "images/s", "times"];
        let words = text
            .split_whitespace()
            .map(|word| word.trim_matches(['(', ')', ',', ';', '.', ':', '|']));
        let words = words.collect::<Vec<_>>();
        let pairs = words
            .windows(2)
            .filter(|pair| UNITS.contains(&pair[1]) && pair[0].parse::<f64>().is_ok());
        pairs.map(|pair| pair.join(" ")).collect()
    }

    #[test]
    fn every_figure_of_the_readme_is_one_of_a_report() {
        assert_eq!(
            figures("reads at 10.5 GB/s (or 3 times, 7 apples)"),
            ["10.5 GB/s", "3 times"]
        );
        let known = ["REPORT.md", "PEERS.md", "README.md"]
            .map(|name| read(&format!("{REPORT}/{name}")))
            .concat();
        for figure in figures(&read("README.md")) {
            let number = figure.split(' ').next().unwrap();
            let is_known = known
                .split(|letter: char| !letter.is_ascii_digit() && letter != '.')
                .any(|word| word == number);
            assert!(is_known, "README.md says {figure}, docs/performance does not");
        }
    }

    /// What a page of docs/performance says was measured, a command beside it gives.
    #[test]
    fn every_section_with_figures_names_its_command() {
        for section in read("docs/performance/README.md").split("\n## ").skip(1) {
            let title = section.lines().next().unwrap_or_default();
            assert!(
                figures(section).is_empty() || section.contains("`cargo ") || section.contains("fold-benches"),
                "{title}"
            );
        }
    }
}
