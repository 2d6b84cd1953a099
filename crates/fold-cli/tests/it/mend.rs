//! Repair, salvage, keys and signatures, as their users call them: a file is damaged, the printed command is followed.

#[cfg(unix)]
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Output;

use fold_format::parity::Level;
use fold_format::{Checkpoint, Content, Disk, Durability, SaveOptions, TensorSource, save};
use serde_json::Value;

#[cfg(unix)]
use super::train;
use super::{code, fold, json, names_in, stderr, stdout};

/// Bytes of a block of the files of these tests.
const BLOCK: usize = 1 << 12;

/// A file of two tensors of 32 blocks each and a text; names as a hostile writer may choose them.
fn saved(path: &Path, options: &SaveOptions, names: [&str; 3]) {
    let values: Vec<f32> = (0..32 * BLOCK / 4).map(|i| i as f32 * 0.5).collect();
    let tensors = [
        TensorSource::of(names[0], &[32, 1024], &values).unwrap(),
        TensorSource::of(names[1], &[32 * 1024], &values).unwrap(),
    ];
    let content = Content::new()
        .metadata(r#"{"epoch":3}"#)
        .tensors("state", tensors)
        .json(names[2], "[1,2,3]");
    save(&Disk, path, &content, options).unwrap();
}

const NAMES: [&str; 3] = ["layer0.theta", "layer0.filaments", "history"];

fn options() -> SaveOptions {
    SaveOptions::new(Durability::None).block_log2(12)
}

fn model(dir: &Path, parity: Option<Level>) -> PathBuf {
    let path = dir.join("net.fold");
    saved(&path, &options().parity(parity), NAMES);
    path
}

/// Changes a bit in each of `count` blocks in the middle of a tensor.
fn damage_blocks(path: &Path, tensor: &str, count: usize) {
    let checkpoint = Checkpoint::open(path).unwrap();
    let start = usize::try_from(checkpoint.tensor_info(tensor).unwrap().offset).unwrap();
    let mut bytes = std::fs::read(path).unwrap();
    for block in 1..=count {
        bytes[start + block * BLOCK] ^= 0x20;
    }
    std::fs::write(path, bytes).unwrap();
}

/// Runs a printed command in `dir`, by a shell, with this `fold`.
#[cfg(unix)]
fn follow(command: &str, dir: &Path) -> Output {
    super::shell(command).current_dir(dir).output().unwrap()
}

fn in_dir(dir: &Path, arguments: &[&str]) -> Output {
    fold(arguments).current_dir(dir).output().unwrap()
}

/// The commands that the findings of a verification name.
#[cfg(unix)]
fn next_commands(report: &Value) -> BTreeSet<String> {
    let findings = report["files"][0]["findings"].as_array().unwrap();
    let commands = findings.iter().map(|finding| finding["next_command"].as_str().unwrap());
    commands.map(str::to_owned).collect()
}

#[cfg(unix)]
#[test]
fn damage_within_parity_is_repaired_by_the_printed_command_to_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let path = model(dir.path(), Some(Level::High));
    let whole = std::fs::read(&path).unwrap();
    damage_blocks(&path, NAMES[0], 3);
    let mut damaged = std::fs::read(&path).unwrap();
    // The first superblock too: its mirror and the parity mend it together.
    damaged[100] ^= 1;
    std::fs::write(&path, &damaged).unwrap();

    let verified = in_dir(dir.path(), &["verify", "net.fold", "--json"]);
    assert_eq!(code(&verified), 1);
    let report = json(&verified);
    assert_eq!(report["files"][0]["verdict"], "corrected");
    let commands = next_commands(&report);
    assert_eq!(
        commands,
        ["fold repair net.fold -o net.repaired.fold".to_owned()].into()
    );

    let planned = in_dir(
        dir.path(),
        &["repair", "net.fold", "-o", "net.repaired.fold", "-n", "--json"],
    );
    assert_eq!(code(&planned), 0, "{}", stderr(&planned));
    let plan = json(&planned);
    assert_eq!(
        (
            &plan["verdict"],
            &plan["blocks_repaired"],
            &plan["applied"],
            &plan["bytes_written"]
        ),
        (&"corrected".into(), &3.into(), &false.into(), &0.into())
    );
    assert_eq!(names_in(dir.path()), ["net.fold".to_owned()].into());
    assert_eq!(plan["next_command"], "fold repair net.fold -o net.repaired.fold");

    let repaired = follow(commands.first().unwrap(), dir.path());
    assert_eq!(code(&repaired), 0, "{}", stderr(&repaired));
    assert!(
        stdout(&repaired).contains("restored: 3 blocks"),
        "{}",
        stdout(&repaired)
    );
    let output = dir.path().join("net.repaired.fold");
    assert!(std::fs::read(&output).unwrap() == whole);
    assert!(std::fs::read(&path).unwrap() == damaged, "the source was changed");
    assert_eq!(code(&in_dir(dir.path(), &["verify", "net.repaired.fold"])), 0);

    let again = in_dir(dir.path(), &["repair", "net.fold", "-o", "net.repaired.fold", "--json"]);
    assert_eq!((code(&again), &json(&again)["code"]), (21, &"FOLD-E0003".into()));
    let again = in_dir(dir.path(), &["repair", "net.fold", "-o", "net.repaired.fold", "-n"]);
    assert_eq!(code(&again), 21);
    assert!(std::fs::read(&output).unwrap() == whole, "the target was changed");
}

