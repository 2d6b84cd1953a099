//! What two files of any format differ in.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::path::Path;

use fold_format::Dtype;
use fold_format::json::{Form, Value};
use fold_format::v1::Keys;
use serde::Serialize;

use super::document::{Body, Document, Part};
use super::neurons::{self, StateForm};
use super::tensor::{Bytes, Tensor, same_bytes, windows};
use crate::error::Error;
use crate::exit::ExitCode;
use crate::json::Int;

/// When two elements count as equal.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Tolerance {
    /// When their bits are.
    Bitwise,
    /// When both are finite and |a - b| <= atol + rtol |b|; NaN equals NaN, an infinity itself. The difference of integers is
    /// exact.
    Within {
        /// Absolute.
        atol: f64,
        /// Relative to the second file.
        rtol: f64,
    },
}

impl Tolerance {
    /// |a - b| <= atol + rtol |b|.
    #[must_use]
    pub const fn within(atol: f64, rtol: f64) -> Self {
        Self::Within { atol, rtol }
    }
}

/// What two files differ in, schema `fold.diff/1`.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct DiffReport {
    /// `fold.diff/1`.
    pub schema: &'static str,
    /// `diff`.
    pub command: &'static str,
    /// What the command ends with: 0 equal, 1 different.
    pub exit_code: ExitCode,
    /// Whether the tensors are, and, where both files are of one format, metadata and other chunks too.
    pub equal: bool,
    /// `arrays` where one file has the state of its neurons as arrays and the other as PyFolds' dict: the dict was laid out as
    /// arrays too, and `tensors` names these. None where both were compared as they are.
    pub state: Option<&'static str>,
    /// The tensors.
    pub tensors: TensorsDiff,
    /// Metadata, and chunks that are no tensors.
    pub metadata: MetadataDiff,
}

/// Tensors that differ.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct TensorsDiff {
    /// Those of the second file alone.
    pub added: Vec<String>,
    /// Those of the first file alone.
    pub removed: Vec<String>,
    /// Those of both that differ.
    pub changed: Vec<Changed>,
}

/// One tensor that differs.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Changed {
    /// Its name.
    pub name: String,
    /// `dtype`, `shape` or `values`.
    pub reason: &'static str,
    /// The largest |a - b|; none where values were not compared, or one of them is not finite.
    pub max_abs: Option<f64>,
    /// The largest |a - b| / |b|; as `max_abs`, and none where b is zero.
    pub max_rel: Option<f64>,
    /// Elements that differ.
    pub differing: Option<Int>,
}

/// What else differs.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct MetadataDiff {
    /// Whether it was compared: only files of one format have comparable metadata.
    pub compared: bool,
    /// Keys of the metadata that differ or are in one file alone; `CHUNK.KEY` of what stands beside the tensors of a state,
    /// for example `torch_state.mode`.
    pub changed: Vec<String>,
    /// Chunks that are no tensors and differ; those that are in one file alone; chunks of tensors that hold others of the
    /// tensors that both files have.
    pub chunks: Vec<String>,
    /// Chunks whose types differ: of files from version 1 as these have them, of others whether they are tensors, JSON or
    /// bytes.
    pub types: Vec<String>,
    /// States of torch (`TSAV`) whose tensors come in another order: a state dict is ordered.
    pub order: Vec<String>,
}

/// Compares two files. Both are verified in full first.
///
/// # Errors
/// [`Error::SourceDamaged`] with the first thing that is wrong; `FOLD-E0804` and the like for what is inside a chunk;
/// `FOLD-E0801` where two tensors of one file have one name, so that it is not said which one to compare.
pub fn diff(first: &Path, second: &Path, tolerance: Tolerance, keys: &Keys) -> Result<DiffReport, Error> {
    let (mut a, mut b) = (Document::load(first, keys)?, Document::load(second, keys)?);
    a.unique(first, |_| true)?;
    b.unique(second, |_| true)?;
    let state = arrange_alike(&mut a, &mut b)?.then_some("arrays");
    let tensors = tensors(&a, &b, tolerance)?;
    let metadata = metadata(&a, &b).map_err(super::unread)?;
    let equal = tensors.added.is_empty()
        && tensors.removed.is_empty()
        && tensors.changed.is_empty()
        && metadata.changed.is_empty()
        && metadata.chunks.is_empty()
        && metadata.types.is_empty()
        && metadata.order.is_empty();
    Ok(DiffReport {
        schema: "fold.diff/1",
        command: "diff",
        exit_code: if equal { ExitCode::Done } else { ExitCode::No },
        equal,
        state,
        tensors,
        metadata,
    })
}

