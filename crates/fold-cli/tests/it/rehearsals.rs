//! The runbook's scenarios, rehearsed: the fault is made, the page's commands are followed, the end is healthy.
//!
//! The commands are read from the pages, so that a page which does not help fails here.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use fold_format::{Checkpoint, Content, Disk, Durability, SaveOptions, TensorSource};

use super::operations::damage;
use super::{checkpoints, code, fold, json, stderr, stdout, train};

fn runbook() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/runbook")
}

/// The lines of the shell blocks of a page, or of those directly under one of its headings.
fn commands(text: &str, heading: Option<&str>) -> Vec<String> {
    let mut found = Vec::new();
    let (mut inside, mut wanted) = (false, heading.is_none());
    for line in text.lines() {
        match line {
            "```sh" => inside = true,
            "```" => inside = false,
            _ if inside && wanted => found.push(line.to_owned()),
            _ if inside => {}
            _ => {
                let begun = line.strip_prefix("### ").or_else(|| line.strip_prefix("## "));
                if let (Some(begun), Some(heading)) = (begun, heading) {
                    wanted = begun == heading;
                }
            }
        }
    }
    found
}

/// Words of the pages that stand for a path.
const PLACES: [&str; 7] = ["FILE", "KEY", "NEW", "OTHER", "PARTS", "RUN", "WHOLE"];

/// A command with its places filled in, word by word.
fn filled(command: &str, places: &[(&str, &Path)]) -> String {
    let mut line = String::new();
    for word in command.split_inclusive(|c: char| !c.is_ascii_alphanumeric()) {
        let end = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric()).len();
        let (name, after) = word.split_at(end);
        match places.iter().find(|(place, _)| *place == name) {
            Some((_, path)) => line.push_str(path.to_str().unwrap()),
            None => {
                assert!(!PLACES.contains(&name), "the rehearsal has no {name} for `{command}`");
                line.push_str(name);
            }
        }
        line.push_str(after);
    }
    line
}

/// A command of a page with its places filled in, run by the shell with this `fold`.
fn follow(command: &str, places: &[(&str, &Path)]) -> std::process::Output {
    super::shell(&filled(command, places)).output().unwrap()
}

fn page(scenario: &str) -> String {
    std::fs::read_to_string(runbook().join("scenarios").join(format!("{scenario}.md"))).unwrap()
}

/// Follows the section *Diagnosis* of a scenario, whose commands answer; what `fold` printed is handed back.
fn diagnose(scenario: &str, places: &[(&str, &Path)]) -> String {
    let diagnosis = commands(&page(scenario), Some("Diagnosis"));
    assert!(!diagnosis.is_empty(), "{scenario} has no diagnosis");
    let mut said = String::new();
    for command in diagnosis.iter().filter(|command| command.starts_with("fold ")) {
        let output = follow(command, places);
        let exit = output.status.code().unwrap();
        assert!([0, 1, 10].contains(&exit), "{scenario}: `{command}` ended with {exit}");
        said += &stdout(&output);
    }
    said
}

/// Follows what stands directly under a heading: every command must end as the page says, with 0 where it says nothing.
/// What they printed is handed back.
fn followed(scenario: &str, heading: &str, places: &[(&str, &Path)]) -> String {
    let commands = commands(&page(scenario), Some(heading));
    assert!(!commands.is_empty(), "{scenario}: no command under {heading}");
    let mut said = String::new();
    for command in &commands {
        let exit = command
            .split_once(" # ends with ")
            .map_or(0, |(_, number)| number.parse().unwrap());
        let output = follow(command, places);
        assert_eq!(
            output.status.code(),
            Some(exit),
            "{scenario}: `{command}`: {}{}",
            stdout(&output),
            stderr(&output)
        );
        said += &stdout(&output);
    }
    said
}

/// The diagnosis of a scenario, then its mitigation.
fn mitigate(scenario: &str, places: &[(&str, &Path)]) {
    diagnose(scenario, places);
    followed(scenario, "Mitigation", places);
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
        let places = [("RUN", &*out), ("FILE", &*newest)];
        diagnose("does-not-open", &places);
        followed("does-not-open", "It is in a run's directory", &places);
        assert!(checkpoints(&out) == expected, "cut to {cut}");
    }
}

