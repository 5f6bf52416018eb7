from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from slimstage.digest import Digest, digest_bytes
from slimstage.errors import Interrupted, StoreError
from slimstage.oci.descriptor import OCI_LAYER_GZIP, Descriptor
from slimstage.store.containers import Containers
from slimstage.store.digests import FileDigests
from slimstage.store.packed import PackedLayer, Packing
from slimstage.store.snapshots import LayerId
from slimstage.store.store import Store

LAYER = LayerId("0" * 32)
HELLO = digest_bytes(b"hello")
OLD = 1_700_000_000_123_456_789
NOW = OLD + 10_000_000_000


def test_cache_directory_keeps_what_was_put_there(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s") as store:
        with store.caches.acquire("pip", mode=0o1777) as lease:
            assert lease.is_new
            assert os.stat(lease.path).st_mode & 0o7777 == 0o1777
            (Path(lease.path) / "f").write_text("x")
        with store.caches.acquire("pip", mode=0o700) as lease:
            assert not lease.is_new
            assert os.listdir(lease.path) == ["f"]
            assert os.stat(lease.path).st_mode & 0o7777 == 0o1777
        with store.caches.acquire("apt") as other:
            assert os.listdir(other.path) == []


def test_shared_users_have_one_directory_at_the_same_time(tmp_path: Path) -> None:
    with (
        Store.open(tmp_path / "s") as store,
        Store.open(tmp_path / "s") as other,
        store.caches.acquire("x") as one,
        other.caches.acquire("x") as two,
    ):
        assert one.path == two.path


def test_private_users_have_their_own_while_they_meet(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s") as store:
        with store.caches.acquire("x", "private") as one, store.caches.acquire("x", "private") as two:
            assert one.path != two.path
        with store.caches.acquire("x", "private") as again:
            assert again.path == one.path
            assert not again.is_new


def test_locked_users_wait_for_each_other_and_can_be_interrupted(tmp_path: Path) -> None:
    cancel = threading.Event()
    with Store.open(tmp_path / "s") as store:
        first = store.caches.acquire("x", "locked")
        outcome: list[object] = []

        def second() -> None:
            with store.caches.acquire("x", "locked") as lease:
                outcome.append(lease.path)

        thread = threading.Thread(target=second)
        thread.start()
        cancel.set()
        with pytest.raises(Interrupted):
            store.caches.acquire("x", "locked", cancel=cancel)
        assert outcome == []
        first.release()
        first.release()
        thread.join()
        assert outcome == [first.path]


def test_seed_is_there_before_anyone_sees_the_directory(tmp_path: Path) -> None:
    def seed(path: str) -> None:
        (Path(path) / "seed").write_text("s")

    with Store.open(tmp_path / "s") as store, store.caches.acquire("x", seed=seed) as lease:
        assert os.listdir(lease.path) == ["seed"]


def test_seed_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail(path: str) -> None:
        (Path(path) / "half").write_text("x")
        raise OSError(28, "No space left on device", path)

    with Store.open(tmp_path / "s") as store:
        with pytest.raises(StoreError, match="full"):
            store.caches.acquire("x", seed=fail)
        assert store.caches.list() == []
        assert os.listdir(store.session.directory()) == ["leases"]
        with store.caches.acquire("x") as lease:
            assert lease.is_new


@pytest.mark.parametrize("sharing", ["shared", "private", "locked"])
def test_fresh_cache_is_empty_and_stays(tmp_path: Path, sharing: str) -> None:
    with Store.open(tmp_path / "s") as store:
        with store.caches.acquire("x") as lease:
            (Path(lease.path) / "old").write_text("x")
        with store.caches.acquire("x", sharing, is_fresh=True) as lease:  # type: ignore[arg-type]  # one of the three
            assert lease.is_new
            assert os.listdir(lease.path) == []
            (Path(lease.path) / "new").write_text("x")
        with store.caches.acquire("x") as lease:
            assert os.listdir(lease.path) == ["new"]


def test_fresh_cache_does_not_take_one_that_is_in_use(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s") as store, store.caches.acquire("x") as user:
        (Path(user.path) / "mine").write_text("x")
        with store.caches.acquire("x", is_fresh=True) as fresh:
            assert fresh.path != user.path
            assert os.listdir(fresh.path) == []
        assert os.listdir(user.path) == ["mine"]


def test_fresh_cache_leaves_nothing_for_private_users_either(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s") as store:
        with store.caches.acquire("x", "private") as one, store.caches.acquire("x", "private") as two:
            for lease in (one, two):
                (Path(lease.path) / "old").write_text("x")
        with store.caches.acquire("x", "private", is_fresh=True), store.caches.acquire("x", "private") as second:
            assert second.is_new
            assert os.listdir(second.path) == []


def test_cache_in_use_is_not_removed(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s") as store:
        with store.caches.acquire("x") as lease:
            (slot,) = store.caches.list()
            assert slot.identity == "x"
            assert store.caches.remove(slot) == 0
            assert os.path.isdir(lease.path)
        store.caches.remove(slot)
        assert store.caches.list() == []


def test_cache_ids_are_any_text(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s") as store:
        for identity in ("../../etc", "/", "a\nb", "\udcff", ""):
            with store.caches.acquire(identity) as lease:
                assert lease.path.startswith(str(store.root / "caches"))
        assert {slot.identity for slot in store.caches.list()} == {"../../etc", "/", "a\nb", "\udcff", ""}


def digests(store: Store) -> FileDigests:
    return FileDigests(store.database)


def test_digest_is_remembered_for_the_same_stat_only(tmp_path: Path) -> None:
    with Store.open(tmp_path / "s") as store:
        assert store.digests.get(1, 2, 3, OLD, OLD + 1) is None
        store.digests.put_many([(1, 2, 3, OLD, OLD + 1, HELLO)], NOW)
        for cache in (store.digests, digests(store)):
            assert cache.get(1, 2, 3, OLD, OLD + 1) == HELLO
            assert cache.get(2, 2, 3, OLD, OLD + 1) is None
            assert cache.get(1, 3, 3, OLD, OLD + 1) is None
            assert cache.get(1, 2, 4, OLD, OLD + 1) is None
            assert cache.get(1, 2, 3, OLD + 1, OLD + 1) is None
            assert cache.get(1, 2, 3, OLD, OLD + 2) is None
        assert store.digests.forget() == 1
        assert store.digests.get(1, 2, 3, OLD, OLD + 1) is None


@pytest.mark.parametrize(
    ("mtime_ns", "ctime_ns", "started_ns", "is_kept"),
    [
        (OLD, OLD, OLD, False),
        (OLD, OLD, OLD + 1_000_000, False),
        (OLD, OLD, OLD + 30_000_000, True),
        (OLD, OLD + 29_000_000, OLD + 30_000_000, False),
        (OLD + 1, OLD, OLD - 1, False),
        (5_000_000_000, 5_000_000_000, 6_000_000_000, False),
        (5_000_000_000, 5_000_000_000, 8_000_000_000, True),
    ],
)
def test_file_changed_in_the_tick_it_was_read_is_read_again(
    tmp_path: Path, mtime_ns: int, ctime_ns: int, started_ns: int, is_kept: bool
) -> None:
    with Store.open(tmp_path / "s") as store:
        store.digests.put_many([(1, 2, 3, mtime_ns, ctime_ns, HELLO)], started_ns)
        assert (digests(store).get(1, 2, 3, mtime_ns, ctime_ns) == HELLO) is is_kept


def test_real_file_written_just_now_is_not_remembered(tmp_path: Path) -> None:
    started_ns = time.time_ns()
    (tmp_path / "f").write_bytes(b"hello")
    found = (tmp_path / "f").stat()
    with Store.open(tmp_path / "s") as store:
        fact = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
        store.digests.put_many([(*fact, HELLO)], started_ns)
        assert store.digests.get(*fact) is None


def test_inode_numbers_of_64_bits_and_many_files(tmp_path: Path) -> None:
    highest = (1 << 64) - 1
    facts = [((1 << 63) + 5, highest - number * 3, number, OLD, OLD, HELLO) for number in range(20_000)]
    with Store.open(tmp_path / "s") as store:
        store.digests.put_many(facts, NOW)
        cache = digests(store)
        assert cache.get_many([fact[:5] for fact in facts]) == [HELLO] * len(facts)
        assert cache.get(*facts[7][:5]) == HELLO


def test_many_files_are_asked_for_at_once_and_each_gets_its_own_answer(tmp_path: Path) -> None:
    other = Digest("sha256:" + "ab" * 32)
    facts = [(dev, ino, 3, OLD, OLD, HELLO if ino % 2 else other) for dev in (1, 2) for ino in range(1000)]
    with Store.open(tmp_path / "s") as store:
        store.digests.put_many(facts[::2], NOW)
        store.digests.put_many([fact for fact in facts[1::2] if fact[1] % 3], NOW)
        asked = [*(fact[:5] for fact in reversed(facts)), (1, 1, 4, OLD, OLD), (3, 1, 3, OLD, OLD)]
        expected = [fact[5] if fact[1] % 2 == 0 or fact[1] % 3 else None for fact in reversed(facts)]
        assert store.digests.get_many(asked) == [*expected, None, None]
        assert store.digests.get_many([]) == []


def test_packed_layer_is_found_by_everything_its_bytes_depend_on(tmp_path: Path) -> None:
    packing = Packing("gzip", 6, 0)
    with Store.open(tmp_path / "s") as store:
        digest, size = store.blobs.put(b"packed")
        packed = PackedLayer(HELLO, 512, Descriptor(OCI_LAYER_GZIP, digest, size))
        store.packed.put(LAYER, packing, packed)
        assert store.packed.get(LAYER, packing) == packed
        for other in (Packing("zstd", 6, 0), Packing("gzip", 5, 0), Packing("gzip", 6), Packing("gzip", 6, 0, "2")):
            assert store.packed.get(LAYER, other) is None
        assert store.packed.get(LayerId("1" * 32), packing) is None
        found = store.packed.diff_id(LAYER, 0)
        assert found == PackedLayer(HELLO, 512, None)
        assert store.packed.diff_id(LAYER, None) is None
        os.unlink(store.blobs.path(digest))
        assert store.packed.get(LAYER, packing) == PackedLayer(HELLO, 512, None)


def test_containers_keep_a_list_of_what_they_need(tmp_path: Path) -> None:
    image = Digest("sha256:" + "5" * 64)
    with Store.open(tmp_path / "s") as store:
        containers: Containers = store.containers
        identity, path = containers.create((LAYER,), image, "web")
        assert os.stat(path).st_mode & 0o7777 == 0o700
        assert list(containers.needs()) == [f"layer {LAYER}", f"image {image}"]
        with pytest.raises(StoreError, match="exists"):
            containers.create((), None, "web")
        for bad in ("..", "", "a/b", "-x"):
            with pytest.raises(StoreError, match="not a container ID"):
                containers.path(bad)
        assert containers.list() == [identity]
        containers.remove(identity)
        containers.remove(identity)
        assert containers.list() == []
