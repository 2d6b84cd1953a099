//! What is saved is what is read, by every way of reading, and the same content is the same bytes.

use std::collections::BTreeMap;
use std::path::Path;

use fold_format::storage::SimDisk;
use fold_format::{
    Checkpoint, ChunkKind, Code, Content, Depth, Disk, Dtype, Durability, Error, Existing, Misuse, SaveOptions, Span,
    TensorSource, Verdict, VerifyOptions, save, verify, verify_source,
};
use quickcheck::{Arbitrary, Gen, QuickCheck};

use crate::content::{check, file, layouts, noise, open, options};

/// Any content that the format allows: names, dtypes, shapes with zeros, chunk kinds.
#[derive(Clone, Debug)]
struct Any {
    tensors: BTreeMap<String, (usize, Dtype, Vec<u64>, Vec<u8>)>,
    others: BTreeMap<String, (bool, Vec<u8>)>,
    block_log2: u8,
    reversed: bool,
}

fn any_name(g: &mut Gen) -> String {
    let name = String::arbitrary(g)
        .chars()
        .filter(|c| !c.is_control())
        .take(40)
        .collect::<String>();
    if name.is_empty() {
        format!("n{}", u16::arbitrary(g))
    } else {
        name
    }
}

impl Arbitrary for Any {
    fn arbitrary(g: &mut Gen) -> Self {
        let mut tensors = BTreeMap::new();
        for _ in 0..usize::arbitrary(g) % 12 {
            let dtype = *g.choose(Dtype::ALL).unwrap();
            let rank = usize::arbitrary(g) % 9;
            let shape = (0..rank)
                .map(|_| *g.choose(&[1, 1, 2, 3, 7, 0, 19]).unwrap())
                .collect::<Vec<u64>>();
            let len = shape.iter().product::<u64>() * dtype.size_bytes();
            if len < 1 << 17 {
                let bytes = noise(u64::arbitrary(g), len as usize);
                tensors.insert(any_name(g), (usize::arbitrary(g) % 3, dtype, shape, bytes));
            }
        }
        let others = (0..usize::arbitrary(g) % 4)
            .map(|_| {
                let len = *g.choose(&[0, 1, 63, 4095, 4096, 4097, 70_000]).unwrap();
                (
                    format!("x{}", any_name(g)),
                    (bool::arbitrary(g), noise(u64::arbitrary(g), len)),
                )
            })
            .collect();
        let block_log2 = *g.choose(&[12, 13, 16, 20]).unwrap();
        Self {
            tensors,
            others,
            block_log2,
            reversed: bool::arbitrary(g),
        }
    }
}

impl Any {
    fn json(bytes: &[u8]) -> String {
        format!("{:?}", &bytes[..bytes.len().min(50)])
    }

