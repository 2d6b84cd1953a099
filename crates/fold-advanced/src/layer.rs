//! A layer: the core's state and laws with a checked list of mechanisms around them.
//!
//! Here is the order of a step and nothing of what the mechanisms compute.

use fold_core::dendrite::{Dendrite, to_sample_rows};
use fold_core::health::{Monitor, Policy, Report, Tally};
use fold_core::input;
use fold_core::invariants::{Breach, Part};
use fold_core::lanes::{LANES, Lane, Lanes};
use fold_core::spike::{self, EscapeNoise};
use fold_core::state::StoredState;
use fold_core::{LayerState, Wiring};

use crate::config::LayerConfig;
use crate::credit::Credit;
use crate::homeostasis::Homeostasis;
use crate::inhibition::Inhibition;
use crate::mechanism::{Drive, Mechanism, Phase, StepContext, StepOptions};
use crate::refractory::Refractory;
use crate::stateful::{StateArray, StateSlice, Stored};
use crate::stdp::Stdp;
use crate::{Error, Result};

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
    samples: usize,
    clock: u64,
    work: Work,
}

/// What a step writes and the next one overwrites: no dynamic state.
#[derive(Debug, Clone, Default)]
struct Work {
    input: Lanes,
    lanes: Vec<Lane>,
    potential: Vec<f32>,
    score: Vec<f32>,
    spikes: Vec<u8>,
    counts: Vec<u32>,
    drive: Drive,
    found: Vec<Breach>,
}

