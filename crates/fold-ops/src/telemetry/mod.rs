//! Metrics in the Prometheus text format, and events as lines of JSON.
//!
//! One table names every metric. What is exported comes from state that outlives a process ([`ScrubState`],
//! [`RunState`]), so that counters go on after a restart, and every label value is exported from 0: `increase()` would
//! miss the first event otherwise. A file is replaced at once; over HTTP the command line serves the same text.
//!
//! Labels are `run`, `store`, `result`, `kind` and `code` alone. Their values come from fixed sets, except the
//! directory's path and the names of at most [`DAMAGED_MAX`] files that are not whole.
//!
//! [`ScrubState`]: crate::scrub::ScrubState

mod events;
mod run;
mod store;

use std::io::{self, Read as _};
use std::path::Path;

use fold_format::storage::Storage as _;
use metrics::with_local_recorder;
use metrics_exporter_prometheus::PrometheusBuilder;

pub use events::EventLog;
pub use run::{NeuronHealth, RUN_STATE_FILE_NAME, RunState};
pub use store::{DAMAGED_MAX, StoreSnapshot};

use crate::error::{DirectoryOperation, Error};

/// What a metric counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Never goes down while the state file lives.
    Counter,
    /// Goes up and down.
    Gauge,
}

impl Kind {
    /// `counter` or `gauge`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        }
    }
}

/// One row of the table of metrics.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Metric {
    /// Its name: base units, counters end in `_total`.
    pub name: &'static str,
    /// What it counts.
    pub kind: Kind,
    /// The labels of each of its series.
    pub labels: &'static [&'static str],
    /// What it says, in one line.
    pub help: &'static str,
}

macro_rules! metrics_table {
    ($($constant:ident $name:literal $kind:ident [$($label:literal)*] $help:literal;)+) => {
        $(pub(crate) const $constant: Metric = Metric {
            name: $name,
            kind: Kind::$kind,
            labels: &[$($label),*],
            help: $help,
        };)+

        /// Every metric of this release, by name.
        pub const METRICS: &[Metric] = &[$($constant),+];
    };
}

