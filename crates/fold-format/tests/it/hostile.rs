//! Files whose digests are right and whose facts are not: a typed finding, no panic, no big allocation.

use fold_format::{
    Cause, Checkpoint, Class, Code, Content, Depth, Error, Foreign, Limits, OpenOptions, TensorSource, Verdict,
    VerifyOptions, verify, verify_source,
};

use crate::content::{check, file, noise, open, options};
use crate::forge::Forged;

/// Two chunks of tensors and one of bytes, blocks of 4096 bytes.
///
/// Chunk records: 0 `blob`, 1 `more`, 2 `state`. Tensor records: 0 `a` (state), 1 `b` (state), 2 `v` (more).
fn sample() -> Forged {
    let data = noise(5, 6000);
    let tensor = |name: &'static str, shape: &[u64], len: usize| {
        TensorSource::new(name, fold_format::Dtype::U8, shape, &data[..len]).unwrap()
    };
    let content = Content::new()
        .metadata(r#"{"k":1}"#)
        .tensors("state", [tensor("a", &[10, 10], 100), tensor("b", &[5000], 5000)])
        .tensors("more", [tensor("v", &[64], 64)])
        .bytes("blob", &data[..10]);
    Forged::new(&file(&content, &options().block_log2(12)))
}

/// Reads everything that can be asked for; the code that the verification gives, and the one that opening or reading
/// gives where they refuse too.
fn codes(bytes: &[u8]) -> (Vec<Code>, Option<Code>) {
    let report = check(bytes);
    assert_ne!(report.verdict, Verdict::Ok, "a forged file must not verify");
    let verified = report.findings.iter().map(|finding| {
        assert!(
            matches!(finding.class(), Class::Damaged | Class::Unsupported),
            "{finding}"
        );
        assert!(finding.byte_range.start <= finding.byte_range.end);
        let text = finding.to_string();
        assert!(!text.chars().any(char::is_control), "{text:?}");
        finding.code()
    });
    let read = open(bytes).and_then(|opened| {
        let names = opened
            .tensors()?
            .map(|tensor| tensor.name.to_owned())
            .collect::<Vec<_>>();
        names.iter().try_for_each(|name| opened.tensor(name).map(drop))?;
        opened.chunks().try_for_each(|chunk| opened.chunk(chunk.name).map(drop))
    });
    (verified.collect(), read.err().map(|error| error.code()))
}

fn expect(what: &str, forged: Forged, code: Code) {
    let (verified, read) = codes(&forged.seal().bytes);
    assert!(verified.contains(&code), "{what}: {verified:?}");
    assert_eq!(read, Some(code), "{what}");
}

#[test]
fn the_forger_itself_changes_nothing() {
    let forged = sample();
    assert_eq!(
        forged.clone().seal_content().seal().bytes,
        forged.bytes,
        "SPEC.md's digests are the code's"
    );
    assert_eq!(check(&forged.bytes).verdict, Verdict::Ok);
}

#[test]
fn index_headers() {
    let forged = sample();
    let index = forged.index().start;
    expect("magic", forged.clone().put(index, b"FOLDidx3"), Code::Malformed);
    expect("reserved", forged.clone().put(index + 12, &[1]), Code::Malformed);
    expect("reserved", forged.clone().put(index + 63, &[1]), Code::Malformed);
    expect(
        "chunks",
        forged.clone().put(index + 8, &4_u32.to_le_bytes()),
        Code::OutOfBounds,
    );
    expect(
        "no chunks",
        forged.clone().put(index + 8, &0_u32.to_le_bytes()),
        Code::Malformed,
    );
    expect(
        "chunk count",
        forged.clone().put(index + 8, &60_000_u32.to_le_bytes()),
        Code::OutOfBounds,
    );
    expect(
        "huge chunk count",
        forged.clone().put(index + 8, &u32::MAX.to_le_bytes()),
        Code::OverLimit,
    );
    for (name, at) in [("tensor_count", 16), ("strings_len", 24), ("metadata_len", 32)] {
        for value in [0, 1_000_000, 1 << 40, u64::MAX / 128, u64::MAX - 1, u64::MAX] {
            let (verified, read) = codes(&forged.clone().put(index + at, &value.to_le_bytes()).seal().bytes);
            let code = read.unwrap();
            assert_eq!(verified, [code], "{name} = {value}");
            assert!(
                matches!(code, Code::Malformed | Code::OutOfBounds | Code::OverLimit),
                "{name} = {value}: {code}"
            );
        }
    }
}

