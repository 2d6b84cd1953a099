//! Signing a file and checking signatures: what a file's root is worth.
//!
//! A signature is over the root, and the root over every byte: it says that the holder of a key vouched for exactly this
//! content, uuid and time. Nothing is signed in place; the signed file is a new one.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::path::Path;

use crate::atomic::{Failure, write_atomically};
use crate::copies::{Superblocks, read_range};
use crate::digest::Digest;
use crate::directory::{Directory, OpenMode};
use crate::error::{Error, IoFault, Misuse, Operation};
use crate::finding::{Cause, Finding, Region, SignatureProblem};
use crate::info::DigestKind;
use crate::layout::superblock as field;
use crate::limits::Limits;
use crate::options::{Durability, Existing};
use crate::report::{Depth, Verdict, VerifyOptions};
use crate::seal::{PrivateKey, PublicKey};
use crate::source::ReadAt;
use crate::storage::{Storage, StorageFile, write_full};
use crate::superblock::{RecordedSignature, Superblock, signed};
use crate::verify::verify_source;

/// Bytes that are copied at once.
const PIECE_LEN: u64 = 4 << 20;

/// What signing has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Signed {
    /// The new file's root digest. It differs from the source's: that a file is signed is one of the facts under it.
    pub root: Digest,
    /// Bytes of the file.
    pub bytes: u64,
}

/// Writes a signed copy of a sealed file under a new name; a signature that the source has is replaced.
///
/// The source is verified in full first, and the copy before it gets its name. Written as by [`save`](crate::save()) with
/// [`Durability::Full`].
///
/// # Errors
/// - [`Misuse::NotSealed`]: the digests are xxh3, a signature over them would prove nothing.
/// - [`Error::Finding`]: the source is damaged; the first finding. Nothing damaged is signed, nor what could be repaired.
/// - [`Misuse::TargetExists`], an [`IoFault`](crate::IoFault): as for a save.
pub fn sign<S: Storage, R: ReadAt + ?Sized>(
    storage: &S,
    source: &R,
    target: impl AsRef<Path>,
    key: &PrivateKey,
    limits: &Limits,
) -> Result<Signed, Error> {
    let target = target.as_ref();
    let (directory, _) = Directory::open(source, None, limits, OpenMode::Strict)?;
    if directory.superblock.digest_kind != DigestKind::Blake3 {
        return Err(Misuse::NotSealed.into());
    }
    let options = || VerifyOptions::new().limits(*limits);
    let report = verify_source(source, Depth::All, options())?;
    if let (true, Some(finding)) = (report.verdict != Verdict::Ok, report.findings.into_iter().next()) {
        return Err(finding.into());
    }
    let source_len = directory.superblock.geometry.file_len();
    let copies = Superblocks::read(source, source_len);
    let signer = |root: &Digest| {
        let mut bytes = [0; 32];
        bytes
            .iter_mut()
            .zip(root.as_bytes())
            .for_each(|(slot, &byte)| *slot = byte);
        RecordedSignature {
            public_key: key.public().to_bytes(),
            signature: key.sign(&bytes),
        }
    };
    let (superblock, root) = signed(&copies.a.bytes, &directory.superblock, &signer);
    let end = directory.superblock.geometry.superblock_b.start;
    let like = source
        .permissions()
        .map_err(|error| IoFault::new(Operation::Metadata, None, error))?;
    write_atomically(storage, target, Existing::Refuse, Durability::Full, like, |file| {
        let write = |bytes: &[u8], offset: u64| {
            write_full(file, bytes, offset).map_err(|error| Failure::Io(Operation::Write, error))
        };
        file.set_len(source_len)
            .map_err(|error| Failure::Io(Operation::SetLength, error))?;
        let mut at = crate::geometry::SUPERBLOCK_BYTES;
        while at < end {
            let piece = at..at.saturating_add(PIECE_LEN).min(end);
            match read_range(source, &piece).map_err(Failure::Other)? {
                Ok(bytes) => write(&bytes, at)?,
                Err(cause) => return Err(Failure::Other(Finding::new(cause, Region::File, piece).into())),
            }
            at = piece.end;
        }
        write(&superblock, end)?;
        write(&superblock, 0)?;
        // The source may have changed since it was verified: what gets the name is verified itself.
        let report = verify_source(file, Depth::All, options().public_key(key.public())).map_err(Failure::Other)?;
        match (report.verdict, report.findings.into_iter().next()) {
            (Verdict::Ok, _) | (_, None) => Ok(()),
            (_, Some(finding)) => Err(Failure::Other(finding.into())),
        }
    })?;
    Ok(Signed {
        root,
        bytes: source_len,
    })
}

/// What is wrong with a file's signature, if anything: a recorded one must be right, and where a key is trusted there must
/// be one, and that key's.
pub(crate) fn signature_finding(superblock: &Superblock, trusted: Option<&PublicKey>) -> Option<Finding> {
    let problem = match (&superblock.signature, trusted) {
        (None, None) => return None,
        (None, Some(_)) => SignatureProblem::Missing,
        (Some(recorded), Some(trusted)) if recorded.public_key != trusted.to_bytes() => SignatureProblem::OtherKey {
            signed_by: recorded.public_key,
        },
        (Some(recorded), _) => {
            let root = superblock.root.as_bytes().try_into().unwrap_or([0; 32]);
            let key = PublicKey::from_bytes(&recorded.public_key);
            match key.and_then(|key| key.verify(&root, &recorded.signature)) {
                Ok(()) => return None,
                Err(_) => SignatureProblem::Invalid,
            }
        }
    };
    let at = |offset: usize| crate::wire::len_u64(offset);
    let bytes = at(field::SIGNATURE_KIND.offset)..at(field::RESERVED_5.offset);
    Some(Finding::new(Cause::Signature(problem), Region::SuperblockA, bytes))
}
