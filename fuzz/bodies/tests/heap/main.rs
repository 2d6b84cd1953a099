//! What hostile files can make the reader allocate: a counting allocator, so this is a test binary of its own.

#![allow(clippy::unwrap_used, reason = "a test whose setting cannot be made has failed")]

mod resident;

use std::ops::ControlFlow;
use std::path::Path;

use fold_format::v1::{self, Keys};
use fold_format::{
    Checkpoint, Content, Depth, Dtype, Durability, Encoding, Error, Limits, OpenMode, OpenOptions, SaveOptions,
    TensorSource, VerifyOptions, plan_repair, repair, salvage, save, verify_source,
};
use fold_fuzz_bodies::{Layout, Memory, hostile, layouts};
use peak_alloc::PeakAlloc;
use resident::Resident;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

const MIB: usize = 1 << 20;

/// Bytes taken at once, beyond what was taken before.
fn peak(work: impl FnOnce()) -> usize {
    HEAP.reset_peak_usage();
    let (before, resident) = (HEAP.current_usage(), Resident::watch());
    work();
    resident.peak(HEAP.peak_usage().saturating_sub(before))
}

/// A file with one tensor that is read into memory from the system, past the allocator.
fn large_tensor() -> Vec<u8> {
    let zeros = vec![0; 8 * MIB];
    let tensor = TensorSource::new("large", Dtype::U8, &[zeros.len() as u64], &zeros).unwrap();
    let content = Content::new().tensors("layer", [tensor]);
    let (memory, path) = (Memory::default(), Path::new("large.fold"));
    save(&memory, path, &content, &SaveOptions::new(Durability::None)).unwrap();
    memory.get(path).unwrap()
}

/// A chunk and a tensor of 64 MiB in a file of little more than one, with a byte of every second page of it flipped.
fn damaged_zeros() -> Vec<u8> {
    let zeros = vec![0; 64 * MIB];
    let tensor = TensorSource::new("tensor", Dtype::U8, &[zeros.len() as u64], &zeros).unwrap();
    let content = Content::new().tensors("tensors", [tensor]).bytes("zeros", &zeros);
    let (memory, path) = (Memory::default(), Path::new("zeros.fold"));
    let options = SaveOptions::new(Durability::None).encoding(Encoding::Zstd);
    save(&memory, path, &content, &options).unwrap();
    let mut bytes = memory.get(path).unwrap();
    let payload = u64::from_le_bytes(bytes[80..88].try_into().unwrap()) as usize;
    let end = bytes.len() - payload;
    for page in (payload + 4096..end).step_by(8192) {
        bytes[page] ^= 0xff;
    }
    bytes
}

fn open(bytes: &[u8], mode: OpenMode) {
    let opened = Checkpoint::open_source(bytes, &OpenOptions::default().mode(mode));
    let _ = std::hint::black_box(opened);
}

/// As [`open`], with a bug planted: room for the tensors is taken as the index counts them, before anything is compared.
fn open_trusting_a_count(bytes: &[u8], mode: OpenMode) {
    let count = bytes.get(4096 + 16..4096 + 24);
    let count = count.map_or(0, |field| u64::from_le_bytes(field.try_into().unwrap()));
    // Beyond this the planted bug would take the machine down instead of being measured.
    let records = Vec::<[u8; 128]>::with_capacity(count.min(1 << 22) as usize);
    open(bytes, mode);
    drop(std::hint::black_box(records));
}

/// What opening a file takes at most, and its budget.
fn budget(bytes: &[u8], open: fn(&[u8], OpenMode)) -> (usize, usize) {
    let taken = [OpenMode::Strict, OpenMode::Degraded].map(|mode| peak(|| open(bytes, mode)));
    (taken[0].max(taken[1]), 16 * header_len(bytes))
}

fn read_and_verify(bytes: &[u8]) {
    let _ = verify_source(bytes, Depth::All, VerifyOptions::default());
    let Ok(checkpoint) = Checkpoint::open_source(bytes, &OpenOptions::default().mode(OpenMode::Degraded)) else {
        return;
    };
    let names = |limit| {
        Some(
            checkpoint
                .tensors()
                .ok()?
                .take(limit)
                .map(|tensor| tensor.name.to_owned())
                .collect(),
        )
    };
    let tensors: Vec<String> = names(50).unwrap_or_default();
    for name in &tensors {
        let _ = checkpoint.tensor(name);
    }
    let chunks = checkpoint
        .chunks()
        .take(50)
        .map(|chunk| chunk.name.to_owned())
        .collect::<Vec<_>>();
    for name in &chunks {
        let _ = checkpoint.chunk(name);
    }
}

/// What the commands that mend do.
fn repair_and_salvage(bytes: &[u8]) {
    let _ = plan_repair(bytes, &Limits::DEFAULT);
    let _ = repair(&Memory::default(), bytes, Path::new("x.fold"), &Limits::DEFAULT);
    let _ = salvage::<[u8], Error>(bytes, &Limits::DEFAULT, &|| ControlFlow::Continue(()), &mut |_| Ok(()));
}

