//! Scrubbing: what is read again, what is remembered, what stops it, and what the metrics say of it.

use std::cell::Cell;
use std::fs;
use std::num::NonZeroU64;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use fold_ops::scrub::{RepairOutcome, RunResult, ScrubEvent, ScrubOptions, ScrubReport, ScrubState, scrub};
use fold_ops::telemetry::{METRICS, StoreSnapshot};
use fold_ops::{Clock, Code, Error, ExitCode, Int, StoreWriter, Timestamp};

use crate::check::run_of;
use crate::written::{flip, save_step};

/// A clock that runs only while somebody sleeps, or when it is asked.
struct Stopped {
    at: Mutex<Duration>,
    per_look: Duration,
}

impl Stopped {
    fn new(per_look: Duration) -> Self {
        Self {
            at: Mutex::new(Duration::ZERO),
            per_look,
        }
    }

    fn passed(&self) -> Duration {
        *self.at.lock().unwrap()
    }
}

impl Clock for Stopped {
    fn now(&self) -> Timestamp {
        Timestamp::from_second(1_800_000_000).unwrap() + self.passed()
    }

    fn elapsed(&self) -> Duration {
        let mut at = self.at.lock().unwrap();
        *at += self.per_look;
        *at
    }

    fn sleep(&self, duration: Duration) {
        *self.at.lock().unwrap() += duration;
    }
}

fn scrubbed(dir: &Path, options: &ScrubOptions) -> ScrubReport {
    scrub(dir, options, &Stopped::new(Duration::ZERO), &mut |_| {
        ControlFlow::Continue(())
    })
    .unwrap()
}

fn state(dir: &Path) -> ScrubState {
    ScrubState::load(&ScrubState::default_path(dir)).unwrap()
}

#[test]
fn a_pass_finds_damage_and_forgets_it_once_the_file_is_whole_again() {
    let (_dir, writer) = run_of(3);
    let dir = writer.store().dir();
    let report = scrubbed(dir, &ScrubOptions::default());
    assert_eq!((report.exit_code, report.result), (ExitCode::Done, RunResult::Clean));
    assert_eq!((report.summary.files, report.summary.read), (3, 3));

    let path = writer.store().path_of(2);
    let whole = fs::read(&path).unwrap();
    flip(&path, whole.len() / 2, 3);
    let report = scrubbed(dir, &ScrubOptions::default());
    assert_eq!((report.exit_code, report.result), (ExitCode::No, RunResult::Damaged));
    assert_eq!((report.summary.damaged, report.files.len()), (1, 1));
    assert_eq!(report.files[0].path, path);
    let record = &state(dir).files["step-00000002.fold"];
    assert_eq!(
        (record.verdict.as_str(), &record.codes[..]),
        ("damaged", &["FOLD-E0301".to_owned()][..])
    );

    fs::write(&path, whole).unwrap();
    let report = scrubbed(dir, &ScrubOptions::default());
    assert_eq!((report.exit_code, report.summary.damaged), (ExitCode::Done, 0));
    let state = state(dir);
    assert_eq!(state.totals.runs[&RunResult::Clean], 2);
    assert_eq!(state.totals.runs[&RunResult::Damaged], 1);
    assert_eq!((state.totals.files["ok"], state.totals.files["damaged"]), (8, 1));
    assert_eq!((state.pass, state.pass_done), (3, true));
}

#[test]
fn a_call_that_runs_out_of_time_is_gone_on_with_and_no_file_is_left_out() {
    let (_dir, writer) = run_of(5);
    let dir = writer.store().dir();
    let options = ScrubOptions {
        max_duration: Some(Duration::from_secs(3)),
        ..ScrubOptions::default()
    };
    let mut read = 0;
    for call in 1.. {
        // Each look at the clock takes a second, so that a call gets through a file or two.
        let slow = Stopped::new(Duration::from_secs(1));
        let report = scrub(dir, &options, &slow, &mut |_| ControlFlow::Continue(())).unwrap();
        assert!(report.summary.read > 0, "call {call} got nowhere");
        read += report.summary.read;
        assert_eq!(report.summary.fresh + report.summary.read + report.summary.left, 5);
        if report.result == RunResult::Clean {
            assert_eq!(report.exit_code, ExitCode::Done);
            break;
        }
        assert_eq!(
            (report.result, report.exit_code),
            (RunResult::Partial, ExitCode::Partial)
        );
        assert!(call < 6);
    }
    assert_eq!(read, 5, "every file once");
    assert_eq!(state(dir).pass, 1, "one pass over several calls");
}

