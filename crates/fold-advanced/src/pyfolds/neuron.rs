//! `MPJRDNeuron`: one neuron of D dendrites with S synapses each, over a batch.
//!
//! A forward step integrates with the weights and theta from before it, then runs homeostasis, the modulator, accumulation
//! and online plasticity, in this order:
//!
//! | | online | batch | sleep | inference |
//! |---|---|---|---|---|
//! | homeostasis | yes | yes | yes | no |
//! | accumulate | no | if `defer_updates` | no | no |
//! | update at once | if not `defer_updates` | no | no | no |

use fold_core::random::{Random, Stream, below};
use serde::{Deserialize, Serialize};

use super::consolidation::consolidate;
use super::homeostasis::Homeostasis;
use super::integration::{Integrated, dendritic_sums, effective_theta, weight};
use super::neuromodulation::{Signals, modulator};
use super::parameters::Parameters;
use super::plasticity::{Factors, Rule, Synapses};
use super::scalar::{at_least, clip, clip_f64, count, mask, single, sum};
use crate::{Error, Result};

/// What a neuron is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Learns at every step, unless updates are deferred.
    Online,
    /// Gathers samples for [`Neuron::apply_plasticity`], if updates are deferred.
    Batch,
    /// Homeostasis goes on, learning does not.
    Sleep,
    /// Nothing changes.
    Inference,
}

/// What the caller says about one forward step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forward {
    /// The mode of this step alone; the neuron's own where none is given.
    pub mode: Option<Mode>,
    /// The reward, for external neuromodulation.
    pub reward: Option<f64>,
    /// The step's duration, ms; any number (defect A2).
    pub dt: f64,
    /// Whether homeostasis and learning take place.
    pub collect_stats: bool,
}

impl Default for Forward {
    fn default() -> Self {
        Self {
            mode: None,
            reward: None,
            dt: 1.0,
            collect_stats: true,
        }
    }
}

/// What a forward step brought about.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Step {
    /// 1 where the potential reached the capped threshold, \[B\].
    pub spikes: Vec<u8>,
    /// Sums, gates, contributions and potentials.
    pub integrated: Integrated,
    /// theta after homeostasis.
    pub theta: f32,
    /// The moving average of the rate after homeostasis.
    pub r_hat: f32,
    /// The batch's mean rate, rounded to f32.
    pub spike_rate: f64,
    /// The fraction of synapses at n_max before learning, rounded to f32.
    pub saturation_ratio: f64,
    /// R.
    pub modulator: f64,
}

/// What BATCH has gathered since it was last applied.
#[derive(Debug, Clone, PartialEq)]
pub struct Accumulator {
    /// The sum of the inputs, [D, S].
    pub x: Vec<f32>,
    /// The sum of the gates, \[D\]; no rule uses it.
    pub gated: Vec<f32>,
    /// Spikes.
    pub spikes: i64,
    /// Samples.
    pub count: i64,
}

impl Accumulator {
    fn new(p: &Parameters) -> Self {
        Self {
            x: vec![0.0; p.synapse_count()],
            gated: vec![0.0; p.dendrites()],
            spikes: 0,
            count: 0,
        }
    }

    fn clear(&mut self) {
        self.x.fill(0.0);
        self.gated.fill(0.0);
        (self.spikes, self.count) = (0, 0);
    }
}

/// What a saved neuron holds: what PyFolds' state dictionary has, and no more (defect G4). It also has, for every synapse, `u` and `R`,
/// and `stats_acc.initialized`, which nothing of a neuron reads: they are not here.
#[derive(Debug, Clone, PartialEq)]
pub struct NeuronState {
    /// The synapses.
    pub synapses: Synapses,
    /// The controller.
    pub homeostasis: Homeostasis,
    /// What BATCH has gathered.
    pub accumulator: Accumulator,
    /// Forward steps.
    pub step_id: i64,
    /// Sleeps.
    pub sleep_count: i64,
    /// Real changes of the mode.
    pub mode_switches: i64,
}

impl NeuronState {
    /// A new neuron's: filaments uniform in the quarter of the range around its middle that PyFolds draws from, by our own
    /// generator. `p` must have passed its check.
    #[must_use]
    pub fn new(p: &Parameters, seed: u64) -> Self {
        let low = p.n_min.max(p.n_max.div_euclid(4));
        let high = (low + 1).max((p.n_max + 1).min((3 * p.n_max).div_euclid(4) + 1));
        let random = Random::new(seed, Stream::FILAMENTS);
        let span = u32::try_from(high - low).unwrap_or(1);
        let draw = |k: usize| {
            let word = random.block(k as u64 / 4, 0)[k % 4];
            (low + i64::from(below(word, span))) as i32
        };
        Self {
            synapses: Synapses::new((0..p.synapse_count()).map(draw).collect()),
            homeostasis: Homeostasis::new(p),
            accumulator: Accumulator::new(p),
            step_id: 0,
            sleep_count: 0,
            mode_switches: 0,
        }
    }

