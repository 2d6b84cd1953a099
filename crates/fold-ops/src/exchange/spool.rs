//! Bytes that have to be decoded or put together before they can be used: in memory while they are few, else in a temporary
//! file without a name.

use std::fs::File;
use std::io::{self, BufWriter, Seek as _, Write};
use std::sync::Arc;

use super::tensor::Bytes;

/// What is kept in memory of one document, all together.
const MEMORY_LEN: usize = 8 << 20;

/// Where one document's decoded bytes go.
#[derive(Debug, Default)]
pub(super) struct Spool {
    in_memory: usize,
    /// The file, and its bytes so far.
    file: Option<(Arc<File>, u64)>,
}

impl Spool {
    /// Keeps bytes.
    ///
    /// # Errors
    /// The temporary file cannot be made or written.
    pub(super) fn keep(&mut self, bytes: Vec<u8>) -> io::Result<Bytes> {
        if self.in_memory.saturating_add(bytes.len()) <= MEMORY_LEN {
            self.in_memory += bytes.len();
            return Ok(Bytes::of(bytes));
        }
        let mut filling = self.fill()?;
        filling.add(&bytes);
        filling.finish()
    }

    /// Begins to keep bytes that come in pieces, in the temporary file.
    ///
    /// # Errors
    /// The temporary file cannot be made.
    pub(super) fn fill(&mut self) -> io::Result<Filling<'_>> {
        let made = match self.file.take() {
            Some(made) => made,
            None => (Arc::new(tempfile::tempfile()?), 0),
        };
        let (file, len) = self.file.insert(made);
        // Pieces that did not come to an end are written over.
        (&**file).seek(io::SeekFrom::Start(*len))?;
        Ok(Filling {
            out: BufWriter::with_capacity(1 << 20, Arc::clone(file)),
            start: *len,
            len,
            written: Ok(()),
        })
    }
}

/// Bytes that are being kept, behind those that were kept before.
#[derive(Debug)]
pub(super) struct Filling<'a> {
    out: BufWriter<Arc<File>>,
    start: u64,
    /// Bytes of the file that are kept.
    len: &'a mut u64,
    written: io::Result<()>,
}

impl Filling<'_> {
    /// Adds a piece; what goes wrong is said at the end.
    pub(super) fn add(&mut self, piece: &[u8]) {
        if self.written.is_ok() {
            self.written = self.out.write_all(piece);
        }
    }

    /// The bytes that were added.
    ///
    /// # Errors
    /// A piece could not be written.
    pub(super) fn finish(mut self) -> io::Result<Bytes> {
        self.written?;
        *self.len = self.out.stream_position()?;
        let file = Arc::clone(self.out.get_ref());
        Ok(Bytes::within(file, self.start..*self.len))
    }
}

/// What `write` puts together, out of memory.
///
/// # Errors
/// As `write`; the temporary file cannot be made or read.
pub(super) fn assembled<T>(write: impl FnOnce(&mut BufWriter<File>) -> io::Result<T>) -> io::Result<(T, Bytes)> {
    let mut out = BufWriter::with_capacity(1 << 20, tempfile::tempfile()?);
    let written = write(&mut out)?;
    let mut file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    let len = file.seek(io::SeekFrom::End(0))?;
    Ok((written, Bytes::within(Arc::new(file), 0..len)))
}
