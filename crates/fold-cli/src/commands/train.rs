//! `fold train`: the request from the arguments, progress while it runs, the accuracies beside their controls.

use std::fmt::Write as _;
use std::path::Path;

use fold_ops::telemetry::RunState;
use fold_ops::{Escaped, ExitCode, Retention, input_file, quoted};
use fold_train::{DataSet, Recorded, Recorder, Resume, TrainConfig, TrainOutcome, TrainRequest};

use crate::arguments::{Global, Parity, Train};
use crate::failure::Failure;
use crate::output::Output;
use crate::progress::Teller;

/// The longest configuration that is read.
const CONFIG_BYTES_MAX: u64 = 1 << 22;

pub(crate) fn run(arguments: &Train, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let (request, data) = request(arguments)?;
    let mut teller = Teller::new(global.progress, global.quiet);
    let metrics_file = arguments.metrics_file.clone();
    let mut recorder = Recorder::new(&mut teller, &request, &data, metrics_file)?;
    let outcome = fold_train::train(&request, &mut recorder);
    recorder.ended(outcome.as_ref().map(|_| ()));
    teller.finish();
    let outcome = outcome?;
    if global.json {
        output.json(&outcome)?;
    } else {
        output.text(&rendered(&outcome))?;
        if let Some(out) = quoted(&arguments.out) {
            output.note(&format!("next: fold verify {out}"));
        }
    }
    Ok(ExitCode::Done)
}

/// What to run, and the `--data` by which it is found again.
fn request(arguments: &Train) -> Result<(TrainRequest, String), Failure> {
    let resume = match &arguments.resume {
        None => Resume::No,
        Some(path) if path == Path::new("auto") => Resume::Auto,
        Some(path) => Resume::From(path.clone()),
    };
    let recorded = match &resume {
        Resume::No => None,
        Resume::Auto => fold_train::recorded(&arguments.out)?,
        Resume::From(path) => fold_train::recorded(path)?,
    };
    let told = match &resume {
        Resume::No => None,
        _ => RunState::load(&arguments.out),
    };
    let Recorded {
        data: recorded_data,
        config: recorded,
        seed,
        parity,
    } = recorded.unwrap_or_default();
    let (mut config, seed) = match &arguments.config {
        Some(path) => {
            let (config, own) = fold_train::settings(&input_file::read(path, CONFIG_BYTES_MAX)?)?;
            (config, own.unwrap_or(seed))
        }
        None => {
            let epochs = told.as_ref().and_then(|told| told.epochs_wanted);
            let epochs = epochs.unwrap_or(recorded.epochs);
            (TrainConfig { epochs, ..recorded }, seed)
        }
    };
    let data = match (&arguments.data, told.and_then(|told| told.data)) {
        (Some(data), _) => found_again(data)?,
        (None, Some(data)) => data,
        (None, None) if recorded_data == DataSet::DIGITS => recorded_data,
        (None, None) => {
            let dir = arguments.out.clone();
            return Err(fold_train::Error::DataUnsaid { dir }.into());
        }
    };
    config.epochs = arguments.epochs.unwrap_or(config.epochs);
    config.neurons = arguments.neurons.unwrap_or(config.neurons);
    let seed = arguments.seed.unwrap_or(seed);
    let retention = match (arguments.keep_last, arguments.keep_best) {
        (None, None) => None,
        (last, best) => Some(Retention {
            keep_last: last.unwrap_or(1),
            keep_every: 0,
            keep_best: best.unwrap_or(0),
        }),
    };
    let request = TrainRequest {
        data: DataSet::named(arguments.data.as_ref().unwrap_or(&data))?,
        out: arguments.out.clone(),
        config,
        seed,
        more_seeds: (1..u64::from(arguments.seeds))
            .map(|next| seed.wrapping_add(next))
            .collect(),
        resume,
        retention,
        parity: arguments.parity.map_or(parity, Parity::level),
    };
    Ok((request, data))
}

/// What `--data` names, so that it means the same from any directory.
fn found_again(data: &str) -> Result<String, Failure> {
    if data == DataSet::DIGITS {
        return Ok(data.to_owned());
    }
    let path = std::path::absolute(data).map_err(|error| Failure::Internal(error.into()))?;
    Ok(path.to_str().map_or_else(|| data.to_owned(), str::to_owned))
}

fn rendered(outcome: &TrainOutcome) -> String {
    let mut text = format!(
        "{} neurons, {} epochs, {} seed(s): accuracy on {} held-out images\n",
        outcome.neurons,
        outcome.epochs,
        outcome.seeds.len(),
        outcome.test_images
    );
    let (mean, spread) = (&outcome.accuracy, &outcome.accuracy_spread);
    let rows = [
        ("learned spikes", mean.learned, spread.learned),
        ("  not learning", mean.frozen, spread.frozen),
        ("  by vote, without a readout", mean.vote, spread.vote),
        ("learned potentials", mean.potentials, spread.potentials),
        ("  not learning", mean.potentials_frozen, spread.potentials_frozen),
        ("random ReLU features", mean.random_features, spread.random_features),
        ("k-means features", mean.kmeans_features, spread.kmeans_features),
        ("nearest neighbours", mean.nearest_neighbours, spread.nearest_neighbours),
        ("pixels", mean.ridge_pixels, spread.ridge_pixels),
    ];
    for (name, mean, spread) in rows {
        let _ = write!(text, "  {name:<30} {mean:.4}");
        if outcome.seeds.len() > 1 {
            let _ = write!(text, " +- {spread:.4}");
        }
        text.push('\n');
    }
    let _ = writeln!(
        text,
        "{} checkpoints, the newest {}",
        outcome.checkpoints.len(),
        shown(&outcome.final_checkpoint)
    );
    for figure in &outcome.figures {
        let _ = writeln!(text, "figure {}", shown(figure));
    }
    text
}

fn shown(path: &Path) -> String {
    Escaped(&path.to_string_lossy()).to_string()
}