/// Lays the neurons of one document out as arrays where the other has theirs so, and says whether it did: where that gives
/// both more names in common.
fn arrange_alike(a: &mut Document, b: &mut Document) -> Result<bool, Error> {
    let before = in_common(a, b);
    if before == a.tensors().count() || before == b.tensors().count() {
        return Ok(false);
    }
    let arranged = |document: &Document| {
        let mut document = document.clone();
        let report = neurons::arrange(&mut document, StateForm::Arrays)?;
        Ok::<_, Error>(report.map(|_| document))
    };
    match (arranged(a)?, arranged(b)?) {
        (Some(arrays), None) if in_common(&arrays, b) > before => *a = arrays,
        (None, Some(arrays)) if in_common(a, &arrays) > before => *b = arrays,
        _ => return Ok(false),
    }
    Ok(true)
}

/// How many names of tensors are in both.
fn in_common(a: &Document, b: &Document) -> usize {
    let names: HashSet<&str> = a.tensors().map(|tensor| tensor.name.as_str()).collect();
    b.tensors()
        .filter(|tensor| names.contains(tensor.name.as_str()))
        .count()
}

fn tensors(a: &Document, b: &Document, tolerance: Tolerance) -> Result<TensorsDiff, Error> {
    let by_name = |document: &'_ Document| -> BTreeMap<String, Tensor> {
        document
            .tensors()
            .map(|tensor| (tensor.name.clone(), tensor.clone()))
            .collect()
    };
    let (a, b) = (by_name(a), by_name(b));
    let mut found = TensorsDiff::default();
    for (name, first) in &a {
        match b.get(name) {
            None => found.removed.push(name.clone()),
            Some(second) => found
                .changed
                .extend(changed(first, second, tolerance).map_err(super::unread)?),
        }
    }
    found
        .added
        .extend(b.keys().filter(|name| !a.contains_key(*name)).cloned());
    Ok(found)
}

/// Elements that differ, and how far they are apart.
struct Apart {
    tolerance: Tolerance,
    differing: u64,
    max_abs: Option<f64>,
    max_rel: Option<f64>,
}

impl Apart {
    /// Compares elements of `dtype`, as many of the one as of the other.
    fn add(&mut self, dtype: Dtype, a: &[u8], b: &[u8]) {
        let size = usize::try_from(dtype.size_bytes()).unwrap_or(1);
        for (x, y) in a.chunks(size).zip(b.chunks(size)) {
            if x == y {
                continue;
            }
            let integers = integer(dtype, x).zip(integer(dtype, y));
            let (x, y) = (number(dtype, x), number(dtype, y));
            let apart = match integers {
                Some((x, y)) => x.abs_diff(y) as f64,
                None => (x - y).abs(),
            };
            let close = match self.tolerance {
                Tolerance::Bitwise => false,
                // Any tolerance relative to an infinity is infinite: what is not finite is close to itself alone.
                Tolerance::Within { atol, rtol } if x.is_finite() && y.is_finite() => apart <= atol + rtol * y.abs(),
                Tolerance::Within { .. } => x == y || (x.is_nan() && y.is_nan()),
            };
            if close {
                continue;
            }
            self.differing += 1;
            let finite = apart.is_finite();
            self.max_abs = self.max_abs.filter(|_| finite).map(|max| max.max(apart));
            let relative = apart / y.abs();
            self.max_rel = self
                .max_rel
                .filter(|_| relative.is_finite())
                .map(|max| max.max(relative));
        }
    }
}

