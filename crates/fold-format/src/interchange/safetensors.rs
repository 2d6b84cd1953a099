//! Arrays as safetensors: a length, a JSON header, the data without gaps.
//!
//! Reading checks what the crate's own reader checks and what it does not: a name twice, sums that overflow, dtypes
//! without a counterpart by their name. Writing builds the header with the `safetensors` crate: tensors by falling
//! alignment, then by name, as every reader of the format expects.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::collections::HashMap;
use std::io::{self, Write};

use safetensors::Dtype as Theirs;
use safetensors::tensor::{Metadata, TensorInfo};

use crate::content::TensorSource;
use crate::dtype::{Dtype, Shape};
use crate::interchange::{Array, Fault};
use crate::json::{self, Value};
use crate::wire::len_u64;

/// The longest header that is read: PyFolds' limit, stricter than the format's own.
pub const MAX_HEADER_LEN: u64 = 64 << 20;

/// The most tensors that are read.
pub const MAX_TENSORS: u64 = 1_000_000;

/// Bytes of the header's length.
const PREFIX: u64 = 8;

/// The key of the header that is no tensor.
const METADATA: &str = "__metadata__";

/// Where one tensor lies in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// Its name.
    pub name: Box<str>,
    /// Its elements' type.
    pub dtype: Dtype,
    /// Its extents, slowest first.
    pub shape: Shape,
    /// Where it begins in the file.
    pub offset: u64,
    /// Its bytes.
    pub len: u64,
}

/// What a file says about itself.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Header {
    /// Its tensors, in the order in which they lie.
    pub entries: Vec<Entry>,
    /// The `__metadata__`, name -> text.
    pub metadata: Vec<(Box<str>, Box<str>)>,
}

/// Bytes of the header behind the first eight, for reading it before the rest of a file.
///
/// # Errors
/// [`Fault::SafetensorsTruncated`], [`Fault::SafetensorsHeader`] when the file has not so many, [`Fault::OverLimit`].
pub fn header_len(start: &[u8], file_len: u64) -> Result<u64, Fault> {
    let Some(prefix) = start.first_chunk() else {
        return Err(Fault::SafetensorsTruncated { len: file_len });
    };
    let len = u64::from_le_bytes(*prefix);
    if len > file_len.saturating_sub(PREFIX) {
        return Err(Fault::SafetensorsHeader {
            what: "the header's length is beyond the end",
        });
    }
    if len > MAX_HEADER_LEN {
        return Err(Fault::over("safetensors header bytes", len, MAX_HEADER_LEN));
    }
    Ok(len)
}

/// Reads a header of the length that [`header_len`] gave, and checks that its tensors fill the file.
///
/// # Errors
/// [`Fault::SafetensorsHeader`], [`Fault::SafetensorsBounds`], [`Fault::SafetensorsDtype`], [`Fault::Rank`],
/// [`Fault::OverLimit`].
pub fn read_header(header: &[u8], file_len: u64) -> Result<Header, Fault> {
    let broken = |what| Fault::SafetensorsHeader { what };
    let value = json::parse(header).map_err(|fault| match fault {
        json::Fault::DuplicateKey { .. } => broken("a name is there twice"),
        _ => broken("it is not JSON"),
    })?;
    let listed = value.as_object().ok_or(broken("it is no JSON object"))?;
    if len_u64(listed.len()) > MAX_TENSORS {
        return Err(Fault::over("safetensors entries", len_u64(listed.len()), MAX_TENSORS));
    }
    let data_start = len_u64(header.len()).saturating_add(PREFIX);
    let mut placed = Vec::new();
    let mut metadata = Vec::new();
    for (name, entry) in listed {
        if &**name == METADATA {
            // Some writers say so that there are none.
            if *entry == Value::Null {
                continue;
            }
            let texts = entry.as_object().ok_or(broken("__metadata__ is no object"))?;
            for (key, text) in texts {
                let text = text.as_str().ok_or(broken("__metadata__ holds more than text"))?;
                metadata.push((key.clone(), text.into()));
            }
            continue;
        }
        placed.push(place_entry(name, entry, data_start)?);
    }
    placed.sort_by_key(|entry| (entry.offset, entry.len));
    let mut end = data_start;
    for entry in &placed {
        if entry.offset != end {
            return Err(Fault::SafetensorsBounds {
                tensor: entry.name.into(),
            });
        }
        // `place_entry` has seen that the sum does not overflow.
        end = entry.offset.saturating_add(entry.len);
    }
    if end != file_len {
        return Err(Fault::SafetensorsBounds {
            tensor: placed.last().map_or("", |entry| entry.name).into(),
        });
    }
    let entries = placed.into_iter().map(|entry| {
        let (dtype, shape) = entry.kind?;
        Ok(Entry {
            name: entry.name.into(),
            dtype,
            shape,
            offset: entry.offset,
            len: entry.len,
        })
    });
    Ok(Header {
        entries: entries.collect::<Result<_, _>>()?,
        metadata,
    })
}

