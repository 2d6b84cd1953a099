//! A restricted unpickler: protocol 2, the instructions that saved tensors consist of, six kinds of names.
//!
//! It is no virtual machine for objects: a name is an entry of a fixed list or an error, and a call is recognised by its
//! shape or refused. Nothing is imported, looked up or run. Values live in an arena, so that a pickle that refers to
//! itself costs nothing; memory is a constant times the pickle's length.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::collections::HashMap;

use crate::dtype::Dtype;
use crate::interchange::Fault;

/// A value's place in the arena.
pub(super) type Id = usize;

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Storage {
    pub(super) dtype: Dtype,
    /// At most [`MAX_KEY_LEN`] bytes.
    pub(super) key: Box<str>,
    /// Elements, as stated.
    pub(super) numel: Option<u64>,
}

/// A view of a storage; none for a number that is negative or beyond 64 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct View {
    pub(super) storage: Storage,
    pub(super) offset: Option<u64>,
    pub(super) size: Vec<Option<u64>>,
    pub(super) stride: Vec<Option<u64>>,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    None,
    Bool(bool),
    /// In decimal.
    Int(Box<str>),
    Float(f64),
    Text(Box<str>),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Ordered(Vec<(Id, Id)>),
    Global(Global),
    Storage(Storage),
    Tensor(Box<View>),
}

/// What a pickle described.
pub(super) struct Unpickled {
    pub(super) nodes: Vec<Node>,
    pub(super) root: Id,
}

impl Unpickled {
    pub(super) fn node(&self, id: Id) -> &Node {
        self.nodes.get(id).unwrap_or(&Node::None)
    }
}

