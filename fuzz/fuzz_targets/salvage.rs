//! Salvages any bytes: see `fold_fuzz_bodies::salvage`.
#![no_main]

use fold_fuzz_bodies::mutate_in_place;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fold_fuzz_bodies::salvage(bytes));

// One change in eight is libFuzzer's own, for what the mutator does not think of.
libfuzzer_sys::fuzz_mutator!(|data: &mut [u8], len: usize, max_len: usize, seed: u32| {
    match seed % 8 {
        0 => libfuzzer_sys::fuzzer_mutate(data, len, max_len),
        _ => mutate_in_place(data, len, max_len, seed),
    }
});
