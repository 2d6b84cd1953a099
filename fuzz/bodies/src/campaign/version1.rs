//! Flipped bits of version 1 files: what their digests speak for is noticed, and nothing damaged is read as good.

use std::time::Instant;

use fold_format::v1::{self, Entry, File, Keys};
use fold_format::{Code, Depth, Limits, Verdict, VerifyOptions};

use super::{Settings, Tally, sweep};

/// The longest recorded file that is taken: every dialect and form is among those below.
const MAX_LEN: usize = 8192;

struct Recorded {
    name: String,
    bytes: Vec<u8>,
    payloads: Vec<(String, Vec<u8>)>,
    metadata: String,
    findings: usize,
}

/// The recorded files that are short enough, by name.
fn recorded() -> Vec<Recorded> {
    let folder = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../crates/fold-format/testdata/v1/container"
    );
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let mut files = entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_stem()?.to_string_lossy().into_owned();
            let bytes = std::fs::read(&path).ok()?;
            (bytes.len() <= MAX_LEN).then(|| Recorded::new(name, bytes))
        })
        .collect::<Vec<_>>();
    files.sort_by(|one, other| one.name.cmp(&other.name));
    assert!(files.len() > 20, "{folder} holds {} short files", files.len());
    files
}

fn open(bytes: &[u8]) -> Option<File<&[u8]>> {
    File::open_source(bytes, Keys::new(), Limits::DEFAULT).ok()
}

impl Recorded {
    fn new(name: String, bytes: Vec<u8>) -> Self {
        let file = open(&bytes).expect("a recorded file opens");
        let names = file.chunks().iter().map(|entry| entry.name.to_string());
        let payloads = names.filter_map(|name| Some((name.clone(), file.payload(&name).ok()?.to_vec())));
        let (payloads, metadata) = (payloads.collect(), format!("{:?}", file.metadata()));
        let report = verify(&bytes);
        Self {
            name,
            payloads,
            metadata,
            findings: report.findings.len(),
            bytes,
        }
    }

    /// Whether every payload of the damaged file is as it was and where it was, under the same name if `named`.
    fn payloads_are_the_same(&self, bytes: &[u8], named: bool) -> bool {
        let Some(file) = open(bytes) else { return false };
        let mut chunks = file.chunks().iter();
        self.payloads.iter().all(|(name, payload)| {
            let same = |entry: &Entry| file.payload(&entry.name).is_ok_and(|read| *read == **payload);
            // A payload that cannot be read is among the chunks, not among the payloads.
            chunks.any(|entry| (!named || *entry.name == **name) && same(entry))
        })
    }

    fn metadata_are_the_same(&self, bytes: &[u8]) -> bool {
        open(bytes).is_some_and(|file| format!("{:?}", file.metadata()) == self.metadata)
    }
}

/// Whether a report warns that nothing speaks for the metadata: the oldest files carry no hash of them.
fn says_so(report: &v1::Report) -> bool {
    report.findings.iter().any(|finding| finding.code() == Code::HashAbsent)
}

fn verify(bytes: &[u8]) -> v1::Report {
    v1::verify_source(bytes, Depth::All, &Keys::new(), VerifyOptions::new()).expect("memory can be read")
}

/// Every bit of every file. A payload that is handed out is the original; of a file of which nothing is reported
/// the payloads are as they were, and the metadata, of which the chunks' names are a part, too, unless the report
/// warns that nothing speaks for them.
pub(super) fn every_bit(settings: &Settings, end: Option<Instant>) -> (usize, u64, Tally) {
    let (mut planned, mut tally) = (0, Tally::default());
    let stride = settings.stride.div_ceil(4);
    let files = recorded();
    for recorded in &files {
        let cases = (recorded.bytes.len() * 8).div_ceil(stride);
        planned += cases as u64;
        tally += sweep(
            0..cases,
            end,
            || recorded.bytes.clone(),
            |bytes, case, tally| {
                let (at, bit) = (case * stride / 8, case * stride % 8);
                bytes[at] ^= 1 << bit;
                flipped(recorded, bytes, &format!("byte {at}, bit {bit}"), tally);
                bytes[at] ^= 1 << bit;
            },
        );
    }
    (files.len(), planned, tally)
}

fn flipped(recorded: &Recorded, bytes: &[u8], context: &str, tally: &mut Tally) {
    let name = &recorded.name;
    let report = verify(bytes);
    let named = !says_so(&report);
    if report.verdict != Verdict::Ok || report.findings.len() > recorded.findings {
        tally.detected += 1;
    } else if recorded.payloads_are_the_same(bytes, named) && (!named || recorded.metadata_are_the_same(bytes)) {
        tally.harmless += 1;
    } else {
        tally.wrong(|| format!("{name}: {context}: nothing is reported"));
    }
    let Some(file) = open(bytes) else { return };
    for (chunk, payload) in &recorded.payloads {
        if file.payload(chunk).is_ok_and(|read| *read != **payload) {
            tally.wrong(|| format!("{name}: {context}: {chunk} was handed out damaged"));
        }
    }
    let mut out = Vec::new();
    match v1::repair(&file, &mut out) {
        Ok(repair) if !repair.is_nothing() && out == recorded.bytes => tally.repaired += 1,
        // Bytes that nothing speaks for are copied as they are.
        Ok(_) => {}
        Err(_) => tally.refused += 1,
    }
}
