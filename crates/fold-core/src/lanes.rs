//! Rows side by side: the layout that lets the inner loops run over samples, or over neurons.
//!
//! An array [R, K] is kept as blocks of [`LANES`] rows, each block \[K\] of `[f32; LANES]`. Where the rows are samples, a synapse
//! reads one contiguous stretch of them whatever line it is wired to; where they are neurons, one input meets the weights of
//! several. The compiler vectorises over the lanes. Lanes beyond R hold zero. A result never depends on its lane or on its neighbours.

/// Rows per block.
pub const LANES: usize = 8;

/// One value of [`LANES`] rows.
pub type Lane = [f32; LANES];

/// An array [R, K] in blocks of rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lanes {
    rows: usize,
    width: usize,
    values: Vec<Lane>,
}

impl Lanes {
    /// Zeros, [rows, width].
    #[must_use]
    pub fn zeros(rows: usize, width: usize) -> Self {
        Self {
            rows,
            width,
            values: vec![[0.0; LANES]; rows.div_ceil(LANES) * width],
        }
    }

    /// R.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// K.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// The blocks in the order of the rows, each \[K\].
    pub fn blocks(&self) -> impl ExactSizeIterator<Item = &[Lane]> {
        self.values.chunks_exact(self.width.max(1))
    }

    /// Every lane, block by block.
    #[must_use]
    pub fn values(&self) -> &[Lane] {
        &self.values
    }

    /// Every lane, block by block. Lanes beyond the last row must stay zero.
    pub fn values_mut(&mut self) -> &mut [Lane] {
        &mut self.values
    }

    /// Takes the values of `rows` [R, K], row-major, keeping the allocation when it is large enough.
    ///
    /// - `width`: K, which must divide the length of `rows`.
    pub fn lay_out(&mut self, rows: &[f32], width: usize) {
        let count = rows.len().checked_div(width).unwrap_or(0);
        if (self.rows, self.width) != (count, width) {
            (self.rows, self.width) = (count, width);
            self.values.clear();
            self.values.resize(count.div_ceil(LANES) * width, [0.0; LANES]);
        }
        let blocks = self.values.chunks_exact_mut(width.max(1));
        let parts = rows.chunks(LANES * width.max(1));
        for (block, part) in blocks.zip(parts) {
            if part.len() == LANES * width {
                turn(
                    std::array::from_fn(|lane| &part[lane * width..][..width]),
                    block,
                    |column| column,
                );
                continue;
            }
            for (lane, row) in part.chunks_exact(width).enumerate() {
                for (value, &x) in block.iter_mut().zip(row) {
                    value[lane] = x;
                }
            }
        }
    }

    /// One row, \[K\].
    pub fn row(&self, row: usize) -> impl ExactSizeIterator<Item = f32> {
        let block = &self.values[row / LANES * self.width..][..self.width];
        block.iter().map(move |values| values[row % LANES])
    }

    /// One row, \[K\], to be written.
    pub fn row_mut(&mut self, row: usize) -> impl ExactSizeIterator<Item = &mut f32> {
        let block = &mut self.values[row / LANES * self.width..][..self.width];
        block.iter_mut().map(move |values| &mut values[row % LANES])
    }

    /// The values as [R, K], row-major.
    #[must_use]
    pub fn to_rows(&self) -> Vec<f32> {
        (0..self.rows).flat_map(|row| self.row(row)).collect()
    }
}

/// Turns rows into columns: the k-th values of the rows lie side by side in what `place` says of `columns[k]`.
#[inline(always)]
pub(crate) fn turn<T>(rows: [&[f32]; LANES], columns: &mut [T], place: impl Fn(&mut T) -> &mut Lane) {
    #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
    if let Some(simd) = pulp::x86::V3::try_new() {
        return pulp::Simd::vectorize(
            simd,
            Fours {
                simd,
                rows,
                columns,
                place,
            },
        );
    }
    turn_each(rows, columns, place);
}

