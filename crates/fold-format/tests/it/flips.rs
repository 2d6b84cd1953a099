//! Every bit, every truncation, every kind of junk: noticed, located, and the rest still read.

use fold_format::{
    Checkpoint, Class, Code, Content, Depth, Finding, OpenMode, OpenOptions, Region, Verdict, VerifyOptions,
    verify_source,
};

use crate::content::{Layout, check, file, layouts, noise, open, options};

/// Whether one finding covers every byte of `changed`.
fn covers(findings: &[Finding], changed: std::ops::Range<u64>) -> bool {
    findings
        .iter()
        .any(|finding| finding.byte_range.start <= changed.start && changed.end <= finding.byte_range.end)
}

/// Reads every tensor: those that no damaged byte shares a block with are as saved, no other is ever handed out wrong.
/// Returns how many were refused.
fn read_all(opened: &Checkpoint<&[u8]>, layout: &Layout) -> usize {
    let mut refused = 0;
    for (name, expected) in &layout.tensors {
        match opened.tensor(name) {
            Ok(tensor) => assert_eq!(tensor.as_bytes(), expected, "{}: {name}", layout.name),
            Err(error) => {
                assert!(matches!(error.code(), Code::BlockDigest | Code::WrongLength), "{error}");
                refused += 1;
            }
        }
    }
    refused
}

#[test]
fn every_bit_is_noticed_and_located_and_intact_tensors_are_read() {
    for layout in layouts() {
        let opened = open(&layout.bytes).unwrap();
        let block_of = |at: u64| {
            let inside = opened.chunks().find(|chunk| {
                let padded = chunk.stored_bytes.next_multiple_of(4096);
                (chunk.offset..chunk.offset + padded).contains(&at)
            });
            inside.map(|chunk| chunk.first_block + (at - chunk.offset) / opened.info().block_bytes)
        };
        let mut bytes = layout.bytes.clone();
        for at in 0..bytes.len() {
            // All eight bits of everything in one layout; in the others one bit, moving, where zeros or content stretch.
            let content = block_of(at as u64);
            let stretch = content.is_some() || layout.bytes[at.saturating_sub(8)..=at].iter().all(|&byte| byte == 0);
            let bits = if stretch && layout.name != "one tensor" {
                at % 8..at % 8 + 1
            } else {
                0..8
            };
            for bit in bits {
                bytes[at] ^= 1 << bit;
                let report = check(&bytes);
                let findings = &report.findings;
                let context = || format!("{}: byte {at}, bit {bit}: {findings:?}", layout.name);
                assert_eq!(findings.len(), 1, "{}", context());
                let finding = &findings[0];
                assert_eq!(finding.class(), Class::Damaged, "{}", context());
                assert!(covers(findings, at as u64..at as u64 + 1), "{}", context());
                assert_eq!(finding.block, content, "{}", context());
                let len = finding.byte_range.end - finding.byte_range.start;
                match content {
                    Some(_) => {
                        assert_eq!((finding.code(), report.verdict), (Code::BlockDigest, Verdict::Damaged));
                        assert!(
                            len <= opened.info().block_bytes && finding.chunk.is_some(),
                            "{}",
                            context()
                        );
                        assert_eq!(report.blocks_bad, 1);
                    }
                    None => {
                        assert_eq!(len, 1, "metadata are located to the byte: {}", context());
                        assert_eq!(report.verdict, Verdict::Corrected, "{}", context());
                        assert!(finding.repairable);
                    }
                }
                // Opening gets around damaged metadata; of the tensors only those on the damaged block are refused.
                let damaged = open(&bytes).unwrap();
                let refused = read_all(&damaged, &layout);
                assert_eq!(refused, report.damaged_tensors.len(), "{}", context());
                if matches!(finding.region, Region::SuperblockA | Region::Index1 | Region::Digests1) {
                    assert_eq!(damaged.findings(), findings, "what opening got around is said");
                } else {
                    assert!(damaged.findings().is_empty());
                }
                bytes[at] ^= 1 << bit;
            }
        }
        assert_eq!(bytes, layout.bytes);
    }
}

