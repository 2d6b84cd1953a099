//! Verifying files of other programs: version 1 containers, safetensors, npz. Which one a file is, its first bytes say.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use fold_format::interchange::{npz, safetensors};
use fold_format::v1::{self, Keys, Standing};
use fold_format::{Class, Depth, IoFault, ReadAt, Verdict, VerifyOptions};
use serde::Serialize;

use super::finding::FindingReport;
use super::{FileReport, Level, OnProgress};
use crate::error::Error;
use crate::json::Int;

/// What a file is, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A version 1 container.
    Version1,
    /// A zip archive; only numpy's are read.
    Npz,
    /// A header's length and a JSON object.
    Safetensors,
    /// A version 2 container, something else, or nothing.
    Other,
}

/// Looks at a file's first bytes. What cannot be opened or read is [`Kind::Other`]: the container's reader says why.
pub(crate) fn sniff(path: &Path) -> Kind {
    if !path.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Kind::Other;
    }
    let Ok(file) = File::open(path) else { return Kind::Other };
    let mut start = [0; 9];
    let read = file.read_at(&mut start, 0).unwrap_or(0);
    let start = start.get(..read).unwrap_or_default();
    let file_len = ReadAt::len(&file).unwrap_or(0);
    if v1::is_version_1(start) {
        Kind::Version1
    } else if start.starts_with(b"PK\x03\x04") || start.starts_with(b"PK\x05\x06") {
        Kind::Npz
    } else if start.get(8) == Some(&b'{') && safetensors::header_len(start, file_len).is_ok() {
        Kind::Safetensors
    } else {
        Kind::Other
    }
}

/// What more there is to say of a version 1 file.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Version1Report {
    /// Which program wrote it: `1.0.2`, `2.2.0`, or an unreleased state.
    pub dialect: Option<&'static str>,
    /// Its chunks, in the order of the table; those that were looked at.
    pub chunks: Vec<ChunkVerdict>,
    /// What is wrong inside chunks that are whole. It does not change the verdict: the bytes are those that were written.
    pub content_findings: Vec<FindingReport>,
    /// What nothing in the file protects.
    pub unprotected: Vec<&'static str>,
}

/// What one chunk is worth.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ChunkVerdict {
    /// Its name.
    pub name: Box<str>,
    /// Its type.
    pub kind: Box<str>,
    /// `ok`, `repaired` or `error`.
    pub standing: &'static str,
    /// How many tensors it holds, where it is of a type that holds some and was looked into.
    pub tensors: Option<Int>,
}

/// Verifies a version 1 container. Where a signature is asked for, the index is read at every level: that is where it is.
pub(super) fn version_1(
    path: &Path,
    level: Level,
    max_findings: usize,
    keys: &Keys,
    progress: OnProgress<'_>,
) -> Result<FileReport, Error> {
    let mut told = |so_far| progress(path, so_far);
    let options = VerifyOptions::new()
        .max_findings(max_findings.max(1))
        .progress(&mut told);
    let depth = match level {
        Level::Quick if keys.public_key().is_some() => Depth::Index,
        _ => level.depth(),
    };
    let report = match v1::verify(path, depth, keys, options) {
        Ok(report) => report,
        Err(fold_format::Error::Cancelled) => return Err(fold_format::Error::Cancelled.into()),
        Err(error) => {
            let finding = FindingReport::of_error(&error, path);
            return Ok(FileReport::out_of_reach(path, level, finding));
        }
    };
    let full = level == Level::Full;
    let bad = report
        .chunks
        .iter()
        .filter(|chunk| chunk.standing != Standing::Ok)
        .count();
    let checked = if full { report.chunks.len() } else { 0 };
    let content_findings = report.chunks.iter().filter_map(|chunk| {
        let fault = chunk.content.as_ref()?.as_ref().err()?;
        Some(FindingReport::of_content(fault, Some(&chunk.name)))
    });
    let chunks = report.chunks.iter().map(|chunk| ChunkVerdict {
        name: chunk.name.clone(),
        kind: chunk.ctype.clone(),
        standing: match chunk.standing {
            Standing::Ok => "ok",
            Standing::Repaired => "repaired",
            _ => "error",
        },
        tensors: chunk
            .content
            .as_ref()
            .and_then(|content| content.as_ref().ok()?.map(Int)),
    });
    let info = report.info.as_ref();
    // One that is there was judged with the rest.
    let unsigned = keys.public_key().is_some() && info.is_some_and(|info| !info.signed && !info.trust_block);
    let mut verified = FileReport {
        path: path.into(),
        format: Some("fold-v1"),
        verdict: report.verdict,
        level,
        bytes_total: Int(report.bytes_total),
        bytes_read: Int(report.bytes_read),
        blocks_total: Int(report.chunks_total),
        blocks_checked: Int(checked as u64),
        blocks_bad: Int(bad as u64),
        damaged_tensors: Vec::new(),
        findings_total: Int(report.findings_total),
        findings: report
            .findings
            .iter()
            .map(|finding| FindingReport::of_version_1(finding, path, report.verdict == Verdict::Corrected))
            .collect(),
        version_1: Some(Version1Report {
            dialect: info.map(|info| info.dialect.as_str()),
            chunks: chunks.collect(),
            content_findings: content_findings.collect(),
            unprotected: report.unprotected,
        }),
    };
    if unsigned {
        verified.fail_unsigned("the file has neither a signature nor a trust block", max_findings);
    }
    Ok(verified)
}

