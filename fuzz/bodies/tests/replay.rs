//! Every committed input through its target's body, and the mutator over them, without libFuzzer.

#![allow(clippy::unwrap_used, reason = "a test that cannot read the corpus has failed")]

use std::collections::BTreeSet;
use std::path::Path;

use fold_fuzz_bodies::{Layout, Random, canary, differential, fold_reader, layouts, mutate, seal, slow, writer};

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
    let (mut names, mut compressed) = (BTreeSet::new(), 0);
    for Layout { name, bytes } in layouts() {
        assert!(names.insert(name), "two layouts are called {name}");
        fold_reader(&bytes);
        differential(&bytes);
        let read = slow::whole(&bytes).err();
        assert!(read.is_none() || read == Some(slow::COMPRESSED), "{name}: {read:?}");
        compressed += u32::from(read.is_some());
        let mut sealed = bytes.clone();
        seal(&mut sealed);
        assert!(sealed == bytes, "{name}: the mutator's digests are not the writer's");
    }
    assert!(names.len() >= 20 && compressed == 1, "{names:?}");
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

#[test]
fn the_corpus_of_the_writer_breaks_no_promise() {
    for (name, bytes) in corpus("writer") {
        assert!(std::panic::catch_unwind(|| writer(&bytes)).is_ok(), "{name}");
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
