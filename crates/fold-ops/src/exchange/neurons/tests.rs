//! Dicts of every shape go into arrays and come back: names, order, types, shapes and bytes.

use fold_format::{Dtype, Shape};
use quickcheck::{Arbitrary, Gen, quickcheck};

use super::super::tensor::{Bytes, Tensor};
use super::layout::Layout;
use super::{gather, scatter};

fn tensor(name: String, dtype: Dtype, shape: &[u64], fill: u64) -> Tensor {
    let shape = Shape::new(shape).unwrap();
    let len = shape.byte_len(dtype).unwrap();
    let bytes = (0..len)
        .map(|at| (fill.wrapping_mul(31).wrapping_add(at)) as u8)
        .collect();
    Tensor {
        name,
        dtype,
        shape,
        bytes: Bytes::of(bytes),
    }
}

fn filaments(name: String, value: i32) -> Tensor {
    Tensor {
        bytes: Bytes::of(value.to_le_bytes().to_vec()),
        ..tensor(name, Dtype::I32, &[1], 0)
    }
}

/// What a neuron of PyFolds has, in its order, with `extra` of the fields that later versions added.
fn neuron(prefix: &str, [dendrites, synapses]: [u64; 2], extra: &[&str], seed: u64) -> Vec<Tensor> {
    let mut dict = vec![tensor(format!("{prefix}step_id"), Dtype::I64, &[], seed)];
    for (d, s) in (0..dendrites).flat_map(|d| (0..synapses).map(move |s| (d, s))) {
        let at = format!("{prefix}dendrites.{d}.synapses.{s}.");
        let number = seed + d * synapses + s;
        dict.push(filaments(format!("{at}N"), (number % 32) as i32));
        dict.push(tensor(format!("{at}I"), Dtype::F32, &[1], number));
        dict.push(tensor(format!("{at}protection"), Dtype::Bool, &[1], number));
        dict.extend(
            extra
                .iter()
                .map(|field| tensor(format!("{at}{field}"), Dtype::F32, &[1], number)),
        );
    }
    dict.push(tensor(format!("{prefix}homeostasis.theta"), Dtype::F32, &[1], seed));
    dict.push(tensor(
        format!("{prefix}stats_acc.acc_x"),
        Dtype::F32,
        &[dendrites, synapses],
        seed,
    ));
    dict.push(tensor(format!("{prefix}trace_pre"), Dtype::F32, &[0], seed));
    dict
}

type Described = (String, Dtype, Vec<u64>, Vec<u8>);

fn described(tensors: &[Tensor]) -> Vec<Described> {
    tensors
        .iter()
        .map(|tensor| {
            let extents = tensor.shape.extents().to_vec();
            (
                tensor.name.clone(),
                tensor.dtype,
                extents,
                tensor.bytes.to_vec().unwrap(),
            )
        })
        .collect()
}

/// The arrays of a dict, and the dict that is made of them by way of the layout's text.
fn round(dict: &[Tensor]) -> (Vec<Described>, Vec<Described>) {
    let gathered = gather::gather(dict).unwrap().unwrap();
    let layout = Layout::of_json(&gathered.layout.to_json()).unwrap();
    assert_eq!(layout, gathered.layout);
    // A container sorts by name.
    let mut arrays = [gathered.arrays, gathered.kept].concat();
    arrays.sort_by(|a, b| a.name.cmp(&b.name));
    let back = scatter::scatter(&arrays, &layout).unwrap();
    (described(&arrays), described(&back))
}

#[test]
fn a_neuron_becomes_arrays_of_one_layer() {
    let dict = neuron("", [2, 3], &["eligibility"], 5);
    let (arrays, back) = round(&dict);
    assert_eq!(back, described(&dict));
    let shapes: Vec<_> = arrays
        .iter()
        .map(|(name, dtype, shape, _)| (name.as_str(), *dtype, shape.as_slice()))
        .collect();
    assert_eq!(
        shapes,
        [
            ("layer0.filaments", Dtype::U8, &[1, 2, 3][..]),
            ("layer0.internal", Dtype::F32, &[1, 2, 3]),
            ("layer0.pyfolds.eligibility", Dtype::F32, &[1, 2, 3]),
            ("layer0.pyfolds.protection", Dtype::Bool, &[1, 2, 3]),
            ("layer0.pyfolds.stats_acc.acc_x", Dtype::F32, &[1, 2, 3]),
            ("layer0.pyfolds.step_id", Dtype::I64, &[1]),
            ("layer0.pyfolds.trace_pre", Dtype::F32, &[1, 0]),
            ("layer0.theta", Dtype::F32, &[1]),
        ]
    );
    assert_eq!(arrays[0].3, [5, 6, 7, 8, 9, 10]);
}

