//! Standard output that is full or closed, help, and the codes.

use super::{code, fold, json, stderr, stdout};

#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_output_is_an_exit_code_and_no_panic() {
    for arguments in [
        &["explain", "--list"][..],
        &["explain", "--list", "--json"],
        &["--help"],
        &["verify", "absent"],
        &["doctor"],
        &["scrub", "absent"],
        &["prune", "absent", "--keep-last", "1", "--json"],
        &["completions", "bash"],
        &["man"],
        &["exporter", ".", "--listen", "127.0.0.1:0"],
    ] {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let output = fold(arguments).stdout(full).output().unwrap();
        assert_eq!(code(&output), 74, "{arguments:?}: {}", stderr(&output));
        assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
    }
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
    ] {
        assert_eq!(code(&fold(arguments).output().unwrap()), 2, "{arguments:?}");
    }
}
