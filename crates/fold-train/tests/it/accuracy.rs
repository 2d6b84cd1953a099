//! The claim itself, on all images with the default configuration: learning helps, and by how much.

use fold_train::{DataSet, Resume, Silent, TrainConfig, TrainRequest, train};

#[test]
fn four_hundred_neurons_read_the_held_out_digits() {
    let dir = tempfile::tempdir().unwrap();
    let request = TrainRequest {
        data: DataSet::digits().unwrap(),
        out: dir.path().into(),
        config: TrainConfig::default(),
        seed: 0,
        more_seeds: Vec::new(),
        resume: Resume::No,
        retention: None,
        parity: None,
    };
    let accuracy = train(&request, &mut Silent).unwrap().accuracy;
    assert!(accuracy.learned >= 0.945, "{accuracy:?}");
    assert!(accuracy.learned - accuracy.frozen >= 0.1, "{accuracy:?}");
    assert!((0.87..0.90).contains(&accuracy.ridge_pixels), "{accuracy:?}");
    assert!(
        accuracy.random_features > 0.93 && accuracy.kmeans_features > 0.93,
        "{accuracy:?}"
    );
}
