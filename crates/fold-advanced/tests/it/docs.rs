//! The parameter tables in docs/numerics are those of the code.

use std::path::Path;

use fold_advanced::homeostasis::HomeostasisParams;
use fold_advanced::inhibition::InhibitionParams;
use fold_advanced::refractory::RefractoryParams;
use fold_advanced::stdp::StdpParams;
use fold_core::health::HealthParams;
use fold_core::params::{DendriteParams, FilamentParams, Parameter, SpikeParams, markdown};
use fold_core::three_factor::ThreeFactorParams;

const PAGES: [(&str, &[Parameter]); 9] = [
    ("filaments.md", FilamentParams::TABLE),
    ("dendrite.md", DendriteParams::TABLE),
    ("spike.md", SpikeParams::TABLE),
    ("three_factor.md", ThreeFactorParams::TABLE),
    ("health.md", HealthParams::TABLE),
    ("stdp.md", StdpParams::TABLE),
    ("homeostasis.md", HomeostasisParams::TABLE),
    ("refractory.md", RefractoryParams::TABLE),
    ("inhibition.md", InhibitionParams::TABLE),
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
