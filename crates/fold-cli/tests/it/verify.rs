//! `fold verify`: the verdict, where the damage is, what to do next, and its exit codes.

use super::{code, fold, json, stdout, train};

#[test]
fn a_flipped_bit_is_named_by_file_chunk_tensor_block_and_bytes_with_the_next_command() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    assert_eq!(code(&train(&out, "1").output().unwrap()), 0);
    assert_eq!(code(&fold(&["verify"]).arg(&out).output().unwrap()), 0);
    let inspected = json(
        &fold(&["inspect", "--json"])
            .arg(out.join("step-00000001.fold"))
            .output()
            .unwrap(),
    );
    let tensors = inspected["files"][0]["tensors"].as_array().unwrap();
    let filaments = tensors
        .iter()
        .find(|tensor| tensor["name"] == "layer0.filaments")
        .unwrap();
    let byte = filaments["offset"].as_u64().unwrap() + 5;

    let path = out.join("step-00000001.fold");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[usize::try_from(byte).unwrap()] ^= 0x10;
    std::fs::write(&path, bytes).unwrap();

    let output = fold(&["verify", "--json"]).arg(&out).output().unwrap();
    assert_eq!(code(&output), 1);
    let report = json(&output);
    assert_eq!(report["schema"], "fold.verify/1");
    assert_eq!(
        (&report["summary"]["files"], &report["summary"]["damaged"]),
        (&2.into(), &1.into())
    );
    let file = report["files"]
        .as_array()
        .unwrap()
        .iter()
        .find(|file| file["verdict"] == "damaged")
        .unwrap();
    assert!(file["path"].as_str().unwrap().ends_with("step-00000001.fold"));
    assert!(
        file["damaged_tensors"]
            .as_array()
            .unwrap()
            .contains(&"layer0.filaments".into())
    );
    let finding = &file["findings"][0];
    assert_eq!(
        (finding["code"].as_str(), finding["chunk"].as_str()),
        (Some("FOLD-E0301"), Some("layer"))
    );
    assert!(finding["block"].is_u64());
    let end = |index: usize| finding["byte_range"][index].as_u64().unwrap();
    assert!((end(0)..end(1)).contains(&byte));
    assert!(finding["next_command"].as_str().unwrap().starts_with("fold "));

    let text = stdout(&fold(&["verify"]).arg(&out).output().unwrap());
    for part in ["damaged", "FOLD-E0301", "layer0.", "block ", "bytes ", "next:"] {
        assert!(text.contains(part), "{part} is missing:\n{text}");
    }
}

#[test]
fn a_quick_look_is_not_called_ok() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    assert_eq!(code(&train(&out, "1").output().unwrap()), 0);
    for (level, verdict) in [("quick", "header-ok"), ("structure", "structure-ok"), ("full", "ok")] {
        let output = fold(&["verify", "--json", "--level", level])
            .arg(&out)
            .output()
            .unwrap();
        assert_eq!(code(&output), 0);
        assert_eq!(json(&output)["files"][0]["verdict"], verdict);
    }
}

#[test]
fn what_is_no_container_has_exit_code_10() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let absent = dir.path().join("absent.fold");
    for path in [
        absent,
        file("empty.fold", b""),
        file("text.fold", b"not a checkpoint"),
        dir.path().join("a\u{1b}[31m"),
    ] {
        for command in ["verify", "inspect"] {
            let output = fold(&[command, "--color", "never"]).arg(&path).output().unwrap();
            assert_eq!(code(&output), 10, "{command} {}: {}", path.display(), stdout(&output));
            assert!(
                !output.stdout.contains(&0x1b) && !output.stderr.contains(&0x1b),
                "a control byte was printed"
            );
        }
    }
}

#[test]
fn a_file_of_version_1_that_is_whole_says_what_it_holds_and_what_nothing_protects() {
    let vector = |path: &str| {
        let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fold-format/testdata/v1");
        data.join(path)
    };
    for (name, finding, action) in [
        ("x01_global_call", "FOLD-E0804", "do not load this file elsewhere"),
        (
            "x11_zip_truncated",
            "FOLD-E0805",
            "the bytes are those that were written",
        ),
    ] {
        let path = vector(&format!("corrupted/{name}.fold"));
        let output = fold(&["verify"]).arg(&path).output().unwrap();
        assert_eq!(code(&output), 0, "{name}: the verdict is of the bytes");
        let text = stdout(&output);
        for part in [
            finding,
            "where: chunk `torch_state`",
            action,
            &format!("next:  fold explain {finding}"),
            "  unprotected: file header and parity have no digest; ",
        ] {
            assert!(text.contains(part), "{part} is missing:\n{text}");
        }
    }
    let keyed = stdout(
        &fold(&["verify", "--public-key"])
            .arg(vector("keys/ed25519_public.pem"))
            .arg(vector("container/bh22_trust.fold"))
            .output()
            .unwrap(),
    );
    assert!(
        keyed.ends_with("  unprotected: file header and parity have no digest\n"),
        "{keyed}"
    );
}