/// An entry whose place is known, and what it holds: of a kind that is not read, perhaps, in a file that is sound.
struct Placed<'a> {
    name: &'a str,
    offset: u64,
    len: u64,
    kind: Result<(Dtype, Shape), Fault>,
}

fn place_entry<'a>(name: &'a str, entry: &Value, data_start: u64) -> Result<Placed<'a>, Fault> {
    let broken = Fault::SafetensorsHeader {
        what: "an entry is not dtype, shape and data_offsets",
    };
    let outside = || Fault::SafetensorsBounds { tensor: name.into() };
    let numbers = |key| -> Option<Vec<u64>> { entry.get(key)?.as_array()?.iter().map(Value::as_u64).collect() };
    let (Some(dtype), Some(shape), Some(offsets)) = (
        entry.get("dtype").and_then(Value::as_str),
        numbers("shape"),
        numbers("data_offsets"),
    ) else {
        return Err(broken);
    };
    let &[begin, end] = offsets.as_slice() else {
        return Err(broken);
    };
    let known = Dtype::ALL
        .iter()
        .copied()
        .find(|known| theirs(*known).to_string() == dtype);
    let kind = match (known, Shape::new(&shape)) {
        (Some(dtype), Some(shape)) => Ok((dtype, shape)),
        (None, _) => Err(Fault::SafetensorsDtype {
            tensor: name.into(),
            dtype: dtype.into(),
        }),
        (_, None) => Err(Fault::Rank {
            name: name.into(),
            rank: shape.len(),
        }),
    };
    let len = end.checked_sub(begin).ok_or_else(outside)?;
    if let Ok((dtype, shape)) = &kind
        && shape.byte_len(*dtype) != Some(len)
    {
        return Err(outside());
    }
    end.checked_add(data_start).ok_or_else(outside)?;
    Ok(Placed {
        name,
        offset: begin.saturating_add(data_start),
        len,
        kind,
    })
}

/// Every tensor of a file in memory, borrowing its bytes, in the order in which they lie.
///
/// Any bytes may be passed. Never panics; time and memory stay within a small constant of their number.
///
/// # Errors
/// As [`header_len`] and [`read_header`].
pub fn read(bytes: &[u8]) -> Result<(Vec<Array<'_>>, Header), Fault> {
    let len = header_len(bytes, len_u64(bytes.len()))?;
    let end = usize::try_from(len.saturating_add(PREFIX)).unwrap_or(usize::MAX);
    let text = bytes.get(8..end).unwrap_or_default();
    let header = read_header(text, len_u64(bytes.len()))?;
    let place = |entry: &Entry| {
        let start = usize::try_from(entry.offset).ok()?;
        bytes.get(start..start.checked_add(usize::try_from(entry.len).ok()?)?)
    };
    let arrays = header.entries.iter().map(|entry| {
        let bytes = place(entry).ok_or_else(|| Fault::SafetensorsBounds {
            tensor: entry.name.clone(),
        })?;
        Ok(Array {
            name: entry.name.to_string().into(),
            dtype: entry.dtype,
            shape: entry.shape,
            bytes: bytes.into(),
        })
    });
    let arrays = arrays.collect::<Result<_, Fault>>()?;
    Ok((arrays, header))
}

const fn theirs(dtype: Dtype) -> Theirs {
    match dtype {
        Dtype::Bool => Theirs::BOOL,
        Dtype::U8 => Theirs::U8,
        Dtype::I8 => Theirs::I8,
        Dtype::U16 => Theirs::U16,
        Dtype::I16 => Theirs::I16,
        Dtype::U32 => Theirs::U32,
        Dtype::I32 => Theirs::I32,
        Dtype::U64 => Theirs::U64,
        Dtype::I64 => Theirs::I64,
        Dtype::F16 => Theirs::F16,
        Dtype::Bf16 => Theirs::BF16,
        Dtype::F32 => Theirs::F32,
        Dtype::F64 => Theirs::F64,
    }
}

/// The order in which tensors are written: by falling alignment, then by name. Positions into `tensors`.
#[must_use]
pub fn order(tensors: &[(&str, Dtype, Shape)]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..tensors.len()).collect();
    let key = |at: &usize| {
        tensors
            .get(*at)
            .map(|(name, dtype, _)| (std::cmp::Reverse(theirs(*dtype)), *name))
    };
    order.sort_by(|left, right| key(left).cmp(&key(right)));
    order
}

