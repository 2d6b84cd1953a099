//! The drive of one step: sums of traces over the batch, weighed by the soft bounds.
//!
//! Only rows with something to say are computed: neurons that fired, and, when A- > 0, neurons with a postsynaptic trace.

use fold_core::lanes::{LANES, Lane};
use fold_core::params::FilamentParams;
use fold_core::{math, threads};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::StdpParams;
use super::trace::on_grid;
use crate::mechanism::StepContext;

/// Below this many synapses with something to compute a second thread does not pay.
const SERIAL_WORK: usize = 1 << 15;

/// Synapses of a dendrite whose sums are taken together.
const STRETCH: usize = 64;

/// A times the soft bound, for each N, in drive units.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Amplitudes {
    potentiate: [f64; 256],
    depress: [f64; 256],
    forget: [f64; 256],
    pub(super) depresses: bool,
}

impl Amplitudes {
    pub(super) fn new(params: &StdpParams, filaments: &FilamentParams) -> Self {
        let (n_min, n_max) = (f64::from(filaments.n_min), f64::from(filaments.n_max));
        let (threshold, mu) = (f64::from(filaments.threshold), f64::from(params.mu));
        let table = |amplitude: f32, bound: &dyn Fn(f64) -> f64| {
            std::array::from_fn(|n| {
                let w = ((n as f64 - n_min) / (n_max - n_min)).clamp(0.0, 1.0);
                f64::from(amplitude) * threshold * math::pow(bound(w), mu)
            })
        };
        Self {
            potentiate: table(params.a_plus, &|w| 1.0 - w),
            depress: table(params.a_minus, &|w| w),
            forget: table(params.a_het, &|w| w),
            depresses: params.a_minus > 0.0,
        }
    }
}

/// Sums that are kept in registers together.
const WIDE: usize = 16;

/// Neurons that are looked at together.
const PART: usize = 16;

/// Which samples each neuron fired in.
#[derive(Debug, Clone, Default)]
pub(super) struct Events {
    /// Samples, neuron by neuron.
    samples: Vec<u32>,
    /// Where the samples of neuron i begin, [n + 1].
    starts: Vec<u32>,
}

impl Events {
    /// Takes the spikes [B, n] with their counts \[n\].
    pub(super) fn collect(&mut self, spikes: &[u8], counts: &[u32]) {
        self.starts.clear();
        self.starts.push(0);
        let mut total = 0;
        for &count in counts {
            self.starts.push(total);
            total += count;
        }
        self.samples.clear();
        self.samples.resize(total as usize, 0);
        // starts[i + 1] is where neuron i's next sample goes; at the end it is where they stop.
        for (sample, row) in (0u32..).zip(spikes.chunks_exact(counts.len())) {
            // Most neurons are silent: they are passed over several at a time.
            for (part, first) in row.chunks(PART).zip((1..).step_by(PART)) {
                if part.iter().fold(0, |any, s| any | s) == 0 {
                    continue;
                }
                let starts = &mut self.starts[first..][..part.len()];
                for (next, _) in starts.iter_mut().zip(part).filter(|(_, s)| **s != 0) {
                    self.samples[*next as usize] = sample;
                    *next += 1;
                }
            }
        }
    }

    fn of(&self, neuron: usize) -> &[u32] {
        &self.samples[self.starts[neuron] as usize..self.starts[neuron + 1] as usize]
    }
}

/// Adds this step's drive to the context's.
///
/// - `pre`: x, [B, M].   - `post`: y, [n, B]; empty without depression.
pub(super) fn accumulate(
    amplitudes: &Amplitudes,
    pre: &[f32],
    post: &[f32],
    events: &Events,
    context: &mut StepContext<'_>,
) {
    let shape = context.wiring.shape();
    let (row_len, neurons) = (shape.row_len(), shape.neuron_count());
    let index = context.wiring.index();
    let filaments = context.state.filaments();
    let rule = Rule {
        amplitudes,
        pre,
        input: context.input,
        post,
        lines: context.wiring.lines() as usize,
        samples: context.samples,
        plasticity: if context.credited {
            1.0
        } else {
            f64::from(context.options.plasticity)
        },
        arrival: context.arrival,
        dendrites: shape.dendrite_count(),
    };
    let busy = |neuron: usize| !events.of(neuron).is_empty() || rule.has_trace(neuron);
    let work = (0..neurons).filter(|&neuron| busy(neuron)).count() * row_len;
    let (touched, rows) = context.drive.parts_mut();
    let arch = Arch::new();
    let run = |(neuron, (flag, row)): (usize, (&mut u8, &mut [f32]))| {
        if busy(neuron) {
            let span = neuron * row_len..(neuron + 1) * row_len;
            let (fired, index, filaments) = (events.of(neuron), &index[span.clone()], &filaments[span]);
            arch.dispatch(Row {
                rule: &rule,
                neuron,
                fired,
                index,
                filaments,
                drive: row,
            });
            *flag = 1;
        }
    };
    if !threads::pay(work, SERIAL_WORK) {
        touched
            .iter_mut()
            .zip(rows.chunks_exact_mut(row_len))
            .enumerate()
            .for_each(run);
    } else {
        touched
            .par_iter_mut()
            .zip(rows.par_chunks_exact_mut(row_len))
            .enumerate()
            .with_min_len(8)
            .for_each(run);
    }
}

