"""The words of EXPOSE, as BuildKit reads them.

Source: BuildKit frontend/dockerfile/dockerfile2llb/convert_expose.go (splitParts, splitProtoPort).
"""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.dockerfile.expand import expand_words
from slimstage.dockerfile.instructions import Expose
from slimstage.dockerfile.ports import PROTOCOLS, check_port
from slimstage.errors import SlimstageError
from slimstage.lint.subject import StageView, Subject
from slimstage.values import dataclass


@dataclass(frozen=True, slots=True)
class Exposed:
    """One port as written, variables replaced. host: what stands in front of the container's port, without the colon."""

    text: str
    host: str
    container: str
    protocol: str


def exposed(subject: Subject) -> Iterator[tuple[StageView, Expose, Exposed]]:
    """Every port of the file that is one."""
    for view in subject.stages:
        for each in (*view.triggers, *view.instructions):
            if isinstance(each, Expose):
                for word in _words(subject, view, each):
                    found = _read(word)
                    if found is not None:
                        yield view, each, found


def _words(subject: Subject, view: StageView, expose: Expose) -> list[str]:
    values = subject.environment(view, expose)
    try:
        return [word for port in expose.ports for word in expand_words(port, values, subject.dockerfile.escape)]
    except SlimstageError:
        return []


def _read(text: str) -> Exposed | None:
    host, colon, rest = text.rpartition(":")
    container, _, protocol = (rest if colon else text).partition("/")
    try:
        check_port(text)
    except ValueError:
        return None  # planning says what is wrong
    return Exposed(text, host, container, protocol) if (protocol or "tcp").lower() in PROTOCOLS else None
