//! The laws of `docs/numerics`, one after the other, for one neuron, one synapse and one sample at a time, in double precision.
//!
//! Nothing here is fast, shared with the layer, or clever; only the random words of the escape noise and the input are the same. Where a
//! decision (spike, whole filament, inhibitory cell) falls so close that single precision may see it the other way round, the layer's own
//! decision is taken over and counted: a trajectory then stays comparable, and a law that differs shows everywhere else.

use fold_advanced::inhibition::Contenders;
use fold_advanced::neuromodulation::Signal;
use fold_advanced::stdp::Pairing;
use fold_advanced::{LayerConfig, StepOptions, Thresholds};
use fold_core::params::Integration;
use fold_core::random::{Random, Stream, uniform};

/// Largest absolute difference between the layer's numbers and these, for a number that may be as large as `bound`.
pub(super) fn tolerance(bound: f64) -> f64 {
    1e-4 * bound.max(1.0)
}

/// What the layer decided and what it was left with: consulted for near decisions and compared, never computed with.
pub(super) struct Seen<'a> {
    pub(super) spikes: &'a [u8],
    pub(super) filaments: &'a [u8],
    pub(super) internal: &'a [f32],
    /// Empty without feedback inhibition.
    pub(super) inhibition: &'a [f32],
}

/// A layer in double precision.
pub(super) struct Model {
    c: LayerConfig,
    index: Vec<u32>,
    samples: usize,
    clock: u64,
    /// Decisions taken, and those that were too close to call.
    pub(super) decisions: [u64; 2],
    pub(super) filaments: Vec<i64>,
    pub(super) internal: Vec<f64>,
    pub(super) theta: Vec<f64>,
    pub(super) potential: Vec<f64>,
    pub(super) error: Vec<f64>,
    pub(super) trace_pre: Vec<f64>,
    pub(super) trace_post: Vec<f64>,
    pub(super) utilisation: Vec<f64>,
    pub(super) resources: Vec<f64>,
    pub(super) countdown: Vec<f64>,
    pub(super) boost: Vec<f64>,
    pub(super) exhaustion: Vec<f64>,
    pub(super) rate: Vec<f64>,
    pub(super) cell_potential: Vec<f64>,
    pub(super) cell_inhibition: Vec<f64>,
    pub(super) expected: Vec<f64>,
    pub(super) eligibility: Vec<f64>,
    pub(super) labile: Vec<f64>,
    pub(super) age: Vec<u32>,
}

fn sigmoid(z: f64) -> f64 {
    1.0 / (1.0 + (-z).exp())
}

impl Model {
    /// At rest, with the filaments that a new layer of `config` starts with.
    pub(super) fn new(config: &LayerConfig, index: &[u32], filaments: &[u8], samples: usize) -> Self {
        let (n, synapses) = (config.shape.neuron_count(), config.shape.synapse_count());
        let expected = match config.neuromodulation.map(|p| p.signal) {
            Some(Signal::External) => 1,
            Some(Signal::Surprise) => n,
            Some(Signal::Capacity) | None => 0,
        };
        let mut model = Self {
            c: config.clone(),
            index: index.to_vec(),
            samples,
            clock: 0,
            decisions: [0; 2],
            filaments: filaments.iter().map(|&n| n.into()).collect(),
            internal: vec![0.0; synapses],
            theta: vec![config.spike.theta_init.into(); n],
            potential: Vec::new(),
            error: vec![0.0; n],
            trace_pre: Vec::new(),
            trace_post: Vec::new(),
            utilisation: Vec::new(),
            resources: Vec::new(),
            countdown: Vec::new(),
            boost: Vec::new(),
            exhaustion: Vec::new(),
            rate: Vec::new(),
            cell_potential: Vec::new(),
            cell_inhibition: Vec::new(),
            expected: vec![0.0; expected],
            eligibility: vec![0.0; synapses],
            labile: vec![0.0; synapses],
            age: vec![0; synapses],
        };
        model.rest();
        model
    }

