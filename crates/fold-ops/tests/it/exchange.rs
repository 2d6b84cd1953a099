//! Files of PyFolds through every format and back: tensors, names, order, metadata.

use std::path::{Path, PathBuf};

use fold_core::params::{FilamentParams, SpikeParams};
use fold_core::state::StoredState;
use fold_core::{LayerState, Shape};
use fold_format::interchange::{self, Array};
use fold_format::{Checkpoint, Class, Content, Disk, Dtype, Durability, Limits, SaveOptions, TensorSource};
use fold_format::{json, v1};
use fold_ops::exchange::{self, ConvertOptions, ConvertReport, Lossy, StateForm, Target, Tolerance};
use fold_ops::{Code, ExitCode, Keys};

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
    metadata.print(json::Form::Stored)
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
fn a_state_dict_is_compared_with_arrays_that_came_from_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let source = vector("c102_d2s4_none_off.fold");
    let [gathered, own, other] =
        ["arrays.fold", "own.safetensors", "other.safetensors"].map(|name| dir.path().join(name));
    convert(&source, &gathered, Target::Version2, Some(StateForm::Arrays));
    let checkpoint = Checkpoint::open(&gathered).unwrap();
    let mut bytes: Vec<(String, Dtype, fold_format::Shape, Vec<u8>)> = checkpoint
        .tensors()
        .unwrap()
        .map(|info| {
            let bytes = checkpoint.tensor(info.name).unwrap().as_bytes().to_vec();
            (info.name.to_owned(), info.dtype, info.shape, bytes)
        })
        .collect();
    let differences = |bytes: &[(String, Dtype, fold_format::Shape, Vec<u8>)]| {
        let arrays: Vec<_> = bytes
            .iter()
            .map(|(name, dtype, shape, bytes)| Array {
                name: name.clone().into(),
                dtype: *dtype,
                shape: *shape,
                bytes: bytes.as_slice().into(),
            })
            .collect();
        std::fs::write(&own, safetensors(&arrays, &[])).unwrap();
        let both = [(&source, &own), (&own, &source), (&gathered, &own)];
        let reports = both.map(|(a, b)| exchange::diff(a, b, Tolerance::Bitwise, &Keys::new()).unwrap());
        for report in &reports {
            assert_eq!(report.state, Some("arrays"));
            assert!(
                report.tensors.added.is_empty() && report.tensors.removed.is_empty(),
                "{report:?}"
            );
        }
        reports.map(|report| {
            report
                .tensors
                .changed
                .iter()
                .map(|changed| changed.name.clone())
                .collect::<Vec<_>>()
        })
    };
    assert_eq!(differences(&bytes), [const { Vec::<String>::new() }; 3]);
    let filaments = bytes.iter_mut().find(|(name, ..)| name == "layer0.filaments").unwrap();
    filaments.3[3] += 1;
    assert_eq!(
        differences(&bytes),
        [(); 3].map(|()| vec!["layer0.filaments".to_owned()])
    );

    // Tensors that have nothing to do with a neuron are compared with the dict as it is.
    std::fs::write(&other, safetensors(&[array("other", &[7])], &[])).unwrap();
    let report = exchange::diff(&source, &other, Tolerance::Bitwise, &Keys::new()).unwrap();
    assert_eq!(report.state, None);
    let dict = state(&source);
    assert!(dict.iter().all(|(name, ..)| report.tensors.removed.contains(name)));
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

/// A version 1 file of these chunks: name, type, payload.
fn version_1(path: &Path, metadata: &str, chunks: &[(&str, &str, &[u8])]) {
    let chunks = chunks.iter().map(|&(name, ctype, payload)| v1::Chunk {
        name,
        ctype,
        payload: payload.into(),
    });
    let file = v1::Version1 {
        metadata: json::parse(metadata.as_bytes()).unwrap(),
        created_at_unix: 1.5,
        chunks: chunks.collect(),
        compression: v1::Compression::Stored,
        protection: v1::Protection::Off,
    };
    v1::write(&mut std::fs::File::create(path).unwrap(), &file).unwrap();
}

fn array(name: &'static str, bytes: &'static [u8]) -> Array<'static> {
    Array {
        name: name.into(),
        dtype: Dtype::U8,
        shape: fold_format::Shape::new(&[bytes.len() as u64]).unwrap(),
        bytes: bytes.into(),
    }
}

/// A state of two tensors, and what stands beside them.
fn saved(others: &str) -> Vec<u8> {
    let others = json::parse(others.as_bytes()).unwrap();
    let tensors = [array("b", &[1, 2]), array("a", &[3])];
    v1::torch::save(&tensors, others.as_object().unwrap()).unwrap()
}