#[test]
fn every_truncation_is_noticed_and_what_is_left_is_read() {
    for layout in layouts() {
        let full = layout.bytes.len();
        for len in 0..full {
            let cut = &layout.bytes[..len];
            let report = check(cut);
            let context = || format!("{}: {len} of {full}: {:?}", layout.name, report.findings);
            assert!(
                !matches!(report.verdict, Verdict::Ok | Verdict::StructureOk | Verdict::HeaderOk),
                "{}",
                context()
            );
            if len >= 4096 {
                assert!(covers(&report.findings, len as u64..full as u64), "{}", context());
            }
            let error = open(cut).unwrap_err();
            let expected = if len == 0 {
                Code::NotContainer
            } else {
                Code::WrongLength
            };
            assert_eq!(error.code(), expected, "{}: {len}: {error}", layout.name);
            // With superblock A, an index and a digest table in front, everything before the cut is still there.
            if let Ok(opened) = Checkpoint::open_source(cut, &OpenOptions::new().mode(OpenMode::Degraded)) {
                assert_eq!(opened.findings()[0].code(), Code::WrongLength);
                let refused = read_all(&opened, &layout);
                assert_eq!(refused, report.damaged_tensors.len(), "{}", context());
            } else {
                assert!(len < 12288 || report.verdict == Verdict::Unreadable, "{}", context());
            }
        }
    }
}

#[test]
fn a_file_that_lost_its_tail_still_reads_what_is_before_the_cut() {
    let layouts = layouts();
    let layout = layouts
        .iter()
        .find(|layout| layout.name == "tensors over several small blocks")
        .unwrap();
    let opened = open(&layout.bytes).unwrap();
    let last = opened.tensor_info("d").unwrap();
    let cut = &layout.bytes[..last.offset as usize];
    let degraded = Checkpoint::open_source(cut, &OpenOptions::new().mode(OpenMode::Degraded)).unwrap();
    assert_eq!(
        degraded.tensor("a").map(|tensor| tensor.as_bytes().len()).unwrap_or(0),
        0,
        "its block is cut"
    );
    assert_eq!(degraded.tensor("d").unwrap_err().code(), Code::WrongLength);
    let page = last.offset.next_multiple_of(4096) as usize;
    let degraded =
        Checkpoint::open_source(&layout.bytes[..page], &OpenOptions::new().mode(OpenMode::Degraded)).unwrap();
    assert_eq!(degraded.tensor("a").unwrap().as_bytes(), layout.tensors[0].1);
}

#[test]
fn appended_junk_is_noticed_and_located() {
    for layout in layouts() {
        let full = layout.bytes.len() as u64;
        for len in (1..=4096).step_by(97).chain([512, 4096, 100_000]) {
            for junk in [noise(len as u64, len), vec![0; len]] {
                let mut bytes = layout.bytes.clone();
                bytes.extend_from_slice(&junk);
                let report = check(&bytes);
                assert_eq!(report.findings.len(), 1);
                assert_eq!(report.findings[0].byte_range, full..full + len as u64);
                assert_eq!(report.findings[0].code(), Code::WrongLength);
                assert_ne!(report.verdict, Verdict::Ok);
                assert_eq!(open(&bytes).unwrap_err().code(), Code::WrongLength);
            }
        }
    }
}