#[test]
fn chunk_records() {
    let forged = sample();
    let record = forged.chunk_record(1);
    let put = |at: usize, value: &[u8]| forged.clone().put(record + at, value);
    let u64s = |at: usize, value: u64| put(at, &value.to_le_bytes());
    expect("name outside", put(0, &u32::MAX.to_le_bytes()), Code::OutOfBounds);
    expect("name past the end", put(4, &200_u16.to_le_bytes()), Code::OutOfBounds);
    expect("empty name", put(4, &0_u16.to_le_bytes()), Code::Malformed);
    expect("name of a neighbour", put(0, &0_u32.to_le_bytes()), Code::DuplicateName);
    expect("kind", put(6, &[0]), Code::Malformed);
    expect("kind", put(6, &[4]), Code::Malformed);
    expect("encoding", put(7, &[1]), Code::Malformed);
    expect("overlap", u64s(8, forged.u64(record + 8) - 4096), Code::Overlap);
    expect("gap", u64s(8, forged.u64(record + 8) + 4096), Code::Malformed);
    expect("offset", u64s(8, u64::MAX), Code::Malformed);
    expect("offset zero", u64s(8, 0), Code::Overlap);
    for len in [1 << 40, u64::MAX - 4095, u64::MAX] {
        let lens = u64s(16, len)
            .put(record + 24, &len.to_le_bytes())
            .put(record + 104, &[0; 8]);
        expect("stored_len", lens, Code::OutOfBounds);
    }
    expect("content_len", u64s(24, 1000), Code::Malformed);
    expect("first_block", u64s(32, 0), Code::Malformed);
    expect("block_count", u64s(40, u64::MAX), Code::Malformed);
    expect("tensor_count", u64s(48, 2), Code::Malformed);
    expect("reserved", put(88, &[1]), Code::Malformed);
    expect("digest's rest", put(72, &[1]), Code::Malformed);
    let blob = forged.chunk_record(0);
    expect("tensors in bytes", forged.clone().put(blob + 48, &[1]), Code::Malformed);
    // Names: `blob`, `more`, `state` begin the string table.
    let strings = forged.tensor_record(3);
    assert_eq!(&forged.bytes[strings..strings + 13], b"blobmorestate");
    expect("order", forged.clone().put(strings, b"zlob"), Code::Malformed);
    expect("not UTF-8", forged.clone().put(strings, &[0xff]), Code::Malformed);
    expect(
        "control character",
        forged.clone().put(strings, &[0x1b]),
        Code::Malformed,
    );
    let same = forged.clone().put(strings, b"moremore");
    expect("duplicate name", same, Code::DuplicateName);
    let metadata = forged.index().end - 7;
    expect(
        "metadata not UTF-8",
        forged.clone().put(metadata, &[0xc3, 0x28]),
        Code::Malformed,
    );
}

#[test]
fn tensor_records() {
    let forged = sample();
    let record = forged.tensor_record(1);
    let put = |at: usize, value: &[u8]| forged.clone().put(record + at, value);
    let u64s = |at: usize, value: u64| put(at, &value.to_le_bytes());
    expect("name outside", put(0, &u32::MAX.to_le_bytes()), Code::OutOfBounds);
    expect("name length", put(4, &0_u16.to_le_bytes()), Code::Malformed);
    expect("duplicate name", put(0, &13_u32.to_le_bytes()), Code::DuplicateName);
    expect("dtype", put(6, &[0]), Code::Malformed);
    expect("dtype", put(6, &[14]), Code::Malformed);
    expect("larger dtype", put(6, &[13]), Code::Malformed);
    expect("rank", put(7, &[9]), Code::Malformed);
    expect("rank", put(7, &[255]), Code::Malformed);
    expect("rank without extents", put(7, &[0]), Code::Malformed);
    for chunk in [0_u32, 3, u32::MAX] {
        expect("chunk", put(8, &chunk.to_le_bytes()), Code::Malformed);
    }
    expect("reserved", put(12, &[1]), Code::Malformed);
    expect("reserved", put(127, &[1]), Code::Malformed);
    expect("unaligned", u64s(16, 129), Code::Malformed);
    expect("overlap", u64s(16, 64), Code::Overlap);
    expect(
        "gap",
        put(24, &[0])
            .put(record + 32, &0_u64.to_le_bytes())
            .put(record + 24, &[0; 8]),
        Code::Malformed,
    );
    expect("offset", u64s(16, !63_u64), Code::OutOfBounds);
    expect("len", u64s(24, 4999), Code::Malformed);
    expect("len", u64s(24, u64::MAX), Code::Malformed);
    expect("extent", u64s(32, u64::MAX), Code::Malformed);
    let overflow = put(7, &[2]).put(record + 40, &u64::MAX.to_le_bytes());
    expect("product of extents", overflow, Code::OutOfBounds);
    let zero = put(7, &[3]).put(record + 32, &[0; 8]).put(record + 40, &[0xff; 16]);
    expect("0 x huge x huge", zero, Code::OutOfBounds);
    let huge = put(24, &(1_u64 << 40).to_le_bytes()).put(record + 32, &(1_u64 << 40).to_le_bytes());
    expect("huge tensor", huge, Code::OutOfBounds);
    expect("extent past the rank", u64s(88, 1), Code::Malformed);
    // The string table must be used without a gap or an alias.
    let strings = forged.tensor_record(3);
    expect("order", forged.clone().put(strings + 13, b"z"), Code::Malformed);
    let name = put(4, &2_u16.to_le_bytes());
    expect("aliased names", name, Code::Malformed);
}

