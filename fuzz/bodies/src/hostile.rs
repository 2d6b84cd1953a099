//! Files that have broken readers elsewhere, by class of defect: each is named, and says what verification answers.
//!
//! They are made from a whole file by changing what the name says and making every digest right again, as a hostile or
//! broken writer would; built anew at every call, always to the same bytes.

mod compressed;

use fold_format::{Code, Content, Dtype, Durability, SaveOptions, TensorSource, save};

use crate::mutate::{fix_superblock, seal};
use crate::random::Random;
use crate::slow::PAGE;
use crate::writer::Memory;

/// One file.
#[derive(Clone, Debug)]
pub struct Hostile {
    /// The class, as `CLASSES` counts them from 1.
    pub class: usize,
    /// What is wrong with it.
    pub name: &'static str,
    /// The whole file.
    pub bytes: Vec<u8>,
    /// The code that a full verification must report among others; none where the file breaks no rule.
    pub code: Option<Code>,
}

/// The classes, in their order.
pub const CLASSES: [&str; 29] = [
    "an offset, a length or a running sum overflows before it is checked",
    "rounding up to an alignment overflows and slips past the check",
    "a product of extents overflows, or hides behind a zero",
    "a chunk outside the file",
    "a huge count or shape, allocated before it is checked",
    "a limit computed with the wrong element size",
    "lengths of names, and names where something else is",
    "malformed metadata that a tool decodes and writes again",
    "trusted flags and block sizes",
    "overlapping and aliased entries",
    "duplicate names",
    "two copies of a fact disagree",
    "gaps, prefixes, trailing bytes, polyglots",
    "deep nesting",
    "decompression bombs and lying sizes",
    "names of code in data",
    "names like paths, external references",
    "alignment that is none",
    "unaligned elements and invalid bit patterns",
    "something in the padding",
    "entries that are looked at only after a file was opened",
    "unknown values of enumerations",
    "negative numbers as sizes",
    "cycles",
    "a broken entry among good ones, which must not be left out silently",
    "a file that shrank, grew or was replaced",
    "many tiny entries",
    "control characters and escapes in names",
    "nothing, prefixes, reserved bits, old generations, the largest numbers",
];

/// A whole file and where things lie in it.
struct Base(Vec<u8>);

/// The chunks of the base, by the numbers of their records.
const BLOB: usize = 0;
const HISTORY: usize = 1;
const MORE: usize = 2;
const STATE: usize = 3;

impl Base {
    /// Chunks `blob` (5000 bytes), `history` (JSON), `more` (tensor `v`: u8 [64]) and `state` (tensors `a`: u8 [10, 10],
    /// `b`: f32 [1250], `flag`: bool [3]); blocks of 4096 bytes.
    fn new() -> Self {
        let mut random = Random::new(29);
        let data = (0..6000).map(|_| random.any() as u8).collect::<Vec<_>>();
        let tensor = |name: &'static str, dtype, shape: &[u64], len: usize| {
            TensorSource::new(name, dtype, shape, &data[..len]).expect("the bytes are as long as the shape says")
        };
        let flags = TensorSource::new("flag", Dtype::Bool, &[3], &[0, 1, 1]).expect("three flags");
        let content = Content::new()
            .metadata(r#"{"k":1}"#)
            .bytes("blob", &data[..5000])
            .json("history", "[1,2]")
            .tensors("more", [tensor("v", Dtype::U8, &[64], 64)])
            .tensors(
                "state",
                [
                    tensor("a", Dtype::U8, &[10, 10], 100),
                    tensor("b", Dtype::F32, &[1250], 5000),
                    flags,
                ],
            );
        Self(write(&content))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.0[at..at + 8].try_into().expect("eight bytes"))
    }

    fn index(&self) -> usize {
        self.u64(96) as usize
    }

    fn chunk(&self, number: usize) -> usize {
        self.index() + 64 + 128 * number
    }

    /// Tensor records: 0 `a`, 1 `b`, 2 `flag`, 3 `v`.
    fn tensor(&self, number: usize) -> usize {
        self.chunk(4) + 128 * number
    }

    fn strings(&self) -> usize {
        self.tensor(4)
    }

    fn metadata(&self) -> usize {
        self.strings() + self.u64(self.index() + 24) as usize
    }

    /// Where the prologue of a chunk lies.
    fn prologue(&self, number: usize) -> usize {
        self.u64(self.chunk(number) + 8) as usize
    }

    /// The file with some bytes changed and every digest right.
    fn with(&self, changes: &[(usize, &[u8])]) -> Vec<u8> {
        let mut bytes = self.changed(changes);
        seal(&mut bytes);
        bytes
    }

    /// The file with some bytes changed and nothing mended.
    fn changed(&self, changes: &[(usize, &[u8])]) -> Vec<u8> {
        let mut bytes = self.0.clone();
        for (at, value) in changes {
            bytes[*at..*at + value.len()].copy_from_slice(value);
        }
        bytes
    }

    /// The file with changes in the superblock alone, and its digests right.
    fn with_superblock(&self, changes: &[(usize, &[u8])]) -> Vec<u8> {
        let mut bytes = self.changed(changes);
        fix_superblock(&mut bytes);
        bytes
    }
}

