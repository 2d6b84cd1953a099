//! What a version 1 index says about itself: the manifest hash, the Merkle root, trust block, signature and provenance.
//!
//! Each binds less than its name suggests. The manifest hash covers the metadata alone; the signature covers four of its
//! fields and no payload; a trust block covers the whole index, once both its hashes are computed anew, which PyFolds
//! does not do.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use blake2::Blake2b256;
use blake2::Digest as _;
use ed25519_dalek::{Signature, VerifyingKey};

use super::digest::{check, hex, sha256_hex, unhex};
use super::fault::{Finding, Kind};
use super::index::Index;
use super::keys::Keys;
use crate::json::{self, Form, Value};
use crate::seal::PublicKey;

/// Everything that is wrong with what the index says about itself.
pub(crate) fn findings(index: &Index, keys: &Keys) -> Vec<Finding> {
    let mut kinds = Vec::new();
    kinds.extend(manifest(index, keys));
    kinds.extend(merkle(index));
    if let Some(key) = &keys.public {
        kinds.extend(signature(index, key, keys));
        kinds.extend(trust_block(index, key, keys));
    }
    kinds.extend(provenance(index));
    if !index.knows_version() {
        kinds.push(Kind::UnknownVersion);
    }
    let mut findings: Vec<Finding> = kinds
        .into_iter()
        .map(|kind| Finding::new(kind, index.range.clone()))
        .collect();
    for name in missing_chunks(index) {
        findings.push(Finding::new(Kind::ChunkMissing, index.range.clone()).chunk(&name));
    }
    findings
}

/// Names in `chunk_hashes` that the table does not have.
fn missing_chunks(index: &Index) -> Vec<Box<str>> {
    let hashes = index.metadata().and_then(|metadata| metadata.get("chunk_hashes"));
    let listed = hashes.and_then(Value::as_object).unwrap_or_default();
    let names = listed.iter().map(|(name, _)| name);
    let present: std::collections::HashSet<&str> = index.entries.iter().map(|entry| &*entry.name).collect();
    names.filter(|name| !present.contains(&***name)).cloned().collect()
}

fn manifest(index: &Index, keys: &Keys) -> Option<Kind> {
    let metadata = match index.metadata() {
        Some(metadata) if metadata.get("manifest_hash").is_some() => metadata,
        _ => return Some(Kind::ManifestHashAbsent),
    };
    let stored = metadata
        .get("manifest_hash")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let digits = sha256_hex(metadata.print_without("manifest_hash", Form::SortedAscii).as_bytes());
    match check(stored, &digits, keys.integrity_key()) {
        Ok(()) => None,
        Err(kind @ (Kind::UnverifiableHmac | Kind::HmacRequired)) => Some(kind),
        Err(_) => Some(Kind::ManifestMismatch),
    }
}

fn blake2b(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Blake2b256::new();
    parts.iter().for_each(|part| hasher.update(part));
    hasher.finalize().into()
}

/// The root over name, offset and digest of every entry; none for an empty table.
pub(crate) fn merkle_root(index: &Index) -> Option<String> {
    let leaves = index.entries.iter().map(|entry| {
        let leaf = Value::object([
            ("name", Value::from(&*entry.name)),
            ("offset", Value::from(entry.offset)),
            ("sha256", Value::from(&*entry.sha256)),
        ]);
        blake2b(&[b"L", leaf.print(Form::Sorted).as_bytes()])
    });
    let mut level: Vec<[u8; 32]> = leaves.collect();
    while level.len() > 1 {
        level = level
            .chunks(2)
            .filter_map(|pair| {
                let left = pair.first()?;
                // The last of an odd number is paired with itself.
                Some(blake2b(&[b"N", left, pair.last()?]))
            })
            .collect();
    }
    level.first().map(|root| hex(root))
}

fn merkle(index: &Index) -> Option<Kind> {
    let computed = merkle_root(index)?;
    match index.value.get("merkle_root") {
        Some(stored) => (stored.as_str() != Some(&computed)).then_some(Kind::MerkleMismatch),
        None => {
            let features = index.metadata().and_then(|metadata| metadata.get("security_features"));
            let promised = features
                .and_then(|features| features.get("merkle"))
                .and_then(Value::as_bool);
            (promised == Some(true)).then_some(Kind::MerkleMissing)
        }
    }
}

/// Whether `hex_signature` over `message` is that of the key.
fn signed(key: &PublicKey, message: &[u8], hex_signature: &str) -> bool {
    let signature = unhex(hex_signature).and_then(|bytes| <[u8; 64]>::try_from(bytes).ok());
    let key = VerifyingKey::from_bytes(&key.to_bytes());
    match (key, signature) {
        (Ok(key), Some(signature)) => key.verify_strict(message, &Signature::from_bytes(&signature)).is_ok(),
        _ => false,
    }
}

