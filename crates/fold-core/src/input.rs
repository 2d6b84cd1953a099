//! The check at the door: what a step accepts as input.
//!
//! Policy `Reject`: an input is the expected number of presynaptic events in this step, so each value is finite and in
//! [0, 1]; 1 is a spike, 0.3 a rate code. Anything else is refused before any state moves. Nothing is clamped or replaced.

use crate::lanes::Lanes;
use crate::{Error, Result};

/// Checks `rows` [samples, lines] and lays it out for the step.
///
/// # Errors
/// [`Error::Length`]; [`Error::Input`] with the first offending [sample, line]. `into` is then unchanged.
pub fn accept(rows: &[f32], samples: usize, lines: usize, into: &mut Lanes) -> Result<()> {
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
    if !valid && let Some(k) = rows.iter().position(|x| !(0.0..=1.0).contains(x)) {
        return Err(Error::Input {
            sample: k / lines,
            line: k % lines,
            value: rows[k],
        });
    }
    if into.samples() != samples || into.width() != lines {
        into.reset(samples, lines);
    }
    into.fill(rows);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bad_value_is_located_and_nothing_moves() {
        let mut lanes = Lanes::default();
        accept(&[0.5; 6], 2, 3, &mut lanes).unwrap();
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
            match accept(&rows, 2, 3, &mut lanes) {
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
        accept(&[0.0, 1.0, -0.0], 1, 3, &mut lanes).unwrap();
        assert!(accept(&[0.0; 5], 2, 3, &mut lanes).is_err());
    }
}
