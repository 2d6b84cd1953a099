//! What is saved depends on data, configuration and seed, and on nothing else.

use fold_ops::Checkpoint;
use fold_train::{Error, Silent, TrainRequest, evaluate, train};

use crate::{Notes, checkpoints, small};

#[test]
fn threads_change_no_bit() {
    let with = |threads| {
        let dir = tempfile::tempdir().unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let outcome = pool.install(|| train(&small(dir.path()), &mut Silent)).unwrap();
        (checkpoints(dir.path()), outcome.accuracy, outcome.history)
    };
    let one = with(1);
    assert_eq!(with(2), one);
    assert_eq!(with(5), one);
}

#[test]
fn the_layer_does_not_know_the_labels() {
    let layer_of = |relabel: bool| {
        let dir = tempfile::tempdir().unwrap();
        let mut request = small(dir.path());
        if relabel {
            let mut labels = request.data.train.labels().to_vec();
            labels.rotate_left(7);
            request.data.train = request.data.train.relabelled(labels).unwrap();
        }
        let outcome = train(&request, &mut Silent).unwrap();
        let checkpoint = Checkpoint::open(&outcome.final_checkpoint).unwrap();
        let tensors: Vec<(String, Vec<u8>)> = checkpoint
            .tensors()
            .unwrap()
            .map(|info| {
                (
                    info.name.to_owned(),
                    checkpoint.tensor(info.name).unwrap().as_bytes().to_vec(),
                )
            })
            .collect();
        tensors
            .into_iter()
            .partition::<Vec<_>, _>(|(name, _)| name.starts_with("layer0."))
    };
    let ((layer, readout), (layer_relabelled, readout_relabelled)) = (layer_of(false), layer_of(true));
    assert!(layer.len() >= 4, "{}", layer.len());
    assert_eq!(layer, layer_relabelled);
    assert_ne!(readout, readout_relabelled);
}

#[test]
fn a_saved_network_answers_as_it_did() {
    let dir = tempfile::tempdir().unwrap();
    let request = small(dir.path());
    let outcome = train(&request, &mut Silent).unwrap();
    for (metrics, path) in outcome.history.iter().zip(&outcome.checkpoints) {
        let eval = evaluate(path, || Ok(request.data.clone())).unwrap();
        assert_eq!((eval.epoch, eval.seed, eval.neurons), (metrics.epoch, 11, 24));
        assert_eq!(
            (eval.accuracy, eval.train_accuracy),
            (metrics.test_accuracy, metrics.train_accuracy)
        );
        assert_eq!(eval.recorded_accuracy, eval.accuracy);
    }
    assert_eq!(evaluate(dir.path(), || Ok(request.data.clone())).unwrap().epoch, 3);
    let mut other = request.data.clone();
    other.train = other.train.slice(1, 96);
    assert!(matches!(
        evaluate(dir.path(), || Ok(other)),
        Err(Error::OtherData { .. })
    ));
}

#[test]
fn the_report_has_the_documented_keys_and_figures_are_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut notes = Notes::default();
    let outcome = train(
        &TrainRequest {
            more_seeds: vec![12, 13],
            ..small(dir.path())
        },
        &mut notes,
    )
    .unwrap();
    let json = serde_json::to_value(&outcome).unwrap();
    assert_eq!(json["schema"], "fold.train/1");
    assert_eq!(
        (&json["exit_code"], &json["neurons"], &json["epochs"]),
        (&0.into(), &24.into(), &3.into())
    );
    assert_eq!((&json["train_images"], &json["test_images"]), (&96.into(), &60.into()));
    assert_eq!(json["seeds"], serde_json::json!([11, 12, 13]));
    for key in [
        "learned",
        "frozen",
        "vote",
        "potentials",
        "potentials_frozen",
        "random_features",
        "kmeans_features",
        "nearest_neighbours",
        "ridge_pixels",
    ] {
        let mean = json["accuracy"][key].as_f64().unwrap();
        let all: Vec<f64> = json["per_seed"]
            .as_array()
            .unwrap()
            .iter()
            .map(|s| s["accuracy"][key].as_f64().unwrap())
            .collect();
        assert_eq!(all.len(), 3);
        assert!(
            (mean - all.iter().sum::<f64>() / 3.0).abs() < 1e-12 && (0.0..=1.0).contains(&mean),
            "{key}"
        );
        assert_eq!(
            json["accuracy_spread"][key] == 0.0,
            all.iter().all(|a| *a == all[0]),
            "{key}"
        );
    }
    assert!(json["images_per_second"].as_f64().unwrap() > 0.0);
    assert_eq!(json["final_checkpoint"], json["checkpoints"][3]);
    assert!(outcome.figures.len() == 2 && outcome.figures.iter().all(|path| path.is_file()));
    // Every image of every epoch is announced; the controls come after the last checkpoint.
    assert_eq!(notes.lines.iter().filter(|line| *line == "shown 96").count(), 3 * 2 * 3);
    let at = |line: &str| notes.lines.iter().position(|l| l == line).unwrap();
    assert!(at("saved 3") < at("control frozen") && at("control ridge_pixels") < at("figure learning-curve.svg"));
    // Only the first seed leaves files.
    assert_eq!(checkpoints(dir.path()).len(), 4);
}

#[test]
fn a_bad_configuration_leaves_no_trace() {
    let dir = tempfile::tempdir().unwrap();
    let mut request = small(&dir.path().join("run"));
    request.config.winners = 25;
    assert!(matches!(train(&request, &mut Silent), Err(Error::Config { .. })));
    assert!(!request.out.exists());
}

#[test]
fn what_cannot_be_trained_is_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("run");
    let mut request = TrainRequest {
        more_seeds: vec![9, 3, 9],
        ..small(&out)
    };
    let refused = train(&request, &mut Silent).unwrap_err();
    assert!(matches!(refused, Error::SeedTwice { seed: 9 }), "{refused}");
    request.more_seeds = vec![request.seed];
    assert!(matches!(train(&request, &mut Silent), Err(Error::SeedTwice { .. })));
    request.more_seeds.clear();
    request.data.classes = 3;
    let refused = train(&request, &mut Silent).unwrap_err();
    assert_eq!(refused.code(), "FOLD-E0008", "{refused}");
    assert!(!out.exists());
}
