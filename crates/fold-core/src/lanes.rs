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

    /// Makes this [rows, width], keeping the allocation when it is large enough. The content is then zero.
    pub fn reset(&mut self, rows: usize, width: usize) {
        self.rows = rows;
        self.width = width;
        self.values.clear();
        self.values.resize(rows.div_ceil(LANES) * width, [0.0; LANES]);
    }

    /// Becomes a copy of `other`, keeping the allocation when it is large enough.
    pub fn copy_from(&mut self, other: &Self) {
        self.rows = other.rows;
        self.width = other.width;
        self.values.clone_from(&other.values);
    }

    /// Takes the values of `rows` [R, K], row-major. `rows` must hold R * K values; what is missing stays as it was.
    pub fn fill(&mut self, rows: &[f32]) {
        if self.width == 0 {
            return;
        }
        for (block, part) in self
            .values
            .chunks_exact_mut(self.width)
            .zip(rows.chunks(LANES * self.width))
        {
            if part.len() == LANES * self.width {
                let (squares, rest) = block.as_chunks_mut::<LANES>();
                let whole = self.width - rest.len();
                for (square, k) in squares.iter_mut().zip((0..whole).step_by(LANES)) {
                    let rows: [Lane; LANES] = std::array::from_fn(|lane| {
                        let row = &part[lane * self.width + k..];
                        std::array::from_fn(|at| row[at])
                    });
                    *square = transposed(&rows);
                }
                for (value, k) in rest.iter_mut().zip(whole..) {
                    *value = std::array::from_fn(|lane| part[lane * self.width + k]);
                }
                continue;
            }
            for (lane, row) in part.chunks_exact(self.width).enumerate() {
                for (value, &x) in block.iter_mut().zip(row) {
                    value[lane] = x;
                }
            }
        }
    }

    /// The values as [R, K], row-major, into `rows` of that length.
    pub fn copy_into(&self, rows: &mut [f32]) {
        if self.width == 0 {
            return;
        }
        for (block, part) in self.blocks().zip(rows.chunks_mut(LANES * self.width)) {
            if part.len() == LANES * self.width {
                let (squares, rest) = block.as_chunks::<LANES>();
                let whole = self.width - rest.len();
                for (square, k) in squares.iter().zip((0..whole).step_by(LANES)) {
                    for (lane, row) in transposed(square).iter().enumerate() {
                        part[lane * self.width + k..][..LANES].copy_from_slice(row);
                    }
                }
                for (value, k) in rest.iter().zip(whole..) {
                    for (lane, &x) in value.iter().enumerate() {
                        part[lane * self.width + k] = x;
                    }
                }
                continue;
            }
            for (lane, row) in part.chunks_exact_mut(self.width).enumerate() {
                for (x, value) in row.iter_mut().zip(block) {
                    *x = value[lane];
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
        let mut rows = vec![0.0; self.rows * self.width];
        self.copy_into(&mut rows);
        rows
    }
}

/// Rows as columns.
#[inline(always)]
fn transposed(square: &[Lane; LANES]) -> [Lane; LANES] {
    let mut columns = [[0.0; LANES]; LANES];
    for (at, column) in columns.iter_mut().enumerate() {
        for (to, row) in column.iter_mut().zip(square) {
            *to = row[at];
        }
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_survive_the_round_trip_at_every_edge_of_a_block() {
        for samples in [0, 1, 7, 8, 9, 16, 17] {
            for width in [0, 1, 3, 8, 21] {
                let rows: Vec<f32> = (0..samples * width).map(|k| k as f32 + 1.0).collect();
                let mut lanes = Lanes::zeros(samples, width);
                lanes.fill(&rows);
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
