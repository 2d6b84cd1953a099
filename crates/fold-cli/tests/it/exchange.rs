//! Convert, diff and extract as their users call them: every pair of formats, what is refused, keys, the documented session.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use super::{code, fold, json, names_in, stderr, stdout, train};

fn vector(name: &str) -> PathBuf {
    let path = format!("../fold-format/testdata/v1/container/{name}");
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn in_dir(dir: &Path, arguments: &[&str]) -> Output {
    fold(arguments).current_dir(dir).output().unwrap()
}

/// The object of a command that must end with `exit`.
fn reported(dir: &Path, arguments: &[&str], exit: i32) -> Value {
    let output = fold(arguments).arg("--json").current_dir(dir).output().unwrap();
    assert_eq!(
        code(&output),
        exit,
        "{arguments:?}: {}{}",
        stdout(&output),
        stderr(&output)
    );
    json(&output)
}

/// A file of PyFolds and what it becomes in every format: name, format.
fn every_format(dir: &Path) -> [(&'static str, &'static str); 4] {
    std::fs::copy(vector("c102_d2s4_none_off.fold"), dir.join("one.fold")).unwrap();
    for target in ["two.fold", "three.safetensors", "four.npz"] {
        reported(dir, &["convert", "one.fold", target], 0);
    }
    [
        ("one.fold", "fold-v1"),
        ("two.fold", "fold-v2"),
        ("three.safetensors", "safetensors"),
        ("four.npz", "npz"),
    ]
}

#[test]
fn every_format_becomes_every_other_and_the_tensors_are_equal() {
    let dir = tempfile::tempdir().unwrap();
    let files = every_format(dir.path());
    for (source, source_format) in files {
        for (to, format) in [
            ("v1", "fold-v1"),
            ("v2", "fold-v2"),
            ("safetensors", "safetensors"),
            ("npz", "npz"),
        ] {
            let target = format!("{source}.{to}");
            let report = reported(dir.path(), &["convert", source, &target, "--to", to], 0);
            assert_eq!(
                (&report["source_format"], &report["output_format"], &report["state"]),
                (&source_format.into(), &format.into(), &Value::Null),
                "{target}"
            );
            assert_eq!(report["tensors"], 75, "{target}");
            let verified = reported(dir.path(), &["verify", &target], 0);
            assert_eq!(verified["files"][0]["format"], format);
            let diff = reported(dir.path(), &["diff", source, &target], 0);
            assert_eq!(diff["equal"], true);
            let lost = report["losses"].as_array().unwrap();
            assert_eq!(
                lost.is_empty(),
                format != "npz" || source_format == "npz",
                "{target}: {lost:?}"
            );
        }
    }
}

#[test]
fn what_a_state_became_is_reported_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(vector("c102_d2s4_none_off.fold"), dir.path().join("one.fold")).unwrap();
    let convert = ["convert", "one.fold", "arrays.fold", "--state", "arrays"];
    let state = reported(dir.path(), &convert, 0)["state"].clone();
    assert_eq!(
        (&state["form"], &state["neurons"], &state["tensors"]),
        (&"arrays".into(), &1.into(), &69.into())
    );
    let mapped: Vec<_> = state["mapped"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mapped| mapped["array"].clone())
        .collect();
    assert_eq!(mapped, ["layer0.filaments", "layer0.internal", "layer0.theta"]);
    let text = in_dir(dir.path(), &["convert", "one.fold", "a.npz", "--state", "arrays"]);
    assert!(
        stdout(&text).contains("`dendrites.*.synapses.*.N` is `layer0.filaments`"),
        "{}",
        stdout(&text)
    );
    reported(dir.path(), &["diff", "one.fold", "arrays.fold"], 0);
    let text = in_dir(dir.path(), &["convert", "a.npz", "b.fold", "--state", "arrays"]);
    assert!(stdout(&text).contains("no neurons to lay out"), "{}", stdout(&text));
}

