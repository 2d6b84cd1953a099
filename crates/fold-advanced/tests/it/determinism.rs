//! Equal in, equal bits out: across saving and restoring, threads, the order of samples, and releases.

use std::collections::HashMap;

use fold_advanced::soak::fingerprint;
use fold_advanced::{Dtype, Error, Layer, LayerConfig, StateArray, StateData, StepOptions};
use fold_core::Shape;

use super::{build, everything, input, most};

fn run(layer: &mut Layer, steps: std::ops::Range<u64>) -> Vec<Vec<u8>> {
    let (samples, lines) = (layer.samples(), layer.config().lines as usize);
    let options = |t: u64| StepOptions {
        modulator: (t % 5) as f32 / 2.0 - 1.0,
        ..StepOptions::default()
    };
    steps
        .map(|t| {
            if t % 16 == 15 && layer.config().consolidation.is_some() {
                layer.sleep(1e5).unwrap();
            }
            layer
                .step(&input(samples, lines, t), samples, options(t))
                .unwrap()
                .spikes
                .to_vec()
        })
        .collect()
}

fn save(layer: &Layer) -> HashMap<String, StateArray> {
    let mut arrays = HashMap::new();
    layer.visit_state(&mut |name, shape, values| {
        let twice = arrays.insert(
            name.to_owned(),
            StateArray {
                shape: shape.to_vec(),
                data: values.to_data(),
            },
        );
        assert!(twice.is_none(), "{name} is listed twice");
    });
    arrays
}

fn restore(config: LayerConfig, arrays: &HashMap<String, StateArray>) -> Result<Layer, Error> {
    Layer::restore(config, |name| arrays.get(name).cloned())
}

#[test]
fn a_clone_goes_on_bit_identically_and_apart_from_its_origin() {
    let mut whole = build(everything(7), 3);
    run(&mut whole, 0..20);
    let mut copy = whole.clone();
    let before = fingerprint(&whole);
    let spikes = run(&mut copy, 20..40);
    assert_eq!(fingerprint(&whole), before);
    assert_eq!(run(&mut whole, 20..40), spikes);
    assert_eq!(fingerprint(&whole), fingerprint(&copy));
}

/// G4: PyFolds leaves traces, last spikes and queues out of its state dict.
#[test]
fn a_layer_restored_at_any_step_goes_on_bit_identically() {
    let mut whole = build(everything(7), 3);
    let spikes = run(&mut whole, 0..40);
    for cut in 0..40 {
        let mut first = build(everything(7), 3);
        run(&mut first, 0..cut);
        let mut second = restore(everything(7), &save(&first)).unwrap();
        assert_eq!(fingerprint(&second), fingerprint(&first));
        assert_eq!(run(&mut second, cut..40), spikes[cut as usize..]);
        assert_eq!(fingerprint(&second), fingerprint(&whole));
    }
}

#[test]
fn every_array_matters_and_is_checked() {
    let mut layer = build(everything(7), 3);
    run(&mut layer, 0..20);
    let arrays = save(&layer);
    assert_eq!(arrays.len(), 25);
    for (name, array) in &arrays {
        let mut lacking = arrays.clone();
        lacking.remove(name);
        assert!(matches!(restore(everything(7), &lacking), Err(Error::StateMissing { array }) if array == name));
        let mut other = arrays.clone();
        let data = if array.data.as_slice().dtype() == Dtype::U8 {
            StateData::F32(vec![])
        } else {
            StateData::U8(vec![])
        };
        other.insert(
            name.clone(),
            StateArray {
                shape: array.shape.clone(),
                data,
            },
        );
        assert!(matches!(restore(everything(7), &other), Err(Error::StateType { array, .. }) if array == name));
        let mut shape = arrays.clone();
        shape.get_mut(name).unwrap().shape.push(1);
        assert!(matches!(restore(everything(7), &shape), Err(Error::StateShape { array, .. }) if array == name));
        if let StateData::F32(values) = &array.data {
            let mut values = values.clone();
            *values.last_mut().unwrap() = f32::NAN;
            let mut broken = arrays.clone();
            broken.insert(
                name.clone(),
                StateArray {
                    shape: array.shape.clone(),
                    data: StateData::F32(values),
                },
            );
            let Err(Error::StateInvalid { breach }) = restore(everything(7), &broken) else {
                panic!("{name}")
            };
            assert_eq!(breach.array, name);
        }
    }
    assert!(matches!(
        restore(everything(8), &arrays),
        Err(Error::StateConflict { array: "seed", .. })
    ));
    let mut lying = arrays.clone();
    lying.insert(
        "samples".into(),
        StateArray {
            shape: vec![1],
            data: StateData::U64(vec![u64::MAX]),
        },
    );
    assert!(matches!(
        restore(everything(7), &lying),
        Err(Error::Samples { given: u64::MAX, .. })
    ));
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    const SHAPE: Shape = Shape {
        neurons: 300,
        dendrites: 4,
        synapses: 40,
    };
    const SAMPLES: usize = 24;
    let learn = || {
        let mut config = everything(7);
        config.shape = SHAPE;
        config.lines = 160;
        config.homeostasis.as_mut().unwrap().rate_target = 0.005;
        config.feedback.as_mut().unwrap().threshold = 0.005;
        let mut layer = build(config, SAMPLES);
        let spikes = run(&mut layer, 0..20);
        let neurons = SHAPE.neuron_count();
        let fires = |i: usize| {
            let mut steps = spikes.iter();
            steps.any(|step| step.iter().skip(i).step_by(neurons).any(|s| *s != 0))
        };
        let busy = (0..neurons).filter(|&i| fires(i)).count();
        assert!(busy * 160 > 1 << 15, "too few rows learn to need a second thread");
        fingerprint(&layer)
    };
    assert!(
        SHAPE.synapse_count() * SAMPLES > 1 << 20,
        "other threads help with the drive"
    );
    let run_on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(learn)
    };
    let one = run_on(1);
    assert_eq!([run_on(2), run_on(3), learn()], [one; 3]);
}

