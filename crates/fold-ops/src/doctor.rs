//! Looking at a machine before a run is trusted to it: `fold doctor`, schema `fold.doctor/1`.
//!
//! The one thing written is a probe file in the directory, saved the way a checkpoint is and removed again.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use fold_format::storage::{Storage, StorageFile};
use fold_format::{Disk, is_temporary_name};
use jiff::Timestamp;
use serde::Serialize;

use crate::check::{lossy, targets};
use crate::code::Code;
use crate::error::{DirectoryOperation, Error};
use crate::exit::ExitCode;
use crate::host::{self, Space};
use crate::scrub::{Identity, ScrubState};
use crate::store::lock::WriterLock;

/// Below this share of free space the store counts as filling up.
const FREE_SHARE: f64 = 0.1;
/// Below this many open files, a run with figures and metrics may fail.
const OPEN_FILES: u64 = 256;
/// 2024-01-01: no release of this program is older.
const EARLIEST: i64 = 1_704_067_200;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Status {
    /// Nothing speaks against it.
    Ok,
    /// This system cannot be asked.
    Skipped,
    /// A run works, and less is promised.
    Warning,
    /// A run would fail.
    Failed,
}

impl Status {
    /// `ok`, `skipped`, `warning` or `failed`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Skipped => "skipped",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// One check.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Checked {
    /// Its name.
    pub check: &'static str,
    /// How it ended.
    pub status: Status,
    /// What was seen, in one line.
    pub message: String,
    /// The code whose runbook entry says more, where one does.
    pub code: Option<Code>,
}

impl Checked {
    fn new(check: &'static str, status: Status, message: impl Into<String>) -> Self {
        Self {
            check,
            status,
            message: message.into(),
            code: None,
        }
    }

    fn coded(mut self, code: Code) -> Self {
        self.code = Some(code);
        self
    }
}

/// What `fold doctor` answers, schema `fold.doctor/1`.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct DoctorReport {
    /// `fold.doctor/1`.
    pub schema: &'static str,
    /// `doctor`.
    pub command: &'static str,
    /// The release that looked.
    pub tool_version: &'static str,
    /// 0, or 1 where a check failed; a warning does not fail.
    pub exit_code: ExitCode,
    /// The directory looked at.
    #[serde(serialize_with = "lossy")]
    pub dir: PathBuf,
    /// Every check.
    pub checks: Vec<Checked>,
}

/// Looks at the machine and at `dir`, which must exist.
#[must_use]
pub fn doctor(dir: &Path, now: Timestamp) -> DoctorReport {
    let checks = vec![
        save(dir),
        lock(dir),
        leftovers(dir),
        file_system(dir),
        free_space(dir),
        free_files(dir),
        open_files(),
        file_size(dir),
        clock(dir, now),
        byte_order(),
        processor(),
    ];
    let failed = checks.iter().any(|checked| checked.status == Status::Failed);
    DoctorReport {
        schema: "fold.doctor/1",
        command: "doctor",
        tool_version: env!("CARGO_PKG_VERSION"),
        exit_code: if failed { ExitCode::No } else { ExitCode::Done },
        dir: dir.into(),
        checks,
    }
}

fn unknown(check: &'static str, error: &io::Error) -> Checked {
    Checked::new(check, Status::Skipped, format!("cannot be told: {error}"))
}

