"""`slimstage.toml`, beside the Dockerfile or in the context: named contexts, defaults of `build`'s flags, registries, budget.

Each key of `[build]` is named as its flag and becomes what the flag would have been given, with its place in the file,
so one parser serves both and a fault points at the line. Flags beat the file.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from slimstage.diagnostics import Diagnostic, Source, Span, did_you_mean
from slimstage.errors import SlimstageError, UsageError
from slimstage.values import dataclass, field

if TYPE_CHECKING:
    from slimstage.cli.toml_places import Path

FILE_NAME = "slimstage.toml"
_LARGEST_BYTES = 1 << 20

Form: TypeAlias = Literal["text", "whole", "number", "switch", "texts", "pairs"]
"""What a key takes: one text, a whole number (or text), any number (or text), true/false, texts (or one), or a table."""

BUILD_KEYS: Mapping[str, Form] = {
    "add-host": "texts",
    "allow": "texts",
    "annotation": "texts",
    "args": "pairs",
    "build-arg": "pairs",
    "cache-from": "texts",
    "cache-mounts": "switch",
    "cache-to": "texts",
    "cpus": "number",
    "file": "text",
    "sbom": "switch",
    "host-certs": "switch",
    "jobs": "whole",
    "label": "pairs",
    "layers": "text",
    "memory": "whole",
    "network": "text",
    "no-cache": "switch",
    "no-cache-filter": "texts",
    "output": "texts",
    "platform": "texts",
    "progress": "text",
    "pull": "switch",
    "reproducible": "switch",
    "sandbox": "text",
    "secret": "texts",
    "shm-size": "whole",
    "ssh": "texts",
    "tag": "texts",
    "target": "text",
    "ulimit": "texts",
}
CHECK_KEYS: Mapping[str, Form] = {
    "fail-on": "text",
    "rule": "texts",
    "severity": "text",
    "skip": "texts",
}
_PLURALS = {"labels": "label", "tags": "tag", "secrets": "secret", "outputs": "output"}
_REGISTRY_KEYS: Mapping[str, Form] = {
    "mirrors": "texts",
    "plain-http": "switch",
    "ca": "text",
    "client-cert": "text",
    "client-key": "text",
    "insecure-skip-verify": "switch",
}
_REGISTRY_PATHS = ("ca", "client-cert", "client-key")
_SECTIONS = ("contexts", "build", "check", "registry", "budget")
_PATH_SCHEMES = ("oci-layout://", "oci-layout:", "oci-archive:", "docker-archive:")


@dataclass(frozen=True, slots=True)
class Setting:
    """One value of the file and where its key stands."""

    value: Any
    span: Span

    @contextmanager
    def located(self) -> Iterator[None]:
        """Gives errors raised inside the place of this setting."""
        try:
            yield
        except SlimstageError as error:
            raise error.at(self.span) from None


@dataclass(frozen=True, slots=True)
class Settings:
    """A settings file as read: `path` None when there is none."""

    path: str | None = None
    build: Mapping[str, Setting] = field(default_factory=dict)
    """By flag name; "texts" are tuples, "pairs" dicts of text (None: taken from the environment)."""
    check: Mapping[str, Setting] = field(default_factory=dict)
    """As `build`, of `slimstage check`."""
    contexts: Mapping[str, Setting] = field(default_factory=dict)
    registries: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    budget: Setting | None = None
    """The table as written: `budgets.py` reads it, for `analyze` alone."""

    @property
    def directory(self) -> str:
        return os.path.dirname(self.path) if self.path else "."


def find_settings(dockerfile: str | None, context: str | None) -> str | None:
    """The path of the settings file: beside the Dockerfile first, then in the context; None when there is none."""
    places = []
    if dockerfile and dockerfile != "-" and "://" not in dockerfile:
        places.append(os.path.dirname(os.path.abspath(dockerfile)))
    if context and context != "-" and os.path.isdir(context):
        places.append(os.path.abspath(context))
    for place in dict.fromkeys(places):
        path = os.path.join(place, FILE_NAME)
        if os.path.lexists(path):
            return path
    return None


def read_settings(path: str) -> Settings:
    """The settings in the file. Raises UsageError: not readable, not TOML, unknown or wrong keys (all at once)."""
    try:
        with open(path, "rb") as file:
            data = file.read(_LARGEST_BYTES + 1)
        text = data.decode("utf-8")
    except OSError as error:
        raise UsageError(f'cannot read "{path}": {(error.strerror or "").lower()}', code="settings") from error
    except UnicodeDecodeError as error:
        raise UsageError(f'"{path}" is not UTF-8', code="settings") from error
    if len(data) > _LARGEST_BYTES:
        raise UsageError(f'"{path}" is larger than 1 MiB', code="settings")
    return parse_settings(text.replace("\r\n", "\n"), path)


def parse_settings(text: str, path: str) -> Settings:
    """As `read_settings`, of a text; relative paths in it are taken from the directory of `path`."""
    import tomllib  # only when there is a settings file

    from slimstage.cli.toml_places import place_of_fault  # only when there is a settings file

    source = Source(os.path.relpath(path) if not os.path.relpath(path).startswith("..") else path, text)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message, span = place_of_fault(error, source)
        raise UsageError(message, code="settings-syntax", span=span) from error
    except (ValueError, RecursionError) as error:
        # tomllib leaves these to its caller: a number of thousands of digits, hundreds of brackets in each other.
        what = "is nested too deep" if isinstance(error, RecursionError) else "holds a number that is too long"
        raise UsageError(f'"{source.name}" {what}', code="settings-syntax", span=Span(source, 1, 1, 1, 2)) from error
    return _Reader(source, path).read(document)


class _Reader:
    """Reads one document, collecting faults so that all are reported together."""

    def __init__(self, source: Source, path: str) -> None:
        from slimstage.cli.toml_places import places_of  # only when there is a settings file

        self._source, self._path = source, path
        self._directory = os.path.dirname(os.path.abspath(path))
        self._places = places_of(source)
        self._faults: list[Diagnostic] = []

    def read(self, document: Mapping[str, Any]) -> Settings:
        self._unknown((), document, _SECTIONS, "section")
        build = self._build(self._table((), document, "build"))
        check = self._check(self._table((), document, "check"))
        contexts = self._contexts(self._table((), document, "contexts"))
        registries = self._registries(self._table((), document, "registry"))
        limits = self._table((), document, "budget")
        if self._faults:
            raise UsageError.of(sorted(self._faults, key=lambda d: (d.span.line, d.span.column) if d.span else (0, 0)))
        budget = Setting(limits, self._place(("budget",))) if limits else None
        return Settings(os.path.abspath(self._path), build, check, contexts, registries, budget)

    def _build(self, table: Mapping[str, Any]) -> Mapping[str, Setting]:
        self._unknown(("build",), table, (*BUILD_KEYS, *_PLURALS), "key")
        found: dict[str, Setting] = {}
        for key, value in table.items():
            name = _PLURALS.get(key, key)
            if name not in BUILD_KEYS:
                continue
            path = ("build", key)
            checked = self._value(path, value, BUILD_KEYS[name])
            name = "build-arg" if name == "args" else name
            if name in found:
                self._fault(path, f'"{key}" says the same as another key')
            if checked is not None:
                found[name] = Setting(self._from_here(name, checked), self._place(path))
        return found

    def _check(self, table: Mapping[str, Any]) -> Mapping[str, Setting]:
        self._unknown(("check",), table, tuple(CHECK_KEYS), "key")
        found: dict[str, Setting] = {}
        for key, value in table.items():
            if key in CHECK_KEYS and (checked := self._value(("check", key), value, CHECK_KEYS[key])) is not None:
                found[key] = Setting(checked, self._place(("check", key)))
        return found

    def _from_here(self, name: str, value: Any) -> Any:
        """Paths in the file are relative to it."""
        if name == "file":
            return os.path.join(self._directory, value)
        if name == "secret":
            return tuple(_joined_field(text, ("src", "source"), self._directory) for text in value)
        if name == "output":
            return tuple(_joined_field(text, ("dest",), self._directory) for text in value)
        if name in ("cache-from", "cache-to"):
            return tuple(_joined_field(text, ("src", "dest"), self._directory) for text in value)
        return value

    def _contexts(self, table: Mapping[str, Any]) -> Mapping[str, Setting]:
        found: dict[str, Setting] = {}
        for name, value in table.items():
            path = ("contexts", name)
            if not isinstance(value, str) or not value:
                hint = None
                if isinstance(value, dict):
                    hint = f'quote the name: "{name}.…" = "…"'  # python.3 = … is a nested table in TOML
                self._fault(path, f'the context "{name}" is not a text', hint)
                continue
            found[name] = Setting(context_from(value, self._directory), self._place(path))
        return found

    def _registries(self, table: Mapping[str, Any]) -> Mapping[str, Mapping[str, object]]:
        found: dict[str, Mapping[str, object]] = {}
        for host in table:
            path = ("registry", host)
            entries = self._table(("registry",), table, host)
            self._unknown(path, entries, tuple(_REGISTRY_KEYS), "key")
            checked: dict[str, object] = {}
            for key, value in entries.items():
                if key in _REGISTRY_KEYS:
                    result = self._value((*path, key), value, _REGISTRY_KEYS[key])
                    is_path = key in _REGISTRY_PATHS and bool(result)
                    checked[key] = os.path.join(self._directory, str(result)) if is_path else result
            found[host] = checked
        return found

    def _table(self, around: Path, document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
        value = document.get(name, {})
        if isinstance(value, dict):
            return value
        self._fault((*around, name), f'"{name}" is a section', f"write [{name}] on its own line")
        return {}

    def _unknown(self, around: Path, table: Mapping[str, Any], known: tuple[str, ...], what: str) -> None:
        where = f" in [{'.'.join(around)}]" if around else ""
        for key in table:
            if key not in known:
                hint = did_you_mean(key, known)
                if hint is None and not around and key in BUILD_KEYS:
                    hint = "put it under [build]"
                self._fault(
                    (*around, key), f'unknown {what} "{key}"{where}', hint or f"known: {', '.join(sorted(known))}"
                )

    def _value(self, path: Path, value: Any, form: Form) -> Any:
        accept, wants = _FORMS[form]
        checked = accept(value)
        if checked is None:
            self._fault(path, f'"{path[-1]}" wants {wants}, got {_kind(value)}')
        return checked

    def _fault(self, path: Path, message: str, hint: str | None = None) -> None:
        self._faults.append(Diagnostic("settings", message, self._place(path), hint=hint))

    def _place(self, path: Path) -> Span:
        from slimstage.cli.toml_places import place_of  # only when there is a settings file

        return place_of(self._places, self._source, path)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _whole(value: Any) -> str | None:
    return _shown(value) if isinstance(value, int | str) and not isinstance(value, bool) else None


def _number(value: Any) -> str | None:
    return _shown(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None


def _shown(value: object) -> str | None:
    """The value as text. None: a number so long (in hexadecimal, say) that Python refuses to write it out."""
    try:
        return str(value)
    except ValueError:
        return None


def _switch(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _texts(value: Any) -> tuple[str, ...] | None:
    if isinstance(value, str):
        return (value,)
    return tuple(value) if isinstance(value, list) and all(isinstance(item, str) for item in value) else None


def _pairs(value: Any) -> dict[str, str | None] | None:
    """A table of texts and numbers, or a list of NAME=VALUE and NAME."""
    if isinstance(value, dict):
        if not all(isinstance(item, str | int | float) for item in value.values()):
            return None
        shown = {key: str(item).lower() if isinstance(item, bool) else _shown(item) for key, item in value.items()}
        return None if None in shown.values() else dict(shown)
    texts = _texts(value)
    if texts is None or not all(text.partition("=")[0] for text in texts):
        return None
    split = (text.partition("=") for text in texts)
    return {name: (rest if equals else None) for name, equals, rest in split}


_FORMS: Mapping[Form, tuple[Callable[[Any], Any], str]] = {
    "text": (_text, "a text"),
    "whole": (_whole, "a whole number"),
    "number": (_number, "a number"),
    "switch": (_switch, "true or false"),
    "texts": (_texts, "a text or a list of texts"),
    "pairs": (_pairs, "a table of texts, or a list of NAME=VALUE"),
}


def _kind(value: Any) -> str:
    names = {
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        str: "a text",
        list: "a list",
        dict: "a table",
    }
    return next((name for kind, name in names.items() if isinstance(value, kind)), "a date")


def context_from(value: str, directory: str) -> str:
    """A named context's value with its relative local path taken from `directory`; all else as it is."""
    for scheme in _PATH_SCHEMES:
        if value.startswith(scheme):
            return scheme + os.path.join(directory, value[len(scheme) :])
    if "://" in value or value.startswith(("target:", "git@", "docker-image:")):
        return value
    return os.path.normpath(os.path.join(directory, os.path.expanduser(value)))


def _joined_field(text: str, keys: tuple[str, ...], directory: str) -> str:
    """CSV text whose paths (the values of `keys`, or the whole of `-o DIR`) are taken from `directory`."""
    if "=" not in text and "," not in text:
        return text if text == "-" or keys != ("dest",) else os.path.join(directory, text)
    fields = text.split(",")
    for position, one in enumerate(fields):
        key, equals, value = one.partition("=")
        if equals and key in keys and value not in ("", "-"):
            fields[position] = f"{key}={os.path.join(directory, value)}"
    return ",".join(fields)