    /// Whether every array has the length that `p` demands.
    ///
    /// # Errors
    /// [`fold_core::Error::Length`] with the first that has not.
    fn check(&self, p: &Parameters) -> Result<()> {
        let (s, a) = (&self.synapses, &self.accumulator);
        let synapses = p.synapse_count();
        for (array, given, expected) in [
            ("N", s.filaments.len(), synapses),
            ("I", s.internal.len(), synapses),
            ("protection", s.protection.len(), synapses),
            ("sat_time", s.sat_time.len(), synapses),
            ("eligibility", s.eligibility.len(), synapses),
            ("acc_x", a.x.len(), synapses),
            ("acc_gated", a.gated.len(), p.dendrites()),
        ] {
            if given != expected {
                return Err(fold_core::Error::Length { array, expected, given }.into());
            }
        }
        Ok(())
    }
}

/// A base neuron.
#[derive(Debug, Clone, PartialEq)]
pub struct Neuron {
    p: Parameters,
    state: NeuronState,
    mode: Mode,
    weights: Vec<f32>,
    step: Step,
    pre: Vec<f32>,
}

impl Neuron {
    /// A neuron with the state given, online.
    ///
    /// # Errors
    /// Every violation of the parameters; an array that does not fit them.
    pub fn new(p: Parameters, state: NeuronState) -> Result<Self> {
        p.check()?;
        state.check(&p)?;
        let weights = vec![0.0; p.synapse_count()];
        Ok(Self {
            p,
            state,
            mode: Mode::Online,
            weights,
            step: Step::default(),
            pre: Vec::new(),
        })
    }

    /// The parameters.
    #[must_use]
    pub fn parameters(&self) -> &Parameters {
        &self.p
    }

    /// What a saved neuron holds.
    #[must_use]
    pub fn state(&self) -> &NeuronState {
        &self.state
    }

    /// The neuron's own mode.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The mode that a step with `forward` runs in.
    pub(super) fn effective_mode(&self, forward: Forward) -> Mode {
        forward.mode.unwrap_or(self.mode)
    }

    /// I of every synapse, for STDP, which writes it directly.
    pub(super) fn internal_mut(&mut self) -> &mut [f32] {
        &mut self.state.synapses.internal
    }

    /// The last step, for the mechanisms around this neuron.
    pub(super) fn last_step(&self) -> &Step {
        &self.step
    }

    /// Changes the neuron's mode; entering sleep forgets what BATCH has gathered.
    pub fn set_mode(&mut self, mode: Mode) {
        if mode != self.mode {
            self.state.mode_switches = self.state.mode_switches.wrapping_add(1);
            if mode == Mode::Sleep {
                self.state.accumulator.clear();
            }
            self.mode = mode;
        }
    }

    /// One forward step.
    ///
    /// - `x`: [B, D, S], any value; a NaN silences its sample and gets into what BATCH gathers (defect G3).
    /// - `samples`: B; 0 counts as a rate of 1.
    ///
    /// # Errors
    /// [`fold_core::Error::Length`] where `x` is not B rows; nothing has changed then. [`Error::Rate`] where a NaN was to be
    /// learned from: homeostasis has moved and the dendrites before it have learned, the step does not count.
    pub fn forward(&mut self, x: &[f32], samples: usize, forward: Forward) -> Result<&Step> {
        let row = self.p.synapse_count();
        let expected = samples.saturating_mul(row);
        if x.len() != expected {
            return Err(fold_core::Error::Length {
                array: "x",
                expected,
                given: x.len(),
            }
            .into());
        }
        self.integrate(x);
        let fired = self.step.spikes.iter().map(|&s| i64::from(s)).sum::<i64>();
        let mean = f64::from(fired as f32 / count(samples));
        // An empty batch has no mean, and counts as a rate of 1.
        let rate = if (-0.1..=1.1).contains(&mean) { mean } else { 1.0 };
        let saturation = self.saturation();
        let mode = self.effective_mode(forward);
        let learns = forward.collect_stats;
        if learns && mode != Mode::Inference {
            self.state.homeostasis.update(&self.p, rate);
        }
        let r_hat = self.state.homeostasis.r_hat;
        let signals = Signals {
            reward: forward.reward,
            rate,
            r_hat,
            saturation,
        };
        let modulator = modulator(&self.p, signals);
        if learns && mode == Mode::Batch && self.p.defer_updates {
            self.accumulate(x, fired, samples);
        }
        if learns && mode == Mode::Online && self.p.plastic && !self.p.defer_updates {
            self.online_activity(x, samples);
            let factors = Factors {
                post: clip_f64(rate, 0.0, 1.0),
                modulator,
                dt: forward.dt,
                mode,
            };
            Rule::new(&self.p, factors).apply(&mut self.state.synapses, &self.pre)?;
        }
        self.state.step_id = self.state.step_id.wrapping_add(1);
        self.step.theta = self.state.homeostasis.theta;
        self.step.r_hat = r_hat;
        self.step.spike_rate = rate;
        self.step.saturation_ratio = saturation;
        self.step.modulator = modulator;
        Ok(&self.step)
    }