impl Work {
    /// Makes room for `samples` samples; does nothing when there is.
    fn fit(&mut self, neurons: usize, samples: usize) {
        if self.spikes.len() != samples * neurons {
            self.lanes.resize(neurons * samples.div_ceil(LANES), [0.0; LANES]);
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

/// What [`Layer::respond`] computes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Response {
    /// u itself, in [0, D].
    Potential,
    /// s((u - theta) / width), the probability to fire under escape noise of `width` in (0, 16].
    Probability {
        /// The noise width to read with; it may differ from the one the layer learns with.
        width: f32,
    },
}

/// Reusable memory for [`Layer::respond`]: one per thread that reads.
#[derive(Debug, Clone, Default)]
pub struct Scratch {
    input: Lanes,
    lanes: Vec<Lane>,
}

/// Puts a layer together, mechanism by mechanism, in the order of their phases.
#[derive(Debug)]
pub struct LayerBuilder {
    config: LayerConfig,
    wiring: Wiring,
    mechanisms: Vec<Box<dyn Mechanism>>,
}

impl LayerBuilder {
    /// Starts with the mechanisms that `config` names.
    ///
    /// # Errors
    /// Every violation of the parameters at once; [`Error::WiringMismatch`]; [`Error::Missing`] for `three_factor` without
    /// `stdp`.
    pub fn new(config: LayerConfig, wiring: Wiring) -> Result<Self> {
        config.check()?;
        if wiring.shape() != config.shape || wiring.lines() != config.lines {
            return Err(Error::WiringMismatch {
                expected: config.shape,
                expected_lines: config.lines,
                given: wiring.shape(),
                given_lines: wiring.lines(),
            });
        }
        let mut mechanisms: Vec<Box<dyn Mechanism>> = Vec::new();
        if let Some(params) = &config.inhibition {
            mechanisms.push(Box::new(Inhibition::new(params, config.shape)));
        }
        if let Some(params) = &config.refractory {
            mechanisms.push(Box::new(Refractory::new(params, config.dt_ms, config.shape)));
        }
        if let Some(params) = &config.stdp {
            mechanisms.push(Box::new(Stdp::new(
                params,
                config.dt_ms,
                &config.filaments,
                config.shape,
                config.lines,
            )));
        }
        if let Some(params) = &config.three_factor {
            let stdp = config.stdp.ok_or(Error::Missing {
                mechanism: Credit::NAME,
                requires: Stdp::NAME,
            })?;
            let hebb_max = stdp.drive_max(&config.filaments);
            mechanisms.push(Box::new(Credit::new(params, config.dt_ms, hebb_max, config.shape)));
        }
        if let Some(params) = &config.homeostasis {
            mechanisms.push(Box::new(Homeostasis::new(
                params,
                config.dt_ms,
                &config.spike,
                config.shape,
            )));
        }
        Ok(Self {
            config,
            wiring,
            mechanisms,
        })
    }

    /// Adds a mechanism after those that are there.
    #[must_use]
    pub fn with(mut self, mechanism: impl Mechanism + 'static) -> Self {
        self.mechanisms.push(Box::new(mechanism));
        self
    }

    /// Checks the list, logs one record per mechanism, and makes the layer with one sample at rest.
    ///
    /// # Errors
    /// [`Error::Duplicate`], [`Error::Missing`], [`Error::Order`], each naming the mechanism.
    pub fn build(self) -> Result<Layer> {
        self.check_order()?;
        let state = LayerState::new(
            self.config.shape,
            &self.config.filaments,
            &self.config.spike,
            self.config.seed,
        );
        self.assemble(state, 1, 0)
    }

    fn check_order(&self) -> Result<()> {
        let named = |name: &str| self.mechanisms.iter().filter(|m| m.name() == name).count();
        for mechanism in &self.mechanisms {
            if named(mechanism.name()) > 1 {
                return Err(Error::Duplicate {
                    mechanism: mechanism.name(),
                });
            }
            if let Some(requires) = mechanism.requires().iter().find(|name| named(name) == 0) {
                return Err(Error::Missing {
                    mechanism: mechanism.name(),
                    requires,
                });
            }
        }
        for (before, after) in self.mechanisms.iter().zip(self.mechanisms.iter().skip(1)) {
            if after.phase() < before.phase() {
                return Err(Error::Order {
                    mechanism: after.name(),
                    phase: after.phase(),
                    after: before.name(),
                    after_phase: before.phase(),
                });
            }
        }
        Ok(())
    }

    fn assemble(self, state: LayerState, samples: usize, clock: u64) -> Result<Layer> {
        let Self {
            config,
            wiring,
            mechanisms,
        } = self;
        for mechanism in &mechanisms {
            let (name, phase) = (mechanism.name(), mechanism.phase());
            log::info!("mechanism {name} in phase {phase}: {:?}", mechanism.parameters());
        }
        let neurons = config.shape.neuron_count();
        let bounds = (config.filaments.n_min, config.filaments.n_max);
        let mut layer = Layer {
            dendrite: Dendrite::new(&config.dendrite),
            noise: EscapeNoise::new(config.spike.width, config.seed),
            monitor: Monitor::new(&config.health, neurons, bounds),
            work: Work {
                counts: vec![0; neurons],
                drive: Drive::zeros(neurons, config.shape.row_len()),
                ..Work::default()
            },
            config,
            wiring,
            state,
            mechanisms,
            samples,
            clock,
        };
        layer.rest();
        Ok(layer)
    }
}

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
        if samples != self.samples {
            return Err(Error::SampleCount {
                expected: self.samples,
                given: samples,
            });
        }
        input::accept(x, samples, self.wiring.lines() as usize, &mut self.work.input)?;
        self.work.fit(self.config.shape.neuron_count(), samples);

        self.dendrite.integrate(
            &self.wiring,
            self.state.weights(),
            &self.work.input,
            &mut self.work.lanes,
        );
        to_sample_rows(&self.work.lanes, samples, &mut self.work.potential);
        let neurons = self.config.shape.neuron_count();
        let rows = self
            .work
            .score
            .chunks_exact_mut(neurons)
            .zip(self.work.potential.chunks_exact(neurons));
        for (sample, (score, potential)) in (0u64..).zip(rows) {
            self.noise
                .score(potential, self.state.theta(), sample, self.clock, score);
        }

        let mut context = StepContext {
            wiring: &self.wiring,
            samples,
            clock: self.clock,
            options,
            input: &self.work.input,
            potential: &self.work.potential,
            score: &mut self.work.score,
            spikes: &mut self.work.spikes,
            counts: &mut self.work.counts,
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
        let mut run = |phase, context: &mut StepContext<'_>| {
            for mechanism in self.mechanisms.iter_mut().filter(|m| m.phase() == phase) {
                mechanism.act(context);
            }
        };
        run(Phase::Compete, &mut context);
        run(Phase::Gate, &mut context);
        count_spikes(&mut context);
        run(Phase::Learn, &mut context);
        run(Phase::Credit, &mut context);
        for (neuron, row) in context.drive.touched() {
            context.state.absorb(neuron, row);
        }
        context.drive.clear();
        run(Phase::Regulate, &mut context);

        self.watch(samples)?;
        self.clock += 1;
        Ok(Step {
            spikes: &self.work.spikes,
            potential: &self.work.potential,
            counts: &self.work.counts,
        })
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
                for neuron in self.work.found.iter().filter_map(|b| b.place.neuron()) {
                    log::warn!("neuron {neuron} is quarantined at step {}: {first}", self.clock);
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

    /// Computes what each neuron answers to each sample, with nothing learned and no state changed or consulted but
    /// weights, thresholds and quarantine. Competition, noise and refractoriness play no part.
    ///
    /// - `x`: [B, M] as for a step; B is free.   - `out`: [B, n], written in full; quarantined neurons answer 0.
    ///
    /// # Errors
    /// Input, lengths or width out of range; `out` is then unchanged.
    pub fn respond(
        &self,
        x: &[f32],
        samples: usize,
        response: Response,
        scratch: &mut Scratch,
        out: &mut [f32],
    ) -> Result<()> {
        if let Response::Probability { width } = response {
            check_option("width", width, f32::MIN_POSITIVE, 16.0)?;
        }
        let neurons = self.config.shape.neuron_count();
        let expected = samples.saturating_mul(neurons);
        if out.len() != expected {
            return Err(fold_core::Error::Length {
                array: "response",
                expected,
                given: out.len(),
            }
            .into());
        }
        input::accept(x, samples, self.wiring.lines() as usize, &mut scratch.input)?;
        scratch.lanes.resize(neurons * samples.div_ceil(LANES), [0.0; LANES]);
        self.dendrite
            .integrate(&self.wiring, self.state.weights(), &scratch.input, &mut scratch.lanes);
        to_sample_rows(&scratch.lanes, samples, out);
        for row in out.chunks_exact_mut(neurons) {
            let neuron = row.iter_mut().zip(self.state.theta()).zip(self.state.quarantined());
            for ((u, &theta), &quarantined) in neuron {
                *u = match response {
                    _ if quarantined != 0 => 0.0,
                    Response::Potential => *u,
                    Response::Probability { width } => spike::rate(*u, theta, width),
                };
            }
        }
        Ok(())
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

    /// Hands every array of the dynamic state to `visit`: name, shape, values. Together with the configuration they are
    /// the whole layer: [`Layer::restore`] goes on bit-identically.
    ///
    /// | name | type, shape |
    /// |---|---|
    /// | `filaments`, `internal`, `wiring` | u8, f32, u32 [n, D, S] |
    /// | `theta`, `quarantined` | f32, u8 \[n\] |
    /// | `clock`, `seed`, `samples` | u64 \[1\]; (seed, clock) is the position of the random numbers |
    /// | `health.spikes`, `health.counters` | u32 \[n\], u64 \[3\] (samples, at n_min, at n_max of the running sweep) |
    /// | `stdp.trace_pre`, `stdp.trace_post` | f32 [B, M], f32 [B, n] |
    /// | `three_factor.eligibility` | f32 [n, D, S] |
    /// | `homeostasis.error` | f32 \[n\] |
    /// | `refractory.countdown`, `refractory.boost` | u32, f32 [B, n] |
    pub fn visit_state(&self, visit: &mut impl FnMut(&str, &[usize], StateSlice<'_>)) {
        let synapses = self.config.shape.dims();
        let neurons = [self.config.shape.neuron_count()];
        visit("filaments", &synapses, StateSlice::U8(self.state.filaments()));
        visit("internal", &synapses, StateSlice::F32(self.state.internal()));
        visit("wiring", &synapses, StateSlice::U32(self.wiring.index()));
        visit("theta", &neurons, StateSlice::F32(self.state.theta()));
        visit("quarantined", &neurons, StateSlice::U8(self.state.quarantined()));
        visit("clock", &[1], StateSlice::U64(&[self.clock]));
        visit("seed", &[1], StateSlice::U64(&[self.config.seed]));
        visit("samples", &[1], StateSlice::U64(&[self.samples as u64]));
        let tally = self.monitor.tally();
        visit("health.spikes", &neurons, StateSlice::U32(&tally.spikes));
        let counters = [tally.samples, tally.at_n_min, tally.at_n_max];
        visit("health.counters", &[3], StateSlice::U64(&counters));
        for mechanism in &self.mechanisms {
            mechanism.visit_state(&mut |name, shape, values| visit(name, shape, values));
        }
    }

    /// The layer that `config` describes, with the dynamic state that `get` returns by name.
    ///
    /// # Errors
    /// As [`Layer::new`]; an array is missing, or has another type or shape; the stored seed is not the configured one; the
    /// stored state breaks an invariant.
    pub fn restore(config: LayerConfig, mut get: impl FnMut(&str) -> Option<StateArray>) -> Result<Self> {
        config.check()?;
        let shape = config.shape;
        let neurons = [shape.neuron_count()];
        let mut stored = Stored::new(&mut get);
        let wiring = Wiring::new(shape, config.lines, stored.u32s("wiring", &shape.dims())?)?;
        let [seed, clock, samples] = [
            one(stored.u64s("seed", &[1])?),
            one(stored.u64s("clock", &[1])?),
            one(stored.u64s("samples", &[1])?),
        ];
        if seed != config.seed {
            return Err(Error::StateConflict {
                array: "seed",
                stored: seed,
                configured: config.seed,
            });
        }
        let arrays = StoredState {
            filaments: stored.u8s("filaments", &shape.dims())?,
            internal: stored.f32s("internal", &shape.dims())?,
            theta: stored.f32s("theta", &neurons)?,
            quarantined: stored.u8s("quarantined", &neurons)?,
        };
        let state = LayerState::restore(shape, &config.filaments, &config.spike, arrays).map_err(invalid)?;
        let samples = check_samples(samples)?;
        let builder = LayerBuilder::new(config, wiring)?;
        let mut layer = builder.assemble(state, samples, clock)?;
        for mechanism in &mut layer.mechanisms {
            mechanism.restore(samples, &mut stored)?;
        }
        let counters = stored.u64s("health.counters", &[3])?;
        let [samples_seen, at_n_min, at_n_max] = <[u64; 3]>::try_from(counters).unwrap_or_default();
        let spikes = stored.u32s("health.spikes", &neurons)?;
        layer.monitor.restore(Tally {
            spikes,
            samples: samples_seen,
            at_n_min,
            at_n_max,
        })?;
        let mut found = Vec::new();
        for mechanism in &layer.mechanisms {
            mechanism.check(Part::WHOLE, &mut found);
        }
        match found.first() {
            Some(&breach) => Err(Error::StateInvalid { breach }),
            None => Ok(layer),
        }
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

fn one(values: Vec<u64>) -> u64 {
    values.first().copied().unwrap_or_default()
}

fn invalid(error: fold_core::Error) -> Error {
    match error {
        fold_core::Error::Invariant { breach } => Error::StateInvalid { breach },
        other => other.into(),
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