#[test]
fn a_whole_file_is_copied() {
    let dir = tempfile::tempdir().unwrap();
    let path = model(dir.path(), None);
    let output = in_dir(dir.path(), &["repair", "net.fold", "-o", "copy.fold", "--json"]);
    let report = json(&output);
    assert_eq!(
        (code(&output), &report["verdict"], &report["code"]),
        (0, &"ok".into(), &Value::Null)
    );
    assert!(std::fs::read(dir.path().join("copy.fold")).unwrap() == std::fs::read(&path).unwrap());
}

#[cfg(unix)]
#[test]
fn damage_beyond_parity_is_refused_with_numbers_and_salvage_saves_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let path = model(dir.path(), Some(Level::Blocks(2)));
    damage_blocks(&path, NAMES[0], 5);
    let refused = in_dir(dir.path(), &["repair", "net.fold", "-o", "new.fold", "--json"]);
    let report = json(&refused);
    assert_eq!((code(&refused), &report["exit_code"]), (20, &20.into()));
    assert_eq!(
        (
            &report["verdict"],
            &report["code"],
            &report["blocks_missing"],
            &report["output"]
        ),
        (&"damaged".into(), &"FOLD-E0303".into(), &3.into(), &Value::Null)
    );
    let shortage = &report["shortages"][0];
    assert_eq!(
        (&shortage["group"], &shortage["lost"], &shortage["restorable"]),
        (&0.into(), &5.into(), &2.into())
    );
    assert_eq!(names_in(dir.path()), ["net.fold".to_owned()].into());
    let text = stdout(&in_dir(dir.path(), &["repair", "net.fold", "-o", "new.fold"]));
    for part in [
        "not repaired: FOLD-E0303",
        "3 whole blocks",
        "group 0: 5 blocks lost, 2 can be restored",
        "next: fold salvage net.fold -o net-salvaged",
    ] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }

    let verified = json(&in_dir(dir.path(), &["verify", "net.fold", "--json"]));
    assert_eq!(
        next_commands(&verified),
        ["fold salvage net.fold -o net-salvaged".to_owned()].into()
    );
    let planned = in_dir(
        dir.path(),
        &["salvage", "net.fold", "-o", "net-salvaged", "-n", "--json"],
    );
    assert_eq!((code(&planned), &json(&planned)["applied"]), (3, &false.into()));
    assert_eq!(names_in(dir.path()), ["net.fold".to_owned()].into());

    let salvaged = follow(report["next_command"].as_str().unwrap(), dir.path());
    assert_eq!(code(&salvaged), 3, "{}", stderr(&salvaged));
    let text = stdout(&salvaged);
    assert!(text.contains("lost tensor `layer0.theta`"), "{text}");
    let out = dir.path().join("net-salvaged");
    let expected = ["history.json", "layer0.filaments.npy", "metadata.json", "report.json"];
    assert_eq!(names_in(&out), expected.map(str::to_owned).into());
    let written: Value = serde_json::from_slice(&std::fs::read(out.join("report.json")).unwrap()).unwrap();
    assert_eq!(super::schemas::complaints(&written), Vec::<String>::new());
    assert_eq!(written["tensors_saved"], serde_json::json!(["layer0.filaments"]));
    assert_eq!(written["tensors_lost"][0]["name"], "layer0.theta");
    assert_eq!(written["tensors_lost"][0]["findings"][0]["code"], "FOLD-E0301");
    // What was saved is what was written.
    let bytes = std::fs::read(out.join("layer0.filaments.npy")).unwrap();
    let array = fold_format::interchange::npy::read(&bytes).unwrap();
    let values: Vec<u8> = (0..32 * BLOCK / 4)
        .flat_map(|i| (i as f32 * 0.5).to_le_bytes())
        .collect();
    assert!(array.bytes == values);
    assert_eq!(std::fs::read(out.join("history.json")).unwrap(), b"[1,2,3]");
    assert_eq!(std::fs::read(out.join("metadata.json")).unwrap(), br#"{"epoch":3}"#);

    let again = in_dir(dir.path(), &["salvage", "net.fold", "-o", "net-salvaged", "--json"]);
    assert_eq!((code(&again), &json(&again)["code"]), (21, &"FOLD-E0003".into()));
}

