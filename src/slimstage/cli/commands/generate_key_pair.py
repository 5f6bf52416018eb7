"""`slimstage generate-key-pair`."""

from __future__ import annotations

import os

from slimstage.cli.keys import password_of
from slimstage.cli.program import Session
from slimstage.cli.show import note, print_json
from slimstage.cli.verb import json_option, option, pass_session, verb
from slimstage.errors import UsageError

_EXAMPLES = """\
slimstage generate-key-pair                                    cosign.key and cosign.pub, as cosign makes them
COSIGN_PASSWORD=… slimstage generate-key-pair --output-key-prefix release\
"""


@verb("generate-key-pair", examples=_EXAMPLES)
@option("--output-key-prefix", "prefix", metavar="NAME", help="Of the two files [default: cosign].")
@json_option
@pass_session
def command(session: Session, prefix: str | None, as_json: bool) -> None:
    """Make an ECDSA key to sign images with, in cosign's format: NAME.key is encrypted, NAME.pub is for everybody.

    The password is taken from COSIGN_PASSWORD, or asked for. Files that are there are never replaced.
    """
    from slimstage.signing.keys import encrypted_pem, new_private_key

    private, public = f"{prefix or 'cosign'}.key", f"{prefix or 'cosign'}.pub"
    for path in (private, public):
        if os.path.lexists(path):
            raise UsageError(f'"{path}" is there already', code="exists", hint="choose another --output-key-prefix")
    key = new_private_key()
    secret = encrypted_pem(key, password_of(private, is_new=True))
    _write(private, secret, 0o600)
    _write(public, key.public().pem(), 0o644)
    if as_json:
        print_json({"private_key": private, "public_key": public})
    else:
        note(f"private key: {private}")
        note(f"public key: {public}")


def _write(path: str, data: bytes, mode: int) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    except FileExistsError as cause:
        raise UsageError(f'"{path}" is there already', code="exists") from cause
    except OSError as cause:
        raise UsageError(f'"{path}": {(cause.strerror or "").lower()}', code="bad-output") from cause
    with open(fd, "wb") as file:
        file.write(data)
