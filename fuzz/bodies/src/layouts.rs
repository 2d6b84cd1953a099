//! Small files of every layout that the writer makes, for campaigns and as seeds of the fuzzer.

use std::path::Path;

use fold_format::parity::Level;
use fold_format::seal::PrivateKey;
use fold_format::{Content, DigestKind, Dtype, Durability, Encoding, Limits, SaveOptions, TensorSource, save, sign};

use crate::random::Random;
use crate::writer::Memory;

/// A file and what is special about it.
#[derive(Clone, Debug)]
pub struct Layout {
    /// A name for reports and file names.
    pub name: &'static str,
    /// The whole file.
    pub bytes: Vec<u8>,
}

/// Bytes that do not compress, the same ones for a length.
pub(crate) fn noise(len: usize) -> Vec<u8> {
    let mut random = Random::new(len as u64);
    (0..len).map(|_| random.any() as u8).collect()
}

/// The options that most layouts have: the smallest blocks, so that files are small.
pub(crate) fn options() -> SaveOptions {
    SaveOptions::new(Durability::None).block_log2(12)
}

fn file(name: &'static str, content: &Content<'_>, options: &SaveOptions) -> Layout {
    let (memory, path) = (Memory::default(), Path::new("layout.fold"));
    save(&memory, path, content, options).unwrap_or_else(|error| panic!("{name}: {error}"));
    let bytes = memory.get(path).unwrap_or_default();
    Layout { name, bytes }
}

