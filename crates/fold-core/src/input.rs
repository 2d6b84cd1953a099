//! The check at the door: what a step accepts as input.
//!
//! An input is the expected number of presynaptic events in this step, so each value is finite and in [0, 1]; 1 is a spike, 0.3
//! a rate code. Under the policy `Reject` anything else is refused before any state moves. Under `Silence` a sample with a bad
//! value is taken as silent altogether, and counted. No value is ever clamped: 1.5 is a mistake, not a strong 1.

use serde::{Deserialize, Serialize};

use crate::lanes::{LANES, Lanes};
use crate::{Error, Result};

/// What happens to an input that is not a number of [0, 1].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InputPolicy {
    /// The step is refused with the place and the value.
    #[default]
    Reject,
    /// The sample is taken as silent in this step, and the health report counts it.
    Silence,
}

/// Checks `rows` [samples, lines] and lays it out for the step. Returns how many samples were silenced.
///
/// # Errors
/// [`Error::Length`]; under [`InputPolicy::Reject`] [`Error::Input`] with the first offending [sample, line]. `into` is then unchanged.
pub fn accept(rows: &[f32], samples: usize, lines: usize, policy: InputPolicy, into: &mut Lanes) -> Result<usize> {
    let expected = samples.saturating_mul(lines);
    if rows.len() != expected {
        return Err(Error::Length {
            array: "input",
            expected,
            given: rows.len(),
        });
    }
    // No early exit: this loop vectorises. A NaN compares false.
    let valid = rows.iter().fold(true, |valid, &x| valid & (0.0..=1.0).contains(&x));
    let bad = |x: &f32| !(0.0..=1.0).contains(x);
    if !valid
        && policy == InputPolicy::Reject
        && let Some(k) = rows.iter().position(bad)
    {
        return Err(Error::Input {
            sample: k / lines,
            line: k % lines,
            value: rows[k],
        });
    }
    if into.rows() != samples || into.width() != lines {
        into.reset(samples, lines);
    }
    into.fill(rows);
    let mut silenced = 0;
    if !valid {
        for (sample, _) in rows
            .chunks_exact(lines)
            .enumerate()
            .filter(|(_, row)| row.iter().any(bad))
        {
            let block = &mut into.values_mut()[sample / LANES * lines..][..lines];
            block.iter_mut().for_each(|values| values[sample % LANES] = 0.0);
            silenced += 1;
        }
    }
    Ok(silenced)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bad_value_is_located_and_nothing_moves() {
        let mut lanes = Lanes::default();
        accept(&[0.5; 6], 2, 3, InputPolicy::Reject, &mut lanes).unwrap();
        let before = lanes.clone();
        for bad in [
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            -f32::MIN_POSITIVE,
            1.0 + f32::EPSILON,
            3e38,
        ] {
            let mut rows = [0.25; 6];
            rows[4] = bad;
            match accept(&rows, 2, 3, InputPolicy::Reject, &mut lanes) {
                Err(Error::Input {
                    sample: 1,
                    line: 1,
                    value,
                }) => assert_eq!(value.to_bits(), bad.to_bits()),
                other => panic!("{other:?}"),
            }
            assert_eq!(lanes, before);
        }
    }

    #[test]
    fn the_ends_and_negative_zero_are_accepted() {
        let mut lanes = Lanes::default();
        accept(&[0.0, 1.0, -0.0], 1, 3, InputPolicy::Reject, &mut lanes).unwrap();
        assert!(accept(&[0.0; 5], 2, 3, InputPolicy::Reject, &mut lanes).is_err());
    }

    #[test]
    fn a_bad_sample_is_silenced_whole_and_counted_and_the_others_are_not_touched() {
        for bad in [f32::NAN, f32::NEG_INFINITY, 2.0] {
            let mut lanes = Lanes::default();
            let mut rows: Vec<f32> = (0..30).map(|k| k as f32 / 30.0).collect();
            (rows[4], rows[5], rows[29]) = (bad, bad, bad);
            assert_eq!(accept(&rows, 10, 3, InputPolicy::Silence, &mut lanes), Ok(2));
            rows[3..6].fill(0.0);
            rows[27..].fill(0.0);
            assert_eq!(lanes.to_rows(), rows);
        }
        assert!(accept(&[0.0; 5], 2, 3, InputPolicy::Silence, &mut Lanes::default()).is_err());
    }
}
