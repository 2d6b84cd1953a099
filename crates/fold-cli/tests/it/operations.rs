//! Scrub, prune, doctor, exporter, completions and the manual, as their users call them.

#[cfg(unix)]
use std::io::{Read as _, Write as _};
#[cfg(unix)]
use std::net::TcpStream;
use std::path::Path;
use std::process::Child;
#[cfg(unix)]
use std::process::Stdio;

use super::{checkpoints, code, fold, json, stderr, stdout, train};

/// Changes one bit in the middle of a file.
pub(crate) fn damage(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(path, bytes).unwrap();
}

/// Ends a process of this test when the test does.
pub(crate) struct Ending(pub(crate) Child);

impl Drop for Ending {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_scrub_remembers_what_it_has_read_and_writes_metrics() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    assert_eq!(code(&train(&out, "2").output().unwrap()), 0);
    let metrics = dir.path().join("scrub.prom");
    let scrub = |more: &[&str]| {
        let mut command = fold(&["scrub", "--json", "--metrics-file"]);
        command.arg(&metrics).args(more).arg(&out).output().unwrap()
    };
    assert_eq!(code(&scrub(&[])), 0);
    let again = scrub(&["--since", "1h"]);
    assert_eq!((code(&again), &json(&again)["summary"]["fresh"]), (0, &3.into()));
    damage(&out.join("step-00000001.fold"));
    let found = scrub(&["--since", "1h", "--bwlimit", "500"]);
    assert_eq!((code(&found), &json(&found)["summary"]["read"]), (1, &1.into()));
    let named = stderr(&found).matches("step-00000001.fold").count();
    assert_eq!(named, 1, "{}", stderr(&found));
    let text = std::fs::read_to_string(&metrics).unwrap();
    assert!(
        text.contains("kind=\"step-00000001.fold\",code=\"FOLD-E0301\"} 1"),
        "{text}"
    );
    for wrong in [
        &["--bwlimit", "0"][..],
        &["--since", "yesterday"],
        &["--interval", "0s"],
    ] {
        assert_eq!(code(&scrub(wrong)), 2, "{wrong:?}");
    }
}

/// Another scrub has the state for a while.
#[cfg(unix)]
#[test]
fn a_scrub_at_intervals_goes_on_after_a_turn_that_failed() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    assert_eq!(code(&train(&out, "1").output().unwrap()), 0);
    let held = std::fs::File::create(out.join(".fold-scrub.json.lock")).unwrap();
    held.lock().unwrap();
    let mut command = fold(&["scrub", "--json", "--interval", "1s"]);
    let piped = command.arg(&out).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = Ending(piped.spawn().unwrap());
    let mut line = String::new();
    let mut told = std::io::BufReader::new(child.0.stderr.take().unwrap());
    while !line.contains("FOLD-E0105") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut told, &mut line).unwrap() > 0);
    }
    drop(held);
    let mut output = std::io::BufReader::new(child.0.stdout.take().unwrap());
    line.clear();
    std::io::BufRead::read_line(&mut output, &mut line).unwrap();
    let report: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(report["result"], "clean", "{report}");
    super::faults::signal(child.0.id(), "TERM");
    assert_eq!(child.0.wait().unwrap().code(), Some(143));
}

#[test]
fn a_metrics_file_replaces_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    assert_eq!(code(&train(&out, "1").output().unwrap()), 0);
    let newest = out.join("step-00000001.fold");
    let before = checkpoints(&out);
    let again = dir.path().join("again");
    let mut calls = [fold(&["scrub", "--json"]), train(&again, "1")];
    calls[0].arg(&out);
    calls[1].arg("--json");
    for mut call in calls {
        let refused = call.arg("--metrics-file").arg(&newest).output().unwrap();
        assert_eq!(code(&refused), 21, "{}", stderr(&refused));
        assert_eq!(json(&refused)["code"], "FOLD-E0003");
        assert!(stderr(&refused).contains("step-00000001.fold"), "{}", stderr(&refused));
    }
    assert!(checkpoints(&out) == before, "a checkpoint became a metrics file");
    assert!(
        !again.exists() && !out.join(".fold-scrub.json").exists(),
        "work was begun"
    );
}

#[test]
fn a_prune_shows_its_plan_and_keeps_the_last_valid_one_whatever_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    assert_eq!(code(&train(&out, "3").output().unwrap()), 0);
    let before = checkpoints(&out);
    let prune = |more: &[&str]| fold(&["prune"]).arg(&out).args(more).output().unwrap();
    let plan = prune(&["--keep-last", "0"]);
    assert_eq!(code(&plan), 0);
    assert!(stdout(&plan).contains("remove") && stderr(&plan).contains("--apply"));
    assert!(checkpoints(&out) == before, "a plan removed something");
    assert_eq!(code(&prune(&[])), 2, "what to keep must be said");
    damage(&out.join("step-00000003.fold"));
    assert_eq!(code(&prune(&["--keep-last", "0", "--apply"])), 0);
    let left = checkpoints(&out);
    assert_eq!(
        left.keys().collect::<Vec<_>>(),
        ["step-00000002.fold", "step-00000003.fold"]
    );
    damage(&out.join("step-00000002.fold"));
    assert_eq!(code(&prune(&["--keep-last", "0", "--apply"])), 20);
    assert_eq!(checkpoints(&out).len(), 2, "what is damaged is never removed");
}

