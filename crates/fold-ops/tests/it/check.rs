//! Reports of verify and inspect: what they name, what they end with, what they advise.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use fold_format::{Class, Verdict};
use fold_ops::check::{Level, VerifyReport, verify};
use fold_ops::exchange::{self, ConvertOptions, Tolerance};
use fold_ops::inspect::{InspectOptions, inspect};
use fold_ops::{Code, ExitCode, Int, Keys, PublicKey, StoreWriter};

use crate::written::{flip, save_step};

pub(crate) fn verified(path: impl AsRef<Path>, level: Level) -> VerifyReport {
    let paths = [path.as_ref().to_path_buf()];
    verify(&paths, level, 100, &Keys::new(), &mut |_, _| ControlFlow::Continue(())).unwrap()
}

pub(crate) fn run_of(steps: u64) -> (tempfile::TempDir, StoreWriter) {
    let dir = tempfile::tempdir().unwrap();
    let writer = StoreWriter::create(dir.path().join("digits")).unwrap();
    for step in 1..=steps {
        save_step(&writer, step, 0.5).unwrap();
    }
    (dir, writer)
}

#[test]
fn the_verdict_names_its_level() {
    let (_dir, writer) = run_of(1);
    for (level, verdict) in [
        (Level::Quick, Verdict::HeaderOk),
        (Level::Structure, Verdict::StructureOk),
        (Level::Full, Verdict::Ok),
    ] {
        let report = verified(writer.store().path_of(1), level);
        assert_eq!((report.files[0].verdict, report.exit_code), (verdict, ExitCode::Done));
    }
}

#[test]
fn a_flipped_bit_in_a_tensor_is_located_and_the_run_is_to_be_resumed() {
    let (_dir, writer) = run_of(2);
    let path = writer.store().path_of(2);
    let tensor = inspect(&path, &InspectOptions::default()).unwrap().files[0].tensors[0].clone();
    let Int(offset) = tensor.offset;
    flip(&path, offset as usize + 5, 6);
    let report = verified(writer.store().dir(), Level::Full);
    assert_eq!(report.exit_code, ExitCode::No);
    assert_eq!((report.summary.files, report.summary.damaged), (2, 1));
    let file = &report.files[1];
    assert_eq!((file.verdict, file.blocks_bad), (Verdict::Damaged, Int(1)));
    assert_eq!(file.damaged_tensors, ["layer0.weights".into()]);
    let finding = &file.findings[0];
    assert_eq!(finding.code, Code::Format(fold_format::Code::BlockDigest));
    assert_eq!(finding.chunk.as_deref(), Some("state"));
    assert_eq!(finding.tensor.as_deref(), Some("layer0.weights"));
    assert!(finding.block.is_some());
    let [Int(from), Int(to)] = finding.byte_range.unwrap();
    assert!(from <= offset + 5 && offset + 5 < to, "{from}..{to}");
    let next = finding.next_command.as_deref().unwrap();
    assert!(
        next.starts_with("fold train --out ") && next.ends_with("/digits --resume"),
        "{next}"
    );
    let place = finding.place();
    assert!(
        place.starts_with("chunk `state`, tensor `layer0.weights`, block "),
        "{place}"
    );
}

#[test]
fn a_run_without_a_whole_checkpoint_is_not_to_be_resumed() {
    let (_dir, writer) = run_of(2);
    for step in [1, 2] {
        let path = writer.store().path_of(step);
        let middle = fs::metadata(&path).unwrap().len() as usize / 2;
        flip(&path, middle, 0);
    }
    let report = verified(writer.store().dir(), Level::Full);
    for file in &report.files {
        let next = file.findings[0].next_command.as_deref().unwrap();
        assert!(next.starts_with("fold salvage "), "{next}");
        assert!(
            file.findings[0]
                .action
                .contains("no checkpoint of this directory is whole")
        );
    }
}

#[test]
fn an_old_damaged_checkpoint_is_superseded_by_a_newer_whole_one() {
    let (_dir, writer) = run_of(3);
    fs::write(writer.store().path_of(1), "x").unwrap();
    let len = fs::metadata(writer.store().path_of(2)).unwrap().len() as usize;
    flip(&writer.store().path_of(2), len / 2, 1);
    let report = verified(writer.store().dir(), Level::Full);
    let finding = &report.files[1].findings[0];
    assert!(finding.action.contains("nothing is lost"), "{}", finding.action);
    assert!(finding.next_command.as_deref().unwrap().ends_with("step-00000003.fold"));
}

