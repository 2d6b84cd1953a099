"""PyFolds 1.0.2 -> fold -> PyFolds 1.0.2: the neuron that comes back is the one that was saved.

    python docs/interop/pyfolds_roundtrip.py target/release/fold

Needs the packages of requirements.txt. Exit code 0: everything came back bit for bit; 77: packages are missing.
"""

import io
import json
from collections import OrderedDict

from common import *


def assert_is_the_neuron(path, first, kind, wanted, what):
    """PyFolds opens, verifies and loads `path`, and finds what it saved into `first`."""
    again = foldio.load_fold_or_mind(str(path), kind)
    assert_same(wanted, again.state_dict(), what)
    assert metadata(path) == metadata(first), f"{what}: metadata"
    arrays, own = foldio.read_nuclear_arrays(str(path)), foldio.read_nuclear_arrays(str(first))
    assert_same(own, arrays, f"{what}: nuclear arrays", ordered=False)
    read, saved = payloads(path), payloads(first)
    assert list(read) == list(saved), f"{what}: chunks"
    for name, payload in saved.items():
        # A state and an archive are written anew: what is in them was compared above.
        if name not in ("torch_state", "nuclear_arrays"):
            assert read[name] == payload, f"{what}: chunk {name}"


def typed(value):
    """A value with the types in it: for Python an OrderedDict equals a dict, True equals 1, and NaN nothing."""
    name = type(value).__name__
    if isinstance(value, dict):
        return name, [(typed(key), typed(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return name, [typed(item) for item in value]
    return name, repr(value)


def configuration(folder):
    """What JSON has no form for comes back to PyFolds as what it was."""
    config = {
        1: "a",
        "1": "b",
        1.5: -0.0,
        (1, None): (2.5, [True, ()]),
        "ordered": OrderedDict(b=1, a=float("nan")),
        "reserved": [{"__python__": ["tuple", 1]}, {"non_finite": float("inf")}],
        "numbers": {-(1 << 63): 1 << 100},
    }
    state = {"state_dict": OrderedDict(a=torch.ones(2)), "config": config, "mode": "online", "step_id": 3}
    saved, first = io.BytesIO(), folder / "configuration.fold"
    torch.save(state, saved)
    with foldio.FoldWriter(str(first)) as writer:
        writer.add_chunk("torch_state", "TSAV", saved.getvalue())
        writer.finalize({})
    for way in ("configuration-2.fold", "configuration.safetensors"):
        back = folder / f"{way}.back"
        fold("convert", first, folder / way)
        fold("convert", folder / way, back, "--to", "v1")
        with foldio.FoldReader(str(back)) as reader:
            found = reader.read_torch("torch_state")
        for key in ("config", "mode", "step_id"):
            assert typed(found[key]) == typed(state[key]), f"{way}: {found[key]}"
    print("configuration: tuples, ordered dicts and keys of any type came back as what they were")


with scratch() as folder:
    configuration(folder)
    for kind in (MPJRDNeuron, MPJRDNeuronAdvanced):
        saved = neuron(kind)
        wanted = saved.state_dict()
        for compress in ("none", "zstd"):
            encoding = "raw" if compress == "none" else "zstd"
            file = lambda step: folder / f"{kind.__name__}-{compress}-{step}"
            first, two, arrays, tensors = map(file, ("first.fold", "two.fold", "arrays.fold", "state.safetensors"))
            foldio.save_fold_or_mind(saved, str(first), compress=compress, protection="off", tags={"who": "naïve 🧠"})
            fold("verify", first)

            fold("convert", first, two)
            fold("convert", two, file("1.fold"), "--to", "v1", "--encoding", encoding)
            report = json.loads(fold("convert", first, arrays, "--state", "arrays", "--json"))["state"]
            assert report["neurons"] == 1 and report["tensors"] == len(wanted) and not report["untouched"], report
            fold("convert", arrays, file("2.fold"), "--to", "v1", "--encoding", encoding)
            fold("convert", first, tensors)
            fold("convert", tensors, file("three.fold"))
            fold("convert", file("three.fold"), file("3.fold"), "--to", "v1", "--encoding", encoding)
            for step in ("1.fold", "2.fold", "3.fold"):
                fold("diff", first, file(step))
                assert_is_the_neuron(file(step), first, kind, wanted, f"{kind.__name__}, {compress}, {step}")
            print(
                f"{kind.__name__}, {compress}: {len(wanted)} tensors came back bit for bit through version 2, "
                f"arrays ({len(report['mapped'])} mapped, {len(report['kept'])} kept) and safetensors"
            )
