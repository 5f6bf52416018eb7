"""Whose name and password: Docker's config.json, Podman's auth.json, credential helpers.

Files are read when a registry first asks for a login, never before; `logins.py` writes them. Source: docker/cli,
`config.json`; containers-auth.json(5).
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import threading
from collections.abc import Iterator, Mapping
from typing import Any

from slimstage.errors import RegistryError
from slimstage.oci.reference import DEFAULT_REGISTRY
from slimstage.registry.faults import Secrets
from slimstage.registry.helpers import NO_USER, Helper
from slimstage.store.files import read_small
from slimstage.values import dataclass, field

_DOCKER_NAMES = frozenset({"docker.io", "index.docker.io", "registry-1.docker.io"})


@dataclass(frozen=True, slots=True)
class Credential:
    """A user and password, an identity token (to be exchanged), or a registry token (to be sent as it is)."""

    user: str = ""
    password: str = field(default="", repr=False)
    identity_token: str | None = field(default=None, repr=False)
    registry_token: str | None = field(default=None, repr=False)
    source: str = ""
    """Where it was found, for messages."""

    @property
    def basic(self) -> str:
        """The value of an Authorization header of scheme Basic."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Lookup:
    """What was found for a registry, and what was passed over and why."""

    credential: Credential | None = None
    remarks: tuple[str, ...] = ()


class CredentialSource:
    """Finds credentials. Each registry and repository is looked up once; safe for several threads."""

    def __init__(self, secrets: Secrets, environ: Mapping[str, str] | None = None) -> None:
        self._secrets, self._environ = secrets, os.environ if environ is None else environ
        self._lock = threading.Lock()
        self._found: dict[tuple[str, str], Lookup] = {}
        self._files: dict[str, Mapping[str, Any]] = {}

    def find(self, registry: str, repository: str) -> Lookup:
        """The credential for a repository, the most specific entry of the first file that has one.

        Raises RegistryError: a file that cannot be read (`bad-credentials-file`), a helper's name that is none
        (`bad-credential-helper`).
        """
        with self._lock:
            key = (registry, repository)
            if key not in self._found:
                self._found[key] = self._find(registry, repository)
            return self._found[key]

    def _find(self, registry: str, repository: str) -> Lookup:
        remarks: list[str] = []
        for path in credential_files(self._environ):
            document = self._read(path)
            credential = self._from_file(path, document, registry, repository, remarks)
            if credential is not None:
                self._secrets.add(credential.password, credential.identity_token, credential.registry_token)
                self._secrets.add(credential.basic.partition(" ")[2] if credential.password else None)
                return Lookup(credential, tuple(remarks))
        return Lookup(None, tuple(remarks))

    def _read(self, path: str) -> Mapping[str, Any]:
        if path not in self._files:
            try:
                # A symlink is fine here: it is the user's own file, often kept elsewhere.
                document = json.loads(read_small(os.path.realpath(path)))
            except (FileNotFoundError, NotADirectoryError):
                document = {}
            except (OSError, ValueError, RecursionError) as cause:
                why = cause.strerror if isinstance(cause, OSError) and cause.strerror else "it is not JSON"
                raise RegistryError(
                    f'cannot read the credentials in "{path}": {why}', code="bad-credentials-file"
                ) from (
                    cause if isinstance(cause, OSError) else None  # a decoder's error holds the text
                )
            self._files[path] = document if isinstance(document, dict) else {}
        return self._files[path]

    def _from_file(
        self, path: str, document: Mapping[str, Any], registry: str, repository: str, remarks: list[str]
    ) -> Credential | None:
        helpers = document.get("credHelpers")
        if isinstance(helpers, dict):
            for name in _names(registry, repository):
                for key, helper in helpers.items():
                    if host_of(str(key)) == name:
                        return self._ask(path, helper, registry, remarks)
        store = document.get("credsStore")
        if store:
            found = self._ask(path, store, registry, remarks)
            if found is not None:
                return found
        entries = document.get("auths")
        if not isinstance(entries, dict):
            return None
        by_host = {host_of(str(key)): entry for key, entry in entries.items()}
        for name in _names(registry, repository):
            entry = by_host.get(name)
            if isinstance(entry, dict) and (found := _from_entry(path, name, entry)) is not None:
                return found
        return None

    def _ask(self, path: str, name: object, registry: str, remarks: list[str]) -> Credential | None:
        """What a helper says; one that is not installed is passed over with a remark."""
        helper = Helper(name, path, self._environ)
        said = helper.get(registry)
        if said.status == 0:
            return _from_helper(helper.program, said.output, remarks)
        if not said.is_there:
            remarks.append(f"{helper.program}, named in {path}, is not installed")
        elif not said.knows_nothing:
            remarks.append(self._secrets.redact(f"{helper.program}, named in {path}, failed: {said.words}"))
        return None