fn changed(a: &Tensor, b: &Tensor, tolerance: Tolerance) -> io::Result<Option<Changed>> {
    let reason = |reason| Changed {
        name: a.name.clone(),
        reason,
        max_abs: None,
        max_rel: None,
        differing: None,
    };
    if a.dtype != b.dtype {
        return Ok(Some(reason("dtype")));
    }
    if a.shape != b.shape {
        return Ok(Some(reason("shape")));
    }
    let mut apart = Apart {
        tolerance,
        differing: 0,
        max_abs: Some(0.0),
        max_rel: Some(0.0),
    };
    let dtype = a.dtype;
    windows(&a.bytes, &b.bytes, |a, b| {
        if a != b {
            apart.add(dtype, a, b);
        }
        true
    })?;
    Ok((apart.differing > 0).then(|| Changed {
        max_abs: apart.max_abs,
        max_rel: apart.max_rel,
        differing: Some(Int(apart.differing)),
        ..reason("values")
    }))
}

/// One element of a dtype of integers.
fn integer(dtype: Dtype, bytes: &[u8]) -> Option<i128> {
    macro_rules! exactly {
        ($type:ty) => {
            bytes
                .try_into()
                .ok()
                .map(|bytes| <$type>::from_le_bytes(bytes).into())
        };
    }
    match dtype {
        Dtype::Bool | Dtype::U8 => exactly!(u8),
        Dtype::I8 => exactly!(i8),
        Dtype::U16 => exactly!(u16),
        Dtype::I16 => exactly!(i16),
        Dtype::U32 => exactly!(u32),
        Dtype::I32 => exactly!(i32),
        Dtype::U64 => exactly!(u64),
        Dtype::I64 => exactly!(i64),
        _ => None,
    }
}

/// One element as a double. Integers beyond 2^53 are rounded: how far two are apart, [`integer`] says.
pub(crate) fn number(dtype: Dtype, bytes: &[u8]) -> f64 {
    macro_rules! as_double {
        ($type:ty) => {
            bytes
                .try_into()
                .map_or(f64::NAN, |bytes| <$type>::from_le_bytes(bytes) as f64)
        };
    }
    match dtype {
        Dtype::Bool | Dtype::U8 => as_double!(u8),
        Dtype::I8 => as_double!(i8),
        Dtype::U16 => as_double!(u16),
        Dtype::I16 => as_double!(i16),
        Dtype::U32 => as_double!(u32),
        Dtype::I32 => as_double!(i32),
        Dtype::U64 => as_double!(u64),
        Dtype::I64 => as_double!(i64),
        Dtype::F32 => as_double!(f32),
        Dtype::F64 => as_double!(f64),
        Dtype::Bf16 => bytes.try_into().map_or(f64::NAN, |bytes| {
            f32::from_bits(u32::from(u16::from_le_bytes(bytes)) << 16).into()
        }),
        Dtype::F16 => bytes
            .try_into()
            .map_or(f64::NAN, |bytes| half(u16::from_le_bytes(bytes))),
        _ => f64::NAN,
    }
}

/// An IEEE 754 half as a double: exact.
fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1F), f64::from(bits & 0x3FF));
    // Powers of two are exact, so no function of the platform's is involved.
    let power = |exponent: i32| f64::from_bits(u64::from((exponent + 1023).unsigned_abs()) << 52);
    sign * match exponent {
        0 => fraction * power(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + fraction) * power(exponent - 25),
    }
}