#[test]
fn a_network_keeps_its_layers_apart_and_what_is_no_neuron() {
    let mut dict = vec![tensor("version".into(), Dtype::I64, &[1], 1)];
    for k in 0..12 {
        dict.extend(neuron(&format!("layers.in.neurons.{k}."), [2, 2], &[], k));
    }
    dict.push(tensor("connection_weights.in_to_out".into(), Dtype::F32, &[3, 12], 9));
    for k in 0..3 {
        dict.extend(neuron(&format!("layers.out.neurons.{k}."), [1, 4], &["L"], k));
    }
    let (arrays, back) = round(&dict);
    assert_eq!(back, described(&dict));
    let shape = |name: &str| arrays.iter().find(|array| array.0 == name).unwrap().2.clone();
    assert_eq!(shape("layers.in.filaments"), [12, 2, 2]);
    assert_eq!(shape("layers.out.pyfolds.L"), [3, 1, 4]);
    assert_eq!(shape("connection_weights.in_to_out"), [3, 12]);
    // Neurons beyond the ninth come in the order of their numbers, not of their names.
    let thetas = &arrays.iter().find(|array| array.0 == "layers.in.theta").unwrap().3;
    assert_eq!(
        thetas[10 * 4..11 * 4],
        tensor(String::new(), Dtype::F32, &[1], 10).bytes.to_vec().unwrap()
    );
    let mut sorted = dict.clone();
    sorted.sort_by(|a, b| a.name.cmp(&b.name));
    let (again, back) = round(&sorted);
    assert_eq!(
        (again, back),
        (arrays, described(&sorted)),
        "the order of the dict is none of the arrays'"
    );
    let report = gather::gather(&dict).unwrap().unwrap().report(dict.len());
    assert_eq!((report.neurons.0, report.tensors.0), (15, dict.len() as u64 - 2));
    assert_eq!(report.untouched, ["version", "connection_weights.in_to_out"]);
    assert_eq!(report.mapped[0].array, "layers.in.filaments");
    assert!(report.kept.contains(&"layers.out.pyfolds.L".to_owned()));
}

#[test]
fn filaments_that_have_no_place_in_a_byte_are_kept_and_not_mapped() {
    for value in [-1, 256, i32::MAX] {
        let mut dict = neuron("", [1, 2], &[], 0);
        dict[1] = filaments("dendrites.0.synapses.0.N".into(), value);
        let (arrays, back) = round(&dict);
        assert_eq!(back, described(&dict));
        assert!(
            arrays
                .iter()
                .any(|array| array.0 == "layer0.pyfolds.N" && array.1 == Dtype::I32)
        );
        assert!(!arrays.iter().any(|array| array.0 == "layer0.filaments"));
    }
}

#[test]
fn a_neuron_whose_synapses_are_not_alike_stays_as_it_is() {
    let mut dict = neuron("neurons.0.", [2, 2], &[], 0);
    dict.extend(neuron("neurons.1.", [2, 2], &[], 1));
    dict.remove(2);
    let (arrays, back) = round(&dict);
    assert_eq!(back, described(&dict));
    assert!(
        arrays
            .iter()
            .any(|array| array.0 == "neurons.0.dendrites.0.synapses.0.N")
    );
    assert!(arrays.iter().any(|array| array.0 == "neurons.1.filaments"));
    assert!(gather::gather(&dict[..5]).unwrap().is_none(), "no whole neuron");
    assert!(gather::gather(&[]).unwrap().is_none());
}

