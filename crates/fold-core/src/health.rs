//! The health monitor: watches the invariants while a layer runs, at a small share of the step time.
//!
//! Each step checks one part of the state; after `sweep_steps` steps everything has been checked once, and a [`Report`] of
//! that sweep is ready. A breach acts at once, according to the [`Policy`].
//!
//! Not here: the checks themselves ([`crate::invariants`], [`LayerState::check`], each mechanism), and where a report goes.

use serde::{Deserialize, Serialize};

use crate::LayerState;
use crate::input::InputPolicy;
use crate::invariants::{Breach, Invariant, Part, Place};
use crate::params::{Range, Violations};

/// Breaches that a report locates one by one; further ones are only counted.
pub const BREACHES_LISTED: usize = 64;

/// What happens when an invariant is found broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// It is reported, and nothing else changes.
    Report,
    /// The neuron gets a valid state, is silenced and listed. A breach outside any neuron stops, as under `Stop`.
    Quarantine,
    /// The step returns the breach as an error.
    #[default]
    Stop,
}

crate::parameters! {
    /// The health monitor.
    pub struct HealthParams in "health" {
        /// Steps in which the whole state is checked once.
        sweep_steps: u32 = 256, Range::closed(1.0, 1048576.0), "steps";
        /// A neuron that fires in at least this fraction of a sweep's samples counts as saturated.
        saturated_rate: f32 = 0.5, Range::above(0.0, 1.0), "1";
    }
    choices {
        /// What happens on a breach.
        policy: Policy = Policy::Stop;
        /// What happens to an input that is not a number of [0, 1].
        input: InputPolicy = InputPolicy::Reject;
    }
}

impl HealthParams {
    /// Notes every violation.
    pub fn check(&self, violations: &mut Violations) {
        self.check_ranges(violations);
    }
}

/// How a layer fared over one sweep. Serialised, its fields are the keys.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The step clock at the sweep's end.
    pub clock: u64,
    /// Samples seen in the sweep, over all its steps.
    pub samples: u64,
    /// Samples among them whose input was not valid and was taken as silent.
    pub silenced: u64,
    /// Fraction of the neurons that never fired.
    pub dead: f64,
    /// Fraction of the neurons at or above `saturated_rate`.
    pub saturated: f64,
    /// Fraction of the synapses with N = n_min.
    pub at_n_min: f64,
    /// Fraction of the synapses with N = n_max.
    pub at_n_max: f64,
    /// Mean theta.
    pub theta_mean: f64,
    /// Spikes per neuron and sample, in [0, 1].
    pub rate_mean: f64,
    /// Quarantined neurons, in order.
    pub quarantined: Vec<u32>,
    /// The first [`BREACHES_LISTED`] breaches of the sweep.
    pub breaches: Vec<Breach>,
    /// All breaches of the sweep.
    pub breach_count: u64,
}

/// One number of a report, ready for a monitoring system.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Metric {
    /// Its name, unit last.
    pub name: &'static str,
    /// What it says, in one sentence.
    pub help: &'static str,
    /// Its value; a gauge.
    pub value: f64,
}

impl Report {
    /// Every number of the report as a gauge, in a fixed order.
    #[must_use]
    pub fn metrics(&self) -> [Metric; 11] {
        let metric = |name, help, value| Metric { name, help, value };
        [
            metric(
                "fold_layer_clock_steps",
                "Steps taken at the end of the last health sweep.",
                self.clock as f64,
            ),
            metric(
                "fold_layer_sweep_samples",
                "Samples seen in the sweep.",
                self.samples as f64,
            ),
            metric(
                "fold_layer_silenced_samples",
                "Samples of the sweep whose input was not valid and was taken as silent.",
                self.silenced as f64,
            ),
            metric(
                "fold_layer_dead_ratio",
                "Neurons that never fired in the sweep.",
                self.dead,
            ),
            metric(
                "fold_layer_saturated_ratio",
                "Neurons at or above the saturated rate.",
                self.saturated,
            ),
            metric(
                "fold_layer_n_min_ratio",
                "Synapses with the fewest filaments.",
                self.at_n_min,
            ),
            metric(
                "fold_layer_n_max_ratio",
                "Synapses with the most filaments.",
                self.at_n_max,
            ),
            metric("fold_layer_theta_mean", "Mean threshold.", self.theta_mean),
            metric("fold_layer_rate_mean", "Spikes per neuron and sample.", self.rate_mean),
            metric(
                "fold_layer_quarantined_neurons",
                "Neurons in quarantine.",
                self.quarantined.len() as f64,
            ),
            metric(
                "fold_layer_breaches",
                "Broken invariants found in the sweep.",
                self.breach_count as f64,
            ),
        ]
    }
}

