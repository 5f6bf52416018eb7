"""Sizes and lists as the sentences of findings have them."""

from __future__ import annotations

from collections.abc import Sequence

_UNITS = ("B", "kB", "MB", "GB", "TB")


def size_text(size_bytes: int) -> str:
    """Decimal units with at most three significant digits: `182 MB`, `1.24 GB`."""
    value, unit = float(size_bytes), _UNITS[0]
    for following in _UNITS[1:]:
        if value < 999.5:
            break
        value, unit = value / 1000, following
    return f"{value:.3g} {unit}"


def listed(words: Sequence[str], most: int = 4) -> str:
    """`a`, `a and b`, `a, b and c`; of very many the first and how many more there are."""
    shown = list(words[:most])
    if len(words) > most:
        shown.append(f"{len(words) - most} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def counted(count: int, one: str, many: str | None = None) -> str:
    """`1 file`, `3 files`."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def quoted(words: Sequence[str], most: int = 4) -> str:
    """As `listed`, each word in double quotes."""
    return listed([f'"{word}"' for word in words[:most]] + ["" for _ in words[most:]], most)
