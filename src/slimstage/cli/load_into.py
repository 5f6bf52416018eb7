"""`build --load`: the image also goes to the Docker or Podman that is on this host, as an archive through a pipe."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from typing import BinaryIO, cast

from slimstage.container.images import get_image
from slimstage.errors import SlimstageError, StoreError
from slimstage.store.store import Store

_ANSWERS_WITHIN_S = 10


def engine() -> str | None:
    """`docker` where a daemon answers, else `podman` where it is installed, else None."""
    docker = shutil.which("docker")
    if docker is not None and _succeeds([docker, "version", "--format", "{{.Server.Version}}"]):
        return "docker"
    return "podman" if shutil.which("podman") else None


def load_into(program: str, store: Store, image: str, names: Sequence[str]) -> None:
    """Hands the image of that ID to `docker load` or `podman load`, under its names. Raises StoreError: it refused."""
    from slimstage.cli.image_source import ready_source
    from slimstage.store.save import write_archive
    from slimstage.store.source import Export

    found = get_image(store, image)
    export = Export(ready_source(store, found), tuple(names), platform=found.platform)
    command = [program, "load", "--quiet"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stderr is not None
    failure: SlimstageError | None = None
    try:
        write_archive(cast(BinaryIO, process.stdin), [export], is_docker=True)
    except BrokenPipeError:
        pass  # it says why on stderr
    except SlimstageError as error:
        failure = error
    except BaseException:
        process.kill()
        process.wait()
        raise
    try:
        process.stdin.close()
    except BrokenPipeError:
        pass
    said = process.stderr.read().decode(errors="replace").strip().splitlines()
    status = process.wait()
    if failure is not None and not isinstance(failure.__cause__, BrokenPipeError):
        raise failure
    if status:
        raise StoreError(
            f"{program} load ended with exit status {status}" + (f": {said[-1]}" if said else ""),
            code="load-failed",
            hint="the image is in slimstage's own store; slimstage save writes an archive of it",
        ) from failure


def _succeeds(command: Sequence[str]) -> bool:
    try:
        done = subprocess.run(command, check=False, capture_output=True, timeout=_ANSWERS_WITHIN_S)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0
