//! Simulations as their users run them: what is written, what is refused and how it is said.

use std::io::Cursor;
use std::path::{Path, PathBuf};

use fold_format::interchange::{Array, npz};
use fold_format::{Dtype, Shape};
use fold_ops::simulate::{SimulateReport, SimulateRequest, simulate};
use fold_ops::{Error, ExitCode, Semantics};
use serde_json::{Value, json};

/// A directory with a case and its input.
struct Bench {
    dir: tempfile::TempDir,
    outputs: usize,
}

/// An array of f32.
fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

impl Bench {
    fn new(case: &Value, arrays: &[(&str, Dtype, &[u64], Vec<u8>)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("case.json"), case.to_string()).unwrap();
        let mut writer = npz::Writer::new(Cursor::new(Vec::new()));
        for (name, dtype, shape, bytes) in arrays {
            writer.add(name, *dtype, &Shape::new(shape).unwrap(), bytes).unwrap();
        }
        let bytes = writer.finish().unwrap().into_inner();
        std::fs::write(dir.path().join("case.npz"), bytes).unwrap();
        Self { dir, outputs: 0 }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&mut self, semantics: Semantics) -> Result<(SimulateReport, Vec<Array<'static>>), Error> {
        self.outputs += 1;
        let output = self.path(&format!("trace-{}.npz", self.outputs));
        let request = SimulateRequest {
            config: self.path("case.json"),
            input: self.path("case.npz"),
            output: output.clone(),
            semantics,
            snapshot_every: None,
        };
        let report = simulate(&request)?;
        let arrays = npz::read_all(&std::fs::read(output).unwrap(), 1 << 30).unwrap();
        Ok((report, arrays))
    }

    fn refusal(&mut self, semantics: Semantics) -> String {
        let error = self.run(semantics).map(|(report, _)| report).unwrap_err();
        assert_eq!(error.exit(), ExitCode::Usage, "{error}");
        assert!(!self.path(&format!("trace-{}.npz", self.outputs)).exists());
        let left = std::fs::read_dir(self.dir.path()).unwrap().count();
        assert_eq!(left, 2, "nothing but case and input is left");
        error.to_string()
    }
}

/// Five steps of two samples through [2, 4].
fn case() -> Value {
    json!({
        "class": "MPJRDNeuronAdvanced", "batch": 2, "shape": [2, 4], "seed": 3, "snapshot_every": 2,
        "program": [["f", null, 0.5, 1.0, 1], ["f", null, 0.5, 1.0, 1, 1], ["m", "batch"], ["f", null, 0.5, 1.0, 1],
            ["p", 1.0, 0.5], ["s", 60.0], ["f", "inference", null, 1.0, 0], ["f", "sleep", null, 1.0, 1]],
    })
}

fn with(mut case: Value, key: &str, value: Value) -> Value {
    case[key] = value;
    case
}

fn x(rows: u64) -> (&'static str, Dtype, &'static [u64], Vec<u8>) {
    let shapes: [&[u64]; 3] = [&[4, 2, 2, 4], &[5, 2, 2, 4], &[6, 2, 2, 4]];
    let values: Vec<f32> = (0..rows * 16).map(|k| (k % 7) as f32 / 7.0).collect();
    ("x", Dtype::F32, shapes[rows as usize - 4], floats(&values))
}

