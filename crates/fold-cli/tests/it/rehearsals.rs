//! The runbook's scenarios, rehearsed: the fault is made, the page's commands are followed, the end is healthy.
//!
//! The commands are read from the pages, so that a page which does not help fails here.

use std::path::{Path, PathBuf};
use std::process::Command;

use fold_format::{Checkpoint, Content, Disk, Durability, SaveOptions, TensorSource};

use super::operations::damage;
use super::{checkpoints, code, fold, train};

fn runbook() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/runbook")
}

/// The lines of the shell blocks of a page, or of one section of it.
fn commands(text: &str, section: Option<&str>) -> Vec<String> {
    let mut found = Vec::new();
    let (mut inside, mut wanted) = (false, section.is_none());
    for line in text.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            _ if inside && wanted => found.push(line.to_owned()),
            _ => {
                if let (Some(heading), Some(section)) = (line.strip_prefix("## "), section) {
                    wanted = heading == section;
                }
            }
        }
    }
    found
}

/// A command of a page with its placeholders filled in, run by the shell with this `fold`.
fn follow(command: &str, places: &[(&str, &Path)]) -> std::process::Output {
    let mut line = command.to_owned();
    for (name, path) in places {
        line = line.replace(name, path.to_str().unwrap());
    }
    let bin = Path::new(env!("CARGO_BIN_EXE_fold")).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    Command::new("sh")
        .args(["-c", &line])
        .env("PATH", path)
        .env_remove("RUST_LOG")
        .output()
        .unwrap()
}

/// Follows the section *Mitigation* of a scenario: every command of it must succeed.
fn mitigate(scenario: &str, places: &[(&str, &Path)]) {
    let text = std::fs::read_to_string(runbook().join("scenarios").join(format!("{scenario}.md"))).unwrap();
    let diagnosis = commands(&text, Some("Diagnosis"));
    assert!(!diagnosis.is_empty(), "{scenario} has no diagnosis");
    for command in diagnosis.iter().filter(|command| command.starts_with("fold ")) {
        let output = follow(command, places);
        let exit = output.status.code().unwrap();
        assert!([0, 1, 10].contains(&exit), "{scenario}: `{command}` ended with {exit}");
    }
    let mitigation = commands(&text, Some("Mitigation"));
    assert!(!mitigation.is_empty(), "{scenario} has no mitigation");
    for command in &mitigation {
        let output = follow(command, places);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{scenario}: `{command}`: {said}");
    }
}

/// As many epochs as a run has that is resumed without saying how many.
const DEFAULT_EPOCHS: &str = "8";

/// A small run, and the bytes of its checkpoints.
fn run(dir: &Path, epochs: &str) -> (PathBuf, std::collections::BTreeMap<String, Vec<u8>>) {
    let out = dir.join("run");
    assert_eq!(code(&train(&out, epochs).output().unwrap()), 0);
    let files = checkpoints(&out);
    (out, files)
}

fn healthy(out: &Path) {
    assert_eq!(code(&fold(&["verify", "--quiet"]).arg(out).output().unwrap()), 0);
}

#[test]
fn a_file_that_does_not_open() {
    for cut in [0, 16, 9000] {
        let dir = tempfile::tempdir().unwrap();
        let (out, expected) = run(dir.path(), DEFAULT_EPOCHS);
        let newest = out.join("step-00000008.fold");
        std::fs::write(&newest, &expected["step-00000008.fold"][..cut]).unwrap();
        assert_ne!(
            code(&fold(&["inspect"]).arg(&newest).output().unwrap()),
            0,
            "cut to {cut}"
        );
        mitigate("does-not-open", &[("RUN", &out), ("FILE", &newest)]);
        assert!(checkpoints(&out) == expected, "cut to {cut}");
    }
}

#[test]
fn damage_that_verification_finds() {
    let dir = tempfile::tempdir().unwrap();
    let (out, expected) = run(dir.path(), DEFAULT_EPOCHS);
    let newest = out.join("step-00000008.fold");
    damage(&newest);
    assert_eq!(code(&fold(&["scrub", "--quiet"]).arg(&out).output().unwrap()), 1);
    mitigate("damage-found", &[("RUN", &out), ("FILE", &newest)]);
    assert!(checkpoints(&out) == expected);
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let (out, expected) = run(dir.path(), "3");
    // A limit on the size of files stands for the full disk: it needs no rights. Figures and states are smaller.
    let limited = follow(
        "ulimit -f 64; fold train --data digits --out RUN --neurons 24 --resume --progress never",
        &[("RUN", &out)],
    );
    let said = String::from_utf8_lossy(&limited.stderr).into_owned();
    assert!(said.contains("FOLD-E0404"), "{:?}: {said}", limited.status);
    assert_eq!(limited.status.code(), Some(74));
    assert!(checkpoints(&out) == expected, "a failed save changed a file");
    mitigate("disk-full", &[("RUN", &out)]);
    assert_eq!(checkpoints(&out).len(), 2, "as many as the page says to keep");
    healthy(&out);
}

#[test]
fn a_flush_that_fails() {
    let dir = tempfile::tempdir().unwrap();
    let (out, expected) = run(dir.path(), DEFAULT_EPOCHS);
    let other = dir.path().join("other");
    // The fault itself needs a failing disk; fold-format's and fold-ops' tests inject it. Here the page's way out.
    mitigate("fsync-failed", &[("RUN", &out), ("OTHER", &other)]);
    assert!(checkpoints(&other) == expected);
}