fn safetensors(arrays: &[Array<'_>], texts: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    interchange::safetensors::write(&mut bytes, arrays, texts).unwrap();
    bytes
}

/// The chunks of a version 1 file: name, type, payload.
fn chunks(path: &Path) -> Vec<(String, String, Vec<u8>)> {
    let file = v1::File::open(path, Keys::new(), Limits::DEFAULT).unwrap();
    let chunks = file.chunks().iter();
    chunks
        .map(|entry| {
            let payload = file.payload(&entry.name).unwrap().to_vec();
            (entry.name.to_string(), entry.ctype.to_string(), payload)
        })
        .collect()
}

/// The texts of a safetensors file, sorted.
fn texts(path: &Path) -> Vec<(String, String)> {
    let bytes = std::fs::read(path).unwrap();
    let (_, header) = interchange::safetensors::read(&bytes).unwrap();
    let mut texts: Vec<_> = header
        .metadata
        .iter()
        .map(|(key, text)| (key.to_string(), text.to_string()))
        .collect();
    texts.sort();
    texts
}

fn refused(source: &Path, to: Target, lossy: Lossy) -> fold_ops::Error {
    let output = source.with_extension("refused");
    let options = ConvertOptions {
        to: Some(to),
        lossy,
        ..ConvertOptions::default()
    };
    let error = exchange::convert(source, &output, &options).unwrap_err();
    assert!(!output.exists());
    error
}

fn losses(report: &ConvertReport) -> Vec<&str> {
    assert!(report.losses.iter().all(|loss| loss.code == Code::MetadataDropped));
    report.losses.iter().map(|loss| loss.what.as_str()).collect()
}

/// Through version 2 and through safetensors, back to version 1.
fn both_ways(dir: &Path, source: &Path) -> [PathBuf; 2] {
    [Target::Version2, Target::Safetensors].map(|to| {
        let [there, back] = ["there", "back"].map(|end| dir.join(format!("{}.{end}", to.as_str())));
        for path in [&there, &back] {
            let _ = std::fs::remove_file(path);
        }
        convert(source, &there, to, None);
        convert(&there, &back, Target::Version1, None);
        back
    })
}

#[test]
fn what_stands_beside_a_state_comes_back_as_what_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("one.fold");
    for config in [
        r#"{"__python__":["dict",1,"a","1","b"]}"#,
        r#"{"__python__":["tuple",1,{"__python__":["tuple"]},[],{"__python__":["ordered_dict","a",NaN]}]}"#,
        r#"{"__python__":["dict","__python__",{"non_finite":-Infinity}]}"#,
        r#"{"a":-0.0,"b":[1,null,true,18446744073709551615,"é"]}"#,
    ] {
        let payload = saved(&format!(r#"{{"config":{config},"mode":"online","step_id":3}}"#));
        version_1(&source, r#"{"model_type":"x"}"#, &[("torch_state", "TSAV", &payload)]);
        for back in both_ways(dir.path(), &source) {
            // The same state gives the same bytes.
            assert_eq!(chunks(&back), chunks(&source), "{config}");
            assert_eq!(metadata(&back), metadata(&source));
        }
    }
}

#[test]
fn safetensors_have_their_own_texts_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    for (number, own) in [
        &[("format", "pt"), ("author", "me")][..],
        &[("fold", r#"{"k":5}"#), ("author", "me")],
        &[
            ("fold", r#"{"schema":"fold.safetensors/1","kept":{}}"#),
            ("author", "me"),
        ],
        &[("format", "fold"), ("fold", "{}"), ("author", "me")],
        &[("chunk.a", "1")],
        &[],
    ]
    .into_iter()
    .enumerate()
    {
        let source = file(&format!("{number}.safetensors"));
        std::fs::write(&source, safetensors(&[array("a", &[1])], own)).unwrap();
        let mut wanted: Vec<_> = own
            .iter()
            .map(|&(key, text)| (key.to_owned(), text.to_owned()))
            .collect();
        wanted.sort();
        for (way, to) in [Target::Version2, Target::Version1, Target::Safetensors]
            .into_iter()
            .enumerate()
        {
            let [there, back] = ["there", "back"].map(|end| file(&format!("{number}.{way}.{end}")));
            convert(&source, &there, to, None);
            assert!(losses(&convert(&there, &back, Target::Safetensors, None)).is_empty());
            assert_eq!(texts(&back), wanted, "{own:?} by way of {}", to.as_str());
            assert_equal(&source, &there);
        }
    }
}

#[test]
fn safetensors_that_were_gathered_have_their_own_texts_again() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    let tensors = [
        Array {
            dtype: Dtype::I32,
            shape: fold_format::Shape::new(&[1]).unwrap(),
            ..array("dendrites.0.synapses.0.N", &[1, 0, 0, 0])
        },
        array("other", &[7]),
    ];
    for own in [&[("format", "pt")][..], &[("fold", "mine"), ("author", "me")]] {
        let source = file("own.safetensors");
        std::fs::write(&source, safetensors(&tensors, own)).unwrap();
        let [arrays, back] = ["arrays.safetensors", "back.safetensors"].map(file);
        for path in [&arrays, &back] {
            let _ = std::fs::remove_file(path);
        }
        let report = convert(&source, &arrays, Target::Safetensors, Some(StateForm::Arrays));
        assert_eq!(report.state.unwrap().neurons.0, 1);
        convert(&arrays, &back, Target::Safetensors, None);
        assert_eq!(texts(&back), texts(&source), "{own:?}");
        assert_equal(&source, &back);
    }
}

/// What files of this project said of themselves before the text `fold` had a schema.
#[test]
fn safetensors_of_older_releases_are_what_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let [old, one, again] = ["old.safetensors", "one.fold", "again.safetensors"].map(|name| dir.path().join(name));
    let kept = r#"{"pyfolds":{"version":"1.2.0","dialect":"1.0.2","created_at_unix":1.5,"metadata":{"model_type":"x"},"chunks":[{"name":"metrics","ctype":"JSON"},{"name":"torch_state","ctype":"TSAV","tensors":["b","a"],"others":{"mode":"online"}}]}}"#;
    let texts_of_old = [("format", "fold"), ("fold", kept), ("chunk.metrics", "{}")];
    let tensors = [array("a", &[3]), array("b", &[1, 2])];
    std::fs::write(&old, safetensors(&tensors, &texts_of_old)).unwrap();
    convert(&old, &one, Target::Version1, None);
    let wanted = [
        ("metrics".to_owned(), "JSON".to_owned(), b"{}".to_vec()),
        (
            "torch_state".to_owned(),
            "TSAV".to_owned(),
            saved(r#"{"mode":"online"}"#),
        ),
    ];
    assert_eq!(chunks(&one), wanted);
    let kept = r#"{"safetensors":{"format":"pt"}}"#;
    std::fs::write(&old, safetensors(&tensors, &[("format", "fold"), ("fold", kept)])).unwrap();
    convert(&old, &again, Target::Safetensors, None);
    assert_eq!(texts(&again), [("format".to_owned(), "pt".to_owned())]);
}

#[test]
fn the_chunks_and_metadata_of_version_2_come_back_from_every_format_that_has_room_for_them() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    for (number, own) in [
        r#"{"run":7}"#,
        r#"{"pyfolds":"1.0.2","run":7}"#,
        r#"{"safetensors":{"a":1}}"#,
    ]
    .into_iter()
    .enumerate()
    {
        let source = file(&format!("{number}.fold"));
        let tensor = |name| TensorSource::new(name, Dtype::U8, &[1], &[5]).unwrap();
        let content = Content::new()
            .metadata(own)
            .tensors("model", [tensor("w")])
            .json("notes", r#"{"b":1}"#)
            .tensors("optimizer", [tensor("m")]);
        fold_format::save(&Disk, &source, &content, &SaveOptions::new(Durability::None)).unwrap();
        for (way, to) in [Target::Version2, Target::Version1, Target::Safetensors]
            .into_iter()
            .enumerate()
        {
            let [there, back] = ["there", "back"].map(|end| file(&format!("{number}.{way}.{end}")));
            convert(&source, &there, to, None);
            convert(&there, &back, Target::Version2, None);
            let back = Checkpoint::open(&back).unwrap();
            assert_eq!(
                json::parse(back.metadata().as_bytes()),
                json::parse(own.as_bytes()),
                "{}",
                to.as_str()
            );
            let chunk = |tensor: &str| back.tensor_info(tensor).unwrap().chunk.to_owned();
            assert_eq!([chunk("w"), chunk("m")], ["model", "optimizer"], "{}", to.as_str());
        }
    }
}

#[test]
fn a_signature_that_ceases_to_hold_is_named_and_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let [source, back] = ["signed.fold", "back.fold"].map(|name| dir.path().join(name));
    let payload = saved("{}");
    let to = |protection| {
        let _ = std::fs::remove_file(&back);
        let options = ConvertOptions {
            to: Some(Target::Version1),
            protection,
            ..ConvertOptions::default()
        };
        let report = exchange::convert(&source, &back, &options).unwrap();
        let file = v1::File::open(&back, Keys::new(), Limits::DEFAULT).unwrap();
        let metadata = file.metadata().unwrap().clone();
        let losses: Vec<String> = losses(&report).into_iter().map(str::to_owned).collect();
        (losses, metadata)
    };
    let signed = r#"{"protection":"low","signature":{"value":"00"},"tags":{}}"#;
    version_1(&source, signed, &[("torch_state", "TSAV", &payload)]);
    let (losses, kept) = to(v1::Protection::Low);
    assert!(losses.is_empty(), "{losses:?}");
    assert!(kept.get("signature").is_some());
    let (losses, kept) = to(v1::Protection::Off);
    assert_eq!(losses, ["the signature: it covers the protection, which changed"]);
    assert_eq!(kept.get("protection").unwrap().as_str(), Some("off"));
    assert!(kept.get("signature").is_none());
    // What is no protection of PyFolds is metadata like any other.
    for own in [r#"{"by":"me"}"#, "7", r#""a lock""#, "null"] {
        let own = format!(r#"{{"protection":{own},"signature":{{}}}}"#);
        version_1(&source, &own, &[("torch_state", "TSAV", &payload)]);
        let (losses, kept) = to(v1::Protection::Low);
        assert!(losses.is_empty(), "{losses:?}");
        let kept = kept.without("chunk_hashes").without("manifest_hash");
        assert_eq!(kept.print(json::Form::Stored), own);
    }
}

#[test]
fn what_is_whole_and_not_understood_goes_through_as_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("one.fold");
    let state = saved(r#"{"mode":"online"}"#);
    let texts = safetensors(&[array("s", &[1])], &[("format", "pt"), ("author", "me")]);
    let mut complex = safetensors(&[array("s", &[0; 8])], &[]);
    let at = complex.windows(4).position(|bytes| bytes == b"\"U8\"").unwrap();
    complex[at..at + 4].copy_from_slice(b"\"Q8\"");
    let odd: [(&str, &str, &[u8]); 6] = [
        ("twice", "JSON", br#"{"1":"a","1":"b"}"#),
        ("latin", "JSON", b"\"\xe9\""),
        ("torch_state", "TSAV", &state),
        ("complex", "STEN", &complex),
        ("archive", "NPZ0", b"no archive"),
        ("texts", "STEN", &texts),
    ];
    version_1(&source, "{}", &odd);
    let [by_two, by_texts] = both_ways(dir.path(), &source);
    let wanted = chunks(&source);
    let same = |found: &[(String, String, Vec<u8>)], wanted: &[(String, String, Vec<u8>)]| {
        assert_eq!(found.len(), wanted.len());
        for (found, wanted) in found.iter().zip(wanted) {
            assert_eq!((&found.0, &found.1), (&wanted.0, &wanted.1));
            // The order of texts in safetensors means nothing.
            match &*found.0 {
                "texts" => {
                    let [found, wanted] = [found, wanted].map(|(_, _, payload)| {
                        let (arrays, header) = interchange::safetensors::read(payload).unwrap();
                        let mut texts = header.metadata;
                        texts.sort();
                        (arrays, texts)
                    });
                    assert_eq!(found, wanted);
                }
                name => assert!(found.2 == wanted.2, "{name}"),
            }
        }
    };
    same(&chunks(&by_two), &wanted);
    let bytes = ["latin", "complex", "archive"];
    let kept: Vec<_> = wanted
        .iter()
        .filter(|(name, _, _)| !bytes.contains(&name.as_str()))
        .cloned()
        .collect();
    same(&chunks(&by_texts), &kept);
    for to in [Target::Safetensors, Target::Npz] {
        let report = convert(&source, &dir.path().join(to.as_str()), to, None);
        let losses = losses(&report);
        for name in bytes {
            let named = format!("chunk `{name}`, which is bytes");
            assert!(losses.contains(&named.as_str()), "{losses:?}");
        }
    }
}

#[test]
fn a_state_that_is_refused_is_named_and_not_called_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("one.fold");
    for payload in [&b"no archive"[..], &safetensors(&[array("a", &[1])], &[])] {
        version_1(&source, "{}", &[("torch_state", "TSAV", payload)]);
        let error = refused(&source, Target::Version2, Lossy::Allow);
        assert_eq!((error.class(), error.exit()), (Class::Unsupported, ExitCode::Newer));
        let text = error.to_string();
        assert!(
            text.contains("chunk `torch_state` is whole and is not read: not a sound zip archive"),
            "{text}"
        );
        assert!(!text.contains("damaged:"), "{text}");
        // Another one's meaning is its writer's: it passes through.
        version_1(&source, "{}", &[("ema", "TSAV", payload)]);
        let [two, one] = ["two.fold", "again.fold"].map(|name| dir.path().join(name));
        convert(&source, &two, Target::Version2, None);
        convert(&two, &one, Target::Version1, None);
        assert!(chunks(&one) == chunks(&source));
        for path in [two, one] {
            std::fs::remove_file(path).unwrap();
        }
    }
}

#[test]
fn what_a_target_cannot_name_is_refused_without_false_advice() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("one.fold");
    let long = "n".repeat(256);
    for name in ["", &long, "a\nb"] {
        version_1(&source, "{}", &[(name, "BYTE", b"x")]);
        let error = refused(&source, Target::Version2, Lossy::Allow);
        assert_eq!((error.code(), error.exit()), (Code::LossyRefused, ExitCode::Refused));
        assert!(!error.to_string().contains("--lossy"), "{error}");
        goes_where_names_are_free(dir.path(), &source);
    }
    version_1(&source, "{}", &[("", "BYTE", b"x")]);
    let report = convert(
        &source,
        &dir.path().join("nothing.safetensors"),
        Target::Safetensors,
        None,
    );
    assert_eq!(losses(&report), ["chunk ``, which is bytes"]);
    let [first, second] = [array("b.c", &[1]), array("c", &[2])].map(|tensor| safetensors(&[tensor], &[]));
    version_1(&source, "{}", &[("a", "STEN", &first), ("a.b", "STEN", &second)]);
    for to in [Target::Version2, Target::Safetensors, Target::Npz] {
        let error = refused(&source, to, Lossy::Allow);
        assert_eq!(
            (error.class(), error.exit()),
            (Class::Misuse, ExitCode::Refused),
            "{error}"
        );
        let named = "two tensors would be called `a.b.c`: of chunk `a` and of chunk `a.b`; version 1 keeps them apart";
        assert!(error.to_string().contains(named), "{error}");
    }
    let again = dir.path().join("again.fold");
    convert(&source, &again, Target::Version1, None);
    assert_eq!(chunks(&again), chunks(&source));
}

/// Each chunk is looked up by its name; a safetensors file describes no more of them than a container may have.
#[test]
fn a_file_of_very_many_chunks_is_converted_and_more_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let [source, two, back] = ["source.safetensors", "two.fold", "back.fold"].map(|name| dir.path().join(name));
    let write = |count: u64| {
        let texts = (0..count).map(|number| (format!("chunk.{number:05}"), "{}".to_owned()));
        let fold = r#"{"schema":"fold.safetensors/1","kept":{},"chunks":[]}"#;
        let texts: Vec<_> = texts.chain([("fold".to_owned(), fold.to_owned())]).collect();
        let texts: Vec<_> = texts.iter().map(|(key, text)| (key.as_str(), text.as_str())).collect();
        std::fs::write(&source, safetensors(&[], &texts)).unwrap();
    };
    write(5000);
    convert(&source, &back, Target::Version1, None);
    let file = v1::File::open(&back, Keys::new(), Limits::DEFAULT).unwrap();
    assert_eq!(file.chunks().len(), 5000);
    for entry in file.chunks() {
        assert_eq!(&*file.payload(&entry.name).unwrap(), b"{}");
    }
    write(Limits::DEFAULT.max_chunks);
    let report = convert(&source, &dir.path().join("none.npz"), Target::Npz, None);
    assert_eq!(report.losses.len() as u64, Limits::DEFAULT.max_chunks + 1);
    write(Limits::DEFAULT.max_chunks + 1);
    let error = refused(&source, Target::Version2, Lossy::Allow);
    assert!(
        error.to_string().contains("65537 exceeds the limit max_chunks = 65536"),
        "{error}"
    );
    assert!(!two.exists());
}

#[test]
fn of_two_tensors_of_one_name_none_is_taken_for_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, value: &'static [u8]| {
        let path = dir.path().join(name);
        let tensors = [&[array("b.c", value), array("d", &[3])][..], &[array("c", &[2])]];
        let [first, second] = tensors.map(|tensors| safetensors(tensors, &[]));
        version_1(&path, "{}", &[("a", "STEN", &first), ("a.b", "STEN", &second)]);
        path
    };
    let (one, other) = (file("one.fold", &[1]), file("other.fold", &[9]));
    let plain = dir.path().join("plain.safetensors");
    std::fs::write(&plain, safetensors(&[array("a.b.c", &[2])], &[])).unwrap();
    let named = "two tensors would be called `a.b.c`: of chunk `a` and of chunk `a.b`";
    let is_named = |error: fold_ops::Error| {
        assert_eq!((error.code(), error.exit()), (Code::LossyRefused, ExitCode::Refused));
        assert!(
            error.to_string().contains(named) && error.to_string().contains("one.fold"),
            "{error}"
        );
    };
    for (first, second) in [(&one, &other), (&one, &plain), (&plain, &one)] {
        is_named(exchange::diff(first, second, Tolerance::Bitwise, &Keys::new()).unwrap_err());
    }
    let output = dir.path().join("out.npy");
    let take = |name: &str| exchange::extract(&one, &exchange::Wanted::Tensor(name.to_owned()), &output, &Keys::new());
    is_named(take("a.b.c").unwrap_err());
    assert!(!output.exists());
    take("a.d").unwrap();
}