/// So many samples that the competition is divided among the threads.
#[test]
fn the_number_of_threads_changes_no_winner_of_a_large_batch() {
    let run_on = |threads| {
        let mut config = everything(7);
        config.shape = Shape {
            neurons: 150,
            dendrites: 2,
            synapses: 4,
        };
        config.lines = 8;
        config.homeostasis.as_mut().unwrap().rate_target = 0.01;
        config.feedback.as_mut().unwrap().threshold = 0.01;
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut layer = build(config, 120);
            let spikes = run(&mut layer, 0..10);
            assert!(spikes.iter().flatten().any(|s| *s != 0));
            (spikes, fingerprint(&layer))
        })
    };
    let one = run_on(1);
    assert!(run_on(2) == one && run_on(3) == one);
}

/// Without noise (which is drawn per sample index) the order of the samples carries no meaning.
#[test]
fn permuting_the_batch_permutes_the_spikes_and_leaves_the_weights_alone() {
    let mut config = everything(7);
    config.spike.width = 0.0;
    let (mut layer, mut turned) = (build(config.clone(), 11), build(config, 11));
    for t in 0..200 {
        let x = input(11, 6, t);
        let mut y = x.clone();
        y.rotate_left(4 * 6);
        let mut spikes = layer.step(&x, 11, StepOptions::default()).unwrap().spikes.to_vec();
        spikes.rotate_left(4 * 5);
        assert_eq!(turned.step(&y, 11, StepOptions::default()).unwrap().spikes, spikes);
        assert_eq!(layer.state(), turned.state());
    }
}

/// B2: PyFolds sums over the batch.
#[test]
fn identical_samples_learn_like_one() {
    for samples in [2, 3, 8, 13] {
        let mut config = everything(7);
        config.spike.width = 0.0;
        let (mut one, mut many) = (build(config.clone(), 1), build(config, samples));
        for t in 0..200 {
            let x = input(1, 6, t);
            one.step(&x, 1, StepOptions::default()).unwrap();
            many.step(&x.repeat(samples), samples, StepOptions::default()).unwrap();
            assert_eq!(one.state(), many.state(), "{samples} samples, step {t}");
        }
    }
}

/// Value stability: these numbers change only with an ADR and a changelog entry.
#[test]
fn pinned_trajectories() {
    let alone = |edit: fn(&mut LayerConfig)| {
        let mut config = most(7);
        (config.inhibition, config.refractory, config.stdp) = (None, None, None);
        (config.three_factor, config.homeostasis) = (None, None);
        edit(&mut config);
        let mut layer = build(config, 3);
        let spikes = run(&mut layer, 0..50);
        let total: usize = spikes.iter().flatten().map(|s| usize::from(*s)).sum();
        (total, fingerprint(&layer))
    };
    let digests = [
        alone(|_| {}),
        alone(|c| (c.spike.theta_init, c.inhibition) = (0.2, everything(7).inhibition)),
        alone(|c| c.refractory = everything(7).refractory),
        alone(|c| c.stdp = everything(7).stdp),
        alone(|c| (c.stdp, c.three_factor) = (everything(7).stdp, everything(7).three_factor)),
        alone(|c| c.homeostasis = everything(7).homeostasis),
        alone(|c| *c = most(7)),
        alone(|c| c.short_term = everything(7).short_term),
        alone(|c| c.adaptation = everything(7).adaptation),
        alone(|c| c.feedback = everything(7).feedback),
        alone(|c| (c.stdp, c.bap) = (most(7).stdp, everything(7).bap)),
        alone(|c| (c.stdp, c.consolidation) = (most(7).stdp, everything(7).consolidation)),
        alone(|c| (c.stdp, c.pruning) = (most(7).stdp, everything(7).pruning)),
        alone(|c| {
            (c.stdp, c.three_factor) = (most(7).stdp, most(7).three_factor);
            c.neuromodulation = everything(7).neuromodulation;
        }),
        alone(|c| *c = everything(7)),
    ];
    assert_eq!(digests, PINNED);
}

/// Spikes emitted and fingerprint of the state, in the order of the test.
const PINNED: [(usize, u64); 15] = [
    (45, 0x811c_7071_b15a_d0d2),
    (250, 0x35b7_cf83_a1d9_64bd),
    (35, 0x1ffd_bbaf_b064_3f7c),
    (45, 0x0028_bb0e_587c_6709),
    (45, 0x0ce9_a458_757a_4c58),
    (46, 0x8069_f66b_2871_23d8),
    (38, 0xb3a1_429a_85ee_fcd0),
    (37, 0x1511_a550_cf6d_9b43),
    (44, 0x8735_ddd4_cc9c_3729),
    (42, 0x91e7_0987_2429_25d8),
    (45, 0xfcec_8a2b_2a96_ee80),
    (45, 0xd9d0_4a44_c268_b886),
    (45, 0x60a7_895a_f66f_fd05),
    (45, 0xb3c4_1f99_f8d7_dd2b),
    (55, 0x834f_9049_2cc6_279a),
];
