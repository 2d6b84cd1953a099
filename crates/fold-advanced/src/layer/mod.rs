//! A layer: the core's state and laws with a checked list of mechanisms around them.
//!
//! Here is the order of a step and nothing of what the mechanisms compute. How a layer is put together is in `builder`, how its
//! state is handed out and taken back in `stored`, how it answers without stepping in `respond`.

mod builder;
mod respond;
mod stored;

use fold_core::dendrite::{Dendrite, to_sample_rows};
use fold_core::health::{Monitor, Policy, Report};
use fold_core::input;
use fold_core::invariants::{Breach, Part};
use fold_core::lanes::{LANES, Lane, Lanes};
use fold_core::spike::EscapeNoise;
use fold_core::{LayerState, Shape, Wiring, math, threads};

use crate::config::LayerConfig;
use crate::consolidation::Consolidation;
use crate::mechanism::{Drive, Mechanism, Phase, StepContext, StepOptions};
use crate::{Error, Result};

pub use builder::LayerBuilder;
pub use respond::{Response, Scratch};

/// The most samples of one batch, 2^12: up to there the sums over a batch are exact (see `docs/numerics/stdp.md`).
pub const MAX_SAMPLES: usize = 1 << 12;

/// A layer of neurons with its mechanisms. A clone goes on by itself from the same state, bit for bit.
#[derive(Debug, Clone)]
pub struct Layer {
    config: LayerConfig,
    wiring: Wiring,
    state: LayerState,
    dendrite: Dendrite,
    noise: EscapeNoise,
    monitor: Monitor,
    mechanisms: Vec<Box<dyn Mechanism>>,
    needs: Needs,
    samples: usize,
    clock: u64,
    work: Work,
}

/// What the mechanisms need beyond what every step computes.
#[derive(Debug, Clone, Copy)]
struct Needs {
    transmitted: bool,
    activations: bool,
    arrival: bool,
    credited: bool,
}

impl Needs {
    fn of(mechanisms: &[Box<dyn Mechanism>]) -> Self {
        let phase = |phase| mechanisms.iter().any(|m| m.phase() == phase);
        Self {
            transmitted: phase(Phase::Transmit),
            activations: mechanisms.iter().any(|m| m.needs_activations()),
            arrival: phase(Phase::Backpropagate),
            credited: phase(Phase::Credit),
        }
    }
}

/// What a step writes and the next one overwrites: no dynamic state.
#[derive(Debug, Clone, Default)]
struct Work {
    cleaned: Vec<f32>,
    transmitted: Vec<f32>,
    laid_out: Lanes,
    lanes: Vec<Lane>,
    activations: Vec<Lane>,
    potential: Vec<f32>,
    score: Vec<f32>,
    spikes: Vec<u8>,
    counts: Vec<u32>,
    arrival: Vec<Lane>,
    modulators: Vec<f32>,
    drive: Drive,
    found: Vec<Breach>,
}

impl Work {
    /// Makes room for `samples` samples; does nothing when there is.
    fn fit(&mut self, shape: Shape, samples: usize, needs: Needs) {
        let neurons = shape.neuron_count();
        if self.spikes.len() != samples * neurons {
            let blocks = samples.div_ceil(LANES);
            let local = |needed| {
                if needed {
                    neurons * shape.dendrite_count() * blocks
                } else {
                    0
                }
            };
            self.lanes.resize(neurons * blocks, [0.0; LANES]);
            self.activations.resize(local(needs.activations), [0.0; LANES]);
            self.arrival.resize(local(needs.arrival), [0.0; LANES]);
            self.potential.resize(samples * neurons, 0.0);
            self.score.resize(samples * neurons, 0.0);
            self.spikes.resize(samples * neurons, 0);
        }
    }
}

