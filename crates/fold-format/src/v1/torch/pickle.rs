//! A restricted unpickler: protocol 2, the instructions that saved tensors consist of, six kinds of names.
//!
//! It is no virtual machine for objects: a name is an entry of a fixed list or an error, and a call is recognised by its
//! shape or refused. Nothing is imported, looked up or run. Values are small and copied: text stays in the pickle, what
//! has parts has them in an arena, so that a pickle that refers to itself costs nothing. Memory is a constant times the
//! pickle's length. States of PyFolds hold some hundred thousand tensors of one element each.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::ops::Range;

use crate::dtype::Dtype;
use crate::interchange::Fault;

/// The longest storage key. Bounded, like the rank, since a pickle can say one value many times over.
pub(super) const MAX_KEY_LEN: usize = 255;

/// The most extents of a tensor that are looked at; more than are supported.
const MAX_EXTENTS: usize = 64;

/// A name that a pickle may mention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Global {
    OrderedDict,
    RebuildTensor,
    Storage(Dtype),
}

impl Global {
    fn find(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch", "FloatStorage") => Self::Storage(Dtype::F32),
            ("torch", "DoubleStorage") => Self::Storage(Dtype::F64),
            ("torch", "HalfStorage") => Self::Storage(Dtype::F16),
            ("torch", "BFloat16Storage") => Self::Storage(Dtype::Bf16),
            ("torch", "LongStorage") => Self::Storage(Dtype::I64),
            ("torch", "IntStorage") => Self::Storage(Dtype::I32),
            ("torch", "ShortStorage") => Self::Storage(Dtype::I16),
            ("torch", "CharStorage") => Self::Storage(Dtype::I8),
            ("torch", "ByteStorage") => Self::Storage(Dtype::U8),
            ("torch", "BoolStorage") => Self::Storage(Dtype::Bool),
            _ => return None,
        })
    }
}

/// A storage, as a persistent id describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Storage<'a> {
    pub(super) dtype: Dtype,
    /// At most [`MAX_KEY_LEN`] bytes.
    pub(super) key: &'a str,
    /// Elements, as stated; none for a number that is negative or beyond 64 bits.
    pub(super) numel: Option<u64>,
}

/// A view of a storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct View<'a> {
    pub(super) storage: Storage<'a>,
    /// In elements; none as for [`Storage::numel`].
    pub(super) offset: Option<u64>,
    /// At most [`MAX_EXTENTS`] integers.
    pub(super) size: Items,
    /// As `size`.
    pub(super) stride: Items,
    pub(super) requires_grad: bool,
}

/// A tuple's items, by their place in [`Unpickled::items`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Items {
    start: usize,
    len: usize,
}

/// The place of a value with parts in the arena of its kind.
pub(super) type Id = usize;

/// A value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Node<'a> {
    None,
    Bool(bool),
    Int(i64),
    /// An integer of up to 16 bytes, little-endian two's complement.
    Long(&'a [u8]),
    Float(f64),
    Text(&'a str),
    Tuple(Items),
    List(Id),
    Dict(Id),
    Ordered(Id),
    Global(Global),
    Storage(Id),
    Tensor(Id),
}

impl Node<'_> {
    /// The number, where it is an integer.
    pub(super) fn integer(self) -> Option<i128> {
        match self {
            Self::Int(value) => Some(value.into()),
            Self::Long(bytes) => wide(bytes),
            _ => None,
        }
    }
}

/// What a pickle described.
#[derive(Default)]
pub(super) struct Unpickled<'a> {
    /// The items of all tuples.
    items: Vec<Node<'a>>,
    lists: Vec<Vec<Node<'a>>>,
    /// The entries of dicts, ordered ones as well.
    dicts: Vec<Vec<(Node<'a>, Node<'a>)>>,
    storages: Vec<Storage<'a>>,
    tensors: Vec<View<'a>>,
    /// Ordered dicts, and the module versions that were built onto them.
    versions: Vec<(Id, Id)>,
}

impl<'a> Unpickled<'a> {
    /// A tuple's items.
    pub(super) fn items(&self, items: Items) -> &[Node<'a>] {
        let Items { start, len } = items;
        self.items.get(start..start.saturating_add(len)).unwrap_or_default()
    }

