"""What `torch.save` and TorchScript write: archives of a pickle and its storages, and the older row of pickles.

Numbers are counted by storage, so that a weight which two layers share counts once. Nothing is unpickled.

Source: torch, serialization.py (`_save`, `_legacy_save`), caffe2/serialize/inline_container.h (names inside the archive).
"""

from __future__ import annotations

from slimstage.analyze.weights.facts import Gathered, Source, Stream, Unreadable
from slimstage.analyze.weights.pickled import scan
from slimstage.analyze.weights.symbols import OPAQUE, Name, Symbol
from slimstage.analyze.weights.zipped import STORED, Member, content, local_start

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_STORAGES = {
    "FloatStorage": ("float32", 4), "DoubleStorage": ("float64", 8), "HalfStorage": ("float16", 2),
    "BFloat16Storage": ("bfloat16", 2), "LongStorage": ("int64", 8), "IntStorage": ("int32", 4), "ShortStorage": ("int16", 2),
    "CharStorage": ("int8", 1), "ByteStorage": ("uint8", 1), "BoolStorage": ("bool", 1), "QInt8Storage": ("qint8", 1),
    "QUInt8Storage": ("quint8", 1), "QInt32Storage": ("qint32", 4), "QUInt4x2Storage": ("quint4x2", 1),
    "QUInt2x4Storage": ("quint2x4", 1), "ComplexFloatStorage": ("complex64", 8), "ComplexDoubleStorage": ("complex128", 16),
    "UntypedStorage": ("uint8", 1),
}  # fmt: skip
_BYTES = {
    "uint16": 2, "uint32": 4, "uint64": 8, "float8_e4m3fn": 1, "float8_e5m2": 1, "float8_e4m3fnuz": 1, "float8_e5m2fnuz": 1,
    "float8_e8m0fnu": 1, "float4_e2m1fn_x2": 1, "int64": 8, "int32": 4, "float32": 4, "float16": 2, "bfloat16": 2, "float64": 8,
    "uint8": 1, "int8": 1, "bool": 1,
}  # fmt: skip
"""Of types that have no class of storage of their own."""


class _Storages:
    """The storages that pickles refer to, each once."""

    def __init__(self, found: Gathered) -> None:
        self.known: dict[tuple[str, str], tuple[str, int, int]] = {}
        self.archive = ""
        self._found, self._last = found, ("", "")

    def persistent(self, identity: Symbol) -> Symbol:
        """`("storage", class, key, device, numbers, …)`."""
        if not (isinstance(identity, tuple) and len(identity) >= 5 and identity[0] == "storage"):
            return OPAQUE
        kind, key, count = identity[1], identity[2], identity[4]
        if isinstance(kind, Name) and isinstance(key, str) and isinstance(count, int) and 0 <= count < 1 << 62:
            name, size = _STORAGES.get(kind.name, (kind.name[:40], 0))
            self._last = (self.archive, key)
            self.known.setdefault(self._last, (name, count, size))
        return identity

    def called(self, function: Name, arguments: Symbol) -> None:
        """A tensor over a storage; the newest kind names the type of its numbers itself."""
        if not (
            function.module == "torch._utils" and function.name.startswith(("_rebuild_tensor", "_rebuild_qtensor"))
        ):
            return
        self._found.tensors += 1
        if function.name == "_rebuild_tensor_v3" and isinstance(arguments, tuple) and len(arguments) >= 7:
            storage, dtype = arguments[0], arguments[6]
            if (
                isinstance(storage, tuple)
                and isinstance(dtype, Name)
                and len(storage) >= 3
                and isinstance(storage[2], str)
            ):
                key = (self.archive, storage[2])
                name, count, size = self.known.get(key, ("", 0, 0))
                if name == "uint8" and (width := _BYTES.get(dtype.name)):
                    self.known[key] = (dtype.name, count * size // width, width)

    def count(self) -> None:
        tensors = self._found.tensors
        for name, elements, _ in self.known.values():
            self._found.tensor(name, elements)
        self._found.tensors = tensors or len(self.known)


def read_archive(source: Source, members: dict[str, Member]) -> Gathered:
    """An archive as `torch.save` or `torch.jit.save` makes it."""
    found = Gathered("torchscript" if any("/code/" in name for name in members) else "pytorch")
    storages = _Storages(found)
    try:
        for name in sorted(members):
            if name.endswith(("/data.pkl", "/constants.pkl")) and name.count("/") == 1:
                storages.archive = name.removesuffix(".pkl")
                scan(content(source, members[name]), found, storages.persistent, storages.called)
        _check(storages, members, found)
    except Unreadable as error:
        found.fault(str(error))
    _count(storages, found)
    return found


def _check(storages: _Storages, members: dict[str, Member], found: Gathered) -> None:
    for (archive, key), (_, count, size) in storages.known.items():
        member = members.get(f"{archive}/{key}")
        if member is None:
            found.fault("a storage is not in the archive")
        elif size and member.size_bytes < count * size:
            found.fault("a storage has fewer bytes than its tensors need")


def read_archive_head(source: Source) -> Gathered:
    """As `read_archive`, where only the beginning of the file is there: its pickle is the first member."""
    found = Gathered("pytorch")
    storages = _Storages(found)
    try:
        name, start, method = local_start(source, 0)
        if method != STORED or not name.endswith("/data.pkl"):
            raise Unreadable("the archive has no table of contents")
        scan(Stream(source, start, source.size), found, storages.persistent, storages.called)
    except Unreadable as error:
        found.fault(str(error))
    _count(storages, found)
    return found


def read_legacy(source: Source) -> Gathered:
    """Pickles in a row: magic number, protocol, system, the object; then the storages."""
    found = Gathered("pytorch")
    storages = _Storages(found)
    stream = Stream(source, 0, source.size)
    try:
        for _ in range(3):
            scan(stream, Gathered(""))
        scan(stream, found, storages.persistent, storages.called)
    except Unreadable as error:
        found.fault(str(error))
    _count(storages, found)
    if sum(count * size for _, count, size in storages.known.values()) > source.size:
        found.fault("its storages are larger than the file")
    return found


def _count(storages: _Storages, found: Gathered) -> None:
    try:
        storages.count()
    except Unreadable as error:
        found.fault(str(error))
