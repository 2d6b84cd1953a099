//! A layer of one neuron under the sound semantics, on the same program.
//!
//! PyFolds' parameters have no counterpart one by one, so `overrides` is not read here; the case's `sound` object holds sections of
//! the layer's configuration instead. A sound layer learns from the mean over the batch at every step, so BATCH is ONLINE and
//! `p` has nothing left to do.

use std::collections::BTreeMap;

use fold_advanced::adaptation::AdaptationParams;
use fold_advanced::bap::BapParams;
use fold_advanced::consolidation::ConsolidationParams;
use fold_advanced::homeostasis::HomeostasisParams;
use fold_advanced::pyfolds::Mode;
use fold_advanced::refractory::RefractoryParams;
use fold_advanced::short_term::ShortTermParams;
use fold_advanced::stdp::StdpParams;
use fold_advanced::{Layer, LayerConfig, StateArray, StateData, StateSlice, StepOptions, Thresholds};
use fold_core::three_factor::{ThreeFactor, ThreeFactorParams};
use fold_core::{Shape, Wiring};
use serde_json::{Map, Value};

use super::arrays::Arrays;
use super::case::{Case, NeuronClass, Row};
use super::fault::{Fault, RowFault};
use super::trace::{Trace, Values};
use super::{Forward, StepFault, Visit};

/// The layer.
pub(super) struct Subject {
    layer: Layer,
    mode: Mode,
    batch: usize,
    padded: BTreeMap<String, Vec<usize>>,
    x: Vec<f32>,
    clipped: u64,
    not_applied: Vec<String>,
}

impl Subject {
    /// The layer of `case`, with the filaments that `input` gives.
    pub(super) fn new(case: &Case, input: &Arrays) -> Result<Self, Fault> {
        let config = config(case)?;
        let wiring = Wiring::shared(config.shape).map_err(|error| Fault::Parameters(error.into()))?;
        let mut layer = Layer::new(config.clone(), wiring).map_err(Fault::Parameters)?;
        if case.batch == 0 {
            return Err(Fault::Row {
                row: 0,
                what: RowFault::NoSamples,
            });
        }
        layer.set_samples(case.batch).map_err(Fault::Parameters)?;
        let mut arrays = layer.state_arrays();
        let padded = arrays
            .iter()
            .map(|(name, array)| (name.clone(), array.shape.clone()))
            .collect();
        if let Some(filaments) = filaments(case, &config, input)? {
            if let Some(array) = arrays.get_mut("filaments") {
                array.data = StateData::U8(filaments);
            }
            layer = Layer::restore(config, |name| arrays.remove(name)).map_err(Fault::Parameters)?;
        }
        let overrides = case.overrides.keys().map(|name| format!("overrides.{name}"));
        let initial = input
            .initial()
            .filter(|name| *name != "N")
            .map(|name| format!("init.{name}"));
        let not_applied = overrides.chain(initial).collect();
        Ok(Self {
            layer,
            mode: Mode::Online,
            batch: case.batch,
            padded,
            x: Vec::new(),
            clipped: 0,
            not_applied,
        })
    }

    /// Goes on with steps of `dt_ms`: the state is what it was, and decays from now on by exp(-dt / tau) of the new duration. What is left
    /// of a refractory period stays as long as it was, in whole steps, rounded up, but no more of them than a whole period has; an
    /// eligibility that steps of this duration could not have reached is cut to the most that they can.
    fn change_duration(&mut self, dt_ms: f32) -> Result<(), fold_advanced::Error> {
        let before = self.layer.config();
        let mut config = before.clone();
        config.dt_ms = dt_ms;
        config.check()?;
        let mut arrays = self.layer.state_arrays();
        if let (Some(params), Some(StateData::U32(steps))) =
            (config.refractory, data(&mut arrays, "refractory.countdown"))
        {
            let (per_step, most) = (f64::from(before.dt_ms) / f64::from(dt_ms), params.blocked_steps(dt_ms));
            for left in steps {
                *left = ((f64::from(*left) * per_step).ceil() as u32).min(most);
            }
        }
        if let (Some(params), Some(stdp)) = (&config.three_factor, &config.stdp)
            && let Some(StateData::F32(eligibility)) = data(&mut arrays, "three_factor.eligibility")
        {
            let bound = ThreeFactor::new(params, dt_ms, stdp.drive_max(&config.filaments)).bound();
            eligibility.iter_mut().for_each(|e| *e = e.clamp(-bound, bound));
        }
        self.layer = Layer::restore(config, |name| arrays.remove(name))?;
        Ok(())
    }
}

