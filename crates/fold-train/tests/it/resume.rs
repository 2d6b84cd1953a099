//! Interrupted, damaged and prolonged runs end in the bytes of one that was never touched.

use std::path::Path;

use fold_ops::Retention;
use fold_train::{Error, Resume, Silent, TrainConfig, TrainRequest, train};

use crate::{Notes, checkpoints, small};

fn auto(out: &Path) -> TrainRequest {
    TrainRequest {
        resume: Resume::Auto,
        ..small(out)
    }
}

fn flip(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_run_stopped_at_any_point_ends_in_the_same_bytes() {
    let whole = tempfile::tempdir().unwrap();
    train(&small(whole.path()), &mut Silent).unwrap();
    let expected = checkpoints(whole.path());
    assert_eq!(expected.len(), 4);
    for (stop, epoch) in [
        ("saved 0", 0),
        ("started 1", 0),
        ("shown 40", 0),
        ("finished 1", 0),
        ("saved 1", 1),
        ("saved 2", 2),
        ("saved 3", 3),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let mut notes = Notes {
            stop: Some(stop.to_owned()),
            ..Notes::default()
        };
        let stopped = train(&small(dir.path()), &mut notes);
        assert!(
            matches!(stopped, Err(Error::Interrupted { epoch: e }) if e == epoch),
            "{stop}: {stopped:?}"
        );
        let mut notes = Notes::default();
        train(&auto(dir.path()), &mut notes).unwrap();
        assert_eq!(notes.lines[0], format!("resumed step-0000000{epoch}.fold at {epoch}"));
        assert_eq!(checkpoints(dir.path()), expected, "{stop}");
    }
}

#[test]
fn a_run_stopped_while_something_is_measured_loses_nothing_that_was_saved() {
    let whole = tempfile::tempdir().unwrap();
    let mut notes = Notes::default();
    let outcome = train(&small(whole.path()), &mut notes).unwrap();
    let expected = checkpoints(whole.path());
    let asked = notes.asked;
    for stop in [1, asked / 7, asked / 3, asked / 2, asked * 3 / 4, asked] {
        let dir = tempfile::tempdir().unwrap();
        let mut notes = Notes {
            stop_asked: Some(stop),
            ..Notes::default()
        };
        let stopped = train(&small(dir.path()), &mut notes);
        let saved = checkpoints(dir.path());
        let Err(Error::Interrupted { epoch }) = stopped else {
            panic!("{stop}: {stopped:?}")
        };
        assert!(
            saved.len() as u64 == epoch + 1 || (epoch, saved.len()) == (0, 0),
            "{stop}"
        );
        assert!(saved.iter().all(|(name, bytes)| expected[name] == *bytes), "{stop}");
        assert_eq!(notes.asked, stop, "it goes no further");
        let again = train(&auto(dir.path()), &mut Silent).unwrap();
        assert_eq!(checkpoints(dir.path()), expected, "{stop}");
        assert_eq!(
            (again.accuracy, again.history),
            (outcome.accuracy, outcome.history.clone())
        );
    }
    // The last one is asked after the last checkpoint, within the controls.
    assert!(
        notes.lines.iter().position(|line| line == "saved 3")
            < notes.lines.iter().position(|line| line == "control frozen")
    );
}

#[test]
fn a_damaged_newest_checkpoint_is_passed_over_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    train(&small(dir.path()), &mut Silent).unwrap();
    let expected = checkpoints(dir.path());
    let newest = dir.path().join("step-00000003.fold");
    flip(&newest, expected["step-00000003.fold"].0.len() / 2);
    let damaged = std::fs::read(&newest).unwrap();
    let mut notes = Notes::default();
    train(&auto(dir.path()), &mut notes).unwrap();
    assert_eq!(
        notes.lines[..3],
        [
            "skipped step-00000003.fold 1",
            "aside step-00000003.fold.aside-1",
            "resumed step-00000002.fold at 2"
        ]
    );
    assert_eq!(checkpoints(dir.path()), expected);
    assert_eq!(
        std::fs::read(dir.path().join("step-00000003.fold.aside-1")).unwrap(),
        damaged
    );
}

#[test]
fn a_checkpoint_that_is_right_by_its_second_copy_is_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    train(&small(dir.path()), &mut Silent).unwrap();
    let expected = checkpoints(dir.path());
    // None is whole, and the first superblock of the newest alone is damaged.
    for name in expected.keys() {
        let path = dir.path().join(name);
        let newest = Some(name) == expected.keys().next_back();
        flip(&path, if newest { 100 } else { 9000 });
    }
    let mut notes = Notes::default();
    train(&auto(dir.path()), &mut notes).unwrap();
    let newest = "step-00000003.fold";
    assert_eq!(
        notes.lines[..3],
        [
            format!("aside {newest}.aside-1"),
            format!("resumed {newest} at 3"),
            "saved 3".to_owned()
        ],
        "{:?}",
        notes.lines
    );
    assert_eq!(checkpoints(dir.path())[newest], expected[newest]);
}

