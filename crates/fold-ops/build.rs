//! Finds the runbook that is built into the program: in the package, or in `docs` of a checkout whose links are plain files.

use std::path::PathBuf;

fn main() {
    println!("cargo:rerun-if-changed=runbook");
    let package = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let own = package.join("runbook");
    let runbook = if own.is_dir() {
        own
    } else {
        package.join("../../docs/runbook")
    };
    println!("cargo:rustc-env=FOLD_RUNBOOK={}", runbook.display());
}
