//! Every hostile file through every command that reads one: a documented exit code, and nothing in what is printed that a
//! terminal or a log would take for anything but text.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Output;

use fold_fuzz_bodies::{Hostile, hostile};

use super::{fold, stderr, stdout};

/// The most bytes that a command may say about a file of some pages.
const SAID_MAX: usize = 1 << 20;

/// Files above this are left to the library's tests: what a command adds to them does not depend on their length.
const LONG: usize = 1 << 20;

/// The commands, with FILE for the file, OUT for a name that is free, and DIR for the folder that the file lies in.
const COMMANDS: [&str; 16] = [
    "verify FILE",
    "verify --json FILE",
    "verify --json --level quick FILE",
    "verify --json --level structure FILE",
    "inspect FILE",
    "inspect --json --stats FILE",
    "eval FILE --data digits",
    "convert FILE OUT.safetensors",
    "convert FILE OUT.npz",
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

/// What is wrong with what the commands do about one file.
fn complaints(file: &Hostile, folder: &Path) -> Vec<String> {
    let name = format!("{:02}-{}", file.class, file.name);
    let folder = folder.join(&name);
    std::fs::create_dir(&folder).unwrap();
    let path = folder.join("step-00000001.fold");
    std::fs::write(&path, &file.bytes).unwrap();
    let mut found = Vec::new();
    for (number, arguments) in COMMANDS.iter().enumerate() {
        let out = folder.with_extension(format!("out-{number}"));
        let places = [
            ("FILE", path.as_path()),
            ("OUT", out.as_path()),
            ("DIR", folder.as_path()),
        ];
        let arguments_of_place = |argument: &str| {
            let place = places.iter().find(|(key, _)| argument.starts_with(key));
            place.map_or(argument.to_owned(), |(key, place)| {
                argument.replacen(key, place.to_str().unwrap(), 1)
            })
        };
        let split = arguments.split(' ').map(arguments_of_place).collect::<Vec<_>>();
        let output = fold(&split.iter().map(String::as_str).collect::<Vec<_>>())
            .output()
            .unwrap();
        found.extend(complaint(arguments, &output).map(|what| format!("{name}: {arguments}: {what}")));
        assert!(
            std::fs::read(&path).unwrap() == file.bytes,
            "{name}: {arguments} changed the file"
        );
    }
    found
}

#[test]
fn every_hostile_file_through_every_command() {
    let dir = tempfile::tempdir().unwrap();
    let files = hostile();
    let short = files.iter().filter(|file| file.bytes.len() < LONG).collect::<Vec<_>>();
    assert!(short.len() > 140);
    let halves = short.split_at(short.len() / 2);
    let run = |files: &[&Hostile]| {
        files
            .iter()
            .flat_map(|file| complaints(file, dir.path()))
            .collect::<Vec<_>>()
    };
    let found = std::thread::scope(|scope| {
        let first = scope.spawn(|| run(halves.0));
        let mut found = run(halves.1);
        found.extend(first.join().unwrap());
        found
    });
    assert!(found.is_empty(), "{} complaints:\n{}", found.len(), found.join("\n"));
}