/// What every row of one step shares.
struct Rule<'a> {
    amplitudes: &'a Amplitudes,
    /// x, [B, M].
    pre: &'a [f32],
    /// s, [B, M].
    input: &'a [f32],
    /// y, [n, B]; empty without depression.
    post: &'a [f32],
    lines: usize,
    samples: usize,
    plasticity: f64,
    arrival: &'a [Lane],
    dendrites: usize,
}

/// One neuron's row: `index`, `filaments` and `drive` are [D * S].
struct Row<'a> {
    rule: &'a Rule<'a>,
    neuron: usize,
    fired: &'a [u32],
    index: &'a [u32],
    filaments: &'a [u8],
    drive: &'a mut [f32],
}

impl WithSimd for Row<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        self.rule
            .row(self.neuron, self.fired, self.index, self.filaments, self.drive);
    }
}

impl Rule<'_> {
    /// y of one neuron, \[B\]; nothing without depression.
    fn post_of(&self, neuron: usize) -> &[f32] {
        self.post
            .get(neuron * self.samples..(neuron + 1) * self.samples)
            .unwrap_or_default()
    }

    /// Whether depression can reach this neuron's synapses: it has fired lately, in any sample.
    fn has_trace(&self, neuron: usize) -> bool {
        self.post_of(neuron).iter().any(|&y| y > 0.0)
    }

    /// One neuron's row: `index`, `filaments` and `row` are [D * S].
    #[inline(always)]
    fn row(&self, neuron: usize, fired: &[u32], index: &[u32], filaments: &[u8], row: &mut [f32]) {
        let depressed = self.has_trace(neuron);
        let post_trace = self.post_of(neuron);
        let synapses = row.len() / self.dendrites;
        let parts = row.chunks_exact_mut(synapses).zip(index.chunks_exact(synapses));
        let parts = parts.zip(filaments.chunks_exact(synapses));
        for (d, ((row, index), filaments)) in parts.enumerate() {
            let dendrite = neuron * self.dendrites + d;
            let post = self.post_events(dendrite, fired);
            let stretches = row.chunks_mut(STRETCH).zip(index.chunks(STRETCH));
            for ((row, index), filaments) in stretches.zip(filaments.chunks(STRETCH)) {
                let lines = Stretch::of(index);
                let mut sums = [0.0; STRETCH];
                if !fired.is_empty() {
                    let traces = self.pre_traces(dendrite, fired, &lines);
                    let (mut potentiate, mut forget) = ([0.0; STRETCH], [0.0; STRETCH]);
                    for ((p, f), &n) in potentiate.iter_mut().zip(&mut forget).zip(filaments) {
                        *p = self.amplitudes.potentiate[usize::from(n)];
                        *f = self.amplitudes.forget[usize::from(n)];
                    }
                    let terms = traces.iter().zip(potentiate.iter().zip(&forget));
                    for (sum, (x, (p, f))) in sums.iter_mut().zip(terms) {
                        *sum += p * x - f * (post - x);
                    }
                }
                if depressed {
                    let traces = self.post_traces(post_trace, &lines);
                    for ((sum, y), &n) in sums.iter_mut().zip(traces).zip(filaments) {
                        *sum -= self.amplitudes.depress[usize::from(n)] * y;
                    }
                }
                let sums = sums.map(|sum| (self.plasticity * sum) as f32);
                row.iter_mut().zip(sums).for_each(|(drive, sum)| *drive += sum);
            }
        }
    }

    /// How much of the spike in `sample` arrives at a dendrite, of all dendrites [n * D].
    fn arrival(&self, dendrite: usize, sample: u32) -> f64 {
        let blocks = self.samples.div_ceil(LANES);
        let (block, lane) = (sample as usize / LANES, sample as usize % LANES);
        f64::from(self.arrival[dendrite * blocks + block][lane])
    }

    /// Mean over the batch of what arrives at a dendrite.
    fn post_events(&self, dendrite: usize, fired: &[u32]) -> f64 {
        let sum = if self.arrival.is_empty() {
            fired.len() as f64
        } else {
            fired
                .iter()
                .map(|&sample| on_grid(self.arrival(dendrite, sample)))
                .sum()
        };
        sum / self.samples as f64
    }

    /// Mean over the batch of x, times what arrives, where the neuron fired. The sums are exact: traces and products are on the grid.
    #[inline(always)]
    fn pre_traces(&self, dendrite: usize, fired: &[u32], lines: &Stretch<'_>) -> [f64; STRETCH] {
        let traces = |&sample: &u32| &self.pre[sample as usize * self.lines..][..self.lines];
        let sums = if self.arrival.is_empty() {
            lines.sums(fired.iter().map(|sample| (traces(sample), ())), |x, ()| f64::from(x))
        } else {
            let arriving = fired
                .iter()
                .map(|sample| (traces(sample), self.arrival(dendrite, *sample)));
            lines.sums(arriving, |x, arrival| on_grid(f64::from(x) * arrival))
        };
        self.means(sums)
    }

    /// Mean over the batch of y s_pre. The sums are exact: each product is brought to the grid.
    ///
    /// - `post`: y of the neuron, \[B\].
    #[inline(always)]
    fn post_traces(&self, post: &[f32], lines: &Stretch<'_>) -> [f64; STRETCH] {
        let events = self.input.chunks_exact(self.lines).zip(post);
        self.means(lines.sums(events.filter(|(_, y)| **y > 0.0), |s, y| on_grid(f64::from(y * s))))
    }

    /// Sums over the batch, divided by its size.
    #[inline(always)]
    fn means(&self, mut sums: [f64; STRETCH]) -> [f64; STRETCH] {
        let samples = self.samples as f64;
        if self.samples.is_power_of_two() {
            // The same bits without a division for each.
            let share = 1.0 / samples;
            sums.iter_mut().for_each(|sum| *sum *= share);
        } else {
            sums.iter_mut().for_each(|sum| *sum /= samples);
        }
        sums
    }
}

