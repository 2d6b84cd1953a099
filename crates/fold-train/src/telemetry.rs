//! What a run tells the machine that watches it: its state for the metrics, and its events as lines of JSON.
//!
//! Both lie in the run's directory and are no part of the result: a run in whose directory they cannot be written goes on.

use std::ops::ControlFlow;
use std::path::PathBuf;

use fold_ops::telemetry::{EventLog, NeuronHealth, RunState, check_textfile, write_textfile};
use fold_ops::{Class, Code, Timestamp};
use serde_json::{Value, json};

use crate::Error;
use crate::observer::{Event, Observer};
use crate::run::TrainRequest;

/// Keeps the state and the events of a run while another observer is told the same.
#[derive(Debug)]
pub struct Recorder<'a, O> {
    inner: &'a mut O,
    dir: PathBuf,
    metrics_file: Option<PathBuf>,
    seed: u64,
    state: RunState,
    events: EventLog,
    started: bool,
    passed_over: bool,
    complained: bool,
    now: fn() -> Timestamp,
}

impl<'a, O: Observer> Recorder<'a, O> {
    /// - `request`: what is run; what an earlier run in its directory has counted is gone on from.
    /// - `metrics_file`: replaced with each change, for node_exporter's textfile collector.
    /// - `data`: the `--data` of the run, and the epochs of `request` beside it, are what a resumption needs no telling of.
    ///
    /// Of the seeds of `request` the first is reported; further ones are measured only.
    ///
    /// # Errors
    /// `FOLD-E0003` the name of the metrics file is something else's, or another run's.
    pub fn new(
        inner: &'a mut O,
        request: &TrainRequest,
        data: &str,
        metrics_file: Option<PathBuf>,
    ) -> Result<Self, Error> {
        let dir = request.out.clone();
        let mut state = RunState::load(&dir).unwrap_or_default();
        state.data = Some(data.to_owned());
        state.epochs_wanted = Some(request.config.epochs);
        if let Some(file) = &metrics_file {
            check_textfile(file, &state.render(&dir))?;
        }
        Ok(Self {
            inner,
            state,
            events: EventLog::in_dir(&dir),
            dir,
            metrics_file,
            seed: request.seed,
            started: false,
            passed_over: false,
            complained: false,
            now: Timestamp::now,
        })
    }

    /// Takes in how the run ended.
    pub fn ended(&mut self, outcome: Result<(), &Error>) {
        let unsaved = outcome.is_err_and(|error| matches!(error, Error::Ops(fold_ops::Error::Format(_))));
        if !(self.started || unsaved) || !self.dir.is_dir() {
            // The run was refused: the directory is another one's, or not there.
            return;
        }
        self.state.running = false;
        match outcome {
            Ok(()) => self.event("finished", &json!({})),
            Err(error) => {
                let code = error.code();
                let known = Code::find(code);
                if matches!(known, Some(Code::InvariantViolated)) {
                    self.state.non_finite = self.state.non_finite.saturating_add(1);
                }
                if let (Error::Ops(fold_ops::Error::Format(_)), Some(Class::Environment)) =
                    (error, known.map(Code::class))
                {
                    self.state.commit_failed(code);
                }
                self.event("stopped", &json!({"code": code, "message": error.to_string()}));
            }
        }
        self.publish();
    }

    fn event(&mut self, name: &str, fields: &Value) {
        self.events.append((self.now)(), name, fields);
    }

    /// Saves the state and the metrics.
    fn publish(&mut self) {
        self.state.updated = Some((self.now)());
        let saved = self.state.save(&self.dir).and_then(|()| match &self.metrics_file {
            Some(file) => write_textfile(file, &self.state.render(&self.dir)),
            None => Ok(()),
        });
        if let Err(error) = saved
            && !self.complained
        {
            self.complained = true;
            log::warn!("the run's metrics are not up to date: {error}");
        }
    }