#[test]
fn nothing_is_overwritten_and_nothing_is_left_behind() {
    let dir = tempfile::tempdir().unwrap();
    every_format(dir.path());
    std::fs::write(dir.path().join("text.fold"), "no container").unwrap();
    std::fs::write(dir.path().join("cut.npz"), b"PK\x03\x04").unwrap();
    let mut damaged = std::fs::read(dir.path().join("two.fold")).unwrap();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 1;
    std::fs::write(dir.path().join("damaged.fold"), damaged).unwrap();
    let mut cut = std::fs::read(dir.path().join("three.safetensors")).unwrap();
    cut.pop();
    std::fs::write(dir.path().join("cut.safetensors"), cut).unwrap();
    let before = names_in(dir.path());
    let whole = std::fs::read(dir.path().join("two.fold")).unwrap();
    for (arguments, exit, code) in [
        (&["convert", "one.fold", "two.fold"][..], 21, "FOLD-E0003"),
        (&["convert", "two.fold", "two.fold"], 21, "FOLD-E0003"),
        (
            &["extract", "one.fold", "--chunk", "metrics", "-o", "two.fold"],
            21,
            "FOLD-E0003",
        ),
        (&["convert", "one.fold", "target"], 2, "FOLD-E0001"),
        (&["convert", "absent.fold", "new.fold"], 10, "FOLD-E0103"),
        (&["convert", "text.fold", "new.fold"], 10, "FOLD-E0802"),
        (&["convert", "damaged.fold", "new.npz"], 20, "FOLD-E0802"),
        (&["convert", "cut.safetensors", "new.fold"], 20, "FOLD-E0802"),
        (&["convert", "cut.npz", "new.fold"], 20, "FOLD-E0802"),
        (&["diff", "one.fold", "damaged.fold"], 20, "FOLD-E0802"),
        (
            &["extract", "one.fold", "--chunk", "nothing", "-o", "new"],
            2,
            "FOLD-E0005",
        ),
        (
            &["extract", "four.npz", "--tensor", "nothing", "-o", "new"],
            2,
            "FOLD-E0005",
        ),
        (
            &["extract", "three.safetensors", "--chunk", "tensors", "-o", "new"],
            2,
            "FOLD-E0005",
        ),
        (&["convert", "one.fold", "no/such/dir.fold"], 74, "FOLD-E0406"),
    ] {
        let output = fold(arguments).arg("--json").current_dir(dir.path()).output().unwrap();
        let error = json(&output);
        assert_eq!(
            (super::code(&output), &error["code"]),
            (exit, &code.into()),
            "{arguments:?}: {error}"
        );
        assert_eq!(names_in(dir.path()), before, "{arguments:?}");
    }
    assert_eq!(std::fs::read(dir.path().join("two.fold")).unwrap(), whole);
    for usage in [
        &["convert", "one.fold"][..],
        &["convert", "one.fold", "new.fold", "--to", "hdf5"],
        &["extract", "one.fold", "--chunk", "a", "--tensor", "b", "-o", "new"],
        &["extract", "one.fold", "-o", "new"],
        &["diff", "one.fold", "two.fold", "--bitwise", "--atol", "1"],
    ] {
        assert_eq!(code(&in_dir(dir.path(), usage)), 2, "{usage:?}");
    }
    assert_eq!(names_in(dir.path()), before);
}

/// A safetensors file of one tensor.
fn tensor(path: &Path, dtype: &str, shape: &str, bytes: &[u8]) {
    let header = format!(
        r#"{{"w":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{}]}}}}"#,
        bytes.len()
    );
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.extend_from_slice(bytes);
    std::fs::write(path, file).unwrap();
}

