//! The corruption campaign, thinned: every phase runs, nothing is silent, and every planted bug is found.

#![allow(clippy::unwrap_used, reason = "a test that cannot write its table has failed")]

use std::io::Write;

use fold_fuzz_bodies::campaign::crash::{Lie, third_states};
use fold_fuzz_bodies::campaign::twins::{Digests, silent_losses};
use fold_fuzz_bodies::campaign::{Settings, line, run};

#[test]
fn every_phase_runs_and_nothing_is_silent() {
    let mut table = Vec::new();
    let rows = run(&Settings::thin(7), &[], &[], &mut |row| line(&mut table, row)).unwrap();
    let table = String::from_utf8(table).unwrap();
    for row in &rows {
        assert!(row.is_clean() && row.is_complete(), "{table}");
        assert!(row.tally.detected > 0 && row.planned >= 10, "{table}");
    }
    assert!(rows.len() >= 16, "{table}");
    writeln!(std::io::stdout(), "{table}").unwrap();
}

#[test]
fn a_flush_that_is_left_out_shows_as_a_third_state() {
    for lie in Lie::PLANTED {
        let (third, states) = third_states(lie, 5000, 7);
        assert!(third > 0, "{lie}: none of {states}");
    }
    assert_eq!(
        third_states(Lie::FailedSync, 5000, 7).0,
        0,
        "a failure that is told is no lie"
    );
}

#[test]
fn a_digest_inside_its_block_lets_lost_and_misdirected_writes_pass() {
    let (silent, cases) = silent_losses(Digests::Inside, 7);
    assert!(silent > 0, "none of {cases}");
    assert_eq!(silent_losses(Digests::Outside, 7).0, 0, "digests outside are no bug");
}
