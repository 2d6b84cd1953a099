//! What each mechanism of the rule is worth: `cargo run --release -p fold-train --example ablation -- [SEEDS]`.
//!
//! Trains on the digits with one mechanism off at a time and prints the rows of docs/learning/ABLATION.md: mean and sample standard
//! deviation of the held-out accuracies over the seeds.

use std::io::Write as _;

use fold_train::{DataSet, Resume, Silent, TrainConfig, TrainRequest, train};

/// What is off, and the settings that make it so.
const ROWS: [(&str, &str); 7] = [
    ("nothing", "{}"),
    ("homeostasis", r#"{"homeostasis_rate": 0}"#),
    ("heterosynaptic depression", r#"{"heterosynaptic": 0}"#),
    ("competition: all 400 fire", r#"{"winners": 400}"#),
    // u then covers 0.08 of what it did: the steps of theta are made as much smaller.
    (
        "dendritic saturation: g = 0.01",
        r#"{"dendrite_gain": 0.01, "homeostasis_rate": 0.0016}"#,
    ),
    ("decay of the learning rate", r#"{"learning_decay": 1}"#),
    ("sums over a batch: B = 1", r#"{"batch": 1}"#),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let seeds: u64 = std::env::args().nth(1).map_or(Ok(5), |text| text.parse())?;
    let mut out = std::io::stdout();
    writeln!(
        out,
        "| off | spikes | spikes by vote | potentials over five views | silent neurons |\n|---|---|---|---|---|"
    )?;
    for (off, config) in ROWS {
        let folder = tempfile::tempdir()?;
        let request = TrainRequest {
            data: DataSet::named("digits")?,
            out: folder.path().into(),
            config: TrainConfig::from_json(config)?,
            seed: 0,
            more_seeds: (1..seeds).collect(),
            resume: Resume::No,
            retention: None,
            parity: None,
        };
        let outcome = train(&request, &mut Silent)?;
        let (mean, spread) = (outcome.accuracy, outcome.accuracy_spread);
        let silent = outcome.history.last().map_or(0.0, |metrics| metrics.dead_fraction);
        let cell = |mean: f64, spread: f64| format!("{mean:.3} +- {spread:.3}");
        let row = |off: &str, [spikes, vote, potentials]: [String; 3], silent: String| {
            format!("| {off} | {spikes} | {vote} | {potentials} | {silent} |")
        };
        let learned = [
            cell(mean.learned, spread.learned),
            cell(mean.vote, spread.vote),
            cell(mean.potentials, spread.potentials),
        ];
        writeln!(out, "{}", row(off, learned, format!("{:.1} %", 100.0 * silent)))?;
        if config == "{}" {
            let frozen = [
                cell(mean.frozen, spread.frozen),
                "-".to_owned(),
                cell(mean.potentials_frozen, spread.potentials_frozen),
            ];
            writeln!(out, "{}", row("plasticity: the layer as drawn", frozen, "-".to_owned()))?;
        }
    }
    Ok(())
}
