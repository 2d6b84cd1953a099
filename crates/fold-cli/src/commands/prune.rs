//! `fold prune`: which checkpoints would go, and with `--apply` their removal.

use std::fmt::Write as _;

use fold_ops::{CheckpointStore, Escaped, ExitCode, Fate, PruneReport, Retention, StoreWriter};

use crate::arguments::{Global, Prune};
use crate::failure::Failure;
use crate::output::Output;

pub(crate) fn run(arguments: &Prune, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let retention = Retention {
        keep_last: arguments.keep_last.unwrap_or(1),
        keep_every: arguments.keep_every.unwrap_or(0),
        keep_best: arguments.keep_best.unwrap_or(0),
    };
    let store = CheckpointStore::open(&arguments.dir);
    // Listed before anything is created: a directory that is not there is no empty store.
    store.steps()?;
    let report = if arguments.apply {
        let writer = StoreWriter::create(&arguments.dir)?;
        let plan = writer.store().plan(&retention)?;
        let pruned = writer.prune(&plan)?;
        PruneReport::new(plan, Some(pruned))
    } else {
        PruneReport::new(store.plan(&retention)?, None)
    };
    if global.json {
        output.json(&report)?;
    } else {
        output.text(&rendered(&report))?;
        if !report.applied && report.items.iter().any(|item| item.fate == Fate::Remove) {
            output.note("nothing was removed: --apply carries the plan out");
        }
    }
    Ok(report.exit_code)
}

fn rendered(report: &PruneReport) -> String {
    let mut text = String::new();
    for item in &report.items {
        let fate = match item.fate {
            Fate::KeepNewest => "keep: among the newest",
            Fate::KeepEvery => "keep: one of every so many",
            Fate::KeepBest => "keep: among the best",
            Fate::KeepDamaged => "keep: not valid, `fold verify` says why",
            Fate::KeepMisnamed => "keep: of another step than its name says",
            Fate::KeepUnread => "keep: cannot be read",
            Fate::Remove if report.applied => "removed",
            Fate::Remove => "remove",
            _ => "keep",
        };
        let _ = writeln!(
            text,
            "{}  {:>12} bytes  {fate}",
            Escaped(&item.path.to_string_lossy()),
            item.bytes
        );
    }
    let verb = if report.applied { "freed" } else { "to free" };
    let _ = writeln!(text, "{} bytes {verb}", report.bytes_to_free.0);
    text
}
