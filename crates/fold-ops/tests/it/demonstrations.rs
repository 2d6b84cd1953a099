//! The cases of `docs/numerics/cases` show what `docs/numerics/PYFOLDS-DEFECTS.md` says they show, under both semantics.

use std::path::Path;

use fold_ops::Semantics;
use fold_ops::simulate::{SimulateReport, SimulateRequest, simulate};

fn run(case: &str, semantics: Semantics) -> Result<SimulateReport, fold_ops::Error> {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/numerics/cases");
    let dir = tempfile::tempdir().unwrap();
    simulate(&SimulateRequest {
        config: cases.join(format!("{case}.json")),
        input: cases.join(format!("{case}.npz")),
        output: dir.path().join("trace.npz"),
        semantics,
        snapshot_every: None,
    })
}

fn pyfolds(case: &str) -> SimulateReport {
    run(case, Semantics::PyFolds102).unwrap()
}

fn sound(case: &str) -> SimulateReport {
    run(case, Semantics::Sound).unwrap()
}

/// The smallest and the largest value of an array.
fn range(report: &SimulateReport, array: &str) -> (f64, f64) {
    let found = report.arrays.iter().find(|summary| summary.name == array).unwrap();
    (found.min.unwrap(), found.max.unwrap())
}

fn near(value: f64, expected: f64) {
    assert!(
        (value - expected).abs() < 1e-4 * expected.abs().max(1.0),
        "{value} is not {expected}"
    );
}

#[test]
fn a1_a_thousand_maximal_drives() {
    near(range(&pyfolds("a1"), "snap.I").1, 0.0381);
    assert_eq!(range(&pyfolds("a1"), "final.N"), (10.0, 10.0));
    assert_eq!(range(&sound("a1"), "final.filaments"), (19.0, 19.0));
}

#[test]
fn a3_a_reward_after_the_pairing() {
    assert_eq!(range(&pyfolds("a3"), "final.I"), (0.0, 0.0));
    assert!(range(&sound("a3"), "final.internal").0 > 0.01);
}

#[test]
fn a10_the_same_learning_with_shorter_and_longer_waits_for_sleep() {
    let gained = |case| range(&pyfolds(case), "final.N").1 - 10.0;
    assert_eq!(["a10-200", "a10-250"].map(gained), [0.0, 8.0]);
    let gained = |case| range(&sound(case), "final.filaments").1 - 10.0;
    assert_eq!(["a10-200", "a10-250"].map(gained), [19.0, 19.0]);
}

#[test]
fn b1_a_synapse_without_input() {
    // Its drive is the same as that of its neighbours, which do have input.
    let (low, high) = range(&pyfolds("b1"), "final.I");
    assert!(low == high && low < -1.6, "{low} {high}");
    let report = sound("b1");
    assert_eq!(range(&report, "final.internal").0, 0.0);
    assert_eq!(range(&report, "final.filaments"), (10.0, 11.0));
}

#[test]
fn d3_a_refractory_period_of_two_steps() {
    let report = pyfolds("d3");
    assert_eq!((report.spikes.0, range(&report, "step.refrac_blocked").1), (120, 1.0));
    assert_eq!(sound("d3").spikes.0, 40);
}

#[test]
fn e1_no_input() {
    let report = pyfolds("e1");
    assert_eq!(report.spikes.0, 500);
    assert!(range(&report, "step.u").0 > 6.3);
    let report = sound("e1");
    assert_eq!((report.spikes.0, range(&report, "step.u")), (0, (0.0, 0.0)));
}

#[test]
fn g1_a_steady_drive() {
    let report = pyfolds("g1");
    assert_eq!(report.spikes.0, 6);
    near(range(&report, "final.homeo").0, 0.4385);
    assert!(sound("g1").spikes.0 > 100);
}

#[test]
fn g3_not_a_number() {
    let report = pyfolds("g3");
    let gathered = report
        .arrays
        .iter()
        .find(|summary| summary.name == "final.acc_x")
        .unwrap();
    assert_eq!(gathered.non_finite.0, 1);
    let text = run("g3", Semantics::Sound).unwrap_err().to_string();
    assert!(text.contains("program row 1: input [0, 0] is NaN"), "{text}");
}

#[test]
fn g5_one_batch_in_two_modes() {
    let learned = |case| range(&pyfolds(case), "final.I").0;
    near(learned("g5-online") / learned("g5-batch"), 2.0);
    let learned = |case| range(&sound(case), "final.internal").0;
    assert!(learned("g5-online") > 0.0);
    assert_eq!(learned("g5-online"), learned("g5-batch"));
}

#[test]
fn every_case_is_run_here() {
    let cases = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/numerics/cases");
    let text = include_str!("demonstrations.rs");
    let mut count = 0;
    for entry in std::fs::read_dir(cases).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert!(text.contains(&format!("\"{name}\"")), "{name}");
            count += 1;
        }
    }
    assert_eq!(count, 11);
}
