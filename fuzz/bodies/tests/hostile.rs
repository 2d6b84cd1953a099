//! Every hostile file through every reading call of the library: the finding that its name promises, or none.

#![allow(clippy::unwrap_used, reason = "a test whose setting cannot be made has failed")]

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use fold_format::{
    Checkpoint, Class, Code, Depth, Error, OpenMode, OpenOptions, ReadAt, Report, Verdict, VerifyOptions, verify_source,
};
use fold_fuzz_bodies::{CLASSES, Hostile, differential, fold_reader, hostile, layouts};

/// A message for a user's terminal: no control character of the file gets into it.
fn plain(text: &str) {
    assert!(!text.chars().any(char::is_control), "{text:?}");
}

fn typed(error: &Error) {
    plain(&error.to_string());
    assert!(matches!(error.class(), Class::Damaged | Class::Unsupported), "{error}");
}

/// Verifies at every depth that a user can ask for; the report of the deepest.
fn verified(bytes: &[u8], checkpoint: Option<&Checkpoint<&[u8]>>) -> Report {
    let verify = |depth| verify_source(bytes, depth, VerifyOptions::default());
    let full = verify(Depth::All).unwrap();
    for depth in [Depth::Superblock, Depth::Index] {
        let report = verify(depth).unwrap();
        assert_ne!(
            report.verdict,
            Verdict::Ok,
            "a quick check must not look like a clean bill"
        );
    }
    for finding in &full.findings {
        plain(&finding.to_string());
        assert!(
            matches!(finding.class(), Class::Damaged | Class::Unsupported),
            "{finding}"
        );
        assert!(finding.byte_range.start <= finding.byte_range.end, "{finding}");
    }
    let names = |limit: usize| {
        let checkpoint = checkpoint?;
        let chunks = checkpoint.chunks().take(limit).map(|chunk| chunk.name.to_owned());
        let tensors = checkpoint
            .tensors()
            .ok()?
            .take(limit)
            .map(|tensor| tensor.name.to_owned());
        Some((chunks.collect::<Vec<_>>(), tensors.collect::<Vec<_>>()))
    };
    let (chunks, tensors) = names(20).unwrap_or_default();
    for chunk in &chunks {
        verify(Depth::Chunk(chunk)).unwrap();
    }
    for tensor in &tensors {
        verify(Depth::Tensor(tensor)).unwrap();
    }
    full
}

/// Reads everything that can be asked for.
fn read(checkpoint: &Checkpoint<&[u8]>) -> Result<(), Error> {
    checkpoint
        .findings()
        .iter()
        .for_each(|finding| plain(&finding.to_string()));
    let tensors = checkpoint
        .tensors()?
        .map(|tensor| (tensor.name.to_owned(), tensor.bytes));
    let mut first = Ok(());
    for (name, len) in tensors.collect::<Vec<_>>() {
        checkpoint.tensor_info(&name)?;
        let mut buffer = vec![0; len as usize];
        let into = checkpoint.read_tensor_into(&name, &mut buffer);
        let tensor = checkpoint.tensor(&name);
        assert_eq!(into.is_ok(), tensor.is_ok(), "{name}");
        match tensor {
            Ok(tensor) => {
                assert_eq!(tensor.as_bytes(), buffer);
                // Numbers that are no booleans are not handed out as such.
                if let Ok(Some(flags)) = tensor.as_bools() {
                    assert!(tensor.as_bytes().iter().all(|&byte| byte < 2) && flags.len() == buffer.len());
                }
            }
            Err(error) => first = first.and(Err(error)),
        }
    }
    for name in checkpoint
        .chunks()
        .map(|chunk| chunk.name.to_owned())
        .collect::<Vec<_>>()
    {
        checkpoint.chunk_info(&name)?;
        first = first.and(checkpoint.chunk(&name).map(drop));
    }
    first
}

/// A file that another process cuts off, or replaces by zeros, after some reads.
struct Changing {
    bytes: Vec<u8>,
    reads_left: AtomicUsize,
    replaced: bool,
}

