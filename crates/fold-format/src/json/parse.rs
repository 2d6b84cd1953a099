//! Text to values, with bounded depth.

use std::collections::HashSet;

use super::Value;

/// How deep arrays and objects may be nested.
pub const MAX_DEPTH: u32 = 128;

/// Why text is not JSON that is read here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Not UTF-8.
    #[error("not UTF-8 at byte {offset}")]
    NotUtf8 {
        /// Where the first bad byte is.
        offset: usize,
    },
    /// Arrays and objects nested too deeply.
    #[error("nested deeper than {MAX_DEPTH} at byte {offset}")]
    TooDeep {
        /// Where it became too deep.
        offset: usize,
    },
    /// Not JSON.
    #[error("not JSON at byte {offset}")]
    Syntax {
        /// Where reading stopped.
        offset: usize,
    },
    /// A key that its object has already.
    #[error("a key is there twice in the object that ends at byte {offset}")]
    DuplicateKey {
        /// Where the object ends.
        offset: usize,
    },
    /// An escape of half a surrogate pair, which is no character.
    #[error("half a surrogate pair at byte {offset}")]
    LoneSurrogate {
        /// Behind the escape.
        offset: usize,
    },
}

/// Parses one value, white space around it allowed.
///
/// Any bytes may be passed. Never panics; time and memory stay within a small constant of their number.
///
/// # Errors
/// [`Fault`]: what is wrong first, and where.
pub fn parse(bytes: &[u8]) -> Result<Value, Fault> {
    let text = std::str::from_utf8(bytes).map_err(|error| Fault::NotUtf8 {
        offset: error.valid_up_to(),
    })?;
    let mut parser = Parser { text, at: 0 };
    let value = parser.value(0)?;
    parser.space();
    match parser.rest().is_empty() {
        true => Ok(value),
        false => Err(parser.syntax()),
    }
}

