//! The case: which neuron, with which parameters, doing what, step by step.
//!
//! Any text may be passed. An unknown key, mode or kind of row is an error that names it; nothing is guessed.

use std::fmt;

use fold_advanced::pyfolds::{Mode, Parameters};
use serde::Deserialize;
use serde::de::{self, IgnoredAny, SeqAccess, Unexpected, Visitor};
use serde_json::{Map, Value};

use super::fault::Fault;
use crate::json::Object;

/// The class of a neuron, as PyFolds names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize)]
pub enum NeuronClass {
    /// Integration, three-factor learning, homeostasis, sleep.
    #[serde(rename = "MPJRDNeuron")]
    Base,
    /// The same with short-term plasticity, refractoriness, adaptation, STDP and back-propagation.
    #[serde(rename = "MPJRDNeuronAdvanced")]
    Advanced,
}

/// A case as its file says it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    /// A name for reports.
    #[serde(default)]
    pub(super) id: String,
    pub(super) class: NeuronClass,
    /// For people.
    #[serde(default, rename = "description")]
    _description: IgnoredAny,
    /// Seed of the initial filaments where the input does not give them.
    #[serde(default)]
    pub(super) seed: u64,
    /// B, the most samples of a step.
    pub(super) batch: usize,
    /// [D, S].
    pub(super) shape: [u32; 2],
    /// PyFolds parameters that differ from their defaults.
    #[serde(default)]
    pub(super) overrides: Map<String, Value>,
    /// Sections of a sound layer's configuration that differ from those of the class.
    #[serde(default)]
    pub(super) sound: Map<String, Value>,
    pub(super) program: Vec<Row>,
    /// Forward steps between snapshots.
    #[serde(default)]
    pub(super) snapshot_every: Option<u32>,
    /// How far the decisions of a recorded trajectory are from a tie; of no use here.
    #[serde(default, rename = "decision_margins")]
    _decision_margins: IgnoredAny,
}

/// One row of a program.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Row {
    /// `["f", mode or null, reward or null, dt, collect_stats(, samples)]`: a forward step with the next row of `x`.
    Forward {
        mode: Option<Mode>,
        reward: Option<f64>,
        dt: f64,
        collect_stats: bool,
        samples: Option<usize>,
    },
    /// `["m", mode]`: change of the neuron's mode.
    SetMode(Mode),
    /// `["p", dt, reward or null]`: learning from what BATCH has gathered.
    Apply { dt: f64, reward: Option<f64> },
    /// `["s", duration]`: sleep.
    Sleep { duration: f64 },
}

/// 0, 1, false or true.
struct Flag(bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Bool(flag) => Ok(Self(flag)),
            Value::Number(number) if number.as_u64() == Some(0) => Ok(Self(false)),
            Value::Number(number) if number.as_u64() == Some(1) => Ok(Self(true)),
            _ => Err(de::Error::custom("collect_stats must be 0, 1, false or true")),
        }
    }
}

struct RowVisitor;

impl<'de> Visitor<'de> for RowVisitor {
    type Value = Row;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            r#"["f", mode, reward, dt, collect_stats(, samples)], ["m", mode], ["p", dt, reward] or ["s", duration]"#,
        )
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut row: A) -> Result<Row, A::Error> {
        fn next<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(row: &mut A, at: usize) -> Result<T, A::Error> {
            row.next_element()?
                .ok_or_else(|| de::Error::invalid_length(at, &RowVisitor))
        }
        let kind: String = next(&mut row, 0)?;
        let parsed = match kind.as_str() {
            "f" => Row::Forward {
                mode: next(&mut row, 1)?,
                reward: next(&mut row, 2)?,
                dt: next(&mut row, 3)?,
                collect_stats: next::<Flag, A>(&mut row, 4)?.0,
                samples: row.next_element()?,
            },
            "m" => Row::SetMode(next(&mut row, 1)?),
            "p" => Row::Apply {
                dt: next(&mut row, 1)?,
                reward: next(&mut row, 2)?,
            },
            "s" => Row::Sleep {
                duration: next(&mut row, 1)?,
            },
            other => return Err(de::Error::invalid_value(Unexpected::Str(other), &self)),
        };
        match row.next_element::<IgnoredAny>()? {
            None => Ok(parsed),
            Some(_) => Err(de::Error::custom(format_args!(
                "too many elements; a row is {}",
                Expected
            ))),
        }
    }
}

/// What a row may be, for an error's text.
struct Expected;

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        RowVisitor.expecting(f)
    }
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(RowVisitor)
    }
}

impl Case {
    /// Reads a case.
    ///
    /// # Errors
    /// [`Fault::Case`] with line and column, [`Fault::NoSynapses`].
    pub(super) fn parse(text: &[u8]) -> Result<Self, Fault> {
        let Object(case) = serde_json::from_slice::<Object<Self>>(text).map_err(Fault::of_case)?;
        if case.shape.contains(&0) {
            return Err(Fault::NoSynapses { shape: case.shape });
        }
        Ok(case)
    }

    /// Bytes of an array [B, D, S] in single precision.
    pub(super) fn per_sample_bytes(&self) -> u64 {
        let extents = [self.batch as u64, self.shape[0].into(), self.shape[1].into()];
        extents.into_iter().fold(4, u64::saturating_mul)
    }

    /// Forward rows of the program.
    pub(super) fn steps(&self) -> usize {
        self.program
            .iter()
            .filter(|row| matches!(row, Row::Forward { .. }))
            .count()
    }