impl ReadAt for Changing {
    fn len(&self) -> io::Result<u64> {
        let gone = self.reads_left.load(Ordering::Relaxed) == 0 && !self.replaced;
        Ok(if gone { 0 } else { self.bytes.len() as u64 })
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let changed = self.reads_left.load(Ordering::Relaxed) == 0;
        if !changed {
            self.reads_left.fetch_sub(1, Ordering::Relaxed);
        }
        match (changed, self.replaced) {
            (false, _) => self.bytes.read_at(buffer, offset),
            (true, true) => vec![0; self.bytes.len()].read_at(buffer, offset),
            (true, false) => Ok(0),
        }
    }
}

#[test]
fn a_file_that_changes_while_it_is_open_is_an_error_or_the_bytes_as_they_were() {
    let layout = layouts().into_iter().find(|layout| layout.name == "mixed").unwrap();
    let whole = Checkpoint::open_source(&layout.bytes[..], &OpenOptions::default()).unwrap();
    let names = whole
        .tensors()
        .unwrap()
        .map(|tensor| tensor.name.to_owned())
        .collect::<Vec<_>>();
    let (mut refused, mut read) = (0, 0);
    for replaced in [false, true] {
        for reads in 0..40 {
            let changing = Changing {
                bytes: layout.bytes.clone(),
                reads_left: AtomicUsize::new(reads),
                replaced,
            };
            let report = verify_source(&changing, Depth::All, VerifyOptions::default()).unwrap();
            assert!(report.verdict == Verdict::Ok || !report.findings.is_empty());
            changing.reads_left.store(reads, Ordering::Relaxed);
            let Ok(opened) = Checkpoint::open_source(changing, &OpenOptions::default()) else {
                refused += 1;
                continue;
            };
            for name in &names {
                match opened.tensor(name) {
                    Ok(tensor) => {
                        assert_eq!(tensor.as_bytes(), whole.tensor(name).unwrap().as_bytes(), "{name}");
                        read += 1;
                    }
                    Err(error) => {
                        typed(&error);
                        refused += 1;
                    }
                }
            }
        }
    }
    assert!(refused > 10 && read > 10, "{refused} {read}");
}

#[test]
fn every_class_has_three_files_of_its_own() {
    let mut classes = BTreeMap::<usize, Vec<&str>>::new();
    for file in hostile() {
        let names = classes.entry(file.class).or_default();
        assert!(!names.contains(&file.name), "{} twice", file.name);
        names.push(file.name);
    }
    for (class, what) in (1..).zip(CLASSES) {
        let names = classes.get(&class).map_or(&[][..], Vec::as_slice);
        assert!(names.len() >= 3, "class {class}, {what}: {names:?}");
    }
    assert_eq!(classes.len(), CLASSES.len());
}

#[test]
fn every_file_gets_the_finding_that_its_name_promises() {
    let mut wrong = Vec::new();
    for Hostile {
        class,
        name,
        bytes,
        code,
    } in hostile()
    {
        let name = format!("{class:02}-{name}");
        let outcome = std::panic::catch_unwind(|| {
            let options = OpenOptions::default();
            let strict = Checkpoint::open_source(&bytes[..], &options);
            let degraded = Checkpoint::open_source(&bytes[..], &options.mode(OpenMode::Degraded));
            let report = verified(&bytes, degraded.as_ref().ok());
            for opened in [&strict, &degraded] {
                let read = opened.as_ref().map(read);
                let error = match &read {
                    Ok(Ok(())) => continue,
                    Ok(Err(error)) => error,
                    Err(error) => error,
                };
                typed(error);
                assert_ne!(report.verdict, Verdict::Ok, "verified, yet: {error}");
            }
            fold_reader(&bytes);
            differential(&bytes);
            report
        });
        let Ok(report) = outcome else {
            wrong.push(format!("{name}: a panic"));
            continue;
        };
        let codes = report
            .findings
            .iter()
            .map(|finding| finding.code())
            .collect::<Vec<Code>>();
        let kept = match code {
            None => codes.is_empty() && report.verdict == Verdict::Ok,
            Some(code) => codes.contains(&code) && report.verdict != Verdict::Ok,
        };
        if !kept {
            let first = report.findings.first().map(ToString::to_string);
            wrong.push(format!(
                "{name}: {code:?} expected, {:?}: {codes:?} {first:?}",
                report.verdict
            ));
        }
    }
    assert!(wrong.is_empty(), "{} files:\n{}", wrong.len(), wrong.join("\n"));
}