/// Version 1 takes any name.
fn goes_where_names_are_free(dir: &Path, source: &Path) {
    let again = dir.join("named.fold");
    let _ = std::fs::remove_file(&again);
    convert(source, &again, Target::Version1, None);
    assert_eq!(chunks(&again), chunks(source));
}

/// A version 1 file of one chunk `torch_state` of the tensors `names`, with `mode` and `step_id` beside them.
fn state_file(path: &Path, ctype: &str, names: [&str; 2], mode: &str, step: u64) {
    use fold_format::interchange::safetensors;
    use fold_format::json::Value;

    let tensors = names.map(|name| Array {
        name: name.to_owned().into(),
        dtype: Dtype::F32,
        shape: fold_format::Shape::new(&[1]).unwrap(),
        bytes: vec![0; 4].into(),
    });
    let others = [
        ("mode".into(), Value::from(mode)),
        ("step_id".into(), Value::from(step)),
    ];
    let mut sten = Vec::new();
    safetensors::write(&mut sten, &tensors, &[]).unwrap();
    let payload = match ctype {
        "TSAV" => v1::torch::save(&tensors, &others).unwrap(),
        _ => sten,
    };
    let chunk = v1::Chunk {
        name: "torch_state",
        ctype,
        payload: payload.as_slice().into(),
    };
    let file = v1::Version1 {
        metadata: Value::object([("model_type", Value::from("a test"))]),
        created_at_unix: 1.0,
        chunks: vec![chunk],
        compression: v1::Compression::Stored,
        protection: v1::Protection::Off,
    };
    v1::write(&mut std::fs::File::create(path).unwrap(), &file).unwrap();
}

