"""Data to stdout: JSON documents and plain tables. All else goes to stderr by `note`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from slimstage.diagnostics import shown


def plain(value: Any) -> Any:
    """The value in JSON's terms: dataclasses become objects with their fields' names, tuples arrays, paths text."""
    from dataclasses import fields, is_dataclass  # only for --json
    from pathlib import PurePath

    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted(plain(item) for item in value)
    return str(value) if isinstance(value, PurePath) else value


def print_json(value: Any) -> None:
    """One document, indented, keys in the order given, a newline at the end."""
    sys.stdout.write(json.dumps(plain(value), indent=2, ensure_ascii=True) + "\n")


def table(header: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[int] = ()) -> str:
    """Aligned columns, two blanks between, no blank at a line's end; columns in `right` are aligned to the right."""
    escaped = [[shown(cell) for cell in row] for row in rows]
    lines = [list(header), *escaped]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    aligned = set(right)
    return "\n".join(
        "  ".join(
            cell.rjust(widths[column]) if column in aligned else cell.ljust(widths[column])
            for column, cell in enumerate(line)
        ).rstrip()
        for line in lines
    )


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[int] = ()) -> None:
    sys.stdout.write(table(header, rows, right=right) + "\n")


def note(message: str) -> None:
    """One remark for people, on stderr."""
    try:
        sys.stderr.write(message + "\n")
    except OSError:
        pass  # nobody listens; the work goes on