/// The most that a layer's clock and a count of samples begin at: nobody counts on to 2^64 from there.
pub const COUNT_MAX: u64 = 1 << 63;

/// What the running sweep has counted: dynamic state, stored with a checkpoint so that a resumed run reports alike.
#[derive(Debug, Clone, PartialEq)]
pub struct Tally {
    /// Spikes of each neuron, \[n\].
    pub spikes: Vec<u32>,
    /// Samples, over all steps.
    pub samples: u64,
    /// Synapses found at n_min.
    pub at_n_min: u64,
    /// Synapses found at n_max.
    pub at_n_max: u64,
    /// Samples silenced.
    pub silenced: u64,
}

/// The monitor of one layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Monitor {
    params: HealthParams,
    bounds: (u8, u8),
    tally: Tally,
    breaches: Vec<Breach>,
    breach_count: u64,
    last: Option<Report>,
}

impl Monitor {
    /// A monitor for `neurons` neurons whose filaments lie in `bounds` = (n_min, n_max).
    #[must_use]
    pub fn new(params: &HealthParams, neurons: usize, bounds: (u8, u8)) -> Self {
        let tally = Tally {
            spikes: vec![0; neurons],
            samples: 0,
            at_n_min: 0,
            at_n_max: 0,
            silenced: 0,
        };
        Self {
            params: *params,
            bounds,
            tally,
            breaches: Vec::new(),
            breach_count: 0,
            last: None,
        }
    }

    /// What to do on a breach.
    #[must_use]
    pub fn policy(&self) -> Policy {
        self.params.policy
    }

    /// What to do with an invalid input.
    #[must_use]
    pub fn input_policy(&self) -> InputPolicy {
        self.params.input
    }

    /// Counts samples that were taken as silent.
    pub fn note_silenced(&mut self, samples: usize) {
        self.tally.silenced += samples as u64;
    }

    /// The part of the state to check in the step that ends at `clock`.
    #[must_use]
    pub fn part(&self, clock: u64) -> Part {
        let of = u64::from(self.params.sweep_steps);
        Part { index: clock % of, of }
    }

    /// Takes in one step: its spikes, and what the check of its part found. Ends the sweep when it was the last part.
    ///
    /// - `counts`: spikes of each neuron over the batch, \[n\].   - `clock`: the clock that [`Monitor::part`] was asked with.
    pub fn observe(&mut self, state: &LayerState, counts: &[u32], samples: usize, clock: u64, found: &[Breach]) {
        for (sum, count) in self.tally.spikes.iter_mut().zip(counts) {
            *sum = sum.saturating_add(*count);
        }
        self.tally.samples += samples as u64;
        let row = state.shape().row_len();
        let part = self.part(clock);
        let neurons = part.of_len(state.shape().neuron_count());
        let mut at_bound = [0u64; 2];
        for n in &state.filaments()[neurons.start * row..neurons.end * row] {
            at_bound[0] += u64::from(*n == self.bounds.0);
            at_bound[1] += u64::from(*n == self.bounds.1);
        }
        self.tally.at_n_min += at_bound[0];
        self.tally.at_n_max += at_bound[1];
        let room = BREACHES_LISTED.saturating_sub(self.breaches.len());
        self.breaches.extend(found.iter().take(room));
        self.breach_count += found.len() as u64;
        if part.index + 1 == part.of {
            self.finish(state, clock);
        }
    }

