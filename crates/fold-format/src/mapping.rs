//! Mapping a file (signatures; being filled in).
#![allow(
    unsafe_code,
    reason = "the one module that maps files; every other module of the workspace is free of unsafe"
)]

use std::path::Path;

use crate::checkpoint::{Checkpoint, OpenOptions};
use crate::error::Error;
use crate::source::ReadAt;
use crate::tensor::TensorView;

/// A file mapped for reading, with one bit per block that has been verified.
#[derive(Debug)]
pub struct Mapping {}

impl ReadAt for Mapping {
    fn len(&self) -> std::io::Result<u64> {
        Ok(0)
    }

    fn read_at(&self, _buffer: &mut [u8], _offset: u64) -> std::io::Result<usize> {
        Ok(0)
    }
}

impl Checkpoint<Mapping> {
    /// Maps a file: tensors are slices of the mapping, each block is verified when it is first touched and never again.
    ///
    /// # Safety
    /// Until the last view is gone no process may change or truncate the file.
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub unsafe fn map(_path: impl AsRef<Path>) -> Result<Self, Error> {
        Err(Error::Cancelled)
    }

    /// As [`Checkpoint::map`], with options.
    ///
    /// # Safety
    /// As [`Checkpoint::map`].
    ///
    /// # Errors
    /// As [`Checkpoint::open`].
    pub unsafe fn map_with(_path: impl AsRef<Path>, _options: &OpenOptions) -> Result<Self, Error> {
        Err(Error::Cancelled)
    }

    /// The tensor as a view into the mapping, verified.
    ///
    /// # Errors
    /// As [`Checkpoint::tensor`].
    pub fn tensor_view(&self, _name: &str) -> Result<TensorView<'_>, Error> {
        Err(Error::Cancelled)
    }
}
