//! Shuffled numbers: all their first bytes, then all their second ones, and so on.
//!
//! What is left of the last number stays behind. The loops become vector instructions, the widest that the processor
//! is found to have.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use pulp::{Arch, NullaryFnOnce};

/// Writes the shuffled bytes of `from`, numbers of `width` bytes, to `to`, which is as long.
///
/// Numbers of a width other than 2, 4 and 8 stay as they are.
pub(crate) fn shuffle(from: &[u8], to: &mut [u8], width: usize) {
    match width {
        2 => shuffle_2(from, to),
        4 => shuffle_4(from, to),
        8 => shuffle_8(from, to),
        _ => to.copy_from_slice(from),
    }
}

/// The reverse of [`shuffle`].
pub(crate) fn unshuffle(from: &[u8], to: &mut [u8], width: usize) {
    match width {
        2 => unshuffle_2(from, to),
        4 => unshuffle_4(from, to),
        8 => unshuffle_8(from, to),
        _ => to.copy_from_slice(from),
    }
}

/// The planes side by side: an iterator, and the pattern of its items.
macro_rules! side_by_side {
    ($plane:ident) => { $plane.iter() };
    ($plane:ident $($more:ident)+) => { $plane.iter().zip(side_by_side!($($more)+)) };
}
macro_rules! item {
    ($byte:ident) => { &$byte };
    ($byte:ident $($more:ident)+) => { (&$byte, item!($($more)+)) };
}

/// `shuffle` and `unshuffle` of numbers of one width, a plane for each byte.
macro_rules! shuffle_of {
    ($number:ty, $shuffle:ident, $unshuffle:ident, $($plane:ident)+) => {
        fn $shuffle(from: &[u8], to: &mut [u8]) {
            struct Shuffle<'a>(&'a [u8], &'a mut [u8]);

            impl NullaryFnOnce for Shuffle<'_> {
                type Output = ();

                #[inline(always)]
                fn call(self) {
                    let Self(from, to) = self;
                    let (numbers, rest) = from.as_chunks::<{ size_of::<$number>() }>();
                    let (planes, tail) = to
                        .split_at_mut_checked(from.len().saturating_sub(rest.len()))
                        .unwrap_or_default();
                    tail.copy_from_slice(rest);
                    let planes = planes.chunks_exact_mut(numbers.len().max(1));
                    for (shift, plane) in (0_u32..).step_by(8).zip(planes) {
                        for (slot, number) in plane.iter_mut().zip(numbers) {
                            [*slot, ..] = <$number>::from_le_bytes(*number).wrapping_shr(shift).to_le_bytes();
                        }
                    }
                }
            }

            Arch::new().dispatch(Shuffle(from, to));
        }

        fn $unshuffle(from: &[u8], to: &mut [u8]) {
            struct Unshuffle<'a>(&'a [u8], &'a mut [u8]);

            impl NullaryFnOnce for Unshuffle<'_> {
                type Output = ();

                #[inline(always)]
                fn call(self) {
                    let Self(from, to) = self;
                    let (numbers, tail) = to.as_chunks_mut::<{ size_of::<$number>() }>();
                    let (planes, rest) = from
                        .split_at_checked(from.len().saturating_sub(tail.len()))
                        .unwrap_or_default();
                    tail.copy_from_slice(rest);
                    let mut planes = planes.chunks_exact(numbers.len().max(1));
                    $(let $plane = planes.next().unwrap_or(&[]);)+
                    for (number, item!($($plane)+)) in numbers.iter_mut().zip(side_by_side!($($plane)+)) {
                        let bytes = [$(<$number>::from($plane)),+].into_iter().rev();
                        let joined = bytes.fold(0, |joined: $number, byte| joined.wrapping_shl(8) | byte);
                        *number = joined.to_le_bytes();
                    }
                }
            }

            Arch::new().dispatch(Unshuffle(from, to));
        }
    };
}

shuffle_of!(u16, shuffle_2, unshuffle_2, a b);
shuffle_of!(u32, shuffle_4, unshuffle_4, a b c d);
shuffle_of!(u64, shuffle_8, unshuffle_8, a b c d e f g h);

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "tests may panic"
)]
mod tests {
    use quickcheck::quickcheck;

    use super::{shuffle, unshuffle};

    /// Byte `b` of number `n` is at `b * numbers + n`.
    fn expected(from: &[u8], width: usize) -> Vec<u8> {
        let whole = from.len() / width * width;
        let mut to = (0..width)
            .flat_map(|byte| from[..whole].chunks(width).map(move |number| number[byte]))
            .collect::<Vec<_>>();
        to.extend_from_slice(&from[whole..]);
        to
    }

    quickcheck! {
        fn bytes_go_where_the_format_says_and_back(from: Vec<u8>, times: u8) -> bool {
            let from = from.repeat(usize::from(times % 8));
            [1, 2, 4, 8].into_iter().all(|width| {
                let (mut shuffled, mut back) = (vec![0xee; from.len()], vec![0xee; from.len()]);
                shuffle(&from, &mut shuffled, width);
                unshuffle(&shuffled, &mut back, width);
                shuffled == expected(&from, width) && back == from
            })
        }
    }

    #[test]
    fn a_part_of_a_number_stays_behind() {
        let mut shuffled = [0; 10];
        shuffle(&[1, 2, 3, 4, 11, 12, 13, 14, 99, 98], &mut shuffled, 4);
        assert_eq!(shuffled, [1, 11, 2, 12, 3, 13, 4, 14, 99, 98]);
    }
}
