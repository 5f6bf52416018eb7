"""What is known about each container, on disk: `containers/ID/container.json`, replaced whole at each change.

Only the container's runner (the supervisor of `run -d`, or the `run` in the foreground) writes its record while it
lives. A record that says running although its runner is gone tells of a killed runner: it is shown as lost.
"""

from __future__ import annotations

import os
import re
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from slimstage.container.options import Publish, RunOptions
from slimstage.container.processes import ProcessId
from slimstage.diagnostics import did_you_mean
from slimstage.errors import StoreError, UsageError
from slimstage.regex import pattern
from slimstage.store.containers import Containers as Directories
from slimstage.store.files import guarded, read_small, replace_file
from slimstage.store.snapshots import Stack
from slimstage.values import dataclass, replace

RECORD = "container.json"
LAUNCH = "launch.json"
LOG = "log"
STOP = "stop.json"
UPPER = "upper"
WORK = "work"

Status: TypeAlias = Literal["created", "running", "exited", "lost"]

_STARTING_S = 60.0
"""A runner notes itself within milliseconds of the container being made."""

_NAME = pattern(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,62}\Z")
_LEFT = (
    "brisk",
    "calm",
    "clear",
    "crisp",
    "deft",
    "eager",
    "fair",
    "keen",
    "lucid",
    "mild",
    "neat",
    "quiet",
    "swift",
    "warm",
)
_RIGHT = (
    "basil",
    "broth",
    "chive",
    "cumin",
    "fennel",
    "ladle",
    "mint",
    "pan",
    "pepper",
    "pot",
    "saffron",
    "thyme",
    "whisk",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerRecord:
    """One container. Times are seconds since the epoch; `exit_status` None: not ended, or not known (lost)."""

    id: str
    name: str
    image: str
    image_id: str
    command: tuple[str, ...]
    created_s: float
    status: Status = "created"
    started_s: float | None = None
    finished_s: float | None = None
    exit_status: int | None = None
    is_out_of_memory: bool = False
    pid: int | None = None
    """On the host, of the first process inside; only while it runs."""
    runner: ProcessId | None = None
    ports: tuple[Publish, ...] = ()
    is_detached: bool = False
    removes_itself: bool = False
    stop_signal: int = 15
    stop_timeout_s: float = 10.0
    error: str | None = None
    """Why it could not start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """All that the supervisor has to know beside the record."""

    stack: tuple[str, ...]
    options: RunOptions


class Containers:
    """The containers of one store's directory; opening it touches nothing."""

    def __init__(self, root: Path) -> None:
        self._directories = Directories(os.path.join(os.path.realpath(root), "containers"))

    def directory(self, identity: str) -> str:
        return self._directories.path(identity)

    def list(self) -> list[ContainerRecord]:
        """All, newest first, each with its status as it is now. A directory without a record is no container yet."""
        try:
            names = self._directories.list()
        except StoreError:
            if os.path.isdir(self._directories.path("x")[:-2]):
                raise
            return []  # no store yet: no containers
        found = [record for record in map(self._read, names) if record is not None]
        return sorted(found, key=lambda record: (-record.created_s, record.id))

    def find(self, text: str) -> ContainerRecord | None:
        """By name, by ID, or by an unambiguous beginning of an ID. Raises UsageError when several begin so."""
        records = self.list()
        for record in records:
            if text in (record.name, record.id):
                return record
        if not re.fullmatch(r"[0-9a-f]{1,64}", text):
            return None
        matches = [record for record in records if record.id.startswith(text)]
        if len(matches) > 1:
            raise UsageError(
                f'"{text}" is the beginning of {len(matches)} container IDs',
                code="ambiguous",
                notes=tuple(f"{record.id[:12]} {record.name}" for record in matches[:5]),
                hint="give more of it",
            )
        return matches[0] if matches else None

    def get(self, text: str) -> ContainerRecord:
        """As `find`; raises UsageError, with a near name, when there is none."""
        record = self.find(text)
        if record is None:
            raise UsageError(
                f'no container "{text}"',
                code="no-such-container",
                hint=did_you_mean(text, [r.name for r in self.list()]) or "see: slimstage ps -a",
            )
        return record

    def create(self, record: ContainerRecord, launch: Launch) -> ContainerRecord:
        """Makes its directory, which keeps its layers and image from a prune. Raises UsageError: the name is taken."""
        import msgspec

        name = record.name or self._free_name()
        if not _NAME.match(name):
            raise UsageError(
                f'"{name}" is not a container name', hint='letters, digits, "_", "." and "-", at most 63 of them'
            )
        taken = next((other for other in self.list() if other.name == name), None)
        if taken is not None:
            raise UsageError(
                f'the name "{name}" is taken by container {taken.id[:12]}',
                code="name-taken",
                hint=f"remove it with: slimstage rm {name}",
            )
        stack: Stack = launch.stack  # type: ignore[assignment] # layer IDs, as text in the JSON
        from slimstage.digest import parse_digest

        made: list[ContainerRecord] = []

        def fill(identity: str, path: str) -> None:
            made.append(replace(record, id=identity, name=name))
            for part in (UPPER, WORK):
                os.mkdir(os.path.join(path, part), 0o755)
            # The root directory of what runs: its mode is the image's business, not our umask's.
            os.chmod(os.path.join(path, UPPER), 0o755)
            replace_file(os.path.join(path, LAUNCH), msgspec.json.encode(launch), is_durable=False)
            replace_file(os.path.join(path, RECORD), msgspec.json.encode(made[0]), is_durable=False)

        self._directories.create(stack, parse_digest(record.image_id), record.id or None, fill=fill)
        return made[0]

    def write(self, record: ContainerRecord) -> None:
        """Replaces the record, atomically."""
        import msgspec

        with guarded("note a container's state"):
            replace_file(os.path.join(self.directory(record.id), RECORD), msgspec.json.encode(record), is_durable=False)

    def launch(self, identity: str) -> Launch:
        """How it was to be started. Raises StoreError when that cannot be read."""
        import msgspec

        try:
            return msgspec.json.decode(read_small(os.path.join(self.directory(identity), LAUNCH)), type=Launch)
        except (OSError, msgspec.MsgspecError) as error:
            raise StoreError(f'the container "{identity}" cannot be read: {error}', code="container-damaged") from error

    def remove(self, identity: str) -> None:
        """Removes all of it. It must not be running. Raises StoreError."""
        self._directories.remove(identity)

    def _read(self, identity: str) -> ContainerRecord | None:
        import msgspec

        try:
            data = read_small(os.path.join(self.directory(identity), RECORD))
            record = msgspec.json.decode(data, type=ContainerRecord)
        except (OSError, msgspec.MsgspecError):
            return None
        if record.status in ("running", "created") and (record.runner is None or not record.runner.is_alive()):
            # `created` without a runner yet: the command that makes it is between two writes, or was killed there.
            is_young = record.status == "created" and record.runner is None
            is_young = is_young and time.time() - record.created_s < _STARTING_S
            return record if is_young else replace(record, status="lost", pid=None)
        return record

    def _free_name(self) -> str:
        taken = {record.name for record in self.list()}
        for _ in range(50):
            name = f"{secrets.choice(_LEFT)}-{secrets.choice(_RIGHT)}"
            if name not in taken:
                return name
        return f"container-{secrets.token_hex(4)}"


def shown_command(command: Sequence[str], limit: int = 40) -> str:
    """The command in one line, cut to `limit` characters."""
    import shlex

    text = shlex.join(command).replace("\n", " ")
    return text if len(text) <= limit else text[: limit - 1] + "…"
