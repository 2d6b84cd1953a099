//! Version 1: every recorded file gives the recorded answer, every damaged one the recorded finding.

use std::collections::BTreeMap;
use std::path::PathBuf;

use fold_format::v1::{self, Content, File, Keys, Kind, Standing};
use fold_format::{Depth, Dtype, Limits, Verdict, VerifyOptions, seal};
use serde_json::Value;

fn testdata(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/v1").join(path)
}

fn manifest() -> Value {
    serde_json::from_slice(&std::fs::read(testdata("manifest.json")).unwrap()).unwrap()
}

fn cases(kind: &str) -> Vec<Value> {
    manifest()[kind].as_array().unwrap().clone()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn key_of(hex: &Value) -> Option<[u8; 32]> {
    Keys::parse_aes256(hex.as_str()?.as_bytes())
}

/// The keys that `params` or `keys` of a case name, and the public key where asked for.
fn keys(of: &Value, public: bool) -> Keys {
    let mut keys = Keys::new();
    if let Some(key) = key_of(&of["aes256_key_hex"]) {
        keys = keys.aes256(key);
    }
    if let Some(key) = of["integrity_key"].as_str() {
        keys = keys.integrity(key.as_bytes());
    }
    if public {
        keys = keys.public(public_key("ed25519_public.pem"));
    }
    keys
}

fn public_key(name: &str) -> seal::PublicKey {
    seal::PublicKey::load(&testdata("keys").join(name)).unwrap()
}

fn verify(path: &str, keys: &Keys) -> v1::Report {
    v1::verify(testdata(path), Depth::All, keys, VerifyOptions::new()).unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    sha2::Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// The verdict of the format's description that a report amounts to.
fn verdict(report: &v1::Report) -> &'static str {
    let is_metadata = |kind: Kind| {
        use Kind::{
            ManifestMismatch, MerkleMismatch, MerkleMissing, ProvenanceInvalid, SignatureInvalid, TrustBlockInvalid,
            TrustBlockMismatch,
        };
        matches!(
            kind,
            ManifestMismatch
                | MerkleMismatch
                | MerkleMissing
                | ProvenanceInvalid
                | SignatureInvalid
                | TrustBlockInvalid
                | TrustBlockMismatch
        )
    };
    let errors = |wanted: &dyn Fn(Kind) -> bool| {
        let mut findings = report.findings.iter();
        findings.any(|finding| finding.severity() == fold_format::Severity::Error && wanted(finding.kind))
    };
    match report.verdict {
        Verdict::Unreadable => "file_error",
        Verdict::Damaged if errors(&|kind| !is_metadata(kind)) => "chunk_error",
        Verdict::Damaged => "metadata_untrusted",
        Verdict::Corrected => "repaired",
        Verdict::Ok if report.findings.is_empty() => "ok",
        Verdict::Ok => "ok_with_warnings",
        other => panic!("{other}"),
    }
}

fn kinds(report: &v1::Report) -> Vec<&'static str> {
    report.findings.iter().map(|finding| finding.kind.as_str()).collect()
}

/// Holds verdict and kinds against a case; both may be alternatives.
fn judge(id: &str, expected: &Value, report: &v1::Report) {
    let wanted = match &expected["verdict"] {
        Value::Array(any) => any.iter().map(text).collect(),
        one => vec![text(one)],
    };
    let found = kinds(report);
    assert!(
        wanted.contains(&verdict(report)),
        "{id}: {} {found:?}, wanted {wanted:?}",
        verdict(report)
    );
    for kind in expected["kinds"].as_array().unwrap_or(&Vec::new()) {
        let there = text(kind).split('|').any(|kind| found.contains(&kind));
        // An alternative verdict of ok needs no kind.
        assert!(
            there || (wanted.len() > 1 && found.is_empty()),
            "{id}: {kind} not in {found:?}"
        );
    }
    if wanted == ["ok"] {
        assert!(found.is_empty(), "{id}: {found:?}");
    }
}

fn numpy_name(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::Bool => "bool",
        Dtype::U8 => "uint8",
        Dtype::I8 => "int8",
        Dtype::I16 => "int16",
        Dtype::I32 => "int32",
        Dtype::I64 => "int64",
        Dtype::F16 => "float16",
        Dtype::F32 => "float32",
        Dtype::F64 => "float64",
        other => panic!("{other}"),
    }
}

