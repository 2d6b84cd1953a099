//! What the targets `repair`, `salvage` and `damage` do with their input.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::OnceLock;

use fold_format::{
    Checkpoint, ChunkKind, Depth, Error, Limits, OpenMode, OpenOptions, Salvaged, Verdict, VerifyOptions, plan_repair,
    repair as repair_to, salvage as salvage_from, verify_source,
};

use crate::layouts::{Layout, layouts};
use crate::writer::Memory;

/// The new file, where one was written, and the verdict.
fn repaired(bytes: &[u8]) -> (Result<Verdict, Error>, Option<Vec<u8>>) {
    let (memory, target) = (Memory::default(), Path::new("repaired.fold"));
    let repair = repair_to(&memory, bytes, target, &Limits::DEFAULT);
    (repair.map(|repair| repair.verdict), memory.get(target))
}

/// Repairs any bytes.
///
/// # Panics
/// When a file was written that does not verify, that has another root than its source says, or that differs from a source
/// that was whole; when none was written although that was promised, by the answer or by the plan; when one was written in
/// spite of a refusal.
pub fn repair(bytes: &[u8]) {
    let report = verify_source(bytes, Depth::All, VerifyOptions::default()).expect("memory can be read");
    let plan = plan_repair(bytes, &Limits::DEFAULT).map(|plan| plan.verdict);
    let (answer, written) = repaired(bytes);
    let done = matches!(answer, Ok(Verdict::Ok | Verdict::Corrected));
    assert_eq!(done, written.is_some(), "the answer is {answer:?}");
    if let (Ok(plan), Ok(answer)) = (&plan, &answer) {
        assert_eq!(plan, answer, "what was planned");
    }
    assert!(plan.is_ok() || !done, "repaired what could not be planned");
    let Some(written) = written else {
        assert_ne!(report.verdict, Verdict::Ok, "a whole file was refused: {answer:?}");
        return;
    };
    let again = verify_source(&written[..], Depth::All, VerifyOptions::default()).expect("memory can be read");
    assert_eq!(again.verdict, Verdict::Ok, "{:?}", again.findings);
    assert!(
        report.verdict != Verdict::Ok || written == bytes,
        "a copy of a whole file differs"
    );
    let root = |bytes: &[u8]| {
        let opened = Checkpoint::open_source(bytes, &OpenOptions::default().mode(OpenMode::Degraded));
        opened.map(|opened| opened.info().root).ok()
    };
    assert_eq!(root(bytes), root(&written), "the root is another one");
}

/// Everything that a salvage hands out, by name: of each thing the first.
fn salvaged(bytes: &[u8]) -> BTreeMap<String, (ChunkKind, Vec<u8>)> {
    let mut taken = BTreeMap::new();
    let answer = salvage_from::<[u8], Error>(bytes, &Limits::DEFAULT, &|| ControlFlow::Continue(()), &mut |item| {
        let (name, kind, bytes) = match item {
            Salvaged::Tensor { name, tensor, .. } => (name, ChunkKind::Tensors, tensor.as_bytes()),
            Salvaged::Chunk { name, kind, bytes } => (name, kind, bytes),
            _ => return Ok(()),
        };
        taken.entry(name.to_owned()).or_insert_with(|| (kind, bytes.to_vec()));
        Ok(())
    });
    if let Ok(salvage) = answer {
        let told = salvage.tensors_saved.len() + salvage.chunks_saved.len();
        assert!(told >= taken.len(), "{} things, {told} told", taken.len());
    }
    taken
}

/// Salvages any bytes.
///
/// # Panics
/// When a file that can be opened gives a tensor or chunk that a read of it does not give, or does not give one that a read
/// does.
pub fn salvage(bytes: &[u8]) {
    let taken = salvaged(bytes);
    let Ok(opened) = Checkpoint::open_source(bytes, &OpenOptions::default().mode(OpenMode::Degraded)) else {
        return;
    };
    // Where a record is broken, chunks are carved: what they are called then, the index does not say.
    let Ok(tensors) = opened.tensors() else { return };
    for tensor in tensors {
        let read = opened.tensor(tensor.name).ok();
        let (read, taken) = (read.as_ref().map(|tensor| tensor.as_bytes()), taken.get(tensor.name));
        let same = taken.map(|(_, bytes)| bytes.as_slice()) == read;
        // A chunk may have the name of a tensor.
        assert!(same || opened.chunk_info(tensor.name).is_ok(), "{}", tensor.name);
    }
}

/// Damages a layout as the input says (which one; then places, lengths and what is laid over them), without mending a digest.
///
/// # Panics
/// When damage is verified as whole, when anything is read or salvaged that is not what was saved, or when a repair writes
/// something else than the original.
pub fn damage(input: &[u8]) {
    static LAYOUTS: OnceLock<Vec<Layout>> = OnceLock::new();
    let layouts = LAYOUTS.get_or_init(layouts);
    let Some((&which, edits)) = input.split_first() else {
        return;
    };
    let original = &layouts[usize::from(which) % layouts.len()].bytes;
    let mut bytes = original.clone();
    for edit in edits.chunks_exact(5).take(64) {
        let at = usize::from(u16::from_le_bytes([edit[0], edit[1]])) * original.len() / 65_536;
        let len = match edit[2] {
            0 => original.len(),
            short @ 1..=127 => usize::from(short),
            long => usize::from(long - 127) * 512,
        };
        let end = (at + len).min(bytes.len());
        match edit[3] {
            0 => bytes.truncate(at),
            1 => bytes.extend_from_slice(&vec![edit[4]; len.min(4096)]),
            2 => bytes[at.min(end)..end].fill(edit[4]),
            _ => bytes[at.min(end)..end].iter_mut().for_each(|byte| *byte ^= edit[4]),
        }
    }
    let report = verify_source(&bytes[..], Depth::All, VerifyOptions::default()).expect("memory can be read");
    assert_eq!(
        report.verdict == Verdict::Ok,
        bytes == *original,
        "{:?}",
        report.findings
    );
    let (answer, written) = repaired(&bytes);
    assert!(
        written.is_none_or(|written| written == *original),
        "repaired to something else: {answer:?}"
    );
    let whole = Checkpoint::open_source(&original[..], &OpenOptions::default()).expect("a layout opens");
    for (name, (kind, bytes)) in salvaged(&bytes) {
        let tensor = whole.tensor(&name).is_ok_and(|tensor| tensor.as_bytes() == bytes);
        // The content of a chunk of tensors is handed out under its name, where its directory is lost.
        let chunk = whole.chunk(&name).is_ok_and(|chunk| chunk.starts_with(&bytes));
        assert!(tensor || chunk, "{name} ({kind:?}) was salvaged damaged");
    }
}
