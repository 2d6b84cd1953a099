//! The readout: ridge regression from features to one-hot classes. The only place that looks at labels.
//!
//! ```text
//! a = f - mean f        (A^T A + lambda I) V = A^T (Y - mean Y)        score = a V + mean Y        class = argmax score
//! ```
//!
//! `lambda` is taken from a fixed grid by the leave-one-out error on the training part, which ridge regression has in closed form:
//!
//! ```text
//! e_i = (y_i - y_hat_i) / (1 - h_i),        h_i = 1/N + a_i (A^T A + lambda I)^-1 a_i^T = 1/N + |L^-1 a_i|^2
//! ```
//!
//! with the Cholesky factor L. Of more than 6000 images, evenly spaced ones are left out in turn. The grid is relative to the mean square of A's columns, N ms 10^g, so that features of any
//! scale are treated alike. Everything is in f64 and every sum has a fixed order, whatever the number of threads.
//!
//! Not here: what the features are. The learned layer and all controls go through this same code.
//!
//! # Source
//! Hoerl and Kennard 1970, doi:10.1080/00401706.1970.10488634; leave-one-out in closed form: Allen 1974 (PRESS),
//! doi:10.1080/00401706.1974.10489157.

use fold_core::math;
use nalgebra::{Cholesky, DMatrix, Dyn};
use rayon::prelude::*;

use crate::Error;
use crate::observer::Asking;

/// Exponents g of the grid of lambda = N ms 10^g.
const GRID: [f64; 11] = [-5.0, -4.5, -4.0, -3.5, -3.0, -2.5, -2.0, -1.5, -1.0, -0.5, 0.0];

/// Images that are left out at most; of more, evenly spaced ones.
const LEFT_OUT_MAX: usize = 6000;

/// Features of N images, row-major [N, F].
#[derive(Debug, Clone, PartialEq)]
pub struct Features {
    values: Vec<f32>,
    width: usize,
}

impl Features {
    /// Features [N, F] from rows of `width` = F >= 1 each; a rest that does not fill a row is dropped.
    #[must_use]
    pub fn new(mut values: Vec<f32>, width: usize) -> Self {
        let width = width.max(1);
        values.truncate(values.len() / width * width);
        Self { values, width }
    }

    /// One image per item, `[F]`.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.width)
    }

    /// N.
    #[must_use]
    pub fn count(&self) -> usize {
        self.values.len() / self.width
    }

    /// F.
    #[must_use]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Values [N, F].
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}

/// As many classes as labels can tell apart.
pub(crate) const MOST_CLASSES: usize = 1 << u8::BITS;

/// A fitted linear classifier.
#[derive(Debug, Clone, PartialEq)]
pub struct Readout {
    /// V, [F, C].
    pub weights: Vec<f64>,
    /// Mean feature, `[F]`.
    pub mean: Vec<f64>,
    /// Mean target, `[C]`.
    pub intercept: Vec<f64>,
    /// The lambda chosen.
    pub lambda: f64,
    /// Fraction of the training images that leave-one-out classifies right.
    pub leave_one_out: f64,
}

/// One point of the grid, factorised.
struct Candidate {
    lambda: f64,
    weights: DMatrix<f64>,
    squared_error: f64,
    accuracy: f64,
}

impl Readout {
    /// Fits the readout on training features and labels.
    ///
    /// - `features`: [N, F].   - `labels`: `[N]`, each below `classes` = C, at most 256.
    ///
    /// # Errors
    /// [`Error::Labels`] where they do not fit the features or there are more classes; [`Error::Readout`] where no lambda of the grid makes the system solvable.
    pub fn fit(features: &Features, labels: &[u8], classes: usize) -> Result<Self, Error> {
        Self::fit_asking(features, labels, classes, &mut Asking::nobody())
    }

