//! `TSAV`: a state that `torch.save` wrote, a zip archive with a pickle and one member per storage.
//!
//! The pickle is read by a restricted unpickler that knows tensors and plain values and runs nothing.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

mod marked;
mod pickle;
mod save;

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::io::{Cursor, Read, Seek};
use std::ops::Range;

use self::marked::{DICT, MARK, ORDERED_DICT, TUPLE, mark};
use self::pickle::{MAX_KEY_LEN, Node, Unpickled, View, unpickle};
use crate::archive::Archive;
use crate::dtype::{Dtype, Shape};
use crate::interchange::{Array, Fault};
use crate::json::Value;
use crate::wire::len_u64;

pub use save::{save, save_to};

/// The key of the tensors.
const STATE_DICT: &str = "state_dict";

/// The longest pickle that is read.
const MAX_PICKLE_BYTES: u64 = 256 << 20;

/// How deep the values of a configuration may be nested, as JSON: less than its parser allows, since they are packed into
/// other values.
const MAX_DEPTH: u32 = 100;

/// How often the bytes of a tensor may exceed those of its archive: views may show one element many times. As often may all
/// storages that are compressed exceed it together.
const MAX_EXPANSION: u64 = 16;

/// How often the values beside the tensors may exceed the pickle, and the keys of all dicts.
const PLAIN_EXPANSION: usize = 8;

/// What a value that has to be marked costs beyond the value itself.
const MARK_COST: usize = 4;

/// Bytes of tensors that are always allowed.
const FREE_BYTES: u64 = 1 << 20;

/// A saved state: its tensors in their order, and what else stood beside them.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TorchState<'a> {
    /// The state_dict, row-major; borrowed where a storage holds the tensor as it is.
    pub tensors: Vec<Array<'a>>,
    /// The other keys, for example `config`, `mode`, `step_id`. What JSON has no form for stands under one reserved key,
    /// from where [`save`] writes it back as what it was:
    ///
    /// | Python | JSON |
    /// |---|---|
    /// | `(1, "a")` | `{"__python__": ["tuple", 1, "a"]}` |
    /// | `{1: "a", "1": "b"}` | `{"__python__": ["dict", 1, "a", "1", "b"]}`, keys and values by turns |
    /// | `OrderedDict(a=1)` | `{"__python__": ["ordered_dict", "a", 1]}` |
    /// | `{"__python__": 1}` | `{"__python__": ["dict", "__python__", 1]}` |
    ///
    /// Other dicts with keys that are text are objects, lists are arrays.
    pub others: Vec<(Box<str>, Value)>,
    /// What else the archive said.
    pub unkept: Unkept,
}

/// What a state had that [`TorchState`] does not have and [`save`] does not write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unkept {
    /// Of a tensor, that gradients are computed for it.
    pub requires_grad: bool,
    /// The state_dict's `_metadata`, where it has more to say than that every module's version is 1, which torch takes where
    /// nothing is said.
    pub module_versions: bool,
}

impl TorchState<'_> {
    /// One of the other keys.
    #[must_use]
    pub fn other(&self, key: &str) -> Option<&Value> {
        self.others
            .iter()
            .find(|(name, _)| &**name == key)
            .map(|(_, value)| value)
    }
}

/// A tensor of the pickle, checked against its storage.
struct Tensor {
    name: Box<str>,
    dtype: Dtype,
    shape: Shape,
    /// Bytes when row-major.
    len: u64,
    /// The member that holds its storage, by its place in the directory.
    member: usize,
    /// In elements.
    offset: u64,
    /// In elements, by dimension; none where the elements lie one behind the other, row-major.
    strides: Option<Vec<u64>>,
}

/// Whether elements lie one behind the other, row-major.
fn are_contiguous(shape: &[u64], strides: &[u64]) -> bool {
    let mut stride = 1_u64;
    shape.iter().zip(strides).rev().all(|(&extent, &own)| {
        let matches = extent == 1 || own == stride;
        stride = stride.saturating_mul(extent);
        matches
    })
}

/// Everything that an archive describes, with not a byte of a tensor read yet.
struct Described {
    tensors: Vec<Tensor>,
    others: Vec<(Box<str>, Value)>,
    unkept: Unkept,
}

