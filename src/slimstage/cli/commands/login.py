"""`slimstage login`."""

from __future__ import annotations

import os
import sys

import click

from slimstage.cli.logging_in import hide_argument, registry_of
from slimstage.cli.program import Session
from slimstage.cli.registries import Registries, registries
from slimstage.cli.show import note, print_json
from slimstage.cli.terminal import is_terminal
from slimstage.cli.verb import json_option, option, pass_session, verb
from slimstage.errors import RegistryError, UsageError
from slimstage.registry.credentials import Credential, CredentialSource, credential_files
from slimstage.registry.faults import Secrets
from slimstage.registry.helpers import server_of
from slimstage.registry.login import Checked, check_login
from slimstage.registry.logins import Logins, other_files

_EXAMPLES = """\
slimstage login                                     Docker Hub, asking for user and password
slimstage login registry.lan:5000                   another registry
slimstage login -u me --password-stdin ghcr.io < token.txt
slimstage login --authfile auth.json -u me ghcr.io  into a file of its own, for podman and skopeo, too\
"""
_LONGEST = 64 << 10


@verb("login", examples=_EXAMPLES)
@click.argument("server", required=False, metavar="[SERVER]")
@option("-u", "--username", metavar="USER", help="Who logs in.")
@option("-p", "--password", metavar="TEXT", help="The password, which others can see so: better --password-stdin.")
@option("--password-stdin", is_flag=True, help="Read the password from stdin.")
@option("--authfile", metavar="PATH", help="The file to keep it in [env: REGISTRY_AUTH_FILE; default: Docker's].")
@json_option
@pass_session
def command(
    session: Session,
    server: str | None,
    username: str | None,
    password: str | None,
    password_stdin: bool,
    authfile: str | None,
    as_json: bool,
) -> None:
    """Log in to a registry, Docker Hub unless SERVER says another.

    The registry is asked first; a login that it takes is kept where docker login keeps it, in ~/.docker/config.json or
    by its credential helper, and pull, push and build use it, as docker, podman and skopeo do.
    """
    if password is not None:
        hide_argument(password)
    _check_flags(username, password, password_stdin)
    registry, settings = registry_of(server), registries()
    logins = Logins(os.environ, authfile)
    checked = None
    if username is None and password is None:
        checked = _with_existing(settings, registry, authfile)
    if checked is None:
        checked = check_login(settings, registry, _given(registry, username, password, password_stdin))
    helper = logins.helper(registry)
    kept_in = logins.keep(registry, checked.credential)
    if not checked.is_needed:
        note(f"note: {registry} lets everybody in: nothing was said about the password")
    if helper is None:
        note(f"WARNING! Your credentials are stored unencrypted in '{kept_in}'.")
        note("Configure a credential helper to remove this warning.")
    _warn_of_others(logins.path, registry)
    if as_json:
        print_json(
            {
                "registry": registry,
                "username": checked.credential.user,
                "stored_in": kept_in,
                "is_identity_token": checked.credential.identity_token is not None,
            }
        )
    else:
        sys.stdout.write("Login Succeeded\n")


def _check_flags(username: str | None, password: str | None, password_stdin: bool) -> None:
    if password is not None:
        note("WARNING! Using --password via the CLI is insecure. Use --password-stdin.")
        if password_stdin:
            raise UsageError("--password and --password-stdin are mutually exclusive")
    if password_stdin and not username:
        raise UsageError("--password-stdin needs --username", hint="add -u USER")


def _with_existing(settings: Registries, registry: str, authfile: str | None) -> Checked | None:
    """The login that is kept already, when the registry still takes it, as docker login does."""
    environ = {**os.environ, "REGISTRY_AUTH_FILE": authfile} if authfile else os.environ
    found = CredentialSource(Secrets(), environ).find(registry, "").credential
    if found is None or found.registry_token:
        return None
    note("Authenticating with existing credentials...")
    try:
        return check_login(settings, registry, found)
    except RegistryError as error:
        if error.code != "denied":
            raise
        note(f"Login did not succeed, error: {error.message}")
        return None


def _given(registry: str, username: str | None, password: str | None, password_stdin: bool) -> Credential:
    if password_stdin:
        password = _password_of_stdin()
    elif not (username and password is not None):
        username, password = _asked(registry, username, password)
    assert username is not None
    assert password is not None
    if not username or not password:
        raise UsageError("the user or the password is empty")
    if ":" in username:
        raise UsageError(
            'a user has no ":" in its name', hint="basic authentication could not tell it from the password"
        )
    return Credential(username, password)


def _password_of_stdin() -> str:
    data = sys.stdin.buffer.read(_LONGEST + 1)
    if len(data) > _LONGEST:
        raise UsageError(f"the password on stdin is longer than {_LONGEST} bytes")
    try:
        return data.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise UsageError("the password on stdin is not UTF-8") from None  # its error holds the text


def _asked(registry: str, username: str | None, password: str | None) -> tuple[str, str]:
    if not is_terminal(sys.stdin):
        raise UsageError(
            "Cannot perform an interactive login from a non TTY device", hint="give -u USER and --password-stdin"
        )
    import getpass  # only for people

    if username is None:
        note(f"Log in to {server_of(registry)}.")
        sys.stderr.write("Username: ")
        sys.stderr.flush()
        username = sys.stdin.readline().strip()
    if password is None:
        password = getpass.getpass("Password: ", stream=sys.stderr)
    return username, password


def _warn_of_others(path: str, registry: str) -> None:
    """Podman's files are read before Docker's: a login there hides this one."""
    order = [os.path.realpath(each) for each in credential_files(os.environ)]
    mine = os.path.realpath(path)
    if mine not in order:
        note(f"note: set REGISTRY_AUTH_FILE={path} for commands that are to use this login")
        return
    for other in other_files(os.environ, path, registry):
        if order.index(os.path.realpath(other)) < order.index(mine):
            note(f"note: {other} has a login for {registry}, too, and is read first")
            note(f"to remove it: slimstage logout --authfile {other} {registry}")
