"""Keys that options name: files, variables, and their passwords."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from slimstage.cli.terminal import is_terminal
from slimstage.errors import UsageError

if TYPE_CHECKING:
    from slimstage.signing.keys import PrivateKey, PublicKey

PASSWORD = "COSIGN_PASSWORD"
_VARIABLE = "env://"


def private_key(text: str, flag: str) -> PrivateKey:
    """The key that the option names. Raises UsageError: not there, not a key, a wrong password."""
    from slimstage.signing.keys import read_private_key

    return read_private_key(_bytes_of(text, flag), text, lambda: password_of(text))


def public_key(text: str, flag: str) -> PublicKey:
    """The public key that the option names. Raises UsageError."""
    from slimstage.signing.keys import read_public_key

    return read_public_key(_bytes_of(text, flag), text)


def password_of(what: str, *, is_new: bool = False) -> bytes:
    """`COSIGN_PASSWORD`, also an empty one, else what is typed on the terminal. Raises UsageError when nobody can be asked.

    is_new: it is asked for twice.
    """
    known = os.environb.get(PASSWORD.encode())
    if known is not None:
        return known
    if not is_terminal(sys.stdin):
        raise UsageError(f'"{what}" needs a password, and there is no terminal', hint=f"set {PASSWORD}")
    from getpass import getpass

    typed = getpass(f"Password for {what}: ")
    if is_new and getpass("The same again: ") != typed:
        raise UsageError("the two passwords differ", code="bad-password")
    return typed.encode()


def annotations_of(texts: Sequence[str], flag: str) -> dict[str, str]:
    """`KEY=VALUE` of each. Raises UsageError."""
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise UsageError(f'{flag}: "{text}" is not KEY=VALUE', code="bad-flag")
        found[key] = value
    return found


def _bytes_of(text: str, flag: str) -> bytes:
    """Of a file, or of the variable that `env://NAME` names, as cosign has it."""
    from slimstage.signing.keys import LIMIT_BYTES

    if text.startswith(_VARIABLE):
        name = text[len(_VARIABLE) :]
        value = os.environb.get(name.encode())
        if value is None:
            raise UsageError(f'{flag}: the variable "{name}" is not set', code="no-key")
        return value
    if "://" in text:
        raise UsageError(f'{flag}: "{text}" is neither a file nor env://NAME', code="no-key")
    try:
        with open(text, "rb") as file:
            data = file.read(LIMIT_BYTES + 1)
    except OSError as cause:
        raise UsageError(f'{flag}: "{text}": {(cause.strerror or "").lower()}', code="no-key") from cause
    if len(data) > LIMIT_BYTES:
        raise UsageError(f'{flag}: "{text}" is too large to be a key', code="bad-key")
    return data
