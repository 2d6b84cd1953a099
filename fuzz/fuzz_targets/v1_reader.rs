//! Any bytes as a container of version 1: see `fold_fuzz_bodies::v1_reader`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fold_fuzz_bodies::v1_reader(bytes));
