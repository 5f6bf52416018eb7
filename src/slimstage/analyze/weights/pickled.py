"""Pickles, looked at without being loaded: a machine that knows what the opcodes do to the stack, and does nothing else.

No object is made, nothing is imported or called. What is on the stack stands for objects: names of classes, calls with their
arguments, sizes of byte strings. Arrays that joblib writes raw between opcodes are passed over by their own shape and type, so
that what follows them is seen too; the standard library's `pickletools` ends there, and reads every byte string into memory.

Source: CPython, Lib/pickletools.py (opcodes of protocols 0 to 5); joblib, numpy_pickle.py (`NumpyArrayWrapper`); torch,
serialization.py (persistent ids of storages) and _utils.py (`_rebuild_tensor_v2`, `_rebuild_tensor_v3`).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TypeAlias

from slimstage.analyze.weights.arrays import array_type, elements_if_shape
from slimstage.analyze.weights.facts import Gathered, Stream, Unreadable
from slimstage.analyze.weights.symbols import BYTES, OPAQUE, Bytes, Call, Mark, Name, Symbol

_MOST_OPCODES = 3_000_000
_MOST_NESTED = 64
"""Pickles in each other: joblib writes arrays of objects so."""
_TEXT_BYTES = 4096

Persistent: TypeAlias = Callable[[Symbol], Symbol]
Called: TypeAlias = Callable[[Name, Symbol], None]


def scan(
    stream: Stream, found: Gathered, persistent: Persistent | None = None, called: Called | None = None, depth: int = 0
) -> Symbol:
    """Reads one pickle to its end and returns what it would give. Classes and arrays are noted.

    persistent: what an id of something kept elsewhere stands for. called: told of each call of a named function.
    Raises Unreadable.
    """
    return _Machine(stream, found, persistent, called, depth).run()


class _Machine:
    def __init__(
        self, stream: Stream, found: Gathered, persistent: Persistent | None, called: Called | None, depth: int
    ) -> None:
        if depth > _MOST_NESTED:
            raise Unreadable(f"its pickles are nested deeper than {_MOST_NESTED} levels")
        self._stream, self._found, self._depth = stream, found, depth
        self._persistent, self._called = persistent, called
        self._stack: list[Symbol] = []
        self._memo: dict[int, Symbol] = {}

    def run(self) -> Symbol:
        read, handlers = self._stream.read, _HANDLERS
        for _ in range(_MOST_OPCODES):
            code = read(1)
            if code == b".":
                return self.pop()
            handler = handlers.get(code)
            if handler is None:
                raise Unreadable("it is no pickle")
            handler(self)
        raise Unreadable(f"the pickle has more than {_MOST_OPCODES} opcodes")

    # The stack

    def push(self, value: Symbol) -> None:
        self._stack.append(value)

    def pop(self) -> Symbol:
        if not self._stack or isinstance(self._stack[-1], Mark):
            raise Unreadable("a pickle takes from an empty stack")
        return self._stack.pop()

    def top(self) -> Symbol:
        if not self._stack:
            raise Unreadable("a pickle takes from an empty stack")
        return self._stack[-1]

    def to_mark(self) -> list[Symbol]:
        """What lies above the last mark, both taken off."""
        stack = self._stack
        for at in range(len(stack) - 1, -1, -1):
            if isinstance(stack[at], Mark):
                above = stack[at + 1 :]
                del stack[at:]
                return above
        raise Unreadable("a pickle has no mark where one is needed")

    def put(self, number: int) -> None:
        self._memo[number] = self.top()

    def get(self, number: int) -> None:
        if number not in self._memo:
            raise Unreadable("a pickle refers to something that it has not made")
        self.push(self._memo[number])

    # Reading

    def number(self, layout: str) -> int:
        value: int = struct.unpack(layout, self._stream.read(struct.calcsize(layout)))[0]
        return value

    def passed(self, count: int) -> None:
        self._stream.skip(count)
        self.push(OPAQUE)

    def passed_line(self) -> None:
        self._stream.line()
        self.push(OPAQUE)

    def sized(self, layout: str) -> int:
        size = self.number(layout)
        if size < 0:
            raise Unreadable("a pickle has a length below zero")
        return size

    def text(self, layout: str) -> None:
        size = self.sized(layout)
        if size > _TEXT_BYTES:
            self._stream.skip(size)
            self.push(OPAQUE)
        else:
            self.push(self._stream.read(size).decode("utf-8", "replace"))

    def bytes(self, layout: str) -> None:
        size = self.sized(layout)
        self._stream.skip(size)
        self.push(Bytes(size))

    def long(self, layout: str) -> None:
        size = self.sized(layout)
        if size > 16:
            self._stream.skip(size)
            self.push(OPAQUE)
        else:
            self.push(int.from_bytes(self._stream.read(size), "little", signed=True))

    def decimal(self) -> int | None:
        """The whole number of a line of text, None where it is none."""
        line = self._stream.line().rstrip(b"L").strip()
        digits = line.removeprefix(b"-")
        if not (digits.isdigit() and len(digits) <= 30):
            return None
        return int(line)

    def memo_number(self) -> int:
        number = self.decimal()
        if number is None:
            raise Unreadable("a pickle refers to something by no number")
        return number

    def quoted(self) -> None:
        line = self._stream.line()
        self.push(line.strip(b"'\"").decode("latin-1") if len(line) <= _TEXT_BYTES else OPAQUE)

    # Objects

    def name(self, module: Symbol, name: Symbol) -> None:
        if isinstance(module, str) and isinstance(name, str):
            self._found.imports(f"{module}.{name}")
            self.push(Name(module, name))
        else:
            self.push(OPAQUE)

    def named_by_lines(self) -> None:
        module, name = self._stream.line(), self._stream.line()
        self.name(module.decode("utf-8", "replace"), name.decode("utf-8", "replace"))

    def stack_global(self) -> None:
        name = self.pop()
        self.name(self.pop(), name)

    def call(self, function: Symbol, arguments: Symbol) -> None:
        if isinstance(function, Name) and self._called is not None:
            self._called(function, arguments)
        made = Call(function, arguments)
        self.push(made)
        if isinstance(function, Name) and function.name == "_frombuffer" and function.module.startswith("numpy."):
            self._from_buffer(arguments)

    def reduce(self) -> None:
        arguments = self.pop()
        self.call(self.pop(), arguments)

    def new_object_with_keywords(self) -> None:
        self.pop()
        self.reduce()

    def instance(self) -> None:
        self.named_by_lines()
        function = self.pop()
        self.call(function, tuple(self.to_mark()))

    def object(self) -> None:
        function, *arguments = self.to_mark() or [OPAQUE]
        self.call(function, tuple(arguments))

    def persist(self, identity: Symbol) -> None:
        self.push(OPAQUE if self._persistent is None else self._persistent(identity))

    def build(self) -> None:
        """Where the state of an object is set, which for arrays says what they are."""
        state, made = self.pop(), self.top()
        if not isinstance(made, Call):
            return
        made.state = state
        function = made.function
        if not isinstance(function, Name):
            return
        arguments = made.arguments
        is_bare = function.name == "_reconstructor" and isinstance(arguments, tuple) and len(arguments) > 0
        wrapped = arguments[0] if is_bare and isinstance(arguments, tuple) else function
        if isinstance(wrapped, Name) and wrapped.name == "NumpyArrayWrapper":
            self._raw_array(state)
            self._stack[-1] = OPAQUE
        elif function.name == "_reconstruct" and ".multiarray" in function.module and isinstance(state, tuple):
            self._array(state)

    def _array(self, state: tuple[Symbol, ...]) -> None:
        """numpy's own: (version, shape, type, is Fortran's order, bytes or list)."""
        if len(state) >= 5 and (elements := elements_if_shape(state[1])) is not None:
            kind = array_type(state[2])
            if isinstance(state[4], Bytes) and kind.item_bytes and state[4].size != elements * kind.item_bytes:
                self._found.fault("an array has other bytes than its shape and type need")
            self._found.tensor(kind.name, elements)

    def _from_buffer(self, arguments: Symbol) -> None:
        """numpy's of protocol 5: (buffer, type, shape, order)."""
        if isinstance(arguments, tuple) and len(arguments) >= 3:
            elements = elements_if_shape(arguments[2])
            if elements is not None:
                self._found.tensor(array_type(arguments[1]).name, elements)

    def _raw_array(self, state: Symbol) -> None:
        """joblib's: the numbers follow in the stream, an array of objects as a pickle of its own."""
        if not isinstance(state, dict):
            raise Unreadable("an array of joblib is not described")
        elements, kind = elements_if_shape(state.get("shape")), array_type(state.get("dtype"))
        if elements is None or not kind.item_bytes:
            raise Unreadable("an array of joblib is not described")
        if kind.has_objects:
            scan(self._stream, self._found, self._persistent, self._called, self._depth + 1)
        else:
            if state.get("numpy_array_alignment_bytes") is not None:
                self._stream.skip(self._stream.read(1)[0])
            self._stream.skip(elements * kind.item_bytes)
            self._found.tensor(kind.name, elements)

    def set_items(self, pairs: list[Symbol]) -> None:
        target = self.top()
        if isinstance(target, dict):
            for key, value in zip(pairs[::2], pairs[1::2], strict=False):
                if isinstance(key, str) and key in _KEPT_KEYS:
                    target[key] = value

    def set_item(self) -> None:
        value = self.pop()
        self.set_items([self.pop(), value])

    def dictionary(self) -> None:
        pairs = self.to_mark()
        self.push({})
        self.set_items(pairs)

    def tuple(self, count: int) -> None:
        values = [self.pop() for _ in range(count)]
        self.push(tuple(reversed(values)))

    def pop_or_mark(self) -> None:
        if self._stack and isinstance(self._stack[-1], Mark):
            self._stack.pop()
        else:
            self.pop()

    def drop_to_mark(self, replacement: Symbol | None = None) -> None:
        self.to_mark()
        if replacement is not None:
            self.push(replacement)


