//! What one tensor costs in a large file: `cargo run --release -p fold-benches --bin partial-read -- FILE [MiB]`.
//!
//! Writes FILE with tensors of 1 MiB up to the size asked for (default 1024 MiB), maps it, and verifies and reads one
//! tensor. Prints time, minor and major page faults (Linux, from /proc/self/stat) of each part, and the same for a
//! safe open with positioned reads; with nothing of the file in the page cache, then with all of it there. The file is
//! removed at the end.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use fold_benches::{forget, model, noise, tensor_name};
use fold_format::{Checkpoint, Disk, Durability, Existing, SaveOptions, save};

const TENSOR_BYTES: usize = 1 << 20;

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let Some(path) = arguments.next().map(PathBuf::from) else {
        bail!("usage: partial-read FILE [MiB]")
    };
    let mebibytes: usize = arguments.next().map_or(Ok(1024), |text| text.parse())?;
    let bytes = noise(mebibytes * TENSOR_BYTES, 3);
    save(
        &Disk,
        &path,
        &model(&bytes, mebibytes)?,
        &SaveOptions::new(Durability::Full).existing(Existing::Refuse),
    )?;
    drop(bytes);
    let name = tensor_name(mebibytes / 2);
    let forgotten = || forget(&path);
    let read = || {
        std::io::copy(&mut File::open(&path)?, &mut std::io::sink())?;
        Ok(())
    };
    let prepared: [(&str, &dyn Fn() -> anyhow::Result<()>); 2] =
        [("not in the page cache", &forgotten), ("in the page cache", &read)];
    for (state, prepare) in prepared {
        writeln!(std::io::stdout(), "{state}")?;
        prepare()?;
        let sum = mapped(&path, &name)?;
        prepare()?;
        if sum != copied(&path, &name)? {
            bail!("the two ways of reading differ");
        }
    }
    std::fs::remove_file(&path)?;
    Ok(())
}

fn mapped(path: &Path, name: &str) -> anyhow::Result<u64> {
    let mut meter = Meter::start()?;
    // SAFETY: this program has just written the file under a name that did not exist, and changes it no more.
    #[allow(unsafe_code, reason = "mapping is what is measured")]
    let checkpoint = unsafe { Checkpoint::map(path)? };
    meter.lap("map and open")?;
    let sum = sum(checkpoint.tensor_view(name)?.as_bytes());
    meter.lap("verify and read one tensor")?;
    Ok(sum)
}

fn copied(path: &Path, name: &str) -> anyhow::Result<u64> {
    let mut meter = Meter::start()?;
    let checkpoint = Checkpoint::open(path)?;
    meter.lap("open for positioned reads")?;
    let sum = sum(checkpoint.tensor(name)?.as_bytes());
    meter.lap("read and verify one tensor")?;
    Ok(sum)
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().map(|&byte| u64::from(byte)).sum()
}

/// Time and page faults since the last lap.
struct Meter {
    since: Instant,
    faults: (u64, u64),
}

impl Meter {
    fn start() -> anyhow::Result<Self> {
        Ok(Self {
            faults: faults()?,
            since: Instant::now(),
        })
    }

    fn lap(&mut self, what: &str) -> anyhow::Result<()> {
        let elapsed = self.since.elapsed();
        let (minor, major) = faults()?;
        let (minor_faults, major_faults) = (minor - self.faults.0, major - self.faults.1);
        writeln!(
            std::io::stdout(),
            "{what:<28} {:>9.3} ms  {minor_faults:>6} minor  {major_faults:>3} major faults",
            elapsed.as_secs_f64() * 1e3
        )?;
        *self = Self::start()?;
        Ok(())
    }
}

/// Minor and major page faults of this process: fields 10 and 12 of /proc/self/stat (proc(5)).
fn faults() -> anyhow::Result<(u64, u64)> {
    let stat =
        std::fs::read_to_string("/proc/self/stat").context("page faults are read from /proc, which is not here")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let field =
        |index: usize| -> anyhow::Result<u64> { Ok(fields.get(index).context("a short /proc/self/stat")?.parse()?) };
    Ok((field(7)?, field(9)?))
}
