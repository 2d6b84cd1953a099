//! Weights, dendritic sums, the effective threshold and the three ways to make a potential of them.
//!
//! ```text
//! W = log2(1 + N) / w_scale                     v_d = clip(sum_s W x, -10, 10)
//! nmda_shunting:  g_d = s(gain (v_d - theta ratio))    n_d = g_d / (eps + k sum g)    u = D sum_d n_d
//! wta_soft:       g_d = s(v_d - theta / 2)             u = sum_d g_d
//! wta_hard:       g = v at the largest v, else 0       u = max_d v_d
//! ```
//!
//! The threshold that decides is capped so that nmda_shunting and wta_soft could reach it; theta itself is not.

use super::parameters::{IntegrationMode, Parameters};
use super::scalar::{at_least, at_most, clip, sigmoid, single, sum};

/// W of a number of filaments.
#[must_use]
pub fn weight(filaments: i32, w_scale: f64) -> f32 {
    let n = filaments as f32 + 1.0;
    fold_core::math::log2(f64::from(n)) as f32 / single(w_scale)
}

/// v_d of every dendrite of every sample: clip(sum_s W x, -10, 10).
///
/// - `weights`: [D, S].   - `x`: [B, D, S], any value; a NaN stays one.   - `v`: [B, D], written in full.
pub fn dendritic_sums(weights: &[f32], x: &[f32], synapses: usize, v: &mut Vec<f32>) {
    v.clear();
    for x in x.chunks_exact(weights.len()) {
        let rows = weights.chunks_exact(synapses).zip(x.chunks_exact(synapses));
        v.extend(rows.map(|(w, x)| clip(sum(w.iter().zip(x).map(|(w, x)| w * x)), -10.0, 10.0)));
    }
}

/// The threshold that a potential is compared with: theta under the mode's cap.
#[must_use]
pub fn effective_theta(p: &Parameters, theta: f32) -> f32 {
    let d = f64::from(p.n_dendrites);
    let cap = match p.dendrite_integration_mode {
        IntegrationMode::WtaHard => return theta,
        IntegrationMode::WtaSoft => d - 0.001,
        IntegrationMode::NmdaShunting => d * d / (p.shunting_eps + p.shunting_strength * d) - 0.001,
    };
    let theta = at_most(theta, single(cap));
    let most = p.theta_max.min(cap);
    if p.theta_min <= most {
        clip(theta, single(p.theta_min), single(most))
    } else {
        at_most(theta, single(most))
    }
}

/// What integration makes of a batch.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Integrated {
    /// v, [B, D].
    pub v: Vec<f32>,
    /// g, [B, D].
    pub gated: Vec<f32>,
    /// Each dendrite's part of the potential, [B, D]; empty except under nmda_shunting.
    pub contribution: Vec<f32>,
    /// u, \[B\].
    pub u: Vec<f32>,
}

impl Integrated {
    /// Turns `self.v` into gates, contributions and potentials.
    ///
    /// - `theta`: the effective threshold.
    pub fn integrate(&mut self, p: &Parameters, theta: f32) {
        self.gated.clear();
        self.contribution.clear();
        self.u.clear();
        for v in self.v.chunks_exact(p.dendrites()) {
            let start = self.gated.len();
            match p.dendrite_integration_mode {
                IntegrationMode::NmdaShunting => {
                    let local = theta * single(p.theta_dend_ratio);
                    let gain = single(p.dendrite_gain);
                    self.gated.extend(v.iter().map(|v| sigmoid(gain * (v - local))));
                    let gated = &self.gated[start..];
                    let pool = single(p.shunting_eps) + single(p.shunting_strength) * sum(gated.iter().copied());
                    let total = sum(gated.iter().map(|g| g / pool));
                    let floor = at_least(total, single(p.eps));
                    self.contribution.extend(gated.iter().map(|g| g / pool / floor));
                    self.u.push(p.n_dendrites as f32 * total);
                }
                IntegrationMode::WtaSoft => {
                    let half = theta * 0.5;
                    self.gated.extend(v.iter().map(|v| sigmoid(v - half)));
                    self.u.push(sum(self.gated[start..].iter().copied()));
                }
                IntegrationMode::WtaHard => {
                    let winner = largest(v);
                    self.gated
                        .extend(v.iter().enumerate().map(|(k, v)| if k == winner { *v } else { 0.0 }));
                    self.u.push(v[winner]);
                }
            }
        }
    }
}

/// The index of the largest value: the first one on ties, the first NaN if there is one.
fn largest(v: &[f32]) -> usize {
    let mut best = 0;
    for (k, value) in v.iter().enumerate() {
        if v[best].is_nan() {
            break;
        }
        if value.is_nan() || *value > v[best] {
            best = k;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_largest_dendrite_wins_and_nan_beats_all() {
        assert_eq!(largest(&[1.0, 3.0, 3.0]), 1);
        assert_eq!(largest(&[1.0, f32::NAN, 9.0, f32::NAN]), 1);
        assert_eq!(largest(&[f32::NAN, 9.0]), 0);
        assert_eq!(largest(&[-3.0, -2.0]), 1);
    }

    #[test]
    fn the_cap_keeps_theta_below_the_largest_potential_that_a_mode_can_reach() {
        let mut p = Parameters {
            n_dendrites: 2,
            ..Parameters::default()
        };
        // 4 / 2.1 - 0.001
        assert!((effective_theta(&p, 6.0) - 1.903_761_9).abs() < 1e-6);
        p.dendrite_integration_mode = IntegrationMode::WtaSoft;
        assert!((effective_theta(&p, 6.0) - 1.999).abs() < 1e-6);
        assert_eq!(effective_theta(&p, 0.2), 0.5);
        p.theta_min = 3.0;
        assert!(
            (effective_theta(&p, 6.0) - 1.999).abs() < 1e-6,
            "the cap wins where theta_min lies above it"
        );
        assert_eq!(effective_theta(&p, 0.2), 0.2);
        p.dendrite_integration_mode = IntegrationMode::WtaHard;
        assert_eq!(effective_theta(&p, 600.0), 600.0);
    }
}