/// The values of the array of this name.
fn data<'a>(arrays: &'a mut BTreeMap<String, StateArray>, name: &str) -> Option<&'a mut StateData> {
    arrays.get_mut(name).map(|array| &mut array.data)
}

/// The configuration: what goes with the class, and the case's sections over it.
fn config(case: &Case) -> Result<LayerConfig, Fault> {
    let [dendrites, synapses] = case.shape;
    let shape = Shape {
        neurons: 1,
        dendrites,
        synapses,
    };
    shape.check().map_err(|error| Fault::Parameters(error.into()))?;
    let mut config = LayerConfig::new(shape, dendrites * synapses, case.seed);
    for (at, row) in case.program.iter().enumerate() {
        if let Row::Forward { dt, .. } = *row
            && !(dt as f32).is_finite()
        {
            let what = RowFault::StepDuration { duration_ms: dt };
            return Err(Fault::Row { row: at, what });
        }
    }
    let durations = case.program.iter().filter_map(|row| match row {
        Row::Forward { dt, .. } => Some(*dt as f32),
        _ => None,
    });
    config.dt_ms = durations.clone().next().unwrap_or(config.dt_ms);
    // The defaults are made for many synapses; short-term plasticity lets about a quarter of a steady input through.
    let part = if case.class == NeuronClass::Advanced { 32.0 } else { 8.0 };
    config.dendrite.threshold = synapses as f32 / part;
    config.spike.theta_init = config.spike.theta_init.min(dendrites as f32 / 4.0);
    config.spike.theta_max = config.spike.theta_max.max(dendrites as f32 + 1.0);
    config.stdp = Some(StdpParams {
        a_minus: 0.02,
        ..StdpParams::default()
    });
    config.three_factor = Some(ThreeFactorParams::default());
    config.consolidation = Some(ConsolidationParams {
        share: 0.5,
        ..ConsolidationParams::default()
    });
    if case.class == NeuronClass::Advanced {
        config.short_term = Some(ShortTermParams::default());
        config.bap = Some(BapParams::default());
        config.adaptation = Some(AdaptationParams {
            strength: dendrites as f32 / 4.0,
            ..AdaptationParams::default()
        });
        config.refractory = Some(RefractoryParams::default());
    }
    // Short steps make a rate per step small; half of what the refractory period leaves possible in the shortest is reachable.
    let shortest = LayerConfig {
        dt_ms: durations.fold(config.dt_ms, f32::min),
        ..config.clone()
    };
    let default = HomeostasisParams::default();
    config.homeostasis = Some(HomeostasisParams {
        rate_target: default.rate_target.min(shortest.rate_max() as f32 / 2.0),
        ..default
    });
    for (key, instead) in OF_THE_CASE {
        if case.sound.contains_key(key) {
            return Err(Fault::SoundKey { key, instead });
        }
    }
    // One section at a time, so that the error can name the one that cannot be read.
    for (key, section) in &case.sound {
        let one = Map::from_iter([(key.clone(), section.clone())]);
        config = overlaid(&config, &one).map_err(|source| match Fault::of_case(source) {
            Fault::Case {
                source,
                unknown_key: false,
            } => Fault::SoundSection {
                key: key.as_str().into(),
                source,
            },
            unknown => unknown,
        })?;
    }
    Ok(config)
}

/// What the layer takes from the case, and where the case says it.
const OF_THE_CASE: [(&str, &str); 4] = [
    ("shape", "a layer of one neuron of the case's shape"),
    ("lines", "one for each synapse"),
    ("seed", "its own key"),
    ("dt_ms", "each row's dt"),
];

/// `config` with `sections` laid over it.
fn overlaid(config: &LayerConfig, sections: &Map<String, Value>) -> serde_json::Result<LayerConfig> {
    let mut whole = serde_json::to_value(config)?;
    if let Value::Object(under) = &mut whole {
        lay_over(under, sections);
    }
    serde_json::from_value(whole)
}

/// Lays `over` over `under`, object by object.
fn lay_over(under: &mut Map<String, Value>, over: &Map<String, Value>) {
    for (key, value) in over {
        match (under.get_mut(key), value) {
            (Some(Value::Object(under)), Value::Object(over)) => lay_over(under, over),
            _ => {
                under.insert(key.clone(), value.clone());
            }
        }
    }
}

