"""The image config: what runs, and the history of the layers.

Source: OCI image-spec v1.1, config.md; Docker's additions (Healthcheck, OnBuild, Shell, ArgsEscaped) as BuildKit writes
them. Values here are immutable; `to_json` and `from_json` are in this module, exact bytes are kept by whoever read them.
"""

from __future__ import annotations

from collections.abc import Mapping

from slimstage.digest import Digest, digest_bytes, parse_digest
from slimstage.errors import FormatError
from slimstage.oci.descriptor import Platform, normalised
from slimstage.oci.document import Fields, go_json, read_object
from slimstage.values import dataclass, field

LIMIT_BYTES = 8 << 20
"""Of a config: `created_by` of a heredoc can be long, and BuildKit's inline cache lies in it."""
_MOST_HISTORY = 10_000
_CONFIG = "config."
_KNOWN = frozenset({"architecture", "os", "variant", "os.version", "created", "author", "config", "rootfs", "history"})
_KNOWN_CONFIG = frozenset(
    {
        "User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes", "WorkingDir", "Labels", "StopSignal",
        "ArgsEscaped", "Healthcheck", "OnBuild", "Shell",
    }
)  # fmt: skip


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
    """A whole config document.

    None is absent, () is there and empty: `Entrypoint` and `Cmd` tell them apart. `extra` keeps fields that we do not
    know, of the top level and, named `config.NAME`, of `config`.
    """

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

    @property
    def platform(self) -> Platform:
        return normalised(Platform(self.os, self.architecture, self.variant, self.os_version))


def to_json(config: ImageConfig) -> bytes:
    """The document, the same bytes for the same value. `digest_bytes` of it is the image ID.

    The top level is sorted by name, `config` and history entries are in the order of Go's structures, as BuildKit
    writes them; sets and maps are sorted.
    """
    document: dict[str, object] = {
        "architecture": config.architecture,
        "config": _runtime(config),
        "os": config.os,
        "rootfs": {"type": "layers", "diff_ids": list(config.diff_ids)},
        **{name: value for name, value in config.extra if not name.startswith(_CONFIG)},
    }
    texts = {"variant": config.variant, "os.version": config.os_version, "created": config.created}
    document.update({name: text for name, text in (*texts.items(), ("author", config.author)) if text is not None})
    if config.history:
        document["history"] = [_history_entry(entry) for entry in config.history]
    return go_json({name: document[name] for name in sorted(document)})


def image_id(config: ImageConfig) -> Digest:
    """The digest of the config's document as `to_json` writes it."""
    return digest_bytes(to_json(config))


def from_json(data: bytes) -> ImageConfig:
    """The config that the document is; `digest_bytes(data)` is its image ID, not that of what `to_json` would write.

    Raises FormatError, naming the place: not JSON, a duplicate key, a field of another type, no platform.
    """
    document = read_object(data, "image config", LIMIT_BYTES)
    runtime = document.fields("config") or Fields({}, document.at("config"))
    rootfs = document.fields("rootfs") or Fields({}, document.at("rootfs"))
    if rootfs.text("type") not in (None, "layers"):
        rootfs.wrong("type", '"layers"')
    return ImageConfig(
        architecture=document.needed_text("architecture"),
        os=document.needed_text("os"),
        variant=document.text("variant") or None,
        os_version=document.text("os.version") or None,
        created=document.text("created"),
        author=document.text("author"),
        user=runtime.text("User") or "",
        exposed_ports=runtime.keys("ExposedPorts"),
        env=runtime.texts("Env") or (),
        entrypoint=runtime.texts("Entrypoint"),
        cmd=runtime.texts("Cmd"),
        volumes=runtime.keys("Volumes"),
        working_dir=runtime.text("WorkingDir") or "",
        labels=tuple(sorted(runtime.text_map("Labels").items())),
        stop_signal=runtime.text("StopSignal") or None,
        healthcheck=_health(runtime.fields("Healthcheck")),
        on_build=runtime.texts("OnBuild") or (),
        shell=runtime.texts("Shell"),
        args_escaped=runtime.flag("ArgsEscaped"),
        diff_ids=_diff_ids(rootfs),
        history=tuple(_history(entry) for entry in document.items("history", _MOST_HISTORY)),
        extra=(
            *((name, value) for name, value in document.values.items() if name not in _KNOWN),
            *((_CONFIG + name, value) for name, value in runtime.values.items() if name not in _KNOWN_CONFIG),
        ),
    )


def _runtime(config: ImageConfig) -> dict[str, object]:
    health = config.healthcheck
    fields: dict[str, object] = {
        "User": config.user or None,
        "ExposedPorts": {port: {} for port in sorted(config.exposed_ports)} or None,
        "Env": list(config.env) or None,
        "Entrypoint": None if config.entrypoint is None else list(config.entrypoint),
        "Cmd": None if config.cmd is None else list(config.cmd),
        "Volumes": {path: {} for path in sorted(config.volumes)} or None,
        "WorkingDir": config.working_dir or None,
        "Labels": dict(sorted(config.labels)) or None,
        "StopSignal": config.stop_signal or None,
        "ArgsEscaped": config.args_escaped or None,
        "Healthcheck": None if health is None else _health_fields(health),
        "OnBuild": list(config.on_build) or None,
        "Shell": None if config.shell is None else list(config.shell),
    }
    written = {name: value for name, value in fields.items() if value is not None}
    written.update(
        sorted((name.removeprefix(_CONFIG), value) for name, value in config.extra if name.startswith(_CONFIG))
    )
    return written


def _health_fields(health: HealthConfig) -> dict[str, object]:
    fields: Mapping[str, object] = {
        "Test": list(health.test),
        "Interval": health.interval_ns,
        "Timeout": health.timeout_ns,
        "StartPeriod": health.start_period_ns,
        "StartInterval": health.start_interval_ns,
        "Retries": health.retries,
    }
    return {name: value for name, value in fields.items() if value}


def _history_entry(entry: HistoryEntry) -> dict[str, object]:
    fields: Mapping[str, object] = {
        "created": entry.created,
        "created_by": entry.created_by,
        "author": entry.author,
        "comment": entry.comment,
        "empty_layer": entry.empty_layer,
    }
    return {name: value for name, value in fields.items() if value}


def _history(entry: Fields) -> HistoryEntry:
    return HistoryEntry(
        created=entry.text("created"),
        created_by=entry.text("created_by") or "",
        comment=entry.text("comment") or "",
        author=entry.text("author") or "",
        empty_layer=entry.flag("empty_layer"),
    )


def _health(fields: Fields | None) -> HealthConfig | None:
    if fields is None:
        return None
    return HealthConfig(
        test=fields.texts("Test") or (),
        interval_ns=fields.number("Interval") or 0,
        timeout_ns=fields.number("Timeout") or 0,
        start_period_ns=fields.number("StartPeriod") or 0,
        start_interval_ns=fields.number("StartInterval") or 0,
        retries=fields.number("Retries") or 0,
    )


def _diff_ids(rootfs: Fields) -> tuple[Digest, ...]:
    found = []
    for position, text in enumerate(rootfs.texts("diff_ids") or ()):
        try:
            found.append(parse_digest(text))
        except FormatError as cause:
            raise FormatError(f"{rootfs.at('diff_ids')}[{position}]: {cause.message}", code=cause.code) from cause
    return tuple(found)
