//! Reed-Solomon over GF(2^8) as version 1 files use it: bytes, shortened blocks, errors and erasures.
//!
//! Field polynomial 0x11D, generator element 2, first root 2^0, systematic, parity behind the data, the first data byte
//! the highest power. A block corrects e errors and v erasures while 2 e + v <= n, n being its parity bytes. Reed, Solomon
//! 1960, doi:10.1137/0108018; decoding by Berlekamp-Massey and Forney, after Blahut, "Algebraic Codes for Data
//! Transmission", 2003, chapter 7.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

/// The largest block, parity included.
pub(crate) const MAX_BLOCK: usize = 255;

/// Blocks that are divided at once: the steps of one block wait for each other, those of several do not.
const LANES: usize = 4;

/// Bytes of a word of a register.
const WORD_LEN: usize = 16;

/// Powers of 2 and their logarithms; the powers twice over, so that a sum of two logarithms needs no remainder.
struct Field {
    exp: [u8; 512],
    log: [u8; 256],
}

#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "evaluated by the compiler: what is out of bounds does not build"
)]
const FIELD: Field = {
    let mut field = Field {
        exp: [0; 512],
        log: [0; 256],
    };
    let mut power: u16 = 1;
    let mut at = 0;
    while at < 255 {
        field.exp[at] = power as u8;
        field.exp[at + 255] = power as u8;
        field.log[power as usize] = at as u8;
        power <<= 1;
        if power & 0x100 != 0 {
            power ^= 0x11D;
        }
        at += 1;
    }
    field
};

fn log(value: u8) -> usize {
    usize::from(FIELD.log.get(usize::from(value)).copied().unwrap_or(0))
}

/// 2 to the power `exponent`, which is below 510.
fn exp(exponent: usize) -> u8 {
    FIELD.exp.get(exponent).copied().unwrap_or(0)
}

fn mul(a: u8, b: u8) -> u8 {
    match (a, b) {
        (0, _) | (_, 0) => 0,
        _ => exp(log(a).saturating_add(log(b))),
    }
}

fn div(a: u8, b: u8) -> u8 {
    match a {
        0 => 0,
        _ => exp(log(a).saturating_add(255).saturating_sub(log(b))),
    }
}

/// The value of a polynomial, lowest power first, at `x`.
fn eval(polynomial: &[u8], x: u8) -> u8 {
    polynomial
        .iter()
        .rev()
        .fold(0, |sum, &coefficient| mul(sum, x) ^ coefficient)
}

fn multiply(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut product = vec![0; a.len().saturating_add(b.len()).saturating_sub(1)];
    for (shift, &x) in a.iter().enumerate() {
        for (slot, &y) in product.iter_mut().skip(shift).zip(b) {
            *slot ^= mul(x, y);
        }
    }
    product
}

/// A code with `n` parity bytes, 1 to 254.
pub(crate) struct Code {
    parity_len: usize,
    /// Words of a register that holds a remainder: 1, 2, 4 or 16.
    words: usize,
    /// For each byte, its multiple of the generator polynomial without the leading 1, as a register: the highest power
    /// first, zeros behind.
    multiples: Vec<u128>,
}

impl Code {
    /// None unless 1 <= n <= 254.
    pub(crate) fn new(parity_len: usize) -> Option<Self> {
        if !(1..=254).contains(&parity_len) {
            return None;
        }
        // Lowest power first: the product of (x - 2^i).
        let generator = (0..parity_len).fold(vec![1], |product, root| multiply(&product, &[exp(root), 1]));
        let tail: Vec<u8> = generator.iter().rev().skip(1).copied().collect();
        let words = match parity_len.div_ceil(WORD_LEN) {
            1 => 1,
            2 => 2,
            3 | 4 => 4,
            _ => 16,
        };
        let multiples = (0..=u8::MAX).flat_map(|factor| {
            let mut bytes: Vec<u8> = tail.iter().map(|&coefficient| mul(coefficient, factor)).collect();
            bytes.resize(WORD_LEN.saturating_mul(words), 0);
            let (words, _) = bytes.as_chunks::<WORD_LEN>();
            words.iter().map(|&word| u128::from_be_bytes(word)).collect::<Vec<_>>()
        });
        Some(Self {
            parity_len,
            words,
            multiples: multiples.collect(),
        })
    }

