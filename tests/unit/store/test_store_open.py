from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from slimstage.errors import FormatError, StoreError, UsageError
from slimstage.store.files import replace_file, store_error, try_lock
from slimstage.store.layout_sink import LayoutSink
from slimstage.store.records import Record
from slimstage.store.save import ArchiveSink
from slimstage.store.snapshots import LayerId
from slimstage.store.source import Export
from slimstage.store.store import Store, default_root
from support.images import memory_image


def test_opening_makes_a_private_directory(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        with Store.open(tmp_path / "a" / "s") as store:
            store.records.get("x")
            for path in (store.root, *store.root.iterdir()):
                mode = path.stat().st_mode
                assert mode & 0o077 == 0 or path.name.startswith("store.db") or path.name == "version", path
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a" / "s" / "store.db").stat().st_mode) == 0o600


def test_open_store_is_closed_to_others_again(tmp_path: Path) -> None:
    Store.open(tmp_path / "s").close()
    os.chmod(tmp_path / "s", 0o755)
    Store.open(tmp_path / "s").close()
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o700


def test_opening_does_not_import_sqlite(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from slimstage.store.store import Store\n"
        f"Store.open(Path({str(tmp_path / 's')!r})); assert 'sqlite3' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_store_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    Store.open(tmp_path / "s").close()
    (tmp_path / "s" / "version").write_text("2\n")
    with pytest.raises(StoreError, match="format 2") as caught:
        Store.open(tmp_path / "s")
    assert caught.value.exit_status == 3
    assert caught.value.hint


def test_database_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    import sqlite3

    with Store.open(tmp_path / "s") as store:
        store.records.get("x")
    connection = sqlite3.connect(tmp_path / "s" / "store.db")
    connection.execute("PRAGMA user_version=99")
    connection.close()
    with Store.open(tmp_path / "s") as store, pytest.raises(StoreError, match="version 99") as caught:
        store.records.get("x")
    assert caught.value.code == "store-newer"


def test_damaged_database_and_version_are_named(tmp_path: Path) -> None:
    Store.open(tmp_path / "s").close()
    (tmp_path / "s" / "store.db").write_bytes(b"not a database at all" * 100)
    with Store.open(tmp_path / "s") as store, pytest.raises(StoreError, match="damaged"):
        store.records.get("x")
    (tmp_path / "s" / "version").write_text("one\n")
    with pytest.raises(StoreError, match="damaged"):
        Store.open(tmp_path / "s")


def test_directory_with_other_things_is_not_taken_for_a_store(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(StoreError, match="not empty") as caught:
        Store.open(tmp_path)
    assert caught.value.code == "not-a-store"
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_file_in_the_place_of_the_store_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "s").write_text("x")
    with pytest.raises(StoreError):
        Store.open(tmp_path / "s")


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give the directory to someone else")
def test_store_of_another_user_is_refused(tmp_path: Path) -> None:
    Store.open(tmp_path / "s").close()
    os.chown(tmp_path / "s", 1234, 1234)
    with pytest.raises(StoreError, match="belongs to user 1234"):
        Store.open(tmp_path / "s")


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_another_user_reaches_nothing_in_the_store(tmp_path: Path) -> None:
    os.chmod(tmp_path, 0o755)
    with Store.open(tmp_path / "s") as store:
        draft = store.snapshots.draft()
        shell = Path(draft.path) / "shell"
        shell.write_text("#!/bin/sh\n")
        os.chmod(shell, 0o4755)
        path = store.snapshots.path(store.snapshots.freeze(draft))
    code = (
        "import os\nos.setgid(65534); os.setuid(65534)\n"
        f"try: os.stat({path + '/shell'!r})\nexcept PermissionError: raise SystemExit(7)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 7


def test_names_others_made_before_are_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    os.symlink(victim, tmp_path / "out")
    replace_file(str(tmp_path / "out"), b"new")
    assert victim.read_text() == "precious"
    assert not (tmp_path / "out").is_symlink()
    with Store.open(tmp_path / "s") as store:
        store.blobs.put(b"x")
        os.symlink(victim, store.root / "locks" / "step-x")
        with pytest.raises(OSError, match="symbolic"):
            try_lock(str(store.root / "locks" / "step-x"))


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "disk-full"),
        (errno.EDQUOT, "disk-full"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "not-permitted"),
    ],
)
def test_failures_of_the_disk_say_what_and_where(number: int, code: str) -> None:
    error = store_error("write a blob", OSError(number, os.strerror(number), "/some/where"))
    assert error.code == code
    assert error.exit_status == 3
    assert "write a blob" in error.message
    assert "/some/where" in error.message
    assert error.hint


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small file system")
def test_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", small], check=True)
    try:
        with Store.open(small / "s") as store:
            store.records.put(Record("k", "c", None))
            before = sorted(os.listdir(store.session.directory()))
            with pytest.raises(StoreError, match="full") as caught:
                store.blobs.put([bytes(1 << 20)] * 20)
            assert caught.value.exit_status == 3
            assert sorted(os.listdir(store.session.directory())) == before
            assert list(store.blobs.list()) == []
            assert store.blobs.put(b"small things still fit")[1] == 22
        (small / "out").mkdir()
        big = memory_image({"big": os.urandom(6 << 20)}, is_gzip=False)
        for sink in (LayoutSink(f"{small}/out/l"), ArchiveSink(f"{small}/out/a.tar", is_docker=True)):
            with pytest.raises(StoreError, match="full"):
                sink.write([Export(big, ("a:1",))])
            assert os.listdir(small / "out") == []
    finally:
        subprocess.run(["umount", small], check=True)


