//! The dynamic state, handed out as named arrays and taken back.

use std::collections::BTreeMap;

use fold_core::health::{COUNT_MAX, Tally};
use fold_core::input::InputPolicy;
use fold_core::invariants::{Breach, Invariant, Part, Place};
use fold_core::state::StoredState;
use fold_core::{LayerState, Wiring};

use super::{Layer, LayerBuilder, check_samples};
use crate::config::LayerConfig;
use crate::stateful::{StateArray, StateSlice, Stored};
use crate::{Error, Result};

impl Layer {
    /// Hands every array of the dynamic state to `visit`: name, shape, values. Together with the configuration they are
    /// the whole layer: [`Layer::restore`] goes on bit-identically, and [`LayerBuilder::restore`] where it has mechanisms that the
    /// configuration does not name.
    ///
    /// | name | type, shape |
    /// |---|---|
    /// | `filaments`, `internal`, `wiring` | u8, f32, u32 [n, D, S] |
    /// | `theta`, `quarantined` | f32, u8 \[n\] |
    /// | `clock`, `seed`, `samples` | u64 \[1\]; (seed, clock) is the position of the random numbers |
    /// | `health.spikes`, `health.counters` | u32 \[n\], u64 \[3\] (samples, at n_min, at n_max of the running sweep) |
    /// | `health.silenced` | u64 \[1\]; under the input policy `silence` |
    /// | `stdp.trace_pre`, `stdp.trace_post` | f32 [B, M], f32 [B, n] |
    /// | `three_factor.eligibility` | f32 [n, D, S] |
    /// | `homeostasis.error` | f32 \[n\] |
    /// | `refractory.countdown`, `refractory.boost` | u32, f32 [B, n] |
    /// | `short_term.facilitation`, `short_term.depletion` | f32 [B, M] |
    /// | `bap.exhaustion`, `adaptation.rate` | f32 [B, n] |
    /// | `feedback.potential`, `feedback.inhibition` | f32 [B, cells] |
    /// | `neuromodulation.expected` | f32 \[1\] (external) or \[n\] (surprise) |
    /// | `consolidation.labile`, `pruning.age` | f32, u8 [n, D, S] |
    ///
    /// The arrays of a mechanism are there when it is.
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
        if self.monitor.input_policy() == InputPolicy::Silence {
            visit("health.silenced", &[1], StateSlice::U64(&[tally.silenced]));
        }
        for mechanism in &self.mechanisms {
            mechanism.visit_state(&mut |name, shape, values| visit(name, shape, values));
        }
    }

    /// A copy of every array of the dynamic state by its name, as [`Layer::visit_state`] lists them and [`Layer::restore`]
    /// takes them.
    #[must_use]
    pub fn state_arrays(&self) -> BTreeMap<String, StateArray> {
        let mut arrays = BTreeMap::new();
        self.visit_state(&mut |name: &str, shape: &[usize], values: StateSlice<'_>| {
            let array = StateArray {
                shape: shape.to_vec(),
                data: values.to_data(),
            };
            arrays.insert(name.to_owned(), array);
        });
        arrays
    }

    /// The layer that `config` describes, with the dynamic state that `get` returns by name. What other mechanisms had is not asked for:
    /// a layer with some comes back by [`LayerBuilder::restore`].
    ///
    /// # Errors
    /// As [`Layer::new`]; an array is missing, or has another type or shape; the stored seed is not the configured one; the
    /// stored state breaks an invariant.
    pub fn restore(config: LayerConfig, mut get: impl FnMut(&str) -> Option<StateArray>) -> Result<Self> {
        config.check()?;
        let mut stored = Stored::new(&mut get);
        let wiring = wiring(&config, &mut stored)?;
        LayerBuilder::new(config, wiring)?.resume(stored)
    }
}

impl LayerBuilder {
    /// The layer with the dynamic state that `get` returns by name, that of mechanisms added by [`LayerBuilder::with`] among it. Its wiring is
    /// the stored one.
    ///
    /// # Errors
    /// As [`Layer::restore`] and [`LayerBuilder::build`].
    pub fn restore(mut self, mut get: impl FnMut(&str) -> Option<StateArray>) -> Result<Layer> {
        self.check_order()?;
        let mut stored = Stored::new(&mut get);
        self.wiring = wiring(&self.config, &mut stored)?;
        self.resume(stored)
    }

    /// The layer with the state in `stored`, of which the wiring has been taken.
    fn resume(self, mut stored: Stored<'_>) -> Result<Layer> {
        let config = &self.config;
        let shape = config.shape;
        let neurons = [shape.neuron_count()];
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
        if clock > COUNT_MAX {
            let breach = Breach {
                invariant: Invariant::Count,
                array: "clock",
                place: Place::Layer,
                value: clock as f64,
            };
            return Err(Error::StateInvalid { breach });
        }
        let arrays = StoredState {
            filaments: stored.u8s("filaments", &shape.dims())?,
            internal: stored.f32s("internal", &shape.dims())?,
            theta: stored.f32s("theta", &neurons)?,
            quarantined: stored.u8s("quarantined", &neurons)?,
        };
        let state = LayerState::restore(shape, &config.filaments, &config.spike, arrays).map_err(invalid)?;
        let samples = check_samples(samples)?;
        let mut layer = self.assemble(state, samples, clock)?;
        for mechanism in &mut layer.mechanisms {
            mechanism.restore(samples, &mut stored)?;
        }
        let counters = stored.u64s("health.counters", &[3])?;
        let [samples_seen, at_n_min, at_n_max] = <[u64; 3]>::try_from(counters).unwrap_or_default();
        let spikes = stored.u32s("health.spikes", &neurons)?;
        let silenced = match layer.monitor.input_policy() {
            InputPolicy::Silence => one(stored.u64s("health.silenced", &[1])?),
            InputPolicy::Reject => 0,
        };
        let tally = Tally {
            spikes,
            samples: samples_seen,
            at_n_min,
            at_n_max,
            silenced,
        };
        let restored = layer.monitor.restore(tally, shape.synapse_count());
        restored.map_err(invalid)?;
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

/// The stored wiring of a layer of this configuration.
fn wiring(config: &LayerConfig, stored: &mut Stored<'_>) -> Result<Wiring> {
    let index = stored.u32s("wiring", &config.shape.dims())?;
    Ok(Wiring::new(config.shape, config.lines, index)?)
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
