//! The crate's integration tests: one binary, one module per promise.

mod content;
mod round_trip;