#[test]
fn one_lost_sector_costs_no_more_than_its_block() {
    for layout in layouts() {
        for sector in 0..layout.bytes.len() / 512 {
            for filler in [&[0_u8; 512][..], &[0xff; 512], &noise(9, 512)] {
                let mut bytes = layout.bytes.clone();
                let range = sector * 512..sector * 512 + 512;
                bytes[range.clone()].copy_from_slice(filler);
                if bytes == layout.bytes {
                    continue;
                }
                let report = check(&bytes);
                let mut changed = range.filter(|&at| bytes[at] != layout.bytes[at]).map(|at| at as u64);
                assert!(
                    changed.all(|at| covers(&report.findings, at..at + 1)),
                    "{}: sector {sector}",
                    layout.name
                );
                assert!(report.blocks_bad <= 1 && report.findings.len() <= 3);
                assert_eq!(read_all(&open(&bytes).unwrap(), &layout), report.damaged_tensors.len());
            }
        }
    }
}

#[test]
fn any_burst_that_spares_one_copy_of_the_metadata_leaves_every_intact_tensor() {
    let layouts = layouts();
    let layout = layouts.iter().find(|layout| layout.name == "every kind").unwrap();
    let opened = open(&layout.bytes).unwrap();
    let first = opened.chunks().next().unwrap().offset as usize - 4096;
    let mut head = layout.bytes.clone();
    head[..first].fill(0xaa);
    let report = check(&head);
    assert_eq!(report.verdict, Verdict::Corrected, "{:?}", report.findings);
    assert_eq!(read_all(&open(&head).unwrap(), layout), 0);

    let state = opened.chunks().last().unwrap();
    let tail = (state.offset + 4096) as usize;
    let mut bytes = layout.bytes.clone();
    bytes[tail..].fill(0x55);
    assert_eq!(check(&bytes).verdict, Verdict::Corrected);
    assert_eq!(read_all(&open(&bytes).unwrap(), layout), 0);
}

#[test]
fn swapped_and_stale_blocks_are_caught_although_their_bytes_are_whole() {
    let layouts = layouts();
    let layout = layouts
        .iter()
        .find(|layout| layout.name == "tensors over several small blocks")
        .unwrap();
    let opened = open(&layout.bytes).unwrap();
    let start = opened.chunk_info("state").unwrap().offset as usize;
    let mut bytes = layout.bytes.clone();
    let (one, other) = bytes[start..start + 8192].split_at_mut(4096);
    one.swap_with_slice(other);
    let report = check(&bytes);
    assert_eq!(
        report.findings.iter().map(|finding| finding.block).collect::<Vec<_>>(),
        [Some(0), Some(1)]
    );
    assert_eq!(report.blocks_bad, 2);
}

#[test]
fn a_superblock_of_an_older_file_is_not_believed() {
    let layouts = layouts();
    let layout = layouts.iter().find(|layout| layout.name == "every kind").unwrap();
    // Of the same length and another content, of another length, and of another time and uuid.
    let older = [
        file(&Content::new().bytes("x", &noise(1, 9000)), &options()),
        file(&Content::new(), &options()),
        file(
            &Content::new().bytes("x", b"y"),
            &options().uuid([3; 16]).created_unix_ns(5),
        ),
    ];
    for older in older {
        let mut bytes = layout.bytes.clone();
        bytes[..4096].copy_from_slice(&older[..4096]);
        let report = check(&bytes);
        assert_eq!(report.verdict, Verdict::Corrected, "{:?}", report.findings);
        assert_eq!(report.findings.len(), 1);
        assert_eq!(
            (report.findings[0].code(), report.findings[0].region),
            (Code::CopiesDiffer, Region::SuperblockA)
        );
        let opened = open(&bytes).unwrap();
        assert_eq!(opened.findings(), report.findings);
        assert_eq!(read_all(&opened, layout), 0);
    }
}

