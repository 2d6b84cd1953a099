//! Damage described by the input, on every layout: see `fold_fuzz_bodies::damage`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fold_fuzz_bodies::damage(bytes));
