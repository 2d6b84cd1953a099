//! What a container says about itself, read from its index alone: `fold inspect`, schema `fold.inspect/1`.
//!
//! The metadata are verified, the content is not: digests are shown as recorded. Only the statistics of a tensor read
//! content, and verify it.

mod foreign;

use std::borrow::Cow;
use std::path::{Path, PathBuf};

use fold_format::parity::Level;
use fold_format::{Checkpoint, Dtype, ReadAt, Tensor};
use serde::Serialize;

use crate::check::{FileKind, FindingReport, distrusted, lossy, sniff, targets, worst};
use crate::error::Error;
use crate::exit::ExitCode;
use crate::json::Int;

/// What stands beside every digest of an inspection.
const RECORDED: &str = "recorded, not checked";

/// What `fold inspect` answers, schema `fold.inspect/1`.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct InspectReport {
    /// `fold.inspect/1`.
    pub schema: &'static str,
    /// `inspect`.
    pub command: &'static str,
    /// The release that looked.
    pub tool_version: &'static str,
    /// What the command ends with.
    pub exit_code: ExitCode,
    /// `recorded, not checked`: what the digests in this report are worth.
    pub digests: &'static str,
    /// One entry per file.
    pub files: Vec<FileInspection>,
}

/// What one container says about itself.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct FileInspection {
    /// The path, as asked for; what is not UTF-8 in it is replaced.
    #[serde(serialize_with = "lossy")]
    pub path: PathBuf,
    /// `fold-v2`; none where it cannot be opened.
    pub format: Option<&'static str>,
    /// For example `2.0`.
    pub version: Option<String>,
    /// Bytes of the file.
    pub bytes: Int,
    /// How its digests are computed: `xxh3` or `blake3`.
    pub digest: Option<&'static str>,
    /// Its root digest, as recorded.
    pub root_digest: Option<String>,
    /// Its uuid, as 32 hex digits; all zero: none.
    pub uuid: Option<String>,
    /// Bytes of a block.
    pub block_bytes: Int,
    /// What it was saved with: `off`, `low`, `med`, `high`, or a count of parity blocks per group: `7 blocks`.
    pub parity: String,
    /// Blocks of parity.
    pub parity_blocks: Int,
    /// Whether it has a signature.
    pub signed: bool,
    /// The public key of the signature, as recorded: 64 hex digits.
    pub signed_by: Option<String>,
    /// Its chunks, by name.
    pub chunks: Vec<ChunkReport>,
    /// Its tensors, by name.
    pub tensors: Vec<TensorReport>,
    /// The metadata that the writer gave.
    pub metadata: serde_json::Value,
    /// Copies of the metadata that are damaged, or what kept the file from being opened.
    pub findings: Vec<FindingReport>,
    /// What more a version 1 file says about itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version_1: Option<Version1Facts>,
}

/// What more a version 1 file says about itself; recorded, not checked.
#[derive(Clone, Copy, Debug, Serialize)]
#[non_exhaustive]
pub struct Version1Facts {
    /// Which program wrote it: `1.0.2`, `2.2.0`, or an unreleased state.
    pub dialect: &'static str,
    /// Whether it is a mind, as files called `.mind` are: it has `ai_graph` or `ai_vectors`.
    pub mind: bool,
    /// Whether a chunk is encrypted.
    pub encrypted: bool,
    /// Whether it has a Merkle root over its chunk table.
    pub merkle: bool,
    /// Whether four fields of its metadata are signed.
    pub signed_fields: bool,
    /// Whether it has a signed trust block over its index.
    pub trust_block: bool,
}

/// One chunk, as the index describes it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct ChunkReport {
    /// Its name.
    pub name: String,
    /// `TENS`, `JSON` or `BYTE`; of version 1 its own type.
    pub kind: Cow<'static, str>,
    /// Where its content begins in the file.
    pub offset: Int,
    /// Bytes as stored.
    pub stored_bytes: Int,
    /// Bytes when decoded.
    pub bytes: Int,
    /// `raw`, `zstd` or `shuffle-zstd`.
    pub encoding: &'static str,
    /// Its digest, as recorded.
    pub digest: String,
}

