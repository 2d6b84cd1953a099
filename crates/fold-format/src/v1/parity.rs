//! A chunk's parity: which of two layouts it has, whether it is whole, and what it restores.
//!
//! *Blocks*: the parity of each block in its order. *Tail copy*: what PyFolds 1.0.2 stores for chunks of several blocks,
//! the end of the stream data, parity, data, parity, ...: parity of the last blocks and copies of their data.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use rayon::prelude::*;

use super::rs::Code;

/// `rs(n)` as the index writes it; the number of parity bytes. `Some(None)` for `none`, none where it is neither.
pub(crate) fn parse_algorithm(text: &str) -> Option<Option<usize>> {
    if text == "none" {
        return Some(None);
    }
    let digits = text.strip_prefix("rs(")?.strip_suffix(')')?;
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || digits.starts_with('0') {
        return None;
    }
    let parity_len: usize = digits.parse().ok()?;
    (1..=254).contains(&parity_len).then_some(Some(parity_len))
}

/// Blocks that one thread takes at a time.
const RUN_BLOCKS: usize = 64;

/// The parity area of data, in blocks.
pub(crate) fn encode(code: &Code, data: &[u8]) -> Vec<u8> {
    let runs: Vec<Vec<u8>> = data
        .par_chunks(code.data_len().saturating_mul(RUN_BLOCKS))
        .map(|run| code.parity(run))
        .collect();
    runs.concat()
}

/// The stream of which the tail copy is the end: each block's data, then its parity.
fn stream(code: &Code, data: &[u8]) -> Vec<u8> {
    let blocks: Vec<Vec<u8>> = data
        .par_chunks(code.data_len())
        .map(|block| [block, &code.parity(block)].concat())
        .collect();
    blocks.concat()
}

/// Whether `parity` is that of `data`, whole blocks of which the last one may be short, in blocks.
pub(crate) fn is_of_blocks(code: &Code, data: &[u8], parity: &[u8]) -> bool {
    let data = data.par_chunks(code.data_len().saturating_mul(RUN_BLOCKS));
    let parity = parity.par_chunks(code.parity_len().saturating_mul(RUN_BLOCKS));
    data.len() == parity.len() && data.zip(parity).all(|(data, parity)| code.parity(data) == parity)
}

/// Whether `parity` is the tail copy of `data`.
pub(crate) fn is_tail_copy(code: &Code, data: &[u8], parity: &[u8]) -> bool {
    let expected = code.total_parity(crate::wire::len_u64(data.len()));
    crate::wire::len_u64(parity.len()) == expected && stream(code, data).ends_with(parity)
}

/// Whether `parity` is that of `data`, which is known to be whole, in one of the two layouts.
pub(crate) fn is_whole(code: &Code, data: &[u8], parity: &[u8]) -> bool {
    is_of_blocks(code, data, parity) || is_tail_copy(code, data, parity)
}

/// The parity of whole data, in the layout that `damaged` looks more like.
pub(crate) fn rewrite(code: &Code, data: &[u8], damaged: &[u8]) -> Vec<u8> {
    let blocks = encode(code, data);
    let stream = stream(code, data);
    let start = stream.len().saturating_sub(damaged.len());
    let tail = stream.get(start..).unwrap_or_default();
    let alike = |layout: &[u8]| layout.iter().zip(damaged).filter(|(a, b)| a == b).count();
    match alike(tail) > alike(&blocks) {
        true => tail.to_vec(),
        false => blocks,
    }
}

/// Restores `data` from `parity`, in whichever layout `is_right` accepts the result. None where neither does.
pub(crate) fn restore(code: &Code, data: &[u8], parity: &[u8], is_right: &dyn Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    let expected = code.total_parity(crate::wire::len_u64(data.len()));
    if data.is_empty() || crate::wire::len_u64(parity.len()) != expected {
        return None;
    }
    [restore_blocks, restore_tail]
        .into_iter()
        .filter_map(|restore| restore(code, data, parity))
        .find(|restored| is_right(restored))
}

fn restore_blocks(code: &Code, data: &[u8], parity: &[u8]) -> Option<Vec<u8>> {
    let blocks = data
        .par_chunks(code.data_len())
        .zip(parity.par_chunks(code.parity_len()));
    let restored = blocks.map(|(block, parity)| {
        let mut whole = [block, parity].concat();
        code.correct(&mut whole, &[])?;
        whole.truncate(block.len());
        Some(whole)
    });
    Some(restored.collect::<Option<Vec<_>>>()?.concat())
}

