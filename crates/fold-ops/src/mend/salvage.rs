//! `fold salvage`: what is intact of a file that is beyond repair, as files that other programs read.
//!
//! A tensor becomes a `.npy`, text a `.json`, bytes a `.bin`; `report.json` says which file holds what, and what is lost.
//! Not a byte is written that its digests do not speak for.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};

use fold_format::interchange::{Array, npy};
use fold_format::json::Form;
use fold_format::v1::{self, Keys};
use fold_format::{
    Checkpoint, ChunkKind, Dtype, Limits, Lost, Misuse, OpenMode, OpenOptions, ReadAt, Salvage, Salvaged, Shape,
};
use serde::Serialize;

use super::file_names::FileNames;
use super::repair::lossy_option;
use super::{Format, Mode, open};
use crate::check::{FindingReport, lossy};
use crate::error::{DirectoryOperation, Error};
use crate::exit::ExitCode;
use crate::json::Int;
use crate::new_file;
use crate::store::lock;

/// The report's own name in the directory.
const REPORT_NAME: &str = "report.json";
/// What the writer of the file said about it.
const METADATA_NAME: &str = "metadata.json";

/// What `fold salvage` answers, schema `fold.salvage/1`; also what `report.json` holds.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct SalvageReport {
    /// `fold.salvage/1`.
    pub schema: &'static str,
    /// `salvage`.
    pub command: &'static str,
    /// The release that salvaged.
    pub tool_version: &'static str,
    /// What the command ends with: 0 nothing is lost, 3 something is, 20 nothing could be saved.
    pub exit_code: ExitCode,
    /// The file, which was not changed.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    /// `fold-v2` or `fold-v1`.
    pub format: &'static str,
    /// Whether files were written; false for a plan, and where there was nothing to write.
    pub applied: bool,
    /// Whether the metadata are lost, so that chunks were looked for: what is not listed may have been there too.
    pub carved: bool,
    /// Tensors that were saved.
    pub tensors_saved: Vec<String>,
    /// Tensors that are lost.
    pub tensors_lost: Vec<LostItem>,
    /// Chunks of text or bytes that were saved.
    pub chunks_saved: Vec<String>,
    /// Chunks that are lost, or of which not everything can be told.
    pub chunks_lost: Vec<LostItem>,
    /// What is in which file.
    pub files: Vec<SavedItem>,
    /// What is wrong with the metadata.
    pub findings: Vec<FindingReport>,
    /// The directory; for a plan, where it would be. None where nothing could be saved.
    #[serde(serialize_with = "lossy_option")]
    pub output: Option<PathBuf>,
}

/// Something that is lost, and why.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct LostItem {
    /// The name of the tensor or chunk.
    pub name: String,
    /// What is wrong with it.
    pub findings: Vec<FindingReport>,
}

/// A file of the directory.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct SavedItem {
    /// The file's name.
    pub file: String,
    /// `tensor`, `chunk` or `metadata`.
    pub kind: &'static str,
    /// The name of the tensor or chunk; none for the metadata.
    pub name: Option<String>,
    /// The dtype of a tensor. `bf16` is written as `u16`: NumPy has no such type.
    pub dtype: Option<&'static str>,
    /// The shape of a tensor.
    pub shape: Option<Vec<Int>>,
    /// Bytes of the content, without the header of a `.npy`.
    pub bytes: Int,
}

/// Where intact things go, one file each.
struct Target<'a> {
    /// The file that is salvaged.
    source: &'a Path,
    dir: &'a Path,
    mode: Mode,
    /// The directory and those above it that were not there before, the innermost first.
    absent: Vec<&'a Path>,
    begun: bool,
    /// Names of files that are written.
    written: Vec<String>,
    names: FileNames,
    files: Vec<SavedItem>,
    tensors_saved: Vec<String>,
    chunks_saved: Vec<String>,
    stop: Stop<'a>,
}

