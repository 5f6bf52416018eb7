"""Keeping and removing logins: in Docker's config.json, in the file that a variable or flag names, or by a helper.

All else in the file stays. It is replaced in one step with mode 0600; two commands at once do not lose each other's
change. Source: docker/cli, `config.json` ("auths", "credHelpers", "credsStore").
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from slimstage.errors import RegistryError
from slimstage.registry.credentials import Credential, credential_files, host_of
from slimstage.registry.helpers import NO_USER, Helper, Said, server_of
from slimstage.store.files import read_small, replace_file


class Logins:
    """One file of logins. path: where it is, in the form that Docker's is."""

    def __init__(self, environ: Mapping[str, str], authfile: str | None = None) -> None:
        """authfile: that file; None: the one of REGISTRY_AUTH_FILE, else Docker's."""
        self._environ = environ
        self.path = os.path.abspath(authfile or environ.get("REGISTRY_AUTH_FILE") or docker_config(environ))

    def helper(self, registry: str) -> Helper | None:
        """The program that keeps the registry's login; None: the file does. Raises RegistryError."""
        return self._helper_of(self._read(), registry)

    def keep(self, registry: str, credential: Credential) -> str:
        """Keeps the login in place of whatever was there for the registry; says where: a path, or a program.

        Raises RegistryError: the file cannot be read or written (`bad-credentials-file`), the helper fails
        (`credential-helper-failed`).
        """
        with self._edited() as document:
            helper = self._helper_of(document, registry)
            entry: dict[str, str] = {}
            if helper is not None:
                secret = credential.identity_token or credential.password
                user = NO_USER if credential.identity_token else credential.user
                _check(helper, helper.store(registry, user, secret), "keep")
            else:
                pair = f"{credential.user}:{'' if credential.identity_token else credential.password}"
                entry["auth"] = base64.b64encode(pair.encode()).decode()
                if credential.identity_token:
                    entry["identitytoken"] = credential.identity_token
            auths = document.setdefault("auths", {})
            _drop(auths, registry)
            auths[server_of(registry)] = entry  # Docker lists what a helper keeps by an empty entry
        return helper.program if helper is not None else self.path

    def forget(self, registry: str) -> bool:
        """Removes the registry's login; False when there was none. Raises RegistryError as `keep`."""
        with self._edited() as document:
            helper = self._helper_of(document, registry)
            was_there = False
            if helper is not None:
                was_there = helper.get(registry).status == 0
                said = helper.erase(registry)
                if not said.knows_nothing:
                    _check(helper, said, "remove")
            auths = document.get("auths", {})
            return _drop(auths, registry) or was_there

    def _helper_of(self, document: Mapping[str, Any], registry: str) -> Helper | None:
        helpers = document.get("credHelpers")
        for key, name in helpers.items() if isinstance(helpers, dict) else ():
            if host_of(str(key)) == registry:
                return Helper(name, self.path, self._environ)
        store = document.get("credsStore")
        return Helper(store, self.path, self._environ) if store else None

    @contextmanager
    def _edited(self) -> Iterator[dict[str, Any]]:
        """The document; what was changed in it is written at the end, unless the body raises."""
        place = os.path.realpath(self.path)  # a link stays one: people keep such files elsewhere
        directory = os.path.dirname(place)
        try:
            os.makedirs(directory, mode=0o700, exist_ok=True)
            lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as cause:
            raise self._failed("write", cause) from cause
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)  # of the directory, so that no file of ours is left beside Docker's
            document = self._read()
            before = json.dumps(document)
            auths = document.get("auths")
            if auths is not None and not isinstance(auths, dict):
                raise RegistryError(f'"auths" in "{self.path}" is not a table', code="bad-credentials-file")
            yield document
            if json.dumps(document) != before:
                data = json.dumps(document, indent="\t", ensure_ascii=False) + "\n"
                try:
                    replace_file(place, data.encode("utf-8", "surrogatepass"), mode=0o600)
                except OSError as cause:
                    raise self._failed("write", cause) from cause
        finally:
            os.close(lock)

    def _read(self) -> dict[str, Any]:
        try:
            document = json.loads(read_small(os.path.realpath(self.path)) or b"{}")
        except FileNotFoundError:
            return {}
        except OSError as cause:
            raise self._failed("read", cause) from cause
        except (ValueError, RecursionError):  # a decoder's error holds the text
            document = None
        if not isinstance(document, dict):
            raise RegistryError(
                f'cannot read the credentials in "{self.path}": it is not a JSON object',
                code="bad-credentials-file",
                hint="mend it or move it away; it was left as it is",
            ) from None
        return document

    def _failed(self, doing: str, cause: OSError) -> RegistryError:
        why = (cause.strerror or str(cause)).lower()
        return RegistryError(f'cannot {doing} the credentials in "{self.path}": {why}', code="bad-credentials-file")


def docker_config(environ: Mapping[str, str]) -> str:
    """Where Docker keeps its settings and logins."""
    home = environ.get("HOME") or os.path.expanduser("~")
    return os.path.join(environ.get("DOCKER_CONFIG") or os.path.join(home, ".docker"), "config.json")


def other_files(environ: Mapping[str, str], path: str, registry: str) -> list[str]:
    """Other files of logins that have one for the registry. Those that cannot be read are passed over."""
    found = []
    for other in credential_files(environ):
        if os.path.realpath(other) == os.path.realpath(path):
            continue
        try:
            auths = json.loads(read_small(os.path.realpath(other))).get("auths")
        except (OSError, ValueError, AttributeError, RecursionError):
            continue
        if isinstance(auths, dict) and any(host_of(str(key)) == registry and entry for key, entry in auths.items()):
            found.append(other)
    return found


def _drop(auths: dict[str, Any], registry: str) -> bool:
    """Removes every entry of the registry, by whichever of its names."""
    keys = [key for key in auths if host_of(key) == registry]
    for key in keys:
        del auths[key]
    return bool(keys)


def _check(helper: Helper, said: Said, doing: str) -> None:
    if said.status != 0:
        # Its words are not shown: what it was given is secret, and may be in them.
        why = "it is not installed" if not said.is_there else f"it ended with status {said.status}"
        raise RegistryError(
            f"{helper.program} does not {doing} the login: {why}",
            code="credential-helper-failed",
            hint='install it, or take it out of "credHelpers" and "credsStore" in the file that names it',
        )