/// Checks an archive without materialising a tensor: the pickle, and that every tensor lies in its storage. Says how many
/// tensors there are. The members' checksums are not checked: the chunk's digest has spoken for them.
pub(crate) fn check<R: Read + Seek>(reader: R, len: u64) -> Result<u64, Fault> {
    let described = describe(&mut Archive::open(reader)?, len)?;
    Ok(len_u64(described.tensors.len()))
}

/// A state whose tensors all lie in an archive as they are: their places, not their bytes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Located {
    /// Each tensor's name, dtype and shape, and the range of its row-major bytes in the archive.
    pub tensors: Vec<(Box<str>, Dtype, Shape, Range<u64>)>,
    /// As in [`TorchState`].
    pub others: Vec<(Box<str>, Value)>,
    /// As in [`TorchState`].
    pub unkept: Unkept,
}

/// Where an archive holds its tensors. None where one is compressed, or no row-major run of bytes: [`read`] has it then.
/// The members' checksums are not checked.
pub(crate) fn locate<R: Read + Seek>(reader: R, len: u64) -> Result<Option<Located>, Fault> {
    let mut archive = Archive::open(reader)?;
    let described = describe(&mut archive, len)?;
    let mut tensors = Vec::with_capacity(described.tensors.len());
    for tensor in described.tensors {
        let within = |storage: Range<u64>| {
            let offset = tensor.offset.checked_mul(tensor.dtype.size_bytes())?;
            let start = storage.start.checked_add(offset)?;
            let end = start.checked_add(tensor.len).filter(|&end| end <= storage.end)?;
            tensor.strides.is_none().then_some(start..end)
        };
        let place = match tensor.len {
            0 => Some(0..0),
            _ => archive.place(tensor.member)?.and_then(within),
        };
        let Some(place) = place else { return Ok(None) };
        tensors.push((tensor.name, tensor.dtype, tensor.shape, place));
    }
    Ok(Some(Located {
        tensors,
        others: described.others,
        unkept: described.unkept,
    }))
}

/// Reads an archive. Any bytes may be passed. Never panics; runs nothing; time and memory stay within a small constant of
/// their number.
///
/// # Errors
/// [`Fault`]: what is refused and by which name.
pub fn read(bytes: &[u8]) -> Result<TorchState<'_>, Fault> {
    let mut archive = Archive::open(Cursor::new(bytes))?;
    let described = describe(&mut archive, len_u64(bytes.len()))?;
    let most = len_u64(bytes.len()).saturating_mul(MAX_EXPANSION);
    let mut storages: HashMap<usize, Cow<'_, [u8]>> = HashMap::new();
    let mut tensors = Vec::with_capacity(described.tensors.len());
    for tensor in described.tensors {
        let storage = match storages.entry(tensor.member) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(archive.view(bytes, tensor.member, most)?),
        };
        let materialised = match storage {
            Cow::Borrowed(storage) => materialise(&tensor, storage),
            Cow::Owned(storage) => materialise(&tensor, storage).map(|bytes| Cow::Owned(bytes.into_owned())),
        };
        let outside = || Fault::TensorBounds {
            tensor: tensor.name.clone(),
        };
        tensors.push(Array {
            bytes: materialised.ok_or_else(outside)?,
            name: tensor.name.to_string().into(),
            dtype: tensor.dtype,
            shape: tensor.shape,
        });
    }
    Ok(TorchState {
        tensors,
        others: described.others,
        unkept: described.unkept,
    })
}

