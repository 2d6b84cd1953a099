//! The shape of a layer: how many neurons, dendrites and synapses.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The most synapses a layer may have, 2^31: every index fits a `u32`, and a state array a signed 34-bit byte count.
pub const MAX_SYNAPSES: u64 = 1 << 31;

/// [n, D, S]: neurons, dendrites per neuron, synapses per dendrite. Row-major everywhere: neuron, then dendrite, then synapse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// n, at least 1.
    pub neurons: u32,
    /// D, at least 1.
    pub dendrites: u32,
    /// S, at least 1.
    pub synapses: u32,
}

impl Shape {
    /// Checks that no dimension is zero and that the layer has at most [`MAX_SYNAPSES`] synapses.
    ///
    /// # Errors
    /// [`Error::Shape`].
    pub fn check(&self) -> Result<()> {
        let product = u64::from(self.neurons)
            .checked_mul(u64::from(self.dendrites))
            .and_then(|k| k.checked_mul(u64::from(self.synapses)));
        match product {
            Some(1..=MAX_SYNAPSES) => Ok(()),
            _ => Err(Error::Shape { shape: *self }),
        }
    }

    /// n as a length.
    #[must_use]
    pub fn neuron_count(&self) -> usize {
        self.neurons as usize
    }

    /// D as a length.
    #[must_use]
    pub fn dendrite_count(&self) -> usize {
        self.dendrites as usize
    }

    /// S as a length.
    #[must_use]
    pub fn synapses_per_dendrite(&self) -> usize {
        self.synapses as usize
    }

    /// D * S, the length of one neuron's row.
    #[must_use]
    pub fn row_len(&self) -> usize {
        self.dendrite_count() * self.synapses_per_dendrite()
    }

    /// n * D * S.
    #[must_use]
    pub fn synapse_count(&self) -> usize {
        self.neuron_count() * self.row_len()
    }

    /// [n, D, S] as lengths.
    #[must_use]
    pub fn dims(&self) -> [usize; 3] {
        [self.neuron_count(), self.dendrite_count(), self.synapses_per_dendrite()]
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{}, {}, {}]", self.neurons, self.dendrites, self.synapses)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dimensions_are_checked_at_their_edges() {
        let shape = |neurons, dendrites, synapses| Shape {
            neurons,
            dendrites,
            synapses,
        };
        assert!(shape(1, 1, 1).check().is_ok());
        assert!(shape(0, 1, 1).check().is_err());
        assert!(shape(1, 0, 1).check().is_err());
        assert!(shape(1, 1, 0).check().is_err());
        assert!(shape(1 << 30, 2, 1).check().is_ok());
        assert!(shape(1 << 30, 2, 2).check().is_err());
        assert!(shape(u32::MAX, u32::MAX, u32::MAX).check().is_err());
    }
}
