//! PyFolds' homeostasis: a PID controller on theta, and a rescue of silent neurons beside it.
//!
//! ```text
//! e = rate - target      integral <- clip(integral + e dt, -1, 1)
//! theta <- theta + clip(eta e + 0.1 eta integral + 0.01 eta (e - e_last) / dt, -0.5, 0.5)
//! rate < dead:  theta <- theta - max(0.05, eta (0.5 + 2 (target - rate)) penalty)
//! theta <- clip(theta, theta_min, theta_max)      r_hat <- (1 - alpha) r_hat + alpha rate
//! ```
//!
//! dt is the configured one, whatever the step's. Defects C1 to C6.

use super::parameters::Parameters;
use super::scalar::{clip, clip_f64, single};

/// The state of the controller.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Homeostasis {
    /// The threshold.
    pub theta: f32,
    /// The moving average of the rate.
    pub r_hat: f32,
    /// The integral of the error, in [-1, 1].
    pub integral_error: f32,
    /// The last error.
    pub last_error: f32,
    /// Updates so far.
    pub step_count: i64,
}

impl Homeostasis {
    /// A new controller.
    #[must_use]
    pub fn new(p: &Parameters) -> Self {
        Self {
            theta: single(p.theta_init),
            r_hat: single(p.target_spike_rate),
            integral_error: 0.0,
            last_error: 0.0,
            step_count: 0,
        }
    }

    /// One update with the batch's mean `rate`.
    pub fn update(&mut self, p: &Parameters, rate: f64) {
        let rate = clip_f64(rate, 0.0, 1.0);
        let error = rate - p.target_spike_rate;
        let (kp, ki, kd) = (p.homeostasis_eta, p.homeostasis_eta * 0.1, p.homeostasis_eta * 0.01);

        self.integral_error = clip(self.integral_error + single(error * p.dt), -1.0, 1.0);
        let integral = single(ki) * self.integral_error;
        let dt = if p.dt > 0.0 { p.dt.max(1e-6) } else { 1e-6 };
        let derivative = kd * (error - f64::from(self.last_error)) / dt;
        self.last_error = single(error);
        self.theta += clip((single(kp * error) + integral) + single(derivative), -0.5, 0.5);

        if rate < p.dead_neuron_threshold {
            let pull = p.homeostasis_eta * (0.5 + 2.0 * (p.target_spike_rate - rate)) * p.dead_neuron_penalty;
            self.theta += single(-pull.max(0.05));
        }
        self.theta = clip(self.theta, single(p.theta_min), single(p.theta_max));
        let alpha = p.homeostasis_alpha;
        self.r_hat = self.r_hat * single(1.0 - alpha) + single(alpha) * single(rate);
        self.step_count = self.step_count.wrapping_add(1);
    }
}
