//! Every hostile file through every command that reads one: a documented exit code, and nothing in what is printed that a
//! terminal or a log would take for anything but text.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use fold_fuzz_bodies::{Hostile, hostile};
use peak_alloc::PeakAlloc;

use super::{fold, stderr, stdout};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// The most bytes that a command may say about a file of some pages.
const SAID_MAX: usize = 1 << 20;

/// Files above this are left to the library's tests: what a command adds to them does not depend on their length.
const LONG: usize = 1 << 20;

/// The commands, with FILE for the file, OUT for a name that is free, and DIR for the folder that the file lies in.
const COMMANDS: [&str; 17] = [
    "verify FILE",
    "verify --json FILE",
    "verify --json --level quick FILE",
    "verify --json --level structure FILE",
    "inspect FILE",
    "inspect --json --stats FILE",
    "eval FILE --data digits",
    "convert FILE OUT.safetensors",
    "convert FILE OUT.npz",
    "convert FILE OUT.fold --to v1",
    "diff --json FILE FILE",
    "extract FILE --chunk blob -o OUT",
    "extract --json FILE --tensor a -o OUT",
    "repair --json FILE -o OUT.fold",
    "salvage --json FILE -o OUT",
    "scrub --json DIR",
    "prune --json DIR --keep-last 1",
];

fn complaint(arguments: &str, output: &Output) -> Option<String> {
    let Some(code) = output.status.code() else {
        return Some(format!("ended by a signal: {}", output.status));
    };
    let documented: BTreeSet<i32> = fold_ops::ExitCode::ALL
        .iter()
        .map(|code| i32::from(code.number()))
        .collect();
    if code == 101 || !documented.contains(&code) {
        return Some(format!("ended with {code}: {}", stderr(output)));
    }
    let (out, err) = (stdout(output), stderr(output));
    if out.len() + err.len() > SAID_MAX {
        return Some(format!("said {} bytes", out.len() + err.len()));
    }
    let strange = |text: &str| text.chars().any(|c| c.is_control() && c != '\n');
    if strange(&out) || strange(&err) || err.contains("panicked") {
        return Some(format!("said {out:?} {err:?}"));
    }
    let object = arguments.contains("--json") && serde_json::from_str::<serde_json::Value>(&out).is_err();
    object.then(|| format!("printed no JSON object: {out:?} {err:?}"))
}

/// The words of a command, with the places named.
fn words(command: &str, file: &Path, out: &Path, dir: &Path) -> Vec<String> {
    let places = [("FILE", file), ("OUT", out), ("DIR", dir)];
    let word = |word: &str| {
        let place = places.iter().find(|(key, _)| word.starts_with(key));
        place.map_or(word.to_owned(), |(key, place)| {
            word.replacen(key, place.to_str().unwrap(), 1)
        })
    };
    command.split(' ').map(word).collect()
}

/// Runs every command on a file; `folder` is this file's alone. What `look` says about a command, with its words.
fn every_command(bytes: &[u8], folder: &Path, mut look: impl FnMut(&[String], &str) -> Option<String>) -> Vec<String> {
    std::fs::create_dir(folder).unwrap();
    let path = folder.join("step-00000001.fold");
    std::fs::write(&path, bytes).unwrap();
    let mut found = Vec::new();
    for (number, command) in COMMANDS.iter().enumerate() {
        let out = folder.with_extension(format!("out-{number}"));
        found.extend(look(&words(command, &path, &out, folder), command).map(|what| format!("{command}: {what}")));
        if std::fs::read(&path).unwrap() != bytes {
            found.push(format!("{command} changed the file"));
        }
    }
    found
}

/// What `work` says about every file, with the file's name; two files at a time.
fn every_file<F: Fn(&Hostile, &Path) -> Vec<String> + Sync>(files: &[&Hostile], work: F) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let halves = files.split_at(files.len() / 2);
    let run = |files: &[&Hostile]| {
        let of_file = |file: &&Hostile| {
            let name = format!("{:02}-{}", file.class, file.name);
            let found = work(file, &dir.path().join(&name));
            found.into_iter().map(move |what| format!("{name}: {what}"))
        };
        files.iter().flat_map(of_file).collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let first = scope.spawn(|| run(halves.0));
        let mut found = run(halves.1);
        found.extend(first.join().unwrap());
        found
    })
}

#[test]
fn every_hostile_file_through_every_command() {
    let files = hostile();
    let short = files.iter().filter(|file| file.bytes.len() < LONG).collect::<Vec<_>>();
    assert!(short.len() > 140);
    let found = every_file(&short, |file, folder| {
        every_command(&file.bytes, folder, |words, command| {
            let words = words.iter().map(String::as_str).collect::<Vec<_>>();
            complaint(command, &fold(&words).output().unwrap())
        })
    });
    assert!(found.is_empty(), "{} complaints:\n{}", found.len(), found.join("\n"));
}

/// What [`as_a_command`] is told through, and where it leaves the most bytes that were allocated at once.
const WORDS: &str = "FOLD_TEST_WORDS";
const WEIGHT: &str = "FOLD_TEST_WEIGHT";

/// The program itself in a process that counts what it allocates.
#[test]
#[ignore = "run by another test, in a process of its own"]
fn as_a_command() {
    let words = std::env::var(WORDS).unwrap();
    HEAP.reset_peak_usage();
    let before = HEAP.current_usage();
    let ended = fold_cli::main(words.split('\n').map(Into::into));
    let weight = HEAP.peak_usage() - before;
    std::fs::write(std::env::var(WEIGHT).unwrap(), format!("{weight} {ended:?}")).unwrap();
}

/// The most bytes that a command allocated at once, and how long its process took.
pub(super) fn weighed(words: &[String], into: &Path) -> (usize, Duration) {
    let start = Instant::now();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "hostile::as_a_command", "--ignored", "--test-threads=1"])
        .env_remove("RUST_LOG")
        .env(WORDS, format!("fold\n{}", words.join("\n")))
        .env(WEIGHT, into)
        .output()
        .unwrap();
    let took = start.elapsed();
    assert!(output.status.success(), "{words:?}: {}", stderr(&output));
    let said = std::fs::read_to_string(into).unwrap();
    std::fs::remove_file(into).unwrap();
    (said.split(' ').next().unwrap().parse().unwrap(), took)
}

/// The most that any command may allocate for a hostile file of 10 KB.
const WEIGHT_MAX: usize = 1 << 20;

#[test]
fn no_command_allocates_much_for_ten_kilobytes() {
    let mut files = hostile();
    files.iter_mut().for_each(|file| file.bytes.truncate(10_240));
    let files = files.iter().collect::<Vec<_>>();
    let most = std::sync::Mutex::new((0, String::new(), Duration::ZERO, String::new()));
    let found = every_file(&files, |file, folder| {
        every_command(&file.bytes, folder, |words, command| {
            let (weight, took) = weighed(words, &folder.with_extension("weight"));
            let mut most = most.lock().unwrap();
            if weight > most.0 {
                (most.0, most.1) = (weight, format!("{command} of {}", file.name));
            }
            if took > most.2 {
                (most.2, most.3) = (took, format!("{command} of {}", file.name));
            }
            (weight > WEIGHT_MAX).then(|| format!("allocated {weight} bytes"))
        })
    });
    let (weight, heaviest, took, slowest) = most.into_inner().unwrap();
    println!("{} files, {} commands each", files.len(), COMMANDS.len());
    println!("most allocated at once: {weight} bytes by {heaviest}");
    println!("longest process: {} ms by {slowest}", took.as_millis());
    assert!(found.is_empty(), "{} complaints:\n{}", found.len(), found.join("\n"));
}