fn metadata(a: &Document, b: &Document) -> io::Result<MetadataDiff> {
    if a.origin != b.origin {
        return Ok(MetadataDiff::default());
    }
    let chunks = |document: &'_ Document| -> BTreeMap<String, Bytes> {
        let others = document.parts.iter().filter_map(|part| match &part.body {
            Body::Text(text) => Some((part.name.clone(), Bytes::of(text.clone().into_bytes()))),
            Body::Bytes(bytes) => Some((part.name.clone(), bytes.clone())),
            Body::Tensors { .. } => None,
        });
        others.collect()
    };
    let (first, second) = (chunks(a), chunks(b));
    let mut differing_chunks = BTreeSet::new();
    for name in first.keys().chain(second.keys()).collect::<BTreeSet<_>>() {
        let equal = match (first.get(name), second.get(name)) {
            (Some(first), Some(second)) => same_bytes(first, second)?,
            _ => false,
        };
        if !equal {
            differing_chunks.insert(name.clone());
        }
    }
    let mut found = MetadataDiff {
        compared: true,
        changed: differing(&keys(a), &keys(b)),
        ..MetadataDiff::default()
    };
    // In safetensors and npz nobody names chunks.
    let from_version_1 = a.origin == "fold-v1";
    if from_version_1 || a.origin == "fold-v2" {
        let (first, second) = (parts(a), parts(b));
        let (of_first, of_second) = (chunk_of_tensor(a), chunk_of_tensor(b));
        for (tensor, chunk) in &of_first {
            if let Some(other) = of_second.get(tensor).filter(|other| *other != chunk) {
                differing_chunks.extend([chunk, other].map(|&name| name.to_owned()));
            }
        }
        for name in first.keys().chain(second.keys()).collect::<BTreeSet<_>>() {
            match (first.get(name), second.get(name)) {
                (Some(first), Some(second)) => {
                    let types = [first, second].map(|part| match from_version_1 {
                        true => part.ctype.as_deref(),
                        false => Some(kind(part)),
                    });
                    if types[0] != types[1] {
                        found.types.push((*name).to_owned());
                    } else if from_version_1 && is_reordered(first, second) {
                        found.order.push((*name).to_owned());
                    }
                }
                _ => {
                    differing_chunks.insert((*name).to_owned());
                }
            }
        }
    }
    found.chunks = differing_chunks.into_iter().collect();
    Ok(found)
}

/// Everything under a key: of the file's metadata, and of what stands beside the tensors of its chunks.
fn keys(document: &Document) -> BTreeMap<String, String> {
    let own = document.metadata.as_ref().and_then(Value::as_object);
    let own = own
        .unwrap_or_default()
        .iter()
        .map(|(key, value)| (key.to_string(), value));
    let beside = document.parts.iter().flat_map(|part| {
        let others = match &part.body {
            Body::Tensors { others, .. } => others.as_slice(),
            _ => &[],
        };
        others
            .iter()
            .map(|(key, value)| (format!("{}.{key}", part.name), value))
    });
    own.chain(beside)
        .map(|(key, value)| (key, value.print(Form::SortedAscii)))
        .collect()
}

fn parts(document: &Document) -> BTreeMap<&str, &Part> {
    document.parts.iter().map(|part| (part.name.as_str(), part)).collect()
}

/// The name of the chunk that each tensor is in.
fn chunk_of_tensor(document: &Document) -> HashMap<&str, &str> {
    let tensors = document.parts.iter().flat_map(|part| {
        let tensors = match &part.body {
            Body::Tensors { tensors, .. } => tensors.as_slice(),
            _ => &[],
        };
        tensors.iter().map(|tensor| (tensor.name.as_str(), part.name.as_str()))
    });
    tensors.collect()
}

/// What a chunk of version 2 is.
fn kind(part: &Part) -> &'static str {
    match &part.body {
        Body::Tensors { .. } => "TENS",
        Body::Text(_) => "JSON",
        Body::Bytes(_) => "BYTE",
    }
}

/// Whether two states have the tensors that are in both in different orders.
fn is_reordered(a: &Part, b: &Part) -> bool {
    let (Body::Tensors { tensors: first, .. }, Body::Tensors { tensors: second, .. }) = (&a.body, &b.body) else {
        return false;
    };
    let names = |tensors: &[Tensor]| tensors.iter().map(|tensor| tensor.name.clone()).collect::<HashSet<_>>();
    let (of_first, of_second) = (names(first), names(second));
    let common = |tensor: &&Tensor| of_first.contains(&tensor.name) && of_second.contains(&tensor.name);
    let (first, second) = (first.iter().filter(common), second.iter().filter(common));
    a.ctype.as_deref() == Some("TSAV") && first.zip(second).any(|(first, second)| first.name != second.name)
}

