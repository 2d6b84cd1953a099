//! `beside FOLDER [BYTES TENSORS]`: one piece of work for each line of standard input, and its nanoseconds as an answer.
//!
//! What the scripts in benches/peers measure in turns with peers that are Python packages: neither side starts a process per
//! run. BYTES is a file of f32, cut into as many tensors of equal size; the work is `save CASE`, `load CASE`, or
//! `step N D S B COUNT`, that many steps of a layer that was made at its first mention.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::hint::black_box;
use std::io::{BufRead as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use fold_benches::{Running, model, tensor_name};
use fold_core::Shape;
use fold_format::parity::Level;
use fold_format::{Checkpoint, Content, Disk, Durability, Encoding, Existing, Mapping, ReadAt, SaveOptions, save};
use rayon::prelude::*;

struct Beside<'b> {
    folder: PathBuf,
    content: Content<'b>,
    tensors: usize,
    buffer: Vec<u8>,
    /// By their shapes and samples, as the request has them.
    layers: BTreeMap<[u32; 4], Running>,
}

/// How a case is saved, and the file it is in.
fn form(case: &str) -> anyhow::Result<(SaveOptions, &'static str)> {
    let plain = |durability| SaveOptions::new(durability).existing(Existing::Replace);
    let quick = plain(Durability::None);
    Ok(match case {
        "raw" => (quick, "raw.fold"),
        "raw, durable" => (plain(Durability::Full), "durable.fold"),
        "parity low" => (quick.parity(Some(Level::Low)), "parity.fold"),
        "zstd" => (quick.encoding(Encoding::Zstd), "zstd.fold"),
        "shuffle-zstd" => (quick.encoding(Encoding::ShuffleZstd), "shuffle-zstd.fold"),
        "shuffle-zstd, durable" => (
            plain(Durability::Full).encoding(Encoding::ShuffleZstd),
            "shuffle-durable.fold",
        ),
        _ => bail!("no case {case}"),
    })
}

/// Memory that begins at a page, as long as `room` is without one page.
fn aligned(room: &mut [u8]) -> &mut [u8] {
    let start = room.as_ptr().align_offset(4096).min(4096);
    let len = room.len() - 4096;
    &mut room[start..][..len]
}

#[allow(unsafe_code, reason = "mapping is what is measured")]
fn map(path: &Path) -> anyhow::Result<Checkpoint<Mapping>> {
    // SAFETY: this program wrote the file, and changes it only when it holds no mapping.
    Ok(unsafe { Checkpoint::map(path)? })
}

impl Beside<'_> {
    /// Does one piece of work.
    fn work(&mut self, line: &str) -> anyhow::Result<()> {
        if let Some(case) = line.strip_prefix("save ") {
            let (options, name) = form(case)?;
            save(&Disk, self.folder.join(name), &self.content, &options)?;
        } else if let Some(case) = line.strip_prefix("load mapped ") {
            let checkpoint = map(&self.folder.join(form(case)?.1))?;
            (0..self.tensors).into_par_iter().try_for_each(|index| {
                black_box(checkpoint.tensor_view(&tensor_name(index))?);
                anyhow::Ok(())
            })?;
        } else if let Some(case) = line.strip_prefix("load ") {
            let path = self.folder.join(form(case)?.1);
            self.read_all(&Checkpoint::open(path)?)?;
        } else if let Some(numbers) = line.strip_prefix("step ") {
            let numbers = numbers.split(' ').map(str::parse).collect::<Result<Vec<u32>, _>>()?;
            let [neurons, dendrites, synapses, samples, count] = numbers[..] else {
                bail!("five numbers: {line}")
            };
            let shape = Shape {
                neurons,
                dendrites,
                synapses,
            };
            let running = match self.layers.entry([neurons, dendrites, synapses, samples]) {
                Entry::Occupied(entry) => entry.into_mut(),
                Entry::Vacant(entry) => entry.insert(Running::new(shape, samples as usize)?),
            };
            black_box(running.steps(count.into())?);
        } else {
            bail!("no work {line}")
        }
        Ok(())
    }

    fn read_all(&mut self, checkpoint: &Checkpoint<impl ReadAt>) -> anyhow::Result<()> {
        for index in 0..self.tensors {
            checkpoint.read_tensor_into(&tensor_name(index), aligned(&mut self.buffer))?;
            black_box(&self.buffer);
        }
        Ok(())
    }
}

fn main() -> anyhow::Result<()> {
    let arguments = std::env::args().skip(1).collect::<Vec<_>>();
    let (folder, bytes, tensors) = match arguments.as_slice() {
        [folder] => (folder, vec![0; 4], 1),
        [folder, bytes, tensors] => (
            folder,
            std::fs::read(bytes).with_context(|| bytes.clone())?,
            tensors.parse::<usize>()?,
        ),
        _ => bail!("usage: beside FOLDER [BYTES TENSORS]"),
    };
    let mut beside = Beside {
        folder: folder.into(),
        content: model(&bytes, tensors)?,
        tensors,
        buffer: vec![0; bytes.len() / tensors + 4096],
        layers: BTreeMap::new(),
    };
    let mut out = std::io::stdout();
    for line in std::io::stdin().lock().lines() {
        let started = Instant::now();
        beside.work(&line?)?;
        writeln!(out, "{}", started.elapsed().as_nanos())?;
        out.flush()?;
    }
    Ok(())
}
