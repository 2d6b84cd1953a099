//! `cargo xtask perf-peers`: the scripts of benches/peers, recorded and reported.
//!
//! The packages come from wherever pip is set up to get them; where they cannot be had, nothing was measured, and that is said.

use std::path::Path;
use std::process::Command;

use anyhow::bail;

use super::record::{self, Record};
use super::report;
use crate::checklist::Ended;
use crate::evidence::{self, must, released, text};
use crate::interop::{SKIPPED, environment};

/// Where the scripts lie.
const SCRIPTS: &str = "benches/peers";

/// Each measures one kind of work.
const EACH: [&str; 3] = ["containers.py", "stepping.py", "simulators.py"];

/// Where their measurements lie: apart from those that `perf-check` compares with.
const RECORDS: &str = "benches/record/peers";

const REPORT: &str = "docs/performance/PEERS.md";

/// Measures, records, and writes the report; or, with `from`, writes the report of a record.
pub(crate) fn peers(root: &Path, folder: &Path, from: Option<&Path>) -> anyhow::Result<Ended> {
    let (path, record) = match from {
        Some(path) => (path.to_owned(), Record::read(path)?),
        None => {
            let python = match environment(root, SCRIPTS, "peers")? {
                Ok(python) => python,
                Err(reason) => return Ok(Ended::Skipped(reason)),
            };
            let mut about = record::about(root)?;
            let (versions, _) =
                must(Command::new(&python).args(["-m", "pip", "freeze", "--disable-pip-version-check"]))?;
            about.push(("packages".to_owned(), named(&versions)));
            let beside = released(root, "fold-benches", "beside")?;
            let mut csv = String::new();
            for script in EACH {
                let mut command = Command::new(&python);
                command
                    .current_dir(root)
                    .arg(Path::new(SCRIPTS).join(script))
                    .arg(&beside)
                    .arg(folder);
                let output = evidence::run(&mut command)?;
                let (out, err) = (text(&output.stdout), text(&output.stderr));
                match output.status.code() {
                    Some(0) => csv.push_str(&out),
                    Some(code) if code == i32::from(SKIPPED) => {
                        return Ok(Ended::Skipped(format!("{script}: {}", out.trim())));
                    }
                    _ => bail!("{script} ended with {}\n{out}{err}", output.status),
                }
            }
            let record = Record::parse(&csv)?.about(about);
            let path = root.join(RECORDS).join(format!("{}.csv", record.name()?));
            std::fs::create_dir_all(root.join(RECORDS))?;
            std::fs::write(&path, record.to_csv())?;
            (path, record)
        }
    };
    let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
    std::fs::write(root.join(REPORT), report::peers(&record, &shown))?;
    Ok(Ended::Passed(format!(
        "{shown} and {REPORT}: {} cases",
        record.cases.len()
    )))
}

/// The packages that are measured, with their versions.
fn named(freeze: &str) -> String {
    const MEASURED: [&str; 11] = [
        "blosc2",
        "h5py",
        "numpy",
        "pyfolds",
        "safetensors",
        "torch",
        "zarr",
        "brian2",
        "nest-simulator",
        "norse",
        "bindsnet",
    ];
    let packages = freeze.lines().filter_map(|line| line.split_once("=="));
    let measured = packages.filter(|(name, _)| MEASURED.contains(&name.to_ascii_lowercase().as_str()));
    measured
        .map(|(name, version)| format!("{name} {version}"))
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_measured_is_named() {
        assert_eq!(
            named("attrs==1\nNumPy==2.4\nzarr==3.1.2\n-e file\n"),
            "NumPy 2.4, zarr 3.1.2"
        );
    }
}
