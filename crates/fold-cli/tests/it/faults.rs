//! What the system does to a command: signals, full and read-only disks, another writer. Nothing that was acknowledged is
//! lost, the error is typed, the exit code is the documented one.

#[cfg(target_os = "linux")]
use std::io::Write as _;
use std::path::Path;
#[cfg(target_os = "linux")]
use std::path::PathBuf;
use std::process::Stdio;
#[cfg(unix)]
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use super::operations::Ending;
use super::{checkpoints, code, fold, json, stderr, train};

/// Sends a signal to a process of this test.
#[cfg(unix)]
pub(crate) fn signal(process: u32, name: &str) {
    let sent = Command::new("kill")
        .arg(format!("-{name}"))
        .arg(process.to_string())
        .status();
    assert!(sent.unwrap().success());
}

/// A command that was asked for JSON ended with `exit`, and says that it was stopped.
#[cfg(unix)]
pub(crate) fn assert_stopped(output: &Output, exit: i32) {
    assert_eq!(code(output), exit, "{}", stderr(output));
    let report = json(output);
    assert_eq!(
        (&report["exit_code"], &report["code"]),
        (&exit.into(), &"FOLD-E0007".into())
    );
}

/// Waits until the run in `out` has a checkpoint.
fn wait_for_checkpoint(out: &Path) {
    let start = Instant::now();
    while !out.join("step-00000001.fold").exists() {
        assert!(start.elapsed() < Duration::from_secs(60), "no checkpoint");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(unix)]
#[test]
fn a_signal_ends_training_with_its_exit_code_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    assert_eq!(code(&train(&whole, "40").output().unwrap()), 0);
    let expected = checkpoints(&whole);
    for (name, exit) in [("TERM", 143), ("INT", 130)] {
        let out = dir.path().join(name);
        let child = train(&out, "40")
            .arg("--json")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let child = child.unwrap();
        wait_for_checkpoint(&out);
        signal(child.id(), name);
        let output = child.wait_with_output().unwrap();
        assert_stopped(&output, exit);
        let acknowledged = checkpoints(&out);
        assert!(acknowledged.len() < expected.len(), "the run ended before the signal");
        for (file, bytes) in &acknowledged {
            assert!(expected[file] == *bytes, "{file} differs after the signal");
        }
        assert_eq!(code(&train(&out, "40").arg("--resume").output().unwrap()), 0);
        assert!(checkpoints(&out) == expected);
        let events = std::fs::read_to_string(out.join("events.jsonl")).unwrap();
        assert!(events.contains("FOLD-E0007"), "{events}");
    }
}

/// A data set of noise whose controls take long and whose layer does not: 2,000 images of 28x28 pixels, 100 held out.
#[cfg(unix)]
fn noise(dir: &Path) {
    let mut state = 1_u64;
    for (part, count) in [("train", 2000_u32), ("t10k", 100)] {
        let mut images = [[0, 0, 8, 3], count.to_be_bytes(), [0, 0, 0, 28], [0, 0, 0, 28]].concat();
        let mut labels = [[0, 0, 8, 1], count.to_be_bytes()].concat();
        for image in 0..count {
            labels.push((image % 3) as u8);
            images.extend(
                std::iter::repeat_with(|| {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    (state >> 32) as u8
                })
                .take(28 * 28),
            );
        }
        std::fs::write(dir.join(format!("{part}-images-idx3-ubyte")), images).unwrap();
        std::fs::write(dir.join(format!("{part}-labels-idx1-ubyte")), labels).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn a_signal_ends_training_also_while_controls_are_computed() {
    let dir = tempfile::tempdir().unwrap();
    noise(dir.path());
    let begun = |out: &Path| {
        let mut command = fold(&[
            "train",
            "--json",
            "--neurons",
            "4",
            "--epochs",
            "1",
            "--progress",
            "never",
        ]);
        command.arg("--config").arg(dir.path().join("config.json"));
        command.arg("--data").arg(dir.path()).arg("--out").arg(out);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_for_checkpoint(out);
        (child, Instant::now())
    };
    std::fs::write(dir.path().join("config.json"), r#"{"winners": 1}"#).unwrap();
    let (child, start) = begun(&dir.path().join("whole"));
    assert_eq!(code(&child.wait_with_output().unwrap()), 0);
    let controls = start.elapsed();
    for (name, exit) in [("TERM", 143), ("INT", 130)] {
        let out = dir.path().join(name);
        let (child, start) = begun(&out);
        let saved = || {
            let events = std::fs::read_to_string(out.join("events.jsonl")).unwrap_or_default();
            events.matches("checkpoint_saved").count() == 2
        };
        while !saved() {
            assert!(start.elapsed() < Duration::from_secs(60), "nothing told");
            std::thread::sleep(Duration::from_millis(5));
        }
        // Nothing is told for a long time from here on.
        std::thread::sleep(Duration::from_millis(100));
        let start = Instant::now();
        signal(child.id(), name);
        let output = child.wait_with_output().unwrap();
        let took = start.elapsed();
        assert_stopped(&output, exit);
        assert!(took < controls / 4, "{took:?} of {controls:?}");
        let events = std::fs::read_to_string(out.join("events.jsonl")).unwrap();
        assert!(events.lines().last().unwrap().contains("FOLD-E0007"), "{events}");
    }
}

#[cfg(unix)]
#[test]
fn a_signal_ends_a_scrub_with_its_exit_code_and_the_next_one_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    assert_eq!(code(&train(&out, "3").output().unwrap()), 0);
    // So slow that it is at work for minutes: 4 files at 20 kB/s.
    let mut command = fold(&["scrub", "--bwlimit", "0.02", "--json"]);
    let child = command
        .arg(&out)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(500));
    signal(child.id(), "TERM");
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 143, "{}", stderr(&output));
    assert_eq!(json(&output)["code"], "FOLD-E0007");
    let output = fold(&["scrub", "--json"]).arg(&out).output().unwrap();
    assert_eq!(code(&output), 0);
    let report = json(&output);
    assert_eq!(
        (&report["summary"]["pass"], &report["result"]),
        (&1.into(), &"clean".into())
    );
    // One that waits for its next turn.
    let mut command = fold(&["scrub", "--interval", "1h", "--quiet"]);
    let child = command
        .arg(&out)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(Duration::from_millis(700));
    signal(child.id(), "INT");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(130));
}

