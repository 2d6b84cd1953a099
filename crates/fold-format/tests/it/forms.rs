//! Every form of a file: written, read in whole and in part, damaged, repaired.

use std::fs::Permissions;
use std::io;
use std::path::{Path, PathBuf};

use fold_format::parity::Level;
use fold_format::storage::{SimDisk, SimFile, Storage, StorageFile};
use fold_format::{
    Code, Content, DigestKind, Dtype, Durability, Encoding, Limits, ReadAt, SaveOptions, TensorSource, Verdict, repair,
};

use crate::content::{check, file, forms, layouts_of_forms, noise, open, options};

/// Tensors of every element size, quiet and noisy, over many frames and blocks.
fn tensors(data: &[u8]) -> Vec<(String, Dtype, Vec<u8>)> {
    let quiet = |len: usize| (0..len).map(|at| (at as f32 * 1e-3).sin()).collect::<Vec<_>>();
    let f32s = |len| quiet(len).iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<_>>();
    let f64s = quiet(7000).iter().flat_map(|x| f64::from(*x).to_le_bytes()).collect();
    vec![
        ("a".into(), Dtype::F32, f32s(30_000)),
        ("b".into(), Dtype::U8, data[..40_001].to_vec()),
        ("c".into(), Dtype::F64, f64s),
        ("d".into(), Dtype::Bf16, data[..6].to_vec()),
        ("e".into(), Dtype::U8, vec![0; 100_000]),
        ("f".into(), Dtype::I64, Vec::new()),
        ("g".into(), Dtype::Bool, vec![1]),
    ]
}

fn sources(tensors: &[(String, Dtype, Vec<u8>)]) -> impl Iterator<Item = TensorSource<'_>> {
    tensors.iter().map(|(name, dtype, bytes)| {
        let len = bytes.len() as u64 / dtype.size_bytes();
        TensorSource::new(name.as_str(), *dtype, &[len], bytes).unwrap()
    })
}

#[test]
fn every_form_goes_round() {
    let data = noise(9, 100_000);
    let tensors = tensors(&data);
    let text = format!("[{}1]", "1, ".repeat(20_000));
    let content = Content::new()
        .tensors("state", sources(&tensors[..5]))
        .tensors("more", sources(&tensors[5..]))
        .tensors("none", [])
        .json("history", &text)
        .bytes("blob", &data)
        .bytes("nothing", &[]);
    for (name, options) in forms() {
        for (block_log2, frame_log2) in [(12, 12), (12, 16), (16, 14), (20, 20)] {
            let options = options.clone().block_log2(block_log2).frame_log2(frame_log2);
            let bytes = file(&content, &options);
            assert_eq!(
                bytes,
                file(&content, &options),
                "{name}: the same content gives the same bytes"
            );
            let report = check(&bytes);
            assert_eq!(report.verdict, Verdict::Ok, "{name}: {:?}", report.findings);
            assert_eq!(report.blocks_checked, report.blocks_total);
            let opened = open(&bytes).unwrap();
            for (tensor, _, expected) in &tensors {
                assert!(
                    opened.tensor(tensor).unwrap().as_bytes() == expected,
                    "{name}: {tensor}"
                );
            }
            assert!(opened.chunk("history").unwrap() == text.as_bytes(), "{name}");
            assert!(opened.chunk("blob").unwrap() == data, "{name}");
            assert_eq!(opened.chunk("nothing").unwrap(), b"");
            assert_eq!(opened.restored_blocks(), []);
        }
    }
}

#[test]
fn compression_pays_and_shuffling_pays_more() {
    let data = noise(9, 100_000);
    let tensors = tensors(&data);
    let content = Content::new().tensors("state", sources(&tensors[..1]));
    let len = |encoding| file(&content, &options().encoding(encoding)).len();
    let (raw, zstd, shuffled) = (len(Encoding::Raw), len(Encoding::Zstd), len(Encoding::ShuffleZstd));
    assert!(shuffled < zstd && zstd < raw, "{raw} {zstd} {shuffled}");
}

#[test]
fn a_compressed_tensor_is_read_in_part_and_its_neighbours_do_not_matter() {
    let data = noise(4, 1 << 20);
    let halves = [("a", &data[..1 << 19]), ("b", &data[1 << 19..])]
        .map(|(name, bytes)| TensorSource::new(name, Dtype::U8, &[bytes.len() as u64], bytes).unwrap());
    let content = Content::new().tensors("state", halves);
    let bytes = file(
        &content,
        &options().block_log2(12).frame_log2(14).encoding(Encoding::Zstd),
    );
    let mut damaged = bytes.clone();
    let chunk = open(&bytes).unwrap().chunk_info("state").unwrap().offset as usize;
    damaged[chunk + 1000] ^= 1;
    let opened = open(&damaged).unwrap();
    assert_eq!(opened.tensor("a").unwrap_err().code(), Code::BlockDigest);
    assert!(opened.tensor("b").unwrap().as_bytes() == &data[1 << 19..]);
    assert_eq!(check(&damaged).damaged_tensors, ["a".into()]);
}