/// The digest over name, dtype, shape and bytes of every tensor, as the manifest defines it.
fn tensors_digest(arrays: &[fold_format::interchange::Array<'_>]) -> String {
    let lines = arrays.iter().map(|array| {
        let line = serde_json::json!([
            array.name,
            numpy_name(array.dtype),
            array.shape.extents(),
            sha256(&array.bytes)
        ]);
        format!("{line}\n")
    });
    sha256(lines.collect::<String>().as_bytes())
}

#[test]
fn every_container_gives_what_was_recorded_when_it_was_written() {
    let mut chunks_seen = 0;
    let mut states_seen = 0;
    for case in cases("container") {
        let (id, path, expected) = (text(&case["id"]), text(&case["path"]), &case["expected"]);
        assert_eq!(
            sha256(&std::fs::read(testdata(path)).unwrap()),
            text(&case["file"]["sha256"]),
            "{id}"
        );
        let keys = keys(&case["params"], true);
        let report = verify(path, &keys);
        judge(id, expected, &report);
        if text(&expected["verdict"]) == "file_error" {
            continue;
        }
        let file = File::open(testdata(path), keys, Limits::DEFAULT).unwrap();
        assert_eq!(&*file.info().version, text(&expected["format_version"]), "{id}");
        assert_eq!(file.info().is_mind, expected["is_mind"].as_bool().unwrap(), "{id}");
        let dialect = match text(&expected["dialect"]) {
            "2.0-git-plain" => "2.0-git",
            other => other,
        };
        assert_eq!(file.info().dialect.as_str(), dialect, "{id}");
        let listed = expected["chunks"].as_array().unwrap();
        assert_eq!(file.chunks().len(), listed.len(), "{id}");
        for (entry, chunk) in file.chunks().iter().zip(listed) {
            assert_eq!(
                (&*entry.name, &*entry.ctype),
                (text(&chunk["name"]), text(&chunk["ctype"])),
                "{id}"
            );
            let payload = file.payload(&entry.name).unwrap();
            assert_eq!(
                payload.len() as u64,
                chunk["payload_len"].as_u64().unwrap(),
                "{id} {}",
                entry.name
            );
            assert_eq!(sha256(&payload), text(&chunk["payload_sha256"]), "{id} {}", entry.name);
            chunks_seen += 1;
            let content = Content::read(&entry.ctype, &payload, 1 << 26).unwrap_or_else(|fault| {
                // Some chunks are of a known type in name only.
                assert!(
                    expected["state_tensors"].is_null() || &*entry.name != "torch_state",
                    "{id}: {fault}"
                );
                Content::Bytes(&[])
            });
            match content {
                Content::State(state) => {
                    if let Some(mode) = expected["mode"].as_str() {
                        assert_eq!(state.other("mode").and_then(|mode| mode.as_str()), Some(mode), "{id}");
                    }
                    assert_eq!(
                        tensors_digest(&state.tensors),
                        text(&expected["state_tensors"]["order_and_content_sha256"])
                    );
                    config_sample(id, &state, &expected["config_sample"]);
                    states_seen += 1;
                }
                Content::Safetensors(mut arrays) => {
                    arrays.sort_by(|left, right| left.name.cmp(&right.name));
                    let digest = text(&expected["state_tensors"]["order_and_content_sha256"]);
                    assert_eq!(tensors_digest(&arrays), digest, "{id}");
                    states_seen += 1;
                }
                Content::Arrays(arrays) => {
                    for (array, recorded) in arrays.iter().zip(expected["npz"].as_array().unwrap_or(&Vec::new())) {
                        assert_eq!(
                            (&*array.name, numpy_name(array.dtype)),
                            (text(&recorded["name"]), text(&recorded["dtype"]))
                        );
                        assert_eq!(sha256(&array.bytes), text(&recorded["sha256"]), "{id} {}", array.name);
                    }
                }
                _ => {}
            }
        }
        signatures(id, path, &case);
    }
    assert!(
        chunks_seen > 200 && states_seen > 30,
        "{chunks_seen} chunks, {states_seen} states"
    );
}

fn config_sample(id: &str, state: &v1::torch::TorchState<'_>, sample: &Value) {
    let config = state.other("config").unwrap();
    for (key, value) in sample.as_object().into_iter().flatten() {
        let found = config.get(key).unwrap_or_else(|| panic!("{id}: no {key}"));
        let printed = found.print(fold_format::json::Form::Stored);
        assert_eq!(&serde_json::from_str::<Value>(&printed).unwrap(), value, "{id}: {key}");
    }
}

/// What another public key says of a signed file or one with a trust block.
fn signatures(id: &str, path: &str, case: &Value) {
    let expected = &case["expected"];
    for (part, kind) in [
        ("signature", Kind::SignatureInvalid),
        ("trust_block", Kind::TrustBlockInvalid),
    ] {
        if expected[part]["with_other_key"].as_str() == Some("invalid") {
            let other = keys(&case["params"], false).public(public_key("ed25519_other_public.pem"));
            let report = verify(path, &other);
            assert!(
                report.findings.iter().any(|finding| finding.kind == kind),
                "{id}: {:?}",
                report.findings
            );
            assert_eq!(report.verdict, Verdict::Damaged, "{id}");
        }
    }
    if let Some(kind) = expected["without_integrity_key"].as_str() {
        let report = verify(path, &Keys::new());
        assert!(kinds(&report).contains(&kind), "{id}");
    }
}

#[test]
fn every_damaged_file_gets_its_finding_and_leaves_the_rest_readable() {
    let mut seen = BTreeMap::new();
    for case in cases("corrupted") {
        let (id, path, expected) = (text(&case["id"]), text(&case["path"]), &case["expected"]);
        assert_eq!(
            sha256(&std::fs::read(testdata(path)).unwrap()),
            text(&case["file"]["sha256"]),
            "{id}"
        );
        let keys = keys(&case["keys"], case["keys"]["public_key"].as_bool() == Some(true));
        let report = verify(path, &keys);
        judge(id, expected, &report);
        *seen.entry(id.chars().next().unwrap()).or_insert(0) += 1;
        for (name, standing) in expected["chunks"].as_object().into_iter().flatten() {
            let chunk = report.chunks.iter().find(|chunk| *chunk.name == **name).unwrap();
            let wanted = match text(standing) {
                "ok" => Standing::Ok,
                "repaired" => Standing::Repaired,
                _ => Standing::Error,
            };
            assert_eq!(chunk.standing, wanted, "{id} {name}: {:?}", report.findings);
        }
        for name in expected["salvage"].as_array().unwrap_or(&Vec::new()) {
            let mut findings = report.findings.iter();
            let salvageable = findings.any(|finding| finding.salvageable && finding.chunk.as_deref() == name.as_str());
            assert!(salvageable, "{id} {name}");
        }
        for (name, content) in expected["content"].as_object().into_iter().flatten() {
            let chunk = report.chunks.iter().find(|chunk| *chunk.name == **name).unwrap();
            let found = match chunk.content.as_ref().unwrap() {
                Ok(_) => "ok".to_owned(),
                Err(fault) => format!("error:{}", fault.kind()),
            };
            assert_eq!(found, text(content), "{id} {name}");
        }
        for (name, digest) in expected["payload_sha256"].as_object().into_iter().flatten() {
            let file = File::open(testdata(path), keys.clone(), Limits::DEFAULT).unwrap();
            // Where the two copies of its header differ, the payload comes by the one that its digests agree with.
            let payload = file.payload(name).ok().or_else(|| file.salvage(name));
            assert_eq!(sha256(&payload.unwrap()), text(digest), "{id} {name}");
        }
        tensors(id, path, &keys, &expected["tensors"]);
    }
    for (family, least) in [
        ('h', 17),
        ('t', 9),
        ('i', 45),
        ('k', 14),
        ('r', 17),
        ('s', 22),
        ('x', 16),
        ('z', 12),
    ] {
        assert!(seen[&family] >= least, "{family}: {seen:?}");
    }
}

fn tensors(id: &str, path: &str, keys: &Keys, expected: &Value) {
    for (name, listed) in expected.as_object().into_iter().flatten() {
        let file = File::open(testdata(path), keys.clone(), Limits::DEFAULT).unwrap();
        let payload = file.payload(name).unwrap();
        let Content::State(state) = Content::read("TSAV", &payload, 0).unwrap() else {
            panic!("{id}")
        };
        let found: Vec<Value> = state
            .tensors
            .iter()
            .map(|array| {
                serde_json::json!([
                    array.name,
                    numpy_name(array.dtype),
                    array.shape.extents(),
                    sha256(&array.bytes)
                ])
            })
            .collect();
        assert_eq!(&Value::Array(found), listed, "{id}");
    }
}

#[test]
fn a_whole_file_flipped_bit_by_bit_never_gives_a_wrong_payload() {
    let path = testdata("container/b102_zstd.fold");
    let whole = std::fs::read(path).unwrap();
    let payloads = |bytes: &[u8]| -> Option<BTreeMap<String, Vec<u8>>> {
        let file = File::open_source(bytes.to_vec(), Keys::new(), Limits::DEFAULT).ok()?;
        let entries = file.chunks().iter();
        let read = entries.filter_map(|entry| Some((entry.name.to_string(), file.payload(&entry.name).ok()?.to_vec())));
        Some(read.collect())
    };
    let right = payloads(&whole).unwrap();
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        for (name, payload) in payloads(&flipped).unwrap_or_default() {
            // A flipped bit may rename a chunk; its bytes are those of one that was written.
            let known = right.get(&name).map_or_else(
                || right.values().any(|right| *right == payload),
                |right| *right == payload,
            );
            assert!(known, "bit {bit}: {name}");
        }
    }
}