    /// Saves, with the calls in one order or the reverse.
    fn file(&self, reversed: bool) -> Vec<u8> {
        let texts = self
            .others
            .iter()
            .map(|(name, (_, bytes))| (name, Self::json(bytes)))
            .collect::<BTreeMap<_, _>>();
        let mut content = Content::new().metadata(r#"{"a": [1, "b"]}"#);
        let mut chunks = vec![0, 1, 2];
        if reversed {
            chunks.reverse();
        }
        for number in chunks {
            let mut tensors = self
                .tensors
                .iter()
                .filter(|(_, (chunk, ..))| *chunk == number)
                .map(|(name, (_, dtype, shape, bytes))| TensorSource::new(name, *dtype, shape, bytes).unwrap())
                .collect::<Vec<_>>();
            if reversed {
                tensors.reverse();
            }
            content = content.tensors(format!("c{number}"), tensors);
        }
        for (name, (json, bytes)) in &self.others {
            content = if *json {
                content.json(name, &texts[name])
            } else {
                content.bytes(name, bytes)
            };
        }
        file(&content, &options().block_log2(self.block_log2))
    }
}

#[test]
fn anything_goes_round_and_the_order_of_calls_leaves_no_trace() {
    fn property(any: Any) -> bool {
        let bytes = any.file(any.reversed);
        assert_eq!(bytes, any.file(!any.reversed));
        let report = check(&bytes);
        assert_eq!(report.verdict, Verdict::Ok, "{:?}", report.findings);
        assert_eq!(report.bytes_read, bytes.len() as u64, "every byte is read once");
        assert_eq!(report.blocks_checked, report.blocks_total);
        let opened = open(&bytes).unwrap();
        assert!(opened.findings().is_empty());
        let listed = opened
            .tensors()
            .unwrap()
            .map(|tensor| tensor.name.to_owned())
            .collect::<Vec<_>>();
        assert_eq!(listed, any.tensors.keys().cloned().collect::<Vec<_>>());
        for (name, (chunk, dtype, shape, data)) in &any.tensors {
            let info = opened.tensor_info(name).unwrap();
            assert_eq!(
                (info.dtype, info.shape.extents(), info.chunk),
                (*dtype, &shape[..], &*format!("c{chunk}"))
            );
            assert_eq!(info.offset % 64, 0);
            assert_eq!(
                &bytes[info.offset as usize..][..info.bytes as usize],
                data,
                "a tensor is a slice of the file"
            );
            assert_eq!(opened.tensor(name).unwrap().as_bytes(), data);
            let mut buffer = vec![0xee; data.len()];
            opened.read_tensor_into(name, &mut buffer).unwrap();
            assert_eq!(&buffer, data);
            let report = verify_source(&bytes[..], Depth::Tensor(name), VerifyOptions::new()).unwrap();
            assert_eq!(report.verdict, Verdict::StructureOk);
        }
        for (name, (json, data)) in &any.others {
            let expected = if *json {
                Any::json(data).into_bytes()
            } else {
                data.clone()
            };
            assert_eq!(opened.chunk(name).unwrap(), expected);
            let kind = if *json { ChunkKind::Json } else { ChunkKind::Bytes };
            assert_eq!(opened.chunk_info(name).unwrap().kind, kind);
            let report = verify_source(&bytes[..], Depth::Chunk(name), VerifyOptions::new()).unwrap();
            assert_eq!(report.verdict, Verdict::StructureOk);
        }
        opened.metadata() == r#"{"a": [1, "b"]}"#
    }
    QuickCheck::new().tests(150).quickcheck(property as fn(Any) -> bool);
}

#[test]
fn tensors_larger_than_a_batch_go_round_on_the_real_disk() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.fold");
    let large = (0..3_000_001_u32).collect::<Vec<_>>();
    let small = [1.5_f64, -0.0];
    let content = Content::new().tensors(
        "state",
        [
            TensorSource::of("b.large", &[3_000_001], &large).unwrap(),
            TensorSource::of("a.small", &[2], &small).unwrap(),
            TensorSource::of("c.scalar", &[], &small[..1]).unwrap(),
        ],
    );
    let saved = save(&Disk, &path, &content, &options()).unwrap();
    assert_eq!(
        std::fs::read_dir(dir.path()).unwrap().count(),
        1,
        "no temporary file is left"
    );
    assert_eq!(saved.bytes, std::fs::metadata(&path).unwrap().len());

    let opened = Checkpoint::open(&path).unwrap();
    assert_eq!(opened.info().root, saved.root);
    assert_eq!(opened.tensor("b.large").unwrap().as_slice::<u32>().unwrap(), large);
    assert_eq!(opened.tensor("a.small").unwrap().as_slice::<f64>().unwrap(), small);
    assert_eq!(opened.tensor("c.scalar").unwrap().as_slice::<f64>().unwrap(), [1.5]);

    // SAFETY: the file lies in a directory of this test alone and is not changed while it is mapped.
    #[allow(unsafe_code, reason = "the test of the one unsafe function")]
    let mapped = unsafe { Checkpoint::map(&path) }.unwrap();
    for _ in 0..2 {
        assert_eq!(mapped.tensor_view("b.large").unwrap().as_slice::<u32>().unwrap(), large);
        assert_eq!(mapped.tensor_view("a.small").unwrap().as_slice::<f64>().unwrap(), small);
    }
    assert_eq!(mapped.tensor("c.scalar").unwrap().as_bytes(), 1.5_f64.to_le_bytes());
    assert_eq!(
        verify(&path, Depth::All, VerifyOptions::new()).unwrap().verdict,
        Verdict::Ok
    );
}