    /// As [`Readout::fit`], and stops with [`Error::Interrupted`] where that is asked for.
    pub(crate) fn fit_asking(
        features: &Features,
        labels: &[u8],
        classes: usize,
        asking: &mut Asking<'_>,
    ) -> Result<Self, Error> {
        let width = features.width();
        let foreign = labels.iter().any(|&label| usize::from(label) >= classes);
        if features.count() != labels.len() || foreign || classes > MOST_CLASSES {
            return Err(Error::Labels {
                images: features.count(),
                labels: labels.len(),
                classes,
            });
        }
        let mean = column_means(features);
        let centred: Vec<f64> = features
            .rows()
            .flat_map(|row| row.iter().zip(&mean).map(|(&f, m)| f64::from(f) - m))
            .collect();
        let targets = Targets::new(labels, classes);
        let gram = gram(&centred, width, asking)?;
        let mut moments = DMatrix::zeros(width, classes);
        let block = Asking::block_of(width * classes);
        for (row, values) in centred.chunks_exact(width).enumerate() {
            if row.is_multiple_of(block) {
                asking.go_on()?;
            }
            for class in 0..classes {
                let y = targets.centred(row, class);
                for (sum, a) in moments.column_mut(class).iter_mut().zip(values) {
                    *sum += a * y;
                }
            }
        }
        let scale = gram.trace() / width as f64;

        let mut best: Option<Candidate> = None;
        for exponent in GRID {
            // Features that never vary leave nothing to scale by; any positive lambda then gives V = 0.
            let lambda = if scale > 0.0 {
                scale * math::pow(10.0, exponent)
            } else {
                1.0
            };
            let Some(candidate) = candidate(&gram, &moments, &centred, &targets, lambda, asking)? else {
                continue;
            };
            if best
                .as_ref()
                .is_none_or(|best| candidate.squared_error < best.squared_error)
            {
                best = Some(candidate);
            }
        }
        let best = best.ok_or(Error::Readout)?;
        Ok(Self {
            // nalgebra stores columns; the transpose of its storage is row-major [F, C].
            weights: best.weights.transpose().as_slice().to_vec(),
            mean,
            intercept: targets.mean,
            lambda: best.lambda,
            leave_one_out: best.accuracy,
        })
    }

    /// The class of one image's features `[F]`; the lowest of several equal ones.
    #[must_use]
    pub fn classify(&self, features: &[f32]) -> u8 {
        let mut scores = self.intercept.clone();
        let rows = self.weights.chunks_exact(self.intercept.len().max(1));
        for ((&f, mean), row) in features.iter().zip(&self.mean).zip(rows) {
            let a = f64::from(f) - mean;
            for (score, weight) in scores.iter_mut().zip(row) {
                *score += a * weight;
            }
        }
        argmax(scores.into_iter())
    }

    /// The fraction of images that get their label, in [0, 1]; 0 for none at all.
    #[must_use]
    pub fn accuracy(&self, features: &Features, labels: &[u8]) -> f64 {
        let hits = features
            .rows()
            .zip(labels)
            .filter(|(row, label)| self.hits(row, **label));
        hits.count() as f64 / labels.len().max(1) as f64
    }

    /// As [`Readout::accuracy`], and stops with [`Error::Interrupted`] where that is asked for.
    pub(crate) fn accuracy_asking(
        &self,
        features: &Features,
        labels: &[u8],
        asking: &mut Asking<'_>,
    ) -> Result<f64, Error> {
        let block = Asking::block_of(self.weights.len());
        let mut right = 0;
        for (at, (row, &label)) in features.rows().zip(labels).enumerate() {
            if at.is_multiple_of(block) {
                asking.go_on()?;
            }
            right += usize::from(self.hits(row, label));
        }
        Ok(right as f64 / labels.len().max(1) as f64)
    }

    fn hits(&self, features: &[f32], label: u8) -> bool {
        self.classify(features) == label
    }
}

