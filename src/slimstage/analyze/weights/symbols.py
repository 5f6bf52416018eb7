"""What stands on the stack of `pickled.py` for the objects that a pickle would make. Nothing of it acts."""

from __future__ import annotations

from typing import TypeAlias, Union


class Mark:
    """Where the arguments of an opcode begin."""

    __slots__ = ()


class Opaque:
    """Anything that is not looked into."""

    __slots__ = ()


class Bytes:
    """A byte string of a length."""

    __slots__ = ("size",)

    def __init__(self, size: int) -> None:
        self.size = size


class Name:
    """A class or function that would be imported."""

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class Call:
    """What a function gives, or an object of a class, with the state that it is given later."""

    __slots__ = ("arguments", "function", "state")

    def __init__(self, function: Symbol, arguments: Symbol) -> None:
        self.function, self.arguments, self.state = function, arguments, None  # type: Symbol, Symbol, Symbol


Symbol: TypeAlias = Union[  # noqa: UP007  # it refers to itself, which `|` cannot while it is made
    int, str, tuple["Symbol", ...], dict[str, "Symbol"], Mark, Opaque, Bytes, Name, Call, None
]

OPAQUE = Opaque()
BYTES = Bytes(0)
