//! `fold keygen` and `fold sign`: a pair of ed25519 keys, and a signed copy of a sealed file.
//!
//! What a signature is worth is in [`fold_format::seal`]. Which keys to trust is the caller's policy.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use fold_format::seal::{KeyFault, PrivateKey};
use fold_format::{Disk, Limits, Misuse};
use serde::Serialize;

use crate::check::{advice, lossy};
use crate::error::Error;
use crate::exit::ExitCode;
use crate::input_file;
use crate::json::Int;

/// What `fold keygen` answers, schema `fold.keygen/1`. The private key is in its file and nowhere else.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct KeygenReport {
    /// `fold.keygen/1`.
    pub schema: &'static str,
    /// `keygen`.
    pub command: &'static str,
    /// The release that made the keys.
    pub tool_version: &'static str,
    /// What the command ends with.
    pub exit_code: ExitCode,
    /// The file of the private key, which only the user may read.
    #[serde(serialize_with = "lossy")]
    pub private_key: PathBuf,
    /// The file of the public key.
    #[serde(serialize_with = "lossy")]
    pub public_key: PathBuf,
    /// The public key's 32 bytes, hexadecimal.
    pub public_key_hex: String,
}

/// What `fold sign` answers, schema `fold.sign/1`.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct SignReport {
    /// `fold.sign/1`.
    pub schema: &'static str,
    /// `sign`.
    pub command: &'static str,
    /// The release that signed.
    pub tool_version: &'static str,
    /// What the command ends with.
    pub exit_code: ExitCode,
    /// The file, which was not changed.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    /// The signed file.
    #[serde(serialize_with = "lossy")]
    pub output: PathBuf,
    /// Its bytes.
    pub bytes: Int,
    /// Its root digest, which the signature is over, hexadecimal.
    pub root_digest: String,
    /// The public key that belongs to the signature, hexadecimal.
    pub public_key_hex: String,
}

/// Makes a pair of keys: the private one in `path`, the public one beside it, `KEY.pub.pem` for `KEY.pem`.
///
/// # Errors
/// `FOLD-E0003` one of the two names is taken, and neither file was written; what the system refuses.
pub fn keygen(path: &Path) -> Result<KeygenReport, Error> {
    let public_path = public_path(path);
    if public_path.symlink_metadata().is_ok() {
        return Err(KeyFault::Exists { path: public_path }.into());
    }
    let key = PrivateKey::generate()?;
    key.save(path)?;
    if let Err(fault) = key.public().save(&public_path) {
        // A private key without its public half is of no use, and this one is a moment old.
        let removed = fs::remove_file(path);
        if let Err(error) = removed {
            log::warn!("the private key {path:?} could not be removed: {error}");
        }
        return Err(fault.into());
    }
    Ok(KeygenReport {
        schema: "fold.keygen/1",
        command: "keygen",
        tool_version: env!("CARGO_PKG_VERSION"),
        exit_code: ExitCode::Done,
        private_key: path.into(),
        public_key: public_path,
        public_key_hex: key.public().to_string(),
    })
}

/// `KEY.pub.pem` for `KEY.pem` and for `KEY`.
fn public_path(path: &Path) -> PathBuf {
    if path.extension().is_some_and(|extension| extension == "pem") {
        return path.with_extension("pub.pem");
    }
    let mut name = OsString::from(path);
    name.push(".pub.pem");
    name.into()
}

/// Writes a signed copy of a sealed file under a new name. The source is verified in full first, the copy before it gets
/// its name.
///
/// - `key`: the private key's PEM file.
///
/// # Errors
/// `FOLD-E0009` the file's digests are xxh3; the file is damaged, nothing damaged is signed; `FOLD-E0003` the output
/// exists; the key is none; what the system refuses.
pub fn sign(path: &Path, key: &Path, output: &Path) -> Result<SignReport, Error> {
    let key = PrivateKey::load(key)?;
    let source = input_file::open_container(path)?;
    let signed = fold_format::sign(&Disk, &source, output, &key, &Limits::DEFAULT).map_err(|error| match error {
        fold_format::Error::Misuse(Misuse::NotSealed) => Error::NotSealed {
            path: path.into(),
            sealing: advice::sealing_command(path),
        },
        error => Error::of(path, error),
    })?;
    Ok(SignReport {
        schema: "fold.sign/1",
        command: "sign",
        tool_version: env!("CARGO_PKG_VERSION"),
        exit_code: ExitCode::Done,
        path: path.into(),
        output: output.into(),
        bytes: Int(signed.bytes),
        root_digest: signed.root.to_string(),
        public_key_hex: key.public().to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_key_lies_beside_the_private_one() {
        let beside = |path: &str| public_path(Path::new(path)).to_string_lossy().into_owned();
        assert_eq!(beside("keys/a.pem"), "keys/a.pub.pem");
        assert_eq!(beside("keys/a"), "keys/a.pub.pem");
        assert_eq!(beside("a.b"), "a.b.pub.pem");
    }
}
