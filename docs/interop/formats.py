"""The safetensors package and NumPy read what `fold convert` writes, and the reverse.

    python docs/interop/formats.py target/release/fold

Needs the packages of requirements.txt. Exit code 0: equal bit for bit; 77: packages are missing.
"""

import json

from common import *
from pyfolds import FoldReader, MPJRDLayer, MPJRDNetwork


def every_dtype():
    """A tensor of each dtype that torch and this project share, with shapes that are easy to get wrong."""
    torch.manual_seed(3)
    dtypes = (torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
    tensors = {f"integer.{t}".replace("torch.", ""): torch.randint(0, 2, (2, 3, 4)).to(t) for t in dtypes}
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        tensors[f"float.{dtype}".replace("torch.", "")] = torch.randn(5, 7).to(dtype)
    tensors["scalar"] = torch.tensor(float("nan"))
    tensors["empty"] = torch.zeros(0, 3)
    tensors["large"] = torch.randn(1 << 20)
    return tensors


def safetensors_both_ways(folder):
    wanted = every_dtype()
    theirs, two, ours = (folder / name for name in ("theirs.safetensors", "two.fold", "ours.safetensors"))
    save_file(wanted, theirs, metadata={"note": "naïve"})
    fold("convert", theirs, two)
    fold("convert", two, ours)
    assert_same(load_file(theirs), load_file(ours), "safetensors", ordered=False)
    fold("diff", theirs, ours)
    with safe_open(ours, "pt") as file:
        assert file.metadata() == {"note": "naïve"}, file.metadata()
    print(f"safetensors: {len(wanted)} tensors, both ways")


def numpy_both_ways(folder):
    numbers = np.random.default_rng(5)
    wanted = {
        "c_order": numbers.standard_normal((3, 4, 5)),
        "fortran": np.asfortranarray(numbers.standard_normal((6, 7)).astype("f4")),
        "big_endian": numbers.integers(0, 1 << 40, (9,)).astype(">i8"),
        "bool": numbers.integers(0, 2, (11,)).astype(bool),
        "scalar": np.float64(1.5),
        "empty": np.zeros((0, 2), "u2"),
        "large": numbers.standard_normal(1 << 20),
    }
    for name, save in (("stored", np.savez), ("deflated", np.savez_compressed)):
        theirs, two, ours = (folder / f"{name}{end}" for end in (".npz", ".fold", ".ours.npz"))
        save(theirs, **wanted)
        fold("convert", theirs, two)
        fold("convert", two, ours)
        with np.load(ours, allow_pickle=False) as found:
            assert sorted(found.files) == sorted(wanted)
            for key, array in wanted.items():
                array = np.asarray(array)
                assert found[key].shape == array.shape and found[key].dtype == array.dtype.newbyteorder("=")
                assert np.array_equal(found[key], array), key
        fold("extract", two, "--tensor", "fortran", "-o", folder / f"{name}.npy")
        assert np.array_equal(np.load(folder / f"{name}.npy", allow_pickle=False), wanted["fortran"])
    print(f"numpy: {len(wanted)} arrays, stored and deflated, both ways")


def networks(folder):
    """A network's state dict, which PyFolds saves as torch does, becomes arrays that NumPy reads, and comes back."""
    torch.manual_seed(11)
    network = MPJRDNetwork("net")
    config = MPJRDConfig(n_dendrites=4, n_synapses_per_dendrite=8)
    network.add_layer("hidden", MPJRDLayer(40, config))
    network.add_layer("out", MPJRDLayer(12, config))
    network.connect("hidden", "out")
    wanted = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    theirs, arrays, npz, back = (folder / name for name in ("net.safetensors", "net.fold", "net.npz", "back.safetensors"))
    save_file(wanted, theirs)
    report = json.loads(fold("convert", theirs, arrays, "--state", "arrays", "--json"))["state"]
    assert report["neurons"] == 52 and report["untouched"] == ["connection_weights.hidden_to_out"], report
    fold("convert", theirs, npz, "--state", "arrays")
    fold("convert", arrays, back)
    assert_same(load_file(theirs), load_file(back), "network", ordered=False)
    network.load_state_dict(load_file(back))
    with np.load(npz, allow_pickle=False) as found:
        filaments = found["layers.hidden.filaments"]
        assert (filaments.dtype, filaments.shape) == (np.uint8, (40, 4, 8))
        last = network.state_dict()["layers.hidden.neurons.39.dendrites.3.synapses.7.N"]
        assert filaments[39, 3, 7] == last.item()
        count = len(found.files)
    print(f"network: {len(wanted)} tensors of 52 neurons in {count} arrays, and back")


def layers(folder):
    """A layer that `fold train` learned: PyFolds verifies the file, and its neurons take N, I and theta."""
    run = folder / "run"
    fold("train", "--data", "digits", "--neurons", "24", "--epochs", "1", "--out", run, "--progress", "never")
    source, one = run / "step-00000001.fold", folder / "layer.fold"
    fold("convert", source, one, "--to", "v1", "--state", "dict")
    with FoldReader(str(one)) as reader:
        payload = reader.read_chunk_bytes("layer")
    (folder / "state.safetensors").write_bytes(payload)
    found = load_file(folder / "state.safetensors")
    fold("extract", source, "--tensor", "layer0.filaments", "-o", folder / "filaments.npy")
    filaments = np.load(folder / "filaments.npy", allow_pickle=False)
    for number in (0, 23):
        before = f"layer0.neurons.{number}."
        state = {name[len(before) :]: tensor for name, tensor in found.items() if name.startswith(before)}
        _, dendrites, synapses = filaments.shape
        taken = MPJRDNeuron(MPJRDConfig(n_dendrites=dendrites, n_synapses_per_dendrite=synapses))
        unexpected = taken.load_state_dict(state, strict=False).unexpected_keys
        assert not unexpected, unexpected
        assert np.array_equal(taken.N.numpy(), filaments[number]), "N"
    print(f"layer: {len(found)} tensors of a trained layer; PyFolds' neurons take N, I and theta")


with scratch() as folder:
    safetensors_both_ways(folder)
    numpy_both_ways(folder)
    networks(folder)
    layers(folder)