    /// Parity bytes of a block.
    pub(crate) const fn parity_len(&self) -> usize {
        self.parity_len
    }

    /// Data bytes of a whole block.
    pub(crate) const fn data_len(&self) -> usize {
        MAX_BLOCK.saturating_sub(self.parity_len)
    }

    /// Parity bytes of data of this length.
    pub(crate) fn total_parity(&self, data_len: u64) -> u64 {
        let blocks = data_len.div_ceil(crate::wire::len_u64(self.data_len()).max(1));
        blocks.saturating_mul(crate::wire::len_u64(self.parity_len))
    }

    /// The parity of blocks one behind the other, the last of which may be short: each one's remainder of data x^n by the
    /// generator.
    pub(crate) fn parity(&self, data: &[u8]) -> Vec<u8> {
        match self.words {
            1 => self.remainders::<1>(data),
            2 => self.remainders::<2>(data),
            4 => self.remainders::<4>(data),
            _ => self.remainders::<16>(data),
        }
    }

    fn remainders<const W: usize>(&self, data: &[u8]) -> Vec<u8> {
        let blocks = data.len().div_ceil(self.data_len());
        let mut out = Vec::with_capacity(blocks.saturating_mul(self.parity_len));
        let mut groups = data.chunks_exact(self.data_len().saturating_mul(LANES));
        for group in &mut groups {
            let mut blocks = [&[][..]; LANES];
            for (lane, block) in blocks.iter_mut().zip(group.chunks_exact(self.data_len())) {
                *lane = block;
            }
            self.divide::<W, LANES>(blocks, &mut out);
        }
        for block in groups.remainder().chunks(self.data_len()) {
            self.divide::<W, 1>([block], &mut out);
        }
        out
    }

    /// Appends the remainders of blocks of one length, of which a register has W words.
    fn divide<const W: usize, const L: usize>(&self, blocks: [&[u8]; L], out: &mut Vec<u8>) {
        let (multiples, _) = self.multiples.as_chunks::<W>();
        let zeros = [0; W];
        let mut registers = [[0_u128; W]; L];
        let len = blocks.first().map_or(0, |block| block.len());
        for at in 0..len {
            for (register, block) in registers.iter_mut().zip(&blocks) {
                let [highest, ..] = register.first().copied().unwrap_or(0).to_be_bytes();
                let factor = usize::from(highest ^ block.get(at).copied().unwrap_or(0));
                let multiple = multiples.get(factor).unwrap_or(&zeros);
                let word = |words: &[u128; W], at: usize| words.get(at).copied().unwrap_or(0);
                *register = std::array::from_fn(|at| {
                    let below = word(register, at.saturating_add(1)) >> 120;
                    (word(register, at) << 8 | below) ^ word(multiple, at)
                });
            }
        }
        for register in registers {
            let bytes = register.map(u128::to_be_bytes);
            out.extend_from_slice(bytes.as_flattened().get(..self.parity_len).unwrap_or_default());
        }
    }

    /// The block's values at the generator's roots: all zero where it is a code word.
    fn syndromes(&self, block: &[u8]) -> Vec<u8> {
        let at = |root| block.iter().fold(0, |sum, &byte| mul(sum, exp(root)) ^ byte);
        (0..self.parity_len).map(at).collect()
    }

