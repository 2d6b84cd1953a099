//! What large files cost in time and memory: `cargo run --release -p fold-benches --bin at-scale -- STEP FILE ...`.
//!
//! - `write FILE [MiB]` writes a model (default 1024 MiB, tensors of 1 MiB) with parity of 5 %. Its numbers lie in a mapped file
//!   beside it, which is removed: the model may be larger than the memory.
//! - `one FILE` opens it and reads one tensor, verified.
//! - `all FILE` opens it and reads tensor by tensor, verified.
//! - `verify FILE` verifies every byte.
//! - `damage FILE` overwrites as many blocks as the file has parity, spread over the content.
//! - `repair FILE NEW` repairs it.
//! - `compare FILE OTHER` reads both and says whether they are the same.
//!
//! Each prints its time and the peak of the process' memory (Linux, /proc/self/status): all of it (VmHWM), and what is its
//! own rather than pages of mapped files (RssAnon, at the end). To see it work under a limit, run it by
//! `systemd-run --scope -p MemoryMax=256M`.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use fold_benches::{model, noise, tensor_name};
use fold_format::parity::Level;
use fold_format::{
    Checkpoint, Depth, Disk, Durability, Existing, Limits, SaveOptions, Verdict, VerifyOptions, repair, save, verify,
};

const MEBIBYTE: usize = 1 << 20;

fn main() -> anyhow::Result<()> {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let arguments = arguments.iter().map(String::as_str).collect::<Vec<_>>();
    let start = Instant::now();
    let said = match arguments[..] {
        ["write", file] => write(file, 1024)?,
        ["write", file, mebibytes] => write(file, mebibytes.parse()?)?,
        ["one", file] => read(Path::new(file), 1)?,
        ["all", file] => read(Path::new(file), usize::MAX)?,
        ["verify", file] => {
            let report = verify(file, Depth::All, VerifyOptions::default())?;
            ensure!(report.verdict == Verdict::Ok, "{}", report.verdict);
            format!("{} bytes verified", report.bytes_read)
        }
        ["damage", file] => damage(Path::new(file))?,
        ["repair", file, new] => {
            let repair = repair(&Disk, &File::open(file)?, Path::new(new), &Limits::DEFAULT)?;
            format!("{}: {} blocks restored", repair.verdict, repair.blocks_repaired)
        }
        ["compare", file, other] => {
            let same = same(file, other)?;
            ensure!(same, "different");
            "the same, byte for byte".to_owned()
        }
        _ => bail!(
            "usage: at-scale write FILE [MiB] | one FILE | all FILE | verify FILE | damage FILE | repair FILE NEW | compare FILE OTHER"
        ),
    };
    let seconds = start.elapsed().as_secs_f64();
    let (peak, own) = (mebibytes("VmHWM:")?, mebibytes("RssAnon:")?);
    writeln!(
        std::io::stdout(),
        "{said} in {seconds:.2} s, peak memory {peak} MiB, of its own {own} MiB"
    )?;
    Ok(())
}

fn write(file: &str, mebibytes: usize) -> anyhow::Result<String> {
    let numbers = PathBuf::from(format!("{file}.numbers"));
    let mut out = File::create_new(&numbers)?;
    let piece = noise(MEBIBYTE, 3);
    for _ in 0..mebibytes {
        out.write_all(&piece)?;
    }
    drop(out);
    let source = File::open(&numbers)?;
    #[allow(unsafe_code, reason = "a model that need not fit into memory is a mapped one")]
    // SAFETY: this program has just written the file under a name that did not exist, and changes it no more.
    let bytes = unsafe { memmap2::Mmap::map(&source)? };
    let options = SaveOptions::new(Durability::Full)
        .existing(Existing::Replace)
        .parity(Some(Level::Medium));
    let saved = save(&Disk, Path::new(file), &model(&bytes, mebibytes)?, &options);
    std::fs::remove_file(&numbers)?;
    Ok(format!("{} bytes saved", saved?.bytes))
}

/// Opens and reads the first tensors, one after the other.
fn read(path: &Path, count: usize) -> anyhow::Result<String> {
    let checkpoint = Checkpoint::open(path)?;
    let count = count.min(checkpoint.tensors()?.count());
    for index in 0..count {
        checkpoint.tensor(&tensor_name(index))?;
    }
    Ok(format!("{count} tensors read"))
}

/// Overwrites every n-th block of the content, as many as can be restored.
fn damage(path: &Path) -> anyhow::Result<String> {
    let checkpoint = Checkpoint::open(path)?;
    let info = checkpoint.info();
    let parity = info.parity.context("the file has no parity")?;
    let chunk = checkpoint.chunks().next().context("the file has no chunk")?;
    let lost = parity.grouping.parity_blocks();
    let step = chunk.block_count / lost;
    let mut file = File::options().write(true).open(path)?;
    let garbage = vec![0xa5; usize::try_from(info.block_bytes)?];
    for block in 0..lost {
        let start = chunk.offset + block * step * info.block_bytes;
        file.seek(SeekFrom::Start(start))?;
        file.write_all(&garbage)?;
    }
    file.sync_all()?;
    Ok(format!("{lost} of {} blocks of content overwritten", info.block_count))
}

fn same(one: &str, other: &str) -> anyhow::Result<bool> {
    let (mut one, mut other) = (File::open(one)?, File::open(other)?);
    if one.metadata()?.len() != other.metadata()?.len() {
        return Ok(false);
    }
    let (mut ours, mut theirs) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let count = one.read(&mut ours)?;
        if count == 0 {
            return Ok(true);
        }
        other.read_exact(&mut theirs[..count])?;
        if ours[..count] != theirs[..count] {
            return Ok(false);
        }
    }
}

fn mebibytes(line: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("memory is read from /proc")?;
    let rest = status.lines().find_map(|text| text.strip_prefix(line));
    let kibibytes = rest
        .and_then(|rest| rest.split_whitespace().next())
        .with_context(|| format!("no {line}"))?;
    Ok(kibibytes.parse::<u64>()? / 1024)
}