/// Reads a pickle. Any bytes may be passed. Never panics; time and memory stay within a small constant of their number.
pub(super) fn unpickle(bytes: &[u8]) -> Result<Unpickled, Fault> {
    let mut machine = Machine {
        bytes,
        at: 0,
        nodes: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    if machine.take::<2>()? != [0x80, 2] {
        return Err(Fault::PickleProtocol);
    }
    loop {
        if let Some(root) = machine.step()? {
            return Ok(Unpickled {
                nodes: machine.nodes,
                root,
            });
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    stack: Vec<Id>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
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

    fn push(&mut self, node: Node) {
        self.stack.push(self.nodes.len());
        self.nodes.push(node);
    }

    fn pop(&mut self) -> Result<Id, Fault> {
        // Nothing is taken from below a mark.
        let floor = self.marks.last().copied().unwrap_or(0);
        match self.stack.len() > floor {
            true => self.stack.pop().ok_or(self.truncated()),
            false => Err(self.truncated()),
        }
    }

    fn top(&self) -> Result<Id, Fault> {
        self.stack.last().copied().ok_or(self.truncated())
    }

    /// Everything above the last mark.
    fn marked(&mut self) -> Result<Vec<Id>, Fault> {
        let mark = self.marks.pop().ok_or(self.truncated())?;
        Ok(self.stack.split_off(mark.min(self.stack.len())))
    }

    fn node(&self, id: Id) -> &Node {
        self.nodes.get(id).unwrap_or(&Node::None)
    }

    fn tuple(&mut self, count: usize) -> Result<(), Fault> {
        let mut items = Vec::with_capacity(count);
        for _ in 0..count {
            items.push(self.pop()?);
        }
        items.reverse();
        self.push(Node::Tuple(items));
        Ok(())
    }

    fn remember(&mut self, slot: u32) -> Result<(), Fault> {
        let top = self.top()?;
        self.memo.insert(slot, top);
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Result<(), Fault> {
        let id = self.memo.get(&slot).copied().ok_or(Fault::PickleMemo { slot })?;
        self.stack.push(id);
        Ok(())
    }

    /// Adds to the dict that is on top, once the items are off the stack.
    fn set_items(&mut self, items: &[Id]) -> Result<(), Fault> {
        let target = self.top()?;
        if !items.len().is_multiple_of(2) {
            return Err(self.truncated());
        }
        let pairs = items.chunks(2).filter_map(|pair| Some((*pair.first()?, *pair.last()?)));
        match self.nodes.get_mut(target) {
            Some(Node::Dict(entries) | Node::Ordered(entries)) => entries.extend(pairs),
            _ => return Err(Fault::PickleCall),
        }
        Ok(())
    }

    fn append(&mut self, items: &[Id]) -> Result<(), Fault> {
        let target = self.top()?;
        match self.nodes.get_mut(target) {
            Some(Node::List(list)) => list.extend_from_slice(items),
            _ => return Err(Fault::PickleCall),
        }
        Ok(())
    }

    /// One instruction; the root at the end of the pickle.
    fn step(&mut self) -> Result<Option<Id>, Fault> {
        let offset = self.at;
        let [opcode] = self.take()?;
        match opcode {
            b'.' => return self.pop().map(Some),
            b'(' => self.marks.push(self.stack.len()),
            b'}' => self.push(Node::Dict(Vec::new())),
            b']' => self.push(Node::List(Vec::new())),
            b')' => self.push(Node::Tuple(Vec::new())),
            b'N' => self.push(Node::None),
            0x88 => self.push(Node::Bool(true)),
            0x89 => self.push(Node::Bool(false)),
            b'K' => {
                let [value] = self.take()?;
                self.push(Node::Int(value.to_string().into()));
            }
            b'M' => {
                let value = u16::from_le_bytes(self.take()?);
                self.push(Node::Int(value.to_string().into()));
            }
            b'J' => {
                let value = i32::from_le_bytes(self.take()?);
                self.push(Node::Int(value.to_string().into()));
            }
            0x8a => {
                let [len] = self.take()?;
                let bytes = self.bytes(usize::from(len))?;
                let value = integer(bytes).ok_or(Fault::PickleOpcode { opcode, offset })?;
                self.push(Node::Int(value.to_string().into()));
            }
            b'G' => {
                let value = f64::from_be_bytes(self.take()?);
                self.push(Node::Float(value));
            }
            b'X' => {
                let len = usize::try_from(u32::from_le_bytes(self.take()?)).unwrap_or(usize::MAX);
                let text = std::str::from_utf8(self.bytes(len)?).map_err(|_| self.truncated())?;
                self.push(Node::Text(text.into()));
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
                let items = self.marked()?;
                self.push(Node::Tuple(items));
            }
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set_items(&[key, value])?;
            }
            b'u' => {
                let items = self.marked()?;
                self.set_items(&items)?;
            }
            b'a' => {
                let item = self.pop()?;
                self.append(&[item])?;
            }
            b'e' => {
                let items = self.marked()?;
                self.append(&items)?;
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
                self.push(Node::Storage(storage));
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
    fn storage(&self, id: Id) -> Option<Storage> {
        let Node::Tuple(parts) = self.node(id) else { return None };
        let &[kind, class, key, device, numel] = parts.as_slice() else {
            return None;
        };
        match (
            self.node(kind),
            self.node(class),
            self.node(key),
            self.node(device),
            self.node(numel),
        ) {
            (
                Node::Text(kind),
                Node::Global(Global::Storage(dtype)),
                Node::Text(key),
                Node::Text(_),
                Node::Int(numel),
            ) if &**kind == "storage" && key.len() <= MAX_KEY_LEN => Some(Storage {
                dtype: *dtype,
                key: key.clone(),
                numel: numel.parse().ok(),
            }),
            _ => None,
        }
    }

    /// The two calls that there are: an empty ordered dict, and a tensor.
    fn call(&self, callee: Id, arguments: Id) -> Option<Node> {
        let Node::Tuple(arguments) = self.node(arguments) else {
            return None;
        };
        match self.node(callee) {
            Node::Global(Global::OrderedDict) if arguments.is_empty() => Some(Node::Ordered(Vec::new())),
            Node::Global(Global::RebuildTensor) => {
                let (&[storage, offset, size, stride, grad, hooks], metadata) = arguments.split_first_chunk::<6>()?;
                if metadata.len() > 1 {
                    return None;
                }
                let number = |id| match self.node(id) {
                    Node::Int(digits) => Some(digits.parse().ok()),
                    _ => None,
                };
                let numbers = |id| match self.node(id) {
                    Node::Tuple(items) if items.len() <= MAX_EXTENTS => {
                        items.iter().map(|&item| number(item)).collect::<Option<Vec<_>>>()
                    }
                    _ => None,
                };
                match (self.node(storage), self.node(grad), self.node(hooks)) {
                    (Node::Storage(storage), Node::Bool(_), Node::Ordered(hooks)) if hooks.is_empty() => {
                        Some(Node::Tensor(Box::new(View {
                            storage: storage.clone(),
                            offset: number(offset)?,
                            size: numbers(size)?,
                            stride: numbers(stride)?,
                        })))
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    /// The module versions that a state_dict carries; they are dropped.
    fn build(&self, target: Id, state: Id) -> Option<()> {
        let (Node::Ordered(_), Node::Dict(entries)) = (self.node(target), self.node(state)) else {
            return None;
        };
        let &[(key, value)] = entries.as_slice() else {
            return None;
        };
        match (self.node(key), self.node(value)) {
            (Node::Text(key), Node::Ordered(_) | Node::Dict(_)) if &**key == "_metadata" => Some(()),
            _ => None,
        }
    }
}

/// A little-endian two's complement integer of up to 16 bytes.
fn integer(bytes: &[u8]) -> Option<i128> {
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
        let read = unpickle(b"\x80\x02}q\x00(X\x01\x00\x00\x00aK\x05X\x01\x00\x00\x00bJ\xff\xff\xff\xffu.").unwrap();
        let Node::Dict(entries) = read.node(read.root) else {
            panic!()
        };
        let texts: Vec<_> = entries
            .iter()
            .map(|&(key, value)| (read.node(key).clone(), read.node(value).clone()))
            .collect();
        assert_eq!(texts[0], (Node::Text("a".into()), Node::Int("5".into())));
        assert_eq!(texts[1], (Node::Text("b".into()), Node::Int("-1".into())));
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

    /// A tensor of four elements, each part of its pickle by name, with one part replaced.
    fn tensor_with(part: &str, by: &[u8]) -> Result<Unpickled, Fault> {
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
        unpickle(&pickle)
    }

    #[test]
    fn a_tensor_is_built_from_exactly_what_torch_writes() {
        let built = tensor_with("", b"").unwrap_or_else(|fault| panic!("{fault}"));
        let Node::Tensor(view) = built.node(built.root) else {
            panic!("{:?}", built.node(built.root))
        };
        assert_eq!((&*view.storage.key, view.storage.numel), ("0", Some(4)));
        assert_eq!((&*view.size, &*view.stride), (&[Some(4)][..], &[Some(1)][..]));
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
        let read = unpickle(b"\x80\x02]q\x00h\x00a.").unwrap();
        assert_eq!(read.node(read.root), &Node::List(vec![read.root]));
    }
}