#[test]
fn what_stands_beside_the_tensors_is_compared_in_every_format_that_keeps_it() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for (name, ctype, names, mode, step) in [
        ("same", "TSAV", ["b", "a"], "online", 7),
        ("mode", "TSAV", ["b", "a"], "sleep", 7),
        ("step", "TSAV", ["b", "a"], "online", 8),
        ("order", "TSAV", ["a", "b"], "online", 7),
        ("type", "STEN", ["b", "a"], "online", 7),
    ] {
        let file = at(&format!("{name}.v1"));
        state_file(&file, ctype, names, mode, step);
        convert(&file, &at(&format!("{name}.v2")), Target::Version2, None);
        convert(&file, &at(&format!("{name}.safetensors")), Target::Safetensors, None);
    }
    for first in ["v1", "v2", "safetensors"] {
        for second in ["v1", "v2", "safetensors"] {
            for (name, changed, types, order) in [
                ("same", &[][..], 0, 0),
                ("mode", &["torch_state.mode"], 0, 0),
                ("step", &["torch_state.step_id"], 0, 0),
                ("order", &[], 0, 1),
                // No program wrote both that state and such a chunk: the dialect differs too.
                ("type", &["dialect", "torch_state.mode", "torch_state.step_id"], 1, 0),
            ] {
                let (a, b) = (at(&format!("same.{first}")), at(&format!("{name}.{second}")));
                let report = exchange::diff(&a, &b, Tolerance::Bitwise, &Keys::new()).unwrap();
                let found = &report.metadata;
                assert_eq!(report.equal, name == "same", "{first} {name}.{second}: {report:?}");
                assert_eq!(found.changed, changed, "{first} {name}.{second}");
                assert_eq!(
                    (found.types.len(), found.order.len(), found.chunks.len()),
                    (types, order, 0),
                    "{first} {name}.{second}"
                );
            }
        }
    }
    // No order is content where no torch wrote it.
    for order in [["a", "b"], ["b", "a"]] {
        state_file(&at(order[0]), "STEN", order, "", 0);
    }
    assert_equal(&at("a"), &at("b"));
}