#[test]
fn a_scrub_without_time_ends_in_part_and_calls_that_follow_finish_the_pass() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    assert_eq!(code(&train(&out, "3").output().unwrap()), 0);
    // Reading any one of the files takes longer than the time that is given.
    for left in [3, 2, 1, 0] {
        let output = fold(&["scrub", "--bwlimit", "0.07", "--max-duration", "1s", "--json"])
            .arg(&out)
            .output()
            .unwrap();
        let report = json(&output);
        assert_eq!(
            (code(&output), &report["summary"]["left"], &report["summary"]["pass"]),
            (if left == 0 { 0 } else { 3 }, &left.into(), &1.into()),
            "{report}"
        );
    }
    assert_eq!(
        json(&fold(&["scrub", "--json"]).arg(&out).output().unwrap())["summary"]["pass"],
        2
    );
}

#[test]
fn a_scrub_that_repairs_says_of_each_file_what_came_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let (out, plain, to) = (dir.path().join("run"), dir.path().join("plain"), dir.path().join("to"));
    assert_eq!(code(&train(&out, "2").args(["--parity", "low"]).output().unwrap()), 0);
    assert_eq!(code(&train(&plain, "1").output().unwrap()), 0);
    // One that parity restores, one without parity, one that is whole.
    super::operations::damage(&out.join("step-00000002.fold"));
    std::fs::copy(plain.join("step-00000001.fold"), out.join("step-00000001.fold")).unwrap();
    super::operations::damage(&out.join("step-00000001.fold"));
    let before = checkpoints(&out);
    let scrub = || {
        let output = fold(&["scrub", "--json", "--repair-to"])
            .arg(&to)
            .arg(&out)
            .output()
            .unwrap();
        let report = json(&output);
        let repairs = report["repairs"].as_array().unwrap().iter();
        let outcomes: Vec<String> = repairs
            .map(|copy| copy["outcome"].as_str().unwrap().to_owned())
            .collect();
        (code(&output), outcomes)
    };
    assert_eq!(scrub(), (1, vec!["refused".to_owned(), "repaired".to_owned()]));
    assert_eq!(scrub(), (1, vec!["refused".to_owned(), "kept".to_owned()]));
    assert!(checkpoints(&out) == before, "a damaged file was changed");
    assert_eq!(checkpoints(&to).keys().collect::<Vec<_>>(), ["step-00000002.fold"]);
    assert_eq!(code(&fold(&["verify"]).arg(&to).output().unwrap()), 0);
}

#[test]
fn a_second_writer_is_refused_and_told_who_the_first_is() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let first = train(&out, "2000")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let first = Ending(first);
    wait_for_checkpoint(&out);
    let second = train(&out, "2000").arg("--resume").arg("--json").output().unwrap();
    assert_eq!(code(&second), 11, "{}", stderr(&second));
    assert_eq!(json(&second)["code"], "FOLD-E0105");
    assert!(
        stderr(&second).contains(&format!("process {}", first.0.id())),
        "{}",
        stderr(&second)
    );
    let prune = fold(&["prune", "--keep-last", "1", "--apply"])
        .arg(&out)
        .output()
        .unwrap();
    assert_eq!(code(&prune), 11);
    let events = std::fs::read_to_string(out.join("events.jsonl")).unwrap();
    assert!(
        !events.contains("stopped"),
        "the refused run wrote into the other one's story: {events}"
    );
    let doctor = fold(&["doctor", "--json"]).arg(&out).output().unwrap();
    assert!(json(&doctor).to_string().contains("FOLD-E0105"));
}