#[test]
fn a_difference_is_named_and_measured() {
    let dir = tempfile::tempdir().unwrap();
    let floats = |values: [f32; 2]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
    tensor(&dir.path().join("a.safetensors"), "F32", "[2]", &floats([1.0, 2.0]));
    tensor(&dir.path().join("b.safetensors"), "F32", "[2]", &floats([1.0, 2.5]));
    tensor(
        &dir.path().join("shape.safetensors"),
        "F32",
        "[1,2]",
        &floats([1.0, 2.0]),
    );
    tensor(&dir.path().join("dtype.safetensors"), "I32", "[2]", &floats([1.0, 2.0]));
    let changed =
        |second: &str| reported(dir.path(), &["diff", "a.safetensors", second], 1)["tensors"]["changed"][0].clone();
    let values = changed("b.safetensors");
    assert_eq!(
        (
            &values["reason"],
            &values["max_abs"],
            &values["max_rel"],
            &values["differing"]
        ),
        (&"values".into(), &0.5.into(), &0.2.into(), &1.into())
    );
    assert_eq!(changed("shape.safetensors")["reason"], "shape");
    assert_eq!(changed("dtype.safetensors")["reason"], "dtype");
    for tolerance in [["--atol", "0.5"], ["--rtol", "0.2"]] {
        let arguments = [&["diff", "a.safetensors", "b.safetensors"][..], &tolerance].concat();
        assert_eq!(reported(dir.path(), &arguments, 0)["equal"], true);
    }
    every_format(dir.path());
    let other = reported(dir.path(), &["diff", "a.safetensors", "one.fold"], 1);
    assert_eq!(
        (
            &other["tensors"]["removed"][0],
            other["tensors"]["added"].as_array().unwrap().len()
        ),
        (&"w".into(), 75)
    );
    std::fs::copy(vector("c102_d2s4_none_med.fold"), dir.path().join("med.fold")).unwrap();
    let metadata = reported(dir.path(), &["diff", "one.fold", "med.fold"], 1)["metadata"].clone();
    assert_eq!(metadata["compared"], true);
}

#[test]
fn bf16_goes_into_npz_only_when_its_loss_is_allowed() {
    let dir = tempfile::tempdir().unwrap();
    tensor(&dir.path().join("half.safetensors"), "BF16", "[2]", &[0x80, 0x3f, 0, 0]);
    let refused = reported(dir.path(), &["convert", "half.safetensors", "half.npz"], 21);
    assert_eq!(refused["code"], "FOLD-E0801");
    assert!(refused["message"].as_str().unwrap().contains("--lossy allow"));
    let allowed = ["convert", "half.safetensors", "half.npz", "--lossy", "allow"];
    assert_eq!(reported(dir.path(), &allowed, 0)["losses"][0]["code"], "FOLD-E0801");
    reported(dir.path(), &["convert", "half.npz", "half.fold"], 0);
}

#[test]
fn one_tensor_comes_out_of_every_format_alike() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = None;
    for (number, (file, _)) in every_format(dir.path()).into_iter().enumerate() {
        let output = format!("{number}.npy");
        let name = "nuclear_arrays.N";
        let report = reported(dir.path(), &["extract", file, "--tensor", name, "-o", &output], 0);
        assert_eq!(
            (&report["dtype"], &report["shape"]),
            (&"i32".into(), &serde_json::json!([2, 4]))
        );
        let bytes = std::fs::read(dir.path().join(output)).unwrap();
        assert!(bytes.starts_with(b"\x93NUMPY"));
        assert_eq!(*first.get_or_insert_with(|| bytes.clone()), bytes, "{file}");
    }
    reported(
        dir.path(),
        &["extract", "one.fold", "--chunk", "llm_manifest", "-o", "one.json"],
        0,
    );
    reported(
        dir.path(),
        &["extract", "two.fold", "--chunk", "llm_manifest", "-o", "two.json"],
        0,
    );
    let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    assert_eq!(read("one.json"), read("two.json"));
}

const AES_KEY: &str = "8074af41d2c1943b21be4f0858a82c7b80bafd0b607c1354e997bc88d402a98d";

/// An encrypted file with parity, and the key beside it.
fn encrypted(dir: &Path) {
    std::fs::copy(vector("h22_enc_rs.fold"), dir.join("secret.fold")).unwrap();
    std::fs::write(dir.join("key"), AES_KEY).unwrap();
    std::fs::write(dir.join("other-key"), AES_KEY.replace("80", "81")).unwrap();
}

