//! The README's sessions, run again, one after the other in one folder: every command, and everything that it is said to
//! print.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail, ensure};

use super::Scratch;
use super::suites::tested_binary;
use crate::checklist::Ended;
use crate::evidence::{run, text};

/// A command of a session and the lines that are printed for it; `...` stands for any lines.
#[derive(Debug, PartialEq, Eq)]
struct Step<'a> {
    command: &'a str,
    printed: Vec<&'a str>,
}

/// The steps of the `console` blocks of a document. None where one does not begin with a command.
fn steps(document: &str) -> Option<Vec<Step<'_>>> {
    let mut found: Vec<Step<'_>> = Vec::new();
    for block in document.split("```console\n").skip(1) {
        let (block, _) = block.split_once("```")?;
        if !block.starts_with("$ ") {
            return None;
        }
        for line in block.lines() {
            if let Some(command) = line.strip_prefix("$ ") {
                found.push(Step {
                    command,
                    printed: Vec::new(),
                });
            } else {
                found.last_mut()?.printed.push(line);
            }
        }
    }
    Some(found)
}

/// Whether `printed`, with its gaps, is what was said.
fn fits(printed: &[&str], said: &[&str]) -> bool {
    match printed.split_first() {
        None => said.is_empty(),
        Some((&"...", rest)) => (0..=said.len()).any(|skipped| fits(rest, &said[skipped..])),
        Some((line, rest)) => said
            .split_first()
            .is_some_and(|(first, after)| first == line && fits(rest, after)),
    }
}

pub(super) fn readme(root: &Path) -> anyhow::Result<Ended> {
    let document = std::fs::read_to_string(root.join("README.md")).context("cannot read README.md")?;
    let steps = steps(&document).context("a block ```console of README.md does not begin with a command")?;
    ensure!(steps.len() >= 12, "the sessions have only {} commands", steps.len());
    let fold = tested_binary(root)?;
    let scratch = Scratch::new(root, "readme")?;
    let here = scratch.path("here");
    std::fs::create_dir_all(&here)?;
    let bin = fold.parent().context("the binary lies in a folder")?;
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    for step in &steps {
        // One stream, as on a terminal.
        let output = run(Command::new("sh")
            .current_dir(&here)
            .env("PATH", &path)
            .args(["-c", &format!("exec 2>&1; {}", step.command)]))?;
        let said = text(&output.stdout);
        let lines: Vec<&str> = said.lines().filter(|line| !line.starts_with("next: ")).collect();
        if !fits(&step.printed, &lines) {
            bail!(
                "`{}` is said to print\n{}\nand printed\n{}",
                step.command,
                step.printed.join("\n"),
                lines.join("\n")
            );
        }
    }
    let commands: Vec<&str> = steps.iter().map(|step| step.command).collect();
    Ok(Ended::Passed(format!(
        "{} commands print what is said:\n{}",
        commands.len(),
        commands.join("\n")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_stand_for_any_lines_and_nothing_else_does() {
        assert!(fits(&["a", "...", "d"], &["a", "b", "c", "d"]));
        assert!(fits(&["...", "d"], &["d"]) && fits(&["a", "..."], &["a"]) && fits(&[], &[]));
        assert!(!fits(&["a"], &["a", "b"]) && !fits(&["a", "b"], &["a"]) && !fits(&["...", "x"], &["a"]));
    }

    #[test]
    fn a_session_is_commands_and_what_they_print() {
        let found = steps("text\n```console\n$ a b\nout\n$ c\n```\nmore\n```console\n$ d\n```\n").unwrap();
        assert_eq!(
            (found.len(), found[0].command, &found[0].printed[..]),
            (3, "a b", &["out"][..])
        );
        assert_eq!(found[2].command, "d");
        assert_eq!(steps("```console\nout\n$ a\n```"), None);
        assert!(steps("none").unwrap().is_empty());
    }
}
