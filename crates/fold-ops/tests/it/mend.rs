//! Mending that is stopped: nothing of it stays.

use std::fs;
use std::ops::ControlFlow;

use fold_ops::mend::{Mode, salvage};
use fold_ops::{ExitCode, Keys};

use crate::check::run_of;

#[test]
fn a_salvage_that_is_stopped_leaves_the_directory_as_it_was() {
    let (dir, writer) = run_of(1);
    let source = writer.store().path_of(1);
    let stopped_after = |files: usize, to: &str| {
        let mut left = files;
        let to = dir.path().join(to);
        let mut stop = || {
            let stop = left == 0;
            left = left.saturating_sub(1);
            if stop {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        salvage(&source, &to, Mode::Write, &Keys::new(), &mut stop)
    };
    fs::create_dir(dir.path().join("there")).unwrap();
    for files in 0..3 {
        for to in ["there", "new", "there/above/below"] {
            let error = stopped_after(files, to).unwrap_err();
            assert_eq!(error.exit(), ExitCode::Interrupted, "{error}");
            let there = fs::read_dir(dir.path().join("there")).unwrap();
            assert_eq!(there.count(), 0, "{files} files in {to}");
            assert!(!dir.path().join("new").exists(), "{files} files in {to}");
        }
    }
    assert_eq!(stopped_after(usize::MAX, "new").unwrap().exit_code, ExitCode::Done);
}
