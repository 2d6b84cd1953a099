//! From a state dict to arrays.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;

use fold_format::{Dtype, Shape};

use super::super::tensor::{Bytes, Tensor};
use super::layout::{Entry, Item, Layer, Layout, Names, Step, synapse_name};
use super::{FILAMENTS, INTERNAL, KEPT, THETA};

/// What stands behind the name of a neuron, taken apart.
enum Tail<'a> {
    /// `dendrites.<d>.synapses.<s>.<field>`
    Synapse {
        dendrite: u64,
        synapse: u64,
        field: &'a str,
    },
    Neuron(&'a str),
}

/// A number as PyFolds writes it: without a sign and without zeros in front.
fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

fn tail(text: &str) -> Tail<'_> {
    let synapse = || -> Option<Tail<'_>> {
        let (dendrite, rest) = text.strip_prefix("dendrites.")?.split_once('.')?;
        let (synapse, field) = rest.strip_prefix("synapses.")?.split_once('.')?;
        Some(Tail::Synapse {
            dendrite: number(dendrite)?,
            synapse: number(synapse)?,
            field,
        })
    };
    synapse().unwrap_or(Tail::Neuron(text))
}

/// One neuron's tensors, as positions in the dict.
struct Neuron {
    prefix: String,
    /// In the order of the dict.
    tensors: Vec<usize>,
}

/// Finds the neurons: what has a tensor `dendrites.0.synapses.0.N`.
fn neurons(tensors: &[Tensor]) -> (Vec<Neuron>, Vec<Option<usize>>) {
    const FIRST: &str = "dendrites.0.synapses.0.N";
    let mut neurons = Vec::new();
    let mut places = HashMap::new();
    for tensor in tensors {
        if let Some(prefix) = tensor.name.strip_suffix(FIRST)
            && (prefix.is_empty() || prefix.ends_with('.'))
        {
            places.entry(prefix).or_insert_with(|| {
                neurons.push(Neuron {
                    prefix: prefix.to_owned(),
                    tensors: Vec::new(),
                });
                neurons.len() - 1
            });
        }
    }
    let owner = |name: &str| {
        let ends = name.rmatch_indices('.').map(|(at, _)| at + 1).chain([0]);
        ends.filter_map(|end| places.get(name.get(..end)?)).next().copied()
    };
    let owners: Vec<Option<usize>> = tensors.iter().map(|tensor| owner(&tensor.name)).collect();
    for (at, owner) in owners.iter().enumerate() {
        if let Some(neuron) = owner.and_then(|owner| neurons.get_mut(owner)) {
            neuron.tensors.push(at);
        }
    }
    (neurons, owners)
}

/// A neuron's tensors without its name; arrays have no name yet.
#[derive(PartialEq)]
struct Template {
    dims: [u64; 2],
    items: Vec<Item>,
}

/// None where the synapses' tensors are not the same for every synapse.
fn template(neuron: &Neuron, tensors: &[Tensor]) -> Option<Template> {
    let mut items = Vec::new();
    // Field -> its entry, and the synapses that have it.
    let mut fields: Vec<(Entry, HashSet<(u64, u64)>)> = Vec::new();
    let mut at_field: HashMap<&str, usize> = HashMap::new();
    let mut synapses_at = None;
    let (mut dendrites, mut synapses) = (0, 0);
    for tensor in neuron.tensors.iter().filter_map(|&at| tensors.get(at)) {
        let entry = |name: &str| Entry {
            tensor: name.to_owned(),
            dtype: tensor.dtype,
            shape: tensor.shape,
            array: String::new(),
        };
        match tail(tensor.name.strip_prefix(&neuron.prefix)?) {
            Tail::Neuron(name) => items.push(Item::Neuron(entry(name))),
            Tail::Synapse {
                dendrite,
                synapse,
                field,
            } => {
                if synapses_at.is_none() {
                    synapses_at = Some(items.len());
                    items.push(Item::Synapses(Vec::new()));
                }
                let place = *at_field.entry(field).or_insert_with(|| {
                    fields.push((entry(field), HashSet::new()));
                    fields.len() - 1
                });
                let (first, seen) = fields.get_mut(place)?;
                let one = tensor.bytes.len() == tensor.dtype.size_bytes();
                if first.dtype != tensor.dtype
                    || first.shape != tensor.shape
                    || !one
                    || !seen.insert((dendrite, synapse))
                {
                    return None;
                }
                dendrites = dendrites.max(dendrite.checked_add(1)?);
                synapses = synapses.max(synapse.checked_add(1)?);
            }
        }
    }
    let count = dendrites.checked_mul(synapses)?;
    if fields.iter().any(|(_, seen)| seen.len() as u64 != count) {
        return None;
    }
    let entries = fields.into_iter().map(|(entry, _)| entry).collect();
    if let Some(place) = synapses_at.and_then(|at| items.get_mut(at)) {
        *place = Item::Synapses(entries);
    }
    Some(Template {
        dims: [dendrites, synapses],
        items,
    })
}