/// Asked again and again whether to go on.
pub type Stop<'a> = &'a (dyn Fn() -> ControlFlow<()> + Sync);

/// A file that can be read until `stop` breaks.
struct Heeding<'a> {
    file: File,
    stop: Stop<'a>,
}

impl ReadAt for Heeding<'_> {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        match (self.stop)() {
            ControlFlow::Continue(()) => ReadAt::read_at(&self.file, buffer, offset),
            // What is being read is not read to its end.
            ControlFlow::Break(()) => Err(io::Error::other("the caller stopped it")),
        }
    }

    fn will_read(&self, range: &Range<u64>) {
        self.file.will_read(range);
    }
}

impl Target<'_> {
    /// Writes a file of the directory, and makes the directory before the first one.
    fn write(&mut self, file: &str, fill: impl FnOnce(&mut File) -> io::Result<()>) -> Result<(), Error> {
        if (self.stop)().is_break() {
            return Err(Error::cancelled());
        }
        if self.mode == Mode::Plan {
            return Ok(());
        }
        if !self.begun {
            self.begun = true;
            lock::create_dir(self.dir)?;
        }
        let path = self.dir.join(file);
        new_file::create(&path, Some(self.source), |out| {
            fill(out).map_err(|source| Error::Directory {
                operation: DirectoryOperation::Write,
                path: path.clone(),
                source,
            })
        })?;
        self.written.push(file.to_owned());
        Ok(())
    }

    /// Removes what was written, so that the same call can be made again.
    fn undo(&self) {
        let files = self.written.iter().map(|file| fs::remove_file(self.dir.join(file)));
        // One after the other: a directory goes once it is empty. Not all of them need have come to be.
        let dirs = self.absent.iter().filter(|_| self.begun).map(fs::remove_dir);
        for error in files.chain(dirs).filter_map(Result::err) {
            if error.kind() != io::ErrorKind::NotFound {
                log::warn!("part of what was salvaged stays in {:?}: {error}", self.dir);
            }
        }
    }

    fn tensor(&mut self, name: &str, dtype: Dtype, shape: &Shape, bytes: &[u8]) -> Result<(), Error> {
        let file = self.names.take(name, "npy");
        self.write(&file, |out| npy::write(out, dtype, shape.extents(), bytes))?;
        self.files.push(SavedItem {
            file,
            kind: "tensor",
            name: Some(name.to_owned()),
            dtype: Some(dtype.as_str()),
            shape: Some(shape.extents().iter().copied().map(Int).collect()),
            bytes: Int(bytes.len() as u64),
        });
        self.tensors_saved.push(name.to_owned());
        Ok(())
    }

    fn chunk(&mut self, name: &str, ending: &str, bytes: &[u8]) -> Result<(), Error> {
        let file = self.names.take(name, ending);
        self.plain(file, "chunk", Some(name), bytes)?;
        self.chunks_saved.push(name.to_owned());
        Ok(())
    }

    fn plain(&mut self, file: String, kind: &'static str, name: Option<&str>, bytes: &[u8]) -> Result<(), Error> {
        self.write(&file, |out| out.write_all(bytes))?;
        self.files.push(SavedItem {
            file,
            kind,
            name: name.map(str::to_owned),
            dtype: None,
            shape: None,
            bytes: Int(bytes.len() as u64),
        });
        Ok(())
    }
}

