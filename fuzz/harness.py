"""What all targets share: choices made by bytes, the bounds that an input is held to, finding a target.

No fuzzer is needed here: the suite replays the committed corpus with this module alone.
"""

from __future__ import annotations

import importlib
import itertools
import pkgutil
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, TypeVar, cast

ROOT = Path(__file__).resolve().parent
CORPUS = ROOT / "corpus"

CPU_BOUND_S = 4.0
"""Of one input, in CPU time: the largest take some tenths of a second; a hang is far above."""
SLOWER = 4
"""How much slower the program is at most when each of its branches is counted."""
MEMORY_BOUND_MB = 512
"""Of the whole process. An xz or zstd stream may ask for a window of 128 MiB, all else is far below."""

_T = TypeVar("_T")


class Target(Protocol):
    """A module of `fuzz.targets`."""

    TOKENS: Sequence[bytes]
    """Words of the language, for the fuzzer's dictionary."""
    MAX_BYTES: int

    def check(self, data: bytes) -> None:
        """Raises whatever, when something does not hold for this input."""

    def seeds(self) -> Iterable[bytes]:
        """Inputs to begin with."""


def targets() -> list[str]:
    """The names of all targets, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules([str(ROOT / "targets")]))


def load(name: str) -> Target:
    """The target of that name."""
    return cast(Target, importlib.import_module(f"fuzz.targets.{name}"))


def corpus_of(name: str) -> list[Path]:
    """The committed inputs of a target, sorted."""
    return sorted((CORPUS / name).glob("*"))


def check_bounded(target: Target, data: bytes, bound_s: float = CPU_BOUND_S) -> None:
    """Runs the target's check. Raises AssertionError when it took too much of the processor."""
    start = time.process_time()
    target.check(data)
    used = time.process_time() - start
    assert used < bound_s, f"{len(data)} bytes took {used:.1f} s of CPU"


class Choices:
    """Decisions taken from the front of the input, one after the other; when it is used up all of them are 0 or empty.

    A small mutation of the input so changes one decision, and what the fuzzer learns about a prefix stays true.
    """

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    @property
    def left(self) -> int:
        """Bytes that were not used yet."""
        return max(0, len(self._data) - self._at)

    def byte(self) -> int:
        """0 to 255."""
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def below(self, count: int) -> int:
        """0 to count - 1, of one byte, or of two when one is too small."""
        value = self.byte()
        return (value if count <= 256 else value << 8 | self.byte()) % count

    def flag(self) -> bool:
        """True or false."""
        return bool(self.byte() & 1)

    def pick(self, options: Sequence[_T]) -> _T:
        """One of the options."""
        return options[self.below(len(options))]

    def take(self, count: int) -> bytes:
        """The next `count` bytes, fewer at the end."""
        self._at += count
        return self._data[self._at - count : self._at]

    def short(self) -> bytes:
        """A length of one byte, then so many bytes."""
        return self.take(self.byte())

    def text(self) -> str:
        """As `short`, as text."""
        return decoded(self.short())

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(self.left)

    def number(self) -> int:
        """A number of any size, often at an edge."""
        kind = self.byte()
        if kind < 128:
            return kind
        if kind < 160:
            return int.from_bytes(self.take(kind % 9), "little")
        edge: int = 1 << (kind % 68)
        return edge + self.below(5) - 2

    def words(self, table: Sequence[str], most: int = 4096) -> Iterator[str]:
        """Words of the table; the bytes above it stand for a literal character that follows."""
        for _ in range(min(most, self.left)):
            value = self.byte()
            yield table[value] if value < len(table) else chr(self.byte())


def decoded(data: bytes) -> str:
    """Text as the program gets it from a file: bytes that are no UTF-8 as surrogates."""
    return data.decode("utf-8", "surrogateescape")


def pumped(choices: Choices, table: Sequence[str], largest: int) -> str:
    """A text with one part that is repeated up to thousands of times: what is not linear shows."""
    before = "".join(choices.words(table, choices.below(12)))
    unit = "".join(choices.words(table, 1 + choices.below(8))) or "x"
    count = 1 << choices.below(16)
    between = "".join(choices.words(table, choices.below(8)))
    second = "".join(choices.words(table, choices.below(6)))
    after = "".join(choices.words(table, 64))
    repeated = unit * min(count, largest // len(unit))
    return before + repeated + between + second * min(count, (largest - len(repeated)) // max(1, len(second))) + after


def interleaved(*groups: Iterable[bytes]) -> list[bytes]:
    """The groups' members in turn, without doubles."""
    return list(dict.fromkeys(item for row in itertools.zip_longest(*groups) for item in row if item is not None))
