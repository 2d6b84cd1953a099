//! Pruning: a synapse that stays weak is taken out for good.
//!
//! Every `interval` each synapse with N < `below` grows older by one, every other one is new again. At age `patience` it is pruned:
//! N = n_min = 0, I = 0, and no drive reaches it any more. A dendrite always keeps at least `keep` synapses; of several that are due,
//! those of higher index stay.
//!
//! # Properties
//! A pruned synapse never comes back and never transmits; a dendrite keeps min(S, `keep`) synapses; a synapse that is not weak at
//! one count within `patience` intervals is not pruned.
//!
//! # Source
//! Chechik, Meilijson, Ruppin 1998, doi:10.1162/089976698300017124 (weak synapses are deleted below a threshold). Patience and
//! the floor per dendrite are ours.

use std::fmt;

use fold_core::Shape;
use fold_core::invariants::{Breach, Invariant, Part, Place};
use fold_core::params::{FilamentParams, Range, Violations};

use crate::mechanism::{Drive, Mechanism, Phase, StepContext};
use crate::stateful::{StateSlice, Stored};
use crate::{Error, Result};

fold_core::parameters! {
    /// Pruning of synapses.
    pub struct PruningParams in "pruning" {
        /// A synapse with fewer filaments than this is weak.
        below: u8 = 1, Range::closed(1.0, 255.0), "filaments";
        /// Counts in a row at which a synapse must be weak to be pruned.
        patience: u8 = 10, Range::closed(1.0, 254.0), "counts";
        /// Time between two counts; rounded to whole steps, at least one.
        interval_ms: f32 = 1000.0, Range::above(0.0, 1000000000.0), "ms";
        /// Synapses that each dendrite keeps whatever their weight.
        keep: u32 = 1, Range::closed(0.0, 2147483648.0), "synapses";
    }
}

/// The age that marks a pruned synapse.
const PRUNED: u8 = u8::MAX;

impl PruningParams {
    /// Steps between two counts.
    #[must_use]
    pub fn interval_steps(&self, dt_ms: f32) -> u64 {
        ((f64::from(self.interval_ms) / f64::from(dt_ms)).round() as u64).max(1)
    }

    /// Notes every violation.
    pub fn check(&self, filaments: &FilamentParams, violations: &mut Violations) {
        self.check_ranges(violations);
        violations.joint(
            filaments.n_min == 0,
            "filaments.n_min",
            filaments.n_min.into(),
            "must be 0 with pruning, or a pruned synapse would still transmit",
            0.0,
        );
        violations.joint(
            self.below <= filaments.n_max,
            "pruning.below",
            self.below.into(),
            "must be at most filaments.n_max, or every synapse is weak",
            filaments.n_max.into(),
        );
    }
}

/// The age of each synapse, [n, D, S].
#[derive(Debug, Clone, PartialEq)]
pub struct Pruning {
    params: PruningParams,
    interval_steps: u64,
    shape: Shape,
    n_min: u8,
    age: Vec<u8>,
    /// Synapses that one count found due: no dynamic state.
    due: Vec<usize>,
}

impl Pruning {
    /// The mechanism's name.
    pub const NAME: &'static str = "pruning";

    /// Every synapse new.
    #[must_use]
    pub fn new(params: &PruningParams, filaments: &FilamentParams, dt_ms: f32, shape: Shape) -> Self {
        Self {
            params: *params,
            n_min: filaments.n_min,
            interval_steps: params.interval_steps(dt_ms),
            shape,
            age: vec![0; shape.synapse_count()],
            due: Vec::new(),
        }
    }

    /// One count over one dendrite: `prune` is told the place of each synapse that is due.
    fn count(params: &PruningParams, filaments: &[u8], age: &mut [u8], mut prune: impl FnMut(usize)) {
        let mut left = age.iter().filter(|&&age| age != PRUNED).count();
        for (k, (&n, age)) in filaments
            .iter()
            .zip(age)
            .enumerate()
            .filter(|(_, (_, age))| **age != PRUNED)
        {
            *age = if n < params.below { *age + 1 } else { 0 };
            if *age >= params.patience {
                if left > params.keep as usize {
                    left -= 1;
                    *age = PRUNED;
                    prune(k);
                } else {
                    *age = params.patience - 1;
                }
            }
        }
    }

    /// Takes the drive off pruned synapses.
    fn shield(&self, drive: &mut Drive) {
        let rows = self.age.chunks_exact(self.shape.row_len());
        for (age, (touched, drive)) in rows.zip(drive.rows_mut()) {
            if *touched != 0 {
                for (d, _) in drive.iter_mut().zip(age).filter(|(_, age)| **age == PRUNED) {
                    *d = 0.0;
                }
            }
        }
    }
}

impl Mechanism for Pruning {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn boxed(&self) -> Box<dyn Mechanism> {
        Box::new(self.clone())
    }

    fn phase(&self) -> Phase {
        Phase::Prune
    }

    fn parameters(&self) -> &dyn fmt::Debug {
        &self.params
    }

    fn act(&mut self, context: &mut StepContext<'_>) {
        if (context.clock + 1).is_multiple_of(self.interval_steps) {
            let synapses = self.shape.synapses_per_dendrite();
            for (dendrite, age) in self.age.chunks_exact_mut(synapses).enumerate() {
                let first = dendrite * synapses;
                let filaments = &context.state.filaments()[first..first + synapses];
                Self::count(&self.params, filaments, age, |k| self.due.push(first + k));
            }
            for synapse in self.due.drain(..) {
                context.state.prune(synapse);
            }
        }
        self.shield(context.drive);
    }

