//! The drive of one step: sums of traces over the batch, weighed by the soft bounds.
//!
//! Only rows with something to say are computed: neurons that fired, and, when A- > 0, neurons with a postsynaptic trace.

use fold_core::lanes::{LANES, Lane};
use fold_core::params::FilamentParams;
use fold_core::{math, threads};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use super::trace::on_grid;
use super::{StdpParams, lane_of};
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
            for (neuron, _) in row.iter().enumerate().filter(|(_, s)| **s != 0) {
                let next = &mut self.starts[neuron + 1];
                self.samples[*next as usize] = sample;
                *next += 1;
            }
        }
    }

    fn of(&self, neuron: usize) -> &[u32] {
        &self.samples[self.starts[neuron] as usize..self.starts[neuron + 1] as usize]
    }
}

/// Adds this step's drive to the context's.
///
/// - `pre`: x, [B, M].   - `post`: y, [n, blocks]; empty without depression.
pub(super) fn accumulate(
    amplitudes: &Amplitudes,
    pre: &[f32],
    post: &[Lane],
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
        input: context.input.values(),
        post,
        lines: context.wiring.lines() as usize,
        blocks: context.samples.div_ceil(LANES),
        samples: context.samples as f64,
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
    input: &'a [Lane],
    /// y, [n, blocks]; empty without depression.
    post: &'a [Lane],
    lines: usize,
    blocks: usize,
    samples: f64,
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
    /// y of one neuron, block by block; nothing without depression.
    fn post_of(&self, neuron: usize) -> &[Lane] {
        self.post
            .get(neuron * self.blocks..(neuron + 1) * self.blocks)
            .unwrap_or_default()
    }

    /// Whether depression can reach this neuron's synapses: it has fired lately, in any sample.
    fn has_trace(&self, neuron: usize) -> bool {
        self.post_of(neuron).iter().any(|lanes| lanes.iter().any(|&y| y > 0.0))
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
                let mut sums = [0.0; STRETCH];
                if !fired.is_empty() {
                    let traces = self.pre_traces(dendrite, fired, index);
                    let (mut potentiate, mut forget) = ([0.0; STRETCH], [0.0; STRETCH]);
                    for ((p, f), &n) in potentiate.iter_mut().zip(&mut forget).zip(filaments) {
                        *p = self.amplitudes.potentiate[usize::from(n)];
                        *f = self.amplitudes.forget[usize::from(n)];
                    }
                    let terms = traces.iter().zip(potentiate.iter().zip(&forget));
                    for (sum, (trace, (p, f))) in sums.iter_mut().zip(terms) {
                        let x = trace / self.samples;
                        *sum += p * x - f * (post - x);
                    }
                }
                if depressed {
                    for ((sum, &line), &n) in sums.iter_mut().zip(index).zip(filaments) {
                        let y = self.post_trace(post_trace, line as usize);
                        *sum -= self.amplitudes.depress[usize::from(n)] * (y / self.samples);
                    }
                }
                let sums = sums.map(|sum| (self.plasticity * sum) as f32);
                row.iter_mut().zip(sums).for_each(|(drive, sum)| *drive += sum);
            }
        }
    }

    /// How much of the spike in `sample` arrives at a dendrite, of all dendrites [n * D].
    fn arrival(&self, dendrite: usize, sample: u32) -> f64 {
        let (block, lane) = lane_of(sample as usize);
        f64::from(self.arrival[dendrite * self.blocks + block][lane])
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
        sum / self.samples
    }

    /// Sums of x, times what arrives, over the samples the neuron fired in, for a stretch of one dendrite's synapses. Exact: traces and
    /// products are on the grid.
    #[inline(always)]
    fn pre_traces(&self, dendrite: usize, fired: &[u32], index: &[u32]) -> [f64; STRETCH] {
        let mut sums = [0.0; STRETCH];
        // No early exit: this loop vectorises.
        let in_order = (index.first().copied().unwrap_or_default()..)
            .zip(index)
            .fold(true, |in_order, (next, &line)| in_order & (line == next));
        for &sample in fired {
            let traces = &self.pre[sample as usize * self.lines..][..self.lines];
            if !self.arrival.is_empty() {
                let arrival = self.arrival(dendrite, sample);
                for (sum, &line) in sums.iter_mut().zip(index) {
                    *sum += on_grid(f64::from(traces[line as usize]) * arrival);
                }
            } else if in_order && let Some(&first) = index.first() {
                for (sum, &x) in sums.iter_mut().zip(&traces[first as usize..][..index.len()]) {
                    *sum += f64::from(x);
                }
            } else {
                for (sum, &line) in sums.iter_mut().zip(index) {
                    *sum += f64::from(traces[line as usize]);
                }
            }
        }
        sums
    }

    /// Sum of y s_pre over all samples. Exact: each product is brought to the grid.
    ///
    /// - `post`: y of the neuron, block by block.
    #[inline(always)]
    fn post_trace(&self, post: &[Lane], line: usize) -> f64 {
        if let [y] = post {
            // One block: lanes without a sample are not worth a product.
            let products = y.iter().zip(&self.input[line]).take(self.samples as usize);
            return products.map(|(y, s)| on_grid(f64::from(y * s))).sum();
        }
        let mut sums = [0.0; LANES];
        for (y, block) in post.iter().zip(self.input.chunks_exact(self.lines)) {
            for (sum, (y, s)) in sums.iter_mut().zip(y.iter().zip(&block[line])) {
                *sum += on_grid(f64::from(y * s));
            }
        }
        sums.iter().sum()
    }
}
