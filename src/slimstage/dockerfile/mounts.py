"""`RUN --mount=…`: the text of one mount → its options, checked.

Read twice: `parse.py` checks what needs no variables, `plan/` reads again with the values known.
Source: BuildKit frontend/dockerfile/instructions/commands_runmount.go; dockerfile.md §1.3.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal, NoReturn, TypeVar, cast, get_args

from slimstage.dockerfile.expand import expand_word
from slimstage.dockerfile.faults import guess, quoted
from slimstage.dockerfile.values import parse_bool, parse_fields, parse_size, parse_unsigned
from slimstage.errors import DockerfileError
from slimstage.regex import pattern
from slimstage.values import dataclass

MountType = Literal["bind", "cache", "tmpfs", "secret", "ssh"]
Sharing = Literal["shared", "private", "locked"]

_TYPES: tuple[MountType, ...] = get_args(MountType)
_SHARING: tuple[Sharing, ...] = get_args(Sharing)
_NAMES = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly", "rw": "readwrite"}
_KEYS = frozenset("type from source target readonly readwrite required size id sharing mode uid gid env".split())  # noqa: SIM905 (readable)
_VARIABLE = pattern(r"\$.", re.DOTALL)


@dataclass(frozen=True, slots=True)
class MountOptions:
    """One mount as written; None: not given, the default is the reader's matter.

    is_readonly: with the type's default applied (cache and tmpfs are writable, the others not).
    """

    type: MountType = "bind"
    target: str | None = None
    source: str | None = None
    from_: str | None = None
    is_readonly: bool = True
    id: str | None = None
    sharing: Sharing | None = None
    is_required: bool = False
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size_bytes: int | None = None
    env: str | None = None


def parse_mount(text: str, expand: Callable[[str], str] | None) -> MountOptions:
    """The options of one `--mount` value.

    expand: replaces variables in a value. With None a value that holds `$` is not looked at, and what depends on it
    is not checked; it is the same as not given in the result.
    Raises: DockerfileError without a place.
    """
    try:
        fields = parse_fields(text)
    except ValueError as error:
        _fail(f"cannot split {quoted(text)} at commas: {error}")
    reader = _Reader(expand)
    for field in fields:
        reader.read(field)
    return reader.result()


def _fail(message: str, *notes: str, hint: str | None = None, code: str = "bad-mount") -> NoReturn:
    raise DockerfileError(message, code=code, notes=notes, hint=hint)


_T = TypeVar("_T")


class _Reader:
    def __init__(self, expand: Callable[[str], str] | None) -> None:
        self._expand = expand
        self._type: MountType | None = "bind"
        """None: it holds a variable that is not known yet."""
        self._has_type = self._is_deferred = False
        self._texts: dict[str, str] = {}
        self._numbers: dict[str, int] = {}
        self._is_readonly: bool | None = None
        self._is_required = False
        self._sharing: Sharing | None = None

    def read(self, field: str) -> None:
        """Take one `key=value` or key."""
        key, equals, raw = field.partition("=")
        key = key.lower()
        name = _NAMES.get(key, key)
        self._has_type = self._has_type or name == "type"
        if name not in _KEYS:
            hint = guess(key, [*_KEYS, *_NAMES])
            _fail(f'unknown key "{key[:80]}" in the mount', hint=hint or "fields are key=value, separated by commas")
        if not equals:
            self._read_alone(name, key)
            return
        value = self._value(name, raw)
        if value is None:
            self._is_deferred = True
            if name == "type":
                self._type = None
            elif name in ("readonly", "readwrite"):
                self._is_readonly = self._is_readonly or False
            return
        self._read_pair(name, key, value)

    def _value(self, name: str, raw: str) -> str | None:
        if self._expand is None and name == "from" and _VARIABLE.search(raw):
            hint = "give the stage or image a name: FROM $IMAGE AS NAME, then from=NAME"
            _fail('"from" of a mount cannot hold a variable', hint=hint, code="from-variable")
        if self._expand is not None:
            return self._expand(raw)
        return None if "$" in raw else expand_word(raw, {}).text

    def _read_alone(self, name: str, key: str) -> None:
        if name == "readonly":
            self._is_readonly = True
        elif name == "readwrite":
            self._is_readonly = False
        elif name == "required":
            self._only(key, "secret", "ssh")
            self._is_required = True
        else:
            _fail(f'"{key}" has no value in the mount', hint=f"write {key}=VALUE")

    def _read_pair(self, name: str, key: str, value: str) -> None:
        if name == "type":
            if value.lower() not in _TYPES:
                _fail(f"unknown mount type {quoted(value)}", _one_of("types", _TYPES), hint=guess(value, _TYPES))
            self._type = cast(MountType, value.lower())
        elif name in ("from", "source", "target", "id", "env"):
            self._texts[name] = value
        elif name == "readonly":
            self._is_readonly = self._parsed(key, parse_bool, value)
        elif name == "readwrite":
            self._is_readonly = not self._parsed(key, parse_bool, value)
        elif name == "required":
            self._only(key, "secret", "ssh")
            self._is_required = self._parsed(key, parse_bool, value)
        elif name == "size":
            self._only(key, "tmpfs")
            self._numbers[name] = self._parsed(key, parse_size, value)
        elif name == "sharing":
            if value.lower() not in _SHARING:
                _fail(f"unknown sharing {quoted(value)}", _one_of("modes", _SHARING), hint=guess(value, _SHARING))
            self._sharing = cast(Sharing, value.lower())
        elif name == "mode":
            self._numbers[name] = self._parsed(key, lambda text: parse_unsigned(text, 8), value)
        else:
            self._numbers[name] = self._parsed(key, parse_unsigned, value)

    def _parsed(self, key: str, parse: Callable[[str], _T], value: str) -> _T:
        try:
            return parse(value)
        except ValueError as error:
            _fail(f'invalid "{key}" of the mount: {error}')

    def _only(self, key: str, *types: MountType) -> None:
        if self._type is not None and self._type not in types:
            hint = None if self._has_type else f"write type={types[0]} in front of it"
            _fail(f'a mount of type {self._type} takes no "{key}"', f'"{key}" belongs to {", ".join(types)}', hint=hint)

    def result(self) -> MountOptions:
        """The mount. Raises: DockerfileError when its options contradict each other."""
        kind = self._type
        if kind is not None:
            self._check(kind)
        is_readonly = self._is_readonly
        if is_readonly is None:
            is_readonly = kind not in ("cache", "tmpfs")
        texts = {key: value or None for key, value in self._texts.items()}
        return MountOptions(
            type=kind or "bind",
            target=texts.get("target"),
            source=texts.get("source"),
            from_=texts.get("from"),
            is_readonly=is_readonly,
            id=texts.get("id"),
            sharing=self._sharing,
            is_required=self._is_required,
            mode=self._numbers.get("mode"),
            uid=self._numbers.get("uid"),
            gid=self._numbers.get("gid"),
            size_bytes=self._numbers.get("size"),
            env=texts.get("env"),
        )

    def _check(self, kind: MountType) -> None:
        for key in ("mode", "uid", "gid"):
            if key in self._numbers:
                self._only(key, "cache", "secret", "ssh")
        if self._sharing:
            self._only("sharing", "cache")
        if "env" in self._texts:
            self._only("env", "secret")
        if kind != "secret":
            return
        if self._texts.get("from"):
            _fail('a secret mount takes no "from"')
        if self._texts.get("source") and self._texts.get("id"):
            _fail('a secret mount takes either "id" or "source", not both')
        if not self._is_deferred and not any(self._texts.get(key) for key in ("source", "target", "id")):
            _fail(
                'a secret mount needs an "id" or a "target"',
                hint="write id=NAME, and build with --secret id=NAME,src=FILE",
            )


def _one_of(what: str, names: tuple[str, ...]) -> str:
    return f"the {what} are {', '.join(names)}"
