//! Lateral inhibition: k winners take all.
//!
//! In each sample the k neurons with the highest score u - theta + noise fire, and no other. Equal scores are won by the
//! neuron of lower index.
//!
//! # Source
//! Maass 2000, *On the computational power of winner-take-all*, doi:10.1162/089976600300014827 (k-WTA gates). Ours is the
//! choice of who may compete, so that silence stays silent.

use std::cmp::Reverse;
use std::fmt;

use fold_core::invariants::{Breach, Part};
use fold_core::params::{Parameter, Range, Violations};
use fold_core::{Shape, threads};
use pulp::Arch;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::mechanism::{Mechanism, Phase, StepContext};
use crate::stateful::{StateSlice, Stored};

/// How many neurons win in each sample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Winners {
    /// k, in [1, n].
    Count(u32),
    /// k = round(fraction * n), at least 1; the fraction in (0, 1].
    Fraction(f32),
}

/// Who may win.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contenders {
    /// Neurons whose score is at least 0: at most k fire.
    #[default]
    AboveThreshold,
    /// Neurons with any potential, u > 0, whatever their threshold: exactly k fire in a sample that drives k neurons or more.
    Driven,
}

/// The parameters of the competition.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InhibitionParams {
    /// How many win.
    pub winners: Winners,
    /// Who may win.
    #[serde(default)]
    pub contenders: Contenders,
}

impl InhibitionParams {
    /// Name, default, range, unit and meaning.
    pub const TABLE: &'static [Parameter] = &[
        Parameter {
            name: "inhibition.winners.count",
            default: 1.0,
            range: Range::closed(1.0, 2_147_483_648.0),
            unit: "neurons",
            meaning: "Winners per sample; at most n.",
        },
        Parameter {
            name: "inhibition.winners.fraction",
            default: 0.01,
            range: Range::above(0.0, 1.0),
            unit: "1",
            meaning: "Winners per sample as a fraction of n, rounded, at least one.",
        },
    ];

    /// k for a layer of `neurons` neurons.
    #[must_use]
    pub fn winner_count(&self, neurons: u32) -> u32 {
        match self.winners {
            Winners::Count(k) => k,
            Winners::Fraction(f) => ((f64::from(f) * f64::from(neurons)).round() as u32).max(1),
        }
    }

    /// Notes every violation.
    pub fn check(&self, neurons: u32, violations: &mut Violations) {
        let [count, fraction] = Self::TABLE else { return };
        match self.winners {
            Winners::Count(k) => {
                violations.range(count, k);
                violations.joint(k <= neurons, count.name, k.into(), "must be at most n", neurons.into());
            }
            Winners::Fraction(f) => violations.range(fraction, f),
        }
    }
}

/// Up to so many winners are found one after the other.
const FEW: usize = 64;

/// Neurons among which the best is searched for at once.
const PART: usize = 32;

/// Below this many scores a second thread does not pay.
const SERIAL_WORK: usize = 1 << 14;

/// Into so many parts the samples are divided where it does.
const TASKS: usize = 16;

/// The competition of a layer.
#[derive(Debug, Clone)]
pub struct Inhibition {
    params: InhibitionParams,
    winners: usize,
    shape: Shape,
    /// One for each of the tasks.
    rankings: Vec<Ranking>,
}

impl Inhibition {
    /// The mechanism's name.
    pub const NAME: &'static str = "inhibition";

    /// For `params`, which must have passed its check.
    #[must_use]
    pub fn new(params: &InhibitionParams, shape: Shape) -> Self {
        let winners = params.winner_count(shape.neurons) as usize;
        Self {
            params: *params,
            winners,
            shape,
            rankings: vec![Ranking::default(); TASKS],
        }
    }