    /// The integers of a tuple that holds nothing else; none for one that is negative or beyond 64 bits.
    pub(super) fn numbers(&self, items: Items) -> impl Iterator<Item = Option<u64>> {
        let integers = self.items(items).iter().filter_map(|item| item.integer());
        integers.map(|integer| u64::try_from(integer).ok())
    }

    pub(super) fn list(&self, id: Id) -> &[Node<'a>] {
        self.lists.get(id).map_or(&[], Vec::as_slice)
    }

    /// The entries of a dict, ordered or not, in their order.
    pub(super) fn entries(&self, id: Id) -> &[(Node<'a>, Node<'a>)] {
        self.dicts.get(id).map_or(&[], Vec::as_slice)
    }

    /// Whether a state_dict's module versions are what torch takes where there are none: 1 of every module.
    pub(super) fn has_default_versions(&self, state: Id) -> bool {
        let built = self.versions.iter().filter(|(target, _)| *target == state);
        let mut modules = built.flat_map(|(_, versions)| self.entries(*versions));
        modules.all(|(_, module)| {
            let (Node::Dict(id) | Node::Ordered(id)) = *module else {
                return false;
            };
            matches!(self.entries(id), [(Node::Text("version"), Node::Int(1))])
        })
    }

    pub(super) fn tensor(&self, id: Id) -> Option<&View<'a>> {
        self.tensors.get(id)
    }
}

