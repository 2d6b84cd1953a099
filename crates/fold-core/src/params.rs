//! Parameters: each range, default and unit is stated once, in the table of its struct.
//!
//! [`parameters!`](crate::parameters) declares a struct together with its table. The table feeds validation, the error text, the pages
//! under `docs/numerics` (a test compares them) and the generators of the property tests. Ranges that tie several parameters
//! together are [`Violation::Joint`] and live beside the law that needs them.
//!
//! Not here: the mechanisms' parameters (each beside its mechanism).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::math;

/// An interval of allowed values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// Lower end.
    pub low: f64,
    /// Upper end, always included.
    pub high: f64,
    /// Whether the lower end is excluded.
    pub open_below: bool,
}

impl Range {
    /// [low, high].
    #[must_use]
    pub const fn closed(low: f64, high: f64) -> Self {
        Self {
            low,
            high,
            open_below: false,
        }
    }

    /// (low, high].
    #[must_use]
    pub const fn above(low: f64, high: f64) -> Self {
        Self {
            low,
            high,
            open_below: true,
        }
    }

    /// Whether `value` lies inside, compared in the precision of T. A NaN never does.
    pub fn contains<T: Scalar>(&self, value: T) -> bool {
        let (low, high) = (T::from_f64(self.low), T::from_f64(self.high));
        value <= high && if self.open_below { value > low } else { value >= low }
    }

    /// The value at `fraction` of the interval, for `fraction` in [0, 1]: a generator's source of valid values. An excluded end is
    /// approached to a thousand-millionth of the interval.
    #[must_use]
    pub fn at(&self, fraction: f64) -> f64 {
        let fraction = if self.open_below { fraction.max(1e-9) } else { fraction };
        self.low + (self.high - self.low) * fraction
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{}, {}]",
            if self.open_below { '(' } else { '[' },
            self.low,
            self.high
        )
    }
}

/// A type a parameter may have.
pub trait Scalar: Copy + PartialOrd {
    /// The value in the precision of the table.
    fn to_f64(self) -> f64;
    /// The nearest value of this type (saturating, truncating for integers).
    fn from_f64(value: f64) -> Self;
}

macro_rules! scalar {
    ($($ty:ty),+) => { $(
        impl Scalar for $ty {
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            fn from_f64(value: f64) -> Self {
                value as Self
            }
        }
    )+ };
}
scalar!(u8, u32, f32);

/// One row of a parameter table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameter {
    /// Section and field, as in a configuration file: `stdp.a_plus`.
    pub name: &'static str,
    /// The value when the configuration does not name it.
    pub default: f64,
    /// Allowed values.
    pub range: Range,
    /// Unit, `1` where dimensionless.
    pub unit: &'static str,
    /// One sentence.
    pub meaning: &'static str,
}

/// The Markdown table of `parameters`, as printed in `docs/numerics`.
#[must_use]
pub fn markdown(parameters: &[Parameter]) -> String {
    use fmt::Write as _;
    let mut page = String::from("| parameter | default | range | unit | meaning |\n|---|---|---|---|---|\n");
    for p in parameters {
        // Writing to a String cannot fail.
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} | {} |",
            p.name,
            p.default,
            p.range,
            p.unit,
            p.meaning.trim()
        );
    }
    page
}

/// A parameter, or a combination of parameters, that is not allowed.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Violation {
    /// One value lies outside its own range.
    Range {
        /// The row of the table.
        parameter: &'static Parameter,
        /// The value given.
        value: f64,
    },
    /// Values that are allowed each, but not together.
    Joint {
        /// The parameter to change.
        parameter: &'static str,
        /// Its value.
        value: f64,
        /// What it must satisfy.
        rule: &'static str,
        /// The limit that follows from the other parameters.
        limit: f64,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range { parameter, value } => {
                write!(f, "{} = {value}: must be in {}", parameter.name, parameter.range)?;
                if parameter.unit == "1" {
                    Ok(())
                } else {
                    write!(f, " {}", parameter.unit)
                }
            }
            Self::Joint {
                parameter,
                value,
                rule,
                limit,
            } => write!(f, "{parameter} = {value}: {rule} (limit {limit})"),
        }
    }
}

