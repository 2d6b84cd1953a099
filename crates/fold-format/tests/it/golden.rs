//! The files of this version, byte for byte for ever, and SPEC.md against the constants in code.

use std::path::PathBuf;

use fold_format::layout::{self, Field, chunk_record, index_header, prologue, superblock, tensor_record};
use fold_format::{Code, Content, Dtype, Durability, SaveOptions, TensorSource};

use crate::content::{check, file, open};
use crate::forge::Forged;

fn crate_path(relative: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(relative)
}

/// The content of `testdata/golden-2.0.fold`.
fn golden() -> Vec<u8> {
    let filaments = (0..24).collect::<Vec<u8>>();
    let theta = [0.5_f32, -1.0, 2.0];
    let content = Content::new()
        .metadata(r#"{"epoch":3,"model":"golden"}"#)
        .tensors(
            "state",
            [
                TensorSource::of("layer0.theta", &[3], &theta).unwrap(),
                TensorSource::of("layer0.filaments", &[2, 3, 4], &filaments).unwrap(),
                TensorSource::new("layer0.empty", Dtype::Bf16, &[0, 7], &[]).unwrap(),
            ],
        )
        .json("history", r#"[{"epoch":1},{"epoch":2}]"#)
        .bytes("blob", b"\x00\xff");
    let uuid = *b"\x67\xe5\x50\x44\x10\xb1\x42\x6f\x92\x47\xbb\x68\x0e\x5f\xe0\xc8";
    let options = SaveOptions::new(Durability::Full)
        .uuid(uuid)
        .created_unix_ns(1_750_000_000_000_000_000);
    file(&content, &options.block_log2(12))
}

#[test]
fn the_golden_file_is_written_and_read_byte_for_byte() {
    let path = crate_path("testdata/golden-2.0.fold");
    let expected = std::fs::read(&path).unwrap();
    assert!(
        golden() == expected,
        "the bytes of version 2.0 have changed: that needs a new version and a new file"
    );
    assert!(check(&expected).findings.is_empty());
    let opened = open(&expected).unwrap();
    assert_eq!(opened.metadata(), r#"{"epoch":3,"model":"golden"}"#);
    assert_eq!(
        opened.tensor("layer0.theta").unwrap().as_slice::<f32>().unwrap(),
        [0.5, -1.0, 2.0]
    );
    assert_eq!(opened.chunk("blob").unwrap(), b"\x00\xff");
    assert_eq!(opened.info().root.to_string(), "e0b6450f17e5b9149cc61b073bb58d5e");
    let forged = Forged::new(&expected);
    assert!(
        forged.clone().seal_content().seal().bytes == expected,
        "a second implementation of the digests agrees"
    );
}

fn spec() -> String {
    std::fs::read_to_string(crate_path("../../docs/format/SPEC.md")).unwrap()
}

fn row(field: &Field) -> String {
    format!(
        "| {} | {} | `{}` | {} | {} |",
        field.offset, field.size, field.name, field.kind, field.meaning
    )
}

#[test]
fn the_tables_of_the_specification_are_the_constants() {
    let spec = spec();
    for (title, fields) in [
        ("Superblock", superblock::FIELDS),
        ("Index header", index_header::FIELDS),
        ("Chunk record", chunk_record::FIELDS),
        ("Tensor record", tensor_record::FIELDS),
        ("Prologue", prologue::FIELDS),
    ] {
        let table = std::iter::once("| offset | size | field | type | meaning |".to_owned())
            .chain(["|---|---|---|---|---|".to_owned()])
            .chain(fields.iter().map(row))
            .collect::<Vec<_>>()
            .join("\n");
        assert!(spec.contains(&table), "SPEC.md, {title}: write this table:\n{table}");
    }
    let dtypes = Dtype::ALL
        .iter()
        .map(|dtype| format!("| {} | {} | {} |", dtype.to_byte(), dtype.as_str(), dtype.size_bytes()))
        .collect::<Vec<_>>()
        .join("\n");
    assert!(spec.contains(&dtypes), "SPEC.md, dtypes: write this table:\n{dtypes}");
    for (domain, name) in [
        (layout::DOMAIN_BLOCK, "block"),
        (layout::DOMAIN_CHUNK, "chunk"),
        (layout::DOMAIN_INDEX, "index"),
        (layout::DOMAIN_DIGESTS, "digest table"),
        (layout::DOMAIN_ROOT, "root"),
        (layout::DOMAIN_PROLOGUE, "prologue"),
    ] {
        assert!(
            spec.contains(&format!("| {name} | {domain} |")),
            "SPEC.md, seed domain of the {name}"
        );
    }
    for (bit, name) in layout::REQUIRED_FEATURES {
        assert!(
            spec.contains(&format!("| {bit} | {name} |")),
            "SPEC.md, feature bit {bit}"
        );
    }
}

#[test]
fn the_codes_of_the_specification_are_the_codes() {
    let spec = spec();
    for code in Code::ALL
        .iter()
        .filter(|code| matches!(&code.as_str()[6..8], "01" | "02" | "03"))
    {
        let row = format!("| {code} | {} |", code.meaning());
        assert!(spec.contains(&row), "SPEC.md, codes: write this row:\n{row}");
    }
}

#[test]
fn the_worked_example_is_the_golden_file() {
    let spec = spec();
    let bytes = golden();
    let mut lines = 0;
    for line in spec.lines() {
        // `00001000  46 4f 4c 44 ...  what it is`
        let Some((offset, rest)) = line.split_once("  ") else {
            continue;
        };
        if offset.len() != 8 || !offset.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            continue;
        }
        let offset = usize::from_str_radix(offset, 16).unwrap();
        let shown = rest.split("  ").next().unwrap().split(' ');
        for (at, shown) in shown.enumerate() {
            assert_eq!(
                format!("{:02x}", bytes[offset + at]),
                shown,
                "SPEC.md, example, byte {:x}",
                offset + at
            );
        }
        lines += 1;
    }
    assert!(lines > 20, "SPEC.md has no worked example");
    let forged = Forged::new(&bytes);
    for (what, value) in [("seed", forged.seed(1, 2)), ("digest", forged.u64(0x2010))] {
        assert!(
            spec.contains(&format!("0x{value:016x}")),
            "SPEC.md, example: the {what} is 0x{value:016x}"
        );
    }
}
