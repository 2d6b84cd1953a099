//! Standard output that is full or closed, help, and the codes.

#[cfg(target_os = "linux")]
use std::path::Path;

#[cfg(target_os = "linux")]
use super::train;
use super::{code, fold, json, stderr, stdout};

/// Calls of every command, each in a folder that has what it needs; `json` is added where it changes what is printed.
#[cfg(target_os = "linux")]
const CALLS: &[&[&str]] = &[
    &[
        "train",
        "--data",
        "digits",
        "--neurons",
        "24",
        "--epochs",
        "1",
        "--out",
        "new",
    ],
    &["eval", "run/step-00000001.fold", "--data", "digits"],
    &[
        "simulate",
        "--config",
        "case.json",
        "--input",
        "case.npz",
        "--output",
        "trace.npz",
    ],
    &["inspect", "run"],
    &["inspect", "run/step-00000001.fold", "--stats"],
    &["verify", "run"],
    &["verify", "absent"],
    &[
        "convert",
        "run/step-00000001.fold",
        "converted.safetensors",
        "--lossy",
        "allow",
    ],
    &["diff", "run/step-00000000.fold", "run/step-00000001.fold"],
    &[
        "extract",
        "run/step-00000001.fold",
        "--tensor",
        "layer0.theta",
        "-o",
        "theta.npy",
    ],
    &["repair", "run/step-00000001.fold", "-o", "repaired.fold"],
    &["salvage", "run/step-00000001.fold", "-o", "salvaged"],
    &["keygen", "-o", "another.pem"],
    &["sign", "sealed.fold", "--key", "key.pem", "-o", "signed.fold"],
    &["scrub", "run"],
    &["scrub", "absent"],
    &["prune", "run", "--keep-last", "1"],
    &["prune", "absent", "--keep-last", "1", "--json"],
    &["exporter", ".", "--listen", "127.0.0.1:0"],
    &["doctor"],
    &["explain", "--list"],
    &["explain", "E0301"],
    &["completions", "bash"],
    &["man"],
    &["help"],
];

/// A folder with what [`CALLS`] need.
#[cfg(target_os = "linux")]
fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    assert_eq!(code(&train(&out, "1").output().unwrap()), 0);
    let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fold-advanced/testdata/pyfolds-1.0.2");
    for kind in ["json", "npz"] {
        let from = case.join(format!("n17_consolidation_ties.{kind}"));
        std::fs::copy(from, dir.path().join(format!("case.{kind}"))).unwrap();
    }
    for arguments in [
        &["convert", "run/step-00000001.fold", "sealed.fold", "--digest", "blake3"][..],
        &["keygen", "-o", "key.pem"],
    ] {
        assert_eq!(code(&fold(arguments).current_dir(dir.path()).output().unwrap()), 0);
    }
    dir
}

