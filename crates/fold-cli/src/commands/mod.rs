//! One module per command: the library call and how its answer looks to a person.

pub(crate) mod convert;
pub(crate) mod diff;
pub(crate) mod doctor;
pub(crate) mod eval;
pub(crate) mod explain;
pub(crate) mod exporter;
pub(crate) mod extract;
pub(crate) mod generated;
pub(crate) mod inspect;
pub(crate) mod prune;
pub(crate) mod repair;
pub(crate) mod salvage;
pub(crate) mod scrub;
pub(crate) mod sign;
pub(crate) mod simulate;
pub(crate) mod train;
pub(crate) mod verify;
