//! The digests of version 1: CRC-32C as a number, SHA-256 as text in one of three forms.
//!
//! A keyed digest is HMAC-SHA256 over the 64 hex digits of the SHA-256, not over the data. Comparison is textual and
//! minds the case, as PyFolds does.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use super::fault::Kind;

const PLAIN: &str = "sha256:";
const KEYED: &str = "hmac-sha256:";

/// How a digest is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DigestForm {
    /// 64 hex digits: PyFolds 1.0.
    Bare,
    /// `sha256:` in front: PyFolds 2.
    Prefixed,
    /// `hmac-sha256:` in front: PyFolds 2 with an integrity key.
    Keyed,
}

impl DigestForm {
    /// The form of a digest's text.
    pub(crate) fn of(text: &str) -> Self {
        if text.starts_with(KEYED) {
            Self::Keyed
        } else if text.starts_with(PLAIN) {
            Self::Prefixed
        } else {
            Self::Bare
        }
    }
}

/// Bytes as lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Hex digits in either case as bytes; none where the text is something else.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.len().is_multiple_of(2) || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let pairs = text.as_bytes().chunks(2);
    pairs
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// The SHA-256 of bytes, as bare hex digits.
pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn keyed(digits: &str, key: &[u8]) -> Option<String> {
    // HMAC takes keys of any length.
    let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    mac.update(digits.as_bytes());
    Some(format!("{KEYED}{}", hex(&mac.finalize().into_bytes())))
}

/// Holds a digest's text against the SHA-256 of what it stands for, given as hex digits.
///
/// With a key, unkeyed digests are refused: accepting them would void the key.
pub(crate) fn check(text: &str, digits: &str, key: Option<&[u8]>) -> Result<(), Kind> {
    let computed = match (DigestForm::of(text), key) {
        (DigestForm::Keyed, None) => return Err(Kind::UnverifiableHmac),
        (DigestForm::Keyed, Some(key)) => keyed(digits, key),
        (_, Some(_)) => return Err(Kind::HmacRequired),
        (DigestForm::Prefixed, None) => Some(format!("{PLAIN}{digits}")),
        (DigestForm::Bare, None) => Some(digits.to_owned()),
    };
    match computed {
        Some(computed) if computed == text => Ok(()),
        _ => Err(Kind::Sha256Mismatch),
    }
}

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests may panic"
)]
mod tests {
    use super::*;

    #[test]
    fn check_values() {
        assert_eq!(crc32c::crc32c(b"123456789"), 0xE306_9283);
        let digits = sha256_hex(b"abc");
        assert_eq!(
            digits,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(check(&digits, &digits, None), Ok(()));
        assert_eq!(check(&format!("sha256:{digits}"), &digits, None), Ok(()));
        assert_eq!(check(&digits.to_uppercase(), &digits, None), Err(Kind::Sha256Mismatch));
        assert_eq!(check(&digits, &digits, Some(b"k")), Err(Kind::HmacRequired));
        let text = keyed(&digits, b"k").unwrap();
        assert_eq!(check(&text, &digits, Some(b"k")), Ok(()));
        assert_eq!(check(&text, &digits, Some(b"l")), Err(Kind::Sha256Mismatch));
        assert_eq!(check(&text, &digits, None), Err(Kind::UnverifiableHmac));
    }

    #[test]
    fn hex_goes_round() {
        assert_eq!(unhex("00fFa1").unwrap(), [0x00, 0xff, 0xa1]);
        assert_eq!(hex(&[0x00, 0xff, 0xa1]), "00ffa1");
        assert!(unhex("0").is_none() && unhex("0g").is_none() && unhex("+1").is_none());
    }
}