    /// Everything that belongs to a sample comes to rest.
    pub(super) fn rest(&mut self) {
        let (b, n, lines) = (self.samples, self.n(), self.lines());
        let cells = self.c.feedback.map_or(0, |p| p.cells as usize);
        let u_rest = self.c.short_term.map_or(0.0, |p| f64::from(p.u_rest));
        self.trace_pre = vec![0.0; b * lines];
        self.utilisation = vec![u_rest; b * lines];
        self.resources = vec![1.0; b * lines];
        for values in [
            &mut self.trace_post,
            &mut self.countdown,
            &mut self.boost,
            &mut self.exhaustion,
            &mut self.rate,
        ] {
            *values = vec![0.0; b * n];
        }
        self.cell_potential = vec![0.0; b * cells];
        self.cell_inhibition = vec![0.0; b * cells];
    }

    fn n(&self) -> usize {
        self.c.shape.neuron_count()
    }

    fn lines(&self) -> usize {
        self.c.lines as usize
    }

    /// exp(-dt / tau).
    fn keep(&self, tau_ms: f32) -> f64 {
        (-f64::from(self.c.dt_ms) / f64::from(tau_ms)).exp()
    }

    /// One step on `x` [B, M].
    pub(super) fn step(&mut self, x: &[f64], options: StepOptions, seen: &Seen<'_>) {
        let transmitted = self.transmit(x);
        let activations = self.activations(&transmitted);
        self.potential = self.potentials(&activations);
        let score = self.scores();
        let spikes = self.spikes(&score, seen);
        self.refract(&spikes);
        let arrival = self.backpropagate(&activations, &spikes);
        let plasticity = f64::from(options.plasticity);
        let hebb = self.learn(x, &spikes, &arrival, plasticity > 0.0);
        let modulators = self.modulate(&spikes, f64::from(options.modulator));
        let mut drive = self.credit(&hebb, &modulators, plasticity);
        self.consolidate(&mut drive);
        self.prune(&mut drive);
        self.settle(&drive, seen);
        self.regulate(&spikes, options, seen);
        self.clock += 1;
    }

    /// Tsodyks and Markram: what of each event arrives.
    fn transmit(&mut self, x: &[f64]) -> Vec<f64> {
        let Some(p) = self.c.short_term else {
            return x.to_vec();
        };
        let (u0, du) = (f64::from(p.u_rest), f64::from(p.u_step));
        let (facilitated, depleted) = (self.keep(p.tau_facilitation_ms), self.keep(p.tau_recovery_ms));
        let mut released = vec![0.0; x.len()];
        for k in 0..x.len() {
            let u = u0 + (self.utilisation[k] - u0) * facilitated;
            let r = 1.0 - (1.0 - self.resources[k]) * depleted;
            self.utilisation[k] = u + x[k] * du * (1.0 - u);
            released[k] = x[k] * self.utilisation[k] * r;
            self.resources[k] = r - released[k];
        }
        released
    }

    /// a_d of every dendrite, [B, n, D].
    fn activations(&self, x: &[f64]) -> Vec<f64> {
        let [n, dendrites, synapses] = self.c.shape.dims();
        let (gain, threshold) = (f64::from(self.c.dendrite.gain), f64::from(self.c.dendrite.threshold));
        let rest = sigmoid(-gain * threshold);
        let mut activations = Vec::new();
        for b in 0..self.samples {
            for row in 0..n * dendrites {
                let mut v = 0.0;
                for k in row * synapses..(row + 1) * synapses {
                    let weight = (1.0 + self.filaments[k] as f64).log2() / f64::from(self.c.filaments.w_scale);
                    v += weight * x[b * self.lines() + self.index[k] as usize];
                }
                activations.push((sigmoid(gain * (v - threshold)) - rest) / (1.0 - rest));
            }
        }
        activations
    }

    /// u, [B, n].
    fn potentials(&self, activations: &[f64]) -> Vec<f64> {
        let [n, dendrites, _] = self.c.shape.dims();
        let (d, p) = (dendrites as f64, &self.c.dendrite);
        let mut potentials = Vec::new();
        for sample in activations.chunks_exact(n * dendrites) {
            let sums: Vec<f64> = sample.chunks_exact(dendrites).map(|a| a.iter().sum()).collect();
            for (i, a) in sample.chunks_exact(dendrites).enumerate() {
                potentials.push(match p.integration {
                    Integration::Sum => sums[i],
                    Integration::NmdaShunting => {
                        let others = sums.iter().sum::<f64>() - sums[i];
                        sums[i] / (1.0 + f64::from(p.shunting) * others / (n as f64 - 1.0).max(1.0))
                    }
                    Integration::WtaSoft => {
                        let beta = f64::from(p.sharpness);
                        d / beta * (a.iter().map(|a| (beta * a).exp()).sum::<f64>() / d).ln()
                    }
                    Integration::WtaHard => d * a.iter().copied().fold(0.0, f64::max),
                });
            }
        }
        potentials
    }

