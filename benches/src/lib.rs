//! Workloads that the benches share, and the README's example as a doc test.
//!
//! The benches are `container.rs` and `layer_step.rs` beside this folder; `cargo bench --package fold-benches -- --test`
//! runs each once. Nothing here measures.

#[cfg(target_os = "linux")]
use std::fs::File;
use std::path::Path;

use fold_advanced::homeostasis::HomeostasisParams;
use fold_advanced::inhibition::{Contenders, InhibitionParams, Winners};
use fold_advanced::stdp::StdpParams;
use fold_advanced::{Layer, LayerConfig, StepOptions};
use fold_core::params::{DendriteParams, SpikeParams};
use fold_core::{Shape, Wiring};
use fold_format::{Content, Dtype, TensorSource};

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;

/// `len` bytes that do not compress: a multiplicative sequence from `seed`.
#[must_use]
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut next = || {
        state = state
            .wrapping_mul(0x5851_F42D_4C95_7F2D)
            .wrapping_add(0x1405_7B7E_F767_814F);
        (state >> 56) as u8
    };
    (0..len).map(|_| next()).collect()
}

/// Numbers like those of trained weights: f32 around zero, little-endian.
#[must_use]
pub fn weights(len: usize) -> Vec<u8> {
    let uniform = noise(len, 3);
    let mut bytes = Vec::with_capacity(len);
    for four in uniform.as_chunks::<4>().0 {
        // The sum of four uniform bytes is near a normal distribution; the low mantissa bits are noise.
        let sum = four.iter().map(|&byte| f32::from(byte)).sum::<f32>() - 510.0;
        let fine = f32::from(u16::from_le_bytes([four[0] ^ four[2], four[1]])) / 65_536.0;
        bytes.extend_from_slice(&((sum + fine) * 1e-4).to_le_bytes());
    }
    bytes
}

/// The name of a model's tensor number `index`.
#[must_use]
pub fn tensor_name(index: usize) -> String {
    format!("block{index:05}.weight")
}

/// A model of `tensors` f32 tensors of equal size over `bytes`, as content to save.
///
/// # Errors
/// None for a `bytes` that `tensors` times 4 divides.
pub fn model(bytes: &[u8], tensors: usize) -> anyhow::Result<Content<'_>> {
    let each = bytes.len() / tensors;
    let sources = bytes
        .chunks_exact(each)
        .enumerate()
        .map(|(index, data)| TensorSource::new(tensor_name(index), Dtype::F32, &[each as u64 / 4], data))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Content::new().tensors("state", sources))
}

/// Tells the system to forget what it holds of a file; what is not on the disk yet is written first.
///
/// # Errors
/// What the system says.
#[cfg(target_os = "linux")]
pub fn forget(path: &Path) -> anyhow::Result<()> {
    let file = File::open(path)?;
    file.sync_all()?;
    Ok(rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?)
}

/// Elsewhere nothing is known to do that.
///
/// # Errors
/// Always.
#[cfg(not(target_os = "linux"))]
pub fn forget(_: &Path) -> anyhow::Result<()> {
    anyhow::bail!("a cold cache is measured on Linux only")
}

/// The layer that the step benches start from: k-winner competition, potentiation at post spikes, homeostasis.
///
/// - `shape`: [n, D, S], wired to D * S lines that all neurons share. Every 25th neuron may fire in a sample.
#[must_use]
pub fn base(shape: Shape) -> LayerConfig {
    let winners = shape.neurons.div_ceil(25);
    LayerConfig {
        dendrite: DendriteParams {
            threshold: shape.synapses as f32 * 0.4,
            ..DendriteParams::default()
        },
        spike: SpikeParams {
            theta_max: shape.dendrites as f32 + 1.0,
            ..SpikeParams::default()
        },
        inhibition: Some(InhibitionParams {
            winners: Winners::Count(winners),
            contenders: Contenders::AboveThreshold,
        }),
        homeostasis: Some(HomeostasisParams {
            rate_target: 0.5 * winners as f32 / shape.neurons as f32,
            ..HomeostasisParams::default()
        }),
        stdp: Some(StdpParams {
            a_minus: 0.0,
            a_het: 1.0,
            ..StdpParams::default()
        }),
        ..LayerConfig::new(shape, shape.dendrites * shape.synapses, 1)
    }
}

/// The layer of `config` for `samples` samples, wired line by line.
///
/// # Errors
/// As [`Layer::new`] and [`Layer::set_samples`].
pub fn layer(config: LayerConfig, samples: usize) -> anyhow::Result<Layer> {
    let wiring = Wiring::shared(config.shape)?;
    let mut layer = Layer::new(config, wiring)?;
    layer.set_samples(samples)?;
    Ok(layer)
}

/// A layer of [`base`] with its inputs, stepped again and again.
#[derive(Debug)]
pub struct Running {
    layer: Layer,
    inputs: Vec<Vec<f32>>,
    samples: usize,
    turn: usize,
}

impl Running {
    /// A new layer.
    ///
    /// # Errors
    /// As [`layer()`].
    pub fn new(shape: Shape, samples: usize) -> anyhow::Result<Self> {
        let config = base(shape);
        let lines = config.lines as usize;
        Ok(Self {
            inputs: (0..4).map(|seed| rates(samples, lines, seed)).collect(),
            layer: layer(config, samples)?,
            samples,
            turn: 0,
        })
    }

    /// Makes `count` steps and returns how many spikes there were.
    ///
    /// # Errors
    /// As [`Layer::step`].
    pub fn steps(&mut self, count: u64) -> anyhow::Result<u64> {
        let mut spikes = 0;
        for _ in 0..count {
            self.turn = (self.turn + 1) % self.inputs.len();
            let input = &self.inputs[self.turn];
            let step = self.layer.step(input, self.samples, StepOptions::default())?;
            spikes += step.spikes.len() as u64;
        }
        Ok(spikes)
    }
}

/// Rates x [B, M] in [0, 1).
#[must_use]
pub fn rates(samples: usize, lines: usize, seed: u64) -> Vec<f32> {
    noise(samples * lines, seed)
        .into_iter()
        .map(|byte| f32::from(byte) / 256.0)
        .collect()
}
