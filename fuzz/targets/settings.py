"""Files of the user's own: slimstage.toml, and Docker's and Podman's credentials."""

from __future__ import annotations

import os

from fuzz.harness import Choices, decoded, interleaved
from fuzz.targets.tar import scratch
from slimstage.cli.settings import parse_settings
from slimstage.errors import RegistryError, SlimstageError, UsageError
from slimstage.registry.credentials import CredentialSource
from slimstage.registry.faults import Secrets

MAX_BYTES = 2048
_WORDS = (
    "[build]\n", "[contexts]\n", "[registry.", "[registry]\n", "[[", "]]", "[", "]", "=", " = ", "\n",
    '"', "'", '"""', "'''", "a", "b",
    ".", ",", "{", "}", "tag", "args", "label", "file", "jobs", "output", "secret", "platform", "memory",
    "cpus", "ulimit", "no-cache",
    "mirrors", "plain-http", "ca", "src=", "dest=", "type=local,", "id=", "true", "false", "0", "1", "1.5",
    "1e999", "nan", "0x", "ff",
    "9" * 30, "9" * 4500, "2020-01-01", "#", "\\", "\\u00e9", "\\ud800", "é", "\t", "\r", "\0", ":",
    "docker-image://", "oci-layout://",
    "../", "/", "~",
    '"auths": ', '"credHelpers": ', '"credsStore": ', '"auth": ', '"dTpw"', '"username": ', '"password": ',
    '"identitytoken": ', '"registry.example"', '"https://index.docker.io/v1/"', '"docker.io"', '"a"', '"../x"',
    "null", "[" * 300,
)  # fmt: skip
TOKENS = tuple(word.encode("utf-8", "surrogateescape") for word in _WORDS if len(word) < 60)


def check(data: bytes) -> None:
    choices = Choices(data)
    kind = choices.below(4)
    text = decoded(choices.rest()) if kind < 2 else "".join(choices.words(_WORDS))
    if kind % 2:
        _check_credentials(text)
    else:
        _check_settings(text)


def _check_settings(text: str) -> None:
    try:
        settings = parse_settings(text, "/nowhere/slimstage.toml")
    except UsageError as error:
        _check_error(error)
        return
    for name, setting in (*settings.build.items(), *settings.contexts.items()):
        assert name or name in settings.contexts
        assert setting.span.line <= text.count("\n") + 1


def _check_credentials(text: str) -> None:
    with scratch() as place:
        with open(os.path.join(place, "config.json"), "wb") as file:
            file.write(text.encode("utf-8", "surrogateescape"))
        environ = {"DOCKER_CONFIG": place, "HOME": place, "PATH": place}  # no helper is found there
        for registry in ("docker.io", "registry.example"):
            try:
                found = CredentialSource(Secrets(), environ).find(registry, "library/a")
            except RegistryError as error:
                _check_error(error)
                continue
            if found.credential is not None:
                assert found.credential.basic.isascii()


def _check_error(error: SlimstageError) -> None:
    shown = str(error)
    assert error.code
    assert not [c for c in shown if not c.isprintable() and c not in "\n\t"], "control characters in a message"


def seeds() -> list[bytes]:
    table = range(len(_WORDS))
    words = [bytes([2 + step % 2, *[(step * 3 + at * 7) % len(_WORDS) for at in range(30)]]) for step in table]
    plain = [
        b'\0[build]\ntag = ["a"]\nargs = {a = 1, b = "x"}\njobs = 2\n[contexts]\nx = "./y"\n[registry."a:5"]\nmirrors = ["b"]',
        b'\1{"auths": {"registry.example": {"auth": "dTpw"}}}',
        b'\1{"credHelpers": {"docker.io": "x"}, "credsStore": "y"}',
        b'\1{"auths": {"https://index.docker.io/v1/": {"username": "u", "password": "p"}}}',
    ]
    return interleaved(plain, words)