/// Where everything that is written is refused.
#[cfg(target_os = "linux")]
fn full() -> std::fs::File {
    std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_output_is_an_exit_code_and_no_panic() {
    for more in [&[][..], &["--json"]] {
        let dir = folder();
        for arguments in CALLS {
            let mut command = fold(arguments);
            if arguments[0] != "help" && !arguments.contains(&"--json") {
                command.args(more);
            }
            let output = command.current_dir(dir.path()).stdout(full()).output().unwrap();
            assert_eq!(code(&output), 74, "{arguments:?} {more:?}: {}", stderr(&output));
            assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
        }
        // What was done before it could not be told stays done.
        for file in ["new/step-00000001.fold", "repaired.fold", "signed.fold"] {
            assert_eq!(
                code(&fold(&["verify", file]).current_dir(dir.path()).output().unwrap()),
                0
            );
        }
    }
}

/// As the runbook says of a standard output that was closed before the program began.
#[cfg(target_os = "linux")]
#[test]
fn a_standard_output_that_was_closed_before_is_as_a_null_device() {
    let dir = tempfile::tempdir().unwrap();
    for (file, expected) in [("whole.npz", 0), ("absent.npz", 10)] {
        if expected == 0 {
            let case = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fold-advanced/testdata/pyfolds-1.0.2");
            std::fs::copy(case.join("n17_consolidation_ties.npz"), dir.path().join(file)).unwrap();
        }
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", r#"exec "$0" verify "$1" >&-"#, env!("CARGO_BIN_EXE_fold"), file]);
        assert_eq!(code(&shell.current_dir(dir.path()).output().unwrap()), expected);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_calls_of_these_tests_are_of_every_command() {
    let help = stdout(&fold(&["--help"]).output().unwrap());
    let (_, commands) = help.split_once("Commands:\n").unwrap();
    let (commands, _) = commands.split_once("\n\n").unwrap();
    let named = commands.lines().filter(|line| !line.starts_with("   "));
    let named: std::collections::BTreeSet<&str> = named.filter_map(|line| line.split_whitespace().next()).collect();
    let called = CALLS.iter().map(|arguments| arguments[0]).collect();
    assert!(named.len() > 15, "{named:?}");
    assert_eq!(named, called);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_error_changes_no_result() {
    let dir = folder();
    for (arguments, exit) in [
        (&["verify", "run", "-vv"][..], 0),
        (&["verify", "absent"], 10),
        (&["scrub", "run", "--progress", "plain"], 0),
        (&["prune", "run", "--keep-last", "1"], 0),
        (&["eval", "absent", "--data", "digits"], 10),
    ] {
        let output = fold(arguments).current_dir(dir.path()).stderr(full()).output().unwrap();
        assert_eq!(code(&output), exit, "{arguments:?}");
    }
    let told = fold(&[
        "train",
        "--data",
        "digits",
        "--neurons",
        "24",
        "--epochs",
        "1",
        "--out",
        "told",
    ])
    .args(["--progress", "plain"])
    .current_dir(dir.path())
    .stderr(full())
    .output();
    assert_eq!(code(&told.unwrap()), 0);
    assert!(super::checkpoints(&dir.path().join("told")) == super::checkpoints(&dir.path().join("run")));
}

#[cfg(unix)]
#[test]
fn a_closed_standard_output_is_an_exit_code_and_no_panic() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = fold(&["explain", "--list"]).stdout(writer).output().unwrap();
    assert_eq!(code(&output), 74);
    assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
}

#[test]
fn every_listed_code_is_explained() {
    let listed = json(&fold(&["explain", "--list", "--json"]).output().unwrap());
    let codes = listed["codes"].as_array().unwrap();
    assert!(codes.len() > 20);
    for row in codes {
        let name = row["code"].as_str().unwrap();
        let output = fold(&["explain", name]).output().unwrap();
        assert_eq!(code(&output), 0);
        assert!(stdout(&output).contains(row["meaning"].as_str().unwrap()));
    }
    let output = fold(&["explain", "FOLD-E9999"]).output().unwrap();
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("fold explain --list"));
}

#[test]
fn usage_errors_have_exit_code_2() {
    for arguments in [
        &[][..],
        &["verify"],
        &["verify", "x", "--level", "deep"],
        &["repair", "x"],
        &["diff", "x", "y", "--atol=-1"],
        &["diff", "x", "y", "--atol=nan"],
        &["diff", "x", "y", "--rtol=inf"],
        &["diff", "x", "y", "--rtol=1mm"],
    ] {
        let plain = fold(arguments).output().unwrap();
        assert_eq!((code(&plain), stdout(&plain)), (2, String::new()), "{arguments:?}");
        let asked = fold(arguments).arg("--json").output().unwrap();
        assert_eq!(code(&asked), 2, "{arguments:?}");
        let object = json(&asked);
        assert_eq!(
            (&object["exit_code"], &object["code"]),
            (&2.into(), &"FOLD-E0001".into())
        );
        let message = object["message"].as_str().unwrap();
        assert!(
            stderr(&asked).contains(message) && !message.contains("Usage:"),
            "{message}"
        );
    }
    let after = fold(&["verify", "x", "--level", "deep", "--", "--json"])
        .output()
        .unwrap();
    assert_eq!((code(&after), stdout(&after)), (2, String::new()));
    let help = fold(&["verify", "--help", "--json"]).output().unwrap();
    assert_eq!(code(&help), 0);
    assert!(stdout(&help).starts_with("Verify checkpoints"), "{}", stdout(&help));
}
