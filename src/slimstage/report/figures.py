"""Sizes, shares and durations as the page shows them, with units. page/figures.js says the same in the browser. Pure."""

from __future__ import annotations

_SIZES = ("B", "kB", "MB", "GB", "TB", "PB")


def size_text(size_bytes: int) -> str:
    """Decimal units with three significant digits: `182 MB`, `1.24 GB`."""
    value, unit = float(abs(size_bytes)), _SIZES[0]
    for following in _SIZES[1:]:
        # 999.5 would be shown as 1e+03 with three digits: it belongs to the next unit.
        if value < 999.5:
            break
        value, unit = value / 1000, following
    return f"{'−' if size_bytes < 0 else ''}{value:.3g} {unit}"


def delta_text(size_bytes: int) -> str:
    """With its sign: `+12 MB`, `−3.1 kB`, `±0 B`."""
    return "±0 B" if not size_bytes else ("+" if size_bytes > 0 else "") + size_text(size_bytes)


def share_text(part: int, whole: int) -> str:
    """`43 %`, `4.3 %`, `< 0.1 %`; "" of nothing."""
    if not whole or not part:
        return ""
    percent = 100 * part / whole
    if percent < 0.1:
        return "< 0.1 %"
    return f"{percent:.0f} %" if percent >= 9.95 else f"{percent:.1f} %"


def duration_text(duration_s: float) -> str:
    """`12 ms`, `0.4 s`, `12.3 s`, `2 min 05 s`, `1 h 02 min`."""
    if duration_s < 0.0995:
        return f"{round(duration_s * 1000)} ms"
    if duration_s < 59.95:
        return f"{duration_s:.1f} s"
    whole = round(duration_s)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def count_text(number: int, one: str, several: str = "") -> str:
    """`1 file`, `12,345 files`."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"
