//! Rectified random projections: what a layer of this width gives without any learning at all.
//!
//! ```text
//! f_j = max(0, w_j (x - mean x) + b_j),        w_j, b_j standard normal
//! ```

use rayon::prelude::*;

use crate::data::Images;
use crate::draw::{Draw, RANDOM_FEATURES};
use crate::readout::Features;

/// A random map from pixels to features.
pub(crate) struct RandomFeatures {
    /// [F, P + 1]: weights, then bias.
    rows: Vec<Vec<f64>>,
    mean: Vec<f64>,
}

impl RandomFeatures {
    /// `width` features around the mean of `images`, a function of `seed` alone.
    pub(crate) fn new(images: &Images, width: usize, seed: u64) -> Self {
        let mut draw = Draw::new(seed, RANDOM_FEATURES);
        let rows = (0..width)
            .map(|_| (0..=images.pixel_count()).map(|_| draw.normal()).collect())
            .collect();
        let mut mean = vec![0.0; images.pixel_count()];
        for image in images.rows() {
            for (m, &p) in mean.iter_mut().zip(image) {
                *m += f64::from(p);
            }
        }
        for m in &mut mean {
            *m /= images.count().max(1) as f64;
        }
        Self { rows, mean }
    }

    /// Features [N, F].
    pub(crate) fn features(&self, images: &Images) -> Features {
        let pixels: Vec<&[f32]> = images.rows().collect();
        let values = pixels
            .par_iter()
            .flat_map_iter(|image| self.rows.iter().map(|row| self.feature(row, image)));
        Features::new(values.collect(), self.rows.len())
    }

    fn feature(&self, row: &[f64], image: &[f32]) -> f32 {
        let projected: f64 = row
            .iter()
            .zip(image.iter().zip(&self.mean))
            .map(|(w, (&p, m))| w * (f64::from(p) - m))
            .sum();
        (projected + row.last().copied().unwrap_or(0.0)).max(0.0) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DataSet;

    #[test]
    fn half_of_the_values_are_cut_and_seeds_differ() {
        let images = DataSet::digits().unwrap().train.slice(0, 100);
        let features = RandomFeatures::new(&images, 50, 1).features(&images);
        assert_eq!((features.count(), features.width()), (100, 50));
        assert!(features.values().iter().all(|&f| f >= 0.0));
        let cut = features.values().iter().filter(|&&f| f == 0.0).count();
        assert!((2000..3000).contains(&cut), "{cut} of 5000");
        assert_ne!(features, RandomFeatures::new(&images, 50, 2).features(&images));
    }
}
