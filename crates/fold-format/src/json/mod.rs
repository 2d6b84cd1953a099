//! JSON as Python reads and writes it, exactly: what the hashes of version 1 files are computed over.
//!
//! Integers of any size stay apart from doubles, NaN and the infinities are values, an object keeps its keys' order, and
//! printing gives Python's bytes. Stricter than Python in two points: a key twice in an object and a lone surrogate are
//! refused, since readers differ over them.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

mod digits;
mod parse;
mod print;

pub use digits::Digits;
pub use parse::{Fault, MAX_DEPTH, parse};
pub use print::{Form, float_repr};

/// A JSON value. It takes 24 bytes, and what does not fit into them besides.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// An integer of any size, in decimal.
    Int(Digits),
    /// A double; NaN and the infinities too.
    Float(f64),
    /// A string.
    String(Box<str>),
    /// An array.
    Array(Box<[Value]>),
    /// An object, its keys in the order of the text, none of them twice.
    Object(Vec<(Box<str>, Value)>),
}

impl Value {
    /// The value of a key; none where there is no such key or this is no object.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        let entries = self.as_object()?;
        entries.iter().find(|(name, _)| &**name == key).map(|(_, value)| value)
    }

    /// The entries of an object.
    #[must_use]
    pub fn as_object(&self) -> Option<&[(Box<str>, Self)]> {
        match self {
            Self::Object(entries) => Some(entries),
            _ => None,
        }
    }

    /// The elements of an array.
    #[must_use]
    pub fn as_array(&self) -> Option<&[Self]> {
        match self {
            Self::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// The text of a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// An integer from 0 to 2^64 - 1.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Int(digits) => digits.parse().ok(),
            _ => None,
        }
    }

    /// A truth value.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// An object of these entries; the caller sees to it that no key is there twice.
    #[must_use]
    pub fn object<K: Into<Box<str>>>(entries: impl IntoIterator<Item = (K, Self)>) -> Self {
        Self::Object(entries.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }

    /// A copy of an object without one key; any other value as it is.
    #[must_use]
    pub fn without(&self, key: &str) -> Self {
        match self {
            Self::Object(entries) => Self::Object(entries.iter().filter(|(name, _)| &**name != key).cloned().collect()),
            other => other.clone(),
        }
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Int(Digits::from(&*value.to_string()))
    }
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::String(value.into())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}
