//! The label vote: classification without any fitted readout.
//!
//! Each neuron shares one vote among the classes, in proportion to how often it fires for their training images (a mean over the images of
//! each class). An image gets the class for which the neurons that fire vote most; of several equal ones the lowest is taken. A neuron that
//! fires for no training image votes for none.
//!
//! ```text
//! r_ic = mean of spike_i over the images of class c        p_ic = r_ic / sum_c r_ic        class = argmax_c sum_i spike_i p_ic
//! ```
//!
//! # Source
//! Neurons that are given the label they fire for most: Diehl, Cook 2015, doi:10.3389/fncom.2015.00099, section 2.5. Shares instead of one
//! label: the proportion weighting of Hazan et al. 2018, doi:10.3389/fninf.2018.00089.

use crate::readout::{Features, argmax};

/// How each neuron votes.
#[derive(Debug, PartialEq)]
pub(crate) struct Vote {
    /// p, [n, C]; zeros for a neuron that fires for no training image.
    shares: Vec<f64>,
    classes: usize,
}

impl Vote {
    /// - `spikes`: [N, n] for the training images.   - `labels`: `[N]`, each below `classes`.
    pub(crate) fn fit(spikes: &Features, labels: &[u8], classes: usize) -> Self {
        let mut images = vec![0.0f64; classes];
        let mut shares = vec![0.0f64; spikes.width() * classes];
        for (row, &label) in spikes.rows().zip(labels) {
            let class = usize::from(label);
            images[class] += 1.0;
            for (sums, &s) in shares.chunks_exact_mut(classes).zip(row) {
                sums[class] += f64::from(s);
            }
        }
        for shares in shares.chunks_exact_mut(classes) {
            for (share, count) in shares.iter_mut().zip(&images) {
                *share /= count.max(1.0);
            }
            let total: f64 = shares.iter().sum();
            if total > 0.0 {
                shares.iter_mut().for_each(|share| *share /= total);
            }
        }
        Self { shares, classes }
    }

    /// The fraction of images that get their label.
    pub(crate) fn accuracy(&self, spikes: &Features, labels: &[u8]) -> f64 {
        let elected = |row: &[f32]| {
            let mut votes = vec![0.0f64; self.classes];
            for (&s, shares) in row.iter().zip(self.shares.chunks_exact(self.classes)) {
                if s > 0.0 {
                    for (vote, share) in votes.iter_mut().zip(shares) {
                        *vote += f64::from(s) * share;
                    }
                }
            }
            argmax(votes.into_iter())
        };
        let right = spikes.rows().zip(labels).filter(|(row, label)| elected(row) == **label);
        right.count() as f64 / labels.len().max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_neuron_shares_its_vote_by_how_often_it_fires_and_a_silent_one_has_none() {
        // Class 0 has three images, class 1 one: neuron 0 fires for two of three and for the one.
        let spikes = [[1.0, 0.0, 0.0], [1.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]];
        let features = Features::new(spikes.as_flattened().to_vec(), 3);
        let vote = Vote::fit(&features, &[0, 0, 0, 1], 2);
        let expected = [0.4, 0.6, 0.0, 0.0, 1.0, 0.0];
        assert!(
            vote.shares
                .iter()
                .zip(expected)
                .all(|(share, expected)| (share - expected).abs() < 1e-12),
            "{:?}",
            vote.shares
        );
        let shown = Features::new(vec![1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0], 3);
        assert_eq!(
            vote.accuracy(&shown, &[1, 0, 0, 0]),
            1.0,
            "no vote at all goes to the lowest class"
        );
        assert_eq!(vote.accuracy(&shown, &[0, 1, 1, 1]), 0.0);
    }
}
