//! Values to text: Python's three ways of writing JSON, byte for byte.

use std::fmt::Write as _;

use super::Value;

/// How a value is written; always without spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Keys in their order, other characters than ASCII as they are: what is stored.
    Stored,
    /// Keys sorted, other characters than ASCII as they are: signed payloads, Merkle leaves.
    Sorted,
    /// Keys sorted, everything but printable ASCII as `\uXXXX`: hashes.
    SortedAscii,
}

impl Value {
    /// The value's text in one of Python's forms.
    #[must_use]
    pub fn print(&self, form: Form) -> String {
        let mut text = String::new();
        self.print_to(form, &mut text);
        text
    }

    /// As [`Value::print`], of an object without one of its keys; of any other value as it is.
    #[must_use]
    pub fn print_without(&self, key: &str, form: Form) -> String {
        let Self::Object(entries) = self else {
            return self.print(form);
        };
        let mut text = String::new();
        print_entries(entries.iter().filter(|(name, _)| &**name != key), form, &mut text);
        text
    }

    fn print_to(&self, form: Form, text: &mut String) {
        match self {
            Self::Null => text.push_str("null"),
            Self::Bool(true) => text.push_str("true"),
            Self::Bool(false) => text.push_str("false"),
            Self::Int(digits) => text.push_str(digits),
            Self::Float(value) => text.push_str(&float_repr(*value)),
            Self::String(string) => print_string(string, form, text),
            Self::Array(elements) => {
                text.push('[');
                for (position, element) in elements.iter().enumerate() {
                    if position > 0 {
                        text.push(',');
                    }
                    element.print_to(form, text);
                }
                text.push(']');
            }
            Self::Object(entries) => print_entries(entries.iter(), form, text),
        }
    }
}

fn print_entries<'a>(entries: impl Iterator<Item = &'a (Box<str>, Value)>, form: Form, text: &mut String) {
    let mut ordered: Vec<_> = entries.collect();
    if form != Form::Stored {
        // The order of code points is that of the bytes of UTF-8.
        ordered.sort_by(|(left, _), (right, _)| left.cmp(right));
    }
    text.push('{');
    for (position, (key, value)) in ordered.into_iter().enumerate() {
        if position > 0 {
            text.push(',');
        }
        print_string(key, form, text);
        text.push(':');
        value.print_to(form, text);
    }
    text.push('}');
}

fn print_string(string: &str, form: Form, text: &mut String) {
    text.push('"');
    for character in string.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{c}' => text.push_str("\\f"),
            '\u{8}' => text.push_str("\\b"),
            '\0'..='\u{1f}' => escape(character, text),
            ' '..='~' => text.push(character),
            _ if form == Form::SortedAscii => escape(character, text),
            _ => text.push(character),
        }
    }
    text.push('"');
}

/// One or, above U+FFFF, two `\uXXXX`.
fn escape(character: char, text: &mut String) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        // Writing to a string cannot fail.
        let _ = write!(text, "\\u{unit:04x}");
    }
}

/// A double as Python's `repr` writes it: the shortest digits that read back to it, positional from 1e-4 below 1e16.
#[must_use]
pub fn float_repr(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    let sign = if value.is_sign_negative() { "-" } else { "" };
    if value.is_infinite() {
        return format!("{sign}Infinity");
    }
    // Rust prints the same shortest digits, always as d.ddde±x.
    let scientific = format!("{:e}", value.abs());
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let digits = mantissa.replace('.', "");
    let count = i32::try_from(digits.len()).unwrap_or(i32::MAX);
    if !(-4..16).contains(&exponent) {
        let (first, rest) = digits.split_at_checked(1).unwrap_or((&digits, ""));
        let point = if rest.is_empty() { "" } else { "." };
        let exponent_sign = if exponent < 0 { '-' } else { '+' };
        return format!(
            "{sign}{first}{point}{rest}e{exponent_sign}{:02}",
            exponent.unsigned_abs()
        );
    }
    if exponent < 0 {
        let zeros = usize::try_from(exponent.unsigned_abs().saturating_sub(1)).unwrap_or(0);
        return format!("{sign}0.{}{digits}", "0".repeat(zeros));
    }
    let before = exponent.saturating_add(1);
    if count <= before {
        let zeros = usize::try_from(before.saturating_sub(count)).unwrap_or(0);
        return format!("{sign}{digits}{}.0", "0".repeat(zeros));
    }
    let (whole, fraction) = digits
        .split_at_checked(usize::try_from(before).unwrap_or(0))
        .unwrap_or((&digits, "0"));
    format!("{sign}{whole}.{fraction}")
}

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "a test that goes out of bounds has failed"
)]
mod tests {
    use super::super::parse;
    use super::*;

