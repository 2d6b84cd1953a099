//! The invariants of a layer's state, stated once as data, and the places where they can be broken.
//!
//! The laws keep these by construction; the checks exist for what no law controls: a flipped bit in memory, a restored file,
//! a mechanism written elsewhere. Every check is a range that a NaN fails, so "everything is finite" needs no check of its own.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::Shape;

/// What must always hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Invariant {
    /// n_min <= N <= n_max.
    Filaments,
    /// |I| <= Th.
    Residual,
    /// theta_min <= theta <= theta_max.
    Threshold,
    /// The cached weight is W(N), bit for bit.
    Weight,
    /// A trace, a rate or a filtered error lies in its law's range.
    Range,
    /// A countdown or a count is at most its law's maximum.
    Count,
}

/// Every invariant, with the name that reports use.
pub const INVARIANTS: [(Invariant, &str, &str); 6] = [
    (
        Invariant::Filaments,
        "filaments-in-range",
        "n_min <= N <= n_max for every synapse",
    ),
    (
        Invariant::Residual,
        "residual-below-threshold",
        "|I| <= Th for every synapse",
    ),
    (
        Invariant::Threshold,
        "theta-in-bounds",
        "theta_min <= theta <= theta_max for every neuron",
    ),
    (
        Invariant::Weight,
        "weight-of-filaments",
        "the cached weight equals W(N) bit for bit",
    ),
    (
        Invariant::Range,
        "dynamic-in-range",
        "every trace, boost, eligibility and filtered error is in its law's range",
    ),
    (
        Invariant::Count,
        "count-in-range",
        "every countdown and spike count is at most its law's maximum",
    ),
];

impl Invariant {
    /// The stable name.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The statement.
    #[must_use]
    pub fn statement(self) -> &'static str {
        self.row().2
    }

    fn row(self) -> (Self, &'static str, &'static str) {
        INVARIANTS[self as usize]
    }
}

/// Where in the state a value sits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Place {
    /// [i, d, s].
    Synapse {
        /// i.
        neuron: usize,
        /// d.
        dendrite: usize,
        /// s.
        synapse: usize,
    },
    /// \[i\].
    Neuron {
        /// i.
        neuron: usize,
    },
    /// [b, i].
    SampleNeuron {
        /// b.
        sample: usize,
        /// i.
        neuron: usize,
    },
    /// [b, m].
    SampleLine {
        /// b.
        sample: usize,
        /// m.
        line: usize,
    },
    /// [b, j], an inhibitory cell.
    SampleCell {
        /// b.
        sample: usize,
        /// j.
        cell: usize,
    },
    /// One value for the whole layer.
    Layer,
}

impl Place {
    /// Where the flat index `k` of an array [n, D, S] is.
    #[must_use]
    pub fn synapse(shape: Shape, k: usize) -> Self {
        let (row, synapses) = (shape.row_len(), shape.synapses_per_dendrite());
        Self::Synapse {
            neuron: k / row,
            dendrite: k % row / synapses,
            synapse: k % synapses,
        }
    }

    /// The neuron it belongs to; an input line, an inhibitory cell and the layer itself belong to none.
    #[must_use]
    pub fn neuron(&self) -> Option<usize> {
        match *self {
            Self::Synapse { neuron, .. } | Self::Neuron { neuron } | Self::SampleNeuron { neuron, .. } => Some(neuron),
            Self::SampleLine { .. } | Self::SampleCell { .. } | Self::Layer => None,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Synapse {
                neuron,
                dendrite,
                synapse,
            } => write!(f, "[{neuron}, {dendrite}, {synapse}]"),
            Self::Neuron { neuron } => write!(f, "[{neuron}]"),
            Self::SampleNeuron { sample, neuron } => write!(f, "[{sample}, {neuron}]"),
            Self::SampleLine { sample, line } => write!(f, "[{sample}, {line}]"),
            Self::SampleCell { sample, cell } => write!(f, "[{sample}, {cell}]"),
            Self::Layer => write!(f, "[0]"),
        }
    }
}

impl Serialize for Invariant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// As it is displayed: `[0, 1, 2]`.
impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// One broken invariant. In JSON a value that is no number is `null`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Breach {
    /// Which.
    pub invariant: Invariant,
    /// The array, under the name it has in a checkpoint.
    pub array: &'static str,
    /// Where.
    pub place: Place,
    /// The value found.
    pub value: f64,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            invariant,
            array,
            place,
            value,
        } = self;
        write!(
            f,
            "{array} {place} is {value}: {} ({})",
            invariant.statement(),
            invariant.name()
        )
    }
}

/// The share of the state that one check covers: part `index` of `of` parts of equal size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Which part, below `of`.
    pub index: u64,
    /// How many parts there are, at least 1.
    pub of: u64,
}

impl Part {
    /// Everything.
    pub const WHOLE: Self = Self { index: 0, of: 1 };

    /// This part's share of `len` elements. The parts of one `of` cover every element exactly once.
    #[must_use]
    pub fn of_len(&self, len: usize) -> std::ops::Range<usize> {
        let of = self.of.max(1);
        let edge = |k: u64| match (len as u64).checked_mul(k) {
            Some(product) => (product / of) as usize,
            None => (len as u128 * u128::from(k) / u128::from(of)) as usize,
        };
        edge(self.index)..edge(self.index + 1).min(len)
    }
}

/// Notes every value of `values` outside [low, high].
///
/// - `first`: the flat index of `values[0]`, from which `place` tells where a value sits.
pub fn check_range(
    breach: (Invariant, &'static str),
    values: &[f32],
    (low, high): (f32, f32),
    first: usize,
    place: impl Fn(usize) -> Place,
    found: &mut Vec<Breach>,
) {
    // The common case must be one vectorised sweep; a NaN compares false.
    if values.iter().fold(true, |valid, x| valid & (*x >= low) & (*x <= high)) {
        return;
    }
    for (k, &x) in values.iter().enumerate() {
        if !(low..=high).contains(&x) {
            found.push(Breach {
                invariant: breach.0,
                array: breach.1,
                place: place(first + k),
                value: x.into(),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        for (invariant, name, _) in INVARIANTS {
            assert_eq!(invariant.name(), name);
        }
    }

    #[test]
    fn parts_cover_everything_exactly_once() {
        for len in [0, 1, 2, 7, 100] {
            for of in [1, 2, 3, 7, 101] {
                let all: Vec<usize> = (0..of).flat_map(|index| Part { index, of }.of_len(len)).collect();
                assert_eq!(all, (0..len).collect::<Vec<_>>());
            }
        }
        let (many, last) = (1 << 31, (1 << 31) - 1);
        let part = |of: u64| Part { index: of - 1, of }.of_len(many);
        assert_eq!((part(1 << 31), part(1 << 60)), (last..many, last..many));
    }

    #[test]
    fn every_value_out_of_range_is_found_where_it_is() {
        let mut found = Vec::new();
        let values = [0.0, -0.1, 1.0, f32::NAN, 1.1];
        let place = |k| Place::SampleLine {
            sample: k / 10,
            line: k % 10,
        };
        check_range((Invariant::Range, "x"), &values, (0.0, 1.0), 18, place, &mut found);
        let places: Vec<String> = found.iter().map(|b| b.place.to_string()).collect();
        assert_eq!(places, ["[1, 9]", "[2, 1]", "[2, 2]"]);
    }
}
