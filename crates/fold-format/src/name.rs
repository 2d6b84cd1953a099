//! Names of chunks and tensors: which are allowed, and how a name from a file is shown.

use std::fmt;

use crate::layout::MAX_NAME_LEN;

/// Whether `bytes` may name a chunk or a tensor: UTF-8, 1 to 255 bytes, no control character.
///
/// Nothing else is forbidden: a name is not a path, and whoever makes a path of it has to look at it again.
pub(crate) fn checked(bytes: &[u8]) -> Option<&str> {
    if bytes.is_empty() || bytes.len() > MAX_NAME_LEN {
        return None;
    }
    let name = std::str::from_utf8(bytes).ok()?;
    (!name.chars().any(char::is_control)).then_some(name)
}

/// Shows text from a file in backquotes, with everything escaped that could disturb a terminal or a log line.
///
/// ```
/// assert_eq!(fold_format::Escaped("layer0.w").to_string(), "`layer0.w`");
/// assert_eq!(fold_format::Escaped("a\u{1b}[2J`").to_string(), r"`a\u{1b}[2J\``");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Escaped<'a>(
    /// The text to show.
    pub &'a str,
);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        f.write_char('`')?;
        for character in self.0.chars() {
            match character {
                '`' => f.write_str("\\`")?,
                '\'' | '"' => f.write_char(character)?,
                _ => write!(f, "{}", character.escape_debug())?,
            }
        }
        f.write_char('`')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_at_their_edges() {
        assert_eq!(checked(b"a"), Some("a"));
        assert_eq!(checked("über/0".as_bytes()), Some("über/0"));
        assert_eq!(checked(b""), None);
        assert!(checked(&[b'x'; 255]).is_some());
        assert!(checked(&[b'x'; 256]).is_none());
        for bad in [
            &b"a\0"[..],
            b"\n",
            b"\x7f",
            "\u{85}".as_bytes(),
            b"\xff",
            b"\xed\xa0\x80",
        ] {
            assert_eq!(checked(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn bidirectional_overrides_and_escapes_are_not_printed_raw() {
        for hostile in ["\u{202e}gpj.exe", "\u{1b}[31m", "\u{9b}2J", "a\r\nb", "\u{200b}"] {
            let shown = Escaped(hostile).to_string();
            assert!(shown.chars().all(|c| c.is_ascii_graphic() || c == ' '), "{shown:?}");
        }
    }
}