/// The bytes in front of the data of a file that holds `tensors` in the order given; the data follow without gaps.
///
/// # Errors
/// `InvalidInput` for a name twice or `__metadata__`, and where the sizes overflow.
pub fn header(tensors: &[(&str, Dtype, Shape)], metadata: &[(&str, &str)]) -> io::Result<Vec<u8>> {
    let invalid = |what| io::Error::new(io::ErrorKind::InvalidInput, what);
    let mut listed = Vec::new();
    let mut end = 0_usize;
    for (name, dtype, shape) in tensors {
        let len = shape.byte_len(*dtype).and_then(|len| usize::try_from(len).ok());
        let extents: Option<Vec<usize>> = shape
            .extents()
            .iter()
            .map(|&extent| usize::try_from(extent).ok())
            .collect();
        let (Some(len), Some(shape)) = (len, extents) else {
            return Err(invalid("a tensor is too large"));
        };
        let begin = end;
        end = begin.checked_add(len).ok_or(invalid("the tensors are too large"))?;
        let info = TensorInfo {
            dtype: theirs(*dtype),
            shape,
            data_offsets: (begin, end),
        };
        listed.push(((*name).to_owned(), info));
    }
    let names: std::collections::HashSet<_> = listed.iter().map(|(name, _)| name.as_str()).collect();
    if names.len() != listed.len() || names.contains(METADATA) {
        return Err(invalid("a tensor's name is there twice, or is __metadata__"));
    }
    let keys: std::collections::HashSet<_> = metadata.iter().map(|(key, _)| key).collect();
    if keys.len() != metadata.len() {
        return Err(invalid("a key of the metadata is there twice"));
    }
    let metadata: HashMap<String, String> = metadata
        .iter()
        .map(|(key, text)| ((*key).to_owned(), (*text).to_owned()))
        .collect();
    let metadata = (!metadata.is_empty()).then_some(metadata);
    let header = Metadata::new(metadata, listed).map_err(io::Error::other)?;
    let mut text = serde_json::to_vec(&header).map_err(io::Error::other)?;
    text.resize(text.len().next_multiple_of(8), b' ');
    let mut bytes = len_u64(text.len()).to_le_bytes().to_vec();
    bytes.append(&mut text);
    Ok(bytes)
}

/// Writes a whole file.
///
/// # Errors
/// What `out` says; as [`header`]; `InvalidInput` where an array's bytes are not as many as dtype and shape say.
pub fn write(out: &mut impl Write, arrays: &[Array<'_>], metadata: &[(&str, &str)]) -> io::Result<()> {
    let sources: Result<Vec<_>, _> = arrays
        .iter()
        .map(|array| TensorSource::new(&*array.name, array.dtype, array.shape.extents(), &array.bytes))
        .collect();
    let sources = sources.map_err(|_| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            "the bytes are not as many as dtype and shape say",
        )
    })?;
    write_sources(out, &sources, metadata)
}

