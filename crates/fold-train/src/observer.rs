//! What a run tells while it goes on: typed events, for progress bars, logs and metrics.
//!
//! Times and speeds are in the events alone; nothing that is saved depends on them.

use std::ops::ControlFlow;
use std::path::Path;

use fold_core::health::Report;
use fold_ops::Skipped;

use crate::Error;
use crate::controls::Control;
use crate::record::EpochMetrics;

/// Something that happened in a run.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The run goes on from a checkpoint instead of starting.
    ResumedFrom {
        /// Its file.
        path: &'a Path,
        /// Epochs that it has seen.
        epoch: u64,
    },
    /// The run was to go on, and its directory holds no checkpoint: it starts.
    NothingToResume {
        /// The directory.
        dir: &'a Path,
    },
    /// A newer checkpoint is not valid and was passed over; what was found is in its report.
    SkippedDamaged {
        /// The checkpoint and its report.
        skipped: &'a Skipped,
    },
    /// A checkpoint newer than the one resumed from, or damaged where a copy of it was resumed from, was moved out of the way; the run
    /// writes that epoch again.
    SetAside {
        /// Where it lies now.
        path: &'a Path,
    },
    /// An epoch begins.
    EpochStarted {
        /// Which seed.
        seed: u64,
        /// From 1.
        epoch: u64,
        /// The last one.
        epochs: u64,
    },
    /// A batch was shown.
    Shown {
        /// Images of the epoch so far.
        images: usize,
        /// Images of an epoch.
        of: usize,
    },
    /// An epoch is done and was measured.
    EpochFinished {
        /// Which seed.
        seed: u64,
        /// What was measured.
        metrics: &'a EpochMetrics,
        /// Images presented.
        images: usize,
        /// Seconds that the presentation took, without the measurement.
        seconds: f64,
    },
    /// The health monitor has completed a sweep since the last such event.
    Health {
        /// Which seed.
        seed: u64,
        /// What it found.
        report: &'a Report,
    },
    /// A checkpoint is on the disk.
    CheckpointSaved {
        /// Its file.
        path: &'a Path,
        /// Epochs that it has seen.
        epoch: u64,
        /// Its bytes.
        bytes: u64,
        /// Seconds that saving took, flushes included.
        seconds: f64,
    },
    /// Retention removed a checkpoint.
    CheckpointRemoved {
        /// The file.
        path: &'a Path,
    },
    /// A control was measured.
    ControlMeasured {
        /// Which seed.
        seed: u64,
        /// Which control.
        control: Control,
        /// Held-out accuracy, in [0, 1].
        accuracy: f64,
    },
    /// A figure is on the disk.
    FigureWritten {
        /// Its file.
        path: &'a Path,
    },
}

/// Who is told.
pub trait Observer {
    /// Takes in `event`; `Break` stops the run as soon as nothing can be lost by it.
    fn on(&mut self, event: &Event<'_>) -> ControlFlow<()>;

    /// Asked again and again while features, readouts and controls are computed, of which there is nothing to tell; `Break` stops the
    /// run. Whoever passes events on to another observer passes this on too.
    fn go_on(&mut self) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

/// Tells nobody.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

/// Leave to go on, asked for between two blocks of a computation.
pub(crate) struct Asking<'a> {
    /// None where nobody is there to stop it.
    observer: Option<&'a mut dyn Observer>,
    /// The last epoch that has a checkpoint.
    saved_epoch: u64,
}

impl<'a> Asking<'a> {
    /// Operations of a block: about a tenth of a second on one core.
    const BLOCK: usize = 1 << 26;

    pub(crate) fn new(observer: &'a mut dyn Observer, saved_epoch: u64) -> Self {
        Self {
            observer: Some(observer),
            saved_epoch,
        }
    }

    /// Leave for good.
    pub(crate) fn nobody() -> Self {
        Self {
            observer: None,
            saved_epoch: 0,
        }
    }

    /// Stops with [`Error::Interrupted`] where the observer says so.
    pub(crate) fn go_on(&mut self) -> Result<(), Error> {
        match self.observer.as_deref_mut().map(Observer::go_on) {
            Some(ControlFlow::Break(())) => Err(Error::Interrupted {
                epoch: self.saved_epoch,
            }),
            _ => Ok(()),
        }
    }

    /// How many items of `cost` operations each make a block: at least one for each of the pool's threads.
    pub(crate) fn block_of(cost: usize) -> usize {
        (Self::BLOCK / cost.max(1)).max(rayon::current_num_threads())
    }
}

impl Observer for Silent {
    fn on(&mut self, _event: &Event<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}
