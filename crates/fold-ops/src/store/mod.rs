//! A directory of checkpoints, one file per step: finding the newest one that can be trusted.
//!
//! Reading needs no lock: files appear and vanish whole, under names that are never reused for other content while they
//! are valid. Writing is [`StoreWriter`]'s, which holds the lock; what may be removed is decided in `retention`.
//! What a step is (an epoch, an update) is the training loop's business, and so is the content.

pub(crate) mod lock;
mod retention;
mod writer;

use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use fold_format::storage::Storage;
use fold_format::{
    Checkpoint, Depth, Digest, Disk, OpenOptions, ReadAt, Report, Verdict, VerifyOptions, verify_source,
};

pub use retention::{Fate, PruneItem, PrunePlan, PruneReport, Pruned, Retention};
pub use writer::StoreWriter;

use crate::error::{DirectoryOperation, Error};

/// The key of a checkpoint's metadata that [`Retention::keep_best`] goes by: a finite number, higher is better.
pub const SCORE_KEY: &str = "score";

/// The key of a checkpoint's metadata that says which step it is of, a number. Where it says another one than the name
/// does, the file was copied or renamed, and is no checkpoint of the step that it is called after.
pub const STEP_KEY: &str = "epoch";

/// The step that a file name stands for: `step-00000012.fold` is 12. None for every other name, `step-12.fold` too, so
/// that a step has one name only.
#[must_use]
pub fn step_of(file_name: &OsStr) -> Option<u64> {
    let name = file_name.to_str()?;
    let step = name.strip_prefix("step-")?.strip_suffix(".fold")?.parse::<u64>().ok()?;
    (file_name_of(step) == name).then_some(step)
}

fn file_name_of(step: u64) -> String {
    format!("step-{step:08}.fold")
}

/// A directory of checkpoints `step-00000012.fold`, for reading.
#[derive(Clone, Debug)]
pub struct CheckpointStore<S: Storage = Disk> {
    storage: S,
    dir: PathBuf,
}

impl CheckpointStore<Disk> {
    /// The store in `dir`. Nothing is looked at yet: a directory that does not exist is an error of the first listing.
    pub fn open(dir: impl Into<PathBuf>) -> Self {
        Self::over(Disk, dir)
    }
}

impl<S: Storage> CheckpointStore<S> {
    /// As [`CheckpointStore::open`], on any storage.
    pub fn over(storage: S, dir: impl Into<PathBuf>) -> Self {
        Self {
            storage,
            dir: dir.into(),
        }
    }

    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The path of a step's checkpoint, whether it exists or not.
    #[must_use]
    pub fn path_of(&self, step: u64) -> PathBuf {
        self.dir.join(file_name_of(step))
    }

    /// The steps that have a checkpoint, ascending. Says nothing about their being valid.
    ///
    /// # Errors
    /// The directory cannot be listed; `FOLD-E0103` where it does not exist.
    pub fn steps(&self) -> Result<Vec<u64>, Error> {
        let mut steps = self
            .list()?
            .iter()
            .filter_map(|path| step_of(path.file_name()?))
            .collect::<Vec<_>>();
        steps.sort_unstable();
        Ok(steps)
    }

    /// The newest checkpoint whose every byte is right and which is of the step it is called after, and everything newer
    /// that had to be skipped.
    ///
    /// Each file is verified in full, from the newest back, and handed over through the handle that was verified. Where
    /// no file is wholly right, the newest one is taken whose damage lies in a copy that the file holds twice
    /// ([`Verdict::Corrected`]): what it answers is right. A file that vanishes meanwhile was removed by a writer and is
    /// passed over.
    ///
    /// # Errors
    /// The directory cannot be listed, or a file cannot be opened at all: that is no statement about its content, and
    /// going back to an older one for lack of a permission would lose work.
    pub fn latest_valid(&self) -> Result<Latest<S::File>, Error> {
        let mut skipped = Vec::new();
        let mut corrected = None;
        for step in self.steps()?.into_iter().rev() {
            let Some(examined) = self.examine(step)? else { continue };
            match examined.verdict() {
                Verdict::Ok | Verdict::Corrected if examined.other_step(step).is_some() => {
                    skipped.push(examined.skipped(step));
                }
                Verdict::Ok => {
                    return Ok(Latest {
                        chosen: examined.chosen(step),
                        skipped,
                    });
                }
                Verdict::Corrected if corrected.is_none() => {
                    corrected = Some((skipped.len(), step));
                    skipped.push(examined.skipped(step));
                }
                _ => skipped.push(examined.skipped(step)),
            }
        }
        let Some((position, step)) = corrected else {
            return Ok(Latest { chosen: None, skipped });
        };
        let chosen = self.examine(step)?.and_then(|examined| examined.chosen(step));
        if chosen.is_some() {
            // Older ones were looked at, but nothing was skipped in favour of an older one.
            skipped.truncate(position);
        }
        Ok(Latest { chosen, skipped })
    }

    /// The root digest of a step's file as it is now; none where it is not there or cannot be opened.
    fn root_of(&self, step: u64) -> Option<Digest> {
        let source = self.storage.open(&self.path_of(step)).ok()?;
        let checkpoint = Checkpoint::open_source(source, &OpenOptions::new()).ok()?;
        Some(checkpoint.info().root)
    }