#[test]
fn an_encrypted_file_is_converted_compared_and_extracted_with_its_key_alone() {
    let dir = tempfile::tempdir().unwrap();
    encrypted(dir.path());
    for (wrong, exit, code) in [
        (&[][..], 2, "FOLD-E0311"),
        (&["--key-file", "other-key"], 20, "FOLD-E0802"),
    ] {
        let convert = [&["convert", "secret.fold", "clear.fold"][..], wrong].concat();
        assert_eq!(reported(dir.path(), &convert, exit)["code"], code);
        assert!(!dir.path().join("clear.fold").exists());
    }
    let key = ["--key-file", "key"];
    reported(
        dir.path(),
        &[&["convert", "secret.fold", "clear.fold"][..], &key].concat(),
        0,
    );
    reported(
        dir.path(),
        &[&["diff", "secret.fold", "clear.fold"][..], &key].concat(),
        0,
    );
    let chunk = reported(dir.path(), &["inspect", "secret.fold"], 0)["files"][0]["chunks"][0]["name"].clone();
    let extract = [
        "extract",
        "secret.fold",
        "-o",
        "chunk",
        "--chunk",
        chunk.as_str().unwrap(),
    ];
    reported(dir.path(), &[&extract[..], &key].concat(), 0);

    std::fs::copy(vector("h22_hmac.fold"), dir.path().join("keyed.fold")).unwrap();
    std::fs::write(dir.path().join("integrity"), "chave-de-integridade-dev-é-1\n").unwrap();
    assert_eq!(
        reported(dir.path(), &["convert", "keyed.fold", "k.fold"], 2)["code"],
        "FOLD-E0311"
    );
    let convert = ["convert", "keyed.fold", "k.fold", "--integrity-key-file", "integrity"];
    reported(dir.path(), &convert, 0);
}

/// Where a chunk's stored bytes begin, and how many there are.
fn stored(dir: &Path, file: &str, number: usize) -> (usize, usize) {
    let chunk = reported(dir, &["inspect", file], 0)["files"][0]["chunks"][number].clone();
    let number = |key: &str| usize::try_from(chunk[key].as_u64().unwrap()).unwrap();
    (number("offset"), number("stored_bytes"))
}

#[test]
fn an_encrypted_file_is_repaired_to_its_bytes_and_salvaged_with_its_key() {
    let dir = tempfile::tempdir().unwrap();
    encrypted(dir.path());
    let whole = std::fs::read(dir.path().join("secret.fold")).unwrap();
    let (start, len) = stored(dir.path(), "secret.fold", 0);
    let mut damaged = whole.clone();
    damaged[start + len / 2] ^= 0x40;
    std::fs::write(dir.path().join("damaged.fold"), &damaged).unwrap();
    let key = ["--key-file", "key"];
    let verified = reported(dir.path(), &[&["verify", "damaged.fold"][..], &key].concat(), 1);
    assert_eq!(verified["files"][0]["verdict"], "corrected");
    let repair = ["repair", "damaged.fold", "-o", "repaired.fold"];
    let report = reported(dir.path(), &[&repair[..], &key].concat(), 0);
    assert_eq!(report["verdict"], "corrected");
    assert!(std::fs::read(dir.path().join("repaired.fold")).unwrap() == whole);

    // Beyond parity, in the first chunk: the others are saved, decrypted.
    for byte in &mut damaged[start..start + len] {
        *byte ^= 0xFF;
    }
    std::fs::write(dir.path().join("lost.fold"), &damaged).unwrap();
    let repair = ["repair", "lost.fold", "-o", "no.fold"];
    reported(dir.path(), &[&repair[..], &key].concat(), 20);
    assert!(!dir.path().join("no.fold").exists());
    let salvage = |output: &str, keys: &[&str]| {
        let arguments = [&["salvage", "lost.fold", "-o", output, "--json"], keys].concat();
        let output = in_dir(dir.path(), &arguments);
        json(&output)
    };
    let with = salvage("with", &key);
    let without = salvage("without", &[]);
    let count = |report: &Value, key: &str| report[key].as_array().unwrap().len();
    assert!(
        count(&with, "chunks_saved") + count(&with, "tensors_saved") > 0,
        "{with}"
    );
    assert!(
        count(&without, "chunks_saved") + count(&without, "tensors_saved")
            < count(&with, "chunks_saved") + count(&with, "tensors_saved"),
        "{without}"
    );
}

