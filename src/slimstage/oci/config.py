"""The image config: what runs, and the history of the layers.

Source: OCI image-spec v1.1, config.md; Docker's additions (Healthcheck, OnBuild, Shell, ArgsEscaped) as BuildKit writes
them. Values here are immutable; `to_json` and `from_json` are in this module, exact bytes are kept by whoever read them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from slimstage.digest import Digest


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    created: str | None = None
    """RFC 3339."""
    created_by: str = ""
    comment: str = ""
    author: str = ""
    empty_layer: bool = False


@dataclass(frozen=True, slots=True)
class HealthConfig:
    """`test` ("NONE",), ("CMD", …) or ("CMD-SHELL", text); durations in nanoseconds, 0: inherited default."""

    test: tuple[str, ...] = ()
    interval_ns: int = 0
    timeout_ns: int = 0
    start_period_ns: int = 0
    start_interval_ns: int = 0
    retries: int = 0


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """A whole config document. `extra` keeps fields that we do not know, of the top level and of `config`."""

    architecture: str
    os: str
    variant: str | None = None
    os_version: str | None = None
    created: str | None = None
    author: str | None = None
    user: str = ""
    exposed_ports: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] | None = None
    cmd: tuple[str, ...] | None = None
    volumes: tuple[str, ...] = ()
    working_dir: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    stop_signal: str | None = None
    healthcheck: HealthConfig | None = None
    on_build: tuple[str, ...] = ()
    shell: tuple[str, ...] | None = None
    args_escaped: bool = False
    diff_ids: tuple[Digest, ...] = ()
    history: tuple[HistoryEntry, ...] = ()
    extra: tuple[tuple[str, object], ...] = field(default=(), compare=False)
