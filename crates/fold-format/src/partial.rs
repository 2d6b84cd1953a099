//! Parts of tensors and chunks, for what is too large to be in memory as a whole.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use crate::checkpoint::{Checkpoint, Reading};
use crate::error::{Error, Misuse};
use crate::source::ReadAt;
use crate::wire::len_u64;

impl<S: ReadAt> Checkpoint<S> {
    /// Fills `buffer` with a tensor's bytes from the byte `start` on, and verifies exactly the blocks they lie on.
    ///
    /// # Errors
    /// As [`Checkpoint::tensor`]; the buffer then holds nothing of use. [`Misuse::BufferLength`] where the tensor ends
    /// before the buffer.
    pub fn read_tensor_part(&self, name: &str, start: u64, buffer: &mut [u8]) -> Result<(), Error> {
        self.naming(|| {
            let entry = self.directory.tensor(name)?;
            within(entry.len, start, buffer)?;
            let (reading, range) = self.locate(&entry)?;
            self.read_content(reading, range.start.saturating_add(start), buffer)
        })
    }

    /// As [`Checkpoint::read_tensor_part`], for a chunk's decoded content.
    ///
    /// # Errors
    /// As [`Checkpoint::read_tensor_part`]; [`Misuse::NoSuchChunk`].
    pub fn read_chunk_part(&self, name: &str, start: u64, buffer: &mut [u8]) -> Result<(), Error> {
        self.naming(|| {
            let (_, chunk) = self.directory.chunk(name)?;
            within(chunk.content_len, start, buffer)?;
            let reading = Reading {
                chunk,
                chunk_name: name,
                tensor: None,
            };
            self.read_content(reading, start, buffer)
        })
    }
}

/// What is asked for lies inside of what there is.
fn within(len: u64, start: u64, buffer: &[u8]) -> Result<(), Misuse> {
    let actual = len_u64(buffer.len());
    match start.checked_add(actual) {
        Some(end) if end <= len => Ok(()),
        _ => Err(Misuse::BufferLength {
            expected: len.saturating_sub(start),
            actual,
        }),
    }
}

#[cfg(test)]
#[allow(
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    reason = "tests may panic"
)]
mod tests {
    use super::*;
    use crate::{Content, Disk, Durability, Encoding, SaveOptions, TensorSource, save};

    #[test]
    fn every_part_is_that_of_the_whole_in_every_encoding() {
        let dir = tempfile::tempdir().unwrap();
        let values: Vec<u32> = (0..20_000).collect();
        for encoding in Encoding::ALL {
            let path = dir.path().join(encoding.as_str());
            let tensors = [
                TensorSource::of("a", &[3], &values[..3]).unwrap(),
                TensorSource::of("b", &[20_000], &values).unwrap(),
            ];
            let content = Content::new().tensors("state", tensors).bytes("raw", &[7; 9000]);
            let options = SaveOptions::new(Durability::None).block_log2(12).encoding(*encoding);
            save(&Disk, &path, &content, &options).unwrap();
            let checkpoint = Checkpoint::open(&path).unwrap();
            let whole = checkpoint.tensor("b").unwrap();
            for (start, len) in [
                (0, 80_000),
                (1, 4096),
                (4095, 2),
                (79_999, 1),
                (80_000, 0),
                (8192, 8192),
            ] {
                let mut part = vec![0; len];
                checkpoint.read_tensor_part("b", start, &mut part).unwrap();
                let start = start as usize;
                assert_eq!(part, whole.as_bytes()[start..start + len], "{start} {len}");
            }
            let mut part = [0; 2];
            for start in [79_999, u64::MAX] {
                let error = checkpoint.read_tensor_part("b", start, &mut part).unwrap_err();
                assert!(matches!(error, Error::Misuse(Misuse::BufferLength { .. })), "{error}");
            }
            checkpoint.read_chunk_part("raw", 8998, &mut part).unwrap();
            assert_eq!(part, [7, 7]);
            assert!(checkpoint.read_chunk_part("raw", 8999, &mut part).is_err());
        }
    }
}
