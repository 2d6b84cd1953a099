//! Simulations from the command line: the report, the trace, and how a case is refused.

use std::path::{Path, PathBuf};

use crate::{code, fold, json, stderr, stdout};

fn cases() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/numerics/cases")
}

fn simulate(case: &str, output: &Path, more: &[&str]) -> std::process::Output {
    let mut command = fold(&["simulate"]);
    command.arg("--config").arg(cases().join(format!("{case}.json")));
    command.arg("--input").arg(cases().join(format!("{case}.npz")));
    command.arg("--output").arg(output).args(more).output().unwrap()
}

#[test]
fn a_simulation_reports_what_it_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("trace.npz");
    let done = simulate("e1", &path, &["--json", "--snapshot-every", "100"]);
    let report = json(&done);
    assert_eq!(code(&done), 0, "{}", stderr(&done));
    assert_eq!(report["schema"], "fold.simulate/1");
    assert_eq!(
        report["semantics"], "pyfolds-1.0.2",
        "the case format's own unless another is asked for"
    );
    assert_eq!(
        [&report["steps"], &report["spikes"], &report["snapshots"]],
        [500, 500, 5]
    );
    assert!(std::fs::read(&path).unwrap().starts_with(b"PK"));

    let again = simulate("e1", &path, &["--json"]);
    assert_eq!((code(&again), &json(&again)["code"]), (21, &"FOLD-E0003".into()));

    let sound = simulate("e1", &dir.path().join("sound.npz"), &["--semantics", "sound"]);
    assert_eq!(code(&sound), 0);
    assert!(stdout(&sound).starts_with("500 steps of 1 samples under sound: 0 spikes, 50 snapshots"));
}

#[test]
fn what_cannot_be_simulated_is_refused_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("trace.npz");
    let refused = simulate("g3", &path, &["--semantics", "sound", "--json"]);
    assert_eq!((code(&refused), &json(&refused)["code"]), (2, &"FOLD-E0008".into()));
    assert_eq!(code(&simulate("g3", &path, &["--semantics", "exact"])), 2);
    assert_eq!(code(&simulate("g3", &path, &["--snapshot-every", "0"])), 2);
    assert_eq!(code(&simulate("absent", &path, &[])), 10);
    let bad = dir.path().join("bad.json");
    let text = std::fs::read_to_string(cases().join("a1.json")).unwrap();
    std::fs::write(&bad, text.replace("theta_init", "theta_innit")).unwrap();
    let mut command = fold(&["simulate", "--config"]);
    command
        .arg(&bad)
        .arg("--input")
        .arg(cases().join("a1.npz"))
        .arg("--output")
        .arg(&path);
    let refused = command.output().unwrap();
    assert_eq!(code(&refused), 2);
    assert!(stderr(&refused).contains("FOLD-E0002 misuse: case: there is no parameter `theta_innit`"));
    let left = std::fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(left, 1);
}
