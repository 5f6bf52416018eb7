from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from slimstage.digest import Digest
from slimstage.oci.config import ImageConfig, to_json
from slimstage.oci.descriptor import OCI_CONFIG, OCI_LAYER_GZIP, Descriptor, Platform
from slimstage.oci.manifest import build_manifest
from slimstage.store.collect import prune, store_bytes
from slimstage.store.doctor import examine
from slimstage.store.files import remove_tree, try_lock
from slimstage.store.images import ImageLayer, StoredImage
from slimstage.store.packed import PackedLayer, Packing
from slimstage.store.records import Record
from slimstage.store.snapshots import LayerId
from slimstage.store.store import Store


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "s"


def add_layer(store: Store, name: str = "f", size: int = 1000) -> LayerId:
    draft = store.snapshots.draft()
    (Path(draft.path) / name).write_bytes(bytes(size))
    return store.snapshots.freeze(draft, size_bytes=size)


def add_image(store: Store, *layers: LayerId, name: str | None = None) -> StoredImage:
    diff_ids, rows, blobs = [], [], []
    for layer in layers:
        digest, size = store.blobs.put(f"blob of {layer}".encode())
        diff_ids.append(digest)
        blobs.append(Descriptor(OCI_LAYER_GZIP, digest, size))
        rows.append(ImageLayer(digest, size, blobs[-1], layer))
    data = to_json(ImageConfig("amd64", "linux", author=name, diff_ids=tuple(diff_ids)))
    config, size = store.blobs.put(data)
    manifest = build_manifest(Descriptor(OCI_CONFIG, config, size), blobs)
    store.blobs.put(manifest.raw)
    image = StoredImage(config, manifest.digest, Platform("linux", "amd64"), tuple(rows), 1.0)
    store.images.put(image, [name] if name else [])
    return image


def layers(store: Store) -> set[LayerId]:
    return set(store.snapshots.list())