/// The report of a file in which nothing was found, or one thing.
fn report(
    path: &Path,
    level: Level,
    format: &'static str,
    read: u64,
    answer: Result<Verdict, FindingReport>,
) -> FileReport {
    let total = path.metadata().map_or(0, |metadata| metadata.len());
    let (verdict, findings) = match answer {
        Ok(verdict) => (verdict, Vec::new()),
        Err(finding) if finding.class == Class::Damaged => (Verdict::Damaged, vec![finding]),
        // The file may be sound: it is not for this reader, or the system stood in the way.
        Err(finding) => (Verdict::Unreadable, vec![finding]),
    };
    FileReport {
        path: path.into(),
        format: Some(format),
        verdict,
        level,
        bytes_total: Int(total),
        bytes_read: Int(read.min(total)),
        blocks_total: Int(0),
        blocks_checked: Int(0),
        blocks_bad: Int(0),
        damaged_tensors: Vec::new(),
        findings_total: Int(findings.len() as u64),
        findings,
        version_1: None,
    }
}

/// A system's refusal as a finding.
fn refused(path: &Path, operation: fold_format::Operation, error: std::io::Error) -> FindingReport {
    FindingReport::of_error(&IoFault::new(operation, Some(path.into()), error).into(), path)
}

/// A safetensors file has no digests: its header is checked, and the answer is never more than `structure-ok`.
pub(super) fn safetensors(path: &Path, level: Level) -> FileReport {
    let header = || -> Result<(Verdict, u64), Box<FindingReport>> {
        let open = |error| Box::new(refused(path, fold_format::Operation::Open, error));
        let read = |error| Box::new(refused(path, fold_format::Operation::Read, error));
        let fault = |fault| Box::new(FindingReport::of_content(&fault, None));
        let file = File::open(path).map_err(open)?;
        let file_len = ReadAt::len(&file).map_err(read)?;
        let mut start = [0; 8];
        file.read_at(&mut start, 0).map_err(read)?;
        let len = safetensors::header_len(&start, file_len).map_err(fault)?;
        if level == Level::Quick {
            return Ok((Verdict::HeaderOk, 8));
        }
        let header = read_range(&file, 8, len).map_err(read)?;
        safetensors::read_header(&header, file_len).map_err(fault)?;
        Ok((Verdict::StructureOk, len.saturating_add(8)))
    };
    match header() {
        Ok((verdict, read)) => report(path, level, "safetensors", read, Ok(verdict)),
        Err(finding) => report(path, level, "safetensors", 8, Err(*finding)),
    }
}

/// An archive of arrays: its directory, and at level full every member against its checksum.
pub(super) fn npz(path: &Path, level: Level) -> FileReport {
    let arrays = || -> Result<(Verdict, u64), Box<FindingReport>> {
        let fault = |fault| Box::new(FindingReport::of_content(&fault, None));
        let file = File::open(path).map_err(|error| Box::new(refused(path, fold_format::Operation::Open, error)))?;
        let mut npz = npz::Npz::open(BufReader::new(file), MAX_ARRAY_BYTES).map_err(fault)?;
        if level != Level::Full {
            return Ok((Verdict::StructureOk, 0));
        }
        for name in npz.names().to_vec() {
            let in_array = |fault| Box::new(FindingReport::of_array(&fault, &name));
            npz.check(&name).map_err(in_array)?;
        }
        Ok((Verdict::Ok, u64::MAX))
    };
    match arrays() {
        Ok((verdict, read)) => report(path, level, "npz", read, Ok(verdict)),
        Err(finding) => report(path, level, "npz", 0, Err(*finding)),
    }
}

/// The largest array of an npz file that is read.
pub(crate) const MAX_ARRAY_BYTES: u64 = 1 << 36;

/// Bytes of a file, which it has.
pub(crate) fn read_range(file: &File, offset: u64, len: u64) -> std::io::Result<Vec<u8>> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    let mut file = file;
    file.seek(SeekFrom::Start(offset))?;
    let mut bytes = Vec::new();
    file.take(len).read_to_end(&mut bytes)?;
    Ok(bytes)
}