def test_default_root_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIMSTAGE_ROOT", "relative/place")
    assert default_root() == Path.cwd() / "relative" / "place"
    monkeypatch.delenv("SLIMSTAGE_ROOT")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert default_root() == Path("/var/lib/slimstage")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_DATA_HOME", "/xdg")
    assert default_root() == Path("/xdg/slimstage")
    monkeypatch.setenv("XDG_DATA_HOME", "not/absolute")
    monkeypatch.setenv("HOME", "/home/u")
    assert default_root() == Path("/home/u/.local/share/slimstage")


def test_records_are_found_under_all_their_keys(tmp_path: Path) -> None:
    layer = LayerId("0" * 32)
    record = Record("k1", "c", layer, (("ARG A", "\udcff"),), created_s=5.0)
    with Store.open(tmp_path / "s") as store:
        store.records.put(record, "k2", "k1")
        found = store.records.get("k2")
        assert found is not None
        assert (found.key, found.content_key, found.layer, found.explain) == ("k2", "c", layer, record.explain)
        assert store.records.get("k1") == record
        assert store.records.get("k3") is None
        assert store.records.peek("k1") == record
        assert store.records.peek("k3") is None


def test_record_that_cannot_be_read_is_a_miss(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s") as store:
        store.records.put(Record("k", "c", None))
        store.database.change("UPDATE records SET explain = 'nonsense'")
        assert store.records.get("k") is None


def test_use_of_a_record_is_written_down_on_closing(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s") as store:
        store.records.put(Record("k", "c", None))
        store.database.change("UPDATE records SET used_s = 1")
        store.records.get("k")
    with Store.open(tmp_path / "s") as store:
        assert store.database.query("SELECT used_s FROM records")[0][0] > 1e9


def test_transaction_that_fails_changes_nothing(tmp_path: Path) -> None:
    def fail(store: Store) -> None:
        with store.database.transaction():
            store.records.put(Record("k", "c", None))
            raise ValueError("stop")

    with Store.open(tmp_path / "s") as store:
        with pytest.raises(ValueError, match="stop"):
            fail(store)
        assert store.records.get("k") is None


def test_drafts_are_frozen_once(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s") as store:
        draft = store.snapshots.draft()
        assert stat.S_IMODE(os.stat(draft.path).st_mode) == 0o755
        (Path(draft.path) / "f").write_bytes(b"12345")
        os.link(Path(draft.path) / "f", Path(draft.path) / "g")
        os.mkdir(Path(draft.work) / "work", 0o000)
        assert not store.snapshots.has((draft.id,))
        layer = store.snapshots.freeze(draft)
        assert store.snapshots.has((layer,))
        assert store.snapshots.size_bytes(layer) == 5
        assert os.listdir(store.snapshots.place(layer)) == ["fs"]
        store.snapshots.discard(draft)
        assert store.snapshots.has((layer,))


def test_layer_that_is_there_wins_over_a_second_one(tmp_path: Path) -> None:
    name = LayerId("c" + "1" * 64)
    with Store.open(tmp_path / "s") as store:
        for content in ("first", "second"):
            draft = store.snapshots.draft(name)
            (Path(draft.path) / "f").write_text(content)
            assert store.snapshots.freeze(draft) == name
        assert (Path(store.snapshots.path(name)) / "f").read_text() == "first"
        assert os.listdir(store.session.directory()) == ["leases"]


def test_discard_takes_all_and_is_idempotent(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s") as store:
        draft = store.snapshots.draft()
        deep = Path(draft.path) / "d"
        deep.mkdir()
        (deep / "f").write_text("x")
        os.chmod(deep, 0)
        store.snapshots.discard(draft)
        store.snapshots.discard(draft)
        assert not os.path.exists(os.path.dirname(draft.path))


@pytest.mark.parametrize("name", ["", "..", "../x", "A" * 32, "c" + "1" * 63, "a" * 31, "x/y"])
def test_no_path_is_made_of_what_is_no_layer_id(tmp_path: Path, name: str) -> None:
    with Store.open(tmp_path / "s") as store:
        for ask in (store.snapshots.path, store.snapshots.draft, store.snapshots.place):
            with pytest.raises(StoreError, match="not a layer ID"):
                ask(LayerId(name))


def test_layer_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s") as store:
        assert not store.snapshots.has((LayerId("1" * 32),))
        assert store.snapshots.has(())
        with pytest.raises(StoreError, match="not in the store any more"):
            store.snapshots.paths((LayerId("1" * 32),))


def test_names_and_ids_find_images(tmp_path: Path) -> None:
    from slimstage.digest import Digest
    from slimstage.oci.descriptor import Descriptor, Platform
    from slimstage.store.images import ImageLayer, StoredImage

    def image(digit: str, created_s: float) -> StoredImage:
        digest = Digest("sha256:" + digit * 64)
        blob = Descriptor("t", digest, 3, annotations={"a": "b"})
        layer = ImageLayer(digest, 7, blob, LayerId(digit * 32), "RUN x")
        return StoredImage(
            digest, Digest("sha256:" + digit * 63 + "0"), Platform("linux", "arm", "v7"), (layer,), created_s
        )

    with Store.open(tmp_path / "s") as store:
        images, one, two = store.images, image("1", 1.0), image("2", 2.0)
        images.put(one, ["app", "localhost/app:1"])
        images.put(two, ["quay.io/app:2"])
        for name in ("app", "app:latest", "docker.io/library/app", "localhost/app:1", "1111", one.id, "sha256:1111"):
            found = images.find(name)
            assert found is not None, name
            assert found.layers == one.layers
            assert found.names == ("docker.io/library/app:latest", "localhost/app:1")
        assert images.find("app:3") is None
        assert images.find("nothing at all") is None
        assert images.find("111") is None
        assert [i.id for i in images.list()] == [two.id, one.id]
        found = images.find(f"app@{one.manifest}")
        assert found is not None
        assert found.id == one.id
        assert images.find(f"other@{one.manifest}") is None

        images.tag(two.id, "app")
        moved = images.find("app")
        assert moved is not None
        assert moved.id == two.id
        assert images.untag("app")
        assert not images.untag("app")
        images.remove(two.id)
        assert images.find("quay.io/app:2") is None
        with pytest.raises(StoreError, match="not in the store"):
            images.tag(two.id, "x")
        with pytest.raises(FormatError):
            images.tag(one.id, f"x@{one.id}")

        near = Digest("sha256:" + "1" * 63 + "2")
        images.put(StoredImage(near, one.manifest, one.platform, (), 0.0))
        with pytest.raises(UsageError, match="several") as caught:
            images.find("1111")
        assert "more digits" in str(caught.value)
