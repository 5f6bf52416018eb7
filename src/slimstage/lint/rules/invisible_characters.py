"""InvisibleCharacters: what a reviewer sees is what is built."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator

from slimstage.diagnostics import Source, Span
from slimstage.lint.finding import Finding
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import Subject
from slimstage.regex import pattern

_BIDI = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_INVISIBLE = (
    "\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180e\u200b-\u200d\u2060-\u2064\u206a-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb"
)
_FOUND = pattern(f"[{_BIDI}{_INVISIBLE}]|[\x01-\x08\x0b-\x1f\x7f-\x9f]")
_IS_BIDI = pattern(f"[{_BIDI}]")
_MOST = 20
"""Findings of one file: a file that is full of them is no file to read."""


def check(subject: Subject) -> Iterator[Finding]:
    source = subject.dockerfile.source
    count = 0
    for number, line in enumerate(source.text.split("\n"), 1):
        text = line.removesuffix("\r")
        if text.isascii() and text.isprintable():
            continue
        for found in _FOUND.finditer(text):
            if _is_emoji(text, found.start()):
                continue
            count += 1
            if count > _MOST:
                return
            yield _finding(source, number, found.start(), found.group())


def _is_emoji(text: str, position: int) -> bool:
    """True of a joiner inside an emoji, which shows as one picture."""
    return text[position] == "\u200d" and ord(text[position - 1 : position] or " ") > 0x2000


def _finding(source: Source, line: int, position: int, character: str) -> Finding:
    name = "a carriage return" if character == "\r" else unicodedata.name(character, "a control character").lower()
    if _IS_BIDI.match(character):
        message = f"U+{ord(character):04X} ({name}) makes the text around it show in another order than it is read"
    elif character == "\r":
        message = "a carriage return in the middle of a line hides what stands in front of it on a terminal"
    else:
        message = f"U+{ord(character):04X} ({name}) does not show, but is part of the text"
    span = Span(source, line, position + 1, line, position + 2)
    return Finding(
        "InvisibleCharacters", message, span, hint="remove it, or write it as an escape of the shell: printf '\\u….'"
    )


RULE = Rule(
    name="InvisibleCharacters",
    group="security",
    summary="a character that does not show, or changes the order in which text shows, is part of the file",
    why="""\
An editor and a review show text as Unicode says it should look. Marks that turn the direction of writing make a command look
like a comment, and the other way round (CVE-2021-42574, "Trojan Source"); a character of no width makes two names that look
the same differ; a lone carriage return overwrites what was shown before it. Mostly they came by copying from a web page, and
the build fails in a way that nobody can see.
""",
    bad=Example("FROM debian:12\nRUN echo safe\u202e \u2066# mr -rf /srv\u2069 \u2066\n"),
    good=Example("FROM debian:12\nRUN echo safe # rm -rf /srv\n"),
    check=check,
    reads_lines=True,
)
