//! The label vote: classification without any fitted readout.
//!
//! Each neuron gets the label of the training images that it fires for most, as a mean over the images of each class. An image then
//! has as many votes for a class as neurons of that label fire for it; of several classes with equal votes the lowest is taken. A neuron that
//! fires for no training image votes for none.
//!
//! # Source
//! Diehl, Cook 2015, doi:10.3389/fncom.2015.00099, section 2.5.

use crate::readout::{Features, argmax};

/// The label of each neuron.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Vote {
    labels: Vec<Option<u8>>,
    classes: usize,
}

impl Vote {
    /// - `spikes`: [N, n] for the training images.   - `labels`: `[N]`, each below `classes`.
    pub(crate) fn fit(spikes: &Features, labels: &[u8], classes: usize) -> Self {
        let mut images = vec![0.0f64; classes];
        let mut sums = vec![0.0f64; spikes.width() * classes];
        for (row, &label) in spikes.rows().zip(labels) {
            let class = usize::from(label);
            images[class] += 1.0;
            for (sums, &s) in sums.chunks_exact_mut(classes).zip(row) {
                sums[class] += f64::from(s);
            }
        }
        let label = |sums: &[f64]| {
            let rates = sums.iter().zip(&images).map(|(sum, &count)| sum / count.max(1.0));
            sums.iter().any(|&sum| sum > 0.0).then(|| argmax(rates))
        };
        Self {
            labels: sums.chunks_exact(classes).map(label).collect(),
            classes,
        }
    }

    /// The fraction of images that get their label.
    pub(crate) fn accuracy(&self, spikes: &Features, labels: &[u8]) -> f64 {
        let elected = |row: &[f32]| {
            let mut votes = vec![0.0f64; self.classes];
            for (&s, label) in row.iter().zip(&self.labels) {
                if let Some(label) = label {
                    votes[usize::from(*label)] += f64::from(s);
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
    fn a_neuron_speaks_for_the_class_it_fires_for_most_often_and_a_silent_one_for_none() {
        // Class 0 has three images, class 1 one: neuron 0 fires for two of three and for the one.
        let spikes = [[1.0, 0.0, 0.0], [1.0, 0.0, 1.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]];
        let features = Features::new(spikes.as_flattened().to_vec(), 3);
        let vote = Vote::fit(&features, &[0, 0, 0, 1], 2);
        assert_eq!(vote.labels, [Some(1), None, Some(0)]);
        let shown = Features::new(vec![1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0], 3);
        assert_eq!(vote.accuracy(&shown, &[1, 0, 0]), 1.0, "a tie goes to the lower class");
        assert_eq!(vote.accuracy(&shown, &[0, 0, 0]), 2.0 / 3.0);
    }
}