    fn finish(&mut self, state: &LayerState, clock: u64) {
        let samples = self.tally.samples.max(1) as f64;
        let neurons = state.shape().neuron_count() as f64;
        let synapses = state.shape().synapse_count() as f64;
        let share =
            |holds: &dyn Fn(u32) -> bool| self.tally.spikes.iter().filter(|&&k| holds(k)).count() as f64 / neurons;
        let quarantined = (0u32..).zip(state.quarantined()).filter(|(_, flag)| **flag != 0);
        let report = Report {
            clock: clock + 1,
            samples: self.tally.samples,
            silenced: self.tally.silenced,
            dead: share(&|k| k == 0),
            saturated: share(&|k| f64::from(k) / samples >= f64::from(self.params.saturated_rate)),
            at_n_min: self.tally.at_n_min as f64 / synapses,
            at_n_max: self.tally.at_n_max as f64 / synapses,
            theta_mean: state.theta().iter().map(|&t| f64::from(t)).sum::<f64>() / neurons,
            rate_mean: self.tally.spikes.iter().map(|&k| f64::from(k)).sum::<f64>() / (neurons * samples),
            quarantined: quarantined.map(|(i, _)| i).collect(),
            breaches: std::mem::take(&mut self.breaches),
            breach_count: std::mem::take(&mut self.breach_count),
        };
        self.last = Some(report);
        self.tally.spikes.fill(0);
        self.tally = Tally {
            samples: 0,
            at_n_min: 0,
            at_n_max: 0,
            silenced: 0,
            spikes: std::mem::take(&mut self.tally.spikes),
        };
    }

    /// The last completed sweep, if there was one since the layer was made or restored.
    #[must_use]
    pub fn report(&self) -> Option<&Report> {
        self.last.as_ref()
    }

