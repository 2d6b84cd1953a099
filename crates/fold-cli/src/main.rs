//! The binary `fold`.
fn main() {}