/// A file system of memory with `bytes` bytes; none where this user may not mount.
#[cfg(target_os = "linux")]
struct SmallDisk(PathBuf);

#[cfg(target_os = "linux")]
impl SmallDisk {
    fn mount(at: PathBuf, options: &str) -> Option<Self> {
        std::fs::create_dir(&at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(&at)
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(at)),
            _ => {
                // Not through the harness, which would hide it.
                let _ = writeln!(std::io::stderr(), "skipped: this user may not mount a file system");
                None
            }
        }
    }

    fn remount(&self, options: &str) {
        let status = Command::new("mount")
            .args(["-o", &format!("remount,{options}")])
            .arg(&self.0)
            .status();
        assert!(status.unwrap().success());
    }
}

#[cfg(target_os = "linux")]
impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full_at_any_point_of_a_save_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    assert_eq!(code(&train(&whole, "2").output().unwrap()), 0);
    let expected = checkpoints(&whole);
    let size = expected.values().map(Vec::len).max().unwrap();
    let Some(disk) = SmallDisk::mount(dir.path().join("disk"), "size=64m") else {
        return;
    };
    let out = disk.0.join("run");
    assert_eq!(code(&train(&out, "1").output().unwrap()), 0);
    let whole_so_far = checkpoints(&out);
    // The state files need a page each to be replaced, whatever room the checkpoint gets.
    let page = 4096;
    let (mut full, mut fitted) = (0, 0);
    for room in (0..=size + 40 * page).step_by(5 * page) {
        let used: u64 = walk(&disk.0).iter().map(|path| on_disk(path)).sum();
        // tmpfs counts whole pages; directories cost none.
        disk.remount(&format!("size={}", used + room as u64));
        let output = train(&out, "2").args(["--resume", "--json"]).output().unwrap();
        disk.remount("size=64m");
        match code(&output) {
            0 => {
                fitted += 1;
                assert!(checkpoints(&out) == expected, "room for {room} bytes");
                std::fs::remove_file(out.join("step-00000002.fold")).unwrap();
            }
            74 => {
                full += 1;
                let report = json(&output);
                assert_eq!(report["code"], "FOLD-E0404", "room for {room} bytes: {report}");
                if !out.join("step-00000002.fold").exists() {
                    assert!(checkpoints(&out) == whole_so_far, "room for {room} bytes");
                } else {
                    // Full only after the save was acknowledged: a figure did not fit.
                    assert!(checkpoints(&out) == expected, "room for {room} bytes");
                    std::fs::remove_file(out.join("step-00000002.fold")).unwrap();
                }
            }
            other => panic!("room for {room} bytes: exit code {other}: {}", stderr(&output)),
        }
        let left: Vec<_> = walk(&out)
            .into_iter()
            .filter(|path| path.to_string_lossy().contains("fold-tmp"))
            .collect();
        assert!(left.is_empty(), "left behind: {left:?}");
    }
    assert!(
        full > 3 && fitted > 0,
        "{full} full and {fitted} fitting saves: the test has shrunk"
    );
    assert_eq!(code(&train(&out, "2").arg("--resume").output().unwrap()), 0);
    assert!(checkpoints(&out) == expected);
}

/// Commands that write a file or a directory of their own, with the name of what they write; in the arguments, `KEY` is a
/// private key, `FILE` the source and `NEW` the target.
#[cfg(target_os = "linux")]
const COPIES: [(&[&str], &str); 7] = [
    (&["repair", "FILE", "-o", "NEW"], "repaired.fold"),
    (&["salvage", "FILE", "-o", "NEW"], "salvaged"),
    (&["convert", "FILE", "NEW", "--lossy", "allow"], "converted.safetensors"),
    (&["convert", "FILE", "NEW", "--digest", "blake3"], "converted.fold"),
    (
        &["extract", "FILE", "--tensor", "layer0.filaments", "-o", "NEW"],
        "tensor.npy",
    ),
    (&["sign", "SEALED", "--key", "KEY", "-o", "NEW"], "signed.fold"),
    (&["keygen", "-o", "NEW"], "new.pem"),
];

