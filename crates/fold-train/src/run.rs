//! The training loop: an epoch, a measurement, a checkpoint; then the controls and the figures.
//!
//! The directory holds the first seed's run, one checkpoint per epoch, epoch 0 (the layer as drawn) among them. Further seeds are
//! trained from the start in every call, to tell the spread; they leave no files.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fold_ops::{Checkpoint, CheckpointStore, ParityLevel, Retention, StoreWriter, Verdict};

use crate::Error;
use crate::config::TrainConfig;
use crate::controls::{self, Control};
use crate::data::DataSet;
use crate::figures;
use crate::observer::{Asking, Event, Observer};
use crate::outcome::{Accuracies, SeedOutcome, TrainOutcome};
use crate::readout::Readout;
use crate::record::{EpochMetrics, Record, Restored};
use crate::session::{Activity, Plasticity, Session};
use crate::vote::Vote;

/// Whether a run goes on from what is in its directory.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Resume {
    /// It starts; a directory that holds checkpoints is refused.
    #[default]
    No,
    /// It goes on from the newest valid checkpoint of the directory; without any checkpoint it starts.
    Auto,
    /// It goes on from this checkpoint.
    From(PathBuf),
}

/// What to train, and where to.
#[derive(Debug, Clone)]
pub struct TrainRequest {
    /// What to learn from.
    pub data: DataSet,
    /// The run's directory; created where it does not exist.
    pub out: PathBuf,
    /// The configuration; checked before anything is written.
    pub config: TrainConfig,
    /// The first seed; its run is the one that is saved.
    pub seed: u64,
    /// Further seeds, measured only; none twice, and not `seed`.
    pub more_seeds: Vec<u64>,
    /// Whether to go on.
    pub resume: Resume,
    /// Which checkpoints to keep after each save; all without one.
    pub retention: Option<Retention>,
    /// How much parity the checkpoints get, from which lost blocks can be restored; it changes no result.
    pub parity: Option<ParityLevel>,
}

/// Trains, measures and saves. Work is done on the caller's rayon pool; its size changes no bit of any file.
///
/// # Errors
/// Nothing is written on a bad configuration, a data set that [`DataSet::check`] refuses, a seed that is there twice, or a directory that holds another run, also where a checkpoint of elsewhere is to be gone
/// on from there. After [`Error::Interrupted`] and after
/// every fault of the disk, the checkpoints that were reported as saved are whole, and the run can be resumed.
pub fn train(request: &TrainRequest, observer: &mut dyn Observer) -> Result<TrainOutcome, Error> {
    request.config.check()?;
    request.data.check()?;
    let mut seeds = BTreeSet::from([request.seed]);
    if let Some(&seed) = request.more_seeds.iter().find(|&&seed| !seeds.insert(seed)) {
        return Err(Error::SeedTwice { seed });
    }
    let mut run = Run {
        request,
        observer,
        presented: 0,
        presenting: Duration::ZERO,
        saved_epoch: 0,
    };
    run.all()
}

/// A request under way.
struct Run<'a> {
    request: &'a TrainRequest,
    observer: &'a mut dyn Observer,
    presented: usize,
    presenting: Duration,
    saved_epoch: u64,
}

/// A layer with its readout and what was measured of it, epoch by epoch.
struct Trained {
    session: Session,
    readout: Readout,
    history: Vec<EpochMetrics>,
}

impl Trained {
    /// The held-out accuracy after the last epoch.
    fn accuracy(&self) -> f64 {
        self.history.last().map_or(0.0, |metrics| metrics.test_accuracy)
    }
}

/// Held-out accuracies that the pixels alone decide, whatever the seed.
struct OfPixels {
    nearest_neighbours: f64,
    ridge_pixels: f64,
}

impl OfPixels {
    fn measure(data: &DataSet, asking: &mut Asking<'_>) -> Result<Self, Error> {
        Ok(Self {
            nearest_neighbours: controls::neighbours::accuracy(data, asking)?,
            ridge_pixels: controls::ridge_pixels(data, asking)?,
        })
    }
}

