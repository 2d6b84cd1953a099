//! Reed-Solomon parity over blocks: any lost blocks of a group come back, up to as many as it has parity blocks.
//!
//! The code is maximum distance separable over GF(2^16). Its symbols are 16-bit columns of blocks, and a column never
//! meets another one; encoder and decoder therefore work on tiles, a few columns of every block of a group, and hold no
//! group in memory. Which blocks are lost is for the caller to know, from their digests: parity restores, it does not
//! notice.
//!
//! Nothing here knows where a block lies in a file, nor its digest: bytes come from a reader and go to a writer.
//!
//! The code, for those who write another implementation: in a group of n data and r parity blocks, let m be r rounded up
//! to a power of two. Symbols are numbers of 16 bits that stand for elements of GF(2)\[x\]/(x^16 + x^5 + x^3 + x^2 + 1) in
//! the Cantor basis: bit b of a number adds the b-th element below. The data block at position i is the value of a
//! polynomial at the element m + i, the parity block at position j its value at the element j; numbers are subtracted by
//! exclusive or, and multiplied as elements:
//!
//! ```text
//! basis = 0001 ACCA 3C0E 163E C582 ED2E 914C 4012 6C98 10D8 6A72 B900 FDB8 FB34 FF38 991E
//! parity[j] = sum over i of data[i] * L_j(m + i),   L_j(x) = product over k < m, k != j of (x - k) / (j - k)
//! ```
//!
//! In every 64 bytes of a block, column k of 32 has its low byte at k and its high byte at 32 + k.
//!
//! # Source
//! Lin, Chung, Han 2014, "Novel Polynomial Basis and Its Application to Reed-Solomon Erasure Codes" (FOCS), for the
//! transforms, which the crate `reed-solomon-simd` implements.

mod codec;
mod grouping;
mod losses;
#[cfg(test)]
mod tests;

pub use codec::{ENCODE_MEMORY_BYTES, Fault, RESTORE_MEMORY_BYTES, encode, restore};
pub use grouping::{Grouping, Level, MAX_GROUP_DATA, MAX_GROUP_PARITY, MIN_GROUP_PARITY, Unsuited};
pub use losses::{Block, Losses, Shortage};
