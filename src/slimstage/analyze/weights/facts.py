"""What readers of weights give, and how they come to bytes: at offsets that the file itself names, bounded in all ways.

A file that lies costs no more than `MOST_BYTES` read and a fault; whatever was understood before stays.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from slimstage.values import dataclass, field

ReadAt = Callable[[int, int], bytes]
"""(offset, count) → those bytes, fewer where the file ends or where nothing was kept."""

MOST_BYTES = 512 << 20
"""Read of one file: headers and pickles; the parameters themselves are passed over."""
MOST_TENSORS = 1_000_000
MOST_ELEMENTS = 1 << 63
_MOST_CLASSES = 10_000
_MOST_EXTERNAL = 1000
_MOST_TYPES = 200
_MOST_METADATA = 64
_METADATA_CHARACTERS = 300
_MOST_FAULTS = 20
_MOST_DIMENSIONS = 64
_NO_NUMBERS = frozenset({"object", "text", "bytes", "string"})
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class WeightsFacts:
    """parameters: numbers that are stored, None where the format is only recognised. dtypes: how many of each type.

    tensors: how many arrays they are in. metadata: what the file says in words, cut. classes: what loading a pickle imports,
    as `module.name`, sorted. external: files beside this one that hold parameters too, as written. faults: a sentence each.
    """

    format: str
    parameters: int | None = None
    dtypes: Mapping[str, int] = field(default_factory=dict)
    tensors: int = 0
    metadata: Mapping[str, str] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    external: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


class Unreadable(Exception):
    """The bytes that are needed are not there, or what they say cannot be. The message is a fault."""


class Gathered:
    """What a reader has found so far."""

    def __init__(self, name: str) -> None:
        self.format = name
        self.is_counted = True
        self.tensors = 0
        self.dtypes: dict[str, int] = {}
        self.metadata: dict[str, str] = {}
        self.classes: dict[str, None] = {}
        self.external: dict[str, None] = {}
        self._faults: dict[str, None] = {}

    def tensor(self, dtype: str, elements: int) -> None:
        """Counts an array. Raises Unreadable: there are too many, or too many numbers."""
        self.tensors += 1
        total = self.dtypes.get(dtype, 0) + elements
        if self.tensors > MOST_TENSORS or total >= MOST_ELEMENTS or len(self.dtypes) > _MOST_TYPES:
            raise Unreadable("there are more tensors than any model has")
        self.dtypes[dtype] = total

    def say(self, key: str, value: object) -> None:
        """Notes something that the file says in words, the first time."""
        if len(self.metadata) < _MOST_METADATA:
            self.metadata.setdefault(key[:_METADATA_CHARACTERS], str(value)[:_METADATA_CHARACTERS])

    def imports(self, name: str) -> None:
        """Notes a class or function that loading would import."""
        if len(self.classes) < _MOST_CLASSES:
            self.classes[name[:500]] = None
        else:
            self.fault(f"it imports more than {_MOST_CLASSES} names")

    def beside(self, name: str) -> None:
        """Notes a file that holds parameters of this model too."""
        if len(self.external) < _MOST_EXTERNAL:
            self.external[name] = None

    def fault(self, sentence: str) -> None:
        if len(self._faults) < _MOST_FAULTS:
            self._faults[sentence] = None

    def facts(self) -> WeightsFacts:
        dtypes = {name: count for name, count in sorted(self.dtypes.items()) if count}
        return WeightsFacts(
            self.format,
            sum(count for name, count in dtypes.items() if name not in _NO_NUMBERS) if self.is_counted else None,
            dtypes,
            self.tensors,
            dict(self.metadata),
            tuple(sorted(self.classes)),
            tuple(self.external),
            tuple(self._faults),
        )


def elements_of(shape: list[int] | tuple[int, ...]) -> int:
    """How many numbers an array of this shape has. Raises Unreadable: a shape that no array has."""
    if len(shape) > _MOST_DIMENSIONS:
        raise Unreadable(f"an array has {len(shape)} dimensions")
    total = 1
    for each in shape:
        if not 0 <= each < MOST_ELEMENTS:
            raise Unreadable("an array has a dimension that none has")
        total *= each
        if total >= MOST_ELEMENTS:
            raise Unreadable("an array is larger than any file")
    return total


class Source:
    """A file by offsets. Reads no more than `MOST_BYTES` in all."""

    def __init__(self, read_at: ReadAt, size: int) -> None:
        self._read_at, self.size, self._left = read_at, size, MOST_BYTES

    def at(self, offset: int, count: int) -> bytes:
        """Exactly these bytes. Raises Unreadable."""
        return self.some(offset, count, count)

    def some(self, offset: int, needed: int, wanted: int) -> bytes:
        """Up to `wanted` bytes, at least `needed`: where only the beginning of a file was kept, the last block is short.

        Raises Unreadable.
        """
        if offset < 0 or needed < 0 or offset + needed > self.size:
            raise Unreadable("it passes the end of the file")
        if needed > self._left:
            raise Unreadable(f"there is more to read than {MOST_BYTES} bytes")
        data = self._read_at(offset, min(wanted, self.size - offset))
        self._left -= len(data)
        if len(data) < needed:
            raise Unreadable("not all of the file is there to be read")
        return data

    def head(self, count: int) -> bytes:
        """The first bytes, fewer when there are fewer."""
        return self._read_at(0, min(count, self.size))


class Stream:
    """Bytes one after the other, of part of a file; what is passed over is not read."""

    def __init__(self, source: Source, start: int, end: int) -> None:
        self._source, self._at, self._end = source, start, min(end, source.size)
        self._block, self._place = b"", 0

    @property
    def at(self) -> int:
        """Where it stands in the file."""
        return self._at - len(self._block) + self._place

    @property
    def left(self) -> int:
        """Bytes until the end."""
        return self._end - self.at

    def read(self, count: int) -> bytes:
        """The next bytes, exactly. Raises Unreadable."""
        place = self._place
        if place + count <= len(self._block):
            self._place += count
            return self._block[place : place + count]
        if count > self.left:
            raise Unreadable("it passes the end of the file")
        have = self._block[place:]
        wanted = count - len(have)
        self._block = self._source.some(self._at, wanted, min(max(wanted, _BLOCK), self._end - self._at))
        self._at += len(self._block)
        self._place = wanted
        return have + self._block[:wanted]

    def skip(self, count: int) -> None:
        """Passes over bytes. Raises Unreadable."""
        if not 0 <= count <= self.left:
            raise Unreadable("it passes the end of the file")
        if self._place + count <= len(self._block):
            self._place += count
        else:
            self._at += count - (len(self._block) - self._place)
            self._block, self._place = b"", 0

    def line(self, limit: int = 1 << 16) -> bytes:
        """Up to the next newline, without it. Raises Unreadable: there is none within the limit."""
        found = bytearray()
        while len(found) <= limit:
            place = self._block.find(b"\n", self._place)
            if place >= 0:
                found += self._block[self._place : place]
                self._place = place + 1
                return bytes(found)
            found += self._block[self._place :]
            self._place = len(self._block)
            found += self.read(1)
            if found[-1:] == b"\n":
                return bytes(found[:-1])
        raise Unreadable("a line is too long")
