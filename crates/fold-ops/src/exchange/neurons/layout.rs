//! How a state dict became arrays: enough to give every tensor its name, type, shape and place back.

use fold_format::json::Value;
use fold_format::{Dtype, Limits, Shape};

/// A layer of neurons with the same tensors.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layer {
    /// What its arrays' names begin with.
    pub(super) name: String,
    pub(super) names: Names,
    /// n, D, S.
    pub(super) dims: [u64; 3],
    /// The tensors of each neuron, in their order.
    pub(super) items: Vec<Item>,
}

/// What the names of a layer's neurons begin with.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Names {
    /// The one neuron's, its final dot included; empty for a neuron that is the whole dict.
    One(String),
    /// This, the neuron's number, a dot.
    Numbered(String),
}

impl Names {
    pub(super) fn prefix(&self, neuron: u64) -> String {
        match self {
            Self::One(prefix) => prefix.clone(),
            Self::Numbered(base) => format!("{base}{neuron}."),
        }
    }
}

/// What stands at one place of every neuron of a layer.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Item {
    /// One tensor; gathered into [n, its shape], [n] where it is one element.
    Neuron(Entry),
    /// These tensors of one element for each synapse, by dendrite, then by synapse; gathered into [n, D, S] each.
    Synapses(Vec<Entry>),
}

/// A tensor of one neuron, or one synapse, and the array that holds it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// Its name behind the neuron's, or the synapse's.
    pub(super) tensor: String,
    pub(super) dtype: Dtype,
    pub(super) shape: Shape,
    /// The array's name.
    pub(super) array: String,
}

/// What stands next in the dict.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Step {
    /// A tensor that belongs to no neuron, or to one that is not as others are: left as it is.
    Kept(String),
    /// Neurons of a layer.
    Neurons { layer: usize, first: u64, count: u64 },
}

/// How a state dict became arrays.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Layout {
    pub(super) layers: Vec<Layer>,
    pub(super) steps: Vec<Step>,
    /// Every name in its order, where that is not the order of the steps.
    pub(super) order: Option<Vec<String>>,
}

/// The name of a synapse's tensor behind its neuron's.
pub(super) fn synapse_name(dendrite: u64, synapse: u64, field: &str) -> String {
    format!("dendrites.{dendrite}.synapses.{synapse}.{field}")
}

impl Layout {
    pub(super) fn layer(&self, number: usize) -> Option<&Layer> {
        self.layers.get(number)
    }

    /// The names of its arrays and of the tensors that it keeps.
    pub(crate) fn array_names(&self) -> Vec<String> {
        let entries = self
            .layers
            .iter()
            .flat_map(|layer| &layer.items)
            .flat_map(|item| match item {
                Item::Neuron(entry) => std::slice::from_ref(entry),
                Item::Synapses(entries) => entries.as_slice(),
            });
        let kept = self.steps.iter().filter_map(|step| match step {
            Step::Kept(name) => Some(name.clone()),
            Step::Neurons { .. } => None,
        });
        entries.map(|entry| entry.array.clone()).chain(kept).collect()
    }

    /// As JSON, for the metadata of the file that holds the arrays.
    pub(crate) fn to_json(&self) -> Value {
        let layers = self.layers.iter().map(|layer| {
            let names = match &layer.names {
                Names::One(prefix) => ("prefix", Value::from(&**prefix)),
                Names::Numbered(base) => ("base", Value::from(&**base)),
            };
            let items = layer.items.iter().map(|item| match item {
                Item::Neuron(entry) => entry.to_json(),
                Item::Synapses(entries) => Value::Array(entries.iter().map(Entry::to_json).collect()),
            });
            Value::object([
                ("name", Value::from(&*layer.name)),
                names,
                ("shape", numbers(&layer.dims)),
                ("items", Value::Array(items.collect())),
            ])
        });
        let steps = self.steps.iter().map(|step| match step {
            Step::Kept(name) => Value::from(&**name),
            Step::Neurons { layer, first, count } => numbers(&[*layer as u64, *first, *count]),
        });
        let mut entries = vec![
            ("layers", Value::Array(layers.collect())),
            ("steps", Value::Array(steps.collect())),
        ];
        if let Some(order) = &self.order {
            entries.push((
                "order",
                Value::Array(order.iter().map(|name| Value::from(&**name)).collect()),
            ));
        }
        Value::object(entries)
    }