fn extents(arrays: &[Array<'_>], name: &str) -> Vec<u64> {
    let array = arrays.iter().find(|array| array.name == name);
    array
        .unwrap_or_else(|| panic!("{name} is missing"))
        .shape
        .extents()
        .to_vec()
}

#[test]
fn both_semantics_run_the_same_program_and_name_the_same_things_alike() {
    let mut bench = Bench::new(&case(), &[x(5)]);
    let (report, pyfolds) = bench.run(Semantics::PyFolds102).unwrap();
    assert_eq!(
        (report.steps.0, report.snapshots.0, report.exit_code),
        (5, 3, ExitCode::Done)
    );
    assert!(report.not_applied.is_empty());
    let (report, sound) = bench.run(Semantics::Sound).unwrap();
    assert_eq!((report.steps.0, report.snapshots.0), (5, 3));
    for arrays in [&pyfolds, &sound] {
        assert_eq!(extents(arrays, "step.spikes"), [5, 2]);
        assert_eq!(extents(arrays, "step.u"), [5, 2]);
        assert_eq!(extents(arrays, "step.theta"), [5]);
        assert_eq!(extents(arrays, "step.spike_rate"), [5]);
        assert_eq!(extents(arrays, "snap.after_step"), [3]);
    }
    assert_eq!(extents(&pyfolds, "snap.trace_pre"), [3, 2, 2, 4]);
    assert_eq!(extents(&pyfolds, "final.N"), [2, 4]);
    assert_eq!(
        extents(&sound, "snap.stdp.trace_pre"),
        [3, 2, 8],
        "padded where a step had fewer samples"
    );
    assert_eq!(extents(&sound, "final.filaments"), [1, 2, 4]);
    assert_eq!(report.arrays.len(), sound.len());
}

#[test]
fn the_same_request_gives_the_same_bytes() {
    let mut bench = Bench::new(&case(), &[x(5)]);
    for semantics in [Semantics::PyFolds102, Semantics::Sound] {
        let (_, first) = bench.run(semantics).unwrap();
        let (_, second) = bench.run(semantics).unwrap();
        assert!(first == second, "{semantics}");
    }
}

#[test]
fn the_initial_filaments_hold_under_both_and_what_has_no_meaning_is_named() {
    let n: Vec<u8> = [1_i32, 2, 3, 4, 5, 6, 7, 31]
        .iter()
        .flat_map(|n| n.to_le_bytes())
        .collect();
    let still = with(
        with(
            case(),
            "overrides",
            json!({"i_eta": 0.0, "A_plus": 0.0, "A_minus": 0.0}),
        ),
        "sound",
        json!({"stdp": {"a_plus": 1e-3, "a_minus": 0.0}}),
    );
    let theta = floats(&[2.5, 0.1, 0.0, 0.0]);
    let arrays = [
        x(5),
        ("init.N", Dtype::I32, &[2, 4][..], n.clone()),
        ("init.homeo", Dtype::F32, &[4], theta),
    ];
    let mut bench = Bench::new(&still, &arrays);
    let (_, pyfolds) = bench.run(Semantics::PyFolds102).unwrap();
    let found = pyfolds.iter().find(|array| array.name == "final.N").unwrap();
    assert_eq!(found.bytes, n);
    let (report, sound) = bench.run(Semantics::Sound).unwrap();
    let found = sound.iter().find(|array| array.name == "final.filaments").unwrap();
    assert_eq!(*found.bytes, [1, 2, 3, 4, 5, 6, 7, 31]);
    let expected = ["overrides.A_minus", "overrides.A_plus", "overrides.i_eta", "init.homeo"];
    assert_eq!(report.not_applied, expected);
}

#[test]
fn the_sound_section_of_a_case_is_the_layers_configuration() {
    let silent = with(
        case(),
        "sound",
        json!({"homeostasis": null, "adaptation": null, "spike": {"theta_init": 1.9, "theta_min": 1.8}}),
    );
    let (report, _) = Bench::new(&silent, &[x(5)]).run(Semantics::Sound).unwrap();
    assert_eq!(report.spikes.0, 0);
    let refused = with(case(), "sound", json!({"stdp": {"a_plus": -1.0}}));
    let text = Bench::new(&refused, &[x(5)]).refusal(Semantics::Sound);
    assert!(text.starts_with("FOLD-E0001") && text.contains("stdp.a_plus"), "{text}");
    let refused = with(case(), "sound", json!({"stpd": {}}));
    let text = Bench::new(&refused, &[x(5)]).refusal(Semantics::Sound);
    assert!(text.starts_with("FOLD-E0002") && text.contains("stpd"), "{text}");
    for (key, value) in [
        ("shape", json!({"neurons": 3})),
        ("lines", json!(8)),
        ("seed", json!(5)),
        ("dt_ms", json!(5.0)),
    ] {
        let refused = with(case(), "sound", json!({ key: value }));
        let text = Bench::new(&refused, &[x(5)]).refusal(Semantics::Sound);
        let expected = format!("case: sound.{key} is the case's to say");
        assert!(text.starts_with("FOLD-E0001") && text.contains(&expected), "{text}");
    }
    let refused = with(case(), "sound", json!({"spike": {}, "stdp": {"a_plus": null}}));
    let text = Bench::new(&refused, &[x(5)]).refusal(Semantics::Sound);
    assert!(
        text.starts_with("FOLD-E0001") && text.contains("case: section `stdp` of sound: "),
        "{text}"
    );
}

#[test]
fn what_no_memory_or_number_holds_is_refused_before_it_is_asked_for() {
    let many = with(
        with(case(), "batch", json!(1_000_000_000_000_u64)),
        "program",
        json!([]),
    );
    for semantics in [Semantics::PyFolds102, Semantics::Sound] {
        let none = ("x", Dtype::F32, &[0, 1_000_000_000_000, 2, 4][..], Vec::new());
        let text = Bench::new(&many, &[none]).refusal(semantics);
        assert!(text.contains("the trace would have 32000000000000 bytes"), "{text}");
        let text = Bench::new(&with(case(), "snapshot_every", json!(0)), &[x(5)]).refusal(semantics);
        assert!(text.contains("snapshot_every is 0"), "{text}");
    }
    let row = |dt: f64| json!(["f", null, 0.5, dt, 1]);
    let endless = with(case(), "program", json!([["m", "batch"], row(1.0), row(1e39)]));
    let text = Bench::new(&endless, &[x(5)]).refusal(Semantics::Sound);
    assert!(text.contains("program row 2: a step of 1e39 ms"), "{text}");
}

#[test]
fn a_case_that_cannot_be_is_refused_by_name() {
    let p = Semantics::PyFolds102;
    for (key, value, code, expected) in [
        ("overrides", json!({"i_etta": 1}), "FOLD-E0002", "i_etta"),
        ("overides", json!({}), "FOLD-E0002", "overides"),
        ("overrides", json!({"w_scale": 0}), "FOLD-E0001", "w_scale"),
        ("overrides", json!({"n_max": 1.5}), "FOLD-E0001", "n_max"),
        ("class", json!("Neuron"), "FOLD-E0001", "Neuron"),
        (
            "program",
            json!([["f", null, null, 1.0, 1, 3]]),
            "FOLD-E0001",
            "row 0: 3 samples",
        ),
        ("shape", json!([0, 4]), "FOLD-E0001", "no synapses"),
        (
            "shape",
            json!([3, 4]),
            "FOLD-E0008",
            "x is f32 [5, 2, 2, 4], the case needs f32 [5, 2, 3, 4]",
        ),
    ] {
        let text = Bench::new(&with(case(), key, value), &[x(5)]).refusal(p);
        assert!(text.starts_with(code) && text.contains(expected), "{key}: {text}");
    }
    let text = Bench::new(&case(), &[x(4)]).refusal(p);
    assert!(text.contains("5 forward rows, x has 4 rows"), "{text}");
    assert!(
        Bench::new(&case(), &[x(6)]).run(p).is_ok(),
        "rows that the program does not reach are left"
    );
}

#[test]
fn an_input_that_does_not_fit_is_refused_by_name() {
    let p = Semantics::PyFolds102;
    let text = Bench::new(&case(), &[]).refusal(p);
    assert!(text.starts_with("FOLD-E0008") && text.contains("no array x"), "{text}");
    let text = Bench::new(&case(), &[x(5), ("init.M", Dtype::F32, &[1], floats(&[1.0]))]).refusal(p);
    assert!(text.contains("init") && text.contains('M'), "{text}");
    let text = Bench::new(&case(), &[x(5), ("init.I", Dtype::F32, &[8], floats(&[0.0; 8]))]).refusal(p);
    assert!(text.contains("init.I is f32 [8], the case needs f32 [2, 4]"), "{text}");
    let queued = ("init.queue_len", Dtype::I64, &[1][..], 1_i64.to_le_bytes().to_vec());
    let text = Bench::new(&case(), &[x(5), queued]).refusal(p);
    assert!(text.contains("init.queue_len holds 1"), "{text}");
    let many: Vec<u8> = [40_i32; 8].iter().flat_map(|n| n.to_le_bytes()).collect();
    let text = Bench::new(&case(), &[x(5), ("init.N", Dtype::I32, &[2, 4], many)]).refusal(Semantics::Sound);
    assert!(text.contains("init.N holds 40 at 0"), "{text}");
}

#[test]
fn an_archive_that_is_damaged_is_no_archive() {
    let mut bench = Bench::new(&case(), &[x(5)]);
    let path = bench.path("case.npz");
    let whole = std::fs::read(&path).unwrap();
    for len in [0, 1, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..len]).unwrap();
        let error = bench.run(Semantics::PyFolds102).map(|_| ()).unwrap_err();
        assert_eq!(error.exit(), ExitCode::Damaged, "{len}: {error}");
    }
    let mut flipped = whole;
    flipped[300] ^= 1;
    std::fs::write(&path, &flipped).unwrap();
    assert!(bench.run(Semantics::PyFolds102).is_err());
}

