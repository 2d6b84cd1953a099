//! Contents and files for the other tests, made in memory.

use std::path::Path;

use fold_format::parity::Level;
use fold_format::storage::SimDisk;
use fold_format::{
    Checkpoint, Content, Depth, DigestKind, Dtype, Durability, Encoding, OpenOptions, Report, SaveOptions,
    TensorSource, VerifyOptions, save, verify_source,
};

/// Deterministic bytes.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

pub(crate) fn options() -> SaveOptions {
    SaveOptions::new(Durability::Full)
        .uuid(*b"fold-format test")
        .created_unix_ns(1_700_000_000_000_000_000)
}

/// The bytes of a file with this content.
pub(crate) fn file(content: &Content<'_>, options: &SaveOptions) -> Vec<u8> {
    let disk = SimDisk::new();
    let path = Path::new("/d/a.fold");
    let saved = save(&disk, path, content, options).unwrap();
    let bytes = disk.read(path).unwrap();
    assert_eq!(saved.bytes, bytes.len() as u64);
    bytes
}

pub(crate) fn open(bytes: &[u8]) -> Result<Checkpoint<&[u8]>, fold_format::Error> {
    Checkpoint::open_source(bytes, &OpenOptions::default())
}

pub(crate) fn check(bytes: &[u8]) -> Report {
    verify_source(bytes, Depth::All, VerifyOptions::new()).unwrap()
}

/// A layout for the exhaustive tests: a name, the file, and the tensors in it.
pub(crate) struct Layout {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) tensors: Vec<(String, Vec<u8>)>,
}

fn layout(name: &'static str, content: &Content<'_>, options: &SaveOptions) -> Layout {
    let bytes = file(content, options);
    let opened = open(&bytes).unwrap();
    let names = opened
        .tensors()
        .unwrap()
        .map(|tensor| tensor.name.to_owned())
        .collect::<Vec<_>>();
    let tensors = names.into_iter().map(|name| {
        let bytes = opened.tensor(&name).unwrap().as_bytes().to_vec();
        (name, bytes)
    });
    let tensors = tensors.collect();
    Layout { name, bytes, tensors }
}

/// Every form that a file can have: encodings, digests, parity.
pub(crate) fn forms() -> Vec<(&'static str, SaveOptions)> {
    let small = || options().block_log2(12).frame_log2(12);
    let sealed = || small().digest_kind(DigestKind::Blake3);
    vec![
        ("raw", small()),
        ("zstd", small().encoding(Encoding::Zstd)),
        ("shuffle-zstd", small().encoding(Encoding::ShuffleZstd)),
        ("parity", small().parity(Some(Level::Low))),
        ("more parity", small().parity(Some(Level::Blocks(5)))),
        (
            "zstd, parity",
            small().encoding(Encoding::Zstd).parity(Some(Level::High)),
        ),
        ("sealed", sealed()),
        ("sealed, shuffle-zstd", sealed().encoding(Encoding::ShuffleZstd)),
        ("sealed, parity", sealed().parity(Some(Level::Medium))),
        (
            "sealed, zstd, parity",
            sealed().encoding(Encoding::Zstd).parity(Some(Level::Low)),
        ),
    ]
}

/// The same small content in every form.
pub(crate) fn layouts_of_forms() -> Vec<Layout> {
    let data = noise(3, 3000);
    let quiet = (0..1500_u32).map(|at| (at as f32 * 1e-3).sin()).collect::<Vec<_>>();
    let content = Content::new()
        .metadata(r#"{"epoch": 3}"#)
        .tensors(
            "state",
            [
                TensorSource::of("a.quiet", &[1500], &quiet).unwrap(),
                TensorSource::new("b.noise", Dtype::U8, &[3000], &data).unwrap(),
                TensorSource::new("c.empty", Dtype::F64, &[0], &[]).unwrap(),
            ],
        )
        .json("history", "[1, 2, 3]");
    let layout = |(name, options)| layout(name, &content, &options);
    forms().into_iter().map(layout).collect()
}

/// Small files of every shape that the format has.
pub(crate) fn layouts() -> Vec<Layout> {
    let data = noise(1, 20_000);
    let small = options().block_log2(12);
    let tensor = |name: &'static str, from: usize, len: usize| {
        TensorSource::new(name, Dtype::U8, &[len as u64], &data[from..from + len]).unwrap()
    };
    vec![
        layout("empty", &Content::new(), &options()),
        layout(
            "one tensor",
            &Content::new().tensors("state", [tensor("w", 0, 100)]),
            &options(),
        ),
        layout(
            "tensors over several small blocks",
            &Content::new().metadata(r#"{"epoch": 3}"#).tensors(
                "state",
                [
                    tensor("a", 0, 5000),
                    tensor("b", 5000, 1),
                    tensor("c", 5001, 0),
                    tensor("d", 5001, 4096),
                ],
            ),
            &small,
        ),
        layout(
            "every kind",
            &Content::new()
                .metadata(r#"{"name":"x"}"#)
                .tensors("state", [tensor("w", 0, 300), tensor("x", 300, 65)])
                .json("history", "[1, 2, 3]")
                .bytes("blob", &data[..4097])
                .bytes("nothing", &[])
                .tensors("more", [tensor("v", 400, 64)]),
            &small,
        ),
    ]
}
