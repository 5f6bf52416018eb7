"""The supervisor of one detached container: `python -m slimstage.container.supervise ROOT ID`.

Started by `launching.py` with a pipe at descriptor 3, on which it says once whether the container runs. It stays until
the command has ended and its exit status is written down.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from slimstage.container.images import config_of
from slimstage.container.launching import READY_FD
from slimstage.container.records import ContainerRecord, Containers
from slimstage.container.session import ContainerSession
from slimstage.errors import SlimstageError, StoreError
from slimstage.sandbox.backends import make_sandbox
from slimstage.store.snapshots import Stack
from slimstage.store.store import Store


def main(arguments: list[str]) -> int:
    """0 when the container was started, whatever its exit status."""
    root, identity = arguments
    os.chdir("/")
    try:
        with Store.open(Path(root)) as store:
            _supervise(store, identity)
    except SlimstageError as error:
        first = error.diagnostics[0]
        _say({"message": first.message, "code": first.code, "hint": first.hint, "notes": list(first.notes)})
        # Its stderr is `supervisor.log` in the container's directory: nobody's terminal.
        sys.stderr.write(f"{error}\n")
        return error.exit_status
    return 0


def _supervise(store: Store, identity: str) -> None:
    containers = Containers(store.root)
    record = containers.find(identity)
    if record is None:
        raise StoreError(f'no container "{identity}"', code="no-such-container")
    launch = containers.launch(identity)
    stack: Stack = launch.stack  # type: ignore[assignment] # layer IDs, as text in the JSON
    session = ContainerSession(store, record, config_of(store, record.image_id), launch.options, stack)
    try:
        session.run(make_sandbox(launch.options.backend), _nowhere, on_start=_is_up)
    finally:
        session.close()


def _nowhere(stream: int, data: bytes) -> None:
    """The log is all that a detached container's output goes to."""


def _is_up(record: ContainerRecord) -> None:
    _say({"id": record.id})


def _say(answer: dict[str, object]) -> None:
    """Writes the one answer and closes the pipe; a second answer, or one that nobody waits for, goes nowhere."""
    try:
        os.write(READY_FD, json.dumps(answer).encode())
        os.close(READY_FD)
    except OSError:
        pass


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