    fn sleep(&mut self, _duration_ms: f32, drive: &mut Drive) {
        self.shield(drive);
    }

    fn rest(&mut self, _samples: usize) {}

    fn reset_neuron(&mut self, _neuron: usize) {}

    fn check(&self, part: Part, found: &mut Vec<Breach>) {
        let span = part.of_len(self.age.len());
        let bad = |age: u8| age >= self.params.patience && age != PRUNED;
        for (k, &age) in self.age[span.clone()].iter().enumerate().filter(|(_, age)| bad(**age)) {
            found.push(Breach {
                invariant: Invariant::Count,
                array: "pruning.age",
                place: Place::synapse(self.shape, span.start + k),
                value: age.into(),
            });
        }
    }

    fn visit_state(&self, visit: &mut dyn FnMut(&'static str, &[usize], StateSlice<'_>)) {
        visit("pruning.age", &self.shape.dims(), StateSlice::U8(&self.age));
    }

    fn restore(&mut self, _samples: usize, stored: &mut Stored<'_>) -> Result<()> {
        self.age = stored.u8s("pruning.age", &self.shape.dims())?;
        // What is pruned has nothing to transmit with, and gets nothing any more.
        let filaments = stored.u8s("filaments", &self.shape.dims())?;
        let mut synapses = self.age.iter().zip(&filaments);
        match synapses.position(|(&age, &n)| age == PRUNED && n != self.n_min) {
            None => Ok(()),
            Some(synapse) => Err(Error::StateInvalid {
                breach: Breach {
                    invariant: Invariant::Count,
                    array: "pruning.age",
                    place: Place::synapse(self.shape, synapse),
                    value: PRUNED.into(),
                },
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quickcheck::quickcheck;

    fn params(patience: u8, keep: u32) -> PruningParams {
        PruningParams {
            patience,
            keep,
            below: 2,
            ..PruningParams::default()
        }
    }

    /// Whether only what was weak `patience` times in a row goes, goes once, and leaves `keep` of six.
    ///
    /// - `count`: one count: from the filaments and the ages to the synapses that go.
    fn sound(patience: u8, keep: u32, rounds: &[u64], count: impl Fn(&[u8; 6], &mut [u8; 6]) -> Vec<usize>) -> bool {
        let (mut age, mut weak, mut gone) = ([0u8; 6], [0u8; 6], [false; 6]);
        rounds.iter().all(|word| {
            let n: [u8; 6] = std::array::from_fn(|k| (word >> (8 * k)) as u8 % 4);
            for k in 0..6 {
                weak[k] = if n[k] < 2 { weak[k].saturating_add(1) } else { 0 };
            }
            let due = count(&n, &mut age);
            let sound = due.iter().all(|&k| !gone[k] && weak[k] >= patience);
            due.iter().for_each(|&k| gone[k] = true);
            sound && gone.iter().filter(|g| !**g).count() >= 6.min(keep as usize)
        })
    }

    /// The law under `params`, with the ages `edit`ed before each count.
    fn law(params: PruningParams, edit: fn(&mut [u8; 6])) -> impl Fn(&[u8; 6], &mut [u8; 6]) -> Vec<usize> {
        move |n, age| {
            let mut due = Vec::new();
            edit(age);
            Pruning::count(&params, n, age, |k| due.push(k));
            due
        }
    }

    quickcheck! {
        fn only_what_stays_weak_goes_it_stays_away_and_the_floor_holds(rounds: Vec<u64>, patience: u8, keep: u8) -> bool {
            let (patience, keep) = (patience % 4 + 1, u32::from(keep % 8));
            sound(patience, keep, &rounds, law(params(patience, keep), |_| ()))
        }
    }

    /// A count that forgets what is gone, one that has no patience, and one that knows no floor.
    #[test]
    fn unsound_countings_fail_the_property() {
        let weak = [0; 4];
        assert!(sound(2, 3, &weak, law(params(2, 3), |_| ())));
        let forgetful = law(params(2, 0), |age| {
            age.iter_mut().filter(|age| **age == PRUNED).for_each(|age| *age = 0);
        });
        assert!(!sound(2, 0, &weak, forgetful));
        assert!(!sound(2, 3, &weak, law(params(1, 3), |_| ())));
        assert!(!sound(2, 3, &weak, law(params(2, 0), |_| ())));
    }

    #[test]
    fn of_several_that_are_due_the_last_stay() {
        let (mut age, mut due) = ([0; 6], Vec::new());
        for _ in 0..3 {
            Pruning::count(&params(2, 2), &[0, 9, 1, 0, 0, 1], &mut age, |k| due.push(k));
        }
        assert_eq!(due, [0, 2, 3, 4]);
    }

    #[test]
    fn an_age_that_cannot_be_is_located_in_every_part() {
        let shape = Shape {
            neurons: 2,
            dendrites: 2,
            synapses: 3,
        };
        let mut pruning = Pruning::new(&params(3, 1), &FilamentParams::default(), 1.0, shape);
        pruning.age[7] = 3;
        for index in 0..3 {
            let mut found = Vec::new();
            pruning.check(Part { index, of: 3 }, &mut found);
            let places: Vec<Place> = found.iter().map(|breach| breach.place).collect();
            let expected = if index == 1 {
                vec![Place::synapse(shape, 7)]
            } else {
                vec![]
            };
            assert_eq!(places, expected);
        }
    }
}
