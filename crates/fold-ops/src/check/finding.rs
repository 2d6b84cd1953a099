//! One finding as the reports show it: what, where, and what to do next.

use std::io;
use std::path::Path;

use fold_format::{Class, Escaped, Finding, Region, Severity, interchange, v1};
use serde::{Serialize, Serializer};

use super::advice::{self, Advice};
use super::code_of;
use crate::code::Code;
use crate::json::Int;

/// What is wrong, where, and what to do next: an entry of `findings` in the reports.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct FindingReport {
    /// The stable code.
    pub code: Code,
    /// How bad it is.
    #[serde(serialize_with = "severity")]
    pub severity: Severity,
    /// Whose move it is.
    #[serde(serialize_with = "class")]
    pub class: Class,
    /// The chunk concerned, where one is.
    pub chunk: Option<Box<str>>,
    /// The first tensor concerned, where one is.
    pub tensor: Option<Box<str>>,
    /// How many further tensors lie on the same damaged block.
    pub more_tensors: Int,
    /// The block concerned, counted over the whole file, where it is content that is damaged.
    pub block: Option<Int>,
    /// The part of the file, for example `content` or `superblock A`.
    pub region: String,
    /// File offsets, half-open: covers everything that may be damaged. None where no bytes are concerned.
    pub byte_range: Option<[Int; 2]>,
    /// Whether the file itself holds what is needed to restore these bytes exactly.
    pub repairable: bool,
    /// What is wrong, in one line.
    pub message: String,
    /// What to do, in one line.
    pub action: String,
    /// A command of this release that goes on from here.
    pub next_command: Option<String>,
    /// The runbook entry: what `fold explain` prints.
    pub runbook: Code,
}

fn severity<S: Serializer>(severity: &Severity, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(severity.as_str())
}

fn class<S: Serializer>(class: &Class, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(class.as_str())
}

impl FindingReport {
    /// A finding of the container in the file `path`.
    ///
    /// - `mendable`: whether all that is wrong with the file can be repaired, this finding and every other.
    pub(crate) fn of(finding: &Finding, path: &Path, mendable: bool) -> Self {
        let code = code_of(finding);
        let bytes = &finding.byte_range;
        let placed = !(bytes.is_empty() && finding.region == Region::File);
        let advice = advice::on_finding(code, mendable, path);
        Self {
            chunk: finding.chunk.clone(),
            tensor: finding.tensor.clone(),
            more_tensors: Int(finding.more_tensors),
            block: finding.block.map(Int),
            region: finding.region.to_string(),
            byte_range: placed.then_some([Int(bytes.start), Int(bytes.end)]),
            repairable: finding.repairable,
            ..Self::placeless(code, format!("{}: {}", code.meaning(), finding.cause), advice)
        }
    }

    /// A finding of a version 1 file; `mendable` as for [`FindingReport::of`].
    pub(crate) fn of_version_1(finding: &v1::Finding, path: &Path, mendable: bool) -> Self {
        let code = Code::from(finding.code());
        let bytes = &finding.byte_range;
        let said = finding.io.map_or_else(String::new, |kind| format!(": {kind}"));
        let message = format!(
            "{}: {}{said} ({})",
            code.meaning(),
            finding.kind.meaning(),
            finding.kind.as_str()
        );
        let region = match finding.chunk {
            Some(_) => Region::Content,
            None => Region::File,
        };
        Self {
            chunk: finding.chunk.clone(),
            byte_range: Some([Int(bytes.start), Int(bytes.end)]),
            region: region.to_string(),
            repairable: finding.repairable,
            ..Self::placeless(code, message, advice::on_finding(code, mendable, path))
        }
    }

    /// What is wrong inside a chunk that is whole, or with a file of another program.
    pub(crate) fn of_content(fault: &interchange::Fault, chunk: Option<&str>) -> Self {
        let code = Code::from(fault.code());
        Self {
            chunk: chunk.map(Into::into),
            region: if chunk.is_some() { Region::Content } else { Region::File }.to_string(),
            ..Self::placeless(
                code,
                format!("{}: {fault}", code.meaning()),
                advice::on_content(code, chunk.is_some()),
            )
        }
    }

    /// As [`FindingReport::of_content`], in one array of a file of another program.
    pub(super) fn of_array(fault: &interchange::Fault, array: &str) -> Self {
        Self {
            tensor: Some(array.into()),
            ..Self::of_content(fault, None)
        }
    }

    /// A signature by a key was asked for, and the file `path` has none.
    ///
    /// - `what`: what it lacks, or cannot have.
    pub(super) fn of_unsigned(what: &str, path: &Path) -> Self {
        let code = Code::Format(fold_format::Code::Signature);
        let message = format!("{}: {what}", code.meaning());
        Self::placeless(code, message, advice::on_finding(code, false, path))
    }

