//! Recorded trajectories of PyFolds 1.0.2 are reproduced: every discrete value exactly, every float within its tolerance.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use fold_advanced::Semantics;
use fold_format::Dtype;
use fold_format::interchange::{Array, npz};
use fold_ops::simulate::{SimulateRequest, simulate};

/// How far a float may be from the recorded one, absolutely and relative to values above 1.
fn tolerance(name: &str) -> (f64, f64) {
    let quantity = name.split_once('.').map_or(name, |(_, quantity)| quantity);
    match quantity {
        // Means of ones and zeros, rounded to f32; times that are sums of a few exact steps.
        "spike_rate" | "saturation_ratio" | "theta_boost" | "last_spike_time" => (0.0, 0.0),
        "I" | "eligibility" => (2e-5, 2e-5),
        "acc_x" | "acc_gated" => (1e-5, 1e-5),
        _ => (1e-5, 0.0),
    }
}

fn arrays(path: &Path) -> BTreeMap<String, Array<'static>> {
    let bytes = std::fs::read(path).unwrap();
    let arrays = npz::read_all(&bytes, 1 << 30).unwrap();
    arrays
        .into_iter()
        .map(|array| (array.name.to_string(), array))
        .collect()
}

fn values(array: &Array<'_>) -> Vec<f64> {
    let bytes = &array.bytes;
    match array.dtype {
        Dtype::Bool | Dtype::U8 => bytes.iter().map(|&b| b.into()).collect(),
        Dtype::I32 => bytes
            .as_chunks()
            .0
            .iter()
            .map(|b| i32::from_le_bytes(*b).into())
            .collect(),
        Dtype::I64 => bytes
            .as_chunks()
            .0
            .iter()
            .map(|b| i64::from_le_bytes(*b) as f64)
            .collect(),
        Dtype::F32 => bytes
            .as_chunks()
            .0
            .iter()
            .map(|b| f32::from_le_bytes(*b).into())
            .collect(),
        Dtype::F64 => bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b)).collect(),
        other => panic!("{other}"),
    }
}

/// The first place where a recorded array is not reproduced.
fn difference(name: &str, recorded: &Array<'_>, ours: &Array<'_>) -> Option<String> {
    if (recorded.dtype, &recorded.shape) != (ours.dtype, &ours.shape) {
        return Some(format!(
            "{name}: recorded {} {}, ours {} {}",
            recorded.dtype, recorded.shape, ours.dtype, ours.shape
        ));
    }
    let discrete = !matches!(recorded.dtype, Dtype::F32 | Dtype::F64);
    let (absolute, relative) = if discrete { (0.0, 0.0) } else { tolerance(name) };
    let pairs = values(recorded).into_iter().zip(values(ours)).enumerate();
    for (at, (recorded, ours)) in pairs {
        let allowed = f64::max(absolute, relative * recorded.abs());
        let distance = (recorded - ours).abs();
        // Written so that a NaN on one side alone fails.
        if !(distance <= allowed || (recorded.is_nan() && ours.is_nan())) {
            return Some(format!("{name}[{at}]: recorded {recorded}, ours {ours}"));
        }
    }
    None
}

/// What of a recorded trajectory is not reproduced, and how many arrays were compared.
fn replay(case: &Path) -> (usize, Vec<String>) {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("trace.npz");
    let request = SimulateRequest {
        config: case.to_owned(),
        input: case.with_extension("npz"),
        output: output.clone(),
        semantics: Semantics::PyFolds102,
        snapshot_every: None,
    };
    simulate(&request).unwrap();
    let ours = arrays(&output);
    let recorded = arrays(&case.with_extension("npz"));
    let compared = recorded
        .iter()
        .filter(|(name, _)| *name != "x" && !name.starts_with("init."));
    let mut count = 0;
    let mut differences = Vec::new();
    for (name, recorded) in compared {
        count += 1;
        match ours.get(name) {
            Some(ours) => differences.extend(difference(name, recorded, ours)),
            None => differences.push(format!("{name} is missing")),
        }
    }
    (count, differences)
}

fn cases() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fold-advanced/testdata/pyfolds-1.0.2");
    let mut cases: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    cases.retain(|path| path.extension().is_some_and(|e| e == "json") && !path.ends_with("default_config.json"));
    cases.sort();
    cases
}

#[test]
fn every_recorded_trajectory_is_reproduced() {
    let cases = cases();
    assert_eq!(cases.len(), 25);
    let mut failed = Vec::new();
    for case in &cases {
        let (count, differences) = replay(case);
        assert!(count >= 20, "{}: only {count} arrays compared", case.display());
        failed.extend(
            differences
                .into_iter()
                .map(|text| format!("{}: {text}", case.file_stem().unwrap().display())),
        );
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// The comparison itself must be able to fail.
#[test]
fn a_planted_difference_is_found() {
    let case = &cases()[0];
    let recorded = arrays(&case.with_extension("npz"));
    for (name, at, expected) in [
        ("step.spikes", 3, true),
        ("step.u", 400, true),
        ("step.v_dend", 2, true),
    ] {
        let mut changed = recorded[name].clone();
        assert_eq!(difference(name, &recorded[name], &changed), None);
        changed.bytes.to_mut()[at] ^= 0x40;
        assert_eq!(
            difference(name, &recorded[name], &changed).is_some(),
            expected,
            "{name}"
        );
    }
}

#[test]
fn the_default_parameters_are_the_recorded_ones() {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../fold-advanced/testdata/pyfolds-1.0.2/default_config.json");
    let text = std::fs::read_to_string(path).unwrap();
    let recorded: fold_advanced::pyfolds::Parameters = serde_json::from_str(&text).unwrap();
    let device = recorded.device;
    let defaults = fold_advanced::pyfolds::Parameters {
        device,
        ..Default::default()
    };
    assert_eq!(
        recorded, defaults,
        "but for the device, which was resolved when they were recorded"
    );
    let keys = serde_json::from_str::<serde_json::Map<_, _>>(&text).unwrap();
    assert_eq!(keys.len(), fold_advanced::pyfolds::Parameters::NAMES.len());
}