fn write(content: &Content<'_>) -> Vec<u8> {
    let (memory, path) = (Memory::default(), std::path::Path::new("hostile.fold"));
    let options = SaveOptions::new(Durability::None).block_log2(12);
    save(&memory, path, content, &options).unwrap_or_else(|error| panic!("the base is not written: {error}"));
    memory.get(path).unwrap_or_default()
}

/// Every file, class by class.
///
/// # Panics
/// When the writer does not take a base.
#[must_use]
pub fn hostile() -> Vec<Hostile> {
    let base = Base::new();
    let mut files = Files(Vec::new());
    numbers(&base, &mut files);
    names_and_text(&base, &mut files);
    structure(&base, &mut files);
    content(&base, &mut files);
    whole_files(&base, &mut files);
    many(&mut files);
    compressed::files(&mut files);
    files.0.sort_by_key(|file| (file.class, file.name));
    files.0
}

struct Files(Vec<Hostile>);

impl Files {
    fn add(&mut self, class: usize, name: &'static str, code: impl Into<Option<Code>>, bytes: Vec<u8>) {
        self.0.push(Hostile {
            class,
            name,
            bytes,
            code: code.into(),
        });
    }
}

const MAX: [u8; 8] = u64::MAX.to_le_bytes();

fn le(value: u64) -> [u8; 8] {
    value.to_le_bytes()
}