    /// u - theta + noise - everything that raises the threshold, [B, n]; minus infinity for the blocked.
    fn scores(&mut self) -> Vec<f64> {
        let n = self.n();
        let random = Random::new(self.c.seed, Stream::ESCAPE);
        let mut scores = Vec::new();
        for b in 0..self.samples {
            let inhibition = self.inhibition_of(b);
            for i in 0..n {
                let at = b * n + i;
                let mut score = self.potential[at] - self.theta[i] - inhibition;
                if self.c.spike.width > 0.0 {
                    let word = random.block((b as u64) << 32 | (i / 4) as u64, self.clock)[i % 4];
                    let p = f64::from(uniform(word));
                    score += f64::from(self.c.spike.width) * (p / (1.0 - p)).ln();
                }
                if let Some(p) = self.c.refractory {
                    self.boost[at] *= self.keep(p.tau_ms);
                    score -= self.boost[at];
                }
                if let Some(p) = self.c.adaptation {
                    self.rate[at] *= self.keep(p.tau_ms);
                    score -= f64::from(p.strength) * self.rate[at];
                }
                scores.push(if self.countdown[at] > 0.0 {
                    f64::NEG_INFINITY
                } else {
                    score
                });
            }
        }
        scores
    }

    /// How far feedback inhibition raises every threshold of a sample, after its decay.
    fn inhibition_of(&mut self, sample: usize) -> f64 {
        let Some(p) = self.c.feedback else { return 0.0 };
        let (cells, keep) = (p.cells as usize, self.keep(p.tau_inhibition_ms));
        let values = &mut self.cell_inhibition[sample * cells..(sample + 1) * cells];
        values.iter_mut().for_each(|y| *y *= keep);
        f64::from(p.strength) * values.iter().sum::<f64>() / cells as f64
    }

    /// Who fires, [B, n].
    fn spikes(&mut self, scores: &[f64], seen: &Seen<'_>) -> Vec<bool> {
        let n = self.n();
        let mut spikes = Vec::new();
        for b in 0..self.samples {
            let score = &scores[b * n..(b + 1) * n];
            let (eligible, winners): (Vec<bool>, usize) = match self.c.inhibition {
                None => (score.iter().map(|s| *s >= 0.0).collect(), n),
                Some(p) => {
                    let may = |i: usize| match p.contenders {
                        Contenders::AboveThreshold => score[i] >= 0.0,
                        Contenders::Driven => self.potential[b * n + i] > 0.0 && score[i] > f64::NEG_INFINITY,
                    };
                    let winners = p.winner_count(self.c.shape.neurons) as usize;
                    ((0..n).map(may).collect(), winners)
                }
            };
            let mut order: Vec<usize> = (0..n).filter(|&i| eligible[i]).collect();
            order.sort_by(|&i, &j| score[j].total_cmp(&score[i]).then(i.cmp(&j)));
            // The score from which on a neuron wins; with fewer contenders than winners, the threshold decides alone.
            let last = order.get(winners.wrapping_sub(1)).map(|&i| score[i]);
            let first_loser = order.get(winners).map(|&i| score[i]);
            let above = self
                .c
                .inhibition
                .is_none_or(|p| p.contenders == Contenders::AboveThreshold);
            for (i, &own) in score.iter().enumerate() {
                let wins = order.iter().take(winners).any(|&k| k == i);
                let near = |limit: f64| (own - limit).abs() <= tolerance(self.c.spike.width.into());
                let close = (above && near(0.0))
                    || (wins && first_loser.is_some_and(near))
                    || (!wins && last.is_some_and(near));
                spikes.push(self.decide(wins, close, seen.spikes[b * n + i] != 0));
            }
        }
        spikes
    }

