//! Every committed input through its target's body.

#![allow(clippy::unwrap_used, reason = "a test that cannot read the corpus has failed")]

use std::path::Path;

#[test]
fn the_corpus_of_fold_reader_breaks_no_promise() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../corpus/fold_reader");
    let mut replayed = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        fold_fuzz_bodies::fold_reader(&std::fs::read(entry.unwrap().path()).unwrap());
        replayed += 1;
    }
    assert!(replayed >= 5, "the corpus holds {replayed} inputs");
}
