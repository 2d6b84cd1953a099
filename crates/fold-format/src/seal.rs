//! Keys and signatures for the root digest of sealed files: ed25519, in the PEM files that other tools read.
//!
//! A private key is PKCS#8 (RFC 8410, as `openssl genpkey -algorithm ed25519` writes it), a public key is a
//! SubjectPublicKeyInfo (`openssl pkey -pubout`). What is signed is [`SIGNATURE_CONTEXT`] followed by the 32 bytes of the
//! root digest, so that no signature made for another purpose passes for one of a checkpoint.
//!
//! What is not here: where the signature lies in a file, and the policy which keys to trust. A signature says that the
//! holder of a key signed this root; it says nothing where the digests are xxh3, which can be forged.

use std::fmt;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use ed25519_dalek::ed25519::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};

use crate::atomic::{Failure, write_atomically};
use crate::error::{Error, IoFault, Operation};
use crate::name::Escaped;
use crate::options::{Durability, Existing};
use crate::storage::{Disk, Storage as _, write_full};

/// What precedes the root digest in the signed message.
pub const SIGNATURE_CONTEXT: &[u8] = b"fold container: signed root, 1\0";

/// Bytes of a public key.
pub const PUBLIC_KEY_LEN: usize = 32;
/// Bytes of a signature.
pub const SIGNATURE_LEN: usize = 64;

/// A PEM file of a key has some hundred bytes; more is not read.
const MAX_PEM_LEN: u64 = 16 << 10;

/// Why a key could not be read, written or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFault {
    /// The system refused an operation.
    #[error(transparent)]
    Io(#[from] IoFault),
    /// A file has the name under which a key was to be written.
    #[error("the key file {} exists and is not overwritten: choose another name", Escaped(&.path.to_string_lossy()))]
    Exists {
        /// The name.
        path: PathBuf,
    },
    /// The system has no random numbers to make a key from.
    #[error("no random numbers to make a key from: {0}")]
    Random(io::Error),
    /// The file holds no key of the kind asked for.
    #[error("{} is not {}: {problem}", Escaped(&.path.to_string_lossy()), .wanted.article())]
    NotAKey {
        /// The file.
        path: PathBuf,
        /// What it should be.
        wanted: KeyKind,
        /// What it is instead, and what to do.
        problem: KeyProblem,
    },
    /// Bytes that are no public key, or one for which anybody can make signatures.
    #[error("these 32 bytes are no usable ed25519 public key")]
    InvalidPublicKey,
    /// The signature was not made with this key for this root digest.
    #[error("the signature does not belong to this root digest and this public key")]
    WrongSignature,
}

/// The two halves of a key pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// Signs; to be kept secret.
    Private,
    /// Verifies; to be published.
    Public,
}

impl KeyKind {
    const fn article(self) -> &'static str {
        match self {
            Self::Private => "an ed25519 private key in PEM form (PKCS#8)",
            Self::Public => "an ed25519 public key in PEM form",
        }
    }
}

/// What a file is that should have been a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyProblem {
    /// The private key where the public one is needed.
    #[error("it holds a private key; give the public one, which `openssl pkey -pubout` makes of it")]
    IsPrivate,
    /// The public key where the private one is needed.
    #[error("it holds a public key; give the private one")]
    IsPublic,
    /// A private key under a password.
    #[error("it is encrypted; decrypt it with `openssl pkey` first")]
    IsEncrypted,
    /// PEM of a key of another algorithm, or damaged.
    #[error("its content is damaged or for another algorithm")]
    Malformed,
    /// A valid encoding of a key for which anybody can make signatures.
    #[error("it is a weak key, for which anybody can make signatures")]
    Weak,
    /// No PEM at all.
    #[error("it has no PEM header of a key")]
    NoPem,
    /// Longer than any key.
    #[error("it is longer than any key file")]
    TooLong,
}

