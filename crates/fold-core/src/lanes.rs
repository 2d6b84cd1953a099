//! Samples side by side: the layout that lets the inner loops run over the batch.
//!
//! An array [B, K] of the caller is kept as blocks of [`LANES`] samples, each block \[K\] of `[f32; LANES]`. A synapse then reads
//! one contiguous row of samples whatever line it is wired to, and the compiler vectorises over the samples. Lanes beyond B
//! hold zero. A sample's result never depends on its lane or on its neighbours.

/// Samples per block.
pub const LANES: usize = 8;

/// One value of [`LANES`] samples.
pub type Lane = [f32; LANES];

/// An array [B, K] in blocks of samples.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lanes {
    samples: usize,
    width: usize,
    values: Vec<Lane>,
}

impl Lanes {
    /// Zeros, [samples, width].
    #[must_use]
    pub fn zeros(samples: usize, width: usize) -> Self {
        Self {
            samples,
            width,
            values: vec![[0.0; LANES]; samples.div_ceil(LANES) * width],
        }
    }

    /// B.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// K.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// The blocks in sample order, each \[K\].
    pub fn blocks(&self) -> impl ExactSizeIterator<Item = &[Lane]> {
        self.values.chunks_exact(self.width.max(1))
    }

    /// Every lane, block by block.
    #[must_use]
    pub fn values(&self) -> &[Lane] {
        &self.values
    }

    /// Every lane, block by block. Lanes beyond the last sample must stay zero.
    pub fn values_mut(&mut self) -> &mut [Lane] {
        &mut self.values
    }

    /// Makes this [samples, width], keeping the allocation when it is large enough. The content is then zero.
    pub fn reset(&mut self, samples: usize, width: usize) {
        self.samples = samples;
        self.width = width;
        self.values.clear();
        self.values.resize(samples.div_ceil(LANES) * width, [0.0; LANES]);
    }

    /// Becomes a copy of `other`, keeping the allocation when it is large enough.
    pub fn copy_from(&mut self, other: &Self) {
        self.samples = other.samples;
        self.width = other.width;
        self.values.clone_from(&other.values);
    }

    /// Takes the values of `rows` [B, K], row-major. `rows` must hold B * K values; what is missing stays as it was.
    pub fn fill(&mut self, rows: &[f32]) {
        if self.width == 0 {
            return;
        }
        for (block, samples) in self
            .values
            .chunks_exact_mut(self.width)
            .zip(rows.chunks(LANES * self.width))
        {
            if samples.len() == LANES * self.width {
                // Eight rows at once: each is read in order, and every value is written once.
                let rows: [&[f32]; LANES] = std::array::from_fn(|lane| &samples[lane * self.width..][..self.width]);
                for (k, value) in block.iter_mut().enumerate() {
                    *value = rows.map(|row| row[k]);
                }
                continue;
            }
            for (lane, row) in samples.chunks_exact(self.width).enumerate() {
                for (value, &x) in block.iter_mut().zip(row) {
                    value[lane] = x;
                }
            }
        }
    }

    /// The values as [B, K], row-major, into `rows` of that length.
    pub fn copy_into(&self, rows: &mut [f32]) {
        if self.width == 0 {
            return;
        }
        for (block, samples) in self.blocks().zip(rows.chunks_mut(LANES * self.width)) {
            if samples.len() == LANES * self.width {
                let mut rows = samples.chunks_exact_mut(self.width);
                let mut rows: [&mut [f32]; LANES] = std::array::from_fn(|_| rows.next().unwrap_or_default());
                for (k, value) in block.iter().enumerate() {
                    for (row, &x) in rows.iter_mut().zip(value) {
                        row[k] = x;
                    }
                }
                continue;
            }
            for (lane, row) in samples.chunks_exact_mut(self.width).enumerate() {
                for (x, value) in row.iter_mut().zip(block) {
                    *x = value[lane];
                }
            }
        }
    }

    /// The values as [B, K], row-major.
    #[must_use]
    pub fn to_rows(&self) -> Vec<f32> {
        let mut rows = vec![0.0; self.samples * self.width];
        self.copy_into(&mut rows);
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_survive_the_round_trip_at_every_edge_of_a_block() {
        for samples in [0, 1, 7, 8, 9, 16, 17] {
            for width in [0, 1, 3] {
                let rows: Vec<f32> = (0..samples * width).map(|k| k as f32 + 1.0).collect();
                let mut lanes = Lanes::zeros(samples, width);
                lanes.fill(&rows);
                assert_eq!(lanes.to_rows(), rows);
                let kept: f32 = lanes.values().iter().flatten().sum();
                assert_eq!(kept, rows.iter().sum::<f32>(), "padding stays zero");
            }
        }
    }
}
