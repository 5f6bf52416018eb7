"""Cache precision as a matrix: each change by what must run again and what must not, step by step.

Each row builds the fixed project once more after one change, on a copy of a store that has built it before. Asserted are
the status of each step, what `--explain` says of each that ran, and that the image is the one that a build without a
cache gives, layer by layer.
"""

from __future__ import annotations

import io
import shutil
import socket
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from slimstage.cache.artifact import INLINE
from support.building import Image
from support.cache_matrix import BASE, COLUMNS, EVERY, STAGES, Workspace, column_of, lay_out, write_bases
from support.cache_matrix_rows import ROWS, Row
from support.command import Done, slimstage
from support.rootfs import needs_sandbox

pytestmark = needs_sandbox

Layer = dict[str, tuple[Any, ...]]


@dataclass(frozen=True)
class Slimstage:
    """The command on one store."""

    root: Path

    def build(self, work: Workspace, *more: str, fails: bool = False) -> Done:
        words = ("build", "--json", "--progress=plain", *more, *work.arguments())
        return slimstage(*words, root=self.root, cwd=work.project, env=work.env, status=1 if fails else 0)

    def prune(self) -> None:
        slimstage("prune", "--all", root=self.root)

    def image(self, work: Workspace, name: str, *more: str) -> tuple[dict[str, Any], Image]:
        """The document of a build, and its image as a layout beside the workspace."""
        place = work.top / name
        done = self.build(work, "-o", f"type=oci,tar=false,compression=uncompressed,dest={place}", *more)
        return done.json(), Image.of(place)


@dataclass(frozen=True)
class Primed:
    """A store that has built the project: what it holds, and what it said and made."""

    top: Path
    base: Path
    hooks: Path
    image_id: str
    layers: tuple[Layer, ...]

    def store(self, place: Path) -> Slimstage:
        """A copy, as its own: what a row builds is not there for the next."""
        shutil.copytree(self.top / "root", place, symlinks=True)
        return Slimstage(place)

    def work(self) -> Workspace:
        """The workspace as it was then, where it was then."""
        for name in ("work", "elsewhere"):
            shutil.rmtree(self.top / name, ignore_errors=True)
        return lay_out(self.top / "work", self.base, self.hooks, self.top / "agent")


@pytest.fixture(scope="module")
def primed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Primed]:
    top = tmp_path_factory.mktemp("matrix")
    base, hooks = write_bases(top)
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as two:
        for name, agent in (("agent", one), ("agent2", two)):
            agent.bind(str(top / name))
            agent.listen()
        work = lay_out(top / "work", base, hooks, top / "agent")
        document, image = Slimstage(top / "root").image(work, "image")
        assert {step["status"] for step in _steps(document).values()} == {"run"}
        assert _steps(document).keys() == EVERY | {f"of-{stage}" for stage in STAGES}
        yield Primed(top, base, hooks, document["image_id"], _contents(image))


def _steps(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By column; steps that a change added by their titles; bases left out."""
    found = {}
    for step in document["steps"]:
        title = step["instruction"]
        if not title.startswith("FROM"):
            found[column_of(title) or title] = step
    return found


def _contents(image: Image) -> tuple[Layer, ...]:
    """Each layer by paths: kind, mode, owner, extended attributes, content, but no time."""
    found = []
    for data in image.layer_bytes():
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            found.append({member.name: _facts(tar, member) for member in tar})
    return tuple(found)


def _facts(tar: tarfile.TarFile, member: tarfile.TarInfo) -> tuple[Any, ...]:
    stream = tar.extractfile(member) if member.isreg() else None
    xattrs = tuple(sorted(pair for pair in member.pax_headers.items() if pair[0].startswith("SCHILY.xattr.")))
    return member.type, member.mode, member.uid, member.gid, member.linkname, xattrs, stream.read() if stream else b""


def _timeless(config: dict[str, Any]) -> dict[str, Any]:
    """Without times, and without what names layers by bytes that hold times: diff IDs, and an inline cache's list of them."""
    history = [{**entry, "created": ""} for entry in config["history"]]
    kept = {key: value for key, value in config.items() if key != INLINE}
    return {**kept, "created": "", "history": history, "rootfs": ""}


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name.replace("/", "-")) for row in ROWS])
def test_what_runs_again_why_and_what_comes_of_it(row: Row, tmp_path: Path, primed: Primed) -> None:
    store, work = primed.store(tmp_path / "root"), primed.work()
    row.edit(work)
    work.more += row.args
    if row.between is not None:
        row.between(store, work)
    document, image = store.image(work, "second")
    steps, layers = _steps(document), _contents(image)

    added = [name for name, step in steps.items() if name == step["instruction"]]
    assert [sum(title.startswith(new) for title in added) for new in row.new] == [1] * len(row.new)
    assert len(added) == len(row.new)
    assert EVERY & steps.keys() == row.only
    for column in COLUMNS:
        if column.name in row.only:
            expected = "run" if column.name in row.runs else "cached"
            assert steps[column.name]["status"] == expected, (column.label, steps[column.name])
    bases = {step["status"] for step in document["steps"] if step["instruction"].startswith("FROM")}
    assert ("run" in bases) == (BASE in row.runs)
    _assert_early_cut_off(row, steps, layers, primed)
    _assert_explained(row, steps)
    if row.image:
        assert ("same" if document["image_id"] == primed.image_id else "other") == row.image

    fresh, clean = Slimstage(tmp_path / "root2").image(work, "clean")
    assert {step["status"] for step in _steps(fresh).values()} == {"run"}
    for number, (got, want) in enumerate(zip(layers, _contents(clean), strict=True)):
        assert got == want, f"layer {number}"
    assert _timeless(image.config) == _timeless(clean.config)


def _assert_early_cut_off(
    row: Row, steps: dict[str, dict[str, Any]], layers: tuple[Layer, ...], primed: Primed
) -> None:
    """A step that takes files from another stage runs when, and only when, those are other files than before."""
    if row.only != EVERY and "before" in row.only:
        return
    for number, stage in enumerate(STAGES):
        if f"of-{stage}" not in steps:
            continue
        is_other = layers[number] != primed.layers[number] or stage in row.hidden
        step = steps[f"of-{stage}"]
        assert (step["status"] == "run") == (is_other or row.is_forced), (stage, step)


def _assert_explained(row: Row, steps: dict[str, dict[str, Any]]) -> None:
    for name, step in steps.items():
        why = step["why"]
        if step["status"] == "cached":
            assert why == "", name
        elif name.startswith("of-"):
            assert row.is_forced or why.split(" ", 1)[0] in (
                "file",
                "mode",
                "target",
                "attributes",
                "owner",
                "directory",
            ), (name, why)
        elif name in row.why:
            assert row.why[name] in why, (name, why)
        elif name in row.runs:
            assert why.startswith("the step above it ran again ("), (name, why)
        else:
            assert why == "it is new here", (name, why)
