//! Files of PyFolds through every format and back: tensors, names, order, metadata.

use std::path::{Path, PathBuf};

use fold_core::params::{FilamentParams, SpikeParams};
use fold_core::state::StoredState;
use fold_core::{LayerState, Shape};
use fold_format::v1;
use fold_format::{Checkpoint, Limits};
use fold_ops::Keys;
use fold_ops::exchange::{self, ConvertOptions, ConvertReport, StateForm, Target, Tolerance};

fn vector(name: &str) -> PathBuf {
    let path = format!("../fold-format/testdata/v1/container/{name}");
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn convert(source: &Path, output: &Path, to: Target, state: Option<StateForm>) -> ConvertReport {
    let options = ConvertOptions {
        to: Some(to),
        state,
        ..ConvertOptions::default()
    };
    exchange::convert(source, output, &options).unwrap()
}

fn assert_equal(a: &Path, b: &Path) {
    let report = exchange::diff(a, b, Tolerance::Bitwise, &Keys::new()).unwrap();
    assert!(report.equal, "{} and {}: {report:?}", a.display(), b.display());
    assert!(report.metadata.compared);
}

/// The names of the state in the order of the file, and each one's type, shape and bytes.
fn state(path: &Path) -> Vec<(String, String, Vec<u8>)> {
    let file = v1::File::open(path, Keys::new(), Limits::DEFAULT).unwrap();
    let payload = file.payload("torch_state").unwrap();
    let ctype = file
        .chunks()
        .iter()
        .find(|entry| &*entry.name == "torch_state")
        .unwrap()
        .ctype
        .clone();
    let content = v1::Content::read(&ctype, &payload, 1 << 30).unwrap();
    content
        .tensors()
        .iter()
        .map(|array| {
            let described = format!("{} {}", array.dtype, array.shape);
            (array.name.to_string(), described, array.bytes.to_vec())
        })
        .collect()
}

/// Metadata without what speaks of the file as a whole.
fn metadata(path: &Path) -> String {
    let file = v1::File::open(path, Keys::new(), Limits::DEFAULT).unwrap();
    let mut metadata = file.metadata().unwrap().clone();
    for key in ["chunk_hashes", "manifest_hash", "protection"] {
        metadata = metadata.without(key);
    }
    metadata.print(fold_format::json::Form::Stored)
}

const NEURONS: [&str; 4] = [
    "c102_d2s4_none_off.fold",
    "c102_d4s8_zstd_off.fold",
    "c102_advanced.fold",
    "c102_one_synapse_nan.fold",
];

#[test]
fn a_state_dict_becomes_arrays_and_comes_back_with_every_byte_in_its_place() {
    let dir = tempfile::tempdir().unwrap();
    for name in NEURONS {
        let source = vector(name);
        let [arrays, back] = ["arrays.fold", "back.fold"].map(|file| dir.path().join(format!("{name}-{file}")));
        let report = convert(&source, &arrays, Target::Version2, Some(StateForm::Arrays));
        let found = report.state.unwrap();
        assert_eq!((found.form, found.neurons.0), ("arrays", 1));
        assert_eq!(found.tensors.0, state(&source).len() as u64);
        assert_eq!(found.mapped.len(), 3, "{found:?}");
        assert!(found.kept.contains(&"layer0.pyfolds.homeostasis.r_hat".to_owned()));
        assert!(found.untouched.is_empty());
        // Everything of the dict is in an array.
        let checkpoint = Checkpoint::open(&arrays).unwrap();
        let names: Vec<_> = checkpoint.tensors().unwrap().map(|info| info.name.to_owned()).collect();
        assert!(!names.iter().any(|name| name.contains("synapses.")), "{names:?}");

        assert_equal(&source, &arrays);
        convert(&arrays, &back, Target::Version1, None);
        assert_eq!(state(&back), state(&source), "{name}");
        assert_eq!(metadata(&back), metadata(&source), "{name}");
    }
}

#[test]
fn a_gathered_state_is_the_state_of_a_layer_where_its_parameters_allow_it() {
    let dir = tempfile::tempdir().unwrap();
    let arrays = dir.path().join("arrays.fold");
    convert(
        &vector("c102_d2s4_none_off.fold"),
        &arrays,
        Target::Version2,
        Some(StateForm::Arrays),
    );
    let checkpoint = Checkpoint::open(&arrays).unwrap();
    let tensor = |name: &str| checkpoint.tensor(&format!("layer0.{name}")).unwrap();
    let shape = Shape {
        neurons: 1,
        dendrites: 2,
        synapses: 4,
    };
    let stored = StoredState {
        filaments: tensor("filaments").as_slice::<u8>().unwrap().to_vec(),
        internal: tensor("internal").as_slice::<f32>().unwrap().to_vec(),
        theta: tensor("theta").as_slice::<f32>().unwrap().to_vec(),
        quarantined: vec![0],
    };
    let filaments = stored.filaments.clone();
    let state = LayerState::restore(shape, &FilamentParams::default(), &SpikeParams::default(), stored).unwrap();
    assert_eq!(state.filaments(), filaments);
}

#[test]
fn states_of_the_2_x_head_become_arrays_too() {
    let dir = tempfile::tempdir().unwrap();
    for (number, name) in ["h22_advanced.fold", "h22_vectorized.fold", "h22_neuron_none_med.fold"]
        .into_iter()
        .enumerate()
    {
        let source = vector(name);
        let arrays = dir.path().join(format!("{number}.fold"));
        let report = convert(&source, &arrays, Target::Version2, Some(StateForm::Arrays));
        // One with vectorised synapses has no tensor for each synapse: there is nothing to gather.
        assert_eq!(report.state.is_some(), !name.contains("vectorized"), "{name}");
        assert_equal(&source, &arrays);
    }
}

#[test]
fn every_way_keeps_tensors_names_and_metadata() {
    let dir = tempfile::tempdir().unwrap();
    for (number, name) in NEURONS.into_iter().enumerate() {
        let source = vector(name);
        let file = |step: &str| dir.path().join(format!("{number}.{step}"));
        for state_form in [None, Some(StateForm::Arrays)] {
            let form = state_form.map_or("dict", |_| "arrays");
            let [tensors, two, back] =
                ["safetensors", "two.fold", "back.fold"].map(|end| file(&format!("{form}.{end}")));
            convert(&source, &tensors, Target::Safetensors, state_form);
            convert(&tensors, &two, Target::Version2, state_form);
            convert(&two, &back, Target::Version1, None);
            for other in [&tensors, &two, &back] {
                assert_equal(&source, other);
            }
            assert_eq!(state(&back), state(&source), "{name}");
            assert_eq!(metadata(&back), metadata(&source), "{name}");
        }
    }
}
