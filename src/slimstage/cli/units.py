"""Sizes, durations and times, as people read them in tables and sentences."""

from __future__ import annotations

from datetime import UTC, datetime

from slimstage.units import size_text

__all__ = ["age_text", "counted", "duration_text", "short_digest", "size_text", "time_text"]


def duration_text(duration_s: float) -> str:
    """`0.4s`, `12.3s`, `2m05s`, `1h02m`."""
    if duration_s < 59.95:
        return f"{duration_s:.1f}s"
    whole = round(duration_s)
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02}m"


def age_text(seconds: float) -> str:
    """One number and a unit, without blanks so that columns stay columns: `12s`, `5m`, `3h`, `9d`, `2y`."""
    whole = max(0, int(seconds))
    for limit, divisor, unit in ((60, 1, "s"), (3600, 60, "m"), (86400, 3600, "h"), (365 * 86400, 86400, "d")):
        if whole < limit:
            return f"{whole // divisor}{unit}"
    return f"{whole // (365 * 86400)}y"


def time_text(at_s: float) -> str:
    """RFC 3339, UTC, whole seconds: `2026-11-24T12:00:00Z`."""
    return datetime.fromtimestamp(int(at_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def counted(number: int, noun: str) -> str:
    """`1 layer`, `2 layers`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def short_digest(digest: str) -> str:
    """The first twelve hex digits, as in `docker images`."""
    return digest.partition(":")[2][:12] or digest[:12]