/// `layers.hidden.neurons.3.` -> `layers.hidden.neurons.` and 3.
fn numbered(prefix: &str) -> Option<(&str, u64)> {
    let rest = prefix.strip_suffix('.')?;
    let base_len = rest.rfind('.').map_or(0, |at| at + 1);
    let (base, digits) = rest.split_at_checked(base_len)?;
    Some((base, number(digits)?))
}

/// The name of a layer: what its neurons are called, without `neurons` and the final dot.
fn layer_name(names: &Names) -> String {
    let (Names::One(text) | Names::Numbered(text)) = names;
    let name = text.strip_suffix("neurons.").unwrap_or(text);
    match name.strip_suffix('.').unwrap_or(name) {
        "" => "layer0".to_owned(),
        name => name.to_owned(),
    }
}

/// What became of a dict.
pub(super) struct Gathered {
    pub(super) arrays: Vec<Tensor>,
    pub(super) kept: Vec<Tensor>,
    pub(super) layout: Layout,
}

/// Gathers what the neurons of a dict have into arrays. None where it has no neurons.
///
/// # Errors
/// The bytes of a tensor cannot be read.
pub(super) fn gather(tensors: &[Tensor]) -> io::Result<Option<Gathered>> {
    let (neurons, owners) = neurons(tensors);
    let templates: Vec<Option<Template>> = neurons.iter().map(|neuron| template(neuron, tensors)).collect();
    let mut layout = Layout::default();
    // Neuron -> its layer and its number there; the neurons of a layer, one after the other.
    let mut places: Vec<Option<(usize, u64)>> = vec![None; neurons.len()];
    let mut members: Vec<Vec<usize>> = Vec::new();
    let mut bases: BTreeMap<&str, usize> = BTreeMap::new();
    // By their numbers, wherever they stand: safetensors sorts 10 before 2.
    let mut by_number: Vec<usize> = (0..neurons.len()).collect();
    by_number.sort_by_key(|&at| {
        neurons
            .get(at)
            .and_then(|neuron| numbered(&neuron.prefix))
            .map(|(_, number)| number)
    });
    for at in by_number {
        let (Some(neuron), Some(Some(own))) = (neurons.get(at), templates.get(at)) else {
            continue;
        };
        let numbered = numbered(&neuron.prefix);
        let joined = numbered.and_then(|(base, number)| {
            let layer = *bases.get(base)?;
            let layer_members = members.get_mut(layer)?;
            let alike = templates.get(*layer_members.first()?)?.as_ref() == Some(own);
            (alike && layer_members.len() as u64 == number).then(|| layer_members.push(at))?;
            Some((layer, number))
        });
        let place = joined.unwrap_or_else(|| {
            let names = match numbered {
                Some((base, 0)) => {
                    bases.insert(base, layout.layers.len());
                    Names::Numbered(base.to_owned())
                }
                _ => Names::One(neuron.prefix.clone()),
            };
            members.push(vec![at]);
            layout.layers.push(Layer {
                name: layer_name(&names),
                names,
                dims: [0, own.dims[0], own.dims[1]],
                items: own.items.clone(),
            });
            (layout.layers.len() - 1, 0)
        });
        if let Some(of_neuron) = places.get_mut(at) {
            *of_neuron = Some(place);
        }
    }
    if layout.layers.is_empty() {
        return Ok(None);
    }
    let place = |at: usize| {
        owners
            .get(at)
            .copied()
            .flatten()
            .and_then(|owner| places.get(owner).copied().flatten())
    };
    let kept: Vec<Tensor> = (0..)
        .zip(tensors)
        .filter(|(at, _)| place(*at).is_none())
        .map(|(_, tensor)| tensor.clone())
        .collect();
    let by_name: HashMap<&str, &Tensor> = tensors.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    let mut taken: HashSet<String> = kept.iter().map(|tensor| tensor.name.clone()).collect();
    let mut arrays = Vec::new();
    for (layer, members) in layout.layers.iter_mut().zip(&members) {
        layer.dims[0] = members.len() as u64;
        arrays.extend(layer_arrays(layer, &by_name, &mut taken)?);
    }
    layout.steps = steps(tensors, place);
    let names = super::scatter::names(&layout);
    if names.len() != tensors.len() || names.iter().zip(tensors).any(|(name, tensor)| *name != tensor.name) {
        layout.order = Some(tensors.iter().map(|tensor| tensor.name.clone()).collect());
    }
    Ok(Some(Gathered { arrays, kept, layout }))
}