/// One-hot targets and their mean.
struct Targets<'a> {
    labels: &'a [u8],
    mean: Vec<f64>,
}

impl<'a> Targets<'a> {
    fn new(labels: &'a [u8], classes: usize) -> Self {
        let share = |class| labels.iter().filter(|&&label| usize::from(label) == class).count() as f64;
        let mean = (0..classes)
            .map(|class| share(class) / labels.len().max(1) as f64)
            .collect();
        Self { labels, mean }
    }

    /// 1 where `class` is the class of image `row`, else 0.
    fn hit(&self, row: usize, class: usize) -> f64 {
        f64::from(u8::from(usize::from(self.labels[row]) == class))
    }

    fn centred(&self, row: usize, class: usize) -> f64 {
        self.hit(row, class) - self.mean[class]
    }
}

fn column_means(features: &Features) -> Vec<f64> {
    let mut mean = vec![0.0; features.width()];
    for row in features.rows() {
        for (m, &f) in mean.iter_mut().zip(row) {
            *m += f64::from(f);
        }
    }
    for m in &mut mean {
        *m /= features.count().max(1) as f64;
    }
    mean
}

/// A^T A, each entry summed over the rows in order by one thread.
///
/// Some rows of the sums go over some rows of A at a time, so that both stay in the cache.
fn gram(centred: &[f64], width: usize, asking: &mut Asking<'_>) -> Result<DMatrix<f64>, Error> {
    const SUMS: usize = 16;
    const ROWS: usize = 32;
    let mut sums = vec![0.0; width * width];
    let block = Asking::block_of(width * width / 2).next_multiple_of(ROWS);
    for block in centred.chunks(width * block) {
        asking.go_on()?;
        sums.par_chunks_mut(width * SUMS).enumerate().for_each(|(strip, sums)| {
            for rows in block.chunks(width * ROWS) {
                for (i, sums) in (strip * SUMS..).zip(sums.chunks_exact_mut(width)) {
                    let above = &mut sums[i..];
                    for row in rows.chunks_exact(width) {
                        let a = row[i];
                        for (sum, b) in above.iter_mut().zip(&row[i..]) {
                            *sum += a * b;
                        }
                    }
                }
            }
        });
    }
    let mut gram = DMatrix::from_vec(width, width, sums);
    // A column of the matrix is a row of the sums: what is below the diagonal was summed.
    gram.fill_upper_triangle_with_lower_triangle();
    Ok(gram)
}

/// The Cholesky factor of a symmetric `system`, column by column in the order and the bits of nalgebra's, which cannot be stopped; none
/// where the system is not positive definite.
fn factorised(mut system: DMatrix<f64>, asking: &mut Asking<'_>) -> Result<Option<Cholesky<f64, Dyn>>, Error> {
    let width = system.nrows();
    for j in 0..width {
        asking.go_on()?;
        let (known, rest) = system.as_mut_slice().split_at_mut(j * width);
        let column = &mut rest[j..width];
        for left in known.chunks_exact(width).map(|left| &left[j..]) {
            let factor = -left[0];
            for (value, left) in column.iter_mut().zip(left) {
                *value += factor * left;
            }
        }
        let diagonal = column[0];
        if diagonal.is_nan() || diagonal <= 0.0 {
            return Ok(None);
        }
        let root = diagonal.sqrt();
        column[0] = root;
        column[1..].iter_mut().for_each(|value| *value /= root);
    }
    Ok(Some(Cholesky::pack_dirty(system)))
}