    /// The running sweep's counts.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Takes up a stored sweep of a layer of `synapses` synapses.
    ///
    /// # Errors
    /// [`crate::Error::Length`] when `tally.spikes` is not \[n\]; [`crate::Error::Invariant`] when a count is more than there can have
    /// been: samples beyond [`COUNT_MAX`], more spikes of a neuron or more samples silenced than samples, more synapses at a bound than
    /// synapses.
    pub fn restore(&mut self, tally: Tally, synapses: usize) -> crate::Result<()> {
        let (expected, given) = (self.tally.spikes.len(), tally.spikes.len());
        if expected != given {
            return Err(crate::Error::Length {
                array: "health.spikes",
                expected,
                given,
            });
        }
        let more = |array, place, value: u64, most: u64| {
            (value > most).then_some(Breach {
                invariant: Invariant::Count,
                array,
                place,
                value: value as f64,
            })
        };
        let (samples, synapses) = (tally.samples, synapses as u64);
        let spikes = (0..).zip(&tally.spikes);
        let bad = [
            more("health.counters", Place::Layer, samples, COUNT_MAX),
            more("health.counters", Place::Layer, tally.at_n_min, synapses),
            more("health.counters", Place::Layer, tally.at_n_max, synapses),
            more("health.silenced", Place::Layer, tally.silenced, samples),
        ]
        .into_iter()
        .chain(spikes.map(|(neuron, &count)| more("health.spikes", Place::Neuron { neuron }, count.into(), samples)));
        if let Some(breach) = bad.flatten().next() {
            return Err(crate::Error::Invariant { breach });
        }
        self.tally = tally;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Shape;
    use crate::params::{FilamentParams, SpikeParams};

    const SHAPE: Shape = Shape {
        neurons: 4,
        dendrites: 1,
        synapses: 5,
    };

    fn run(params: HealthParams, steps: u64, corrupt: impl Fn(u64, &mut LayerState)) -> Monitor {
        let filaments = FilamentParams {
            init_low: 0,
            init_high: 0,
            ..FilamentParams::default()
        };
        let mut state = LayerState::new(SHAPE, &filaments, &SpikeParams::default(), 1);
        let mut monitor = Monitor::new(&params, 4, (filaments.n_min, filaments.n_max));
        for clock in 0..steps {
            corrupt(clock, &mut state);
            let mut found = Vec::new();
            state.check(monitor.part(clock), &mut found);
            monitor.observe(&state, &[0, 1, 2, 1], 2, clock, &found);
        }
        monitor
    }

    #[test]
    fn a_sweep_reports_what_it_saw() {
        let params = HealthParams {
            sweep_steps: 3,
            ..HealthParams::default()
        };
        assert_eq!(run(params, 2, |_, _| {}).report(), None);
        let monitor = run(params, 3, |_, _| {});
        let report = monitor.report().unwrap();
        assert_eq!((report.clock, report.samples), (3, 6));
        assert_eq!((report.dead, report.saturated), (0.25, 0.75));
        assert_eq!((report.at_n_min, report.at_n_max), (1.0, 0.0));
        assert_eq!((report.theta_mean, report.rate_mean), (1.0, 0.5));
        assert_eq!(report.breach_count, 0);
        assert_eq!(monitor.tally().samples, 0, "the next sweep starts from nothing");
    }

    #[test]
    fn a_report_is_json_and_gauges() {
        let params = HealthParams {
            sweep_steps: 2,
            ..HealthParams::default()
        };
        let monitor = run(params, 2, |_, state| state.theta_mut()[3] = f32::NAN);
        let report = monitor.report().unwrap();
        let json = serde_json::to_value(report).unwrap();
        let breach = serde_json::json!({
            "invariant": "theta-in-bounds", "array": "theta", "place": "[3]", "value": null
        });
        assert_eq!(json["breaches"], serde_json::json!([breach]));
        assert_eq!((&json["samples"], &json["dead"]), (&4.into(), &0.25.into()));
        let metrics = report.metrics();
        let value = |name| metrics.iter().find(|m| m.name == name).unwrap().value;
        assert_eq!(value("fold_layer_dead_ratio"), 0.25);
        assert_eq!(value("fold_layer_breaches"), 1.0);
        let mut names: Vec<&str> = metrics.iter().map(|m| m.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), metrics.len());
    }

    #[test]
    fn a_breach_anywhere_is_found_within_one_sweep() {
        let params = HealthParams {
            sweep_steps: 3,
            ..HealthParams::default()
        };
        for neuron in 0..4 {
            let monitor = run(params, 3, |clock, state| {
                if clock == 0 {
                    state.theta_mut()[neuron] = f32::NAN;
                }
            });
            let report = monitor.report().unwrap();
            assert_eq!(report.breach_count, 1);
            assert_eq!(report.breaches[0].place.neuron(), Some(neuron));
        }
    }

    #[test]
    fn the_list_of_breaches_is_bounded_but_their_count_is_not() {
        let params = HealthParams {
            sweep_steps: 40,
            ..HealthParams::default()
        };
        let monitor = run(params, 40, |_, state| state.theta_mut().fill(-1.0));
        assert_eq!(monitor.report().unwrap().breach_count, 4);
        let params = HealthParams {
            sweep_steps: 1,
            ..HealthParams::default()
        };
        let wide = Shape {
            neurons: 100,
            dendrites: 1,
            synapses: 1,
        };
        let mut state = LayerState::new(wide, &FilamentParams::default(), &SpikeParams::default(), 1);
        state.theta_mut().fill(-1.0);
        let mut monitor = Monitor::new(&params, 100, (0, 31));
        let mut found = Vec::new();
        state.check(monitor.part(0), &mut found);
        monitor.observe(&state, &[0; 100], 1, 0, &found);
        let report = monitor.report().unwrap();
        assert_eq!((report.breach_count, report.breaches.len()), (100, BREACHES_LISTED));
    }
}
