//! An open version 1 file: what its index says, and its payloads, verified when they are read.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::fs::File as StdFile;
use std::ops::Range;
use std::path::Path;

use super::chunk::{Examiner, Found, Payload, Standing};
use super::content::{self, Located};
use super::digest::DigestForm;
use super::fault::Finding;
use super::frame::Keep;
use super::index::{Entry, Index};
use super::keys::Keys;
use super::layout::MAGIC;
use super::trust;
use super::verify::read_index;
use crate::checkpoint::open_regular;
use crate::error::{Error, IoFault, Misuse, Operation};
use crate::json::Value;
use crate::limits::Limits;
use crate::source::ReadAt;

/// Whether bytes begin like a version 1 file.
#[must_use]
pub fn is_version_1(start: &[u8]) -> bool {
    start.starts_with(&MAGIC)
}

/// Which program wrote a file, by what it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// Unreleased, before the manifest hash.
    PreManifest,
    /// PyFolds 1.0.1 and 1.0.2.
    PyFolds1,
    /// Unreleased states on the way to 2.2.
    PyFolds2Early,
    /// PyFolds 2.2.
    PyFolds2,
}

impl Dialect {
    /// `pre-manifest`, `1.0.2`, `2.0-git` or `2.2.0`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PreManifest => "pre-manifest",
            Self::PyFolds1 => "1.0.2",
            Self::PyFolds2Early => "2.0-git",
            Self::PyFolds2 => "2.2.0",
        }
    }
}

/// What the index says about the file; recorded, not checked.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// The index's version.
    pub version: Box<str>,
    /// Which program wrote it.
    pub dialect: Dialect,
    /// Whether it is a mind: it has `ai_graph` or `ai_vectors`.
    pub is_mind: bool,
    /// How its digests are written: `sha256` or `hmac-sha256`.
    pub digest: &'static str,
    /// Whether four fields of the metadata are signed.
    pub signed: bool,
    /// Whether it has a trust block over its index.
    pub trust_block: bool,
    /// Whether it has a Merkle root over its chunk table.
    pub merkle: bool,
    /// Whether a chunk is encrypted.
    pub encrypted: bool,
    /// The parity of its chunks: `none` or `rs(n)`, the first that is not `none`.
    pub parity: Box<str>,
    /// Bytes of the file.
    pub file_bytes: u64,
}

impl Info {
    pub(crate) fn of(index: &Index, file_bytes: u64) -> Self {
        let metadata = index.metadata();
        let has = |key| metadata.is_some_and(|metadata| metadata.get(key).is_some());
        let form = index.entries.first().map(|entry| DigestForm::of(&entry.sha256));
        let ctype = |ctype: &str| index.entries.iter().any(|entry| &*entry.ctype == ctype);
        let dialect = if has("security_level") {
            Dialect::PyFolds2
        } else if matches!(form, Some(DigestForm::Prefixed | DigestForm::Keyed)) || ctype("STEN") {
            Dialect::PyFolds2Early
        } else if has("manifest_hash") {
            Dialect::PyFolds1
        } else {
            Dialect::PreManifest
        };
        let mut parities = index.entries.iter().map(|entry| &entry.ecc_algo);
        Self {
            version: index.version.clone(),
            dialect,
            is_mind: index
                .entries
                .iter()
                .any(|entry| matches!(&*entry.name, "ai_graph" | "ai_vectors")),
            digest: match form {
                Some(DigestForm::Keyed) => "hmac-sha256",
                _ => "sha256",
            },
            signed: has("signature"),
            trust_block: index.value.get("trust_block").is_some(),
            merkle: index.value.get("merkle_root").is_some(),
            encrypted: index.entries.iter().any(|entry| entry.encrypted),
            parity: parities
                .find(|algorithm| &***algorithm != "none")
                .cloned()
                .unwrap_or("none".into()),
            file_bytes,
        }
    }

    /// What nothing in the file protects, once everything that was found to be there has been checked with `keys`.
    pub(crate) fn unprotected(&self, keys: &Keys) -> Vec<&'static str> {
        let trusted = self.trust_block && keys.public.is_some();
        let mut unprotected = vec!["file header and parity have no digest"];
        if !trusted {
            unprotected.push("created_at_unix, version and the presence of hashes have no digest");
            unprotected.push("chunk types, flags and lengths have two copies and no digest");
            if self.digest == "sha256" {
                unprotected.push("no digest is authenticated, so none speaks against tampering");
            }
        }
        if self.signed {
            unprotected.push("the signature covers model_type, protection, reproducibility and tags, and no payload");
        }
        unprotected
    }
}

/// The entry of a name.
pub(crate) fn entry<'a>(index: &'a Index, name: &str) -> Result<&'a Entry, Error> {
    index
        .entry(name)
        .ok_or_else(|| Misuse::NoSuchChunk { name: name.into() }.into())
}