/// Creates, writes, flushes, renames and removes a file, as saving a checkpoint does.
fn save(dir: &Path) -> Checked {
    let probe = dir.join(format!(".fold-tmp-doctor-{}", std::process::id()));
    let renamed = dir.join(format!(".fold-tmp-doctor-{}-renamed", std::process::id()));
    let failed = |operation, path: &Path, source| Error::Directory {
        operation,
        path: path.into(),
        source,
    };
    let saved = (|| {
        use DirectoryOperation::{Create, Remove, Rename, Sync, Write};
        let file = Disk
            .create_new(&probe, None)
            .map_err(|error| failed(Create, &probe, error))?;
        let written = file.write_at(b"fold doctor", 0).and_then(|_| file.set_len(4096));
        written.map_err(|error| failed(Write, &probe, error))?;
        file.sync().map_err(|error| failed(Sync, &probe, error))?;
        Disk.rename_new(&probe, &renamed)
            .map_err(|error| failed(Rename, &probe, error))?;
        Disk.sync_dir(dir).map_err(|error| failed(Sync, dir, error))?;
        Disk.remove(&renamed).map_err(|error| failed(Remove, &renamed, error))
    })();
    if saved.is_err() {
        // Whatever is left of the probe; that nothing is left is no fault.
        let _ = (fs::remove_file(&probe), fs::remove_file(&renamed));
    }
    match saved {
        Ok(()) => Checked::new(
            "save",
            Status::Ok,
            "a file can be created, flushed, renamed and removed",
        ),
        Err(error) => Checked::new("save", Status::Failed, error.to_string()).coded(error.code()),
    }
}

fn lock(dir: &Path) -> Checked {
    let path = dir.join(crate::store::lock::FILE_NAME);
    if !path.exists() {
        return Checked::new("lock", Status::Ok, "no writer");
    }
    match WriterLock::take_file(dir, path) {
        Ok(_) => Checked::new("lock", Status::Ok, "no writer"),
        Err(error @ Error::Locked { .. }) => {
            Checked::new("lock", Status::Warning, error.to_string()).coded(Code::Locked)
        }
        Err(error) => Checked::new("lock", Status::Failed, error.to_string()).coded(error.code()),
    }
}

fn leftovers(dir: &Path) -> Checked {
    match Disk.list(dir) {
        Err(error) => unknown("leftovers", &error),
        Ok(paths) => {
            let left = paths
                .iter()
                .filter(|path| path.file_name().is_some_and(is_temporary_name))
                .count();
            match left {
                0 => Checked::new("leftovers", Status::Ok, "no temporary files of dead writers"),
                _ => Checked::new(
                    "leftovers",
                    Status::Warning,
                    format!(
                        "{left} temporary file(s) of a writer that is at work or died; the next writer removes them"
                    ),
                ),
            }
        }
    }
}

fn file_system(dir: &Path) -> Checked {
    match host::file_system(dir) {
        Err(error) => unknown("file-system", &error),
        Ok(None) => Checked::new("file-system", Status::Ok, "of a kind that this release does not know"),
        Ok(Some(kind)) => match kind.doubt {
            None => Checked::new("file-system", Status::Ok, kind.name),
            Some(doubt) => Checked::new("file-system", Status::Warning, format!("{}: {doubt}", kind.name))
                .coded(Code::UnsafeFileSystem),
        },
    }
}

/// The largest checkpoint of the directory; 0 where there is none.
fn largest(dir: &Path) -> u64 {
    let files = targets::expand(dir).unwrap_or_default();
    let sizes = files.iter().filter_map(|path| Identity::of(path).ok());
    sizes.map(|identity| identity.bytes).max().unwrap_or(0)
}

fn free_space(dir: &Path) -> Checked {
    let space = match Space::of(dir) {
        Ok(space) => space,
        Err(error) => return unknown("free-space", &error),
    };
    let needed = largest(dir).saturating_mul(2);
    let seen = format!("{} of {} bytes free", space.free_bytes, space.total_bytes);
    let full = Code::Format(fold_format::Code::NoSpace);
    if space.read_only {
        Checked::new("free-space", Status::Failed, "mounted read-only").coded(Code::Format(fold_format::Code::Io))
    } else if space.free_bytes < needed.max(1) {
        Checked::new(
            "free-space",
            Status::Failed,
            format!("{seen}; two more checkpoints take {needed}"),
        )
        .coded(full)
    } else if (space.free_bytes as f64) < FREE_SHARE * space.total_bytes as f64 {
        Checked::new("free-space", Status::Warning, format!("{seen}, less than a tenth")).coded(full)
    } else {
        Checked::new("free-space", Status::Ok, seen)
    }
}

