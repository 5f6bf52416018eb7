"""numpy's arrays: types of numbers by their codes, `.npy` files, and arrays inside pickles.

Source: numpy, "NPY format" (numpy.lib.format) and "Array interface" (type codes); the state of a pickled dtype is
(version, byte order, subtype, names, fields, item size, alignment, flags).
"""

from __future__ import annotations

from slimstage.analyze.weights.facts import Gathered, Stream, Unreadable, elements_of
from slimstage.analyze.weights.symbols import Call, Name, Symbol
from slimstage.regex import pattern
from slimstage.values import dataclass

NPY_MAGIC = b"\x93NUMPY"
_NPY_HEADER_BYTES = 1 << 20
_CODE = pattern(r"[<>|=]?([?biufcmMOSaUVgGT])(\d{0,18})(?:\[\w+\])?\Z")
_KINDS = {"i": "int", "u": "uint", "f": "float", "c": "complex"}
_OTHERS = {"b": "bool", "?": "bool", "O": "object", "S": "bytes", "a": "bytes", "U": "text", "V": "structured", "T": "text",
           "M": "datetime64", "m": "timedelta64"}  # fmt: skip
_DESCR = pattern(r"""['"]descr['"]\s*:\s*(?:['"]([^'"]{1,40})['"]|(\[))""")
_SHAPE = pattern(r"""['"]shape['"]\s*:\s*\(([\d\sL,]*)\)""")


@dataclass(frozen=True, slots=True)
class ArrayType:
    """name: as in `dtypes`. item_bytes: of one number, 0 when it is not known."""

    name: str
    item_bytes: int = 0
    has_objects: bool = False


_UNKNOWN = ArrayType("unknown")


def by_code(code: str) -> ArrayType:
    """The type of `<f4`, `b1`, `U10`."""
    found = _CODE.match(code)
    if not found:
        return _UNKNOWN
    kind, size = found[1], int(found[2] or 0)
    if kind in _KINDS:
        return ArrayType(f"{_KINDS[kind]}{size * 8}", size) if size in (1, 2, 4, 8, 16, 32) else _UNKNOWN
    if kind in "b?":
        return ArrayType("bool", 1) if size <= 1 else _UNKNOWN
    if kind == "U":
        size *= 4
    return ArrayType(_OTHERS.get(kind, "unknown"), size or (8 if kind in "OMm" else 0), kind == "O")


def array_type(value: Symbol) -> ArrayType:
    """The type that a call of `numpy.dtype` in a pickle makes."""
    if not (isinstance(value, Call) and isinstance(value.function, Name) and value.function.name == "dtype"):
        return _UNKNOWN
    arguments = value.arguments
    code = arguments[0] if isinstance(arguments, tuple) and arguments else None
    if not isinstance(code, str):
        return _UNKNOWN
    found = by_code(code)
    state = value.state
    if not isinstance(state, tuple) or len(state) < 8:
        return found
    size, flags = state[5], state[7]
    return ArrayType(
        found.name,
        size if isinstance(size, int) and 0 < size < 1 << 31 else found.item_bytes,
        found.has_objects or (isinstance(flags, int) and bool(flags & 1)),
    )


def elements_if_shape(value: Symbol) -> int | None:
    """How many numbers an array of a pickled shape has; None where it is no shape. Raises Unreadable: one that none has."""
    if not isinstance(value, tuple):
        return None
    sizes = [each for each in value if isinstance(each, int)]
    return elements_of(sizes) if len(sizes) == len(value) else None


def read_npy(stream: Stream, found: Gathered, has_data: bool = True) -> None:
    """Counts the array of an `.npy` file. has_data: the stream has all of it. Raises Unreadable."""
    head = stream.read(8)
    if head[:6] != NPY_MAGIC or head[6] not in (1, 2, 3):
        raise Unreadable("an array is not in numpy's format")
    size = int.from_bytes(stream.read(2 if head[6] == 1 else 4), "little")
    if size > _NPY_HEADER_BYTES:
        raise Unreadable(f"the header of an array has {size} bytes")
    text = stream.read(size).decode("utf-8" if head[6] == 3 else "latin-1", "replace")
    code, shape = _DESCR.search(text), _SHAPE.search(text)
    if not code or not shape:
        raise Unreadable("the header of an array does not say its type and shape")
    sizes = [
        int(word)
        for part in shape[1].split(",")
        if (word := part.strip().rstrip("L").strip()).isdigit() and len(word) < 20
    ]
    elements = elements_of(sizes)
    kind = by_code(code[1]) if code[1] else ArrayType("structured")
    found.tensor(kind.name, elements)
    if has_data and kind.item_bytes and not kind.has_objects and stream.left != elements * kind.item_bytes:
        found.fault("an array has other bytes than its shape and type need")
