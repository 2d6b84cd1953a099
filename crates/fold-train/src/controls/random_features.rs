//! Rectified random projections: what a layer of this width gives without any learning at all.
//!
//! ```text
//! f_j = max(0, w_j (x - mean x) + b_j),        w_j, b_j standard normal
//! ```

use rayon::prelude::*;

use crate::Error;
use crate::data::Images;
use crate::draw::{Draw, RANDOM_FEATURES};
use crate::observer::Asking;
use crate::readout::Features;

/// A random map from pixels to features.
pub(crate) struct RandomFeatures {
    /// [F, P + 1]: weights, then bias.
    rows: Vec<Vec<f64>>,
    mean: Vec<f64>,
}

impl RandomFeatures {
    /// `width` features around the mean of `images`, a function of `seed` alone.
    pub(crate) fn new(images: &Images, width: usize, seed: u64, asking: &mut Asking<'_>) -> Result<Self, Error> {
        let mut draw = Draw::new(seed, RANDOM_FEATURES);
        let mut rows = Vec::with_capacity(width);
        for _ in 0..width {
            asking.go_on()?;
            rows.push((0..=images.pixel_count()).map(|_| draw.normal()).collect());
        }
        let mut mean = vec![0.0; images.pixel_count()];
        for image in images.rows() {
            for (m, &p) in mean.iter_mut().zip(image) {
                *m += f64::from(p);
            }
        }
        for m in &mut mean {
            *m /= images.count().max(1) as f64;
        }
        Ok(Self { rows, mean })
    }

    /// Features [N, F].
    pub(crate) fn features(&self, images: &Images, asking: &mut Asking<'_>) -> Result<Features, Error> {
        let pixels: Vec<&[f32]> = images.rows().collect();
        let mut values = Vec::with_capacity(pixels.len() * self.rows.len());
        for pixels in pixels.chunks(Asking::block_of(self.rows.len() * images.pixel_count())) {
            asking.go_on()?;
            let images = pixels.par_iter();
            values.par_extend(images.flat_map_iter(|image| self.rows.iter().map(|row| self.feature(row, image))));
        }
        Ok(Features::new(values, self.rows.len()))
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
        let features = |seed| {
            let asking = &mut Asking::nobody();
            let map = RandomFeatures::new(&images, 50, seed, asking).unwrap();
            map.features(&images, asking).unwrap()
        };
        let (features, other) = (features(1), features(2));
        assert_eq!((features.count(), features.width()), (100, 50));
        assert!(features.values().iter().all(|&f| f >= 0.0));
        let cut = features.values().iter().filter(|&&f| f == 0.0).count();
        assert!((2000..3000).contains(&cut), "{cut} of 5000");
        assert_ne!(features, other);
    }
}
