//! The input's arrays, by name, with the type and shape that the case needs.

use std::collections::BTreeMap;
use std::path::Path;

use fold_format::Dtype;
use fold_format::interchange::{Array, npz};
use fold_format::storage::Storage as _;

use super::fault::Fault;
use crate::error::{DirectoryOperation, Error};

/// The largest input that is read, all arrays together: 16 GiB.
const MAX_INPUT_BYTES: u64 = 1 << 34;

/// Prefix of the initial state.
pub(super) const INIT: &str = "init.";

/// The arrays of an input.
pub(super) struct Arrays(BTreeMap<String, Array<'static>>);

impl Arrays {
    /// Reads `x` and `init.*`; what else an archive holds (a recorded trajectory) is passed over unread.
    ///
    /// # Errors
    /// I/O; [`Fault::Archive`].
    pub(super) fn read(path: &Path) -> Result<Self, Error> {
        let file = fold_format::Disk.open(path).map_err(|source| Error::Directory {
            operation: DirectoryOperation::Open,
            path: path.into(),
            source,
        })?;
        let mut archive = npz::Npz::open(std::io::BufReader::new(file), MAX_INPUT_BYTES).map_err(Fault::Archive)?;
        let mut arrays = BTreeMap::new();
        for name in archive.names().to_vec() {
            if &*name == "x" || name.starts_with(INIT) {
                let array = archive.array(&name).map_err(Fault::Archive)?;
                arrays.extend(array.map(|array| (name.into(), array)));
            }
        }
        Ok(Self(arrays))
    }

    /// The names under `init.`, without it.
    pub(super) fn initial(&self) -> impl Iterator<Item = &str> {
        self.0.keys().filter_map(|name| name.strip_prefix(INIT))
    }

    /// The extents of `name`.
    pub(super) fn extents(&self, name: &'static str) -> Result<&[u64], Fault> {
        let array = self.0.get(name).ok_or(Fault::ArrayMissing { array: name })?;
        Ok(array.shape.extents())
    }

    /// `name` as numbers of f32; none where there is no such array.
    pub(super) fn f32s(&self, name: &'static str, shape: &[usize]) -> Result<Option<Vec<f32>>, Fault> {
        self.get(name, shape, Dtype::F32, |bytes| f32::from_le_bytes(*bytes))
    }

    /// `name` as integers of 32 bits.
    pub(super) fn i32s(&self, name: &'static str, shape: &[usize]) -> Result<Option<Vec<i32>>, Fault> {
        self.get(name, shape, Dtype::I32, |bytes| i32::from_le_bytes(*bytes))
    }

    /// `name` as integers of 64 bits.
    pub(super) fn i64s(&self, name: &'static str, shape: &[usize]) -> Result<Option<Vec<i64>>, Fault> {
        self.get(name, shape, Dtype::I64, |bytes| i64::from_le_bytes(*bytes))
    }

    /// `name` as truth values.
    pub(super) fn bools(&self, name: &'static str, shape: &[usize]) -> Result<Option<Vec<bool>>, Fault> {
        self.get(name, shape, Dtype::Bool, |bytes: &[u8; 1]| bytes[0] != 0)
    }

    fn get<T, const N: usize>(
        &self,
        name: &'static str,
        shape: &[usize],
        dtype: Dtype,
        value: impl Fn(&[u8; N]) -> T,
    ) -> Result<Option<Vec<T>>, Fault> {
        let Some(array) = self.0.get(name) else { return Ok(None) };
        let extents = array.shape.extents();
        let fits = extents.len() == shape.len() && extents.iter().zip(shape).all(|(&a, &b)| a == b as u64);
        if array.dtype != dtype || !fits {
            return Err(Fault::ArrayShape {
                array: name,
                found: format!("{} {extents:?}", array.dtype),
                needed: format!("{dtype} {shape:?}"),
            });
        }
        let (chunks, _) = array.bytes.as_chunks::<N>();
        Ok(Some(chunks.iter().map(value).collect()))
    }
}