#[test]
fn the_chunks_of_version_2_are_compared_where_both_files_have_them() {
    let dir = tempfile::tempdir().unwrap();
    let save = |name: &str, content: &Content<'_>| {
        let path = dir.path().join(name);
        fold_format::save(&Disk, &path, content, &SaveOptions::new(Durability::Full)).unwrap();
        path
    };
    let tensor = |name: &'static str| TensorSource::new(name, Dtype::U8, &[1], &[7]).unwrap();
    let both = save(
        "both.fold",
        &Content::new()
            .tensors("a", [tensor("x"), tensor("y")])
            .json("text", "{}"),
    );
    let moved = save(
        "moved.fold",
        &Content::new()
            .tensors("a", [tensor("x")])
            .tensors("b", [tensor("y")])
            .json("text", "{}"),
    );
    let bytes = save(
        "bytes.fold",
        &Content::new()
            .tensors("a", [tensor("x"), tensor("y")])
            .bytes("text", b"{}"),
    );
    let copies = |source: &Path| {
        let name = source.file_stem().unwrap().to_str().unwrap();
        [Target::Version1, Target::Version2, Target::Safetensors].map(|to| {
            let path = dir.path().join(format!("{name}.{}", to.as_str()));
            if !path.exists() {
                convert(source, &path, to, None);
            }
            path
        })
    };
    let found = |a: &Path, b: &Path| {
        let report = exchange::diff(a, b, Tolerance::Bitwise, &Keys::new()).unwrap();
        assert_eq!((report.tensors.added.len(), report.tensors.changed.len()), (0, 0));
        (report.equal, report.metadata.chunks, report.metadata.types)
    };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    for first in copies(&both).iter().chain([&both]) {
        for second in copies(&both).iter().chain([&both]) {
            assert_equal(first, second);
        }
        for second in copies(&moved).iter().chain([&moved]) {
            assert_eq!(found(first, second), (false, names(&["a", "b"]), names(&[])));
        }
        let [one, two, _] = copies(&bytes);
        for second in [&one, &two, &bytes] {
            assert_eq!(found(first, second), (false, names(&[]), names(&["text"])));
        }
    }
    // What no writer of theirs named is not compared.
    let [_, _, tensors] = copies(&both);
    let npz = dir.path().join("both.npz");
    convert(&both, &npz, Target::Npz, None);
    let report = exchange::diff(&tensors, &npz, Tolerance::Bitwise, &Keys::new()).unwrap();
    assert!(report.equal && !report.metadata.compared);
}