#[test]
fn every_prefix_gets_an_answer() {
    let whole = std::fs::read(testdata("container/bh22_trust.fold")).unwrap();
    for len in 0..whole.len() {
        let report = v1::verify_source(&whole[..len], Depth::All, &Keys::new(), VerifyOptions::new()).unwrap();
        assert_eq!(report.verdict, Verdict::Unreadable, "{len}");
    }
}

#[test]
fn lower_levels_say_how_far_they_went() {
    let path = testdata("corrupted/p01_bit_stored.fold");
    let at = |depth| {
        v1::verify(&path, depth, &Keys::new(), VerifyOptions::new())
            .unwrap()
            .verdict
    };
    assert_eq!(at(Depth::Superblock), Verdict::HeaderOk);
    assert_eq!(at(Depth::Index), Verdict::StructureOk);
    assert_eq!(at(Depth::Chunk("alpha")), Verdict::StructureOk);
    assert_eq!(at(Depth::Chunk("beta")), Verdict::Damaged);
}

#[test]
fn repair_gives_back_the_bytes_that_were_written_or_refuses() {
    for case in cases("corrupted") {
        let (id, path) = (text(&case["id"]), text(&case["path"]));
        let Ok(file) = File::open(testdata(path), keys(&case["keys"], false), Limits::DEFAULT) else {
            continue;
        };
        let mut out = Vec::new();
        let repaired = v1::repair(&file, &mut out);
        let verdict = text(
            case["expected"]["verdict"]
                .as_array()
                .map_or(&case["expected"]["verdict"], |any| &any[0]),
        );
        match verdict {
            "repaired" => {
                assert!(!repaired.unwrap().is_nothing(), "{id}");
                let base = testdata(&format!("container/{}.fold", text(&case["base"])));
                assert_eq!(out, std::fs::read(base).unwrap(), "{id}: restored byte for byte");
            }
            "ok" => assert!(
                repaired.unwrap().is_nothing() && out == std::fs::read(testdata(path)).unwrap(),
                "{id}"
            ),
            _ => match repaired {
                Ok(repair) => {
                    let report = v1::verify_source(&out, Depth::All, &keys(&case["keys"], false), VerifyOptions::new());
                    assert_eq!(report.unwrap().verdict, Verdict::Ok, "{id}: {repair:?}");
                }
                Err(_) => assert!(out.is_empty(), "{id}: something was written before it was refused"),
            },
        }
    }
}

