//! Homeostasis: the threshold follows the firing rate, in projected velocity form.
//!
//! ```text
//! e_k = r_k - r*                          E_k = E_{k-1} + a (e_k - E_{k-1}),   a = 1 - exp(-dt / tau_r)
//! theta_{k+1} = clamp(theta_k + Kp (E_k - E_{k-1}) + Ki dt E_k, theta_min, theta_max)
//! ```
//!
//! r_k is the rate of emitted spikes, averaged over the batch. There is no integrator beside theta, so nothing can wind up
//! while theta is clamped.
//!
//! # Properties
//! P1 theta stays in its bounds. P2 stable on a plant of slope g iff (2 Kp + Ki dt) a g < 4 - 2 a; for escape noise
//! g <= 1 / (4 w), which the check demands when w > 0 (a sharp threshold has no bounded slope: there the input's own spread is the
//! plant). P3 not clamped, I only, a = 1: |mean rate - r*| <= (theta_max - theta_min) / (Ki dt T). P4 leaves a bound within
//! ceil(ln((E0 + d) / d) / -ln(1 - a)) steps after the error turns to -d. P5 the fixed point does not depend on B.
//!
//! # Source
//! Velocity form with projection: Astrom and Hagglund 2006, *Advanced PID Control*, section 3.5 (back-calculation with T_t = dt).

use std::fmt;

use fold_core::invariants::{Breach, Invariant, Part, Place, check_range};
use fold_core::params::{Range, SpikeParams, Violations};
use fold_core::{Shape, math};

use crate::Result;
use crate::mechanism::{Mechanism, Phase, StepContext, Thresholds};
use crate::stateful::{StateSlice, Stored};

fold_core::parameters! {
    /// Homeostasis of theta.
    pub struct HomeostasisParams in "homeostasis" {
        /// Target rate r* of emitted spikes.
        rate_target: f32 = 0.1, Range::above(0.0, 1.0), "spikes per step";
        /// Integral gain Ki.
        ki: f32 = 0.02, Range::above(0.0, 1000.0), "1 / ms";
        /// Proportional gain Kp.
        kp: f32 = 0.0, Range::closed(0.0, 1000.0), "1";
        /// Time constant tau_r of the error's filter; 0 is none (a = 1).
        tau_rate_ms: f32 = 0.0, Range::closed(0.0, 10000000.0), "ms";
    }
}

impl HomeostasisParams {
    /// a = 1 - exp(-dt / tau_r).
    #[must_use]
    pub fn filter_gain(&self, dt_ms: f32) -> f64 {
        1.0 - math::exp(-f64::from(dt_ms) / f64::from(self.tau_rate_ms))
    }

    /// Notes every violation, among them the stability condition P2.
    pub fn check(&self, dt_ms: f32, spike: &SpikeParams, violations: &mut Violations) {
        self.check_ranges(violations);
        let width = f64::from(spike.width);
        if width > 0.0 {
            let a = self.filter_gain(dt_ms);
            let gain = 2.0 * f64::from(self.kp) + f64::from(self.ki) * f64::from(dt_ms);
            let limit = (4.0 - 2.0 * a) * 4.0 * width / a;
            violations.joint(
                gain < limit,
                "homeostasis.ki",
                gain,
                "unstable: 2 kp + ki dt must be below (4 - 2 a) 4 w / a",
                limit,
            );
        }
    }
}

/// The filtered error of each neuron.
#[derive(Debug, Clone, PartialEq)]
pub struct Homeostasis {
    params: HomeostasisParams,
    a: f32,
    ki_dt: f32,
    bounds: (f32, f32),
    error: Vec<f32>,
}

impl Homeostasis {
    /// The mechanism's name.
    pub const NAME: &'static str = "homeostasis";

    /// No error so far.
    #[must_use]
    pub fn new(params: &HomeostasisParams, dt_ms: f32, spike: &SpikeParams, shape: Shape) -> Self {
        Self {
            params: *params,
            a: params.filter_gain(dt_ms) as f32,
            ki_dt: params.ki * dt_ms,
            bounds: (spike.theta_min, spike.theta_max),
            error: vec![0.0; shape.neuron_count()],
        }
    }

