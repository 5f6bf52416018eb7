"""Which reader shows a build's events."""

from __future__ import annotations

import os
from typing import Literal, Protocol, TextIO, TypeAlias

from slimstage.cli.terminal import Paint, has_colour, is_terminal
from slimstage.cli.values import one_of
from slimstage.events import Event

Kind: TypeAlias = Literal["plain", "tty", "json", "quiet"]
_WORDS: dict[str, Kind | Literal["auto"]] = {
    "auto": "auto",
    "plain": "plain",
    "tty": "tty",
    "json": "json",
    "rawjson": "json",
    "quiet": "quiet",
    "none": "quiet",
}


class Progress(Protocol):
    """A listener that holds something (a terminal) until it is closed. Closing twice does no harm."""

    def __call__(self, event: Event) -> None: ...

    def close(self) -> None: ...


class Silence:
    """Shows nothing."""

    def __call__(self, event: Event) -> None:
        pass

    def close(self) -> None:
        pass


def choose_kind(word: str | None, stream: TextIO, *, is_quiet: bool = False) -> Kind:
    """The kind that `--progress` names; auto is tty on a terminal that can move its cursor, else plain.

    Raises UsageError for a word that is none. `tty` on something that is no terminal gives plain.
    """
    chosen = _WORDS[one_of(word, _WORDS, "--progress")] if word else "auto"
    if is_quiet:
        return "quiet"
    can_redraw = is_terminal(stream) and os.environ.get("TERM", "dumb") != "dumb"
    if chosen == "auto" or (chosen == "tty" and not can_redraw):
        return "tty" if can_redraw else "plain"
    return chosen


def make_progress(kind: Kind, stream: TextIO, colour: bool | None) -> Progress:
    """The reader, ready for events; the caller closes it."""
    if kind == "tty":
        from slimstage.cli.progress.tty import TerminalProgress

        return TerminalProgress(stream, colour=has_colour(stream, colour))
    if kind == "json":
        from slimstage.cli.progress.jsonlines import JsonProgress

        return JsonProgress(stream)
    if kind == "quiet":
        return Silence()
    from slimstage.cli.progress.plain import PlainProgress

    return PlainProgress(stream, Paint(has_colour(stream, colour)))
