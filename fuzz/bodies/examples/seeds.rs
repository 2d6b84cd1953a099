//! Writes seeds for a fuzzer, a folder for each target: `cargo run -p fold-fuzz-bodies --example seeds FOLDER`.
#![forbid(unsafe_code)]

use std::error::Error;
use std::path::{Path, PathBuf};

use fold_format::Limits;
use fold_format::v1::{File, Keys};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from).ok_or("which folder?")?;
    for target in ["v2", "v1_reader", "unpickler", "interchange"] {
        std::fs::create_dir_all(folder.join(target))?;
    }
    for layout in fold_fuzz_bodies::layouts() {
        std::fs::write(folder.join("v2").join(layout.name), layout.bytes)?;
    }
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/fold-format/testdata/v1");
    for kind in ["container", "corrupted"] {
        for entry in std::fs::read_dir(testdata.join(kind))? {
            let entry = entry?;
            let (name, bytes) = (
                entry.file_name().to_string_lossy().into_owned(),
                std::fs::read(entry.path())?,
            );
            std::fs::write(folder.join("v1_reader").join(&name), &bytes)?;
            payloads(&folder, &name, &bytes)?;
        }
    }
    Ok(())
}

/// What the chunks of a container of version 1 hold.
fn payloads(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    let Ok(file) = File::open_source(bytes, Keys::new(), Limits::DEFAULT) else {
        return Ok(());
    };
    for entry in file.chunks() {
        let target = match &*entry.ctype {
            "TSAV" => "unpickler",
            "STEN" | "NPZ0" => "interchange",
            _ => continue,
        };
        if let Ok(payload) = file.payload(&entry.name) {
            std::fs::write(folder.join(target).join(format!("{name}-{}", entry.offset)), &*payload)?;
        }
    }
    Ok(())
}