#[test]
fn files_that_are_not_there_and_targets_that_are() {
    let mut bench = Bench::new(&case(), &[x(5)]);
    std::fs::write(bench.path("trace-1.npz"), b"precious").unwrap();
    let error = bench.run(Semantics::PyFolds102).map(|_| ()).unwrap_err();
    assert!(
        error.to_string().starts_with("FOLD-E0003") && error.exit() == ExitCode::Refused,
        "{error}"
    );
    assert_eq!(std::fs::read(bench.path("trace-1.npz")).unwrap(), b"precious");
    std::fs::remove_file(bench.path("case.npz")).unwrap();
    let error = bench.run(Semantics::PyFolds102).map(|_| ()).unwrap_err();
    assert_eq!(error.exit(), ExitCode::Absent, "{error}");
    let request = SimulateRequest {
        config: bench.path("case.json"),
        input: bench.path("case.json"),
        output: Path::new("/nowhere/trace.npz").into(),
        semantics: Semantics::Sound,
        snapshot_every: Some(1),
    };
    assert_eq!(simulate(&request).unwrap_err().exit(), ExitCode::Damaged);
}

/// What PyFolds takes in silently, the sound semantics refuses with its place (defect G3).
#[test]
fn only_the_sound_semantics_refuses_an_input_that_is_no_number() {
    let row = json!(["f", null, 0.5, 1.0, 1]);
    let case = with(case(), "program", json!([row, row, row]));
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let (name, dtype, shape, mut bytes) = x(5);
        bytes[4 * 37..4 * 38].copy_from_slice(&bad.to_le_bytes());
        let mut bench = Bench::new(&case, &[(name, dtype, shape, bytes)]);
        bench.run(Semantics::PyFolds102).unwrap();
        let error = bench.run(Semantics::Sound).map(|_| ()).unwrap_err();
        let text = error.to_string();
        assert!(
            text.starts_with("FOLD-E0008") && text.contains("program row 2: input [0, 5]"),
            "{text}"
        );
        assert_eq!(error.exit(), ExitCode::Usage);
    }
}

