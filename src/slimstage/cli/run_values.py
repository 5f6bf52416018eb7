"""Values of `run`'s flags: volumes, ports, variables."""

from __future__ import annotations

import ipaddress
import os
import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import Literal, cast

from slimstage.cli.values import one_of
from slimstage.container.options import Publish, Volume
from slimstage.errors import UsageError

_VOLUME_MODES = {"ro": True, "rw": False}
_IGNORED_MODES = frozenset({"z", "Z", "cached", "delegated", "consistent"})
"""Words that Docker takes and that change nothing here (SELinux labels, macOS)."""


def parse_volume(text: str) -> Volume:
    """`SOURCE:TARGET[:ro|rw]`; a SOURCE that begins with . or ~ is taken from here. Raises UsageError."""
    flag = "--volume"
    parts = text.split(":")
    if not 2 <= len(parts) <= 3 or not all(parts):
        raise UsageError(f'{flag}: "{text}" is not SOURCE:TARGET[:ro]', hint="write -v /data:/data:ro")
    source, target = parts[0], parts[1]
    if source.startswith(("./", "../", "~/")) or source in (".", "..", "~"):
        source = os.path.abspath(os.path.expanduser(source))
    if not source.startswith("/"):
        raise UsageError(
            f'{flag}: "{source}" is not a path',
            hint=f'for a directory here write "./{source}"; volumes have no names here',
        )
    if not target.startswith("/"):
        raise UsageError(f'{flag}: "{target}" is not an absolute path inside')
    if posixpath.normpath(target) in ("/", "//"):
        raise UsageError(f"{flag}: the target cannot be the root directory")
    if not os.path.lexists(source):
        raise UsageError(f'{flag}: "{source}" is not there', hint="make it first: mkdir -p")
    is_readonly = False
    for mode in parts[2].split(",") if len(parts) == 3 else ():
        if mode not in _IGNORED_MODES:
            is_readonly = _VOLUME_MODES[one_of(mode, _VOLUME_MODES, f"{flag} mode")]
    return Volume(os.path.realpath(source), posixpath.normpath(target), is_readonly)


def parse_mount(text: str) -> Volume:
    """`type=bind,source=PATH,target=PATH[,readonly]`, the long form of a volume. Raises UsageError."""
    flag = "--mount"
    options: dict[str, str] = {}
    for field in text.split(","):
        key, _, value = field.partition("=")
        options[{"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}.get(key, key)] = value
    one_of(options.pop("type", "bind"), ("bind",), f"{flag} type")
    for key in options:
        one_of(key, ("source", "target", "readonly"), f"{flag} option")
    if not options.get("source") or not options.get("target"):
        raise UsageError(f'{flag}: "{text}" needs source and target')
    mode = "ro" if options.get("readonly", "false") in ("", "true", "1") else "rw"
    return parse_volume(f"{os.path.abspath(options['source'])}:{options['target']}:{mode}")


def parse_publish(text: str) -> tuple[Publish, ...]:
    """`[[ADDRESS:]HOST_PORT:]PORT[/tcp|udp]`, ranges of equal length too. Raises UsageError.

    Without an address the port is open on every address of this host, as in Docker.
    """
    flag = "--publish"
    body, slash, protocol = text.partition("/")
    protocol = one_of(protocol.lower(), ("tcp", "udp"), f"{flag} protocol") if slash else "tcp"
    match = re.match(r"(?:(?:(\[[^\]]+\]|[^:\[\]]*):)?([0-9-]*):)?([0-9-]+)\Z", body)
    if not match:
        raise UsageError(f'{flag}: "{text}" is not [ADDRESS:]HOST_PORT:PORT', hint="write -p 8080:80")
    inside = _ports(match[3], text)
    outside = _ports(match[2], text) if match[2] else range(0)
    if len(outside) == 0:
        hosts = [0] * len(inside)
    elif len(outside) != len(inside):
        raise UsageError(f'{flag}: "{text}": the ranges are not of the same length')
    else:
        hosts = list(outside)
    address = _address(match[1], text)
    kind = cast('Literal["tcp", "udp"]', protocol)
    return tuple(Publish(address, host, port, kind) for host, port in zip(hosts, inside, strict=True))


def _ports(text: str, whole: str) -> range:
    first, dash, last = text.partition("-")
    if not first.isdigit() or (dash and not last.isdigit()):
        raise UsageError(f'--publish: "{whole}": "{text}" is not a port or a range of ports')
    low, high = int(first), int(last) if dash else int(first)
    if not 1 <= low <= high <= 65535:
        raise UsageError(f'--publish: "{whole}": ports are 1 to 65535')
    return range(low, high + 1)


def _address(text: str | None, whole: str) -> str:
    if not text:
        return "0.0.0.0"
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError as error:
        raise UsageError(f'--publish: "{whole}": "{text}" is not an address') from error


def parse_env(texts: Iterable[str], files: Iterable[str], environment: Mapping[str, str]) -> dict[str, str]:
    """Variables of `--env-file`s, then of `-e`s over them; NAME alone takes this environment's value, or none."""
    found: dict[str, str] = {}
    for path in files:
        for number, line in enumerate(_lines(path), 1):
            entry = line.strip()
            if entry and not entry.startswith("#"):
                _add(found, line.lstrip().rstrip("\r\n"), environment, f"{path}:{number}")
    for text in texts:
        _add(found, text, environment, "--env")
    return found


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f'--env-file: cannot read "{path}": {error}') from error


def _add(found: dict[str, str], text: str, environment: Mapping[str, str], what: str) -> None:
    name, equals, value = text.partition("=")
    if not name or any(character.isspace() for character in name):
        raise UsageError(f'{what}: "{text}" has no variable name', hint="write NAME=VALUE")
    if equals:
        found[name] = value
    elif name in environment:
        found[name] = environment[name]