#[test]
fn without_parity_there_is_nothing_to_repair_from() {
    let dir = tempfile::tempdir().unwrap();
    let path = model(dir.path(), None);
    damage_blocks(&path, NAMES[1], 1);
    let refused = in_dir(dir.path(), &["repair", "net.fold", "-o", "new.fold", "--json"]);
    let report = json(&refused);
    assert_eq!((code(&refused), &report["code"]), (20, &"FOLD-E0601".into()));
    assert_eq!(
        (&report["blocks_missing"], &report["parity_available"]),
        (&1.into(), &0.into())
    );
}

#[test]
fn metadata_lost_in_both_copies_are_refused_by_repair_and_carved_by_salvage() {
    let dir = tempfile::tempdir().unwrap();
    let path = model(dir.path(), None);
    let mut bytes = std::fs::read(&path).unwrap();
    let len = bytes.len();
    bytes[..4096].fill(0x55);
    bytes[len - 4096..].fill(0x55);
    std::fs::write(&path, &bytes).unwrap();
    let salvaged = in_dir(dir.path(), &["salvage", "net.fold", "-o", "out", "--json"]);
    let report = json(&salvaged);
    assert_eq!((code(&salvaged), &report["carved"]), (3, &true.into()));
    assert_eq!(report["tensors_saved"].as_array().unwrap().len(), 2);

    // And where every chunk is gone as well, nothing is made up, and no directory is left.
    for block in bytes.chunks_mut(512) {
        block[0] ^= 0xff;
        block[64] ^= 0xff;
    }
    std::fs::write(&path, &bytes).unwrap();
    let fruitless = in_dir(dir.path(), &["salvage", "net.fold", "-o", "none", "--json"]);
    assert_eq!(code(&fruitless), 10, "{}", stdout(&fruitless));
    assert!(!dir.path().join("none").exists());
}

#[test]
fn where_everything_is_damaged_salvage_says_so_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = model(dir.path(), None);
    for tensor in &NAMES[..2] {
        damage_blocks(&path, tensor, 1);
    }
    let history = Checkpoint::open(&path).unwrap().chunk_info(NAMES[2]).unwrap().offset;
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[usize::try_from(history).unwrap()] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let output = in_dir(dir.path(), &["salvage", "net.fold", "-o", "out", "--json"]);
    let report = json(&output);
    assert_eq!((code(&output), &report["output"]), (20, &Value::Null), "{report}");
    assert_eq!(report["tensors_lost"].as_array().unwrap().len(), 2);
    assert_eq!(report["chunks_lost"].as_array().unwrap().len(), 1);
    assert_eq!(report["files"].as_array().unwrap().len(), 0);
    assert!(!dir.path().join("out").exists());
}