    /// Corrects a block, data then parity, in place. Says how many bytes it changed; none where it cannot, the block then
    /// being as it was. Beyond the code's reach a wrong correction is possible: the caller checks a digest.
    ///
    /// - `erasures`: positions in the block that are known to be lost.
    pub(crate) fn correct(&self, block: &mut [u8], erasures: &[usize]) -> Option<usize> {
        if block.len() > MAX_BLOCK || block.len() < self.parity_len || erasures.len() > self.parity_len {
            return None;
        }
        let syndromes = self.syndromes(block);
        if syndromes.iter().all(|&syndrome| syndrome == 0) {
            return Some(0);
        }
        let last = block.len().checked_sub(1)?;
        // A position's locator is 2 to the power of its distance from the end.
        let known = erasures
            .iter()
            .map(|&at| last.checked_sub(at).map(exp))
            .collect::<Option<Vec<u8>>>()?;
        let locator = self.locator(&syndromes, &known)?;
        let degree = locator.len().checked_sub(1)?;
        let positions: Vec<usize> = (0..block.len())
            .filter(|&at| {
                let power = last.saturating_sub(at);
                // The root is the locator's inverse.
                eval(&locator, exp(255_usize.saturating_sub(power) % 255)) == 0
            })
            .collect();
        if positions.len() != degree {
            return None;
        }
        // Evaluator: syndromes times locator, below x^n; derivative: the odd powers, each one lower.
        let mut evaluator = multiply(&syndromes, &locator);
        evaluator.truncate(self.parity_len);
        let odd = locator
            .iter()
            .enumerate()
            .skip(1)
            .map(|(power, &coefficient)| if power % 2 == 1 { coefficient } else { 0 });
        let derivative: Vec<u8> = odd.collect();
        let mut corrected = block.to_vec();
        let mut changed: usize = 0;
        for &at in &positions {
            let x = exp(last.saturating_sub(at));
            let inverse = div(1, x);
            let slope = eval(&derivative, inverse);
            if slope == 0 {
                return None;
            }
            // The first root is 2^0: one factor of the locator stays in front.
            let magnitude = mul(x, div(eval(&evaluator, inverse), slope));
            *corrected.get_mut(at)? ^= magnitude;
            changed = changed.saturating_add(usize::from(magnitude != 0));
        }
        if self.syndromes(&corrected).iter().any(|&syndrome| syndrome != 0) {
            return None;
        }
        block.copy_from_slice(&corrected);
        Some(changed)
    }

    /// The polynomial whose roots are the inverses of the locators of all errors and erasures, lowest power first.
    fn locator(&self, syndromes: &[u8], known: &[u8]) -> Option<Vec<u8>> {
        let erasures = known
            .iter()
            .fold(vec![1], |product, &locator| multiply(&product, &[1, locator]));
        let (mut locator, mut previous) = (erasures.clone(), erasures);
        let mut order = known.len();
        let mut gap: usize = 1;
        let mut scale: u8 = 1;
        for step in known.len()..self.parity_len {
            let discrepancy = locator.iter().enumerate().fold(0, |sum, (power, &coefficient)| {
                let syndrome = step
                    .checked_sub(power)
                    .and_then(|at| syndromes.get(at))
                    .copied()
                    .unwrap_or(0);
                sum ^ mul(coefficient, syndrome)
            });
            if discrepancy == 0 {
                gap = gap.saturating_add(1);
                continue;
            }
            let factor = div(discrepancy, scale);
            let mut shifted = vec![0; gap];
            shifted.extend(previous.iter().map(|&coefficient| mul(coefficient, factor)));
            let before = locator.clone();
            if locator.len() < shifted.len() {
                locator.resize(shifted.len(), 0);
            }
            for (slot, &term) in locator.iter_mut().zip(&shifted) {
                *slot ^= term;
            }
            if order.saturating_mul(2) <= step.saturating_add(known.len()) {
                order = step.saturating_add(1).saturating_add(known.len()).saturating_sub(order);
                previous = before;
                scale = discrepancy;
                gap = 1;
            } else {
                gap = gap.saturating_add(1);
            }
        }
        while locator.last() == Some(&0) {
            locator.pop();
        }
        let errors = locator.len().checked_sub(1)?.checked_sub(known.len())?;
        (errors.saturating_mul(2).saturating_add(known.len()) <= self.parity_len).then_some(locator)
    }
}

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests may panic"
)]
mod tests {
    use super::super::digest::hex;
    use super::*;