#[test]
fn every_damage_has_bytes_an_action_and_a_command() {
    let (_dir, writer) = run_of(1);
    let path = writer.store().path_of(1);
    let whole = fs::read(&path).unwrap();
    for offset in (0..whole.len()).step_by(509).chain([whole.len() - 1]) {
        fs::write(&path, &whole).unwrap();
        flip(&path, offset, 2);
        let report = verified(&path, Level::Full);
        assert_eq!(report.exit_code, ExitCode::No, "bit of byte {offset}");
        let findings = &report.files[0].findings;
        let covers = |range: [Int; 2]| (range[0].0..range[1].0).contains(&(offset as u64));
        assert!(
            findings.iter().filter_map(|finding| finding.byte_range).any(covers),
            "byte {offset}"
        );
        for finding in findings {
            assert!(!finding.action.is_empty() && finding.next_command.is_some());
            assert!(finding.message.starts_with(finding.code.meaning()));
        }
    }
}

#[test]
fn what_is_no_container_is_told_from_what_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let exit = |path: PathBuf| verified(path, Level::Full).exit_code;
    assert_eq!(exit(dir.path().join("absent.fold")), ExitCode::Absent);
    assert_eq!(exit(at("empty.fold", b"")), ExitCode::Absent);
    assert_eq!(exit(at("random.fold", &[0x5a; 9000])), ExitCode::Absent);
    assert_eq!(exit(PathBuf::from("/dev/null")), ExitCode::Absent);
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(exit(empty.path().into()), ExitCode::Absent);
}

#[test]
fn a_break_off_ends_the_command() {
    let (_dir, writer) = run_of(1);
    let stopped = verify(
        &[writer.store().dir().into()],
        Level::Full,
        1,
        &Keys::new(),
        &mut |_, _| ControlFlow::Break(()),
    );
    assert_eq!(stopped.unwrap_err().exit(), ExitCode::Interrupted);
}

#[test]
fn an_inspection_reads_the_index_and_says_so() {
    let (_dir, writer) = run_of(1);
    let path = writer.store().path_of(1);
    let report = inspect(&path, &InspectOptions::default()).unwrap();
    assert_eq!(report.digests, "recorded, not checked");
    let file = &report.files[0];
    let chunks = file
        .chunks
        .iter()
        .map(|chunk| (chunk.name.as_str(), &*chunk.kind))
        .collect::<Vec<_>>();
    assert_eq!(chunks, [("history", "JSON"), ("state", "TENS")]);
    assert_eq!(file.metadata["score"], 0.5);
    assert_eq!(
        (file.version.as_deref(), file.parity.as_str(), file.signed),
        (Some("2.0"), "off", false)
    );

    let asked = InspectOptions {
        tensor: Some("layer0.weights".to_owned()),
        stats: true,
        ..InspectOptions::default()
    };
    let tensor = inspect(&path, &asked).unwrap().files[0].tensors[0].clone();
    let stats = tensor.stats.unwrap();
    assert_eq!((stats.count, stats.min, stats.mean), (Int(3000), Some(1.0), Some(1.0)));

    let unknown = InspectOptions {
        tensor: Some("no".to_owned()),
        stats: false,
        ..InspectOptions::default()
    };
    assert_eq!(inspect(&path, &unknown).unwrap_err().exit(), ExitCode::Usage);
    assert_eq!(
        inspect(Path::new("/absent"), &asked).unwrap().exit_code,
        ExitCode::Absent
    );
}

/// A file that PyFolds wrote, or a changed one.
fn vector(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fold-format/testdata/v1")
        .join(path)
}

fn by_key(name: &str) -> Keys {
    Keys::new().public(PublicKey::load(&vector("keys").join(name)).unwrap())
}

