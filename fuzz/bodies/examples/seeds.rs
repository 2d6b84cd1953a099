//! Writes every layout into a folder, as seeds for a fuzzer: `cargo run -p fold-fuzz-bodies --example seeds FOLDER`.
#![forbid(unsafe_code)]

use std::error::Error;
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from).ok_or("which folder?")?;
    std::fs::create_dir_all(&folder)?;
    for layout in fold_fuzz_bodies::layouts() {
        std::fs::write(folder.join(layout.name), layout.bytes)?;
    }
    Ok(())
}