fn candidate(
    gram: &DMatrix<f64>,
    moments: &DMatrix<f64>,
    centred: &[f64],
    targets: &Targets<'_>,
    lambda: f64,
    asking: &mut Asking<'_>,
) -> Result<Option<Candidate>, Error> {
    let width = gram.nrows();
    let mut system = gram.clone();
    for i in 0..width {
        system[(i, i)] += lambda;
    }
    let Some(cholesky) = factorised(system, asking)? else {
        return Ok(None);
    };
    let mut weights = moments.clone();
    for mut class in weights.column_iter_mut() {
        asking.go_on()?;
        cholesky.solve_mut(&mut class);
    }
    if !weights.iter().all(|w| w.is_finite()) {
        return Ok(None);
    }
    let lower = rows_of(&cholesky);
    let rows = centred.len() / width;
    let left_out = (0..rows).step_by(rows.div_ceil(LEFT_OUT_MAX).max(1));
    // Per image that is left out: the squared error and whether its class comes out right.
    let mut outcomes: Vec<(f64, bool)> = Vec::with_capacity(left_out.len());
    for block in left_out.collect::<Vec<_>>().chunks(Asking::block_of(width * width)) {
        asking.go_on()?;
        outcomes.par_extend(block.par_iter().map_init(
            || (vec![0.0; width], vec![0.0; moments.ncols()]),
            |(solved, scores), &row| {
                let a = &centred[row * width..(row + 1) * width];
                let leverage = 1.0 / rows as f64 + forward_norm(&lower, a, solved);
                let mut squared = 0.0;
                for (class, score) in scores.iter_mut().enumerate() {
                    let fitted = dot(a, weights.column(class).as_slice());
                    let error = (targets.centred(row, class) - fitted) / (1.0 - leverage);
                    squared += error * error;
                    *score = targets.hit(row, class) - error;
                }
                (squared, argmax(scores.iter().copied()) == targets.labels[row])
            },
        ));
    }
    let squared_error = outcomes.iter().map(|(squared, _)| squared).sum::<f64>();
    let right = outcomes.iter().filter(|(_, right)| *right).count();
    Ok(squared_error.is_finite().then_some(Candidate {
        lambda,
        weights,
        squared_error,
        accuracy: right as f64 / outcomes.len().max(1) as f64,
    }))
}

/// L as rows: row i has i + 1 entries.
fn rows_of(cholesky: &Cholesky<f64, Dyn>) -> Vec<Vec<f64>> {
    let lower = cholesky.l_dirty();
    (0..lower.nrows())
        .map(|i| (0..=i).map(|j| lower[(i, j)]).collect())
        .collect()
}

/// |L^-1 a|^2 by forward substitution; `solved` is room for L^-1 a.
fn forward_norm(lower: &[Vec<f64>], a: &[f64], solved: &mut [f64]) -> f64 {
    let mut norm = 0.0;
    for (i, (row, value)) in lower.iter().zip(a).enumerate() {
        let (known, diagonal) = row.split_at(i);
        let x = (value - dot(known, &solved[..i])) / diagonal[0];
        solved[i] = x;
        norm += x * x;
    }
    norm
}

/// The inner product over the shorter of the two, in eight interleaved sums: a fixed order that vectorises.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    const WIDTH: usize = 8;
    let mut sums = [0.0; WIDTH];
    let len = a.len().min(b.len());
    let (a, b) = (&a[..len], &b[..len]);
    let (whole_a, whole_b) = (a.chunks_exact(WIDTH), b.chunks_exact(WIDTH));
    let rest: f64 = whole_a
        .remainder()
        .iter()
        .zip(whole_b.remainder())
        .map(|(x, y)| x * y)
        .sum();
    for (x, y) in whole_a.zip(whole_b) {
        for k in 0..WIDTH {
            sums[k] += x[k] * y[k];
        }
    }
    sums.iter().sum::<f64>() + rest
}

