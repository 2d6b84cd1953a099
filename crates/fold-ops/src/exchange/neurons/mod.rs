//! The state of PyFolds' neurons as arrays, and back: nothing is lost, and what has no counterpart is named.
//!
//! A state dict has a tensor of one element for each number of each synapse: tens of thousands for a layer. This project
//! keeps a layer as arrays over its neurons ([`fold_core::LayerState`], [`crate::bridge`]). Gathered, a dict is both: three of
//! its numbers have their place in a layer,
//!
//! | tensor of the dict | array | type, shape |
//! |---|---|---|
//! | `dendrites.<d>.synapses.<s>.N` | `<layer>.filaments` | u8 [n, D, S]; where an N has no place in a byte it is not mapped |
//! | `dendrites.<d>.synapses.<s>.I` | `<layer>.internal` | f32 [n, D, S] |
//! | `homeostasis.theta` | `<layer>.theta` | f32 \[n\] |
//!
//! and everything else of a neuron becomes `<layer>.pyfolds.<name>`, `[n, D, S]` or `[n, the tensor's shape]`. What belongs to
//! no neuron, or to one whose synapses are not alike, stays as it is. The numbers are those of PyFolds: its I ranges over
//! i_min..i_max, that of a layer is the residual of a quantiser, so a layer takes them where its parameters allow them.
//!
//! A layer is called as its neurons are: `layers.hidden.neurons.3.` is in `layers.hidden`, a neuron that is the whole dict in
//! `layer0`. What the dict was is kept beside the arrays, so any order, any class of neuron and any version of PyFolds comes
//! back as it was.

mod gather;
mod layout;
mod scatter;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde::Serialize;

use self::layout::Item;
use super::document::{Body, Document};
use crate::error::Error;
use crate::json::Int;

pub(super) use self::layout::Layout;

/// Filaments of a layer.
const FILAMENTS: &str = "filaments";
/// Internal potentials of a layer.
const INTERNAL: &str = "internal";
/// Thresholds of a layer.
const THETA: &str = "theta";
/// Under a layer's name: what it has no counterpart for.
const KEPT: &str = "pyfolds";

/// How the state of neurons is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StateForm {
    /// Arrays over all neurons of a layer.
    Arrays,
    /// PyFolds' state dict: a tensor for each number of each synapse.
    Dict,
}

/// What became of the state of neurons.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct StateReport {
    /// `arrays` or `dict`.
    pub form: &'static str,
    /// Neurons.
    pub neurons: Int,
    /// Tensors of the dict that belong to neurons.
    pub tensors: Int,
    /// What has a counterpart: the dict's name without its neuron, and the array.
    pub mapped: Vec<Mapped>,
    /// What has none and is kept: arrays, in the form `arrays`; in the form `dict`, tensors that stay as they are.
    pub kept: Vec<String>,
    /// In the form `arrays`: tensors that belong to no neuron, or to one that is not as others are; left as they are.
    pub untouched: Vec<String>,
}

/// A tensor of every neuron or synapse, and the array that it is in.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Mapped {
    /// For example `dendrites.*.synapses.*.N`.
    pub tensor: String,
    /// For example `layer0.filaments`.
    pub array: String,
}

/// Lays the neurons of a document out as asked. None where it has none, and where they lie so already.
///
/// # Errors
/// A tensor cannot be read.
pub(super) fn arrange(document: &mut Document, form: StateForm) -> Result<Option<StateReport>, Error> {
    let mut whole: Option<StateReport> = None;
    for part in &mut document.parts {
        let Body::Tensors { tensors, layout, .. } = &mut part.body else {
            continue;
        };
        let report = match form {
            StateForm::Arrays => {
                let gathered = gather::gather(tensors).map_err(super::unread)?;
                gathered.map(|gathered| {
                    let report = gathered.report(tensors.len());
                    *tensors = [gathered.arrays, gathered.kept].concat();
                    *layout = Some(gathered.layout);
                    report
                })
            }
            StateForm::Dict => match scatter::layout_of_layers(tensors) {
                None => None,
                Some(layers) => {
                    let before: BTreeSet<String> = tensors.iter().map(|tensor| tensor.name.clone()).collect();
                    *tensors = scatter::scatter(tensors, &layers)?;
                    let kept = tensors.iter().map(|tensor| &tensor.name);
                    let kept: Vec<String> = kept.filter(|name| before.contains(*name)).cloned().collect();
                    Some(StateReport {
                        form: "dict",
                        tensors: Int(tensors.len().saturating_sub(kept.len()) as u64),
                        kept,
                        untouched: Vec::new(),
                        ..layers.report()
                    })
                }
            },
        };
        whole = match (whole, report) {
            (Some(whole), Some(report)) => Some(whole.with(report)),
            (whole, report) => whole.or(report),
        };
    }
    Ok(whole)
}

/// Takes the arrays of a part apart again, where it says how.
///
/// # Errors
/// An array is not what the layout says.
pub(super) fn restore(body: &mut Body) -> Result<(), Error> {
    if let Body::Tensors { tensors, layout, .. } = body
        && let Some(layout) = layout.take()
    {
        *tensors = scatter::scatter(tensors, &layout)?;
    }
    Ok(())
}

impl gather::Gathered {
    fn report(&self, tensors: usize) -> StateReport {
        StateReport {
            tensors: Int(tensors.saturating_sub(self.kept.len()) as u64),
            untouched: self.kept.iter().map(|tensor| tensor.name.clone()).collect(),
            ..self.layout.report()
        }
    }
}

impl Layout {
    /// What its layers map and keep.
    fn report(&self) -> StateReport {
        let mut report = StateReport {
            form: "arrays",
            neurons: Int(self.layers.iter().map(|layer| layer.dims[0]).sum()),
            tensors: Int(0),
            mapped: Vec::new(),
            kept: Vec::new(),
            untouched: Vec::new(),
        };
        for layer in &self.layers {
            let own = format!("{}.{KEPT}.", layer.name);
            for item in &layer.items {
                let (entries, before) = match item {
                    Item::Neuron(entry) => (std::slice::from_ref(entry), ""),
                    Item::Synapses(entries) => (entries.as_slice(), "dendrites.*.synapses.*."),
                };
                for entry in entries {
                    match entry.array.starts_with(&own) {
                        true => report.kept.push(entry.array.clone()),
                        false => report.mapped.push(Mapped {
                            tensor: format!("{before}{}", entry.tensor),
                            array: entry.array.clone(),
                        }),
                    }
                }
            }
        }
        report
    }
}

impl StateReport {
    fn with(mut self, other: Self) -> Self {
        self.neurons.0 = self.neurons.0.saturating_add(other.neurons.0);
        self.tensors.0 = self.tensors.0.saturating_add(other.tensors.0);
        self.mapped.extend(other.mapped);
        self.kept.extend(other.kept);
        self.untouched.extend(other.untouched);
        self
    }
}