    /// What kept the container from looking at the file `path`.
    pub(crate) fn of_error(error: &fold_format::Error, path: &Path) -> Self {
        match error {
            fold_format::Error::Finding(finding) => Self::of(finding, path, false),
            fold_format::Error::Version1(finding) => Self::of_version_1(finding, path, false),
            fold_format::Error::Io(fault) => {
                let code = Code::from(fault.code());
                let message = format!("cannot {} the file: {}", fault.operation, fault.source);
                Self::placeless(code, message, advice::on_finding(code, false, path))
            }
            fold_format::Error::Content(fault) => Self::of_content(fault, None),
            other => {
                let code = Code::from(other.code());
                Self::placeless(code, code.meaning().to_owned(), advice::on_finding(code, false, path))
            }
        }
    }

    /// A directory that cannot be listed, or in which no checkpoint is.
    pub(crate) fn of_directory(path: &Path, error: Option<&io::Error>) -> Self {
        match error {
            None => {
                let code = Code::Format(fold_format::Code::Absent);
                let message = "the directory holds no checkpoint (*.fold, *.mind)".to_owned();
                Self::placeless(code, message, advice::on_finding(code, false, path))
            }
            Some(error) => {
                let code = Code::Format(fold_format::Code::Io);
                let message = format!("cannot list the directory: {error}");
                Self::placeless(code, message, advice::on_finding(code, false, path))
            }
        }
    }

    /// A file that is listed and cannot be looked at: a link that leads nowhere is there.
    pub(super) fn of_unseen(path: &Path, error: &io::Error) -> Self {
        let code = Code::Format(fold_format::Code::Io);
        let message = format!("cannot look at the file: {error}");
        Self::placeless(code, message, advice::on_finding(code, false, path))
    }

    /// What a command found out and could not save to the file `path`.
    pub(crate) fn of_unsaved(error: &crate::Error, path: &Path) -> Self {
        let code = error.code();
        let text = error.to_string();
        let named = format!("{code} {}: ", error.class());
        let message = text.strip_prefix(&named).unwrap_or(&text).to_owned();
        Self::placeless(code, message, advice::on_finding(code, false, path))
    }

    /// A path that must be a directory and is not.
    pub(crate) fn not_a_directory(path: &Path) -> Self {
        let code = Code::Format(fold_format::Code::Absent);
        let message = match path.exists() {
            true => "this is no directory of checkpoints; `fold verify` takes a file".to_owned(),
            false => "there is no such directory".to_owned(),
        };
        Self::placeless(code, message, advice::on_finding(code, false, path))
    }

    /// What an earlier reading of a file of `bytes` bytes has found, of which the code alone is known; `mendable` as for
    /// [`FindingReport::of`].
    pub(crate) fn remembered(code: Code, mendable: bool, path: &Path, bytes: u64) -> Self {
        let message = format!("{}: found earlier, `fold verify` says where", code.meaning());
        Self {
            byte_range: Some([Int(0), Int(bytes)]),
            ..Self::placeless(code, message, advice::on_finding(code, mendable, path))
        }
    }

    fn placeless(code: Code, message: String, advice: Advice) -> Self {
        Self {
            code,
            severity: code.severity(),
            class: code.class(),
            chunk: None,
            tensor: None,
            more_tensors: Int(0),
            block: None,
            region: Region::File.to_string(),
            byte_range: None,
            repairable: false,
            message,
            action: advice.action,
            next_command: advice.next_command,
            runbook: code,
        }
    }

    /// Another checkpoint, newer and whole, stands in for the damaged one.
    pub(super) fn superseded_by(&mut self, newer: &Path) {
        let advice = advice::on_superseded(newer);
        self.action = advice.action;
        self.next_command = advice.next_command;
    }

    /// No checkpoint of the directory can be gone on from: what is said of resuming does not hold.
    pub(super) fn last_of_its_run(&mut self, path: &Path) {
        let asks_for_the_run = self.next_command.as_deref() == advice::resume_command(path).as_deref();
        if asks_for_the_run && self.next_command.is_some() {
            let advice = advice::on_a_run_lost(path);
            self.action = advice.action;
            self.next_command = advice.next_command;
        }
    }

    /// Where it is, for a person: chunk, tensor, block, bytes; names from the file are escaped.
    #[must_use]
    pub fn place(&self) -> String {
        let mut parts = Vec::new();
        if let Some(chunk) = &self.chunk {
            parts.push(format!("chunk {}", Escaped(chunk)));
        }
        if let Some(tensor) = &self.tensor {
            let more = match self.more_tensors {
                Int(0) => String::new(),
                Int(more) => format!(" and {more} more"),
            };
            parts.push(format!("tensor {}{more}", Escaped(tensor)));
        }
        if self.chunk.is_none() || self.region != Region::Content.to_string() {
            parts.push(self.region.clone());
        }
        if let Some(Int(block)) = self.block {
            parts.push(format!("block {block}"));
        }
        if let Some([Int(from), Int(to)]) = self.byte_range {
            parts.push(format!("bytes {from}..{to}"));
        }
        parts.join(", ")
    }
}
