//! Which arithmetic a neuron follows: the one place that names the two.
//!
//! Not here: what either computes. [`crate::Layer`] is the sound one, [`crate::pyfolds`] the compatible one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which arithmetic a neuron follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Semantics {
    /// The laws of `docs/numerics`, with their invariants: for new work.
    #[serde(rename = "sound")]
    Sound,
    /// What PyFolds 1.0.2 computes, defects included: to replay, compare or examine what it has produced.
    #[serde(rename = "pyfolds-1.0.2")]
    PyFolds102,
}

impl Semantics {
    /// Every semantics.
    pub const ALL: &'static [Self] = &[Self::Sound, Self::PyFolds102];

    /// The name on the command line and in reports.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sound => "sound",
            Self::PyFolds102 => "pyfolds-1.0.2",
        }
    }
}

impl fmt::Display for Semantics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// There is no semantics of this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no such semantics; known: sound, pyfolds-1.0.2")]
pub struct UnknownSemantics;

impl FromStr for Semantics {
    type Err = UnknownSemantics;

    fn from_str(text: &str) -> Result<Self, UnknownSemantics> {
        Self::ALL
            .iter()
            .copied()
            .find(|semantics| semantics.as_str() == text)
            .ok_or(UnknownSemantics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_everywhere_and_lead_back() {
        for &semantics in Semantics::ALL {
            assert_eq!(semantics.as_str().parse(), Ok(semantics));
            assert_eq!(serde_json::to_value(semantics).unwrap(), semantics.as_str());
            assert!(UnknownSemantics.to_string().contains(semantics.as_str()));
        }
        assert_eq!("pyfolds".parse::<Semantics>(), Err(UnknownSemantics));
    }
}
