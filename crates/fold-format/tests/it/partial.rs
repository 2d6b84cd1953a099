//! Reading a part costs a part, and damage elsewhere does not matter to it.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::sync::Mutex;

use fold_format::{
    Checkpoint, Code, Content, Depth, Disk, Dtype, Existing, Limits, OpenOptions, ReadAt, TensorSource, Verdict,
    VerifyOptions, save, v1, verify,
};

use crate::content::{file, noise, options};

/// Notes which bytes were read.
struct Counting<'a> {
    bytes: &'a [u8],
    reads: Mutex<Vec<std::ops::Range<u64>>>,
}

impl ReadAt for Counting<'_> {
    fn len(&self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let count = self.bytes.read_at(buffer, offset)?;
        self.reads.lock().unwrap().push(offset..offset + count as u64);
        Ok(count)
    }
}

impl Counting<'_> {
    /// The 4 KiB pages read since the last call, and how many bytes.
    fn take(&self) -> (BTreeSet<u64>, u64) {
        let reads = std::mem::take(&mut *self.reads.lock().unwrap());
        let pages = reads
            .iter()
            .flat_map(|read| read.start / 4096..read.end.div_ceil(4096))
            .collect();
        (pages, reads.iter().map(|read| read.end - read.start).sum())
    }
}

fn pages(start: u64, end: u64) -> BTreeSet<u64> {
    (start / 4096..end.div_ceil(4096)).collect()
}

#[test]
fn opening_and_reading_one_tensor_reads_the_metadata_and_its_blocks_once() {
    let data = noise(1, 8 << 20);
    let content = Content::new().bytes("other", &data[..3 << 20]).tensors(
        "state",
        [
            TensorSource::new("a", Dtype::U8, &[3 << 20], &data[..3 << 20]).unwrap(),
            TensorSource::new("b", Dtype::U8, &[1 << 20], &data[3 << 20..4 << 20]).unwrap(),
            TensorSource::new("c", Dtype::U8, &[4 << 20], &data[4 << 20..]).unwrap(),
        ],
    );
    let bytes = file(&content, &options());
    let source = Counting {
        bytes: &bytes,
        reads: Mutex::default(),
    };
    let opened = Checkpoint::open_source(&source, &OpenOptions::new()).unwrap();
    let info = opened.info();
    let table_bytes = info.block_count * 8;
    let metadata_end = 4096 + info.index_bytes.next_multiple_of(4096) + table_bytes.next_multiple_of(4096);
    let (read, count) = source.take();
    assert_eq!(read, pages(0, metadata_end), "superblock A, index 1, digest table 1");
    assert_eq!(count, 4096 + info.index_bytes + table_bytes, "each once");

    let tensor = opened.tensor_info("b").unwrap();
    let chunk = opened.chunk_info("state").unwrap();
    let block_start = |at: u64| chunk.offset + (at - chunk.offset) / 65536 * 65536;
    opened.tensor("b").unwrap();
    let (read, count) = source.take();
    let (start, end) = (
        block_start(tensor.offset),
        block_start(tensor.offset + tensor.bytes - 1) + 65536,
    );
    assert_eq!(read, pages(start, end), "exactly the blocks of the tensor");
    assert_eq!(count, end - start, "each once");
}

#[test]
fn neighbours_on_one_block_read_it_once() {
    let data = noise(1, 64 * 1000);
    let names = (0..1000).map(|number| format!("t{number:04}")).collect::<Vec<_>>();
    let tensors = names.iter().zip(data.chunks(64));
    let tensors = tensors.map(|(name, bytes)| TensorSource::new(name, Dtype::U8, &[64], bytes).unwrap());
    let bytes = file(&Content::new().tensors("state", tensors), &options());
    let source = Counting {
        bytes: &bytes,
        reads: Mutex::default(),
    };
    let opened = Checkpoint::open_source(&source, &OpenOptions::new()).unwrap();
    source.take();
    for (name, expected) in names.iter().zip(data.chunks(64)) {
        assert_eq!(opened.tensor(name).unwrap().as_bytes(), expected);
    }
    assert_eq!(source.take().1, 64_000_u64.next_multiple_of(4096));
}

