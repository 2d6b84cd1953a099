//! Neuron and layer state.