/// Every violation found: a check reports all of them, not the first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Violations(Vec<Violation>);

impl Violations {
    /// None so far.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks one value against its row.
    pub fn range<T: Scalar>(&mut self, parameter: &'static Parameter, value: T) {
        if !parameter.range.contains(value) {
            self.0.push(Violation::Range {
                parameter,
                value: value.to_f64(),
            });
        }
    }

    /// Demands `holds`; otherwise notes that `parameter` = `value` breaks `rule`, whose limit here is `limit`.
    pub fn joint(&mut self, holds: bool, parameter: &'static str, value: f64, rule: &'static str, limit: f64) {
        if !holds {
            self.0.push(Violation::Joint {
                parameter,
                value,
                rule,
                limit,
            });
        }
    }

    /// What was found, in the order of the checks.
    #[must_use]
    pub fn as_slice(&self) -> &[Violation] {
        &self.0
    }

    /// `Ok` when nothing was found.
    ///
    /// # Errors
    /// [`crate::Error::Parameters`] with every violation.
    pub fn into_result(self) -> crate::Result<()> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(crate::Error::Parameters { violations: self })
        }
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (k, violation) in self.0.iter().enumerate() {
            write!(f, "{}{violation}", if k == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

/// Declares a parameter struct together with its table.
///
/// The struct gets public fields, `Default`, serde (missing fields take their default, unknown ones are an error), `TABLE`,
/// `check_ranges` and `from_fractions`. Fields under `choices` are enums: they have no range and no row.
#[macro_export]
macro_rules! parameters {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident in $section:literal {
            $( #[doc = $doc:literal] $field:ident : $ty:ty = $default:expr, $range:expr, $unit:literal; )+
        }
        $( choices { $( #[doc = $choice_doc:literal] $choice:ident : $choice_ty:ty = $choice_default:expr; )+ } )?
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        $vis struct $name {
            $(
                #[doc = $doc]
                #[doc = concat!("\n\nRange `", stringify!($range), "`, unit ", $unit, ".")]
                pub $field: $ty,
            )+
            $( $( #[doc = $choice_doc] pub $choice: $choice_ty, )+ )?
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )+ $( $( $choice: $choice_default, )+ )? }
            }
        }

        impl $name {
            /// Name, default, range, unit and meaning of each field, in order.
            pub const TABLE: &'static [$crate::params::Parameter] = &[
                $( $crate::params::Parameter {
                    name: concat!($section, ".", stringify!($field)),
                    default: $default as f64,
                    range: $range,
                    unit: $unit,
                    meaning: $doc,
                }, )+
            ];

            /// Notes every field that lies outside its own range.
            pub fn check_ranges(&self, violations: &mut $crate::params::Violations) {
                let mut rows = Self::TABLE.iter();
                $( if let Some(row) = rows.next() { violations.range(row, self.$field); } )+
            }

            /// A value inside every single range, each field at the next fraction of [0, 1] that `next` gives.
            pub fn from_fractions(mut next: impl FnMut() -> f64) -> Self {
                let mut rows = Self::TABLE.iter();
                let mut value = Self::default();
                $( if let Some(row) = rows.next() {
                    value.$field = $crate::params::Scalar::from_f64(row.range.at(next()));
                } )+
                value
            }
        }
    };
}

parameters! {
    /// The synapse: filaments, promotion threshold and weight.
    pub struct FilamentParams in "filaments" {
        /// Fewest filaments of a synapse.
        n_min: u8 = 0, Range::closed(0.0, 254.0), "filaments";
        /// Most filaments of a synapse.
        n_max: u8 = 31, Range::closed(1.0, 255.0), "filaments";
        /// Fewest filaments a new synapse starts with.
        init_low: u8 = 7, Range::closed(0.0, 255.0), "filaments";
        /// Most filaments a new synapse starts with.
        init_high: u8 = 23, Range::closed(0.0, 255.0), "filaments";
        /// Promotion threshold Th: the internal drive that makes one filament.
        threshold: f32 = 1.0, Range::closed(0.0009765625, 1024.0), "drive per filament";
        /// Divisor of the weight law W = log2(1 + N) / w_scale.
        w_scale: f32 = 5.0, Range::closed(0.0625, 1024.0), "1";
    }
}

/// How the dendrites' activations a_d, each in [0, 1], become the potential u in [0, D].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Integration {
    /// u = sum_d a_d: the two-layer neuron.
    #[default]
    Sum,
    /// The sum, divided by what the other neurons of the layer receive: u_i = U_i / (1 + k mean_{j != i} U_j).
    NmdaShunting,
    /// A soft maximum: u = (D / beta) ln(mean_d exp(beta a_d)).
    WtaSoft,
    /// u = D max_d a_d: the strongest dendrite speaks for all.
    WtaHard,
}

parameters! {
    /// The dendrite's nonlinearity, and how dendrites come together.
    pub struct DendriteParams in "dendrite" {
        /// Slope g of the dendritic sigmoid.
        gain: f32 = 1.0, Range::closed(0.0009765625, 64.0), "1";
        /// Half-activation th_d of the dendritic sigmoid.
        threshold: f32 = 4.0, Range::closed(0.0, 1024.0), "1";
        /// Strength k of the shunting between neurons; read by `nmda_shunting` alone.
        shunting: f32 = 1.0, Range::closed(0.0, 1024.0), "1";
        /// Sharpness beta of the soft maximum; read by `wta_soft` alone.
        sharpness: f32 = 8.0, Range::closed(0.0625, 64.0), "1";
    }
    choices {
        /// How the dendrites' activations become the potential.
        integration: Integration = Integration::Sum;
    }
}

parameters! {
    /// The spike threshold and the escape noise.
    pub struct SpikeParams in "spike" {
        /// Threshold theta a new neuron starts with.
        theta_init: f32 = 1.0, Range::above(0.0, 65536.0), "1";
        /// Lower bound of theta; above u(0) = 0, so that silence stays silent.
        theta_min: f32 = 0.05, Range::above(0.0, 65536.0), "1";
        /// Upper bound of theta; above D, which no potential exceeds, so that regulation can always silence a neuron.
        theta_max: f32 = 8.0, Range::above(0.0, 65536.0), "1";
        /// Width w of the escape noise; 0 is a sharp threshold.
        width: f32 = 0.0, Range::closed(0.0, 16.0), "1";
    }
}

impl FilamentParams {
    /// Notes every violation, single and joint.
    pub fn check(&self, violations: &mut Violations) {
        self.check_ranges(violations);
        let f = f64::from;
        let [n_min, n_max] = [self.n_min, self.n_max].map(f);
        let [low, high] = [self.init_low, self.init_high].map(f);
        violations.joint(
            n_min < n_max,
            "filaments.n_max",
            n_max,
            "must exceed filaments.n_min",
            n_min,
        );
        violations.joint(
            low >= n_min,
            "filaments.init_low",
            low,
            "must be at least filaments.n_min",
            n_min,
        );
        violations.joint(
            high <= n_max,
            "filaments.init_high",
            high,
            "must be at most filaments.n_max",
            n_max,
        );
        violations.joint(
            low <= high,
            "filaments.init_high",
            high,
            "must be at least filaments.init_low",
            low,
        );
    }
}

impl DendriteParams {
    /// Notes every violation, single and joint.
    ///
    /// - `drive_max`: sup v_d = S * W(n_max), the largest drive the wiring allows.
    pub fn check(&self, drive_max: f64, violations: &mut Violations) {
        self.check_ranges(violations);
        let (gain, threshold) = (f64::from(self.gain), f64::from(self.threshold));
        // s(-g th_d) must leave room below 1 in f32, and the sigmoid must not be flat to f32 over the whole reachable drive.
        let reach = gain * (drive_max - threshold);
        violations.joint(
            reach >= -16.0,
            "dendrite.threshold",
            threshold,
            "even the largest drive leaves the dendrite shut; must be at most sup v_d + 16 / gain",
            drive_max + 16.0 / gain,
        );
    }
}

impl SpikeParams {
    /// Notes every violation, single and joint.
    ///
    /// - `dendrites`: D.   - `potential_max`: sup u, not above D.
    pub fn check(&self, dendrites: f64, potential_max: f64, violations: &mut Violations) {
        self.check_ranges(violations);
        let [init, low, high] = [self.theta_init, self.theta_min, self.theta_max].map(f64::from);
        violations.joint(
            low < high,
            "spike.theta_min",
            low,
            "must be below spike.theta_max",
            high,
        );
        violations.joint(
            init >= low,
            "spike.theta_init",
            init,
            "must be at least spike.theta_min",
            low,
        );
        violations.joint(
            init <= high,
            "spike.theta_init",
            init,
            "must be at most spike.theta_max",
            high,
        );
        violations.joint(
            high > dendrites,
            "spike.theta_max",
            high,
            "must exceed D, which no potential does",
            dendrites,
        );
        violations.joint(
            low < potential_max,
            "spike.theta_min",
            low,
            "must be below sup u, the largest potential, or the neuron could never fire",
            potential_max,
        );
    }
}

/// W(n_max), the largest weight these parameters allow.
#[must_use]
pub fn weight_max(params: &FilamentParams) -> f64 {
    math::log2(1.0 + f64::from(params.n_max)) / f64::from(params.w_scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid() {
        let mut violations = Violations::new();
        FilamentParams::default().check(&mut violations);
        DendriteParams::default().check(32.0, &mut violations);
        SpikeParams::default().check(4.0, 3.5, &mut violations);
        assert_eq!(violations.as_slice(), []);
    }

    #[test]
    fn every_violation_is_reported_not_the_first() {
        let params = FilamentParams {
            n_min: 9,
            n_max: 9,
            init_low: 3,
            init_high: 40,
            threshold: f32::NAN,
            w_scale: 0.0,
        };
        let mut violations = Violations::new();
        params.check(&mut violations);
        let text = violations.to_string();
        assert_eq!(violations.as_slice().len(), 5, "{text}");
        assert!(
            text.contains("filaments.threshold = NaN: must be in [0.0009765625, 1024] drive per filament"),
            "{text}"
        );
        assert!(
            text.contains("filaments.n_max = 9: must exceed filaments.n_min (limit 9)"),
            "{text}"
        );
    }

    #[test]
    fn an_open_end_excludes_itself_and_a_closed_one_does_not() {
        assert!(!Range::above(0.0, 1.0).contains(0.0f32));
        assert!(Range::closed(0.0, 1.0).contains(0.0f32));
        assert!(Range::above(0.0, 1.0).contains(1.0f32));
        assert!(!Range::closed(0.0, 1.0).contains(f32::INFINITY));
        assert!(
            Range::closed(0.0, 0.1).contains(0.1f32),
            "compared in the parameter's own precision"
        );
    }

    #[test]
    fn theta_must_leave_room_on_both_sides_of_the_potential() {
        let check = |theta_min, theta_max| {
            let mut violations = Violations::new();
            SpikeParams {
                theta_min,
                theta_max,
                theta_init: theta_min,
                width: 0.0,
            }
            .check(4.0, 4.0, &mut violations);
            violations.as_slice().len()
        };
        assert_eq!(check(0.1, 4.1), 0);
        assert_eq!(check(0.1, 4.0), 1);
        assert_eq!(check(0.0, 4.1), 2, "theta_init is theta_min here");
        assert_eq!(check(4.0, 5.0), 1);
    }

    #[test]
    fn unknown_fields_are_refused_and_missing_ones_take_their_default() {
        assert!(serde_json::from_str::<SpikeParams>(r#"{"thetta_min": 1}"#).is_err());
        let params: SpikeParams = serde_json::from_str(r#"{"width": 0.5}"#).unwrap();
        assert_eq!(
            params,
            SpikeParams {
                width: 0.5,
                ..SpikeParams::default()
            }
        );
    }
}
