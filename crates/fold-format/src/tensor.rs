//! Verified tensors: owned, and as views into a mapping.
//!
//! Typed access goes through `bytemuck`, which checks length and alignment; nothing is cast here by hand.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use crate::dtype::{Dtype, Element, Shape};
use crate::error::{Error, IoFault, Misuse};
use crate::memory::Aligned;

/// A cache line, as tensors lie in the file.
const TENSOR_ALIGN: usize = 64;

/// A verified tensor in memory of its own, aligned to 64 bytes as in the file.
#[derive(Clone, Debug)]
pub struct Tensor {
    dtype: Dtype,
    shape: Shape,
    bytes: Aligned<TENSOR_ALIGN>,
}

impl Tensor {
    /// A tensor of zeros, to be read into.
    pub(crate) fn zeroed(dtype: Dtype, shape: Shape, len: u64) -> Result<Self, IoFault> {
        Ok(Self {
            dtype,
            shape,
            bytes: Aligned::zeroed(len)?,
        })
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }

    /// The elements' type.
    #[must_use]
    pub const fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The extents, slowest first.
    #[must_use]
    pub const fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The elements, little-endian, row-major.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The elements as a slice of their type. See [`Element`] for which type views which dtype.
    ///
    /// # Errors
    /// [`Misuse::WrongDtype`].
    pub fn as_slice<T: Element>(&self) -> Result<&[T], Error> {
        typed(self.dtype, self.as_bytes())
    }

    /// The elements of a `bool` tensor.
    ///
    /// # Errors
    /// [`Misuse::WrongDtype`] when the dtype is another; `None` inside when a byte is neither 0 nor 1.
    pub fn as_bools(&self) -> Result<Option<&[bool]>, Error> {
        bools(self.dtype, self.as_bytes())
    }

    /// The same tensor as a borrowed view.
    #[must_use]
    pub fn view(&self) -> TensorView<'_> {
        TensorView {
            dtype: self.dtype,
            shape: self.shape,
            bytes: self.as_bytes(),
        }
    }
}

/// A verified tensor borrowed from a mapping or from a [`Tensor`].
#[derive(Clone, Copy, Debug)]
pub struct TensorView<'a> {
    dtype: Dtype,
    shape: Shape,
    bytes: &'a [u8],
}

impl<'a> TensorView<'a> {
    pub(crate) const fn new(dtype: Dtype, shape: Shape, bytes: &'a [u8]) -> Self {
        Self { dtype, shape, bytes }
    }

    /// The elements' type.
    #[must_use]
    pub const fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// The extents, slowest first.
    #[must_use]
    pub const fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The elements, little-endian, row-major.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The elements as a slice of their type. See [`Element`] for which type views which dtype.
    ///
    /// # Errors
    /// [`Misuse::WrongDtype`].
    pub fn as_slice<T: Element>(&self) -> Result<&'a [T], Error> {
        typed(self.dtype, self.bytes)
    }

    /// The elements of a `bool` tensor.
    ///
    /// # Errors
    /// [`Misuse::WrongDtype`] when the dtype is another; `None` inside when a byte is neither 0 nor 1.
    pub fn as_bools(&self) -> Result<Option<&'a [bool]>, Error> {
        bools(self.dtype, self.bytes)
    }
}

fn typed<T: Element>(dtype: Dtype, bytes: &[u8]) -> Result<&[T], Error> {
    if !T::views(dtype) {
        return Err(Misuse::WrongDtype { dtype, asked: T::DTYPE }.into());
    }
    bytemuck::try_cast_slice(bytes).map_err(|_| Misuse::Unaligned { dtype: T::DTYPE }.into())
}

fn bools(dtype: Dtype, bytes: &[u8]) -> Result<Option<&[bool]>, Error> {
    if dtype != Dtype::Bool {
        return Err(Misuse::WrongDtype {
            dtype,
            asked: Dtype::Bool,
        }
        .into());
    }
    Ok(bytemuck::checked::try_cast_slice(bytes).ok())
}

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests may panic"
)]
mod tests {
    use super::*;

    fn tensor(dtype: Dtype, bytes: &[u8]) -> Tensor {
        let elements = bytes.len() as u64 / dtype.size_bytes();
        let mut tensor = Tensor::zeroed(dtype, Shape::new(&[elements]).unwrap(), bytes.len() as u64).unwrap();
        tensor.bytes_mut().copy_from_slice(bytes);
        tensor
    }

    #[test]
    fn typed_views_fit_the_dtype_or_are_refused() {
        let floats = tensor(Dtype::F32, bytemuck::cast_slice(&[1.0_f32, -2.5, f32::NAN]));
        assert_eq!(floats.as_slice::<f32>().unwrap()[..2], [1.0, -2.5]);
        assert!(matches!(
            floats.as_slice::<i32>(),
            Err(Error::Misuse(Misuse::WrongDtype {
                dtype: Dtype::F32,
                asked: Dtype::I32
            }))
        ));
        let halves = tensor(Dtype::Bf16, &[0x80, 0x3f]);
        assert_eq!(halves.as_slice::<u16>().unwrap(), [0x3f80]);
        assert!(halves.as_slice::<i16>().is_err());
        assert!(tensor(Dtype::F64, &[]).as_slice::<f64>().unwrap().is_empty());
    }

    #[test]
    fn bools_other_than_0_and_1_are_not_shown_as_bools() {
        assert_eq!(
            tensor(Dtype::Bool, &[0, 1, 1]).as_bools().unwrap(),
            Some(&[false, true, true][..])
        );
        assert_eq!(tensor(Dtype::Bool, &[0, 2]).as_bools().unwrap(), None);
        assert_eq!(tensor(Dtype::Bool, &[0, 2]).as_slice::<u8>().unwrap(), [0, 2]);
        assert!(tensor(Dtype::U8, &[1]).as_bools().is_err());
    }
}