/// The dict as tensors that are kept and neurons, each where its first tensor stands.
fn steps(tensors: &[Tensor], place: impl Fn(usize) -> Option<(usize, u64)>) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut seen = HashSet::new();
    for (at, tensor) in tensors.iter().enumerate() {
        let Some((layer, neuron)) = place(at) else {
            steps.push(Step::Kept(tensor.name.clone()));
            continue;
        };
        if !seen.insert((layer, neuron)) {
            continue;
        }
        match steps.last_mut() {
            Some(Step::Neurons {
                layer: last,
                first,
                count,
            }) if *last == layer && *first + *count == neuron => *count += 1,
            _ => steps.push(Step::Neurons {
                layer,
                first: neuron,
                count: 1,
            }),
        }
    }
    steps
}

/// Gathers a layer's arrays and gives each entry the name of its array.
fn layer_arrays(
    layer: &mut Layer,
    by_name: &HashMap<&str, &Tensor>,
    taken: &mut HashSet<String>,
) -> io::Result<Vec<Tensor>> {
    let [count, dendrites, synapses] = layer.dims;
    let prefixes: Vec<String> = (0..count).map(|neuron| layer.names.prefix(neuron)).collect();
    let Layer { name, items, .. } = layer;
    // A layer of the same name, or a kept tensor, may have the array's name already.
    let mut free = |array: String| {
        let mut free = array.clone();
        let mut number = 2;
        while !taken.insert(free.clone()) {
            free = format!("{array}-{number}");
            number += 1;
        }
        free
    };
    let mut arrays = Vec::new();
    for item in items {
        match item {
            Item::Neuron(entry) => {
                let names = prefixes.iter().map(|prefix| format!("{prefix}{}", entry.tensor));
                let bytes = joined(names, by_name)?;
                let one = entry.shape.byte_len(entry.dtype) == Some(entry.dtype.size_bytes());
                let extents = match one {
                    true => vec![count],
                    false => [&[count], entry.shape.extents()].concat(),
                };
                // A tensor of eight dimensions has no room for one more: its neurons stand behind one another.
                let shape = Shape::new(&extents).or(Shape::new(&[bytes.len() as u64 / entry.dtype.size_bytes()]));
                let is_theta = entry.tensor == "homeostasis.theta" && entry.dtype == Dtype::F32 && one;
                entry.array = free(match is_theta {
                    true => format!("{name}.{THETA}"),
                    false => format!("{name}.{KEPT}.{}", entry.tensor),
                });
                arrays.extend(shape.map(|shape| Tensor {
                    name: entry.array.clone(),
                    dtype: entry.dtype,
                    shape,
                    bytes: Bytes::of(bytes),
                }));
            }
            Item::Synapses(entries) => {
                for entry in entries {
                    let names = prefixes.iter().flat_map(|prefix| {
                        let field = &entry.tensor;
                        let of_dendrite = move |dendrite| {
                            (0..synapses)
                                .map(move |synapse| format!("{prefix}{}", synapse_name(dendrite, synapse, field)))
                        };
                        (0..dendrites).flat_map(of_dendrite)
                    });
                    let bytes = joined(names, by_name)?;
                    let narrow = (entry.tensor == "N" && entry.dtype == Dtype::I32)
                        .then(|| narrowed(&bytes))
                        .flatten();
                    let (array, dtype, bytes) = match (&*entry.tensor, entry.dtype, narrow) {
                        (_, _, Some(narrow)) => (format!("{name}.{FILAMENTS}"), Dtype::U8, narrow),
                        ("I", Dtype::F32, _) => (format!("{name}.{INTERNAL}"), Dtype::F32, bytes),
                        (field, dtype, _) => (format!("{name}.{KEPT}.{field}"), dtype, bytes),
                    };
                    entry.array = free(array);
                    arrays.extend(Shape::new(&[count, dendrites, synapses]).map(|shape| Tensor {
                        name: entry.array.clone(),
                        dtype,
                        shape,
                        bytes: Bytes::of(bytes),
                    }));
                }
            }
        }
    }
    Ok(arrays)
}

/// The bytes of tensors, one behind the other.
fn joined(names: impl Iterator<Item = String>, by_name: &HashMap<&str, &Tensor>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for name in names {
        let tensor = by_name.get(name.as_str()).ok_or(io::ErrorKind::NotFound)?;
        let start = bytes.len();
        let len = usize::try_from(tensor.bytes.len()).map_err(|_| io::ErrorKind::OutOfMemory)?;
        bytes.try_reserve(len).map_err(|_| io::ErrorKind::OutOfMemory)?;
        bytes.resize(start + len, 0);
        tensor.bytes.read(0, bytes.get_mut(start..).unwrap_or_default())?;
    }
    Ok(bytes)
}

/// Integers of 32 bits in a byte each; none where one has no place in a byte.
fn narrowed(bytes: &[u8]) -> Option<Vec<u8>> {
    let (integers, _) = bytes.as_chunks();
    integers
        .iter()
        .map(|integer| u8::try_from(i32::from_le_bytes(*integer)).ok())
        .collect()
}