/// The key that signs. Its bytes are wiped from memory when it is dropped, and never shown.
pub struct PrivateKey(SigningKey);

/// The key that verifies.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey(VerifyingKey);

impl PrivateKey {
    /// A new key from the system's random numbers.
    ///
    /// # Errors
    /// [`KeyFault::Random`].
    pub fn generate() -> Result<Self, KeyFault> {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).map_err(|error| KeyFault::Random(error.into()))?;
        Ok(Self(SigningKey::from_bytes(&secret)))
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs the root digest of a sealed file.
    #[must_use]
    pub fn sign(&self, root: &[u8; 32]) -> [u8; SIGNATURE_LEN] {
        self.0.sign(&message(root)).to_bytes()
    }

    /// Writes the key to a new file that only the user may read (mode 0600 where the system has modes).
    ///
    /// # Errors
    /// [`KeyFault::Exists`] where the name is taken, whatever has it; [`KeyFault::Io`].
    pub fn save(&self, path: &Path) -> Result<(), KeyFault> {
        // Without the public half: OpenSSL 3.0 reads version 1 of PKCS#8 only.
        let pair = KeypairBytes {
            secret_key: self.0.to_bytes(),
            public_key: None,
        };
        let pem = pair
            .to_pkcs8_pem(LineEnding::LF)
            .map_err(|error| encoding(path, error))?;
        create(path, pem.as_bytes(), KeyKind::Private)
    }

    /// Reads a key from a PEM file.
    ///
    /// # Errors
    /// [`KeyFault::NotAKey`] with what the file is instead; [`KeyFault::Io`].
    pub fn load(path: &Path) -> Result<Self, KeyFault> {
        let pem = read(path, KeyKind::Private)?;
        let key = SigningKey::from_pkcs8_pem(&pem);
        key.map(Self)
            .map_err(|_| not_a_key(path, KeyKind::Private, problem_of(&pem, KeyKind::Private)))
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey(of {})", self.public())
    }
}

impl PublicKey {
    /// The key of these bytes, as a signed file holds them.
    ///
    /// # Errors
    /// [`KeyFault::InvalidPublicKey`], for weak keys too. Any bytes may be passed.
    pub fn from_bytes(bytes: &[u8; PUBLIC_KEY_LEN]) -> Result<Self, KeyFault> {
        VerifyingKey::from_bytes(bytes)
            .ok()
            .filter(|key| !key.is_weak())
            .map(Self)
            .ok_or(KeyFault::InvalidPublicKey)
    }

