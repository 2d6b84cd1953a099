"""Saving and loading the same model by `fold` and by the containers that Python programs use, in turns.

    python benches/peers/containers.py target/release/beside FOLDER [MEBIBYTES]

Prints CSV as the program perf does. `fold` runs in `beside`, which answers each request with its nanoseconds; the peers in
this process. The page cache is warm. Every load ends with the content in memory: what is mapped is read once.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from common import *

try:
    import blosc2
    import h5py
    import zarr
    from pyfolds import FoldWriter
    from pyfolds.serialization import foldio
    from safetensors import safe_open
    from safetensors.numpy import load_file, save_file
    from zarr.codecs import Crc32cCodec, ZstdCodec
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

TENSORS = 64
ROUNDS = 5

beside, parent = sys.argv[1:3]
SIZE = int(sys.argv[3] if len(sys.argv) > 3 else 256) << 20
folder = Path(tempfile.mkdtemp(dir=parent))


def touched(array):
    """Reads every byte once."""
    np.add.reduce(array.reshape(-1).view("u8"))


def synced(path):
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def names(suffix):
    return str(folder / suffix)


weights = np.random.default_rng(1).standard_normal(SIZE // 4, dtype="f4") * np.float32(0.02)
weights.tofile(names("weights"))
each = weights.reshape(TENSORS, -1)
arrays = {f"block{index:05}.weight": each[index] for index in range(TENSORS)}
tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}

fold = Beside(beside, str(folder), names("weights"), str(TENSORS))


def safetensors_save(flush=False):
    save_file(arrays, names("model.safetensors"))
    if flush:
        synced(names("model.safetensors"))


def safetensors_load():
    with safe_open(names("model.safetensors"), framework="np") as file:
        for name in file.keys():
            touched(file.get_tensor(name))


def torch_load():
    for tensor in torch.load(names("model.pt"), mmap=True, weights_only=True).values():
        touched(tensor.numpy())


def npz_load():
    with np.load(names("model.npz")) as file:
        for name in file.files:
            file[name]


def hdf5_save():
    with h5py.File(names("model.h5"), "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, fletcher32=True, chunks=(1 << 18,))


def hdf5_load():
    with h5py.File(names("model.h5")) as file:
        for name in arrays:
            file[name][()]


def zarr_save(name, codecs):
    shutil.rmtree(names(name), ignore_errors=True)
    group = zarr.create_group(names(name))
    for key, array in arrays.items():
        stored = group.create_array(key, shape=array.shape, dtype="f4", chunks=(1 << 18,), filters=None, compressors=codecs)
        stored[:] = array


def zarr_load(name):
    group = zarr.open_group(names(name), mode="r")
    for key in arrays:
        group[key][:]


def blosc2_save():
    for key, array in arrays.items():
        parameters = {"codec": blosc2.Codec.ZSTD, "clevel": 1, "filters": [blosc2.Filter.BITSHUFFLE], "nthreads": os.cpu_count()}
        blosc2.asarray(array, urlpath=names(f"{key}.b2nd"), mode="w", cparams=parameters)


def blosc2_load():
    for key in arrays:
        blosc2.open(names(f"{key}.b2nd"), mode="r")[:]


def pyfolds_save(compress):
    with FoldWriter(names(f"{compress}.pyfolds"), compress=compress) as writer:
        for name, array in arrays.items():
            writer.add_chunk(name, "BYTE", array.tobytes())
        writer.finalize({})


def pyfolds_load(compress):
    with foldio.FoldReader(names(f"{compress}.pyfolds")) as reader:
        for name in reader.list_chunks():
            reader.read_chunk_bytes(name)


def settled():
    """Nothing is left to write, so that no case waits for what another left in the page cache; and there is free memory. A virtual
    machine may give free memory back to its host after some seconds, and then gets it again page by page, many times as slowly
    as it writes to it."""
    os.sync()
    np.ones(2 * SIZE, dtype="u1")


def stored(pattern):
    """Bytes of all files that a pattern names."""
    return sum(path.stat().st_size for path in folder.glob(pattern) if path.is_file())


crc, packed = [Crc32cCodec()], [ZstdCodec(level=1), Crc32cCodec()]
try:
    measure(
        "peers: save raw",
        SIZE,
        ROUNDS,
        {
            "fold: durable": fold.case("save raw, durable"),
            "fold: not durable": fold.case("save raw"),
            "fold: not durable, parity low": fold.case("save parity low"),
            "safetensors: flushed": lambda: safetensors_save(True),
            "safetensors": safetensors_save,
            "torch.save": lambda: torch.save(tensors, names("model.pt")),
            "NumPy npz": lambda: np.savez(names("model.npz"), **arrays),
            "HDF5 fletcher32": hdf5_save,
            "zarr crc32c": lambda: zarr_save("crc", crc),
            "PyFolds 1.0.2": lambda: pyfolds_save("none"),
        },
        settled,
    )
    measure(
        "peers: load raw",
        SIZE,
        ROUNDS,
        {
            "fold: mapped, verified": fold.case("load mapped raw"),
            "fold: read, verified": fold.case("load raw"),
            "fold: read with parity, verified": fold.case("load parity low"),
            "NumPy npz (CRC-32)": npz_load,
            "HDF5 fletcher32": hdf5_load,
            "zarr crc32c": lambda: zarr_load("crc"),
            "PyFolds 1.0.2 (CRC-32C and SHA-256)": lambda: pyfolds_load("none"),
            "safetensors (unverified)": safetensors_load,
            "torch.load mapped (unverified)": torch_load,
        },
    )
    measure(
        "peers: save compressed",
        SIZE,
        ROUNDS,
        {
            "fold: shuffle-zstd, durable": fold.case("save shuffle-zstd, durable"),
            "fold: shuffle-zstd": fold.case("save shuffle-zstd"),
            "fold: zstd": fold.case("save zstd"),
            "blosc2 bitshuffle zstd 1": blosc2_save,
            "zarr zstd 1 and crc32c": lambda: zarr_save("packed", packed),
            "PyFolds 1.0.2 zstd": lambda: pyfolds_save("zstd"),
        },
        settled,
    )
    measure(
        "peers: load compressed",
        SIZE,
        ROUNDS,
        {
            "fold: shuffle-zstd, verified": fold.case("load shuffle-zstd"),
            "fold: zstd, verified": fold.case("load zstd"),
            "blosc2 bitshuffle zstd 1 (unverified)": blosc2_load,
            "zarr zstd 1 and crc32c": lambda: zarr_load("packed"),
            "PyFolds 1.0.2 zstd (CRC-32C and SHA-256)": lambda: pyfolds_load("zstd"),
        },
    )
    # No time: the size of the files stands where the median does.
    sizes = {
        "fold: shuffle-zstd": "shuffle-zstd.fold",
        "fold: zstd": "zstd.fold",
        "blosc2 bitshuffle zstd 1": "*.b2nd",
        "zarr zstd 1 and crc32c": "packed/**/*",
        "PyFolds 1.0.2 zstd": "zstd.pyfolds",
    }
    for name, pattern in sizes.items():
        print(f"peers: size,{name},{SIZE},1,{stored(pattern)},{stored(pattern)},{stored(pattern)}", flush=True)
finally:
    fold.close()
    shutil.rmtree(folder)
