"""Values of flags and settings, as text, to what they mean. Every fault is a UsageError that says what would be right."""

from __future__ import annotations

import re
from collections.abc import Iterable

from slimstage.diagnostics import did_you_mean
from slimstage.errors import UsageError
from slimstage.regex import pattern

_SIZE = pattern(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgtp]?)(i?b)?\Z", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4, "p": 5}

_DURATION_PART = pattern(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d|w)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}

ULIMITS = frozenset({
    "core", "cpu", "data", "fsize", "locks", "memlock", "msgqueue", "nice", "nofile", "nproc", "rss", "rtprio",
    "rttime", "sigpending", "stack",
})  # fmt: skip
"""Source: setrlimit(2), in the names of `docker run --ulimit`."""

_HOST_NAME = pattern(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\Z")


def parse_size(text: str, what: str) -> int:
    """Bytes of `512m`, `2g`, `64MiB`, `1000`; units are powers of 1024 as in `docker build --memory`."""
    match = _SIZE.match(text.strip())
    if not match:
        raise UsageError(f'{what}: "{text}" is not a size', hint='write it like "512m" or "2g"')
    number, unit, _ = match.groups()
    return int(float(number) * 1024 ** _POWERS[unit.lower()])


def parse_duration(text: str, what: str) -> float:
    """Seconds of `24h`, `1h30m`, `7d`, `90s`; a bare number is not a duration, its unit would be a guess."""
    trimmed = text.strip().lower()
    parts = _DURATION_PART.findall(trimmed)
    if not parts or "".join(number + unit for number, unit in parts) != trimmed:
        raise UsageError(f'{what}: "{text}" is not a duration', hint='write it like "24h", "90m" or "7d"')
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def split_csv(text: str, what: str) -> list[str]:
    """The fields of one CSV line, quotes as in Go's encoding/csv (`"name=a,b",type=image`).

    A field that only begins a quote in its middle keeps it: `annotation.k="v"` is what people write.
    """
    import csv  # only for a value of this kind

    if "\n" in text or "\r" in text:
        raise UsageError(f"{what}: a line break in {text!r}")
    try:
        fields = next(csv.reader([text], strict=True), [])
    except csv.Error as error:
        raise UsageError(f'{what}: "{text}": {error}', hint="check the quotes") from error
    if not fields or any(not field for field in fields):
        raise UsageError(f'{what}: "{text}" has an empty part', hint="write KEY=VALUE,KEY=VALUE")
    return fields


def split_pair(text: str, what: str, *, wants: str = "KEY=VALUE") -> tuple[str, str]:
    """(key, value) around the first `=`; the key is not empty."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(f'{what}: "{text}" is not {wants}', hint=f"write {what} {wants}")
    return key.strip(), value


def parse_bool(text: str, what: str) -> bool:
    """Go's strconv.ParseBool: 1, t, true, 0, f, false in any usual case."""
    lowered = text.lower()
    if lowered in {"1", "t", "true"}:
        return True
    if lowered in {"0", "f", "false"}:
        return False
    raise UsageError(f'{what}: "{text}" is neither true nor false')


def one_of(text: str, allowed: Iterable[str], what: str) -> str:
    """The text, when it is one of the words allowed."""
    known = list(allowed)
    if text not in known:
        raise UsageError(
            f'{what}: "{text}" is not known', hint=did_you_mean(text, known), notes=(f"it can be {', '.join(known)}",)
        )
    return text


def parse_ulimit(text: str, what: str = "--ulimit") -> tuple[str, int, int]:
    """(name, soft, hard) of `nofile=1024` or `nofile=1024:2048`; -1 or `unlimited` is no limit."""
    name, value = split_pair(text, what, wants="NAME=SOFT[:HARD]")
    if name not in ULIMITS:
        raise UsageError(f'{what}: no limit is called "{name}"', hint=did_you_mean(name, ULIMITS))
    soft_text, colon, hard_text = value.partition(":")
    try:
        soft = -1 if soft_text == "unlimited" else int(soft_text)
        hard = (-1 if hard_text == "unlimited" else int(hard_text)) if colon else soft
    except ValueError as error:
        raise UsageError(
            f'{what}: "{text}" is not NAME=SOFT[:HARD]', hint='write it like "nofile=1024:2048"'
        ) from error
    if soft < -1 or hard < -1 or (hard != -1 and (soft == -1 or soft > hard)):
        raise UsageError(f'{what}: "{text}": the soft limit is above the hard one')
    return name, soft, hard


def parse_add_host(text: str, what: str = "--add-host") -> tuple[str, str]:
    """(name, address) of `name:10.0.0.1`, `name=10.0.0.1`, `name:[::1]`."""
    import ipaddress  # only for a value of this kind

    match = re.match(r"([^:=]+)[:=](.+)\Z", text)
    if not match:
        raise UsageError(f'{what}: "{text}" is not NAME:ADDRESS', hint='write it like "mirror:10.0.0.1"')
    name, address = match[1], match[2]
    if not _HOST_NAME.match(name):
        raise UsageError(f'{what}: "{name}" is not a host name')
    if address == "host-gateway":
        raise UsageError(f"{what}: host-gateway is not known here", hint="give the address itself")
    if address.startswith("[") and address.endswith("]"):
        address = address[1:-1]
    try:
        return name, str(ipaddress.ip_address(address))
    except ValueError as error:
        raise UsageError(f'{what}: "{address}" is not an IP address') from error


def parse_positive(text: str | int, what: str) -> int:
    try:
        number = int(text)
    except ValueError as error:
        raise UsageError(f'{what}: "{text}" is not a whole number') from error
    if number < 1:
        raise UsageError(f"{what}: {number} is less than 1")
    return number


def parse_cpus(text: str | float, what: str = "--cpus") -> float:
    try:
        number = float(text)
    except ValueError as error:
        raise UsageError(f'{what}: "{text}" is not a number', hint='write it like "1.5"') from error
    if not 0 < number < 1 << 20:
        raise UsageError(f'{what}: "{text}" is not a possible number of CPUs')
    return number
