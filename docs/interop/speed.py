"""How long PyFolds 1.0.2 and `fold verify` take to read and fully verify the same version 1 files of 64 MB.

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


def paired(path, theirs):
    """Medians of both, the runs taking turns; the first pair warms up."""
    pairs = [(seconds(theirs), seconds(lambda: fold("verify", path, "-q"))) for _ in range(RUNS + 1)][1:]
    return [statistics.median(side) for side in zip(*pairs)]


def row(what, theirs, ours, note=""):
    rate = lambda time: f"{SIZE / time / 1e9:.3f} GB/s"
    print(f"| {what} | {theirs * 1e3:.1f} ms, {rate(theirs)} | {ours * 1e3:.1f} ms, {rate(ours)} | {theirs / ours:.1f} x |{note}")


with scratch() as folder:
    data = payload()
    print(f"64 MB in one chunk, {RUNS} pairs, {os.cpu_count()} processors, hot page cache; fold: a whole process")
    print("| file | PyFolds 1.0.2 | fold verify | ratio |\n|---|---|---|---|")
    for compress in ("none", "zstd"):
        path = folder / f"{compress}.fold"
        with FoldWriter(str(path), compress=compress) as writer:
            writer.add_chunk("weights", "BYTE", data)
            writer.finalize({})
        row("raw" if compress == "none" else "zstd", *paired(path, lambda: payloads(path)))
    # PyFolds 1.0.2 cannot read a chunk of several blocks. Its codec is timed on blocks of one chunk each, and that rate
    # is taken for the whole; digests and file reading would come on top.
    path = folder / "rs16.fold"
    container(path, data, parity_16(data))
    codec = ecc_from_protection("low")
    blocks = [data[at : at + 239] for at in range(0, 239 * 500, 239)]
    coded = [(block, codec.encode(block).ecc_bytes) for block in blocks]
    rate = statistics.median(seconds(lambda: [codec.decode(*pair) for pair in coded]) for _ in range(3)) / (239 * 500)
    ours = statistics.median(seconds(lambda: fold("verify", path, "-q")) for _ in range(RUNS))
    row("raw with rs(16), intact", rate * SIZE, ours, " PyFolds: rate of its codec")
