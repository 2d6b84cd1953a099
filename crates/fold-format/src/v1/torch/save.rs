//! Writing a state as `torch.save` does, so that torch loads it with `weights_only=True`.

use std::io::{self, Cursor, Seek, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::STATE_DICT;
use super::marked::{Marked, marked};
use crate::content::TensorSource;
use crate::dtype::Dtype;
use crate::interchange::{Array, Fault};
use crate::json::Value;
use crate::span::Span;

/// Where torch wants a storage to begin.
const ALIGN: u16 = 64;

/// The class of a storage of this dtype; none for the unsigned integers beyond a byte.
const fn storage(dtype: Dtype) -> Option<&'static str> {
    Some(match dtype {
        Dtype::F32 => "FloatStorage",
        Dtype::F64 => "DoubleStorage",
        Dtype::F16 => "HalfStorage",
        Dtype::Bf16 => "BFloat16Storage",
        Dtype::I64 => "LongStorage",
        Dtype::I32 => "IntStorage",
        Dtype::I16 => "ShortStorage",
        Dtype::I8 => "CharStorage",
        Dtype::U8 => "ByteStorage",
        Dtype::Bool => "BoolStorage",
        Dtype::U16 | Dtype::U32 | Dtype::U64 => return None,
    })
}

/// A state as the bytes of a `TSAV` chunk. The same state gives the same bytes.
///
/// - `others`: what stands beside the `state_dict`, in their order, marked as [`TorchState::others`](super::TorchState::others)
///   says.
///
/// # Errors
/// [`Fault::TorchDtype`] for u16, u32 and u64, [`Fault::TorchLayout`] for what a zip archive or Python cannot hold.
pub fn save(tensors: &[Array<'_>], others: &[(Box<str>, Value)]) -> Result<Vec<u8>, Fault> {
    let unheld = |_| Fault::TorchLayout {
        what: "a zip archive cannot hold it",
    };
    let sources: Result<Vec<_>, _> = tensors
        .iter()
        .map(|array| TensorSource::new(&*array.name, array.dtype, array.shape.extents(), &array.bytes))
        .collect();
    let sources = sources.map_err(|_| Fault::TorchLayout {
        what: "the bytes are not as many as dtype and shape say",
    })?;
    let pickle = pickled(&sources, others)?;
    let mut bytes = Cursor::new(Vec::new());
    archive(&mut bytes, &pickle, &sources).map_err(unheld)?;
    Ok(bytes.into_inner())
}

/// As [`save`], into a file and from tensors wherever they are: their bytes are read while they are written.
///
/// # Errors
/// As [`save`], inside; what `out` or a source says.
pub fn save_to(
    out: &mut (impl Write + Seek),
    tensors: &[TensorSource<'_>],
    others: &[(Box<str>, Value)],
) -> io::Result<Result<(), Fault>> {
    match pickled(tensors, others) {
        Ok(pickle) => archive(out, &pickle, tensors).map(Ok),
        Err(fault) => Ok(Err(fault)),
    }
}

fn pickled(tensors: &[TensorSource<'_>], others: &[(Box<str>, Value)]) -> Result<Vec<u8>, Fault> {
    if others.iter().any(|(key, _)| &**key == STATE_DICT) {
        return Err(Fault::TorchLayout {
            what: "what stands beside the state_dict is called as it is",
        });
    }
    let mut pickle = Pickler { out: vec![0x80, 2] };
    pickle.out.extend_from_slice(b"}(");
    pickle.text(STATE_DICT);
    pickle.ordered_dict();
    pickle.out.push(b'(');
    for (key, tensor) in tensors.iter().enumerate() {
        pickle.text(&tensor.name);
        pickle.tensor(key, tensor)?;
    }
    pickle.out.push(b'u');
    for (key, value) in others {
        pickle.text(key);
        pickle.value(value)?;
    }
    pickle.out.extend_from_slice(b"u.");
    Ok(pickle.out)
}

fn archive(out: &mut (impl Write + Seek), pickle: &[u8], tensors: &[TensorSource<'_>]) -> io::Result<()> {
    let mut zip = ZipWriter::new(out);
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .with_alignment(ALIGN);
    let mut add = |name: &str, bytes: Span<'_>| -> io::Result<()> {
        let large = bytes.len() > u64::from(u32::MAX >> 1);
        zip.start_file(format!("archive/{name}"), options.large_file(large))
            .map_err(io::Error::other)?;
        bytes.copy_to(&mut zip)
    };
    add("data.pkl", pickle.into())?;
    add("byteorder", b"little".as_slice().into())?;
    for (key, tensor) in tensors.iter().enumerate() {
        add(&format!("data/{key}"), tensor.bytes)?;
    }
    add("version", b"3\n".as_slice().into())?;
    zip.finish().map_err(io::Error::other)?;
    Ok(())
}

/// Protocol 2 without its memory: every value is said where it stands.
struct Pickler {
    out: Vec<u8>,
}

impl Pickler {
    fn text(&mut self, text: &str) {
        self.out.push(b'X');
        // A name of more than 4 GiB would not be one of this crate's.
        let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
        self.out.extend_from_slice(&len.to_le_bytes());
        self.out.extend_from_slice(text.as_bytes());
    }

    fn global(&mut self, module: &str, name: &str) {
        self.out.push(b'c');
        self.out.extend_from_slice(format!("{module}\n{name}\n").as_bytes());
    }

    fn ordered_dict(&mut self) {
        self.global("collections", "OrderedDict");
        self.out.extend_from_slice(b")R");
    }

    fn integer(&mut self, value: i128) {
        if let Ok(value) = i32::try_from(value) {
            self.out.push(b'J');
            self.out.extend_from_slice(&value.to_le_bytes());
            return;
        }
        let bytes = value.to_le_bytes();
        // Sixteen bytes are always enough; Python takes redundant ones.
        self.out.extend_from_slice(&[0x8a, 16]);
        self.out.extend_from_slice(&bytes);
    }

    fn integers(&mut self, values: &[u64]) {
        self.out.push(b'(');
        values.iter().for_each(|&value| self.integer(value.into()));
        self.out.push(b't');
    }

    /// `_rebuild_tensor_v2((storage), 0, size, stride, False, OrderedDict())`.
    fn tensor(&mut self, key: usize, array: &TensorSource<'_>) -> Result<(), Fault> {
        let class = storage(array.dtype).ok_or_else(|| Fault::TorchDtype {
            tensor: (&*array.name).into(),
            dtype: array.dtype,
        })?;
        let extents = array.shape.extents();
        let mut stride = 1_u64;
        let mut strides: Vec<u64> = extents
            .iter()
            .rev()
            .map(|&extent| {
                let own = stride;
                stride = stride.saturating_mul(extent.max(1));
                own
            })
            .collect();
        strides.reverse();
        let numel: u64 = extents.iter().product();
        self.global("torch._utils", "_rebuild_tensor_v2");
        self.out.extend_from_slice(b"((");
        self.text("storage");
        self.global("torch", class);
        self.text(&key.to_string());
        self.text("cpu");
        self.integer(numel.into());
        self.out.extend_from_slice(b"tQ");
        self.integer(0);
        self.integers(extents);
        self.integers(&strides);
        self.out.push(0x89);
        self.ordered_dict();
        self.out.extend_from_slice(b"tR");
        Ok(())
    }

    fn value(&mut self, value: &Value) -> Result<(), Fault> {
        match value {
            Value::Null => self.out.push(b'N'),
            Value::Bool(true) => self.out.push(0x88),
            Value::Bool(false) => self.out.push(0x89),
            Value::Int(digits) => self.integer(digits.parse().map_err(|_| Fault::TorchLayout {
                what: "an integer has more than 127 bits",
            })?),
            Value::Float(value) => {
                self.out.push(b'G');
                self.out.extend_from_slice(&value.to_be_bytes());
            }
            Value::String(text) => self.text(text),
            Value::Array(items) => {
                self.out.push(b']');
                self.values(items, b'e')?;
            }
            Value::Object(entries) => match marked(entries) {
                None => {
                    self.out.extend_from_slice(b"}(");
                    for (key, value) in entries {
                        self.text(key);
                        self.value(value)?;
                    }
                    self.out.push(b'u');
                }
                Some(Ok(Marked::Tuple(items))) => self.values(items, b't')?,
                Some(Ok(Marked::Dict(by_turns))) => {
                    self.out.push(b'}');
                    self.values(by_turns, b'u')?;
                }
                Some(Ok(Marked::Ordered(by_turns))) => {
                    self.ordered_dict();
                    self.values(by_turns, b'u')?;
                }
                Some(Err(())) => {
                    return Err(Fault::TorchLayout {
                        what: "under __python__ is no value of Python",
                    });
                }
            },
        }
        Ok(())
    }

    /// Values behind a mark, and the instruction that takes them.
    fn values(&mut self, values: &[Value], taken_by: u8) -> Result<(), Fault> {
        self.out.push(b'(');
        values.iter().try_for_each(|value| self.value(value))?;
        self.out.push(taken_by);
        Ok(())
    }
}

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests may panic"
)]
mod tests {
    use super::super::{Unkept, read};
    use super::*;
    use crate::dtype::Shape;
    use crate::json;

    #[test]
    fn a_saved_state_is_read_back() {
        let array = |name: &'static str, dtype: Dtype, shape: &[u64], fill: u8| {
            let shape = Shape::new(shape).unwrap();
            let len = usize::try_from(shape.byte_len(dtype).unwrap()).unwrap();
            Array {
                name: name.into(),
                dtype,
                shape,
                bytes: vec![fill; len].into(),
            }
        };
        let tensors = [
            array("a.N", Dtype::I32, &[1], 3),
            array("scalar", Dtype::I64, &[], 4),
            array("b", Dtype::Bf16, &[2, 3, 4], 5),
            array("none", Dtype::F32, &[0, 7], 0),
            array("flag", Dtype::Bool, &[2], 1),
        ];
        let others = json::parse(
            br#"{"config":{"x":[1,-7,18446744073709551615,1.5,null,true,"e"]},"mode":"online","step_id":16}"#,
        );
        let others = others.unwrap().as_object().unwrap().to_vec();
        let bytes = save(&tensors, &others).unwrap();
        let state = read(&bytes).unwrap();
        assert_eq!(state.tensors, tensors);
        assert_eq!(state.others, others);
        assert_eq!(save(&tensors, &others).unwrap(), bytes);
        let refused = save(&[array("u", Dtype::U32, &[1], 0)], &[]);
        assert!(matches!(refused, Err(Fault::TorchDtype { .. })));
    }

    /// A file of torch with this pickle and no tensors.
    fn pickle(pickle: &[u8]) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        archive(&mut bytes, pickle, &[]).unwrap();
        bytes.into_inner()
    }

    fn text(text: &str) -> Vec<u8> {
        let mut pickler = Pickler { out: Vec::new() };
        pickler.text(text);
        pickler.out
    }

    /// `{"state_dict": OrderedDict(), "config": <config>}`
    fn with_config(config: &[u8]) -> Vec<u8> {
        let state = [&text("state_dict")[..], b"ccollections\nOrderedDict\n)R"].concat();
        pickle(&[b"\x80\x02}(", &state[..], &text("config"), config, b"u."].concat())
    }

    /// What JSON has no form for, as pickles and marked.
    fn of_python() -> Vec<(Vec<u8>, &'static str)> {
        let entry = |key: &[u8], value: &str| [key, &text(value)].concat();
        let (one, text_one) = (b"K\x01".as_slice(), text("1"));
        vec![
            (b"K\x01K\x02\x86".to_vec(), r#"{"__python__":["tuple",1,2]}"#),
            (b")".to_vec(), r#"{"__python__":["tuple"]}"#),
            (
                [b"}(", &entry(one, "a")[..], &entry(&text_one, "b"), b"u"].concat(),
                r#"{"__python__":["dict",1,"a","1","b"]}"#,
            ),
            (
                // 1, True and 1.0 are one key, "1" is another; of each the last value counts.
                [
                    b"}(",
                    &entry(one, "a")[..],
                    &entry(&text_one, "b"),
                    &entry(b"\x88", "c"),
                    &entry(&text_one, "d"),
                    &entry(b"G\x3f\xf0\0\0\0\0\0\0", "e"),
                    b"u",
                ]
                .concat(),
                r#"{"__python__":["dict",1,"e","1","d"]}"#,
            ),
            (
                [b"}(", &entry(&text_one, "a")[..], &entry(&text_one, "b"), b"u"].concat(),
                r#"{"1":"b"}"#,
            ),
            (
                [
                    b"}(",
                    &entry(b"N", "a")[..],
                    &entry(b"G\x3f\xf8\0\0\0\0\0\0", "b"),
                    &entry(b"K\x01\x89\x86", "c"),
                    b"u",
                ]
                .concat(),
                r#"{"__python__":["dict",null,"a",1.5,"b",{"__python__":["tuple",1,false]},"c"]}"#,
            ),
            (
                [b"ccollections\nOrderedDict\n)R(", &entry(&text("k"), "a")[..], b"u"].concat(),
                r#"{"__python__":["ordered_dict","k","a"]}"#,
            ),
            (
                [b"}(", &entry(&text("__python__"), "a")[..], b"u"].concat(),
                r#"{"__python__":["dict","__python__","a"]}"#,
            ),
            (b"}".to_vec(), "{}"),
            (b"]".to_vec(), "[]"),
        ]
    }

    #[test]
    fn values_of_python_that_json_lacks_go_round() {
        for (pickled, marked) in of_python() {
            let first = with_config(&pickled);
            let state = read(&first).unwrap();
            let config = state.other("config").unwrap();
            assert_eq!(config.print(json::Form::Stored), marked);
            // The metadata of other formats hold the text.
            assert_eq!(json::parse(marked.as_bytes()).as_ref(), Ok(config));
            let again = save(&state.tensors, &state.others).unwrap();
            assert_eq!(read(&again).unwrap().others, state.others, "{marked}");
        }
        for unhashable in [b"}(]K\x01u".as_slice(), b"}(]\x85K\x01u", b"}(}K\x01u"] {
            assert!(matches!(read(&with_config(unhashable)), Err(Fault::TorchLayout { .. })));
        }
        let tuples = |depth: usize| with_config(&[b")", &b"\x85".repeat(depth)[..]].concat());
        assert!(read(&tuples(49)).is_ok());
        assert!(matches!(read(&tuples(50)), Err(Fault::OverLimit { .. })));
    }

    #[test]
    fn what_is_no_value_of_python_is_refused() {
        for wrong in [
            r#"{"config":{"__python__":1}}"#,
            r#"{"config":{"__python__":["set",1]}}"#,
            r#"{"config":{"__python__":["dict",1]}}"#,
            r#"{"config":{"__python__":["dict",[],1]}}"#,
            r#"{"state_dict":{}}"#,
        ] {
            let others = json::parse(wrong.as_bytes()).unwrap();
            let saved = save(&[], others.as_object().unwrap());
            assert!(matches!(saved, Err(Fault::TorchLayout { .. })), "{wrong}");
        }
        let two = json::parse(br#"{"config":{"__python__":["set"],"b":1}}"#).unwrap();
        assert!(save(&[], two.as_object().unwrap()).is_ok());
    }

    /// A text of `len` bytes with this value, and both over and over from memory.
    fn repeated(len: usize, value: &[u8], times: usize) -> Vec<u8> {
        let first = [&text(&"k".repeat(len))[..], b"q\x01", value, b"q\x02"].concat();
        [first, b"h\x01h\x02".repeat(times)].concat()
    }

    /// A tensor of the storage `key` with `numel` bytes.
    fn tensor(key: &str, numel: u32) -> Vec<u8> {
        let mut pickler = Pickler { out: Vec::new() };
        pickler.global("torch._utils", "_rebuild_tensor_v2");
        pickler.out.extend_from_slice(b"((");
        pickler.text("storage");
        pickler.global("torch", "ByteStorage");
        pickler.text(key);
        pickler.text("cpu");
        pickler.integer(numel.into());
        pickler.out.extend_from_slice(b"tQK\x00");
        pickler.integers(&[u64::from(numel)]);
        pickler.integers(&[1]);
        pickler.out.push(0x89);
        pickler.ordered_dict();
        pickler.out.extend_from_slice(b"tR");
        pickler.out
    }

    /// A pickle of 60 KB that would have 200 MB hashed is refused; the work is bounded by the pickle's length.
    #[test]
    fn a_long_key_over_and_over_is_not_hashed_over_and_over() {
        let over = |bytes: &[u8]| match read(bytes) {
            Err(Fault::OverLimit { limit, .. }) => limit,
            other => panic!("{other:?}"),
        };
        let keys = repeated(20_000, b"N", 10_000);
        let limit = "bytes of all keys of a pickle's dicts";
        // As keys of the root, of a dict that is no object, of a dict within a tuple, and as names of tensors.
        let state = [&text("state_dict")[..], b"}"].concat();
        assert_eq!(
            over(&pickle(&[b"\x80\x02}(", &state[..], &keys, b"u."].concat())),
            limit
        );
        assert_eq!(over(&with_config(&[b"}(", &keys[..], b"u"].concat())), limit);
        let tuples = [&text(&"k".repeat(20_000))[..], b"\x85q\x01N", &b"h\x01N".repeat(10_000)].concat();
        assert_eq!(over(&with_config(&[b"}(", &tuples[..], b"u"].concat())), limit);
        let names = repeated(20_000, &tensor("0", 0), 10_000);
        let state = [&text("state_dict")[..], b"}(", &names, b"u"].concat();
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        zip.start_file("archive/data.pkl", SimpleFileOptions::default())
            .unwrap();
        zip.write_all(&[b"\x80\x02}(", &state[..], b"u."].concat()).unwrap();
        zip.start_file("archive/data/0", SimpleFileOptions::default()).unwrap();
        assert_eq!(over(&zip.finish().unwrap().into_inner()), limit);
        // The keys of many dicts alike, which picklers say once, are no attack.
        let alike = b"}(h\x01K\x01u".repeat(1000);
        let first = [b"}(", &text(&"k".repeat(40))[..], b"q\x01K\x01u"].concat();
        assert!(read(&with_config(&[b"](", &first[..], &alike, b"e"].concat())).is_ok());
    }

    #[test]
    fn what_is_not_kept_of_a_state_is_said() {
        let unkept = |tensor: &[u8], versions: &[u8]| {
            let built = [b"}", &text("_metadata")[..], versions, b"sb"].concat();
            let names = [&text("a")[..], tensor].concat();
            let state = [
                &text("state_dict")[..],
                b"ccollections\nOrderedDict\n)R(",
                &names,
                b"u",
                &built,
            ]
            .concat();
            let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
            zip.start_file("archive/data.pkl", SimpleFileOptions::default())
                .unwrap();
            zip.write_all(&[b"\x80\x02}(", &state[..], b"u."].concat()).unwrap();
            zip.start_file("archive/data/0", SimpleFileOptions::default()).unwrap();
            let bytes = zip.finish().unwrap().into_inner();
            let Unkept {
                requires_grad,
                module_versions,
            } = read(&bytes).unwrap().unkept;
            (requires_grad, module_versions)
        };
        let version = |number: u8| [b"}", &text("version")[..], &[b'K', number], b"s"].concat();
        let module = |versions: &[u8]| [b"}", &text("m")[..], versions, b"s"].concat();
        let plain = tensor("0", 0);
        assert_eq!(unkept(&plain, b"}"), (false, false));
        assert_eq!(unkept(&plain, &module(&version(1))), (false, false));
        for other in [version(2), b"}".to_vec(), b"K\x01".to_vec()] {
            assert_eq!(unkept(&plain, &module(&other)), (false, true), "{other:?}");
        }
        let mut learned = plain;
        let at = learned.iter().rposition(|&byte| byte == 0x89).unwrap();
        learned[at] = 0x88;
        assert_eq!(unkept(&learned, b"}"), (true, false));
    }

    #[test]
    fn many_tensors_of_one_element_under_long_names_are_read() {
        let arrays: Vec<_> = (0..20_000)
            .map(|number| Array {
                name: format!("layers.0.neurons.{number:08}.dendrites.3.synapses.17.filament").into(),
                dtype: Dtype::F32,
                shape: Shape::new(&[]).unwrap(),
                bytes: vec![1; 4].into(),
            })
            .collect();
        let saved = save(&arrays, &[]).unwrap();
        assert_eq!(read(&saved).unwrap().tensors.len(), arrays.len());
    }

    #[test]
    fn compressed_storages_are_bounded_together() {
        let archive = |storages: u32, len: u32, method: CompressionMethod| {
            let names = (0..storages).flat_map(|at| [text(&format!("t{at}")), tensor(&at.to_string(), len)].concat());
            let names: Vec<u8> = names.collect();
            let state = [&text("state_dict")[..], b"}(", &names, b"u"].concat();
            let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
            let options = |method| SimpleFileOptions::default().compression_method(method);
            let stored = CompressionMethod::Stored;
            let pickle = [b"\x80\x02}(", &state[..], b"u."].concat();
            let zeros = vec![0; len as usize];
            let mut add = |name: &str, bytes: &[u8], method| {
                zip.start_file(format!("archive/{name}"), options(method)).unwrap();
                zip.write_all(bytes).unwrap();
            };
            add("data.pkl", &pickle, stored);
            add("padding", &[0; 50_000], stored);
            for at in 0..storages {
                add(&format!("data/{at}"), &zeros, method);
            }
            zip.finish().unwrap().into_inner()
        };
        let bytes = archive(2, 400_000, CompressionMethod::Deflated);
        assert_eq!(read(&bytes).unwrap().tensors.len(), 2);
        // Each alone is within the bound, and all tensors together are within theirs.
        let bytes = archive(3, 400_000, CompressionMethod::Deflated);
        assert!(bytes.len() * 16 > 2 * 400_000 && bytes.len() * 16 < 3 * 400_000);
        for fault in [
            read(&bytes).map(drop),
            super::super::check(Cursor::new(&bytes), bytes.len() as u64).map(drop),
        ] {
            assert!(
                matches!(
                    fault,
                    Err(Fault::OverLimit {
                        limit: "bytes of all decompressed storages",
                        ..
                    })
                ),
                "{fault:?}"
            );
        }
        let bytes = archive(3, 400_000, CompressionMethod::Stored);
        assert_eq!(read(&bytes).unwrap().tensors.len(), 3);
    }

    #[test]
    fn of_a_name_that_is_set_twice_the_last_tensor_counts() {
        let array = |name: &'static str, fill: u8| Array {
            name: name.into(),
            dtype: Dtype::U8,
            shape: Shape::new(&[1]).unwrap(),
            bytes: vec![fill].into(),
        };
        let tensors = [array("a", 1), array("b", 2), array("a", 3)];
        let saved = save(&tensors, &[]).unwrap();
        assert_eq!(read(&saved).unwrap().tensors, [array("a", 3), array("b", 2)]);
        // As of a whole state_dict.
        let twice = [&text("state_dict")[..], b"K\x01", &text("state_dict"), b"}"].concat();
        assert!(read(&pickle(&[b"\x80\x02}(", &twice[..], b"u."].concat())).is_ok());
    }

    /// `torch.serialization.set_crc32_options(False)`
    #[test]
    fn a_state_without_checksums_is_read() {
        let others = json::parse(br#"{"mode":"online"}"#).unwrap();
        let mut bytes = save(&[], others.as_object().unwrap()).unwrap();
        let before = read(&bytes).unwrap().others;
        for (signature, crc) in [(b"PK\x01\x02", 16), (b"PK\x03\x04", 14)] {
            for at in 0..bytes.len() - 4 {
                if bytes[at..].starts_with(signature) {
                    bytes[at + crc..at + crc + 4].fill(0);
                }
            }
        }
        assert_eq!(read(&bytes).unwrap().others, before);
        assert_eq!(super::super::check(Cursor::new(&bytes), bytes.len() as u64), Ok(0));
    }
}
