//! Items that need Prometheus' own tools.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::ensure;

use super::Scratch;
use super::suites::tested_binary;
use crate::checklist::Ended;
use crate::evidence::{installed, must, run, text};

/// What to say where promtool or prometheus is missing.
pub(super) const NOT_INSTALLED: &str = "Prometheus is not installed: on Debian, `apt-get install prometheus`";

pub(super) fn alert_rules(root: &Path) -> anyhow::Result<Ended> {
    if !installed("promtool") {
        return Ok(Ended::Skipped(NOT_INSTALLED.into()));
    }
    let mut said = Vec::new();
    for arguments in [
        ["check", "rules", "alerts/fold.rules.yml"],
        ["test", "rules", "alerts/fold.rules.test.yml"],
    ] {
        let (out, err) = must(Command::new("promtool").current_dir(root).args(arguments))?;
        said.push(format!("promtool {}:\n{out}{err}", arguments.join(" ")));
    }
    let fold = tested_binary(root)?;
    let scratch = Scratch::new(root, "alert-rules")?;
    let (dir, run_metrics, scrub_metrics) = (
        scratch.path("run"),
        scratch.path("run.prom"),
        scratch.path("scrub.prom"),
    );
    let mut train = Command::new(&fold);
    train.args([
        "train",
        "--data",
        "digits",
        "--neurons",
        "24",
        "--epochs",
        "1",
        "--quiet",
        "--out",
    ]);
    must(train.arg(&dir).arg("--metrics-file").arg(&run_metrics))?;
    must(
        Command::new(&fold)
            .args(["scrub", "--quiet"])
            .arg(&dir)
            .arg("--metrics-file")
            .arg(&scrub_metrics),
    )?;
    for file in [run_metrics, scrub_metrics] {
        let metrics = std::fs::File::open(&file)?;
        let output = run(Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::from(metrics)))?;
        let complained = format!("{}{}", text(&output.stdout), text(&output.stderr));
        ensure!(
            output.status.success() && complained.is_empty(),
            "{}: {complained}",
            file.display()
        );
        said.push(format!("promtool check metrics: {} is clean", file.display()));
    }
    Ok(Ended::Passed(said.join("\n")))
}