fn describe<R: Read + Seek>(archive: &mut Archive<R>, len: u64) -> Result<Described, Fault> {
    let layout = |what| Fault::TorchLayout { what };
    let root = archive
        .names()
        .find_map(|name| name.strip_suffix("/data.pkl"))
        .filter(|root| root.len() <= MAX_KEY_LEN)
        .ok_or(layout("it has no data.pkl"))?
        .to_owned();
    if let Some(order) = archive.find(&format!("{root}/byteorder"))
        && archive.read_digested(order, 16)? != b"little"
    {
        return Err(layout("its byte order is not little"));
    }
    let pickle = archive.find(&format!("{root}/data.pkl"));
    let pickle = archive.read_digested(pickle.ok_or(layout("it has no data.pkl"))?, MAX_PICKLE_BYTES)?;
    let (made, top) = unpickle(&pickle)?;
    let Node::Dict(entries) = top else {
        return Err(layout("the pickle is no dict with a state_dict"));
    };
    let mut state = None;
    let mut others = Vec::new();
    let mut budget = Budget::of(&pickle);
    for (key, value) in distinct(&made, made.entries(entries), &mut budget)? {
        let Node::Text(key) = key else {
            return Err(layout("a key is no text"));
        };
        match value {
            Node::Ordered(tensors) | Node::Dict(tensors) if key == STATE_DICT => state = Some(tensors),
            _ if key == STATE_DICT => return Err(layout("its state_dict is no dict")),
            _ => others.push((key.into(), plain(&made, value, 0, &mut budget)?)),
        }
    }
    let state = state.ok_or(layout("it has no state_dict"))?;
    let mut unkept = Unkept {
        requires_grad: false,
        module_versions: !made.has_default_versions(state),
    };
    let state = made.entries(state);
    let mut places = HashMap::with_capacity(state.len());
    let expanded = len.saturating_mul(MAX_EXPANSION);
    let mut left = expanded.saturating_add(FREE_BYTES);
    let mut decoded_left = expanded;
    let mut decoded = HashSet::new();
    let mut tensors: Vec<Tensor> = Vec::with_capacity(state.len());
    let mut member = format!("{root}/data/");
    let folder_len = member.len();
    for &(name, value) in state {
        let (Node::Text(name), Node::Tensor(view)) = (name, value) else {
            return Err(layout("the state_dict holds more than tensors under names"));
        };
        budget.hash(name)?;
        let outside = || Fault::TensorBounds { tensor: name.into() };
        let view = made.tensor(view).ok_or_else(outside)?;
        unkept.requires_grad |= view.requires_grad;
        let key = view.storage.key;
        member.truncate(folder_len);
        member.push_str(key);
        let member = archive
            .find(&member)
            .ok_or_else(|| Fault::StorageMissing { key: key.into() })?;
        let size = archive.size(member)?;
        // Decoded storages are in memory together.
        if archive.is_compressed(member)? && decoded.insert(member) {
            decoded_left = decoded_left
                .checked_sub(size)
                .ok_or_else(|| Fault::over("bytes of all decompressed storages", size, decoded_left))?;
        }
        let tensor = place(&made, name, view, member, size)?;
        left = left
            .checked_sub(tensor.len)
            .ok_or_else(|| Fault::over("bytes of all tensors", tensor.len, left))?;
        // As in Python, a name that is set twice keeps its place and has its last value.
        let place = *places.entry(name).or_insert(tensors.len());
        match tensors.get_mut(place) {
            Some(before) => *before = tensor,
            None => tensors.push(tensor),
        }
    }
    Ok(Described {
        tensors,
        others,
        unkept,
    })
}

/// Holds a view against its storage, a member of `actual` bytes.
fn place(made: &Unpickled<'_>, name: &str, view: &View<'_>, member: usize, actual: u64) -> Result<Tensor, Fault> {
    let outside = || Fault::TensorBounds { tensor: name.into() };
    let dtype = view.storage.dtype;
    let numel = view.storage.numel.ok_or_else(outside)?;
    let expected = numel.checked_mul(dtype.size_bytes());
    if expected != Some(actual) {
        return Err(Fault::StorageSize {
            key: view.storage.key.into(),
            expected,
            actual,
        });
    }
    let offset = view.offset.ok_or_else(outside)?;
    let size = made.numbers(view.size).collect::<Option<Vec<_>>>();
    let size = size.ok_or_else(outside)?;
    let strides = made.numbers(view.stride).collect::<Option<Vec<_>>>();
    let strides = strides.ok_or_else(outside)?;
    let shape = Shape::new(&size).ok_or_else(|| Fault::Rank {
        name: name.into(),
        rank: size.len(),
    })?;
    if size.len() != strides.len() {
        return Err(outside());
    }
    let len = shape.byte_len(dtype).ok_or_else(outside)?;
    if len > 0 {
        let last = size.iter().zip(&strides).try_fold(offset, |sum, (extent, stride)| {
            sum.checked_add(extent.checked_sub(1)?.checked_mul(*stride)?)
        });
        if last.is_none_or(|last| last >= numel) {
            return Err(outside());
        }
    }
    Ok(Tensor {
        name: name.into(),
        dtype,
        shape,
        len,
        member,
        offset,
        strides: (!are_contiguous(&size, &strides)).then_some(strides),
    })
}

