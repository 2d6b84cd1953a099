//! Arbitrary content through the writer and both readers: see `fold_fuzz_bodies::writer`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fold_fuzz_bodies::writer(bytes));