    /// A decision: `own`, or where it is too `close` to call the layer's.
    fn decide(&mut self, own: bool, close: bool, layers: bool) -> bool {
        self.decisions[0] += 1;
        self.decisions[1] += u64::from(close);
        if close { layers } else { own }
    }

    /// The countdown and the boost of who fired.
    fn refract(&mut self, spikes: &[bool]) {
        let Some(p) = self.c.refractory else { return };
        let blocked = (f64::from(p.absolute_ms) / f64::from(self.c.dt_ms)).round();
        for (at, &spike) in spikes.iter().enumerate() {
            if self.countdown[at] > 0.0 {
                self.countdown[at] -= 1.0;
            } else if spike {
                self.countdown[at] = blocked;
                self.boost[at] = p.boost.into();
            }
        }
    }

    /// How much of each neuron's spike arrives at each dendrite, [B, n, D].
    fn backpropagate(&mut self, activations: &[f64], spikes: &[bool]) -> Vec<f64> {
        let dendrites = self.c.shape.dendrite_count();
        let Some(p) = self.c.bap else {
            return vec![1.0; activations.len()];
        };
        let (floor, keep) = (f64::from(p.floor), self.keep(p.tau_recovery_ms));
        let mut arrival = Vec::new();
        for (at, a) in activations.chunks_exact(dendrites).enumerate() {
            self.exhaustion[at] *= keep;
            let z = self.exhaustion[at];
            arrival.extend(a.iter().map(|a| (1.0 - z) * (floor + (1.0 - floor) * a)));
            if spikes[at] {
                self.exhaustion[at] = z + f64::from(p.fatigue) * (1.0 - z);
            }
        }
        arrival
    }

    /// STDP: the drive of this step's events on each synapse, in drive units; nothing where learning is off.
    fn learn(&mut self, x: &[f64], spikes: &[bool], arrival: &[f64], on: bool) -> Vec<f64> {
        let [n, dendrites, synapses] = self.c.shape.dims();
        let mut drive = vec![0.0; self.filaments.len()];
        let Some(p) = self.c.stdp else { return drive };
        let (lines, b) = (self.lines(), self.samples);
        let (plus, minus) = (self.keep(p.tau_plus_ms), self.keep(p.tau_minus_ms));
        let nearest = p.pairing == Pairing::Nearest;
        for (trace, s) in self.trace_pre.iter_mut().zip(x) {
            *trace *= plus;
            *trace += s * (1.0 - plus - if nearest { *trace } else { 0.0 });
        }
        self.trace_post.iter_mut().for_each(|trace| *trace *= minus);
        let [a_plus, a_minus, a_het, mu] = [p.a_plus, p.a_minus, p.a_het, p.mu].map(f64::from);
        let f = &self.c.filaments;
        let (low, high, threshold) = (f64::from(f.n_min), f64::from(f.n_max), f64::from(f.threshold));
        for (k, drive) in drive.iter_mut().enumerate().filter(|_| on) {
            let (dendrite, i) = (k / synapses, k / synapses / dendrites);
            let w = (self.filaments[k] as f64 - low) / (high - low);
            for sample in 0..b {
                let line = sample * lines + self.index[k] as usize;
                let arrives = arrival[sample * n * dendrites + dendrite];
                *drive -= a_minus * self.trace_post[sample * n + i] * x[line] * w.powf(mu);
                if spikes[sample * n + i] {
                    let trace = self.trace_pre[line];
                    let potentiated = a_plus * (1.0 - w).powf(mu) * trace;
                    *drive += arrives * (potentiated - a_het * w.powf(mu) * (1.0 - trace));
                }
            }
            *drive *= threshold / b as f64;
        }
        for (trace, &s) in self.trace_post.iter_mut().zip(spikes) {
            if s {
                *trace = if nearest { 1.0 - minus } else { *trace + 1.0 - minus };
            }
        }
        drive
    }