#[test]
fn damage_in_any_form_is_noticed_located_and_never_handed_out() {
    for layout in layouts_of_forms() {
        let parity = open(&layout.bytes).unwrap().info().parity.is_some();
        let mut damaged = layout.bytes.clone();
        for at in (0..damaged.len()).step_by(29) {
            damaged[at] ^= 1 << (at % 8);
            let report = check(&damaged);
            let context = || format!("{}: byte {at}: {:?}", layout.name, report.findings);
            assert_eq!(report.findings.len(), 1, "{}", context());
            let finding = &report.findings[0];
            assert!(finding.byte_range.contains(&(at as u64)), "{}", context());
            let made_good = parity || finding.block.is_none();
            let verdict = if made_good {
                Verdict::Corrected
            } else {
                Verdict::Damaged
            };
            assert_eq!(report.verdict, verdict, "{}", context());
            assert_eq!(finding.repairable, made_good, "{}", context());
            let opened = open(&damaged).unwrap();
            for (name, expected) in &layout.tensors {
                match opened.tensor(name) {
                    Ok(tensor) => assert!(tensor.as_bytes() == expected, "{}", context()),
                    Err(error) => {
                        assert_eq!(error.code(), Code::BlockDigest, "{}", context());
                        assert!(!parity, "{}", context());
                        assert!(
                            report.damaged_tensors.iter().any(|damaged| **damaged == **name),
                            "{}",
                            context()
                        );
                    }
                }
            }
            damaged[at] ^= 1 << (at % 8);
        }
    }
}

/// Repairs `damaged` on a simulated disk; the bytes of the new file, or the refusal.
fn repaired(damaged: &[u8]) -> Result<Vec<u8>, fold_format::Repair> {
    let disk = SimDisk::new();
    let target = Path::new("/d/new.fold");
    let repair = repair(&disk, damaged, target, &Limits::DEFAULT).unwrap();
    match repair.verdict {
        Verdict::Ok | Verdict::Corrected => Ok(disk.read(target).unwrap()),
        _ => {
            assert!(disk.read(target).is_err(), "a refusal leaves no file");
            Err(repair)
        }
    }
}

#[test]
fn with_parity_every_flipped_byte_comes_back() {
    for layout in layouts_of_forms() {
        let parity = open(&layout.bytes).unwrap().info().parity.is_some();
        let mut damaged = layout.bytes.clone();
        for at in (0..damaged.len()).step_by(if parity { 61 } else { 331 }) {
            damaged[at] ^= 1 << (at % 8);
            let report = check(&damaged);
            let block = report.findings.iter().any(|finding| finding.block.is_some());
            match repaired(&damaged) {
                Ok(bytes) => assert!(bytes == layout.bytes, "{}: byte {at}", layout.name),
                Err(repair) => {
                    assert!(!parity && block, "{}: byte {at}: {repair:?}", layout.name);
                    assert_eq!(repair.blocks_missing, 1);
                }
            }
            damaged[at] ^= 1 << (at % 8);
        }
    }
}

#[test]
fn as_many_blocks_as_parity_has_come_back_and_one_more_is_refused() {
    let data = noise(8, 50 * 4096);
    let tensor = TensorSource::new("w", Dtype::U8, &[data.len() as u64], &data).unwrap();
    let content = Content::new().tensors("state", [tensor]);
    let whole = file(&content, &options().block_log2(12).parity(Some(Level::Blocks(4))));
    let start = open(&whole).unwrap().chunk_info("state").unwrap().offset as usize;
    let kill = |blocks: &[usize]| {
        let mut damaged = whole.clone();
        for block in blocks {
            damaged[start + block * 4096..][..4096].fill(0xee);
        }
        damaged
    };
    let lost = [3, 4, 17, 49];
    let damaged = kill(&lost);
    let report = check(&damaged);
    assert_eq!(report.verdict, Verdict::Corrected);
    assert!(report.findings.iter().all(|finding| finding.repairable));
    assert!(repaired(&damaged).unwrap() == whole);
    // Read without a repair: through parity, and said so.
    let opened = open(&damaged).unwrap();
    assert!(opened.tensor("w").unwrap().as_bytes() == data);
    let restored = opened.restored_blocks();
    assert_eq!(restored.len(), 4);
    assert!(restored.iter().all(|finding| finding.code() == Code::ReadThroughParity));

    let beyond = kill(&[3, 4, 17, 49, 50]);
    let report = check(&beyond);
    assert_eq!(report.verdict, Verdict::Damaged);
    let repair = repaired(&beyond).unwrap_err();
    assert_eq!((repair.blocks_missing, repair.parity_available), (1, 4));
    assert_eq!(
        (repair.shortages[0].lost_data, repair.shortages[0].group_parity),
        (5, 4)
    );
    let opened = open(&beyond).unwrap();
    assert_eq!(opened.tensor("w").unwrap_err().code(), Code::BlockDigest);
    assert_eq!(opened.restored_blocks(), []);
}