/// What every command does with a file of version 1.
fn read_version_1(bytes: &[u8]) {
    let keys = Keys::new();
    let _ = v1::verify_source(bytes, Depth::All, &keys, VerifyOptions::default());
    let Ok(file) = v1::File::open_source(bytes, keys, Limits::DEFAULT) else {
        return;
    };
    for entry in file.chunks().iter().take(50) {
        if let Ok(payload) = file.payload(&entry.name) {
            let _ = v1::Content::read(&entry.ctype, &payload, MIB as u64);
        }
    }
    let _ = v1::repair(&file, &mut std::io::sink());
}

/// The superblocks, and as much of index and digest table as the file can hold.
fn header_len(bytes: &[u8]) -> usize {
    let field = |at: usize| {
        bytes
            .get(at..at + 8)
            .map_or(0, |field| u64::from_le_bytes(field.try_into().unwrap()))
    };
    let metadata = field(112).saturating_add(field(136)).min(bytes.len() as u64);
    8192 + metadata as usize
}

#[test]
fn no_file_makes_the_reader_allocate_more_than_the_file_is_worth() {
    // Thread pool and tables of the digests, once.
    for layout in layouts() {
        read_and_verify(&layout.bytes);
        repair_and_salvage(&layout.bytes);
    }

    // The meter itself: what it must notice, it notices.
    let seen = peak(|| drop(std::hint::black_box(vec![1_u8; 3 * MIB])));
    assert!((3 * MIB..4 * MIB).contains(&seen), "{seen}");
    let large = large_tensor();
    let checkpoint = Checkpoint::open_source(large.as_slice(), &OpenOptions::default()).unwrap();
    let seen = peak(|| drop(std::hint::black_box(checkpoint.tensor("large").unwrap())));
    assert!((7 * MIB..12 * MIB).contains(&seen), "{seen}");

    // Of what is damaged, no more is taken than was whole.
    let damaged = damaged_zeros();
    let checkpoint = Checkpoint::open_source(damaged.as_slice(), &OpenOptions::default()).unwrap();
    let seen = peak(|| assert!(checkpoint.chunk("zeros").is_err()));
    assert!(seen < 12 * MIB, "{seen}");
    let seen = peak(|| assert!(checkpoint.tensor("tensor").is_err()));
    assert!(seen < 12 * MIB, "{seen}");

    let plain = layouts().into_iter().map(|Layout { name, bytes }| (0, name, bytes));
    let files = hostile()
        .into_iter()
        .map(|file| (file.class, file.name, file.bytes))
        .chain(plain);
    let (mut most_opened, mut most_read, mut most_cut) = ((0, ""), (0, ""), (0, ""));
    let mut over_by_trusting = 0;
    for (class, name, bytes) in files {
        let (opened, allowed) = budget(&bytes, open);
        assert!(
            opened <= allowed,
            "{class:02}-{name}: opening took {opened}, allowed are {allowed}"
        );
        most_opened = most_opened.max((opened, name));
        let (trusting, allowed) = budget(&bytes, open_trusting_a_count);
        over_by_trusting += usize::from(trusting > allowed);
        let read = peak(|| read_and_verify(&bytes));
        let allowed = MIB + 2 * bytes.len();
        assert!(
            read <= allowed,
            "{class:02}-{name}: reading took {read}, allowed are {allowed}"
        );
        if bytes.len() < 1 << 16 {
            most_read = most_read.max((read, name));
        }
        // Cut to 10 KB, with all its claims: whatever they are, it is 10 KB.
        let cut = &bytes[..bytes.len().min(10_240)];
        for mode in [OpenMode::Strict, OpenMode::Degraded] {
            let taken = peak(|| open(cut, mode)).max(peak(|| read_and_verify(cut)));
            let taken = taken.max(peak(|| repair_and_salvage(cut)));
            assert!(taken <= MIB, "{class:02}-{name} cut to 10 KB took {taken}");
            most_cut = most_cut.max((taken, name));
        }
    }
    assert!(
        over_by_trusting > 0,
        "no file makes a reader that trusts a count exceed the budget"
    );
    println!(
        "{} files, {over_by_trusting} over their budget by trusting a count; most for opening: {most_opened:?}; for \
         reading a file below 64 KiB: {most_read:?}; for anything with 10 KB: {most_cut:?}",
        hostile().len()
    );
    println!("version 1, 10 KB: {:?}", version_1());
}

/// The recorded files of version 1 cut to 10 KB, whole and damaged: the most bytes, and for which.
fn version_1() -> (usize, String) {
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/fold-format/testdata/v1");
    let files = ["container", "corrupted"].map(|folder| std::fs::read_dir(testdata.join(folder)).unwrap());
    let files = files
        .into_iter()
        .flatten()
        .map(|entry| entry.unwrap().path())
        .collect::<Vec<_>>();
    let mut most = (0, String::new());
    // Tables of its Reed-Solomon codes, once.
    files
        .iter()
        .for_each(|path| read_version_1(&std::fs::read(path).unwrap()));
    for path in files {
        let bytes = std::fs::read(&path).unwrap();
        let cut = &bytes[..bytes.len().min(10_240)];
        let taken = peak(|| read_version_1(cut));
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        assert!(taken <= MIB, "{name}: {taken}");
        most = most.max((taken, name));
    }
    most
}