#[test]
fn where_a_signature_is_asked_for_what_has_none_fails_at_every_level() {
    let dir = tempfile::tempdir().unwrap();
    let plain = vector("container/c102_d2s4_none_off.fold");
    let [safetensors, npz] = ["a.safetensors", "a.npz"].map(|name| {
        let target = dir.path().join(name);
        exchange::convert(&plain, &target, &ConvertOptions::default()).unwrap();
        target
    });
    let signed = vector("container/c102_full_signed.fold");
    let trusted = vector("container/bh22_trust.fold");
    let (right, other) = (by_key("ed25519_public.pem"), by_key("ed25519_other_public.pem"));
    let signature = Code::Format(fold_format::Code::Signature);
    let unsigned = [
        plain,
        vector("corrupted/s07_trust_stripped.fold"),
        vector("corrupted/s18_signature_stripped.fold"),
        safetensors,
        npz,
    ];
    let passing = [&signed, &trusted].map(|file| (file, &right, true));
    let failing = [&signed, &trusted].map(|file| (file, &other, false));
    let unsigned = unsigned.iter().map(|file| (file, &right, false));
    for (file, keys, passes) in passing.into_iter().chain(failing).chain(unsigned) {
        for level in [Level::Quick, Level::Structure, Level::Full] {
            let paths = [file.clone()];
            let report = verify(&paths, level, 1, keys, &mut |_, _| ControlFlow::Continue(())).unwrap();
            let wanted = if passes { ExitCode::Done } else { ExitCode::No };
            assert_eq!(report.exit_code, wanted, "{} {level:?}", file.display());
            assert!(passes || report.files[0].verdict == Verdict::Damaged);
            let codes: Vec<_> = report.files[0].findings.iter().map(|finding| finding.code).collect();
            assert_eq!(codes.contains(&signature), !passes, "{} {level:?}", file.display());
            assert!(
                verified(file, level).exit_code == ExitCode::Done,
                "{} without a key",
                file.display()
            );
        }
        let converted = exchange::convert(
            file,
            &dir.path()
                .join(format!("{passes}-{}.fold", file.file_stem().unwrap().display())),
            &ConvertOptions {
                keys: keys.clone(),
                ..ConvertOptions::default()
            },
        );
        assert_eq!(converted.is_ok(), passes, "{}", file.display());
        // Whatever is asked for: the signature comes first.
        let nothing = exchange::Wanted::Chunk("nothing".to_owned());
        let refused = exchange::extract(file, &nothing, &dir.path().join("out"), keys).unwrap_err();
        assert_eq!(refused.code() == Code::SourceDamaged, !passes, "{}", file.display());
        let compared = exchange::diff(file, file, Tolerance::Bitwise, keys);
        assert_eq!(
            compared.map(|report| report.equal).ok(),
            passes.then_some(true),
            "{}",
            file.display()
        );
        let options = InspectOptions {
            keys: keys.clone(),
            ..InspectOptions::default()
        };
        let inspected = inspect(file, &options).unwrap();
        assert_eq!(inspected.exit_code == ExitCode::Done, passes, "{}", file.display());
        assert_eq!(inspected.files[0].bytes.0 > 0, passes, "{}", file.display());
    }
}

/// A safetensors file of one tensor.
fn safetensors(dtype: &str, shape: &str, bytes: usize) -> Vec<u8> {
    let header = format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{bytes}]}}}}"#);
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.resize(file.len() + bytes, 0);
    file
}

/// An npz file of one array `a`.
fn npz() -> Vec<u8> {
    let mut writer = fold_format::interchange::npz::Writer::new(std::io::Cursor::new(Vec::new()));
    let shape = fold_format::Shape::new(&[2]).unwrap();
    writer.add("a", fold_format::Dtype::F32, &shape, &[0; 8]).unwrap();
    writer.finish().unwrap().into_inner()
}

/// `bytes` with every `from` made `to`, which is as long.
fn replaced(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut at = 0;
    while at + from.len() <= bytes.len() {
        if bytes[at..].starts_with(from) {
            bytes[at..at + from.len()].copy_from_slice(to);
        }
        at += 1;
    }
    bytes
}

#[test]
fn what_this_release_does_not_read_is_not_called_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let looked = |bytes: &[u8]| {
        let path = dir.path().join("file");
        fs::write(&path, bytes).unwrap();
        let refused = exchange::diff(&path, &path, Tolerance::Bitwise, &Keys::new()).unwrap_err();
        let inspected = inspect(&path, &InspectOptions::default()).unwrap();
        (verified(&path, Level::Full), inspected.exit_code, refused.exit())
    };
    let mut bzip2 = npz();
    let central = bzip2.windows(4).position(|bytes| bytes == b"PK\x01\x02").unwrap();
    (bzip2[8], bzip2[central + 10]) = (12, 12);
    for (what, bytes) in [
        ("F8", safetensors("F8_E4M3", "[2]", 2)),
        ("C64", safetensors("C64", "[2]", 16)),
        ("rank 9", safetensors("F32", "[1,1,1,1,1,1,1,1,1]", 4)),
        ("bzip2", bzip2),
        ("a.txt", replaced(npz(), b"a.npy", b"a.txt")),
    ] {
        let (report, inspected, refused) = looked(&bytes);
        let file = &report.files[0];
        assert_eq!(file.verdict, Verdict::Unreadable, "{what}");
        let exits = [report.exit_code, inspected, refused];
        assert_eq!(exits, [ExitCode::Newer; 3], "{what}");
        let finding = &file.findings[0];
        assert_eq!(
            (finding.code, finding.class),
            (Code::Format(fold_format::Code::ForeignContent), Class::Unsupported),
            "{what}"
        );
        assert!(finding.action.contains("may be sound"), "{}", finding.action);
        assert_eq!(finding.next_command.as_deref(), Some("fold explain FOLD-E0806"));
    }
    for (what, bytes) in [
        ("hole", safetensors("F32", "[2]", 12)),
        ("checksum", replaced(npz(), b"<f4", b"<f2")),
    ] {
        let (report, inspected, refused) = looked(&bytes);
        assert_eq!(report.files[0].verdict, Verdict::Damaged, "{what}");
        let exits = [report.exit_code, inspected, refused];
        assert_eq!(exits, [ExitCode::No, ExitCode::Damaged, ExitCode::Damaged], "{what}");
        assert!(report.files[0].findings[0].action.contains("good copy"), "{what}");
    }
}
