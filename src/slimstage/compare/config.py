"""What of two image configs differs, as people name it. Times and history count for nothing here. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

from slimstage.compare.comparison import ConfigChange
from slimstage.oci.config import HealthConfig, ImageConfig

_HEALTH = (
    ("interval_ns", "interval"),
    ("timeout_ns", "timeout"),
    ("start_period_ns", "start-period"),
    ("start_interval_ns", "start-interval"),
)


def changed_config(old: ImageConfig, new: ImageConfig) -> Iterator[ConfigChange]:
    """Each difference once, in the order that `inspect` shows a config in."""
    for field, before, after in (
        ("Platform", str(old.platform), str(new.platform)),
        ("User", old.user, new.user),
        ("WorkingDir", old.working_dir or "/", new.working_dir or "/"),
        ("Entrypoint", _array(old.entrypoint), _array(new.entrypoint)),
        ("Cmd", _array(old.cmd), _array(new.cmd)),
        ("Shell", _array(old.shell), _array(new.shell)),
        ("StopSignal", old.stop_signal, new.stop_signal),
        ("Healthcheck", _health(old.healthcheck), _health(new.healthcheck)),
        ("Author", old.author, new.author),
    ):
        if (before or None) != (after or None):
            yield ConfigChange(field, "", before or None, after or None)
    yield from _pairs("Env", _environment(old), _environment(new))
    yield from _pairs("Labels", dict(old.labels), dict(new.labels))
    yield from _pairs("ExposedPorts", dict.fromkeys(old.exposed_ports, ""), dict.fromkeys(new.exposed_ports, ""))
    yield from _pairs("Volumes", dict.fromkeys(old.volumes, ""), dict.fromkeys(new.volumes, ""))
    if old.on_build != new.on_build:
        yield ConfigChange("OnBuild", "", _array(old.on_build), _array(new.on_build))


def _environment(config: ImageConfig) -> dict[str, str]:
    return {name: value for name, _, value in (entry.partition("=") for entry in config.env)}


def _pairs(field: str, old: Mapping[str, str], new: Mapping[str, str]) -> Iterator[ConfigChange]:
    for key in sorted({*old, *new}):
        if old.get(key) != new.get(key):
            yield ConfigChange(field, key, old.get(key), new.get(key))


def _array(words: Sequence[str] | None) -> str | None:
    return None if not words else json.dumps(list(words), ensure_ascii=False)


def _health(check: HealthConfig | None) -> str | None:
    if check is None:
        return None
    words = [f"--{name}={getattr(check, field) / 1e9:g}s" for field, name in _HEALTH if getattr(check, field)]
    words += [f"--retries={check.retries}"] if check.retries else []
    return " ".join([*words, _array(check.test) or ""]).strip()