/// Writes what is intact of a file into a directory that is empty or does not exist.
///
/// Any bytes may be in the file. Memory: its metadata and one tensor; of version 1, one chunk.
///
/// - `stop`: asked before every file and every read; `Break` ends the command.
///
/// # Errors
/// `FOLD-E0003` there is something in the directory; the file is absent, no container, or of a newer version; what the
/// system refuses. The directory is then as before. What is lost is in the report.
pub fn salvage(path: &Path, dir: &Path, mode: Mode, keys: &Keys, stop: Stop<'_>) -> Result<SalvageReport, Error> {
    require_empty(dir)?;
    let (file, format) = open(path)?;
    let source = Heeding { file, stop };
    let mut target = Target {
        source: path,
        dir,
        mode,
        absent: dir
            .ancestors()
            .take_while(|above| !above.as_os_str().is_empty() && !above.exists())
            .collect(),
        begun: false,
        written: Vec::new(),
        names: FileNames::reserving(&[REPORT_NAME, METADATA_NAME]),
        files: Vec::new(),
        tensors_saved: Vec::new(),
        chunks_saved: Vec::new(),
        stop,
    };
    let report = match filled(path, source, format, keys, &mut target) {
        // What could not be read then says nothing about the file.
        Err(_)
        | Ok(SalvageReport {
            exit_code: ExitCode::Partial | ExitCode::Damaged,
            ..
        }) if stop().is_break() => Err(fold_format::Error::Cancelled.into()),
        report => report,
    };
    // Metadata without anything that they are about are no result.
    if report.as_ref().map_or(true, |report| report.output.is_none()) {
        target.undo();
    }
    report
}

/// Fills the target, with the report at the end.
fn filled(
    path: &Path,
    source: Heeding<'_>,
    format: Format,
    keys: &Keys,
    target: &mut Target<'_>,
) -> Result<SalvageReport, Error> {
    let (dir, mode) = (target.dir, target.mode);
    let salvaged = match format {
        Format::Version2 => version_2(path, &source, target)?,
        Format::Version1 => version_1(path, source, keys, target)?,
    };
    let lost = |items: Vec<(Box<str>, FindingReport)>| {
        let item = |(name, finding): (Box<str>, _)| LostItem {
            name: name.into(),
            findings: vec![finding],
        };
        items.into_iter().map(item).collect::<Vec<_>>()
    };
    let nothing = target.tensors_saved.is_empty() && target.chunks_saved.is_empty();
    let exit_code = match (salvaged.complete, nothing) {
        (true, _) => ExitCode::Done,
        (false, false) => ExitCode::Partial,
        (false, true) => ExitCode::Damaged,
    };
    let fruitless = exit_code == ExitCode::Damaged;
    let report = SalvageReport {
        schema: "fold.salvage/1",
        command: "salvage",
        tool_version: env!("CARGO_PKG_VERSION"),
        exit_code,
        path: path.into(),
        format: format.as_str(),
        applied: mode == Mode::Write && !fruitless,
        carved: salvaged.carved,
        tensors_saved: target.tensors_saved.clone(),
        tensors_lost: lost(salvaged.tensors_lost),
        chunks_saved: target.chunks_saved.clone(),
        chunks_lost: lost(salvaged.chunks_lost),
        files: if fruitless { Vec::new() } else { target.files.clone() },
        findings: salvaged.findings,
        output: (!fruitless).then(|| dir.into()),
    };
    if report.applied {
        target.write(REPORT_NAME, |out| {
            serde_json::to_writer_pretty(&mut *out, &report)?;
            out.write_all(b"\n")
        })?;
    }
    Ok(report)
}

/// A directory that is there and has something in it, or a name that is something else, is refused.
fn require_empty(dir: &Path) -> Result<(), Error> {
    let exists = || Error::Format(Misuse::TargetExists { path: dir.into() }.into());
    let listed = match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().transpose(),
        Err(error) if error.kind() == io::ErrorKind::NotFound && dir.symlink_metadata().is_err() => return Ok(()),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotADirectory | io::ErrorKind::NotFound) => {
            return Err(exists());
        }
        Err(error) => Err(error),
    };
    match listed {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err(exists()),
        Err(source) => Err(Error::Directory {
            operation: DirectoryOperation::List,
            path: dir.into(),
            source,
        }),
    }
}

/// What is known after everything intact was handed out.
struct Remains {
    complete: bool,
    carved: bool,
    tensors_lost: Vec<(Box<str>, FindingReport)>,
    chunks_lost: Vec<(Box<str>, FindingReport)>,
    findings: Vec<FindingReport>,
}