#[test]
fn a_copy_under_another_epochs_name_is_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    train(&small(dir.path()), &mut Silent).unwrap();
    let expected = checkpoints(dir.path());
    let path = |name: &str| dir.path().join(name);
    std::fs::copy(path("step-00000001.fold"), path("step-00000009.fold")).unwrap();
    let mut notes = Notes::default();
    train(&auto(dir.path()), &mut notes).unwrap();
    assert_eq!(
        notes.lines[..3],
        [
            "skipped step-00000009.fold 0",
            "aside step-00000009.fold.aside-1",
            "resumed step-00000003.fold at 3"
        ]
    );
    assert_eq!(checkpoints(dir.path()), expected);
}

#[test]
fn a_directory_without_a_valid_checkpoint_is_not_begun_anew() {
    let dir = tempfile::tempdir().unwrap();
    train(&small(dir.path()), &mut Silent).unwrap();
    for (name, bytes) in checkpoints(dir.path()) {
        flip(&dir.path().join(name), bytes.0.len() / 2);
    }
    let before = checkpoints(dir.path());
    let error = train(&auto(dir.path()), &mut Silent).unwrap_err();
    assert!(matches!(error, Error::NoValidCheckpoint { count: 4, .. }), "{error}");
    assert_eq!(checkpoints(dir.path()), before);
}

#[test]
fn a_run_is_neither_overwritten_nor_continued_with_other_settings() {
    let dir = tempfile::tempdir().unwrap();
    train(&small(dir.path()), &mut Silent).unwrap();
    let before = checkpoints(dir.path());
    let error = train(&small(dir.path()), &mut Silent).unwrap_err();
    assert!(matches!(error, Error::RunExists { newest: 3, .. }), "{error}");
    assert_eq!(error.code(), "FOLD-E0003");

    let mut other = auto(dir.path());
    other.seed = 12;
    other.config.winners = 3;
    other.config.learning_rate = 0.04;
    let Err(Error::ResumeDiffers { keys }) = train(&other, &mut Silent) else {
        panic!("resumed")
    };
    let named: Vec<[&str; 3]> = keys.iter().map(|k| [&*k.key, &*k.stored, &*k.asked]).collect();
    assert_eq!(
        named,
        [
            ["learning_rate", "0.05", "0.04"],
            ["seed", "\"11\"", "\"12\""],
            ["winners", "2", "3"]
        ]
    );

    let (mut learned, mut held_out) = (auto(dir.path()), auto(dir.path()));
    learned.data.train = learned.data.train.slice(0, 95);
    held_out.data.test = held_out.data.test.slice(0, 59);
    for other in [learned, held_out] {
        let refused = train(&other, &mut Silent);
        assert!(matches!(refused, Err(Error::ResumeDiffers { keys }) if &*keys[0].key == "data_digest"));
    }
    let mut fewer = auto(dir.path());
    fewer.config.epochs = 2;
    assert!(matches!(
        train(&fewer, &mut Silent),
        Err(Error::EpochsPassed { epoch: 3, epochs: 2 })
    ));
    assert_eq!(checkpoints(dir.path()), before);
}

#[test]
fn a_prolonged_run_is_one_that_was_long_from_the_start() {
    let (long, prolonged) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let config = TrainConfig {
        epochs: 5,
        ..small(long.path()).config
    };
    train(
        &TrainRequest {
            config,
            ..small(long.path())
        },
        &mut Silent,
    )
    .unwrap();
    train(&small(prolonged.path()), &mut Silent).unwrap();
    train(
        &TrainRequest {
            config,
            ..auto(prolonged.path())
        },
        &mut Silent,
    )
    .unwrap();
    assert_eq!(checkpoints(prolonged.path()), checkpoints(long.path()));
}

#[test]
fn a_run_goes_on_from_a_named_checkpoint_here_or_elsewhere() {
    let whole = tempfile::tempdir().unwrap();
    train(&small(whole.path()), &mut Silent).unwrap();
    let expected = checkpoints(whole.path());
    let from = whole.path().join("step-00000001.fold");
    let elsewhere = tempfile::tempdir().unwrap();
    let request = TrainRequest {
        resume: Resume::From(from.clone()),
        ..small(elsewhere.path())
    };
    train(&request, &mut Silent).unwrap();
    let mut without_initial = expected.clone();
    without_initial.remove("step-00000000.fold");
    assert_eq!(checkpoints(elsewhere.path()), without_initial);
    let request = TrainRequest {
        resume: Resume::From(from),
        ..small(whole.path())
    };
    let mut notes = Notes::default();
    train(&request, &mut notes).unwrap();
    assert_eq!(notes.lines.iter().filter(|line| line.starts_with("aside")).count(), 2);
    assert_eq!(checkpoints(whole.path()), expected);
}

