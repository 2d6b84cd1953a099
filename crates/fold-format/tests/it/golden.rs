//! The files of this version, byte for byte for ever, and SPEC.md against the constants in code.

use std::path::PathBuf;

use fold_format::layout::{self, Field, chunk_record, index_header, prologue, superblock, tensor_record};
use fold_format::parity::Level;
use fold_format::{Code, Content, DigestKind, Dtype, Durability, Encoding, SaveOptions, TensorSource, Verdict};

use crate::content::{check, file, open};
use crate::forge::Forged;

fn crate_path(relative: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(relative)
}

/// The files of this version: name, options beside uuid and time, and whether a writer gives these very bytes. What zstd
/// makes of its input may change with its version: such a file must only be read for ever.
fn forms() -> [(&'static str, SaveOptions, bool); 6] {
    let options = || {
        SaveOptions::new(Durability::Full)
            .uuid(*b"\x67\xe5\x50\x44\x10\xb1\x42\x6f\x92\x47\xbb\x68\x0e\x5f\xe0\xc8")
            .created_unix_ns(1_750_000_000_000_000_000)
            .block_log2(12)
    };
    [
        ("golden-2.0-directory.fold", options(), true),
        (
            "golden-2.0-sealed.fold",
            options().digest_kind(DigestKind::Blake3),
            true,
        ),
        ("golden-2.0-parity.fold", options().parity(Some(Level::Low)), true),
        ("golden-2.0-zstd.fold", options().encoding(Encoding::Zstd), false),
        (
            "golden-2.0-shuffle-zstd.fold",
            options().encoding(Encoding::ShuffleZstd),
            false,
        ),
        (
            "golden-2.0-all.fold",
            options()
                .encoding(Encoding::ShuffleZstd)
                .frame_log2(12)
                .digest_kind(DigestKind::Blake3)
                .parity(Some(Level::Blocks(3))),
            false,
        ),
    ]
}

/// What every golden file holds.
fn written(options: &SaveOptions) -> Vec<u8> {
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
    file(&content, options)
}

/// The plain form, which SPEC.md takes apart.
fn golden() -> Vec<u8> {
    written(&forms()[0].1)
}

#[test]
#[ignore = "adds the files of a new form; never changes one that is there"]
fn add_golden_files() {
    for (name, options, _) in forms() {
        let path = crate_path("testdata").join(name);
        if !path.exists() {
            std::fs::write(path, written(&options)).unwrap();
        }
    }
}

#[test]
fn every_golden_file_is_read_for_ever() {
    // The first one is from before chunks had tensor directories.
    let names = forms().map(|(name, _, _)| name);
    for name in names.iter().chain(&["golden-2.0.fold"]) {
        let bytes = std::fs::read(crate_path("testdata").join(name)).unwrap();
        let report = check(&bytes);
        assert_eq!(report.verdict, Verdict::Ok, "{name}: {:?}", report.findings);
        let opened = open(&bytes).unwrap();
        assert_eq!(opened.metadata(), r#"{"epoch":3,"model":"golden"}"#);
        let theta = opened.tensor("layer0.theta").unwrap();
        assert_eq!(theta.as_slice::<f32>().unwrap(), [0.5, -1.0, 2.0], "{name}");
        let filaments = opened.tensor("layer0.filaments").unwrap();
        assert_eq!(filaments.as_bytes(), (0..24).collect::<Vec<u8>>(), "{name}");
        assert_eq!(opened.tensor("layer0.empty").unwrap().as_bytes(), b"");
        assert_eq!(opened.chunk("blob").unwrap(), b"\x00\xff");
        assert_eq!(opened.chunk("history").unwrap(), br#"[{"epoch":1},{"epoch":2}]"#);
    }
}

#[test]
fn the_golden_files_are_written_byte_for_byte() {
    for (name, options, same) in forms() {
        let expected = std::fs::read(crate_path("testdata").join(name)).unwrap();
        let again = written(&options);
        assert!(
            again == expected || !same,
            "{name}: the bytes of version 2.0 have changed"
        );
        assert_eq!(check(&again).verdict, Verdict::Ok);
    }
    let plain = golden();
    let forged = Forged::new(&plain);
    assert!(
        forged.clone().seal_content().seal().bytes == plain,
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
