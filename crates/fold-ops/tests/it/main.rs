//! Integration tests of the operations layer: one file per story.

#![allow(clippy::unwrap_used, reason = "a test whose setting cannot be made has failed")]

mod bridge;
mod check;
mod crash;
mod demonstrations;
mod exchange;
mod mend;
mod pyfolds;
mod scrub;
mod simulate;
mod store;
mod written;
