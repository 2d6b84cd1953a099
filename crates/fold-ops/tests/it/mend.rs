//! Mending that is stopped: nothing of it stays.

use std::fs;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use fold_ops::mend::{Mode, salvage};
use fold_ops::{ExitCode, Keys};

use crate::check::run_of;

#[test]
fn a_salvage_that_is_stopped_leaves_the_directory_as_it_was() {
    let (dir, writer) = run_of(1);
    let source = writer.store().path_of(1);
    let stopped_after = |times: usize, to: &str| {
        let to = dir.path().join(to);
        salvage(
            &source,
            &to,
            Mode::Write,
            &Keys::new(),
            &after(times, &AtomicUsize::new(0)),
        )
    };
    fs::create_dir(dir.path().join("there")).unwrap();
    let ends = (0..).find(|&times| stopped_after(times, "ends").is_ok()).unwrap();
    for times in 0..ends {
        for to in ["there", "new", "there/above/below"] {
            let error = stopped_after(times, to).unwrap_err();
            assert_eq!(error.exit(), ExitCode::Interrupted, "{error}");
            let there = fs::read_dir(dir.path().join("there")).unwrap();
            assert_eq!(there.count(), 0, "{times} times, in {to}");
            assert!(!dir.path().join("new").exists(), "{times} times, in {to}");
        }
    }
    assert_eq!(stopped_after(ends, "new").unwrap().exit_code, ExitCode::Done);
}

/// Breaks when it has been asked so many times; `asked` counts.
fn after(times: usize, asked: &AtomicUsize) -> impl Fn() -> ControlFlow<()> + Sync + '_ {
    move || match asked.fetch_add(1, Ordering::Relaxed) {
        before if before < times => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    }
}

#[test]
fn a_search_through_a_file_without_metadata_is_stopped_on_its_way() {
    let dir = tempfile::tempdir().unwrap();
    let (path, to) = (dir.path().join("z.fold"), dir.path().join("to"));
    let (_run, writer) = run_of(1);
    let head = &fs::read(writer.store().path_of(1)).unwrap()[..100];
    fs::write(&path, head).unwrap();
    fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(64 << 20)
        .unwrap();
    let asked = AtomicUsize::new(0);
    let stopped = salvage(&path, &to, Mode::Write, &Keys::new(), &after(8, &asked));
    assert_eq!(stopped.unwrap_err().exit(), ExitCode::Interrupted);
    // The rest of the file is not passed over place by place.
    let asked = asked.into_inner();
    assert!(asked < 16, "it was asked {asked} times");
    let whole = salvage(&path, &to, Mode::Plan, &Keys::new(), &|| ControlFlow::Continue(()));
    assert_eq!(whole.unwrap().exit_code, ExitCode::Damaged);
}
