//! The three-factor update of one dendrite's synapses, with promotion, demotion and protection.
//!
//! ```text
//! h  = A+ pre post r+  -  A- ratio pre (1 - post) abs(r)         r = tanh(clip(scale R, -1, 1))
//! delta = eta k h (1 + beta clip(W, 0, w_cap)) dt
//! I <- clip(gamma I + damped delta, i_min, i_max)                e <- e + delta
//! I >= th+:  N += 1, I = 0       I <= th-:  N -= 1, I = 0        one change a step at most
//! ```
//!
//! The factor k is 5 online, 0.2 in a batch, 0 asleep and in inference. Defects A1 to A9.

use super::integration::weight;
use super::neuron::Mode;
use super::parameters::Parameters;
use super::scalar::{clip, exp, mask, single, tanh};
use crate::{Error, Result};

/// The state of a neuron's synapses, each [D, S].
#[derive(Debug, Clone, PartialEq)]
pub struct Synapses {
    /// N, filaments.
    pub filaments: Vec<i32>,
    /// I, the internal potential.
    pub internal: Vec<f32>,
    /// Whether the synapse is protected after it has saturated.
    pub protection: Vec<bool>,
    /// Time under protection, ms.
    pub sat_time: Vec<f32>,
    /// The sum of undamped updates, until sleep.
    pub eligibility: Vec<f32>,
}

impl Synapses {
    /// Synapses with the given filaments and nothing learned.
    #[must_use]
    pub fn new(filaments: Vec<i32>) -> Self {
        let count = filaments.len();
        Self {
            filaments,
            internal: vec![0.0; count],
            protection: vec![false; count],
            sat_time: vec![0.0; count],
            eligibility: vec![0.0; count],
        }
    }
}

/// The second and third factor, the same for every synapse of an update.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Factors {
    /// The postsynaptic rate.
    pub post: f64,
    /// The modulator R.
    pub modulator: f64,
    /// The duration, ms; its sign is dropped (defect A2).
    pub dt: f64,
    /// What the factor k follows.
    pub mode: Mode,
}

/// The rule with its constants in the precision they are used in.
#[derive(Debug, Clone, Copy)]
pub struct Rule<'a> {
    p: &'a Parameters,
    eta: f32,
    post: f32,
    potentiation: f32,
    depression: f32,
    dt: f32,
}

impl<'a> Rule<'a> {
    /// The rule for one update.
    #[must_use]
    pub fn new(p: &'a Parameters, factors: Factors) -> Self {
        let k = match factors.mode {
            Mode::Online => 5.0,
            Mode::Batch => 0.2,
            Mode::Sleep | Mode::Inference => 0.0,
        };
        let modulator = clip(single(factors.modulator), -1.0, 1.0);
        let r = tanh(clip(modulator * single(p.neuromod_scale), -1.0, 1.0));
        let (up, down) = (clip(r, 0.0, 1.0), clip(-r, 0.0, 1.0));
        Self {
            p,
            eta: single(p.i_eta * k),
            post: clip(single(factors.post), 0.0, 1.0),
            potentiation: up,
            depression: up + down,
            dt: single(factors.dt.abs()),
        }
    }

    /// Updates every synapse with its presynaptic activity `pre` [D, S], dendrite by dendrite.
    ///
    /// # Errors
    /// [`Error::Rate`] at the first dendrite with an activity that is not a number; those before it have learned.
    pub fn apply(&self, synapses: &mut Synapses, pre: &[f32]) -> Result<()> {
        let width = self.p.synapses();
        for (dendrite, part) in pre.chunks(width).enumerate() {
            if part.iter().any(|pre| !pre.is_finite()) {
                return Err(Error::Rate { dendrite });
            }
            for (k, &pre) in (dendrite * width..).zip(part) {
                self.update(synapses, k, pre);
            }
        }
        Ok(())
    }