fn version_2(path: &Path, source: &Heeding<'_>, target: &mut Target<'_>) -> Result<Remains, Error> {
    let degraded = OpenOptions::new().mode(OpenMode::Degraded);
    if let Ok(checkpoint) = Checkpoint::open_source(source, &degraded) {
        let metadata = checkpoint.metadata().as_bytes();
        target.plain(METADATA_NAME.to_owned(), "metadata", None, metadata)?;
    }
    let salvaged = fold_format::salvage(source, &Limits::DEFAULT, source.stop, &mut |item| match item {
        Salvaged::Tensor { name, tensor, .. } => target.tensor(name, tensor.dtype(), tensor.shape(), tensor.as_bytes()),
        Salvaged::Chunk { name, kind, bytes, .. } => {
            target.chunk(name, if kind == ChunkKind::Json { "json" } else { "bin" }, bytes)
        }
        _ => Ok(()),
    });
    let salvaged: Salvage = salvaged.map_err(|error| match error {
        Error::Format(error) => Error::of(path, error),
        error => error,
    })?;
    let lost = |items: &[Lost]| {
        let told = |lost: &Lost| (lost.name.clone(), FindingReport::of(&lost.finding, path, false));
        items.iter().map(told).collect::<Vec<_>>()
    };
    let findings = salvaged.findings.iter();
    Ok(Remains {
        complete: salvaged.is_complete(),
        carved: salvaged.carved,
        tensors_lost: lost(&salvaged.tensors_lost),
        chunks_lost: lost(&salvaged.chunks_lost),
        findings: findings
            .map(|finding| FindingReport::of(finding, path, false))
            .collect(),
    })
}

/// Of a version 1 file: the payload of every intact chunk as it is, and the tensors in it as arrays.
fn version_1(path: &Path, source: Heeding<'_>, keys: &Keys, target: &mut Target<'_>) -> Result<Remains, Error> {
    let told = |finding: &v1::Finding| FindingReport::of_version_1(finding, path, false);
    let mut remains = Remains {
        complete: true,
        carved: false,
        tensors_lost: Vec::new(),
        chunks_lost: Vec::new(),
        findings: Vec::new(),
    };
    let file = match v1::File::open_source(source, keys.clone(), Limits::DEFAULT) {
        Ok(file) => file,
        Err(fold_format::Error::Version1(finding)) => {
            remains.complete = false;
            remains.findings.push(told(&finding));
            return Ok(remains);
        }
        Err(error) => return Err(Error::of(path, error)),
    };
    if let Some(metadata) = file.metadata() {
        let text = metadata.print(Form::Stored);
        target.plain(METADATA_NAME.to_owned(), "metadata", None, text.as_bytes())?;
    }
    remains.findings.extend(file.findings().iter().map(told));
    for entry in file.chunks() {
        if (target.stop)().is_break() {
            return Err(Error::cancelled());
        }
        let payload = match file.payload(&entry.name) {
            Ok(payload) => payload,
            Err(fold_format::Error::Version1(finding)) => match file.salvage(&entry.name) {
                Some(payload) => {
                    remains.findings.push(told(&finding));
                    payload
                }
                None => {
                    remains.complete = false;
                    remains.chunks_lost.push((entry.name.clone(), told(&finding)));
                    continue;
                }
            },
            Err(error) => return Err(Error::of(path, error)),
        };
        let ending = if &*entry.ctype == "JSON" { "json" } else { "bin" };
        target.chunk(&entry.name, ending, &payload)?;
        // The payload is there as it is; where it can be told apart into arrays, so are they.
        if let Ok(content) = v1::Content::read(&entry.ctype, &payload, Limits::DEFAULT.max_v1_chunk_bytes) {
            for Array {
                name,
                dtype,
                shape,
                bytes,
                ..
            } in content.tensors()
            {
                target.tensor(&format!("{}.{name}", entry.name), *dtype, shape, bytes)?;
            }
        }
    }
    Ok(remains)
}