metrics_table! {
    BUILD_INFO "fold_build_info" Gauge ["store" "run" "kind"] "Always 1; kind is the release that exports";
    FILES "fold_checkpoint_files" Gauge ["store" "result"] "Checkpoints of the store, by what the last full verification found; unverified: none since they changed";
    BYTES "fold_checkpoint_bytes" Gauge ["store"] "Bytes of the store's checkpoints";
    DAMAGED "fold_checkpoint_damaged" Gauge ["store" "result" "kind" "code"] "1 for each checkpoint that is not whole; kind is its file name, code the first finding; at most 100 files";
    LATEST_DAMAGED "fold_checkpoint_latest_damaged" Gauge ["store"] "1 where the newest checkpoint was verified and is damaged or unreadable; corrected: 0";
    LATEST_STEP "fold_checkpoint_latest_step" Gauge ["store"] "Step of the newest checkpoint";
    LATEST_TIME "fold_checkpoint_latest_timestamp_seconds" Gauge ["store"] "When the newest checkpoint was written; 0: there is none";
    VERIFIED_TIME "fold_checkpoint_verified_timestamp_seconds" Gauge ["store"] "When a checkpoint was last found whole; 0: never";
    FINDINGS "fold_checkpoint_findings_total" Counter ["store" "code"] "Findings of full verifications, by code";
    FREE "fold_checkpoint_store_free_bytes" Gauge ["store"] "Bytes that can still be written to the store's file system";
    SIZE "fold_checkpoint_store_size_bytes" Gauge ["store"] "Bytes of the store's file system";
    READABLE "fold_checkpoint_store_readable" Gauge ["store"] "1 where the store's directory can be listed";
    COMMITS "fold_checkpoint_commits_total" Counter ["run" "result"] "Checkpoints that a run saved or failed to save";
    COMMIT_ERRORS "fold_checkpoint_commit_errors_total" Counter ["run" "code"] "Failures to save a checkpoint, by code";
    COMMIT_SECONDS "fold_checkpoint_commit_seconds_total" Counter ["run"] "Seconds spent saving checkpoints, flushes included";
    COMMIT_BYTES "fold_checkpoint_commit_bytes_total" Counter ["run"] "Bytes of the checkpoints saved";
    COMMIT_LAST_SECONDS "fold_checkpoint_last_commit_seconds" Gauge ["run"] "Seconds that the last saving took";
    COMMIT_TIME "fold_checkpoint_last_commit_timestamp_seconds" Gauge ["run"] "When a checkpoint was saved last; 0: never";
    SCRUB_RUNS "fold_scrub_runs_total" Counter ["store" "result"] "Calls of the scrub, by how they ended";
    SCRUB_FILES "fold_scrub_files_total" Counter ["store" "result"] "Files that scrubs verified, by verdict";
    SCRUB_BYTES "fold_scrub_bytes_total" Counter ["store"] "Bytes that scrubs read";
    SCRUB_SECONDS "fold_scrub_seconds_total" Counter ["store"] "Seconds that scrubs took";
    SCRUB_REPAIRS "fold_scrub_repairs_total" Counter ["store" "result"] "Repaired copies that scrubs wrote, or could not write";
    SCRUB_DONE_TIME "fold_scrub_last_completion_timestamp_seconds" Gauge ["store"] "When a pass over every file was done; 0: never";
    SCRUB_DONE_SECONDS "fold_scrub_last_completion_seconds" Gauge ["store"] "Seconds that this pass took";
    SCRUB_INTERVAL "fold_scrub_interval_seconds" Gauge ["store"] "Seconds between two passes; 0: not said";
    TRAIN_RUNNING "fold_train_running" Gauge ["run"] "1 while the run is training";
    TRAIN_UPDATED "fold_train_updated_timestamp_seconds" Gauge ["run"] "When the run reported last";
    TRAIN_EPOCH "fold_train_epoch" Gauge ["run"] "Epochs that the newest state has seen";
    TRAIN_EPOCHS "fold_train_epochs_total" Counter ["run"] "Epochs trained, those trained again after a resumption too";
    TRAIN_IMAGES "fold_train_images_total" Counter ["run"] "Images presented";
    TRAIN_SECONDS "fold_train_seconds_total" Counter ["run"] "Seconds spent presenting images";
    TRAIN_ACCURACY "fold_train_accuracy_ratio" Gauge ["run" "kind"] "Accuracy after the last epoch, on the held-out and on the training images";
    TRAIN_RESUMES "fold_train_resumes_total" Counter ["run" "result"] "Resumptions; older: newer checkpoints were damaged and passed over";
    TRAIN_NON_FINITE "fold_train_non_finite_total" Counter ["run"] "Times that a number of the state was found not finite";
    NEURON_DEAD "fold_neuron_dead_ratio" Gauge ["run"] "Neurons that never fired in the last sweep";
    NEURON_SATURATED "fold_neuron_saturated_ratio" Gauge ["run"] "Neurons at or above the rate that counts as saturated";
    NEURON_BOUND "fold_neuron_synapses_at_bound_ratio" Gauge ["run" "kind"] "Synapses with the smallest or the largest number of filaments";
    NEURON_RATE "fold_neuron_rate_ratio" Gauge ["run"] "Spikes per neuron and sample";
    NEURON_THETA "fold_neuron_theta_mean" Gauge ["run"] "Mean threshold";
    NEURON_QUARANTINED "fold_neuron_quarantined" Gauge ["run"] "Neurons in quarantine";
    NEURON_BREACHES "fold_neuron_breaches_total" Counter ["run"] "Breaches of invariants";
}

