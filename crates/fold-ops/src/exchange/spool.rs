//! Bytes that have to be decoded or put together before they can be used: in memory while they are few, else in a temporary
//! file without a name.

use std::fs::File;
use std::io::{self, BufWriter, Seek as _, Write};
use std::sync::Arc;

use fold_format::ReadAt;

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
        let (file, len) = match &mut self.file {
            Some(file) => file,
            None => self.file.insert((Arc::new(tempfile::tempfile()?), 0)),
        };
        let start = *len;
        // Appended: what was kept before is read by its place.
        (&**file).write_all(&bytes)?;
        *len = start.saturating_add(bytes.len() as u64);
        let source: Arc<dyn ReadAt> = file.clone();
        Ok(Bytes::within(source, start..*len))
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
