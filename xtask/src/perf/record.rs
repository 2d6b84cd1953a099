//! One run's measurements: lines of CSV, with the machine and the commit in comments above.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use crate::evidence::{commit, text};

/// One case: quartiles of its times, in nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Case {
    pub(super) group: String,
    pub(super) name: String,
    /// Bytes that the work is about, or synapse updates of a step.
    pub(super) amount: u64,
    pub(super) rounds: u64,
    pub(super) low: u64,
    pub(super) median: u64,
    pub(super) high: u64,
}

#[derive(Debug, Default)]
pub(super) struct Record {
    /// What was measured on, and when: lines `key: value`.
    pub(super) about: Vec<(String, String)>,
    pub(super) cases: Vec<Case>,
}

const HEADER: &str = "group,case,bytes,rounds,low_ns,median_ns,high_ns";

/// The machine, the day and the commit.
pub(super) fn about(root: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let ask = |program: &str, arguments: &[&str]| -> anyhow::Result<String> {
        let output = Command::new(program)
            .args(arguments)
            .output()
            .with_context(|| format!("cannot run {program}"))?;
        Ok(text(&output.stdout).trim().to_owned())
    };
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor = info
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or("unknown", |rest| rest.trim_start_matches([' ', '\t', ':']));
    let cores = std::thread::available_parallelism()?;
    Ok(vec![
        ("date".to_owned(), ask("date", &["-u", "+%Y-%m-%d"])?),
        ("commit".to_owned(), commit(root)),
        ("processor".to_owned(), format!("{processor}, {cores} cores")),
        (
            "system".to_owned(),
            format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        ),
        ("compiler".to_owned(), ask("rustc", &["--version"])?),
    ])
}

impl Record {
    pub(super) fn about(self, about: Vec<(String, String)>) -> Self {
        Self { about, ..self }
    }

    /// The day and the processor, as a file's name has them.
    pub(super) fn name(&self) -> anyhow::Result<String> {
        let about = |key: &str| {
            self.about
                .iter()
                .find(|(name, _)| name == key)
                .map(|(_, value)| value.as_str())
        };
        let date = about("date").context("no date")?;
        let machine = about("processor").context("no processor")?;
        let words = machine
            .split(|letter: char| !letter.is_ascii_alphanumeric())
            .filter(|word| !word.is_empty());
        let machine = words.map(str::to_ascii_lowercase).collect::<Vec<_>>().join("-");
        Ok(format!("{date}-{machine}"))
    }

    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let csv = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Self::parse(&csv).with_context(|| path.display().to_string())
    }

    pub(super) fn parse(csv: &str) -> anyhow::Result<Self> {
        let mut record = Self::default();
        for line in csv.lines().filter(|line| *line != HEADER && !line.is_empty()) {
            if let Some((key, value)) = line.strip_prefix("# ").and_then(|rest| rest.split_once(": ")) {
                record.about.push((key.to_owned(), value.to_owned()));
                continue;
            }
            let fields = line.rsplitn(6, ',').collect::<Vec<_>>();
            let [high, median, low, rounds, amount, names] = fields[..] else {
                bail!("not a case: {line}")
            };
            let (group, name) = names.split_once(',').with_context(|| format!("no group: {line}"))?;
            record.cases.push(Case {
                group: group.to_owned(),
                name: name.to_owned(),
                amount: amount.parse()?,
                rounds: rounds.parse()?,
                low: low.parse()?,
                median: median.parse()?,
                high: high.parse()?,
            });
        }
        Ok(record)
    }

    pub(super) fn to_csv(&self) -> String {
        let mut csv = String::new();
        for (key, value) in &self.about {
            let _ = writeln!(csv, "# {key}: {value}");
        }
        let _ = writeln!(csv, "{HEADER}");
        for case in &self.cases {
            let Case {
                group,
                name,
                amount,
                rounds,
                low,
                median,
                high,
            } = case;
            let _ = writeln!(csv, "{group},{name},{amount},{rounds},{low},{median},{high}");
        }
        csv
    }

    /// The groups in the order in which they were measured.
    pub(super) fn groups(&self) -> impl Iterator<Item = (&str, &[Case])> {
        self.cases
            .chunk_by(|one, next| one.group == next.group)
            .map(|cases| (cases[0].group.as_str(), cases))
    }

    /// How many times as long `case` took as `other`.
    pub(super) fn ratio(&self, group: &str, case: &str, other: &str) -> Option<f64> {
        let median = |name: &str| {
            let case = self
                .cases
                .iter()
                .find(|case| case.group == group && case.name == name)?;
            Some(case.median as f64)
        };
        Some(median(case)? / median(other)?)
    }

    /// How much longer each case takes in `now`, against the first of its group, than here; ascending.
    pub(super) fn slowdowns(&self, now: &Self) -> Vec<(String, f64)> {
        let ratios = |record: &Self| -> BTreeMap<String, f64> {
            let mut ratios = BTreeMap::new();
            for (group, cases) in record.groups() {
                for case in &cases[1..] {
                    let ratio = case.median as f64 / cases[0].median as f64;
                    ratios.insert(format!("{group}: {}", case.name), ratio);
                }
            }
            ratios
        };
        let before = ratios(self);
        let mut slower = ratios(now)
            .into_iter()
            .filter_map(|(name, ratio)| Some((name.clone(), ratio / before.get(&name)?)))
            .collect::<Vec<_>>();
        slower.sort_by(|(_, one), (_, other)| one.total_cmp(other));
        slower
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CSV: &str = "# date: 2026-01-02\n# processor: Some CPU (R) @ 3 GHz, 2 cores\n\
        group,case,bytes,rounds,low_ns,median_ns,high_ns\n\
        step: n=1, B=1,one,10,3,1,2,3\nstep: n=1, B=1,two,10,3,2,4,6\nother,one,1,1,5,5,5\n";

    fn record() -> Record {
        // A group's name has no comma in what the program prints; a case's may.
        Record::parse(&CSV.replace("n=1, B=1", "n=1 B=1")).unwrap()
    }

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let record = record();
        assert_eq!(record.to_csv(), CSV.replace("n=1, B=1", "n=1 B=1"));
        assert_eq!(record.name().unwrap(), "2026-01-02-some-cpu-r-3-ghz-2-cores");
        assert_eq!(record.groups().count(), 2);
        assert_eq!(record.ratio("step: n=1 B=1", "two", "one"), Some(2.0));
        assert!(Record::parse("a,b,1\n").is_err());
    }

    #[test]
    fn a_slower_machine_is_no_slowdown_and_a_slower_case_is() {
        let before = record();
        let mut now = record();
        for case in &mut now.cases {
            case.median *= 7;
        }
        assert_eq!(before.slowdowns(&now), [("step: n=1 B=1: two".to_owned(), 1.0)]);
        now.cases[1].median *= 3;
        assert_eq!(before.slowdowns(&now), [("step: n=1 B=1: two".to_owned(), 3.0)]);
    }
}