    /// M of each neuron.
    fn modulate(&mut self, spikes: &[bool], given: f64) -> Vec<f64> {
        let n = self.n();
        let Some(p) = self.c.neuromodulation else {
            return vec![given; n];
        };
        let gain = 1.0 - self.keep(p.tau_ms);
        let mut surprise = |k: usize, value: f64| {
            let difference = value - self.expected[k];
            self.expected[k] += gain * difference;
            difference
        };
        match p.signal {
            Signal::External => vec![surprise(0, given) / 2.0; n],
            Signal::Surprise => (0..n)
                .map(|i| {
                    let fired = spikes.iter().skip(i).step_by(n).filter(|s| **s).count();
                    surprise(i, fired as f64 / self.samples as f64)
                })
                .collect(),
            Signal::Capacity => {
                let f = &self.c.filaments;
                let (low, span, target) = (
                    f64::from(f.n_min),
                    f64::from(f.n_max) - f64::from(f.n_min),
                    f64::from(p.capacity_target),
                );
                self.filaments
                    .chunks_exact(self.c.shape.row_len())
                    .map(|row| {
                        let mean = row.iter().sum::<i64>() as f64 / row.len() as f64;
                        (target - (mean - low) / span) / target.max(1.0 - target)
                    })
                    .collect()
            }
        }
    }

    /// Eligibility and what the modulator makes of it; without it the drive itself.
    fn credit(&mut self, hebb: &[f64], modulators: &[f64], plasticity: f64) -> Vec<f64> {
        let Some(p) = self.c.three_factor else {
            return hebb.iter().map(|h| plasticity * h).collect();
        };
        let keep = self.keep(p.tau_e_ms);
        let row = self.c.shape.row_len();
        (0..hebb.len())
            .map(|k| {
                self.eligibility[k] = self.eligibility[k] * keep + hebb[k];
                plasticity * f64::from(p.eta) * modulators[k / row] * self.eligibility[k]
            })
            .collect()
    }

    /// The share that waits for sleep.
    fn consolidate(&mut self, drive: &mut [f64]) {
        let Some(p) = self.c.consolidation else { return };
        let bound = self.labile_bound();
        for (l, d) in self.labile.iter_mut().zip(drive) {
            *l = (*l + f64::from(p.share) * *d).clamp(-bound, bound);
            *d *= 1.0 - f64::from(p.share);
        }
    }

    pub(super) fn labile_bound(&self) -> f64 {
        let f = &self.c.filaments;
        f64::from(f.n_max - f.n_min) * f64::from(f.threshold)
    }

    /// Ages, and the drive taken off what is pruned. An age of 255 is pruned.
    fn prune(&mut self, drive: &mut [f64]) {
        let Some(p) = self.c.pruning else { return };
        let interval = (f64::from(p.interval_ms) / f64::from(self.c.dt_ms)).round().max(1.0) as u64;
        let synapses = self.c.shape.synapses_per_dendrite();
        if (self.clock + 1).is_multiple_of(interval) {
            for first in (0..self.age.len()).step_by(synapses) {
                for k in first..first + synapses {
                    if self.age[k] == 255 {
                        continue;
                    }
                    self.age[k] = if self.filaments[k] < i64::from(p.below) {
                        self.age[k] + 1
                    } else {
                        0
                    };
                    let left = (first..first + synapses).filter(|&k| self.age[k] != 255).count();
                    if self.age[k] >= u32::from(p.patience) {
                        if left > p.keep as usize {
                            self.age[k] = 255;
                            (self.filaments[k], self.internal[k]) = (0, 0.0);
                        } else {
                            self.age[k] = u32::from(p.patience) - 1;
                        }
                    }
                }
            }
        }
        self.shield(drive);
    }

    fn shield(&self, drive: &mut [f64]) {
        for (d, _) in drive.iter_mut().zip(&self.age).filter(|(_, age)| **age == 255) {
            *d = 0.0;
        }
    }