#[test]
fn a_damaged_block_refuses_its_tensors_and_names_the_first_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.fold");
    let data = noise(4, 12 << 20);
    let tensor = |name: &'static str, from: usize, to: usize| {
        TensorSource::new(name, Dtype::U8, &[(to - from) as u64], &data[from..to]).unwrap()
    };
    let mib = 1 << 20;
    let content = Content::new().tensors(
        "state",
        [
            tensor("a", 0, 10 * mib),
            tensor("b", 10 * mib, 11 * mib),
            tensor("c", 11 * mib, 12 * mib),
        ],
    );
    save(&Disk, &path, &content, &options()).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let offset = Checkpoint::open(&path).unwrap().tensor_info("a").unwrap().offset as usize;
    for block in [140, 7, 20] {
        bytes[offset + block * 65536 + 5] ^= 4;
    }
    std::fs::write(&path, &bytes).unwrap();

    let opened = Checkpoint::open(&path).unwrap();
    // SAFETY: the file lies in a directory of this test alone; it is not changed any more.
    #[allow(unsafe_code, reason = "the test of the one unsafe function")]
    let mapped = unsafe { Checkpoint::map(&path) }.unwrap();
    let start = (offset + 7 * 65536) as u64;
    for _ in 0..3 {
        for error in [opened.tensor("a").unwrap_err(), mapped.tensor_view("a").unwrap_err()] {
            let finding = error.finding().unwrap();
            assert_eq!(
                (finding.code(), finding.block),
                (Code::BlockDigest, Some(7)),
                "the first of several"
            );
            assert_eq!(finding.byte_range, start..start + 65536);
            assert_eq!(
                (finding.tensor.as_deref(), finding.chunk.as_deref()),
                (Some("a"), Some("state"))
            );
        }
        assert_eq!(opened.tensor("b").unwrap().as_bytes(), &data[10 * mib..11 * mib]);
        assert_eq!(mapped.tensor_view("b").unwrap().as_bytes(), &data[10 * mib..11 * mib]);
    }
    let report = verify(&path, Depth::All, VerifyOptions::new()).unwrap();
    assert_eq!(
        report.findings.iter().map(|finding| finding.block).collect::<Vec<_>>(),
        [Some(7), Some(20), Some(140)]
    );
    assert_eq!((report.verdict, report.blocks_bad), (Verdict::Damaged, 3));
    assert_eq!(report.damaged_tensors, [Box::from("a")]);
}

#[test]
fn what_is_wrong_with_a_file_is_said_with_its_path_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run7.fold");
    let said = |error: fold_format::Error| {
        assert_eq!(error.path(), Some(&*path), "{error}");
        let text = error.to_string();
        assert!(text.starts_with(error.code().as_str()), "{text}");
        assert_eq!(text.matches(path.to_str().unwrap()).count(), 1, "{text}");
    };
    // SAFETY: the file lies in a directory of this test alone; it is not changed while it is mapped.
    #[allow(unsafe_code, reason = "the test of the one unsafe function")]
    let map = || unsafe { Checkpoint::map(&path) };
    let version_1 = || v1::File::open(&path, v1::Keys::new(), Limits::DEFAULT);
    let refused = || {
        said(Checkpoint::open(&path).unwrap_err());
        said(map().unwrap_err());
        said(version_1().unwrap_err());
    };
    let unverified = || {
        said(verify(&path, Depth::All, VerifyOptions::new()).unwrap_err());
        let verified = v1::verify(&path, Depth::All, &v1::Keys::new(), VerifyOptions::new());
        said(verified.unwrap_err());
    };
    // Absent, a directory, something else.
    refused();
    unverified();
    std::fs::create_dir(&path).unwrap();
    refused();
    unverified();
    std::fs::remove_dir(&path).unwrap();
    std::fs::write(&path, noise(1, 9000)).unwrap();
    refused();

    let data = noise(2, 9000);
    let tensor = TensorSource::new("t", Dtype::U8, &[9000], &data).unwrap();
    let content = Content::new().tensors("state", [tensor]).bytes("other", &data);
    let mut bytes = file(&content, &options());
    let opened = Checkpoint::open_source(&bytes[..], &OpenOptions::new()).unwrap();
    let places = [
        opened.tensor_info("t").unwrap().offset,
        opened.chunk_info("other").unwrap().offset,
    ];
    // Superblock A and all content are damaged.
    for place in places {
        bytes[place as usize + 10] ^= 1;
    }
    bytes[100] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let opened = Checkpoint::open(&path).unwrap();
    assert_eq!(opened.findings()[0].path.as_deref(), Some(&*path));
    said(opened.tensor("t").unwrap_err());
    said(opened.chunk("other").unwrap_err());
    said(opened.read_tensor_into("t", &mut [0; 9000]).unwrap_err());
    said(opened.read_tensor_part("t", 0, &mut [0]).unwrap_err());
    said(opened.read_chunk_part("other", 0, &mut [0]).unwrap_err());
    said(map().unwrap().tensor_view("t").unwrap_err());
    // A source without a path has none to say.
    let opened = Checkpoint::open_source(&bytes[..], &OpenOptions::new()).unwrap();
    assert_eq!(opened.tensor("t").unwrap_err().path(), None);
}

