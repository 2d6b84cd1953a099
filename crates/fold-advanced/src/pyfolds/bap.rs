//! Back-propagating action potentials: delayed events that raise an amplification per dendrite and a trace per synapse.
//!
//! ```text
//! a <- a e^(-D/tau_a)     z <- z e^(-D/tau_z)                        D: since the queue was last looked at while not empty
//! event due:  a += min(signal mean_b(base), cap)     z += signal where the dendrite was active     z <- min(z, 2)
//! ```
//!
//! Neither a nor z influences anything; they are outputs.

use std::collections::VecDeque;

use super::parameters::Parameters;
use super::scalar::{at_most, count, decay, sigmoid, single, sum};

/// A spike on its way back to the dendrites.
#[derive(Debug, Clone, PartialEq)]
struct Event {
    time: f64,
    v: Vec<f32>,
    contribution: Vec<f32>,
}

/// The queue and what its events have left behind.
#[derive(Debug, Clone, PartialEq)]
pub struct Bap {
    /// a, \[D\].
    pub amplification: Vec<f32>,
    /// z, [B, D, S]; empty until the first event is queued.
    pub trace: Vec<f32>,
    queue: VecDeque<Event>,
    capacity: usize,
    last: f64,
}

impl Bap {
    /// Nothing queued.
    #[must_use]
    pub fn new(p: &Parameters, amplification: Vec<f32>) -> Self {
        Self {
            amplification,
            trace: Vec::new(),
            queue: VecDeque::new(),
            // A cast truncates, as int() does, and saturates.
            capacity: ((50.0 * p.backprop_delay) as usize).max(100),
            last: 0.0,
        }
    }

    /// Events on their way.
    #[must_use]
    pub fn queue_len(&self) -> usize {
        self.queue.len()
    }

    /// Lets everything decay and takes in the events that are due at `now`; does nothing while the queue is empty.
    pub fn receive(&mut self, p: &Parameters, now: f64) {
        let Some(first) = self.queue.front() else { return };
        let len = first.v.len() * p.synapses();
        self.fit(len);
        let since = (now - self.last).max(0.0);
        let (keep_a, keep_z) = (decay(since, p.backprop_amp_tau), decay(since, p.backprop_trace_tau));
        self.amplification.iter_mut().for_each(|a| *a *= keep_a);
        self.trace.iter_mut().for_each(|z| *z *= keep_z);
        self.last = now;
        while self.queue.front().is_some_and(|event| event.time <= now) {
            if let Some(event) = self.queue.pop_front() {
                self.take(p, &event);
            }
        }
    }

    fn take(&mut self, p: &Parameters, event: &Event) {
        self.fit(event.v.len() * p.synapses());
        let dendrites = p.dendrites();
        let samples = event.v.len() / dendrites;
        let proportional = p.bap_proportional && !event.contribution.is_empty();
        let signal = single(p.backprop_signal);
        for (d, a) in self.amplification.iter_mut().enumerate() {
            let base = |b: usize| {
                let k = b * dendrites + d;
                if proportional {
                    event.contribution[k]
                } else {
                    sigmoid(event.v[k] / 5.0)
                }
            };
            let mean = sum((0..samples).map(base)) / count(samples);
            *a += at_most(signal * mean, single(p.backprop_max_amp));
        }
        let source = if proportional { &event.contribution } else { &event.v };
        let threshold = single(p.backprop_active_threshold);
        for (z, &activity) in self.trace.chunks_exact_mut(p.synapses()).zip(source) {
            for z in z {
                *z = at_most(if activity > threshold { *z + signal } else { *z }, 2.0);
            }
        }
    }

    fn fit(&mut self, len: usize) {
        if self.trace.len() != len {
            self.trace.clear();
            self.trace.resize(len, 0.0);
        }
    }

    /// Queues an event for `now` + delay; the oldest is dropped when the queue is full.
    pub fn schedule(&mut self, p: &Parameters, now: f64, v: &[f32], contribution: &[f32]) {
        if self.queue.len() >= self.capacity {
            self.queue.pop_front();
        }
        let time = now + p.backprop_delay;
        self.queue.push_back(Event {
            time,
            v: v.to_vec(),
            contribution: contribution.to_vec(),
        });
    }
}
