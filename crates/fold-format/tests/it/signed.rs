//! Signed files: made, trusted, and refused when anything about them is not what the key vouched for.

use std::path::Path;

use fold_format::seal::PrivateKey;
use fold_format::storage::SimDisk;
use fold_format::{
    Checkpoint, Code, Content, Depth, DigestKind, Limits, OpenOptions, TensorSource, Verdict, VerifyOptions, sign,
    verify_source,
};

use crate::content::{check, file, options};
use crate::forge::Forged;

fn sealed() -> Vec<u8> {
    let values = (0..3000_u32).collect::<Vec<_>>();
    let content = Content::new().tensors("state", [TensorSource::of("w", &[3000], &values).unwrap()]);
    file(&content, &options().block_log2(12).digest_kind(DigestKind::Blake3))
}

fn signed(source: &[u8], key: &PrivateKey) -> Result<Vec<u8>, Code> {
    let (disk, target) = (SimDisk::new(), Path::new("/d/signed.fold"));
    match sign(&disk, source, target, key, &Limits::DEFAULT) {
        Ok(_) => Ok(disk.read(target).unwrap()),
        Err(error) => {
            assert!(disk.read(target).is_err(), "a refusal leaves no file");
            Err(error.code())
        }
    }
}

fn codes(bytes: &[u8], key: &PrivateKey) -> Vec<Code> {
    let options = VerifyOptions::new().public_key(key.public());
    let report = verify_source(bytes, Depth::All, options).unwrap();
    assert_eq!(report.verdict == Verdict::Ok, report.findings.is_empty());
    let opened = Checkpoint::open_source(bytes, &OpenOptions::new().public_key(key.public()));
    let code = |finding: &fold_format::Finding| finding.code();
    let codes = report.findings.iter().map(code).collect::<Vec<_>>();
    if codes.contains(&Code::Signature) {
        assert_eq!(opened.map(drop).unwrap_err().code(), Code::Signature);
    }
    codes
}

#[test]
fn only_the_signer_s_file_is_trusted() {
    let (key, other) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
    let plain = sealed();
    let ours = signed(&plain, &key).unwrap();
    assert_eq!(
        check(&ours).verdict,
        Verdict::Ok,
        "without a key the signature must be right"
    );
    assert_eq!(codes(&ours, &key), []);
    assert_eq!(codes(&ours, &other), [Code::Signature], "another key");
    assert_eq!(codes(&plain, &key), [Code::Signature], "not signed");
    let theirs = signed(&ours, &other).unwrap();
    assert_eq!(codes(&theirs, &other), [], "a signature is replaced");
    let differing = plain.iter().zip(&ours).filter(|(one, other)| one != other).count();
    assert!(differing < 2 * 200, "only the superblocks differ, {differing} bytes");
}

#[test]
fn what_proves_nothing_is_not_signed() {
    let key = PrivateKey::generate().unwrap();
    let quick = file(&Content::new().bytes("b", b"x"), &options());
    assert_eq!(signed(&quick, &key), Err(Code::NotSealed), "xxh3");
    let mut damaged = sealed();
    damaged[20_000] ^= 1;
    assert_eq!(signed(&damaged, &key), Err(Code::BlockDigest));
}

#[test]
fn every_bit_of_a_signature_counts_and_a_stripped_one_is_noticed() {
    let key = PrivateKey::generate().unwrap();
    let ours = signed(&sealed(), &key).unwrap();
    for at in 288..392 {
        for bit in 0..8 {
            // With the superblock's own digest made right, as a forger would.
            let mut forged = Forged::new(&ours);
            forged.bytes[at] ^= 1 << bit;
            let forged = forged.seal_superblock_only().bytes;
            assert_ne!(check(&forged).verdict, Verdict::Ok, "byte {at}, bit {bit}");
        }
    }
    // The bit and the fields taken out: the root, which covers the bit, no longer matches.
    let stripped = Forged::new(&ours)
        .put(16, &[4])
        .put(288, &[0; 104])
        .seal_superblock_only();
    assert_eq!(check(&stripped.bytes).findings[0].code(), Code::RootDigest);
}
