"""The file of a model → what it says: the format by its first bytes and its name, then the format's own reader.

Pure but for the reading itself; the file is not trusted, and nothing in it is loaded, imported or run. What is not known to be
the file of a model gives None.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import TypeAlias

from slimstage.analyze.weights.arrays import NPY_MAGIC, read_npy
from slimstage.analyze.weights.facts import Gathered, ReadAt, Source, Stream, Unreadable, WeightsFacts
from slimstage.analyze.weights.gguf import MAGIC as GGUF_MAGIC
from slimstage.analyze.weights.gguf import read_gguf
from slimstage.analyze.weights.onnx import read_onnx
from slimstage.analyze.weights.pickled import scan
from slimstage.analyze.weights.safetensors import is_safetensors, read_safetensors
from slimstage.analyze.weights.torch import LEGACY_MAGIC, read_archive, read_archive_head, read_legacy
from slimstage.analyze.weights.zipped import LOCAL, Member, content, members

Reader: TypeAlias = Callable[[Source], Gathered | None]

_HDF5 = b"\x89HDF\r\n\x1a\n"
_UNPACKED_BYTES = 256 << 20
"""Of a compressed pickle."""
_HEAD_BYTES = 4096
_PICKLED = (".pkl", ".pickle", ".joblib", ".sav", ".pt", ".pth", ".bin", ".ckpt", ".model", ".p")
_BY_NAME = {
    ".h5": "hdf5",
    ".keras": "keras",
    ".tflite": "tflite",
    ".cbm": "catboost",
    ".mlmodel": "coreml",
    ".engine": "tensorrt",
}
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""The pickle of `LEGACY_MAGIC`, with which an older file of torch begins."""


def read_weights(path: str, read_at: ReadAt, size: int) -> WeightsFacts | None:
    """What the file of a model says; None for a file that is none.

    path: only its name counts. read_at: (offset, count) → bytes, fewer at the end of what is there. size: of the file.
    Raises: what `read_at` raises. What is wrong with the file is among the faults.
    """
    source = Source(read_at, size)
    name = path.rpartition("/")[2].lower()
    ending = f".{name.rpartition('.')[2]}" if "." in name else ""
    head = source.head(_HEAD_BYTES)
    reader = _reader(head, name, ending, size)
    if reader is None:
        return None
    try:
        gathered = reader(source)
        return None if gathered is None else gathered.facts()
    except Unreadable as error:
        found = Gathered(_BY_NAME.get(ending, ending.lstrip(".") or "unknown"))
        found.is_counted = False
        found.fault(str(error))
        return found.facts()


def _reader(head: bytes, name: str, ending: str, size: int) -> Reader | None:
    if head.startswith(GGUF_MAGIC):
        return read_gguf
    if head.startswith(LOCAL):
        return _archive
    if head.startswith(NPY_MAGIC):
        return _npy
    if head.startswith(_LEGACY):
        return read_legacy
    if ending == ".safetensors" or is_safetensors(head, size):
        return read_safetensors
    if (known := _recognised(head, name, ending)) is not None:
        return known
    if ending == ".onnx":
        return read_onnx
    if head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        return _pickle
    if ending in _PICKLED and (unpack := _unpacker(head)) is not None:
        return lambda source: _compressed(source, unpack)
    if ending in (".pkl", ".pickle", ".joblib") and head[:1] in (b"(", b"c", b"]", b"}"):
        return _pickle  # protocols 0 and 1 have no mark
    return None


# Formats that are only recognised -----------------------------------------------------------------------------


def _recognised(head: bytes, name: str, ending: str) -> Reader | None:
    """Formats of which the type is known by the first bytes, or else by the name, and no more."""
    if head.startswith(_HDF5):
        return _named("keras" if ending == ".keras" or b"keras_version" in head else "hdf5")
    if head[4:8] in (b"TFL3", b"ORTM"):
        return _named("tflite" if head[4:8] == b"TFL3" else "onnxruntime")
    if head.startswith(b"CBM1"):
        return _named("catboost")
    if head.startswith((b"ggml", b"lmgg", b"ggjt", b"tjgg", b"ggla", b"algg")):
        return _named("ggml")
    if head.startswith(b"tree\n") and b"version=" in head[:64]:
        return _lightgbm
    if head[:1] == b"{" and (b"learner" in head[:256] or ending == ".ubj"):
        return _xgboost
    if head.startswith((b"binf", b"bs64")):
        return _named("xgboost")
    if name.endswith(".pb") and name == "saved_model.pb":
        return _named("tensorflow")
    return _named(_BY_NAME[ending]) if ending in _BY_NAME else None


