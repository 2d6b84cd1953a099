//! Spike-timing-dependent plasticity: the pair rule on exponential traces, with soft bounds and a heterosynaptic term.
//!
//! Per sample, with presynaptic events s_pre in [0, 1], postsynaptic spikes s_post, traces normalised to [0, 1] and
//! w = (N - n_min) / (n_max - n_min):
//!
//! ```text
//! x <- x exp(-dt/tau+) + (1 - exp(-dt/tau+)) s_pre
//! at a pre event    dN = -A- w^mu y s_pre                      y without this step's post spike
//! at a post spike   dN = +A+ (1-w)^mu x - A_het w^mu (1-x)     x with this step's pre event
//! y <- y exp(-dt/tau-) + (1 - exp(-dt/tau-)) s_post
//! ```
//!
//! With [`Pairing::Nearest`] an event replaces the trace instead of adding to it: x <- (1 - s) x + s (1 - exp(-dt/tau+)). What a
//! post spike does is multiplied by how much of it arrives at the synapse's dendrite, where [`crate::bap`] says so.
//! Reward-modulated STDP is this rule with [`crate::credit`] behind it.
//!
//! Tie rule: a pre event and a post spike in one step count as pre before post. The drive is the mean over the batch, in
//! filaments, times the promotion threshold Th (so Th changes no learning speed).
//!
//! # Properties
//! A_het = 0: a silent input line changes nothing. The drive does not decrease with the pre event when post fires. One
//! isolated pair gives A exp(-|dt| / tau) (1 - exp(-dt/tau)) (ADR 0030). With mu = 1, w stays in [0, 1] without a clamp while
//! A+ and A- + A_het are at most n_max - n_min and the drive goes straight to the filaments; [`crate::credit`] releases many steps' drive at once, and
//! there the bounds of N clamp it. B identical samples give the bits of one; the order of the samples changes no bit, since
//! traces live on a grid of 2^-40 on which sums over a batch are exact.
//!
//! # Source
//! Morrison, Diesmann, Gerstner 2008, doi:10.1007/s00422-008-0233-1; Song, Miller, Abbott 2000, doi:10.1038/78829; soft
//! bounds: Guetig, Aharonov, Rotter, Sompolinsky 2003, doi:10.1523/JNEUROSCI.23-09-03697.2003; heterosynaptic term:
//! Chistiakova, Bannon, Bazhenov, Volgushev 2014, doi:10.1177/1073858414529829 (ADR 0022).

mod drive;
mod trace;

use std::fmt;

use fold_core::invariants::{Breach, Part, Place};
use fold_core::params::{FilamentParams, Range, Violations};
use fold_core::{Shape, math};
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::mechanism::{Mechanism, Phase, StepContext};
use crate::stateful::{StateSlice, Stored};

use drive::Amplitudes;
use trace::Trace;

fold_core::parameters! {
    /// Spike-timing-dependent plasticity.
    pub struct StdpParams in "stdp" {
        /// Amplitude A+ of potentiation at a post spike.
        a_plus: f32 = 0.1, Range::closed(0.0, 255.0), "filaments";
        /// Amplitude A- of depression at a pre event.
        a_minus: f32 = 0.0, Range::closed(0.0, 255.0), "filaments";
        /// Amplitude A_het of heterosynaptic depression at a post spike.
        a_het: f32 = 0.0, Range::closed(0.0, 255.0), "filaments";
        /// Exponent mu of the soft bounds: 0 additive, 1 multiplicative.
        mu: f32 = 1.0, Range::closed(0.0, 1.0), "1";
        /// Time constant tau+ of the presynaptic trace.
        tau_plus_ms: f32 = 20.0, Range::closed(0.0, 100000.0), "ms";
        /// Time constant tau- of the postsynaptic trace.
        tau_minus_ms: f32 = 20.0, Range::closed(0.0, 100000.0), "ms";
    }
    choices {
        /// Which events pair.
        pairing: Pairing = Pairing::AllToAll;
    }
}

/// Which events pair with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pairing {
    /// Every pre event with every post spike: an event adds to the trace.
    #[default]
    AllToAll,
    /// A post spike with the last pre event, a pre event with the last post spike: an event replaces the trace. An event s between 0 and 1
    /// replaces that share of it.
    Nearest,
}

/// The smallest amplitude that is not zero, in filaments: below it a maximal drive would need more than 2^16 events for one filament,
/// and the residual could no longer resolve it.
pub const AMPLITUDE_MIN: f64 = 1.0 / 65_536.0;

