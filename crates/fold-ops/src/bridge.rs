//! State to tensors and back, with nothing lost: the names, types and shapes under which a layer lies in a checkpoint.
//!
//! This is where the container, which does not know what a tensor means, meets the layer, which does not know of files. An
//! array `filaments` of the layer `layer0` is the tensor `layer0.filaments`, with the array's type and shape. What is read
//! was verified by the container; here it is held against what the state needs. The layer's configuration is not stored
//! here: it belongs to the checkpoint's metadata, which the training loop writes.

use std::collections::HashSet;

use fold_advanced::{Layer, LayerBuilder, LayerConfig, StateArray, StateData, StateSlice};
use fold_format::{Checkpoint, Dtype, Element, ReadAt, Shape, TensorSource};

use crate::error::{Error, Mismatch};

/// A copy of a layer's whole dynamic state, to be saved.
///
/// ```
/// use fold_format::Content;
/// use fold_ops::bridge::LayerTensors;
///
/// # fn content(layer: &fold_advanced::Layer) -> Result<(), fold_ops::Error> {
/// let state = LayerTensors::of("layer0", layer);
/// let content = Content::new().tensors("state", state.tensors()?);
/// # let _ = content; Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LayerTensors {
    arrays: Vec<(String, Vec<u64>, StateData)>,
}

impl LayerTensors {
    /// Copies the state of `layer`, whose tensors will be named `<name>.<array>`.
    #[must_use]
    pub fn of(name: &str, layer: &Layer) -> Self {
        let mut arrays = Vec::new();
        layer.visit_state(&mut |array: &str, shape: &[usize], values: StateSlice<'_>| {
            // A usize has at most 64 bits on every platform that the container supports.
            let extents = shape.iter().map(|&extent| extent as u64).collect();
            arrays.push((format!("{name}.{array}"), extents, values.to_data()));
        });
        Self { arrays }
    }

    /// The tensors, borrowing the copy.
    ///
    /// # Errors
    /// `FOLD-E0004`: an array of more than eight dimensions, or not as long as its shape; no mechanism has one.
    pub fn tensors(&self) -> Result<Vec<TensorSource<'_>>, Error> {
        self.arrays
            .iter()
            .map(|(name, shape, data)| tensor(name, shape, data))
            .collect()
    }
}

fn tensor<'a>(name: &'a str, shape: &[u64], data: &'a StateData) -> Result<TensorSource<'a>, Error> {
    match data {
        StateData::U8(values) => Ok(TensorSource::of(name, shape, values)?),
        StateData::U32(values) => Ok(TensorSource::of(name, shape, values)?),
        StateData::U64(values) => Ok(TensorSource::of(name, shape, values)?),
        StateData::F32(values) => Ok(TensorSource::of(name, shape, values)?),
        _ => Err(Error::UnknownArray { array: name.into() }),
    }
}

/// The layer that `config` describes with the state that lies under `name` in the checkpoint: it goes on bit-identically.
///
/// # Errors
/// `FOLD-E0005` there is no layer of that name; `FOLD-E0501` a tensor is missing; `FOLD-E0502` one has another type or shape;
/// `FOLD-E0503` the stored seed or the layer's shape is not that of `config`, or there is state of a mechanism that `config`
/// does not have; `FOLD-E0505` the state breaks an invariant; `FOLD-E0001` `config` itself is not possible; damage where the
/// container finds it, I/O.
pub fn restore_layer<S: ReadAt>(config: LayerConfig, checkpoint: &Checkpoint<S>, name: &str) -> Result<Layer, Error> {
    restored(checkpoint, name, |get| Layer::restore(config, get))
}

/// As [`restore_layer`], for a layer with mechanisms of one's own: `builder` has them, and takes its wiring from the
/// checkpoint.
///
/// # Errors
/// As [`restore_layer`].
pub fn restore_built<S: ReadAt>(builder: LayerBuilder, checkpoint: &Checkpoint<S>, name: &str) -> Result<Layer, Error> {
    restored(checkpoint, name, |get| builder.restore(get))
}

