//! Salvage: everything that is intact, nothing that is not, also where the metadata are gone.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use fold_format::{Code, Error, Limits, Salvage, Salvaged, salvage};

use crate::content::{Layout, layouts_of_forms, open};

/// What a salvage hands out: names and bytes.
fn taken(bytes: &[u8]) -> (Result<Salvage, Code>, BTreeMap<String, Vec<u8>>) {
    let mut taken = BTreeMap::new();
    let salvage = salvage::<[u8], Error>(bytes, &Limits::DEFAULT, &|| ControlFlow::Continue(()), &mut |item| {
        let (name, bytes) = match item {
            Salvaged::Tensor { name, tensor, .. } => (name, tensor.as_bytes()),
            Salvaged::Chunk { name, bytes, .. } => (name, bytes),
            _ => unreachable!(),
        };
        assert!(taken.insert(name.to_owned(), bytes.to_vec()).is_none(), "{name} twice");
        Ok(())
    });
    (salvage.map_err(|error| error.code()), taken)
}

fn expected(layout: &Layout) -> BTreeMap<String, Vec<u8>> {
    let mut expected = layout.tensors.iter().cloned().collect::<BTreeMap<_, _>>();
    expected.insert("history".into(), b"[1, 2, 3]".to_vec());
    expected
}

/// Overwrites the metadata at the offset and length fields given, both copies.
fn without(layout: &Layout, regions: &[(usize, usize)], superblocks: bool) -> Vec<u8> {
    let mut bytes = layout.bytes.clone();
    let field = |at: usize| u64::from_le_bytes(layout.bytes[at..at + 8].try_into().unwrap()) as usize;
    for (offset, len) in regions {
        bytes[field(*offset)..][..field(*len)].fill(0xa5);
    }
    if superblocks {
        let end = bytes.len() - 4096;
        bytes[..4096].fill(0xa5);
        bytes[end..].fill(0xa5);
    }
    bytes
}

const INDEXES: [(usize, usize); 2] = [(96, 112), (104, 112)];
const TABLES: [(usize, usize); 2] = [(120, 136), (128, 136)];

#[test]
fn without_any_metadata_everything_is_still_there() {
    for layout in layouts_of_forms() {
        let everything = [INDEXES, TABLES].concat();
        for (what, regions, superblocks) in [
            ("indexes", &INDEXES[..], false),
            ("tables", &TABLES[..], false),
            ("indexes and tables", &everything, false),
            ("superblocks", &[], true),
            ("all metadata", &everything, true),
        ] {
            let (salvage, taken) = taken(&without(&layout, regions, superblocks));
            let salvage = salvage.unwrap();
            assert!(taken == expected(&layout), "{}: {what}: {salvage:?}", layout.name);
            assert!(salvage.carved && !salvage.is_complete(), "{}: {what}", layout.name);
            assert_eq!(salvage.tensors_lost.len() + salvage.chunks_lost.len(), 0);
        }
    }
}

#[test]
fn a_damaged_byte_is_never_handed_out_and_costs_no_more_than_it_must() {
    for layout in layouts_of_forms() {
        let expected = expected(&layout);
        let damage = [
            without(&layout, &[], false),
            without(&layout, &INDEXES, false),
            without(&layout, &INDEXES, true),
        ];
        for (state, mut bytes) in damage.into_iter().enumerate() {
            for at in (0..bytes.len()).step_by(97) {
                bytes[at] ^= 0x10;
                let (salvage, taken) = taken(&bytes);
                let salvage = salvage.unwrap();
                for (name, bytes) in &taken {
                    // Of a chunk whose directory is damaged, the stored bytes may be handed out under the chunk's name.
                    let raw = name == "state" && !salvage.chunks_lost.is_empty();
                    assert!(
                        raw || expected.get(name) == Some(bytes),
                        "{}: byte {at}: {name}",
                        layout.name
                    );
                }
                let missing = expected.keys().filter(|name| !taken.contains_key(*name)).count();
                let told = salvage.tensors_lost.len() + salvage.chunks_lost.len();
                assert!(missing == 0 || told > 0 || salvage.carved, "{}: byte {at}", layout.name);
                if state == 0 && !salvage.carved {
                    assert_eq!(missing, told, "{}: byte {at}: {salvage:?}", layout.name);
                }
                bytes[at] ^= 0x10;
            }
        }
    }
}

#[test]
fn of_a_file_cut_anywhere_the_chunks_before_the_cut_are_there() {
    for layout in layouts_of_forms() {
        let expected = expected(&layout);
        let opened = open(&layout.bytes).unwrap();
        let ends = opened
            .chunks()
            .map(|chunk| {
                (
                    chunk.name.to_owned(),
                    (chunk.offset + chunk.stored_bytes).next_multiple_of(4096),
                )
            })
            .collect::<Vec<_>>();
        for cut in (0..layout.bytes.len()).step_by(509) {
            let (salvage, taken) = taken(&layout.bytes[..cut]);
            if salvage.is_err() {
                assert!(ends.iter().all(|(_, end)| *end > cut as u64), "{}: {cut}", layout.name);
                continue;
            }
            for (name, end) in &ends {
                let names = expected.keys().filter(|key| (*key == "history") == (name == "history"));
                for key in names.filter(|_| *end <= cut as u64) {
                    assert_eq!(taken.get(key), expected.get(key), "{}: {cut}: {key}", layout.name);
                }
            }
        }
    }
}

#[test]
fn what_is_no_container_is_said_to_be_none() {
    for bytes in [&b""[..], b"PK\x03\x04", &[7; 20_000]] {
        let (salvage, taken) = taken(bytes);
        assert_eq!(salvage.unwrap_err(), Code::NotContainer);
        assert!(taken.is_empty());
    }
}

#[test]
fn a_salvage_that_is_stopped_looks_at_nothing_more() {
    let layout = &layouts_of_forms()[0];
    for bytes in [layout.bytes.clone(), without(layout, &[INDEXES, TABLES].concat(), true)] {
        let asked = Cell::new(0_usize);
        let stopped_after = |times: usize| {
            asked.set(0);
            let stop = || match asked.replace(asked.get() + 1) {
                before if before < times => ControlFlow::Continue(()),
                _ => ControlFlow::Break(()),
            };
            let stopped = salvage::<[u8], Error>(&bytes, &Limits::DEFAULT, &stop, &mut |_| Ok(()));
            (stopped.map_err(|error| error.code()), asked.get())
        };
        let (whole, often) = stopped_after(usize::MAX);
        assert!(whole.is_ok() && often > 1);
        for times in 0..often {
            let (stopped, asked) = stopped_after(times);
            assert_eq!((stopped.unwrap_err(), asked), (Code::Cancelled, times + 1));
        }
    }
}