    /// One neuron's law: the new filtered error and threshold.
    ///
    /// - `ki_dt`: Ki dt, or what a step's factor leaves of it.
    fn regulate(&self, ki_dt: f32, rate: f32, error: f32, theta: f32) -> (f32, f32) {
        let now = rate - self.params.rate_target;
        let filtered = if self.a < 1.0 {
            error + self.a * (now - error)
        } else {
            now
        };
        let moved = theta + self.params.kp * (filtered - error) + ki_dt * filtered;
        (filtered, moved.clamp(self.bounds.0, self.bounds.1))
    }
}

impl Mechanism for Homeostasis {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn boxed(&self) -> Box<dyn Mechanism> {
        Box::new(self.clone())
    }

    fn phase(&self) -> Phase {
        Phase::Regulate
    }

    fn parameters(&self) -> &dyn fmt::Debug {
        &self.params
    }

    fn act(&mut self, context: &mut StepContext<'_>) {
        if context.options.thresholds == Thresholds::Hold {
            return;
        }
        let ki_dt = self.ki_dt * context.options.homeostasis;
        for neuron in 0..self.error.len() {
            if context.state.quarantined()[neuron] == 0 {
                let rate = context.counts[neuron] as f32 / context.samples as f32;
                let theta = context.state.theta()[neuron];
                let (error, theta) = self.regulate(ki_dt, rate, self.error[neuron], theta);
                self.error[neuron] = error;
                context.state.theta_mut()[neuron] = theta;
            }
        }
    }

    fn rest(&mut self, _samples: usize) {}

    fn reset_neuron(&mut self, neuron: usize) {
        self.error[neuron] = 0.0;
    }

    fn check(&self, part: Part, found: &mut Vec<Breach>) {
        let span = part.of_len(self.error.len());
        let place = |neuron| Place::Neuron { neuron };
        let breach = (Invariant::Range, "homeostasis.error");
        check_range(breach, &self.error[span.clone()], (-1.0, 1.0), span.start, place, found);
    }

    fn visit_state(&self, visit: &mut dyn FnMut(&'static str, &[usize], StateSlice<'_>)) {
        visit("homeostasis.error", &[self.error.len()], StateSlice::F32(&self.error));
    }

