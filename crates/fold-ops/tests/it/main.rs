//! Integration tests of the operations layer: one file per story.

mod bridge;
mod check;
mod crash;
mod schemas;
mod store;
mod written;
