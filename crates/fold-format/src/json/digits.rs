//! The text of an integer, without a heap allocation while it is short.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::fmt;
use std::ops::Deref;

/// Digits that are kept in the value itself.
const INLINE: usize = 8;

/// An integer of any size as its decimal text. It takes 16 bytes or fewer, and more from nine characters on.
#[derive(Clone, PartialEq, Eq)]
pub struct Digits(Kept);

#[derive(Clone, PartialEq, Eq)]
enum Kept {
    /// Zeros follow the text.
    Short([u8; INLINE]),
    Long(Box<str>),
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<Digits>() == 16 && size_of::<super::Value>() == 24);

impl From<&str> for Digits {
    fn from(text: &str) -> Self {
        let mut short = [0; INLINE];
        match short.get_mut(..text.len()) {
            // A zero would end the text.
            Some(place) if !text.contains('\0') => {
                place.copy_from_slice(text.as_bytes());
                Self(Kept::Short(short))
            }
            _ => Self(Kept::Long(text.into())),
        }
    }
}

impl From<String> for Digits {
    fn from(text: String) -> Self {
        Self::from(&*text)
    }
}

impl Deref for Digits {
    type Target = str;

    fn deref(&self) -> &str {
        match &self.0 {
            Kept::Long(text) => text,
            Kept::Short(bytes) => {
                let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
                // It was cut from no text.
                std::str::from_utf8(text).unwrap_or_default()
            }
        }
    }
}

impl fmt::Debug for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_any_length_is_the_text() {
        let long = "1".repeat(INLINE * 2);
        for len in 0..=long.len() {
            let text = &long[..len];
            assert_eq!(&*Digits::from(text), text);
            assert_eq!(matches!(Digits::from(text).0, Kept::Short(_)), len <= INLINE);
        }
        for odd in ["\0", "a\0", "é"] {
            assert_eq!(&*Digits::from(odd), odd);
        }
    }
}