/// A key for tests, whose private half everybody knows.
///
/// # Panics
/// When the folder of test keys is not beside this package.
pub(crate) fn private_key() -> PrivateKey {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../crates/fold-format/testdata/keys/openssl.pem"
    );
    PrivateKey::load(Path::new(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The same file, signed.
fn signed(name: &'static str, layout: &Layout) -> Layout {
    let (memory, path) = (Memory::default(), Path::new("layout.fold"));
    sign(&memory, &layout.bytes, path, &private_key(), &Limits::DEFAULT)
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let bytes = memory.get(path).unwrap_or_default();
    Layout { name, bytes }
}

fn tensor<'a>(name: &'a str, dtype: Dtype, shape: &[u64], bytes: &'a [u8]) -> TensorSource<'a> {
    let len = shape.iter().product::<u64>() * dtype.size_bytes();
    TensorSource::new(name, dtype, shape, &bytes[..len as usize]).expect("the bytes are as long as the shape says")
}

/// Every layout, in a fixed order; the same bytes at every call.
///
/// # Panics
/// When the writer does not take one of them.
#[must_use]
pub fn layouts() -> Vec<Layout> {
    let data = noise(40_000);
    let long_name = "n".repeat(255);
    let many = (0..40)
        .map(|number| format!("layer.{number:03}.bias"))
        .collect::<Vec<_>>();
    let dtypes = (1..=13).filter_map(Dtype::from_byte).collect::<Vec<_>>();
    let dtype_names = dtypes.iter().map(|dtype| dtype.as_str()).collect::<Vec<_>>();
    let empty = Content::new;
    let two_tensors = || {
        [
            tensor("layer.weight", Dtype::F32, &[10, 10], &data),
            tensor("layer.bias", Dtype::F64, &[7], &data),
        ]
    };
    let mixed = || {
        Content::new()
            .metadata(r#"{"epoch":3}"#)
            .tensors("state", two_tensors())
            .json("history", "[1, 2, 3]")
            .bytes("blob", &data[..5000])
    };
    // What compresses, and compresses better when it is shuffled, beside what does not.
    let waves = (0..1500_u32)
        .flat_map(|at| (at as f32 * 1e-3).sin().to_le_bytes())
        .collect::<Vec<_>>();
    let quiet = || {
        Content::new()
            .metadata(r#"{"epoch":3}"#)
            .tensors(
                "state",
                [
                    tensor("a.quiet", Dtype::F32, &[1500], &waves),
                    tensor("b.noise", Dtype::U8, &[3000], &data),
                    tensor("c.empty", Dtype::F64, &[0], &data),
                ],
            )
            .json("history", "[1, 2, 3]")
    };
    let frames = || options().frame_log2(12);
    let sealed = || options().digest_kind(DigestKind::Blake3);
    let sealed_scalar = empty().tensors("t", [tensor("x", Dtype::F64, &[], &data)]);
    let everything = sealed()
        .frame_log2(12)
        .encoding(Encoding::ShuffleZstd)
        .parity(Some(Level::High));
    let plain = options();
    vec![
        file("nothing", &empty(), &plain),
        file("metadata", &empty().metadata(r#"{"a":{"b":[1,null,"c"]}}"#), &plain),
        file("one-byte", &empty().bytes("b", &data[..1]), &plain),
        file("no-bytes", &empty().bytes("b", &[]), &plain),
        file("block-less-one", &empty().bytes("b", &data[..4095]), &plain),
        file("block", &empty().bytes("b", &data[..4096]), &plain),
        file("block-and-one", &empty().bytes("b", &data[..4097]), &plain),
        file("text", &empty().json("j", r#"{"deep":[[[[[]]]]]}"#), &plain),
        file("no-tensors", &empty().tensors("t", []), &plain),
        file(
            "scalar",
            &empty().tensors("t", [tensor("x", Dtype::F64, &[], &data)]),
            &plain,
        ),
        file(
            "zero-extents",
            &empty().tensors(
                "t",
                [
                    tensor("a", Dtype::F32, &[0, 5], &data),
                    tensor("b", Dtype::U8, &[3], &data),
                    tensor("c", Dtype::I64, &[2, 0, 9], &data),
                ],
            ),
            &plain,
        ),
        file(
            "every-dtype",
            &empty().tensors(
                "t",
                dtypes.iter().zip(&dtype_names).map(|(&dtype, name)| {
                    let zeros: &[u8] = &[0; 24];
                    let bytes = if dtype == Dtype::Bool { zeros } else { &data };
                    tensor(name, dtype, &[3], bytes)
                }),
            ),
            &plain,
        ),
        file(
            "eight-dimensions",
            &empty().tensors("t", [tensor("x", Dtype::U16, &[1, 2, 1, 3, 1, 2, 2, 1], &data)]),
            &plain,
        ),
        file(
            "many-tensors",
            &empty().tensors("t", many.iter().map(|name| tensor(name, Dtype::F32, &[1], &data))),
            &plain,
        ),
        file("long-names", &empty().bytes(long_name.as_str(), b"x"), &plain),
        file(
            "names-like-paths",
            &empty()
                .bytes("../up", b"x")
                .bytes("/etc/passwd", b"y")
                .bytes("Größe 🧠", b"z"),
            &plain,
        ),
        file("mixed", &mixed(), &plain),
        file(
            "mixed-with-uuid-and-time",
            &mixed(),
            &options().uuid([7; 16]).created_unix_ns(1),
        ),
        file("mixed-in-blocks-of-64-KiB", &mixed(), &options().block_log2(16)),
        file("sealed", &mixed(), &options().digest_kind(DigestKind::Blake3)),
        file("parity", &mixed(), &options().parity(Some(Level::Blocks(3)))),
        file(
            "sealed-with-parity",
            &mixed(),
            &options().digest_kind(DigestKind::Blake3).parity(Some(Level::Low)),
        ),
        file("sealed-scalar", &sealed_scalar, &sealed()),
        signed("signed", &file("sealed", &mixed(), &sealed())),
        file("zstd", &mixed(), &options().encoding(Encoding::Zstd)),
        file("zstd-in-frames", &quiet(), &frames().encoding(Encoding::Zstd)),
        file(
            "shuffle-zstd-in-frames",
            &quiet(),
            &frames().encoding(Encoding::ShuffleZstd),
        ),
        file(
            "zstd-with-parity",
            &quiet(),
            &frames().encoding(Encoding::Zstd).parity(Some(Level::Low)),
        ),
        file("sealed-shuffle-zstd-with-parity", &quiet(), &everything),
        signed("signed-with-everything", &file("everything", &quiet(), &everything)),
        file("many-blocks", &empty().bytes("b", &data), &plain),
        file(
            "two-chunks-of-tensors",
            &empty()
                .tensors("one", [tensor("z", Dtype::F32, &[1500], &data)])
                .tensors(
                    "two",
                    [
                        tensor("a", Dtype::F32, &[1500], &data),
                        tensor("b", Dtype::U8, &[1], &data),
                    ],
                ),
            &plain,
        ),
    ]
}
