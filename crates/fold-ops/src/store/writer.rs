//! Writing to a checkpoint directory: saving, putting aside what cannot be trusted, and carrying out a prune.
//!
//! Everything that changes the directory is a method of [`StoreWriter`], which holds the lock. Nothing here overwrites a
//! file, and only a prune and the removal of a dead writer's temporary files delete one.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fold_format::parity::Level as ParityLevel;
use fold_format::storage::Storage;
use fold_format::{Content, Disk, Durability, SaveOptions, Saved, is_temporary_name, save};

use super::lock::{self, WriterLock};
use super::{CheckpointStore, PruneItem, PrunePlan, Pruned};
use crate::error::{DirectoryOperation, Error, shown};

/// A process that is at work on a file writes to it at least that often; the number of one that died may be another's by then.
const WRITES_WITHIN: Duration = Duration::from_secs(6 * 3600);

/// A checkpoint directory, locked for writing.
///
/// ```no_run
/// use fold_format::Content;
/// use fold_ops::{Retention, StoreWriter};
///
/// let writer = StoreWriter::create("runs/digits")?;
/// let latest = writer.store().latest_valid()?;
/// for skipped in &latest.skipped {
///     writer.set_aside(skipped.step)?;
/// }
/// writer.save(7, &Content::new().metadata(r#"{"score":0.91}"#), [0; 16])?;
/// let plan = writer.store().plan(&Retention { keep_last: 3, keep_every: 0, keep_best: 1 })?;
/// writer.prune(&plan)?;
/// # Ok::<(), fold_ops::Error>(())
/// ```
#[derive(Debug)]
pub struct StoreWriter<S: Storage = Disk> {
    store: CheckpointStore<S>,
    _lock: Option<WriterLock>,
    removed_leftovers: Vec<PathBuf>,
    parity: Option<ParityLevel>,
}

impl StoreWriter<Disk> {
    /// Creates the directory where it is missing, locks it, and removes the temporary files of writers that died.
    ///
    /// A process of another container or machine is taken for dead: where such share the directory, a repair or conversion into
    /// it while a run begins there is to be written elsewhere.
    ///
    /// The lock lasts as long as this value and ends with the process, however that ends.
    ///
    /// # Errors
    /// `FOLD-E0105` while another process holds the lock; the directory cannot be created, locked or listed.
    pub fn create(dir: impl Into<PathBuf>) -> Result<Self, Error> {
        let dir = dir.into();
        lock::create_dir(&dir)?;
        let lock = WriterLock::take(&dir)?;
        Self::locked(CheckpointStore::open(dir), Some(lock))
    }
}

