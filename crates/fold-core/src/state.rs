//! The state of a layer as a structure of arrays, and the only ways to change it.
//!
//! | array | type, shape | unit | invariant |
//! |---|---|---|---|
//! | filaments N | u8 [n, D, S] | filaments | n_min <= N <= n_max |
//! | internal I | f32 [n, D, S] | drive | abs(I) <= Th; the residual of the quantiser |
//! | theta | f32 \[n\] | as u | theta_min <= theta <= theta_max |
//! | quarantined | u8 \[n\] | 0 or 1 | a quarantined neuron is silent and does not learn |
//! | weights W | f32 [n, D * S], neurons side by side | 1 | derived: W(N); never stored |
//!
//! Not here: transient state per sample (traces, countdowns), which belongs to the mechanism that needs it.

use rayon::prelude::*;

use crate::invariants::{Breach, Invariant, Part, Place, check_range};
use crate::lanes::{LANES, Lane, Lanes};
use crate::params::{FilamentParams, SpikeParams};
use crate::quantizer::Quantizer;
use crate::random::{Random, Stream, below};
use crate::weight::WeightTable;
use crate::{Error, Result, Shape, threads};

/// Below this many synapses with a drive a second thread does not pay.
const SERIAL_WORK: usize = 1 << 15;

/// The arrays of a state that has been stored, as the caller hands them back.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredState {
    /// N, [n, D, S].
    pub filaments: Vec<u8>,
    /// I, [n, D, S].
    pub internal: Vec<f32>,
    /// theta, \[n\].
    pub theta: Vec<f32>,
    /// 1 where quarantined, \[n\].
    pub quarantined: Vec<u8>,
}

/// Filaments, residuals and weights of neurons side by side, with their flags and rows of a drive.
type Group<'a> = (
    ((&'a mut [u8], &'a mut [f32]), &'a mut [Lane]),
    (&'a mut [u8], &'a mut [f32]),
);

/// The state of a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerState {
    shape: Shape,
    filaments: Vec<u8>,
    internal: Vec<f32>,
    theta: Vec<f32>,
    quarantined: Vec<u8>,
    weights: Lanes,
    table: WeightTable,
    quantizer: Quantizer,
    filament_params: FilamentParams,
    spike_params: SpikeParams,
}

impl LayerState {
    /// A new layer: N uniform in [init_low, init_high] (a pure function of `seed`), I = 0, theta = theta_init.
    ///
    /// Shape and parameters must have passed their checks.
    #[must_use]
    pub fn new(shape: Shape, filaments: &FilamentParams, spike: &SpikeParams, seed: u64) -> Self {
        let random = Random::new(seed, Stream::FILAMENTS);
        let span = u32::from(filaments.init_high.saturating_sub(filaments.init_low)) + 1;
        let mut drawn = vec![0; shape.synapse_count()];
        for (unit, group) in (0u64..).zip(drawn.chunks_mut(4)) {
            for (n, word) in group.iter_mut().zip(random.block(unit, 0)) {
                *n = filaments.init_low.saturating_add(below(word, span) as u8);
            }
        }
        let stored = StoredState {
            filaments: drawn,
            internal: vec![0.0; shape.synapse_count()],
            theta: vec![spike.theta_init; shape.neuron_count()],
            quarantined: vec![0; shape.neuron_count()],
        };
        Self::assemble(shape, filaments, spike, stored)
    }

    /// A state that was stored; weights are derived anew.
    ///
    /// # Errors
    /// [`Error::Length`] for an array that does not fit `shape`; [`Error::Invariant`] with the first breach.
    pub fn restore(shape: Shape, filaments: &FilamentParams, spike: &SpikeParams, stored: StoredState) -> Result<Self> {
        let length = |array, given: usize, expected: usize| {
            if given == expected {
                Ok(())
            } else {
                Err(Error::Length { array, expected, given })
            }
        };
        length("filaments", stored.filaments.len(), shape.synapse_count())?;
        length("internal", stored.internal.len(), shape.synapse_count())?;
        length("theta", stored.theta.len(), shape.neuron_count())?;
        length("quarantined", stored.quarantined.len(), shape.neuron_count())?;
        let state = Self::assemble(shape, filaments, spike, stored);
        let mut found = Vec::new();
        state.check(Part::WHOLE, &mut found);
        match found.first() {
            Some(&breach) => Err(Error::Invariant { breach }),
            None => Ok(state),
        }
    }

