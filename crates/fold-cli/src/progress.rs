//! What a training run or a scrub tells while it goes on: a bar, plain lines, or only what a person must know.
//!
//! A checkpoint that was passed over is always told, unless `--quiet`.

use std::io::IsTerminal as _;
use std::ops::ControlFlow;

use fold_ops::Escaped;
use fold_ops::scrub::ScrubEvent;
use fold_train::{Event, Observer};
use indicatif::{ProgressBar, ProgressStyle};

use crate::arguments::Progress;
use crate::interrupt;
use crate::output::note;

/// Tells a person on standard error.
pub(crate) struct Teller {
    bar: Option<ProgressBar>,
    lines: bool,
    quiet: bool,
}

impl Teller {
    pub(crate) fn new(progress: Progress, quiet: bool) -> Self {
        let bar = wants_bar(progress, quiet);
        let style = ProgressStyle::with_template("{prefix} {bar:32} {pos}/{len} images {msg}");
        Self {
            bar: bar.then(|| ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))),
            lines: progress == Progress::Plain,
            quiet,
        }
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| note(text)),
            None => note(text),
        }
    }

    /// Something a person must know.
    fn remark(&self, text: &str) {
        if !self.quiet {
            self.say(text);
        }
    }

    /// A step of the way, where lines were asked for.
    fn step(&self, text: &str) {
        if self.lines || (self.bar.is_some() && !self.quiet) {
            self.say(text);
        }
    }
}

impl Observer for Teller {
    fn on(&mut self, event: &Event<'_>) -> ControlFlow<()> {
        let shown = |path: &std::path::Path| Escaped(&path.to_string_lossy()).to_string();
        match event {
            Event::ResumedFrom { path, epoch } => {
                self.remark(&format!("resumed from {} after epoch {epoch}", shown(path)));
            }
            Event::NothingToResume { dir } => {
                self.remark(&format!("no checkpoint in {}: the run starts anew", shown(dir)));
            }
            Event::SkippedDamaged { skipped } => {
                self.remark(&format!("passed over {}: {}", shown(&skipped.path), skipped.why()));
            }
            Event::SetAside { path } => self.remark(&format!("set aside {}", shown(path))),
            Event::EpochStarted { seed, epoch, epochs } => {
                if let Some(bar) = &self.bar {
                    bar.set_prefix(format!("seed {seed} epoch {epoch}/{epochs}"));
                    bar.set_position(0);
                }
            }
            Event::Shown { images, of } => {
                if let Some(bar) = &self.bar {
                    bar.set_length(u64::try_from(*of).unwrap_or(u64::MAX));
                    bar.set_position(u64::try_from(*images).unwrap_or(u64::MAX));
                }
            }
            Event::EpochFinished {
                seed,
                metrics,
                images,
                seconds,
            } => self.step(&format!(
                "seed {seed} epoch {}: held-out {:.4}, training {:.4}, rate {:.4}, dead {:.3}, {:.0} images/s",
                metrics.epoch,
                metrics.test_accuracy,
                metrics.train_accuracy,
                metrics.mean_rate,
                metrics.dead_fraction,
                *images as f64 / seconds.max(f64::MIN_POSITIVE),
            )),
            Event::ControlMeasured {
                seed,
                control,
                accuracy,
            } => {
                self.step(&format!(
                    "seed {seed} control {}: held-out {accuracy:.4}",
                    control.as_str()
                ));
            }
            Event::CheckpointSaved { path, .. } => self.step(&format!("saved {}", shown(path))),
            Event::CheckpointRemoved { path } => self.step(&format!("removed {}", shown(path))),
            Event::FigureWritten { path } => self.step(&format!("figure {}", shown(path))),
            _ => {}
        }
        interrupt::requested()
    }

    fn go_on(&mut self) -> ControlFlow<()> {
        interrupt::requested()
    }
}

/// Tells on standard error how far a scrub is.
pub(crate) struct ScrubTeller {
    bar: Option<ProgressBar>,
    lines: bool,
}

impl ScrubTeller {
    pub(crate) fn new(progress: Progress, quiet: bool) -> Self {
        let style = ProgressStyle::with_template("{bar:32} {bytes}/{total_bytes} {msg}");
        Self {
            bar: wants_bar(progress, quiet)
                .then(|| ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))),
            lines: progress == Progress::Plain,
        }
    }

    pub(crate) fn on(&self, event: &ScrubEvent<'_>) {
        match (event, &self.bar) {
            (ScrubEvent::Reading { path, done, total, eta }, Some(bar)) => {
                bar.set_length(*total);
                bar.set_position(*done);
                let eta = eta.map_or_else(String::new, |eta| format!(", {} s left", eta.as_secs()));
                bar.set_message(format!("{}{eta}", Escaped(&path.to_string_lossy())));
            }
            (ScrubEvent::Verified { file }, None) if self.lines => {
                note(&format!("{}: {}", Escaped(&file.path.to_string_lossy()), file.verdict));
            }
            _ => {}
        }
    }

    /// Whether each file's verdict is told anyway.
    pub(crate) fn tells_all(&self) -> bool {
        self.lines && self.bar.is_none()
    }

    /// Says something without spoiling the bar.
    pub(crate) fn suspended(&self, say: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(say),
            None => say(),
        }
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn wants_bar(progress: Progress, quiet: bool) -> bool {
    match progress {
        Progress::Bar => true,
        Progress::Auto => std::io::stderr().is_terminal() && !quiet,
        Progress::Plain | Progress::Never => false,
    }
}