/// Classes 1 to 6, 18, 23: numbers.
fn numbers(base: &Base, files: &mut Files) {
    let (state, a, b) = (base.chunk(STATE), base.tensor(0), base.tensor(1));
    let header = base.index();
    let offset = base.u64(state + 8);
    // A chunk of bytes: its length is its own alone.
    let blob = base.chunk(BLOB);

    files.add(1, "chunk-offset-max", Code::Malformed, base.with(&[(state + 8, &MAX)]));
    let wraps = le(0_u64.wrapping_sub(base.u64(blob + 8) + 4096));
    files.add(
        1,
        "chunk-end-wraps-to-zero",
        Code::OutOfBounds,
        base.with(&[(blob + 16, &wraps), (blob + 24, &wraps)]),
    );
    files.add(
        1,
        "tensor-end-wraps",
        Code::OutOfBounds,
        base.with(&[(b + 16, &le(u64::MAX - 63))]),
    );
    files.add(1, "block-sum-wraps", Code::Malformed, base.with(&[(state + 40, &MAX)]));
    files.add(1, "name-offset-max", Code::OutOfBounds, base.with(&[(a, &[0xff; 4])]));

    let round = le(u64::MAX - 4094);
    files.add(
        2,
        "stored-len-rounds-past-the-end",
        Code::OutOfBounds,
        base.with(&[(blob + 16, &round), (blob + 24, &round)]),
    );
    files.add(
        2,
        "index-len-rounds-past-the-end",
        Code::OutOfBounds,
        base.with_superblock(&[(112, &round)]),
    );
    files.add(
        2,
        "payload-len-near-the-end",
        Code::OutOfBounds,
        base.with_superblock(&[(88, &le(!4095))]),
    );
    files.add(
        2,
        "tensor-len-rounds-past-the-end",
        Code::Malformed,
        base.with(&[(a + 24, &MAX)]),
    );

    let extents = |extents: [u64; 8]| extents.map(u64::to_le_bytes).concat();
    files.add(
        3,
        "product-of-extents-is-zero-modulo-2-64",
        Code::OutOfBounds,
        base.with(&[
            (a + 7, &[2]),
            (a + 32, &extents([1 << 32, 1 << 32, 0, 0, 0, 0, 0, 0])),
            (a + 24, &le(0)),
        ]),
    );
    files.add(
        3,
        "zero-times-huge",
        Code::OutOfBounds,
        base.with(&[
            (a + 7, &[3]),
            (a + 32, &extents([0, u64::MAX, u64::MAX, 0, 0, 0, 0, 0])),
            (a + 24, &le(0)),
        ]),
    );
    files.add(3, "rank-255", Code::Malformed, base.with(&[(a + 7, &[255])]));
    files.add(3, "rank-9", Code::Malformed, base.with(&[(a + 7, &[9])]));
    files.add(
        3,
        "extent-past-the-rank",
        Code::Malformed,
        base.with(&[(a + 32 + 16, &le(1))]),
    );

    files.add(
        4,
        "chunk-begins-at-the-end",
        Code::Malformed,
        base.with(&[(state + 8, &le(base.0.len() as u64))]),
    );
    files.add(
        4,
        "chunk-begins-a-terabyte-behind",
        Code::Malformed,
        base.with(&[(state + 8, &le(1 << 40))]),
    );
    let long = le(base.0.len() as u64);
    files.add(
        4,
        "chunk-as-long-as-the-file",
        Code::OutOfBounds,
        base.with(&[(blob + 16, &long), (blob + 24, &long)]),
    );
    files.add(
        4,
        "tensor-longer-than-its-chunk",
        Code::OutOfBounds,
        base.with(&[(b + 24, &le(1 << 32)), (b + 32, &le(1 << 30))]),
    );

    files.add(
        5,
        "four-billion-chunks",
        Code::OverLimit,
        base.with(&[(header + 8, &[0xff; 4])]),
    );
    files.add(
        5,
        "trillion-tensors",
        Code::OverLimit,
        base.with(&[(header + 16, &le(1 << 40))]),
    );
    files.add(
        5,
        "exabyte-of-names",
        Code::OutOfBounds,
        base.with(&[(header + 24, &le(1 << 60))]),
    );
    files.add(
        5,
        "exabyte-of-metadata",
        Code::OverLimit,
        base.with(&[(header + 32, &le(1 << 60))]),
    );
    files.add(
        5,
        "quadrillion-blocks",
        Code::Malformed,
        base.with_superblock(&[(72, &le(1 << 50))]),
    );
    files.add(
        5,
        "petabyte-shape",
        Code::OutOfBounds,
        base.with(&[(b + 32, &le(1 << 48)), (b + 24, &le(1 << 50))]),
    );

    files.add(
        6,
        "bytes-as-records",
        Code::OutOfBounds,
        base.with(&[(header + 16, &le(base.u64(112)))]),
    );
    files.add(6, "length-of-u8-for-f64", Code::Malformed, base.with(&[(a + 6, &[13])]));
    files.add(
        6,
        "entries-as-bytes",
        Code::Malformed,
        base.with_superblock(&[(136, &le(base.u64(72)))]),
    );

    files.add(18, "tensor-at-1", Code::Malformed, base.with(&[(b + 16, &le(129))]));
    files.add(18, "tensor-at-63", Code::Malformed, base.with(&[(b + 16, &le(63))]));
    files.add(
        18,
        "chunk-at-512",
        Code::Malformed,
        base.with(&[(state + 8, &le(offset + 512))]),
    );
    files.add(
        18,
        "payload-of-512",
        Code::Malformed,
        base.with_superblock(&[(88, &le(base.u64(88) - 512))]),
    );

    let minus = |value: i64| value.to_le_bytes();
    files.add(
        23,
        "stored-len-minus-4096",
        Code::OutOfBounds,
        base.with(&[(blob + 16, &minus(-4096)), (blob + 24, &minus(-4096))]),
    );
    files.add(
        23,
        "tensor-len-minus-one",
        Code::Malformed,
        base.with(&[(b + 24, &minus(-1))]),
    );
    files.add(
        23,
        "tensor-offset-minus-64",
        Code::OutOfBounds,
        base.with(&[(b + 16, &minus(-64))]),
    );
    files.add(
        23,
        "tensor-count-minus-one",
        Code::OverLimit,
        base.with(&[(header + 16, &minus(-1))]),
    );
    files.add(
        23,
        "extent-minus-one",
        Code::OutOfBounds,
        base.with(&[(b + 32, &minus(-1))]),
    );
}