#[test]
fn a_written_file_is_whole_and_reproducible() {
    use v1::{Chunk, Compression, Protection, Version1};
    let metadata = fold_format::json::parse(br#"{"model_type":"X","tags":{"a":"\u00e9"},"n":1e16}"#).unwrap();
    let large = vec![7; 100_000];
    for compression in [Compression::Stored, Compression::Zstd] {
        for protection in [Protection::Off, Protection::High] {
            let content = Version1 {
                metadata: metadata.clone(),
                created_at_unix: 1.5,
                chunks: vec![
                    Chunk {
                        name: "small",
                        ctype: "JSON",
                        payload: b"{\"a\":1}".as_slice().into(),
                    },
                    Chunk {
                        name: "large",
                        ctype: "BYTE",
                        payload: large.as_slice().into(),
                    },
                    Chunk {
                        name: "empty",
                        ctype: "BYTE",
                        payload: [].as_slice().into(),
                    },
                ],
                compression,
                protection,
            };
            let mut bytes = Vec::new();
            v1::write(&mut bytes, &content).unwrap();
            let mut again = Vec::new();
            v1::write(&mut again, &content).unwrap();
            assert_eq!(bytes, again);
            let report = v1::verify_source(&bytes, Depth::All, &Keys::new(), VerifyOptions::new()).unwrap();
            assert_eq!(
                (report.verdict, report.findings_total),
                (Verdict::Ok, 0),
                "{:?}",
                report.findings
            );
            let file = File::open_source(bytes, Keys::new(), Limits::DEFAULT).unwrap();
            assert_eq!(*file.payload("large").unwrap(), [7; 100_000]);
            assert!(file.payload("empty").unwrap().is_empty());
        }
    }
}
