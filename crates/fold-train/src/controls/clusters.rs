//! k-means and its "triangle" features.
//!
//! Seeding by k-means++, then Lloyd's iterations until no image changes its cluster. With z_j the distance to centre j, a feature is
//!
//! ```text
//! f_j = max(0, mean_k z_k - z_j)
//! ```
//!
//! # Source
//! Lloyd 1982, doi:10.1109/TIT.1982.1056489; Arthur and Vassilvitskii 2007 (k-means++), SODA; the triangle activation: Coates, Ng,
//! Lee 2011, AISTATS. A cluster that loses all its images keeps its centre.

use rayon::prelude::*;

use crate::Error;
use crate::data::Images;
use crate::draw::{CLUSTERS, Draw};
use crate::observer::Asking;
use crate::readout::Features;

/// Iterations after which Lloyd's algorithm stops even if images still move; on the digits it needs about ten.
const ITERATIONS_MAX: usize = 100;
/// Images that clusters are fitted on at most.
const FITTED_MAX: usize = 10_000;

/// Fitted clusters.
#[derive(Debug, PartialEq)]
pub(crate) struct Clusters {
    /// One centre `[P]` per cluster.
    centres: Vec<Vec<f64>>,
    /// The sum of squared distances to the nearest centre before each update.
    inertia: Vec<f64>,
}

impl Clusters {
    /// `count` clusters of `images`, of which there are at least as many; a function of `seed` alone. Of more than
    /// [`FITTED_MAX`] images, evenly spaced ones are taken.
    pub(crate) fn fit(images: &Images, count: usize, seed: u64, asking: &mut Asking<'_>) -> Result<Self, Error> {
        let step = images.count().div_ceil(FITTED_MAX).max(1);
        let points: Vec<&[f32]> = images.rows().step_by(step).collect();
        let mut clusters = Self {
            centres: seeded(&points, count, seed, asking)?,
            inertia: Vec::new(),
        };
        let block = Asking::block_of(count * images.pixel_count());
        let mut assigned = Vec::new();
        for _ in 0..ITERATIONS_MAX {
            let mut nearest: Vec<(usize, f64)> = Vec::with_capacity(points.len());
            for points in points.chunks(block) {
                asking.go_on()?;
                nearest.par_extend(points.par_iter().map(|point| clusters.nearest(point)));
            }
            clusters
                .inertia
                .push(nearest.iter().map(|(_, distance)| distance).sum());
            let now: Vec<usize> = nearest.into_iter().map(|(centre, _)| centre).collect();
            if now == assigned {
                break;
            }
            assigned = now;
            clusters.update(&points, &assigned);
        }
        Ok(clusters)
    }

    /// Features [N, k].
    pub(crate) fn features(&self, images: &Images, asking: &mut Asking<'_>) -> Result<Features, Error> {
        let points: Vec<&[f32]> = images.rows().collect();
        let mut values = Vec::with_capacity(points.len() * self.centres.len());
        for points in points.chunks(Asking::block_of(self.centres.len() * images.pixel_count())) {
            asking.go_on()?;
            values.par_extend(points.par_iter().flat_map_iter(|point| self.feature(point)));
        }
        Ok(Features::new(values, self.centres.len()))
    }

    /// One image's features `[k]`.
    fn feature(&self, point: &[f32]) -> impl Iterator<Item = f32> + use<> {
        let centres = self.centres.iter();
        let distances: Vec<f64> = centres.map(|centre| squared(point, centre).sqrt()).collect();
        let mean = distances.iter().sum::<f64>() / distances.len().max(1) as f64;
        distances.into_iter().map(move |z| (mean - z).max(0.0) as f32)
    }

    fn nearest(&self, point: &[f32]) -> (usize, f64) {
        let mut best = (0, f64::INFINITY);
        for (k, centre) in self.centres.iter().enumerate() {
            if let Some(distance) = squared_below(point, centre, best.1) {
                best = (k, distance);
            }
        }
        best
    }

    fn update(&mut self, points: &[&[f32]], assigned: &[usize]) {
        let mut sums = vec![(0.0, vec![0.0; points.first().map_or(0, |p| p.len())]); self.centres.len()];
        for (point, &cluster) in points.iter().zip(assigned) {
            if let Some((count, sum)) = sums.get_mut(cluster) {
                *count += 1.0;
                for (s, &p) in sum.iter_mut().zip(*point) {
                    *s += f64::from(p);
                }
            }
        }
        for (centre, (count, sum)) in self.centres.iter_mut().zip(sums) {
            if count > 0.0 {
                *centre = sum.into_iter().map(|s| s / count).collect();
            }
        }
    }
}