#[test]
fn a_lost_tail_with_all_parity_and_one_copy_of_the_metadata_comes_back() {
    let data = noise(8, 10 * 4096);
    let tensor = TensorSource::new("w", Dtype::U8, &[data.len() as u64], &data).unwrap();
    let content = Content::new().tensors("state", [tensor]);
    let whole = file(&content, &options().block_log2(12).parity(Some(Level::Blocks(4))));
    let parity_start = whole.len() - 3 * 4096 - 4 * 4096;
    for cut in [parity_start, parity_start + 100, whole.len() - 1] {
        let report = check(&whole[..cut]);
        assert_eq!(report.verdict, Verdict::Corrected, "{cut}: {:?}", report.findings);
        assert!(repaired(&whole[..cut]).unwrap() == whole, "{cut}");
    }
    // Two blocks of content are gone and all of the parity: too many.
    assert!(repaired(&whole[..parity_start - 4096]).is_err());
}

#[test]
fn options_out_of_range_are_refused() {
    let disk = SimDisk::new();
    let try_save = |content: &Content<'_>, options: SaveOptions| {
        let path = Path::new("/d/x.fold");
        fold_format::save(&disk, path, content, &options)
            .map(drop)
            .map_err(|error| error.code())
    };
    let content = Content::new().bytes("b", b"x");
    for options in [
        options().frame_log2(11),
        options().frame_log2(21),
        options().block_log2(21),
        options().compression_level(0),
        options().compression_level(-5),
        options().encoding(Encoding::Zstd).compression_level(23),
        options().parity(Some(Level::Blocks(1))),
        options().parity(Some(Level::Blocks(40_000))),
    ] {
        assert_eq!(try_save(&content, options), Err(Code::InvalidContent));
    }
    // Also where there is nothing to protect.
    for count in [0, 1, 40_000] {
        let options = options().parity(Some(Level::Blocks(count)));
        assert_eq!(try_save(&Content::new(), options), Err(Code::InvalidContent));
    }
    let empty = SaveOptions::new(Durability::None).parity(Some(Level::Low));
    let bytes = file(&Content::new(), &empty);
    assert!(open(&bytes).unwrap().info().parity.is_none(), "nothing to protect");
    assert_eq!(open(&bytes).unwrap().info().digest_kind, DigestKind::Xxh3);
}

/// A disk that flips a bit of the byte at one offset of every file when it is written.
struct Bending {
    disk: SimDisk,
    at: u64,
}

/// A file of it.
struct Bent {
    file: SimFile,
    at: u64,
}

impl ReadAt for Bent {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }
}

impl StorageFile for Bent {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut bytes = bytes.to_vec();
        if let Some(byte) = self.at.checked_sub(offset).and_then(|at| bytes.get_mut(at as usize)) {
            *byte ^= 1;
        }
        self.file.write_at(&bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn close(self) -> io::Result<()> {
        self.file.close()
    }
}

impl Storage for Bending {
    type File = Bent;

    fn create_new(&self, path: &Path, permissions: Option<&Permissions>) -> io::Result<Bent> {
        let (file, at) = (self.disk.create_new(path, permissions)?, self.at);
        Ok(Bent { file, at })
    }

    fn open(&self, path: &Path) -> io::Result<Bent> {
        let (file, at) = (self.disk.open(path)?, self.at);
        Ok(Bent { file, at })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename_new(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        self.disk.list(dir)
    }
}

#[test]
fn a_new_file_that_does_not_verify_does_not_get_the_name() {
    for layout in layouts_of_forms() {
        let len = layout.bytes.len() as u64;
        // Metadata that the other copy makes good, content, and a superblock.
        for at in [
            4100,
            open(&layout.bytes).unwrap().chunks().next().unwrap().offset,
            len - 1,
        ] {
            let bending = Bending {
                disk: SimDisk::new(),
                at,
            };
            let target = Path::new("/d/new.fold");
            let error = repair(&bending, &layout.bytes[..], target, &Limits::DEFAULT).unwrap_err();
            let finding = error.finding().unwrap();
            assert!(
                finding.byte_range.contains(&at),
                "{}: byte {at}: {finding}",
                layout.name
            );
            assert_eq!(bending.list(Path::new("/d")).unwrap(), Vec::<PathBuf>::new());
        }
    }
}
