//! Any bytes as safetensors, npy and npz: see `fold_fuzz_bodies::interchange`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fold_fuzz_bodies::interchange(bytes));