/// A signature of the metadata: over model type, protection, reproducibility and tags, and nothing else.
fn signature(index: &Index, key: &PublicKey, keys: &Keys) -> Option<Kind> {
    let metadata = index.metadata()?;
    let signature = metadata.get("signature")?;
    let field = |name, absent: Value| metadata.get(name).cloned().unwrap_or(absent);
    let payload = Value::object([
        ("model_type", field("model_type", Value::Null)),
        ("protection", field("protection", Value::Null)),
        ("reproducibility", field("reproducibility", Value::Object(Vec::new()))),
        ("tags", field("tags", Value::Object(Vec::new()))),
    ]);
    let payload = payload.print(Form::Sorted);
    let text = |name| signature.get(name).and_then(Value::as_str).unwrap_or_default();
    let hashed = check(
        text("payload_sha256"),
        &sha256_hex(payload.as_bytes()),
        keys.integrity_key(),
    );
    let valid = text("algorithm") == "ed25519" && hashed.is_ok() && signed(key, payload.as_bytes(), text("value"));
    (!valid).then_some(Kind::SignatureInvalid)
}

fn trust_block(index: &Index, key: &PublicKey, keys: &Keys) -> Option<Kind> {
    let stored = index.value.get("trust_block")?;
    let Some(block) = stored.as_str().and_then(|text| json::parse(text.as_bytes()).ok()) else {
        return Some(Kind::TrustBlockInvalid);
    };
    let text = |name| block.get(name).and_then(Value::as_str).unwrap_or_default();
    let message = block.without("signature").print(Form::SortedAscii);
    if text("signature_algo") != "ed25519" || !signed(key, message.as_bytes(), text("signature")) {
        return Some(Kind::TrustBlockInvalid);
    }
    let metadata = index.metadata().cloned().unwrap_or(Value::Object(Vec::new()));
    let rest = index.value.without("metadata").without("trust_block");
    let matches = |value: &Value, stored| {
        let digits = sha256_hex(value.print(Form::SortedAscii).as_bytes());
        check(stored, &digits, keys.integrity_key()).is_ok()
    };
    let whole = matches(&metadata, text("metadata_hash")) && matches(&rest, text("index_hash"));
    (!whole).then_some(Kind::TrustBlockMismatch)
}

/// The chain of hashes over what the writer did; unkeyed, so it speaks against accidents alone.
fn provenance(index: &Index) -> Option<Kind> {
    let chain = index.metadata()?.get("provenance")?;
    whole_chain(chain).is_none().then_some(Kind::ProvenanceInvalid)
}

