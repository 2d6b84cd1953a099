"""What the scripts of this folder share: the `fold` binary, a scratch folder, comparing tensors bit for bit."""

import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import numpy as np
    import torch
    from pyfolds import MPJRDConfig, MPJRDNeuron, MPJRDNeuronAdvanced  # noqa: F401
    from pyfolds.serialization import foldio
    from safetensors import safe_open  # noqa: F401
    from safetensors.torch import load_file, save_file  # noqa: F401
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

FOLD = sys.argv[1] if len(sys.argv) > 1 else "fold"


def fold(*arguments, exit_code=0):
    """Runs `fold` and returns what it printed."""
    done = subprocess.run([FOLD, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != exit_code:
        sys.exit(f"fold {' '.join(map(str, arguments))}: exit {done.returncode}\n{done.stderr}{done.stdout}")
    return done.stdout


@contextlib.contextmanager
def scratch():
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def bits(tensor):
    """A tensor's bytes, so that NaN equals NaN and -0.0 differs from 0.0."""
    if isinstance(tensor, np.ndarray):
        return tensor.tobytes()
    return tensor.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""


def assert_same(wanted, found, what, ordered=True):
    """Two state dicts with the same names, types, shapes and bytes, and the same order where it counts."""
    names = (list(wanted), list(found)) if ordered else (sorted(wanted), sorted(found))
    assert names[0] == names[1], f"{what}: names or their order: {set(wanted) ^ set(found)}"
    for name, tensor in wanted.items():
        other = found[name]
        assert (tensor.dtype, tuple(tensor.shape)) == (other.dtype, tuple(other.shape)), f"{what}: {name}"
        assert bits(tensor) == bits(other), f"{what}: {name}"


def neuron(kind=None, dendrites=3, synapses=5, steps=8):
    """A neuron that has run."""
    torch.manual_seed(7)
    neuron = (kind or MPJRDNeuron)(MPJRDConfig(n_dendrites=dendrites, n_synapses_per_dendrite=synapses))
    for _ in range(steps):
        neuron(torch.rand(4, dendrites, synapses))
    return neuron


def payloads(path):
    """Every chunk as PyFolds reads and verifies it."""
    with foldio.FoldReader(str(path)) as reader:
        return {name: reader.read_chunk_bytes(name) for name in reader.list_chunks()}


def metadata(path):
    """The metadata of a container without what speaks of the file as a whole."""
    kept = dict(foldio.peek_fold_or_mind(str(path))["metadata"])
    for key in ("chunk_hashes", "manifest_hash"):
        kept.pop(key)
    return kept
