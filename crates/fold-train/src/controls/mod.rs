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
pub(crate) fn random_features(data: &DataSet, width: u32, seed: u64) -> Result<f64, Error> {
    let map = random_features::RandomFeatures::new(&data.train, width as usize, seed);
    held_out(data, |images| map.features(images))
}

/// The held-out accuracy of the readout on `width` clusters' features.
pub(crate) fn kmeans_features(data: &DataSet, width: u32, seed: u64) -> Result<f64, Error> {
    let clusters = clusters::Clusters::fit(&data.train, width as usize, seed);
    held_out(data, |images| clusters.features(images))
}

/// The held-out accuracy of the readout on pixels.
pub(crate) fn ridge_pixels(data: &DataSet) -> Result<f64, Error> {
    held_out(data, |images| {
        Features::new(images.pixels().to_vec(), images.pixel_count())
    })
}

fn held_out(data: &DataSet, features: impl Fn(&Images) -> Features) -> Result<f64, Error> {
    let readout = Readout::fit(&features(&data.train), data.train.labels(), data.classes)?;
    Ok(readout.accuracy(&features(&data.test), data.test.labels()))
}