#[test]
fn existing_targets_are_refused_or_replaced() {
    let disk = SimDisk::new();
    let path = Path::new("/d/a.fold");
    let old = Content::new().bytes("x", b"old");
    let new = Content::new().bytes("x", b"new");
    save(&disk, path, &old, &options()).unwrap();
    let before = disk.read(path).unwrap();
    let error = save(&disk, path, &new, &options()).unwrap_err();
    assert_eq!(error.code(), Code::TargetExists);
    assert_eq!(disk.read(path).unwrap(), before);
    save(&disk, path, &new, &options().existing(Existing::Replace)).unwrap();
    assert_eq!(open(&disk.read(path).unwrap()).unwrap().chunk("x").unwrap(), b"new");
    assert_eq!(disk.pending(), 0, "a full save leaves nothing to be flushed");
}

#[test]
fn content_that_breaks_a_rule_is_refused_before_anything_is_written() {
    let refused = |content: Content<'_>| {
        let disk = SimDisk::new();
        let error = save(&disk, Path::new("/d/a"), &content, &options()).unwrap_err();
        assert_eq!(error.code(), Code::InvalidContent);
        assert_eq!(disk.pending(), 0);
        match error {
            Error::Misuse(misuse) => misuse,
            other => panic!("{other}"),
        }
    };
    fn tensor(name: &str) -> TensorSource<'_> {
        TensorSource::new(name, Dtype::U8, &[1], &[1]).unwrap()
    }
    let long = "x".repeat(256);
    for bad in ["", "a\nb", "\u{7f}", &long] {
        assert!(matches!(
            refused(Content::new().bytes(bad, &[])),
            Misuse::InvalidName { .. }
        ));
        assert!(matches!(
            refused(Content::new().tensors("c", [tensor(bad)])),
            Misuse::InvalidName { .. }
        ));
    }
    assert!(matches!(
        refused(Content::new().bytes("a", &[]).json("a", "1")),
        Misuse::DuplicateName { .. }
    ));
    let twice = Content::new().tensors("a", [tensor("t")]).tensors("b", [tensor("t")]);
    assert!(
        matches!(refused(twice), Misuse::DuplicateName { .. }),
        "tensor names are unique over all chunks"
    );
    for bad in ["[]", "1", "", "{", "{}x", "{\"a\":}"] {
        assert!(
            matches!(refused(Content::new().metadata(bad)), Misuse::InvalidJson { .. }),
            "{bad}"
        );
    }
    assert!(matches!(
        refused(Content::new().json("j", "[1,]")),
        Misuse::InvalidJson { .. }
    ));
    let deep = "[".repeat(100_000);
    assert!(
        matches!(refused(Content::new().json("j", &deep)), Misuse::InvalidJson { .. }),
        "no stack is overrun"
    );

    let wrong = TensorSource::new("t", Dtype::F32, &[2, 3], &[0; 23]).unwrap_err();
    assert!(matches!(
        wrong,
        Error::Misuse(Misuse::ByteLength {
            expected: Some(24),
            actual: 23,
            ..
        })
    ));
    assert!(
        wrong.to_string().ends_with("has 23 bytes, its shape and dtype say 24"),
        "{wrong}"
    );
    let wrong = TensorSource::new("t", Dtype::F32, &[u64::MAX, 2], &[]).unwrap_err();
    assert!(matches!(
        wrong,
        Error::Misuse(Misuse::ByteLength { expected: None, .. })
    ));
    assert!(wrong.to_string().ends_with("more than 2^64"), "{wrong}");
    let wrong = TensorSource::new("t", Dtype::U8, &[1; 9], &[0]).unwrap_err();
    assert!(matches!(wrong, Error::Misuse(Misuse::RankTooHigh { rank: 9, .. })));
    let disk = SimDisk::new();
    for log2 in [0, 11, 21, 255] {
        let options = SaveOptions::new(Durability::None).block_log2(log2);
        let error = save(&disk, Path::new("/d/a"), &Content::new(), &options).unwrap_err();
        assert!(matches!(error, Error::Misuse(Misuse::BlockSize { .. })));
    }
    let error = save(&disk, Path::new("/"), &Content::new(), &options()).unwrap_err();
    assert!(matches!(error, Error::Misuse(Misuse::NoFileName { .. })));
}