/// Sets a gauge.
fn gauge(metric: &Metric, labels: &[(&'static str, &str)], value: f64) {
    metrics::gauge!(metric.name, &owned(metric, labels)).set(value);
}

/// Exports a counter, 0 too.
fn counter(metric: &Metric, labels: &[(&'static str, &str)], value: u64) {
    metrics::counter!(metric.name, &owned(metric, labels)).absolute(value);
}

/// Exports a counter that is not a whole number.
///
/// The facade counts in whole numbers, and seconds are not: they go through a gauge and are declared as a counter.
fn counter_f64(metric: &Metric, labels: &[(&'static str, &str)], value: f64) {
    gauge(metric, labels, value);
}

fn owned(metric: &Metric, labels: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
    debug_assert!(
        labels.iter().all(|(name, _)| metric.labels.contains(name)),
        "{}",
        metric.name
    );
    labels
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect()
}

/// The text format of what `record` exports.
fn rendered(record: impl FnOnce()) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    with_local_recorder(&recorder, || {
        for metric in METRICS {
            match metric.kind {
                Kind::Counter => metrics::describe_counter!(metric.name, metric.help),
                Kind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            }
        }
        record();
    });
    let text = recorder.handle().render();
    METRICS
        .iter()
        .filter(|metric| metric.kind == Kind::Counter)
        .fold(text, |text, metric| {
            text.replace(
                &format!("# TYPE {} gauge\n", metric.name),
                &format!("# TYPE {} counter\n", metric.name),
            )
        })
}

/// How a metrics file of this program begins.
const BEGINNINGS: [&[u8]; 2] = [b"# HELP fold_", b"# TYPE fold_"];

/// Bytes of a metrics file in which its first series is: they are behind two lines.
const START_MAX: u64 = 1 << 16;

/// Whether `path` may become a metrics file that begins as `text` does: there is nothing of that name, or a metrics file of this
/// program and of the same store or run, as that is named in its labels.
///
/// # Errors
/// `FOLD-E0003` the name is something else's, a symbolic link's too, or another store's or run's; the system refuses to look.
pub fn check_textfile(path: &Path, text: &str) -> Result<(), Error> {
    check_owner(path, owner(text))
}

/// The label of a store or a run in the first series of an exposition, for example `store="runs/a"`.
fn owner(text: &str) -> Option<&str> {
    let series = text.lines().find(|line| !line.starts_with('#') && !line.is_empty())?;
    let label = ["{store=\"", ",store=\"", "{run=\"", ",run=\""]
        .into_iter()
        .find_map(|label| Some((series.find(label)? + 1, label.len() - 1)));
    let (start, begun) = label?;
    let label = series.get(start..)?;
    let mut escaped = false;
    let end = label.get(begun..)?.find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    label.get(..begun + end)
}

fn check_owner(path: &Path, expected: Option<&str>) -> Result<(), Error> {
    let foreign = |what| Error::NotMetrics {
        path: path.into(),
        what,
    };
    let refused = |operation| {
        move |source| Error::Directory {
            operation,
            path: path.into(),
            source,
        }
    };
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(refused(DirectoryOperation::Look)(error)),
        Ok(found) if found.is_symlink() => return Err(foreign("a symbolic link, which would be replaced")),
        Ok(found) if !found.is_file() => return Err(foreign("not a regular file")),
        Ok(_) => {}
    }
    let mut start = Vec::new();
    let file = fold_format::Disk
        .open(path)
        .map_err(refused(DirectoryOperation::Open))?;
    file.take(START_MAX)
        .read_to_end(&mut start)
        .map_err(refused(DirectoryOperation::Open))?;
    if !BEGINNINGS.iter().any(|beginning| start.starts_with(beginning)) {
        return Err(foreign("no metrics file of this program"));
    }
    let start = String::from_utf8_lossy(&start);
    match (owner(&start), expected) {
        (Some(found), Some(expected)) if found != expected => Err(foreign("the metrics file of another store or run")),
        _ => Ok(()),
    }
}

/// Replaces the metrics file `path` at once, for node_exporter's textfile collector.
///
/// # Errors
/// As [`check_textfile`]; the system refuses to write. The file is then as before.
pub fn write_textfile(path: &Path, text: &str) -> Result<(), Error> {
    check_textfile(path, text)?;
    crate::new_file::replace(path, text.as_bytes())
}

/// Seconds since 1970, as Prometheus writes a time; 0 where there is none.
fn unix_seconds(time: Option<jiff::Timestamp>) -> f64 {
    time.map_or(0.0, |time| time.as_duration().as_secs_f64())
}

/// A count as the exposition has it: exact up to 2^53.
fn count(value: usize) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::path::Path;

    use super::*;

    /// `docs/telemetry.md`, from the table.
    fn document() -> String {
        let mut text = String::from(
            "# Metrics and events\n\n\
            Metrics come from `fold exporter DIR`, `fold scrub --metrics-file` and `fold train --metrics-file`; how to \
            connect them is in [alerts](../alerts/README.md). Names have base units, counters end in `_total` and begin \
            at 0 for every value of their labels. `store` is a directory of checkpoints and `run` the directory of a \
            run, as they were named on the command line. Generated by `UPDATE=1 cargo test -p fold-ops --lib telemetry`.\n\n\
            | metric | kind | labels | says |\n|---|---|---|---|\n",
        );
        for metric in METRICS {
            let labels = metric.labels.join(" ");
            let _ = writeln!(
                text,
                "| `{}` | {} | {labels} | {} |",
                metric.name,
                metric.kind.as_str(),
                metric.help
            );
        }
        text.push_str(
            "\n## Events\n\n`events.jsonl` in a run's directory has one JSON object a line: `time` (RFC 3339, UTC), \
            `event`, and what belongs to it. Events are `resumed`, `passed_over`, `set_aside`, `epoch_finished`, \
            `health`, `checkpoint_saved`, `checkpoint_removed`, `finished` and `stopped` (with `code` and `message`). \
            The file is opened for each line, so that it can be rotated at any time.\n",
        );
        text
    }

    #[test]
    fn the_document_is_what_the_table_gives() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/telemetry.md");
        let expected = document();
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&path, &expected).unwrap();
        }
        let found = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            found == expected,
            "docs/telemetry.md is out of step: UPDATE=1 cargo test -p fold-ops --lib telemetry"
        );
    }

    #[test]
    fn only_a_metrics_file_of_this_program_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.prom");
        let text = RunState::default().render(dir.path());
        write_textfile(&path, &text).unwrap();
        write_textfile(&path, &text).unwrap();
        let refused_for = |path: &Path, text: &str| {
            let error = write_textfile(path, text).unwrap_err();
            assert_eq!((error.code().as_str(), error.exit().number()), ("FOLD-E0003", 21));
            error.to_string()
        };
        let refused = |path: &Path| refused_for(path, &text);
        let others = ["another", "a\"b\\", "a\"b"].map(|name| RunState::default().render(Path::new(name)));
        for text in &others {
            assert!(refused_for(&path, text).contains("another store or run"), "{text}");
        }
        for (at, other) in others.iter().enumerate() {
            let path = dir.path().join(format!("{at}.prom"));
            write_textfile(&path, other).unwrap();
            write_textfile(&path, other).unwrap();
        }
        let store = StoreSnapshot::unseen(dir.path()).render();
        assert!(refused_for(&path, &store).contains("another store or run"));
        for other in [
            &b""[..],
            b"# HELP",
            b"# HELP node_load1 load\n",
            b"FOLD\0\0\0\0\0\0\0\0\0",
        ] {
            let path = dir.path().join("other");
            std::fs::write(&path, other).unwrap();
            assert!(refused(&path).contains("other"));
            assert_eq!(std::fs::read(&path).unwrap(), other);
        }
        assert!(refused(dir.path()).contains("not a regular file"));
        #[cfg(unix)]
        {
            assert!(refused(Path::new("/dev/null")).contains("not a regular file"));
            let link = dir.path().join("link.prom");
            std::os::unix::fs::symlink(&path, &link).unwrap();
            assert!(refused(&link).contains("symbolic link"));
        }
    }

    #[test]
    fn a_counter_of_seconds_is_declared_as_a_counter() {
        let text = rendered(|| counter_f64(&SCRUB_SECONDS, &[("store", "a\"b\n")], 1.5));
        assert!(text.contains("# TYPE fold_scrub_seconds_total counter\n"), "{text}");
        assert!(
            text.contains(r#"fold_scrub_seconds_total{store="a\"b\n"} 1.5"#),
            "{text}"
        );
    }
}
