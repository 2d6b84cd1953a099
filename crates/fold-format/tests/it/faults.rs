//! A fault at every call of a save: the old file stays, the temporary file goes or is named, the error says what
//! happened; nothing hangs.

use std::path::Path;

use fold_format::storage::{Call, Fault, Faulty, SimDisk, Storage, When};
use fold_format::{
    Checkpoint, Class, Code, Content, Encoding, Error, Existing, OpenOptions, Operation, Verdict, is_temporary_name,
    save,
};

use crate::content::{check, file, noise, options};

const PATH: &str = "/d/a.fold";
const EIO: i32 = 5;
const EINTR: i32 = 4;
const EMFILE: i32 = 24;
const ENOSPC: i32 = 28;
const EROFS: i32 = 30;
const EDQUOT: i32 = 122;

fn operation(call: Call) -> Option<Operation> {
    Some(match call {
        Call::CreateNew => Operation::Create,
        Call::SetLen => Operation::SetLength,
        Call::Write => Operation::Write,
        Call::Sync => Operation::Sync,
        Call::Close => Operation::Close,
        Call::Rename => Operation::Rename,
        Call::SyncDir => Operation::SyncDirectory,
        Call::Exists => Operation::Metadata,
        _ => return None,
    })
}

#[test]
fn any_failing_call_of_a_save_leaves_the_old_file_and_says_what_failed() {
    let (old, new) = (noise(1, 5000), noise(2, 9000));
    let old_content = Content::new().bytes("x", &old);
    let new_content = Content::new().bytes("x", &new).json("y", "{}");
    let replace = options().block_log2(12).existing(Existing::Replace);
    let disk = || {
        let disk = SimDisk::new();
        save(&disk, Path::new(PATH), &old_content, &replace).unwrap();
        disk
    };
    let old_bytes = disk().read(Path::new(PATH)).unwrap();
    let new_bytes = file(&new_content, &replace);
    let clean = Faulty::recording(disk());
    save(&clean, Path::new(PATH), &new_content, &replace).unwrap();
    let calls = clean.calls();
    assert!(calls.len() > 10);

    for (number, &call) in calls.iter().enumerate() {
        let errnos = [EIO, ENOSPC, EDQUOT, EINTR, EMFILE, EROFS].map(Fault::Errno);
        for fault in errnos.into_iter().chain([Fault::Short]) {
            for when in [When::Once(number), When::From(number)] {
                let storage = Faulty::failing(disk(), fault, when);
                let result = save(&storage, Path::new(PATH), &new_content, &replace);
                let context = format!("call {number} {call:?}, {fault:?}, {when:?}: {result:?}");
                let bytes = storage.inner().read(Path::new(PATH)).unwrap();
                let names = storage.inner().list(Path::new("/d")).unwrap();
                let passes = fault == Fault::Short
                    || (fault == Fault::Errno(EINTR) && call == Call::Write && when == When::Once(number));
                if passes {
                    // Short and interrupted writes are gone on with.
                    assert!(result.is_ok() && bytes == new_bytes, "{context}");
                    assert_eq!(names.len(), 1, "{context}");
                    continue;
                }
                let Err(error) = result else { panic!("{context}") };
                assert_eq!(error.class(), Class::Environment, "{context}");
                let Error::Io(io) = error else { panic!("{context}") };
                assert_eq!(Some(io.operation), operation(call), "{context}");
                let Fault::Errno(errno) = fault else {
                    panic!("{context}")
                };
                assert_eq!(io.source.raw_os_error(), Some(errno), "{context}");
                let expected_path = if call == Call::SyncDir { "/d" } else { PATH };
                assert_eq!(io.path.as_deref(), Some(Path::new(expected_path)), "{context}");
                let expected_code = match (errno, call) {
                    (ENOSPC | EDQUOT, _) => Code::NoSpace,
                    (_, Call::Sync | Call::Close | Call::SyncDir) => Code::SyncFailed,
                    _ => Code::Io,
                };
                assert_eq!(io.code(), expected_code, "{context}");
                assert_eq!(io.leftover, None, "{context}");
                assert_eq!(names, [Path::new(PATH)], "the temporary file is removed: {context}");
                let expected = if call == Call::SyncDir { &new_bytes } else { &old_bytes };
                assert!(&bytes == expected, "{context}");
            }
        }
    }
}

#[test]
fn a_compressed_file_is_written_where_its_raw_length_finds_no_room() {
    let zeros = vec![0; 100_000];
    let content = Content::new().bytes("x", &zeros);
    for (encoding, written) in [(Encoding::Raw, false), (Encoding::Zstd, true)] {
        let compressed = options().encoding(encoding);
        let clean = Faulty::recording(SimDisk::new());
        save(&clean, Path::new(PATH), &content, &compressed).unwrap();
        let room = clean.calls().iter().position(|call| *call == Call::SetLen).unwrap();
        for errno in [ENOSPC, EDQUOT] {
            let storage = Faulty::failing(SimDisk::new(), Fault::Errno(errno), When::Once(room));
            let saved = save(&storage, Path::new(PATH), &content, &compressed);
            assert_eq!(saved.is_ok(), written, "{encoding:?}, {errno}: {saved:?}");
            let bytes = storage.inner().read(Path::new(PATH));
            assert_eq!(bytes.is_ok_and(|bytes| bytes == file(&content, &compressed)), written);
        }
    }
}