    /// From what [`Layout::to_json`] gave; none where it is something else.
    pub(crate) fn of_json(value: &Value) -> Option<Self> {
        let layers = value.get("layers")?.as_array()?.iter().map(Layer::of_json);
        let steps = value.get("steps")?.as_array()?.iter().map(|step| match step {
            Value::String(name) => Some(Step::Kept(name.to_string())),
            step => {
                let [layer, first, count] = triple(step)?;
                let layer = usize::try_from(layer).ok()?;
                Some(Step::Neurons { layer, first, count })
            }
        });
        let order = match value.get("order") {
            None => None,
            Some(order) => {
                let names = order.as_array()?.iter().map(|name| Some(name.as_str()?.to_owned()));
                Some(names.collect::<Option<_>>()?)
            }
        };
        let layout = Self {
            layers: layers.collect::<Option<_>>()?,
            steps: steps.collect::<Option<_>>()?,
            order,
        };
        (layout.tensor_count()? <= Limits::DEFAULT.max_tensors).then_some(layout)
    }

    /// The tensors of the dict, each neuron counted as one more; none on overflow. What is read from a file is walked
    /// through only as far as a container could hold it.
    fn tensor_count(&self) -> Option<u64> {
        self.steps.iter().try_fold(0_u64, |sum, step| {
            let count = match step {
                Step::Kept(_) => 1,
                Step::Neurons { layer, count, .. } => self.layer(*layer)?.neuron_tensors()?.checked_mul(*count)?,
            };
            sum.checked_add(count)
        })
    }
}

impl Layer {
    /// Tensors of one neuron, and one more; none on overflow.
    fn neuron_tensors(&self) -> Option<u64> {
        let [_, dendrites, synapses] = self.dims;
        let all = dendrites.checked_mul(synapses)?;
        self.items.iter().try_fold(1_u64, |sum, item| {
            let count = match item {
                Item::Neuron(_) => 1,
                // Synapses without tensors are walked through all the same.
                Item::Synapses(entries) => all.checked_mul(entries.len().max(1) as u64)?,
            };
            sum.checked_add(count)
        })
    }

    fn of_json(value: &Value) -> Option<Self> {
        let text = |key| Some(value.get(key)?.as_str()?.to_owned());
        let names = match text("base") {
            Some(base) => Names::Numbered(base),
            None => Names::One(text("prefix")?),
        };
        let items = value.get("items")?.as_array()?.iter().map(|item| match item {
            Value::Array(entries) => Some(Item::Synapses(
                entries.iter().map(Entry::of_json).collect::<Option<_>>()?,
            )),
            entry => Some(Item::Neuron(Entry::of_json(entry)?)),
        });
        Some(Self {
            name: text("name")?,
            names,
            dims: triple(value.get("shape")?)?,
            items: items.collect::<Option<_>>()?,
        })
    }
}

impl Entry {
    fn to_json(&self) -> Value {
        Value::object([
            ("tensor", Value::from(&*self.tensor)),
            ("dtype", Value::from(self.dtype.as_str())),
            ("shape", numbers(self.shape.extents())),
            ("array", Value::from(&*self.array)),
        ])
    }

    fn of_json(value: &Value) -> Option<Self> {
        let text = |key| value.get(key)?.as_str();
        let extents = value.get("shape")?.as_array()?.iter().map(Value::as_u64);
        let dtype = text("dtype")?;
        Some(Self {
            tensor: text("tensor")?.to_owned(),
            dtype: Dtype::ALL.iter().copied().find(|known| known.as_str() == dtype)?,
            shape: Shape::new(&extents.collect::<Option<Vec<_>>>()?)?,
            array: text("array")?.to_owned(),
        })
    }
}

fn numbers(numbers: &[u64]) -> Value {
    Value::Array(numbers.iter().copied().map(Value::from).collect())
}

fn triple(value: &Value) -> Option<[u64; 3]> {
    let numbers: Option<Vec<u64>> = value.as_array()?.iter().map(Value::as_u64).collect();
    numbers?.try_into().ok()
}
