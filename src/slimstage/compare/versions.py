"""Which of two versions is the later one, in the order of the package's own kind. Pure.

Source: PEP 440 (Python); Debian Policy 5.6.12, which apk's and rpm's orders are near enough to for one word to people.
"""

from __future__ import annotations

from slimstage.analyze.analysis import OwnerKind
from slimstage.regex import pattern

_PART = pattern(r"(\D*)(\d*)")
_LONGEST = 512


def order(old: str, new: str, kind: OwnerKind) -> int:
    """Negative when `new` is later, positive when it is earlier, 0 when they count the same. Raises: nothing."""
    if kind in ("python", "conda"):
        from packaging.version import InvalidVersion, Version  # only where packages changed

        try:
            mine, theirs = Version(old), Version(new)
            return (mine > theirs) - (mine < theirs)
        except InvalidVersion:
            pass  # not by that standard: by the general one
    before, after = _key(old), _key(new)
    return (before > after) - (before < after)


def _key(version: str) -> tuple[int, list[tuple[list[int], int]]]:
    """Epoch, then text and numbers in turn; a tilde is before the end, which is before letters, which are before all else."""
    epoch, colon, rest = version[:_LONGEST].partition(":")
    if not colon:
        epoch, rest = "0", version[:_LONGEST]
    parts = [(_letters(text), int(digits or 0)) for text, digits in _PART.findall(rest)]
    return int(epoch) if epoch.isdecimal() else 0, parts


def _letters(text: str) -> list[int]:
    weights = [-1 if c == "~" else ord(c) if c.isalpha() else ord(c) + 0x110000 for c in text]
    return [*weights, 0]
