//! The three keys that a version 1 file may need, and the decryption of a chunk.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::fmt;

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};

use super::digest::unhex;
use super::fault::Kind;
use crate::seal::PublicKey;

/// Keys to read a file with; none is needed where the file uses none. Not shown by `Debug`.
#[derive(Clone, Default)]
#[must_use]
pub struct Keys {
    aes256: Option<[u8; 32]>,
    integrity: Option<Box<[u8]>>,
    pub(crate) public: Option<PublicKey>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys")
            .field("aes256", &self.aes256.is_some())
            .field("integrity", &self.integrity.is_some())
            .field("public", &self.public.is_some())
            .finish()
    }
}

impl Keys {
    /// No keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// The key of encrypted chunks.
    pub const fn aes256(mut self, key: [u8; 32]) -> Self {
        self.aes256 = Some(key);
        self
    }

    /// The key of keyed digests: the bytes of PyFolds' `PYFOLDS_INTEGRITY_KEY`. With it, unkeyed digests are refused.
    /// An empty key is none, as for PyFolds.
    pub fn integrity(mut self, key: &[u8]) -> Self {
        self.integrity = (!key.is_empty()).then(|| key.into());
        self
    }

    /// The key that signatures and trust blocks must be of; without it they are not judged.
    pub fn public(mut self, key: PublicKey) -> Self {
        self.public = Some(key);
        self
    }

    /// The key that signatures must be of, where one was given.
    #[must_use]
    pub const fn public_key(&self) -> Option<PublicKey> {
        self.public
    }

    /// The key of a file with 32 raw bytes or 64 hex digits, white space around them allowed. None where it is neither.
    #[must_use]
    pub fn parse_aes256(bytes: &[u8]) -> Option<[u8; 32]> {
        if let Ok(raw) = bytes.try_into() {
            return Some(raw);
        }
        unhex(std::str::from_utf8(bytes).ok()?.trim())?.try_into().ok()
    }

    pub(crate) fn integrity_key(&self) -> Option<&[u8]> {
        self.integrity.as_deref()
    }

    /// A chunk's stored bytes without their encryption; the name is authenticated with them.
    pub(crate) fn decrypt(&self, name: &str, nonce_hex: Option<&str>, stored: &[u8]) -> Result<Vec<u8>, Kind> {
        let key = self.aes256.as_ref().ok_or(Kind::MissingKey)?;
        let nonce: [u8; 12] = nonce_hex
            .and_then(unhex)
            .and_then(|nonce| nonce.try_into().ok())
            .ok_or(Kind::BadNonce)?;
        let payload = Payload {
            msg: stored,
            aad: name.as_bytes(),
        };
        Aes256Gcm::new(key.into())
            .decrypt(&Nonce::from(nonce), payload)
            .map_err(|_| Kind::DecryptFailed)
    }
}