/// Blocks whose parity the copy holds, whole or in part, are decoded; those before have no redundancy and stay.
fn restore_tail(code: &Code, data: &[u8], parity: &[u8]) -> Option<Vec<u8>> {
    let stream_len = data.len().checked_add(parity.len())?;
    let start = stream_len.checked_sub(parity.len())?;
    // The byte of the stream at a position, where the copy has it.
    let copied = |position: usize| parity.get(position.checked_sub(start)?).copied();
    let mut restored = Vec::with_capacity(data.len());
    let mut position: usize = 0;
    for block in data.chunks(code.data_len()) {
        let parity_at = position.checked_add(block.len())?;
        let end = parity_at.checked_add(code.parity_len())?;
        let own: Vec<Option<u8>> = (parity_at..end).map(copied).collect();
        if own.iter().all(Option::is_none) {
            restored.extend_from_slice(block);
        } else {
            // The data as stored first, then as copied: the copy may be the whole one.
            let second: Vec<u8> = (position..)
                .zip(block)
                .map(|(at, &byte)| copied(at).unwrap_or(byte))
                .collect();
            let missing: Vec<usize> = (0..own.len())
                .filter(|&at| own.get(at).copied().flatten().is_none())
                .map(|at| block.len().saturating_add(at))
                .collect();
            let decoded = [block, &second].into_iter().find_map(|data| {
                let mut whole = data.to_vec();
                whole.extend(own.iter().map(|byte| byte.unwrap_or(0)));
                code.correct(&mut whole, &missing)?;
                whole.truncate(block.len());
                Some(whole)
            });
            restored.extend_from_slice(&decoded?);
        }
        position = end;
    }
    Some(restored)
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

    #[test]
    fn algorithms_by_their_text() {
        assert_eq!(parse_algorithm("none"), Some(None));
        assert_eq!(parse_algorithm("rs(16)"), Some(Some(16)));
        assert_eq!(parse_algorithm("rs(254)"), Some(Some(254)));
        for text in [
            "", "rs(16", "rs(0)", "rs(255)", "rs(300)", "xor", "rs(+1)", "rs(01)", "rs()", "RS(16)",
        ] {
            assert_eq!(parse_algorithm(text), None, "{text}");
        }
    }

    fn data(len: usize) -> Vec<u8> {
        (0..len).map(|at| (at * 7 + at / 255) as u8).collect()
    }

    #[test]
    fn both_layouts_are_recognised_and_a_damaged_one_is_not() {
        let code = Code::new(16).unwrap();
        for len in [1, 238, 239, 240, 1000] {
            let data = data(len);
            let blocks = encode(&code, &data);
            assert!(is_of_blocks(&code, &data, &blocks));
            let stream = stream(&code, &data);
            let tail = &stream[stream.len() - blocks.len()..];
            assert!(is_tail_copy(&code, &data, tail));
            let mut damaged = blocks.clone();
            damaged[0] ^= 1;
            assert!(!is_whole(&code, &data, &damaged));
            assert!(!is_whole(&code, &data, &blocks[1..]));
            assert!(!is_whole(&code, &data, &[&blocks[..], &[0]].concat()));
            assert!(!is_whole(&code, &data, &[]));
        }
    }

    #[test]
    fn block_parity_restores_every_block() {
        let code = Code::new(16).unwrap();
        let whole = data(1000);
        let parity = encode(&code, &whole);
        let mut damaged = whole.clone();
        for block in damaged.chunks_mut(code.data_len()) {
            for byte in block.iter_mut().take(8) {
                *byte ^= 0xA5;
            }
        }
        assert_eq!(
            restore(&code, &damaged, &parity, &|bytes| bytes == whole).unwrap(),
            whole
        );
        damaged[20] ^= 1;
        assert_eq!(restore(&code, &damaged, &parity, &|bytes| bytes == whole), None);
    }

    #[test]
    fn the_tail_copy_restores_the_last_blocks_alone() {
        let code = Code::new(64).unwrap();
        let whole = data(900);
        let stream = stream(&code, &whole);
        let tail = &stream[whole.len()..];
        let mut damaged = whole.clone();
        for byte in damaged.iter_mut().rev().take(30) {
            *byte ^= 0xFF;
        }
        assert_eq!(restore(&code, &damaged, tail, &|bytes| bytes == whole).unwrap(), whole);
        damaged[0] ^= 1;
        assert_eq!(restore(&code, &damaged, tail, &|bytes| bytes == whole), None);
    }
}
