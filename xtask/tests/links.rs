//! Every relative link of every Markdown file leads somewhere.

#![allow(clippy::unwrap_used, reason = "a test that cannot read the documents has failed")]

use std::path::{Path, PathBuf};

/// Markdown files below `folder`, without build output and hidden folders.
fn documents(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" {
                documents(&path, found);
            }
        } else if name.ends_with(".md") {
            found.push(path);
        }
    }
}

/// The targets of inline links that name a file.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    let after = text.split("](").skip(1);
    let target = after.filter_map(|rest| rest.split(')').next());
    let file = target.filter_map(|target| target.split('#').next());
    file.filter(|target| !target.is_empty() && !target.contains("://") && !target.contains(' '))
}

fn dead(document: &Path, text: &str) -> Vec<String> {
    let folder = document.parent().unwrap();
    let missing = targets(text).filter(|target| !folder.join(target).exists());
    missing
        .map(|target| format!("{}: {target}", document.display()))
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut found = Vec::new();
    documents(Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap(), &mut found);
    assert!(found.len() > 10, "only {} documents were found", found.len());
    let dead: Vec<String> = found
        .iter()
        .flat_map(|path| dead(path, &std::fs::read_to_string(path).unwrap()))
        .collect();
    assert!(dead.is_empty(), "dead links:\n{}", dead.join("\n"));
}

#[test]
fn a_dead_link_is_found() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    assert_eq!(
        dead(
            &here,
            "[a](Cargo.toml) [b](https://x.y/z) [c](#part) [d](absent.md#part)"
        )
        .len(),
        1
    );
}
