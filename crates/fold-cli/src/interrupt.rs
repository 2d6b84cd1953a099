//! SIGINT, SIGTERM and, where there is one, SIGHUP: the first one asks, the second one ends the process at once.
//!
//! What is under way looks here now and then, stops where nothing can be lost, and the exit code says which signal it was.
//! Commands that leave nothing, or nothing but a new file, which gets its name when it is whole, end at the first signal:
//! see [`end_at_once`].

use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use fold_ops::ExitCode;
#[cfg(unix)]
use signal_hook::consts::SIGHUP;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// The number of the signal that came; 0: none.
static CAME: OnceLock<Arc<AtomicUsize>> = OnceLock::new();

/// Listens from now on.
pub(crate) fn listen() -> io::Result<()> {
    let came = Arc::clone(CAME.get_or_init(Arc::default));
    let again = Arc::new(AtomicBool::new(false));
    for (signal, exit) in asking() {
        // In this order: the first signal finds `again` false and sets it, the second one finds it true.
        flag::register_conditional_shutdown(signal, i32::from(exit.number()), Arc::clone(&again))?;
        flag::register(signal, Arc::clone(&again))?;
        flag::register_usize(signal, Arc::clone(&came), usize::try_from(signal).unwrap_or(usize::MAX))?;
    }
    // Whoever writes beyond the limit on a file's size gets an error then, as on a full disk, and is not killed.
    #[cfg(unix)]
    flag::register(signal_hook::consts::SIGXFSZ, Arc::default())?;
    Ok(())
}

/// The signals that ask, and what a command that heeds one ends with. Not SIGHUP where it is ignored, as `nohup` has it, or where
/// that cannot be told, as off Linux: what it then does is left to the system.
fn asking() -> impl Iterator<Item = (i32, ExitCode)> {
    #[cfg(unix)]
    let hangup = (!ignores_hangup()).then_some((SIGHUP, ExitCode::HungUp));
    #[cfg(not(unix))]
    let hangup = None;
    let others = [(SIGINT, ExitCode::Interrupted), (SIGTERM, ExitCode::Terminated)];
    others.into_iter().chain(hangup)
}

/// Whether this process was started with SIGHUP ignored; true where the system does not say.
#[cfg(unix)]
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_none_or(|mask| mask >> (SIGHUP - 1) & 1 == 1)
}

/// How often it is looked whether a signal came.
const LOOK: Duration = Duration::from_millis(20);

/// Has the first signal end the process from now on: what it has begun to write beside `target` is removed, and `say` says why and
/// with what it ends.
pub(crate) fn end_at_once(target: Option<PathBuf>, say: impl FnOnce() -> ExitCode + Send + 'static) -> io::Result<()> {
    let watch = move || {
        while requested().is_continue() {
            thread::sleep(LOOK);
        }
        if let Some(target) = target
            && let Err(error) = fold_ops::abandon(&target)
        {
            log::error!("what was begun beside {target:?} could not be removed: {error}");
        }
        #[expect(
            clippy::exit,
            reason = "the other threads are in the middle of work that nobody waits for any more"
        )]
        std::process::exit(say().number().into());
    };
    thread::Builder::new().name("interrupt".into()).spawn(watch).map(drop)
}

fn came() -> usize {
    CAME.get().map_or(0, |came| came.load(Ordering::Relaxed))
}

/// `Break` once a signal came.
pub(crate) fn requested() -> ControlFlow<()> {
    match came() {
        0 => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    }
}

/// What an interrupted command ends with: 143 after SIGTERM, 129 after SIGHUP.
pub(crate) fn named(exit: ExitCode) -> ExitCode {
    match (exit, i32::try_from(came())) {
        (ExitCode::Interrupted, Ok(SIGTERM)) => ExitCode::Terminated,
        #[cfg(unix)]
        (ExitCode::Interrupted, Ok(SIGHUP)) => ExitCode::HungUp,
        (other, _) => other,
    }
}
