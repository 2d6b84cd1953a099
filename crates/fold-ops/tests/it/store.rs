//! The store on the real disk: one writer, the newest valid one, damage put aside, prunes.

use std::fs;

use fold_format::Content;
#[cfg(unix)]
use fold_ops::PruneReport;
use fold_ops::{CheckpointStore, Code, Error, ExitCode, Fate, PrunePlan, Retention, StoreWriter};

use crate::written::{flip, save_step};

fn code(error: &Error) -> &'static str {
    error.code().as_str()
}

#[test]
fn a_second_writer_is_refused_and_told_who_the_first_is() {
    let dir = tempfile::tempdir().unwrap();
    let run = dir.path().join("a/b");
    let first = StoreWriter::create(&run).unwrap();
    let error = StoreWriter::create(&run).unwrap_err();
    assert_eq!(error.code(), Code::Locked);
    assert_eq!(error.exit(), ExitCode::Locked);
    assert!(
        error.to_string().contains(&format!("process {}", std::process::id())),
        "{error}"
    );
    drop(first);
    StoreWriter::create(&run).unwrap();
}

#[test]
fn the_temporary_files_of_dead_writers_are_removed_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let leftover = dir.path().join(".fold-tmp-4294967295-0");
    assert!(fold_format::is_temporary_name(leftover.file_name().unwrap()));
    fs::write(&leftover, "half a checkpoint").unwrap();
    fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    let writer = StoreWriter::create(dir.path()).unwrap();
    assert_eq!(writer.removed_leftovers(), std::slice::from_ref(&leftover));
    assert!(!leftover.exists() && dir.path().join("notes.txt").exists());
}

/// Another process at work, in this case the one that called this test.
#[cfg(target_os = "linux")]
#[test]
fn the_temporary_file_of_a_process_at_work_is_left_alone_until_it_is_old() {
    let dir = tempfile::tempdir().unwrap();
    let process = std::os::unix::process::parent_id();
    let temporary = dir.path().join(format!(".fold-tmp-{process}-0"));
    fs::write(&temporary, "half a copy").unwrap();
    let writer = StoreWriter::create(dir.path()).unwrap();
    assert!(writer.removed_leftovers().is_empty() && temporary.exists());
    drop(writer);
    let file = fs::File::options().append(true).open(&temporary).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    let writer = StoreWriter::create(dir.path()).unwrap();
    assert_eq!(writer.removed_leftovers(), [temporary]);
}

#[test]
fn a_step_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let writer = StoreWriter::create(dir.path()).unwrap();
    save_step(&writer, 1, 0.5).unwrap();
    let before = fs::read(writer.store().path_of(1)).unwrap();
    assert_eq!(
        code(&writer.save(1, &Content::new(), [0; 16]).unwrap_err()),
        "FOLD-E0003"
    );
    assert_eq!(fs::read(writer.store().path_of(1)).unwrap(), before);
}

#[test]
fn damage_makes_the_store_fall_back_and_say_what_it_skipped() {
    let dir = tempfile::tempdir().unwrap();
    let writer = StoreWriter::create(dir.path()).unwrap();
    assert!(writer.store().latest_valid().unwrap().chosen.is_none());
    for step in 1..=4 {
        save_step(&writer, step, 0.5).unwrap();
    }
    let store = writer.store();
    assert_eq!(store.steps().unwrap(), [1, 2, 3, 4]);
    fs::write(store.path_of(4), "").unwrap();
    let len = fs::metadata(store.path_of(3)).unwrap().len() as usize;
    flip(&store.path_of(3), len / 2, 3);
    let latest = store.latest_valid().unwrap();
    assert_eq!(latest.chosen.map(|chosen| chosen.step), Some(2));
    assert_eq!(
        latest.skipped.iter().map(|skipped| skipped.step).collect::<Vec<_>>(),
        [4, 3]
    );
    assert!(latest.skipped.iter().all(|skipped| !skipped.report.findings.is_empty()));

    let aside = writer.set_aside(4).unwrap();
    assert_eq!(aside.file_name().unwrap(), "step-00000004.fold.aside-1");
    save_step(&writer, 4, 0.5).unwrap();
    assert_eq!(
        writer.set_aside(4).unwrap().file_name().unwrap(),
        "step-00000004.fold.aside-2"
    );
    assert_eq!(fs::read(aside).unwrap(), b"", "what was put aside first is as it was");
    assert_eq!(store.steps().unwrap(), [1, 2, 3]);
}