    fn restore(&mut self, _samples: usize, stored: &mut Stored<'_>) -> Result<()> {
        self.error = stored.f32s("homeostasis.error", &[self.error.len()])?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    const SPIKE: SpikeParams = SpikeParams {
        theta_init: 4.0,
        theta_min: 0.0625,
        theta_max: 8.0,
        width: 0.0,
    };

    fn law(ki: f64, kp: f64, a: f64) -> Homeostasis {
        let params = HomeostasisParams {
            rate_target: 0.5,
            ki: ki as f32,
            kp: kp as f32,
            tau_rate_ms: if a < 1.0 { (-1.0 / (1.0 - a).ln()) as f32 } else { 0.0 },
        };
        let shape = Shape {
            neurons: 1,
            dendrites: 1,
            synapses: 1,
        };
        Homeostasis::new(&params, 1.0, &SPIKE, shape)
    }

    /// theta - theta* on the linear plant r = r* - g (theta - theta*), from `start` on.
    fn trajectory(law: &Homeostasis, g: f64, start: f64, steps: usize) -> Vec<f64> {
        let (mut error, mut theta) = (0.0, (4.0 + start) as f32);
        (0..steps)
            .map(|_| {
                let rate = 0.5 - g * (f64::from(theta) - 4.0);
                (error, theta) = law.regulate(law.ki_dt, rate as f32, error, theta);
                f64::from(theta) - 4.0
            })
            .collect()
    }

    fn unit(k: u8) -> f64 {
        f64::from(k) / 255.0
    }

    quickcheck! {
        /// P2 at nine tenths and eleven tenths of the stated limit.
        fn stable_inside_the_stated_region_and_not_outside(a: u8, share: u8, g: u8) -> bool {
            let (a, g) = (0.05 + 0.95 * unit(a), 0.2 + unit(g));
            let share = 0.9 * unit(share);
            let at = |factor: f64| {
                let total = factor * (4.0 - 2.0 * a) / (a * g);
                trajectory(&law((1.0 - share) * total, share * total / 2.0, a), g, 1e-3, 4000)
            };
            let late = |offsets: &[f64]| offsets[3800..].iter().fold(0.0f64, |most, x| most.max(x.abs()));
            late(&at(0.9)) < 1e-4 && late(&at(1.1)) > 0.1
        }

        /// No overshoot up to the stated gain, and some at one and a half times that.
        fn no_overshoot_within_the_proved_bound(a: u8, g: u8) -> bool {
            let (a, g) = (0.05 + 0.95 * unit(a), 0.2 + 0.2 * unit(g));
            let limit = (1.0 - (1.0 - a).sqrt()).powi(2) / a;
            let over = |factor: f64| {
                let offsets = trajectory(&law(factor * limit / g, 0.0, a), g, -1.0, 4000);
                offsets.into_iter().fold(f64::MIN, f64::max)
            };
            over(0.99) < 1e-5 && over(1.5) > 1e-5
        }

        /// The step grows with the rate error, for every gain and state.
        fn theta_does_not_decrease_with_the_rate(ki: u8, kp: u8, a: u8, error: i8, rates: (u8, u8)) -> bool {
            let law = law(unit(ki) + 0.001, unit(kp), 0.05 + 0.95 * unit(a));
            let (low, high) = (rates.0.min(rates.1), rates.0.max(rates.1));
            let theta = |rate: u8| law.regulate(law.ki_dt, unit(rate) as f32, f32::from(error) / 128.0, 4.0).1;
            theta(low) <= theta(high)
        }
    }

    /// Steps from the turn of the error until theta has left its lower bound, after `saturated` silent steps.
    fn steps_to_leave(mut law: impl FnMut(f32) -> f32, saturated: usize) -> usize {
        (0..saturated).for_each(|_| {
            law(0.0);
        });
        (1..1_000_000)
            .find(|_| law(1.0) > SPIKE.theta_min)
            .unwrap_or(usize::MAX)
    }

    /// P4: at most ceil(ln((E0 + d) / d) / -ln(1 - a)) steps, here with E0 = d = 1/2, whatever came before.
    fn bound(a: f64) -> usize {
        if a < 1.0 {
            (2f64.ln() / -(1.0 - a).ln()).ceil() as usize
        } else {
            1
        }
    }

    #[test]
    fn a_saturated_threshold_is_left_within_the_proved_number_of_steps() {
        for a in [1.0, 0.5, 0.1, 0.01] {
            for saturated in [500, 50_000] {
                let law = law(0.02, 0.0, a);
                let (mut error, mut theta) = (0.0, 4.0);
                let steps = steps_to_leave(
                    |rate| {
                        (error, theta) = law.regulate(law.ki_dt, rate, error, theta);
                        theta
                    },
                    saturated,
                );
                // One step more where f32 rounds the filtered error across zero.
                assert!(steps <= bound(a) + 1, "a = {a}: {steps} steps, proved {}", bound(a));
            }
        }
    }

    /// The filter at the longest time constant that a step allows: it comes to the error as near as f32 resolves its steps.
    #[test]
    fn the_slowest_filter_comes_to_its_error() {
        let steps = math::TAU_STEPS_MAX;
        let law = law(0.02, 0.0, 1.0 - math::exp(-1.0 / steps));
        let (mut error, mut theta) = (0.0, 4.0);
        for _ in 0..8 * steps as u32 {
            (error, theta) = law.regulate(law.ki_dt, 1.0, error, theta);
        }
        assert!((error - 0.5).abs() < 1.0 / 32.0, "{error}");
    }

    /// The mutant of P4: an integrator that does not know of the clamp.
    #[test]
    fn an_integrator_beside_theta_winds_up_and_fails_the_bound() {
        for saturated in [500, 50_000] {
            let mut integral = 0.0f32;
            let winding = |rate: f32| {
                integral += rate - 0.5;
                (4.0 + 0.1 * (rate - 0.5) + 0.02 * integral).clamp(SPIKE.theta_min, SPIKE.theta_max)
            };
            assert!(steps_to_leave(winding, saturated) > 10 * (bound(1.0) + 1));
        }
    }
}