#[test]
fn bytes_that_the_source_does_not_have_are_refused_by_its_numbers() {
    let disk = SimDisk::new();
    let source = b"abc".as_slice();
    let path = Path::new("/d/a");
    #[expect(clippy::reversed_empty_ranges, reason = "what is refused")]
    for range in [3..1, 1..10] {
        let span = Span::within(&source, range.clone());
        let tensor = (range.start < range.end).then(|| TensorSource::of_span("t", Dtype::U8, &[9], span).unwrap());
        let content = match tensor {
            Some(tensor) => Content::new().tensors("c", [tensor]),
            None => Content::new().span("c", span),
        };
        for options in [options(), options().encoding(fold_format::Encoding::Zstd)] {
            let error = save(&disk, path, &content, &options).unwrap_err();
            let Error::Misuse(Misuse::SourceRange {
                name,
                start,
                end,
                len: 3,
            }) = &error
            else {
                panic!("{range:?}: {error}")
            };
            assert_eq!((&**name, *start, *end), ("c", range.start, range.end));
            assert!(disk.read(path).is_err(), "nothing is left");
        }
    }
}

#[test]
fn what_is_not_there_is_misuse_and_named() {
    let layouts = layouts();
    let bytes = &layouts.iter().find(|layout| layout.name == "every kind").unwrap().bytes;
    let opened = open(bytes).unwrap();
    assert_eq!(
        opened.tensor("nope").unwrap_err().to_string(),
        "FOLD-E0005 misuse: no tensor `nope`"
    );
    assert_eq!(opened.chunk("").unwrap_err().code(), Code::NoSuchEntry);
    let short = opened.read_tensor_into("w", &mut [0; 299]).unwrap_err();
    assert!(matches!(
        short,
        Error::Misuse(Misuse::BufferLength {
            expected: 300,
            actual: 299
        })
    ));
    let missing = verify_source(&bytes[..], Depth::Tensor("nope"), VerifyOptions::new()).unwrap_err();
    assert_eq!(missing.code(), Code::NoSuchEntry);
    let kinds = opened
        .chunks()
        .map(|chunk| (chunk.name, chunk.kind.as_str()))
        .collect::<Vec<_>>();
    let expected = [
        ("blob", "BYTE"),
        ("history", "JSON"),
        ("more", "TENS"),
        ("nothing", "BYTE"),
        ("state", "TENS"),
    ];
    assert_eq!(kinds, expected);
}

#[test]
fn a_verification_tells_how_far_it_is_and_can_be_stopped() {
    use std::ops::ControlFlow;
    let blob = noise(3, 40 << 20);
    let bytes = file(&Content::new().bytes("blob", &blob), &options());
    let mut seen = Vec::new();
    let mut callback = |progress: fold_format::Progress| {
        seen.push(progress);
        ControlFlow::Continue(())
    };
    let options = VerifyOptions::new().progress(&mut callback);
    assert_eq!(
        verify_source(&bytes[..], Depth::All, options).unwrap().verdict,
        Verdict::Ok
    );
    assert!(seen.len() > 2);
    assert!(seen.windows(2).all(|pair| pair[0].bytes_done < pair[1].bytes_done));
    let last = seen.last().unwrap();
    assert_eq!(
        (last.bytes_done, last.bytes_total),
        (bytes.len() as u64, bytes.len() as u64)
    );

    let mut calls = 0;
    let mut stop = |_| {
        calls += 1;
        ControlFlow::Break(())
    };
    let stopped = verify_source(&bytes[..], Depth::All, VerifyOptions::new().progress(&mut stop)).unwrap_err();
    assert_eq!((stopped.code(), calls), (Code::Cancelled, 1));
}

/// What one user alone may read does not become readable by being rewritten.
#[cfg(unix)]
#[test]
fn a_copy_is_for_nobody_whom_its_source_was_not_for() {
    use std::fs::{self, File, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use fold_format::seal::PrivateKey;
    use fold_format::{DigestKind, Limits, repair, sign};

    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let mode = |name: &str| fs::metadata(at(name)).unwrap().permissions().mode() & 0o777;
    let content = Content::new().bytes("a", b"some");
    let sealed = options().digest_kind(DigestKind::Blake3);
    save(&Disk, at("private"), &content, &sealed).unwrap();
    fs::set_permissions(at("private"), Permissions::from_mode(0o600)).unwrap();
    let source = File::open(at("private")).unwrap();
    repair(&Disk, &source, at("repaired"), &Limits::DEFAULT).unwrap();
    sign(
        &Disk,
        &source,
        at("signed"),
        &PrivateKey::generate().unwrap(),
        &Limits::DEFAULT,
    )
    .unwrap();
    save(&Disk, at("private"), &content, &sealed.existing(Existing::Replace)).unwrap();
    for name in ["private", "repaired", "signed"] {
        assert_eq!(mode(name), 0o600, "{name}");
    }
}
