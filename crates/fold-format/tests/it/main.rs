//! The crate's integration tests: one binary, one module per promise.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by a panic")]

mod content;
mod crash;
mod faults;
mod flips;
mod forge;
mod forms;
mod golden;
mod hostile;
mod partial;
mod round_trip;
mod salvaged;
mod signed;
mod v1;
mod work;
