"""Small value syntaxes of flags and arguments: durations, booleans, sizes, numbers, signals, comma-separated fields.

All raise ValueError with a sentence; the caller knows the place. Pure.
"""

from __future__ import annotations

import re

from slimstage.regex import pattern

_UNITS_NS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_TERM = pattern(r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)")
_LONGEST_NS = 2**63 - 1


def parse_duration(text: str) -> int:
    """Nanoseconds of `1h30m`, `1.5s`, `-2ms`.

    Source: Go's time.ParseDuration.
    """
    at = 1 if text[:1] in ("+", "-") else 0
    if text[at:] == "0":
        return 0
    total = 0
    while at < len(text):
        term = _TERM.match(text, at)
        if not term or not (term.group(1) or term.group(2)):
            raise ValueError(f'"{text[:80]}" is no duration: write it like 30s, 1m30s or 500ms')
        whole, fraction, unit = term.groups()
        scale = _UNITS_NS[unit]
        if len(whole) > 19:
            raise ValueError(f'"{text[:80]}" is too long a duration')
        total += int(whole or "0") * scale
        if fraction:
            total += int(fraction[:18]) * scale // 10 ** len(fraction[:18])
        at = term.end()
    if total > _LONGEST_NS:
        raise ValueError(f'"{text[:80]}" is too long a duration')
    if not text.strip("+-"):
        raise ValueError("an empty text is no duration")
    return -total if text.startswith("-") else total


_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))


def parse_bool(text: str) -> bool:
    """True or false.

    Source: Go's strconv.ParseBool.
    """
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError(f'"{text[:80]}" is neither true nor false')


def parse_unsigned(text: str, base: int = 10) -> int:
    """A number of 32 bits without sign, prefix or underscores.

    Source: Go's strconv.ParseUint(text, base, 32).
    """
    digits = "01234567" if base == 8 else "0123456789"
    kind = "octal number" if base == 8 else "number"
    if not text or text.strip(digits):
        raise ValueError(f'"{text[:80]}" is no {kind}')
    significant = text.lstrip("0") or "0"
    if len(significant) > 11 or int(significant, base) >= 2**32:
        raise ValueError(f'"{text[:80]}" is too large')
    return int(significant, base)


_SIZE = pattern(r"([0-9]{1,18}(?:\.[0-9]{1,18})?|\.[0-9]{1,18}) ?([kmgtp]?)(?:i?b)?", re.IGNORECASE)


def parse_size(text: str) -> int:
    """Bytes of `64m`, `1.5GiB`, `100`; units are powers of 1024.

    Source: docker/go-units, RAMInBytes.
    """
    found = _SIZE.fullmatch(text)
    if not found:
        raise ValueError(f'"{text[:80]}" is no size: write it like 64m or 1g')
    return int(float(found.group(1)) * 1024 ** " kmgtp".index(found.group(2).lower() or " "))


def parse_fields(text: str) -> list[str]:
    """The fields of one line of comma-separated values; a field in double quotes may hold commas and `""`.

    Source: Go's encoding/csv.
    """
    if not text:
        raise ValueError("it is empty")
    fields: list[str] = []
    position = 0
    while True:
        if text[position : position + 1] == '"':
            found = re.compile(r'"((?:[^"]++|"")*+)"').match(text, position)
            if not found:
                raise ValueError("a double quote is not closed")
            fields.append(found.group(1).replace('""', '"'))
            position = found.end()
            if position < len(text) and text[position] != ",":
                raise ValueError("a closing double quote must be followed by a comma")
        else:
            end = text.find(",", position)
            end = len(text) if end < 0 else end
            if '"' in text[position:end]:
                raise ValueError("a double quote inside a field: put the whole field in quotes")
            fields.append(text[position:end])
            position = end
        if position >= len(text):
            return fields
        position += 1


# Linux signal numbers, fixed here so that a file means the same on every host. Source: moby/sys/signal, Linux.
_FIRST_SIGNALS = (
    "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT "
    "CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS"
)
_SIGNALS: dict[str, int] = {
    **{name: number for number, name in enumerate(_FIRST_SIGNALS.split(), 1)},
    "IOT": 6,
    "CLD": 17,
    "POLL": 29,
    "UNUSED": 31,
    "RTMIN": 34,
    **{f"RTMIN+{offset}": 34 + offset for offset in range(1, 16)},
    **{f"RTMAX-{offset}": 64 - offset for offset in range(1, 15)},
    "RTMAX": 64,
}


SIGNAL_NAMES: frozenset[str] = frozenset(_SIGNALS)
"""Names without SIG."""


def parse_signal(text: str) -> int:
    """The number of a signal given by number or by name, with or without SIG, in any case."""
    if re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        if int(text) == 0:
            raise ValueError('"0" is no signal')
        return int(text)
    name = text.upper()
    number = _SIGNALS.get(name.removeprefix("SIG"))
    if number is None:
        raise ValueError(f'"{text[:80]}" is no signal')
    return number