    /// Lets the neurons of one sample compete; `spikes` is written in full.
    fn compete(&self, ranking: &mut Ranking, score: &[f32], potential: &[f32], spikes: &mut [u8]) {
        let contenders = self.params.contenders;
        if self.winners >= score.len() {
            for (spike, (&score, &potential)) in spikes.iter_mut().zip(score.iter().zip(potential)) {
                *spike = u8::from(contends(contenders, score, potential));
            }
            return;
        }
        spikes.fill(0);
        ranking.keys.resize(score.len(), NONE);
        if self.winners <= FEW {
            ranking.best.resize(score.len().div_ceil(PART), NONE);
            let (keys, best) = (ranking.keys.as_mut_slice(), ranking.best.as_mut_slice());
            let winners = self.winners;
            Arch::new().dispatch(
                #[inline(always)]
                move || {
                    rank(keys, contenders, score, potential);
                    for (best, keys) in best.iter_mut().zip(keys.chunks(PART)) {
                        *best = largest(keys);
                    }
                    for _ in 0..winners {
                        let Some(winner) = take_the_best(keys, best) else { break };
                        spikes[winner] = 1;
                    }
                },
            );
            return;
        }
        rank(&mut ranking.keys, contenders, score, potential);
        let keys = &ranking.keys;
        let contends = |k: &u32| keys[*k as usize] != NONE;
        ranking.neurons.clear();
        ranking.neurons.extend((0u32..).take(score.len()).filter(contends));
        if ranking.neurons.len() > self.winners {
            let better = |k: &u32| (Reverse(keys[*k as usize]), *k);
            ranking.neurons.select_nth_unstable_by_key(self.winners, better);
            ranking.neurons.truncate(self.winners);
        }
        for &winner in &ranking.neurons {
            spikes[winner as usize] = 1;
        }
    }
}

/// What the neurons of one sample compete by: no dynamic state.
#[derive(Debug, Clone, Default)]
struct Ranking {
    /// In the order of the scores, \[n\]; [`NONE`] for who does not contend.
    keys: Vec<i32>,
    /// The largest key of each part of [`PART`] neurons.
    best: Vec<i32>,
    /// Who contends.
    neurons: Vec<u32>,
}

/// Below the key of every score but one, of a NaN that no score is.
const NONE: i32 = i32::MIN;

/// Writes the key of every neuron: keys compare as `f32::total_cmp` compares scores.
#[inline(always)]
fn rank(keys: &mut [i32], contenders: Contenders, score: &[f32], potential: &[f32]) {
    for (key, (&score, &potential)) in keys.iter_mut().zip(score.iter().zip(potential)) {
        let bits = score.to_bits() as i32;
        let ordered = bits ^ ((bits >> 31) & i32::MAX);
        *key = if contends(contenders, score, potential) {
            ordered
        } else {
            NONE
        };
    }
}

#[inline(always)]
fn contends(contenders: Contenders, score: f32, potential: f32) -> bool {
    match contenders {
        Contenders::AboveThreshold => score >= 0.0,
        Contenders::Driven => (potential > 0.0) & (score > f32::NEG_INFINITY),
    }
}

#[inline(always)]
fn largest(keys: &[i32]) -> i32 {
    keys.iter().fold(NONE, |best, &key| best.max(key))
}

/// The first neuron with the largest key, unless nobody contends; it then contends no more.
///
/// - `best`: the largest key of each part of the neurons.
#[inline(always)]
fn take_the_best(keys: &mut [i32], best: &mut [i32]) -> Option<usize> {
    let key = largest(best);
    if key == NONE {
        return None;
    }
    let part = best.iter().position(|&best| best == key)?;
    let keys = keys.chunks_mut(PART).nth(part)?;
    let at = keys.iter().position(|&other| other == key)?;
    keys[at] = NONE;
    best[part] = largest(keys);
    Some(part * PART + at)
}

impl Mechanism for Inhibition {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn boxed(&self) -> Box<dyn Mechanism> {
        Box::new(self.clone())
    }

    fn phase(&self) -> Phase {
        Phase::Compete
    }

    fn parameters(&self) -> &dyn fmt::Debug {
        &self.params
    }

    fn act(&mut self, context: &mut StepContext<'_>) {
        let neurons = self.shape.neuron_count();
        let mut rankings = std::mem::take(&mut self.rankings);
        let run = |ranking: &mut Ranking, score: &[f32], potential: &[f32], spikes: &mut [u8]| {
            let rows = score.chunks_exact(neurons).zip(potential.chunks_exact(neurons));
            for ((score, potential), spikes) in rows.zip(spikes.chunks_exact_mut(neurons)) {
                self.compete(ranking, score, potential, spikes);
            }
        };
        if !threads::pay(context.score.len(), SERIAL_WORK) {
            run(&mut rankings[0], context.score, context.potential, context.spikes);
        } else {
            let part = context.samples.div_ceil(TASKS) * neurons;
            let scores = context.score.par_chunks(part).zip(context.potential.par_chunks(part));
            let rows = scores.zip(context.spikes.par_chunks_mut(part));
            rankings
                .par_iter_mut()
                .zip(rows)
                .for_each(|(ranking, ((score, potential), spikes))| run(ranking, score, potential, spikes));
        }
        self.rankings = rankings;
    }

