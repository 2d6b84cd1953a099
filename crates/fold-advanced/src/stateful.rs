//! The dynamic state as named arrays: what a checkpoint holds, without knowing files.
//!
//! [`crate::Layer::visit_state`] hands out every array; [`crate::Layer::restore`] takes them back. Not here: bytes, names of layers, tensors on
//! disk. Those are the checkpoint bridge's.

use std::fmt;

use crate::{Error, Result};

/// An element type of a state array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dtype {
    /// Unsigned, 1 byte.
    U8,
    /// Unsigned, 4 bytes.
    U32,
    /// Unsigned, 8 bytes.
    U64,
    /// IEEE single.
    F32,
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::U8 => "u8",
            Self::U32 => "u32",
            Self::U64 => "u64",
            Self::F32 => "f32",
        })
    }
}

/// The values of a state array, borrowed.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum StateSlice<'a> {
    /// u8.
    U8(&'a [u8]),
    /// u32.
    U32(&'a [u32]),
    /// u64.
    U64(&'a [u64]),
    /// f32.
    F32(&'a [f32]),
}

impl StateSlice<'_> {
    /// The element type.
    #[must_use]
    pub fn dtype(&self) -> Dtype {
        match self {
            Self::U8(_) => Dtype::U8,
            Self::U32(_) => Dtype::U32,
            Self::U64(_) => Dtype::U64,
            Self::F32(_) => Dtype::F32,
        }
    }

    /// A copy of the values.
    #[must_use]
    pub fn to_data(&self) -> StateData {
        match *self {
            Self::U8(values) => StateData::U8(values.to_vec()),
            Self::U32(values) => StateData::U32(values.to_vec()),
            Self::U64(values) => StateData::U64(values.to_vec()),
            Self::F32(values) => StateData::F32(values.to_vec()),
        }
    }
}

/// The values of a state array, owned.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum StateData {
    /// u8.
    U8(Vec<u8>),
    /// u32.
    U32(Vec<u32>),
    /// u64.
    U64(Vec<u64>),
    /// f32.
    F32(Vec<f32>),
}

impl StateData {
    /// The values, borrowed.
    #[must_use]
    pub fn as_slice(&self) -> StateSlice<'_> {
        match self {
            Self::U8(values) => StateSlice::U8(values),
            Self::U32(values) => StateSlice::U32(values),
            Self::U64(values) => StateSlice::U64(values),
            Self::F32(values) => StateSlice::F32(values),
        }
    }
}

/// A stored array.
#[derive(Debug, Clone, PartialEq)]
pub struct StateArray {
    /// Its shape; a scalar has the shape \[1\].
    pub shape: Vec<usize>,
    /// Its values, row-major.
    pub data: StateData,
}

/// Takes the arrays of a stored state by name, and checks that each is what the layer expects.
pub struct Stored<'a> {
    get: &'a mut dyn FnMut(&str) -> Option<StateArray>,
}

impl fmt::Debug for Stored<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored").finish_non_exhaustive()
    }
}

macro_rules! take {
    ($(#[$meta:meta])* $name:ident, $variant:ident, $ty:ty) => {
        $(#[$meta])*
        ///
        /// # Errors
        /// [`Error::StateMissing`], [`Error::StateType`], [`Error::StateShape`].
        pub fn $name(&mut self, array: &'static str, shape: &[usize]) -> Result<Vec<$ty>> {
            let stored = (self.get)(array).ok_or(Error::StateMissing { array })?;
            match stored.data {
                StateData::$variant(values)
                    if stored.shape == shape && value_count(shape) == Some(values.len()) =>
                {
                    Ok(values)
                }
                StateData::$variant(_) => {
                    Err(Error::StateShape { array, expected: shape.to_vec(), given: stored.shape })
                }
                other => {
                    Err(Error::StateType { array, expected: Dtype::$variant, given: other.as_slice().dtype() })
                }
            }
        }
    };
}

fn value_count(shape: &[usize]) -> Option<usize> {
    shape.iter().try_fold(1, |count: usize, &dim| count.checked_mul(dim))
}

impl<'a> Stored<'a> {
    /// Arrays that come from `get`.
    pub fn new(get: &'a mut dyn FnMut(&str) -> Option<StateArray>) -> Self {
        Self { get }
    }

    take! {
        /// The u8 array `array` of `shape`.
        u8s, U8, u8
    }
    take! {
        /// The u32 array `array` of `shape`.
        u32s, U32, u32
    }
    take! {
        /// The u64 array `array` of `shape`.
        u64s, U64, u64
    }
    take! {
        /// The f32 array `array` of `shape`.
        f32s, F32, f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_must_be_there_with_its_type_shape_and_length() {
        let mut get = |name: &str| match name {
            "good" => Some(StateArray {
                shape: vec![2, 1],
                data: StateData::F32(vec![1.0, 2.0]),
            }),
            "lying" => Some(StateArray {
                shape: vec![2, 1],
                data: StateData::F32(vec![1.0]),
            }),
            "typed" => Some(StateArray {
                shape: vec![2, 1],
                data: StateData::U8(vec![1, 2]),
            }),
            _ => None,
        };
        let mut stored = Stored::new(&mut get);
        assert_eq!(stored.f32s("good", &[2, 1]), Ok(vec![1.0, 2.0]));
        assert!(matches!(
            stored.f32s("good", &[1, 2]),
            Err(Error::StateShape { array: "good", .. })
        ));
        assert!(matches!(
            stored.f32s("lying", &[2, 1]),
            Err(Error::StateShape { array: "lying", .. })
        ));
        let wrong = Error::StateType {
            array: "typed",
            expected: Dtype::F32,
            given: Dtype::U8,
        };
        assert_eq!(stored.f32s("typed", &[2, 1]), Err(wrong));
        assert_eq!(
            stored.u64s("absent", &[1]),
            Err(Error::StateMissing { array: "absent" })
        );
    }
}