#[test]
fn what_guards_a_file_of_pyfolds_and_no_copy_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let aes = Keys::parse_aes256(b"8074af41d2c1943b21be4f0858a82c7b80bafd0b607c1354e997bc88d402a98d").unwrap();
    let secret = Keys::new().aes256(aes);
    let keyed = Keys::new().integrity("chave-de-integridade-dev-é-1".as_bytes());
    let security = ["`security_level`", "`security_features`"];
    for (name, keys, expected) in [
        ("c102_full_signed.fold", Keys::new(), &[][..]),
        ("c102_rs16_lengths.fold", Keys::new(), &["the parity"]),
        (
            "h22_enc_rs.fold",
            secret.clone(),
            &["the parity", "the encryption", "the Merkle root"],
        ),
        ("bh22_trust.fold", Keys::new(), &["the Merkle root", "the trust block"]),
        (
            "h22_hmac.fold",
            keyed,
            &["the keyed digests", "the Merkle root", "the trust block"],
        ),
        (
            "h22_level_paranoid.mind",
            secret,
            &[
                "the encryption",
                "the Merkle root",
                "the trust block",
                "`provenance`",
                "`sharding`",
            ],
        ),
    ] {
        for to in [Target::Version1, Target::Version2] {
            let output = dir.path().join(format!("{name}.{}", to.as_str()));
            let options = ConvertOptions {
                to: Some(to),
                keys: keys.clone(),
                ..ConvertOptions::default()
            };
            let report = exchange::convert(&vector(name), &output, &options).unwrap();
            let found = losses(&report).into_iter();
            let found: Vec<_> = found.map(|what| what.split([',', ':']).next().unwrap()).collect();
            let found: Vec<_> = found
                .iter()
                .map(|what| what.trim_end_matches(" of the metadata"))
                .collect();
            let (known, others): (Vec<_>, Vec<_>) = found.into_iter().partition(|what| security.contains(what));
            assert_eq!(others, expected, "{name}");
            assert_eq!(known.len(), if name.contains("h22") { 2 } else { 0 }, "{name}");
        }
    }
    // Parity that the copy has is none that is left behind.
    let options = ConvertOptions {
        protection: v1::Protection::Low,
        to: Some(Target::Version1),
        ..ConvertOptions::default()
    };
    let output = dir.path().join("protected.fold");
    let report = exchange::convert(&vector("c102_rs16_lengths.fold"), &output, &options).unwrap();
    assert_eq!(losses(&report), Vec::<&str>::new());
}

