"""What a build that finds everything cached asks of the store: no writes, few locks."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from slimstage.digest import Digest
from slimstage.oci.descriptor import Platform
from slimstage.store.files import try_lock
from slimstage.store.images import StoredImage
from slimstage.store.session import leased
from slimstage.store.store import Store
from slimstage.values import replace

IMAGE = StoredImage(
    Digest("sha256:" + "1" * 64), Digest("sha256:" + "2" * 64), Platform("linux", "amd64"), (), created_s=1.0
)


def test_an_image_that_is_there_with_its_names_is_not_written_again(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s") as store:
        store.images.put(IMAGE, ["app"])
        watcher = sqlite3.connect(tmp_path / "s" / "store.db")
        before = watcher.execute("PRAGMA data_version").fetchone()
        store.images.put(replace(IMAGE, created_s=5.0), ["app"])
        assert watcher.execute("PRAGMA data_version").fetchone() == before
        store.images.put(IMAGE, ["app", "other"])
        assert watcher.execute("PRAGMA data_version").fetchone() != before
        watcher.close()
        found = store.images.find("other")
        assert found is not None
        assert found.created_s == 1.0


def test_an_image_with_another_manifest_is_written(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s") as store:
        store.images.put(IMAGE, ["app"])
        store.images.put(replace(IMAGE, manifest=Digest("sha256:" + "3" * 64)), ["app"])
        found = store.images.find("app")
        assert found is not None
        assert found.manifest == "sha256:" + "3" * 64


def test_while_steady_nobody_collects_and_what_is_held_is_noted(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s") as store:
        with store.session.steady():
            assert try_lock(store.session.collect_lock) is None
            store.session.hold("layer a")
            store.session.hold("layer b", "blob c")
        store.session.hold("layer d")
        lock = try_lock(store.session.collect_lock)
        assert lock is not None
        lock.release()
        assert leased(str(store.root)) == {"layer a", "layer b", "blob c", "layer d"}