#[test]
fn a_file_with_one_damaged_copy_of_its_metadata_serves_when_nothing_better_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let writer = StoreWriter::create(dir.path()).unwrap();
    for step in 1..=3 {
        save_step(&writer, step, 0.5).unwrap();
    }
    let store = writer.store();
    flip(&store.path_of(3), 100, 0);
    let latest = store.latest_valid().unwrap();
    assert_eq!(latest.chosen.unwrap().step, 2, "whole before corrected");
    for step in [1, 2] {
        fs::write(store.path_of(step), "gone").unwrap();
    }
    let latest = store.latest_valid().unwrap();
    let chosen = latest.chosen.unwrap();
    assert_eq!(chosen.step, 3);
    assert!(!chosen.report.findings.is_empty() && latest.skipped.is_empty());
    assert!(chosen.checkpoint.tensor("layer0.weights").is_ok());
}

/// What happens to each step.
fn fates(plan: &PrunePlan) -> Vec<(u64, Fate)> {
    plan.items().iter().map(|item| (item.step, item.fate)).collect()
}

#[test]
fn a_prune_keeps_the_last_the_best_and_whatever_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let writer = StoreWriter::create(dir.path()).unwrap();
    for (step, score) in [(1, 0.2), (2, 0.9), (3, 0.3), (4, 0.4), (5, 0.5), (6, 0.6)] {
        save_step(&writer, step, score).unwrap();
    }
    let store = writer.store();
    let len = fs::metadata(store.path_of(3)).unwrap().len() as usize;
    flip(&store.path_of(3), len / 2, 0);
    let plan = store
        .plan(&Retention {
            keep_last: 2,
            keep_every: 0,
            keep_best: 1,
        })
        .unwrap();
    assert_eq!(plan.newest_valid(), Some(6));
    use Fate::{KeepBest, KeepDamaged, KeepNewest, Remove};
    assert_eq!(
        fates(&plan),
        [
            (1, Remove),
            (2, KeepBest),
            (3, KeepDamaged),
            (4, Remove),
            (5, KeepNewest),
            (6, KeepNewest)
        ]
    );
    assert_eq!(store.steps().unwrap().len(), 6, "a plan changes nothing");
    let pruned = writer.prune(&plan).unwrap();
    assert_eq!(pruned.removed, [store.path_of(1), store.path_of(4)]);
    assert_eq!(pruned.bytes_freed, 2 * len as u64);
    assert_eq!(store.steps().unwrap(), [2, 3, 5, 6]);
}

