"""What a stream can show: colour or not, terminal or not, how wide.

Colour only on a terminal, never with NO_COLOR (https://no-color.org), `--no-color` or TERM=dumb. Text reads the same
without it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Literal, TextIO, TypeAlias

Style: TypeAlias = Literal["bold", "dim", "red", "green", "yellow", "blue", "cyan"]

_CODES: Mapping[Style, str] = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "cyan": "36",
}


def is_terminal(stream: TextIO) -> bool:
    """True when the stream is open and a terminal."""
    try:
        return stream.isatty()
    except ValueError:
        return False


def has_colour(stream: TextIO, choice: bool | None = None, environment: Mapping[str, str] | None = None) -> bool:
    """Whether to colour what goes to the stream; `choice` is what the user asked for, None when nothing."""
    if choice is not None:
        return choice
    known = os.environ if environment is None else environment
    if known.get("NO_COLOR") or known.get("TERM") == "dumb":
        return False
    return is_terminal(stream)


class Paint:
    """Wraps text in a style, or leaves it as it is."""

    def __init__(self, on: bool) -> None:
        self.on = on

    def __call__(self, text: str, *styles: Style) -> str:
        if not self.on or not styles or not text:
            return text
        return f"\x1b[{';'.join(_CODES[style] for style in styles)}m{text}\x1b[0m"
