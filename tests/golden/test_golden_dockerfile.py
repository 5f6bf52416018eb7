"""Each folder beside this file: a Dockerfile and the values it is read to (`negative/`: the faults it is refused with).

A case grows by adding a folder; `python tests/golden/test_golden_dockerfile.py` writes the files that are missing.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from slimstage.diagnostics import Source, Span, render
from slimstage.dockerfile.instructions import Instruction
from slimstage.dockerfile.parse import parse
from slimstage.errors import DockerfileError

HERE = Path(__file__).parent
POSITIVE = sorted(path.parent for path in HERE.glob("*/Dockerfile"))
NEGATIVE = sorted(path.parent for path in HERE.glob("negative/*/Dockerfile"))


def _text(folder: Path) -> str:
    return (folder / "Dockerfile").read_bytes().decode("utf-8", "surrogateescape")


def _plain(value: Any) -> Any:
    """A value as JSON: spans as text, defaults left out."""
    if isinstance(value, Span):
        return f"{value.line}:{value.column}-{value.end_line}:{value.end_column}"
    if isinstance(value, Source):
        return value.name
    if dataclasses.is_dataclass(value):
        fields = {
            f.name: getattr(value, f.name) for f in dataclasses.fields(value) if getattr(value, f.name) != f.default
        }
        named = {"is": type(value).__name__} if isinstance(value, Instruction) else {}
        return named | {name: _plain(field) for name, field in fields.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def read(folder: Path) -> Any:
    """What `expected.json` of a folder holds."""
    return _plain(parse(_text(folder)))


def refused(folder: Path) -> str:
    """What `expected.txt` of a folder in negative/ holds."""
    with pytest.raises(DockerfileError) as caught:
        parse(_text(folder))
    return "\n".join(render(diagnostic) for diagnostic in caught.value.diagnostics) + "\n"


@pytest.mark.parametrize("folder", POSITIVE, ids=lambda folder: folder.name)
def test_a_dockerfile_is_read_to_the_expected_values(folder: Path) -> None:
    assert read(folder) == json.loads((folder / "expected.json").read_text())


@pytest.mark.parametrize("folder", NEGATIVE, ids=lambda folder: folder.name)
def test_a_faulty_dockerfile_is_refused_with_every_fault(folder: Path) -> None:
    assert refused(folder) == (folder / "expected.txt").read_text()


def test_the_corpus_was_found() -> None:
    assert len(POSITIVE) >= 10
    assert len(NEGATIVE) >= 10


if __name__ == "__main__":
    for case in POSITIVE:
        if not (case / "expected.json").exists():
            (case / "expected.json").write_text(json.dumps(read(case), indent=1, ensure_ascii=True) + "\n")
    for case in NEGATIVE:
        if not (case / "expected.txt").exists():
            (case / "expected.txt").write_text(refused(case))
