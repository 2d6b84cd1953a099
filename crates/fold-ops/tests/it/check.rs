//! Reports of verify and inspect: what they name, what they end with, what they advise.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use fold_format::Verdict;
use fold_ops::check::{Level, VerifyReport, verify};
use fold_ops::inspect::{InspectOptions, inspect};
use fold_ops::{Code, ExitCode, Int, Keys, StoreWriter};

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
        next.starts_with("fold train --data digits --out ") && next.ends_with("/digits --resume"),
        "{next}"
    );
    let place = finding.place();
    assert!(
        place.starts_with("chunk `state`, tensor `layer0.weights`, block "),
        "{place}"
    );
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