/// The session of the migration guide prints what it says: each command, and the lines below it; `...` stands for any.
#[cfg(unix)]
#[test]
fn the_session_of_the_migration_guide_is_what_happens() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(vector("c102_d2s4_zstd_off.fold"), dir.path().join("neuron.fold")).unwrap();
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/migrating-from-pyfolds.md");
    let document = std::fs::read_to_string(document).unwrap();
    let session = document
        .split("```console\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    let mut commands = 0;
    let mut lines = session.lines().peekable();
    while let Some(line) = lines.next() {
        let command = line.strip_prefix("$ ").unwrap();
        commands += 1;
        let mut wanted = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with("$ ")) {
            wanted.push(line);
        }
        let output = super::shell(&format!("exec 2>&1; {command}"))
            .current_dir(dir.path())
            .output()
            .unwrap();
        let said = stdout(&output);
        let said: Vec<&str> = said.lines().collect();
        let fits = match wanted.iter().position(|line| *line == "...") {
            None => wanted == said,
            Some(gap) => said.starts_with(&wanted[..gap]) && said.ends_with(&wanted[gap + 1..]),
        };
        assert!(
            fits,
            "`{command}` printed\n{}\nand not\n{}",
            said.join("\n"),
            wanted.join("\n")
        );
    }
    assert!(commands >= 6, "the session has {commands} commands");
}

/// The most that looking at a file allocates, whatever the length of what it holds.
const LOOK_MAX: usize = 4 << 20;

#[test]
fn a_look_at_a_long_file_takes_little_memory_in_every_format() {
    let dir = tempfile::tempdir().unwrap();
    let values = vec![7; 32 << 20];
    tensor(
        &dir.path().join("a.safetensors"),
        "U8",
        &format!("[{}]", values.len()),
        &values,
    );
    for (source, target, to) in [
        ("a.safetensors", "a.npz", "npz"),
        ("a.npz", "a.fold", "v1"),
        ("a.npz", "b.fold", "v2"),
    ] {
        reported(dir.path(), &["convert", source, target, "--to", to], 0);
    }
    for file in ["a.safetensors", "a.npz", "a.fold"] {
        for command in [
            "verify FILE",
            "inspect FILE",
            "inspect FILE --stats",
            "diff FILE b.fold",
        ] {
            let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
            let words = command.split(' ').map(|word| match word {
                "FILE" => path(file),
                "b.fold" => path(word),
                word => word.to_owned(),
            });
            let words: Vec<_> = words.collect();
            let (weight, _) = super::hostile::weighed(&words, &dir.path().join("weight"));
            assert!(weight < LOOK_MAX, "{command} of {file} allocated {weight} bytes");
        }
    }
    let stats = |file| reported(dir.path(), &["inspect", file, "--stats"], 0)["files"][0]["tensors"][0].clone();
    for file in ["a.npz", "a.fold", "a.safetensors"] {
        let found = stats(file);
        assert_eq!(
            (&found["stats"]["mean"], &found["stats"]["count"], &found["bytes"]),
            (&7.0.into(), &values.len().into(), &values.len().into()),
            "{file}"
        );
        // Where the tensor is said to begin, it does.
        let offset = usize::try_from(found["offset"].as_u64().unwrap()).unwrap();
        let bytes = std::fs::read(dir.path().join(file)).unwrap();
        assert!(bytes[offset] == 7 && bytes[offset - 1] != 7, "{file}");
    }
}