    /// Potentials and spikes, from the state before the step.
    fn integrate(&mut self, x: &[f32]) {
        for (w, &n) in self.weights.iter_mut().zip(&self.state.synapses.filaments) {
            *w = weight(n, self.p.w_scale);
        }
        let theta = effective_theta(&self.p, self.state.homeostasis.theta);
        let step = &mut self.step;
        dendritic_sums(&self.weights, x, self.p.synapses(), &mut step.integrated.v);
        step.integrated.integrate(&self.p, theta);
        step.spikes.clear();
        step.spikes
            .extend(step.integrated.u.iter().map(|&u| u8::from(u >= theta)));
    }

    /// The fraction of synapses at n_max, rounded to f32.
    fn saturation(&self) -> f64 {
        let filaments = &self.state.synapses.filaments;
        let full = filaments.iter().filter(|&&n| i64::from(n) == self.p.n_max).count();
        f64::from(count(full) / count(filaments.len()))
    }

    fn accumulate(&mut self, x: &[f32], fired: i64, samples: usize) {
        let (row, dendrites) = (self.p.synapse_count(), self.p.dendrites());
        let a = &mut self.state.accumulator;
        for (k, acc) in a.x.iter_mut().enumerate() {
            *acc += sum(x.chunks_exact(row).map(|x| x[k]));
        }
        let gated = &self.step.integrated.gated;
        for (d, acc) in a.gated.iter_mut().enumerate() {
            *acc += sum(gated.chunks_exact(dendrites).map(|g| g[d]));
        }
        a.spikes += fired;
        a.count += samples as i64;
    }

    /// Presynaptic activity as ONLINE sees it: the mean over the samples in which the synapse was active (defect G5).
    fn online_activity(&mut self, x: &[f32], samples: usize) {
        let row = self.p.synapse_count();
        let threshold = single(self.p.activity_threshold);
        self.pre.clear();
        for k in 0..row {
            let column = || (0..samples).map(|b| x[b * row + k]);
            let active = sum(column().map(|x| mask(x > threshold)));
            let total = sum(column().map(|x| x * mask(x > threshold)));
            self.pre.push(clip(total / at_least(active, 1.0), 0.0, 1.0));
        }
    }

    /// Learns from what BATCH has gathered, with the factor of the neuron's own mode, and forgets it. Of no samples, nothing is
    /// learned and nothing forgotten.
    ///
    /// # Errors
    /// [`Error::Rate`] where an input that is not a number was gathered; it stays so (defect G3).
    pub fn apply_plasticity(&mut self, dt: f64, reward: Option<f64>) -> Result<()> {
        let a = &self.state.accumulator;
        if !self.p.plastic || a.count <= 0 {
            return Ok(());
        }
        let n = a.count as f32;
        let post = clip_f64(f64::from(a.spikes as f32 / n), 0.0, 1.0);
        let threshold = single(self.p.activity_threshold);
        self.pre.clear();
        self.pre.extend(a.x.iter().map(|x| {
            let mean = x / n;
            clip(mean * mask(mean > threshold), 0.0, 1.0)
        }));
        let r_hat = self.state.homeostasis.r_hat;
        let signals = Signals {
            reward,
            rate: post,
            r_hat,
            saturation: self.saturation(),
        };
        let modulator = modulator(&self.p, signals);
        let factors = Factors {
            post,
            modulator,
            dt,
            mode: self.mode,
        };
        Rule::new(&self.p, factors).apply(&mut self.state.synapses, &self.pre)?;
        self.state.accumulator.clear();
        Ok(())
    }

    /// Consolidates over `duration` milliseconds, in any mode.
    ///
    /// # Errors
    /// [`Error::Consolidation`]; nothing has changed then but the count of sleeps.
    pub fn sleep(&mut self, duration: f64) -> std::result::Result<(), Error> {
        self.state.sleep_count = self.state.sleep_count.wrapping_add(1);
        consolidate(&self.p, &mut self.state.synapses, duration)
    }
}