/// Keys that have different values, or are in one map alone.
fn differing<V: PartialEq>(a: &BTreeMap<String, V>, b: &BTreeMap<String, V>) -> Vec<String> {
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    names
        .into_iter()
        .filter(|name| a.get(*name) != b.get(*name))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_read_exactly() {
        for (bits, value) in [
            (0x3C00, 1.0),
            (0xC000, -2.0),
            (0x0001, 5.960_464_477_539_063e-8),
            (0x7BFF, 65504.0),
            (0x0000, 0.0),
            (0x7C00, f64::INFINITY),
            (0x3555, 0.333_251_953_125),
        ] {
            assert_eq!(half(bits), value, "{bits:04x}");
        }
        assert!(half(0x7E00).is_nan());
    }

    #[test]
    fn tolerance_counts_what_is_beyond_it() {
        let array = |values: &[f32]| Tensor {
            name: "a".into(),
            dtype: Dtype::F32,
            shape: fold_format::Shape::new(&[values.len() as u64]).unwrap(),
            bytes: Bytes::of(values.iter().flat_map(|value| value.to_le_bytes()).collect()),
        };
        let (a, b) = (
            array(&[1.0, 2.0, f32::NAN]),
            array(&[1.0, 2.5, f32::from_bits(0x7FC0_0001)]),
        );
        let bitwise = changed(&a, &b, Tolerance::Bitwise).unwrap().unwrap();
        assert_eq!((bitwise.differing, bitwise.max_abs), (Some(Int(2)), None));
        let within = |atol| changed(&a, &b, Tolerance::Within { atol, rtol: 0.0 }).unwrap();
        let found = within(0.1).unwrap();
        assert_eq!(
            (found.differing, found.max_abs, found.max_rel),
            (Some(Int(1)), Some(0.5), Some(0.2))
        );
        assert!(within(0.5).is_none());
    }

    fn array_of(dtype: Dtype, elements: &[&[u8]]) -> Tensor {
        Tensor {
            name: "a".into(),
            dtype,
            shape: fold_format::Shape::new(&[elements.len() as u64]).unwrap(),
            bytes: Bytes::of(elements.concat()),
        }
    }

    #[test]
    fn what_is_not_finite_is_close_to_itself_alone() {
        let array = |value: f64| array_of(Dtype::F64, &[&value.to_le_bytes()]);
        let kinds = [f64::INFINITY, f64::NEG_INFINITY, f64::NAN, 1.0, 0.0];
        for (at, first) in kinds.into_iter().enumerate() {
            for (other, second) in kinds.into_iter().enumerate() {
                let found = changed(&array(first), &array(second), Tolerance::within(0.0, 1e-6)).unwrap();
                assert_eq!(found.is_none(), at == other, "{first} {second}");
                assert!(found.is_none_or(|found| found.differing == Some(Int(1))));
            }
        }
        let huge = Tolerance::within(f64::MAX, f64::MAX);
        assert!(changed(&array(f64::INFINITY), &array(1.0), huge).unwrap().is_some());
        assert!(changed(&array(1.0), &array(-2.0), huge).unwrap().is_none());
    }

    #[test]
    fn integers_are_compared_exactly() {
        let signed = |values: &[i64]| {
            let bytes: Vec<_> = values.iter().map(|value| value.to_le_bytes()).collect();
            array_of(Dtype::I64, &bytes.iter().map(<[u8; 8]>::as_slice).collect::<Vec<_>>())
        };
        let (a, b) = (
            signed(&[1 << 53, i64::MAX, i64::MIN, 7]),
            signed(&[(1 << 53) + 1, i64::MAX - 2, i64::MAX, 7]),
        );
        let found = |atol| changed(&a, &b, Tolerance::within(atol, 0.0)).unwrap();
        let exact = found(0.0).unwrap();
        assert_eq!((exact.differing, exact.max_abs), (Some(Int(3)), Some(u64::MAX as f64)));
        assert_eq!(found(1.0).unwrap().differing, Some(Int(2)));
        assert_eq!(found(2.0).unwrap().differing, Some(Int(1)));
        assert!(found(u64::MAX as f64).is_none());
        let unsigned = |value: u64| array_of(Dtype::U64, &[&value.to_le_bytes()]);
        let found = changed(
            &unsigned(u64::MAX),
            &unsigned(u64::MAX - 1),
            Tolerance::within(0.0, 0.0),
        );
        assert_eq!(found.unwrap().unwrap().max_abs, Some(1.0));
    }
}
