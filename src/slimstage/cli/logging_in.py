"""What `login` and `logout` share: which registry is meant, and what must not be seen of a password."""

from __future__ import annotations

import re

from slimstage.errors import FormatError, UsageError
from slimstage.oci.reference import DEFAULT_REGISTRY, parse_reference
from slimstage.registry.credentials import host_of

_SCHEME = re.compile(r"https?://", re.IGNORECASE)


def registry_of(server: str | None) -> str:
    """The registry's name, as it stands in image names, of what Docker's users write: a host, a URL, nothing (Docker Hub).

    Raises UsageError.
    """
    if server is None:
        return DEFAULT_REGISTRY
    rest = _SCHEME.sub("", server, count=1)
    host = host_of(rest.partition("/")[0])
    try:
        if "@" in rest:
            raise FormatError("a user in it")
        if host != DEFAULT_REGISTRY and parse_reference(f"{host}/a").registry != host:
            raise FormatError("a word alone is a repository of Docker Hub")
        return host
    except FormatError as error:
        shown = rest.rpartition("@")[2]
        raise UsageError(
            f'"{shown}" is not a registry', hint='write it like "registry.example:5000"; a user goes to -u'
        ) from error


def hide_argument(secret: str) -> None:
    """Takes a password out of this process' command line, where every user of the host can read it.

    Only as good as it is quick: what was seen before was seen. Source: proc(5), `arg_start` and `arg_end` of
    /proc/PID/stat.
    """
    import ctypes  # only for a password that was given so

    wanted = secret.encode("utf-8", "surrogateescape")
    try:
        with open("/proc/self/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        start, end = int(fields[45]), int(fields[46])
    except (OSError, ValueError, IndexError):
        return
    if not wanted or not 0 < start < end:
        return
    at = start
    for argument in ctypes.string_at(start, end - start).split(b"\0"):
        # The word itself, or the end of --password=WORD and -pWORD.
        if argument == wanted or (argument.startswith(b"-") and argument.endswith(wanted)):
            ctypes.memset(at + len(argument) - len(wanted), ord("x"), len(wanted))
        at += len(argument) + 1