#[test]
fn a_tensor_directory_that_says_something_else_is_noticed_and_located() {
    let forged = sample();
    for chunk in [1, 2] {
        let record = forged.chunk_record(chunk);
        let (stored, directory) = (forged.u64(record + 16), forged.u64(record + 104));
        assert!(directory > 0, "a chunk of tensors has one");
        let end = forged.u64(record + 8) as usize + 4096 + stored as usize;
        // The first byte is of a record, the last of a name.
        for at in [end - directory as usize, end - 1] {
            let other = forged.bytes[at] ^ 1;
            let bytes = forged.clone().put(at, &[other]).seal_content().seal().bytes;
            let report = check(&bytes);
            let [finding] = report.findings.as_slice() else {
                panic!("{:?}", report.findings)
            };
            assert_eq!(
                (finding.code(), report.verdict),
                (Code::TensorDirectory, Verdict::Damaged)
            );
            assert_eq!(finding.byte_range, at as u64..at as u64 + 1);
            // What the index says is what is read.
            assert!(open(&bytes).unwrap().tensors().is_ok());
        }
    }
}

/// Frames that decode to content with something between its tensors, by a writer that makes every digest right.
#[test]
fn something_between_tensors_is_noticed_inside_frames_too() {
    let data = noise(5, 200);
    let tensor = |name: &'static str, len: u64| {
        TensorSource::new(name, fold_format::Dtype::U8, &[len], &data[..len as usize]).unwrap()
    };
    let content = Content::new().tensors("c", [tensor("a", 100), tensor("b", 64)]);
    let options = options().block_log2(12).encoding(fold_format::Encoding::Zstd);
    let forged = Forged::new(&file(&content, &options));
    // The first is said to be one byte shorter than it is, in the index and in the chunk's directory: what was its last byte then
    // lies between it and the next.
    let record = forged.tensor_record(0);
    let mut shorter = forged.bytes[record..record + 128].to_vec();
    for field in [24, 32] {
        assert_eq!(shorter[field..field + 8], 100_u64.to_le_bytes(), "length and shape");
        shorter[field..field + 8].copy_from_slice(&99_u64.to_le_bytes());
    }
    let chunk = forged.chunk_record(0);
    let stored_end = forged.u64(chunk + 8) as usize + 4096 + forged.u64(chunk + 16) as usize;
    let directory = stored_end - forged.u64(chunk + 104) as usize;
    let forged = forged.put(record, &shorter).put(directory, &shorter);
    let report = check(&forged.seal_content().seal().bytes);
    let codes: Vec<Code> = report.findings.iter().map(|finding| finding.code()).collect();
    assert_eq!(codes, [Code::NonZeroPadding], "{:?}", report.findings);
}

#[test]
fn a_lookup_in_a_hostile_index_is_an_error_not_another_tensor() {
    let forged = sample();
    let record = forged.tensor_record(1);
    let bytes = forged.put(record + 24, &4999_u64.to_le_bytes()).seal().bytes;
    let opened = open(&bytes).unwrap();
    assert_eq!(
        opened.tensor("b").unwrap_err().code(),
        Code::Malformed,
        "the record is checked when it is used"
    );
    assert_eq!(
        opened.tensor("a").unwrap().as_bytes().len(),
        100,
        "its neighbour is not"
    );
    assert_eq!(opened.tensors().err().map(|error| error.code()), Some(Code::Malformed));
}

