//! From arrays back to a state dict.

use std::collections::HashMap;

use fold_format::{Dtype, Shape};

use super::super::tensor::{Bytes, Tensor};
use super::layout::{Entry, Item, Layer, Layout, Names, Step, synapse_name};
use super::{FILAMENTS, INTERNAL, THETA};
use crate::error::{Error, Mismatch};

/// The names of a dict in the order of its steps.
pub(super) fn names(layout: &Layout) -> Vec<String> {
    let mut names = Vec::new();
    for step in &layout.steps {
        match step {
            Step::Kept(name) => names.push(name.clone()),
            Step::Neurons { layer, first, count } => {
                let layer = layout.layer(*layer);
                visit(layer, *first, *count, &mut |_, _, name| names.push(name));
            }
        }
    }
    names
}

/// Calls `each` for every tensor of some neurons of a layer: its entry, its number in the entry's array, its name.
fn visit(layer: Option<&Layer>, first: u64, count: u64, each: &mut impl FnMut(&Entry, u64, String)) {
    let Some(layer) = layer else { return };
    let [neurons, dendrites, synapses] = layer.dims;
    for neuron in first..first.saturating_add(count).min(neurons) {
        let prefix = layer.names.prefix(neuron);
        for item in &layer.items {
            match item {
                Item::Neuron(entry) => each(entry, neuron, format!("{prefix}{}", entry.tensor)),
                Item::Synapses(entries) => {
                    for (dendrite, synapse) in (0..dendrites).flat_map(|d| (0..synapses).map(move |s| (d, s))) {
                        let row = neuron.saturating_mul(dendrites).saturating_add(dendrite);
                        let number = row.saturating_mul(synapses).saturating_add(synapse);
                        for entry in entries {
                            let name = format!("{prefix}{}", synapse_name(dendrite, synapse, &entry.tensor));
                            each(entry, number, name);
                        }
                    }
                }
            }
        }
    }
}

/// Takes arrays apart into the dict that `layout` describes. Tensors that it does not know stay, behind the others.
///
/// # Errors
/// [`Error::StateMissing`], [`Error::StateMismatch`]: an array is not what the layout says; one cannot be read.
pub(super) fn scatter(tensors: &[Tensor], layout: &Layout) -> Result<Vec<Tensor>, Error> {
    let mut left: HashMap<&str, &Tensor> = tensors.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    let mut arrays = HashMap::new();
    for layer in &layout.layers {
        for (entry, per_neuron) in entries(layer) {
            let tensor = left.remove(&*entry.array).ok_or_else(|| missing(&entry.array))?;
            arrays.insert(&*entry.array, fitting(tensor, entry, per_neuron)?);
        }
    }
    let mut dict = Vec::new();
    for step in &layout.steps {
        match step {
            Step::Kept(name) => dict.push(left.remove(&**name).ok_or_else(|| missing(name))?.clone()),
            Step::Neurons { layer, first, count } => {
                visit(layout.layer(*layer), *first, *count, &mut |entry, number, name| {
                    let len = entry.shape.byte_len(entry.dtype).unwrap_or(0);
                    let start = number.saturating_mul(len);
                    if let Some(bytes) = arrays.get(&*entry.array) {
                        dict.push(Tensor {
                            name,
                            dtype: entry.dtype,
                            shape: entry.shape,
                            bytes: bytes.part(start..start.saturating_add(len)),
                        });
                    }
                });
            }
        }
    }
    if let Some(order) = &layout.order {
        let place: HashMap<&str, usize> = order.iter().map(String::as_str).zip(0..).collect();
        dict.sort_by_key(|tensor| place.get(&*tensor.name).copied().unwrap_or(usize::MAX));
    }
    // In the order of the file, not of the map.
    dict.extend(
        tensors
            .iter()
            .filter(|tensor| left.contains_key(&*tensor.name))
            .cloned(),
    );
    Ok(dict)
}

/// The entries of a layer, and how many of its tensors each array holds.
fn entries(layer: &Layer) -> impl Iterator<Item = (&Entry, u64)> {
    let [neurons, dendrites, synapses] = layer.dims;
    let all = dendrites.saturating_mul(synapses).saturating_mul(neurons);
    layer.items.iter().flat_map(move |item| match item {
        Item::Neuron(entry) => vec![(entry, neurons)],
        Item::Synapses(entries) => entries.iter().map(|entry| (entry, all)).collect(),
    })
}

fn missing(tensor: &str) -> Error {
    Error::StateMissing { tensor: tensor.into() }
}

/// The bytes of an array that holds `count` tensors of an entry, in the entry's type.
fn fitting(tensor: &Tensor, entry: &Entry, count: u64) -> Result<Bytes, Error> {
    let len = entry.shape.byte_len(entry.dtype).and_then(|len| len.checked_mul(count));
    if tensor.dtype == entry.dtype && len == Some(tensor.bytes.len()) {
        return Ok(tensor.bytes.clone());
    }
    if tensor.dtype == Dtype::U8 && entry.dtype == Dtype::I32 && tensor.bytes.len() == count {
        let bytes = tensor.bytes.to_vec().map_err(super::super::unread)?;
        let wide: Vec<u8> = bytes.iter().flat_map(|&byte| i32::from(byte).to_le_bytes()).collect();
        return Ok(Bytes::of(wide));
    }
    Err(Error::StateMismatch(Box::new(Mismatch {
        tensor: (&*tensor.name).into(),
        expected: Shape::new(&[count]).map(|shape| (entry.dtype, shape)),
        dtype: tensor.dtype,
        shape: tensor.shape,
    })))
}

/// How the layers of this project would be called in a dict: every `<name>.filaments`, `<name>.internal`, `<name>.theta`
/// of one shape. None where there is no layer.
pub(super) fn layout_of_layers(tensors: &[Tensor]) -> Option<Layout> {
    let by_name: HashMap<&str, &Tensor> = tensors.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    let mut layout = Layout::default();
    for tensor in tensors {
        let Some(name) = tensor
            .name
            .strip_suffix(FILAMENTS)
            .and_then(|name| name.strip_suffix('.'))
        else {
            continue;
        };
        let is = |array: &str, dtype: Dtype, extents: &[u64]| {
            by_name
                .get(&*format!("{name}.{array}"))
                .is_some_and(|tensor| tensor.dtype == dtype && tensor.shape.extents() == extents)
        };
        let &[neurons, dendrites, synapses] = tensor.shape.extents() else {
            continue;
        };
        let dims = [neurons, dendrites, synapses];
        if !(is(FILAMENTS, Dtype::U8, &dims) && is(INTERNAL, Dtype::F32, &dims) && is(THETA, Dtype::F32, &[neurons])) {
            continue;
        }
        let entry = |tensor: &str, dtype, array: &str| {
            Some(Entry {
                tensor: tensor.to_owned(),
                dtype,
                shape: Shape::new(&[1])?,
                array: format!("{name}.{array}"),
            })
        };
        let synapse = vec![entry("N", Dtype::I32, FILAMENTS)?, entry("I", Dtype::F32, INTERNAL)?];
        let theta = entry("homeostasis.theta", Dtype::F32, THETA)?;
        layout.steps.push(Step::Neurons {
            layer: layout.layers.len(),
            first: 0,
            count: neurons,
        });
        layout.layers.push(Layer {
            name: name.to_owned(),
            names: Names::Numbered(format!("{name}.neurons.")),
            dims,
            items: vec![Item::Synapses(synapse), Item::Neuron(theta)],
        });
    }
    (!layout.layers.is_empty()).then_some(layout)
}
