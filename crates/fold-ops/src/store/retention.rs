//! Which checkpoints may go: a plan first, from full verification, never a guess.
//!
//! Two rules stand above what is asked for. The newest valid checkpoint stays. What is not valid, cannot be opened or is
//! not of its step stays too, and is reported: a damaged file may be all that is left of a step, and what it is worth is
//! for a person to say.

use std::path::PathBuf;

use fold_format::storage::Storage;
use fold_format::{Digest, Verdict};
use serde::Serialize;

use super::{CheckpointStore, Examined, SCORE_KEY};
use crate::check::lossy;
use crate::error::Error;
use crate::exit::ExitCode;
use crate::json::Int;

/// How many checkpoints to keep. The newest valid one is kept even where all are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// The newest valid ones.
    pub keep_last: usize,
    /// The valid ones whose step is a multiple of this; none where it is 0.
    pub keep_every: u64,
    /// The valid ones with the highest score, the newer one where two are equal. Those without a score are not among them.
    pub keep_best: usize,
}

/// What happens to one checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fate {
    /// Kept: one of the newest valid ones.
    KeepNewest,
    /// Kept: its step is a multiple of the distance asked for.
    KeepEvery,
    /// Kept: one of those with the best score.
    KeepBest,
    /// Kept and reported: it is not valid, and nothing shows that it is superseded.
    KeepDamaged,
    /// Kept and reported: its metadata say another step than its name, so it supersedes nothing.
    KeepMisnamed,
    /// Kept and reported: it cannot be opened or read.
    KeepUnread,
    /// Removed: valid, and superseded by the newest valid one.
    Remove,
}

/// One checkpoint of a plan.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct PruneItem {
    /// Its step.
    #[serde(serialize_with = "int")]
    pub step: u64,
    /// Its path; what is not UTF-8 in it is replaced.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    /// Its size; 0 where it cannot be opened.
    #[serde(serialize_with = "int")]
    pub bytes: u64,
    /// Its score, where its metadata have one.
    pub score: Option<f64>,
    /// What happens to it.
    pub fate: Fate,
    /// What was judged; none where it could not be opened.
    #[serde(skip)]
    pub(super) root: Option<Digest>,
}

/// What a prune would do, one item per checkpoint, oldest first. Made by [`CheckpointStore::plan`] alone.
#[derive(Clone, Debug, Default)]
pub struct PrunePlan {
    newest_valid: Option<u64>,
    items: Vec<PruneItem>,
}

impl PrunePlan {
    /// The step that everything removed is superseded by; none where no checkpoint is valid, and nothing is removed then.
    #[must_use]
    pub fn newest_valid(&self) -> Option<u64> {
        self.newest_valid
    }

    /// Every checkpoint of the directory.
    #[must_use]
    pub fn items(&self) -> &[PruneItem] {
        &self.items
    }

    /// The items that would be removed, oldest first.
    pub fn removals(&self) -> impl Iterator<Item = &PruneItem> {
        self.items.iter().filter(|item| item.fate == Fate::Remove)
    }
}

/// What a prune did.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Pruned {
    /// The files removed, oldest first.
    #[serde(serialize_with = "lossy_all")]
    pub removed: Vec<PathBuf>,
    /// Their bytes.
    #[serde(serialize_with = "int")]
    pub bytes_freed: u64,
}

/// What `fold prune` answers, schema `fold.prune/1`.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct PruneReport {
    /// `fold.prune/1`.
    pub schema: &'static str,
    /// `prune`.
    pub command: &'static str,
    /// The release that planned.
    pub tool_version: &'static str,
    /// What the command ends with: `20` where checkpoints are there and none is valid, `74` where one of them could not
    /// be read.
    pub exit_code: ExitCode,
    /// Whether the plan was carried out.
    pub applied: bool,
    /// The step that everything removed is superseded by.
    pub newest_valid: Option<Int>,
    /// Every checkpoint of the directory and its fate, oldest first.
    pub items: Vec<PruneItem>,
    /// Bytes of those that go, or went.
    pub bytes_to_free: Int,
    /// What was removed; empty for a plan.
    #[serde(flatten)]
    pub pruned: Pruned,
}

