//! The item that reads .github/workflows: what they may do, which foreign code they run, and which tasks they call.

use std::path::Path;

use anyhow::{Context, bail, ensure};

use crate::checklist::Ended;

/// What is wrong with one workflow. `tasks` are the tasks that `cargo xtask` has.
fn complaints(text: &str, tasks: &[String]) -> Vec<String> {
    let mut found = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    let at_top = |key: &str| lines.iter().position(|line| *line == key);
    match at_top("permissions:") {
        None => found.push("no permissions at the top: every job would have the token's defaults".to_owned()),
        Some(at) => {
            let granted: Vec<&str> = lines
                .iter()
                .skip(at + 1)
                .take_while(|line| line.starts_with(' '))
                .copied()
                .collect();
            if granted != ["  contents: read"] {
                found.push(format!(
                    "{granted:?} at the top: `contents: read` is enough, a job asks for more itself"
                ));
            }
        }
    }
    let Some(jobs) = at_top("jobs:") else {
        found.push("no jobs".to_owned());
        return found;
    };
    let mut job: Option<(&str, bool)> = None;
    let without_limit = |job: Option<(&str, bool)>| {
        job.filter(|(_, limited)| !limited)
            .map(|(name, _)| format!("job {name} has no timeout-minutes"))
    };
    for line in lines.iter().skip(jobs + 1) {
        let name = line.strip_prefix("  ").filter(|rest| !rest.starts_with([' ', '#']));
        if let Some(name) = name.and_then(|rest| rest.strip_suffix(':')) {
            found.extend(without_limit(job));
            job = Some((name, false));
        }
        if let (Some((_, limited)), true) = (&mut job, line.starts_with("    timeout-minutes: ")) {
            *limited = true;
        }
        if let Some((_, used)) = line.split_once("uses: ") {
            let (revision, version) = used
                .split_once('@')
                .map_or(("", ""), |(_, at)| at.split_once(" # ").unwrap_or((at, "")));
            let pinned = revision.len() == 40 && revision.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !pinned || !version.starts_with('v') {
                found.push(format!(
                    "`{used}` is not pinned by its full commit, with the version as a comment"
                ));
            }
        }
        for called in line.split("cargo xtask ").skip(1) {
            let task = called.split_whitespace().next().unwrap_or_default();
            if !tasks.iter().any(|known| known == task) {
                found.push(format!("`cargo xtask {task}` is no task"));
            }
        }
        if line.contains("${{ github.event") || line.contains("pull_request_target") {
            found.push(format!(
                "`{}` lets whoever opens a request choose what runs",
                line.trim()
            ));
        }
    }
    found.extend(without_limit(job));
    found
}

pub(super) fn workflows(root: &Path) -> anyhow::Result<Ended> {
    let folder = root.join(".github/workflows");
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .context("cannot list .github/workflows")?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<std::io::Result<_>>()?;
    names.sort();
    ensure!(!names.is_empty(), "there are no workflows");
    let tasks = crate::tasks();
    let mut found = Vec::new();
    for name in &names {
        let text = std::fs::read_to_string(folder.join(name)).with_context(|| format!("cannot read {name}"))?;
        found.extend(
            complaints(&text, &tasks)
                .into_iter()
                .map(|complaint| format!("{name}: {complaint}")),
        );
    }
    if !found.is_empty() {
        bail!("{}", found.join("\n"));
    }
    Ok(Ended::Passed(format!(
        "{}: every action by its full commit, permissions minimal, every job limited in time",
        names.join(", ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "name: x\npermissions:\n  contents: read\njobs:\n  a:\n    timeout-minutes: 5\n    steps:\n      \
        - uses: actions/checkout@0123456789abcdef0123456789abcdef01234567 # v1.2.3\n      - run: cargo xtask known --quick\n  \
        b:\n    timeout-minutes: 5\n";

    #[test]
    fn each_fault_of_a_workflow_is_named() {
        let tasks = ["known".to_owned()];
        assert_eq!(complaints(GOOD, &tasks), Vec::<String>::new());
        for (from, to) in [
            ("permissions:\n  contents: read\n", ""),
            ("contents: read", "contents: write"),
            ("@0123456789abcdef0123456789abcdef01234567 # v1.2.3", "@v1.2.3"),
            (" # v1.2.3", ""),
            ("xtask known", "xtask unknown"),
            ("  b:\n    timeout-minutes: 5\n", "  b:\n    steps:\n"),
            ("  a:\n    timeout-minutes: 5\n", "  a:\n"),
            ("known --quick", "known ${{ github.event.issue.title }}"),
            ("jobs:", "job:"),
        ] {
            assert_eq!(complaints(&GOOD.replace(from, to), &tasks).len(), 1, "{from} -> {to}");
        }
    }
}