/// [`turn`], value by value.
#[inline(always)]
fn turn_each<T>(rows: [&[f32]; LANES], columns: &mut [T], place: impl Fn(&mut T) -> &mut Lane) {
    let [r0, r1, r2, r3, r4, r5, r6, r7] = rows;
    let first = r0.iter().zip(r1).zip(r2.iter().zip(r3));
    let last = r4.iter().zip(r5).zip(r6.iter().zip(r7));
    for ((((x0, x1), (x2, x3)), ((x4, x5), (x6, x7))), column) in first.zip(last).zip(columns) {
        *place(column) = [*x0, *x1, *x2, *x3, *x4, *x5, *x6, *x7];
    }
}

/// [`turn`], four columns at a time.
#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
struct Fours<'a, T, P> {
    simd: pulp::x86::V3,
    rows: [&'a [f32]; LANES],
    columns: &'a mut [T],
    place: P,
}

#[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
impl<T, P: Fn(&mut T) -> &mut Lane> pulp::WithSimd for Fours<'_, T, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) {
        let Self {
            simd,
            rows,
            columns,
            place,
        } = self;
        let avx = simd.avx;
        // Rows r and r + 4 in the halves of one register.
        let both = |low: &[f32; 4], high: &[f32; 4]| {
            avx._mm256_insertf128_ps::<1>(avx._mm256_castps128_ps256(pulp::cast(*low)), pulp::cast(*high))
        };
        let [
            (f0, l0),
            (f1, l1),
            (f2, l2),
            (f3, l3),
            (f4, l4),
            (f5, l5),
            (f6, l6),
            (f7, l7),
        ] = rows.map(<[f32]>::as_chunks::<4>);
        let first = f0.iter().zip(f4).zip(f1.iter().zip(f5));
        let last = f2.iter().zip(f6).zip(f3.iter().zip(f7));
        let (fours, left) = columns.as_chunks_mut::<4>();
        for ((((x0, x4), (x1, x5)), ((x2, x6), (x3, x7))), four) in first.zip(last).zip(fours) {
            let (a, b, c, d) = (both(x0, x4), both(x1, x5), both(x2, x6), both(x3, x7));
            let (ab, cd) = (avx._mm256_unpacklo_ps(a, b), avx._mm256_unpacklo_ps(c, d));
            *place(&mut four[0]) = pulp::cast(avx._mm256_shuffle_ps::<0x44>(ab, cd));
            *place(&mut four[1]) = pulp::cast(avx._mm256_shuffle_ps::<0xee>(ab, cd));
            let (ab, cd) = (avx._mm256_unpackhi_ps(a, b), avx._mm256_unpackhi_ps(c, d));
            *place(&mut four[2]) = pulp::cast(avx._mm256_shuffle_ps::<0x44>(ab, cd));
            *place(&mut four[3]) = pulp::cast(avx._mm256_shuffle_ps::<0xee>(ab, cd));
        }
        turn_each([l0, l1, l2, l3, l4, l5, l6, l7], left, place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_survive_the_round_trip_at_every_edge_of_a_block() {
        for samples in [0, 1, 7, 8, 9, 16, 17] {
            for width in [0, 1, 3, 8, 21] {
                let rows: Vec<f32> = (0..samples * width).map(|k| k as f32 + 1.0).collect();
                let mut lanes = Lanes::default();
                lanes.lay_out(&rows, width);
                assert_eq!(lanes.to_rows(), rows);
                for (row, values) in rows.chunks(width.max(1)).enumerate() {
                    assert!(lanes.row(row).eq(values.iter().copied()));
                    assert!(lanes.row_mut(row).map(|x| *x).eq(values.iter().copied()));
                }
                let kept: f32 = lanes.values().iter().flatten().sum();
                assert_eq!(kept, rows.iter().sum::<f32>(), "padding stays zero");
            }
        }
    }
}