impl PruneReport {
    /// - `pruned`: what carrying the plan out did; none for a plan alone.
    #[must_use]
    pub fn new(plan: PrunePlan, pruned: Option<Pruned>) -> Self {
        let unread = plan.items.iter().any(|item| item.fate == Fate::KeepUnread);
        let exit_code = match plan.newest_valid {
            None if unread => ExitCode::Io,
            None if !plan.items.is_empty() => ExitCode::Damaged,
            _ => ExitCode::Done,
        };
        Self {
            schema: "fold.prune/1",
            command: "prune",
            tool_version: env!("CARGO_PKG_VERSION"),
            exit_code,
            applied: pruned.is_some(),
            newest_valid: plan.newest_valid.map(Int),
            bytes_to_free: Int(plan.removals().map(|item| item.bytes).fold(0, u64::saturating_add)),
            items: plan.items,
            pruned: pruned.unwrap_or_default(),
        }
    }
}

fn lossy_all<T: serde::Serializer>(paths: &[PathBuf], serializer: T) -> Result<T::Ok, T::Error> {
    serializer.collect_seq(paths.iter().map(|path| path.to_string_lossy()))
}

fn int<T: serde::Serializer>(value: &u64, serializer: T) -> Result<T::Ok, T::Error> {
    Int(*value).serialize(serializer)
}

impl<S: Storage> CheckpointStore<S> {
    /// Verifies every checkpoint in full and says what a prune would do. Changes nothing. A file that cannot be read stays,
    /// with a warning in the log: it does not keep others from going that a newer one supersedes.
    ///
    /// # Errors
    /// The directory cannot be listed.
    pub fn plan(&self, retention: &Retention) -> Result<PrunePlan, Error> {
        let mut items = Vec::new();
        for step in self.steps()? {
            let item = match self.examine(step) {
                Ok(None) => continue,
                Ok(Some(examined)) => PruneItem {
                    step,
                    bytes: examined.report.bytes_total,
                    score: score(&examined),
                    root: examined.root(),
                    fate: match examined.verdict() {
                        _ if examined.other_step(step).is_some() => Fate::KeepMisnamed,
                        Verdict::Ok => Fate::Remove,
                        _ => Fate::KeepDamaged,
                    },
                    path: examined.path,
                },
                Err(error) => {
                    log::warn!("kept, since it cannot be judged: {error}");
                    PruneItem {
                        step,
                        path: self.path_of(step),
                        bytes: 0,
                        score: None,
                        root: None,
                        fate: Fate::KeepUnread,
                    }
                }
            };
            items.push(item);
        }
        Ok(decide(items, retention))
    }

    /// Whether a step's checkpoint is there, of that step and right in every byte; one that is right through its parity or a
    /// second copy is not.
    ///
    /// # Errors
    /// The file cannot be opened at all.
    pub fn is_valid(&self, step: u64) -> Result<bool, Error> {
        Ok(self
            .examine(step)?
            .is_some_and(|examined| examined.verdict() == Verdict::Ok && examined.other_step(step).is_none()))
    }
}

/// `items`: oldest first, the valid ones marked [`Fate::Remove`].
fn decide(mut items: Vec<PruneItem>, retention: &Retention) -> PrunePlan {
    let valid = |item: &PruneItem| item.fate == Fate::Remove;
    let newest_valid = items.iter().rev().find(|item| valid(item)).map(|item| item.step);
    let mut best = items
        .iter()
        .filter(|item| valid(item))
        .filter_map(|item| Some((item.score?, item.step)))
        .collect::<Vec<_>>();
    best.sort_by(|(score, step), (other_score, other_step)| other_score.total_cmp(score).then(other_step.cmp(step)));
    best.truncate(retention.keep_best);
    for item in items
        .iter_mut()
        .rev()
        .filter(|item| item.fate == Fate::Remove)
        .take(retention.keep_last.max(1))
    {
        item.fate = Fate::KeepNewest;
    }
    for item in items.iter_mut().filter(|item| item.fate == Fate::Remove) {
        if retention.keep_every > 0 && item.step.is_multiple_of(retention.keep_every) {
            item.fate = Fate::KeepEvery;
        } else if best.iter().any(|(_, step)| *step == item.step) {
            item.fate = Fate::KeepBest;
        }
    }
    PrunePlan { newest_valid, items }
}

