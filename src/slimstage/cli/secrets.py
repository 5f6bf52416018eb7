"""`--secret` and `--ssh`: where secrets come from. No value is read here, and none is ever in a message."""

from __future__ import annotations

import os
import resource
from collections.abc import Mapping

from slimstage.build.request import SecretSource
from slimstage.cli.values import one_of, split_csv, split_pair
from slimstage.diagnostics import did_you_mean
from slimstage.errors import UsageError

LARGEST_BYTES = 500 * 1024
"""As BuildKit's secret provider: more is a mistake."""

_KEYS = ("id", "src", "source", "env", "type")


def parse_secret(text: str, environment: Mapping[str, str]) -> SecretSource:
    """The source of `id=NAME[,src=FILE|,env=VARIABLE]`.

    With neither, the variable called NAME, else the file called NAME. Raises UsageError: a key that is not known, no id,
    a file that cannot be read or is larger than 500 kB, a variable that is not set.
    Source: Docker's reference of `docker buildx build --secret`.
    """
    flag = "--secret"
    options: dict[str, str] = {}
    for field in split_csv(text, flag):
        key, value = split_pair(field, flag)
        key = key.lower()
        if key not in _KEYS:
            raise UsageError(
                f'{flag} has no option "{key}"', hint=did_you_mean(key, _KEYS), notes=("it has id, src, env, type",)
            )
        options["src" if key == "source" else key] = value
    name = options.get("id")
    if not name:
        raise UsageError(f"{flag}: the id is missing", hint='write it like "id=token,src=token.txt"')
    kind = one_of(options["type"], ("file", "env"), f"{flag} type") if "type" in options else None
    path, variable = options.get("src"), options.get("env")
    if kind == "env" and variable is None:
        # `type=env,src=NAME` names the variable in src.
        variable = options.get("src", name)
        path = None
    if kind == "file" and variable is not None:
        raise UsageError(f'{flag}: "{name}" is of type=file but names an environment variable')
    if path is None and variable is None:
        path, variable = (None, name) if kind is None and name in environment else (name, None)
    if path is not None and variable is not None:
        raise UsageError(f'{flag}: "{name}" has both src and env', hint="give one of them")
    if variable is not None:
        if variable not in environment:
            raise UsageError(f'{flag}: "{name}": the environment variable "{variable}" is not set')
        return SecretSource(name, env=variable)
    assert path is not None
    return SecretSource(name, path=_checked_file(path, f'{flag}: "{name}"'))


def _checked_file(path: str, what: str) -> str:
    absolute = os.path.abspath(os.path.expanduser(path) if path.startswith("~/") else path)
    try:
        size = os.stat(absolute).st_size
    except OSError as error:
        raise UsageError(f'{what}: cannot read "{path}": {(error.strerror or "").lower()}') from error
    if os.path.isdir(absolute) or not os.access(absolute, os.R_OK):
        raise UsageError(f'{what}: "{path}" is not a readable file')
    if size > LARGEST_BYTES:
        raise UsageError(f'{what}: "{path}" has {size} bytes, a secret has at most {LARGEST_BYTES}')
    return absolute


def leave_no_core_files() -> None:
    """From here on, no core file of this process holds the secrets that it reads; its steps' are the sandbox's to keep.

    1 byte, not 0, which a program that takes cores does not see. Children may raise it again.
    """
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0 if most == 0 else 1, most))


def parse_ssh(text: str, environment: Mapping[str, str]) -> tuple[str, tuple[str, ...]]:
    """(id, paths) of `default`, `ID=SOCKET`, `ID=KEY[,KEY]`; no paths: the agent of SSH_AUTH_SOCK.

    Raises UsageError: no agent, a path that is not there.
    """
    flag = "--ssh"
    name, _, value = text.partition("=")
    if not name:
        raise UsageError(f'{flag}: "{text}" has no id', hint='write "default", or ID=SOCKET')
    paths = tuple(os.path.abspath(os.path.expanduser(path)) for path in value.split(",") if path)
    if not paths and not environment.get("SSH_AUTH_SOCK"):
        raise UsageError(f'{flag}: "{name}": no agent is running (SSH_AUTH_SOCK is not set)', hint="run: ssh-agent")
    for path in paths:
        if not os.path.exists(path):
            raise UsageError(f'{flag}: "{name}": "{path}" is not there')
    return name, paths