/// As [`write()`], the tensors' bytes wherever they are: they are read while they are written.
///
/// # Errors
/// As [`write()`]; what a source says.
pub fn write_sources(out: &mut impl Write, tensors: &[TensorSource<'_>], metadata: &[(&str, &str)]) -> io::Result<()> {
    let described: Vec<_> = tensors
        .iter()
        .map(|tensor| (&*tensor.name, tensor.dtype, tensor.shape))
        .collect();
    let order = order(&described);
    let ordered: Vec<_> = order.iter().filter_map(|&at| described.get(at).copied()).collect();
    out.write_all(&header(&ordered, metadata)?)?;
    for tensor in order.iter().filter_map(|&at| tensors.get(at)) {
        tensor.bytes.copy_to(out)?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "a test that goes out of bounds has failed"
)]
mod tests {
    use super::*;

    fn array(name: &'static str, dtype: Dtype, shape: &[u64], fill: u8) -> Array<'static> {
        let shape = Shape::new(shape).unwrap();
        let len = usize::try_from(shape.byte_len(dtype).unwrap()).unwrap();
        Array {
            name: name.into(),
            dtype,
            shape,
            bytes: vec![fill; len].into(),
        }
    }

    fn file() -> Vec<u8> {
        let arrays = [
            array("b", Dtype::Bool, &[3], 1),
            array("a", Dtype::F32, &[2, 2], 2),
            array("c", Dtype::I64, &[], 3),
            array("none", Dtype::Bf16, &[0, 4], 4),
        ];
        let mut file = Vec::new();
        write(&mut file, &arrays, &[("made_by", "a test")]).unwrap();
        file
    }

    #[test]
    fn written_files_are_read_here_and_by_the_crate() {
        let file = file();
        let (arrays, header) = read(&file).unwrap();
        let names: Vec<_> = arrays.iter().map(|array| &*array.name).collect();
        assert_eq!(names, ["c", "a", "none", "b"]);
        assert_eq!(header.metadata, [("made_by".into(), "a test".into())]);
        let theirs = safetensors::SafeTensors::deserialize(&file).unwrap();
        for array in &arrays {
            assert_eq!(theirs.tensor(&array.name).unwrap().data(), &*array.bytes);
        }
        assert_eq!((file.len() - 8 - 16 - 3) % 8, 0, "the data begin on a multiple of 8");
    }

    fn made(header: &str, data: usize) -> Vec<u8> {
        let mut file = (header.len() as u64).to_le_bytes().to_vec();
        file.extend_from_slice(header.as_bytes());
        file.resize(file.len() + data, 0);
        file
    }

    fn fault(header: &str, data: usize) -> Fault {
        read(&made(header, data)).unwrap_err()
    }

    #[test]
    fn hostile_headers_are_refused_by_kind() {
        let one = |dtype: &str, shape: &str, offsets: &str| {
            format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
        };
        assert!(read(&made(&one("F32", "[2]", "[0,8]"), 8)).is_ok());
        assert!(matches!(
            fault(&one("F32", "[2]", "[0,8]"), 9),
            Fault::SafetensorsBounds { .. }
        ));
        assert!(matches!(
            fault(&one("F32", "[2]", "[4,12]"), 12),
            Fault::SafetensorsBounds { .. }
        ));
        assert!(matches!(
            fault(&one("F32", "[3]", "[0,8]"), 8),
            Fault::SafetensorsBounds { .. }
        ));
        assert!(matches!(
            fault(&one("U8", "[18446744073709551615]", "[0,18446744073709551615]"), 8),
            Fault::SafetensorsBounds { .. }
        ));
        assert!(matches!(
            fault(&one("F32", "[4294967296,4294967296]", "[0,0]"), 0),
            Fault::SafetensorsBounds { .. }
        ));
        assert!(matches!(
            fault(&one("F8_E4M3", "[2]", "[0,2]"), 2),
            Fault::SafetensorsDtype { .. }
        ));
        assert!(matches!(
            fault(&one("F32", "[-2]", "[0,8]"), 8),
            Fault::SafetensorsHeader { .. }
        ));
        assert!(matches!(fault("[]", 0), Fault::SafetensorsHeader { .. }));
        let twice = r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#;
        assert!(matches!(fault(twice, 1), Fault::SafetensorsHeader { .. }));
        assert!(matches!(
            read(b"abc").unwrap_err(),
            Fault::SafetensorsTruncated { len: 3 }
        ));
        let mut huge = (1_u64 << 63).to_le_bytes().to_vec();
        huge.push(b'{');
        assert!(matches!(read(&huge).unwrap_err(), Fault::SafetensorsHeader { .. }));
    }

    #[test]
    fn a_dtype_or_rank_that_is_not_read_is_no_damage_unless_something_is_damaged_too() {
        for (dtype, shape, len) in [
            ("F8_E4M3", "[2]", 2),
            ("C64", "[2]", 16),
            ("F32", "[1,1,1,1,1,1,1,1,1]", 4),
        ] {
            let header = |end: u64| {
                format!(
                    r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":[0,{len}]}},
                    "b":{{"dtype":"U8","shape":[1],"data_offsets":[{len},{end}]}}}}"#
                )
            };
            let sound = fault(&header(len + 1), usize::try_from(len + 1).unwrap());
            assert_eq!(sound.code(), crate::Code::ForeignContent, "{sound}");
            let cut = fault(&header(len + 1), usize::try_from(len).unwrap());
            assert_eq!(cut.code(), crate::Code::BrokenContent, "{cut}");
            let hole = fault(&header(len + 2), usize::try_from(len + 2).unwrap());
            assert_eq!(hole.code(), crate::Code::BrokenContent, "{hole}");
        }
    }

    #[test]
    fn metadata_that_are_null_are_none() {
        let file = made(
            r#"{"__metadata__":null,"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#,
            1,
        );
        let (arrays, header) = read(&file).unwrap();
        assert_eq!((arrays.len(), header.metadata.len()), (1, 0));
        assert!(safetensors::SafeTensors::deserialize(&file).is_ok());
    }

    #[test]
    fn every_prefix_is_refused_and_every_flipped_bit_answered() {
        let whole = file();
        for len in 0..whole.len() {
            assert!(read(&whole[..len]).is_err(), "{len}");
        }
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let _ = read(&flipped);
        }
    }

    #[test]
    fn a_name_twice_is_not_written() {
        let twice = [array("a", Dtype::U8, &[1], 0), array("a", Dtype::U8, &[1], 1)];
        assert!(write(&mut Vec::new(), &twice, &[]).is_err());
        let keys = [("k", "1"), ("k", "2")];
        assert!(write(&mut Vec::new(), &twice[..1], &keys).is_err());
        assert!(write(&mut Vec::new(), &twice[..1], &keys[..1]).is_ok());
    }
}