/// Runs one of [`COPIES`]; the key and the sealed source lie in `dir`.
#[cfg(target_os = "linux")]
fn copy(dir: &Path, arguments: &[&str], file: &Path, target: &Path) -> Output {
    let (key, sealed) = (dir.join("key.pem"), dir.join("sealed.fold"));
    if !sealed.exists() {
        assert_eq!(code(&fold(&["keygen", "-o"]).arg(&key).output().unwrap()), 0);
        let converted = fold(&["convert", "--digest", "blake3"]).arg(file).arg(&sealed).output();
        assert_eq!(code(&converted.unwrap()), 0);
    }
    let mut command = fold(&["--json"]);
    for argument in arguments {
        match *argument {
            "FILE" => command.arg(file),
            "NEW" => command.arg(target),
            "KEY" => command.arg(&key),
            "SEALED" => command.arg(&sealed),
            other => command.arg(other),
        };
    }
    command.output().unwrap()
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full_at_any_point_of_a_copy_leaves_no_part_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    assert_eq!(code(&train(&out, "1").output().unwrap()), 0);
    let file = out.join("step-00000001.fold");
    let whole = std::fs::read(&file).unwrap();
    let Some(disk) = SmallDisk::mount(dir.path().join("disk"), "size=64m") else {
        return;
    };
    let page = 4096;
    for (arguments, name) in COPIES {
        let target = disk.0.join(name);
        let (mut full, mut fitted) = (0, 0);
        let mut room = 1;
        while fitted == 0 {
            assert!(room < 200, "{arguments:?} never fits");
            // A tmpfs of no size at all has no limit; one page is the least.
            disk.remount(&format!("size={}", room * page));
            let output = copy(dir.path(), arguments, &file, &target);
            disk.remount("size=64m");
            match code(&output) {
                0 => fitted += 1,
                74 => {
                    full += 1;
                    let report = json(&output);
                    assert_eq!(report["code"], "FOLD-E0404", "{arguments:?}, {room} pages: {report}");
                    let left = walk(&disk.0);
                    assert!(
                        left.is_empty() && !target.exists(),
                        "{arguments:?}, {room} pages: left behind {target:?} {left:?}"
                    );
                    assert!(!stderr(&output).contains("stays in"), "{}", stderr(&output));
                }
                other => panic!("{arguments:?}, {room} pages: exit code {other}: {}", stderr(&output)),
            }
            room += 3;
        }
        // A pair of keys and one tensor fit where anything does.
        assert!(
            full > 0 || matches!(arguments[0], "keygen" | "extract"),
            "{arguments:?} was never refused"
        );
        for path in walk(&disk.0) {
            std::fs::remove_file(path).unwrap();
        }
        let _ = std::fs::remove_dir(&target);
    }
    assert!(std::fs::read(&file).unwrap() == whole, "the source was changed");
}

/// Every file below `dir`.
#[cfg(target_os = "linux")]
fn walk(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(walk(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[cfg(target_os = "linux")]
fn on_disk(path: &Path) -> u64 {
    std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(path).unwrap()) * 512
}

#[cfg(target_os = "linux")]
#[test]
fn a_read_only_file_system_is_a_typed_error_and_reading_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(dir.path().join("disk"), "size=64m") else {
        return;
    };
    let out = disk.0.join("run");
    assert_eq!(code(&train(&out, "1").output().unwrap()), 0);
    let before = checkpoints(&out);
    disk.remount("ro");
    for (arguments, exit) in [
        (
            &["train", "--data", "digits", "--resume", "--epochs", "2", "--out"][..],
            74,
        ),
        (&["prune", "--keep-last", "1", "--apply"], 74),
        (&["scrub"], 74),
        (&["doctor"], 1),
        (&["verify"], 0),
        (&["inspect"], 0),
        (&["prune", "--keep-last", "1"], 0),
    ] {
        let output = fold(&[arguments, &["--json"]].concat()[..arguments.len()])
            .arg(&out)
            .arg("--json")
            .output()
            .unwrap();
        assert_eq!(code(&output), exit, "{arguments:?}: {}", stderr(&output));
        if exit == 74 {
            let told = json(&output);
            let code = match arguments[0] {
                // Its answer is there all the same.
                "scrub" => &told["findings"][0]["code"],
                _ => &told["code"],
            };
            assert_eq!(code, "FOLD-E0406", "{arguments:?}");
        }
    }
    let file = out.join("step-00000001.fold");
    for (arguments, target) in COPIES {
        let target = disk.0.join(target);
        let output = copy(dir.path(), arguments, &file, &target);
        assert_eq!(code(&output), 74, "{arguments:?}: {}", stderr(&output));
        assert_eq!(json(&output)["code"], "FOLD-E0406", "{arguments:?}");
        assert!(!target.exists(), "{arguments:?}");
    }
    let state = dir.path().join("state.json");
    let output = fold(&["scrub", "--state"]).arg(&state).arg(&out).output().unwrap();
    assert_eq!(
        code(&output),
        0,
        "a state elsewhere makes a scrub possible: {}",
        stderr(&output)
    );
    assert!(checkpoints(&out) == before);
}