    /// delta of a synapse with `filaments` filaments.
    fn drive(&self, pre: f32, filaments: i32) -> f32 {
        let p = self.p;
        let pre = clip(pre, 0.0, 1.0);
        let pre = pre * mask(pre > single(p.activity_threshold));
        let together = clip(pre * self.post, 0.0, 1.0);
        let alone = clip(pre * (1.0 - self.post), 0.0, 1.0);
        let ltd = single(p.A_minus * p.hebbian_ltd_ratio);
        let h = (single(p.A_plus) * together) * self.potentiation - (ltd * alone) * self.depression;
        // Unlike the weight that integration sees, which is not a number below N = -1.
        let w = clip(weight(filaments.max(0), p.w_scale), 0.0, single(p.max_log_weight));
        let gain = 1.0 + single(p.beta_w) * w;
        ((self.eta * h) * gain) * self.dt
    }

    /// `drive` as I takes it, which is `internal` now: smaller within 1 of a bound that it pushes against (defect A6).
    fn damped(&self, drive: f32, internal: f32) -> f32 {
        let (low, high) = (single(self.p.i_min), single(self.p.i_max));
        let mut damped = drive;
        if high - internal < 1.0 && damped > 0.0 {
            damped *= 1.0 / (1.0 + exp((internal - high) / 5.0));
        }
        if internal - low < 1.0 && damped < 0.0 {
            damped *= 1.0 / (1.0 + exp((low - internal) / 5.0));
        }
        damped
    }

    fn update(&self, s: &mut Synapses, k: usize, pre: f32) {
        let p = self.p;
        let (n_min, n_max) = (p.n_min as i32, p.n_max as i32);
        let drive = self.drive(pre, s.filaments[k]);
        let old = s.internal[k];
        let internal = old * single(p.i_gamma) + self.damped(drive, old);
        s.internal[k] = clip(internal, single(p.i_min), single(p.i_max));
        s.eligibility[k] += drive;

        if s.internal[k] >= single(p.i_ltp_th) {
            let room = s.filaments[k] < n_max;
            s.filaments[k] += i32::from(room);
            s.protection[k] = !room;
            s.internal[k] = 0.0;
            s.sat_time[k] = 0.0;
        }
        let demotion = if s.protection[k] {
            p.ltd_threshold_saturated
        } else {
            p.i_ltd_th
        };
        if s.internal[k] <= single(demotion) && s.filaments[k] > n_min {
            s.filaments[k] -= 1;
            s.internal[k] = 0.0;
            if s.protection[k] && s.filaments[k] == n_max - 1 {
                s.protection[k] = false;
                s.sat_time[k] = 0.0;
            }
        }
        if s.protection[k] {
            s.sat_time[k] += self.dt;
            let limit = p.saturation_recovery_time;
            if limit > 0.0 && f64::from(s.sat_time[k]) >= limit {
                s.protection[k] = false;
                s.sat_time[k] = 0.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A protected synapse at n_max loses its protection with its first filament, one further down keeps it.
    #[test]
    fn a_demotion_from_n_max_ends_the_protection() {
        let p = Parameters {
            i_min: -20.0,
            ..Parameters::default()
        };
        let factors = Factors {
            post: 0.0,
            modulator: 0.0,
            dt: 1.0,
            mode: Mode::Online,
        };
        for (before, after, protected) in [(31, 30, false), (20, 19, true)] {
            let mut synapses = Synapses::new(vec![before; 2]);
            (synapses.internal[0], synapses.protection[0], synapses.sat_time[0]) = (-15.0, true, 3.0);
            Rule::new(&p, factors).apply(&mut synapses, &[0.0, 0.0]).unwrap();
            assert_eq!(synapses.filaments, [after, before]);
            assert_eq!(synapses.protection, [protected, false]);
            assert_eq!(synapses.sat_time, [if protected { 4.0 } else { 0.0 }, 0.0]);
        }
    }
}
