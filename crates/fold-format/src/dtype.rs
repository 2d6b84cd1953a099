//! Element types, shapes, and the bytes a tensor must have.
//!
//! Only what the container needs to know: sizes, names and which Rust type may view which dtype. What a tensor
//! means is not decided here.

use std::fmt;

use crate::layout::MAX_RANK;

macro_rules! dtypes {
    ($($variant:ident $byte:literal $name:literal $size:literal;)+) => {
        /// The type of a tensor's elements, little-endian in the file.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Dtype {
            $(#[doc = concat!("`", $name, "`, ", stringify!($size), " bytes, number ", stringify!($byte), " in a record.")] $variant,)+
        }

        impl Dtype {
            /// Every dtype, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The number that a tensor record holds.
            #[must_use]
            pub const fn to_byte(self) -> u8 {
                match self { $(Self::$variant => $byte,)+ }
            }

            /// The dtype with this number, if there is one.
            #[must_use]
            pub const fn from_byte(byte: u8) -> Option<Self> {
                match byte { $($byte => Some(Self::$variant),)+ _ => None }
            }

            /// The name that reports and the command line use, for example `bf16`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// Bytes of one element: 1, 2, 4 or 8.
            #[must_use]
            pub const fn size_bytes(self) -> u64 {
                match self { $(Self::$variant => $size,)+ }
            }
        }
    };
}

dtypes! {
    Bool 1 "bool" 1;
    U8 2 "u8" 1;
    I8 3 "i8" 1;
    U16 4 "u16" 2;
    I16 5 "i16" 2;
    U32 6 "u32" 4;
    I32 7 "i32" 4;
    U64 8 "u64" 8;
    I64 9 "i64" 8;
    F16 10 "f16" 2;
    Bf16 11 "bf16" 2;
    F32 12 "f32" 4;
    F64 13 "f64" 8;
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

mod sealed {
    pub trait Sealed {}
}

/// A Rust type that can view a tensor's elements without a copy. Sealed.
///
/// `u8` also views `bool` (a writer keeps the bytes that it is given, which should each be 0 or 1; see `as_bools` for the checked view) and
/// `u16` also views `f16` and `bf16`, whose bits Rust has no stable type for.
pub trait Element: bytemuck::Pod + sealed::Sealed {
    /// The dtype that a tensor made from a slice of this type gets.
    const DTYPE: Dtype;

    /// Whether a tensor of `dtype` may be viewed as a slice of this type.
    #[must_use]
    fn views(dtype: Dtype) -> bool {
        dtype == Self::DTYPE
    }
}

macro_rules! elements {
    ($($rust:ty => $dtype:ident;)+) => {
        $(impl sealed::Sealed for $rust {}
        impl Element for $rust {
            const DTYPE: Dtype = Dtype::$dtype;
        })+
    };
}

elements! {
    i8 => I8;
    i16 => I16;
    u32 => U32;
    i32 => I32;
    u64 => U64;
    i64 => I64;
    f32 => F32;
    f64 => F64;
}

impl sealed::Sealed for u8 {}
impl Element for u8 {
    const DTYPE: Dtype = Dtype::U8;

    fn views(dtype: Dtype) -> bool {
        matches!(dtype, Dtype::U8 | Dtype::Bool)
    }
}

impl sealed::Sealed for u16 {}
impl Element for u16 {
    const DTYPE: Dtype = Dtype::U16;

    fn views(dtype: Dtype) -> bool {
        matches!(dtype, Dtype::U16 | Dtype::F16 | Dtype::Bf16)
    }
}

/// The extents of a tensor: rank 0 (a scalar, one element) to 8; an extent may be zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    extents: [u64; MAX_RANK],
    rank: u8,
}

impl Shape {
    /// The shape with these extents, slowest first; `None` when there are more than eight.
    #[must_use]
    pub fn new(extents: &[u64]) -> Option<Self> {
        let mut own = [0; MAX_RANK];
        own.get_mut(..extents.len())?.copy_from_slice(extents);
        Some(Self {
            extents: own,
            rank: u8::try_from(extents.len()).ok()?,
        })
    }

    /// The extents, slowest first.
    #[must_use]
    pub fn extents(&self) -> &[u64] {
        self.extents.get(..usize::from(self.rank)).unwrap_or(&[])
    }

    /// Elements that a tensor of this shape has: 1 for a scalar. `None` as for [`Shape::byte_len`].
    #[must_use]
    pub fn element_count(&self) -> Option<u64> {
        self.times(1)
    }

    /// Bytes that a tensor of this shape has; `None` when the product overflows 64 bits, even where an extent is zero.
    #[must_use]
    pub fn byte_len(&self, dtype: Dtype) -> Option<u64> {
        self.times(dtype.size_bytes())
    }

    /// The product of the extents and `size`.
    fn times(&self, size: u64) -> Option<u64> {
        // Zero is multiplied in last: 0 x huge x huge is refused, so that no later arithmetic can overflow on it.
        let mut product = size;
        let mut empty = false;
        for &extent in self.extents() {
            if extent == 0 {
                empty = true;
            } else {
                product = product.checked_mul(extent)?;
            }
        }
        Some(if empty { 0 } else { product })
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.extents().fmt(f)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (position, extent) in self.extents().iter().enumerate() {
            if position > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{extent}")?;
        }
        f.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_go_round() {
        for (position, &dtype) in Dtype::ALL.iter().enumerate() {
            assert_eq!(usize::from(dtype.to_byte()), position + 1);
            assert_eq!(Dtype::from_byte(dtype.to_byte()), Some(dtype));
            assert!(dtype.size_bytes().is_power_of_two() && dtype.size_bytes() <= 8);
        }
        assert_eq!(Dtype::from_byte(0), None);
        assert_eq!(Dtype::from_byte(14), None);
    }

    #[test]
    fn byte_len_counts_scalars_empties_and_overflow() {
        let len = |extents: &[u64], dtype| Shape::new(extents).unwrap().byte_len(dtype);
        assert_eq!(len(&[], Dtype::F64), Some(8));
        assert_eq!(len(&[3, 5], Dtype::F16), Some(30));
        assert_eq!(len(&[3, 0, 5], Dtype::F32), Some(0));
        assert_eq!(len(&[u64::MAX], Dtype::U8), Some(u64::MAX));
        assert_eq!(len(&[u64::MAX], Dtype::U16), None);
        assert_eq!(len(&[0, u64::MAX, 2], Dtype::U8), None);
        let count = |extents: &[u64]| Shape::new(extents).unwrap().element_count();
        assert_eq!([&[][..], &[3, 5], &[3, 0, 5]].map(count), [Some(1), Some(15), Some(0)]);
        assert_eq!([&[1 << 32, 1 << 31, 2][..], &[0, u64::MAX, 2]].map(count), [None, None]);
        assert_eq!(Shape::new(&[1; 8]).unwrap().extents(), [1; 8]);
        assert!(Shape::new(&[1; 9]).is_none());
    }
}