    fn rest(&mut self, _samples: usize) {}

    fn reset_neuron(&mut self, _neuron: usize) {}

    fn check(&self, _part: Part, _found: &mut Vec<Breach>) {}

    fn visit_state(&self, _visit: &mut dyn FnMut(&'static str, &[usize], StateSlice<'_>)) {}

    fn restore(&mut self, _samples: usize, _stored: &mut Stored<'_>) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    fn winners(k: u32, contenders: Contenders, score: &[f32], potential: &[f32]) -> Vec<u8> {
        let shape = Shape {
            neurons: score.len() as u32,
            dendrites: 1,
            synapses: 1,
        };
        let params = InhibitionParams {
            winners: Winners::Count(k),
            contenders,
        };
        let mut spikes = vec![9; score.len()];
        Inhibition::new(&params, shape).compete(&mut Ranking::default(), score, potential, &mut spikes);
        spikes
    }

    /// Sorts all contenders and takes the first k.
    fn reference(k: usize, score: &[f32]) -> Vec<u8> {
        let mut order: Vec<usize> = (0..score.len()).filter(|&i| score[i] >= 0.0).collect();
        order.sort_by(|&a, &b| score[b].partial_cmp(&score[a]).unwrap().then(a.cmp(&b)));
        let mut spikes = vec![0; score.len()];
        order.into_iter().take(k).for_each(|i| spikes[i] = 1);
        spikes
    }

    quickcheck! {
        fn agrees_with_sorting_also_on_ties(score: Vec<i8>, k: u8) -> bool {
            // Long enough for several parts, and for both ways of finding the winners.
            let score: Vec<f32> = score.repeat(3).into_iter().map(|s| f32::from(s % 4)).collect();
            let k = u32::from(k % 128) + 1;
            score.is_empty()
                || winners(k, Contenders::AboveThreshold, &score, &vec![1.0; score.len()]) == reference(k as usize, &score)
        }
    }

    #[test]
    fn ties_go_to_the_lowest_index() {
        assert_eq!(
            winners(2, Contenders::AboveThreshold, &[1.0, 2.0, 2.0, 2.0], &[1.0; 4]),
            [0, 1, 1, 0]
        );
    }

    #[test]
    fn driven_needs_a_potential_but_no_threshold_and_spares_the_withdrawn() {
        let score = [-1.0, -2.0, -3.0, f32::NEG_INFINITY];
        assert_eq!(winners(2, Contenders::Driven, &score, &[1.0; 4]), [1, 1, 0, 0]);
        assert_eq!(
            winners(2, Contenders::Driven, &score, &[0.0, 1.0, 0.0, 1.0]),
            [0, 1, 0, 0]
        );
        assert_eq!(winners(2, Contenders::AboveThreshold, &score, &[1.0; 4]), [0; 4]);
    }

    #[test]
    fn the_number_of_winners_is_checked_against_the_layer() {
        let check = |winners| {
            let mut violations = Violations::new();
            InhibitionParams {
                winners,
                contenders: Contenders::Driven,
            }
            .check(10, &mut violations);
            violations.as_slice().len()
        };
        assert_eq!([0, 1, 10, 11].map(|k| check(Winners::Count(k))), [1, 0, 0, 1]);
        assert_eq!(
            [0.0, 0.01, 1.0, 1.1, f32::NAN].map(|f| check(Winners::Fraction(f))),
            [1, 0, 0, 1, 1]
        );
        let fraction = |f| InhibitionParams {
            winners: Winners::Fraction(f),
            contenders: Contenders::Driven,
        };
        assert_eq!([0.01, 0.14, 0.16].map(|f| fraction(f).winner_count(10)), [1, 1, 2]);
    }
}