/// An open version 1 file. Its index is sound in itself; a payload is verified when it is read.
#[derive(Debug)]
pub struct File<S = StdFile> {
    source: S,
    /// Where it was opened by it: errors name it.
    path: Option<Box<Path>>,
    index: Index,
    keys: Keys,
    limits: Limits,
    info: Info,
}

impl File {
    /// Opens a file and reads its index.
    ///
    /// # Errors
    /// [`Error::Version1`] with what is wrong; the path is absent, no regular file or cannot be opened.
    pub fn open(path: impl AsRef<Path>, keys: Keys, limits: Limits) -> Result<Self, Error> {
        let path = path.as_ref();
        let file = Self::open_source(open_regular(path)?, keys, limits).map_err(|error| error.about(Some(path)))?;
        Ok(Self {
            path: Some(path.into()),
            ..file
        })
    }
}

impl<S: ReadAt> File<S> {
    /// As [`File::open`], for any source of positioned reads.
    ///
    /// # Errors
    /// As [`File::open`].
    pub fn open_source(source: S, keys: Keys, limits: Limits) -> Result<Self, Error> {
        let len = source
            .len()
            .map_err(|error| IoFault::new(Operation::Metadata, None, error))?;
        let index = read_index(&source, len, &limits)?;
        let info = Info::of(&index, len);
        Ok(Self {
            source,
            path: None,
            index,
            keys,
            limits,
            info,
        })
    }

    /// What the index says about the file.
    pub const fn info(&self) -> &Info {
        &self.info
    }

    /// The chunks, in the order of the table.
    pub fn chunks(&self) -> &[Entry] {
        &self.index.entries
    }

    /// The metadata of the index; none where it has none.
    pub fn metadata(&self) -> Option<&Value> {
        self.index.metadata()
    }

    /// The whole index.
    pub const fn index(&self) -> &Value {
        &self.index.value
    }

    /// What is wrong with what the index says about itself: hashes, root, trust block, signature.
    #[must_use]
    pub fn findings(&self) -> Vec<Finding> {
        trust::findings(&self.index, &self.keys)
    }

    /// A chunk's payload, its digests checked, through its parity where they fail and it restores them.
    ///
    /// # Errors
    /// [`Misuse::NoSuchChunk`]; [`Error::Version1`] with the first thing that is wrong with it.
    pub fn payload(&self, name: &str) -> Result<Payload, Error> {
        let entry = entry(&self.index, name)?;
        let examiner = self.examiner();
        let examined = examiner.examine(entry, Keep::All);
        let payload = match (examined.standing, examined.payload) {
            (Standing::Ok | Standing::Repaired, Some(Found::Memory(bytes))) => Ok(Payload(bytes)),
            (Standing::Ok | Standing::Repaired, Some(Found::InFile(range))) => examiner
                .read(&range)
                .map(Payload)
                .map_err(|error| IoFault::new(Operation::Read, None, error).into()),
            _ => Err(match examined.findings.into_iter().next() {
                Some(finding) => Error::Version1(Box::new(finding)),
                None => Misuse::NoSuchChunk { name: name.into() }.into(),
            }),
        };
        payload.map_err(|error| error.about(self.path.as_deref()))
    }

    /// Where a chunk's payload lies in the file, its digests checked. None where it is compressed, encrypted, or had to be
    /// restored: [`File::payload`] has it then.
    ///
    /// # Errors
    /// As [`File::payload`].
    pub fn payload_place(&self, name: &str) -> Result<Option<Range<u64>>, Error> {
        let entry = entry(&self.index, name)?;
        if entry.encrypted || entry.flags == 1 {
            return Ok(None);
        }
        let examined = self.examiner().examine(entry, Keep::All);
        match (examined.standing, examined.payload) {
            (Standing::Ok, Some(Found::InFile(range))) => Ok(Some(range)),
            _ => Ok(None),
        }
    }

    /// Where the tensors of a chunk lie in the file, the chunk's digests checked. None where they do not lie there as they
    /// are, or there are none: [`File::payload`] and [`Content::read`](super::Content::read) have them then.
    ///
    /// # Errors
    /// As [`File::payload`]; what is wrong inside of the chunk.
    pub fn locate(&self, name: &str) -> Result<Option<Located>, Error> {
        let ctype = &entry(&self.index, name)?.ctype;
        match self.payload_place(name)? {
            Some(place) => Ok(content::locate(ctype, &place, &self.source)?),
            None => Ok(None),
        }
    }

    /// The payload of a chunk whose two headers differ, by the one that its digests agree with. None where neither does.
    #[must_use]
    pub fn salvage(&self, name: &str) -> Option<Payload> {
        self.examiner().salvage(entry(&self.index, name).ok()?).map(Payload)
    }

    pub(crate) fn examiner(&self) -> Examiner<'_, S> {
        Examiner {
            source: &self.source,
            index: &self.index,
            keys: &self.keys,
            limits: &self.limits,
        }
    }
}
