//! A layer through a checkpoint and back is the same layer, bit for bit, and goes on the same way.

use fold_advanced::homeostasis::HomeostasisParams;
use fold_advanced::inhibition::{Contenders, InhibitionParams, Winners};
use fold_advanced::refractory::RefractoryParams;
use fold_advanced::stdp::StdpParams;
use fold_advanced::{Layer, LayerBuilder, LayerConfig, StateData, StateSlice, StepOptions};
use fold_core::{Shape, Wiring};
use fold_format::storage::SimDisk;
use fold_format::{Checkpoint, Class, Content, TensorSource};
use fold_ops::bridge::{LayerTensors, restore_built, restore_layer};
use fold_ops::{Code, StoreWriter};
use quickcheck::quickcheck;

const SAMPLES: usize = 3;

fn config(seed: u64) -> LayerConfig {
    let shape = Shape {
        neurons: 5,
        dendrites: 2,
        synapses: 4,
    };
    let mut config = LayerConfig::new(shape, 8, seed);
    config.inhibition = Some(InhibitionParams {
        winners: Winners::Count(1),
        contenders: Contenders::AboveThreshold,
    });
    config.refractory = Some(RefractoryParams::default());
    config.stdp = Some(StdpParams::default());
    config.three_factor = Some(fold_core::three_factor::ThreeFactorParams::default());
    config.homeostasis = Some(HomeostasisParams::default());
    config
}

/// A layer that has worked for a while, so that no array is as it began.
fn worked(config: &LayerConfig, steps: u64) -> Layer {
    let wiring = Wiring::shared(config.shape).unwrap();
    let mut layer = Layer::new(config.clone(), wiring).unwrap();
    layer.set_samples(SAMPLES).unwrap();
    for step in 0..steps {
        go_on(&mut layer, step);
    }
    layer
}

fn go_on(layer: &mut Layer, step: u64) {
    let lines = layer.wiring().lines() as usize;
    let x = (0..lines * SAMPLES)
        .map(|line| {
            if (line as u64 * 7 + step * 5).is_multiple_of(3) {
                1.0
            } else {
                0.1
            }
        })
        .collect::<Vec<f32>>();
    layer.step(&x, SAMPLES, StepOptions::default()).unwrap();
}

/// Every array with its bits.
fn bits(layer: &Layer) -> Vec<(String, Vec<usize>, Vec<u64>)> {
    let mut all = Vec::new();
    layer.visit_state(&mut |name: &str, shape: &[usize], values: StateSlice<'_>| {
        let bits = match values.to_data() {
            StateData::U8(values) => values.into_iter().map(u64::from).collect(),
            StateData::U32(values) => values.into_iter().map(u64::from).collect(),
            StateData::U64(values) => values,
            StateData::F32(values) => values.into_iter().map(|value| u64::from(value.to_bits())).collect(),
            _ => unreachable!(),
        };
        all.push((name.to_owned(), shape.to_vec(), bits));
    });
    all
}

fn saved(content: &Content<'_>) -> Checkpoint<fold_format::storage::SimFile> {
    let disk = SimDisk::new();
    let writer = StoreWriter::over(disk.clone(), "/run").unwrap();
    writer.save(1, content, [1; 16]).unwrap();
    writer.store().latest_valid().unwrap().chosen.unwrap().checkpoint
}

fn round_trip(layer: &Layer) -> Layer {
    let tensors = LayerTensors::of("layer0", layer);
    let checkpoint = saved(&Content::new().tensors("state", tensors.tensors().unwrap()));
    restore_layer(layer.config().clone(), &checkpoint, "layer0").unwrap()
}

quickcheck! {
    fn a_layer_comes_back_bit_identical_and_goes_on_so(seed: u64, steps: u8) -> bool {
        let steps = u64::from(steps % 40);
        let mut layer = worked(&config(seed), steps);
        let mut back = round_trip(&layer);
        let same = bits(&layer) == bits(&back);
        for step in steps..steps + 20 {
            go_on(&mut layer, step);
            go_on(&mut back, step);
        }
        same && bits(&layer) == bits(&back)
    }
}

#[test]
fn state_that_the_configuration_has_no_place_for_is_not_dropped() {
    let layer = worked(&config(1), 3);
    let [one, two] = ["net", "net.hidden"].map(|name| LayerTensors::of(name, &layer));
    let tensors = [one.tensors().unwrap(), two.tensors().unwrap()].concat();
    let checkpoint = saved(&Content::new().tensors("state", tensors));
    // The other layer's tensors are its own, though their names begin alike.
    for name in ["net", "net.hidden"] {
        assert_eq!(
            bits(&restore_layer(config(1), &checkpoint, name).unwrap()),
            bits(&layer)
        );
        let wiring = Wiring::shared(config(1).shape).unwrap();
        let builder = LayerBuilder::new(config(1), wiring).unwrap();
        assert_eq!(bits(&restore_built(builder, &checkpoint, name).unwrap()), bits(&layer));
    }
    let mut fewer = config(1);
    fewer.refractory = None;
    let error = restore_layer(fewer, &checkpoint, "net").unwrap_err();
    assert_eq!(error.code(), Code::ResumeDiffers);
    assert!(error.to_string().contains("`net.refractory."), "{error}");
}

