//! Building: from a configuration to a checked list of mechanisms, and from that to a layer.

use fold_core::dendrite::Dendrite;
use fold_core::health::Monitor;
use fold_core::spike::EscapeNoise;
use fold_core::{LayerState, Wiring};

use super::{Layer, Needs, Work};
use crate::adaptation::Adaptation;
use crate::bap::Bap;
use crate::config::LayerConfig;
use crate::consolidation::Consolidation;
use crate::credit::Credit;
use crate::feedback::Feedback;
use crate::homeostasis::Homeostasis;
use crate::inhibition::Inhibition;
use crate::mechanism::{Drive, Mechanism};
use crate::neuromodulation::Neuromodulation;
use crate::pruning::Pruning;
use crate::refractory::Refractory;
use crate::short_term::ShortTerm;
use crate::stdp::Stdp;
use crate::{Error, Result};

/// Puts a layer together, mechanism by mechanism, in the order of their phases.
#[derive(Debug)]
pub struct LayerBuilder {
    pub(super) config: LayerConfig,
    pub(super) wiring: Wiring,
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
        let mechanisms = configured(&config)?;
        Ok(Self {
            config,
            wiring,
            mechanisms,
        })
    }

    /// Adds a mechanism after those that are there. A configuration does not name it: who saves the layer brings it back by
    /// [`LayerBuilder::restore`].
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

    pub(super) fn check_order(&self) -> Result<()> {
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

    pub(super) fn assemble(self, state: LayerState, samples: usize, clock: u64) -> Result<Layer> {
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
                modulators: vec![0.0; neurons],
                drive: Drive::zeros(neurons, config.shape.row_len()),
                ..Work::default()
            },
            needs: Needs::of(&mechanisms),
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

/// The mechanisms that `config` names, in the order of their phases.
fn configured(config: &LayerConfig) -> Result<Vec<Box<dyn Mechanism>>> {
    let (shape, dt_ms, filaments) = (config.shape, config.dt_ms, &config.filaments);
    let mut list: Vec<Box<dyn Mechanism>> = Vec::new();
    if let Some(params) = &config.short_term {
        list.push(Box::new(ShortTerm::new(params, dt_ms, config.lines)));
    }
    if let Some(params) = &config.inhibition {
        list.push(Box::new(Inhibition::new(params, shape)));
    }
    if let Some(params) = &config.refractory {
        list.push(Box::new(Refractory::new(params, dt_ms, shape)));
    }
    if let Some(params) = &config.bap {
        list.push(Box::new(Bap::new(params, dt_ms, shape)));
    }
    if let Some(params) = &config.stdp {
        list.push(Box::new(Stdp::new(params, dt_ms, filaments, shape, config.lines)));
    }
    if let Some(params) = &config.neuromodulation {
        list.push(Box::new(Neuromodulation::new(params, dt_ms, filaments, shape)));
    }
    if let Some(params) = &config.three_factor {
        let stdp = config.stdp.ok_or(Error::Missing {
            mechanism: Credit::NAME,
            requires: Stdp::NAME,
        })?;
        let hebb_max = stdp.drive_max(filaments);
        list.push(Box::new(Credit::new(params, dt_ms, hebb_max, shape)));
    }
    if let Some(params) = &config.consolidation {
        list.push(Box::new(Consolidation::new(params, filaments, shape)));
    }
    if let Some(params) = &config.pruning {
        list.push(Box::new(Pruning::new(params, &config.filaments, dt_ms, shape)));
    }
    if let Some(params) = &config.adaptation {
        list.push(Box::new(Adaptation::new(params, dt_ms, shape)));
    }
    if let Some(params) = &config.feedback {
        list.push(Box::new(Feedback::new(params, dt_ms, shape)));
    }
    if let Some(params) = &config.homeostasis {
        list.push(Box::new(Homeostasis::new(params, dt_ms, &config.spike, shape)));
    }
    Ok(list)
}
