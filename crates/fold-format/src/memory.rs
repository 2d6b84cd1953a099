//! Memory that is read into and written from: aligned, and an error where there is none.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

use crate::error::{IoFault, Operation};

/// A page: what direct I/O asks for, and what a copy from the page cache is fastest into.
pub(crate) const PAGE: usize = 4096;

/// A lack of memory, as every reading call reports it.
pub(crate) fn out_of_memory() -> IoFault {
    IoFault::new(Operation::Allocate, None, io::ErrorKind::OutOfMemory.into())
}

/// `len` zeros, wherever they lie.
///
/// # Errors
/// There is no memory for them.
pub(crate) fn zeros(len: u64) -> Result<Vec<u8>, IoFault> {
    let len = usize::try_from(len).map_err(|_| out_of_memory())?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(|_| out_of_memory())?;
    bytes.resize(len, 0);
    Ok(bytes)
}

/// From this length on, memory comes from the system in huge pages where it has them: getting a page of 4 KiB takes longer than
/// filling it.
#[cfg(target_os = "linux")]
const HUGE_LEN: usize = 4 << 20;

/// Memory, wherever it lies: zeros to be written over, or bytes that were there already.
#[derive(Debug)]
pub(crate) struct Room(Pages);

#[derive(Debug)]
enum Pages {
    Heap(Vec<u8>),
    #[cfg(target_os = "linux")]
    Huge(memmap2::MmapMut),
}

impl Room {
    /// `len` zeros.
    ///
    /// # Errors
    /// There is no memory for them.
    pub(crate) fn zeroed(len: u64) -> Result<Self, IoFault> {
        #[cfg(target_os = "linux")]
        if let Ok(len) = usize::try_from(len)
            && len >= HUGE_LEN
            && let Ok(pages) = memmap2::MmapMut::map_anon(len)
        {
            // Where this is refused, the pages are small ones.
            let _ = pages.advise(memmap2::Advice::HugePage);
            return Ok(Self(Pages::Huge(pages)));
        }
        zeros(len).map(Self::of)
    }

    /// These bytes.
    pub(crate) const fn of(bytes: Vec<u8>) -> Self {
        Self(Pages::Heap(bytes))
    }
}

impl Default for Room {
    fn default() -> Self {
        Self::of(Vec::new())
    }
}

impl Deref for Room {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Pages::Heap(bytes) => bytes,
            #[cfg(target_os = "linux")]
            Pages::Huge(bytes) => bytes,
        }
    }
}

impl DerefMut for Room {
    fn deref_mut(&mut self) -> &mut [u8] {
        match &mut self.0 {
            Pages::Heap(bytes) => bytes,
            #[cfg(target_os = "linux")]
            Pages::Huge(bytes) => bytes,
        }
    }
}

/// Bytes whose first one lies at a multiple of `ALIGN`, a power of two.
#[derive(Debug, Default)]
pub(crate) struct Aligned<const ALIGN: usize> {
    /// The bytes, with room before and behind them to move the first one to a multiple of `ALIGN`.
    room: Room,
    start: usize,
    len: usize,
}

impl<const ALIGN: usize> Aligned<ALIGN> {
    /// No bytes and no memory.
    pub(crate) const fn new() -> Self {
        Self {
            room: Room::of(Vec::new()),
            start: 0,
            len: 0,
        }
    }

    /// `len` zeros.
    ///
    /// # Errors
    /// There is no memory for them.
    pub(crate) fn zeroed(len: u64) -> Result<Self, IoFault> {
        let mut bytes = Self::new();
        bytes.set_len(usize::try_from(len).map_err(|_| out_of_memory())?)?;
        Ok(bytes)
    }

    /// Sets the length; what the bytes are afterwards is not promised. Memory is kept and taken only for more than ever
    /// before.
    ///
    /// # Errors
    /// There is no memory for them; the bytes are then as before.
    pub(crate) fn set_len(&mut self, len: usize) -> Result<(), IoFault> {
        if self.start.saturating_add(len) > self.room.len() || self.room.is_empty() {
            let room = len.checked_add(ALIGN).ok_or_else(out_of_memory)?;
            let bytes = Room::zeroed(crate::wire::len_u64(room))?;
            self.start = bytes.as_ptr().align_offset(ALIGN).min(ALIGN);
            self.room = bytes;
        }
        self.len = len;
        Ok(())
    }
}

impl<const ALIGN: usize> Deref for Aligned<ALIGN> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let end = self.start.saturating_add(self.len);
        self.room.get(self.start..end).unwrap_or(&[])
    }
}

impl<const ALIGN: usize> DerefMut for Aligned<ALIGN> {
    fn deref_mut(&mut self) -> &mut [u8] {
        let end = self.start.saturating_add(self.len);
        self.room.get_mut(self.start..end).unwrap_or(&mut [])
    }
}

impl<const ALIGN: usize> Clone for Aligned<ALIGN> {
    /// The clone's memory begins elsewhere: the bytes move with their alignment.
    fn clone(&self) -> Self {
        let mut room = vec![0; self.len.saturating_add(ALIGN)];
        let start = room.as_ptr().align_offset(ALIGN).min(ALIGN);
        let end = start.saturating_add(self.len);
        if let Some(bytes) = room.get_mut(start..end) {
            bytes.copy_from_slice(self);
        }
        Self {
            room: Room::of(room),
            start,
            len: self.len,
        }
    }
}

/// What is dear to make and can be used again: as much as was ever in use at once.
#[derive(Debug)]
pub(crate) struct Spares<T>(Mutex<Vec<T>>);

impl<T> Spares<T> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// One that was put back, or a new one.
    ///
    /// # Errors
    /// The one of `make`.
    pub(crate) fn take<E>(&self, make: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let spare = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        spare.map_or_else(make, Ok)
    }

    pub(crate) fn put(&self, spare: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(spare);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_aligned(bytes: &[u8], align: usize) -> bool {
        bytes.as_ptr().align_offset(align) == 0
    }

    #[test]
    fn every_length_is_aligned_also_after_a_change_and_in_a_clone() {
        let mut bytes = Aligned::<PAGE>::new();
        assert!(bytes.is_empty());
        for len in [0, 1, 63, 64, 4096, 4097, 100_000, (4 << 20) + 1, 5] {
            bytes.set_len(len).unwrap();
            assert_eq!(bytes.len(), len);
            assert!(is_aligned(&bytes, PAGE));
            bytes.fill(7);
            let clone = bytes.clone();
            assert!(is_aligned(&clone, PAGE));
            assert_eq!(&*clone, &*bytes);
        }
        let tensor = Aligned::<64>::zeroed(1000).unwrap();
        assert!(is_aligned(&tensor, 64));
        assert_eq!(&*tensor, [0; 1000]);
    }

    #[test]
    fn a_length_that_no_memory_has_is_an_error() {
        let fault = Aligned::<64>::zeroed(u64::MAX).unwrap_err();
        assert_eq!(fault.operation, Operation::Allocate);
        let fault = zeros(u64::MAX).unwrap_err();
        assert_eq!(fault.operation, Operation::Allocate);
    }
}
