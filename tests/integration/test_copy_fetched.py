"""ADD of URLs and repositories, from fetching to the layer."""

from __future__ import annotations

import gzip
import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from slimstage.build import add
from slimstage.build.copy import copy_step
from slimstage.build.downloads import StoreDownloads
from slimstage.context.git import fetch_git
from slimstage.context.remote import fetch_url
from slimstage.plan.graph import Git, Url
from slimstage.store.store import Store
from support.copying import NOW_NS, Bench, copy_of
from support.trees import make_tar, make_tree, member

pytestmark = pytest.mark.root


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    if os.geteuid():
        pytest.skip("needs root: files get owners")
    return Bench(tmp_path)


class Quiet(SimpleHTTPRequestHandler):
    """Serves a directory; says an ETag, and 304 to who knows it."""

    sent: list[int]

    def do_GET(self) -> None:
        if self.headers.get("If-None-Match") == '"1"':
            self.sent.append(304)
            self.send_response(304)
            self.end_headers()
            return
        self.sent.append(200)
        super().do_GET()

    def end_headers(self) -> None:
        self.send_header("ETag", '"1"')
        super().end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    archive = gzip.compress(make_tar(member("in/f", b"packed", mode=0o640)))
    root = make_tree(tmp_path / "site", {"w.bin": "weights", "t.tar.gz": archive, "s*[x": "star"})
    Quiet.sent = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), lambda *given: Quiet(*given, directory=root))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def added(
    bench: Bench, destination: str, *parts: Url | Git, exclude: tuple[str, ...] = (), **others: Any
) -> dict[str, str]:
    step = copy_of([], destination, unpack="auto", **others)
    with ExitStack() as cleanup:
        sources = []
        for number, part in enumerate(parts):
            work = bench.top / f"fetched-{len(bench.layers)}-{number}"
            work.mkdir()
            sources.append(add.fetch_source(part, str(work), cleanup, excludes=exclude))
        draft = bench.draft()
        copy_step(step, bench.layers, sources, draft, now_ns=NOW_NS)
    bench.layers.append(draft.path)
    return bench.seen()


def test_a_url_becomes_a_file_that_only_root_reads(bench: Bench, site: str) -> None:
    assert added(bench, "/m/", Url(f"{site}/w.bin")) == {"m": "dir 755 0:0", "m/w.bin": "file 600 0:0 weights"}


def test_chmod_and_chown_hold_for_urls(bench: Bench, site: str) -> None:
    seen = added(bench, "/model", Url(f"{site}/w.bin"), chmod="0444", chown="7")
    assert seen == {"model": "file 444 7:7 weights"}


def test_an_archive_from_a_url_is_unpacked_only_when_asked(bench: Bench, site: str) -> None:
    assert list(added(bench, "/x/", Url(f"{site}/t.tar.gz"))) == ["x", "x/t.tar.gz"]


def test_an_archive_from_a_url_is_unpacked_when_asked(bench: Bench, site: str) -> None:
    seen = added(bench, "/x/", Url(f"{site}/t.tar.gz", unpack=True))
    assert seen["x/in/f"] == "file 640 0:0 packed"


def test_a_name_with_wildcards_is_only_a_name(bench: Bench, site: str) -> None:
    assert added(bench, "/", Url(f"{site}/s*%5Bx")) == {"s*[x": "file 600 0:0 star"}


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_what_holds_no_member_is_copied_though_unpacking_is_asked_for(
    bench: Bench, site: str, pack: Callable[[bytes], bytes]
) -> None:
    for name, content in (("empty", pack(bytes(10240))), ("text", b"no archive")):
        (bench.top / "site" / name).write_bytes(content)
        added(bench, f"/{name}", Url(f"{site}/{name}", unpack=True))
        assert (bench.own() / name).read_bytes() == content


def test_a_repository_is_its_files(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    origin = make_tree(bench.top / "origin", {"src/a": "1", "b.md": "2"})
    commands = (("init", "-q"), ("add", "."), ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "1"))
    for command in commands:
        subprocess.run(["git", *command], cwd=origin, check=True, env={**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null"})
    monkeypatch.setattr(add, "fetch_git", lambda *a, **k: fetch_git(*a, **k, protocols=("file",)))
    seen = added(bench, "/r", Git(f"file://{origin}"), exclude=("*.md",))
    assert seen == {"r": "dir 755 0:0", "r/src": "dir 755 0:0", "r/src/a": "file 644 0:0 1"}


def test_the_store_spares_a_second_transfer(bench: Bench, site: str) -> None:
    store = Store.open(bench.top / "store")
    try:
        for name in ("1", "2"):
            (bench.top / name).mkdir()
            fetch_url(f"{site}/w.bin", str(bench.top / name), revalidation=StoreDownloads(store))
        assert Quiet.sent == [200, 304]
        assert (bench.top / "2/w.bin").read_text() == "weights"
        known = StoreDownloads(store).find(f"{site}/w.bin")
        assert known is not None
        os.unlink(known.path)
        assert StoreDownloads(store).find(f"{site}/w.bin") is None
    finally:
        store.close()
