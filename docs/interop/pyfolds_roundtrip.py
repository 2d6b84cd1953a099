"""PyFolds 1.0.2 -> fold -> PyFolds 1.0.2: the neuron that comes back is the one that was saved.

    python docs/interop/pyfolds_roundtrip.py target/debug/fold

Needs pyfolds==1.0.2 and torch. Exit code 0: every tensor came back bit for bit; 77: the packages are missing.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

try:
    import numpy as np
    import torch
    from pyfolds import MPJRDConfig, MPJRDNeuron
    from pyfolds.serialization import foldio
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

fold = sys.argv[1]


def run(*arguments):
    done = subprocess.run([fold, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"fold {arguments}: exit {done.returncode}: {done.stderr}{done.stdout}")


with tempfile.TemporaryDirectory() as folder:
    folder = Path(folder)
    torch.manual_seed(7)
    neuron = MPJRDNeuron(MPJRDConfig(n_dendrites=3, n_synapses_per_dendrite=5))
    for _ in range(8):
        neuron(torch.rand(4, 3, 5))
    for number, (compress, encoding) in enumerate([("none", "raw"), ("zstd", "zstd")]):
        first, second, third = (folder / f"{name}{number}.fold" for name in ("pyfolds", "two", "back"))
        foldio.save_fold_or_mind(neuron, str(first), compress=compress, protection="off")
        run("verify", first)
        run("convert", first, second)
        run("convert", second, third, "--to", "v1", "--encoding", encoding)
        run("diff", first, third)
        again = foldio.load_fold_or_mind(str(third), MPJRDNeuron)
        wanted, found = neuron.state_dict(), again.state_dict()
        assert list(wanted) == list(found), "the tensors' names and order"
        for name, tensor in wanted.items():
            assert tensor.dtype == found[name].dtype and torch.equal(tensor, found[name]), name
        peeked = foldio.peek_fold_or_mind(str(third))
        assert peeked["metadata"]["model_type"] == "MPJRDNeuron"
        arrays, own = foldio.read_nuclear_arrays(str(third)), foldio.read_nuclear_arrays(str(first))
        assert all(np.array_equal(arrays[name], own[name]) for name in own), "the nuclear arrays"
        print(f"{compress}: {len(wanted)} tensors and {len(own)} arrays came back bit for bit")
