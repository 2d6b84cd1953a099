//! A storage that records calls and fails some of them.
//!
//! A test instrument: wraps any back end, numbers the calls that reach it from 0 and makes chosen ones fail.

use std::fs::Permissions;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Storage, StorageFile};
use crate::source::ReadAt;

/// A call that reached the storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Call {
    /// [`Storage::create_new`].
    CreateNew,
    /// [`Storage::open`].
    Open,
    /// [`Storage::rename`] or [`Storage::rename_new`].
    Rename,
    /// [`Storage::remove`].
    Remove,
    /// [`Storage::sync_dir`].
    SyncDir,
    /// [`Storage::exists`].
    Exists,
    /// [`Storage::list`].
    List,
    /// [`StorageFile::write_at`].
    Write,
    /// [`ReadAt::read_at`] on a file.
    Read,
    /// [`ReadAt::len`] on a file.
    Len,
    /// [`StorageFile::set_len`].
    SetLen,
    /// [`StorageFile::sync`].
    Sync,
    /// [`StorageFile::close`].
    Close,
}

/// What happens to a chosen call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// It fails with this number of the system's and has no effect.
    Errno(i32),
    /// A read or write does half of what it was asked for, at least one byte; other calls go through.
    Short,
    /// The process is gone: this call and all that follow fail and have no effect.
    Kill,
}

/// Which calls are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum When {
    /// The call of this number.
    Once(usize),
    /// The call of this number and all later ones of the same kind.
    From(usize),
}

#[derive(Debug)]
struct State {
    calls: Vec<Call>,
    plan: Option<(Fault, When)>,
    persistent: Option<Call>,
    killed: bool,
}

impl State {
    /// Notes a call and says what is to happen to it.
    fn note(&mut self, call: Call) -> Option<Fault> {
        let number = self.calls.len();
        self.calls.push(call);
        if self.killed {
            return Some(Fault::Kill);
        }
        let (fault, when) = self.plan?;
        let hit = match when {
            When::Once(chosen) => number == chosen,
            When::From(chosen) => {
                if number == chosen {
                    self.persistent = Some(call);
                }
                self.persistent == Some(call)
            }
        };
        if !hit {
            return None;
        }
        if fault == Fault::Kill {
            self.killed = true;
        }
        Some(fault)
    }
}

/// A storage that records the calls to `inner` and fails chosen ones.
#[derive(Debug)]
pub struct Faulty<S> {
    inner: S,
    state: Arc<Mutex<State>>,
}

/// A file of a [`Faulty`] storage.
#[derive(Debug)]
pub struct FaultyFile<F> {
    inner: F,
    state: Arc<Mutex<State>>,
}

fn failed(fault: Fault) -> io::Error {
    match fault {
        Fault::Errno(errno) => io::Error::from_raw_os_error(errno),
        Fault::Short | Fault::Kill => io::Error::from(io::ErrorKind::BrokenPipe),
    }
}

fn note(state: &Mutex<State>, call: Call) -> Option<Fault> {
    state.lock().unwrap_or_else(PoisonError::into_inner).note(call)
}

/// Lets a call through that cannot be short, or fails it.
fn gate(state: &Mutex<State>, call: Call) -> io::Result<()> {
    match note(state, call) {
        None | Some(Fault::Short) => Ok(()),
        Some(fault) => Err(failed(fault)),
    }
}

/// How many of `len` bytes a read or write may do, or its failure.
fn allowed(state: &Mutex<State>, call: Call, len: usize) -> io::Result<usize> {
    match note(state, call) {
        None => Ok(len),
        Some(Fault::Short) => Ok(len.div_ceil(2)),
        Some(fault) => Err(failed(fault)),
    }
}

impl<S> Faulty<S> {
    /// Only records.
    pub fn recording(inner: S) -> Self {
        let state = State {
            calls: Vec::new(),
            plan: None,
            persistent: None,
            killed: false,
        };
        Self {
            inner,
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// Records, and fails the chosen calls.
    pub fn failing(inner: S, fault: Fault, when: When) -> Self {
        let faulty = Self::recording(inner);
        faulty.state.lock().unwrap_or_else(PoisonError::into_inner).plan = Some((fault, when));
        faulty
    }

    /// The calls so far, in order.
    #[must_use]
    pub fn calls(&self) -> Vec<Call> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).calls.clone()
    }

    /// The storage behind.
    pub const fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S: Storage> Storage for Faulty<S> {
    type File = FaultyFile<S::File>;

    fn create_new(&self, path: &Path, permissions: Option<&Permissions>) -> io::Result<Self::File> {
        gate(&self.state, Call::CreateNew)?;
        Ok(FaultyFile {
            inner: self.inner.create_new(path, permissions)?,
            state: Arc::clone(&self.state),
        })
    }

    fn open(&self, path: &Path) -> io::Result<Self::File> {
        gate(&self.state, Call::Open)?;
        Ok(FaultyFile {
            inner: self.inner.open(path)?,
            state: Arc::clone(&self.state),
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        gate(&self.state, Call::Rename)?;
        self.inner.rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        gate(&self.state, Call::Rename)?;
        self.inner.rename_new(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        gate(&self.state, Call::Remove)?;
        self.inner.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        gate(&self.state, Call::SyncDir)?;
        self.inner.sync_dir(dir)
    }

    fn permissions(&self, path: &Path) -> io::Result<Option<Permissions>> {
        self.inner.permissions(path)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        gate(&self.state, Call::Exists)?;
        self.inner.exists(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<PathBuf>> {
        gate(&self.state, Call::List)?;
        self.inner.list(dir)
    }
}

impl<F: ReadAt> ReadAt for FaultyFile<F> {
    fn len(&self) -> io::Result<u64> {
        gate(&self.state, Call::Len)?;
        self.inner.len()
    }

    fn permissions(&self) -> io::Result<Option<Permissions>> {
        self.inner.permissions()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let count = allowed(&self.state, Call::Read, buffer.len())?;
        self.inner.read_at(buffer.get_mut(..count).unwrap_or(&mut []), offset)
    }
}

impl<F: StorageFile> StorageFile for FaultyFile<F> {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let count = allowed(&self.state, Call::Write, bytes.len())?;
        self.inner.write_at(bytes.get(..count).unwrap_or(&[]), offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        gate(&self.state, Call::SetLen)?;
        self.inner.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        gate(&self.state, Call::Sync)?;
        self.inner.sync()
    }

    fn close(self) -> io::Result<()> {
        gate(&self.state, Call::Close)?;
        self.inner.close()
    }
}
