"""Flags over settings: what `build` and `check` both ask for, by the same words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from slimstage.cli.settings import Settings
from slimstage.cli.values import split_pair
from slimstage.errors import FormatError, UsageError
from slimstage.oci.descriptor import Platform, host_platform, parse_platform

Value = TypeVar("Value")


class Merged:
    """Flags over settings: each lookup gives what the flag said, else the file, with the file's place for errors."""

    def __init__(self, flags: Mapping[str, Any], settings: Settings) -> None:
        self._flags, self._settings = flags, settings.build

    @contextmanager
    def value(self, name: str) -> Iterator[Any]:
        """The value of `--name`: None or () when neither says it."""
        given = self._flags.get(name.replace("-", "_"))
        setting = self._settings.get(name)
        if given not in (None, (), False) or setting is None:
            yield given
        else:
            with setting.located():
                yield setting.value

    def one(self, name: str, parse: Callable[[str], Value], default: Value) -> Value:
        with self.value(name) as text:
            return default if text is None else parse(text)

    def each(self, name: str, parse: Callable[[str], Value]) -> tuple[Value, ...]:
        with self.value(name) as texts:
            return tuple(parse(text) for text in texts or ())

    def switch(self, name: str) -> bool:
        with self.value(name) as value:
            return bool(value)

    def pairs(self, name: str, parse: Callable[[str], tuple[str, Value]]) -> dict[str, Value | str | None]:
        """A table: the file's, then the flags' one by one over it."""
        setting = self._settings.get(name)
        found: dict[str, Value | str | None] = dict(setting.value) if setting else {}
        for text in self._flags.get(name.replace("-", "_")) or ():
            key, value = parse(text)
            found[key] = value
        return found


def build_arguments(merged: Merged, environment: Mapping[str, str]) -> dict[str, str | None]:
    """`--build-arg` over the settings; NAME alone takes the environment's value.

    Where the environment has none, that of an earlier `--build-arg` stays, and without one the value is None.
    """
    known: dict[str, str | None] = {}

    def parse(text: str) -> tuple[str, str | None]:
        name, equals, value = text.partition("=")
        if not name or any(character.isspace() for character in name):
            raise UsageError(f'--build-arg: "{text}" has no name', hint="write --build-arg NAME=VALUE")
        known[name] = value if equals else environment.get(name, known.get(name))
        return name, known[name]

    given = merged.pairs("build-arg", parse)
    return {name: environment.get(name) if value is None else value for name, value in given.items()}


def named_contexts(merged: Merged, flags: Mapping[str, Any], settings: Settings) -> dict[str, str]:
    """`--build-context` over the settings. Raises UsageError: one has no value."""
    found = {name: str(setting.value) for name, setting in settings.contexts.items()}
    for name, setting in settings.contexts.items():
        with setting.located():
            _check_context(name, found[name])
    for text in flags.get("build_context") or ():
        name, value = split_pair(text, "--build-context", wants="NAME=SPEC")
        _check_context(name, value)
        found[name] = value
    return found


def _check_context(name: str, value: str) -> None:
    """Only that there is a value: whether it exists matters once a needed stage reads it, and then the engine says so."""
    if not value:
        raise UsageError(
            f'context "{name}": the value is empty', hint="write NAME=DIRECTORY, or NAME=docker-image://IMAGE"
        )


def wanted_platforms(merged: Merged) -> tuple[Platform, ...]:
    """Each once, in the order given, as buildx takes them: with commas, repeated, or both."""
    with merged.value("platform") as given:
        texts = [given] if isinstance(given, str) else list(given or ())
        names = [name for text in texts for name in text.split(",") if name.strip()]
        try:
            return tuple(dict.fromkeys(parse_platform(name) for name in names))
        except FormatError as error:
            near = f'this host is "{host_platform()}"'
            raise UsageError(f"--platform: {error.message}", hint=error.hint, notes=(near,)) from error
