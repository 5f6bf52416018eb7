"""JSON from outside, read with suspicion: bounded, no duplicate keys, each fault named by its place in the document.

Go's decoder, which most container tools use, takes the last of two equal keys and other parsers the first: a document
with both means two things, so it is refused (parser differentials as in CVE-2020-15157's class).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from slimstage.digest import Digest, parse_digest
from slimstage.errors import FormatError
from slimstage.regex import pattern

LIMIT_BYTES = 4 << 20
"""Of one document. Source: distribution-spec v1.1, "Pushing Manifests": registries should limit to 4 MiB or more."""

_DEEPEST = 100
"""Objects and arrays in each other; what was read is written again later, from deeper in the program's own stack."""


class Fields:
    """One JSON object and where it is: `manifest.layers[2]`. Every getter raises FormatError naming the place."""

    __slots__ = ("place", "values")

    def __init__(self, values: Mapping[str, Any], place: str) -> None:
        self.values, self.place = values, place

    def at(self, name: str) -> str:
        return f"{self.place}.{name}"

    def wrong(self, name: str, wanted: str) -> NoReturn:
        raise FormatError(f"{self.at(name)}: want {wanted}, got {_kind(self.values.get(name))}", code="bad-document")

    def text(self, name: str) -> str | None:
        """A string; None for null or absent."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, str):
            self.wrong(name, "a string")
        return value

    def needed_text(self, name: str) -> str:
        value = self.text(name)
        if not value:
            self.wrong(name, "a string that is not empty")
        return value

    def number(self, name: str) -> int | None:
        """A whole number; true and 1.0 are none."""
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 1 << 63:
            self.wrong(name, "a whole number")
        return value

    def flag(self, name: str) -> bool:
        value = self.values.get(name)
        if value is not None and not isinstance(value, bool):
            self.wrong(name, "true or false")
        return bool(value)

    def texts(self, name: str) -> tuple[str, ...] | None:
        """An array of strings; None for null or absent, () for an empty one."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, list):
            self.wrong(name, "an array")
        for position, item in enumerate(value):
            if not isinstance(item, str):
                raise FormatError(f"{self.at(name)}[{position}]: want a string, got {_kind(item)}", code="bad-document")
        return tuple(value)

    def keys(self, name: str) -> tuple[str, ...]:
        """The sorted keys of an object that stands for a set (`ExposedPorts`, `Volumes`)."""
        value = self.values.get(name)
        if value is None:
            return ()
        if not isinstance(value, dict):
            self.wrong(name, "an object")
        return tuple(sorted(value))

    def text_map(self, name: str) -> dict[str, str]:
        value = self.values.get(name)
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.wrong(name, "an object")
        for key, item in value.items():
            if not isinstance(item, str):
                raise FormatError(f"{self.at(name)}[{key!r}]: want a string, got {_kind(item)}", code="bad-document")
        return dict(value)

    def fields(self, name: str) -> Fields | None:
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, dict):
            self.wrong(name, "an object")
        return Fields(value, self.at(name))

    def items(self, name: str, most: int) -> Iterator[Fields]:
        """The objects of an array; null or absent is an empty one. Raises FormatError above `most` of them."""
        value = self.values.get(name)
        if value is None:
            return
        if not isinstance(value, list):
            self.wrong(name, "an array")
        if len(value) > most:
            raise FormatError(f"{self.at(name)} has {len(value)} entries, more than {most}", code="too-many-entries")
        for position, item in enumerate(value):
            place = f"{self.at(name)}[{position}]"
            if not isinstance(item, dict):
                raise FormatError(f"{place}: want an object, got {_kind(item)}", code="bad-document")
            yield Fields(item, place)

    def digest(self, name: str) -> Digest:
        try:
            return parse_digest(self.values.get(name))
        except FormatError as cause:
            raise FormatError(f"{self.at(name)}: {cause.message}", code=cause.code, hint=cause.hint) from cause


def read_object(data: bytes, what: str, limit_bytes: int = LIMIT_BYTES) -> Fields:
    """The object that a JSON document is. Raises FormatError: too large, not UTF-8, not JSON, nested too deep."""
    if len(data) > limit_bytes:
        raise FormatError(f"{what} is larger than {limit_bytes} bytes", code="document-too-large")
    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant, parse_float=_finite
        )
    except FormatError as cause:
        raise FormatError(f"{what}: {cause.message}", code=cause.code) from None
    except (ValueError, RecursionError) as cause:
        raise FormatError(f"{what} is not JSON: {cause}", code="bad-document") from cause
    if not isinstance(value, dict):
        raise FormatError(f"{what}: want an object, got {_kind(value)}", code="bad-document")
    if _is_too_deep(value):
        raise FormatError(f"{what} is nested deeper than {_DEEPEST} levels", code="bad-document")
    return Fields(value, what)


def _is_too_deep(value: object) -> bool:
    level: list[object] = [value]
    for _ in range(_DEEPEST):
        inner = [node.values() if isinstance(node, dict) else node for node in level if isinstance(node, dict | list)]
        if not inner:
            return False
        level = [child for children in inner for child in children]
    return True


def go_json(value: object, *, indent: int | None = None) -> bytes:
    """A value's JSON as Go's encoder writes it: `<`, `>`, `&` and line separators escaped, invalid UTF-8 replaced.

    Dictionaries keep the order they have.
    """
    separators = (",", ":") if indent is None else (",", ": ")
    text = json.dumps(value, ensure_ascii=False, separators=separators, indent=indent)
    for character in "<>&\u2028\u2029":
        # They occur only inside strings, so replacing them in the whole text is right.
        text = text.replace(character, f"\\u{ord(character):04x}")
    text = _LONE_SURROGATE.sub("\ufffd", text)  # of another document's "\ud800"; no encoding has them
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace").encode()


_LONE_SURROGATE = pattern("[\ud800-\udc7f\udd00-\udfff]")
"""Those that do not stand for a byte that is no UTF-8."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise FormatError(f"the key {key[:100]!r} is there twice", code="duplicate-key")
            seen.add(key)
    return found


def _finite(digits: str) -> float:
    """The number. One that no float holds would be written as `Infinity`, which is no JSON. Raises ValueError."""
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"the number {digits[:40]} is out of range")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON value")


def _kind(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, str):
        return repr(value[:60])
    if isinstance(value, (bool, int, float)):
        return json.dumps(value)[:60]
    return "an array" if isinstance(value, list) else "an object"