_KEPT_KEYS = frozenset({"shape", "dtype", "numpy_array_alignment_bytes"})
"""Of all dictionaries: those that say how an array lies in the file."""


_HANDLERS: dict[bytes, Callable[[_Machine], object]] = {
    b"(": lambda m: m.push(Mark()),
    b"0": _Machine.pop_or_mark,
    b"1": _Machine.drop_to_mark,
    b"2": lambda m: m.push(m.top()),
    b"N": lambda m: m.push(None),
    b"I": lambda m: m.push(m.decimal()),
    b"L": lambda m: m.push(m.decimal()),
    b"F": _Machine.passed_line,
    b"S": _Machine.quoted,
    b"V": _Machine.quoted,
    b"P": lambda m: m.persist(m._stream.line().decode("utf-8", "replace")),
    b"Q": lambda m: m.persist(m.pop()),
    b"c": _Machine.named_by_lines,
    b"i": _Machine.instance,
    b"g": lambda m: m.get(m.memo_number()),
    b"p": lambda m: m.put(m.memo_number()),
    b"J": lambda m: m.push(m.number("<i")),
    b"K": lambda m: m.push(m.number("<B")),
    b"M": lambda m: m.push(m.number("<H")),
    b"G": lambda m: m.passed(8),
    b"T": lambda m: m.bytes("<i"),
    b"U": lambda m: m.text("<B"),
    b"X": lambda m: m.text("<I"),
    b"B": lambda m: m.bytes("<I"),
    b"C": lambda m: m.bytes("<B"),
    b"h": lambda m: m.get(m.number("<B")),
    b"j": lambda m: m.get(m.number("<I")),
    b"q": lambda m: m.put(m.number("<B")),
    b"r": lambda m: m.put(m.number("<I")),
    b"R": _Machine.reduce,
    b"a": _Machine.pop,
    b"b": _Machine.build,
    b"d": _Machine.dictionary,
    b"}": lambda m: m.push({}),
    b"e": _Machine.drop_to_mark,
    b"l": lambda m: m.drop_to_mark(OPAQUE),
    b"]": lambda m: m.push(OPAQUE),
    b"o": _Machine.object,
    b"s": _Machine.set_item,
    b"t": lambda m: m.push(tuple(m.to_mark())),
    b")": lambda m: m.push(()),
    b"u": lambda m: m.set_items(m.to_mark()),
    b"\x80": lambda m: m.number("<B"),
    b"\x81": _Machine.reduce,
    b"\x82": lambda m: m.passed(1),
    b"\x83": lambda m: m.passed(2),
    b"\x84": lambda m: m.passed(4),
    b"\x85": lambda m: m.tuple(1),
    b"\x86": lambda m: m.tuple(2),
    b"\x87": lambda m: m.tuple(3),
    b"\x88": lambda m: m.push(1),
    b"\x89": lambda m: m.push(0),
    b"\x8a": lambda m: m.long("<B"),
    b"\x8b": lambda m: m.long("<i"),
    b"\x8c": lambda m: m.text("<B"),
    b"\x8d": lambda m: m.text("<Q"),
    b"\x8e": lambda m: m.bytes("<Q"),
    b"\x8f": lambda m: m.push(OPAQUE),
    b"\x90": _Machine.drop_to_mark,
    b"\x91": lambda m: m.drop_to_mark(OPAQUE),
    b"\x92": _Machine.new_object_with_keywords,
    b"\x93": _Machine.stack_global,
    b"\x94": lambda m: m.put(len(m._memo)),
    b"\x95": lambda m: m.number("<Q"),
    b"\x96": lambda m: m.bytes("<Q"),
    b"\x97": lambda m: m.push(BYTES),
    b"\x98": lambda m: None,
}