    /// The key's bytes.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; PUBLIC_KEY_LEN] {
        self.0.to_bytes()
    }

    /// Verifies a signature of a root digest, strictly: no second encoding of a signature or key is accepted, and no
    /// weak key.
    ///
    /// # Errors
    /// [`KeyFault::WrongSignature`]. Any bytes may be passed.
    pub fn verify(&self, root: &[u8; 32], signature: &[u8; SIGNATURE_LEN]) -> Result<(), KeyFault> {
        self.0
            .verify_strict(&message(root), &Signature::from_bytes(signature))
            .map_err(|_| KeyFault::WrongSignature)
    }

    /// Writes the key to a new file.
    ///
    /// # Errors
    /// [`KeyFault::Exists`] where the name is taken, whatever has it; [`KeyFault::Io`].
    pub fn save(&self, path: &Path) -> Result<(), KeyFault> {
        let pem = self
            .0
            .to_public_key_pem(LineEnding::LF)
            .map_err(|error| encoding(path, error))?;
        create(path, pem.as_bytes(), KeyKind::Public)
    }

    /// Reads a key from a PEM file.
    ///
    /// # Errors
    /// [`KeyFault::NotAKey`] with what the file is instead; [`KeyFault::Io`].
    pub fn load(path: &Path) -> Result<Self, KeyFault> {
        let pem = read(path, KeyKind::Public)?;
        let key = VerifyingKey::from_public_key_pem(&pem)
            .map_err(|_| not_a_key(path, KeyKind::Public, problem_of(&pem, KeyKind::Public)))?;
        if key.is_weak() {
            return Err(not_a_key(path, KeyKind::Public, KeyProblem::Weak));
        }
        Ok(Self(key))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// What is signed.
fn message(root: &[u8; 32]) -> Vec<u8> {
    [SIGNATURE_CONTEXT, root].concat()
}

fn not_a_key(path: &Path, wanted: KeyKind, problem: KeyProblem) -> KeyFault {
    KeyFault::NotAKey {
        path: path.into(),
        wanted,
        problem,
    }
}

/// Why a PEM text that did not decode is none of the wanted kind.
fn problem_of(pem: &str, wanted: KeyKind) -> KeyProblem {
    let begins = |label: &str| pem.contains(&format!("-----BEGIN {label}-----"));
    if begins("ENCRYPTED PRIVATE KEY") {
        KeyProblem::IsEncrypted
    } else if wanted == KeyKind::Public && begins("PRIVATE KEY") {
        KeyProblem::IsPrivate
    } else if wanted == KeyKind::Private && begins("PUBLIC KEY") {
        KeyProblem::IsPublic
    } else if begins("PRIVATE KEY") || begins("PUBLIC KEY") {
        KeyProblem::Malformed
    } else {
        KeyProblem::NoPem
    }
}

/// The text of a regular file that is no longer than a key can be.
fn read(path: &Path, wanted: KeyKind) -> Result<String, KeyFault> {
    let fault = |operation, source| IoFault::new(operation, Some(path.into()), source);
    let file = Disk.open(path).map_err(|source| fault(Operation::Open, source))?;
    let mut bytes = Vec::new();
    file.take(MAX_PEM_LEN)
        .read_to_end(&mut bytes)
        .map_err(|source| fault(Operation::Read, source))?;
    if crate::wire::len_u64(bytes.len()) == MAX_PEM_LEN {
        return Err(not_a_key(path, wanted, KeyProblem::TooLong));
    }
    String::from_utf8(bytes).map_err(|_| not_a_key(path, wanted, KeyProblem::NoPem))
}

/// Writes a new file, durably, or leaves none. A private key is for its owner alone from the first moment on, where Unix
/// rights are to be had.
fn create(path: &Path, pem: &[u8], kind: KeyKind) -> Result<(), KeyFault> {
    let like = match kind {
        #[cfg(unix)]
        KeyKind::Private => Some(std::os::unix::fs::PermissionsExt::from_mode(0o600)),
        _ => None,
    };
    let written = write_atomically(&Disk, path, Existing::Refuse, Durability::Full, like, |file| {
        write_full(file, pem, 0).map_err(|error| Failure::Io(Operation::Write, error))
    });
    written.map_err(|error| match error {
        Error::Io(fault) => (*fault).into(),
        // The name is taken, or is none.
        _ => KeyFault::Exists { path: path.into() },
    })?;
    if cfg!(not(unix)) && kind == KeyKind::Private {
        log::warn!("{path:?} has the rights of its directory: see that nobody but you can read this private key");
    }
    Ok(())
}

/// The encoders write a fixed form into memory: a failure is one of memory or of this module.
fn encoding(path: &Path, error: impl std::error::Error + Send + Sync + 'static) -> KeyFault {
    IoFault::new(Operation::Write, Some(path.into()), io::Error::other(error)).into()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const ROOT: [u8; 32] = *b"0123456789abcdef0123456789ABCDEF";

    fn testdata(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/keys").join(name)
    }

    #[test]
    fn keys_go_round_and_their_signatures_verify() {
        let dir = tempfile::tempdir().unwrap();
        let (private, public) = (dir.path().join("key.pem"), dir.path().join("key.pub.pem"));
        let key = PrivateKey::generate().unwrap();
        key.save(&private).unwrap();
        key.public().save(&public).unwrap();
        let again = PrivateKey::load(&private).unwrap();
        assert_eq!(again.public(), key.public());
        assert_eq!(again.sign(&ROOT), key.sign(&ROOT), "ed25519 signs without randomness");
        let reader = PublicKey::load(&public).unwrap();
        assert_eq!(reader, key.public());
        reader.verify(&ROOT, &key.sign(&ROOT)).unwrap();
        assert_eq!(PublicKey::from_bytes(&reader.to_bytes()).unwrap(), reader);
        assert_ne!(PrivateKey::generate().unwrap().public(), reader, "two keys are two");
        assert_eq!(
            format!("{key:?}"),
            format!("PrivateKey(of {reader})"),
            "no secret in a log"
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_private_key_is_for_its_owner_alone_and_nothing_is_overwritten() {
        use std::os::unix::fs::{PermissionsExt as _, symlink};
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        let key = PrivateKey::generate().unwrap();
        key.save(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let before = fs::read(&path).unwrap();
        for refused in [key.save(&path), key.public().save(&path)] {
            let fault = refused.unwrap_err();
            assert!(matches!(fault, KeyFault::Exists { .. }), "{fault}");
            assert!(fault.to_string().contains("key.pem") && fault.to_string().contains("another name"));
        }
        assert_eq!(fs::read(&path).unwrap(), before);
        let link = dir.path().join("link.pem");
        symlink(dir.path().join("elsewhere"), &link).unwrap();
        assert!(matches!(key.save(&link).unwrap_err(), KeyFault::Exists { .. }));
        assert!(!dir.path().join("elsewhere").exists());
        let fault = key.save(&dir.path().join("no/such/dir.pem")).unwrap_err();
        assert!(
            matches!(&fault, KeyFault::Io(io) if io.operation == Operation::Create && io.leftover.is_none()),
            "{fault}"
        );
    }

    /// Every single bit: of the digest, of the signature, of the key.
    #[test]
    fn one_changed_bit_anywhere_is_refused() {
        let key = PrivateKey(SigningKey::from_bytes(&[7; 32]));
        let (public, signature) = (key.public(), key.sign(&ROOT));
        public.verify(&ROOT, &signature).unwrap();
        for bit in 0..256 {
            let mut root = ROOT;
            root[bit / 8] ^= 1 << (bit % 8);
            assert!(public.verify(&root, &signature).is_err(), "root bit {bit}");
            let mut bytes = public.to_bytes();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let other = PublicKey::from_bytes(&bytes);
            assert!(
                other.and_then(|other| other.verify(&ROOT, &signature)).is_err(),
                "key bit {bit}"
            );
        }
        for bit in 0..512 {
            let mut wrong = signature;
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(public.verify(&ROOT, &wrong).is_err(), "signature bit {bit}");
        }
    }

    #[test]
    fn a_second_encoding_of_a_signature_and_a_weak_key_are_refused() {
        let key = PrivateKey(SigningKey::from_bytes(&[7; 32]));
        let mut malleable = key.sign(&ROOT);
        // s + l, the order of the group: the same scalar to a lax verifier.
        const ORDER: [u8; 32] = [
            0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0, 0,
            0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
        ];
        let mut carry = 0;
        for (byte, order) in malleable[32..].iter_mut().zip(ORDER) {
            let sum = u16::from(*byte) + u16::from(order) + carry;
            *byte = sum as u8;
            carry = sum >> 8;
        }
        assert_eq!(carry, 0);
        assert!(key.public().verify(&ROOT, &malleable).is_err());
        // The neutral point: every message has the signature (identity, 0).
        let mut identity = [0; 32];
        identity[0] = 1;
        assert!(matches!(
            PublicKey::from_bytes(&identity),
            Err(KeyFault::InvalidPublicKey)
        ));
        assert!(matches!(
            PublicKey::from_bytes(&[0; 32]),
            Err(KeyFault::InvalidPublicKey)
        ));
    }

    #[test]
    fn a_signature_without_the_context_is_none() {
        let key = PrivateKey(SigningKey::from_bytes(&[7; 32]));
        let bare = key.0.sign(&ROOT).to_bytes();
        assert!(matches!(
            key.public().verify(&ROOT, &bare),
            Err(KeyFault::WrongSignature)
        ));
    }

    #[test]
    fn openssl_s_keys_are_read_and_its_signature_is_ours() {
        let key = PrivateKey::load(&testdata("openssl.pem")).unwrap();
        assert_eq!(PublicKey::load(&testdata("openssl.pub.pem")).unwrap(), key.public());
        let signature: [u8; 64] = fs::read(testdata("openssl.sig")).unwrap().try_into().unwrap();
        key.public().verify(&ROOT, &signature).unwrap();
        assert_eq!(key.sign(&ROOT), signature);
        // And what this module writes is what OpenSSL wrote, byte for byte.
        let dir = tempfile::tempdir().unwrap();
        let (private, public) = (dir.path().join("a"), dir.path().join("b"));
        key.save(&private).unwrap();
        key.public().save(&public).unwrap();
        assert_eq!(fs::read(private).unwrap(), fs::read(testdata("openssl.pem")).unwrap());
        assert_eq!(
            fs::read(public).unwrap(),
            fs::read(testdata("openssl.pub.pem")).unwrap()
        );
    }

    #[test]
    fn files_that_are_no_key_say_what_they_are() {
        let problem = |outcome: Result<(), KeyFault>| match outcome.unwrap_err() {
            KeyFault::NotAKey { problem, path, .. } => {
                assert!(path.is_absolute());
                problem
            }
            other => panic!("{other}"),
        };
        let private = |path: &Path| problem(PrivateKey::load(path).map(drop));
        let public = |path: &Path| problem(PublicKey::load(path).map(drop));
        assert_eq!(private(&testdata("openssl.pub.pem")), KeyProblem::IsPublic);
        assert_eq!(public(&testdata("openssl.pem")), KeyProblem::IsPrivate);
        assert_eq!(private(&testdata("encrypted.pem")), KeyProblem::IsEncrypted);
        assert_eq!(private(&testdata("x25519.pem")), KeyProblem::Malformed);
        assert_eq!(public(&testdata("weak.pub.pem")), KeyProblem::Weak);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for (bytes, expected) in [
            (&b""[..], KeyProblem::NoPem),
            (b"\xff\xfe", KeyProblem::NoPem),
            (b"-----BEGIN PUBLIC KEY-----\n", KeyProblem::Malformed),
            (&[b'-'; 1 << 20], KeyProblem::TooLong),
        ] {
            fs::write(&path, bytes).unwrap();
            assert_eq!(public(&path), expected);
        }
        // Every prefix and every changed byte of a private key is an answer, not a panic.
        let pem = fs::read(testdata("openssl.pem")).unwrap();
        let own = PrivateKey::load(&testdata("openssl.pem")).unwrap().public();
        for end in 0..pem.len() - 1 {
            fs::write(&path, &pem[..end]).unwrap();
            assert!(PrivateKey::load(&path).is_err(), "{end}");
        }
        for at in 0..pem.len() {
            let mut changed = pem.clone();
            changed[at] = changed[at].wrapping_add(1);
            fs::write(&path, &changed).unwrap();
            if let Ok(key) = PrivateKey::load(&path) {
                assert_ne!(key.public(), own, "byte {at}");
            }
        }
        let absent = PrivateKey::load(&dir.path().join("none")).unwrap_err();
        assert!(
            matches!(&absent, KeyFault::Io(io) if io.operation == Operation::Open),
            "{absent}"
        );
        assert!(
            matches!(PublicKey::load(dir.path()), Err(KeyFault::Io(_))),
            "a directory"
        );
    }
}