#[test]
fn tensors_are_named_after_layer_and_array() {
    let tensors = LayerTensors::of("layer0", &worked(&config(1), 3));
    let checkpoint = saved(&Content::new().tensors("state", tensors.tensors().unwrap()));
    let filaments = checkpoint.tensor_info("layer0.filaments").unwrap();
    assert_eq!(
        (filaments.dtype.as_str(), filaments.shape.extents()),
        ("u8", &[5, 2, 4][..])
    );
    assert_eq!(checkpoint.tensor_info("layer0.theta").unwrap().dtype.as_str(), "f32");
}

/// The layer's tensors with one of them left out or replaced.
fn restored_with(change: impl Fn(&str) -> Option<Option<TensorSource<'static>>>) -> Result<Layer, fold_ops::Error> {
    let layer = worked(&config(9), 10);
    let tensors = LayerTensors::of("layer0", &layer);
    let names = bits(&layer).into_iter().map(|(name, ..)| name);
    let changed = names
        .zip(tensors.tensors().unwrap())
        .filter_map(|(name, tensor)| match change(&name) {
            None => Some(tensor),
            Some(other) => other,
        });
    let checkpoint = saved(&Content::new().tensors("state", changed.collect::<Vec<_>>()));
    restore_layer(layer.config().clone(), &checkpoint, "layer0")
}

#[test]
fn what_does_not_make_a_layer_is_refused_with_its_code() {
    let code = |change: &dyn Fn(&str) -> Option<Option<TensorSource<'static>>>| {
        let error = restored_with(change).unwrap_err();
        assert!(error.to_string().starts_with(error.code().as_str()), "{error}");
        (error.code(), error.to_string())
    };
    let (missing, text) = code(&|name| (name == "theta").then_some(None));
    assert_eq!(missing, Code::StateMissing);
    assert!(text.contains("layer0") && text.contains("theta"), "{text}");

    static SHORT: [f32; 4] = [1.0; 4];
    let (shape, _) =
        code(&|name| (name == "theta").then(|| Some(TensorSource::of("layer0.theta", &[4], &SHORT).unwrap())));
    assert_eq!(shape, Code::StateMismatch);

    static DOUBLES: [f64; 5] = [1.0; 5];
    let (dtype, text) =
        code(&|name| (name == "theta").then(|| Some(TensorSource::of("layer0.theta", &[5], &DOUBLES).unwrap())));
    assert_eq!(dtype, Code::StateMismatch);
    assert!(text.contains("f64"), "{text}");

    static NANS: [f32; 5] = [f32::NAN; 5];
    let (invariant, _) =
        code(&|name| (name == "theta").then(|| Some(TensorSource::of("layer0.theta", &[5], &NANS).unwrap())));
    assert_eq!(invariant, Code::InvariantViolated);
}

#[test]
fn another_seed_is_another_configuration() {
    let layer = worked(&config(9), 2);
    let tensors = LayerTensors::of("layer0", &layer);
    let checkpoint = saved(&Content::new().tensors("state", tensors.tensors().unwrap()));
    let error = restore_layer(config(10), &checkpoint, "layer0").unwrap_err();
    assert_eq!(error.code(), Code::ResumeDiffers);
}

#[test]
fn a_name_or_a_shape_that_is_not_the_layers_is_the_callers_mistake() {
    let layer = worked(&config(9), 2);
    let [one, two] = ["layer0", "net.hidden"].map(|name| LayerTensors::of(name, &layer));
    let tensors = [one.tensors().unwrap(), two.tensors().unwrap()].concat();
    let checkpoint = saved(&Content::new().tensors("state", tensors));
    let other = |change: &dyn Fn(&mut Shape)| {
        let mut config = config(9);
        change(&mut config.shape);
        config.lines = config.shape.row_len() as u32;
        config
    };
    let built = |config: LayerConfig, name: &str| {
        let builder = LayerBuilder::new(config.clone(), Wiring::shared(config.shape).unwrap()).unwrap();
        restore_built(builder, &checkpoint, name)
    };
    for name in ["layer1", "layer", "", "layer0.filaments", "net"] {
        for error in [
            restore_layer(config(9), &checkpoint, name).unwrap_err(),
            built(config(9), name).unwrap_err(),
        ] {
            assert_eq!(
                (error.code().as_str(), error.class()),
                ("FOLD-E0005", Class::Misuse),
                "{error}"
            );
            assert!(error.to_string().contains(&format!("no layer `{name}`")), "{error}");
        }
    }
    for config in [
        other(&|shape| shape.neurons = 6),
        other(&|shape| shape.dendrites = 1),
        other(&|shape| shape.synapses = 3),
    ] {
        for error in [
            restore_layer(config.clone(), &checkpoint, "layer0").unwrap_err(),
            built(config, "layer0").unwrap_err(),
        ] {
            assert_eq!(
                (error.code(), error.class()),
                (Code::ResumeDiffers, Class::Misuse),
                "{error}"
            );
            assert!(
                error.to_string().contains("layer `layer0` has the shape [5, 2, 4]"),
                "{error}"
            );
        }
    }
    // A wiring alone of another shape contradicts the rest of the checkpoint.
    let short = restored_with(|name| {
        static WIRING: [u32; 8] = [0; 8];
        (name == "wiring").then(|| Some(TensorSource::of("layer0.wiring", &[1, 2, 4], &WIRING).unwrap()))
    });
    assert_eq!(short.unwrap_err().code(), Code::StateMismatch);
}
