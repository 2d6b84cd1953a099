//! One module per command: the library call and how its answer looks to a person.

pub(crate) mod eval;
pub(crate) mod explain;
pub(crate) mod inspect;
pub(crate) mod simulate;
pub(crate) mod train;
pub(crate) mod verify;