    /// [D, S] as lengths.
    pub(super) fn dims(&self) -> [usize; 2] {
        self.shape.map(|extent| extent as usize)
    }

    /// PyFolds' parameters: the defaults, the overrides, and the shape.
    ///
    /// # Errors
    /// [`Fault::UnknownParameter`], [`Fault::ShapeOverride`], [`Fault::Parameter`].
    pub(super) fn parameters(&self) -> Result<Parameters, Fault> {
        let mut all = self.overrides.clone();
        if let Some(name) = all.keys().find(|name| !Parameters::knows(name)) {
            return Err(Fault::UnknownParameter {
                name: name.as_str().into(),
            });
        }
        for (name, extent) in [
            ("n_dendrites", self.shape[0]),
            ("n_synapses_per_dendrite", self.shape[1]),
        ] {
            let said = all.insert(name.to_owned(), extent.into());
            if said.is_some_and(|said| said != extent) {
                return Err(Fault::ShapeOverride { name, extent });
            }
        }
        // One at a time, so that the error can name the one that has a wrong type.
        for (name, value) in &all {
            let one = Map::from_iter([(name.clone(), value.clone())]);
            serde_json::from_value::<Parameters>(one.into()).map_err(|source| Fault::Parameter {
                name: name.as_str().into(),
                source,
            })?;
        }
        serde_json::from_value(all.into()).map_err(|source| Fault::Case {
            source,
            unknown_key: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(extra: &str) -> Result<Case, Fault> {
        let text = format!(r#"{{"class": "MPJRDNeuron", "batch": 2, "shape": [2, 4], {extra}}}"#);
        Case::parse(text.as_bytes())
    }

    fn refused(extra: &str) -> String {
        case(extra).unwrap_err().to_string()
    }

    #[test]
    fn every_kind_of_row_is_read() {
        let program = r#""program": [["f", null, null, 1.0, 1], ["f", "sleep", -0.5, 2, false, 1], ["m", "batch"],
            ["p", 1.0, null], ["s", 60.0]]"#;
        let case = case(program).unwrap();
        let forward = |mode, reward, dt, collect_stats, samples| Row::Forward {
            mode,
            reward,
            dt,
            collect_stats,
            samples,
        };
        assert_eq!(
            case.program,
            [
                forward(None, None, 1.0, true, None),
                forward(Some(Mode::Sleep), Some(-0.5), 2.0, false, Some(1)),
                Row::SetMode(Mode::Batch),
                Row::Apply { dt: 1.0, reward: None },
                Row::Sleep { duration: 60.0 },
            ]
        );
        assert_eq!(case.steps(), 2);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_place() {
        for (extra, expected) in [
            (r#""program": [["g"]]"#, r#"string "g""#),
            (r#""program": [["f", "awake", null, 1, 1]]"#, "awake"),
            (r#""program": [["f", null, null, 1]]"#, "length 4"),
            (r#""program": [["f", null, null, 1, 2]]"#, "collect_stats"),
            (r#""program": [["s", 1, 2]]"#, "too many"),
            (r#""program": [["s"]]"#, "length 1"),
            (r#""program": [], "overides": {}"#, "overides"),
            (r#""program": {}"#, "line 1"),
        ] {
            let text = refused(extra);
            assert!(text.contains(expected), "{extra}: {text}");
        }
        assert!(Case::parse(b"").is_err());
        let listed = br#"["a", "MPJRDNeuron", "", 0, 2, [2, 4], {}, {}, [], null, ""]"#;
        assert!(Case::parse(listed).unwrap_err().to_string().contains("a JSON object"));
        assert!(Case::parse(&[0xff, 0xfe]).is_err());
        assert!(matches!(
            Case::parse(br#"{"class": "MPJRDNeuron", "batch": 2, "shape": [2, 0], "program": []}"#),
            Err(Fault::NoSynapses { shape: [2, 0] })
        ));
    }

    #[test]
    fn an_override_must_exist_have_its_type_and_agree_with_the_shape() {
        let parameters = |overrides| {
            case(&format!(r#""program": [], "overrides": {overrides}"#))
                .unwrap()
                .parameters()
        };
        let p = parameters(r#"{"i_eta": 3, "dendrite_integration_mode": "wta_soft"}"#).unwrap();
        assert_eq!((p.i_eta, p.n_dendrites, p.n_synapses_per_dendrite), (3.0, 2, 4));
        assert!(matches!(parameters(r#"{"i_etta": 3}"#), Err(Fault::UnknownParameter { name }) if &*name == "i_etta"));
        assert!(matches!(parameters(r#"{"i_eta": "3"}"#), Err(Fault::Parameter { name, .. }) if &*name == "i_eta"));
        assert!(matches!(
            parameters(r#"{"n_dendrites": 3}"#),
            Err(Fault::ShapeOverride { .. })
        ));
        assert!(parameters(r#"{"n_dendrites": 2}"#).is_ok());
        let unread = r#"{"device": "cuda:1", "refrac_mode": "off", "inhibition_mode": "?"}"#;
        assert!(parameters(unread).is_ok(), "PyFolds takes any word there");
        assert!(parameters(r#"{"float_precision": "float64"}"#).is_ok());
        assert!(
            parameters(r#"{"float_precision": "float16"}"#).is_err(),
            "PyFolds refuses it"
        );
    }
}