/// One tensor, as the index describes it.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct TensorReport {
    /// Its name.
    pub name: String,
    /// For example `f32`.
    pub dtype: &'static str,
    /// Extents, slowest first.
    pub shape: Vec<Int>,
    /// The chunk that holds it.
    pub chunk: String,
    /// Where it begins in the file.
    pub offset: Int,
    /// Its bytes.
    pub bytes: Int,
    /// Its statistics, where asked for and where it has a number type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stats: Option<Stats>,
}

/// A tensor's elements in a few numbers. Minimum, maximum and mean are those of the finite elements, none where there is
/// none.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Elements.
    pub count: Int,
    /// NaN or infinite ones.
    pub non_finite: Int,
    /// Those equal to zero.
    pub zeros: Int,
    /// The smallest.
    pub min: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
    /// Their mean.
    pub mean: Option<f64>,
}

/// What an inspection looks at beyond the index.
#[derive(Clone, Debug, Default)]
pub struct InspectOptions {
    /// Only the tensor of this name.
    pub tensor: Option<String>,
    /// Reads and verifies the listed tensors and adds their statistics.
    pub stats: bool,
    /// What version 1 files may need; with a public key, a file must have a signature by it.
    pub keys: fold_format::v1::Keys,
}

/// Reads the index of a file, or of every checkpoint of a directory.
///
/// Any bytes may be in the files. A file that cannot be opened has an entry with the finding that says why.
///
/// # Errors
/// `FOLD-E0005` there is no tensor of the name asked for; what reading a tensor for its statistics answers.
pub fn inspect(path: &Path, options: &InspectOptions) -> Result<InspectReport, Error> {
    let mut exits = Vec::new();
    let mut files = Vec::new();
    let closed = |path: &Path, finding: FindingReport| FileInspection {
        path: path.into(),
        parity: parity_name(None),
        findings: vec![finding],
        ..FileInspection::default()
    };
    match targets::expand(path) {
        Ok(found) => {
            for target in found {
                if let Some(finding) = distrusted(&target, &options.keys)? {
                    exits.push(finding.code.exit());
                    files.push(closed(&target, finding));
                    continue;
                }
                let kind = sniff(&target);
                if kind != FileKind::Other {
                    match foreign::describe(kind, &target, options) {
                        Ok(described) => files.push(described),
                        Err(error) => {
                            let finding = error.finding(&target).ok_or(error)?;
                            exits.push(finding.code.exit());
                            files.push(closed(&target, finding));
                        }
                    }
                    continue;
                }
                match Checkpoint::open(&target) {
                    Ok(checkpoint) => files.push(describe(&target, &checkpoint, options)?),
                    Err(error) => {
                        let finding = FindingReport::of_error(&error, &target);
                        exits.push(finding.code.exit());
                        files.push(closed(&target, finding));
                    }
                }
            }
        }
        Err(finding) => {
            exits.push(finding.code.exit());
            files.push(closed(path, *finding));
        }
    }
    Ok(InspectReport {
        schema: "fold.inspect/1",
        command: "inspect",
        tool_version: env!("CARGO_PKG_VERSION"),
        exit_code: worst(exits.into_iter()),
        digests: RECORDED,
        files,
    })
}

