"""Starts a detached container: a supervisor process of its own, which outlives the command that started it."""

from __future__ import annotations

import json
import os
import sys

from slimstage.container.records import ContainerRecord, Containers
from slimstage.errors import SandboxError, SlimstageError

SUPERVISOR_LOG = "supervisor.log"
READY_FD = 3


def start_detached(containers: Containers, root: str, record: ContainerRecord) -> ContainerRecord:
    """The record of the running container. Blocks until it runs.

    Raises SandboxError with the supervisor's own words when it does not come up; the container stays for `logs` and `rm`.
    """
    directory = containers.directory(record.id)
    reader, writer = os.pipe2(os.O_CLOEXEC)
    try:
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (
                os.POSIX_SPAWN_OPEN,
                2,
                os.path.join(directory, SUPERVISOR_LOG),
                os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW,
                0o600,
            ),
            (os.POSIX_SPAWN_DUP2, writer, READY_FD),
        ]
        # -P: what lies in the working directory is not imported. A session of its own: no terminal can reach it.
        argv = [sys.executable, "-P", "-m", "slimstage.container.supervise", root, record.id]
        os.posix_spawn(sys.executable, argv, _environment(), file_actions=actions, setsid=True)
    except OSError as error:
        raise SandboxError(f"cannot start a supervisor: {(error.strerror or '').lower()}") from error
    finally:
        os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        answer = stream.read()
    return _answered(answer, containers, record)


def _answered(answer: bytes, containers: Containers, record: ContainerRecord) -> ContainerRecord:
    try:
        said = json.loads(answer)
    except ValueError:
        said = {"message": "the supervisor ended before the container ran", "code": "supervisor"}
    if "message" in said:
        error: SlimstageError = SandboxError(
            str(said["message"]),
            code=str(said.get("code", "sandbox")),
            hint=said.get("hint"),
            notes=said.get("notes", ()),
        )
        raise error
    return containers.find(record.id) or record


_KEPT = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "XDG_RUNTIME_DIR")


def _environment() -> dict[str, str]:
    """What the supervisor needs of ours: where Python and the store are, nothing else of what the user's shell holds."""
    return {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith("SLIMSTAGE_")}
