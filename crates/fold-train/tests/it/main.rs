//! Whole runs in small: what is saved, what a run resumes from, and what it tells.

#![allow(clippy::unwrap_used, reason = "a test whose setting cannot be made has failed")]

mod accuracy;
mod idx;
mod npz;
mod resume;
mod saved;

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use fold_train::{DataSet, Event, Observer, Resume, TrainConfig, TrainRequest};

/// 96 images to learn from and 60 held out, in a layer of 24 neurons: a run takes a fraction of a second.
fn small(out: &Path) -> TrainRequest {
    let digits = DataSet::digits().unwrap();
    let (train, test) = (digits.train.slice(0, 96), digits.test.slice(0, 60));
    TrainRequest {
        data: DataSet { train, test, ..digits },
        out: out.into(),
        config: TrainConfig {
            neurons: 24,
            winners: 2,
            epochs: 3,
            ..TrainConfig::default()
        },
        seed: 11,
        more_seeds: Vec::new(),
        resume: Resume::No,
        retention: None,
        parity: None,
    }
}

/// A checkpoint's bytes; shown by their length and digest alone.
#[derive(Clone, PartialEq)]
struct Bytes(Vec<u8>);

impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} bytes, {:032x}",
            self.0.len(),
            twox_hash::XxHash3_128::oneshot(&self.0)
        )
    }
}

/// Every checkpoint of a directory.
fn checkpoints(dir: &Path) -> BTreeMap<String, Bytes> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "fold"))
        .map(|path| {
            (
                path.file_name().unwrap().to_string_lossy().into_owned(),
                Bytes(std::fs::read(path).unwrap()),
            )
        })
        .collect()
}

/// Notes one line per event and stops the run when a line equals `stop`.
#[derive(Default)]
struct Notes {
    lines: Vec<String>,
    stop: Option<String>,
    /// How often it was asked whether to go on.
    asked: usize,
    /// Stops the run when it has been asked this often.
    stop_asked: Option<usize>,
}

impl Observer for Notes {
    fn on(&mut self, event: &Event<'_>) -> ControlFlow<()> {
        let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
        let line = match event {
            Event::ResumedFrom { path, epoch } => format!("resumed {} at {epoch}", name(path)),
            Event::NothingToResume { .. } => "nothing to resume".to_owned(),
            Event::SkippedDamaged { skipped } => {
                format!("skipped {} {}", name(&skipped.path), skipped.report.findings.len())
            }
            Event::SetAside { path } => format!("aside {}", name(path)),
            Event::EpochStarted { epoch, .. } => format!("started {epoch}"),
            Event::Shown { images, .. } => format!("shown {images}"),
            Event::EpochFinished { metrics, .. } => format!("finished {}", metrics.epoch),
            Event::CheckpointSaved { epoch, .. } => format!("saved {epoch}"),
            Event::CheckpointRemoved { path } => format!("removed {}", name(path)),
            Event::ControlMeasured { control, .. } => format!("control {}", control.as_str()),
            Event::FigureWritten { path } => format!("figure {}", name(path)),
            _ => "other".to_owned(),
        };
        let stop = self.stop.as_ref() == Some(&line);
        self.lines.push(line);
        if stop {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn go_on(&mut self) -> ControlFlow<()> {
        self.asked += 1;
        if self.stop_asked == Some(self.asked) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}
