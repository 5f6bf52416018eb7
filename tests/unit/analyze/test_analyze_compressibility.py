"""How small files become in a layer, estimated from samples."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

from slimstage.analyze.compressibility import Compressibility
from slimstage.analyze.contents import Contents
from support.layering import opened_image
from support.trees import Tree

_TEXT = b"".join(b"def function_%d(argument):\n    return argument + %d\n" % (n, n * 7919) for n in range(20_000))
_TREE: Tree = {
    "random": os.urandom(400_000),
    "text": _TEXT,
    "empty": b"",
    **{f"small/{n}": _TEXT[n * 50 :][:300] for n in range(50)},
}


def _estimated(place: Path | None, *names: str) -> tuple[int | None, int]:
    """(estimate, bytes) of these files."""
    with opened_image(place, [_TREE]) as image:
        contents = Contents(image, lambda path, size: 0, lambda number, entries: None)
        positions = [contents.seen[name] for name in names]
        total = sum(contents.files.sizes[position] for position in positions)
        return Compressibility(contents).compressed(positions), total


def test_samples_tell_text_from_what_is_compressed_already(tmp_path: Path) -> None:
    text, size = _estimated(tmp_path / "text", "text")
    assert text is not None
    assert abs(text - len(zlib.compress(_TEXT, 6))) < size * 0.05
    noise, size = _estimated(tmp_path / "noise", "random")
    assert noise is not None
    assert size * 0.98 < noise <= size


def test_many_small_files_are_sampled_evenly_and_nothing_costs_nothing(tmp_path: Path) -> None:
    small, size = _estimated(tmp_path / "small", *(f"small/{n}" for n in range(50)))
    assert small is not None
    assert 0 < small < size
    assert _estimated(tmp_path / "empty", "empty") == (0, 0)


def test_what_a_blob_did_not_keep_is_estimated_by_its_layer() -> None:
    found, size = _estimated(None, "text")
    assert found is not None
    assert 0 < found < size
