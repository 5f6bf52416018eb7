"""GGUF, the format of llama.cpp, versions 1 to 3: key-value pairs, then the table of tensors, then the numbers.

Source: ggml, docs/gguf.md; block sizes of `ggml_type` from ggml's ggml-common.h.
"""

from __future__ import annotations

import struct

from slimstage.analyze.weights.facts import MOST_TENSORS, Gathered, Source, Stream, Unreadable, elements_of

MAGIC = b"GGUF"
_TYPES = {
    0: "float32", 1: "float16", 2: "q4_0", 3: "q4_1", 6: "q5_0", 7: "q5_1", 8: "q8_0", 9: "q8_1", 10: "q2_k", 11: "q3_k",
    12: "q4_k", 13: "q5_k", 14: "q6_k", 15: "q8_k", 16: "iq2_xxs", 17: "iq2_xs", 18: "iq3_xxs", 19: "iq1_s", 20: "iq4_nl",
    21: "iq3_s", 22: "iq2_s", 23: "iq4_xs", 24: "int8", 25: "int16", 26: "int32", 27: "int64", 28: "float64", 29: "iq1_m",
    30: "bfloat16", 34: "tq1_0", 35: "tq2_0", 39: "mxfp4",
}  # fmt: skip
_BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 10: (256, 84), 11: (256, 110),
    12: (256, 144), 13: (256, 176), 14: (256, 210), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 30: (1, 2),
}  # fmt: skip
"""(numbers, bytes) of a block."""
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MOST_VALUES = 20_000_000
"""Texts in arrays, of all pairs together: a vocabulary has some 300,000."""
_NAME_BYTES = 65_536
_MOST_PAIRS = 100_000
_DEEPEST_ARRAY = 4


def read_gguf(source: Source) -> Gathered:
    found = Gathered("gguf")
    try:
        _Reader(source, found).read()
    except Unreadable as error:
        found.fault(str(error))
    return found


class _Reader:
    def __init__(self, source: Source, found: Gathered) -> None:
        self._stream, self._source, self._found = Stream(source, 4, source.size), source, found
        self._order, self._is_short, self._values = "<", False, 0

    def read(self) -> None:
        raw = self._stream.read(4)
        version = int.from_bytes(raw, "little")
        if version > 0xFFFF and not version & 0xFFFF:
            self._order, version = ">", int.from_bytes(raw, "big")
        if version not in (1, 2, 3):
            raise Unreadable(f"it is of version {version}")
        self._is_short = version == 1
        self._found.say("version", version)
        tensors, pairs = self._count(), self._count()
        if tensors > MOST_TENSORS or pairs > _MOST_PAIRS:
            raise Unreadable(f"it says that it has {tensors} tensors and {pairs} key-value pairs")
        alignment = 32
        for _ in range(pairs):
            key = self._text()
            kind = self._number("I")
            value = self._value(kind, 0)
            if key == "general.alignment" and isinstance(value, int) and 0 < value <= 1 << 20:
                alignment = value
            if value is not None and not key.startswith("tokenizer.chat_template"):
                self._found.say(key, value)
        ends = 0
        for _ in range(tensors):
            self._text()
            dimensions = self._number("I")
            if dimensions > 16:
                raise Unreadable(f"a tensor has {dimensions} dimensions")
            elements = elements_of([self._count() for _ in range(dimensions)])
            kind, offset = self._number("I"), self._number("Q")
            self._found.tensor(_TYPES.get(kind, f"type-{kind}"), elements)
            numbers, size = _BLOCKS.get(kind, (1, 0))
            ends = max(ends, offset + -(-elements // numbers) * size)
        start = self._stream.at + -self._stream.at % alignment
        if tensors and start + ends > self._source.size:
            self._found.fault("a tensor passes the end of the file")

    def _number(self, layout: str) -> int:
        number: int = struct.unpack(self._order + layout, self._stream.read(struct.calcsize("=" + layout)))[0]
        return number

    def _count(self) -> int:
        return self._number("I" if self._is_short else "Q")

    def _text(self) -> str:
        size = self._count()
        if size > _NAME_BYTES:
            raise Unreadable(f"a name has {size} bytes")
        return self._stream.read(size).decode("utf-8", "replace")

    def _value(self, kind: int, depth: int) -> object:
        """What is worth keeping of it: numbers, beginnings of texts; of an array nothing."""
        if kind in _SCALARS:
            layout = _SCALARS[kind]
            return struct.unpack(self._order + layout, self._stream.read(struct.calcsize("=" + layout)))[0]
        if kind == _STRING:
            size = self._count()
            text = self._stream.read(min(size, 400)).decode("utf-8", "replace")
            self._stream.skip(max(0, size - 400))
            return text
        if kind != _ARRAY:
            raise Unreadable(f"a value has type {kind}")
        inner, count = self._number("I"), self._count()
        if inner in _SCALARS:
            self._stream.skip(count * struct.calcsize("=" + _SCALARS[inner]))
            return None
        self._values += count
        if self._values > _MOST_VALUES or depth >= _DEEPEST_ARRAY:
            raise Unreadable("its arrays have too many values")
        for _ in range(count):
            if inner == _STRING:
                self._stream.skip(self._count())
            else:
                self._value(inner, depth + 1)
        return None
