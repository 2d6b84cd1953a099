//! Any bytes as a state of torch: see `fold_fuzz_bodies::unpickler`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fold_fuzz_bodies::unpickler(bytes));