#[test]
fn hostile_names_stay_in_the_directory() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("net.fold");
    saved(&path, &options(), ["../../escape", "..\\..\\escape", "/report"]);
    let output = in_dir(dir.path(), &["salvage", "net.fold", "-o", "out", "--json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(names_in(dir.path()), ["net.fold", "out"].map(str::to_owned).into());
    let files = names_in(&dir.path().join("out"));
    let expected = [
        "_.._.._escape.npy",
        "_.._.._escape-2.npy",
        "_report.json",
        "metadata.json",
        "report.json",
    ];
    assert_eq!(files, expected.map(str::to_owned).into());
}

#[test]
fn a_full_directory_or_a_file_is_no_place_to_salvage_to() {
    let dir = tempfile::tempdir().unwrap();
    model(dir.path(), None);
    for target in [".", "net.fold"] {
        let output = in_dir(dir.path(), &["salvage", "net.fold", "-o", target, "--json"]);
        assert_eq!(
            (code(&output), &json(&output)["code"]),
            (21, &"FOLD-E0003".into()),
            "{target}"
        );
    }
    std::fs::create_dir(dir.path().join("empty")).unwrap();
    assert_eq!(code(&in_dir(dir.path(), &["salvage", "net.fold", "-o", "empty"])), 0);
}

#[test]
fn what_is_absent_or_something_else_is_neither_repaired_nor_salvaged() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("text.fold"), "not a checkpoint").unwrap();
    for command in ["repair", "salvage"] {
        for (file, expected) in [("absent.fold", "FOLD-E0103"), ("text.fold", "FOLD-E0101")] {
            let output = in_dir(dir.path(), &[command, file, "-o", "new", "--json"]);
            assert_eq!(
                (code(&output), &json(&output)["code"]),
                (10, &expected.into()),
                "{command} {file}"
            );
        }
    }
    assert_eq!(names_in(dir.path()), ["text.fold".to_owned()].into());
}