#[test]
fn a_prune_removes_nothing_but_what_was_judged() {
    let [one, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let [one, other] = [&one, &other].map(|dir| StoreWriter::create(dir.path()).unwrap());
    for step in 1..=4 {
        save_step(&one, step, 0.5).unwrap();
        save_step(&other, step, 0.6).unwrap();
    }
    let plan = one.store().plan(&Retention::default()).unwrap();
    assert_eq!(code(&other.prune(&plan).unwrap_err()), "FOLD-E0602");
    assert_eq!(other.store().steps().unwrap(), [1, 2, 3, 4]);
    // A step that is computed anew after the plan was made is another file.
    one.set_aside(2).unwrap();
    save_step(&one, 2, 0.7).unwrap();
    assert_eq!(
        one.prune(&plan).unwrap().removed,
        [1, 3].map(|step| one.store().path_of(step))
    );
    assert_eq!(one.store().steps().unwrap(), [2, 4]);
    assert_eq!(other.store().steps().unwrap(), [1, 2, 3, 4]);
}

#[test]
fn a_copy_under_another_steps_name_supersedes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let writer = StoreWriter::create(dir.path()).unwrap();
    for step in 1..=3 {
        save_step(&writer, step, 0.5).unwrap();
    }
    let store = writer.store();
    fs::copy(store.path_of(1), store.path_of(9)).unwrap();
    let latest = store.latest_valid().unwrap();
    assert_eq!(latest.chosen.unwrap().step, 3);
    let [skipped] = latest.skipped.as_slice() else {
        panic!("{:?}", latest.skipped)
    };
    assert_eq!((skipped.step, skipped.other_step), (9, Some(1)));
    assert!(skipped.why().contains("step 1"), "{}", skipped.why());
    assert!(!store.is_valid(9).unwrap() && store.is_valid(3).unwrap());

    let plan = store.plan(&Retention::default()).unwrap();
    assert_eq!(plan.newest_valid(), Some(3));
    use Fate::{KeepMisnamed, KeepNewest, Remove};
    assert_eq!(
        fates(&plan),
        [(1, Remove), (2, Remove), (3, KeepNewest), (9, KeepMisnamed)]
    );
}

/// A pipe cannot be opened as a checkpoint, whoever runs the test.
#[cfg(unix)]
#[test]
fn a_file_that_cannot_be_read_keeps_no_other_from_being_pruned() {
    let dir = tempfile::tempdir().unwrap();
    let writer = StoreWriter::create(dir.path()).unwrap();
    let pipe = |step| {
        let made = std::process::Command::new("mkfifo")
            .arg(writer.store().path_of(step))
            .status();
        assert!(made.unwrap().success());
    };
    pipe(0);
    let report = PruneReport::new(writer.store().plan(&Retention::default()).unwrap(), None);
    assert_eq!((report.newest_valid, report.exit_code), (None, ExitCode::Io));
    save_step(&writer, 1, 0.5).unwrap();
    save_step(&writer, 2, 0.5).unwrap();
    let plan = writer.store().plan(&Retention::default()).unwrap();
    use Fate::{KeepNewest, KeepUnread, Remove};
    assert_eq!(fates(&plan), [(0, KeepUnread), (1, Remove), (2, KeepNewest)]);
    let report = PruneReport::new(plan.clone(), Some(writer.prune(&plan).unwrap()));
    assert_eq!((report.pruned.removed.len(), report.exit_code), (1, ExitCode::Done));
    assert_eq!(writer.store().steps().unwrap(), [0, 2]);
}

#[test]
fn a_prune_stops_when_what_it_relies_on_is_not_valid_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let writer = StoreWriter::create(dir.path()).unwrap();
    for step in 1..=3 {
        save_step(&writer, step, 0.5).unwrap();
    }
    let store = writer.store();
    let plan = store
        .plan(&Retention {
            keep_last: 1,
            keep_every: 0,
            keep_best: 0,
        })
        .unwrap();
    assert_eq!(plan.removals().count(), 2);
    fs::write(store.path_of(3), "hit in the meantime").unwrap();
    assert_eq!(code(&writer.prune(&plan).unwrap_err()), "FOLD-E0602");
    assert_eq!(store.steps().unwrap(), [1, 2, 3]);
}

#[test]
fn a_directory_that_is_not_there_is_absent() {
    let error = CheckpointStore::open("/nowhere/at/all").steps().unwrap_err();
    assert_eq!((code(&error), error.exit()), ("FOLD-E0103", ExitCode::Absent));
}

#[cfg(unix)]
#[test]
fn a_pipe_named_like_a_checkpoint_is_an_error_and_no_endless_wait() {
    let dir = tempfile::tempdir().unwrap();
    let writer = StoreWriter::create(dir.path()).unwrap();
    save_step(&writer, 1, 0.5).unwrap();
    let pipe = writer.store().path_of(2);
    assert!(
        std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let error = writer.store().latest_valid().unwrap_err();
    assert!(error.to_string().contains("not a regular file"), "{error}");
}