/// What a step brought about. Row-major.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step<'a> {
    /// 1 where a neuron fired, [B, n].
    pub spikes: &'a [u8],
    /// u, [B, n], in [0, D].
    pub potential: &'a [f32],
    /// Spikes of each neuron over the batch, \[n\].
    pub counts: &'a [u32],
}

/// Synapses in all samples that keep one more thread busy.
const UPDATES_PER_HELPER: usize = 1 << 22;

impl Layer {
    /// The layer that `config` describes, new, with one sample at rest.
    ///
    /// # Errors
    /// As [`LayerBuilder::new`] and [`LayerBuilder::build`].
    pub fn new(config: LayerConfig, wiring: Wiring) -> Result<Self> {
        LayerBuilder::new(config, wiring)?.build()
    }

    /// Runs one step.
    ///
    /// - `x`: [B, M], expected presynaptic events, each finite and in [0, 1].
    /// - `samples`: B, which must be the number the layer holds transient state for (see [`Layer::set_samples`]).
    ///
    /// # Errors
    /// Input, sample count and options are checked before anything moves; on these errors the state is unchanged.
    /// [`Error::Stopped`] comes from the health monitor, after the step has been taken.
    pub fn step(&mut self, x: &[f32], samples: usize, options: StepOptions) -> Result<Step<'_>> {
        check_option("plasticity", options.plasticity, 0.0, 1.0)?;
        check_option("modulator", options.modulator, -1.0, 1.0)?;
        check_option("homeostasis", options.homeostasis, 0.0, 1.0)?;
        if samples != self.samples {
            return Err(Error::SampleCount {
                expected: self.samples,
                given: samples,
            });
        }
        threads::in_pool(self.helpers(samples), || self.advance(x, options))?;
        Ok(Step {
            spikes: &self.work.spikes,
            potential: &self.work.potential,
            counts: &self.work.counts,
        })
    }

    /// How many more threads `samples` samples keep busy.
    fn helpers(&self, samples: usize) -> usize {
        self.config.shape.synapse_count().saturating_mul(samples) / UPDATES_PER_HELPER
    }

    /// One step of checked options.
    fn advance(&mut self, x: &[f32], options: StepOptions) -> Result<()> {
        let samples = self.samples;
        let policy = self.monitor.input_policy();
        let mut cleaned = std::mem::take(&mut self.work.cleaned);
        let input = input::accept(x, samples, self.wiring.lines() as usize, policy, &mut cleaned)?;
        self.monitor.note_silenced(input.silenced);
        self.run(input.rows, options);
        self.work.cleaned = cleaned;
        self.watch(samples)?;
        self.clock += 1;
        Ok(())
    }

    /// One step on an accepted `input` [B, M].
    fn run(&mut self, input: &[f32], options: StepOptions) {
        let samples = self.samples;
        self.work.fit(self.config.shape, samples, self.needs);
        self.integrate(input);
        let mut context = StepContext {
            wiring: &self.wiring,
            samples,
            clock: self.clock,
            options,
            input,
            potential: &self.work.potential,
            activations: &self.work.activations,
            score: &mut self.work.score,
            spikes: &mut self.work.spikes,
            counts: &mut self.work.counts,
            arrival: &mut self.work.arrival,
            credited: self.needs.credited,
            modulators: &mut self.work.modulators,
            state: &mut self.state,
            drive: &mut self.work.drive,
        };
        for mechanism in &mut self.mechanisms {
            mechanism.prepare(&mut context);
        }
        withdraw_quarantined(&mut context);
        for (spike, &score) in context.spikes.iter_mut().zip(context.score.iter()) {
            *spike = u8::from(score >= 0.0);
        }
        // They lie in the order of their phases; those of the first have acted.
        let mut rest = self.mechanisms.iter_mut().peekable();
        while rest.next_if(|m| m.phase() == Phase::Transmit).is_some() {}
        let mut run = |phase, context: &mut StepContext<'_>| {
            while let Some(mechanism) = rest.next_if(|m| m.phase() == phase) {
                mechanism.act(context);
            }
        };
        run(Phase::Compete, &mut context);
        run(Phase::Gate, &mut context);
        count_spikes(&mut context);
        context.modulators.fill(options.modulator);
        run(Phase::Backpropagate, &mut context);
        run(Phase::Learn, &mut context);
        run(Phase::Modulate, &mut context);
        run(Phase::Credit, &mut context);
        run(Phase::Consolidate, &mut context);
        run(Phase::Prune, &mut context);
        let (touched, rows) = context.drive.parts_mut();
        context.state.absorb_rows(touched, rows);
        run(Phase::Regulate, &mut context);
    }

    /// From the accepted input [B, M] to the potential and the score of every neuron in every sample.
    fn integrate(&mut self, input: &[f32]) {
        let Work {
            transmitted,
            laid_out,
            lanes,
            activations,
            potential,
            score,
            ..
        } = &mut self.work;
        let arriving = if self.needs.transmitted {
            transmitted.clear();
            transmitted.extend_from_slice(input);
            for mechanism in self.mechanisms.iter_mut().filter(|m| m.phase() == Phase::Transmit) {
                mechanism.transmit(input, transmitted);
            }
            transmitted
        } else {
            input
        };
        let weights = self.state.weights();
        self.dendrite
            .integrate(&self.wiring, weights, arriving, laid_out, lanes, activations);
        to_sample_rows(lanes, self.samples, potential);
        let neurons = self.config.shape.neuron_count();
        let rows = score.chunks_exact_mut(neurons).zip(potential.chunks_exact(neurons));
        for (sample, (score, potential)) in (0u64..).zip(rows) {
            self.noise
                .score(potential, self.state.theta(), sample, self.clock, score);
        }
    }

    /// Lets `duration_ms` of sleep pass: what waited for it becomes filaments, eligibility decays, and the transient state of every
    /// sample comes to rest. The clock, which counts steps, stands still. Returns how many synapses changed their filaments.
    ///
    /// # Errors
    /// [`Error::Missing`] without consolidation; [`Error::OptionRange`] unless 2^-20 tau <= `duration_ms` <= 10^9, tau the larger of
    /// `consolidation.tau_sleep_ms` and `three_factor.tau_e_ms`: less moves what a single-precision number cannot hold. Nothing has
    /// changed then.
    pub fn sleep(&mut self, duration_ms: f32) -> Result<usize> {
        let Some(consolidation) = &self.config.consolidation else {
            return Err(Error::Missing {
                mechanism: "sleep",
                requires: Consolidation::NAME,
            });
        };
        let eligibility = self.config.three_factor.map_or(0.0, |p| p.tau_e_ms);
        let least = consolidation.tau_sleep_ms.max(eligibility) / math::TAU_STEPS_MAX as f32;
        check_option("duration_ms", duration_ms, least.max(f32::MIN_POSITIVE), 1e9)?;
        let helpers = self.helpers(1);
        for mechanism in &mut self.mechanisms {
            mechanism.sleep(duration_ms, &mut self.work.drive);
        }
        let (touched, rows) = self.work.drive.parts_mut();
        let state = &mut self.state;
        let moved = threads::in_pool(helpers, || state.absorb_rows(touched, rows));
        self.rest();
        Ok(moved)
    }

    /// Checks this step's part of the state and acts by the policy.
    fn watch(&mut self, samples: usize) -> Result<()> {
        let part = self.monitor.part(self.clock);
        self.work.found.clear();
        self.state.check(part, &mut self.work.found);
        for mechanism in &self.mechanisms {
            mechanism.check(part, &mut self.work.found);
        }
        self.monitor
            .observe(&self.state, &self.work.counts, samples, self.clock, &self.work.found);
        let Some(&first) = self.work.found.first() else {
            return Ok(());
        };
        let outside = self.work.found.iter().find(|b| b.place.neuron().is_none()).copied();
        let stop = match self.monitor.policy() {
            Policy::Report => None,
            Policy::Stop => Some(first),
            Policy::Quarantine => {
                for breach in &self.work.found {
                    let Some(neuron) = breach.place.neuron() else { continue };
                    if self.state.quarantined()[neuron] == 0 {
                        log::warn!("neuron {neuron} is quarantined at step {}: {breach}", self.clock);
                    }
                    self.state.quarantine(neuron);
                    for mechanism in &mut self.mechanisms {
                        mechanism.reset_neuron(neuron);
                    }
                }
                outside
            }
        };
        match stop {
            Some(breach) => {
                self.clock += 1;
                Err(Error::Stopped { breach })
            }
            None => Ok(()),
        }
    }

    /// Puts the transient state of every sample (traces, countdowns, boosts) to rest: between two presentations.
    /// Weights, residuals, theta, eligibility, the clock and the health sweep go on.
    pub fn rest(&mut self) {
        for mechanism in &mut self.mechanisms {
            mechanism.rest(self.samples);
        }
    }

    /// Holds transient state for `samples` samples from now on, all at rest. A batch never changes its size by itself: a
    /// step with another number of samples is an error.
    ///
    /// # Errors
    /// [`Error::Samples`] unless 1 <= `samples` <= [`MAX_SAMPLES`]; nothing has changed then.
    pub fn set_samples(&mut self, samples: usize) -> Result<()> {
        self.samples = check_samples(samples as u64)?;
        self.rest();
        Ok(())
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &LayerConfig {
        &self.config
    }

    /// The wiring.
    #[must_use]
    pub fn wiring(&self) -> &Wiring {
        &self.wiring
    }

    /// Filaments, residuals, weights, theta, quarantine.
    #[must_use]
    pub fn state(&self) -> &LayerState {
        &self.state
    }

    /// Steps taken.
    #[must_use]
    pub fn clock(&self) -> u64 {
        self.clock
    }

    /// B: the samples that transient state is held for.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// The last completed sweep of the health monitor.
    #[must_use]
    pub fn health(&self) -> Option<&Report> {
        self.monitor.report()
    }

    /// Checks the whole state at once and returns every breach.
    #[must_use]
    pub fn check(&self) -> Vec<Breach> {
        let mut found = Vec::new();
        self.state.check(Part::WHOLE, &mut found);
        for mechanism in &self.mechanisms {
            mechanism.check(Part::WHOLE, &mut found);
        }
        found
    }
}

