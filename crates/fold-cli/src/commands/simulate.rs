//! `fold simulate`: a neuron replayed over an input; what came out of it, and where the trace is.

use std::fmt::Write as _;

use fold_ops::simulate::{SimulateReport, SimulateRequest, simulate};
use fold_ops::{Escaped, ExitCode};

use crate::arguments::{Global, Simulate};
use crate::failure::Failure;
use crate::output::Output;

pub(crate) fn run(arguments: &Simulate, global: &Global, output: &mut Output) -> Result<ExitCode, Failure> {
    let report = simulate(&SimulateRequest {
        config: arguments.config.clone(),
        input: arguments.input.clone(),
        output: arguments.output.clone(),
        semantics: arguments.semantics,
        snapshot_every: arguments.snapshot_every,
    })?;
    if global.json {
        output.json(&report)?;
    } else {
        output.text(&rendered(&report))?;
    }
    Ok(report.exit_code)
}

fn rendered(report: &SimulateReport) -> String {
    let mut text = format!(
        "{} steps of {} samples under {}: {} spikes, {} snapshots, {} arrays in {}\n",
        report.steps.0,
        report.batch.0,
        report.semantics,
        report.spikes.0,
        report.snapshots.0,
        report.arrays.len(),
        Escaped(&report.output.to_string_lossy())
    );
    if report.inputs_clipped.0 > 0 {
        let _ = writeln!(
            text,
            "{} values of x were outside of [0, 1] and count as 0 or 1",
            report.inputs_clipped.0
        );
    }
    if !report.not_applied.is_empty() {
        let names: Vec<String> = report
            .not_applied
            .iter()
            .map(|name| Escaped(name).to_string())
            .collect();
        let _ = writeln!(
            text,
            "without meaning under {} and not applied: {}",
            report.semantics,
            names.join(", ")
        );
    }
    text
}
