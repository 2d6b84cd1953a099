//! The parameter tables in docs/numerics are those of the code.

use std::path::Path;

use fold_advanced::adaptation::AdaptationParams;
use fold_advanced::bap::BapParams;
use fold_advanced::consolidation::ConsolidationParams;
use fold_advanced::feedback::FeedbackParams;
use fold_advanced::homeostasis::HomeostasisParams;
use fold_advanced::inhibition::InhibitionParams;
use fold_advanced::neuromodulation::NeuromodulationParams;
use fold_advanced::pruning::PruningParams;
use fold_advanced::refractory::RefractoryParams;
use fold_advanced::short_term::ShortTermParams;
use fold_advanced::stdp::StdpParams;
use fold_core::health::HealthParams;
use fold_core::params::{DendriteParams, FilamentParams, Parameter, SpikeParams, markdown};
use fold_core::three_factor::ThreeFactorParams;

pub(crate) const PAGES: [(&str, &[Parameter]); 16] = [
    ("filaments.md", FilamentParams::TABLE),
    ("dendrite.md", DendriteParams::TABLE),
    ("spike.md", SpikeParams::TABLE),
    ("three_factor.md", ThreeFactorParams::TABLE),
    ("health.md", HealthParams::TABLE),
    ("stdp.md", StdpParams::TABLE),
    ("homeostasis.md", HomeostasisParams::TABLE),
    ("refractory.md", RefractoryParams::TABLE),
    ("inhibition.md", InhibitionParams::TABLE),
    ("short_term.md", ShortTermParams::TABLE),
    ("bap.md", BapParams::TABLE),
    ("neuromodulation.md", NeuromodulationParams::TABLE),
    ("consolidation.md", ConsolidationParams::TABLE),
    ("pruning.md", PruningParams::TABLE),
    ("adaptation.md", AdaptationParams::TABLE),
    ("feedback.md", FeedbackParams::TABLE),
];

#[test]
fn every_page_prints_the_table_of_the_code_and_the_index_names_every_page() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/numerics");
    let index = std::fs::read_to_string(folder.join("README.md")).unwrap();
    for (page, table) in PAGES {
        let text = std::fs::read_to_string(folder.join(page)).unwrap_or_default();
        let expected = markdown(table);
        assert!(
            text.contains(&expected),
            "docs/numerics/{page} must contain\n{expected}"
        );
        assert!(
            index.contains(&format!("({page})")),
            "docs/numerics/README.md must link {page}"
        );
    }
}