    #[test]
    fn check_values_of_the_specification() {
        assert_eq!(
            hex(&Code::new(10).unwrap().parity(b"hello world")),
            "ed2554c4fdfd89f3a8aa"
        );
        let ten: Vec<u8> = (0..10).collect();
        assert_eq!(
            hex(&Code::new(16).unwrap().parity(&ten)),
            "b1ac7295e1b575060a8d1389103048a9"
        );
        let four = Code::new(4).unwrap();
        assert_eq!(four.multiples[1].to_be_bytes()[..5], [15, 54, 120, 64, 0]);
        assert!(Code::new(0).is_none() && Code::new(255).is_none());
    }

    #[test]
    fn blocks_together_have_the_parity_of_each() {
        for n in [1, 15, 16, 17, 33, 64, 65, 254] {
            let code = Code::new(n).unwrap();
            let len = code.data_len();
            let data: Vec<u8> = (0..len * 9 + len.min(2) - 1)
                .map(|at| (at * 37 + at / 251) as u8)
                .collect();
            let each: Vec<u8> = data.chunks(len).flat_map(|block| code.parity(block)).collect();
            assert_eq!(code.parity(&data), each, "n {n}");
        }
    }

    #[test]
    fn parity_is_the_remainder_of_a_plain_division() {
        fn property(data: Vec<u8>, n: u8) -> bool {
            let n = usize::from(n % 40) + 1;
            let code = Code::new(n).unwrap();
            let data = &data[..data.len().min(code.data_len())];
            let block = [data, &code.parity(data)].concat();
            // A code word has the generator's roots.
            code.syndromes(&block).iter().all(|&syndrome| syndrome == 0)
        }
        quickcheck::quickcheck(property as fn(Vec<u8>, u8) -> bool);
    }

    /// Any errors and erasures within the reach come back, one more never gets a silent wrong answer that is a code word
    /// at less distance.
    #[test]
    fn errors_and_erasures_up_to_the_bound_are_corrected() {
        let mut seed = 0x9E37_79B9_u64;
        let mut random = |below: usize| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below
        };
        for n in [1, 2, 3, 10, 16, 32, 33, 64, 128, 254] {
            let code = Code::new(n).unwrap();
            for data_len in [1, 2, 50, code.data_len()].map(|len| len.min(code.data_len())) {
                let data: Vec<u8> = (0..data_len).map(|_| random(256) as u8).collect();
                let whole = [&data[..], &code.parity(&data)].concat();
                for erased in [0, 1, n / 3, n] {
                    let erased = erased.min(whole.len());
                    let errors = ((n - erased) / 2).min(whole.len() - erased);
                    let mut places: Vec<usize> = (0..whole.len()).collect();
                    for at in 0..erased + errors {
                        let other = at + random(places.len() - at);
                        places.swap(at, other);
                    }
                    let mut block = whole.clone();
                    for &at in &places[..erased + errors] {
                        block[at] ^= random(255) as u8 + 1;
                    }
                    let corrected = code.correct(&mut block, &places[..erased]);
                    assert_eq!(
                        corrected,
                        Some(erased + errors),
                        "n {n} data {data_len} erased {erased} errors {errors}"
                    );
                    assert_eq!(block, whole);
                }
            }
        }
    }

    #[test]
    fn beyond_the_bound_the_block_is_left_alone() {
        let code = Code::new(16).unwrap();
        let data = [0x55; 200];
        let mut block = [&data[..], &code.parity(&data)].concat();
        for at in 0..60 {
            block[at * 3] ^= at as u8 + 1;
        }
        let before = block.clone();
        assert_eq!(code.correct(&mut block, &[]), None);
        assert_eq!(block, before);
    }
}