/// `init.N` as the layer's filaments.
fn filaments(case: &Case, config: &LayerConfig, input: &Arrays) -> Result<Option<Vec<u8>>, Fault> {
    let Some(given) = input.i32s("init.N", &case.dims())? else {
        return Ok(None);
    };
    let bounds = config.filaments.n_min..=config.filaments.n_max;
    let convert = |(index, &n): (usize, &i32)| {
        u8::try_from(n)
            .ok()
            .filter(|n| bounds.contains(n))
            .ok_or(Fault::ArrayValue {
                array: "init.N",
                value: n.into(),
                index,
                rule: "must be in [filaments.n_min, filaments.n_max]",
            })
    };
    given
        .iter()
        .enumerate()
        .map(convert)
        .collect::<Result<_, _>>()
        .map(Some)
}

/// Copies `x` as numbers of events: what is finite and outside of [0, 1] is clipped to it. Returns how much was.
fn events(x: &[f32], events: &mut Vec<f32>) -> u64 {
    let clip = |x: &f32| if x.is_finite() { x.clamp(0.0, 1.0) } else { *x };
    events.clear();
    events.extend(x.iter().map(clip));
    x.iter()
        .zip(events)
        .filter(|(x, event)| x.is_finite() && x != event)
        .count() as u64
}

impl super::Subject for Subject {
    fn forward(&mut self, forward: Forward<'_>, trace: &mut Trace) -> Result<u64, StepFault> {
        if forward.samples == 0 {
            return Err(StepFault::Asked(RowFault::NoSamples));
        }
        if forward.dt as f32 != self.layer.config().dt_ms {
            self.change_duration(forward.dt as f32)?;
        }
        if forward.samples != self.layer.samples() {
            self.layer.set_samples(forward.samples)?;
        }
        let mode = forward.mode.unwrap_or(self.mode);
        let learns = forward.collect_stats && matches!(mode, Mode::Online | Mode::Batch);
        let regulates = forward.collect_stats && mode != Mode::Inference;
        let default = StepOptions::default();
        let options = StepOptions {
            plasticity: if learns { 1.0 } else { 0.0 },
            modulator: forward
                .reward
                .map_or(default.modulator, |reward| reward.clamp(-1.0, 1.0) as f32),
            thresholds: if regulates { Thresholds::Adapt } else { Thresholds::Hold },
            ..default
        };
        let full = self.layer.config().filaments.n_max;
        let filaments = self.layer.state().filaments();
        let saturation = filaments.iter().filter(|n| **n == full).count() as f64 / filaments.len() as f64;
        self.clipped += events(forward.x, &mut self.x);
        let step = self.layer.step(&self.x, forward.samples, options)?;
        let spikes = step.spikes.iter().map(|&spike| u64::from(spike)).sum::<u64>();
        trace.push("step.spikes", &[self.batch], Values::U8(step.spikes));
        trace.push("step.u", &[self.batch], Values::F32(step.potential));
        trace.push("step.theta", &[], Values::F32(self.layer.state().theta()));
        trace.push(
            "step.spike_rate",
            &[],
            Values::F64(&[spikes as f64 / forward.samples as f64]),
        );
        trace.push("step.saturation_ratio", &[], Values::F64(&[saturation]));
        Ok(spikes)
    }

    fn set_mode(&mut self, mode: Mode) -> Result<(), StepFault> {
        self.mode = mode;
        Ok(())
    }

    fn apply(&mut self, _dt: f64, _reward: Option<f64>) -> Result<(), StepFault> {
        Ok(())
    }

    fn sleep(&mut self, duration: f64) -> Result<(), StepFault> {
        if duration <= 0.0 {
            let what = RowFault::SleepDuration { duration_ms: duration };
            return Err(StepFault::Asked(what));
        }
        self.layer.sleep(duration as f32)?;
        Ok(())
    }

    fn visit_state(&self, visit: &mut Visit<'_>) {
        self.layer
            .visit_state(&mut |name: &str, shape: &[usize], values: StateSlice<'_>| {
                let values = match values {
                    StateSlice::U8(values) => Values::U8(values),
                    StateSlice::U32(values) => Values::U32(values),
                    StateSlice::U64(values) => Values::U64(values),
                    StateSlice::F32(values) => Values::F32(values),
                    _ => return,
                };
                visit(name, shape, self.padded.get(name).map_or(shape, Vec::as_slice), values);
            });
    }

    fn inputs_clipped(&self) -> u64 {
        self.clipped
    }

    fn not_applied(&self) -> Vec<String> {
        self.not_applied.clone()
    }
}