#[test]
fn what_was_whole_since_then_is_not_read_again_but_what_changed_or_was_bad_is() {
    let (_dir, writer) = run_of(4);
    let dir = writer.store().dir();
    let bad = writer.store().path_of(1);
    let len = fs::metadata(&bad).unwrap().len() as usize;
    flip(&bad, len / 2, 0);
    scrubbed(dir, &ScrubOptions::default());
    let since = ScrubOptions {
        since: Some(Timestamp::from_second(1_799_999_000).unwrap()),
        ..ScrubOptions::default()
    };
    let changed = writer.store().path_of(3);
    let file = fs::File::options().append(true).open(&changed).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let report = scrubbed(dir, &since);
    assert_eq!(
        (report.summary.read, report.summary.fresh),
        (2, 2),
        "the bad one and the changed one"
    );
    let later = ScrubOptions {
        since: Some(Timestamp::from_second(1_900_000_000).unwrap()),
        ..ScrubOptions::default()
    };
    assert_eq!(scrubbed(dir, &later).summary.read, 4);
}

#[test]
fn the_rate_stays_below_the_limit() {
    let (_dir, writer) = run_of(3);
    let clock = Stopped::new(Duration::ZERO);
    let options = ScrubOptions {
        bytes_per_second: NonZeroU64::new(1000),
        ..ScrubOptions::default()
    };
    let told = Cell::new(0_u64);
    let told = Mutex::new(told);
    let report = scrub(writer.store().dir(), &options, &clock, &mut |event| {
        if let ScrubEvent::Reading { done, total, eta, .. } = event {
            assert!(done <= total);
            assert!(eta.is_none_or(|eta| eta <= Duration::from_secs(total / 900)));
            told.lock().unwrap().set(*done);
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    let Int(bytes) = report.summary.bytes_read;
    assert!(bytes > 100_000);
    assert!(
        clock.passed() >= Duration::from_secs(bytes / 1001),
        "{bytes} bytes in {:?}",
        clock.passed()
    );
    assert!(told.lock().unwrap().get() > 0);
}

#[test]
fn an_interruption_keeps_what_was_read() {
    let (_dir, writer) = run_of(4);
    let dir = writer.store().dir();
    let mut seen = 0;
    let stopped = scrub(
        dir,
        &ScrubOptions::default(),
        &Stopped::new(Duration::ZERO),
        &mut |event| {
            seen += u32::from(matches!(event, ScrubEvent::Verified { .. }));
            if seen == 2 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        },
    );
    assert_eq!(stopped.unwrap_err().exit(), ExitCode::Interrupted);
    assert_eq!(state(dir).totals.runs[&RunResult::Interrupted], 1);
    let report = scrubbed(dir, &ScrubOptions::default());
    assert_eq!((report.summary.read, report.summary.fresh), (2, 2));
    assert_eq!(report.summary.pass, Int(1));
}

#[test]
fn two_scrubs_of_one_state_and_a_foreign_state_are_refused() {
    let (_dir, writer) = run_of(1);
    let dir = writer.store().dir();
    let clock = Stopped::new(Duration::ZERO);
    let options = ScrubOptions::default();
    let mut inner = None;
    scrub(dir, &options, &clock, &mut |_| {
        inner = Some(scrub(dir, &options, &clock, &mut |_| ControlFlow::Continue(())));
        ControlFlow::Continue(())
    })
    .unwrap();
    let refused = inner.unwrap().unwrap_err();
    assert_eq!((refused.code(), refused.exit()), (Code::Locked, ExitCode::Locked));

    fs::write(ScrubState::default_path(dir), "{\"schema\": 7}").unwrap();
    let error = scrub(dir, &options, &clock, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert!(matches!(error, Error::ScrubState { .. }), "{error}");
    assert!(error.to_string().contains("move it away"), "{error}");
}

#[test]
fn a_directory_that_is_not_there_or_empty_is_absent() {
    let dir = tempfile::tempdir().unwrap();
    let report = scrubbed(&dir.path().join("absent"), &ScrubOptions::default());
    assert_eq!((report.exit_code, report.result), (ExitCode::Absent, RunResult::Failed));
    assert!(!dir.path().join("absent").exists(), "nothing is created");
    let report = scrubbed(dir.path(), &ScrubOptions::default());
    assert_eq!(report.exit_code, ExitCode::Absent);
    let file = dir.path().join("file.fold");
    fs::write(&file, "x").unwrap();
    assert_eq!(scrubbed(&file, &ScrubOptions::default()).exit_code, ExitCode::Absent);
}

#[test]
fn a_file_that_a_writer_removes_meanwhile_is_passed_over() {
    let (_dir, writer) = run_of(3);
    let store = writer.store();
    let report = scrub(
        store.dir(),
        &ScrubOptions::default(),
        &Stopped::new(Duration::ZERO),
        &mut |event| {
            if matches!(event, ScrubEvent::Verified { file } if file.path == store.path_of(1)) {
                fs::remove_file(store.path_of(3)).unwrap();
            }
            ControlFlow::Continue(())
        },
    )
    .unwrap();
    assert_eq!((report.exit_code, report.summary.read), (ExitCode::Done, 2));
    assert_eq!(state(store.dir()).files.len(), 2);
}

/// The series of an exposition: name and labels -> value.
fn series(text: &str) -> std::collections::BTreeMap<String, f64> {
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

#[test]
fn the_metrics_name_the_damaged_file_and_every_counter_begins_at_0() {
    let (_dir, writer) = run_of(2);
    let dir = writer.store().dir();
    let metrics_file = dir.join("metrics.prom");
    let store = dir.to_str().unwrap();
    let fresh = series(&StoreSnapshot::take(dir, ScrubState::default()).render());
    let at = |series: &std::collections::BTreeMap<String, f64>, name: &str, rest: &str| {
        series[&format!("{name}{{store=\"{store}\"{rest}}}")]
    };
    assert_eq!(at(&fresh, "fold_checkpoint_files", ",result=\"unverified\""), 2.0);
    assert_eq!(
        at(&fresh, "fold_checkpoint_findings_total", ",code=\"FOLD-E0301\""),
        0.0
    );
    for result in RunResult::ALL {
        assert_eq!(
            at(
                &fresh,
                "fold_scrub_runs_total",
                &format!(",result=\"{}\"", result.as_str())
            ),
            0.0
        );
    }

    let len = fs::metadata(writer.store().path_of(2)).unwrap().len() as usize;
    flip(&writer.store().path_of(2), len / 2, 0);
    let options = ScrubOptions {
        metrics_file: Some(metrics_file.clone()),
        interval: Some(Duration::from_secs(60)),
        ..ScrubOptions::default()
    };
    scrubbed(dir, &options);
    let text = fs::read_to_string(&metrics_file).unwrap();
    let found = series(&text);
    let damaged = ",result=\"damaged\",kind=\"step-00000002.fold\",code=\"FOLD-E0301\"";
    assert_eq!(at(&found, "fold_checkpoint_damaged", damaged), 1.0);
    assert_eq!(at(&found, "fold_checkpoint_latest_damaged", ""), 1.0);
    assert_eq!(at(&found, "fold_checkpoint_files", ",result=\"ok\""), 1.0);
    assert_eq!(at(&found, "fold_scrub_runs_total", ",result=\"damaged\""), 1.0);
    assert_eq!(at(&found, "fold_scrub_interval_seconds", ""), 60.0);

    // A file that changed counts as unverified, whatever was found before.
    save_again(&writer, 2);
    let text = StoreSnapshot::take(dir, state(dir)).render();
    assert!(!text.contains("fold_checkpoint_damaged{"), "{text}");
    assert_eq!(
        at(&series(&text), "fold_checkpoint_files", ",result=\"unverified\""),
        1.0
    );
}

fn save_again(writer: &StoreWriter, step: u64) {
    writer.set_aside(step).unwrap();
    save_step(writer, step, 0.5).unwrap();
}

#[test]
fn every_series_is_in_the_table_and_declared_as_the_table_says() {
    let (_dir, writer) = run_of(1);
    scrubbed(writer.store().dir(), &ScrubOptions::default());
    let run = fold_ops::telemetry::RunState::default().render(writer.store().dir());
    let store = StoreSnapshot::take(writer.store().dir(), state(writer.store().dir())).render();
    for text in [run, store] {
        for (name, _) in series(&text) {
            let bare = name.split('{').next().unwrap();
            let metric = METRICS.iter().find(|metric| metric.name == bare);
            let metric = metric.unwrap_or_else(|| panic!("{bare} is not in the table"));
            assert!(
                text.contains(&format!("# TYPE {bare} {}\n", metric.kind.as_str())),
                "{bare}"
            );
            assert!(text.contains(&format!("# HELP {bare} ")), "{bare}");
            let labels = name.split(['{', ',']).skip(1).filter_map(|part| part.split('=').next());
            for label in labels {
                assert!(metric.labels.contains(&label), "{name}: label {label}");
            }
        }
    }
    for metric in METRICS {
        assert!(metric.name.starts_with("fold_"), "{}", metric.name);
        assert_eq!(
            metric.name.ends_with("_total"),
            metric.kind.as_str() == "counter",
            "{}",
            metric.name
        );
        for label in metric.labels {
            assert!(["run", "store", "result", "kind", "code"].contains(label), "{label}");
        }
    }
}

#[test]
fn what_can_be_restored_exactly_is_copied_elsewhere_and_nothing_else_is() {
    let (dir, writer) = run_of(3);
    let store = writer.store();
    let whole = fs::read(store.path_of(1)).unwrap();
    flip(&store.path_of(1), 100, 0);
    let content = fs::metadata(store.path_of(2)).unwrap().len() as usize / 2;
    flip(&store.path_of(2), content, 0);
    let damaged = fs::read(store.path_of(2)).unwrap();
    let to = dir.path().join("mended/here");
    let options = ScrubOptions {
        repair_to: Some(to.clone()),
        ..ScrubOptions::default()
    };
    let outcomes = |report: &ScrubReport| report.repairs.iter().map(|copy| copy.outcome).collect::<Vec<_>>();
    let report = scrubbed(store.dir(), &options);
    assert_eq!(outcomes(&report), [RepairOutcome::Repaired, RepairOutcome::Refused]);
    assert!(
        fs::read(to.join("step-00000001.fold")).unwrap() == whole,
        "the copy is as the file was saved"
    );
    assert_eq!(fs::read_dir(&to).unwrap().count(), 1);
    assert!(
        fs::read(store.path_of(2)).unwrap() == damaged,
        "the source is as it was"
    );
    let report = scrubbed(store.dir(), &options);
    assert_eq!(outcomes(&report), [RepairOutcome::Kept, RepairOutcome::Refused]);
    let repairs = &state(store.dir()).totals.repairs;
    assert_eq!((repairs["repaired"], repairs["refused"]), (1, 2));
}

#[test]
fn a_repair_that_failed_is_made_up_for_by_the_next_call() {
    let (dir, writer) = run_of(3);
    let store = writer.store();
    let bad = store.path_of(2);
    flip(&bad, 100, 0);
    let to = dir.path().join("to");
    fs::write(&to, "a file where the directory is to be").unwrap();
    let options = ScrubOptions {
        repair_to: Some(to.clone()),
        ..ScrubOptions::default()
    };
    for call in 1..=2 {
        let clock = Stopped::new(Duration::ZERO);
        let error = scrub(store.dir(), &options, &clock, &mut |_| ControlFlow::Continue(())).unwrap_err();
        assert_eq!(error.exit(), ExitCode::Io, "call {call}: {error}");
        assert_eq!(state(store.dir()).files["step-00000002.fold"].verdict, "corrected");
    }
    fs::remove_file(&to).unwrap();
    let report = scrubbed(store.dir(), &options);
    assert_eq!((report.exit_code, report.result), (ExitCode::No, RunResult::Damaged));
    assert_eq!(report.summary.pass, Int(1), "the pass that was begun");
    assert_eq!((report.files.len(), &report.files[0].path), (1, &bad));
    assert_eq!(report.repairs[0].outcome, RepairOutcome::Repaired);
    assert!(to.join("step-00000002.fold").exists());
}

/// Scrubs one file a call, so that a pass takes several.
fn one_file(dir: &Path, repair_to: Option<&Path>) -> ScrubReport {
    let options = ScrubOptions {
        max_duration: Some(Duration::ZERO),
        repair_to: repair_to.map(Into::into),
        ..ScrubOptions::default()
    };
    scrubbed(dir, &options)
}

#[test]
fn damage_that_an_earlier_call_of_the_pass_found_is_named_by_each_that_follows() {
    let (_dir, writer) = run_of(3);
    let store = writer.store();
    let bad = store.path_of(1);
    let len = fs::metadata(&bad).unwrap().len();
    flip(&bad, len as usize / 2, 0);
    for (read, result) in [
        (1, RunResult::Partial),
        (1, RunResult::Partial),
        (1, RunResult::Damaged),
    ] {
        let report = one_file(store.dir(), None);
        assert_eq!((report.summary.read, report.result), (read, result));
        assert_eq!((report.exit_code, report.files.len()), (ExitCode::No, 1));
        let file = &report.files[0];
        assert_eq!((&file.path, file.verdict.as_str()), (&bad, "damaged"));
        let finding = &file.findings[0];
        assert_eq!(finding.code.as_str(), "FOLD-E0301");
        let [Int(from), Int(to)] = finding.byte_range.unwrap();
        assert!((from..to).contains(&(len / 2)), "{from}..{to}");
    }
}

#[test]
fn a_repair_that_is_asked_for_later_in_a_pass_is_done_in_it_and_the_pass_ends() {
    let (dir, writer) = run_of(4);
    let store = writer.store();
    flip(&store.path_of(1), 100, 0);
    for step in [2, 3] {
        let content = fs::metadata(store.path_of(step)).unwrap().len() as usize / 2;
        flip(&store.path_of(step), content, 0);
    }
    for _ in 0..3 {
        one_file(store.dir(), None);
    }
    let to = dir.path().join("to");
    let mut outcomes = Vec::new();
    for call in 1.. {
        let report = one_file(store.dir(), Some(&to));
        outcomes.extend(report.repairs.iter().map(|copy| copy.outcome));
        assert_eq!(report.files.len(), 3);
        if report.result == RunResult::Damaged {
            assert_eq!(report.summary.pass, Int(1));
            break;
        }
        assert!(call < 4, "what cannot be repaired is tried without end");
    }
    let refused = RepairOutcome::Refused;
    assert_eq!(outcomes, [RepairOutcome::Repaired, refused, refused]);
    // A copy that is gone is written again while the pass lasts.
    assert_eq!(one_file(store.dir(), Some(&to)).repairs[0].outcome, RepairOutcome::Kept);
    fs::remove_file(to.join("step-00000001.fold")).unwrap();
    assert_eq!(
        one_file(store.dir(), Some(&to)).repairs[0].outcome,
        RepairOutcome::Repaired
    );
}

#[cfg(unix)]
#[test]
fn what_is_listed_and_cannot_be_looked_at_is_unreadable() {
    use std::os::unix::fs::symlink;
    let (_dir, writer) = run_of(1);
    let dir = writer.store().dir();
    symlink("nowhere", dir.join("dangling.fold")).unwrap();
    symlink("loop.fold", dir.join("loop.fold")).unwrap();
    for fresh in [0, 2] {
        let since = (fresh > 0).then_some(Timestamp::UNIX_EPOCH);
        let options = ScrubOptions {
            since,
            ..ScrubOptions::default()
        };
        let report = scrubbed(dir, &options);
        assert_eq!((report.exit_code, report.result), (ExitCode::No, RunResult::Damaged));
        assert_eq!((report.summary.damaged, report.files.len()), (2, 2));
        assert_eq!(report.summary.fresh, usize::from(fresh > 0), "the whole one");
        for file in &report.files {
            assert_eq!(file.verdict.as_str(), "unreadable");
            assert_eq!(file.findings[0].code.as_str(), "FOLD-E0406");
        }
    }
    let unreadable = format!(
        "fold_checkpoint_files{{store=\"{}\",result=\"unreadable\"}}",
        dir.display()
    );
    for known in [state(dir), ScrubState::default()] {
        let text = StoreSnapshot::take(dir, known).render();
        assert_eq!(series(&text)[&unreadable], 2.0, "{text}");
        assert!(text.contains("code=\"FOLD-E0406\"}") && text.contains("code=\"FOLD-E0806\"}"));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn two_names_that_are_no_text_are_two_files() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let (_dir, writer) = run_of(1);
    let dir = writer.store().dir();
    let whole = fs::read(writer.store().path_of(1)).unwrap();
    let at = |name: &[u8]| dir.join(OsStr::from_bytes(name));
    for name in [&b"m-\xfe.fold"[..], b"m-\xff.fold", b"m-\\xfe.fold"] {
        fs::write(at(name), &whole).unwrap();
    }
    flip(&at(b"m-\xfe.fold"), whole.len() / 2, 0);
    let report = scrubbed(dir, &ScrubOptions::default());
    assert_eq!((report.exit_code, report.result), (ExitCode::No, RunResult::Damaged));
    let state = state(dir);
    let verdict = |name: &str| state.files[name].verdict.as_str();
    assert_eq!(verdict("m-\\xfe.fold"), "damaged");
    assert_eq!((verdict("m-\\xff.fold"), verdict("m-\\\\xfe.fold")), ("ok", "ok"));
}

#[test]
fn times_that_are_still_to_come_are_not_believed() {
    let (_dir, writer) = run_of(2);
    let dir = writer.store().dir();
    scrubbed(dir, &ScrubOptions::default());
    let mut ahead = state(dir);
    let later = Timestamp::from_second(1_900_000_000).unwrap();
    ahead.completed = Some(later);
    for record in ahead.files.values_mut() {
        record.verified = later;
    }
    ahead.save(&ScrubState::default_path(dir)).unwrap();
    let checks = fold_ops::doctor::doctor(dir, Timestamp::from_second(1_899_000_000).unwrap()).checks;
    assert!(
        checks.iter().any(|checked| checked.message.contains("a scrub was at")),
        "{checks:?}"
    );
    let options = ScrubOptions {
        since: Some(Timestamp::UNIX_EPOCH),
        max_duration: Some(Duration::ZERO),
        ..ScrubOptions::default()
    };
    let report = scrubbed(dir, &options);
    assert_eq!((report.summary.read, report.summary.fresh), (1, 0));
    assert_eq!(state(dir).completed, None);
}

#[test]
fn what_was_found_is_reported_where_it_cannot_be_saved() {
    let (away, writer) = run_of(1);
    let dir = writer.store().dir();
    let metrics = away.path().join("scrub.prom");
    let state_file = away.path().join("state/scrub.json");
    let options = ScrubOptions {
        state: Some(state_file.clone()),
        metrics_file: Some(metrics.clone()),
        ..ScrubOptions::default()
    };
    // There is no directory for lock and state.
    let report = scrubbed(dir, &options);
    assert_eq!((report.exit_code, report.result), (ExitCode::Io, RunResult::Clean));
    assert_eq!(report.findings.len(), 1);
    assert!(report.findings[0].message.contains("scrub.json"));
    assert!(fs::read_to_string(&metrics).unwrap().contains("result=\"clean\"} 1"));

    // And none for the metrics, while the state is kept.
    let options = ScrubOptions {
        metrics_file: Some(state_file),
        ..ScrubOptions::default()
    };
    flip(&writer.store().path_of(1), 5000, 0);
    let report = scrubbed(dir, &options);
    assert_eq!((report.exit_code, report.result), (ExitCode::No, RunResult::Damaged));
    assert_eq!((report.files.len(), report.findings.len()), (1, 1));
    assert_eq!(state(dir).totals.runs[&RunResult::Damaged], 1);
}

#[test]
fn an_interval_that_is_not_said_any_more_is_forgotten() {
    let (_dir, writer) = run_of(1);
    let dir = writer.store().dir();
    let options = ScrubOptions {
        interval: Some(Duration::from_secs(60)),
        ..ScrubOptions::default()
    };
    scrubbed(dir, &options);
    assert_eq!(state(dir).interval_seconds.to_bits(), 60.0_f64.to_bits());
    scrubbed(dir, &ScrubOptions::default());
    assert_eq!(state(dir).interval_seconds.to_bits(), 0);
}

#[test]
fn a_newest_checkpoint_that_parity_restores_is_not_called_damaged() {
    let (_dir, writer) = run_of(2);
    let dir = writer.store().dir();
    flip(&writer.store().path_of(2), 100, 0);
    scrubbed(dir, &ScrubOptions::default());
    assert_eq!(state(dir).files["step-00000002.fold"].verdict, "corrected");
    let text = StoreSnapshot::take(dir, state(dir)).render();
    let latest = format!("fold_checkpoint_latest_damaged{{store=\"{}\"}}", dir.display());
    assert_eq!(series(&text)[&latest].to_bits(), 0, "{text}");
}

#[test]
fn a_file_that_has_a_copys_name_is_kept_only_where_it_is_that_copy() {
    let (dir, writer) = run_of(2);
    let store = writer.store();
    let whole = fs::read(store.path_of(1)).unwrap();
    let other = fs::read(store.path_of(2)).unwrap();
    flip(&store.path_of(1), 100, 0);
    let to = dir.path().join("to");
    fs::create_dir(&to).unwrap();
    let copy = to.join("step-00000001.fold");
    let options = ScrubOptions {
        repair_to: Some(to),
        ..ScrubOptions::default()
    };
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    for taken in [&b"rubbish"[..], &other, &damaged] {
        fs::write(&copy, taken).unwrap();
        let report = scrubbed(store.dir(), &options);
        assert_eq!(
            (report.exit_code, report.repairs[0].outcome),
            (ExitCode::Refused, RepairOutcome::Conflict)
        );
        assert!(fs::read(&copy).unwrap() == taken, "it was changed");
        assert_eq!(state(store.dir()).files["step-00000001.fold"].repair, None);
    }
    fs::write(&copy, whole).unwrap();
    let report = scrubbed(store.dir(), &options);
    assert_eq!(
        (report.exit_code, report.repairs[0].outcome),
        (ExitCode::No, RepairOutcome::Kept)
    );
}

#[test]
fn the_metrics_of_another_store_are_not_replaced() {
    let (one, first) = run_of(1);
    let (_two, second) = run_of(1);
    let options = ScrubOptions {
        metrics_file: Some(one.path().join("scrub.prom")),
        ..ScrubOptions::default()
    };
    scrubbed(first.store().dir(), &options);
    scrubbed(first.store().dir(), &options);
    let clock = Stopped::new(Duration::ZERO);
    let error = scrub(second.store().dir(), &options, &clock, &mut |_| panic!("begun")).unwrap_err();
    assert_eq!((error.code().as_str(), error.exit()), ("FOLD-E0003", ExitCode::Refused));
}
