//! The trace: columns that grow by one row a step, and their way into an archive.

use std::io::{self, BufWriter};
use std::path::Path;

use fold_format::interchange::npz;
use fold_format::{Dtype, Shape};
use serde::Serialize;

use crate::error::{DirectoryOperation, Error};
use crate::json::Int;
use crate::new_file;

/// Values of one row, in the type that the trace has them in.
#[derive(Debug, Clone, Copy)]
pub(super) enum Values<'a> {
    U8(&'a [u8]),
    Bool(&'a [bool]),
    U32(&'a [u32]),
    I32(&'a [i32]),
    U64(&'a [u64]),
    I64(&'a [i64]),
    F32(&'a [f32]),
    F64(&'a [f64]),
}

impl Values<'_> {
    fn dtype(self) -> Dtype {
        match self {
            Self::U8(_) => Dtype::U8,
            Self::Bool(_) => Dtype::Bool,
            Self::U32(_) => Dtype::U32,
            Self::I32(_) => Dtype::I32,
            Self::U64(_) => Dtype::U64,
            Self::I64(_) => Dtype::I64,
            Self::F32(_) => Dtype::F32,
            Self::F64(_) => Dtype::F64,
        }
    }

    /// Appends the bytes, little-endian.
    fn append(self, bytes: &mut Vec<u8>) {
        match self {
            Self::U8(values) => bytes.extend_from_slice(values),
            Self::Bool(values) => bytes.extend(values.iter().map(|&value| u8::from(value))),
            Self::U32(values) => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
            Self::I32(values) => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
            Self::U64(values) => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
            Self::I64(values) => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
            Self::F32(values) => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
            Self::F64(values) => bytes.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        }
    }
}

/// One array of the trace.
#[derive(Debug, Clone)]
struct Column {
    name: String,
    dtype: Dtype,
    row: Vec<usize>,
    rows: Option<u64>,
    bytes: Vec<u8>,
}

impl Column {
    /// [rows, row...].
    fn extents(&self) -> Vec<u64> {
        self.rows
            .into_iter()
            .chain(self.row.iter().map(|&extent| extent as u64))
            .collect()
    }

    fn summary(&self) -> ArraySummary {
        let mut summary = ArraySummary {
            name: self.name.clone(),
            dtype: self.dtype.as_str(),
            shape: self.extents().into_iter().map(Int).collect(),
            min: None,
            max: None,
            non_finite: Int(0),
        };
        let bytes = &self.bytes;
        match self.dtype {
            Dtype::U32 => summary.take(bytes.as_chunks().0.iter().map(|b| u32::from_le_bytes(*b).into())),
            Dtype::I32 => summary.take(bytes.as_chunks().0.iter().map(|b| i32::from_le_bytes(*b).into())),
            Dtype::U64 => summary.take(bytes.as_chunks().0.iter().map(|b| u64::from_le_bytes(*b) as f64)),
            Dtype::I64 => summary.take(bytes.as_chunks().0.iter().map(|b| i64::from_le_bytes(*b) as f64)),
            Dtype::F32 => summary.take(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b).into())),
            Dtype::F64 => summary.take(bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b))),
            // The rest are bytes.
            _ => summary.take(bytes.iter().map(|&byte| byte.into())),
        }
        summary
    }
}

/// What an array of a trace is, and the range of its values.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ArraySummary {
    /// Its name.
    pub name: String,
    /// Its elements' type.
    pub dtype: &'static str,
    /// Its extents, slowest first.
    pub shape: Vec<Int>,
    /// The smallest finite value; none where there is none.
    pub min: Option<f64>,
    /// The largest finite value.
    pub max: Option<f64>,
    /// Values that are NaN or infinite.
    pub non_finite: Int,
}

impl ArraySummary {
    fn take(&mut self, values: impl Iterator<Item = f64>) {
        for value in values {
            if value.is_finite() {
                self.min = Some(self.min.map_or(value, |min| min.min(value)));
                self.max = Some(self.max.map_or(value, |max| max.max(value)));
            } else {
                self.non_finite.0 += 1;
            }
        }
    }
}

/// The arrays of a trace, in the order of their first row.
#[derive(Debug, Clone, Default)]
pub(super) struct Trace {
    columns: Vec<Column>,
}

impl Trace {
    /// Appends a row of shape `row` to the column `name`. Values that are fewer count as
    /// zeros at the end.
    pub(super) fn push(&mut self, name: &str, row: &[usize], values: Values<'_>) {
        let at = self
            .columns
            .iter()
            .position(|column| column.name == name)
            .unwrap_or_else(|| {
                self.columns.push(Column {
                    name: name.to_owned(),
                    dtype: values.dtype(),
                    row: row.to_vec(),
                    rows: Some(0),
                    bytes: Vec::new(),
                });
                self.columns.len() - 1
            });
        let column = &mut self.columns[at];
        let rows = column.rows.unwrap_or(0) + 1;
        column.rows = Some(rows);
        values.append(&mut column.bytes);
        let row_bytes = column.row.iter().product::<usize>() * column.dtype.size_bytes() as usize;
        column.bytes.resize(rows as usize * row_bytes, 0);
    }

    /// Adds an array that is there once.
    pub(super) fn set(&mut self, name: &str, shape: &[usize], values: Values<'_>) {
        let mut bytes = Vec::new();
        values.append(&mut bytes);
        self.columns.push(Column {
            name: name.to_owned(),
            dtype: values.dtype(),
            row: shape.to_vec(),
            rows: None,
            bytes,
        });
    }

    /// Bytes of all columns.
    pub(super) fn byte_len(&self) -> u64 {
        self.columns.iter().map(|column| column.bytes.len() as u64).sum()
    }

    /// What each array is, and its range.
    pub(super) fn summaries(&self) -> Vec<ArraySummary> {
        self.columns.iter().map(Column::summary).collect()
    }

    /// Writes the archive under `path`, which must not be taken.
    pub(super) fn save(&self, path: &Path) -> Result<(), Error> {
        new_file::create(path, None, |file| {
            self.write(BufWriter::new(file)).map_err(|source| Error::Directory {
                operation: DirectoryOperation::Write,
                path: path.into(),
                source,
            })
        })
    }

    fn write(&self, out: impl io::Write + io::Seek) -> io::Result<()> {
        let mut writer = npz::Writer::new(out);
        for column in &self.columns {
            let extents = column.extents();
            let shape = Shape::new(&extents).ok_or(io::ErrorKind::InvalidInput)?;
            writer.add(&column.name, column.dtype, &shape, &column.bytes)?;
        }
        writer.finish()?.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fold_format::interchange::npz::read_all;

    #[test]
    fn rows_are_padded_names_kept_and_a_taken_target_is_left_alone() {
        let mut trace = Trace::default();
        trace.push("step.u", &[2], Values::F32(&[1.0, 2.0]));
        trace.push("step.u", &[2], Values::F32(&[3.0]));
        trace.push("step.theta", &[], Values::F32(&[0.5]));
        trace.set("final.N", &[2], Values::I32(&[7, -1]));
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.npz");
        trace.save(&path).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let arrays = read_all(&bytes, 1 << 20).unwrap();
        let found: Vec<_> = arrays
            .iter()
            .map(|a| (&*a.name, a.shape.extents().to_vec(), a.bytes.len()))
            .collect();
        let expected = [
            ("step.u", vec![2, 2], 16),
            ("step.theta", vec![1], 4),
            ("final.N", vec![2], 8),
        ];
        assert_eq!(found, expected);
        assert_eq!(arrays[0].bytes[8..], [[0, 0, 64, 64], [0; 4]].concat());
        assert_eq!(trace.save(&path).unwrap_err().exit().number(), 21);
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        assert_eq!(
            std::fs::read_dir(dir.path()).unwrap().count(),
            1,
            "nothing is left beside it"
        );
    }
}
