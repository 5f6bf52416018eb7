"""Programs that keep credentials: `docker-credential-NAME get|store|erase`.

What is secret goes by stdin and stdout, never on a command line. Source: docker-credential-helpers' protocol.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from slimstage.errors import RegistryError
from slimstage.oci.reference import DEFAULT_REGISTRY
from slimstage.regex import pattern
from slimstage.values import dataclass, field

DOCKER_KEY = "https://index.docker.io/v1/"
"""What Docker Hub is called in files and by helpers."""
NO_USER = "<token>"
"""The user of an identity token."""

_NAME = pattern(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z", re.ASCII)
_LONGEST_S = 60
_NOT_FOUND = "credentials not found"


@dataclass(frozen=True, slots=True)
class Said:
    """How a helper ended: `is_there` False when there is no such program, `words` what it printed, in one line."""

    status: int
    output: bytes = field(repr=False)
    words: str = field(default="", repr=False)
    is_there: bool = True

    @property
    def knows_nothing(self) -> bool:
        return self.status != 0 and _NOT_FOUND in self.words


class Helper:
    """One helper program. Raises RegistryError (`bad-credential-helper`) for a name that could be something else."""

    def __init__(self, name: object, named_in: str, environ: Mapping[str, str]) -> None:
        if not isinstance(name, str) or not _NAME.match(name):
            raise RegistryError(
                f'"{named_in}" names a credential helper that is none: {str(name)[:60]!r}',
                code="bad-credential-helper",
                hint='a name has letters, digits, ".", "_" and "-"; the program is docker-credential-NAME',
            )
        self.program, self._environ = f"docker-credential-{name}", environ

    def get(self, registry: str) -> Said:
        """What it knows of the registry, as JSON on `output`."""
        return self._run("get", server_of(registry).encode())

    def store(self, registry: str, user: str, secret: str) -> Said:
        """Has it keep a password or, for the user `NO_USER`, an identity token."""
        return self._run(
            "store", json.dumps({"ServerURL": server_of(registry), "Username": user, "Secret": secret}).encode()
        )

    def erase(self, registry: str) -> Said:
        return self._run("erase", server_of(registry).encode())

    def _run(self, action: str, text: bytes) -> Said:
        import subprocess  # most logins lie in files

        try:
            done = subprocess.run(
                [self.program, action],
                input=text,
                capture_output=True,
                timeout=_LONGEST_S,
                check=False,
                env=dict(self._environ),
            )
        except FileNotFoundError:
            return Said(127, b"", "it is not installed", is_there=False)
        except subprocess.TimeoutExpired:
            return Said(124, b"", "it did not end in time")
        except OSError as cause:
            return Said(126, b"", (cause.strerror or "it cannot be started").lower())
        return Said(
            done.returncode,
            done.stdout,
            " ".join((done.stdout + b" " + done.stderr).decode("utf-8", "replace").split())[:200],
        )


def server_of(registry: str) -> str:
    """The registry's key in files and for helpers."""
    return DOCKER_KEY if registry == DEFAULT_REGISTRY else registry
