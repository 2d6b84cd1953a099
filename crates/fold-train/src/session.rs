//! A layer and its presentations: one pass over the images after another, and what the layer answers when it is read.
//!
//! An image is shown for one step. Nothing here sees a label: the images come as input lines only.

use std::ops::ControlFlow;

use fold_advanced::mechanism::Thresholds;
use fold_advanced::{Layer, Response, Scratch, StepOptions};
use fold_core::Wiring;

use crate::Error;
use crate::config::TrainConfig;
use crate::draw::{Draw, SHUFFLE};
use crate::encode::{Encoding, VIEWS};
use crate::observer::Asking;
use crate::readout::Features;

/// Images that are read at once.
const READ_BATCH: usize = 64;

/// Whether the weights of a layer move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plasticity {
    /// They learn.
    On,
    /// They stay as they were drawn, while homeostasis goes on: the control of what learning does.
    Off,
}

/// What the spikes of one pass over the images say of the layer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Activity {
    /// Spikes per neuron and image, in [0, 1].
    pub(crate) mean_rate: f64,
    /// Fraction of the neurons that never fired.
    pub(crate) dead_fraction: f64,
}

/// A layer with the number of epochs it has seen.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) layer: Layer,
    pub(crate) epoch: u64,
    config: TrainConfig,
    encoding: Encoding,
}

impl Session {
    /// A new layer for images of this encoding.
    pub(crate) fn new(config: &TrainConfig, encoding: Encoding, seed: u64) -> Result<Self, Error> {
        let layer = config.layer(encoding, seed);
        let wiring = Wiring::shared(layer.shape)?;
        Ok(Self {
            layer: Layer::new(layer, wiring)?,
            epoch: 0,
            config: *config,
            encoding,
        })
    }

    /// A layer that has already seen `epoch` epochs.
    pub(crate) fn resumed(config: &TrainConfig, encoding: Encoding, layer: Layer, epoch: u64) -> Self {
        Self {
            layer,
            epoch,
            config: *config,
            encoding,
        }
    }

    /// Shows every image once, in an order that depends on seed and epoch alone.
    ///
    /// The layer's rules are means over the batch, and the rates are per image: a last batch of b < B images is taken for b / B of a step.
    ///
    /// - `pixels`: [N, P].   - `shown`: told after each batch how many images have been; may stop the pass.
    ///
    /// Returns none where it was stopped; the layer is then between two epochs and is not to be saved.
    pub(crate) fn present(
        &mut self,
        pixels: &[f32],
        plasticity: Plasticity,
        shown: &mut dyn FnMut(usize) -> ControlFlow<()>,
    ) -> Result<Option<Activity>, Error> {
        let epoch = self.epoch + 1;
        let images: Vec<&[f32]> = pixels.chunks_exact(self.encoding.pixels()).collect();
        let seed = self.layer.config().seed;
        let order = Draw::of_unit(seed, SHUFFLE, epoch).permutation(u32::try_from(images.len()).unwrap_or(u32::MAX));
        let plasticity = match plasticity {
            Plasticity::On => self.config.plasticity(epoch),
            Plasticity::Off => 0.0,
        };
        let mut counts = vec![0u64; self.layer.state().theta().len()];
        let mut input = Vec::new();
        let mut done = 0;
        for batch in order.chunks(self.config.batch as usize) {
            let shown_now = batch.iter().filter_map(|&k| images.get(k).copied());
            self.encoding.encode_into(shown_now, &mut input);
            if self.layer.samples() != batch.len() {
                self.layer.set_samples(batch.len())?;
            }
            let share = batch.len() as f32 / self.config.batch as f32;
            let options = StepOptions {
                plasticity: plasticity * share,
                homeostasis: share,
                ..StepOptions::default()
            };
            let step = self.layer.step(&input, batch.len(), options)?;
            for (sum, &count) in counts.iter_mut().zip(step.counts) {
                *sum += u64::from(count);
            }
            done += batch.len();
            if shown(done).is_break() {
                return Ok(None);
            }
        }
        self.epoch = epoch;
        let neurons = counts.len().max(1) as f64;
        Ok(Some(Activity {
            mean_rate: counts.iter().sum::<u64>() as f64 / (neurons * images.len().max(1) as f64),
            dead_fraction: counts.iter().filter(|&&count| count == 0).count() as f64 / neurons,
        }))
    }