def _named(name: str) -> Reader:
    def read(source: Source) -> Gathered:
        found = Gathered(name)
        found.is_counted = False
        return found

    return read


def _lightgbm(source: Source) -> Gathered:
    """The head of LightGBM's text. Source: LightGBM, `GBDT::SaveModelToString`."""
    found = Gathered("lightgbm")
    found.is_counted = False
    for line in source.head(1 << 20).split(b"\n\n", 1)[0].split(b"\n"):
        key, equals, value = line.partition(b"=")
        if not equals:
            continue
        text = value.decode("utf-8", "replace")
        if key == b"tree_sizes":
            found.say("trees", len(text.split()))
        elif key in (b"version", b"num_class", b"max_feature_idx", b"objective"):
            found.say(key.decode(), text)
    return found


def _xgboost(source: Source) -> Gathered:
    """XGBoost's JSON or UBJSON: the same keys. Source: XGBoost, "Model schema"; ubjson.org."""
    found = Gathered("xgboost")
    found.is_counted = False
    found.say("encoding", "json" if source.head(2)[1:2] in (b'"', b"\n", b" ") else "ubjson")
    return found


# Arrays and archives ------------------------------------------------------------------------------------------


def _npy(source: Source) -> Gathered:
    found = Gathered("npy")
    _guarded(found, lambda: read_npy(Stream(source, 0, source.size), found))
    return found


def _archive(source: Source) -> Gathered | None:
    """A zip archive: of torch, numpy or Keras; others are no model's file."""
    try:
        known = members(source)
    except Unreadable:
        return read_archive_head(source)
    names = known.keys()
    if any(name.endswith("/data.pkl") for name in names):
        return read_archive(source, known)
    if names and all(name.endswith(".npy") for name in names):
        return _npz(source, known)
    return _named("keras")(source) if {"config.json", "model.weights.h5"} <= names else None


def _npz(source: Source, known: dict[str, Member]) -> Gathered:
    found = Gathered("npz")
    for member in known.values():
        _guarded(found, lambda member=member: read_npy(content(source, member, 1 << 21), found, has_data=False))  # type: ignore[misc]  # mypy knows no defaults of lambdas
    return found


# Pickles ------------------------------------------------------------------------------------------------------


def _pickle(source: Source) -> Gathered:
    found = Gathered("pickle")
    _guarded(found, lambda: _scan(Stream(source, 0, source.size), found))
    return _told_apart(found)


def _compressed(source: Source, unpack: Callable[[bytes], bytes]) -> Gathered:
    found = Gathered("pickle")

    def read() -> None:
        raw = source.at(0, min(source.size, _UNPACKED_BYTES))
        try:
            data = unpack(raw)
        except (zlib.error, OSError, lzma.LZMAError, EOFError, ValueError) as error:  # OSError is bzip2's word
            raise Unreadable(f"it cannot be unpacked: {error}") from None
        if len(data) >= _UNPACKED_BYTES:
            found.fault(f"only its first {_UNPACKED_BYTES} bytes were looked at")
        _scan(Stream(Source(lambda offset, count: data[offset : offset + count], len(data)), 0, len(data)), found)

    _guarded(found, read)
    return _told_apart(found)


def _scan(stream: Stream, found: Gathered) -> None:
    value = scan(stream, found)
    if value == LEGACY_MAGIC:
        found.fault("it begins as a file of torch does")


def _told_apart(found: Gathered) -> Gathered:
    if any(name.startswith("joblib.") for name in found.classes):
        found.format = "joblib"
    if not found.tensors:
        found.is_counted = False
    return found


def _unpacker(head: bytes) -> Callable[[bytes], bytes] | None:
    """What undoes the compression that joblib or the user chose, up to `_UNPACKED_BYTES`; None: there is none."""
    if head[:1] == b"\x78" and len(head) > 2 and (head[0] << 8 | head[1]) % 31 == 0:
        return lambda data: zlib.decompressobj().decompress(data, _UNPACKED_BYTES)
    if head.startswith(b"\x1f\x8b"):
        return lambda data: zlib.decompressobj(31).decompress(data, _UNPACKED_BYTES)
    if head.startswith(b"BZh"):
        return lambda data: bz2.BZ2Decompressor().decompress(data, _UNPACKED_BYTES)
    if head.startswith((b"\xfd7zXZ\0", b"\x5d\0\0")):
        return lambda data: lzma.LZMADecompressor(memlimit=_UNPACKED_BYTES).decompress(data, _UNPACKED_BYTES)
    return None


def _guarded(found: Gathered, read: Callable[[], None]) -> None:
    try:
        read()
    except Unreadable as error:
        found.fault(str(error))