/// The tensor row-major; none where it leaves its storage, which [`place`] has ruled out.
fn materialise<'a>(tensor: &Tensor, storage: &'a [u8]) -> Option<Cow<'a, [u8]>> {
    if tensor.len == 0 {
        return Some(Cow::Borrowed(&[]));
    }
    let size = usize::try_from(tensor.dtype.size_bytes()).ok()?;
    let start = usize::try_from(tensor.offset).ok()?.checked_mul(size)?;
    let len = usize::try_from(tensor.len).ok()?;
    let extents = tensor.shape.extents();
    let Some(strides) = &tensor.strides else {
        return Some(Cow::Borrowed(storage.get(start..start.checked_add(len)?)?));
    };
    let mut bytes = Vec::with_capacity(len);
    let mut index = vec![0_u64; extents.len()];
    while bytes.len() < len {
        let element = index.iter().zip(strides).try_fold(tensor.offset, |sum, (at, stride)| {
            sum.checked_add(at.checked_mul(*stride)?)
        })?;
        let at = usize::try_from(element).ok()?.checked_mul(size)?;
        bytes.extend_from_slice(storage.get(at..at.checked_add(size)?)?);
        for (at, extent) in index.iter_mut().zip(extents).rev() {
            *at = at.saturating_add(1);
            if *at < *extent {
                break;
            }
            *at = 0;
        }
    }
    Some(Cow::Owned(bytes))
}

/// A key of a dict, equal to another where Python says so.
#[derive(PartialEq, Eq, Hash)]
enum Key<'a> {
    None,
    /// An integer, a truth value, or a float that is one: 1, True and 1.0 are one key.
    Number(i128),
    Float(u64),
    Text(&'a str),
    Tuple(Vec<Self>),
}

/// What a key is to a dict. None where it is equal to no key, since there is a NaN in it.
fn hashed<'a>(made: &Unpickled<'a>, node: Node<'a>, depth: u32, budget: &mut Budget) -> Result<Option<Key<'a>>, Fault> {
    match node {
        Node::Text(text) => budget.hash(text)?,
        _ => budget.hash("")?,
    }
    Ok(Some(match node {
        Node::None => Key::None,
        Node::Bool(value) => Key::Number(value.into()),
        Node::Text(text) => Key::Text(text),
        Node::Float(value) if value.is_nan() => return Ok(None),
        // Its decimal digits are exact.
        Node::Float(value) => match format!("{value}").parse() {
            Ok(number) => Key::Number(number),
            Err(_) => Key::Float(value.to_bits()),
        },
        Node::Tuple(items) if depth < MAX_DEPTH => {
            let items = made.items(items).iter();
            let keys = items.map(|&item| hashed(made, item, depth.saturating_add(1), budget));
            return Ok(keys.collect::<Result<Option<_>, _>>()?.map(Key::Tuple));
        }
        _ => Key::Number(node.integer().ok_or(Fault::TorchLayout {
            what: "a key is no plain value",
        })?),
    }))
}

/// The entries of a dict as Python has them: a key that is set twice keeps its place and has its last value.
fn distinct<'a>(
    made: &Unpickled<'a>,
    entries: &[(Node<'a>, Node<'a>)],
    budget: &mut Budget,
) -> Result<Vec<(Node<'a>, Node<'a>)>, Fault> {
    let mut kept: Vec<(Node<'a>, Node<'a>)> = Vec::with_capacity(entries.len());
    let mut places = HashMap::with_capacity(entries.len());
    for &(key, value) in entries {
        let place = match hashed(made, key, 0, budget)? {
            Some(key) => *places.entry(key).or_insert(kept.len()),
            None => kept.len(),
        };
        match kept.get_mut(place) {
            Some((_, before)) => *before = value,
            None => kept.push((key, value)),
        }
    }
    Ok(kept)
}

