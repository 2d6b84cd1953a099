//! Section 6: Reed-Solomon over GF(2^16) by its definition, a matrix and its inverse. No transform, no tables of the
//! crate that the first reader uses.

use std::sync::OnceLock;

/// x^16 + x^5 + x^3 + x^2 + 1.
const POLYNOMIAL: u32 = 0x1_002d;

/// The elements that the bits of a symbol stand for: each but the first is a root of y^2 + y + the one before.
const BASIS: [u16; 16] = [
    0x0001, 0xacca, 0x3c0e, 0x163e, 0xc582, 0xed2e, 0x914c, 0x4012, 0x6c98, 0x10d8, 0x6a72, 0xb900, 0xfdb8, 0xfb34,
    0xff38, 0x991e,
];

/// Powers of x, logarithms, and both ways between symbols and elements.
struct Field {
    exp: Vec<u16>,
    log: Vec<u16>,
    element: Vec<u16>,
    symbol: Vec<u16>,
}

fn field() -> &'static Field {
    static FIELD: OnceLock<Field> = OnceLock::new();
    FIELD.get_or_init(|| {
        let (mut exp, mut log) = (Vec::new(), vec![0; 65_536]);
        let mut power = 1_u32;
        for exponent in 0..65_535 {
            exp.push(power as u16);
            log[power as usize] = exponent;
            power <<= 1;
            if power & 0x1_0000 != 0 {
                power ^= POLYNOMIAL;
            }
        }
        let (mut element, mut symbol) = (vec![0; 65_536], vec![0; 65_536]);
        for number in 0..65_536_usize {
            let bits = (0..16).filter(|bit| number >> bit & 1 == 1);
            element[number] = bits.fold(0, |sum, bit| sum ^ BASIS[bit]);
            symbol[usize::from(element[number])] = number as u16;
        }
        Field {
            exp,
            log,
            element,
            symbol,
        }
    })
}

fn times(a: u16, b: u16) -> u16 {
    if a == 0 || b == 0 {
        return 0;
    }
    let field = field();
    let sum = usize::from(field.log[usize::from(a)]) + usize::from(field.log[usize::from(b)]);
    field.exp[sum % 65_535]
}

/// Of anything but 0.
fn inverse(a: u16) -> u16 {
    let field = field();
    field.exp[(65_535 - usize::from(field.log[usize::from(a)])) % 65_535]
}

/// The elements of a block, zeros behind its end.
fn elements(block: &[u8], block_len: usize) -> Vec<u16> {
    let mut bytes = block.to_vec();
    bytes.resize(block_len, 0);
    let symbols = bytes
        .chunks(64)
        .flat_map(|group| (0..32).map(|k| u16::from_le_bytes([group[k], group[32 + k]])));
    symbols.map(|symbol| field().element[usize::from(symbol)]).collect()
}

fn block(elements: &[u16]) -> Vec<u8> {
    let symbols = elements.iter().map(|&element| field().symbol[usize::from(element)]);
    let symbols = symbols.map(u16::to_le_bytes).collect::<Vec<_>>();
    let halves = |group: &[[u8; 2]]| {
        [0, 1]
            .map(|half| group.iter().map(|bytes| bytes[half]).collect::<Vec<_>>())
            .concat()
    };
    symbols.chunks(32).flat_map(halves).collect()
}

/// What block of content `position` contributes to parity block `row` of a group with `parity` of them: L_row(m + position).
fn weight(row: usize, position: usize, parity: usize) -> u16 {
    let m = parity.next_power_of_two();
    let element = |number: usize| field().element[number];
    let x = element(m + position);
    (0..m).filter(|&k| k != row).fold(1, |product, k| {
        times(product, times(x ^ element(k), inverse(element(row) ^ element(k))))
    })
}

/// The parity block `row` of a group.
pub(super) fn encode(data: &[Vec<u8>], row: usize, parity: usize, block_len: usize) -> Vec<u8> {
    let mut sum = vec![0; block_len / 2];
    for (position, block) in data.iter().enumerate() {
        add(&mut sum, weight(row, position, parity), &elements(block, block_len));
    }
    block(&sum)
}

fn add(sum: &mut [u16], weight: u16, elements: &[u16]) {
    for (sum, element) in sum.iter_mut().zip(elements) {
        *sum ^= times(weight, *element);
    }
}

/// The lost blocks of content of a group, each of the full length, by position; none where too many are lost.
pub(super) fn restore(
    data: &[Option<Vec<u8>>],
    parity: &[Option<Vec<u8>>],
    block_len: usize,
) -> Option<Vec<(usize, Vec<u8>)>> {
    let lost = (0..data.len()).filter(|&at| data[at].is_none()).collect::<Vec<_>>();
    let whole = (0..parity.len())
        .filter(|&row| parity[row].is_some())
        .collect::<Vec<_>>();
    if lost.len() > whole.len() {
        return None;
    }
    let rows = &whole[..lost.len()];
    // What the lost blocks must add up to in every row.
    let mut sums = Vec::new();
    for &row in rows {
        let mut sum = elements(parity[row].as_ref()?, block_len);
        for (position, block) in data.iter().enumerate() {
            if let Some(block) = block {
                add(
                    &mut sum,
                    weight(row, position, parity.len()),
                    &elements(block, block_len),
                );
            }
        }
        sums.push(sum);
    }
    let matrix = rows
        .iter()
        .map(|&row| lost.iter().map(|&at| weight(row, at, parity.len())).collect());
    let inverted = inverted(matrix.collect());
    let restored = lost.iter().zip(&inverted).map(|(&position, weights)| {
        let mut sum = vec![0; block_len / 2];
        for (weight, row) in weights.iter().zip(&sums) {
            add(&mut sum, *weight, row);
        }
        (position, block(&sum))
    });
    Some(restored.collect())
}

/// By Gauss and Jordan. Every square part of the code's matrix can be inverted.
fn inverted(mut matrix: Vec<Vec<u16>>) -> Vec<Vec<u16>> {
    let size = matrix.len();
    for (at, row) in matrix.iter_mut().enumerate() {
        row.extend((0..size).map(|column| u16::from(column == at)));
    }
    for column in 0..size {
        let pivot = (column..size)
            .find(|&row| matrix[row][column] != 0)
            .expect("the code is maximum distance separable");
        matrix.swap(column, pivot);
        let scale = inverse(matrix[column][column]);
        matrix[column]
            .iter_mut()
            .for_each(|value| *value = times(*value, scale));
        let chosen = matrix[column].clone();
        for (at, row) in matrix.iter_mut().enumerate() {
            let factor = row[column];
            if at != column && factor != 0 {
                add(row, factor, &chosen);
            }
        }
    }
    matrix.into_iter().map(|row| row[size..].to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_basis_is_one_of_cantor_s() {
        for pair in BASIS.windows(2) {
            assert_eq!(times(pair[1], pair[1]) ^ pair[1], pair[0]);
        }
        let field = field();
        assert!((1..65_536).all(|symbol| field.element[symbol] != 0 && field.symbol[symbol] != 0));
    }
}