fn free_files(dir: &Path) -> Checked {
    match Space::of(dir).map(|space| space.free_files) {
        Err(error) => unknown("free-files", &error),
        Ok(None) => Checked::new("free-files", Status::Ok, "not counted by this file system"),
        Ok(Some(free)) if free < 16 => {
            Checked::new("free-files", Status::Failed, format!("{free} files can be created"))
                .coded(Code::Format(fold_format::Code::NoSpace))
        }
        Ok(Some(free)) => Checked::new("free-files", Status::Ok, format!("{free} files can be created")),
    }
}

fn open_files() -> Checked {
    match host::limits()[0] {
        None => Checked::new("open-files", Status::Ok, "no limit is known"),
        Some(limit) if limit < OPEN_FILES => {
            let message = format!("at most {limit} at once; raise the limit to {OPEN_FILES}: `ulimit -n {OPEN_FILES}`");
            Checked::new("open-files", Status::Warning, message)
        }
        Some(limit) => Checked::new("open-files", Status::Ok, format!("at most {limit} at once")),
    }
}

fn file_size(dir: &Path) -> Checked {
    let needed = largest(dir).saturating_mul(2);
    match host::limits()[1] {
        None => Checked::new("file-size", Status::Ok, "no limit"),
        Some(limit) if limit < needed.max(1 << 20) => Checked::new(
            "file-size",
            Status::Failed,
            format!("a file may have {limit} bytes: `ulimit -f unlimited`"),
        )
        .coded(Code::Format(fold_format::Code::NoSpace)),
        Some(limit) => Checked::new("file-size", Status::Ok, format!("a file may have {limit} bytes")),
    }
}

fn clock(dir: &Path, now: Timestamp) -> Checked {
    let files = targets::expand(dir).unwrap_or_default();
    let newest = files
        .iter()
        .filter_map(|path| Identity::of(path).ok())
        .map(|identity| identity.modified)
        .max();
    let wrong = "alerts on age and the order of events are wrong until it is set";
    if now.as_second() < EARLIEST {
        return Checked::new("clock", Status::Warning, format!("it says {now}: {wrong}"));
    }
    let state = ScrubState::load(&ScrubState::default_path(dir)).unwrap_or_default();
    let verified = state.files.values().map(|record| record.verified);
    let scrubbed = verified.chain(state.completed).max();
    let ahead = |time: &Timestamp| time.as_second() > now.as_second().saturating_add(60);
    match (newest.filter(ahead), scrubbed.filter(ahead)) {
        (Some(newest), _) => Checked::new(
            "clock",
            Status::Warning,
            format!("it says {now}, a checkpoint is of {newest}: {wrong}"),
        ),
        (None, Some(scrubbed)) => Checked::new(
            "clock",
            Status::Warning,
            format!("it says {now}, a scrub was at {scrubbed}: {wrong}"),
        ),
        (None, None) => Checked::new("clock", Status::Ok, now.to_string()),
    }
}

fn byte_order() -> Checked {
    match cfg!(target_endian = "little") {
        true => Checked::new("byte-order", Status::Ok, "little-endian, as the files are"),
        false => Checked::new(
            "byte-order",
            Status::Failed,
            "big-endian, which this release does not support",
        ),
    }
}

fn processor() -> Checked {
    #[cfg(target_arch = "x86_64")]
    let features: &[(&str, bool)] = &[
        ("sse4.2", std::is_x86_feature_detected!("sse4.2")),
        ("fma", std::is_x86_feature_detected!("fma")),
        ("avx2", std::is_x86_feature_detected!("avx2")),
        ("avx512f", std::is_x86_feature_detected!("avx512f")),
    ];
    #[cfg(target_arch = "aarch64")]
    let features: &[(&str, bool)] = &[("neon", std::arch::is_aarch64_feature_detected!("neon"))];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let features: &[(&str, bool)] = &[];
    let found = features
        .iter()
        .filter(|(_, there)| *there)
        .map(|(name, _)| *name)
        .collect::<Vec<_>>();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let message = format!("{}, {threads} thread(s), {}", std::env::consts::ARCH, found.join(" "));
    Checked::new("processor", Status::Ok, message.trim_end_matches([',', ' ']))
}
