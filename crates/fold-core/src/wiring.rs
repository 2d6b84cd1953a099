//! Which input line each synapse listens to.

use crate::{Error, Result, Shape};

/// The line index of each synapse, [n, D, S], every one below the number of lines M. Fixed for a layer's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wiring {
    shape: Shape,
    lines: u32,
    index: Vec<u32>,
    uniform: bool,
    in_order: bool,
}

impl Wiring {
    /// Every neuron sees every line once: synapse [i, d, s] listens to line d * S + s, so M = D * S.
    ///
    /// # Errors
    /// [`Error::Shape`].
    pub fn shared(shape: Shape) -> Result<Self> {
        shape.check()?;
        let lines = shape.dendrites * shape.synapses;
        let index = (0..shape.neurons).flat_map(|_| 0..lines).collect();
        Ok(Self {
            shape,
            lines,
            index,
            uniform: true,
            in_order: true,
        })
    }

    /// A wiring given synapse by synapse.
    ///
    /// - `lines`: M, at least 1.   - `index`: [n, D, S], each below M; a line may be used any number of times, also never.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::WiringLength`], [`Error::WiringLine`] with the first synapse beyond the lines.
    pub fn new(shape: Shape, lines: u32, index: Vec<u32>) -> Result<Self> {
        shape.check()?;
        if index.len() != shape.synapse_count() {
            return Err(Error::WiringLength {
                expected: shape.synapse_count(),
                given: index.len(),
            });
        }
        match index.iter().position(|&line| line >= lines) {
            Some(synapse) => Err(Error::WiringLine {
                synapse,
                line: index[synapse],
                lines,
            }),
            None => Ok(Self {
                shape,
                lines,
                uniform: is_uniform(&index, shape.row_len()),
                in_order: is_in_order(&index, shape.synapses_per_dendrite()),
                index,
            }),
        }
    }

    /// [n, D, S].
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// M, the number of input lines.
    #[must_use]
    pub fn lines(&self) -> u32 {
        self.lines
    }

    /// Whether every neuron listens to the same lines in the same order.
    #[must_use]
    pub fn is_uniform(&self) -> bool {
        self.uniform
    }

    /// Whether the synapses of each dendrite listen to lines that follow one by one.
    #[must_use]
    pub fn is_in_order(&self) -> bool {
        self.in_order
    }

    /// Line indices, [n, D, S].
    #[must_use]
    pub fn index(&self) -> &[u32] {
        &self.index
    }
}

fn is_uniform(index: &[u32], row_len: usize) -> bool {
    let mut rows = index.chunks_exact(row_len);
    rows.next().is_none_or(|first| rows.all(|row| row == first))
}

fn is_in_order(index: &[u32], synapses: usize) -> bool {
    let follows = |pair: &[u32]| pair[1] == pair[0] + 1;
    index
        .chunks_exact(synapses)
        .all(|dendrite| dendrite.windows(2).all(follows))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape {
        neurons: 2,
        dendrites: 2,
        synapses: 3,
    };

    #[test]
    fn shared_wiring_repeats_all_lines_per_neuron() {
        let wiring = Wiring::shared(SHAPE).unwrap();
        assert_eq!(wiring.lines(), 6);
        assert_eq!(wiring.index(), [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5]);
        assert_eq!(wiring, Wiring::new(SHAPE, 6, wiring.index().to_vec()).unwrap());
    }

    #[test]
    fn lines_in_order_are_told_from_shared_ones() {
        let told = |index: [u32; 12]| {
            let wiring = Wiring::new(SHAPE, 6, index.to_vec()).unwrap();
            (wiring.is_uniform(), wiring.is_in_order())
        };
        assert_eq!(told([3, 4, 5, 3, 4, 5, 3, 4, 5, 3, 4, 5]), (true, true));
        assert_eq!(told([0, 1, 2, 3, 4, 5, 3, 4, 5, 0, 1, 2]), (false, true));
        assert_eq!(told([0, 1, 2, 3, 5, 4, 0, 1, 2, 3, 5, 4]), (true, false));
    }

    #[test]
    fn a_line_beyond_the_last_is_located() {
        let mut index = vec![0; 12];
        index[7] = 6;
        assert!(matches!(
            Wiring::new(SHAPE, 6, index.clone()),
            Err(Error::WiringLine {
                synapse: 7,
                line: 6,
                lines: 6
            })
        ));
        index[7] = 5;
        assert!(Wiring::new(SHAPE, 6, index.clone()).is_ok());
        index.pop();
        assert!(matches!(
            Wiring::new(SHAPE, 6, index),
            Err(Error::WiringLength {
                expected: 12,
                given: 11
            })
        ));
    }
}