fn whole_chain(chain: &Value) -> Option<()> {
    let entries = chain.get("entries")?.as_array()?;
    // The oldest entries are dropped beyond the maximum: only then the chain does not begin at its beginning.
    let full = chain.get("max_entries").and_then(Value::as_u64) == Some(crate::wire::len_u64(entries.len()));
    let mut previous = (!full).then(|| "GENESIS".to_owned());
    for entry in entries {
        let before = entry.get("prev_hash")?.as_str()?;
        if previous.is_some_and(|previous| previous != before) {
            return None;
        }
        let hashed = Value::object(
            ["action", "metadata", "prev_hash", "timestamp"]
                .into_iter()
                .filter_map(|key| Some((key, entry.get(key)?.clone()))),
        );
        let hash = entry.get("entry_hash")?.as_str()?;
        if sha256_hex(hashed.print(Form::SortedAscii).as_bytes()) != hash {
            return None;
        }
        previous = Some(hash.to_owned());
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer as _, SigningKey};

    use super::super::layout::FileHeader;
    use super::*;

    fn signer() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    fn public() -> PublicKey {
        PublicKey::from_bytes(&signer().verifying_key().to_bytes()).unwrap()
    }

    fn index(metadata: Value, more: impl IntoIterator<Item = (&'static str, Value)>) -> Index {
        let own = [
            ("format", "fold".into()),
            ("version", "1.2.0".into()),
            ("chunks", Value::Array(Box::default())),
            ("metadata", metadata),
        ];
        let text = Value::object(own.into_iter().chain(more)).print(Form::SortedAscii);
        let header = FileHeader {
            index_offset: 64,
            index_len: crate::wire::len_u64(text.len()),
        };
        Index::parse(text.as_bytes(), header, 10).unwrap()
    }

    fn model(name: &str) -> Value {
        Value::object([("model_type", Value::from(name))])
    }

    /// A trust block over the index that `of` is, signed.
    fn block(of: &Index) -> Value {
        let digest = |value: &Value| Value::from(&*sha256_hex(value.print(Form::SortedAscii).as_bytes()));
        let metadata = of.metadata().unwrap();
        let rest = of.value.without("metadata").without("trust_block");
        let fields = [
            ("index_hash", digest(&rest)),
            ("metadata_hash", digest(metadata)),
            ("signature_algo", "ed25519".into()),
        ];
        let message = Value::object(fields.clone()).print(Form::SortedAscii);
        let signature = hex(&signer().sign(message.as_bytes()).to_bytes());
        let block = Value::object(fields.into_iter().chain([("signature", Value::from(&*signature))]));
        Value::from(&*block.print(Form::SortedAscii))
    }

    #[test]
    fn a_trust_block_is_of_one_index_and_its_metadata() {
        let check = |index: &Index| trust_block(index, &public(), &Keys::new());
        let blocked = |metadata, more: Option<(&'static str, Value)>, block: &Value| {
            index(metadata, more.into_iter().chain([("trust_block", block.clone())]))
        };
        let own = block(&index(model("a"), None));
        assert_eq!(check(&blocked(model("a"), None, &own)), None);
        // The signature is right, and what it is of is another index, or another file's metadata.
        let other_index = blocked(model("a"), Some(("merkle_root", "00".into())), &own);
        assert_eq!(check(&other_index), Some(Kind::TrustBlockMismatch));
        assert_eq!(check(&blocked(model("b"), None, &own)), Some(Kind::TrustBlockMismatch));
        let mut altered = own.as_str().unwrap().to_owned();
        altered = altered.replace("\"index_hash\":\"", "\"index_hash\":\"0");
        let altered = blocked(model("a"), None, &Value::from(&*altered));
        assert_eq!(check(&altered), Some(Kind::TrustBlockInvalid));
    }

    #[test]
    fn a_signature_states_what_it_is_of() {
        let signed = |stated: Option<&str>| {
            let payload = Value::object([
                ("model_type", Value::from("a")),
                ("protection", Value::Null),
                ("reproducibility", Value::Object(Vec::new())),
                ("tags", Value::Object(Vec::new())),
            ]);
            let payload = payload.print(Form::Sorted);
            let digest = sha256_hex(payload.as_bytes());
            let own = Value::object([
                ("algorithm", Value::from("ed25519")),
                ("payload_sha256", Value::from(stated.unwrap_or(&digest))),
                (
                    "value",
                    Value::from(&*hex(&signer().sign(payload.as_bytes()).to_bytes())),
                ),
            ]);
            let metadata = Value::object([("model_type", Value::from("a")), ("signature", own)]);
            signature(&index(metadata, None), &public(), &Keys::new())
        };
        assert_eq!(signed(None), None);
        assert_eq!(signed(Some(&sha256_hex(b"another"))), Some(Kind::SignatureInvalid));
    }

    /// A chain of entries with these actions, each over the one before.
    fn chain(actions: &[&str]) -> Vec<Value> {
        let mut previous = "GENESIS".to_owned();
        let entries = actions.iter().map(|action| {
            let fields = [("action", Value::from(*action)), ("prev_hash", Value::from(&*previous))];
            previous = sha256_hex(Value::object(fields.clone()).print(Form::SortedAscii).as_bytes());
            Value::object(fields.into_iter().chain([("entry_hash", Value::from(&*previous))]))
        });
        entries.collect()
    }

    #[test]
    fn a_chain_of_provenance_has_every_entry_in_its_place() {
        let whole = |entries: &[Value], most: u64| {
            let chain = Value::object([
                ("entries", Value::Array(entries.into())),
                ("max_entries", Value::from(most)),
            ]);
            provenance(&index(Value::object([("provenance", chain)]), None)).is_none()
        };
        let [first, second, third] = <[Value; 3]>::try_from(chain(&["made", "trained", "saved"])).unwrap();
        assert!(whole(&[first.clone(), second.clone(), third.clone()], 100));
        for broken in [
            vec![first.clone(), third.clone()],
            vec![second.clone(), third.clone()],
            vec![first.clone(), third.clone(), second.clone()],
        ] {
            assert!(!whole(&broken, 100), "{broken:?}");
        }
        // Where older ones were dropped, the chain begins somewhere; it must still be one.
        assert!(whole(&[second.clone(), third.clone()], 2));
        assert!(!whole(&[first, third], 2));
    }
}
