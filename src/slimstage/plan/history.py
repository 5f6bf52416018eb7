"""History texts and titles, letter for letter as BuildKit writes them.

BuildKit prints Go values: `%q` of strings, `%v` of lists and structs, durations. Source: BuildKit
frontend/dockerfile/dockerfile2llb/convert.go (commitToHistory and its callers); Go's fmt, strconv.Quote, time.Duration.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from slimstage.oci.config import HealthConfig

MARK = " # buildkit"
"""Stands behind what made a layer by RUN, COPY or ADD."""

_ESCAPES = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
_LONGEST_TITLE = 400


def quoted(text: str, mark: str = '"') -> str:
    """Go's strconv.Quote; with a single mark, of one character, its QuoteRune."""
    return mark + "".join(_quoted_character(character, mark) for character in text) + mark


def _quoted_character(character: str, mark: str) -> str:
    if character in (mark, "\\"):
        return "\\" + character
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    point = ord(character)
    if 0xDC80 <= point <= 0xDCFF:  # a byte that was no UTF-8
        return f"\\x{point - 0xDC00:02x}"
    if point < 0x20 or point == 0x7F:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


def quoted_list(words: Iterable[str]) -> str:
    """Go's `%q` of a list: `["a" "b"]`."""
    return "[" + " ".join(quoted(word) for word in words) + "]"


def plain_list(words: Iterable[str]) -> str:
    """Go's `%v` of a list: `[a b]`."""
    return "[" + " ".join(words) + "]"


def pairs(keyword: str, values: Iterable[tuple[str, str]]) -> str:
    """`ENV a=b c=d`."""
    return " ".join([keyword, *(f"{name}={value}" for name, value in values)])


def run(command: str, arguments: Sequence[str]) -> str:
    """`RUN |2 foo=bar2 bar=123 /bin/sh -c … # buildkit`."""
    declared = [f"|{len(arguments)}", *arguments] if arguments else []
    return " ".join(["RUN", *declared, command]) + MARK


def healthcheck(health: HealthConfig) -> str:
    """Go's `%q` of the health check, in which the number of retries is a character."""
    times = (health.interval_ns, health.timeout_ns, health.start_period_ns, health.start_interval_ns)
    is_character = 0 <= health.retries < 0xD800 or 0xE000 <= health.retries <= 0x10FFFF
    retries = quoted(chr(health.retries if is_character else 0xFFFD), "'")
    words = (quoted_list(health.test), *(quoted(duration(each)) for each in times), retries)
    return f"HEALTHCHECK &{{{' '.join(words)}}}"


def duration(nanoseconds: int) -> str:
    """Go's time.Duration as text: `1m30s`, `1.5s`, `100ms`, `0s`."""
    if nanoseconds == 0:
        return "0s"
    for unit, size in (("ns", 1), ("µs", 10**3), ("ms", 10**6)):
        if nanoseconds < size * 1000:
            return _decimal(nanoseconds, size) + unit
    minutes, rest = divmod(nanoseconds, 60 * 10**9)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return text + _decimal(rest, 10**9) + "s"


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    if not rest:
        return str(whole)
    return f"{whole}.{rest:0{len(str(unit)) - 1}d}".rstrip("0")


def title(text: str) -> str:
    """One line for people: line ends become blanks, and what is very long is cut."""
    line = " ".join(part.strip() for part in text.splitlines() if part.strip())
    return line if len(line) <= _LONGEST_TITLE else line[: _LONGEST_TITLE - 1] + "…"
