//! A PyFolds 1.0.2 neuron under a program, its arrays named as the reference trajectories name them.

use fold_advanced::pyfolds::advanced::AdvancedState;
use fold_advanced::pyfolds::{self, AdvancedNeuron, Mode, Neuron, NeuronState, Parameters, Step};

use super::arrays::{Arrays, INIT};
use super::case::{Case, NeuronClass};
use super::fault::Fault;
use super::trace::{Trace, Values};
use super::{Forward, StepFault, Visit};

/// What the initial state of a base neuron may name.
const BASE: [&str; 9] = [
    "N",
    "I",
    "protection",
    "sat_time",
    "eligibility",
    "homeo",
    "counters",
    "acc_x",
    "acc_gated",
];

/// What that of an advanced neuron may name besides.
const ADVANCED: [&str; 5] = ["u_stp", "R_stp", "dendrite_amplification", "time_counter", "queue_len"];

enum Which {
    Base(Box<Neuron>),
    Advanced(Box<AdvancedNeuron>),
}

/// The neuron.
pub(super) struct Subject {
    neuron: Which,
    batch: usize,
    dims: [usize; 2],
}

impl Subject {
    /// The neuron of `case` in the state that `input` gives; what it does not give is new.
    pub(super) fn new(case: &Case, input: &Arrays) -> Result<Self, Fault> {
        let p = case.parameters()?;
        p.check().map_err(Fault::Parameters)?;
        let advanced = case.class == NeuronClass::Advanced;
        let known = |name: &&str| BASE.contains(name) || (advanced && ADVANCED.contains(name));
        if let Some(array) = input.initial().find(|name| !known(name)) {
            return Err(Fault::ArrayUnknown {
                array: format!("{INIT}{array}").into(),
            });
        }
        let state = initial(&p, case.seed, input)?;
        let neuron = if advanced {
            let state = initial_advanced(&p, state, input)?;
            Which::Advanced(Box::new(AdvancedNeuron::new(p, state).map_err(Fault::Parameters)?))
        } else {
            Which::Base(Box::new(Neuron::new(p, state).map_err(Fault::Parameters)?))
        };
        Ok(Self {
            neuron,
            batch: case.batch,
            dims: case.dims(),
        })
    }

    fn base(&self) -> &Neuron {
        match &self.neuron {
            Which::Base(neuron) => neuron,
            Which::Advanced(neuron) => neuron.neuron(),
        }
    }

    fn base_mut(&mut self) -> &mut Neuron {
        match &mut self.neuron {
            Which::Base(neuron) => neuron,
            Which::Advanced(neuron) => neuron.neuron_mut(),
        }
    }
}

/// Replaces `place` where the input gives an array.
fn given<T>(place: &mut T, array: Option<T>) {
    if let Some(array) = array {
        *place = array;
    }
}

fn initial(p: &Parameters, seed: u64, input: &Arrays) -> Result<NeuronState, Fault> {
    let mut state = NeuronState::new(p, seed);
    let dims = [p.dendrites(), p.synapses()];
    let s = &mut state.synapses;
    given(&mut s.filaments, input.i32s("init.N", &dims)?);
    given(&mut s.internal, input.f32s("init.I", &dims)?);
    given(&mut s.protection, input.bools("init.protection", &dims)?);
    given(&mut s.sat_time, input.f32s("init.sat_time", &dims)?);
    given(&mut s.eligibility, input.f32s("init.eligibility", &dims)?);
    if let Some(Ok([theta, r_hat, integral, last])) = input.f32s("init.homeo", &[4])?.map(<[f32; 4]>::try_from) {
        let h = &mut state.homeostasis;
        (h.theta, h.r_hat, h.integral_error, h.last_error) = (theta, r_hat, integral, last);
    }
    if let Some(Ok(counters)) = input.i64s("init.counters", &[6])?.map(<[i64; 6]>::try_from) {
        let [homeostasis, steps, sleeps, switches, count, spikes] = counters;
        state.homeostasis.step_count = homeostasis;
        (state.step_id, state.sleep_count, state.mode_switches) = (steps, sleeps, switches);
        let a = &mut state.accumulator;
        (a.count, a.spikes) = (count, spikes);
    }
    given(&mut state.accumulator.x, input.f32s("init.acc_x", &dims)?);
    given(&mut state.accumulator.gated, input.f32s("init.acc_gated", &[dims[0]])?);
    Ok(state)
}

fn initial_advanced(p: &Parameters, neuron: NeuronState, input: &Arrays) -> Result<AdvancedState, Fault> {
    let mut state = AdvancedState {
        neuron,
        ..AdvancedState::new(p, 0)
    };
    let dims = [p.dendrites(), p.synapses()];
    given(&mut state.short_term.u, input.f32s("init.u_stp", &dims)?);
    given(&mut state.short_term.r, input.f32s("init.R_stp", &dims)?);
    given(
        &mut state.amplification,
        input.f32s("init.dendrite_amplification", &[dims[0]])?,
    );
    if let Some(&[time]) = input.f32s("init.time_counter", &[1])?.as_deref() {
        state.time = time;
    }
    match input.i64s("init.queue_len", &[1])?.as_deref() {
        Some(&[len]) if len != 0 => Err(Fault::ArrayValue {
            array: "init.queue_len",
            value: len as f64,
            index: 0,
            rule: "must be 0: PyFolds saves no queued events",
        }),
        _ => Ok(state),
    }
}