#[test]
fn contradictions_between_copies_prologues_tables_and_padding() {
    let forged = sample();
    let block = |number: usize| forged.u64(forged.chunk_record(number) + 8) as usize;

    let prologue = forged.clone().put(block(1) + 64, &[7]).bytes;
    let report = check(&prologue);
    assert_eq!(report.findings[0].code(), Code::Prologue);
    assert_eq!(
        report.findings[0].byte_range,
        block(1) as u64 + 64..block(1) as u64 + 65
    );

    let (verified, _) = codes(&forged.clone().put(forged.chunk_record(1) + 56, &[1, 2, 3]).seal().bytes);
    assert!(
        verified.contains(&Code::ChunkDigest),
        "a chunk's digest that its blocks do not make: {verified:?}"
    );

    // Padding behind bytes, between tensors and behind the last, with every digest made right.
    for (what, at) in [
        ("behind bytes", block(0) + 4096 + 10),
        ("at the end of a page", block(0) + 8191),
        ("between tensors", block(2) + 4096 + 127),
        ("behind the last tensor", block(2) + 4096 + 128 + 5000),
    ] {
        let bytes = forged.clone().put(at, &[1]).seal_content().seal().bytes;
        let report = check(&bytes);
        assert_eq!(report.findings.len(), 1, "{what}: {:?}", report.findings);
        assert_eq!(report.findings[0].code(), Code::NonZeroPadding, "{what}");
        assert_eq!(report.findings[0].byte_range, at as u64..at as u64 + 1, "{what}");
        assert_eq!(report.verdict, Verdict::Damaged);
    }

    // Two superblocks, each whole, of different times: a root from another generation.
    let mut bytes = forged.bytes.clone();
    let other = forged.clone().put(56, &[9]).seal_superblock();
    bytes[..4096].copy_from_slice(&other.bytes[..4096]);
    let report = check(&bytes);
    assert_eq!(report.findings[0].code(), Code::CopiesDiffer);
    assert_ne!(report.verdict, Verdict::Ok);
}

#[test]
fn superblocks_of_other_readers() {
    let forged = sample();
    let one = |forged: Forged| {
        let bytes = forged.seal_superblock().bytes;
        let report = check(&bytes);
        assert_eq!(report.verdict, Verdict::Unreadable);
        let error = open(&bytes).unwrap_err();
        assert_eq!(error.code(), report.findings[0].code());
        error
    };
    let newer = one(forged.clone().put(8, &3_u16.to_le_bytes()));
    assert_eq!(newer.code(), Code::NewerVersion);
    let unknown = one(forged.clone().put(16, &0b10_1001_u64.to_le_bytes()));
    assert_eq!(unknown.code(), Code::UnknownFeature);
    assert_eq!(
        unknown.to_string(),
        "FOLD-E0104 unsupported: superblock A, bytes 0..4096: the file requires feature bit 5"
    );
    let optional = forged.clone().put(24, &[1]).put(1000, &[7]).seal_superblock().bytes;
    assert_eq!(
        check(&optional).verdict,
        Verdict::Ok,
        "optional features may use reserved bytes"
    );
    // The first chunk record is behind the index header of 64 bytes; the first prologue behind the metadata.
    let record = forged.index().start + 64;
    let prologue = u64::from_le_bytes(forged.bytes[record + 8..record + 16].try_into().unwrap()) as usize;
    let minor = forged.clone().put(10, &1_u16.to_le_bytes());
    let reserved = minor.clone().put(record + 90, &[7]).seal().bytes;
    assert_eq!(check(&reserved).verdict, Verdict::Ok, "reserved bytes of a record");
    let reserved = minor.put(prologue + 370, &[7]).seal().bytes;
    assert_eq!(
        check(&reserved).findings[0].code(),
        Code::Prologue,
        "a prologue has none to give"
    );
    for (what, at) in [
        ("file_len", 32),
        ("index_len", 112),
        ("block_count", 72),
        ("payload_len", 88),
    ] {
        for value in [0, 1, 1 << 62, u64::MAX - 4095, u64::MAX] {
            let error = one(forged.clone().put(at, &value.to_le_bytes()));
            assert!(
                matches!(error.code(), Code::Malformed | Code::OutOfBounds),
                "{what} = {value}: {error}"
            );
        }
    }
}

