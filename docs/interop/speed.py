"""How long PyFolds 1.0.2 and `fold` take for the same version 1 files of some 64 MB: to read and verify them, to load them.

    python docs/interop/speed.py target/release/fold

Runs of the two take turns; medians are printed. PyFolds reads and verifies every chunk in this process, `fold` is a
process of its own each time, its start included. Needs the packages of requirements.txt.
"""

import hashlib
import json
import os
import statistics
import struct
import time

from common import *
from google_crc32c import value as crc32c
from pyfolds import FoldWriter, ecc_from_protection

MB = 1_000_000
SIZE = 64 * MB
RUNS = 11


def payload():
    """What trained weights look like to a compressor: half of the bytes are noise."""
    numbers = np.random.default_rng(1).standard_normal(SIZE // 4).astype("f4")
    numbers.view("u4")[:] &= 0xFFFF_0000
    return numbers.tobytes()


def parity_16(data):
    """rs(16) over blocks of 239 bytes, one behind the other: all blocks at once, by the tables of GF(2^8), 0x11D."""
    exponents, logarithms = np.zeros(512, "i4"), np.zeros(256, "i4")
    x = 1
    for power in range(255):
        exponents[power] = exponents[power + 255] = x
        logarithms[x] = power
        x = (x << 1) ^ (0x11D if x & 0x80 else 0)
    times = lambda a, b: 0 if 0 in (a, b) else int(exponents[logarithms[a] + logarithms[b]])
    generator = [1]
    for power in range(16):
        root = int(exponents[power])
        longer = [*generator, 0]
        for at, coefficient in enumerate(generator):
            longer[at + 1] ^= times(coefficient, root)
        generator = longer
    products = np.array([[times(a, b) for b in range(256)] for a in generator[1:]], "u1")
    bytes_ = np.frombuffer(data, "u1")
    whole = len(bytes_) // 239
    parts = [bytes_[: whole * 239].reshape(whole, 239)]
    if len(bytes_) % 239:
        parts.append(bytes_[whole * 239 :].reshape(1, -1))
    parity = b""
    for blocks in parts:
        remainder = np.zeros((16, len(blocks)), "u1")
        for column in blocks.T:
            factor = column ^ remainder[0]
            remainder[:-1] = remainder[1:]
            remainder[-1] = 0
            remainder ^= products[:, factor]
        parity += remainder.T.tobytes()
    return parity


def container(path, data, parity):
    """A version 1 file of one chunk with parity in blocks, as the 2.x head of PyFolds lays it out."""
    digest, crc = hashlib.sha256(data).hexdigest(), crc32c(data)
    header = b"BYTE" + struct.pack(">IQQII", 0, len(data), len(data), crc, len(parity))
    entry = {
        "name": "weights", "ctype": "BYTE", "flags": 0, "offset": 28, "header_len": 32, "comp_len": len(data),
        "uncomp_len": len(data), "crc32c": crc, "sha256": digest, "ecc_algo": "rs(16)", "ecc_len": len(parity),
    }  # fmt: skip
    metadata = {"chunk_hashes": {"weights": digest}}
    canonical = json.dumps(metadata, sort_keys=True, separators=(",", ":"))
    metadata["manifest_hash"] = hashlib.sha256(canonical.encode()).hexdigest()
    index = {"format": "fold", "version": "1.2.0", "created_at_unix": 0.0, "metadata": metadata, "chunks": [entry]}
    index = json.dumps(index, separators=(",", ":")).encode()
    place = 28 + len(header) + len(data) + len(parity)
    with open(path, "wb") as out:
        out.write(b"FOLDv1\0\0" + struct.pack(">IQQ", 28, place, len(index)))
        out.write(header + data + parity + index)


def seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def paired(theirs, ours, runs=RUNS):
    """Medians of both, the runs taking turns; the first pair warms up."""
    pairs = [(seconds(theirs), seconds(ours)) for _ in range(runs + 1)][1:]
    return [statistics.median(side) for side in zip(*pairs)]


def row(what, size, theirs, ours, note=""):
    side = lambda time: f"{time * 1e3:.1f} ms, {size / time / 1e9:.3f} GB/s"
    print(f"| {what} | {side(theirs)} | {side(ours)} | {theirs / ours:.1f} x |{note}")


def verified(what, path, size):
    row(what, size, *paired(lambda: payloads(path), lambda: fold("verify", path, "-q")))


def of_one_run(folder):
    """PyFolds' own state of one neuron: a tensor of one element for each number of each synapse."""
    many = neuron(dendrites=64, synapses=512, steps=1)
    for compress in ("none", "zstd"):
        path = folder / f"neuron-{compress}.fold"
        foldio.save_fold_or_mind(many, str(path), compress=compress, protection="off")
        size = sum(len(payload) for payload in payloads(path).values())
        verified(f"a neuron's state, {compress}", path, size)

    def convert():
        fold("convert", path, folder / "neuron-2.fold", "-q")
        (folder / "neuron-2.fold").unlink()

    load = lambda: foldio.load_fold_or_mind(str(path), MPJRDNeuron)
    row("the same, loaded; converted to version 2", size, *paired(load, convert, runs=2))


with scratch() as folder:
    data = payload()
    print(f"Up to {RUNS} pairs, {os.cpu_count()} processors, hot page cache; bytes are those of the decoded chunks.")
    print("PyFolds reads every chunk and checks its digests; fold verify, a whole process, looks into the contents as well.")
    print("| file | PyFolds 1.0.2 | fold | ratio |\n|---|---|---|---|")
    for compress in ("none", "zstd"):
        for chunks in (1, 4):
            path = folder / f"{compress}-{chunks}.fold"
            with FoldWriter(str(path), compress=compress) as writer:
                for at in range(chunks):
                    part = SIZE // chunks
                    writer.add_chunk(f"weights{at}", "BYTE", data[at * part : (at + 1) * part])
                writer.finalize({})
            verified(f"64 MB in {chunks} chunks, {compress}", path, SIZE)
    # PyFolds 1.0.2 cannot read a chunk of several blocks. Its codec is timed on blocks of one chunk each, and that rate
    # is taken for the whole; digests and file reading would come on top.
    path = folder / "rs16.fold"
    container(path, data, parity_16(data))
    codec = ecc_from_protection("low")
    blocks = [data[at : at + 239] for at in range(0, 239 * 500, 239)]
    coded = [(block, codec.encode(block).ecc_bytes) for block in blocks]
    rate = statistics.median(seconds(lambda: [codec.decode(*pair) for pair in coded]) for _ in range(3)) / (239 * 500)
    ours = statistics.median(seconds(lambda: fold("verify", path, "-q")) for _ in range(RUNS))
    row("64 MB in one chunk with rs(16), intact", SIZE, rate * SIZE, ours, " PyFolds: rate of its codec")
    of_one_run(folder)