@contextmanager
def process(root: Path, code: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the store open, runs the code, says "ready" and waits for its end of input."""
    program = (
        "import sys, os\nfrom pathlib import Path\nfrom slimstage.store.store import Store\n"
        f"store = Store.open(Path({str(root)!r}))\n{code}\nprint('ready', flush=True)\nsys.stdin.read()\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program], stdin=-1, stdout=-1, text=True)
    assert child.stdout
    assert child.stdin
    try:
        assert child.stdout.readline() == "ready\n"
        yield child
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
        child.stdin.close()


def test_what_nothing_needs_goes_and_the_rest_stays(root: Path) -> None:
    with Store.open(root) as store:
        in_image, in_record, in_container, orphan, unnamed = (add_layer(store) for _ in range(5))
        named = add_image(store, in_image, name="app")
        dangling = add_image(store, unnamed)
        store.records.put(Record("k", "c", in_record))
        store.containers.create((in_container,))
        loose, _ = store.blobs.put(b"loose")
    with Store.open(root) as store:
        report = prune(store)
        assert layers(store) == {in_image, in_record, in_container}
        removed = {(thing.kind, thing.name) for thing in report.removed}
        assert {("layer", orphan), ("layer", unnamed), ("blob", loose), ("image", dangling.id)} <= removed
        assert report.bytes >= 2000
        assert [image.id for image in store.images.list()] == [named.id]
        assert store.records.get("k") is not None
        assert examine(store) == []
        assert prune(store).removed == ()


@pytest.mark.parametrize("keep_bytes", [None, 1500])
def test_dry_run_says_what_would_go_and_removes_nothing(root: Path, keep_bytes: int | None) -> None:
    with Store.open(root) as store:
        add_layer(store)
        for number in range(3):
            store.records.put(Record(f"k{number}", "c", add_layer(store)))
        store.blobs.put(b"loose")
    with Store.open(root) as store:
        before = layers(store), list(store.blobs.list()), store.records.get("k1")
        said = prune(store, keep_bytes=keep_bytes, dry_run=True)
        assert (layers(store), list(store.blobs.list()), store.records.get("k1")) == before
        done = prune(store, keep_bytes=keep_bytes)
        assert {(t.kind, t.name) for t in said.removed} == {(t.kind, t.name) for t in done.removed}


def test_all_takes_the_cache_but_no_named_image(root: Path) -> None:
    with Store.open(root) as store:
        in_image, in_record = add_layer(store), add_layer(store)
        add_image(store, in_image, name="app")
        store.records.put(Record("k", "c", in_record))
        store.records.put(Record("k2", "c", in_image))
        store.caches.acquire("pip").release()
    with Store.open(root) as store:
        report = prune(store, all_=True)
        assert layers(store) == {in_image}
        assert store.records.get("k") is None
        assert store.caches.list() == []
        assert {thing.kind for thing in report.removed} == {"record", "layer", "cache"}
        assert examine(store) == []


def test_age_decides_over_records_and_unnamed_images(root: Path) -> None:
    with Store.open(root) as store:
        old, young = add_layer(store), add_layer(store)
        store.records.put(Record("old", "c", old))
        store.records.put(Record("young", "c", young))
        store.database.change("UPDATE records SET used_s = used_s - 5000 WHERE key = 'old'")
        image = add_image(store)
        store.database.change("UPDATE images SET created_s = 9e9")
    with Store.open(root) as store:
        prune(store, older_than_s=3600)
        assert layers(store) == {young}
        assert store.records.get("old") is None
        assert [i.id for i in store.images.list()] == [image.id]


def test_size_to_keep_takes_the_longest_unused_first(root: Path) -> None:
    with Store.open(root) as store:
        made = [add_layer(store, size=1000) for _ in range(10)]
        for number, layer in enumerate(made):
            store.records.put(Record(f"k{number}", "c", layer))
            store.database.change("UPDATE records SET used_s = ? WHERE key = ?", (number, f"k{number}"))
    with Store.open(root) as store:
        assert store_bytes(store) == 10_000
        prune(store, keep_bytes=4500)
        assert layers(store) == set(made[-4:])
        prune(store, keep_bytes=4500)
        assert layers(store) == set(made[-4:])


def test_only_the_kinds_asked_for_are_looked_at(root: Path) -> None:
    with Store.open(root) as store:
        layer = add_layer(store)
        store.blobs.put(b"loose")
        store.caches.acquire("pip").release()
    with Store.open(root) as store:
        report = prune(store, all_=True, filters=["cache"])
        assert [thing.kind for thing in report.removed] == ["cache"]
        assert layers(store) == {layer}


def test_packed_blobs_live_as_long_as_their_layer(root: Path) -> None:
    with Store.open(root) as store:
        kept, gone = add_layer(store), add_layer(store)
        store.records.put(Record("k", "c", kept))
        blobs = []
        for layer in (kept, gone):
            digest, size = store.blobs.put(layer.encode())
            blobs.append(digest)
            store.packed.put(layer, Packing("gzip"), PackedLayer(digest, 1, Descriptor(OCI_LAYER_GZIP, digest, size)))
    with Store.open(root) as store:
        prune(store)
        assert [store.blobs.has(digest) for digest in blobs] == [True, False]
        assert store.packed.get(gone, Packing("gzip")) is None


def test_running_process_keeps_what_it_was_told_is_there(root: Path) -> None:
    with Store.open(root) as store:
        used, orphan = add_layer(store), add_layer(store)
        digest, _ = store.blobs.put(b"used")
    code = (
        f"assert store.snapshots.has(({used!r},)); assert store.blobs.has({digest!r}); draft = store.snapshots.draft()"
    )
    with process(root, code) as child:
        with Store.open(root) as store:
            report = prune(store, all_=True)
            assert layers(store) == {used}
            assert store.blobs.size_bytes(digest) == 4
            assert report.kept_in_use == 2
            assert orphan in {thing.name for thing in report.removed}
            assert len([name for name in os.listdir(root / "tmp") if os.listdir(root / "tmp" / name)]) == 2
        child.kill()
        child.wait()
        with Store.open(root) as store:
            prune(store)
            assert layers(store) == set()
            assert list(store.blobs.list()) == []
            assert os.listdir(root / "tmp") == [store.session.name]


def test_layer_frozen_after_a_prune_began_stays(root: Path) -> None:
    with Store.open(root) as store, Store.open(root) as other:
        draft = store.snapshots.draft()
        prune(other)
        layer = store.snapshots.freeze(draft)
        prune(other)
        assert other.snapshots.has((layer,))


def test_forked_child_has_a_session_and_a_connection_of_its_own(root: Path) -> None:
    with Store.open(root) as store:
        layer = add_layer(store)
        draft = store.snapshots.draft()
        name = store.session.name
        pid = os.fork()
        if pid == 0:
            try:
                assert store.snapshots.has((layer,))
                assert store.session.name != name
                store.records.put(Record("child", "c", layer))
                store.close()
            except BaseException:
                os._exit(1)
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert store.records.get("child") is not None
        assert os.path.isdir(draft.path)
        assert os.listdir(root / "tmp") == [name]


def test_locks_of_steps_go_unless_someone_has_them(root: Path) -> None:
    with Store.open(root) as store:
        lock = try_lock(str(root / "locks" / "step-held"))
        other = try_lock(str(root / "locks" / "step-free"))
        assert lock
        assert other
        other.release()
        prune(store)
        assert [name for name in os.listdir(root / "locks") if name.startswith("step-")] == ["step-held"]
        lock.release()


def test_prune_follows_no_symlink_and_opens_closed_directories(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    with Store.open(root) as store:
        draft = store.snapshots.draft()
        os.symlink(outside, Path(draft.path) / "link")
        os.symlink("/", Path(draft.path) / "slash")
        os.symlink(outside / "precious", Path(draft.path) / "file")
        closed = Path(draft.path) / "closed"
        closed.mkdir()
        (closed / "inner").write_text("x")
        closed.chmod(0)
        store.snapshots.freeze(draft)
    # A layer's own name replaced by a symlink: the link goes, not what it points at.
    os.symlink(outside, root / "layers" / ("a" * 32))
    with Store.open(root) as store:
        prune(store)
        assert layers(store) == set()
    assert (outside / "precious").read_text() == "x"


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount")
def test_what_is_mounted_in_a_leftover_is_not_deleted(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("x")
    with process(root, "draft = store.snapshots.draft(); os.mkdir(draft.path + '/m')"):
        pass
    (dead,) = os.listdir(root / "tmp")
    (draft,) = [name for name in os.listdir(root / "tmp" / dead) if name.startswith("draft-")]
    point = root / "tmp" / dead / draft / "fs" / "m"
    subprocess.run(["mount", "-t", "tmpfs", "tmpfs", point], check=True)
    try:
        (point / "precious").write_text("x")
        with Store.open(root) as store:
            prune(store)
            assert (point / "precious").read_text() == "x"
            assert "mount-left" in {finding.code for finding in examine(store)}
    finally:
        subprocess.run(["umount", point], check=True)
    with Store.open(root) as store:
        examine(store, repair=True)
        assert examine(store) == []


def test_remove_tree_takes_deep_trees_and_missing_ones(tmp_path: Path) -> None:
    remove_tree(str(tmp_path / "none"))
    top = tmp_path / "deep"
    top.mkdir()
    fd = os.open(top, os.O_RDONLY)
    # Deeper than PATH_MAX, than Python's stack and than the number of files that a process may open.
    for _ in range(1500):
        os.mkdir("d" * 100, dir_fd=fd)
        inner = os.open("d" * 100, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    remove_tree(str(top))
    assert not top.exists()


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A directory that another user can reach: pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as made:
        yield Path(made)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become another user")
def test_user_without_rights_can_remove_directories_that_are_closed(open_to_all: Path) -> None:
    home = open_to_all
    os.chown(home, 65534, 65534)
    code = f"""
import os
from pathlib import Path
from slimstage.store.store import Store
os.setgid(65534); os.setuid(65534)
store = Store.open(Path({str(home / "s")!r}))
draft = store.snapshots.draft()
inner = Path(draft.path, "closed", "inner")
inner.mkdir(parents=True)
Path(inner, "f").write_text("x")
inner.chmod(0); inner.parent.chmod(0o111)
store.snapshots.discard(draft)
assert not os.path.lexists(os.path.dirname(draft.path))
store.close()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_doctor_finds_and_repairs_what_disagrees(root: Path) -> None:
    with Store.open(root) as store:
        gone, kept = add_layer(store), add_layer(store)
        store.records.put(Record("k", "c", gone))
        image = add_image(store, kept, name="app")
        broken = add_image(store, gone, name="broken")
        digest, _ = store.blobs.put(b"precious")
        assert examine(store) == []
        remove_tree(store.snapshots.place(gone))
        os.unlink(store.blobs.path(broken.layers[0].diff_id))
        path = Path(store.blobs.path(digest))
        path.chmod(0o600)
        path.write_bytes(b"PRECIOUS")
        (root / "blobs" / "sha256" / "junk").write_text("x")
        (root / "layers" / "junk").mkdir()
        wanted = {"row-without-layer", "bad-layer", "bad-blob", "bad-image"}
        assert {finding.code for finding in examine(store)} == wanted
        assert {finding.code for finding in examine(store, repair=False)} == wanted
        repaired = examine(store, repair=True)
        assert {finding.code for finding in repaired} == wanted
    with Store.open(root) as store:
        examine(store, repair=True)
        assert examine(store) == []
        assert [i.id for i in store.images.list()] == [image.id]
        assert store.records.get("k") is None
        assert not store.blobs.has(Digest(digest))
