//! Any bytes through every reading call: see `fold_fuzz_bodies::fold_reader`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fold_fuzz_bodies::fold_reader(bytes));
