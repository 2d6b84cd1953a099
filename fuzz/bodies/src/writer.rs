//! Content from arbitrary bytes, saved, read back by both readers, and saved again to the same bytes.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use fold_format::storage::{Storage, StorageFile};
use fold_format::{Checkpoint, Content, Depth, Dtype, Durability, OpenOptions, ReadAt, SaveOptions, TensorSource};
use fold_format::{Verdict, VerifyOptions, save, verify_source};

use crate::slow;

/// Files in memory, whole as soon as they are written: the crash tests have a better disk, this one is fast.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<BTreeMap<PathBuf, Bytes>>>);

/// A file of [`Memory`].
#[derive(Clone, Debug, Default)]
pub struct Bytes(Arc<Mutex<Vec<u8>>>);

impl Memory {
    /// The bytes of a file.
    #[must_use]
    pub fn get(&self, path: &Path) -> Option<Vec<u8>> {
        let files = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        files.get(path).map(|file| file.with(|bytes| bytes.clone()))
    }

    fn files<T>(&self, use_them: impl FnOnce(&mut BTreeMap<PathBuf, Bytes>) -> T) -> T {
        use_them(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Bytes {
    fn with<T>(&self, use_them: impl FnOnce(&mut Vec<u8>) -> T) -> T {
        use_them(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ReadAt for Bytes {
    fn len(&self) -> io::Result<u64> {
        Ok(self.with(|bytes| bytes.len() as u64))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|bytes| bytes.read_at(buffer, offset))
    }
}

impl StorageFile for Bytes {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.with(|own| {
            own.resize(own.len().max(start + bytes.len()), 0);
            own[start..start + bytes.len()].copy_from_slice(bytes);
        });
        Ok(bytes.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.with(|own| own.resize(len, 0));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn close(self) -> io::Result<()> {
        Ok(())
    }
}

impl Storage for Memory {
    type File = Bytes;

    fn create_new(&self, path: &Path, _: Option<&Permissions>) -> io::Result<Bytes> {
        let file = Bytes::default();
        self.files(|files| files.insert(path.into(), file.clone()));
        Ok(file)
    }

    fn open(&self, path: &Path) -> io::Result<Bytes> {
        self.files(|files| files.get(path).cloned())
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.files(|files| {
            let file = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
            files.insert(to.into(), file);
            Ok(())
        })
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.files(|files| files.remove(path));
        Ok(())
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(self.files(|files| files.contains_key(path)))
    }

    fn list(&self, _: &Path) -> io::Result<Vec<PathBuf>> {
        Ok(self.files(|files| files.keys().cloned().collect()))
    }
}

/// Takes numbers from the front of the input; zeros when it is used up.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn byte(&mut self) -> u8 {
        let (&byte, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        byte
    }

    fn take(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn name(&mut self) -> String {
        let len = usize::from(self.byte() % 12);
        String::from_utf8_lossy(self.take(len)).into_owned()
    }
}

/// What a chunk is to hold.
enum Wanted {
    Tensors(Vec<(String, Dtype, Vec<u64>, Vec<u8>)>),
    Bytes(Vec<u8>),
    Json(String),
}

fn wanted(input: &mut Input<'_>) -> BTreeMap<String, Wanted> {
    let chunks = input.byte() % 5;
    let chunk = |input: &mut Input<'_>| match input.byte() % 4 {
        0 => {
            let len = usize::from(input.byte()) * 40;
            Wanted::Bytes(input.take(len).to_vec())
        }
        1 => Wanted::Json(format!("[{}]", input.byte())),
        _ => {
            let tensors = (0..input.byte() % 6).map(|_| {
                let dtype = Dtype::from_byte(1 + input.byte() % 13).expect("dtypes are numbered from 1 to 13");
                let rank = input.byte() % 5;
                let shape = (0..rank).map(|_| u64::from(input.byte() % 9)).collect::<Vec<_>>();
                let len = shape.iter().product::<u64>() as usize * dtype.size_bytes() as usize;
                let mut bytes = input.take(len).to_vec();
                bytes.resize(len, 7);
                (input.name(), dtype, shape, bytes)
            });
            Wanted::Tensors(tensors.collect())
        }
    };
    (0..chunks).map(|_| (input.name(), chunk(input))).collect()
}

/// Builds content from the bytes and saves it. What the writer takes must come back, whole, from both readers; and the
/// same content gives the same bytes.
///
/// # Panics
/// When it does not.
pub fn writer(bytes: &[u8]) {
    let mut input = Input(bytes);
    let options = SaveOptions::new(Durability::None)
        .block_log2(12 + input.byte() % 3)
        .uuid([input.byte(); 16])
        .created_unix_ns(u64::from(input.byte()));
    let metadata = format!(r#"{{"k":{}}}"#, input.byte());
    let chunks = wanted(&mut input);
    let mut content = Content::new().metadata(&metadata);
    for (name, chunk) in &chunks {
        content = match chunk {
            Wanted::Bytes(bytes) => content.bytes(name, bytes),
            Wanted::Json(text) => content.json(name, text),
            Wanted::Tensors(tensors) => {
                let sources = tensors.iter().map(|(name, dtype, shape, bytes)| {
                    TensorSource::new(name, *dtype, shape, bytes).expect("the bytes are as long as the shape says")
                });
                content.tensors(name, sources)
            }
        };
    }
    let path = Path::new("out/file.fold");
    let memory = Memory::default();
    // A name that is not allowed or used twice is the caller's error; nothing else can be wrong here.
    if let Err(error) = save(&memory, path, &content, &options) {
        assert_eq!(error.class(), fold_format::Class::Misuse, "{error}");
        assert!(memory.get(path).is_none());
        return;
    }
    let file = memory.get(path).expect("a successful save leaves the file");
    let again = Memory::default();
    save(&again, path, &content, &options).expect("what was saved once is saved again");
    assert!(
        again.get(path).as_ref() == Some(&file),
        "the same content gives the same bytes"
    );

    let report = verify_source(&file[..], Depth::All, VerifyOptions::default()).expect("memory is read");
    assert_eq!(report.verdict, Verdict::Ok, "{:?}", report.findings);
    let slow = slow::whole(&file).expect("the second reader finds the file whole");
    let fast = Checkpoint::open_source(&file[..], &OpenOptions::default()).expect("a whole file opens");
    assert_eq!(
        (fast.metadata(), slow.metadata.as_str()),
        (metadata.as_str(), metadata.as_str())
    );
    assert_eq!(slow.chunks.len(), chunks.len());
    for (read, (name, written)) in slow.chunks.iter().zip(&chunks) {
        assert_eq!(&read.name, name);
        match written {
            Wanted::Bytes(bytes) => assert!(fast.chunk(name).expect("readable") == *bytes, "{name}"),
            Wanted::Json(text) => assert_eq!(fast.chunk(name).expect("readable"), text.as_bytes(), "{name}"),
            Wanted::Tensors(tensors) => {
                for (name, _, shape, bytes) in tensors {
                    let tensor = fast.tensor(name).expect("readable");
                    assert!(tensor.as_bytes() == bytes.as_slice(), "{name}");
                    let second = slow
                        .tensors
                        .as_ref()
                        .expect("whole")
                        .iter()
                        .find(|tensor| &tensor.name == name);
                    let second = second.expect("the second reader has the tensor");
                    assert_eq!((&second.shape, second.bytes.as_ref()), (shape, Ok(bytes)), "{name}");
                }
            }
        }
    }
}