impl super::Subject for Subject {
    fn forward(&mut self, forward: Forward<'_>, trace: &mut Trace) -> Result<u64, StepFault> {
        let arguments = pyfolds::Forward {
            mode: forward.mode,
            reward: forward.reward,
            dt: forward.dt,
            collect_stats: forward.collect_stats,
        };
        let (batch, [dendrites, _]) = (self.batch, self.dims);
        let spikes = match &mut self.neuron {
            Which::Base(neuron) => {
                let step = neuron.forward(forward.x, forward.samples, arguments)?;
                trace.push("step.spikes", &[batch], Values::U8(&step.spikes));
                trace.push("step.u", &[batch], Values::F32(&step.integrated.u));
                record(step, batch, dendrites, trace);
                count(&step.spikes)
            }
            Which::Advanced(neuron) => {
                let step = neuron.forward(forward.x, forward.samples, arguments)?;
                trace.push("step.spikes", &[batch], Values::U8(&step.spikes));
                trace.push("step.u", &[batch], Values::F32(&step.u));
                let (fired, stdp) = (count(&step.spikes), step.stdp_applied);
                record(neuron.base_step(), batch, dendrites, trace);
                trace.push("step.u_raw", &[batch], Values::F32(&neuron.base_step().integrated.u));
                let refractory = neuron.refractory();
                trace.push("step.last_spike_time", &[batch], Values::F32(&refractory.last_spike));
                trace.push("step.refrac_blocked", &[batch], Values::Bool(&refractory.blocked));
                trace.push("step.theta_boost", &[batch], Values::F32(&refractory.boost));
                trace.push(
                    "step.adaptation_current",
                    &[batch],
                    Values::F32(&neuron.adaptation().current),
                );
                trace.push(
                    "step.dendrite_amplification",
                    &[dendrites],
                    Values::F32(&neuron.bap().amplification),
                );
                trace.push("step.stdp_applied", &[], Values::Bool(&[stdp]));
                fired
            }
        };
        Ok(spikes)
    }

    fn set_mode(&mut self, mode: Mode) -> Result<(), StepFault> {
        self.base_mut().set_mode(mode);
        Ok(())
    }

    fn apply(&mut self, dt: f64, reward: Option<f64>) -> Result<(), StepFault> {
        Ok(self.base_mut().apply_plasticity(dt, reward)?)
    }

    fn sleep(&mut self, duration: f64) -> Result<(), StepFault> {
        Ok(self.base_mut().sleep(duration)?)
    }

    fn visit_state(&self, visit: &mut Visit<'_>) {
        let [dendrites, synapses] = self.dims;
        let state = self.base().state();
        let (s, h, a) = (&state.synapses, &state.homeostasis, &state.accumulator);
        let mut whole = |name, shape: &[usize], values| visit(name, shape, shape, values);
        whole("N", &self.dims, Values::I32(&s.filaments));
        whole("I", &self.dims, Values::F32(&s.internal));
        whole("protection", &self.dims, Values::Bool(&s.protection));
        whole("sat_time", &self.dims, Values::F32(&s.sat_time));
        whole("eligibility", &self.dims, Values::F32(&s.eligibility));
        let homeo = [h.theta, h.r_hat, h.integral_error, h.last_error];
        whole("homeo", &[4], Values::F32(&homeo));
        let counters = [
            h.step_count,
            state.step_id,
            state.sleep_count,
            state.mode_switches,
            a.count,
            a.spikes,
        ];
        whole("counters", &[6], Values::I64(&counters));
        whole("acc_x", &self.dims, Values::F32(&a.x));
        whole("acc_gated", &[dendrites], Values::F32(&a.gated));
        let Which::Advanced(neuron) = &self.neuron else { return };
        whole("u_stp", &self.dims, Values::F32(&neuron.short_term().u));
        whole("R_stp", &self.dims, Values::F32(&neuron.short_term().r));
        whole(
            "dendrite_amplification",
            &[dendrites],
            Values::F32(&neuron.bap().amplification),
        );
        let time = [neuron.time()];
        whole("time_counter", &[1], Values::F32(&time));
        let queued = [neuron.bap().queue_len() as i64];
        whole("queue_len", &[1], Values::I64(&queued));
        let padded = [self.batch, dendrites, synapses];
        let zeros = vec![0.0; padded.iter().product()];
        let traces = [
            ("trace_pre", &neuron.stdp().pre),
            ("trace_post", &neuron.stdp().post),
            ("backprop_trace", &neuron.bap().trace),
        ];
        for (name, trace) in traces {
            if trace.is_empty() {
                visit(name, &padded, &padded, Values::F32(&zeros));
            } else {
                let shape = [trace.len() / (dendrites * synapses), dendrites, synapses];
                visit(name, &shape, &padded, Values::F32(trace));
            }
        }
    }

    fn inputs_clipped(&self) -> u64 {
        0
    }

    fn not_applied(&self) -> Vec<String> {
        Vec::new()
    }
}

fn count(spikes: &[u8]) -> u64 {
    spikes.iter().map(|&spike| u64::from(spike)).sum()
}

/// What both classes report of the base step.
fn record(step: &Step, batch: usize, dendrites: usize, trace: &mut Trace) {
    trace.push("step.v_dend", &[batch, dendrites], Values::F32(&step.integrated.v));
    trace.push("step.theta", &[], Values::F32(&[step.theta]));
    trace.push("step.r_hat", &[], Values::F32(&[step.r_hat]));
    trace.push("step.R", &[], Values::F64(&[step.modulator]));
    trace.push("step.spike_rate", &[], Values::F64(&[step.spike_rate]));
    trace.push("step.saturation_ratio", &[], Values::F64(&[step.saturation_ratio]));
}