/// The values of a trace's array of f32.
fn values(arrays: &[Array<'_>], name: &str) -> Vec<f32> {
    let array = arrays.iter().find(|array| array.name == name).unwrap();
    let floats = array.bytes.chunks_exact(4);
    floats.map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

/// A2: what decays does so by the time that passes, in steps of whatever length.
#[test]
fn a_program_may_change_the_duration_of_its_steps() {
    let silent = |durations: &[f64]| {
        let mut program = vec![json!(["f", null, 0.5, 1.0, 1])];
        program.extend(durations.iter().map(|dt| json!(["f", "inference", null, dt, 0])));
        let (name, dtype, shape, mut bytes) = x(5);
        bytes[64..].fill(0);
        let sound = json!({"refractory": {"absolute_ms": 6.0}, "homeostasis": null, "spike": {"theta_init": 0.06}});
        let case = with(with(case(), "program", json!(program)), "sound", sound);
        bench_trace(&case, &[(name, dtype, shape, bytes)])
    };
    let decaying = [
        "final.stdp.trace_pre",
        "final.short_term.facilitation",
        "final.short_term.depletion",
        "final.three_factor.eligibility",
    ];
    let (even, uneven) = (silent(&[1.0, 1.0, 1.0, 1.0]), silent(&[2.0, 0.5, 1.5]));
    for name in decaying {
        let (even, uneven) = (values(&even, name), values(&uneven, name));
        assert!(even.iter().any(|x| *x != 0.0), "{name} has nothing to decay");
        assert!(
            even.iter().zip(&uneven).all(|(a, b)| (a - b).abs() < 1e-6),
            "{name}: {even:?} {uneven:?}"
        );
    }
    let countdown = |arrays: &[Array<'_>]| {
        let array = arrays.iter().find(|array| array.name == "final.refractory.countdown");
        array.unwrap().bytes[0]
    };
    assert_eq!(
        [silent(&[1.0]), silent(&[0.5]), silent(&[4.0])].map(|trace| countdown(&trace)),
        [5, 11, 1]
    );
}

fn bench_trace(case: &Value, arrays: &[(&str, Dtype, &[u64], Vec<u8>)]) -> Vec<Array<'static>> {
    Bench::new(case, arrays).run(Semantics::Sound).unwrap().1
}

#[test]
fn time_that_does_not_run_forward_is_refused_under_sound_alone() {
    for (row, expected) in [
        (json!(["s", -12.5]), "program row 1: a sleep of -12.5 ms"),
        (json!(["s", 0.0]), "program row 1: a sleep of 0 ms"),
        (
            json!(["f", null, null, -1.0, 1]),
            "program row 1: parameters out of range: dt_ms = -1",
        ),
        (
            json!(["f", null, null, 0.0, 1]),
            "program row 1: parameters out of range: dt_ms = 0",
        ),
    ] {
        let program = json!([["f", null, null, 1.0, 1], row]);
        let mut bench = Bench::new(&with(case(), "program", program), &[x(5)]);
        bench.run(Semantics::PyFolds102).unwrap();
        let error = bench.run(Semantics::Sound).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert_eq!(error.exit(), ExitCode::Usage);
    }
}

#[test]
fn a_step_of_no_samples_is_refused_under_sound_alone() {
    let program = json!([["f", null, null, 1.0, 1, 0]]);
    let mut bench = Bench::new(&with(case(), "program", program), &[x(5)]);
    bench.run(Semantics::PyFolds102).unwrap();
    assert!(
        bench
            .run(Semantics::Sound)
            .map(|_| ())
            .unwrap_err()
            .to_string()
            .contains("no samples")
    );
}

#[test]
fn an_input_beyond_one_event_counts_as_one_under_sound_and_is_reported() {
    let (name, dtype, shape, bytes) = x(5);
    let with = |low: f32, high: f32| {
        let mut bytes = bytes.clone();
        bytes[..4].copy_from_slice(&low.to_le_bytes());
        bytes[4..8].copy_from_slice(&high.to_le_bytes());
        let mut bench = Bench::new(&case(), &[(name, dtype, shape, bytes)]);
        [Semantics::Sound, Semantics::PyFolds102].map(|semantics| bench.run(semantics).unwrap())
    };
    let [(beyond, trace), (other, _)] = with(-3.0, 4.0);
    let [(within, expected), _] = with(0.0, 1.0);
    assert_eq!([beyond, within, other].map(|report| report.inputs_clipped.0), [2, 0, 0]);
    assert!(trace == expected);
}
