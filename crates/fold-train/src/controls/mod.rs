//! What the learned features are compared with, under the same readout and on the same split.
//!
//! A learned feature has to beat the same layer that did not learn ([`crate::session`] runs it, with everything but plasticity
//! on), and is to be read beside features that cost nothing ([`mod@random_features`]), features of another unsupervised method of the
//! same width ([`clusters`]), and no features at all (pixels).
//!
//! # Source
//! Coates, Ng, Lee 2011, *An analysis of single-layer networks in unsupervised feature learning*, AISTATS (PMLR 15): random and
//! k-means features with a linear classifier are strong controls.

pub(crate) mod clusters;
pub(crate) mod neighbours;
pub(crate) mod random_features;

use crate::Error;
use crate::data::{DataSet, Images};
use crate::observer::Asking;
use crate::readout::{Features, Readout};

/// A control that is measured beside the learned layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Control {
    /// The same layer with plasticity off: same wiring, initial state, homeostasis and presentations.
    Frozen,
    /// Rectified random projections, as many as the layer has neurons.
    RandomFeatures,
    /// k-means, as many clusters as the layer has neurons.
    KmeansFeatures,
    /// Nearest neighbours of the pixels among the training images.
    NearestNeighbours,
    /// The pixels themselves.
    RidgePixels,
}

impl Control {
    /// Its name in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Frozen => "frozen",
            Self::RandomFeatures => "random_features",
            Self::KmeansFeatures => "kmeans_features",
            Self::NearestNeighbours => "nearest_neighbours",
            Self::RidgePixels => "ridge_pixels",
        }
    }
}

/// The held-out accuracy of the readout on random features of `width`.
pub(crate) fn random_features(data: &DataSet, width: u32, seed: u64, asking: &mut Asking<'_>) -> Result<f64, Error> {
    let map = random_features::RandomFeatures::new(&data.train, width as usize, seed, asking)?;
    held_out(data, asking, |images, asking| map.features(images, asking))
}

/// The held-out accuracy of the readout on `width` clusters' features.
pub(crate) fn kmeans_features(data: &DataSet, width: u32, seed: u64, asking: &mut Asking<'_>) -> Result<f64, Error> {
    let clusters = clusters::Clusters::fit(&data.train, width as usize, seed, asking)?;
    held_out(data, asking, |images, asking| clusters.features(images, asking))
}

/// The held-out accuracy of the readout on pixels.
pub(crate) fn ridge_pixels(data: &DataSet, asking: &mut Asking<'_>) -> Result<f64, Error> {
    held_out(data, asking, |images, _| {
        Ok(Features::new(images.pixels().to_vec(), images.pixel_count()))
    })
}

/// The held-out accuracy of a readout on these features of an image.
pub(crate) fn held_out(
    data: &DataSet,
    asking: &mut Asking<'_>,
    features: impl Fn(&Images, &mut Asking<'_>) -> Result<Features, Error>,
) -> Result<f64, Error> {
    let train = features(&data.train, asking)?;
    let readout = Readout::fit_asking(&train, data.train.labels(), data.classes, asking)?;
    readout.accuracy_asking(&features(&data.test, asking)?, data.test.labels(), asking)
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::observer::{Event, Observer};

    /// Gives leave so many times.
    struct Leave(usize);

    impl Observer for Leave {
        fn on(&mut self, _event: &Event<'_>) -> ControlFlow<()> {
            ControlFlow::Continue(())
        }

        fn go_on(&mut self) -> ControlFlow<()> {
            match self.0.checked_sub(1) {
                Some(left) => {
                    self.0 = left;
                    ControlFlow::Continue(())
                }
                None => ControlFlow::Break(()),
            }
        }
    }

    /// How often a computation asks; wherever it is stopped it says so, and it gives what it gives unasked.
    fn asked<T: PartialEq + std::fmt::Debug>(compute: impl Fn(&mut Asking<'_>) -> Result<T, Error>) -> usize {
        let expected = compute(&mut Asking::nobody()).unwrap();
        let mut times = 0;
        loop {
            match compute(&mut Asking::new(&mut Leave(times), 3)) {
                Err(Error::Interrupted { epoch: 3 }) => times += 1,
                other => {
                    assert_eq!(other.unwrap(), expected);
                    return times;
                }
            }
        }
    }

    #[test]
    fn what_takes_long_asks_whether_to_go_on_and_stops_where_it_is_told() {
        let digits = DataSet::digits().unwrap();
        let (train, test) = (digits.train.slice(0, 60), digits.test.slice(0, 30));
        let data = DataSet { train, test, ..digits };
        assert_eq!(asked(|asking| neighbours::accuracy(&data, asking)), 1);
        // The sums, the products with the targets, for each lambda every column, every class and the images left out; the hits.
        let fit = 2 + 11 * (64 + 10 + 1);
        assert_eq!(asked(|asking| ridge_pixels(&data, asking)), fit + 1);
        let fit = 2 + 11 * (6 + 10 + 1);
        // The rows, the features of both parts, readout and hits.
        assert_eq!(asked(|asking| random_features(&data, 6, 1, asking)), 6 + 2 + fit + 1);
        // The seeds, and at least two passes.
        let clusters = asked(|asking| clusters::Clusters::fit(&data.train, 6, 1, asking));
        assert!(clusters >= 6 + 2, "{clusters}");
        assert_eq!(
            asked(|asking| kmeans_features(&data, 6, 1, asking)),
            clusters + 2 + fit + 1
        );
    }

    #[test]
    fn a_block_is_a_fraction_of_a_second_whatever_its_items_cost() {
        let threads = rayon::current_num_threads();
        assert_eq!(Asking::block_of(1 << 20), 64.max(threads));
        assert_eq!(Asking::block_of(usize::MAX), threads);
        assert!(Asking::block_of(0) >= 1 << 20);
    }
}
