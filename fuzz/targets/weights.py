"""Files of models: raw bytes behind the beginning of each format, and rows of pickle opcodes; whatever they say, bounded."""

from __future__ import annotations

import struct
import zlib

from fuzz.harness import Choices, interleaved
from slimstage.analyze.weights import read_weights

MAX_BYTES = 4096
TOKENS = (
    b"GGUF", b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06", b"\x93NUMPY", b"\x89HDF", b"'descr'", b"'shape': (", b"\x80\x04",
    b"data_offsets", b"shape", b"dtype", b"F32", b"NumpyArrayWrapper", b"numpy", b"storage", b"FloatStorage", b"torch",
    b"\xff" * 8, b"\0" * 8,
)  # fmt: skip
_NAMES = (
    "a.safetensors",
    "a.gguf",
    "a.onnx",
    "a.npz",
    "a.npy",
    "a.pkl",
    "a.joblib",
    "a.pt",
    "a.bin",
    "a.h5",
    "a.json",
    "a",
)
_OPCODES = (
    b"(.012NIJKMGTUXBChjqrRabd}el]osi)tucgpVSFLPQ\x80\x81\x85\x86\x87\x88\x89"
    b"\x8a\x8b\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95\x96\x97"
)
_TEXTS = (
    b"numpy", b"dtype", b"NumpyArrayWrapper", b"joblib.numpy_pickle", b"shape", b"f8", b"storage", b"torch", b"FloatStorage",
    b"_reconstruct", b"numpy.core.multiarray", b"O8", b"numpy_array_alignment_bytes",
)  # fmt: skip
_BEGINNINGS = (
    b"",
    b"GGUF\3\0\0\0",
    b"\x80\x04",
    b"\x93NUMPY\1\0",
    b"PK\3\4",
    b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.",
)


def check(data: bytes) -> None:
    choices = Choices(data)
    name, kind = choices.pick(_NAMES), choices.below(5)
    if kind == 0:
        content = choices.rest()
    elif kind == 1:
        content = choices.pick(_BEGINNINGS) + choices.rest()
    elif kind == 2:
        header = choices.rest()
        content = struct.pack("<Q", len(header)) + header
    else:
        content = _pickle(choices)
        content = zlib.compress(content) if kind == 4 else content
    found = read_weights(name, lambda offset, count: content[offset : offset + count], len(content))
    if found is None:
        return
    assert len(found.faults) <= 20
    assert len(found.metadata) <= 64
    assert found.parameters is None or found.parameters >= 0
    assert all(count > 0 for count in found.dtypes.values())


def _pickle(choices: Choices) -> bytes:
    """Opcodes with arguments that fit them, more often than not."""
    made = bytearray(b"\x80\x04")
    while choices.left:
        value = choices.byte()
        if value >= 200:
            text = _TEXTS[value % len(_TEXTS)]
            made += b"\x8c" + bytes([len(text)]) + text
            continue
        code = _OPCODES[value % len(_OPCODES)]
        made.append(code)
        if code in b"hqKCU\x8a\x8c\x80":
            made.append(choices.below(8))
        elif code in b"JXBTjr\x8b":
            made += struct.pack("<I", choices.below(12))
        elif code in b"IgpLFSVP":
            made += b"%d\n" % choices.below(9)
    return bytes(made) + b"."


def seeds() -> list[bytes]:
    header = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    whole = [
        bytes([0, 2]) + header,
        bytes([1, 1, 1]) + struct.pack("<QQQ", 1, 0, 1) + b"t" + struct.pack("<IQIQ", 1, 2, 0, 0),
        bytes([2, 0]) + b"\x3a\x0a\x2a\x08\x08\x02\x10\x01\x4a\x02ab",
        bytes([4, 1, 3]) + b"\x30\0{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}\n",
    ]
    made = [
        bytes([step % 12, 3 + step % 2, *[(step * 11 + at * 29 + at // 3) % 256 for at in range(120)]])
        for step in range(40)
    ]
    return interleaved(whole, made)
