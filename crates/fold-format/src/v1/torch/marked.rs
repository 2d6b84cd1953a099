//! Values of Python that JSON has no form for, as JSON: tuples, ordered dicts, dicts with keys that are no text.
//!
//! They stand under one key that is reserved; a dict that has this key and no other is marked as well, so that nothing is
//! taken for what it is not. [`TorchState::others`](super::TorchState::others) says how.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use crate::json::Value;

/// The reserved key.
pub(super) const MARK: &str = "__python__";

pub(super) const TUPLE: &str = "tuple";
pub(super) const DICT: &str = "dict";
pub(super) const ORDERED_DICT: &str = "ordered_dict";

/// A marked value.
pub(super) enum Marked<'a> {
    Tuple(&'a [Value]),
    /// Keys and values by turns.
    Dict(&'a [Value]),
    /// As `Dict`.
    Ordered(&'a [Value]),
}

/// Marks a value of a kind.
pub(super) fn mark(kind: &str, mut parts: Vec<Value>) -> Value {
    parts.insert(0, Value::from(kind));
    Value::object([(MARK, Value::Array(parts.into()))])
}

/// What an object stands for. None where it is an object; `Err` where its one key is the reserved one, and nothing that
/// [`mark`] gives is under it.
pub(super) fn marked(entries: &[(Box<str>, Value)]) -> Option<Result<Marked<'_>, ()>> {
    let [(key, value)] = entries else { return None };
    (&**key == MARK).then(|| understood(value).ok_or(()))
}

fn understood(value: &Value) -> Option<Marked<'_>> {
    let (kind, parts) = value.as_array()?.split_first()?;
    let by_turns = || {
        let are_keys = parts.iter().step_by(2).all(is_key);
        (parts.len().is_multiple_of(2) && are_keys).then_some(parts)
    };
    match kind.as_str()? {
        TUPLE => Some(Marked::Tuple(parts)),
        DICT => by_turns().map(Marked::Dict),
        ORDERED_DICT => by_turns().map(Marked::Ordered),
        _ => None,
    }
}

/// Whether Python takes a value as the key of a dict.
fn is_key(value: &Value) -> bool {
    match value {
        Value::Array(_) => false,
        Value::Object(entries) => match marked(entries) {
            Some(Ok(Marked::Tuple(items))) => items.iter().all(is_key),
            _ => false,
        },
        _ => true,
    }
}