impl Run<'_> {
    fn all(&mut self) -> Result<TrainOutcome, Error> {
        let request = self.request;
        let config = &request.config;
        let store = CheckpointStore::open(&request.out);
        if request.resume == Resume::No
            && request.out.exists()
            && let Some(&newest) = store.steps()?.last()
        {
            return Err(Error::RunExists {
                dir: request.out.clone(),
                newest,
            });
        }
        let writer = StoreWriter::create(&request.out)?.with_parity(request.parity);
        let mut first = match self.resumed(&writer)? {
            Some(trained) => trained,
            None => {
                let trained = self.drawn(request.seed)?;
                self.save(&writer, &trained)?;
                trained
            }
        };
        while first.session.epoch < u64::from(config.epochs) {
            self.epoch(&mut first, request.seed)?;
            self.save(&writer, &first)?;
        }
        let pixels = OfPixels::measure(&request.data, &mut self.asking())?;
        let mut per_seed = vec![self.measured(request.seed, &first, &pixels)?];
        for &seed in &request.more_seeds {
            let mut trained = self.drawn(seed)?;
            while trained.session.epoch < u64::from(config.epochs) {
                self.epoch(&mut trained, seed)?;
            }
            per_seed.push(self.measured(seed, &trained, &pixels)?);
        }
        let frozen = per_seed.first().map_or(0.0, |first| first.accuracy.frozen);
        let figures = figures::write(
            &request.out.join("figures"),
            &first.history,
            frozen,
            request.data.encoding,
            &first.session.layer,
        )?;
        for path in &figures {
            self.tell(&Event::FigureWritten { path })?;
        }
        let all: Vec<Accuracies> = per_seed.iter().map(|seed| seed.accuracy).collect();
        let checkpoints: Vec<PathBuf> = store.steps()?.into_iter().map(|step| store.path_of(step)).collect();
        Ok(TrainOutcome {
            schema: "fold.train/1",
            exit_code: 0,
            data: request.data.name,
            neurons: config.neurons,
            epochs: u32::try_from(first.session.epoch).unwrap_or(u32::MAX),
            seeds: per_seed.iter().map(|seed| seed.seed).collect(),
            train_images: request.data.train.count(),
            test_images: request.data.test.count(),
            accuracy: Accuracies::mean(&all),
            accuracy_spread: Accuracies::spread(&all),
            per_seed,
            history: first.history,
            images_per_second: rate(self.presented, self.presenting),
            final_checkpoint: store.path_of(first.session.epoch),
            checkpoints,
            figures,
        })
    }

    /// What the request says to go on from; the newer checkpoints of the directory are out of the way then.
    fn resumed(&mut self, writer: &StoreWriter) -> Result<Option<Trained>, Error> {
        // Whether what is gone on from is known to be right in every byte.
        let mut whole = false;
        let (path, restored) = match &self.request.resume {
            Resume::No => return Ok(None),
            Resume::From(path) => {
                let checkpoint = Checkpoint::open(path).map_err(fold_ops::Error::from)?;
                (path.clone(), Restored::read(&checkpoint)?)
            }
            Resume::Auto => {
                let latest = writer.store().latest_valid()?;
                for skipped in &latest.skipped {
                    self.tell(&Event::SkippedDamaged { skipped })?;
                }
                match latest.chosen {
                    Some(chosen) => {
                        whole = chosen.report.verdict == Verdict::Ok;
                        (chosen.path, Restored::read(&chosen.checkpoint)?)
                    }
                    None if latest.skipped.is_empty() => {
                        self.tell(&Event::NothingToResume { dir: &self.request.out })?;
                        return Ok(None);
                    }
                    None => {
                        let (dir, count) = (self.request.out.clone(), latest.skipped.len());
                        return Err(Error::NoValidCheckpoint { dir, count });
                    }
                }
            }
        };
        let Restored {
            session,
            readout,
            record,
            ..
        } = restored;
        let keys = record.differences(&self.request.data, &self.request.config, self.request.seed)?;
        if !keys.is_empty() {
            return Err(Error::ResumeDiffers { keys });
        }
        let (epoch, epochs) = (session.epoch, u64::from(self.request.config.epochs));
        if epoch > epochs {
            return Err(Error::EpochsPassed { epoch, epochs });
        }
        if matches!(self.request.resume, Resume::From(_)) {
            self.same_run(writer.store(), &path)?;
        }
        let store = writer.store();
        for step in store.steps()?.into_iter().filter(|&step| step >= epoch) {
            // Of its own epoch, what was gone on from stays where it is whole, and a copy of it that is.
            if step == epoch && (whole && same_file(&path, &store.path_of(step)) || store.is_valid(step)?) {
                continue;
            }
            let path = writer.set_aside(step)?;
            self.tell(&Event::SetAside { path: &path })?;
        }
        self.saved_epoch = epoch;
        self.tell(&Event::ResumedFrom { path: &path, epoch })?;
        let trained = Trained {
            session,
            readout,
            history: record.history,
        };
        if !writer.store().steps()?.contains(&epoch) {
            // Resumed from a file elsewhere: the directory gets its own first checkpoint. Or what was set aside was not whole.
            self.save(writer, &trained)?;
        }
        Ok(Some(trained))
    }

    /// Whether a checkpoint from elsewhere belongs to the run whose checkpoints the directory holds: the newest record there that can
    /// be read says so. Where none can, nothing speaks against it.
    fn same_run(&self, store: &CheckpointStore, path: &Path) -> Result<(), Error> {
        let steps = store.steps()?;
        if steps.iter().any(|&step| same_file(path, &store.path_of(step))) {
            return Ok(());
        }
        let record = |&step: &u64| Record::read(&Checkpoint::open(store.path_of(step)).ok()?).ok();
        let Some(record) = steps.iter().rev().find_map(record) else {
            return Ok(());
        };
        let keys = record.differences(&self.request.data, &self.request.config, self.request.seed)?;
        if keys.is_empty() {
            return Ok(());
        }
        let dir = self.request.out.clone();
        Err(Error::OtherRun { dir, keys })
    }

    /// A layer as drawn, measured as epoch 0.
    fn drawn(&mut self, seed: u64) -> Result<Trained, Error> {
        let session = Session::new(&self.request.config, self.request.data.encoding, seed)?;
        let silent = Activity {
            mean_rate: 0.0,
            dead_fraction: 1.0,
        };
        let (readout, metrics) = self.measure(&session, silent)?;
        Ok(Trained {
            session,
            readout,
            history: vec![metrics],
        })
    }

    fn epoch(&mut self, trained: &mut Trained, seed: u64) -> Result<(), Error> {
        let (epoch, epochs) = (trained.session.epoch + 1, u64::from(self.request.config.epochs));
        self.tell(&Event::EpochStarted { seed, epoch, epochs })?;
        let images = self.request.data.train.count();
        let swept = trained.session.layer.health().map(|report| report.clock);
        let started = Instant::now();
        let observer = &mut *self.observer;
        let mut shown = |done| {
            observer.on(&Event::Shown {
                images: done,
                of: images,
            })
        };
        let activity = trained
            .session
            .present(self.request.data.train.pixels(), Plasticity::On, &mut shown)?;
        let Some(activity) = activity else {
            return Err(Error::Interrupted {
                epoch: self.saved_epoch,
            });
        };
        let took = started.elapsed();
        self.presented += images;
        self.presenting += took;
        let (readout, metrics) = self.measure(&trained.session, activity)?;
        trained.readout = readout;
        self.tell(&Event::EpochFinished {
            seed,
            metrics: &metrics,
            images,
            seconds: took.as_secs_f64(),
        })?;
        trained.history.push(metrics);
        match trained.session.layer.health() {
            Some(report) if Some(report.clock) != swept => self.tell(&Event::Health { seed, report }),
            _ => Ok(()),
        }
    }

    /// Fits the readout on the spikes for the training images and measures it. The labels come in here and nowhere before.
    fn measure(&mut self, session: &Session, activity: Activity) -> Result<(Readout, EpochMetrics), Error> {
        let request = self.request;
        let data = &request.data;
        let asking = &mut self.asking();
        let train = session.spikes(data.train.pixels(), asking)?;
        let readout = Readout::fit_asking(&train, data.train.labels(), data.classes, asking)?;
        let test = session.spikes(data.test.pixels(), asking)?;
        let metrics = EpochMetrics {
            epoch: session.epoch,
            test_accuracy: readout.accuracy_asking(&test, data.test.labels(), asking)?,
            train_accuracy: readout.accuracy_asking(&train, data.train.labels(), asking)?,
            leave_one_out: readout.leave_one_out,
            lambda: readout.lambda,
            mean_rate: activity.mean_rate,
            dead_fraction: activity.dead_fraction,
        };
        Ok((readout, metrics))
    }

    fn save(&mut self, writer: &StoreWriter, trained: &Trained) -> Result<(), Error> {
        let Trained {
            session,
            readout,
            history,
        } = trained;
        let record = Record::new(&self.request.data, &self.request.config, session, readout, history)?;
        let started = Instant::now();
        let saved = record.save(writer, session, readout)?;
        let seconds = started.elapsed().as_secs_f64();
        self.saved_epoch = session.epoch;
        let path = writer.store().path_of(session.epoch);
        self.tell(&Event::CheckpointSaved {
            path: &path,
            epoch: session.epoch,
            bytes: saved.bytes,
            seconds,
        })?;
        if let Some(retention) = &self.request.retention {
            for path in writer.prune(&writer.store().plan(retention)?)?.removed {
                self.tell(&Event::CheckpointRemoved { path: &path })?;
            }
        }
        Ok(())
    }

    /// One seed's learned accuracies, and its controls beside them.
    fn measured(&mut self, seed: u64, trained: &Trained, pixels: &OfPixels) -> Result<SeedOutcome, Error> {
        let request = self.request;
        let (data, width) = (&request.data, request.config.neurons);
        let (train, test) = (data.train.pixels(), data.test.pixels());
        let asking = &mut self.asking();
        let vote = Vote::fit(
            &trained.session.spikes(train, asking)?,
            data.train.labels(),
            data.classes,
        );
        let vote = vote.accuracy(&trained.session.spikes(test, asking)?, data.test.labels());
        let potentials = self.potentials(&trained.session)?;
        let (frozen, potentials_frozen) = self.frozen(seed)?;
        self.control(seed, Control::Frozen, frozen)?;
        let random_features = controls::random_features(data, width, seed, &mut self.asking())?;
        self.control(seed, Control::RandomFeatures, random_features)?;
        let kmeans_features = controls::kmeans_features(data, width, seed, &mut self.asking())?;
        self.control(seed, Control::KmeansFeatures, kmeans_features)?;
        let &OfPixels {
            nearest_neighbours,
            ridge_pixels,
        } = pixels;
        self.control(seed, Control::NearestNeighbours, nearest_neighbours)?;
        self.control(seed, Control::RidgePixels, ridge_pixels)?;
        let accuracy = Accuracies {
            learned: trained.accuracy(),
            frozen,
            vote,
            potentials,
            potentials_frozen,
            random_features,
            kmeans_features,
            nearest_neighbours,
            ridge_pixels,
        };
        Ok(SeedOutcome { seed, accuracy })
    }

    /// The held-out accuracy of the readout on potentials.
    fn potentials(&mut self, session: &Session) -> Result<f64, Error> {
        let request = self.request;
        controls::held_out(&request.data, &mut self.asking(), |images, asking| {
            session.potentials(images.pixels(), asking)
        })
    }

    /// The same layer after as many presentations in the same order, with its weights as drawn: by its spikes, and by its potentials.
    fn frozen(&mut self, seed: u64) -> Result<(f64, f64), Error> {
        let mut session = Session::new(&self.request.config, self.request.data.encoding, seed)?;
        let mut activity = Activity {
            mean_rate: 0.0,
            dead_fraction: 1.0,
        };
        while session.epoch < u64::from(self.request.config.epochs) {
            let observer = &mut *self.observer;
            let of = self.request.data.train.count();
            let mut shown = |images| observer.on(&Event::Shown { images, of });
            activity = session
                .present(self.request.data.train.pixels(), Plasticity::Off, &mut shown)?
                .ok_or(Error::Interrupted {
                    epoch: self.saved_epoch,
                })?;
        }
        let spikes = self.measure(&session, activity)?.1.test_accuracy;
        Ok((spikes, self.potentials(&session)?))
    }

    fn control(&mut self, seed: u64, control: Control, accuracy: f64) -> Result<(), Error> {
        self.tell(&Event::ControlMeasured {
            seed,
            control,
            accuracy,
        })
    }

    /// What a computation asks whether to go on.
    fn asking(&mut self) -> Asking<'_> {
        Asking::new(self.observer, self.saved_epoch)
    }

    fn tell(&mut self, event: &Event<'_>) -> Result<(), Error> {
        match self.observer.on(event) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Interrupted {
                epoch: self.saved_epoch,
            }),
        }
    }
}

/// Whether two names lead to one file.
fn same_file(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

fn rate(images: usize, took: Duration) -> f64 {
    if images == 0 {
        0.0
    } else {
        images as f64 / took.as_secs_f64().max(f64::MIN_POSITIVE)
    }
}
