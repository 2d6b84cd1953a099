//! The layers of the workspace: which crate may know which, and what each library may not do.
//!
//! An edge that is not in the table is an error, in any section of a manifest. The table is the one of ARCHITECTURE.md.
#![allow(clippy::unwrap_used, reason = "a test that cannot read the manifests has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Who may depend on whom inside the workspace.
const ALLOWED: &[(&str, &[&str])] = &[
    ("fold-format", &[]),
    ("fold-core", &[]),
    ("fold-advanced", &["fold-core"]),
    ("fold-ops", &["fold-advanced", "fold-core", "fold-format"]),
    ("fold-train", &["fold-advanced", "fold-core", "fold-ops"]),
    // The hostile files are for its tests alone.
    (
        "fold-cli",
        &[
            "fold-advanced",
            "fold-core",
            "fold-format",
            "fold-fuzz-bodies",
            "fold-ops",
            "fold-train",
        ],
    ),
    (
        "fold-benches",
        &["fold-advanced", "fold-core", "fold-format", "fold-ops", "fold-train"],
    ),
    ("fold-fuzz-bodies", &["fold-format"]),
    ("xtask", &[]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_path_buf()
}

/// Package name -> workspace packages it names in any section.
fn edges() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .current_dir(root())
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let name = |value: &serde_json::Value| value["name"].as_str().unwrap().to_owned();
    let ours: BTreeSet<String> = packages.iter().map(name).collect();
    packages
        .iter()
        .map(|package| {
            let named = package["dependencies"].as_array().unwrap().iter().map(name);
            (
                name(package),
                named.filter(|dependency| ours.contains(dependency)).collect(),
            )
        })
        .collect()
}

/// The edges that the table does not allow.
fn forbidden(edges: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let mut found = Vec::new();
    for (package, dependencies) in edges {
        let Some((_, allowed)) = ALLOWED.iter().find(|(name, _)| name == package) else {
            found.push(format!(
                "`{package}` is in no layer; add it to the table in xtask/tests/layers.rs"
            ));
            continue;
        };
        for dependency in dependencies
            .iter()
            .filter(|dependency| !allowed.contains(&dependency.as_str()))
        {
            found.push(format!(
                "`{package}` depends on `{dependency}`; it may depend on {allowed:?}"
            ));
        }
    }
    found
}

#[test]
fn no_crate_reaches_into_a_layer_it_must_not_know() {
    let found = forbidden(&edges());
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_planted_edge_is_found() {
    let mut edges = edges();
    edges.get_mut("fold-core").unwrap().insert("fold-format".to_owned());
    edges.insert("fold-new".to_owned(), BTreeSet::new());
    let found = forbidden(&edges);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].starts_with("`fold-core` depends on `fold-format`"));
    assert!(found[1].starts_with("`fold-new` is in no layer"));
}
