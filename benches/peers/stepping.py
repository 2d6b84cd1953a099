"""Steps of a layer by `fold`, by the same mechanisms written with whole-tensor operations of PyTorch, and by PyFolds, in turns.

    python benches/peers/stepping.py target/release/beside FOLDER

Prints CSV as the program perf does; an update is one synapse in one sample. Everything on one thread. PyTorch computes the
same laws in f32 with sums in its own order: it ends with other bits, and need not find the same spikes.
"""

import os
import sys
from math import exp

os.environ["RAYON_NUM_THREADS"] = "1"
from common import *

try:
    from pyfolds import MPJRDConfig, MPJRDNeuron
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

ROUNDS = 7
torch.set_num_threads(1)
beside = Beside(sys.argv[1], sys.argv[2])


class Layer:
    """Drive, k winners, homeostasis, STDP with traces where neurons fire: the layer that the benches step."""

    def __init__(self, n, dendrites, synapses, samples, count, compiled):
        self.count = count
        self.n, self.dendrites, self.samples = n, dendrites, samples
        self.k = -(-n // 25)
        generator = torch.Generator().manual_seed(1)
        self.filaments = torch.randint(7, 24, (n, dendrites * synapses), generator=generator).float()
        self.internal = torch.zeros(n, dendrites * synapses)
        self.theta = torch.ones(n)
        self.trace = torch.zeros(samples, dendrites * synapses)
        self.inputs = [torch.rand(samples, dendrites * synapses, generator=generator) for _ in range(4)]
        self.gain, self.half = 1.0, 0.4 * synapses
        self.turn = 0
        self.step = torch.compile(self.laws, dynamic=False) if compiled else self.laws

    def laws(self, x, filaments, internal, theta, trace):
        weights = torch.log2(1 + filaments) / 5
        by_dendrite = lambda rows: rows.view(rows.shape[0], self.dendrites, -1).transpose(0, 1)
        drive = torch.bmm(by_dendrite(x), by_dendrite(weights).transpose(1, 2))
        rest = 1 / (1 + exp(self.gain * self.half))
        potential = ((torch.sigmoid(self.gain * (drive - self.half)) - rest) / (1 - rest)).sum(0)
        above = potential - theta
        bound = above.topk(self.k, dim=1).values[:, -1:]
        spikes = ((above >= bound) & (above > 0)).float()
        theta = (theta + 0.01 * (spikes.mean(0) - 0.5 * self.k / self.n)).clamp(0.05, self.dendrites + 1.0)
        trace = trace * 0.95 + x
        w = filaments / 31
        both = spikes.t() @ trace
        alone = spikes.sum(0)[:, None] - both
        internal = internal + (0.01 * both * (1 - w) - alone * w) / self.samples
        whole = internal.trunc()
        return (filaments + whole).clamp(0, 31), internal - whole, theta, trace

    def steps(self):
        with torch.inference_mode():
            for _ in range(self.count):
                self.turn = (self.turn + 1) % 4
                self.filaments, self.internal, self.theta, self.trace = self.step(
                    self.inputs[self.turn], self.filaments, self.internal, self.theta, self.trace
                )


def pyfolds(n, dendrites, synapses, samples, count):
    """As many neurons as the layer has: PyFolds steps each by itself."""
    torch.manual_seed(1)
    neurons = [MPJRDNeuron(MPJRDConfig(n_dendrites=dendrites, n_synapses_per_dendrite=synapses)) for _ in range(n)]
    inputs = [torch.rand(samples, dendrites, synapses) for _ in range(4)]

    def steps():
        for turn in range(count):
            for neuron in neurons:
                neuron(inputs[turn % 4])

    return steps


try:
    for n, dendrites, synapses, samples in [
        (1, 8, 64, 1),
        (1, 8, 64, 32),
        (100, 8, 64, 1),
        (100, 8, 64, 32),
        (100, 8, 64, 256),
        (1000, 8, 64, 32),
    ]:
        # Many times what a request takes, and what is in the caches after the case before.
        count = min(max(204800 // (n * samples), 32), 2048)
        case = (n, dendrites, synapses, samples, count)
        # Each shape is compiled for itself.
        torch._dynamo.reset()
        cases = {
            "fold": beside.case(f"step {n} {dendrites} {synapses} {samples} {count}"),
            "PyTorch eager": Layer(*case, False).steps,
            "PyTorch torch.compile": Layer(*case, True).steps,
        }
        # PyFolds steps each neuron by itself: where that comes to an end.
        if n * count <= 6400:
            cases["PyFolds 1.0.2"] = pyfolds(*case)
        updates = n * dendrites * synapses * samples * count
        measure(f"peers: step n={n} D={dendrites} S={synapses} B={samples}", updates, ROUNDS, cases)
finally:
    beside.close()
