"""ONNX: a protobuf message, walked by hand. Numbers are passed over, so a file of gigabytes costs its table of contents.

Source: onnx, onnx.proto (ModelProto, GraphProto, NodeProto, AttributeProto, TensorProto, SparseTensorProto); protobuf,
"Encoding"; onnx, docs/ExternalData.md.
"""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.analyze.weights.facts import Gathered, Source, Stream, Unreadable, elements_of

_TYPES = {
    1: ("float32", 32), 2: ("uint8", 8), 3: ("int8", 8), 4: ("uint16", 16), 5: ("int16", 16), 6: ("int32", 32),
    7: ("int64", 64), 8: ("string", 0), 9: ("bool", 8), 10: ("float16", 16), 11: ("float64", 64), 12: ("uint32", 32),
    13: ("uint64", 64), 14: ("complex64", 64), 15: ("complex128", 128), 16: ("bfloat16", 16), 17: ("float8_e4m3fn", 8),
    18: ("float8_e4m3fnuz", 8), 19: ("float8_e5m2", 8), 20: ("float8_e5m2fnuz", 8), 21: ("uint4", 4), 22: ("int4", 4),
    23: ("float4", 4), 24: ("float8_e8m0", 8),
}  # fmt: skip
_MOST_FIELDS = 5_000_000
_DEEPEST = 16
"""Graphs in attributes of nodes of graphs."""
_TEXT_BYTES = 4096

# Field numbers: of each message those that lead to tensors.
_MODEL = {1: "ir_version", 2: "producer_name", 3: "producer_version", 4: "domain", 5: "model_version"}
_MODEL_GRAPH, _MODEL_FUNCTIONS, _MODEL_OPSETS = 7, 25, 8
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_SPARSE = 1, 5, 15
_FUNCTION_NODE = 7
_NODE_ATTRIBUTE = 5
_ATTRIBUTE_TENSOR, _ATTRIBUTE_GRAPH, _ATTRIBUTE_TENSORS, _ATTRIBUTE_GRAPHS = 5, 6, 10, 11
_ATTRIBUTE_SPARSE, _ATTRIBUTE_SPARSES = 22, 23
_DIMS, _DATA_TYPE, _RAW, _EXTERNAL, _LOCATION = 1, 2, 9, 13, 14


def read_onnx(source: Source) -> Gathered:
    """The numbers of initializers and of constants in nodes."""
    found = Gathered("onnx")
    try:
        _Walker(source, found).model()
    except Unreadable as error:
        found.fault(str(error))
    return found