    #[test]
    fn doubles_read_like_pythons() {
        // What Python 3.11 prints for these.
        let cases = [
            (0.0, "0.0"),
            (-0.0, "-0.0"),
            (1.0, "1.0"),
            (100.0, "100.0"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (0.00012345, "0.00012345"),
            (0.00001, "1e-05"),
            (1e15, "1000000000000000.0"),
            (9_007_199_254_740_992.0, "9007199254740992.0"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (5e-324, "5e-324"),
            (123_456_789_012_345_680.0, "1.2345678901234568e+17"),
            (f64::MAX, "1.7976931348623157e+308"),
            (-1234.5678, "-1234.5678"),
            (f64::from(0.1_f32), "0.10000000149011612"),
            (f64::NEG_INFINITY, "-Infinity"),
        ];
        for (value, text) in cases {
            assert_eq!(float_repr(value), text);
        }
        assert_eq!(float_repr(f64::NAN), "NaN");
    }

    #[test]
    fn the_worked_example_of_the_specification() {
        let text = r#"{"b":1e16,"a":{"é":[0.1,-0.0,true,null,"\u007f🧠"]},"n":NaN}"#;
        let value = parse(text.as_bytes()).unwrap();
        let hashed = r#"{"a":{"\u00e9":[0.1,-0.0,true,null,"\u007f\ud83e\udde0"]},"b":1e+16,"n":NaN}"#;
        assert_eq!(value.print(Form::SortedAscii), hashed);
        assert_eq!(
            value.print(Form::Stored),
            "{\"b\":1e+16,\"a\":{\"é\":[0.1,-0.0,true,null,\"\u{7f}🧠\"]},\"n\":NaN}"
        );
    }

    #[test]
    fn keys_are_sorted_by_code_point() {
        let value = parse("{\"\u{1f600}\":1,\"\u{ffff}\":2,\"a\":3,\"A\":4,\"\":5}".as_bytes()).unwrap();
        assert_eq!(
            value.print(Form::Sorted),
            "{\"\":5,\"A\":4,\"a\":3,\"\u{ffff}\":2,\"\u{1f600}\":1}"
        );
    }

    #[test]
    fn an_object_is_printed_as_if_a_key_were_not_there() {
        let value = parse(br#"{"b":[1],"a":{"b":2},"c":3}"#).unwrap();
        for key in ["a", "b", "c", "d"] {
            for form in [Form::Stored, Form::Sorted] {
                assert_eq!(value.print_without(key, form), value.without(key).print(form));
            }
        }
        assert_eq!(Value::from(7).print_without("a", Form::Stored), "7");
    }

    #[test]
    fn what_is_printed_reads_back() {
        fn property(bits: u64) -> bool {
            let value = f64::from_bits(bits);
            match parse(float_repr(value).as_bytes()) {
                Ok(Value::Float(read)) => read.to_bits() == bits || (read.is_nan() && value.is_nan()),
                _ => false,
            }
        }
        quickcheck::quickcheck(property as fn(u64) -> bool);
    }
}
