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
                let [r0, r1, r2, r3, r4, r5, r6, r7] =
                    [0, 1, 2, 3, 4, 5, 6, 7].map(|lane| &part[lane * width..][..width]);
                let first = r0.iter().zip(r1).zip(r2.iter().zip(r3));
                let last = r4.iter().zip(r5).zip(r6.iter().zip(r7));
                let columns = first.zip(last).zip(block);
                for ((((x0, x1), (x2, x3)), ((x4, x5), (x6, x7))), value) in columns {
                    *value = [*x0, *x1, *x2, *x3, *x4, *x5, *x6, *x7];
                }
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