/// k-means++: each further centre is a point drawn with a probability proportional to its squared distance to the centres so far.
fn seeded(points: &[&[f32]], count: usize, seed: u64, asking: &mut Asking<'_>) -> Result<Vec<Vec<f64>>, Error> {
    let mut draw = Draw::new(seed, CLUSTERS);
    let mut centres: Vec<Vec<f64>> = Vec::with_capacity(count);
    let mut distances = vec![1.0; points.len()];
    while centres.len() < count && !points.is_empty() {
        asking.go_on()?;
        let total: f64 = distances.iter().sum();
        let mut left = draw.uniform() * total;
        let reached = |distance: &f64| {
            left -= distance;
            left < 0.0
        };
        // Rounding may leave a rest: then the last point that can be drawn. All points coincide with centres: any.
        let chosen = distances
            .iter()
            .position(reached)
            .or_else(|| distances.iter().rposition(|&d| d > 0.0))
            .unwrap_or(0);
        let centre: Vec<f64> = points
            .get(chosen)
            .map_or_else(Vec::new, |point| point.iter().map(|&p| f64::from(p)).collect());
        let first = centres.is_empty();
        distances.par_iter_mut().zip(points).for_each(|(distance, point)| {
            let to_new = squared(point, &centre);
            *distance = if first { to_new } else { distance.min(to_new) };
        });
        centres.push(centre);
    }
    Ok(centres)
}

/// As [`squared`], where that is below `bound`: a sum of squares never falls, so the rest of a larger one is not computed.
fn squared_below(point: &[f32], centre: &[f64], bound: f64) -> Option<f64> {
    const PIECE: usize = 32;
    let mut sum = 0.0;
    for (point, centre) in point.chunks(PIECE).zip(centre.chunks(PIECE)) {
        for (&p, c) in point.iter().zip(centre) {
            sum += (f64::from(p) - c) * (f64::from(p) - c);
        }
        if sum >= bound {
            return None;
        }
    }
    (sum < bound).then_some(sum)
}

fn squared(point: &[f32], centre: &[f64]) -> f64 {
    point
        .iter()
        .zip(centre)
        .map(|(&p, c)| (f64::from(p) - c) * (f64::from(p) - c))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DataSet;

    fn images() -> Images {
        DataSet::digits().unwrap().train.slice(0, 300)
    }

    #[test]
    fn inertia_never_rises_and_the_end_is_a_fixed_point() {
        let images = images();
        for seed in 0..3 {
            let mut clusters = Clusters::fit(&images, 20, seed, &mut Asking::nobody()).unwrap();
            assert!(
                clusters
                    .inertia
                    .windows(2)
                    .all(|pair| pair[1] <= pair[0] * (1.0 + 1e-12)),
                "{:?}",
                clusters.inertia
            );
            assert!(clusters.inertia.last() < clusters.inertia.first());
            let points: Vec<&[f32]> = images.rows().collect();
            let assigned: Vec<usize> = points.iter().map(|p| clusters.nearest(p).0).collect();
            let before = clusters.centres.clone();
            clusters.update(&points, &assigned);
            assert_eq!(clusters.centres, before);
        }
    }

    #[test]
    fn a_distance_is_given_up_only_when_it_is_too_long() {
        let images = images();
        let points: Vec<&[f32]> = images.rows().collect();
        let centres = seeded(&points, 30, 2, &mut Asking::nobody()).unwrap();
        for (point, centre) in points
            .iter()
            .flat_map(|point| centres.iter().map(move |centre| (point, centre)))
        {
            let whole = squared(point, centre);
            assert_eq!(squared_below(point, centre, f64::INFINITY), Some(whole));
            assert_eq!(squared_below(point, centre, whole), None);
            assert_eq!(squared_below(point, centre, whole + 1e-9), Some(whole));
        }
    }

    #[test]
    fn seeds_are_distinct_images() {
        let images = images();
        let points: Vec<&[f32]> = images.rows().collect();
        let centres = seeded(&points, 300, 5, &mut Asking::nobody()).unwrap();
        for (k, centre) in centres.iter().enumerate() {
            assert!(points.iter().any(|p| squared(p, centre) == 0.0));
            assert!(centres[..k].iter().all(|other| other != centre), "{k}");
        }
    }

    #[test]
    fn a_feature_is_the_closeness_beyond_the_mean() {
        let clusters = Clusters {
            centres: vec![vec![0.0; 64], vec![1.0; 64]],
            inertia: Vec::new(),
        };
        let images = images().slice(0, 1);
        let z = clusters
            .centres
            .iter()
            .map(|c| squared(images.pixels(), c).sqrt())
            .collect::<Vec<_>>();
        let mean = (z[0] + z[1]) / 2.0;
        let features = clusters.features(&images, &mut Asking::nobody()).unwrap();
        assert_eq!(
            features.values(),
            [(mean - z[0]).max(0.0) as f32, (mean - z[1]).max(0.0) as f32]
        );
    }
}
