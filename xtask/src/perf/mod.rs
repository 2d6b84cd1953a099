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

/// Measures again and compares every ratio with the newest record; `None` where there is none.
pub(crate) fn check(root: &Path, folder: &Path) -> anyhow::Result<Option<String>> {
    let Some(path) = newest(root)? else { return Ok(None) };
    let slower = Record::read(&path)?.slowdowns(&measure(root, folder)?);
    ensure!(!slower.is_empty(), "no case of {} is left", path.display());
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