/// The lines of up to [`STRETCH`] synapses of one dendrite.
struct Stretch<'a> {
    index: &'a [u32],
    /// The first line, where the others follow one by one.
    first: Option<usize>,
}

impl<'a> Stretch<'a> {
    #[inline(always)]
    fn of(index: &'a [u32]) -> Self {
        let first = index.first().copied().unwrap_or_default();
        // No early exit: this loop vectorises.
        let in_order = (first..)
            .zip(index)
            .fold(true, |in_order, (next, &line)| in_order & (line == next));
        Self {
            index,
            first: in_order.then_some(first as usize),
        }
    }

    /// For each synapse the sum, over `rows` [M] with a factor each, of `term` of its line's value and the factor.
    #[inline(always)]
    fn sums<'v, F: Copy>(
        &self,
        rows: impl Iterator<Item = (&'v [f32], F)> + Clone,
        term: impl Fn(f32, F) -> f64,
    ) -> [f64; STRETCH] {
        let mut sums = [0.0; STRETCH];
        let Some(first) = self.first else {
            for (values, factor) in rows {
                for (sum, &line) in sums.iter_mut().zip(self.index) {
                    *sum += term(values[line as usize], factor);
                }
            }
            return sums;
        };
        // As many sums as registers hold, row after row.
        let (wholes, rest) = sums[..self.index.len()].as_chunks_mut::<WIDE>();
        let behind = first + wholes.len() * WIDE;
        for (part, at) in wholes.iter_mut().zip((first..).step_by(WIDE)) {
            let mut some = *part;
            for (values, factor) in rows.clone() {
                for (sum, &x) in some.iter_mut().zip(&values[at..][..WIDE]) {
                    *sum += term(x, factor);
                }
            }
            *part = some;
        }
        if !rest.is_empty() {
            for (values, factor) in rows {
                for (sum, &x) in rest.iter_mut().zip(&values[behind..]) {
                    *sum += term(x, factor);
                }
            }
        }
        sums
    }
}
