//! Every committed input through its target's body, and the mutator over them, without libFuzzer.

#![allow(clippy::unwrap_used, reason = "a test that cannot read the corpus has failed")]

use std::collections::BTreeSet;
use std::path::Path;

use fold_fuzz_bodies::{
    Layout, Random, canary, damage, differential, fold_reader, hostile, interchange, layouts, mutate, repair, salvage,
    seal, slow, unpickler, v1_reader, writer,
};

/// The inputs of a target by name.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus").join(target);
    let mut inputs = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        inputs.push((name, std::fs::read(entry.path()).unwrap()));
    }
    inputs.sort();
    assert!(
        inputs.len() >= 5,
        "the corpus of {target} holds {} inputs",
        inputs.len()
    );
    inputs
}

/// Files that the mutator breaks.
fn seeds() -> Vec<Vec<u8>> {
    layouts().into_iter().map(|layout| layout.bytes).collect()
}

#[test]
fn every_layout_is_whole_to_both_readers_and_sealing_changes_nothing() {
    let mut names = BTreeSet::new();
    for Layout { name, bytes } in layouts() {
        assert!(names.insert(name), "two layouts are called {name}");
        fold_reader(&bytes);
        differential(&bytes);
        assert_eq!(slow::whole(&bytes).err(), None, "{name}");
        let with_parity = name.contains("parity") || name.contains("everything");
        assert_eq!(slow::parity_is_right(&bytes), with_parity.then_some(true), "{name}");
        let mut sealed = bytes.clone();
        seal(&mut sealed);
        assert!(sealed == bytes, "{name}: the mutator's digests are not the writer's");
    }
    assert!(names.len() >= 20, "{names:?}");
}

#[test]
fn the_corpus_of_the_readers_breaks_no_promise() {
    for (name, bytes) in corpus("fold_reader") {
        let outcome = std::panic::catch_unwind(|| {
            fold_reader(&bytes);
            differential(&bytes);
        });
        assert!(outcome.is_ok(), "{name}");
    }
}

/// What a target does with its input.
type Body = fn(&[u8]);

#[test]
fn the_other_corpora_break_no_promise() {
    // What repairs and salvages takes the files of the readers.
    let targets: [(&str, Body); 7] = [
        ("writer", writer),
        ("fold_reader", repair),
        ("fold_reader", salvage),
        ("damage", damage),
        ("v1_reader", v1_reader),
        ("unpickler", unpickler),
        ("interchange", interchange),
    ];
    for (target, body) in targets {
        for (name, bytes) in corpus(target) {
            let outcome = std::panic::catch_unwind(|| body(&bytes));
            assert!(outcome.is_ok(), "{target}: {name}");
        }
    }
}

/// The recorded files of version 1, whole and damaged, by name.
fn recorded() -> Vec<(String, Vec<u8>)> {
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/fold-format/testdata/v1");
    let folders = ["container", "corrupted"].map(|folder| std::fs::read_dir(testdata.join(folder)).unwrap());
    let mut files = Vec::new();
    for entry in folders.into_iter().flatten().map(Result::unwrap) {
        let name = entry.file_name().to_string_lossy().into_owned();
        files.push((name, std::fs::read(entry.path()).unwrap()));
    }
    files.sort();
    assert!(files.len() > 200);
    files
}

/// Flips, overwrites, cuts or moves a few bytes.
fn scramble(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..1 + random.below(4) {
        let (at, other) = (random.below(bytes.len()), random.below(bytes.len()));
        let eighth = at.min(bytes.len().saturating_sub(8));
        match random.below(8) {
            0 => bytes.truncate(at),
            1 if other + 8 <= bytes.len() => bytes.copy_within(other..other + 8, eighth),
            2 => bytes[at..].iter_mut().take(4).for_each(|byte| *byte = 0xff),
            _ => bytes[at..]
                .iter_mut()
                .take(1)
                .for_each(|byte| *byte ^= 1 << random.below(8)),
        }
        if bytes.is_empty() {
            return;
        }
    }
}