    fn assemble(shape: Shape, filaments: &FilamentParams, spike: &SpikeParams, stored: StoredState) -> Self {
        let table = WeightTable::new(filaments);
        let mut weights = Lanes::zeros(shape.neuron_count(), shape.row_len());
        for (neuron, filaments) in stored.filaments.chunks_exact(shape.row_len()).enumerate() {
            derive_row(&table, filaments, weights.row_mut(neuron));
        }
        let StoredState {
            filaments: n,
            internal,
            theta,
            quarantined,
        } = stored;
        Self {
            shape,
            filaments: n,
            internal,
            theta,
            quarantined,
            weights,
            table,
            quantizer: Quantizer::new(filaments),
            filament_params: *filaments,
            spike_params: *spike,
        }
    }

    /// [n, D, S].
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// N, [n, D, S].
    #[must_use]
    pub fn filaments(&self) -> &[u8] {
        &self.filaments
    }

    /// I, [n, D, S], in drive units.
    #[must_use]
    pub fn internal(&self) -> &[f32] {
        &self.internal
    }

    /// theta, \[n\].
    #[must_use]
    pub fn theta(&self) -> &[f32] {
        &self.theta
    }

    /// theta, \[n\], for the mechanism that regulates it and must keep it in [theta_min, theta_max].
    pub fn theta_mut(&mut self) -> &mut [f32] {
        &mut self.theta
    }

    /// W(N), [n, D * S].
    #[must_use]
    pub fn weights(&self) -> &Lanes {
        &self.weights
    }

    /// 1 where quarantined, \[n\].
    #[must_use]
    pub fn quarantined(&self) -> &[u8] {
        &self.quarantined
    }

    /// Lets `neuron` absorb `drive` [D, S], in drive units: through the quantiser into N, and from N into W. Returns how many
    /// synapses changed their N.
    pub fn absorb(&mut self, neuron: usize, drive: &[f32]) -> usize {
        let span = self.row(neuron);
        let len = self.shape.row_len();
        let weights = &mut self.weights.values_mut()[neuron / LANES * len..][..len];
        let (filaments, internal) = (&mut self.filaments[span.clone()], &mut self.internal[span]);
        let row = (filaments, internal, weights, neuron % LANES);
        absorb_row(&self.quantizer, &self.table, row, drive)
    }