    /// The spikes that the layer emits for each image, [N, n], with weights and thresholds held and no memory across images.
    /// A copy of the layer is stepped; the layer itself is left as it is.
    ///
    /// - `pixels`: [N, P].   - `asking`: asked before each batch.
    pub(crate) fn spikes(&self, pixels: &[f32], asking: &mut Asking<'_>) -> Result<Features, Error> {
        let mut layer = self.layer.clone();
        let held = StepOptions {
            plasticity: 0.0,
            thresholds: Thresholds::Hold,
            ..StepOptions::default()
        };
        let neurons = layer.state().theta().len();
        let images = pixels.chunks_exact(self.encoding.pixels());
        let mut values = Vec::with_capacity(images.len() * neurons);
        let mut input = Vec::new();
        for batch in images.collect::<Vec<_>>().chunks(READ_BATCH) {
            asking.go_on()?;
            self.encoding.encode_into(batch.iter().copied(), &mut input);
            layer.set_samples(batch.len())?;
            let step = layer.step(&input, batch.len(), held)?;
            values.extend(step.spikes.iter().map(|&spike| f32::from(spike)));
        }
        Ok(Features::new(values, neurons))
    }

    /// The potentials u of each image, summed over its [`VIEWS`], [N, n]. No competition, threshold or state plays a part.
    ///
    /// - `pixels`: [N, P].   - `asking`: asked before each batch.
    pub(crate) fn potentials(&self, pixels: &[f32], asking: &mut Asking<'_>) -> Result<Features, Error> {
        let neurons = self.layer.state().theta().len();
        let images: Vec<&[f32]> = pixels.chunks_exact(self.encoding.pixels()).collect();
        let mut sums = vec![0.0; images.len() * neurons];
        let (mut scratch, mut input) = (Scratch::default(), Vec::new());
        let (mut moved, mut u) = (Vec::new(), Vec::new());
        for (batch, sums) in images.chunks(READ_BATCH).zip(sums.chunks_mut(READ_BATCH * neurons)) {
            asking.go_on()?;
            u.resize(sums.len(), 0.0);
            moved.resize(batch.len() * self.encoding.pixels(), 0.0);
            for by in VIEWS {
                let rooms = moved.chunks_exact_mut(self.encoding.pixels());
                for (image, room) in batch.iter().zip(rooms) {
                    self.encoding.shift(image, by, room);
                }
                self.encoding
                    .encode_into(moved.chunks_exact(self.encoding.pixels()), &mut input);
                self.layer
                    .respond(&input, batch.len(), Response::Potential, &mut scratch, &mut u)?;
                for (sum, u) in sums.iter_mut().zip(&u) {
                    *sum += u;
                }
            }
        }
        Ok(Features::new(sums, neurons))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DataSet;

    fn pixels() -> Vec<f32> {
        DataSet::digits().unwrap().train.slice(0, 37).pixels().to_vec()
    }

    fn session() -> Session {
        Session::new(
            &TrainConfig {
                neurons: 20,
                winners: 2,
                ..TrainConfig::default()
            },
            Encoding::DIGITS,
            5,
        )
        .unwrap()
    }

    fn go(_: usize) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    #[test]
    fn reading_leaves_the_layer_as_it_is_and_gives_k_spikes_per_image() {
        let pixels = pixels();
        let mut session = session();
        session.present(&pixels, Plasticity::On, &mut go).unwrap().unwrap();
        let before = (session.layer.state().clone(), session.layer.clock());
        let spikes = session.spikes(&pixels, &mut Asking::nobody()).unwrap();
        assert_eq!((session.layer.state().clone(), session.layer.clock()), before);
        assert_eq!((spikes.count(), spikes.width()), (37, 20));
        assert!(spikes.rows().all(|row| row.iter().sum::<f32>() == 2.0));
    }

    #[test]
    fn an_image_is_read_alike_in_any_company() {
        let pixels = pixels();
        let session = session();
        let all = session.spikes(&pixels, &mut Asking::nobody()).unwrap();
        let alone = session.spikes(&pixels[36 * 64..], &mut Asking::nobody()).unwrap();
        assert_eq!(all.rows().nth(36), alone.rows().next());
    }

    #[test]
    fn potentials_are_sums_over_the_views_that_change_nothing() {
        let pixels = pixels();
        let mut session = session();
        session.present(&pixels, Plasticity::On, &mut go).unwrap().unwrap();
        let before = session.layer.state().clone();
        let all = session.potentials(&pixels, &mut Asking::nobody()).unwrap();
        assert_eq!(session.layer.state(), &before);
        assert_eq!((all.count(), all.width()), (37, 20));
        let alone = session.potentials(&pixels[36 * 64..], &mut Asking::nobody()).unwrap();
        assert_eq!(all.rows().nth(36), alone.rows().next());
        let most = VIEWS.len() as f32 * 4.0;
        assert!(all.values().iter().all(|u| (0.0..=most).contains(u)));
    }

    #[test]
    fn plasticity_off_moves_thresholds_and_no_weight() {
        let pixels = pixels();
        let (mut frozen, mut learned) = (session(), session());
        let initial = frozen.layer.state().clone();
        frozen.present(&pixels, Plasticity::Off, &mut go).unwrap();
        learned.present(&pixels, Plasticity::On, &mut go).unwrap();
        assert_eq!(frozen.layer.state().filaments(), initial.filaments());
        assert_eq!(frozen.layer.state().internal(), initial.internal());
        assert_ne!(frozen.layer.state().theta(), initial.theta());
        assert_ne!(learned.layer.state().filaments(), initial.filaments());
    }

    #[test]
    fn an_image_teaches_as_much_in_a_short_batch_as_in_a_full_one() {
        // Five images are a short batch of B = 8 and a full one of B = 5, at the same rates per image.
        let pixels = DataSet::digits().unwrap().train.slice(0, 5).pixels().to_vec();
        let moved = |batch, plasticity| {
            let config = TrainConfig {
                neurons: 20,
                winners: 2,
                batch,
                ..TrainConfig::default()
            };
            let mut session = Session::new(&config, Encoding::DIGITS, 5).unwrap();
            session.present(&pixels, plasticity, &mut go).unwrap().unwrap();
            session.layer.state().clone()
        };
        for plasticity in [Plasticity::On, Plasticity::Off] {
            let (short, full) = (moved(8, plasticity), moved(5, plasticity));
            let levels = |state: &fold_core::LayerState| -> Vec<f32> {
                let both = state.filaments().iter().zip(state.internal());
                both.map(|(&n, &rest)| f32::from(n) + rest).collect()
            };
            let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4);
            assert!(near(&levels(&short), &levels(&full)), "{plasticity:?}");
            assert!(near(short.theta(), full.theta()), "{plasticity:?}");
        }
        let new = session().layer.state().theta().to_vec();
        assert_ne!(moved(8, Plasticity::On).theta(), new);
    }

    #[test]
    fn activity_counts_every_spike() {
        let activity = session().present(&pixels(), Plasticity::On, &mut go).unwrap().unwrap();
        assert!(
            (activity.mean_rate - 0.1).abs() < 1e-12,
            "two of twenty neurons per image"
        );
        assert!((0.0..1.0).contains(&activity.dead_fraction));
    }

    #[test]
    fn a_pass_can_be_stopped() {
        let mut session = session();
        let stopped = session
            .present(&pixels(), Plasticity::On, &mut |done| {
                if done >= 16 { ControlFlow::Break(()) } else { go(done) }
            })
            .unwrap();
        assert_eq!((stopped, session.epoch, session.layer.clock()), (None, 0, 2));
    }
}