#[test]
fn a_shallow_check_does_not_speak_for_the_content() {
    let layouts = layouts();
    let layout = layouts.iter().find(|layout| layout.name == "every kind").unwrap();
    let at = open(&layout.bytes).unwrap().tensor_info("w").unwrap().offset as usize;
    let mut bytes = layout.bytes.clone();
    bytes[at] ^= 1;
    let verdict = |depth| verify_source(&bytes[..], depth, VerifyOptions::new()).unwrap().verdict;
    assert_eq!(verdict(Depth::Superblock), Verdict::HeaderOk);
    assert_eq!(verdict(Depth::Index), Verdict::StructureOk);
    assert_eq!(verdict(Depth::Chunk("more")), Verdict::StructureOk);
    assert_eq!(verdict(Depth::Tensor("v")), Verdict::StructureOk);
    assert_eq!(verdict(Depth::Tensor("w")), Verdict::Damaged);
    assert_eq!(verdict(Depth::Chunk("state")), Verdict::Damaged);
    assert_eq!(verdict(Depth::All), Verdict::Damaged);
}

#[test]
fn findings_beyond_the_limit_are_counted() {
    let layouts = layouts();
    let layout = layouts
        .iter()
        .find(|layout| layout.name == "tensors over several small blocks")
        .unwrap();
    let mut bytes = layout.bytes.clone();
    let start = open(&bytes).unwrap().chunk_info("state").unwrap().offset as usize;
    (0..3).for_each(|block| bytes[start + block * 4096] ^= 1);
    let report = verify_source(&bytes[..], Depth::All, VerifyOptions::new().max_findings(1)).unwrap();
    assert_eq!(
        (report.findings.len(), report.findings_total, report.blocks_bad),
        (1, 3, 3)
    );
    assert_eq!(report.damaged_tensors, ["a", "b", "d"].map(Into::into));
    assert_eq!(report.findings[0].tensor.as_deref(), Some("a"));
}

#[test]
fn a_cut_right_behind_a_chunk_costs_it_nothing() {
    let data = noise(1, 4096);
    let bytes = file(&Content::new().bytes("x", &data), &options());
    let chunk = open(&bytes).unwrap().chunk_info("x").unwrap().offset as usize;
    let read = |len: usize| {
        let opened = Checkpoint::open_source(&bytes[..len], &OpenOptions::new().mode(OpenMode::Degraded)).unwrap();
        opened.chunk("x").map_err(|error| error.code())
    };
    assert_eq!(read(chunk + 4096).unwrap(), data);
    assert_eq!(read(chunk + 4095).unwrap_err(), Code::WrongLength);
    assert_eq!(
        check(&bytes[..chunk + 4096]).verdict,
        Verdict::Corrected,
        "only second copies are missing"
    );
    assert_eq!(check(&bytes[..chunk + 4095]).verdict, Verdict::Damaged);
}

#[test]
fn two_damaged_copies_make_a_whole_one_while_no_sector_is_damaged_in_both() {
    let layouts = layouts();
    let layout = layouts.iter().find(|layout| layout.name == "every kind").unwrap();
    let field = |at: usize| u64::from_le_bytes(layout.bytes[at..at + 8].try_into().unwrap()) as usize;
    // index_offset, index_mirror_offset and index_len of SPEC.md, section 2.
    let (first, second, len) = (field(96), field(104), field(112));
    assert!(len > 1024, "three sectors are needed");
    let mut bytes = layout.bytes.clone();
    bytes[first + 3] ^= 1;
    bytes[first + len - 1] ^= 0x80;
    bytes[second + 600] ^= 4;
    let report = check(&bytes);
    assert_eq!(report.verdict, Verdict::Corrected, "{:?}", report.findings);
    let ranges = report.findings.iter().map(|finding| finding.byte_range.clone());
    let expected = [first + 3..first + len, second + 600..second + 601];
    assert_eq!(
        ranges.collect::<Vec<_>>(),
        expected.map(|range| range.start as u64..range.end as u64)
    );
    let opened = open(&bytes).unwrap();
    assert_eq!(opened.findings(), report.findings);
    assert_eq!(read_all(&opened, layout), 0);

    bytes[second + 3] ^= 2;
    let report = check(&bytes);
    assert_eq!(report.verdict, Verdict::Unreadable, "both copies lost the first sector");
    assert_eq!(open(&bytes).unwrap_err().code(), Code::IndexDigest);
}