#[test]
fn a_temporary_file_that_cannot_be_removed_is_named() {
    let content = Content::new().bytes("x", &[1; 100]);
    let clean = Faulty::recording(SimDisk::new());
    save(&clean, Path::new(PATH), &content, &options()).unwrap();
    let sync = clean.calls().iter().position(|call| *call == Call::Sync).unwrap();
    // From the failing flush on the process can do nothing any more, as on a disk that has gone away.
    let storage = Faulty::failing(SimDisk::new(), Fault::Kill, When::Once(sync));
    let Err(Error::Io(io)) = save(&storage, Path::new(PATH), &content, &options()) else {
        panic!()
    };
    let left = storage.inner().list(Path::new("/d")).unwrap();
    assert_eq!(io.leftover.as_ref(), left.first());
    assert!(is_temporary_name(left[0].file_name().unwrap()));
    assert!(!is_temporary_name(Path::new(PATH).file_name().unwrap()));
}

#[test]
fn any_failing_read_is_an_error_or_got_around() {
    let data = noise(1, 9000);
    let content = Content::new().bytes("x", &data);
    let disk = SimDisk::new();
    save(&disk, Path::new(PATH), &content, &options().block_log2(12)).unwrap();
    let read = |fault, when| {
        let storage = Faulty::failing(disk.clone(), fault, when);
        let file = storage.open(Path::new(PATH)).unwrap();
        let result = Checkpoint::open_source(file, &OpenOptions::new()).and_then(|opened| {
            let around = opened.findings().len();
            opened.chunk("x").map(|bytes| (bytes, around))
        });
        (result, storage.calls())
    };
    let (_, calls) = read(Fault::Short, When::Once(usize::MAX));
    for (number, call) in calls.iter().enumerate().skip(1) {
        for fault in [Fault::Errno(EIO), Fault::Errno(EINTR), Fault::Short, Fault::Kill] {
            for when in [When::Once(number), When::From(number)] {
                let context = format!("{number} {call:?} {fault:?} {when:?}");
                match read(fault, when).0 {
                    Ok((bytes, around)) => {
                        assert_eq!(bytes, data, "{context}");
                        let whole = matches!(fault, Fault::Short | Fault::Errno(EINTR));
                        assert!(whole || around > 0, "a copy that cannot be read is said: {context}");
                    }
                    Err(error) => assert_eq!(error.class(), Class::Environment, "{context}: {error}"),
                }
            }
        }
    }
}

#[test]
fn a_verification_goes_on_behind_a_block_that_cannot_be_read() {
    use fold_format::{Depth, ReadAt, VerifyOptions, verify_source};
    use std::io;

    /// Fails reads that touch one byte.
    struct BadSector(Vec<u8>, u64);

    impl ReadAt for BadSector {
        fn len(&self) -> io::Result<u64> {
            Ok(self.0.len() as u64)
        }

        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            if (offset..offset + buffer.len() as u64).contains(&self.1) {
                return Err(io::Error::from_raw_os_error(EIO));
            }
            self.0.read_at(buffer, offset)
        }
    }

    let data = noise(1, 9000);
    let bytes = file(&Content::new().bytes("x", &data), &options().block_log2(12));
    assert_eq!(check(&bytes).verdict, Verdict::Ok);
    for at in (0..bytes.len() as u64).step_by(512) {
        let report = verify_source(&BadSector(bytes.clone(), at), Depth::All, VerifyOptions::new()).unwrap();
        assert_eq!(report.findings.len(), 1, "{at}: {:?}", report.findings);
        let finding = &report.findings[0];
        assert_eq!(finding.code(), Code::Io);
        assert!(finding.byte_range.contains(&at), "{at}: {finding}");
        assert_eq!(
            report.verdict,
            if finding.block.is_some() {
                Verdict::Damaged
            } else {
                Verdict::Corrected
            }
        );
        assert_eq!(report.blocks_checked, report.blocks_total);
    }
}

#[test]
fn taken_names_are_passed_over_and_a_target_that_appears_meanwhile_is_kept() {
    const EEXIST: i32 = 17;
    let content = Content::new().bytes("x", &[1; 100]);
    let clean = Faulty::recording(SimDisk::new());
    save(&clean, Path::new(PATH), &content, &options()).unwrap();
    let call = |wanted| clean.calls().iter().position(|call| *call == wanted).unwrap();

    // A killed process, of the same number before a restart of the machine, may have left the name.
    let create = call(Call::CreateNew);
    let storage = Faulty::failing(SimDisk::new(), Fault::Errno(EEXIST), When::Once(create));
    save(&storage, Path::new(PATH), &content, &options()).unwrap();
    let storage = Faulty::failing(SimDisk::new(), Fault::Errno(EEXIST), When::From(create));
    let error = save(&storage, Path::new(PATH), &content, &options()).unwrap_err();
    assert!(
        matches!(error, Error::Io(io) if io.operation == Operation::Create),
        "and not for ever"
    );

    let storage = Faulty::failing(SimDisk::new(), Fault::Errno(EEXIST), When::Once(call(Call::Rename)));
    let error = save(&storage, Path::new(PATH), &content, &options()).unwrap_err();
    assert_eq!(error.code(), Code::TargetExists);
    assert!(
        storage.inner().list(Path::new("/d")).unwrap().is_empty(),
        "the temporary file is removed"
    );
}