#[test]
fn an_inspection_of_version_1_says_what_the_file_is() {
    let dir = tempfile::tempdir().unwrap();
    for (name, said, facts) in [
        (
            "c102_d2s4_none_off.fold",
            "  dialect 1.0.2 of PyFolds (recorded, not checked)",
            "00000",
        ),
        (
            "c102_graph.mind",
            "  dialect 1.0.2 of PyFolds, a mind (recorded, not checked)",
            "10000",
        ),
        (
            "c102_full_signed.fold",
            "  dialect 1.0.2 of PyFolds, with a signature over four fields of its metadata (recorded, not checked)",
            "00010",
        ),
        (
            "h22_level_high.mind",
            "  dialect 2.2.0 of PyFolds, a mind, encrypted, with a Merkle root, with a trust block (recorded, not checked)",
            "11101",
        ),
    ] {
        let path = vector(name);
        let path = path.to_str().unwrap();
        let text = stdout(&in_dir(dir.path(), &["inspect", path]));
        assert_eq!(text.lines().nth(1), Some(said), "{name}");
        let report = fold(&["inspect", "--json", path]).output().unwrap();
        let version_1 = json(&report)["files"][0]["version_1"].clone();
        let keys = ["mind", "encrypted", "merkle", "signed_fields", "trust_block"];
        let found: String = keys
            .map(|key| if version_1[key] == true { '1' } else { '0' })
            .iter()
            .collect();
        assert_eq!(found, facts, "{name}");
    }
}

#[test]
fn what_the_target_cannot_have_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    assert_eq!(code(&train(&out, "1").output().unwrap()), 0);
    let source = out.join("step-00000001.fold");
    for (target, options) in [
        ("a.safetensors", &["--parity", "high"][..]),
        ("a.safetensors", &["--digest", "blake3"]),
        ("a.npz", &["--encoding", "zstd"]),
        ("a.fold", &["--to", "v1", "--digest", "blake3"]),
        ("a.fold", &["--to", "v1", "--encoding", "shuffle-zstd"]),
    ] {
        let mut command = fold(&["convert", "--json"]);
        let output = command
            .arg(&source)
            .arg(dir.path().join(target))
            .args(options)
            .output()
            .unwrap();
        assert_eq!(code(&output), 2, "{target} {options:?}");
        assert_eq!(json(&output)["code"], "FOLD-E0001");
        assert!(!dir.path().join(target).exists());
    }
}

/// An npz file of one array `a`, big-endian, so that its elements have to be turned before they are of use.
fn big_endian(path: &Path, values: u32) {
    let elements: Vec<u8> = (0..values).flat_map(u32::to_be_bytes).collect();
    let header = format!("{{'descr': '>u4', 'fortran_order': False, 'shape': ({values},), }}");
    let mut npy = b"\x93NUMPY\x01\x00".to_vec();
    npy.extend_from_slice(&u16::try_from(header.len()).unwrap().to_le_bytes());
    npy.extend_from_slice(header.as_bytes());
    npy.extend_from_slice(&elements);
    let crc = !npy.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 * (crc & 1)))
    });
    // Version, flags, method and time, the same in both headers; then checksum and lengths.
    let mut described = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let len = u32::try_from(npy.len()).unwrap();
    for number in [crc, len, len] {
        described.extend_from_slice(&number.to_le_bytes());
    }
    described.extend_from_slice(&[5, 0, 0, 0]);
    let local = [b"PK\x03\x04", &described[..], b"a.npy"].concat();
    let central = [b"PK\x01\x02\x14\x00", &described[..], &[0; 14], b"a.npy"].concat();
    let mut end = b"PK\x05\x06\0\0\0\0\x01\0\x01\0".to_vec();
    for number in [central.len(), local.len() + npy.len()] {
        end.extend_from_slice(&u32::try_from(number).unwrap().to_le_bytes());
    }
    end.extend_from_slice(&[0; 2]);
    std::fs::write(path, [local, npy, central, end].concat()).unwrap();
}

#[test]
fn an_array_that_has_to_be_decoded_is_converted_in_pieces() {
    let dir = tempfile::tempdir().unwrap();
    let values = 4 << 20;
    big_endian(&dir.path().join("a.npz"), values);
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let words = ["convert".to_owned(), path("a.npz"), path("a.safetensors")];
    let (weight, _) = super::hostile::weighed(&words, &dir.path().join("weight"));
    assert!(weight < 2 * LOOK_MAX, "allocated {weight} bytes");
    let bytes = std::fs::read(dir.path().join("a.safetensors")).unwrap();
    let elements: Vec<u8> = (0..values).flat_map(u32::to_le_bytes).collect();
    assert!(bytes.ends_with(&elements));
}
