//! The check at the door: what a step accepts as input.
//!
//! An input is the expected number of presynaptic events in this step, so each value is finite and in [0, 1]; 1 is a spike, 0.3
//! a rate code. Under the policy `Reject` anything else is refused before any state moves. Under `Silence` a sample with a bad
//! value is taken as silent altogether, and counted. No value is ever clamped: 1.5 is a mistake, not a strong 1.

use pulp::Arch;
use serde::{Deserialize, Serialize};

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

/// An input that passed the check.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Accepted<'a> {
    /// Presynaptic events [B, M], each in [0, 1].
    pub rows: &'a [f32],
    /// Samples that were taken as silent.
    pub silenced: usize,
}

/// Checks `rows` [samples, lines].
///
/// - `cleaned`: memory for an input in which samples are silenced; what it holds does not matter.
///
/// # Errors
/// [`Error::Length`]; under [`InputPolicy::Reject`] [`Error::Input`] with the first offending [sample, line].
pub fn accept<'a>(
    rows: &'a [f32],
    samples: usize,
    lines: usize,
    policy: InputPolicy,
    cleaned: &'a mut Vec<f32>,
) -> Result<Accepted<'a>> {
    let expected = samples.saturating_mul(lines);
    if rows.len() != expected {
        return Err(Error::Length {
            array: "input",
            expected,
            given: rows.len(),
        });
    }
    let bad = |x: &f32| !(0.0..=1.0).contains(x);
    // No early exit: this loop vectorises. A NaN compares false.
    let valid = Arch::new().dispatch(|| rows.iter().fold(true, |valid, &x| valid & (0.0..=1.0).contains(&x)));
    if valid {
        return Ok(Accepted { rows, silenced: 0 });
    }
    if policy == InputPolicy::Reject
        && let Some(k) = rows.iter().position(bad)
    {
        return Err(Error::Input {
            sample: k / lines,
            line: k % lines,
            value: rows[k],
        });
    }
    cleaned.clear();
    cleaned.extend_from_slice(rows);
    let mut silenced = 0;
    for row in cleaned.chunks_exact_mut(lines).filter(|row| row.iter().any(bad)) {
        row.fill(0.0);
        silenced += 1;
    }
    Ok(Accepted {
        rows: cleaned,
        silenced,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bad_value_is_located() {
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
            match accept(&rows, 2, 3, InputPolicy::Reject, &mut Vec::new()) {
                Err(Error::Input {
                    sample: 1,
                    line: 1,
                    value,
                }) => assert_eq!(value.to_bits(), bad.to_bits()),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn the_ends_and_negative_zero_are_accepted_as_they_are() {
        let rows = [0.0, 1.0, -0.0];
        let mut cleaned = Vec::new();
        let accepted = accept(&rows, 1, 3, InputPolicy::Reject, &mut cleaned).unwrap();
        assert_eq!((accepted.rows, accepted.silenced), (rows.as_slice(), 0));
        assert!(accept(&[0.0; 5], 2, 3, InputPolicy::Reject, &mut cleaned).is_err());
    }

    #[test]
    fn a_bad_sample_is_silenced_whole_and_counted_and_the_others_are_not_touched() {
        for bad in [f32::NAN, f32::NEG_INFINITY, 2.0] {
            let mut cleaned = vec![9.0; 7];
            let mut rows: Vec<f32> = (0..30).map(|k| k as f32 / 30.0).collect();
            (rows[4], rows[5], rows[29]) = (bad, bad, bad);
            let accepted = accept(&rows, 10, 3, InputPolicy::Silence, &mut cleaned).unwrap();
            let mut expected = rows.clone();
            expected[3..6].fill(0.0);
            expected[27..].fill(0.0);
            assert_eq!((accepted.rows, accepted.silenced), (expected.as_slice(), 2));
        }
        assert!(accept(&[0.0; 5], 2, 3, InputPolicy::Silence, &mut Vec::new()).is_err());
    }
}