#[test]
fn a_doctor_tells_a_sound_place_from_one_that_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let output = fold(&["doctor", "--json"]).arg(dir.path()).output().unwrap();
    assert_eq!(code(&output), 0);
    let report = json(&output);
    let checks = report["checks"].as_array().unwrap();
    let status = |name: &str| checks.iter().find(|check| check["check"] == name).unwrap()["status"].clone();
    for name in ["save", "lock", "leftovers", "byte-order", "clock"] {
        assert_eq!(status(name), "ok", "{name}: {report}");
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "the probe is gone");
    let absent = dir.path().join("absent");
    let output = fold(&["doctor"]).arg(&absent).output().unwrap();
    assert_eq!(code(&output), 1);
    assert!(stdout(&output).contains("FOLD-E0406"), "{}", stdout(&output));
    assert!(!absent.exists());
}

/// One request, and whatever is answered until the connection ends.
#[cfg(unix)]
fn get(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream
        .set_read_timeout(Some(std::time::Duration::from_secs(20)))
        .unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

#[cfg(unix)]
#[test]
fn the_exporter_answers_with_the_metrics_of_the_moment_and_ends_on_sigterm() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    assert_eq!(code(&train(&out, "1").output().unwrap()), 0);
    let mut command = fold(&["exporter", "--listen", "127.0.0.1:0", "--json"]);
    let mut child = Ending(command.arg(&out).stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    let mut output = std::io::BufReader::new(child.0.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut output, &mut line).unwrap();
    let started: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(super::schemas::complaints(&started), Vec::<String>::new());
    let address = started["listen"].as_str().unwrap();
    let scrape = || get(address, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let first = scrape();
    assert!(first.starts_with("HTTP/1.1 200"), "{first}");
    assert!(first.contains("Content-Type: text/plain; version=0.0.4"), "{first}");
    assert!(first.contains("result=\"unverified\"} 2"), "{first}");
    assert!(
        first.contains("fold_train_epochs_total") && first.contains("fold_checkpoint_commits_total"),
        "{first}"
    );
    assert_eq!(code(&fold(&["scrub", "--quiet"]).arg(&out).output().unwrap()), 0);
    assert!(
        scrape().contains("result=\"ok\"} 2"),
        "a scrape sees what a scrub has just found"
    );
    assert!(get(address, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").starts_with("HTTP/1.1 404"));
    assert!(!get(address, "rubbish\r\n\r\n").contains(" 200 "));
    // Each of these took the exporter down or kept it from answering for good, as long as the connection was open.
    let hostile = ["200000000000", "18446744073709551615", "100000"].map(|length| {
        let mut stream = TcpStream::connect(address).unwrap();
        let head = format!("GET /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        assert_eq!(&status, b"HTTP/1.1 200");
        stream
    });
    let idle = TcpStream::connect(address).unwrap();
    assert!(scrape().starts_with("HTTP/1.1 200"), "rubbish does not stop it");
    std::fs::write(out.join(".fold-scrub.json"), "{").unwrap();
    assert!(
        scrape().starts_with("HTTP/1.1 500"),
        "a state that cannot be read is a failed scrape"
    );

    let again = fold(&["exporter", "--listen", address]).arg(&out).output().unwrap();
    assert_eq!(code(&again), 74, "{}", stderr(&again));
    assert!(stderr(&again).contains("cannot listen"));
    super::faults::signal(child.0.id(), "TERM");
    assert_eq!(child.0.wait().unwrap().code(), Some(143));
    drop((hostile, idle));
}

#[test]
fn completions_and_manual_name_every_command() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = fold(&["completions", shell]).output().unwrap();
        assert_eq!(code(&output), 0);
        assert!(
            stdout(&output).contains("scrub") && stdout(&output).contains("max-duration"),
            "{shell}"
        );
    }
    let man = stdout(&fold(&["man"]).output().unwrap());
    for part in [".TH", "train", "scrub", "\\-\\-bwlimit", "\\-\\-keep\\-every"] {
        assert!(man.contains(part), "{part} is not in the manual");
    }
}

#[test]
fn the_events_of_a_run_tell_its_story_and_its_counters_go_on_after_a_resumption() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let metrics = dir.path().join("run.prom");
    assert_eq!(
        code(&train(&out, "2").arg("--metrics-file").arg(&metrics).output().unwrap()),
        0
    );
    damage(&out.join("step-00000002.fold"));
    let resumed = train(&out, "3")
        .arg("--resume")
        .arg("--metrics-file")
        .arg(&metrics)
        .output()
        .unwrap();
    assert_eq!(code(&resumed), 0, "{}", stderr(&resumed));
    assert!(
        stderr(&resumed).contains("FOLD-E0301"),
        "why it was passed over: {}",
        stderr(&resumed)
    );
    let events = std::fs::read_to_string(out.join("events.jsonl")).unwrap();
    let events: Vec<serde_json::Value> = events.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let count = |name: &str| events.iter().filter(|event| event["event"] == name).count();
    assert_eq!(
        (count("epoch_finished"), count("checkpoint_saved"), count("finished")),
        (4, 5, 2)
    );
    assert_eq!((count("passed_over"), count("set_aside"), count("resumed")), (1, 1, 1));
    let text = std::fs::read_to_string(&metrics).unwrap();
    let run = out.to_str().unwrap();
    for series in [
        format!("fold_train_epochs_total{{run=\"{run}\"}} 4"),
        format!("fold_train_epoch{{run=\"{run}\"}} 3"),
        format!("fold_train_resumes_total{{run=\"{run}\",result=\"older\"}} 1"),
        format!("fold_train_resumes_total{{run=\"{run}\",result=\"newest\"}} 0"),
        format!("fold_checkpoint_commits_total{{run=\"{run}\",result=\"ok\"}} 5"),
        format!("fold_checkpoint_commits_total{{run=\"{run}\",result=\"error\"}} 0"),
        format!("fold_train_running{{run=\"{run}\"}} 0"),
    ] {
        assert!(text.contains(&series), "{series} is missing:\n{text}");
    }
}

#[test]
fn a_file_is_not_called_absent_where_a_directory_is_wanted_and_an_empty_directory_is() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("good.fold");
    std::fs::write(&file, "x").unwrap();
    for arguments in [&["scrub"][..], &["exporter", "--listen", "127.0.0.1:0"]] {
        let output = fold(arguments).arg(&file).output().unwrap();
        let told = stdout(&output) + &stderr(&output);
        assert_eq!(code(&output), 10, "{told}");
        assert!(
            told.contains("FOLD-E0103") && told.contains("is no directory"),
            "{told}"
        );
        let output = fold(arguments).arg(dir.path().join("absent")).output().unwrap();
        let told = stdout(&output) + &stderr(&output);
        assert_eq!(code(&output), 10, "{told}");
        assert!(!told.contains("is no directory"), "{told}");
    }
    let empty = dir.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let output = fold(&["eval", "--data", "digits", "--json"])
        .arg(&empty)
        .output()
        .unwrap();
    assert_eq!((code(&output), &json(&output)["code"]), (10, &"FOLD-E0103".into()));
    assert!(stderr(&output).contains("holds no checkpoint"), "{}", stderr(&output));
}

#[cfg(unix)]
#[test]
fn a_pipe_or_a_device_in_the_place_of_a_small_file_is_refused_and_not_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let fifo = dir.path().join("fifo");
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let net = dir.path().join("net.fold");
    std::fs::write(&net, "x").unwrap();
    let net = net.to_str().unwrap();
    for arguments in [
        &["train", "--data", "digits", "--out", "new", "--config"][..],
        &["train", "--out", "new", "--data"],
        &["verify", net, "--key-file"],
        &["verify", net, "--integrity-key-file"],
        &["verify", net, "--public-key"],
        &["salvage", net, "-o", "salvaged", "--key-file"],
        &["sign", net, "-o", "signed.fold", "--key"],
        &["scrub", ".", "--state"],
        &["simulate", "--input", net, "--output", "trace.npz", "--config"],
    ] {
        for path in [&fifo, Path::new("/dev/zero")] {
            let mut command = fold(arguments);
            command.arg(path).current_dir(dir.path());
            let mut child = Ending(command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap());
            let begun = std::time::Instant::now();
            let status = loop {
                if let Some(status) = child.0.try_wait().unwrap() {
                    break status;
                }
                assert!(begun.elapsed().as_secs() < 60, "{arguments:?} {path:?} hangs");
                std::thread::sleep(std::time::Duration::from_millis(5));
            };
            let mut told = String::new();
            child.0.stderr.take().unwrap().read_to_string(&mut told).unwrap();
            assert_eq!(status.code(), Some(74), "{arguments:?} {path:?}: {told}");
            assert!(told.contains("not a regular file"), "{arguments:?} {path:?}: {told}");
        }
    }
    // In the place of a file that may be a container, it is none, whatever the command.
    for arguments in [
        &["verify", "FILE"][..],
        &["inspect", "FILE"],
        &["extract", "FILE", "--tensor", "a", "-o", "new"],
        &["convert", "FILE", "new.npz"],
        &["diff", "FILE", "FILE"],
        &["repair", "FILE", "-o", "new"],
        &["salvage", "FILE", "-o", "new"],
    ] {
        for path in [&fifo, Path::new("/dev/zero")] {
            let mut command = fold(&["--json"]);
            for &argument in arguments {
                match argument {
                    "FILE" => command.arg(path),
                    other => command.arg(other),
                };
            }
            let output = command.current_dir(dir.path()).output().unwrap();
            assert_eq!(code(&output), 10, "{arguments:?} {path:?}: {}", stderr(&output));
            let told = stdout(&output);
            assert!(
                told.contains("FOLD-E0101") && told.contains("not a regular file"),
                "{arguments:?} {path:?}: {told}"
            );
        }
    }
}