fn describe<S: ReadAt>(
    path: &Path,
    checkpoint: &Checkpoint<S>,
    options: &InspectOptions,
) -> Result<FileInspection, Error> {
    let failed = |error| Error::of(path, error);
    let info = checkpoint.info();
    let chunks = checkpoint.chunks().map(|chunk| ChunkReport {
        name: chunk.name.to_owned(),
        kind: chunk.kind.as_str().into(),
        offset: Int(chunk.offset),
        stored_bytes: Int(chunk.stored_bytes),
        bytes: Int(chunk.bytes),
        encoding: chunk.encoding.as_str(),
        digest: chunk.digest.to_string(),
    });
    let mut listed = match &options.tensor {
        Some(name) => vec![checkpoint.tensor_info(name).map_err(failed)?],
        None => checkpoint.tensors().map_err(failed)?.collect(),
    };
    let tensors = listed.drain(..).map(|tensor| {
        let stats = match options.stats {
            true => stats(&checkpoint.tensor(tensor.name).map_err(failed)?).map_err(failed)?,
            false => None,
        };
        Ok(TensorReport {
            name: tensor.name.to_owned(),
            dtype: tensor.dtype.as_str(),
            shape: tensor.shape.extents().iter().copied().map(Int).collect(),
            chunk: tensor.chunk.to_owned(),
            offset: Int(tensor.offset),
            bytes: Int(tensor.bytes),
            stats,
        })
    });
    Ok(FileInspection {
        path: path.into(),
        format: Some("fold-v2"),
        version: Some(format!("{}.{}", info.version_major, info.version_minor)),
        bytes: Int(info.file_bytes),
        digest: Some(info.digest_kind.as_str()),
        root_digest: Some(info.root.to_string()),
        uuid: Some(format!("{:032x}", u128::from_be_bytes(info.uuid))),
        block_bytes: Int(info.block_bytes),
        parity: parity_name(info.parity.map(|parity| parity.level)),
        parity_blocks: Int(info.parity.map_or(0, |parity| parity.grouping.parity_blocks())),
        signed: info.signed_by.is_some(),
        signed_by: info
            .signed_by
            .map(|key| key.iter().map(|byte| format!("{byte:02x}")).collect()),
        chunks: chunks.collect(),
        tensors: tensors.collect::<Result<_, Error>>()?,
        // The writer refuses metadata that is no JSON object; a file of another writer is shown as text.
        metadata: serde_json::from_str(checkpoint.metadata())
            .unwrap_or_else(|_| serde_json::Value::String(checkpoint.metadata().to_owned())),
        findings: checkpoint
            .findings()
            .iter()
            .map(|finding| FindingReport::of(finding, path, finding.repairable))
            .collect(),
        version_1: None,
    })
}

fn parity_name(level: Option<Level>) -> String {
    match level {
        None => "off".to_owned(),
        Some(Level::Low) => "low".to_owned(),
        Some(Level::Medium) => "med".to_owned(),
        Some(Level::High) => "high".to_owned(),
        Some(Level::Blocks(count)) => format!("{count} blocks"),
        Some(_) => "unknown".to_owned(),
    }
}

/// None for `bool` and for the half-width floats, which Rust has no stable type for.
fn stats(tensor: &Tensor) -> Result<Option<Stats>, fold_format::Error> {
    macro_rules! over {
        ($($dtype:ident $type:ty)+) => {
            match tensor.dtype() {
                $(Dtype::$dtype => Some(summed(tensor.as_slice::<$type>()?.iter().map(|&x| x as f64))),)+
                _ => None,
            }
        };
    }
    Ok(over! { U8 u8 I8 i8 U16 u16 I16 i16 U32 u32 I32 i32 U64 u64 I64 i64 F32 f32 F64 f64 })
}

fn summed(elements: impl Iterator<Item = f64>) -> Stats {
    let mut sum = Sum::default();
    elements.for_each(|element| sum.add(element));
    sum.stats()
}

/// The statistics of elements so far.
#[derive(Clone, Copy, Debug)]
struct Sum {
    count: u64,
    finite: u64,
    zeros: u64,
    min: f64,
    max: f64,
    sum: f64,
}

impl Default for Sum {
    fn default() -> Self {
        Self {
            count: 0,
            finite: 0,
            zeros: 0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
            sum: 0.0,
        }
    }
}

impl Sum {
    fn add(&mut self, element: f64) {
        self.count += 1;
        if element.is_finite() {
            self.finite += 1;
            self.zeros += u64::from(element == 0.0);
            self.min = self.min.min(element);
            self.max = self.max.max(element);
            self.sum += element;
        }
    }

    fn stats(self) -> Stats {
        let of_finite = |value: f64| (self.finite > 0 && value.is_finite()).then_some(value);
        Stats {
            count: Int(self.count),
            non_finite: Int(self.count - self.finite),
            zeros: Int(self.zeros),
            min: of_finite(self.min),
            max: of_finite(self.max),
            mean: of_finite(self.sum / self.finite as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_leave_out_what_is_not_finite() {
        let stats = summed([1.0, 0.0, f64::NAN, -4.0, f64::INFINITY].into_iter());
        assert_eq!((stats.count, stats.non_finite, stats.zeros), (Int(5), Int(2), Int(1)));
        assert_eq!((stats.min, stats.max, stats.mean), (Some(-4.0), Some(1.0), Some(-1.0)));
        let empty = summed([f64::NAN].into_iter());
        assert_eq!((empty.min, empty.mean), (None, None));
    }
}