/// A sound archive of a kind that is not read is not called damaged.
#[test]
fn what_is_sound_and_not_read_is_not_called_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("archive.npz");
    // Its members are no `.npy`.
    std::fs::write(&source, saved("{}")).unwrap();
    let error = refused(&source, Target::Version2, Lossy::Allow);
    assert_eq!((error.code(), error.class()), (Code::SourceDamaged, Class::Unsupported));
    assert_eq!(error.exit().number(), 12);
    let text = error.to_string();
    assert!(
        text.starts_with("FOLD-E0802 unsupported:") && !text.contains("damaged"),
        "{text}"
    );
}

#[test]
fn an_array_that_numpy_would_not_find_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("nul.safetensors");
    std::fs::write(&source, safetensors(&[array("a", &[1]), array("a\0b", &[2])], &[])).unwrap();
    let error = refused(&source, Target::Npz, Lossy::Allow);
    assert_eq!((error.code(), error.exit()), (Code::LossyRefused, ExitCode::Refused));
    assert!(
        error.to_string().contains(r"array `a\0b` has a NUL in its name"),
        "{error}"
    );
}

#[test]
fn metadata_that_look_like_ours_come_back_or_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let source = dir.path().join("one.fold");
    let tensors = safetensors(&[array("q", &[1])], &[]);
    let write = |own: &str| {
        let metadata = format!(r#"{{"fold_origin":"fold-v2","fold":{own},"plain_chunks":["tensors"]}}"#);
        version_1(&source, &metadata, &[("tensors", "STEN", &tensors)]);
    };
    write(r#"{"state_dicts":{},"a":1}"#);
    for to in [Target::Version2, Target::Safetensors] {
        let there = dir.path().join(to.as_str());
        convert(&source, &there, to, None);
        assert_equal(&source, &there);
    }
    for own in [
        r#"{"pyfolds":{"chunks":[]}}"#,
        r#"{"state_dicts":{"a":{"layers":[],"steps":[]}}}"#,
    ] {
        write(own);
        for to in [Target::Version2, Target::Safetensors] {
            let error = refused(&source, to, Lossy::Allow);
            assert_eq!((error.code(), error.exit()), (Code::LossyRefused, ExitCode::Refused));
        }
    }
}

/// What guarded the source and does not guard the copy is named.
#[test]
fn a_guard_that_is_left_behind_is_a_loss() {
    use fold_format::DigestKind;
    use fold_format::seal::PrivateKey;

    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let guarded = SaveOptions::new(Durability::Full)
        .digest_kind(DigestKind::Blake3)
        .parity(Some(exchange::ParityLevel::Low));
    fold_format::save(&Disk, at("sealed.fold"), &Content::new().bytes("a", b"some"), &guarded).unwrap();
    let sealed = std::fs::File::open(at("sealed.fold")).unwrap();
    let key = PrivateKey::generate().unwrap();
    fold_format::sign(&Disk, &sealed, at("signed.fold"), &key, &Limits::DEFAULT).unwrap();
    let lost = |source: &str, options: &SaveOptions| {
        let options = ConvertOptions {
            version_2: options.clone(),
            ..ConvertOptions::default()
        };
        let _ = std::fs::remove_file(at("copy.fold"));
        let report = exchange::convert(&at(source), &at("copy.fold"), &options).unwrap();
        let words = losses(&report).into_iter();
        words
            .map(|what| what.split([',', ':']).next().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let plain = SaveOptions::new(Durability::Full);
    assert_eq!(lost("sealed.fold", &plain), ["the BLAKE3 digests", "the parity"]);
    assert_eq!(lost("sealed.fold", &guarded), Vec::<String>::new());
    assert_eq!(lost("signed.fold", &guarded), ["the signature"]);
}

#[test]
fn what_is_not_there_is_not_called_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("new.npz");
    for (source, expected) in [
        (dir.path().join("typo.fold"), "FOLD-E0103"),
        (dir.path().to_owned(), "FOLD-E0406"),
    ] {
        let error = exchange::convert(&source, &output, &ConvertOptions::default()).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}
