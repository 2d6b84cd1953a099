//! Bytes to verified tensors.