/// The index of the largest of 256 values at most, the first of several; 0 for none.
pub(crate) fn argmax(values: impl Iterator<Item = f64>) -> u8 {
    let mut best = (0, f64::NEG_INFINITY);
    for (class, value) in (0..=u8::MAX).zip(values) {
        if value > best.1 {
            best = (class, value);
        }
    }
    best.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::{Draw, NORMAL_TEST};

    fn example(rows: usize, width: usize, seed: u64) -> (Features, Vec<u8>) {
        let mut draw = Draw::new(seed, NORMAL_TEST);
        let labels: Vec<u8> = (0..rows).map(|k| (k % 3) as u8).collect();
        let values = labels
            .iter()
            .flat_map(|&label| {
                (0..width)
                    .map(|j| if j % 3 == usize::from(label) { 1.0 } else { 0.0 })
                    .collect::<Vec<f32>>()
            })
            .map(|centre| centre + draw.normal() as f32)
            .collect();
        (Features::new(values, width), labels)
    }

    /// Leaves out each image in turn and solves the normal equations of the rest from scratch, with an own column for the
    /// intercept and another solver (LU).
    fn brute_force(features: &Features, labels: &[u8], classes: usize, lambda: f64) -> (f64, usize) {
        let (rows, width) = (features.count(), features.width());
        let row = |i: usize| {
            features
                .rows()
                .nth(i)
                .unwrap()
                .iter()
                .map(|&f| f64::from(f))
                .chain([1.0])
                .collect::<Vec<_>>()
        };
        let (mut squared, mut right) = (0.0, 0);
        for left_out in 0..rows {
            let kept: Vec<usize> = (0..rows).filter(|&i| i != left_out).collect();
            let a = DMatrix::from_fn(kept.len(), width + 1, |i, j| row(kept[i])[j]);
            let y = DMatrix::from_fn(kept.len(), classes, |i, c| {
                f64::from(u8::from(usize::from(labels[kept[i]]) == c))
            });
            let mut system = a.transpose() * &a;
            for j in 0..width {
                system[(j, j)] += lambda;
            }
            let solution = system.lu().solve(&(a.transpose() * y)).unwrap();
            let scores: Vec<f64> = (0..classes)
                .map(|c| dot(&row(left_out), solution.column(c).as_slice()))
                .collect();
            for (c, score) in scores.iter().enumerate() {
                squared += (f64::from(u8::from(usize::from(labels[left_out]) == c)) - score).powi(2);
            }
            right += usize::from(argmax(scores.into_iter()) == labels[left_out]);
        }
        (squared, right)
    }

    #[test]
    fn as_many_classes_as_labels_can_tell_apart_are_told_apart() {
        let labels: Vec<u8> = (0..=u8::MAX).chain(0..=u8::MAX).collect();
        let one_hot = |&label: &u8| (0..=u8::MAX).map(move |class| f32::from(u8::from(class == label)));
        let values: Vec<f32> = labels.iter().flat_map(one_hot).collect();
        let features = Features::new(values, 256);
        let readout = Readout::fit(&features, &labels, 256).unwrap();
        assert_eq!(readout.accuracy(&features, &labels), 1.0);
        assert!(matches!(
            Readout::fit(&features, &labels, 257),
            Err(Error::Labels { .. })
        ));
        assert_eq!(argmax(std::iter::repeat_n(0.0, 300)), 0);
    }

    #[test]
    fn the_closed_form_is_leaving_one_out() {
        let (features, labels) = example(24, 5, 1);
        let mean = column_means(&features);
        let centred: Vec<f64> = features
            .rows()
            .flat_map(|row| row.iter().zip(&mean).map(|(&f, m)| f64::from(f) - m))
            .collect();
        let targets = Targets::new(&labels, 3);
        let a = DMatrix::from_row_slice(24, 5, &centred);
        let y = DMatrix::from_fn(24, 3, |i, c| targets.centred(i, c));
        for lambda in [0.01, 1.0, 30.0] {
            let asking = &mut Asking::nobody();
            let (gram, moments) = (gram(&centred, 5, asking).unwrap(), a.transpose() * &y);
            let fast = candidate(&gram, &moments, &centred, &targets, lambda, asking)
                .unwrap()
                .unwrap();
            let (squared, right) = brute_force(&features, &labels, 3, lambda);
            assert!(
                (fast.squared_error - squared).abs() < 1e-9 * squared,
                "{} against {squared}",
                fast.squared_error
            );
            assert_eq!(fast.accuracy, right as f64 / 24.0);
        }
    }

    #[test]
    fn the_factor_is_that_of_nalgebra_to_the_last_bit() {
        let asking = &mut Asking::nobody();
        for width in [1, 2, 7, 16, 33] {
            let values = example(2 * width, width, 7).0;
            let values: Vec<f64> = values.values().iter().map(|&f| f64::from(f)).collect();
            let gram = gram(&values, width, asking).unwrap();
            let expected = Cholesky::new(gram.clone()).unwrap().unpack();
            let factor = factorised(gram.clone(), asking).unwrap().unwrap().unpack();
            assert_eq!(factor, expected, "{width}");
            for last in [0.0, -1.0, f64::NAN] {
                let mut indefinite = gram.clone();
                indefinite[(width - 1, width - 1)] = last;
                assert!(Cholesky::new(indefinite.clone()).is_none());
                assert!(factorised(indefinite, asking).unwrap().is_none(), "{width} {last}");
            }
        }
    }

    #[test]
    fn the_grid_point_with_the_least_error_is_taken() {
        let (features, labels) = example(30, 4, 2);
        let readout = Readout::fit(&features, &labels, 3).unwrap();
        let mean = column_means(&features);
        let scale = features
            .rows()
            .flat_map(|r| r.iter().zip(&mean))
            .map(|(&f, m)| (f64::from(f) - m).powi(2))
            .sum::<f64>()
            / 4.0;
        let error = |g: f64| brute_force(&features, &labels, 3, scale * 10f64.powf(g)).0;
        let best = GRID.into_iter().min_by(|a, b| error(*a).total_cmp(&error(*b))).unwrap();
        assert!((readout.lambda / (scale * 10f64.powf(best)) - 1.0).abs() < 1e-9);
        assert_eq!(
            readout.leave_one_out,
            brute_force(&features, &labels, 3, readout.lambda).1 as f64 / 30.0
        );
    }

    #[test]
    fn classes_far_apart_are_told_apart_wherever_the_features_lie() {
        let values = |shift: f32, scale: f32| {
            let points = [[0.0, 0.0], [0.1, 0.0], [5.0, 0.0], [5.1, 0.0], [0.0, 5.0], [0.0, 5.1]];
            Features::new(points.iter().flatten().map(|x| x * scale + shift).collect(), 2)
        };
        let labels = [0, 0, 1, 1, 2, 2];
        for (shift, scale) in [(0.0, 1.0), (100.0, 1.0), (-3.0, 1e-3), (0.0, 1e3)] {
            let features = values(shift, scale);
            let readout = Readout::fit(&features, &labels, 3).unwrap();
            assert_eq!(readout.accuracy(&features, &labels), 1.0, "{shift} {scale}");
        }
    }

    #[test]
    fn features_without_any_variation_give_the_commonest_class() {
        let features = Features::new(vec![1.0; 8], 2);
        let readout = Readout::fit(&features, &[2, 2, 2, 0], 3).unwrap();
        assert_eq!(readout.classify(&[1.0, 1.0]), 2);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let features = Features::new(vec![0.0, f32::NAN, 1.0], 1);
        assert!(matches!(Readout::fit(&features, &[0, 1, 0], 2), Err(Error::Readout)));
        assert!(matches!(Readout::fit(&features, &[0, 1], 2), Err(Error::Labels { .. })));
        assert!(matches!(
            Readout::fit(&features, &[0, 1, 2], 2),
            Err(Error::Labels { .. })
        ));
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let (features, labels) = example(60, 20, 3);
        let with = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Readout::fit(&features, &labels, 3).unwrap())
        };
        assert_eq!(with(1), with(3));
    }
}