#[test]
fn limits_are_kept_and_can_be_raised() {
    let forged = sample();
    let mut limits = Limits::DEFAULT;
    limits.max_tensors = 2;
    let refused = Checkpoint::open_source(&forged.bytes[..], &OpenOptions::new().limits(limits)).unwrap_err();
    let Error::Finding(finding) = refused else { panic!() };
    assert_eq!(
        finding.cause,
        Cause::OverLimit {
            limit: "max_tensors",
            value: 3,
            max: 2
        }
    );
    for (what, set) in [
        (
            "max_index_bytes",
            (|limits: &mut Limits| limits.max_index_bytes = 100) as fn(&mut Limits),
        ),
        ("max_digest_table_bytes", |limits| limits.max_digest_table_bytes = 8),
        ("max_chunks", |limits| limits.max_chunks = 2),
        ("max_metadata_bytes", |limits| limits.max_metadata_bytes = 6),
    ] {
        let mut limits = Limits::DEFAULT;
        set(&mut limits);
        let error = Checkpoint::open_source(&forged.bytes[..], &OpenOptions::new().limits(limits)).unwrap_err();
        assert!(error.to_string().contains(what), "{error}");
        let report = verify_source(&forged.bytes[..], Depth::All, VerifyOptions::new().limits(limits)).unwrap();
        assert_eq!(
            (report.verdict, report.findings[0].code()),
            (Verdict::Unreadable, Code::OverLimit)
        );
    }
}

#[test]
fn what_is_no_container_is_said_to_be_none() {
    let foreign = |bytes: &[u8]| match check(bytes).findings.remove(0).cause {
        Cause::NotContainer(foreign) => foreign,
        other => panic!("{other}"),
    };
    assert_eq!(foreign(b""), Foreign::Empty);
    assert_eq!(
        foreign(b"PK\x03\x04"),
        Foreign::Magic {
            found: *b"PK\x03\x04\0\0\0\0"
        }
    );
    assert_eq!(foreign(b"FOLDv1\0\0 and so on"), Foreign::Version1);
    assert_eq!(foreign(&[0; 100_000]), Foreign::Magic { found: [0; 8] });
    assert_eq!(
        foreign(&noise(3, 20_000)),
        Foreign::Magic {
            found: noise(3, 8).try_into().unwrap()
        }
    );

    let dir = tempfile::tempdir().unwrap();
    let directory = Checkpoint::open(dir.path()).unwrap_err();
    assert!(matches!(
        directory.finding().unwrap().cause,
        Cause::NotContainer(Foreign::NotRegularFile)
    ));
    let absent = verify(dir.path().join("nothing"), Depth::All, VerifyOptions::new()).unwrap_err();
    assert_eq!(absent.code(), Code::Absent);
    #[cfg(unix)]
    {
        let pipe = dir.path().join("pipe");
        if std::process::Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .is_ok_and(|status| status.success())
        {
            assert_eq!(
                Checkpoint::open(&pipe).unwrap_err().code(),
                Code::NotContainer,
                "and nothing waits for a writer"
            );
        }
        assert_eq!(Checkpoint::open("/dev/null").unwrap_err().code(), Code::NotContainer);
    }
}

#[test]
fn random_changes_with_right_digests_never_panic_and_are_never_silent() {
    let forged = sample();
    let index = forged.index();
    let mut random = noise(77, 60_000).into_iter();
    let mut next = || u32::from_le_bytes([0; 4].map(|_| random.next().unwrap())) as usize;
    for _ in 0..5000 {
        let mut changed = forged.clone();
        let at = index.start + next() % index.len();
        let value = [0_u8, 1, 0x7f, 0x80, 0xff, next() as u8][next() % 6];
        if changed.bytes[at] == value {
            continue;
        }
        changed.bytes[at] = value;
        let bytes = changed.seal().bytes;
        let metadata = index.end - 7..index.end;
        if metadata.contains(&at) && value < 0x80 || check(&bytes).verdict == Verdict::Ok {
            // Another metadata text or another dtype of the same size is another file, not a broken one.
            let tensors = forged.tensor_record(0)..forged.tensor_record(3);
            let dtype = tensors.contains(&at) && (at - tensors.start) % 128 == 6;
            let chunk_kind = at == forged.chunk_record(0) + 6;
            let names = (forged.tensor_record(3)..metadata.start).contains(&at);
            assert!(
                dtype || names || chunk_kind || metadata.contains(&at),
                "byte {at} of {index:?} = {value}"
            );
            continue;
        }
        codes(&bytes);
    }
}