    /// Lets every neuron whose flag is not 0 absorb its row of `rows` [n, D * S]; row and flag are zero then. Returns how many
    /// synapses changed their N.
    ///
    /// - `touched`: \[n\].
    pub fn absorb_rows(&mut self, touched: &mut [u8], rows: &mut [f32]) -> usize {
        let row = self.shape.row_len();
        let busy = touched.iter().filter(|flag| **flag != 0).count();
        let (quantizer, table) = (self.quantizer, &self.table);
        // Neurons whose weights lie side by side go together.
        let group = row * LANES;
        let (n, i, w) = (&mut self.filaments, &mut self.internal, self.weights.values_mut());
        let run = |(((n, i), w), (touched, drives)): Group<'_>| {
            let state = n.chunks_exact_mut(row).zip(i.chunks_exact_mut(row)).enumerate();
            let rows = state.zip(touched.iter_mut().zip(drives.chunks_exact_mut(row)));
            rows.filter(|(_, (flag, _))| **flag != 0)
                .map(|((lane, (n, i)), (flag, drive))| {
                    let moved = absorb_row(&quantizer, table, (n, i, w, lane), drive);
                    drive.fill(0.0);
                    *flag = 0;
                    moved
                })
                .sum::<usize>()
        };
        if !threads::pay(busy * row, SERIAL_WORK) {
            let state = n
                .chunks_mut(group)
                .zip(i.chunks_mut(group))
                .zip(w.chunks_exact_mut(row));
            let drives = touched.chunks_mut(LANES).zip(rows.chunks_mut(group));
            state.zip(drives).map(run).sum()
        } else {
            let state = n.par_chunks_mut(group).zip(i.par_chunks_mut(group));
            let state = state.zip(w.par_chunks_exact_mut(row));
            let drives = touched.par_chunks_mut(LANES).zip(rows.par_chunks_mut(group));
            state.zip(drives).map(run).sum()
        }
    }

    /// Empties one synapse, a flat index into [n, D, S]: N = n_min, I = 0.
    pub fn prune(&mut self, synapse: usize) {
        self.filaments[synapse] = self.filament_params.n_min;
        self.internal[synapse] = 0.0;
        let (neuron, at) = (synapse / self.shape.row_len(), synapse % self.shape.row_len());
        if let Some(w) = self.weights.row_mut(neuron).nth(at) {
            *w = self.table.weight(self.filament_params.n_min);
        }
    }

    /// Silences `neuron` for good and gives it a valid state: invalid N become n_min, I = 0, theta = theta_init.
    pub fn quarantine(&mut self, neuron: usize) {
        let span = self.row(neuron);
        let (n_min, n_max) = (self.filament_params.n_min, self.filament_params.n_max);
        for n in &mut self.filaments[span.clone()] {
            if !(n_min..=n_max).contains(n) {
                *n = n_min;
            }
        }
        self.internal[span.clone()].fill(0.0);
        derive_row(&self.table, &self.filaments[span], self.weights.row_mut(neuron));
        self.theta[neuron] = self.spike_params.theta_init;
        self.quarantined[neuron] = 1;
    }

    /// Notes every breach in `part` of the neurons.
    pub fn check(&self, part: Part, found: &mut Vec<Breach>) {
        let neurons = part.of_len(self.shape.neuron_count());
        let row = self.shape.row_len();
        let span = neurons.start * row..neurons.end * row;
        let place = |k: usize| Place::synapse(self.shape, k);
        let filaments = &self.filaments[span.clone()];
        let range = self.filament_params.n_min..=self.filament_params.n_max;
        if !filaments.iter().fold(true, |valid, n| valid & range.contains(n)) {
            let bad = filaments.iter().enumerate().filter(|(_, n)| !range.contains(n));
            found.extend(bad.map(|(k, &n)| Breach {
                invariant: Invariant::Filaments,
                array: "filaments",
                place: place(span.start + k),
                value: n.into(),
            }));
        }
        let limit = self.filament_params.threshold;
        let residual = (Invariant::Residual, "internal");
        check_range(
            residual,
            &self.internal[span.clone()],
            (-limit, limit),
            span.start,
            place,
            found,
        );
        for (neuron, filaments) in neurons.clone().zip(filaments.chunks_exact(row)) {
            let pairs = || filaments.iter().zip(self.weights.row(neuron));
            let stale = |n: u8, w: f32| self.table.weight(n).to_bits() ^ w.to_bits();
            if pairs().fold(0, |any, (&n, w)| any | stale(n, w)) != 0 {
                let bad = pairs().enumerate().filter(|(_, (n, w))| stale(**n, *w) != 0);
                found.extend(bad.map(|(k, (_, w))| Breach {
                    invariant: Invariant::Weight,
                    array: "weights",
                    place: place(neuron * row + k),
                    value: w.into(),
                }));
            }
        }
        let bounds = (self.spike_params.theta_min, self.spike_params.theta_max);
        let neuron = |neuron| Place::Neuron { neuron };
        let theta = (Invariant::Threshold, "theta");
        check_range(
            theta,
            &self.theta[neurons.clone()],
            bounds,
            neurons.start,
            neuron,
            found,
        );
        for (k, &flag) in self.quarantined[neurons.clone()]
            .iter()
            .enumerate()
            .filter(|(_, flag)| **flag > 1)
        {
            let place = neuron(neurons.start + k);
            found.push(Breach {
                invariant: Invariant::Count,
                array: "quarantined",
                place,
                value: flag.into(),
            });
        }
    }

    fn row(&self, neuron: usize) -> std::ops::Range<usize> {
        neuron * self.shape.row_len()..(neuron + 1) * self.shape.row_len()
    }
}

/// One neuron's weights, \[D * S\], from its filaments.
fn derive_row<'w>(table: &WeightTable, filaments: &[u8], weights: impl Iterator<Item = &'w mut f32>) {
    for (w, &n) in weights.zip(filaments) {
        *w = table.weight(n);
    }
}