#[test]
fn a_run_that_resumed_from_an_older_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let (out, expected) = run(dir.path(), "2");
    damage(&out.join("step-00000002.fold"));
    let resumed = train(&out, "2").arg("--resume").output().unwrap();
    assert_eq!(code(&resumed), 0);
    let said = String::from_utf8(resumed.stderr).unwrap();
    assert!(said.contains("passed over") && said.contains("resumed from"), "{said}");
    mitigate("resumed-from-older", &[("RUN", &out)]);
    assert!(checkpoints(&out) == expected);
}

/// Writes a checkpoint anew with one threshold that is not a number: whole in every byte, and no state of a layer.
fn spoil(path: &Path) {
    let checkpoint = Checkpoint::open(path).unwrap();
    let metadata = checkpoint.metadata().to_owned();
    let training = String::from_utf8(checkpoint.chunk("training").unwrap()).unwrap();
    let mut tensors = Vec::new();
    for info in checkpoint.tensors().unwrap() {
        let mut bytes = checkpoint.tensor(info.name).unwrap().as_bytes().to_vec();
        if info.name == "layer0.theta" {
            bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
        }
        tensors.push((
            info.chunk.to_owned(),
            info.name.to_owned(),
            info.dtype,
            info.shape.extents().to_vec(),
            bytes,
        ));
    }
    let of = |wanted: &str| {
        let chosen = tensors.iter().filter(|(chunk, ..)| chunk == wanted);
        let sources = chosen
            .map(|(_, name, dtype, shape, bytes)| TensorSource::new(name.as_str(), *dtype, shape, bytes).unwrap());
        sources.collect::<Vec<_>>()
    };
    let content = Content::new().metadata(&metadata).tensors("layer", of("layer"));
    let content = content.tensors("readout", of("readout")).json("training", &training);
    std::fs::remove_file(path).unwrap();
    fold_format::save(&Disk, path, &content, &SaveOptions::new(Durability::None)).unwrap();
}

#[test]
fn a_number_that_is_not_finite() {
    let dir = tempfile::tempdir().unwrap();
    let (out, expected) = run(dir.path(), DEFAULT_EPOCHS);
    let newest = out.join("step-00000008.fold");
    spoil(&newest);
    healthy(&out);
    let resumed = train(&out, DEFAULT_EPOCHS).arg("--resume").output().unwrap();
    let said = String::from_utf8(resumed.stderr).unwrap();
    assert_eq!(resumed.status.code(), Some(20), "{said}");
    assert!(said.contains("FOLD-E0505"), "{said}");
    mitigate("invariant-violated", &[("RUN", &out), ("FILE", &newest)]);
    assert!(checkpoints(&out) == expected);
}

/// The share of dead neurons after the last epoch, as the events tell it.
fn dead(out: &Path) -> f64 {
    let events = std::fs::read_to_string(out.join("events.jsonl")).unwrap();
    let events = events
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    events.filter_map(|event| event["dead"].as_f64()).next_back().unwrap()
}

#[test]
fn neurons_that_are_dead() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let config = dir.path().join("config.json");
    // One winner of very many, and thresholds that never move: most neurons never win.
    std::fs::write(
        &config,
        r#"{"neurons": 400, "winners": 1, "homeostasis_rate": 0.000001}"#,
    )
    .unwrap();
    let mut command = fold(&["train", "--data", "digits", "--epochs", "1", "--quiet", "--config"]);
    assert_eq!(code(&command.arg(&config).arg("--out").arg(&out).output().unwrap()), 0);
    let before = dead(&out);
    let other = dir.path().join("other");
    mitigate("neurons-saturated-or-dead", &[("RUN", &out), ("OTHER", &other)]);
    let after = dead(&other);
    assert!(
        before > 0.5 && after < before / 2.0,
        "{before} dead before, {after} after"
    );
}

#[test]
fn every_command_of_the_runbook_is_one_of_this_release() {
    let mut pages = Vec::new();
    for part in ["codes", "scenarios", "."] {
        let entries = std::fs::read_dir(runbook().join(part))
            .unwrap()
            .map(|entry| entry.unwrap().path());
        pages.extend(entries.filter(|path| path.extension().is_some_and(|extension| extension == "md")));
    }
    assert!(pages.len() > 40, "{} pages", pages.len());
    let mut tried = std::collections::BTreeSet::new();
    for page in pages {
        let text = std::fs::read_to_string(&page).unwrap();
        // Commands within a sentence too.
        let within = text
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|code| code.starts_with("fold "))
            .map(str::to_owned);
        let blocks = commands(&text, None)
            .into_iter()
            .filter(|command| command.starts_with("fold "));
        for command in blocks.chain(within) {
            let mut words = command.split_whitespace().skip(1);
            let Some(name) = words.next().filter(|name| !name.starts_with('-')) else {
                continue;
            };
            let help = fold(&[name, "--help"]).output().unwrap();
            assert_eq!(
                code(&help),
                0,
                "{}: `{command}`: there is no command {name}",
                page.display()
            );
            let help = String::from_utf8(help.stdout).unwrap();
            for flag in words.filter(|word| word.starts_with("--")) {
                let flag = flag.split('=').next().unwrap();
                assert!(
                    help.contains(flag),
                    "{}: `{command}`: there is no flag {flag}",
                    page.display()
                );
            }
            tried.insert(command);
        }
    }
    assert!(tried.len() > 20, "{tried:?}");
}
