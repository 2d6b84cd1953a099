//! `MPJRDNeuronAdvanced`: the base neuron inside its five mechanisms, in the order of time.
//!
//! ```text
//! clock -> back-propagation -> short-term -> base step -> refractory -> adaptation -> STDP -> schedule back-propagation
//! ```
//!
//! Homeostasis and the Hebbian rule see the base step's spikes, before the refractory period and adaptation (defect C6); STDP
//! and back-propagation see the reported ones.

use super::adaptation::Adaptation;
use super::bap::Bap;
use super::neuron::{Forward, Mode, Neuron, NeuronState, Step};
use super::parameters::{Parameters, PlasticityMode};
use super::refractory::Refractory;
use super::scalar::single;
use super::short_term::ShortTerm;
use super::stdp::Stdp;
use crate::Result;

/// What a saved advanced neuron holds: traces, currents, last spikes and the queue are not in it (defect G4).
#[derive(Debug, Clone, PartialEq)]
pub struct AdvancedState {
    /// The base neuron's.
    pub neuron: NeuronState,
    /// Short-term u and R.
    pub short_term: ShortTerm,
    /// Back-propagation's amplification, \[D\].
    pub amplification: Vec<f32>,
    /// The clock, ms.
    pub time: f32,
}

impl AdvancedState {
    /// A new neuron's.
    #[must_use]
    pub fn new(p: &Parameters, seed: u64) -> Self {
        Self {
            neuron: NeuronState::new(p, seed),
            short_term: ShortTerm::new(p),
            amplification: vec![0.0; p.dendrites()],
            time: 0.0,
        }
    }
}

/// What a step of the advanced neuron brought about.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AdvancedStep {
    /// The reported spikes, \[B\].
    pub spikes: Vec<u8>,
    /// The potential after adaptation, \[B\].
    pub u: Vec<f32>,
    /// Whether STDP acted.
    pub stdp_applied: bool,
}

/// An advanced neuron.
#[derive(Debug, Clone, PartialEq)]
pub struct AdvancedNeuron {
    neuron: Neuron,
    short_term: ShortTerm,
    refractory: Refractory,
    adaptation: Adaptation,
    stdp: Stdp,
    bap: Bap,
    time: f32,
    transmitted: Vec<f32>,
    step: AdvancedStep,
}

impl AdvancedNeuron {
    /// A neuron with the state given, online, with all transient state missing.
    ///
    /// # Errors
    /// As [`Neuron::new`].
    pub fn new(p: Parameters, state: AdvancedState) -> Result<Self> {
        let neuron = Neuron::new(p, state.neuron)?;
        for (array, given, expected) in [
            ("u_stp", state.short_term.u.len(), p.synapse_count()),
            ("R_stp", state.short_term.r.len(), p.synapse_count()),
            ("dendrite_amplification", state.amplification.len(), p.dendrites()),
        ] {
            if given != expected {
                return Err(fold_core::Error::Length { array, expected, given }.into());
            }
        }
        Ok(Self {
            neuron,
            short_term: state.short_term,
            refractory: Refractory::default(),
            adaptation: Adaptation::default(),
            stdp: Stdp::default(),
            bap: Bap::new(&p, state.amplification),
            time: state.time,
            transmitted: Vec::new(),
            step: AdvancedStep::default(),
        })
    }

    /// What a saved neuron would hold.
    #[must_use]
    pub fn state(&self) -> AdvancedState {
        AdvancedState {
            neuron: self.neuron.state().clone(),
            short_term: self.short_term.clone(),
            amplification: self.bap.amplification.clone(),
            time: self.time,
        }
    }

    /// The base neuron, for its modes, batches and sleep, which the mechanisms do not touch.
    pub fn neuron_mut(&mut self) -> &mut Neuron {
        &mut self.neuron
    }

    /// The base neuron.
    #[must_use]
    pub fn neuron(&self) -> &Neuron {
        &self.neuron
    }

    /// The base neuron's part of the last step: what homeostasis and the Hebbian rule saw, before refractoriness and adaptation.
    #[must_use]
    pub fn base_step(&self) -> &Step {
        self.neuron.last_step()
    }

    /// Short-term u and R.
    #[must_use]
    pub fn short_term(&self) -> &ShortTerm {
        &self.short_term
    }

    /// Last spikes, and the last step's refractory decisions.
    #[must_use]
    pub fn refractory(&self) -> &Refractory {
        &self.refractory
    }

    /// The adaptation current.
    #[must_use]
    pub fn adaptation(&self) -> &Adaptation {
        &self.adaptation
    }

    /// The STDP traces.
    #[must_use]
    pub fn stdp(&self) -> &Stdp {
        &self.stdp
    }

    /// Back-propagation's amplification, trace and queue.
    #[must_use]
    pub fn bap(&self) -> &Bap {
        &self.bap
    }

    /// The clock, ms, in the precision that PyFolds keeps it in (defect D2).
    #[must_use]
    pub fn time(&self) -> f32 {
        self.time
    }

    /// One forward step; arguments as for [`Neuron::forward`].
    ///
    /// # Errors
    /// As [`Neuron::forward`]; of the mechanisms, those that come before learning have moved too when it ends there.
    pub fn forward(&mut self, x: &[f32], samples: usize, forward: Forward) -> Result<&AdvancedStep> {
        let p = *self.neuron.parameters();
        let expected = samples.saturating_mul(p.synapse_count());
        if x.len() != expected {
            return Err(fold_core::Error::Length {
                array: "x",
                expected,
                given: x.len(),
            }
            .into());
        }
        self.time += single(forward.dt);
        let now = f64::from(self.time);
        self.bap.receive(&p, now);
        self.short_term.transmit(&p, x, forward.dt, &mut self.transmitted);
        self.refractory.fit(samples);
        let mode = self.neuron.effective_mode(forward);
        let base = self.neuron.forward(&self.transmitted, samples, forward)?;

        let (theta, step) = (base.theta, &mut self.step);
        step.u.clone_from(&base.integrated.u);
        self.refractory.decide(&p, &step.u, theta, self.time, &mut step.spikes);
        if forward.mode != Some(Mode::Inference) {
            self.adaptation
                .adapt(&p, theta, forward.dt, &mut step.u, &mut step.spikes);
        }
        let enabled = matches!(p.plasticity_mode, PlasticityMode::Both | PlasticityMode::Stdp);
        step.stdp_applied = enabled && matches!(mode, Mode::Online | Mode::Batch);
        if step.stdp_applied {
            let internal = self.neuron.internal_mut();
            self.stdp
                .learn(&p, &self.transmitted, &step.spikes, forward.dt, internal);
        }
        if step.spikes.contains(&1) {
            let base = &self.neuron.last_step().integrated;
            self.bap.schedule(&p, now, &base.v, &base.contribution);
        }
        Ok(&self.step)
    }
}