#[test]
fn recorded_files_of_version_1_and_what_they_hold_break_no_promise() {
    let all = |bytes: &[u8]| {
        v1_reader(bytes);
        unpickler(bytes);
        interchange(bytes);
    };
    let mut payloads = Vec::new();
    for (name, bytes) in recorded() {
        assert!(std::panic::catch_unwind(|| v1_reader(&bytes)).is_ok(), "{name}");
        let mut random = Random::new(bytes.len() as u64);
        for turn in 0..4 {
            let mut broken = bytes.clone();
            scramble(&mut broken, &mut random);
            assert!(
                std::panic::catch_unwind(|| v1_reader(&broken)).is_ok(),
                "{name}, {turn}"
            );
        }
        let keys = fold_format::v1::Keys::new();
        if let Ok(file) = fold_format::v1::File::open_source(&bytes[..], keys, fold_format::Limits::DEFAULT) {
            let types = ["TSAV", "STEN", "NPZ0"];
            let named = file.chunks().iter().filter(|entry| types.contains(&&*entry.ctype));
            payloads.extend(named.filter_map(|entry| file.payload(&entry.name).ok()));
        }
    }
    assert!(payloads.len() > 50, "{} payloads", payloads.len());
    for (number, payload) in payloads.iter().enumerate() {
        let mut random = Random::new(number as u64);
        all(payload);
        for turn in 0..10 {
            let mut broken = payload.to_vec();
            scramble(&mut broken, &mut random);
            assert!(
                std::panic::catch_unwind(|| all(&broken)).is_ok(),
                "payload {number}, {turn}"
            );
        }
    }
}

#[test]
fn hostile_and_broken_files_are_repaired_and_salvaged_honestly() {
    for file in hostile().into_iter().filter(|file| file.bytes.len() < 1 << 20) {
        let outcome = std::panic::catch_unwind(|| {
            repair(&file.bytes);
            salvage(&file.bytes);
        });
        assert!(outcome.is_ok(), "{:02}-{}", file.class, file.name);
    }
    let seeds = seeds();
    for seed in 0..3000_u64 {
        let mut random = Random::new(seed);
        let mut bytes = seeds[random.below(seeds.len())].clone();
        mutate(&mut bytes, 1 << 17, &mut random);
        let edits = (0..1 + 5 * random.below(6))
            .map(|_| random.any() as u8)
            .collect::<Vec<_>>();
        let outcome = std::panic::catch_unwind(|| {
            repair(&bytes);
            salvage(&bytes);
            damage(&edits);
        });
        assert!(outcome.is_ok(), "seed {seed}");
    }
}

#[test]
fn thousands_of_broken_files_with_right_digests_are_read_alike() {
    let seeds = seeds();
    let mut changed = 0;
    for seed in 0..20_000_u64 {
        let mut random = Random::new(seed);
        let original = &seeds[random.below(seeds.len())];
        let mut bytes = original.clone();
        mutate(&mut bytes, 1 << 17, &mut random);
        changed += u32::from(bytes != *original);
        let outcome = std::panic::catch_unwind(|| {
            fold_reader(&bytes);
            differential(&bytes);
        });
        assert!(outcome.is_ok(), "seed {seed}");
    }
    assert!(changed > 15_000, "{changed} of 20,000 files were changed at all");
}

#[test]
fn random_content_goes_through_the_writer_and_both_readers() {
    for seed in 0..2000_u64 {
        let mut random = Random::new(seed);
        let bytes = (0..random.below(600)).map(|_| random.any() as u8).collect::<Vec<_>>();
        assert!(std::panic::catch_unwind(|| writer(&bytes)).is_ok(), "seed {seed}");
    }
}

/// A target with a planted bug: a mutator that does not find it proves nothing with all its executions.
#[test]
fn the_canary_is_found() {
    let seeds = seeds();
    let found = (0..50_000_u64).find(|&seed| {
        let mut random = Random::new(seed);
        let mut bytes = seeds[random.below(seeds.len())].clone();
        mutate(&mut bytes, 1 << 17, &mut random);
        std::panic::catch_unwind(|| canary(&bytes)).is_err()
    });
    assert!(found.is_some());
}
