//! What a payload holds, by its type: a state, safetensors, arrays, JSON.
#![deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::as_conversions)]

use std::io::{self, Cursor, Read, Seek, SeekFrom};
use std::ops::Range;

use super::chunk::Found;
use super::frame::Keep;
use super::torch::{self, TorchState};
use crate::dtype::{Dtype, Shape};
use crate::interchange::{Array, Fault, npz, safetensors};
use crate::json::{self, Value};
use crate::source::ReadAt;
use crate::wire::len_u64;

/// A payload that was understood.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Content<'a> {
    /// `TSAV`: a state that torch saved.
    State(TorchState<'a>),
    /// `STEN`: safetensors.
    Safetensors(Vec<Array<'a>>),
    /// `NPZ0`: numpy's archive.
    Arrays(Vec<Array<'a>>),
    /// `JSON`.
    Json(Value),
    /// Any other type: bytes.
    Bytes(&'a [u8]),
}

impl<'a> Content<'a> {
    /// Reads a payload. Nothing in it is executed.
    ///
    /// - `ctype`: the chunk's type. - `max_bytes`: the most bytes that arrays may be decompressed to.
    ///
    /// # Errors
    /// [`Fault`]: what is wrong with it, or refused.
    pub fn read(ctype: &str, payload: &'a [u8], max_bytes: u64) -> Result<Self, Fault> {
        Ok(match ctype {
            "TSAV" => Self::State(torch::read(payload)?),
            "STEN" => Self::Safetensors(safetensors::read(payload)?.0),
            "NPZ0" => Self::Arrays(npz::read_all(payload, max_bytes)?),
            "JSON" => Self::Json(json::parse(payload).map_err(Fault::Json)?),
            _ => Self::Bytes(payload),
        })
    }

    /// The tensors, where it holds some, without the rest.
    #[must_use]
    pub fn into_tensors(self) -> Vec<Array<'a>> {
        match self {
            Self::State(state) => state.tensors,
            Self::Safetensors(arrays) | Self::Arrays(arrays) => arrays,
            Self::Json(_) | Self::Bytes(_) => Vec::new(),
        }
    }

    /// The tensors, where it holds some.
    #[must_use]
    pub fn tensors(&self) -> &[Array<'a>] {
        match self {
            Self::State(state) => &state.tensors,
            Self::Safetensors(arrays) | Self::Arrays(arrays) => arrays,
            Self::Json(_) | Self::Bytes(_) => &[],
        }
    }
}

/// The largest JSON chunk that a verification parses; a larger one is read as bytes.
const MAX_JSON_BYTES: u64 = 64 << 20;

/// Whether [`check`] looks into a payload of this type.
pub(crate) fn needed(ctype: &str) -> Keep {
    match ctype {
        "TSAV" | "STEN" | "NPZ0" | "JSON" => Keep::All,
        _ => Keep::Nothing,
    }
}

/// Checks a payload of a known type in bounded memory. Says how many tensors it holds; none where it holds no tensors or
/// is of another type.
pub(crate) fn check<S: ReadAt + ?Sized>(
    ctype: &str,
    payload: &Found,
    source: &S,
    max_bytes: u64,
) -> Result<Option<u64>, Fault> {
    match payload {
        Found::Memory(bytes) => check_reader(ctype, Cursor::new(&**bytes), len_u64(bytes.len()), max_bytes),
        Found::InFile(range) => {
            let section = Section::new(source, range);
            let len = section.len;
            check_reader(ctype, section, len, max_bytes)
        }
    }
}

fn check_reader<R: Read + Seek>(ctype: &str, mut reader: R, len: u64, max_bytes: u64) -> Result<Option<u64>, Fault> {
    let cut_off = |_| Fault::Zip {
        what: "it cannot be read",
    };
    let mut start = |count: u64| -> Result<Vec<u8>, Fault> {
        let mut bytes = Vec::new();
        reader.by_ref().take(count).read_to_end(&mut bytes).map_err(cut_off)?;
        Ok(bytes)
    };
    match ctype {
        "TSAV" => torch::check(reader, len).map(Some),
        "STEN" => {
            let header_len = safetensors::header_len(&start(8)?, len)?;
            let header = safetensors::read_header(&start(header_len)?, len)?;
            Ok(Some(len_u64(header.entries.len())))
        }
        "NPZ0" => {
            let mut npz = npz::Npz::open(reader, max_bytes)?;
            let names = npz.names().to_vec();
            for name in &names {
                npz.check(name)?;
            }
            Ok(Some(len_u64(names.len())))
        }
        "JSON" if len <= MAX_JSON_BYTES => json::parse(&start(len)?).map(|_| None).map_err(Fault::Json),
        _ => Ok(None),
    }
}

/// Tensors that lie in a file as they are: their places, not their bytes.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Located {
    /// Each tensor's name, dtype and shape, and the range of its row-major bytes in the file.
    pub tensors: Vec<(Box<str>, Dtype, Shape, Range<u64>)>,
    /// What stands beside the tensors: in a saved state as in [`TorchState::others`], in safetensors the texts of
    /// `__metadata__`.
    pub others: Vec<(Box<str>, Value)>,
    /// Of a saved state, as in [`TorchState::unkept`].
    pub unkept: torch::Unkept,
}

/// Where the tensors of a payload of a known type lie. None where they have to be decoded, or it holds none.
pub(crate) fn locate<S: ReadAt + ?Sized>(
    ctype: &str,
    place: &Range<u64>,
    source: &S,
) -> Result<Option<Located>, Fault> {
    let mut reader = Section::new(source, place);
    let len = reader.len;
    let in_file = |range: &Range<u64>| {
        let at = |position: u64| place.start.saturating_add(position);
        at(range.start)..at(range.end)
    };
    match ctype {
        "TSAV" => Ok(torch::locate(reader, len)?.map(|located| Located {
            tensors: located
                .tensors
                .into_iter()
                .map(|(name, dtype, shape, range)| (name, dtype, shape, in_file(&range)))
                .collect(),
            others: located.others,
            unkept: located.unkept,
        })),
        "STEN" => {
            let cut_off = |_| Fault::SafetensorsTruncated { len };
            let mut start = |count: u64| -> Result<Vec<u8>, Fault> {
                let mut bytes = Vec::new();
                reader.by_ref().take(count).read_to_end(&mut bytes).map_err(cut_off)?;
                Ok(bytes)
            };
            let header_len = safetensors::header_len(&start(8)?, len)?;
            let header = safetensors::read_header(&start(header_len)?, len)?;
            let tensors = header.entries.into_iter().map(|entry| {
                let end = entry.offset.saturating_add(entry.len);
                (entry.name, entry.dtype, entry.shape, in_file(&(entry.offset..end)))
            });
            let texts = header.metadata.iter();
            Ok(Some(Located {
                tensors: tensors.collect(),
                others: texts.map(|(key, text)| (key.clone(), Value::from(&**text))).collect(),
                unkept: torch::Unkept::default(),
            }))
        }
        _ => Ok(None),
    }
}

/// A range of a source as something to read and seek in.
struct Section<'a, S: ?Sized> {
    source: &'a S,
    start: u64,
    len: u64,
    at: u64,
    /// Bytes that were read ahead, and where they begin. They outlast a seek: an archive's headers are visited one by one.
    window: Vec<u8>,
    window_at: u64,
}

