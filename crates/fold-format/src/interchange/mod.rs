//! Arrays of other programs: NumPy's npy and npz, safetensors.
//!
//! Each format has a reader that takes any bytes and a writer that takes borrowed ones. An array is a name, a dtype, a
//! shape and its little-endian bytes, row-major. What an array means, and where a file goes, is not decided here.

mod fault;
pub mod npy;
pub mod npz;
pub mod safetensors;

pub use fault::Fault;

use std::borrow::Cow;

use crate::dtype::{Dtype, Shape};

/// A named array: little-endian, row-major (the last dimension varies fastest).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Array<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// Its elements' type.
    pub dtype: Dtype,
    /// Its extents, slowest first.
    pub shape: Shape,
    /// Its bytes, as many as dtype and shape say.
    pub bytes: Cow<'a, [u8]>,
}

impl Array<'_> {
    /// The same array with its own copy of name and bytes.
    #[must_use]
    pub fn into_owned(self) -> Array<'static> {
        Array {
            name: Cow::Owned(self.name.into_owned()),
            bytes: Cow::Owned(self.bytes.into_owned()),
            dtype: self.dtype,
            shape: self.shape,
        }
    }
}
