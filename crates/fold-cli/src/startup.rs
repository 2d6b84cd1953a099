//! Whether standard output was there when the process was started.
//!
//! Where it is closed, Rust's runtime opens /dev/null in its place before `main`, and everything that is written is lost
//! without an error. It is therefore looked at before the runtime is: by `ctor`, whose business the unsafe attribute is
//! that this takes. A null device that somebody has put there is a standard output as any other.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether it was closed.
static CLOSED: AtomicBool = AtomicBool::new(false);

#[cfg(unix)]
ctor::declarative::ctor! {
    /// A descriptor that is closed cannot be copied.
    #[ctor(unsafe)]
    fn look() {
        use std::os::fd::AsFd as _;
        let closed = io::stdout().as_fd().try_clone_to_owned().is_err();
        CLOSED.store(closed, Ordering::Relaxed);
    }
}

/// Refuses to write to a standard output that was not there.
///
/// # Errors
/// `BrokenPipe`: it was closed.
pub(crate) fn require_stdout() -> io::Result<()> {
    match CLOSED.load(Ordering::Relaxed) {
        true => Err(io::Error::new(io::ErrorKind::BrokenPipe, "it is closed")),
        false => Ok(()),
    }
}
