//! Keys from the files that the command line names.

use fold_ops::{Keys, PublicKey, input_file};

use crate::arguments::{KeyFiles, SecretKeyFiles};
use crate::failure::Failure;

/// The longest key file that is read.
const MAX_LEN: u64 = 1 << 16;

/// Reads the keys that were named.
pub(crate) fn read(files: &KeyFiles) -> Result<Keys, Failure> {
    let keys = read_secret(&files.secret)?;
    Ok(match &files.public_key {
        Some(path) => keys.public(PublicKey::load(path).map_err(fold_ops::Error::from)?),
        None => keys,
    })
}

/// Reads the secret keys that were named.
pub(crate) fn read_secret(files: &SecretKeyFiles) -> Result<Keys, Failure> {
    let mut keys = Keys::new();
    if let Some(path) = &files.key_file {
        let key = Keys::parse_aes256(&input_file::read(path, MAX_LEN)?).ok_or_else(|| Failure::Key {
            path: path.clone(),
            what: "an AES-256 key is 32 bytes or 64 hex digits".to_owned(),
        })?;
        keys = keys.aes256(key);
    }
    if let Some(path) = &files.integrity_key_file {
        let key = input_file::read(path, MAX_LEN)?;
        let key = key.strip_suffix(b"\n").unwrap_or(&key);
        keys = keys.integrity(key.strip_suffix(b"\r").unwrap_or(key));
    }
    Ok(keys)
}
