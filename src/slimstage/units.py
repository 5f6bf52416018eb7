"""Bytes as people read them."""

from __future__ import annotations

_SIZES = ("B", "kB", "MB", "GB", "TB", "PB")


def size_text(size_bytes: int, between: str = "") -> str:
    """Decimal units with three significant digits, as Docker shows them: `182MB`, `1.24GB`; `between` number and unit."""
    value, unit = float(size_bytes), _SIZES[0]
    for following in _SIZES[1:]:
        # 999.5 would be shown as "1e+03" with three digits: it belongs to the next unit.
        if value < 999.5:
            break
        value, unit = value / 1000, following
    number = f"{value:.3g}"
    return f"{number}{between}{unit}"
