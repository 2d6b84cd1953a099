//! A signal to a command that writes nothing, or one new file: it ends at once, and nothing is left of what it had begun.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::faults::{assert_stopped, signal};
use super::{fold, names_in};

/// One tensor of 48 MiB that does not compress, as safetensors.
fn large(path: &Path) {
    let mut state = 1_u64;
    let tensor = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    });
    let tensor: Vec<u8> = tensor.take(6 << 20).flat_map(u64::to_le_bytes).collect();
    let header = format!(
        r#"{{"a":{{"dtype":"U8","shape":[{0}],"data_offsets":[0,{0}]}}}}"#,
        tensor.len()
    );
    let len = (header.len() as u64).to_le_bytes();
    std::fs::write(path, [&len[..], header.as_bytes(), &tensor].concat()).unwrap();
}

#[test]
fn a_conversion_ends_at_the_first_signal_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    large(&dir.path().join("large.safetensors"));
    // Elsewhere SIGHUP is the system's; under `nohup` it is ignored, which is the last test's case.
    let hangup = (cfg!(target_os = "linux") && !ignores_hangup()).then_some(("HUP", 129));
    for (name, exit) in [("TERM", 143), ("INT", 130)].into_iter().chain(hangup) {
        let mut command = fold(&["convert", "large.safetensors", "new.fold", "--parity", "high", "--json"]);
        let child = command
            .current_dir(dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = child.spawn().unwrap();
        // Under way: its file has been begun.
        let start = Instant::now();
        while names_in(dir.path()).len() == 1 {
            assert!(start.elapsed() < Duration::from_secs(60), "nothing begun");
            std::thread::sleep(Duration::from_millis(1));
        }
        signal(child.id(), name);
        let output = child.wait_with_output().unwrap();
        assert_stopped(&output, exit);
        assert_eq!(names_in(dir.path()), ["large.safetensors".to_owned()].into());
    }
}

/// Whether these tests were started with SIGHUP ignored, which what they start inherits.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).unwrap() & 1 != 0)
}

/// Half a minute of work, of which nothing is on the disk: signals have the process end once it listens.
#[cfg(target_os = "linux")]
#[test]
fn an_inspection_ends_at_the_first_signal() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("large.safetensors");
    let len = 4_u64 << 30;
    let header = format!(r#"{{"a":{{"dtype":"U8","shape":[{len}],"data_offsets":[0,{len}]}}}}"#);
    let head = [&(header.len() as u64).to_le_bytes()[..], header.as_bytes()].concat();
    std::fs::write(&path, &head).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len(head.len() as u64 + len).unwrap();
    for (name, exit) in [("TERM", 143), ("INT", 130)] {
        let mut command = fold(&["inspect", "--stats", "--json"]);
        let child = command.arg(&path).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = child.spawn().unwrap();
        let listens = || {
            let tasks = std::fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
            let mut names = tasks.filter_map(|task| std::fs::read_to_string(task.unwrap().path().join("comm")).ok());
            names.any(|name| name.trim_end() == "interrupt")
        };
        let start = Instant::now();
        while !listens() {
            assert!(start.elapsed() < Duration::from_secs(60), "it does not listen");
            std::thread::sleep(Duration::from_millis(1));
        }
        signal(child.id(), name);
        assert_stopped(&child.wait_with_output().unwrap(), exit);
    }
}

/// As `nohup` starts it: a terminal that goes away ends nothing.
#[cfg(target_os = "linux")]
#[test]
fn a_hangup_that_was_ignored_is_ignored() {
    let dir = tempfile::tempdir().unwrap();
    large(&dir.path().join("large.safetensors"));
    let program = env!("CARGO_BIN_EXE_fold");
    let mut command = std::process::Command::new("sh");
    command.current_dir(dir.path()).args([
        "-c",
        "trap '' HUP; exec \"$0\" convert large.safetensors new.fold --parity high",
        program,
    ]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let start = Instant::now();
    while names_in(dir.path()).len() == 1 {
        assert!(start.elapsed() < Duration::from_secs(60), "nothing begun");
        std::thread::sleep(Duration::from_millis(1));
    }
    signal(child.id(), "HUP");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