#[test]
fn a_checkpoint_of_another_run_is_not_gone_on_with_in_a_directory_that_holds_one() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    train(&small(one.path()), &mut Silent).unwrap();
    let different = |out: &Path| {
        let mut request = small(out);
        request.seed = 12;
        request.config.neurons = 20;
        request.config.epochs = 2;
        request
    };
    train(&different(other.path()), &mut Silent).unwrap();
    let before = checkpoints(other.path());
    let from = one.path().join("step-00000001.fold");
    let request = TrainRequest {
        resume: Resume::From(from),
        retention: Some(Retention {
            keep_last: 1,
            keep_every: 0,
            keep_best: 0,
        }),
        ..small(other.path())
    };
    let names = || std::fs::read_dir(other.path()).unwrap().count();
    let files = names();
    let mut notes = Notes::default();
    let error = train(&request, &mut notes).unwrap_err();
    let Error::OtherRun { dir, keys } = &error else {
        panic!("{error}")
    };
    let named: Vec<[&str; 3]> = keys.iter().map(|k| [&*k.key, &*k.stored, &*k.asked]).collect();
    assert_eq!(named, [["neurons", "20", "24"], ["seed", "\"12\"", "\"11\""]]);
    assert_eq!(
        (&**dir, error.code(), error.exit().number()),
        (other.path(), "FOLD-E0503", 21)
    );
    assert!(notes.lines.is_empty(), "{:?}", notes.lines);
    assert_eq!((checkpoints(other.path()), names()), (before.clone(), files));

    // A newest file that cannot be read says nothing; the next one does.
    std::fs::write(other.path().join("step-00000002.fold"), "no checkpoint").unwrap();
    let before = checkpoints(other.path());
    assert!(matches!(train(&request, &mut Silent), Err(Error::OtherRun { .. })));
    assert_eq!(checkpoints(other.path()), before);
}

#[test]
fn what_is_damaged_is_replaced_where_a_whole_copy_of_its_epoch_is_gone_on_from() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    train(&small(&out), &mut Silent).unwrap();
    let expected = checkpoints(&out);
    let backup = dir.path().join("backup.fold");
    for epoch in [3, 1] {
        let name = format!("step-0000000{epoch}.fold");
        let own = out.join(&name);
        std::fs::copy(&own, &backup).unwrap();
        flip(&own, expected[&name].0.len() / 2);
        let damaged = std::fs::read(&own).unwrap();
        let request = TrainRequest {
            resume: Resume::From(backup.clone()),
            ..small(&out)
        };
        let mut notes = Notes::default();
        train(&request, &mut notes).unwrap();
        assert!(
            notes.lines.contains(&format!("aside {name}.aside-1")),
            "{:?}",
            notes.lines
        );
        assert!(notes.lines.contains(&format!("saved {epoch}")), "{:?}", notes.lines);
        assert_eq!(std::fs::read(out.join(format!("{name}.aside-1"))).unwrap(), damaged);
        assert_eq!(checkpoints(&out), expected);
    }
    // A whole one stays.
    let request = TrainRequest {
        resume: Resume::From(backup),
        ..small(&out)
    };
    let mut notes = Notes::default();
    train(&request, &mut notes).unwrap();
    assert!(!notes.lines.contains(&"saved 1".to_owned()), "{:?}", notes.lines);
    assert_eq!(checkpoints(&out), expected);
}

#[test]
fn resuming_an_empty_directory_starts_and_retention_keeps_what_it_says() {
    let dir = tempfile::tempdir().unwrap();
    let retention = Some(Retention {
        keep_last: 2,
        keep_every: 0,
        keep_best: 0,
    });
    let outcome = train(
        &TrainRequest {
            retention,
            ..auto(dir.path())
        },
        &mut Silent,
    )
    .unwrap();
    assert_eq!(
        checkpoints(dir.path()).into_keys().collect::<Vec<_>>(),
        ["step-00000002.fold", "step-00000003.fold"]
    );
    assert_eq!(outcome.checkpoints.len(), 2);
}

#[test]
fn a_run_that_was_to_go_on_and_starts_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut notes = Notes::default();
    train(&auto(&dir.path().join("mistyped")), &mut notes).unwrap();
    assert_eq!(notes.lines[..2], ["nothing to resume", "saved 0"]);
}