impl<S: Storage> StoreWriter<S> {
    /// As [`StoreWriter::create`], on any storage and without a lock: the caller answers for there being one writer.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn over(storage: S, dir: impl Into<PathBuf>) -> Result<Self, Error> {
        Self::locked(CheckpointStore::over(storage, dir), None)
    }

    fn locked(store: CheckpointStore<S>, lock: Option<WriterLock>) -> Result<Self, Error> {
        let mut removed_leftovers = Vec::new();
        for path in store.list()? {
            if path.file_name().is_some_and(is_temporary_name) && !may_live(&path) {
                store.remove(&path)?;
                log::info!("removed {}: left by a writer that died", shown(&path));
                removed_leftovers.push(path);
            }
        }
        Ok(Self {
            store,
            _lock: lock,
            removed_leftovers,
            parity: None,
        })
    }

    /// How much parity the checkpoints get that are saved from now on; none unless said.
    #[must_use]
    pub fn with_parity(mut self, level: Option<ParityLevel>) -> Self {
        self.parity = level;
        self
    }

    /// The directory, for reading.
    #[must_use]
    pub fn store(&self) -> &CheckpointStore<S> {
        &self.store
    }

    /// Temporary files of dead writers that were removed when the directory was locked.
    #[must_use]
    pub fn removed_leftovers(&self) -> &[PathBuf] {
        &self.removed_leftovers
    }

    /// Saves a step's checkpoint: when this returns `Ok`, it survives a power cut.
    ///
    /// - `content`: metadata with [`SCORE_KEY`](super::SCORE_KEY) where [`Retention`](super::Retention) is to keep the best.
    /// - `uuid`: enters every digest; the same content and uuid give the same bytes. Derive it from what makes the
    ///   checkpoint unique (configuration, seed, step), so that blocks of another file are never taken for this one's.
    ///
    /// # Errors
    /// `FOLD-E0003` where the step has a file already ([`StoreWriter::set_aside`] frees the name); `FOLD-E0404` no space;
    /// `FOLD-E0403` the flush failed, and the file is not there.
    pub fn save(&self, step: u64, content: &Content<'_>, uuid: [u8; 16]) -> Result<Saved, Error> {
        let options = SaveOptions::new(Durability::Full).uuid(uuid).parity(self.parity);
        let path = self.store.path_of(step);
        let saved = save(&self.store.storage, &path, content, &options)?;
        log::debug!("saved {} ({} bytes)", shown(&path), saved.bytes);
        Ok(saved)
    }

    /// Renames a step's file to `step-00000012.fold.aside-1` (or the first free number), so that the step can be saved
    /// anew and nothing is lost: for a damaged checkpoint, or for one that a resumed run is to replace.
    ///
    /// # Errors
    /// There is no such file, or the system refuses.
    pub fn set_aside(&self, step: u64) -> Result<PathBuf, Error> {
        let path = self.store.path_of(step);
        let mut number = 1_u64;
        let target = loop {
            let mut name = path.clone().into_os_string();
            name.push(format!(".aside-{number}"));
            let target = PathBuf::from(name);
            let taken = self.store.storage.exists(&target);
            if !taken.map_err(|error| self.store.refused(DirectoryOperation::Look, &target, error))? {
                break target;
            }
            number = number.saturating_add(1);
        };
        self.store
            .storage
            .rename_new(&path, &target)
            .map_err(|error| self.store.refused(DirectoryOperation::Rename, &path, error))?;
        self.store.sync()?;
        log::info!("set aside {} as {}", shown(&path), shown(&target));
        Ok(target)
    }

    /// Carries out a plan of this directory: looks once more whether the newest valid checkpoint still is one, then removes
    /// from the oldest on, then flushes the directory. What is another file than the one that was judged stays: another
    /// directory's plan removes nothing.
    ///
    /// # Errors
    /// `FOLD-E0602`, with nothing removed, where the checkpoint that the plan relies on is not valid any more, or is
    /// another one; the system refuses a removal, those before it are done.
    pub fn prune(&self, plan: &PrunePlan) -> Result<Pruned, Error> {
        let mut pruned = Pruned::default();
        let Some(guard) = plan.newest_valid() else {
            return Ok(pruned);
        };
        if plan.removals().next().is_none() {
            return Ok(pruned);
        }
        let unchanged = |item: &PruneItem| item.root.is_some() && item.root == self.store.root_of(item.step);
        let judged = plan.items().iter().find(|item| item.step == guard);
        if !(judged.is_some_and(unchanged) && self.store.is_valid(guard)?) {
            return Err(Error::LastValid {
                path: self.store.path_of(guard),
            });
        }
        for item in plan.removals() {
            let path = self.store.path_of(item.step);
            if !unchanged(item) {
                log::warn!("{} stays: it is not the file that was judged", shown(&path));
                continue;
            }
            self.store.remove(&path)?;
            log::info!("removed {}: superseded by step {guard}", shown(&path));
            pruned.removed.push(path);
            pruned.bytes_freed = pruned.bytes_freed.saturating_add(item.bytes);
        }
        self.store.sync()?;
        Ok(pruned)
    }
}

/// Whether a temporary file may be that of a process at work: commands that write a single file take no lock.
///
/// Its name holds the number of its process. One of this process' number is of a dead process, since this one begins nothing
/// in a store before it holds the lock. Where the system does not tell which processes there are, its age decides alone.
fn may_live(path: &Path) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let process = name.split('-').find_map(|part| part.parse::<u32>().ok());
    let lives = process.is_some_and(|process| {
        let known = cfg!(target_os = "linux");
        process != std::process::id() && (!known || Path::new("/proc").join(process.to_string()).exists())
    });
    let written = std::fs::metadata(path).and_then(|metadata| metadata.modified());
    lives && written.is_ok_and(|written| written.elapsed().unwrap_or_default() < WRITES_WITHIN)
}

impl<S: Storage> CheckpointStore<S> {
    fn remove(&self, path: &Path) -> Result<(), Error> {
        self.storage
            .remove(path)
            .map_err(|error| self.refused(DirectoryOperation::Remove, path, error))
    }
}