/// Bytes that are read at once.
const WINDOW_LEN: usize = 1 << 15;

impl<'a, S: ReadAt + ?Sized> Section<'a, S> {
    fn new(source: &'a S, range: &Range<u64>) -> Self {
        Self {
            source,
            start: range.start,
            len: range.end.saturating_sub(range.start),
            at: 0,
            window: Vec::new(),
            window_at: 0,
        }
    }

    /// Reads from the source at the current position, at most up to the section's end.
    fn read_through(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.len.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let wanted = left.min(buffer.len());
        let buffer = buffer.get_mut(..wanted).unwrap_or_default();
        let read = self.source.read_at(buffer, self.start.saturating_add(self.at))?;
        Ok(read.min(wanted))
    }

    /// The bytes of the window from the current position on.
    fn ahead(&self) -> &[u8] {
        let skipped = self.at.checked_sub(self.window_at);
        let skipped = skipped.and_then(|skipped| usize::try_from(skipped).ok());
        skipped
            .and_then(|skipped| self.window.get(skipped..))
            .unwrap_or_default()
    }
}

impl<S: ReadAt + ?Sized> Read for Section<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = if self.ahead().is_empty() && buffer.len() >= WINDOW_LEN {
            self.read_through(buffer)?
        } else {
            if self.ahead().is_empty() {
                let mut window = std::mem::take(&mut self.window);
                window.resize(WINDOW_LEN, 0);
                let read = self.read_through(&mut window)?;
                window.truncate(read);
                (self.window, self.window_at) = (window, self.at);
            }
            let ahead = self.ahead();
            let count = ahead.len().min(buffer.len());
            if let (Some(to), Some(from)) = (buffer.get_mut(..count), ahead.get(..count)) {
                to.copy_from_slice(from);
            }
            count
        };
        self.at = self.at.saturating_add(len_u64(read));
        Ok(read)
    }
}

impl<S: ReadAt + ?Sized> Seek for Section<'_, S> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::End(by) => self.len.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
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

    #[test]
    fn a_section_reads_what_its_range_holds_wherever_it_was_moved_to() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|number| (number % 251) as u8).collect();
        let (source, range) = (bytes.as_slice(), 1000..150_000_u64);
        let inside = &bytes[1000..150_000];
        let mut section = Section::new(source, &range);
        let mut random = 1_u64;
        for _ in 0..2000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = (random >> 33) % 160_000;
            // Mostly short reads, near to each other, sometimes more than the window.
            let at = if random.is_multiple_of(3) { at } else { at % 50_000 };
            let len = if random.is_multiple_of(7) {
                40_000
            } else {
                (random >> 40) as usize % 100
            };
            assert_eq!(section.seek(SeekFrom::Start(at)).unwrap(), at);
            let mut read = Vec::new();
            section.by_ref().take(len as u64).read_to_end(&mut read).unwrap();
            let start = (at as usize).min(inside.len());
            assert_eq!(read, inside[start..(start + len).min(inside.len())], "{at} {len}");
        }
        assert_eq!(section.seek(SeekFrom::End(-5)).unwrap(), 148_995);
        assert_eq!(section.seek(SeekFrom::Current(2)).unwrap(), 148_997);
        let mut rest = Vec::new();
        section.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, &inside[148_997..]);
    }
}