#[test]
fn an_open_file_that_is_replaced_stays_what_it_was_and_one_that_shrinks_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.fold");
    let (old, new) = (noise(1, 100_000), noise(2, 50_000));
    let replace = options().existing(Existing::Replace);
    save(&Disk, &path, &Content::new().bytes("x", &old), &replace).unwrap();
    let opened = Checkpoint::open(&path).unwrap();
    save(&Disk, &path, &Content::new().bytes("x", &new), &replace).unwrap();
    assert_eq!(opened.chunk("x").unwrap(), old);
    let opened = Checkpoint::open(&path).unwrap();
    assert_eq!(opened.chunk("x").unwrap(), new);
    std::fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(20_000)
        .unwrap();
    assert_eq!(opened.chunk("x").unwrap_err().code(), Code::WrongLength);
}

#[test]
fn a_bare_file_name_saves_into_the_current_directory() {
    use fold_format::storage::{SimDisk, Storage as _};
    let disk = SimDisk::new();
    save(&disk, Path::new("a.fold"), &Content::new(), &options()).unwrap();
    assert!(
        disk.crash(|_| false).exists(Path::new("a.fold")).unwrap(),
        "its directory is flushed"
    );
}

#[test]
fn threads_that_read_the_same_blocks_at_once_all_get_them_or_all_are_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.fold");
    let data = noise(1, 100 * 5000);
    let names = (0..100).map(|number| format!("t{number:03}")).collect::<Vec<_>>();
    let tensors = names.iter().zip(data.chunks(5000));
    let tensors = tensors.map(|(name, bytes)| TensorSource::new(name, Dtype::U8, &[5000], bytes).unwrap());
    save(&Disk, &path, &Content::new().tensors("state", tensors), &options()).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let at = Checkpoint::open(&path).unwrap().tensor_info("t050").unwrap().offset as usize;
    bytes[at] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let report = verify(&path, Depth::All, VerifyOptions::new()).unwrap();
    assert!(report.damaged_tensors.len() > 1);

    let opened = Checkpoint::open(&path).unwrap();
    // SAFETY: the file lies in a directory of this test alone; it is not changed any more.
    #[allow(unsafe_code, reason = "the test of the one unsafe function")]
    let mapped = unsafe { Checkpoint::map(&path) }.unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (names, data, opened, mapped, report) = (&names, &data, &opened, &mapped, &report);
            scope.spawn(move || {
                for step in 0..names.len() {
                    let number = (step * 7 + thread * 13) % names.len();
                    let expected = &data[number * 5000..][..5000];
                    let name = names[number].as_str();
                    let bad = report.damaged_tensors.iter().any(|damaged| **damaged == *name);
                    match (opened.tensor(name), mapped.tensor_view(name)) {
                        (Ok(read), Ok(view)) => {
                            assert!(
                                !bad && read.as_bytes() == expected && view.as_bytes() == expected,
                                "{name}"
                            );
                        }
                        (Err(read), Err(view)) => assert!(bad && read.code() == view.code(), "{name}"),
                        _ => panic!("{name}: reading and mapping disagree"),
                    }
                }
            });
        }
    });
}