#[test]
fn layers_become_dicts_and_come_back() {
    let arrays = vec![
        tensor("layer0.filaments".into(), Dtype::U8, &[3, 2, 4], 1),
        tensor("layer0.internal".into(), Dtype::F32, &[3, 2, 4], 2),
        tensor("layer0.theta".into(), Dtype::F32, &[3], 3),
        tensor("layer0.clock".into(), Dtype::U64, &[1], 4),
        tensor("readout".into(), Dtype::F64, &[2, 2], 5),
    ];
    let layers = scatter::layout_of_layers(&arrays).unwrap();
    let dict = scatter::scatter(&arrays, &layers).unwrap();
    assert_eq!(dict.len(), 3 * (2 * 4 * 2 + 1) + 2);
    assert_eq!(dict[0].name, "layer0.neurons.0.dendrites.0.synapses.0.N");
    assert_eq!(
        (dict[0].dtype, dict[0].bytes.to_vec().unwrap()),
        (Dtype::I32, vec![31, 0, 0, 0])
    );
    let gathered = gather::gather(&dict).unwrap().unwrap();
    let mut back = described(&[gathered.arrays, gathered.kept].concat());
    back.sort();
    let mut expected = described(&arrays);
    expected.sort();
    assert_eq!(back, expected);
    assert!(scatter::layout_of_layers(&arrays[1..]).is_none());
}

#[test]
fn a_layout_that_asks_for_more_than_there_is_is_refused() {
    let dict = neuron("", [2, 3], &[], 5);
    let gathered = gather::gather(&dict).unwrap().unwrap();
    let mut short = gathered.arrays.clone();
    short.remove(1);
    let error = scatter::scatter(&short, &gathered.layout).unwrap_err();
    assert_eq!(error.code().to_string(), "FOLD-E0501", "{error}");
    let mut other = gathered.arrays.clone();
    other[1] = tensor(other[1].name.clone(), Dtype::F32, &[1, 2, 2], 0);
    let error = scatter::scatter(&other, &gathered.layout).unwrap_err();
    assert_eq!(error.code().to_string(), "FOLD-E0502", "{error}");
    // Numbers that would take for ever are no layout.
    let text = gathered.layout.to_json().print(fold_format::json::Form::Stored);
    for (from, to) in [
        ("[[0,0,1]]", "[[0,0,4611686018427387904]]"),
        ("[1,2,3]", "[1,4294967296,4294967296]"),
        ("[1,2,3]", "[1,2]"),
        ("\"f32\"", "\"f31\""),
    ] {
        let hostile = text.replacen(from, to, 1);
        assert_ne!(hostile, text, "{from}");
        let value = fold_format::json::parse(hostile.as_bytes()).unwrap();
        assert_eq!(Layout::of_json(&value), None, "{to}");
    }
}

/// A dict whose tensors stand in any order, with gaps in the numbers of its neurons.
#[derive(Clone, Debug)]
struct Shuffled(Vec<(u8, u8, u8, u8)>, u64);

impl Arbitrary for Shuffled {
    fn arbitrary(g: &mut Gen) -> Self {
        Self(Vec::arbitrary(g).into_iter().take(6).collect(), u64::arbitrary(g))
    }
}

quickcheck! {
    fn any_dict_comes_back(shuffled: Shuffled) -> bool {
        let Shuffled(neurons, seed) = shuffled;
        let mut dict = neuron("", [1, 1], &[], 0);
        for (number, dendrites, synapses, extra) in neurons {
            let prefix = format!("layers.{}.neurons.{}.", extra % 2, number % 4);
            let extra = &["L", "age"][..usize::from(extra % 3)];
            dict.extend(neuron(&prefix, [u64::from(dendrites % 3), u64::from(synapses % 12)], extra, number.into()));
        }
        dict.sort_by(|a, b| a.name.cmp(&b.name));
        dict.dedup_by(|a, b| a.name == b.name);
        // A fixed order that depends on the seed alone.
        dict.sort_by_key(|tensor| tensor.name.bytes().fold(seed, |hash, byte| hash.rotate_left(7) ^ u64::from(byte) ^ seed));
        let (_, back) = round(&dict);
        back == described(&dict)
    }
}
