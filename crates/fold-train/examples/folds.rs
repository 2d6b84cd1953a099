//! Choosing settings without the held-out images: `cargo run --release -p fold-train --example folds -- [CONFIG]...`
//!
//! Each CONFIG is a JSON object of settings that differ from the default. The training part is cut into five contiguous folds
//! (240 images each, so mostly other writers); each is held out once. Prints mean and spread of the accuracies over the folds.

use std::io::Write as _;

use fold_train::{Accuracies, DataSet, Resume, Silent, TrainConfig, TrainRequest, train};

const FOLDS: usize = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let data = DataSet::named("digits")?.train;
    let len = data.count() / FOLDS;
    let mut configs: Vec<String> = std::env::args().skip(1).collect();
    if configs.is_empty() {
        configs.push("{}".to_owned());
    }
    for text in configs {
        let config = TrainConfig::from_json(&text)?;
        let mut all = Vec::new();
        for fold in 0..FOLDS {
            let before = data.slice(0, fold * len);
            let after = data.slice((fold + 1) * len, data.count());
            let out = tempfile::tempdir()?;
            let request = TrainRequest {
                data: DataSet {
                    train: before.followed_by(&after).ok_or("parts of one set")?,
                    test: data.slice(fold * len, (fold + 1) * len),
                    ..DataSet::named("digits")?
                },
                out: out.path().into(),
                config,
                seed: fold as u64,
                more_seeds: vec![fold as u64 + 100],
                resume: Resume::No,
                retention: None,
                parity: None,
            };
            all.push(train(&request, &mut Silent)?.accuracy);
        }
        let (mean, spread) = (Accuracies::mean(&all), Accuracies::spread(&all));
        writeln!(
            std::io::stdout(),
            "learned {:.4} +- {:.4}  frozen {:.4}  vote {:.4}  potentials {:.4} +- {:.4}  frozen {:.4}  random {:.4}  kmeans {:.4}  \
             neighbours {:.4}  pixels {:.4}  {text}",
            mean.learned,
            spread.learned,
            mean.frozen,
            mean.vote,
            mean.potentials,
            spread.potentials,
            mean.potentials_frozen,
            mean.random_features,
            mean.kmeans_features,
            mean.nearest_neighbours,
            mean.ridge_pixels
        )?;
    }
    Ok(())
}
