//! What was aimed at, as ratios of times within one group.

use super::record::Record;

/// `case` takes at most `most` times as long as `other`.
pub(super) struct Goal {
    pub(super) claim: &'static str,
    group: &'static str,
    case: &'static str,
    other: &'static str,
    pub(super) most: f64,
}

const LOAD: &str = "load all";
const SAVE: &str = "save";
const MANY: &str = "many small tensors";

pub(super) const ALL: &[Goal] = &[
    Goal {
        claim: "a verified mapped load takes at most 1 / 0.9 of reading the same mapping once",
        group: LOAD,
        case: "fold: the same on one thread",
        other: "limit: map and read every byte once",
        most: 1.0 / 0.9,
    },
    Goal {
        claim: "it is three times as fast as safetensors with a BLAKE3 of the file",
        group: LOAD,
        case: "fold: map and verify every tensor",
        other: "safetensors: map and BLAKE3 of the file",
        most: 1.0 / 3.0,
    },
    Goal {
        claim: "verifying a file takes at most 1 / 0.85 of reading it",
        group: LOAD,
        case: "fold: verify the file",
        other: "limit: read through one buffer",
        most: 1.0 / 0.85,
    },
    Goal {
        claim: "one tensor of a large file is there as soon as with safetensors",
        group: "load one tensor",
        case: "fold: map, one tensor verified",
        other: "safetensors: map, one tensor (unverified)",
        most: 1.0,
    },
    Goal {
        claim: "opening 100,000 tensors is ten times as fast as with safetensors",
        group: MANY,
        case: "fold: open, one tensor verified",
        other: "safetensors: map, one tensor (unverified)",
        most: 0.1,
    },
    Goal {
        claim: "a durable save takes at most 1 / 0.9 of a direct write and flush",
        group: SAVE,
        case: "fold: durable",
        other: "limit: direct write and flush",
        most: 1.0 / 0.9,
    },
    Goal {
        claim: "it is twice as fast as safetensors with a flush",
        group: SAVE,
        case: "fold: durable",
        other: "safetensors: flushed",
        most: 0.5,
    },
    Goal {
        claim: "it is faster than safetensors without a flush",
        group: SAVE,
        case: "fold: durable",
        other: "safetensors: not flushed",
        most: 1.0,
    },
    Goal {
        claim: "it takes at most 1.1 times a plain write and flush",
        group: SAVE,
        case: "fold: durable",
        other: "plain write and flush",
        most: 1.1,
    },
    Goal {
        claim: "with parity low it takes at most 1.3 times as long",
        group: SAVE,
        case: "fold: durable, parity low",
        other: "fold: durable",
        most: 1.3,
    },
    Goal {
        claim: "1000 neurons step 1.7 times as fast on all threads of two cores",
        group: "step: n=1000 D=8 S=64 B=32",
        case: "all threads",
        other: "1 thread",
        most: 1.0 / 1.7,
    },
];

const PEERS_SAVE: &str = "peers: save raw";
const PEERS_LOAD: &str = "peers: load raw";
const PEERS_PACK: &str = "peers: save compressed";
const PEERS_UNPACK: &str = "peers: load compressed";

/// Of the report beside Python packages.
pub(super) const PEERS: &[Goal] = &[
    Goal {
        claim: "a durable save is three times as fast as PyFolds' save",
        group: PEERS_SAVE,
        case: "fold: durable",
        other: "PyFolds 1.0.2",
        most: 1.0 / 3.0,
    },
    Goal {
        claim: "it is as fast as safetensors' save without a flush",
        group: PEERS_SAVE,
        case: "fold: durable",
        other: "safetensors",
        most: 1.0,
    },
    Goal {
        claim: "a durable compressed save is four times as fast as PyFolds' with zstd",
        group: PEERS_PACK,
        case: "fold: shuffle-zstd, durable",
        other: "PyFolds 1.0.2 zstd",
        most: 0.25,
    },
    Goal {
        claim: "a compressed save is as fast as blosc2's",
        group: PEERS_PACK,
        case: "fold: shuffle-zstd",
        other: "blosc2 bitshuffle zstd 1",
        most: 1.0,
    },
    Goal {
        claim: "a verified mapped load is twenty times as fast as PyFolds' verified load",
        group: PEERS_LOAD,
        case: "fold: mapped, verified",
        other: "PyFolds 1.0.2 (CRC-32C and SHA-256)",
        most: 0.05,
    },
    Goal {
        claim: "it is eight times as fast as NumPy's npz",
        group: PEERS_LOAD,
        case: "fold: mapped, verified",
        other: "NumPy npz (CRC-32)",
        most: 0.125,
    },
    Goal {
        claim: "it is eight times as fast as HDF5 with fletcher32",
        group: PEERS_LOAD,
        case: "fold: mapped, verified",
        other: "HDF5 fletcher32",
        most: 0.125,
    },
    Goal {
        claim: "a verified compressed load is eight times as fast as PyFolds' with zstd",
        group: PEERS_UNPACK,
        case: "fold: shuffle-zstd, verified",
        other: "PyFolds 1.0.2 zstd (CRC-32C and SHA-256)",
        most: 0.125,
    },
    Goal {
        claim: "a verified compressed load is as fast as blosc2's unverified one",
        group: PEERS_UNPACK,
        case: "fold: shuffle-zstd, verified",
        other: "blosc2 bitshuffle zstd 1 (unverified)",
        most: 1.0,
    },
    Goal {
        claim: "one neuron with one sample steps a hundred times as fast as compiled PyTorch",
        group: "peers: step n=1 D=8 S=64 B=1",
        case: "fold",
        other: "PyTorch torch.compile",
        most: 0.01,
    },
    Goal {
        claim: "with 32 samples, eight times",
        group: "peers: step n=1 D=8 S=64 B=32",
        case: "fold",
        other: "PyTorch torch.compile",
        most: 0.125,
    },
    Goal {
        claim: "100 neurons with one sample step ten times as fast as compiled PyTorch",
        group: "peers: step n=100 D=8 S=64 B=1",
        case: "fold",
        other: "PyTorch torch.compile",
        most: 0.1,
    },
    Goal {
        claim: "with 32 samples, as fast",
        group: "peers: step n=100 D=8 S=64 B=32",
        case: "fold",
        other: "PyTorch torch.compile",
        most: 1.0,
    },
    Goal {
        claim: "with 256 samples, as fast",
        group: "peers: step n=100 D=8 S=64 B=256",
        case: "fold",
        other: "PyTorch torch.compile",
        most: 1.0,
    },
];

impl Goal {
    /// The measured ratio; `None` where one of the two was not measured.
    pub(super) fn measured(&self, record: &Record) -> Option<f64> {
        record.ratio(self.group, self.case, self.other)
    }
}