/// Adds an item. What is long grows by a quarter: doubled, it would be up to half empty.
fn push<T>(items: &mut Vec<T>, item: T) {
    let len = items.len();
    if len == items.capacity() && len >= 1024 {
        items.reserve_exact(len / 4);
    }
    items.push(item);
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn advance(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes);
    }

    fn syntax(&self) -> Fault {
        Fault::Syntax { offset: self.at }
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.advance(1);
        }
    }

    /// Goes over `token` if it comes next.
    fn takes(&mut self, token: &str) -> bool {
        let taken = self.rest().starts_with(token);
        if taken {
            self.advance(token.len());
        }
        taken
    }

    fn value(&mut self, depth: u32) -> Result<Value, Fault> {
        self.space();
        if depth >= MAX_DEPTH && matches!(self.peek(), Some(b'[' | b'{')) {
            return Err(Fault::TooDeep { offset: self.at });
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => Ok(Value::String(self.string()?.into())),
            Some(b'-' | b'0'..=b'9') if !self.rest().starts_with("-I") => self.number(),
            _ => {
                let tokens = [
                    ("null", Value::Null),
                    ("true", Value::Bool(true)),
                    ("false", Value::Bool(false)),
                    ("NaN", Value::Float(f64::NAN)),
                    ("Infinity", Value::Float(f64::INFINITY)),
                    ("-Infinity", Value::Float(f64::NEG_INFINITY)),
                ];
                for (token, value) in tokens {
                    if self.takes(token) {
                        return Ok(value);
                    }
                }
                Err(self.syntax())
            }
        }
    }

    fn array(&mut self, depth: u32) -> Result<Value, Fault> {
        self.advance(1);
        let mut elements = Vec::new();
        self.space();
        if self.takes("]") {
            return Ok(Value::Array(elements.into()));
        }
        loop {
            push(&mut elements, self.value(depth.saturating_add(1))?);
            self.space();
            if self.takes("]") {
                return Ok(Value::Array(elements.into()));
            }
            if !self.takes(",") {
                return Err(self.syntax());
            }
        }
    }

    fn object(&mut self, depth: u32) -> Result<Value, Fault> {
        self.advance(1);
        let mut entries: Vec<(Box<str>, Value)> = Vec::new();
        self.space();
        if self.takes("}") {
            return Ok(Value::Object(entries));
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return Err(self.syntax());
            }
            let key = self.string()?;
            self.space();
            if !self.takes(":") {
                return Err(self.syntax());
            }
            let value = self.value(depth.saturating_add(1))?;
            push(&mut entries, (key.into(), value));
            self.space();
            if self.takes("}") {
                let mut seen = HashSet::with_capacity(entries.len());
                return match entries.iter().all(|(key, _)| seen.insert(&**key)) {
                    true => Ok(Value::Object(entries)),
                    false => Err(Fault::DuplicateKey { offset: self.at }),
                };
            }
            if !self.takes(",") {
                return Err(self.syntax());
            }
        }
    }

    fn string(&mut self) -> Result<String, Fault> {
        self.advance(1);
        let mut string = String::new();
        loop {
            let plain = self
                .rest()
                .bytes()
                .take_while(|&byte| byte >= 0x20 && byte != b'"' && byte != b'\\')
                .count();
            string.push_str(self.rest().get(..plain).unwrap_or_default());
            self.advance(plain);
            match self.peek() {
                Some(b'"') => {
                    self.advance(1);
                    return Ok(string);
                }
                Some(b'\\') => string.push(self.escape()?),
                _ => return Err(self.syntax()),
            }
        }
    }

    fn escape(&mut self) -> Result<char, Fault> {
        self.advance(1);
        let escaped = self.peek().ok_or(self.syntax())?;
        self.advance(1);
        Ok(match escaped {
            b'"' => '"',
            b'\\' => '\\',
            b'/' => '/',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.unit()?;
                let second = match first {
                    0xD800..=0xDBFF if self.takes("\\u") => Some(self.unit()?),
                    _ => None,
                };
                let units = [first, second.unwrap_or(0)];
                let count = if second.is_some() { 2 } else { 1 };
                let mut decoded = char::decode_utf16(units.into_iter().take(count));
                match (decoded.next(), decoded.next()) {
                    (Some(Ok(character)), None) => character,
                    _ => return Err(Fault::LoneSurrogate { offset: self.at }),
                }
            }
            _ => return Err(self.syntax()),
        })
    }

    /// Four hex digits.
    fn unit(&mut self) -> Result<u16, Fault> {
        let digits = self
            .rest()
            .get(..4)
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let unit = digits
            .and_then(|digits| u16::from_str_radix(digits, 16).ok())
            .ok_or(self.syntax())?;
        self.advance(4);
        Ok(unit)
    }

    fn digits(&mut self) -> usize {
        let count = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        self.advance(count);
        count
    }

    fn number(&mut self) -> Result<Value, Fault> {
        let start = self.at;
        self.takes("-");
        if !self.takes("0") && self.digits() == 0 {
            return Err(self.syntax());
        }
        let mut whole = true;
        if self.takes(".") {
            whole = false;
            if self.digits() == 0 {
                return Err(self.syntax());
            }
        }
        if self.takes("e") || self.takes("E") {
            whole = false;
            let _ = self.takes("+") || self.takes("-");
            if self.digits() == 0 {
                return Err(self.syntax());
            }
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        match whole {
            // Python's integer has no negative zero.
            true if text == "-0" => Ok(Value::Int("0".into())),
            true => Ok(Value::Int(text.into())),
            false => Ok(Value::Float(text.parse().map_err(|_| self.syntax())?)),
        }
    }
}

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "a test that goes out of bounds has failed"
)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Fault {
        parse(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn values_of_every_kind() {
        let value = parse(br#" {"a": [1, -0, 1.5e3, true, null, "x\u00e9\ud83e\udde0\n"], "b": {}} "#).unwrap();
        let elements = value.get("a").unwrap().as_array().unwrap();
        assert_eq!(elements[0].as_u64(), Some(1));
        assert_eq!(elements[1], Value::Int("0".into()));
        assert_eq!(elements[2], Value::Float(1500.0));
        assert_eq!(elements[5].as_str(), Some("xé\u{1f9e0}\n"));
        assert_eq!(value.get("b").unwrap().as_object().unwrap().len(), 0);
        assert_eq!(parse(b"1e999").unwrap(), Value::Float(f64::INFINITY));
        assert_eq!(parse(b"-Infinity").unwrap(), Value::Float(f64::NEG_INFINITY));
        let huge = "123456789012345678901234567890";
        assert_eq!(parse(huge.as_bytes()).unwrap(), Value::Int(huge.into()));
    }

    #[test]
    fn what_is_no_json_is_located() {
        for text in [
            "",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "01",
            "1.",
            ".5",
            "+1",
            "nul",
            "\"\n\"",
            "\"\\x\"",
            "[1] 2",
            "\u{feff}{}",
            "{\"a\":1}\0",
            "'a'",
            "1e",
            "--1",
            "Nan",
            "\"\\u12g4\"",
            "\"\\u+123\"",
        ] {
            assert!(
                matches!(fault(text), Fault::Syntax { .. }),
                "{text:?}: {:?}",
                fault(text)
            );
        }
        assert_eq!(parse(b"\"a\xff\"").unwrap_err(), Fault::NotUtf8 { offset: 2 });
        assert!(matches!(fault(r#"{"a":1,"b":2,"a":1}"#), Fault::DuplicateKey { .. }));
        for lone in [
            r#""\ud83d""#,
            r#""\ud83dx""#,
            r#""\ude00""#,
            r#""\ud83d\ud83d""#,
            r#""\ud83dA""#,
        ] {
            assert!(matches!(fault(lone), Fault::LoneSurrogate { .. }), "{lone}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(parse(nested(128).as_bytes()).is_ok());
        assert!(matches!(fault(&nested(129)), Fault::TooDeep { .. }));
        assert!(matches!(fault(&"[".repeat(1_000_000)), Fault::TooDeep { .. }));
        assert!(matches!(fault(&"{\"a\":".repeat(1_000_000)), Fault::TooDeep { .. }));
    }

    #[test]
    fn what_is_long_is_hardly_empty() {
        let mut items = Vec::new();
        for number in 0..100_000_u32 {
            push(&mut items, number);
            let (len, capacity) = (items.len(), items.capacity());
            assert!(capacity <= (len + len / 4).max(2048), "{capacity} for {len}");
        }
        assert_eq!(items, (0..100_000).collect::<Vec<_>>());
    }
}