    fn note(&mut self, event: &Event<'_>) {
        match event {
            Event::SkippedDamaged { skipped } => {
                // A copy of another step that was in the way costs nothing.
                self.passed_over |= skipped.other_step.is_none();
                let fields = json!({"path": shown(&skipped.path), "why": skipped.why()});
                self.event("passed_over", &fields);
            }
            Event::SetAside { path } => self.event("set_aside", &json!({"path": shown(path)})),
            Event::ResumedFrom { path, epoch } => {
                let counter = match self.passed_over {
                    true => &mut self.state.resumed_older,
                    false => &mut self.state.resumed_newest,
                };
                *counter = counter.saturating_add(1);
                self.state.epoch = *epoch;
                self.event("resumed", &json!({"path": shown(path), "epoch": epoch}));
                self.publish();
            }
            Event::EpochStarted { seed, .. } if *seed == self.seed && !self.state.running => {
                self.state.running = true;
                self.publish();
            }
            Event::EpochFinished {
                seed,
                metrics,
                images,
                seconds,
            } if *seed == self.seed => {
                self.state.epoch = metrics.epoch;
                self.state.epochs = self.state.epochs.saturating_add(1);
                self.state.images = self.state.images.saturating_add(*images as u64);
                self.state.seconds += seconds;
                self.state.held_out_accuracy = Some(metrics.test_accuracy);
                self.state.training_accuracy = Some(metrics.train_accuracy);
                let fields = json!({
                    "epoch": metrics.epoch, "held_out_accuracy": metrics.test_accuracy,
                    "training_accuracy": metrics.train_accuracy, "rate": metrics.mean_rate,
                    "dead": metrics.dead_fraction, "seconds": seconds,
                });
                self.event("epoch_finished", &fields);
                self.publish();
            }
            Event::Health { seed, report } if *seed == self.seed => {
                self.state.health = Some(NeuronHealth {
                    dead: report.dead,
                    saturated: report.saturated,
                    at_n_min: report.at_n_min,
                    at_n_max: report.at_n_max,
                    rate: report.rate_mean,
                    theta_mean: report.theta_mean,
                    quarantined: report.quarantined.len() as u64,
                });
                self.state.breaches = self.state.breaches.saturating_add(report.breach_count);
                let fields = json!({
                    "dead": report.dead, "saturated": report.saturated, "breaches": report.breach_count,
                    "quarantined": report.quarantined.len(),
                });
                self.event("health", &fields);
                self.publish();
            }
            Event::CheckpointSaved {
                path,
                epoch,
                bytes,
                seconds,
            } => {
                self.state.commits = self.state.commits.saturating_add(1);
                self.state.commit_bytes = self.state.commit_bytes.saturating_add(*bytes);
                self.state.commit_seconds += seconds;
                self.state.last_commit_seconds = *seconds;
                self.state.last_commit = Some((self.now)());
                let fields = json!({"path": shown(path), "epoch": epoch, "bytes": bytes, "seconds": seconds});
                self.event("checkpoint_saved", &fields);
                self.publish();
            }
            Event::CheckpointRemoved { path } => self.event("checkpoint_removed", &json!({"path": shown(path)})),
            _ => {}
        }
    }
}

fn shown(path: &std::path::Path) -> String {
    path.to_string_lossy().into_owned()
}

impl<O: Observer> Observer for Recorder<'_, O> {
    fn on(&mut self, event: &Event<'_>) -> ControlFlow<()> {
        self.started = true;
        self.note(event);
        self.inner.on(event)
    }

    fn go_on(&mut self) -> ControlFlow<()> {
        self.inner.go_on()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::TrainConfig;
    use crate::data::DataSet;
    use crate::encode::Encoding;
    use crate::observer::Silent;
    use crate::run::Resume;
    use crate::session::{Plasticity, Session};

    fn request(out: &Path, seed: u64) -> TrainRequest {
        TrainRequest {
            data: DataSet::digits().unwrap(),
            out: out.into(),
            config: TrainConfig::default(),
            seed,
            more_seeds: Vec::new(),
            resume: Resume::No,
            retention: None,
            parity: None,
        }
    }

    #[test]
    fn the_health_of_a_seed_that_is_only_measured_is_not_the_runs() {
        let config = TrainConfig {
            neurons: 4,
            winners: 1,
            ..TrainConfig::default()
        };
        let mut session = Session::new(&config, Encoding::DIGITS, 12).unwrap();
        let digits = DataSet::digits().unwrap();
        let mut go = |_| ControlFlow::Continue(());
        while session.layer.health().is_none() {
            let shown = session.present(digits.train.pixels(), Plasticity::On, &mut go);
            shown.unwrap().unwrap();
        }
        let report = session.layer.health().unwrap();

        let dir = tempfile::tempdir().unwrap();
        let mut inner = Silent;
        let mut recorder = Recorder::new(&mut inner, &request(dir.path(), 11), "digits", None).unwrap();
        let told = || std::fs::read_to_string(dir.path().join("events.jsonl")).unwrap_or_default();
        assert!(recorder.on(&Event::Health { seed: 12, report }).is_continue());
        assert_eq!((recorder.state.health.is_none(), told()), (true, String::new()));
        assert!(recorder.on(&Event::Health { seed: 11, report }).is_continue());
        assert!(RunState::load(dir.path()).unwrap().health.is_some());
        assert!(told().contains("health"), "{}", told());
    }

    #[test]
    fn who_is_told_is_asked_too() {
        struct Stops;
        impl Observer for Stops {
            fn on(&mut self, _event: &Event<'_>) -> ControlFlow<()> {
                ControlFlow::Continue(())
            }
            fn go_on(&mut self) -> ControlFlow<()> {
                ControlFlow::Break(())
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let mut inner = Stops;
        let mut recorder = Recorder::new(&mut inner, &request(dir.path(), 1), "digits", None).unwrap();
        assert!(recorder.go_on().is_break());
    }
}