class _Walker:
    def __init__(self, source: Source, found: Gathered) -> None:
        self._source, self._found, self._left = source, found, _MOST_FIELDS
        self._stream = Stream(source, 0, source.size)

    def model(self) -> None:
        has_graph = False
        for number, value in self._fields(self._source.size):
            if number in _MODEL:
                self._found.say(_MODEL[number], value if isinstance(value, int) else self._text(value.size))
            elif isinstance(value, int):
                continue
            elif number == _MODEL_GRAPH:
                has_graph = True
                self._graph(value.end, 0)
            elif number == _MODEL_FUNCTIONS:
                self._nodes(value.end, _FUNCTION_NODE, 0)
            elif number == _MODEL_OPSETS:
                self._opset(value.end)
        if not has_graph:
            self._found.fault("it has no graph")

    def _fields(self, end: int) -> Iterator[tuple[int, int | _Span]]:
        """(field, number or span) up to `end`; a span that is not gone into is passed over."""
        while self._stream.at < end:
            self._left -= 1
            if self._left < 0:
                raise Unreadable(f"it has more than {_MOST_FIELDS} fields")
            key = self._varint()
            number, wire = key >> 3, key & 7
            if wire == 0:
                yield number, self._varint()
            elif wire == 1:
                self._skip(8, end)
            elif wire == 5:
                self._skip(4, end)
            elif wire == 2:
                size = self._varint()
                last = self._stream.at + size
                if last > end:
                    raise Unreadable("a message is longer than the one it is in")
                yield number, _Span(size, last)
                if self._stream.at < last:
                    self._stream.skip(last - self._stream.at)
            else:
                raise Unreadable("it is no protobuf message")
        if self._stream.at > end:
            raise Unreadable("a field passes the end of its message")

    def _skip(self, count: int, end: int) -> None:
        if self._stream.at + count > end:
            raise Unreadable("a field passes the end of its message")
        self._stream.skip(count)

    def _varint(self) -> int:
        value = shift = 0
        while shift < 70:
            byte = self._stream.read(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFFFFFFFFFFFFFF
            shift += 7
        raise Unreadable("a number is too long")

    def _text(self, size: int) -> str:
        return self._stream.read(min(size, _TEXT_BYTES)).decode("utf-8", "replace")

    def _opset(self, end: int) -> None:
        domain, version = "", 0
        for number, value in self._fields(end):
            if number == 1 and not isinstance(value, int):
                domain = self._text(value.size)
            elif number == 2 and isinstance(value, int):
                version = value
        self._found.say(f"opset {domain or 'ai.onnx'}", version)

    def _graph(self, end: int, depth: int) -> None:
        if depth > _DEEPEST:
            raise Unreadable(f"its graphs are nested deeper than {_DEEPEST} levels")
        for number, value in self._fields(end):
            if isinstance(value, int):
                continue
            if number == _GRAPH_INITIALIZER:
                self._tensor(value.end)
            elif number == _GRAPH_SPARSE:
                self._sparse(value.end)
            elif number == _GRAPH_NODE:
                self._node(value.end, depth)

    def _nodes(self, end: int, field: int, depth: int) -> None:
        for number, value in self._fields(end):
            if number == field and not isinstance(value, int):
                self._node(value.end, depth)

    def _node(self, end: int, depth: int) -> None:
        for number, value in self._fields(end):
            if number == _NODE_ATTRIBUTE and not isinstance(value, int):
                self._attribute(value.end, depth)

    def _attribute(self, end: int, depth: int) -> None:
        for number, value in self._fields(end):
            if isinstance(value, int):
                continue
            if number in (_ATTRIBUTE_TENSOR, _ATTRIBUTE_TENSORS):
                self._tensor(value.end)
            elif number in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS):
                self._graph(value.end, depth + 1)
            elif number in (_ATTRIBUTE_SPARSE, _ATTRIBUTE_SPARSES):
                self._sparse(value.end)

    def _sparse(self, end: int) -> None:
        for number, value in self._fields(end):
            if number == 1 and not isinstance(value, int):
                self._tensor(value.end)  # the values; their places are no parameters

    def _tensor(self, end: int) -> None:
        dims: list[int] = []
        kind, raw, location, is_external = 0, None, "", False
        for number, value in self._fields(end):
            if isinstance(value, int):
                if number == _DIMS:
                    dims.append(value)
                elif number == _DATA_TYPE:
                    kind = value
                elif number == _LOCATION:
                    is_external = value == 1
            elif number == _DIMS:
                while self._stream.at < value.end and len(dims) < 100:
                    dims.append(self._varint())
            elif number == _RAW:
                raw = value.size
            elif number == _EXTERNAL:
                location = self._location(value.end) or location
        elements = elements_of(dims)
        name, bits = _TYPES.get(kind, (f"type-{kind}", 0))
        self._found.tensor(name, elements)
        if is_external and location:
            self._found.beside(location)
        elif raw is not None and bits and raw != -(-elements * bits // 8):
            self._found.fault("a tensor has other bytes than its shape and type need")

    def _location(self, end: int) -> str:
        key = text = ""
        for number, value in self._fields(end):
            if number == 1 and not isinstance(value, int):
                key = self._text(value.size)
            elif number == 2 and not isinstance(value, int):
                text = self._text(value.size)
        return text if key == "location" else ""


class _Span:
    """A field with bytes in it. end: in the file."""

    __slots__ = ("end", "size")

    def __init__(self, size: int, end: int) -> None:
        self.size, self.end = size, end
