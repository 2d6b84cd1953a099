//! The fault model against the tests that prove it: run, and written into `docs/format/INTEGRITY.md`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};

use crate::evidence::{cargo, must};

const PAGE: &str = "docs/format/INTEGRITY.md";
const BEGIN: &str = "<!-- fault table: begin -->\n";
const END: &str = "<!-- fault table: end -->";

/// What can happen, what is promised then, and the tests of fold-format that prove it.
const FAULTS: &[(&str, &str, &[&str])] = &[
    (
        "any one bit is flipped, anywhere",
        "noticed, located, never handed out; with parity restored",
        &[
            "flips::every_bit_is_noticed_and_located_and_intact_tensors_are_read",
            "forms::damage_in_any_form_is_noticed_located_and_never_handed_out",
            "forms::with_parity_every_flipped_byte_comes_back",
        ],
    ),
    (
        "sectors or bursts are lost",
        "no more is lost than the blocks they lie on; the metadata survive",
        &[
            "flips::one_lost_sector_costs_no_more_than_its_block",
            "flips::any_burst_that_spares_one_copy_of_the_metadata_leaves_every_intact_tensor",
            "flips::two_damaged_copies_make_a_whole_one_while_no_sector_is_damaged_in_both",
        ],
    ),
    (
        "blocks are swapped, or of an older generation; the first page is an older file's",
        "noticed although their bytes are whole; the other superblock is used",
        &[
            "flips::swapped_and_stale_blocks_are_caught_although_their_bytes_are_whole",
            "flips::a_superblock_of_an_older_file_is_not_believed",
        ],
    ),
    (
        "as many blocks are lost as there is parity; one more",
        "restored byte for byte; refused, and nothing written",
        &[
            "forms::as_many_blocks_as_parity_has_come_back_and_one_more_is_refused",
            "forms::a_lost_tail_with_all_parity_and_one_copy_of_the_metadata_comes_back",
        ],
    ),
    (
        "the file is cut, or something follows it",
        "noticed; what is left is read and salvaged",
        &[
            "flips::every_truncation_is_noticed_and_what_is_left_is_read",
            "flips::appended_junk_is_noticed_and_located",
            "salvaged::of_a_file_cut_anywhere_the_chunks_before_the_cut_are_there",
        ],
    ),
    (
        "all metadata are lost",
        "every intact chunk is salvaged, no damaged byte as good",
        &[
            "salvaged::without_any_metadata_everything_is_still_there",
            "salvaged::a_damaged_byte_is_never_handed_out_and_costs_no_more_than_it_must",
        ],
    ),
    (
        "the power fails, or the process is killed, at any call",
        "the old file or the new one; the new one once the call has returned",
        &[
            "crash::a_power_cut_at_any_moment_leaves_the_old_file_or_the_new_one",
            "crash::the_checker_finds_the_third_state_when_a_flush_is_left_out",
            "crash::a_second_flush_after_a_failed_one_is_never_tried",
        ],
    ),
    (
        "a call of the system fails: EIO, ENOSPC, EDQUOT, EINTR, EMFILE, EROFS, short",
        "a typed error that names call and path; the old file intact, no temporary file left unsaid",
        &[
            "faults::any_failing_call_of_a_save_leaves_the_old_file_and_says_what_failed",
            "faults::any_failing_read_is_an_error_or_got_around",
            "faults::a_verification_goes_on_behind_a_block_that_cannot_be_read",
        ],
    ),
    (
        "a file is made to mislead, its digests right",
        "a typed error, bounded time and memory, no panic",
        &[
            "hostile::index_headers",
            "hostile::chunk_records",
            "hostile::tensor_records",
            "hostile::random_changes_with_right_digests_never_panic_and_are_never_silent",
            "hostile::limits_are_kept_and_can_be_raised",
            "work::damage_in_every_block_of_a_compressed_chunk_is_located_in_one_pass",
            "work::a_file_of_many_chunks_without_metadata_is_gone_through_once",
        ],
    ),
    (
        "a signed file is changed, stripped of its signature, or signed by somebody else",
        "refused where the key is asked for",
        &[
            "signed::only_the_signer_s_file_is_trusted",
            "signed::every_bit_of_a_signature_counts_and_a_stripped_one_is_noticed",
        ],
    ),
    (
        "a file is replaced or cut while it is open",
        "the old file is read on, or an error",
        &["partial::an_open_file_that_is_replaced_stays_what_it_was_and_one_that_shrinks_is_noticed"],
    ),
];

/// Runs the tests and writes the table; fails where a test is missing or red.
pub(crate) fn write(root: &Path, out: &mut impl Write) -> anyhow::Result<()> {
    let (stdout, _) = must(&mut cargo(root, &["test", "--package", "fold-format", "--test", "it"]))?;
    let results: BTreeMap<&str, &str> = stdout
        .lines()
        .filter_map(|line| line.strip_prefix("test ")?.split_once(" ... "))
        .collect();
    let mut table = String::from("\n| what happens | what is promised | proved by |\n|---|---|---|\n");
    for (fault, promise, tests) in FAULTS {
        for test in *tests {
            match results.get(test) {
                Some(&"ok") => {}
                Some(result) => bail!("{test}: {result}"),
                None => bail!("{PAGE}: there is no test {test}"),
            }
        }
        let tests = tests.iter().map(|test| format!("`{test}`")).collect::<Vec<_>>();
        table += &format!("| {fault} | {promise} | {} |\n", tests.join(", "));
    }
    table.push('\n');
    let path = root.join(PAGE);
    let page = std::fs::read_to_string(&path).with_context(|| format!("cannot read {PAGE}"))?;
    let (before, rest) = page
        .split_once(BEGIN)
        .with_context(|| format!("{PAGE} has no {BEGIN:?}"))?;
    let (_, after) = rest.split_once(END).with_context(|| format!("{PAGE} has no {END:?}"))?;
    let written = format!("{before}{BEGIN}{table}{END}{after}");
    let changed = written != page;
    if changed {
        std::fs::write(&path, written).with_context(|| format!("cannot write {PAGE}"))?;
    }
    let state = if changed { "written" } else { "up to date" };
    writeln!(out, "{PAGE}: {} faults, every test passed, {state}", FAULTS.len())?;
    Ok(())
}