/// Reads a pickle: what it described, and its root. Any bytes may be passed. Never panics; time and memory stay within a
/// small constant of their number.
pub(super) fn unpickle(bytes: &[u8]) -> Result<(Unpickled<'_>, Node<'_>), Fault> {
    let mut machine = Machine {
        bytes,
        at: 0,
        made: Unpickled::default(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: Vec::new(),
    };
    if machine.take::<2>()? != [0x80, 2] {
        return Err(Fault::PickleProtocol);
    }
    loop {
        if let Some(root) = machine.step()? {
            return Ok((machine.made, root));
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    made: Unpickled<'a>,
    stack: Vec<Node<'a>>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    /// By slot. Picklers number the slots as they fill them.
    memo: Vec<Option<Node<'a>>>,
}

impl<'a> Machine<'a> {
    fn truncated(&self) -> Fault {
        Fault::PickleTruncated { offset: self.at }
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8], Fault> {
        let end = self.at.checked_add(count);
        let taken = end
            .and_then(|end| self.bytes.get(self.at..end))
            .ok_or(self.truncated())?;
        self.at = self.at.saturating_add(count);
        Ok(taken)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let taken = self.bytes(N)?;
        taken.try_into().map_err(|_| self.truncated())
    }

    /// Up to the next line break, which is gone over.
    fn line(&mut self) -> Result<&'a str, Fault> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let len = rest.iter().position(|&byte| byte == b'\n').ok_or(self.truncated())?;
        let line = self.bytes(len)?;
        self.at = self.at.saturating_add(1);
        std::str::from_utf8(line).map_err(|_| self.truncated())
    }

    fn push(&mut self, node: Node<'a>) {
        self.stack.push(node);
    }

    fn pop(&mut self) -> Result<Node<'a>, Fault> {
        // Nothing is taken from below a mark.
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len() > floor {
            true => self.stack.pop().ok_or(self.truncated()),
            false => Err(self.truncated()),
        }
    }

    fn top(&self) -> Result<Node<'a>, Fault> {
        self.stack.last().copied().ok_or(self.truncated())
    }

    /// Where everything above the last mark lies on the stack, to be taken off it.
    fn marked(&mut self) -> Result<Range<usize>, Fault> {
        let mark = self.marks.pop().ok_or(self.truncated())?;
        let len = self.stack.len();
        Ok(mark.min(len)..len)
    }

    /// Where the topmost values lie, none of them below a mark, to be taken off the stack.
    fn topmost(&self, count: usize) -> Result<Range<usize>, Fault> {
        let len = self.stack.len();
        let floor = self.marks.last().copied().unwrap_or(0);
        let start = len.checked_sub(count).filter(|&start| start >= floor);
        Ok(start.ok_or(self.truncated())?..len)
    }

    fn tuple(&mut self, place: Range<usize>) {
        let items = Items {
            start: self.made.items.len(),
            len: place.len(),
        };
        self.made.items.extend(self.stack.drain(place));
        self.push(Node::Tuple(items));
    }

    fn dict(&mut self) -> Id {
        self.made.dicts.push(Vec::new());
        self.made.dicts.len().saturating_sub(1)
    }

    fn remember(&mut self, slot: u32) -> Result<(), Fault> {
        let top = self.top()?;
        let index = usize::try_from(slot).unwrap_or(usize::MAX);
        if index >= self.memo.len() {
            // A slot takes at least two bytes to fill, so that no pickler comes to a number beyond these.
            if index > self.bytes.len().saturating_add(usize::from(u8::MAX)) {
                return Err(Fault::PickleMemo { slot });
            }
            self.memo.resize(index.saturating_add(1), None);
        }
        if let Some(place) = self.memo.get_mut(index) {
            *place = Some(top);
        }
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Result<(), Fault> {
        let index = usize::try_from(slot).unwrap_or(usize::MAX);
        let node = self.memo.get(index).copied().flatten();
        self.push(node.ok_or(Fault::PickleMemo { slot })?);
        Ok(())
    }

    /// Takes the items off the stack and adds them to the dict below them.
    fn set_items(&mut self, place: Range<usize>) -> Result<(), Fault> {
        if !place.len().is_multiple_of(2) {
            return Err(self.truncated());
        }
        let target = self.below(&place)?;
        let items = self.stack.get(place.clone()).unwrap_or_default();
        let pairs = items.chunks(2).filter_map(|pair| Some((*pair.first()?, *pair.last()?)));
        match target {
            Node::Dict(id) | Node::Ordered(id) => self.made.dicts.get_mut(id).ok_or(Fault::PickleCall)?.extend(pairs),
            _ => return Err(Fault::PickleCall),
        }
        self.stack.truncate(place.start);
        Ok(())
    }

    /// Takes the items off the stack and adds them to the list below them.
    fn append(&mut self, place: Range<usize>) -> Result<(), Fault> {
        let target = self.below(&place)?;
        let items = self.stack.get(place.clone()).unwrap_or_default();
        match target {
            Node::List(id) => self
                .made
                .lists
                .get_mut(id)
                .ok_or(Fault::PickleCall)?
                .extend_from_slice(items),
            _ => return Err(Fault::PickleCall),
        }
        self.stack.truncate(place.start);
        Ok(())
    }

    /// What lies on the stack below a place.
    fn below(&self, place: &Range<usize>) -> Result<Node<'a>, Fault> {
        let below = self.stack.get(..place.start).and_then(<[_]>::last);
        below.copied().ok_or(self.truncated())
    }

    /// One instruction; the root at the end of the pickle.
    fn step(&mut self) -> Result<Option<Node<'a>>, Fault> {
        let offset = self.at;
        let [opcode] = self.take()?;
        match opcode {
            b'.' => return self.pop().map(Some),
            b'(' => self.marks.push(self.stack.len()),
            b'}' => {
                let id = self.dict();
                self.push(Node::Dict(id));
            }
            b']' => {
                self.push(Node::List(self.made.lists.len()));
                self.made.lists.push(Vec::new());
            }
            b')' => self.tuple(self.topmost(0)?),
            b'N' => self.push(Node::None),
            0x88 => self.push(Node::Bool(true)),
            0x89 => self.push(Node::Bool(false)),
            b'K' => {
                let [value] = self.take()?;
                self.push(Node::Int(value.into()));
            }
            b'M' => {
                let value = u16::from_le_bytes(self.take()?);
                self.push(Node::Int(value.into()));
            }
            b'J' => {
                let value = i32::from_le_bytes(self.take()?);
                self.push(Node::Int(value.into()));
            }
            0x8a => {
                let [len] = self.take()?;
                let bytes = self.bytes(usize::from(len))?;
                wide(bytes).ok_or(Fault::PickleOpcode { opcode, offset })?;
                self.push(Node::Long(bytes));
            }
            b'G' => {
                let value = f64::from_be_bytes(self.take()?);
                self.push(Node::Float(value));
            }
            b'X' => {
                let len = usize::try_from(u32::from_le_bytes(self.take()?)).unwrap_or(usize::MAX);
                let text = std::str::from_utf8(self.bytes(len)?).map_err(|_| self.truncated())?;
                self.push(Node::Text(text));
            }
            b'q' => {
                let [slot] = self.take()?;
                self.remember(slot.into())?;
            }
            b'r' => {
                let slot = u32::from_le_bytes(self.take()?);
                self.remember(slot)?;
            }
            b'h' => {
                let [slot] = self.take()?;
                self.recall(slot.into())?;
            }
            b'j' => {
                let slot = u32::from_le_bytes(self.take()?);
                self.recall(slot)?;
            }
            b't' => {
                let place = self.marked()?;
                self.tuple(place);
            }
            0x85 => self.tuple(self.topmost(1)?),
            0x86 => self.tuple(self.topmost(2)?),
            0x87 => self.tuple(self.topmost(3)?),
            b's' => {
                let place = self.topmost(2)?;
                self.set_items(place)?;
            }
            b'u' => {
                let place = self.marked()?;
                self.set_items(place)?;
            }
            b'a' => {
                let place = self.topmost(1)?;
                self.append(place)?;
            }
            b'e' => {
                let place = self.marked()?;
                self.append(place)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                let global = Global::find(module, name).ok_or_else(|| Fault::ForbiddenGlobal {
                    module: module.into(),
                    name: name.into(),
                })?;
                self.push(Node::Global(global));
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(id).ok_or(Fault::PickleCall)?;
                self.push(Node::Storage(self.made.storages.len()));
                self.made.storages.push(storage);
            }
            b'R' => {
                let arguments = self.pop()?;
                let callee = self.pop()?;
                let made = self.call(callee, arguments).ok_or(Fault::PickleCall)?;
                self.push(made);
            }
            b'b' => {
                let state = self.pop()?;
                let target = self.top()?;
                self.build(target, state).ok_or(Fault::PickleBuild)?;
            }
            0x80 => return Err(Fault::PickleProtocol),
            _ => return Err(Fault::PickleOpcode { opcode, offset }),
        }
        Ok(None)
    }

    /// `('storage', <class>, key, device, numel)`.
    fn storage(&self, identity: Node<'a>) -> Option<Storage<'a>> {
        let Node::Tuple(parts) = identity else { return None };
        match *self.made.items(parts) {
            [
                Node::Text("storage"),
                Node::Global(Global::Storage(dtype)),
                Node::Text(key),
                Node::Text(_),
                numel,
            ] if key.len() <= MAX_KEY_LEN => Some(Storage {
                dtype,
                key,
                numel: u64::try_from(numel.integer()?).ok(),
            }),
            _ => None,
        }
    }

    /// The two calls that there are: an empty ordered dict, and a tensor.
    fn call(&mut self, callee: Node<'a>, arguments: Node<'a>) -> Option<Node<'a>> {
        let Node::Tuple(arguments) = arguments else { return None };
        match callee {
            Node::Global(Global::OrderedDict) if arguments.len == 0 => Some(Node::Ordered(self.dict())),
            Node::Global(Global::RebuildTensor) => {
                let view = self.view(self.made.items(arguments))?;
                self.made.tensors.push(view);
                Some(Node::Tensor(self.made.tensors.len().saturating_sub(1)))
            }
            _ => None,
        }
    }

    /// `(storage, offset, size, stride, requires_grad, hooks)`, and what newer versions of torch add.
    fn view(&self, arguments: &[Node<'a>]) -> Option<View<'a>> {
        let (parts, metadata) = arguments.split_first_chunk::<6>()?;
        let &[
            Node::Storage(storage),
            offset,
            Node::Tuple(size),
            Node::Tuple(stride),
            Node::Bool(requires_grad),
            Node::Ordered(hooks),
        ] = parts
        else {
            return None;
        };
        let are_numbers = |items: Items| {
            items.len <= MAX_EXTENTS && self.made.items(items).iter().all(|item| item.integer().is_some())
        };
        if metadata.len() > 1 || !self.made.entries(hooks).is_empty() || !are_numbers(size) || !are_numbers(stride) {
            return None;
        }
        Some(View {
            storage: *self.made.storages.get(storage)?,
            offset: u64::try_from(offset.integer()?).ok(),
            size,
            stride,
            requires_grad,
        })
    }

    /// The module versions that a state_dict carries.
    fn build(&mut self, target: Node<'a>, state: Node<'a>) -> Option<()> {
        let (Node::Ordered(target), Node::Dict(state)) = (target, state) else {
            return None;
        };
        match *self.made.entries(state) {
            [(Node::Text("_metadata"), Node::Ordered(versions) | Node::Dict(versions))] => {
                self.made.versions.push((target, versions));
                Some(())
            }
            _ => None,
        }
    }
}

/// A little-endian two's complement integer of up to 16 bytes.
fn wide(bytes: &[u8]) -> Option<i128> {
    let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
    let mut wide = [if negative { 0xFF } else { 0 }; 16];
    wide.get_mut(..bytes.len())?.copy_from_slice(bytes);
    Some(i128::from_le_bytes(wide))
}

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests may panic"
)]
mod tests {
    use super::*;