/// Classes 7, 8, 11, 14, 16, 17, 28: names and text.
fn names_and_text(base: &Base, files: &mut Files) {
    let (state, a, b) = (base.chunk(STATE), base.tensor(0), base.tensor(1));
    let (strings, metadata) = (base.strings(), base.metadata());
    // The string table: `blobhistorymorestate`, then `abflagv`.
    debug_assert_eq!(&base.0[strings..metadata], b"blobhistorymorestateabflagv");

    files.add(
        7,
        "name-of-65535-bytes",
        Code::OutOfBounds,
        base.with(&[(a + 4, &[0xff; 2])]),
    );
    files.add(
        7,
        "empty-chunk-name",
        Code::Malformed,
        base.with(&[(state + 4, &[0; 2])]),
    );
    files.add(7, "empty-tensor-name", Code::Malformed, base.with(&[(a + 4, &[0; 2])]));
    files.add(
        7,
        "name-of-the-neighbour",
        Code::Malformed,
        base.with(&[(a, &base.0[b..b + 4])]),
    );
    files.add(
        7,
        "name-that-ends-in-a-character",
        Code::Malformed,
        base.with(&[(strings, &[0xc3])]),
    );

    files.add(
        8,
        "metadata-not-utf-8",
        Code::Malformed,
        base.with(&[(metadata, &[0xff])]),
    );
    files.add(8, "metadata-cut-off", None, base.with(&[(metadata, br#"{"k":[["#)]));
    files.add(8, "metadata-not-an-object", None, base.with(&[(metadata, b"[1,2,3]")]));
    files.add(
        8,
        "metadata-number-beyond-f64",
        None,
        base.with(&[(metadata, br#"[9e999]"#)]),
    );
    files.add(
        8,
        "metadata-lone-surrogate",
        None,
        base.with(&[(metadata, br#""\ud8""#), (metadata + 6, b"\"")]),
    );
    files.add(8, "metadata-of-zeros", None, base.with(&[(metadata, &[0; 7])]));

    let same = Content::new().bytes("aa", b"1").bytes("ab", b"2").tensors("t", []);
    let same = Base(write(&same));
    let names = same.index() + 64 + 3 * 128;
    files.add(
        11,
        "chunks-of-one-name",
        Code::DuplicateName,
        same.with(&[(names + 3, b"a")]),
    );
    files.add(
        11,
        "tensors-of-one-name-other-span",
        Code::DuplicateName,
        base.with(&[(strings + 21, b"a")]),
    );
    files.add(
        11,
        "tensors-of-one-name-same-span",
        Code::DuplicateName,
        base.with(&[(b, &base.0[a..a + 128])]),
    );
    let equal = Content::new()
        .bytes("\u{e9}", b"composed")
        .bytes("e\u{301}", b"decomposed");
    files.add(11, "names-equal-to-unicode-only", None, write(&equal));

    let nested = |open: &str, close: &str| format!("{}{}", open.repeat(100_000), close.repeat(100_000));
    let arrays = nested("[", "]");
    let metadata_arrays = format!(r#"{{"a":{}}}"#, nested("[", "]"));
    // The writer refuses such text where it parses it: as bytes it takes it, and the kind is changed afterwards.
    let deep = Base(write(&Content::new().bytes("j", arrays.as_bytes())));
    let kind = deep.chunk(0) + 6;
    let prologue = deep.prologue(0) + 28;
    files.add(
        14,
        "hundred-thousand-arrays-in-a-chunk",
        None,
        deep.with(&[(kind, &[2]), (prologue, &[2])]),
    );
    files.add(
        14,
        "hundred-thousand-arrays-in-the-metadata",
        None,
        with_metadata(metadata_arrays.as_bytes()),
    );
    let objects = nested(r#"{"a":"#, "}").replacen("}", "1}", 1);
    files.add(
        14,
        "hundred-thousand-objects-in-the-metadata",
        None,
        with_metadata(objects.as_bytes()),
    );

    let pickle = b"\x80\x04c\x05posix\nsystem\nX\x02\0\0\0id\x85R.";
    files.add(
        16,
        "pickle-in-a-chunk",
        None,
        write(&Content::new().bytes("data.pkl", pickle)),
    );
    files.add(
        16,
        "tensor-named-like-a-function",
        None,
        write(&one_tensor("os.system")),
    );
    files.add(
        16,
        "reduce-in-the-metadata",
        None,
        with_metadata(br#"{"__reduce__":["os.system",["id"]]}"#),
    );

    for (name, path) in [
        ("chunk-up-the-tree", "../../../etc/passwd"),
        ("chunk-at-the-root", "/etc/passwd"),
        ("chunk-like-a-drive", "C:\\windows\\x"),
        ("chunk-like-a-device", "/dev/stdin"),
    ] {
        files.add(17, name, None, write(&Content::new().bytes(path, b"x")));
    }
    files.add(17, "tensor-up-the-tree", None, write(&one_tensor("../../x")));
    files.add(
        17,
        "external-reference-in-the-metadata",
        None,
        with_metadata(br#"{"external_data":"/etc/passwd"}"#),
    );

    for (name, byte) in [
        ("escape-in-a-name", 0x1b),
        ("zero-in-a-name", 0),
        ("line-feed-in-a-name", b'\n'),
        ("delete-in-a-name", 0x7f),
    ] {
        files.add(28, name, Code::Malformed, base.with(&[(strings, &[byte])]));
    }
    files.add(
        28,
        "c1-control-in-a-name",
        Code::Malformed,
        base.with(&[(strings, "\u{9b}".as_bytes())]),
    );
    files.add(
        28,
        "escape-in-a-tensor-name",
        Code::Malformed,
        base.with(&[(strings + 20, &[0x1b])]),
    );
    files.add(
        28,
        "right-to-left-override-in-a-name",
        None,
        write(&one_tensor("gnp.\u{202e}exe")),
    );
    files.add(
        28,
        "escape-in-the-metadata",
        None,
        with_metadata(b"{\"\x1b[2J\":\"\x1b]0;owned\x07\"}"),
    );
    files.add(
        28,
        "escaped-escape-in-the-metadata",
        None,
        with_metadata(br#"{"a":"\u001b[2J\u0000\n"}"#),
    );
}

fn one_tensor(name: &'static str) -> Content<'static> {
    let tensor = TensorSource::new(name, Dtype::U8, &[2], &[1, 2]).expect("two bytes");
    Content::new().tensors("state", [tensor])
}

/// A file with this text for metadata, which need not be valid JSON: it takes the place of as many spaces.
fn with_metadata(text: &[u8]) -> Vec<u8> {
    let room = format!("{{{}}}", " ".repeat(text.len().saturating_sub(2)));
    let base = Base(write(&Content::new().metadata(&room)));
    let metadata = base.index() + 64;
    base.with(&[(metadata, text)])
}

/// Classes 9, 10, 12, 21, 22, 24, 25: structure.
fn structure(base: &Base, files: &mut Files) {
    let (blob, history, more, state) = (
        base.chunk(BLOB),
        base.chunk(HISTORY),
        base.chunk(MORE),
        base.chunk(STATE),
    );
    let [a, b, flag, v] = [0, 1, 2, 3].map(|number| base.tensor(number));
    let index = base.index();

    for (name, log2) in [
        ("blocks-of-one-byte", 0),
        ("blocks-of-2-11", 11),
        ("blocks-of-2-21", 21),
        ("blocks-of-2-63", 63),
        ("blocks-of-2-255", 255),
    ] {
        files.add(9, name, Code::Malformed, base.with_superblock(&[(64, &[log2])]));
    }
    files.add(
        9,
        "unknown-required-feature",
        Code::UnknownFeature,
        base.with_superblock(&[(23, &[0x80])]),
    );
    files.add(
        9,
        "digests-of-no-bytes",
        Code::Malformed,
        base.with_superblock(&[(66, &[0])]),
    );
    files.add(
        9,
        "superblock-of-no-bytes",
        Code::Malformed,
        base.with_superblock(&[(12, &[0; 4])]),
    );

    files.add(
        10,
        "chunk-on-its-neighbour",
        Code::Overlap,
        base.with(&[(more + 8, &base.0[history + 8..history + 16])]),
    );
    files.add(
        10,
        "chunk-on-the-superblock",
        Code::Overlap,
        base.with(&[(state + 8, &le(0))]),
    );
    files.add(
        10,
        "chunk-on-the-index",
        Code::Overlap,
        base.with(&[(state + 8, &le(4096))]),
    );
    files.add(
        10,
        "tensor-on-its-neighbour",
        Code::Overlap,
        base.with(&[(b + 16, &le(0))]),
    );
    files.add(
        10,
        "names-on-each-other",
        Code::Malformed,
        base.with(&[(v, &base.0[a..a + 4])]),
    );

    let mut other_time = base.0.clone();
    other_time[56] ^= 1;
    fix_superblock(&mut other_time);
    let mut generations = base.0.clone();
    generations[..PAGE].copy_from_slice(&other_time[..PAGE]);
    files.add(12, "superblocks-of-two-times", Code::CopiesDiffer, generations.clone());
    let second = base.u64(104) as usize;
    files.add(
        12,
        "index-2-of-another-file",
        Code::IndexDigest,
        base.changed(&[(second + 64, &[9])]),
    );
    let table = base.u64(128) as usize;
    files.add(
        12,
        "digest-table-2-of-another-file",
        Code::IndexDigest,
        base.changed(&[(table, &[9; 8])]),
    );
    files.add(
        12,
        "prologue-of-another-kind",
        Code::Prologue,
        base.with(&[(base.prologue(STATE) + 28, &[2])]),
    );
    files.add(
        12,
        "prologue-of-another-name",
        Code::Prologue,
        base.with(&[(base.prologue(STATE) + 106, b"S")]),
    );
    files.add(
        12,
        "more-tensors-than-the-chunks-have",
        Code::Malformed,
        base.with(&[(state + 48, &le(2))]),
    );

    files.add(
        21,
        "second-tensor-in-no-chunk",
        Code::Malformed,
        base.with(&[(b + 8, &99_u32.to_le_bytes())]),
    );
    files.add(
        21,
        "second-tensor-in-text",
        Code::Malformed,
        base.with(&[(b + 8, &1_u32.to_le_bytes())]),
    );
    files.add(
        21,
        "last-tensor-of-another-length",
        Code::Malformed,
        base.with(&[(v + 24, &le(65))]),
    );
    files.add(
        21,
        "tensor-of-another-chunk",
        Code::Overlap,
        base.with(&[(v + 8, &3_u32.to_le_bytes())]),
    );

    for (name, at, value) in [
        ("kind-0", blob + 6, 0),
        ("kind-255", blob + 6, 255),
        ("encoding-9", blob + 7, 9),
        ("dtype-0", a + 6, 0),
        ("dtype-14", a + 6, 14),
        ("dtype-255", a + 6, 255),
    ] {
        files.add(22, name, Code::Malformed, base.with(&[(at, &[value])]));
    }
    files.add(
        22,
        "digest-kind-9",
        Code::Malformed,
        base.with_superblock(&[(65, &[9])]),
    );
    files.add(
        22,
        "parity-kind-without-parity",
        Code::Malformed,
        base.with_superblock(&[(224, &[7])]),
    );

    files.add(
        24,
        "index-2-is-index-1",
        Code::Malformed,
        base.with_superblock(&[(104, &le(4096))]),
    );
    files.add(
        24,
        "payload-begins-at-0",
        Code::Malformed,
        base.with_superblock(&[(80, &le(0))]),
    );
    let swapped = [
        (blob + 8, &base.0[history + 8..history + 16]),
        (history + 8, &base.0[blob + 8..blob + 16]),
    ];
    files.add(24, "chunks-in-each-others-place", Code::Malformed, base.with(&swapped));
    files.add(
        24,
        "chunk-of-the-whole-file",
        Code::Overlap,
        base.with(&[(blob + 8, &le(0)), (blob + 16, &le(base.0.len() as u64))]),
    );

    files.add(
        25,
        "tensors-not-sorted",
        Code::Malformed,
        base.with(&[(base.strings() + 20, b"c")]),
    );
    files.add(
        25,
        "third-tensor-of-no-dtype",
        Code::Malformed,
        base.with(&[(flag + 6, &[0])]),
    );
    files.add(
        25,
        "third-tensor-with-reserved-bits",
        Code::Malformed,
        base.with(&[(flag + 127, &[1])]),
    );
    files.add(
        25,
        "header-counts-one-tensor-less",
        Code::Malformed,
        base.with(&[(index + 16, &le(3)), (index + 32, &le(base.u64(index + 32) + 128))]),
    );
}

/// Classes 13, 15, 19, 20: content and what lies between.
fn content(base: &Base, files: &mut Files) {
    let (blob, state) = (base.chunk(BLOB), base.chunk(STATE));
    let joined = |parts: &[&[u8]]| parts.concat();
    files.add(
        13,
        "zip-in-front",
        Code::WrongLength,
        joined(&[b"PK\x03\x04", &[0; 4092], &base.0]),
    );
    files.add(13, "one-byte-behind", Code::WrongLength, joined(&[&base.0, b"x"]));
    files.add(
        13,
        "zip-behind",
        Code::WrongLength,
        joined(&[&base.0, b"PK\x05\x06", &[0; 18]]),
    );
    files.add(13, "itself-behind", Code::WrongLength, joined(&[&base.0, &base.0]));
    files.add(
        13,
        "gap-between-chunks",
        Code::Malformed,
        base.with(&[(state + 8, &le(base.u64(state + 8) + 4096))]),
    );

    files.add(
        15,
        "encoding-without-the-feature",
        Code::Malformed,
        base.with(&[(blob + 7, &[1])]),
    );
    files.add(
        15,
        "raw-content-of-a-terabyte",
        Code::Malformed,
        base.with(&[(blob + 24, &le(1 << 40))]),
    );
    files.add(
        15,
        "frame-fields-without-frames",
        Code::Malformed,
        base.with(&[(blob + 88, &[18]), (blob + 96, &le(1 << 40))]),
    );

    let content = base.prologue(STATE) + PAGE;
    let flag = content + base.u64(base.tensor(2) + 16) as usize;
    let floats = content + base.u64(base.tensor(1) + 16) as usize;
    files.add(19, "bool-of-2", None, base.with(&[(flag, &[2])]));
    files.add(19, "bool-of-255", None, base.with(&[(flag + 2, &[255])]));
    files.add(
        19,
        "signalling-nan",
        None,
        base.with(&[(floats, &0x7fa0_0001_u32.to_le_bytes())]),
    );
    files.add(
        19,
        "floats-at-an-odd-place",
        Code::Malformed,
        base.with(&[(base.tensor(1) + 16, &le(130))]),
    );

    files.add(
        20,
        "behind-bytes",
        Code::NonZeroPadding,
        base.with(&[(base.prologue(BLOB) + PAGE + 5000, b"secret")]),
    );
    files.add(
        20,
        "between-tensors",
        Code::NonZeroPadding,
        base.with(&[(content + 101, &[1])]),
    );
    files.add(
        20,
        "behind-the-index",
        Code::NonZeroPadding,
        base.changed(&[(4096 + base.u64(112) as usize, &[1])]),
    );
    files.add(
        20,
        "in-a-prologue",
        Code::Prologue,
        base.with(&[(base.prologue(BLOB) + 2000, &[1])]),
    );
    files.add(
        20,
        "behind-a-name",
        Code::Prologue,
        base.with(&[(base.prologue(BLOB) + 106 + 4, b"x")]),
    );
    files.add(
        20,
        "in-a-digest-field",
        Code::Malformed,
        base.with_superblock(&[(160, &[1])]),
    );
}

/// Classes 26, 29: whole files.
fn whole_files(base: &Base, files: &mut Files) {
    let cut = |len: usize| base.0[..len].to_vec();
    files.add(26, "without-the-last-byte", Code::WrongLength, cut(base.0.len() - 1));
    files.add(26, "without-superblock-b", Code::WrongLength, cut(base.0.len() - PAGE));
    files.add(
        26,
        "cut-in-the-payload",
        Code::WrongLength,
        cut(base.prologue(STATE) + PAGE + 100),
    );
    let mut lost_head = base.0.clone();
    lost_head[..PAGE].fill(0);
    files.add(26, "front-page-lost", Code::SuperblockDigest, lost_head);
    let mut torn = base.0.clone();
    let middle = torn.len() / 2;
    torn[middle..].fill(0);
    files.add(26, "size-before-data", Code::SuperblockDigest, torn);

    files.add(29, "nothing", Code::NotContainer, Vec::new());
    files.add(29, "one-byte", Code::WrongLength, cut(1));
    files.add(29, "magic-alone", Code::WrongLength, cut(8));
    files.add(29, "superblock-alone", Code::WrongLength, cut(PAGE));
    files.add(29, "zeros", Code::NotContainer, vec![0; 3 * PAGE]);
    files.add(29, "file-len-max", Code::Malformed, base.with_superblock(&[(32, &MAX)]));
    files.add(
        29,
        "reserved-bits-in-the-superblock",
        Code::Malformed,
        base.with_superblock(&[(4000, &[1])]),
    );
    files.add(
        29,
        "reserved-bits-in-a-record",
        Code::Malformed,
        base.with(&[(base.tensor(0) + 100, &[1])]),
    );
    let mut older = base.0.clone();
    let first = base.prologue(BLOB) + PAGE;
    older[first] ^= 1;
    seal(&mut older);
    let mut mixed = base.0.clone();
    mixed[..PAGE].copy_from_slice(&older[..PAGE]);
    let end = mixed.len() - PAGE;
    mixed[end..].copy_from_slice(&older[..PAGE]);
    files.add(29, "root-of-an-older-generation", Code::IndexDigest, mixed);
    let mut root = base.0.clone();
    root[256] ^= 1;
    let own = crate::slow::own_digest(&root[..PAGE]);
    root[4080..PAGE].copy_from_slice(&own);
    let page = root[..PAGE].to_vec();
    root[end..].copy_from_slice(&page);
    files.add(29, "root-digest-of-something-else", Code::RootDigest, root);
}

/// Class 27: many tiny entries.
fn many(files: &mut Files) {
    let tensors = (0..100_000).map(|number| {
        TensorSource::new(format!("{number:06}"), Dtype::U8, &[0], &[]).expect("an extent of zero takes no bytes")
    });
    files.add(
        27,
        "hundred-thousand-tensors-of-no-bytes",
        None,
        write(&Content::new().tensors("t", tensors)),
    );
    let chunks = (0..2000).fold(Content::new(), |content, number| {
        content.bytes(format!("{number:04}"), &[])
    });
    files.add(27, "two-thousand-chunks-of-no-bytes", None, write(&chunks));
    let base = Base(write(&Content::new().bytes("b", b"x")));
    files.add(
        27,
        "more-chunks-than-the-limit",
        Code::OverLimit,
        base.with(&[(base.index() + 8, &65_537_u32.to_le_bytes())]),
    );
}