fn score<F: fold_format::ReadAt>(examined: &Examined<F>) -> Option<f64> {
    examined.metadata(SCORE_KEY)?.as_f64().filter(|score| score.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One letter per item: `v` valid, `d` not; scores in the same order.
    fn fates(valid: &str, scores: &[Option<f64>], keep_last: usize, keep_best: usize) -> (Option<u64>, String) {
        fates_every(valid, scores, keep_last, 0, keep_best)
    }

    fn fates_every(
        valid: &str,
        scores: &[Option<f64>],
        keep_last: usize,
        keep_every: u64,
        keep_best: usize,
    ) -> (Option<u64>, String) {
        let items = valid
            .chars()
            .enumerate()
            .map(|(step, kind)| PruneItem {
                step: step as u64,
                path: PathBuf::new(),
                bytes: 1,
                score: scores.get(step).copied().flatten(),
                root: None,
                fate: if kind == 'v' { Fate::Remove } else { Fate::KeepDamaged },
            })
            .collect();
        let plan = decide(
            items,
            &Retention {
                keep_last,
                keep_every,
                keep_best,
            },
        );
        let letters = plan.items.iter().map(|item| match item.fate {
            Fate::KeepNewest => 'n',
            Fate::KeepEvery => 'e',
            Fate::KeepBest => 'b',
            Fate::KeepDamaged | Fate::KeepMisnamed | Fate::KeepUnread => 'd',
            Fate::Remove => '-',
        });
        (plan.newest_valid, letters.collect())
    }

    #[test]
    fn the_newest_valid_one_stays_whatever_is_asked() {
        assert_eq!(fates("vvv", &[], 0, 0), (Some(2), "--n".to_owned()));
        assert_eq!(fates("vvd", &[], 0, 0), (Some(1), "-nd".to_owned()));
        assert_eq!(fates("ddd", &[], 0, 0), (None, "ddd".to_owned()));
        assert_eq!(fates("", &[], 0, 0), (None, String::new()));
    }

    #[test]
    fn damaged_ones_do_not_count_among_the_last() {
        assert_eq!(fates("vvvdvd", &[], 2, 0), (Some(4), "--ndnd".to_owned()));
        assert_eq!(fates("vvv", &[], 9, 0), (Some(2), "nnn".to_owned()));
    }

    #[test]
    fn every_so_many_steps_one_stays_for_good() {
        assert_eq!(fates_every("vvvvvvvv", &[], 1, 3, 0), (Some(7), "e--e--en".to_owned()));
        assert_eq!(fates_every("vvvdvvvv", &[], 1, 3, 0), (Some(7), "e--d--en".to_owned()));
        assert_eq!(fates_every("vvv", &[], 1, 1, 0), (Some(2), "een".to_owned()));
    }

    #[test]
    fn the_best_stay_and_ties_go_to_the_newer() {
        let scores = [Some(0.9), Some(0.9), None, Some(0.1), Some(0.95), Some(0.2)];
        assert_eq!(fates("vvvvdv", &scores, 1, 1), (Some(5), "-b--dn".to_owned()));
        assert_eq!(fates("vvvvdv", &scores, 1, 2), (Some(5), "bb--dn".to_owned()));
        assert_eq!(fates("vvvvvv", &scores, 1, 1), (Some(5), "----bn".to_owned()));
    }
}