fn restored<S: ReadAt>(
    checkpoint: &Checkpoint<S>,
    name: &str,
    restore: impl FnOnce(&mut dyn FnMut(&str) -> Option<StateArray>) -> fold_advanced::Result<Layer>,
) -> Result<Layer, Error> {
    let mut damage = None;
    let mut asked = HashSet::new();
    let restored = restore(&mut |array: &str| {
        let tensor = format!("{name}.{array}");
        let found = stored_array(checkpoint, &tensor);
        asked.insert(tensor);
        found.unwrap_or_else(|error| {
            damage.get_or_insert(error);
            None
        })
    });
    if let Some(damage) = damage {
        return Err(damage);
    }
    let layer = match restored {
        Ok(layer) => layer,
        Err(source) => return Err(refused(checkpoint, name, source)?),
    };
    match own_tensors(checkpoint, name)?
        .iter()
        .find(|&&tensor| !asked.contains(tensor))
    {
        None => Ok(layer),
        Some(&tensor) => Err(Error::StateLeft {
            layer: name.into(),
            tensor: tensor.into(),
        }),
    }
}

/// Whose fault it is that no layer came of what is stored: the caller's, where name or configuration are of another layer.
fn refused<S: ReadAt>(checkpoint: &Checkpoint<S>, name: &str, source: fold_advanced::Error) -> Result<Error, Error> {
    let layer = name.into();
    Ok(match source {
        fold_advanced::Error::StateMissing { .. } if own_tensors(checkpoint, name)?.is_empty() => {
            Error::NoLayer { layer }
        }
        // The wiring is asked for first. Where the filaments have its shape, the checkpoint agrees with itself.
        fold_advanced::Error::StateShape {
            array: "wiring",
            expected: configured,
            given: stored,
        } if stored_array(checkpoint, &format!("{name}.filaments"))?.is_some_and(|array| array.shape == stored) => {
            Error::LayerShape {
                layer,
                stored,
                configured,
            }
        }
        source => Error::Layer { layer, source },
    })
}

/// The names of the layer's tensors. What belongs to a layer whose name begins with this one's is not its.
fn own_tensors<'c, S: ReadAt>(checkpoint: &'c Checkpoint<S>, layer: &str) -> Result<Vec<&'c str>, Error> {
    let names = || Ok::<_, Error>(checkpoint.tensors()?.map(|info| info.name));
    let layers: HashSet<&str> = names()?.filter_map(|tensor| tensor.strip_suffix(WIRING)).collect();
    let own = |tensor: &&str| {
        let array = tensor.strip_prefix(layer).is_some_and(|rest| rest.starts_with('.'));
        let mut prefixes = tensor.match_indices('.').map(|(at, _)| &tensor[..at]);
        array && !prefixes.any(|prefix| prefix.len() > layer.len() && layers.contains(prefix))
    };
    Ok(names()?.filter(own).collect())
}

/// What the name of every layer's wiring ends with.
const WIRING: &str = ".wiring";

/// One array as it lies in the checkpoint; none where there is no tensor of that name.
fn stored_array<S: ReadAt>(checkpoint: &Checkpoint<S>, name: &str) -> Result<Option<StateArray>, Error> {
    let tensor = match checkpoint.tensor(name) {
        Ok(tensor) => tensor,
        Err(fold_format::Error::Misuse(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let data = match tensor.dtype() {
        Dtype::U8 => StateData::U8(tensor.as_slice()?.to_vec()),
        Dtype::U32 => StateData::U32(tensor.as_slice()?.to_vec()),
        Dtype::U64 => StateData::U64(tensor.as_slice()?.to_vec()),
        Dtype::F32 => StateData::F32(tensor.as_slice()?.to_vec()),
        dtype => {
            return Err(Error::StateMismatch(Box::new(Mismatch {
                tensor: name.into(),
                expected: None,
                dtype,
                shape: *tensor.shape(),
            })));
        }
    };
    // An extent beyond usize cannot be: the tensor's bytes are in memory.
    let shape = tensor.shape().extents().iter().map(|&extent| extent as usize).collect();
    Ok(Some(StateArray { shape, data }))
}

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
        Err(fold_format::Error::Misuse(_)) => return Err(Error::StateMissing { tensor: name.into() }),
        Err(error) => return Err(error.into()),
    };
    if info.dtype != T::DTYPE || info.shape.extents() != shape {
        return Err(Error::StateMismatch(Box::new(Mismatch {
            tensor: name.into(),
            expected: Shape::new(shape).map(|shape| (T::DTYPE, shape)),
            dtype: info.dtype,
            shape: info.shape,
        })));
    }
    Ok(checkpoint.tensor(name)?.as_slice::<T>()?.to_vec())
}