/// The name of each tensor in a directory that was salvaged into.
fn saved_tensors(parts: &Path) -> Vec<String> {
    let report = std::fs::read(parts.join("report.json")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    assert_eq!(super::schemas::complaints(&report), Vec::<String>::new());
    let names = report["tensors_saved"].as_array().unwrap().iter();
    names.map(|name| name.as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_file_elsewhere_that_does_not_open() {
    let dir = tempfile::tempdir().unwrap();
    let (out, expected) = run(dir.path(), "1");
    let file = dir.path().join("model.fold");
    let mut bytes = expected["step-00000001.fold"].clone();
    // Both copies of the metadata, at either end.
    let len = bytes.len();
    bytes[..4096].fill(0);
    bytes[len - 4096..].fill(0);
    std::fs::write(&file, bytes).unwrap();
    let parts = dir.path().join("parts");
    let places = [("RUN", &*out), ("FILE", &*file), ("PARTS", &*parts)];
    diagnose("does-not-open", &places);
    followed("does-not-open", "It is elsewhere", &places);
    let saved = saved_tensors(&parts);
    assert!(saved.iter().any(|name| name == "layer0.filaments"), "{saved:?}");
    let original = Checkpoint::open(out.join("step-00000001.fold")).unwrap();
    let filaments = std::fs::read(parts.join("layer0.filaments.npy")).unwrap();
    let filaments = fold_format::interchange::npy::read(&filaments);
    assert!(filaments.unwrap().bytes == original.tensor("layer0.filaments").unwrap().as_bytes());
}

#[test]
fn damage_that_verification_finds() {
    let dir = tempfile::tempdir().unwrap();
    let (out, expected) = run(dir.path(), DEFAULT_EPOCHS);
    let newest = out.join("step-00000008.fold");
    damage(&newest);
    assert_eq!(code(&fold(&["scrub", "--quiet"]).arg(&out).output().unwrap()), 1);
    let places = [("RUN", &*out), ("FILE", &*newest)];
    assert!(diagnose("damage-found", &places).contains("FOLD-E0301"));
    followed("damage-found", "It is in a run's directory", &places);
    assert!(checkpoints(&out) == expected);
}

#[test]
fn damage_elsewhere_that_parity_mends() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    assert_eq!(code(&train(&out, "1").args(["--parity", "high"]).output().unwrap()), 0);
    let file = dir.path().join("model.fold");
    std::fs::copy(out.join("step-00000001.fold"), &file).unwrap();
    damage(&file);
    let whole = dir.path().join("whole.fold");
    let places = [("RUN", dir.path()), ("FILE", &*file), ("WHOLE", &*whole)];
    assert!(diagnose("damage-found", &places).contains("corrected"));
    followed(
        "damage-found",
        "It is elsewhere, and its verdict is `corrected`",
        &places,
    );
    assert!(std::fs::read(&file).unwrap() == checkpoints(&out)["step-00000001.fold"]);
    healthy(&file);
    assert!(dir.path().join("model.fold.damaged").exists(), "the evidence is kept");
}

#[test]
fn damage_elsewhere_that_nothing_mends() {
    let dir = tempfile::tempdir().unwrap();
    let (out, _) = run(dir.path(), "1");
    let file = dir.path().join("model.fold");
    std::fs::copy(out.join("step-00000001.fold"), &file).unwrap();
    damage(&file);
    let parts = dir.path().join("parts");
    let places = [("RUN", dir.path()), ("FILE", &*file), ("PARTS", &*parts)];
    assert!(diagnose("damage-found", &places).contains("damaged"));
    followed("damage-found", "It is elsewhere, and its verdict is `damaged`", &places);
    let report = std::fs::read_to_string(parts.join("report.json")).unwrap();
    assert!(
        !saved_tensors(&parts).is_empty() && report.contains("FOLD-E0301"),
        "{report}"
    );
}

#[test]
fn damage_of_many_files_of_a_store() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    assert_eq!(code(&train(&out, "2").args(["--parity", "low"]).output().unwrap()), 0);
    let expected = checkpoints(&out);
    for name in expected.keys() {
        damage(&out.join(name));
    }
    let other = dir.path().join("other");
    let places = [("RUN", &*out), ("OTHER", &*other)];
    diagnose("damage-found", &places);
    let said = followed("damage-found", "Many files of a store", &places);
    assert_eq!(said.matches(": repaired").count(), expected.len(), "{said}");
    assert!(checkpoints(&other) == expected);
    healthy(&other);
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let (out, expected) = run(dir.path(), "3");
    // A limit on the size of files stands for the full disk: it needs no rights. Figures and states are smaller.
    let limited = follow(
        "ulimit -f 64; fold train --out RUN --neurons 24 --resume --epochs 8 --progress never",
        &[("RUN", &out)],
    );
    let said = stderr(&limited);
    assert!(said.contains("FOLD-E0404"), "{:?}: {said}", limited.status);
    assert_eq!(limited.status.code(), Some(74));
    assert!(checkpoints(&out) == expected, "a failed save changed a file");
    mitigate("disk-full", &[("RUN", &out)]);
    assert_eq!(checkpoints(&out).len(), 2, "as many as the page says to keep");
    healthy(&out);
}

/// Runs one more epoch with flushes that fail from the `first`th on. None where strace cannot be used.
#[cfg(target_os = "linux")]
fn train_with_failing_flush(out: &Path, first: u32) -> Option<std::process::Output> {
    let inject = format!("inject=fsync:error=EIO:when={first}+");
    let mut command = Command::new("strace");
    command.args(["-f", "-o", "/dev/null", "-e", "trace=fsync", "-e", &inject]);
    let tried = command.arg("true").output();
    if !tried.is_ok_and(|output| output.status.success()) {
        // Not through the harness, which would hide it.
        let _ = writeln!(std::io::stderr(), "skipped: strace is not installed or may not be used");
        return None;
    }
    let mut command = Command::new("strace");
    command.args(["-f", "-o", "/dev/null", "-e", "trace=fsync", "-e", &inject]);
    command.arg(env!("CARGO_BIN_EXE_fold"));
    command.args(["train", "--data", "digits", "--neurons", "24", "--progress", "never"]);
    let output = command.args(["--resume", "--epochs", DEFAULT_EPOCHS, "--out"]).arg(out);
    Some(output.env_remove("RUST_LOG").output().unwrap())
}

#[cfg(target_os = "linux")]
#[test]
fn a_flush_that_fails() {
    let dir = tempfile::tempdir().unwrap();
    let (reference, expected) = run(&dir.path().join("reference"), DEFAULT_EPOCHS);
    healthy(&reference);
    // The file's own flush, then that of its name in the directory.
    for first in [1, 2] {
        let place = dir.path().join(format!("from-{first}"));
        let (out, before) = run(&place, "7");
        if let Some(failed) = train_with_failing_flush(&out, first) {
            let said = stderr(&failed);
            assert_eq!(failed.status.code(), Some(74), "{said}");
            assert!(said.contains("FOLD-E0403"), "{said}");
            let after = checkpoints(&out);
            assert!(before.iter().all(|(name, bytes)| after[name] == *bytes));
        }
        let other = place.join("other");
        mitigate("fsync-failed", &[("RUN", &out), ("OTHER", &other)]);
        assert!(checkpoints(&other) == expected);
    }
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

#[test]
fn a_number_that_is_not_finite() {
    let dir = tempfile::tempdir().unwrap();
    let (out, expected) = run(dir.path(), DEFAULT_EPOCHS);
    let newest = out.join("step-00000008.fold");
    // One threshold that is not a number: whole in every byte, and no state of a layer.
    rewritten(&newest, |name, bytes| {
        if name == "layer0.theta" {
            bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
        }
    });
    healthy(&out);
    let resumed = train(&out, DEFAULT_EPOCHS).arg("--resume").output().unwrap();
    let said = String::from_utf8(resumed.stderr).unwrap();
    assert_eq!(resumed.status.code(), Some(20), "{said}");
    assert!(said.contains("FOLD-E0505"), "{said}");
    mitigate("invariant-violated", &[("RUN", &out), ("FILE", &newest)]);
    assert!(checkpoints(&out) == expected);
}

/// A figure of the last epoch of a run, as its events tell it.
fn last(out: &Path, figure: &str) -> f64 {
    let events = std::fs::read_to_string(out.join("events.jsonl")).unwrap();
    let events = events
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    events.filter_map(|event| event[figure].as_f64()).next_back().unwrap()
}

#[test]
fn neurons_that_are_dead_or_saturated() {
    let dir = tempfile::tempdir().unwrap();
    let other = dir.path().join("other");
    for (name, figure, settings, threshold) in [
        // One winner of very many, and thresholds that never move: most neurons never win.
        (
            "dead",
            "dead",
            r#"{"neurons": 400, "winners": 1, "homeostasis_rate": 0.000001}"#,
            0.5,
        ),
        // Everyone wins.
        ("saturated", "saturated", r#"{"neurons": 40, "winners": 40}"#, 0.1),
    ] {
        let (out, config) = (dir.path().join(name), dir.path().join("config.json"));
        std::fs::write(&config, settings).unwrap();
        let mut command = fold(&["train", "--data", "digits", "--epochs", "2", "--quiet", "--config"]);
        assert_eq!(code(&command.arg(&config).arg("--out").arg(&out).output().unwrap()), 0);
        let places = [("RUN", &*out), ("OTHER", &*other)];
        diagnose("neurons-saturated-or-dead", &places);
        // The way out is the same run for both, and takes a while.
        if !other.exists() {
            followed("neurons-saturated-or-dead", "Mitigation", &places);
        }
        let (before, after) = (last(&out, figure), last(&other, figure));
        assert!(
            before > threshold && after < threshold / 2.0,
            "{before} {name} before, {after} after"
        );
    }
}

/// A file of the test data of version 1.
fn pyfolds(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fold-format/testdata/v1");
    std::fs::read(folder.join(name)).unwrap()
}

/// How many tensors a file holds.
fn tensors_in(file: &Path) -> usize {
    let report = json(&fold(&["inspect", "--json"]).arg(file).output().unwrap());
    report["files"][0]["tensors"].as_array().unwrap().len()
}

#[test]
fn a_file_of_pyfolds_that_is_refused() {
    let neuron = pyfolds("container/h22_neuron_zstd_med.fold");
    let mut corrected = neuron.clone();
    corrected[500] ^= 1;
    let mut lost = neuron.clone();
    lost[6000..6400].fill(0xA5);
    let encrypted = pyfolds("container/bh22_enc.fold");
    let hostile = pyfolds("corrupted/x01_global_call.fold");
    for (heading, bytes, refused, tensors) in [
        ("It is whole", &neuron, None, Some(122)),
        ("It can be corrected", &corrected, Some((20, "FOLD-E0802")), Some(122)),
        ("It is damaged", &lost, Some((20, "FOLD-E0802")), None),
        ("It is encrypted", &encrypted, Some((2, "FOLD-E0311")), Some(0)),
        ("It asks for code", &hostile, Some((21, "FOLD-E0804")), None),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("neuron.fold"), bytes).unwrap();
        // The key of the test data's encrypted files.
        let key = "8074af41d2c1943b21be4f0858a82c7b80bafd0b607c1354e997bc88d402a98d";
        std::fs::write(at("key"), key).unwrap();
        let file = at("neuron.fold");
        let evaluated = fold(&["eval", "--data", "digits"]).arg(&file).output().unwrap();
        assert_eq!(code(&evaluated), 10, "{heading}");
        assert!(stderr(&evaluated).contains("written by PyFolds"), "{heading}");
        if let Some((exit, name)) = refused {
            let converted = fold(&["convert", "--json"])
                .arg(&file)
                .arg(at("x.fold"))
                .output()
                .unwrap();
            assert_eq!(
                (code(&converted), &json(&converted)["code"]),
                (exit, &name.into()),
                "{heading}"
            );
            assert!(!at("x.fold").exists(), "{heading}");
        }
        let (new, whole, parts, key) = (at("new.fold"), at("whole.fold"), at("parts"), at("key"));
        let places = [
            ("FILE", &*file),
            ("NEW", &*new),
            ("WHOLE", &*whole),
            ("PARTS", &*parts),
            ("KEY", &*key),
        ];
        diagnose("pyfolds-refused", &places);
        let said = followed("pyfolds-refused", heading, &places);
        if let Some(tensors) = tensors {
            assert!(said.ends_with("equal\n"), "{heading}: {said}");
            assert_eq!(tensors_in(&new), tensors, "{heading}");
            healthy(&new);
        } else {
            assert!(parts.join("report.json").exists(), "{heading}");
        }
        assert!(
            std::fs::read(&file).unwrap() == *bytes,
            "{heading}: the source was changed"
        );
        if heading == "It can be corrected" {
            assert!(
                std::fs::read(&whole).unwrap() == neuron,
                "the repaired file is what was written"
            );
        }
        if heading == "It is damaged" {
            let saved = saved_tensors(&parts);
            assert!(!saved.is_empty() && saved.len() < 122, "{saved:?}");
        }
    }
}

/// Writes a checkpoint anew, with right digests, after `change` had its way with each tensor.
fn rewritten(path: &Path, change: impl Fn(&str, &mut Vec<u8>)) {
    let checkpoint = Checkpoint::open(path).unwrap();
    let metadata = checkpoint.metadata().to_owned();
    let training = String::from_utf8(checkpoint.chunk("training").unwrap()).unwrap();
    let mut tensors = Vec::new();
    for info in checkpoint.tensors().unwrap() {
        let mut bytes = checkpoint.tensor(info.name).unwrap().as_bytes().to_vec();
        change(info.name, &mut bytes);
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
    let options = SaveOptions::new(Durability::None).digest_kind(checkpoint.info().digest_kind);
    std::fs::remove_file(path).unwrap();
    fold_format::save(&Disk, path, &content, &options).unwrap();
}

#[test]
fn somebody_who_changed_a_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let (run, key, file, other, new) = (at("run"), at("key"), at("model.fold"), at("other"), at("new.fold"));
    let settings = at("settings.json");
    let places = [
        ("RUN", &*run),
        ("KEY", &*key),
        ("FILE", &*file),
        ("OTHER", &*other),
        ("NEW", &*new),
        ("DATA", Path::new("digits")),
        ("SETTINGS", &*settings),
    ];
    // As the page prevents it: a run is signed when it leaves the store.
    let configured = at("given.json");
    std::fs::write(&configured, r#"{"winners": 3, "neurons": 100}"#).unwrap();
    let trained = fold(&["train", "--data", "digits", "--seed", "7", "--quiet", "--config"])
        .arg(&configured)
        .arg("--out")
        .arg(&run)
        .output();
    assert_eq!(code(&trained.unwrap()), 0);
    followed("tampering", "Prevention", &places);

    // Somebody changes one filament, computes every digest again, and the signature is gone.
    rewritten(&file, |name, bytes| {
        if name == "layer0.filaments" {
            bytes[7] ^= 1;
        }
    });
    healthy(&file);
    let said = diagnose("tampering", &places);
    assert!(said.contains("FOLD-E0306"), "{said}");
    followed("tampering", "Mitigation", &places);
    let said = followed("tampering", "The file is not what the run computes", &places);
    assert!(said.contains("`layer0.filaments`: values"), "{said}");
    let genuine = fold(&["verify", "--quiet", "--public-key"])
        .arg(at("key.pub.pem"))
        .arg(&new)
        .output();
    assert_eq!(code(&genuine.unwrap()), 0);
    assert!(checkpoints(&other)["step-00000008.fold"] == checkpoints(&run)["step-00000008.fold"]);

    // And where only the signature was taken off.
    std::fs::copy(run.join("sealed.fold"), &file).unwrap();
    assert!(diagnose("tampering", &places).contains("FOLD-E0306"));
    followed("tampering", "The file is what the run computes", &places);
}

/// A page that is not rehearsed here is a page that nobody has followed.
#[test]
fn every_branch_of_every_scenario_is_rehearsed() {
    let this = include_str!("rehearsals.rs");
    let mut branches = 0;
    for entry in std::fs::read_dir(runbook().join("scenarios")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let scenario = name.strip_suffix(".md").unwrap();
        let text = page(scenario);
        assert!(
            this.contains(&format!("(\"{scenario}\"")),
            "{scenario} is not rehearsed"
        );
        for branch in text.lines().filter_map(|line| line.strip_prefix("### ")) {
            assert!(
                this.contains(&format!("\"{branch}\"")),
                "{scenario}, {branch}: not rehearsed"
            );
            branches += 1;
        }
    }
    assert!(branches > 10, "{branches} branches");
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
