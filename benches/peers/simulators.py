"""A plastic layer of spiking neurons by `fold` and by simulators of spiking networks, in turns.

    python benches/peers/simulators.py target/release/beside FOLDER

512 inputs, 100 neurons, every input on every neuron by a plastic synapse with pair STDP, steps of 1 ms, one sample, one thread. Prints CSV
as the program perf does; an update is one synapse in one step. The layers are as each package has them, not the same one: `fold` steps
neurons of 8 dendrites with 64 synapses each, 4 of 100 fire in a step, and its inputs are rates, all of which count in every step. The
others step leaky integrate-and-fire neurons whose inputs are Poisson spikes at 50 Hz, so that 1 input in 20 counts in a step; NEST and
Brian 2 do work for spikes alone. A package that cannot be loaded is left out, and named on standard error.
"""

import os
import sys

os.environ["RAYON_NUM_THREADS"] = "1"
# Its banner would stand among the figures.
os.environ["PYNEST_QUIET"] = "1"
from common import *

INPUTS, NEURONS, STEPS, ROUNDS = 512, 100, 1000, 5
RATE_HZ = 50.0
torch.set_num_threads(1)


def poisson():
    """Spikes [STEPS, 1, INPUTS], 0 or 1."""
    generator = torch.Generator().manual_seed(1)
    return (torch.rand(STEPS, 1, INPUTS, generator=generator) < RATE_HZ / 1000).float()


def nest():
    import nest

    nest.set_verbosity("M_ERROR")
    nest.ResetKernel()
    nest.resolution = 1.0
    nest.local_num_threads = 1
    sources = nest.Create("poisson_generator", INPUTS, {"rate": RATE_HZ})
    inputs = nest.Create("parrot_neuron", INPUTS)
    neurons = nest.Create("iaf_psc_exp", NEURONS)
    nest.Connect(sources, inputs, "one_to_one")
    # The mean current holds the neurons a little above their threshold: some tens of spikes per second.
    weights = nest.random.uniform(min=5.0, max=12.0)
    nest.Connect(inputs, neurons, "all_to_all", {"synapse_model": "stdp_synapse", "weight": weights, "Wmax": 12.0, "delay": 1.0})
    return lambda: nest.Simulate(float(STEPS))


def brian2():
    import brian2 as b

    b.prefs.codegen.target = "cython"
    b.defaultclock.dt = 1 * b.ms
    inputs = b.PoissonGroup(INPUTS, RATE_HZ * b.Hz)
    neurons = b.NeuronGroup(NEURONS, "dv/dt = -v / (20*ms) : 1", threshold="v > 1", reset="v = 0", refractory=2 * b.ms, method="exact")
    synapses = b.Synapses(
        inputs,
        neurons,
        """w : 1
        dpre/dt = -pre / (20*ms) : 1 (event-driven)
        dpost/dt = -post / (20*ms) : 1 (event-driven)""",
        on_pre="v_post += w; pre += 0.00004; w = clip(w + post, 0, 0.004)",
        on_post="post -= 0.000042; w = clip(w + pre, 0, 0.004)",
    )
    synapses.connect()
    # As for NEST.
    synapses.w = "rand() * 0.0045"
    network = b.Network(inputs, neurons, synapses)
    return lambda: network.run(STEPS * b.ms)


def norse():
    from norse.torch import LIFCell
    from norse.torch.functional.stdp import STDPParameters, STDPState, stdp_step_linear

    spikes, cell, parameters = poisson(), LIFCell(), STDPParameters()
    kept = {
        "w": torch.rand(NEURONS, INPUTS, generator=torch.Generator().manual_seed(2)) * 0.2,
        "traces": STDPState(t_pre=torch.zeros(1, INPUTS), t_post=torch.zeros(1, NEURONS)),
        "neurons": None,
    }

    def steps():
        with torch.inference_mode():
            for x in spikes:
                z, kept["neurons"] = cell(x @ kept["w"].t(), kept["neurons"])
                kept["w"], kept["traces"] = stdp_step_linear(x, z, kept["w"], kept["traces"], parameters, dt=0.001)

    return steps


def bindsnet():
    from bindsnet.learning import PostPre
    from bindsnet.network import Network
    from bindsnet.network.nodes import Input, LIFNodes
    from bindsnet.network.topology import Connection

    network = Network(dt=1.0)
    inputs, neurons = Input(n=INPUTS, traces=True), LIFNodes(n=NEURONS, traces=True)
    network.add_layer(inputs, name="inputs")
    network.add_layer(neurons, name="neurons")
    w = torch.rand(INPUTS, NEURONS, generator=torch.Generator().manual_seed(2)) * 2
    connection = Connection(inputs, neurons, w=w, update_rule=PostPre, nu=(1e-4, 1e-2), wmin=0.0, wmax=2.0)
    network.add_connection(connection, source="inputs", target="neurons")
    spikes = {"inputs": poisson()}
    return lambda: network.run(inputs=spikes, time=STEPS)


beside = Beside(sys.argv[1], sys.argv[2])
cases = {"fold": beside.case(f"step {NEURONS} 8 {INPUTS // 8} 1 {STEPS}")}
for name, make in {"NEST": nest, "Brian 2": brian2, "norse": norse, "BindsNET": bindsnet}.items():
    try:
        cases[name] = make()
    except ImportError as missing:
        print(f"{name} left out: {missing}", file=sys.stderr)
measure(f"peers: spiking layer n={NEURONS} inputs={INPUTS} B=1", NEURONS * INPUTS * STEPS, ROUNDS, cases)
beside.close()
