//! What must be true of a damaged copy of a sample, whatever was done to it.

use std::collections::BTreeSet;
use std::ops::{ControlFlow, Range};
use std::path::Path;

use fold_format::{
    Checkpoint, Code, Depth, Error, Finding, Limits, OpenMode, OpenOptions, Report, Salvage, Salvaged, Verdict,
    VerifyOptions, repair, salvage, verify_source,
};

use super::Tally;
use super::sample::{Item, Sample};
use crate::writer::Memory;

/// What a verification of memory says.
pub(super) fn check(bytes: &[u8], depth: Depth<'_>) -> Report {
    verify_source(bytes, depth, VerifyOptions::new()).expect("memory can be read")
}

/// Whether a verdict reports damage.
pub(super) const fn reports(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Corrected | Verdict::Damaged | Verdict::Unreadable)
}

fn covers(findings: &[Finding], at: usize) -> bool {
    let at = at as u64;
    findings.iter().any(|finding| finding.byte_range.contains(&at))
}

/// Holds the verification of a file against what was changed in it: it must report damage, and a finding must cover every
/// one of the bytes `changed`.
pub(super) fn noticed(
    sample: &Sample,
    damaged: &[u8],
    changed: impl IntoIterator<Item = usize>,
    context: &str,
    tally: &mut Tally,
) -> Report {
    let report = check(damaged, Depth::All);
    if !reports(report.verdict) {
        tally.wrong(|| format!("{}: {context}: verified as {}", sample.name, report.verdict));
        return report;
    }
    let missed = changed.into_iter().find(|&at| !covers(&report.findings, at));
    match missed {
        None => tally.detected += 1,
        Some(at) => tally.wrong(|| format!("{}: {context}: no finding covers byte {at}", sample.name)),
    }
    report
}

/// Reads everything of a damaged file: what is handed out must be as it was saved. Returns the items that were refused; all
/// where the file does not open.
pub(super) fn read<'s>(sample: &'s Sample, damaged: &[u8], context: &str, tally: &mut Tally) -> Vec<&'s Item> {
    let everything = || sample.tensors.values().chain(sample.chunks.values());
    let Ok(opened) = Checkpoint::open_source(damaged, &OpenOptions::default().mode(OpenMode::Degraded)) else {
        return everything().collect();
    };
    let mut refused = Vec::new();
    let mut hold = |name: &str, item: &'s Item, read: Result<Vec<u8>, Error>| match read {
        Ok(bytes) if bytes == item.bytes => {}
        Ok(_) => tally.wrong(|| format!("{}: {context}: {name} was handed out damaged", sample.name)),
        Err(_) => refused.push(item),
    };
    for (name, item) in &sample.tensors {
        hold(name, item, opened.tensor(name).map(|tensor| tensor.as_bytes().to_vec()));
    }
    for (name, item) in &sample.chunks {
        hold(name, item, opened.chunk(name));
    }
    refused
}

/// Repairs a damaged file. Where everything can be restored the result is the original; where not, nothing is written.
///
/// - `possible`: whether it must be possible; none where either is right.
pub(super) fn mend(sample: &Sample, damaged: &[u8], possible: Option<bool>, context: &str, tally: &mut Tally) {
    let (memory, target) = (Memory::default(), Path::new("repaired.fold"));
    let repaired = repair(&memory, damaged, target, &Limits::DEFAULT);
    let written = memory.get(target);
    let done = matches!(&repaired, Ok(repair) if matches!(repair.verdict, Verdict::Ok | Verdict::Corrected));
    match (done, written) {
        (true, Some(bytes)) if bytes == sample.bytes && possible != Some(false) => tally.repaired += 1,
        (false, None) if possible != Some(true) => tally.refused += 1,
        (done, written) => {
            let same = written.as_ref().map(|bytes| *bytes == sample.bytes);
            tally.wrong(|| {
                let name = &sample.name;
                format!("{name}: {context}: repair {done}, wrote the original: {same:?}, possible: {possible:?}")
            });
        }
    }
}

/// Salvages a damaged file: whatever is handed out is what was saved under that name, or it is counted as wrong. Returns the
/// names.
pub(super) fn salvaged(
    sample: &Sample,
    damaged: &[u8],
    context: &str,
    tally: &mut Tally,
) -> (Result<Salvage, Code>, BTreeSet<String>) {
    let mut taken = BTreeSet::new();
    let result = salvage::<[u8], Error>(damaged, &Limits::DEFAULT, &|| ControlFlow::Continue(()), &mut |item| {
        let (name, right) = match &item {
            Salvaged::Tensor { name, tensor, .. } => {
                let saved = sample.tensors.get(*name);
                (*name, saved.is_some_and(|item| item.bytes == tensor.as_bytes()))
            }
            // Of a chunk whose tensors cannot be told any more the content as it is: its digest speaks for it.
            Salvaged::Chunk { name, bytes, .. } => match (sample.chunks.get(*name), sample.tensor_chunks.get(*name)) {
                (Some(item), _) => (*name, item.bytes == *bytes),
                (None, Some(content)) => (*name, content.starts_with(bytes)),
                (None, None) => (*name, false),
            },
            _ => return Ok(()),
        };
        if !right {
            tally.wrong(|| format!("{}: {context}: {name} was salvaged damaged", sample.name));
        }
        taken.insert(name.to_owned());
        Ok(())
    });
    (result.map_err(|error| error.code()), taken)
}

/// Whether ranges have a byte in common.
pub(super) const fn overlap(one: &Range<usize>, other: &Range<usize>) -> bool {
    one.start < other.end && other.start < one.end
}