#[test]
fn keys_are_made_once_and_sign_sealed_files_alone() {
    let dir = tempfile::tempdir().unwrap();
    let in_here = |arguments: &[&str]| in_dir(dir.path(), arguments);
    let made = in_here(&["keygen", "-o", "lab.pem", "--json"]);
    let keys = json(&made);
    assert_eq!(code(&made), 0);
    assert_eq!(
        (&keys["private_key"], &keys["public_key"]),
        (&"lab.pem".into(), &"lab.pub.pem".into())
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(dir.path().join("lab.pem"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    let private = std::fs::read(dir.path().join("lab.pem")).unwrap();
    assert!(!stdout(&made).contains("PRIVATE"));
    assert_eq!(code(&in_here(&["keygen", "-o", "lab.pem"])), 21);
    std::fs::write(dir.path().join("other.pub.pem"), "taken").unwrap();
    assert_eq!(code(&in_here(&["keygen", "-o", "other.pem"])), 21);
    assert!(
        !dir.path().join("other.pem").exists(),
        "a private key without its public one"
    );
    assert_eq!(std::fs::read(dir.path().join("lab.pem")).unwrap(), private);

    model(dir.path(), None);
    let refused = in_here(&["sign", "net.fold", "--key", "lab.pem", "-o", "signed.fold", "--json"]);
    assert_eq!((code(&refused), &json(&refused)["code"]), (21, &"FOLD-E0009".into()));
    assert!(
        stderr(&refused).contains("fold convert net.fold net.sealed.fold --digest blake3"),
        "{}",
        stderr(&refused)
    );
    assert!(!dir.path().join("signed.fold").exists());

    let sealed = options().digest_kind(fold_format::DigestKind::Blake3);
    saved(&dir.path().join("sealed.fold"), &sealed, NAMES);
    let signed = in_here(&["sign", "sealed.fold", "--key", "lab.pem", "-o", "signed.fold", "--json"]);
    assert_eq!(code(&signed), 0, "{}", stderr(&signed));
    let report = json(&signed);
    assert_eq!(report["public_key_hex"], keys["public_key_hex"]);
    let inspected = json(&in_here(&["inspect", "signed.fold", "--json"]));
    let file = &inspected["files"][0];
    assert_eq!(
        (
            &file["signed"],
            &file["signed_by"],
            &file["digest"],
            &file["root_digest"]
        ),
        (
            &true.into(),
            &keys["public_key_hex"],
            &"blake3".into(),
            &report["root_digest"]
        )
    );
    assert_eq!(
        code(&in_here(&["verify", "signed.fold", "--public-key", "lab.pub.pem"])),
        0
    );
    assert_eq!(code(&in_here(&["verify", "signed.fold"])), 0);
    assert_eq!(code(&in_here(&["keygen", "-o", "stranger"])), 0);
    for (file, key, exit) in [
        ("signed.fold", "stranger.pub.pem", 1),
        ("sealed.fold", "lab.pub.pem", 1),
        ("net.fold", "lab.pub.pem", 1),
        ("signed.fold", "lab.pem", 2),
        ("signed.fold", "net.fold", 2),
        ("signed.fold", "absent.pem", 10),
    ] {
        let output = in_here(&["verify", file, "--public-key", key, "--json"]);
        assert_eq!(code(&output), exit, "{file} {key}: {}", stdout(&output));
        let report = json(&output);
        if exit == 1 {
            let finding = &report["files"][0]["findings"][0];
            assert_eq!(
                (&finding["code"], &finding["next_command"]),
                (&"FOLD-E0306".into(), &"fold explain FOLD-E0306".into())
            );
        }
    }
    damage_blocks(&dir.path().join("sealed.fold"), NAMES[0], 1);
    let refused = in_here(&["sign", "sealed.fold", "--key", "lab.pem", "-o", "again.fold", "--json"]);
    assert_eq!((code(&refused), &json(&refused)["code"]), (20, &"FOLD-E0301".into()));
    assert!(!dir.path().join("again.fold").exists());
}

#[cfg(unix)]
#[test]
fn a_run_with_parity_is_repaired_and_goes_on_with_parity() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let plain = dir.path().join("plain");
    assert_eq!(code(&train(&plain, "1").output().unwrap()), 0);
    assert_eq!(code(&train(&out, "1").args(["--parity", "med"]).output().unwrap()), 0);
    let parity = |file: &str| {
        let report = json(&fold(&["inspect", "--json"]).arg(out.join(file)).output().unwrap());
        let file = &report["files"][0];
        (file["parity"].clone(), file["parity_blocks"].as_u64().unwrap())
    };
    assert_eq!(parity("step-00000001.fold"), ("med".into(), 2));
    // Parity changes no result.
    let state = |run: &Path| {
        let file = Checkpoint::open(run.join("step-00000001.fold")).unwrap();
        file.tensor("layer0.filaments").unwrap().as_bytes().to_vec()
    };
    assert_eq!(state(&out), state(&plain));

    assert_eq!(code(&train(&out, "2").arg("--resume").output().unwrap()), 0);
    assert_eq!(parity("step-00000002.fold"), ("med".into(), 2));
    let path = out.join("step-00000002.fold");
    let whole = std::fs::read(&path).unwrap();
    super::operations::damage(&path);
    let report = json(&in_dir(&out, &["verify", "step-00000002.fold", "--json"]));
    assert_eq!(report["files"][0]["verdict"], "corrected");
    let command = next_commands(&report);
    assert_eq!(
        command.first().unwrap(),
        "fold repair step-00000002.fold -o step-00000002.repaired.fold"
    );
    assert_eq!(code(&follow(command.first().unwrap(), &out)), 0);
    std::fs::rename(out.join("step-00000002.repaired.fold"), &path).unwrap();
    assert!(std::fs::read(&path).unwrap() == whole);
    assert_eq!(code(&fold(&["verify"]).arg(&out).output().unwrap()), 0);
}

#[test]
fn an_error_names_its_file_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = model(dir.path(), None);
    assert_eq!(code(&in_dir(dir.path(), &["keygen", "-o", "lab.pem"])), 0);
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(dir.path().join("other"), &whole).unwrap();
    let states: [(&str, &dyn Fn()); 3] = [
        ("damaged", &|| damage_blocks(&path, "layer0.theta", 1)),
        ("cut", &|| std::fs::write(&path, &whole[..5000]).unwrap()),
        ("absent", &|| std::fs::remove_file(&path).unwrap()),
    ];
    for (state, make) in states {
        make();
        for command in [
            &["eval", "net.fold", "--data", "digits"][..],
            &["inspect", "net.fold", "--tensor", "layer0.theta", "--stats"],
            &["convert", "net.fold", "new.npz"],
            &["diff", "other", "net.fold"],
            &["extract", "net.fold", "--tensor", "layer0.theta", "-o", "new.npy"],
            &["repair", "net.fold", "-o", "new.fold"],
            &["salvage", "net.fold", "-o", "new", "--dry-run"],
            &["sign", "net.fold", "--key", "lab.pem", "-o", "new.fold"],
            &[
                "train",
                "--data",
                "digits",
                "--out",
                "run",
                "--resume=net.fold",
                "--progress",
                "never",
            ],
        ] {
            let said = stderr(&in_dir(dir.path(), command));
            let no_run = said.contains("no chunk `training`");
            for line in said.lines().filter(|line| line.starts_with("fold: ")) {
                assert_eq!(
                    line.matches("`net.fold`").count(),
                    usize::from(!no_run),
                    "{state}, {command:?}: {line}"
                );
            }
        }
    }
}