    fn fault(pickle: &[u8]) -> Fault {
        match unpickle(pickle) {
            Ok(_) => panic!("it was read"),
            Err(fault) => fault,
        }
    }

    #[test]
    fn plain_values() {
        let pickle = b"\x80\x02}q\x00(X\x01\x00\x00\x00aK\x05X\x01\x00\x00\x00bJ\xff\xff\xff\xffX\x01\x00\x00\x00c\x8a\x09\xff\xff\xff\xff\xff\xff\xff\xff\x00u.";
        let Ok((read, Node::Dict(root))) = unpickle(pickle) else {
            panic!()
        };
        let entries = [
            (Node::Text("a"), Some(5)),
            (Node::Text("b"), Some(-1)),
            (Node::Text("c"), Some(i128::from(u64::MAX))),
        ];
        let found = read.entries(root).iter().map(|&(key, value)| (key, value.integer()));
        assert_eq!(found.collect::<Vec<_>>(), entries);
    }

    #[test]
    fn nothing_is_called_that_is_not_listed() {
        let call = b"\x80\x02cposix\nsystem\nX\x02\x00\x00\x00id\x85R.";
        assert_eq!(
            fault(call),
            Fault::ForbiddenGlobal {
                module: "posix".into(),
                name: "system".into()
            }
        );
        assert_eq!(
            fault(b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R."),
            Fault::PickleCall
        );
        assert_eq!(fault(b"\x80\x02}}b."), Fault::PickleBuild);
        assert_eq!(fault(b"\x80\x04}."), Fault::PickleProtocol);
        assert_eq!(fault(b"}."), Fault::PickleProtocol);
        assert_eq!(fault(b"\x80\x02h\x05."), Fault::PickleMemo { slot: 5 });
        // Slots take memory up to their number: none is beyond what the pickle's length allows.
        assert_eq!(
            fault(b"\x80\x02Nr\xff\xff\xff\xff."),
            Fault::PickleMemo { slot: u32::MAX }
        );
        assert!(unpickle(b"\x80\x02Nq\xffh\xff.").is_ok());
        assert!(matches!(fault(b"\x80\x02i"), Fault::PickleOpcode { opcode: b'i', .. }));
        for cut in [
            &b"\x80\x02"[..],
            b"\x80\x02.",
            b"\x80\x02X\xff\xff\xff\xffa",
            b"\x80\x02t.",
            b"\x80\x02K\x01(\x85.",
            b"\x80",
        ] {
            assert!(matches!(fault(cut), Fault::PickleTruncated { .. }), "{cut:?}");
        }
    }

    /// The opcode of a text.
    fn text(text: &str) -> Vec<u8> {
        [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
    }

    /// A tensor of four elements, each part of its pickle by name, with one part replaced: storage key, elements of the
    /// storage, size and stride.
    #[expect(clippy::type_complexity, reason = "four things that are compared at once")]
    fn tensor_with(part: &str, by: &[u8]) -> Result<(String, Option<u64>, Vec<Option<u64>>, Vec<Option<u64>>), Fault> {
        let parts: [(&str, Vec<u8>); 15] = [
            ("callee", b"ctorch._utils\n_rebuild_tensor_v2\n".to_vec()),
            ("arguments", b"(".to_vec()),
            ("identity", b"(".to_vec()),
            ("kind", text("storage")),
            ("class", b"ctorch\nFloatStorage\n".to_vec()),
            ("key", text("0")),
            ("device", text("cpu")),
            ("numel", b"K\x04".to_vec()),
            ("storage", b"tQ".to_vec()),
            ("offset", b"K\x00".to_vec()),
            ("size", b"K\x04\x85".to_vec()),
            ("stride", b"K\x01\x85".to_vec()),
            ("grad", b"\x89".to_vec()),
            ("hooks", b"ccollections\nOrderedDict\n)R".to_vec()),
            ("metadata", Vec::new()),
        ];
        assert!(part.is_empty() || parts.iter().any(|(name, _)| *name == part), "{part}");
        let bytes = parts.iter().map(|(name, bytes)| if *name == part { by } else { bytes });
        let pickle = [b"\x80\x02", &bytes.collect::<Vec<_>>().concat()[..], b"tR."].concat();
        let (made, root) = unpickle(&pickle)?;
        let Node::Tensor(id) = root else { panic!("{root:?}") };
        let view = made.tensor(id).unwrap();
        let numbers = |items| made.numbers(items).collect();
        let Storage { key, numel, .. } = view.storage;
        Ok((key.into(), numel, numbers(view.size), numbers(view.stride)))
    }

    #[test]
    fn a_tensor_is_built_from_exactly_what_torch_writes() {
        let built = ("0".into(), Some(4), vec![Some(4)], vec![Some(1)]);
        assert_eq!(tensor_with("", b""), Ok(built));
        assert!(
            tensor_with("metadata", b"}").is_ok(),
            "one more argument is what newer versions add"
        );

        let long = text(&"k".repeat(MAX_KEY_LEN + 1));
        let many = [b"(", &b"K\x01".repeat(MAX_EXTENTS + 1)[..], b"t"].concat();
        for (part, by) in [
            ("kind", &b"X\x07\0\0\0storagE"[..]),
            ("kind", b"K\x01"),
            ("class", b"K\x01"),
            ("class", b"ccollections\nOrderedDict\n"),
            ("key", b"K\x01"),
            ("key", &long),
            ("device", b"K\x01"),
            ("numel", b"\x88"),
            ("storage", b"K\x00tQ"),
            ("storage", b"tK\x05Q"),
            ("callee", b"K\x01"),
            ("callee", b"ctorch\nFloatStorage\n"),
            ("storage", b"t"),
            ("offset", b"\x88"),
            ("size", b"K\x04"),
            ("size", b"\x88\x85"),
            ("size", &many),
            ("stride", b"\x89"),
            ("grad", b"K\x00"),
            ("hooks", b"}"),
            ("hooks", b"ccollections\nOrderedDict\n)RK\x01K\x02s"),
            ("hooks", b""),
            ("metadata", b"}}"),
        ] {
            let fault = tensor_with(part, by).err();
            assert_eq!(fault, Some(Fault::PickleCall), "{part} {by:?}");
        }
    }

    #[test]
    fn only_module_versions_are_built_onto_a_state() {
        let state = |entries: &[u8]| {
            let pickle = [b"\x80\x02ccollections\nOrderedDict\n)R", entries, b"b."].concat();
            unpickle(&pickle).map(|_| ())
        };
        let entry = |key: &str, value: &[u8]| [&text(key), value, b"s"].concat();
        assert_eq!(state(&[b"}", &entry("_metadata", b"}")[..]].concat()), Ok(()));
        for wrong in [
            [b"}", &entry("_metadatA", b"}")[..]].concat(),
            [b"}", &entry("_metadata", b"K\x01")[..]].concat(),
            [b"}", &entry("_metadata", b"}")[..], &entry("more", b"}")].concat(),
            b"}K\x01}s".to_vec(),
            b"}".to_vec(),
            b"K\x01".to_vec(),
        ] {
            assert_eq!(state(&wrong), Err(Fault::PickleBuild), "{wrong:?}");
        }
    }

    #[test]
    fn a_pickle_that_contains_itself_costs_nothing() {
        let Ok((read, root @ Node::List(id))) = unpickle(b"\x80\x02]q\x00h\x00a.") else {
            panic!()
        };
        assert_eq!(read.list(id), [root]);
    }
}
