//! What the targets for files of other programs do with their input: PyFolds' containers and states, safetensors, npy, npz.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};

use fold_format::interchange::{Array, npy, npz, safetensors};
use fold_format::v1::{self, Content, File, Keys, torch};
use fold_format::{Depth, Dtype, Limits, Verdict, VerifyOptions};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// The most bytes that arrays may be decompressed to here.
const MAX_ARRAYS: u64 = 16 << 20;

fn holds_what_it_says(arrays: &[Array<'_>]) {
    for array in arrays {
        let len = array.bytes.len() as u64;
        assert_eq!(array.shape.byte_len(array.dtype), Some(len), "{}", array.name);
    }
}

/// By name: dtype, extents and bytes.
fn by_name(arrays: &[Array<'_>]) -> BTreeMap<String, (Dtype, Vec<u64>, Vec<u8>)> {
    let parts = |array: &Array<'_>| (array.dtype, array.shape.extents().to_vec(), array.bytes.to_vec());
    arrays
        .iter()
        .map(|array| (array.name.to_string(), parts(array)))
        .collect()
}

fn verify(bytes: &[u8]) -> v1::Report {
    v1::verify_source(bytes, Depth::All, &Keys::new(), VerifyOptions::default()).expect("memory can be read")
}

/// Opens any bytes as a container of version 1, verifies it, reads every payload and what it holds, and repairs it.
///
/// # Panics
/// When a file that verifies as whole does not open or has a payload that cannot be read, when a payload's content is not
/// what the verification said of it, or when a repair makes a file that is still damaged.
pub fn v1_reader(bytes: &[u8]) {
    let report = verify(bytes);
    let whole = report.verdict == Verdict::Ok;
    let file = match File::open_source(bytes, Keys::new(), Limits::DEFAULT) {
        Ok(file) => file,
        Err(error) => {
            assert!(!whole, "verified as whole, yet it does not open: {error}");
            return;
        }
    };
    for chunk in &report.chunks {
        let payload = match file.payload(&chunk.name) {
            Ok(payload) => payload,
            Err(error) => {
                assert!(!whole, "verified as whole, yet {} cannot be read: {error}", chunk.name);
                continue;
            }
        };
        let content = Content::read(&chunk.ctype, &payload, MAX_ARRAYS);
        if let Ok(content) = &content {
            holds_what_it_says(content.tensors());
        }
        if let (Some(Ok(Some(count))), Ok(content)) = (&chunk.content, &content) {
            assert_eq!(content.tensors().len() as u64, *count, "{}", chunk.name);
        }
    }
    let mut repaired = Vec::new();
    if let Ok(repair) = v1::repair(&file, &mut repaired) {
        assert!(
            !repair.is_nothing() || repaired == bytes,
            "nothing to repair, yet another file"
        );
        let again = verify(&repaired);
        assert!(
            matches!(again.verdict, Verdict::Ok) || again.findings_total <= report.findings_total,
            "{:?}",
            again.findings
        );
    }
}

/// A torch archive around a pickle: three storages of 64 bytes.
fn archive(pickle: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut member = |name: &str, bytes: &[u8]| {
        zip.start_file(format!("archive/{name}"), options)?;
        zip.write_all(bytes).map_err(zip::result::ZipError::Io)
    };
    let storage = (0..64).collect::<Vec<u8>>();
    member("data.pkl", pickle).expect("memory takes it");
    member("byteorder", b"little").expect("memory takes it");
    for key in ["0", "1", "2"] {
        member(&format!("data/{key}"), &storage).expect("memory takes it");
    }
    zip.finish().expect("memory takes it").into_inner()
}

/// Any bytes as a state that `torch.save` wrote: as the archive where they begin like one, else as the pickle in it.
///
/// # Panics
/// When a tensor is not as long as it says, when the tensors are more than 16 times the archive and 1 MiB, or when what was
/// read and saved again is not read as the same.
pub fn unpickler(bytes: &[u8]) {
    let archive = if bytes.starts_with(b"PK") {
        bytes.to_vec()
    } else {
        archive(bytes)
    };
    let Ok(state) = torch::read(&archive) else { return };
    holds_what_it_says(&state.tensors);
    let total = state.tensors.iter().map(|tensor| tensor.bytes.len()).sum::<usize>();
    assert!(
        total <= 16 * archive.len() + (1 << 20),
        "{total} bytes of tensors in {}",
        archive.len()
    );
    let Ok(saved) = torch::save(&state.tensors, &state.others) else {
        return;
    };
    let again = torch::read(&saved).expect("what was saved is read");
    assert!(
        by_name(&again.tensors) == by_name(&state.tensors),
        "tensors differ when saved again"
    );
    assert_eq!(again.others.len(), state.others.len());
}

/// Any bytes as safetensors, as npy and as npz; what is read goes round.
///
/// # Panics
/// When it does not.
pub fn interchange(bytes: &[u8]) {
    if let Ok((arrays, _)) = safetensors::read(bytes) {
        holds_what_it_says(&arrays);
        let mut out = Vec::new();
        safetensors::write(&mut out, &arrays, &[]).expect("what was read is written");
        let (again, _) = safetensors::read(&out).expect("what was written is read");
        assert!(
            by_name(&again) == by_name(&arrays),
            "safetensors differ when written again"
        );
    }
    if let Ok(array) = npy::read(bytes) {
        let mut out = Vec::new();
        npy::write(&mut out, array.dtype, array.shape.extents(), &array.bytes).expect("what was read is written");
        let again = npy::read(&out).expect("what was written is read");
        assert!(
            (again.dtype, again.shape, &again.bytes) == (array.dtype, array.shape, &array.bytes),
            "npy differs"
        );
    }
    if let Ok(arrays) = npz::read_all(bytes, MAX_ARRAYS) {
        holds_what_it_says(&arrays);
        let mut writer = npz::Writer::new(Cursor::new(Vec::new()));
        for array in &arrays {
            let added = writer.add(&array.name, array.dtype, &array.shape, &array.bytes);
            if array.name.contains('\0') {
                added.expect_err("NumPy would read another array in its place");
                return;
            }
            added.expect("what was read is written");
        }
        let out = writer.finish().expect("memory takes it").into_inner();
        let again = npz::read_all(&out, MAX_ARRAYS).expect("what was written is read");
        assert!(by_name(&again) == by_name(&arrays), "npz differs when written again");
    }
}
