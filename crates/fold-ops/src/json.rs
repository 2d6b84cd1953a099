//! Two conventions of JSON that serde does not know: integers above 2^53 are strings, and settings have names.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::{Serialize, Serializer};

/// The largest integer that every JSON reader keeps exactly.
const EXACT_MAX: u64 = 1 << 53;

/// An unsigned integer as the reports write it: a number up to 2^53, a decimal string above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Int(
    /// The integer.
    pub u64,
);

impl From<u64> for Int {
    fn from(value: u64) -> Self {
        Self(value)
    }
}

impl Serialize for Int {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 <= EXACT_MAX {
            serializer.serialize_u64(self.0)
        } else {
            serializer.collect_str(&self.0)
        }
    }
}

/// A struct that is read from an object alone: serde would take an array as well, for the fields in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Object<T>(
    /// What was read.
    pub T,
);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = Object<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Object<T>, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_double_cannot_hold_is_a_string() {
        let json = |value| serde_json::to_string(&Int(value)).unwrap();
        assert_eq!(json(0), "0");
        assert_eq!(json(9_007_199_254_740_992), "9007199254740992");
        assert_eq!(json(9_007_199_254_740_993), "\"9007199254740993\"");
        assert_eq!(json(u64::MAX), "\"18446744073709551615\"");
    }
}