/// One neuron's filaments, residuals and weights, \[D * S\] each, take in `drive`; the weights are those in `lane`.
fn absorb_row(
    quantizer: &Quantizer,
    table: &WeightTable,
    (filaments, internal, weights, lane): (&mut [u8], &mut [f32], &mut [Lane], usize),
    drive: &[f32],
) -> usize {
    /// Synapses that are looked at together: hardly ever does one of them reach the threshold.
    const TOGETHER: usize = 16;
    let state = filaments.chunks_mut(TOGETHER).zip(internal.chunks_mut(TOGETHER));
    let parts = state.zip(weights.chunks_mut(TOGETHER)).zip(drive.chunks(TOGETHER));
    let mut moved = 0;
    for (((n, i), w), d) in parts {
        if quantizer.absorb_below_threshold(i, d) {
            continue;
        }
        for (((n, i), w), &d) in n.iter_mut().zip(i).zip(w).zip(d) {
            if quantizer.absorb(n, i, d) {
                w[lane] = table.weight(*n);
                moved += 1;
            }
        }
    }
    moved
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape {
        neurons: 3,
        dendrites: 2,
        synapses: 4,
    };

    fn fresh() -> LayerState {
        LayerState::new(SHAPE, &FilamentParams::default(), &SpikeParams::default(), 7)
    }

    fn breaches(state: &LayerState) -> Vec<String> {
        let mut found = Vec::new();
        state.check(Part::WHOLE, &mut found);
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_new_state_is_valid_and_fills_its_range() {
        let big = Shape {
            neurons: 100,
            dendrites: 4,
            synapses: 16,
        };
        let state = LayerState::new(big, &FilamentParams::default(), &SpikeParams::default(), 7);
        assert_eq!(breaches(&state), [] as [&str; 0]);
        assert_eq!(state.filaments().iter().min(), Some(&7));
        assert_eq!(state.filaments().iter().max(), Some(&23));
        assert_ne!(
            state,
            LayerState::new(big, &FilamentParams::default(), &SpikeParams::default(), 8)
        );
    }

    /// Value stability: these bits change only with an ADR and a changelog entry.
    #[test]
    fn pinned_filaments() {
        assert_eq!(fresh().filaments()[..8], [10, 7, 22, 22, 17, 19, 21, 8]);
    }

    #[test]
    fn absorbing_keeps_the_weights_in_step() {
        let mut state = fresh();
        let before = state.filaments().to_vec();
        state.absorb(1, &[2.5, -1.0, 0.0, 0.25, 300.0, -300.0, 0.0, 0.0]);
        assert_eq!(breaches(&state), [] as [&str; 0]);
        assert_eq!(state.filaments()[8], before[8] + 2);
        assert_eq!(state.filaments()[9], before[9] - 1);
        assert_eq!(state.filaments()[12..14], [31, 0]);
        assert_eq!(state.internal()[8], 0.5);
        assert_eq!(state.internal()[11], 0.25);
        assert_eq!(state.filaments()[..8], before[..8]);
        assert_eq!(state.filaments()[16..], before[16..]);
    }

    #[test]
    fn pruning_empties_one_synapse_and_its_weight() {
        for synapse in 0..SHAPE.synapse_count() {
            let mut state = fresh();
            let mut expected = state.filaments().to_vec();
            expected[synapse] = 0;
            state.absorb(synapse / 8, &[0.25; 8]);
            state.prune(synapse);
            assert_eq!(breaches(&state), [] as [&str; 0]);
            assert_eq!(
                (state.filaments(), state.internal()[synapse]),
                (expected.as_slice(), 0.0)
            );
        }
    }

    #[test]
    fn every_invariant_is_noticed_and_located() {
        type Breakage = (&'static str, fn(&mut LayerState));
        let breakages: [Breakage; 7] = [
            ("filaments [1, 1, 2] is 99", |s| s.filaments[14] = 99),
            ("internal [1, 1, 2] is NaN", |s| s.internal[14] = f32::NAN),
            ("internal [2, 0, 1] is -1.5", |s| s.internal[17] = -1.5),
            ("weights [0, 0, 0] is 0.125", |s| s.weights.values_mut()[0][0] = 0.125),
            ("theta [2] is inf", |s| s.theta[2] = f32::INFINITY),
            ("theta [0] is 0.03125", |s| s.theta[0] = 0.03125),
            ("quarantined [1] is 2", |s| s.quarantined[1] = 2),
        ];
        for (expected, breakage) in breakages {
            let mut state = fresh();
            breakage(&mut state);
            let found = breaches(&state);
            assert!(
                found.iter().any(|text| text.starts_with(expected)),
                "{expected}: {found:?}"
            );
        }
    }

    #[test]
    fn quarantine_leaves_a_valid_neuron_behind_and_touches_no_other() {
        let mut state = fresh();
        let before = state.clone();
        state.filaments[9] = 200;
        state.internal[10] = f32::NAN;
        state.theta[1] = f32::NAN;
        state.quarantine(1);
        assert_eq!(breaches(&state), [] as [&str; 0]);
        assert_eq!(state.quarantined(), [0, 1, 0]);
        assert_eq!(state.filaments()[9], 0);
        assert_eq!(state.filaments()[10..16], before.filaments()[10..16]);
        assert!(state.weights().row(2).eq(before.weights().row(2)));
    }

    #[test]
    fn restoring_refuses_wrong_lengths_and_broken_invariants() {
        let state = fresh();
        let stored = StoredState {
            filaments: state.filaments.clone(),
            internal: state.internal.clone(),
            theta: state.theta.clone(),
            quarantined: state.quarantined.clone(),
        };
        let restore = |stored| LayerState::restore(SHAPE, &FilamentParams::default(), &SpikeParams::default(), stored);
        assert_eq!(restore(stored.clone()).unwrap(), state);
        let mut short = stored.clone();
        short.theta.pop();
        assert!(matches!(
            restore(short),
            Err(Error::Length {
                array: "theta",
                expected: 3,
                given: 2
            })
        ));
        let mut broken = stored;
        broken.filaments[3] = 32;
        let place = Place::Synapse {
            neuron: 0,
            dendrite: 0,
            synapse: 3,
        };
        assert!(matches!(restore(broken), Err(Error::Invariant { breach }) if breach.place == place));
    }
}