fn check_samples(samples: u64) -> Result<usize> {
    usize::try_from(samples)
        .ok()
        .filter(|count| (1..=MAX_SAMPLES).contains(count))
        .ok_or(Error::Samples {
            given: samples,
            max: MAX_SAMPLES,
        })
}

fn check_option(option: &'static str, value: f32, low: f32, high: f32) -> Result<()> {
    if (low..=high).contains(&value) {
        Ok(())
    } else {
        Err(Error::OptionRange {
            option,
            value,
            low,
            high,
        })
    }
}

/// Takes quarantined neurons out of the competition.
fn withdraw_quarantined(context: &mut StepContext<'_>) {
    let quarantined = context.state.quarantined();
    for row in context.score.chunks_exact_mut(quarantined.len()) {
        for (score, _) in row.iter_mut().zip(quarantined).filter(|(_, flag)| **flag != 0) {
            *score = f32::NEG_INFINITY;
        }
    }
}

/// Silences what is quarantined, whatever the mechanisms decided, and counts the rest.
fn count_spikes(context: &mut StepContext<'_>) {
    let quarantined = context.state.quarantined();
    context.counts.fill(0);
    for row in context.spikes.chunks_exact_mut(quarantined.len()) {
        for ((spike, count), &flag) in row.iter_mut().zip(context.counts.iter_mut()).zip(quarantined) {
            *spike &= u8::from(flag == 0);
            *count += u32::from(*spike);
        }
    }
}
