//! Items that compare files with each other: alerts with their runbook, and with the metrics that exist.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, bail, ensure};

use crate::checklist::Ended;

/// One rule of the alerts, as far as it is checked here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Alert {
    /// Its name.
    pub(crate) name: String,
    severity: Option<String>,
    summary: Option<String>,
    runbook_url: Option<String>,
}

/// The alerts of a rules file, which is written in one form: one key a line.
pub(crate) fn alerts_of(rules: &str) -> Vec<Alert> {
    let mut found: Vec<Alert> = Vec::new();
    for line in rules.lines().map(str::trim) {
        let value = |key: &str| {
            line.strip_prefix(key)
                .map(|rest| rest.trim().trim_matches('\'').to_owned())
        };
        if let Some(name) = value("- alert:") {
            found.push(Alert {
                name,
                ..Alert::default()
            });
        } else if let Some(alert) = found.last_mut() {
            alert.severity = value("severity:").or(alert.severity.take());
            alert.summary = value("summary:").or(alert.summary.take());
            alert.runbook_url = value("runbook_url:").or(alert.runbook_url.take());
        }
    }
    found
}

/// What is wrong with an alert.
fn complaints(alert: &Alert, runbook: &str, tests: &str) -> Vec<String> {
    let name = &alert.name;
    let mut found = Vec::new();
    if !matches!(alert.severity.as_deref(), Some("critical" | "warning" | "info")) {
        found.push(format!(
            "{name}: severity {:?} is none of critical, warning, info",
            alert.severity
        ));
    }
    if alert.summary.as_deref().is_none_or(str::is_empty) {
        found.push(format!("{name}: no summary"));
    }
    let anchor = format!("docs/runbook/alerts.md#{}", name.to_lowercase());
    if alert.runbook_url.as_deref() != Some(anchor.as_str()) {
        found.push(format!(
            "{name}: runbook_url {:?} instead of {anchor}",
            alert.runbook_url
        ));
    }
    let section = runbook
        .split("\n## ")
        .find(|section| section.lines().next() == Some(name));
    match section {
        None => found.push(format!("{name}: docs/runbook/alerts.md has no section of this name")),
        Some(section) => {
            for part in ["Meaning.", "Impact.", "Diagnosis.", "Mitigation.", "Prevention."] {
                if !section.contains(&format!("**{part}**")) {
                    found.push(format!("{name}: its section of the runbook has no {part}"));
                }
            }
        }
    }
    let unit = format!("alertname: {name}\n");
    let fires = tests
        .split(&unit)
        .skip(1)
        .any(|after| after.trim_start().starts_with("exp_alerts:\n"));
    let silent = tests
        .split(&unit)
        .skip(1)
        .any(|after| after.trim_start().starts_with("exp_alerts: []"));
    if !fires {
        found.push(format!("{name}: no unit test in which it fires"));
    }
    if !silent {
        found.push(format!("{name}: no unit test in which it stays silent"));
    }
    found
}

/// The names of metrics in a text: words that begin with `fold_` and one of the families.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let families = [
        "fold_checkpoint_",
        "fold_scrub_",
        "fold_train_",
        "fold_neuron_",
        "fold_build_info",
    ];
    words
        .filter(|word| families.iter().any(|family| word.starts_with(family)))
        .collect()
}

pub(super) fn alerts(root: &Path) -> anyhow::Result<Ended> {
    let read = |name: &str| std::fs::read_to_string(root.join(name)).with_context(|| format!("cannot read {name}"));
    let rules = read("alerts/fold.rules.yml")?;
    let (tests, runbook) = (read("alerts/fold.rules.test.yml")?, read("docs/runbook/alerts.md")?);
    let dashboard = read("alerts/dashboard.json")?;
    serde_json::from_str::<serde_json::Value>(&dashboard).context("alerts/dashboard.json")?;
    let table = read("docs/telemetry.md")?;
    let alerts = alerts_of(&rules);
    ensure!(alerts.len() >= 13, "only {} alerts were found", alerts.len());
    let mut found: Vec<String> = alerts
        .iter()
        .flat_map(|alert| complaints(alert, &runbook, &tests))
        .collect();
    let known = metrics_in(&table);
    for (file, text) in [
        ("fold.rules.yml", &rules),
        ("fold.rules.test.yml", &tests),
        ("dashboard.json", &dashboard),
    ] {
        for metric in metrics_in(text).difference(&known) {
            found.push(format!(
                "alerts/{file} names {metric}, which docs/telemetry.md does not have"
            ));
        }
    }
    for section in runbook
        .split("\n## ")
        .skip(1)
        .filter_map(|section| section.lines().next())
    {
        if !alerts.iter().any(|alert| alert.name == section) {
            found.push(format!(
                "docs/runbook/alerts.md has a section on {section}, which is no alert"
            ));
        }
    }
    if !found.is_empty() {
        bail!("{}", found.join("\n"));
    }
    let names: Vec<&str> = alerts.iter().map(|alert| alert.name.as_str()).collect();
    Ok(Ended::Passed(format!("{} alerts: {}", names.len(), names.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = "
      - alert: A
        expr: fold_train_epoch > 1
        labels:
          severity: critical
        annotations:
          summary: 'It is {{ $labels.run }}'
          runbook_url: docs/runbook/alerts.md#a
";
    const RUNBOOK: &str = "x\n## A\n**Meaning.** **Impact.** **Diagnosis.** **Mitigation.** **Prevention.**";
    const TESTS: &str = "alertname: A\n  exp_alerts: []\nalertname: A\n   exp_alerts:\n";

    #[test]
    fn each_fault_of_an_alert_is_named() {
        let alert = |rules: &str| alerts_of(rules).remove(0);
        assert_eq!(complaints(&alert(RULES), RUNBOOK, TESTS), Vec::<String>::new());
        for (from, to) in [
            ("critical", "bad"),
            ("summary:", "text:"),
            ("#a", "#b"),
            ("- alert: A", "- alert: B"),
        ] {
            assert!(
                !complaints(&alert(&RULES.replace(from, to)), RUNBOOK, TESTS).is_empty(),
                "{from}"
            );
        }
        assert_eq!(
            complaints(&alert(RULES), &RUNBOOK.replace("Impact", "Effect"), TESTS).len(),
            1
        );
        assert_eq!(complaints(&alert(RULES), RUNBOOK, "").len(), 2);
    }

    #[test]
    fn metrics_are_found_in_expressions() {
        let text = "rate(fold_scrub_bytes_total[5m]) / on (store) fold_checkpoint_files{x=\"fold_ops\"}";
        assert_eq!(
            metrics_in(text).into_iter().collect::<Vec<_>>(),
            ["fold_checkpoint_files", "fold_scrub_bytes_total"]
        );
    }
}