/// What may still be done: a pickle can say one value many times over.
struct Budget {
    /// Values and bytes of text that may be copied.
    copied: usize,
    /// Keys and bytes of their text that may be looked up.
    hashed: usize,
}

impl Budget {
    fn of(pickle: &[u8]) -> Self {
        let expanded = pickle.len().saturating_mul(PLAIN_EXPANSION);
        Self {
            copied: expanded,
            hashed: expanded,
        }
    }

    fn copy(&mut self, cost: usize) -> Result<(), Fault> {
        let rest = self.copied.checked_sub(cost);
        self.copied = rest.ok_or(Fault::over("copies of a pickle's values", 1, 0))?;
        Ok(())
    }

    fn hash(&mut self, key: &str) -> Result<(), Fault> {
        let cost = key.len().saturating_add(1);
        let (value, max) = (len_u64(cost), len_u64(self.hashed));
        let rest = self.hashed.checked_sub(cost);
        self.hashed = rest.ok_or(Fault::over("bytes of all keys of a pickle's dicts", value, max))?;
        Ok(())
    }
}

/// A plain value of the pickle; what JSON has no form for is marked, as [`TorchState::others`] says.
///
fn plain(made: &Unpickled<'_>, node: Node<'_>, depth: u32, budget: &mut Budget) -> Result<Value, Fault> {
    budget.copy(1)?;
    if depth >= MAX_DEPTH {
        let max = u64::from(MAX_DEPTH);
        return Err(Fault::over("depth of a pickle", max.saturating_add(1), max));
    }
    let (deeper, marked) = (depth.saturating_add(1), depth.saturating_add(2));
    Ok(match node {
        Node::None => Value::Null,
        Node::Bool(value) => Value::Bool(value),
        Node::Int(_) | Node::Long(_) => {
            let digits = node.integer().map(|integer| integer.to_string());
            Value::Int(digits.unwrap_or_default().into())
        }
        Node::Float(value) => Value::Float(value),
        Node::Text(text) => {
            budget.copy(text.len())?;
            Value::String(text.into())
        }
        Node::Tuple(items) => {
            budget.copy(MARK_COST)?;
            let items = made.items(items).iter().map(|&item| plain(made, item, marked, budget));
            mark(TUPLE, items.collect::<Result<_, _>>()?)
        }
        Node::List(id) => {
            let items = made.list(id).iter().map(|&item| plain(made, item, deeper, budget));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        Node::Dict(id) | Node::Ordered(id) => {
            let entries = distinct(made, made.entries(id), budget)?;
            let is_object = matches!(node, Node::Dict(_))
                && entries.iter().all(|(key, _)| matches!(key, Node::Text(_)))
                && !matches!(entries.as_slice(), [(Node::Text(MARK), _)]);
            match is_object {
                true => {
                    let mut object = Vec::with_capacity(entries.len());
                    for (key, value) in entries {
                        if let Node::Text(key) = key {
                            budget.copy(key.len())?;
                            object.push((key.into(), plain(made, value, deeper, budget)?));
                        }
                    }
                    Value::Object(object)
                }
                false => {
                    budget.copy(MARK_COST)?;
                    let mut by_turns = Vec::with_capacity(entries.len().saturating_mul(2));
                    for (key, value) in entries {
                        by_turns.push(plain(made, key, marked, budget)?);
                        by_turns.push(plain(made, value, marked, budget)?);
                    }
                    let kind = if matches!(node, Node::Dict(_)) {
                        DICT
                    } else {
                        ORDERED_DICT
                    };
                    mark(kind, by_turns)
                }
            }
        }
        Node::Global(_) | Node::Storage(_) | Node::Tensor(_) => {
            return Err(Fault::TorchLayout {
                what: "a tensor outside of the state_dict",
            });
        }
    })
}