    /// Verifies one step in full and opens it where it can be. None where the file is not there (any more).
    fn examine(&self, step: u64) -> Result<Option<Examined<S::File>>, Error> {
        let path = self.path_of(step);
        let source = match self.storage.open(&path) {
            Ok(source) => source,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.refused(DirectoryOperation::Open, &path, error)),
        };
        let report =
            verify_source(&source, Depth::All, VerifyOptions::new()).map_err(|error| Error::of(&path, error))?;
        let checkpoint = match report.verdict {
            Verdict::Ok | Verdict::Corrected => {
                Some(Checkpoint::open_source(source, &OpenOptions::new()).map_err(|error| Error::of(&path, error))?)
            }
            _ => None,
        };
        Ok(Some(Examined {
            path,
            report,
            checkpoint,
        }))
    }

    fn list(&self) -> Result<Vec<PathBuf>, Error> {
        self.storage
            .list(&self.dir)
            .map_err(|error| self.refused(DirectoryOperation::List, &self.dir, error))
    }

    fn sync(&self) -> Result<(), Error> {
        self.storage
            .sync_dir(&self.dir)
            .map_err(|error| self.refused(DirectoryOperation::Sync, &self.dir, error))
    }

    fn refused(&self, operation: DirectoryOperation, path: &Path, source: io::Error) -> Error {
        Error::Directory {
            operation,
            path: path.into(),
            source,
        }
    }
}

/// A checkpoint that was verified in full, with its verdict.
struct Examined<F> {
    path: PathBuf,
    report: Report,
    /// There exactly where the verdict is `Ok` or `Corrected`.
    checkpoint: Option<Checkpoint<F>>,
}

impl<F> Examined<F> {
    fn verdict(&self) -> Verdict {
        self.report.verdict
    }

    /// What every byte of it follows from.
    fn root(&self) -> Option<Digest>
    where
        F: ReadAt,
    {
        self.checkpoint.as_ref().map(|checkpoint| checkpoint.info().root)
    }

    /// The step that its metadata say, where that is another one.
    fn other_step(&self, step: u64) -> Option<u64>
    where
        F: ReadAt,
    {
        let said = self.metadata(STEP_KEY)?.as_u64()?;
        (said != step).then_some(said)
    }

    /// What its metadata have under a key.
    fn metadata(&self, key: &str) -> Option<serde_json::Value>
    where
        F: ReadAt,
    {
        let metadata = self.checkpoint.as_ref()?.metadata();
        let mut metadata = serde_json::from_str::<serde_json::Value>(metadata).ok()?;
        metadata.get_mut(key).map(serde_json::Value::take)
    }

    fn chosen(self, step: u64) -> Option<Chosen<F>> {
        Some(Chosen {
            step,
            path: self.path,
            report: self.report,
            checkpoint: self.checkpoint?,
        })
    }

    fn skipped(self, step: u64) -> Skipped
    where
        F: ReadAt,
    {
        Skipped {
            step,
            other_step: self.other_step(step),
            path: self.path,
            report: self.report,
        }
    }
}

/// What [`CheckpointStore::latest_valid`] found.
#[derive(Debug)]
#[non_exhaustive]
pub struct Latest<F> {
    /// The checkpoint to go on from; none where the directory holds none, or where all are in `skipped`.
    pub chosen: Option<Chosen<F>>,
    /// Newer checkpoints that are not whole, or not of their step, newest first.
    pub skipped: Vec<Skipped>,
}

/// A checkpoint that was verified in full and opened.
#[derive(Debug)]
#[non_exhaustive]
pub struct Chosen<F> {
    /// Its step.
    pub step: u64,
    /// Its path.
    pub path: PathBuf,
    /// The verification: `Ok`, or `Corrected` where nothing better is there.
    pub report: Report,
    /// The open checkpoint.
    pub checkpoint: Checkpoint<F>,
}

/// A checkpoint that was passed over, and why.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Skipped {
    /// The step it is called after.
    pub step: u64,
    /// The step that its metadata say, where that is another one.
    pub other_step: Option<u64>,
    /// Its path.
    pub path: PathBuf,
    /// What is wrong with it.
    pub report: Report,
}

impl Skipped {
    /// Why it was passed over, in one line: whose it is, or the verdict and the first finding.
    #[must_use]
    pub fn why(&self) -> String {
        match (self.other_step, self.report.findings.first()) {
            (Some(other), _) => format!("it is of step {other}, as its metadata say: a copy under another's name"),
            (None, Some(finding)) => format!("{}: {finding}", self.report.verdict),
            (None, None) => self.report.verdict.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_has_one_name() {
        assert_eq!(step_of(OsStr::new("step-00000012.fold")), Some(12));
        assert_eq!(step_of(OsStr::new("step-123456789.fold")), Some(123_456_789));
        for other in [
            "step-12.fold",
            "step-000000012.fold",
            "step-+0000012.fold",
            "step-00000012.fold.aside-1",
            ".fold-tmp-step-00000012.fold",
            "step-.fold",
            "step-99999999999999999999.fold",
        ] {
            assert_eq!(step_of(OsStr::new(other)), None, "{other}");
        }
        assert_eq!(step_of(OsStr::new(&file_name_of(u64::MAX))), Some(u64::MAX));
    }
}
