"""What is said in tables and sentences, once for the terminal and once for Markdown: the same words in both."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from slimstage.cli.show import table
from slimstage.cli.terminal import Paint
from slimstage.diagnostics import shown
from slimstage.values import dataclass

_ESCAPES = {ord(character): f"&#{ord(character)};" for character in "\\`*_{}[]<>#|~&"}


@dataclass(frozen=True, slots=True)
class Section:
    """A title ("" for none), sentences, and a table. right: the columns of numbers. after: sentences below the table."""

    title: str = ""
    sentences: tuple[str, ...] = ()
    header: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    right: tuple[int, ...] = ()
    after: tuple[str, ...] = ()


def as_text(sections: Iterable[Section], paint: Paint) -> str:
    """For a terminal; ends without a newline. Others' text is escaped."""
    parts = []
    for section in sections:
        lines = [paint(shown(section.title), "bold")] if section.title else []
        lines += [shown(sentence) for sentence in section.sentences]
        if section.rows:
            lines.append(table(tuple(name.upper() for name in section.header), section.rows, right=section.right))
        lines += [shown(sentence) for sentence in section.after]
        parts.append("\n".join(lines))
    return "\n\n".join(part for part in parts if part)


def as_markdown(sections: Iterable[Section], heading: int = 2) -> str:
    """For a pull request or the page of a CI job; the first title one level above the others. Ends with a newline."""
    parts = []
    for number, section in enumerate(sections):
        if section.title:
            parts.append(f"{'#' * (heading if not number else heading + 1)} {markdown_cell(section.title)}")
        parts += [markdown_cell(sentence) for sentence in section.sentences]
        if section.rows:
            parts.append(markdown_table(section.header, section.rows, section.right))
        parts += [markdown_cell(sentence) for sentence in section.after]
    return "\n\n".join(parts) + "\n"


def markdown_table(header: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[int] = ()) -> str:
    """A table; every cell escaped."""
    aligned = set(right)
    rule = ["---:" if column in aligned else "---" for column in range(len(header))]
    lines = [header, rule, *([markdown_cell(cell) for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def markdown_cell(text: str) -> str:
    """Others' text, with nothing in it that Markdown or HTML would take for its own."""
    return " ".join(shown(text).split()).translate(_ESCAPES)
