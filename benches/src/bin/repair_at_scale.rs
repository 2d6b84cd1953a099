//! What repairing a large file costs: `cargo run --release -p fold-benches --bin repair-at-scale -- STEP FILE ...`.
//!
//! - `write FILE [MiB]` writes a model (default 1024 MiB) with parity of 5 %.
//! - `damage FILE` overwrites as many blocks as the file has parity, spread over the content.
//! - `repair FILE NEW` repairs it and prints time and peak memory of the process (Linux, VmHWM of /proc/self/status).
//! - `compare FILE OTHER` reads both and says whether they are the same.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, bail};
use fold_benches::{model, noise};
use fold_format::parity::Level;
use fold_format::{Checkpoint, Disk, Durability, Limits, SaveOptions, repair, save};

fn main() -> anyhow::Result<()> {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let arguments = arguments.iter().map(String::as_str).collect::<Vec<_>>();
    let mut out = std::io::stdout();
    match arguments[..] {
        ["write", file] => write(file, 1024)?,
        ["write", file, mebibytes] => write(file, mebibytes.parse()?)?,
        ["damage", file] => damage(Path::new(file))?,
        ["repair", file, new] => {
            let start = Instant::now();
            let repair = repair(&Disk, &File::open(file)?, Path::new(new), &Limits::DEFAULT)?;
            writeln!(
                out,
                "{}: {} blocks restored in {:.2} s, peak memory {} MiB",
                repair.verdict,
                repair.blocks_repaired,
                start.elapsed().as_secs_f64(),
                peak_mebibytes()?
            )?;
        }
        ["compare", file, other] => {
            let same = same(file, other)?;
            writeln!(out, "{}", if same { "the same, byte for byte" } else { "different" })?;
        }
        _ => bail!("usage: repair-at-scale write FILE [MiB] | damage FILE | repair FILE NEW | compare FILE OTHER"),
    }
    Ok(())
}

fn write(file: &str, mebibytes: usize) -> anyhow::Result<()> {
    let bytes = noise(mebibytes << 20, 3);
    let content = model(&bytes, mebibytes)?;
    let options = SaveOptions::new(Durability::Full).parity(Some(Level::Medium));
    save(&Disk, Path::new(file), &content, &options)?;
    Ok(())
}

/// Overwrites every n-th block of the content, as many as can be restored.
fn damage(path: &Path) -> anyhow::Result<()> {
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
    writeln!(
        std::io::stdout(),
        "{lost} of {} blocks of content overwritten",
        info.block_count
    )?;
    Ok(())
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

fn peak_mebibytes() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("peak memory is read from /proc")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line
        .and_then(|rest| rest.split_whitespace().next())
        .context("no VmHWM")?;
    Ok(kibibytes.parse::<u64>()? / 1024)
}