def credential_files(environ: Mapping[str, str]) -> Iterator[str]:
    """Where credentials may lie, the most explicit first: what a variable names, then Podman's, then Docker's."""
    home = environ.get("HOME") or os.path.expanduser("~")
    if named := environ.get("REGISTRY_AUTH_FILE"):
        yield named
    if docker := environ.get("DOCKER_CONFIG"):
        yield os.path.join(docker, "config.json")
    runtime = environ.get("XDG_RUNTIME_DIR")
    yield os.path.join(runtime, "containers/auth.json") if runtime else f"/run/containers/{os.getuid()}/auth.json"
    yield os.path.join(environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config"), "containers/auth.json")
    if not docker:
        yield os.path.join(home, ".docker/config.json")


def _names(registry: str, repository: str) -> Iterator[str]:
    """Keys that fit, longest first: Podman keeps credentials for a namespace or one repository too."""
    parts = repository.split("/")
    for count in range(len(parts), 0, -1):
        yield "/".join((registry, *parts[:count]))
    yield registry


def host_of(key: str) -> str:
    """A key of a credentials file as a registry's name: Docker's may be URLs (`https://host/v1/`), of which the host counts."""
    scheme, mark, rest = key.partition("://")
    name = rest.partition("/")[0] if mark else scheme.rstrip("/")
    host, slash, path = name.partition("/")
    if path in ("v1", "v2"):
        slash = path = ""
    return (DEFAULT_REGISTRY if host in _DOCKER_NAMES else host.lower()) + slash + path


def _from_entry(path: str, name: str, entry: Mapping[str, Any]) -> Credential | None:
    user, password = entry.get("username"), entry.get("password")
    packed = entry.get("auth")
    if isinstance(packed, str) and packed:
        try:
            user, colon, password = base64.b64decode(packed, validate=True).decode().strip("\0").partition(":")
        except (binascii.Error, ValueError):
            colon = ""
        if not colon:
            raise RegistryError(f'the entry for "{name}" in "{path}" is damaged', code="bad-credentials-file")
    identity, token = entry.get("identitytoken"), entry.get("registrytoken")
    # A lone surrogate, which JSON can name, is in no login: it could not be sent.
    texts = [
        value if isinstance(value, str) and _is_sendable(value) else "" for value in (user, password, identity, token)
    ]
    if not (texts[0] and texts[1]) and not texts[2] and not texts[3]:
        return None
    return Credential(texts[0], texts[1], texts[2] or None, texts[3] or None, path)


def _is_sendable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _from_helper(program: str, output: bytes, remarks: list[str]) -> Credential | None:
    try:
        said = json.loads(output)
        user, secret = said["Username"], said["Secret"]
    except (ValueError, TypeError, KeyError, RecursionError):
        user = secret = None
    if not (isinstance(user, str) and isinstance(secret, str) and _is_sendable(user) and _is_sendable(secret)):
        remarks.append(f"{program} answered with something that is not a credential")
        return None
    if not secret:
        return None
    if user == NO_USER:
        return Credential(user, secret, secret, None, program)
    return Credential(user, secret, None, None, program)
