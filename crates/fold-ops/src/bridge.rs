//! State to tensors and back, with nothing lost: the names, types and shapes under which a layer lies in a checkpoint.
//!
//! This is where the container, which does not know what a tensor means, meets the layer, which does not know of files.
//! What is read was verified by the container; here it is held against what the state needs.

use fold_format::{Checkpoint, Element, ReadAt, Shape};

use crate::error::{Error, Mismatch};

/// Reads one tensor of a checkpoint as elements of the type and shape that the state needs.
///
/// - `shape`: extents, slowest first, as the state has them.
///
/// # Errors
/// `FOLD-E0501` there is no such tensor; `FOLD-E0502` it has another type or shape; damage where the container finds it.
pub fn read_array<T: Element, S: ReadAt>(
    checkpoint: &Checkpoint<S>,
    name: &str,
    shape: &[u64],
) -> Result<Vec<T>, Error> {
    let info = match checkpoint.tensor_info(name) {
        Ok(info) => info,
        Err(fold_format::Error::Misuse(_)) => {
            return Err(Error::StateMissing {
                tensor: name.into(),
                more: 0,
            });
        }
        Err(error) => return Err(error.into()),
    };
    if info.dtype != T::DTYPE || info.shape.extents() != shape {
        return Err(Error::StateMismatch(Box::new(Mismatch {
            tensor: name.into(),
            expected_dtype: T::DTYPE,
            // A shape that no tensor can have differs from that of every tensor; it is shown as a scalar.
            expected_shape: Shape::new(shape).or_else(|| Shape::new(&[])).unwrap_or(info.shape),
            dtype: info.dtype,
            shape: info.shape,
        })));
    }
    Ok(checkpoint.tensor(name)?.as_slice::<T>()?.to_vec())
}