    /// The quantiser: whole thresholds become filaments, the rest is kept.
    fn settle(&mut self, drive: &[f64], seen: &Seen<'_>) {
        let f = self.c.filaments;
        let threshold = f64::from(f.threshold);
        let (low, high) = (i64::from(f.n_min), i64::from(f.n_max));
        for (k, &drive) in drive.iter().enumerate() {
            let sum = self.internal[k] + drive;
            let outcome = |whole: f64| {
                let n = (self.filaments[k] + whole as i64).clamp(low, high);
                (n, sum - whole * threshold)
            };
            let whole = (sum / threshold).trunc();
            let near = (sum / threshold).round();
            let own = outcome(whole);
            // One threshold more or less where the sum lies on one.
            let close = near != 0.0 && (sum - near * threshold).abs() <= tolerance(threshold);
            let other = outcome(if near == whole { whole - near.signum() } else { near });
            let layers = (i64::from(seen.filaments[k]), f64::from(seen.internal[k]));
            let is_other = layers.0 == other.0 && (layers.1 - other.1).abs() <= tolerance(threshold);
            let takes_own = self.decide(true, close, !is_other);
            (self.filaments[k], self.internal[k]) = if takes_own { own } else { other };
        }
    }

    /// Adaptation, feedback inhibition and homeostasis.
    fn regulate(&mut self, spikes: &[bool], options: StepOptions, seen: &Seen<'_>) {
        if let Some(p) = self.c.adaptation {
            let gain = 1.0 - self.keep(p.tau_ms);
            for (rate, _) in self.rate.iter_mut().zip(spikes).filter(|(_, s)| **s) {
                *rate += gain;
            }
        }
        self.excite_cells(spikes, seen);
        let Some(p) = self.c.homeostasis.filter(|_| options.thresholds == Thresholds::Adapt) else {
            return;
        };
        let a = if p.tau_rate_ms > 0.0 {
            1.0 - self.keep(p.tau_rate_ms)
        } else {
            1.0
        };
        for i in 0..self.n() {
            let fired = spikes.iter().skip(i).step_by(self.n()).filter(|s| **s).count();
            let e = fired as f64 / self.samples as f64 - f64::from(p.rate_target);
            let before = self.error[i];
            self.error[i] = before + a * (e - before);
            let ki_dt = f64::from(p.ki) * f64::from(self.c.dt_ms) * f64::from(options.homeostasis);
            let step = f64::from(p.kp) * (self.error[i] - before) + ki_dt * self.error[i];
            let s = &self.c.spike;
            self.theta[i] = (self.theta[i] + step).clamp(s.theta_min.into(), s.theta_max.into());
        }
    }

    /// The inhibitory cells integrate what their groups fired, and fire.
    fn excite_cells(&mut self, spikes: &[bool], seen: &Seen<'_>) {
        let Some(p) = self.c.feedback else { return };
        let (cells, n) = (p.cells as usize, self.n());
        let (kept_e, kept_i) = (self.keep(p.tau_excitation_ms), self.keep(p.tau_inhibition_ms));
        for b in 0..self.samples {
            for cell in 0..cells {
                let group = cell * n / cells..(cell + 1) * n / cells;
                let fired = group.clone().filter(|i| spikes[b * n + i]).count();
                let at = b * cells + cell;
                let v = self.cell_potential[at] * kept_e + (1.0 - kept_e) * fired as f64 / group.len() as f64;
                let close = (v - f64::from(p.threshold)).abs() <= tolerance(0.0);
                let raised = self.cell_inhibition[at] + 1.0 - kept_i;
                // The layer's cell has fired if its inhibition is nearer to the raised value than to the other.
                let layers = f64::from(seen.inhibition[at]) > (self.cell_inhibition[at] + raised) / 2.0;
                if self.decide(v >= f64::from(p.threshold), close, layers) {
                    (self.cell_potential[at], self.cell_inhibition[at]) = (0.0, raised);
                } else {
                    self.cell_potential[at] = v;
                }
            }
        }
    }

    /// `duration_ms` of sleep.
    pub(super) fn sleep(&mut self, duration_ms: f32, seen: &Seen<'_>) {
        let past = |tau_ms: f32| (-f64::from(duration_ms) / f64::from(tau_ms)).exp();
        let mut drive = vec![0.0; self.filaments.len()];
        if let Some(p) = self.c.three_factor {
            self.eligibility.iter_mut().for_each(|e| *e *= past(p.tau_e_ms));
        }
        if let Some(p) = self.c.consolidation {
            for (l, d) in self.labile.iter_mut().zip(&mut drive) {
                *d = *l * (1.0 - past(p.tau_sleep_ms));
                *l -= *d;
            }
        }
        self.shield(&mut drive);
        self.settle(&drive, seen);
        self.rest();
    }
}
