"""`debian://` systems in the store; a script stands in the place of mmdebstrap, so nothing is downloaded."""

from __future__ import annotations

import os
import tarfile
import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import pytest

from slimstage.bases.resolve import Bases
from slimstage.errors import PlanError, SandboxError, SlimstageError
from slimstage.events import BaseProgress, Event, ignore
from slimstage.oci.config import from_json
from slimstage.oci.descriptor import Platform
from slimstage.oci.manifest import parse_manifest
from slimstage.store.store import Store
from slimstage.tree.blocks import pack_layer

AMD64 = Platform("linux", "amd64")
SPEC = "debian://bookworm?include=python3"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "store") as opened:
        yield opened


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a shell script where mmdebstrap is looked for. `$SYSTEM` is a tar to write; `$RUNS` grows with each run."""
    data = BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for name, kind in (
            ("./etc/", tarfile.DIRTYPE),
            ("./etc/motd", tarfile.REGTYPE),
            ("./dev/null", tarfile.CHRTYPE),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.mode = kind, 0o755 if kind == tarfile.DIRTYPE else 0o644
            info.devmajor, info.devminor = 1, 3
            tar.addfile(info)
    (tmp_path / "system.tar").write_bytes(data.getvalue())
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr("slimstage.bases.workspace.spare_memory", lambda: 0)

    def put(script: str = 'cat "$SYSTEM"') -> None:
        path = tmp_path / "bin" / "mmdebstrap"
        # In the script: mmdebstrap sees none of the caller's environment.
        places = f"SYSTEM='{tmp_path / 'system.tar'}' RUNS='{tmp_path / 'runs'}'"
        path.write_text(f'#!/bin/sh\n{places}\necho >> "$RUNS"\n{script}\n')
        path.chmod(0o755)

    put()
    return put


def _runs(tmp_path: Path) -> int:
    return len((tmp_path / "runs").read_text())


def test_a_system_is_made_once_and_is_an_ordinary_image(
    tmp_path: Path, store: Store, program: Callable[[str], None]
) -> None:
    bases = Bases(store)
    base = bases.resolve(SPEC, AMD64)
    (layer,) = base.layers
    assert layer.layer is not None
    assert bases.fetch(base, ignore, "") == (layer.layer,)
    assert os.listdir(store.snapshots.path(layer.layer)) in (["etc", "dev"], ["dev", "etc"], ["etc"])
    assert not Path(store.snapshots.path(layer.layer), "dev/null").exists()
    assert base.config.diff_ids == (layer.diff_id,)
    assert pack_layer(store.snapshots.path(layer.layer), compression="uncompressed").diff_id == layer.diff_id
    manifest = parse_manifest(store.blobs.read(base.manifest))
    assert manifest.config.digest == base.id
    assert from_json(store.blobs.read(base.id)) == base.config
    found = store.images.find(base.id)
    assert found is not None
    assert found.names[0].startswith("localhost/debian/bookworm:")
    assert Bases(store).resolve("debian://bookworm?variant=minbase&include=python3", AMD64).id == base.id
    assert _runs(tmp_path) == 1


def test_other_parameters_are_another_system(tmp_path: Path, store: Store, program: Callable[[str], None]) -> None:
    bases = Bases(store)
    ids = {bases.resolve(f"debian://bookworm{query}", AMD64).id for query in ("", "?include=make", "?env=A=b")}
    assert len(ids) == 3
    assert _runs(tmp_path) == 3


def test_threads_that_want_one_system_make_it_once(
    tmp_path: Path, store: Store, program: Callable[[str], None]
) -> None:
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(Bases(store).resolve(SPEC, AMD64).id)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert _runs(tmp_path) == 1


def test_a_failure_leaves_nothing_and_the_next_try_makes_it(
    tmp_path: Path, store: Store, program: Callable[[str], None]
) -> None:
    program('head -c 700 "$SYSTEM"; echo "E: Unable to locate package python3" >&2; exit 25')
    with pytest.raises(PlanError) as caught:
        Bases(store).resolve(SPEC, AMD64)
    assert caught.value.code == "no-such-package"
    assert store.images.list() == []
    assert list(store.snapshots.list()) == []
    assert [name for name in os.listdir(store.session.directory()) if name != "leases"] == []
    program('cat "$SYSTEM"')
    assert Bases(store).resolve(SPEC, AMD64).config.cmd == ("python3",)


@pytest.mark.parametrize("script", ["true", "echo this is no tar", 'cat "$SYSTEM" | head -c 700'])
def test_a_tar_that_is_none_is_refused_though_the_program_is_content(
    store: Store, program: Callable[[str], None], script: str
) -> None:
    program(script)
    with pytest.raises(SlimstageError):
        Bases(store).resolve(SPEC, AMD64)
    assert store.images.list() == []


def test_what_does_not_fit_into_memory_is_made_on_the_disk(
    tmp_path: Path, store: Store, program: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("slimstage.bases.workspace.spare_memory", lambda: 1 << 20)
    # Without the right to mount, the wrapper is what tells the two tries apart.
    monkeypatch.setattr("slimstage.bases.bootstrap.in_memory", lambda command, work, size: [*command, str(size)])
    program('for size; do :; done; [ $size = 0 ] || { echo "No space left on device" >&2; exit 2; }; cat "$SYSTEM"')
    events: list[Event] = []
    Bases(store, listener=events.append).resolve(SPEC, AMD64)
    assert _runs(tmp_path) == 2
    assert any(isinstance(event, BaseProgress) and "on the disk" in event.doing for event in events)


def test_a_full_disk_is_not_tried_twice(tmp_path: Path, store: Store, program: Callable[[str], None]) -> None:
    program('echo "No space left on device" >&2; exit 2')
    with pytest.raises(SandboxError) as caught:
        Bases(store).resolve(SPEC, AMD64)
    assert caught.value.code == "no-room-for-system"
    assert _runs(tmp_path) == 1


def test_progress_has_the_name_that_the_user_knows(store: Store, program: Callable[[str], None]) -> None:
    program('echo "I: extracting archives..." >&2; cat "$SYSTEM"')
    events: list[Event] = []
    Bases(store, listener=events.append, names={SPEC: "python:3.11"}).resolve(SPEC, AMD64)
    said = [(event.name, event.doing) for event in events if isinstance(event, BaseProgress)]
    assert {name for name, _ in said} == {"python:3.11"}
    assert said[0][1] == "making the base system, once for this store"
    assert ("python:3.11", "unpacking the essential packages") in said


def test_a_system_whose_files_are_gone_is_made_again(
    tmp_path: Path, store: Store, program: Callable[[str], None]
) -> None:
    first = Bases(store).resolve(SPEC, AMD64)
    assert first.layers[0].layer is not None
    Path(store.snapshots.place(first.layers[0].layer)).rename(tmp_path / "gone")
    second = Bases(store).resolve(SPEC, AMD64)
    assert (second.id, _runs(tmp_path)) == (first.id, 2)
    assert second.layers[0].layer != first.layers[0].layer


def test_a_platform_that_is_not_linux_is_refused_before_anything_runs(
    tmp_path: Path, store: Store, program: Callable[[str], None]
) -> None:
    with pytest.raises(PlanError):
        Bases(store).resolve(SPEC, Platform("windows", "amd64"))
    assert not (tmp_path / "runs").exists()