impl StdpParams {
    /// Notes every violation, single and joint.
    ///
    /// - `dt_ms`: duration of a step.
    pub fn check(&self, dt_ms: f32, filaments: &FilamentParams, violations: &mut Violations) {
        self.check_ranges(violations);
        let span = f64::from(filaments.n_max) - f64::from(filaments.n_min);
        // With each the share of a trace that its event finds at most: a pre event one of the step before.
        let amplitudes = [
            ("stdp.a_plus", self.a_plus, 1.0),
            ("stdp.a_minus", self.a_minus, math::decay(dt_ms, self.tau_minus_ms)),
            ("stdp.a_het", self.a_het, 1.0),
        ];
        for (name, amplitude, found) in amplitudes.map(|(name, a, found)| (name, f64::from(a), f64::from(found))) {
            let rule = "must not exceed n_max - n_min, or soft bounds overshoot";
            violations.joint(amplitude <= span, name, amplitude, rule, span);
            let rule = "must be 0, or large enough that a maximal drive moves a filament within 65536 events (of a-: times exp(-dt/tau-))";
            let acts = amplitude * found >= AMPLITUDE_MIN;
            violations.joint(amplitude == 0.0 || acts, name, amplitude, rule, AMPLITUDE_MIN / found);
        }
        let rule = "with stdp.a_het must not exceed n_max - n_min: one step may apply both";
        let (both, het) = (f64::from(self.a_minus) + f64::from(self.a_het), f64::from(self.a_het));
        violations.joint(both <= span, "stdp.a_minus", self.a_minus.into(), rule, span - het);
        let largest = amplitudes.iter().map(|(_, a, _)| f64::from(*a)).fold(0.0, f64::max);
        violations.joint(
            largest > 0.0,
            "stdp.a_plus",
            largest,
            "at least one amplitude must exceed 0",
            0.0,
        );
    }

    /// The largest |drive| of one step, in filaments.
    #[must_use]
    pub fn amplitude_max(&self) -> f64 {
        f64::from(self.a_plus.max(self.a_minus + self.a_het))
    }

    /// The largest |drive| of one step, in drive units.
    #[must_use]
    pub fn drive_max(&self, filaments: &FilamentParams) -> f32 {
        self.a_plus.max(self.a_minus + self.a_het) * filaments.threshold
    }
}

/// The traces of a layer, and the rule.
#[derive(Debug, Clone)]
pub struct Stdp {
    params: StdpParams,
    amplitudes: Amplitudes,
    pre: Trace,
    post: Trace,
    events: drive::Events,
    /// The postsynaptic traces neuron by neuron, [n, B], for the step's drive: no dynamic state. Empty without depression.
    post_by_neuron: Vec<f32>,
}

impl Stdp {
    /// The mechanism's name.
    pub const NAME: &'static str = "stdp";

    /// Traces at rest, for parameters that have passed their check.
    #[must_use]
    pub fn new(params: &StdpParams, dt_ms: f32, filaments: &FilamentParams, shape: Shape, lines: u32) -> Self {
        let trace = |name, tau_ms, width| Trace::new(name, dt_ms, tau_ms, params.pairing, width);
        Self {
            params: *params,
            amplitudes: Amplitudes::new(params, filaments),
            pre: trace("stdp.trace_pre", params.tau_plus_ms, lines as usize),
            post: trace("stdp.trace_post", params.tau_minus_ms, shape.neuron_count()),
            events: drive::Events::default(),
            post_by_neuron: Vec::new(),
        }
    }
}

impl Mechanism for Stdp {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn boxed(&self) -> Box<dyn Mechanism> {
        Box::new(self.clone())
    }

    fn phase(&self) -> Phase {
        Phase::Learn
    }

    fn parameters(&self) -> &dyn fmt::Debug {
        &self.params
    }

    fn act(&mut self, context: &mut StepContext<'_>) {
        self.post.decay();
        self.pre.decay_and_add(context.input);
        if context.options.plasticity > 0.0 {
            self.events.collect(context.spikes, context.counts);
            if self.amplitudes.depresses {
                self.post.by_unit(&mut self.post_by_neuron);
            }
            let (pre, post) = (self.pre.values(), &self.post_by_neuron);
            drive::accumulate(&self.amplitudes, pre, post, &self.events, context);
        }
        self.post.add_spikes(context.spikes);
    }

    fn rest(&mut self, samples: usize) {
        self.pre.rest(samples);
        self.post.rest(samples);
    }

    fn reset_neuron(&mut self, neuron: usize) {
        self.post.reset_unit(neuron);
    }

    fn check(&self, part: Part, found: &mut Vec<Breach>) {
        let line = |sample, line| Place::SampleLine { sample, line };
        let neuron = |sample, neuron| Place::SampleNeuron { sample, neuron };
        self.pre.check(part, line, found);
        self.post.check(part, neuron, found);
    }

    fn visit_state(&self, visit: &mut dyn FnMut(&'static str, &[usize], StateSlice<'_>)) {
        self.pre.visit(visit);
        self.post.visit(visit);
    }

    fn restore(&mut self, samples: usize, stored: &mut Stored<'_>) -> Result<()> {
        self.pre.restore(samples, stored)?;
        self.post.restore(samples, stored)
    }
}
