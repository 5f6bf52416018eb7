"""A system made by the real mmdebstrap from this host's Debian mirror: what it holds, and that it is the same each time."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import pytest

from slimstage.bases.aptsources import sources_of
from slimstage.bases.resolve import Bases
from slimstage.events import ignore
from slimstage.oci.config import to_json
from slimstage.oci.descriptor import host_platform
from slimstage.store.store import Store

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: mmdebstrap as root needs no sub-IDs"),
    pytest.mark.skipif(shutil.which("mmdebstrap") is None, reason="needs Debian's mmdebstrap"),
    pytest.mark.skipif(
        not sources_of("bookworm", ["main"]).lines, reason="this host has no Debian mirror in its sources"
    ),
]
SPEC = "debian://bookworm?include=python3-minimal&link=python3:py&env=A=b"


def test_a_system_is_small_and_neutral_and_the_same_in_another_store(tmp_path: Path) -> None:
    digests = []
    for number in (1, 2):
        with Store.open(tmp_path / f"store{number}") as store:
            bases = Bases(store)
            base = bases.resolve(SPEC, host_platform())
            (path,) = store.snapshots.paths(bases.fetch(base, ignore, ""))
            digests.append((base.manifest, base.id))
            if number == 1:
                _check(Path(path))
                assert base.config.env[-1] == "A=b"
                assert base.config.cmd == ("bash",)
                document = to_json(base.config)
                mirrors = re.findall(r"://([^/ ]+)", " ".join(sources_of("bookworm", ["main"]).lines))
                assert not [mirror for mirror in mirrors if mirror.encode() in document]
    assert digests[0] == digests[1]


def _check(root: Path) -> None:
    assert os.readlink(root / "usr/local/bin/python") == "/usr/bin/python3"
    assert os.readlink(root / "usr/local/bin/py") == "/usr/bin/python3"
    assert (root / "usr/bin/python3").exists() or (root / "usr/bin/python3").is_symlink()
    assert not list(root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"))
    assert "bookworm" in (root / "etc/apt/sources.list").read_text()
    assert (root / "etc/machine-id").read_bytes() == b""
    for empty in ("var/log", "var/lib/apt/lists", "var/cache/apt", "tmp", "run", "usr/share/man"):
        assert not [path for path in (root / empty).rglob("*") if path.is_file()], empty
    for gone in ("etc/hostname", "etc/resolv.conf", "dev/null", "usr/sbin/policy-rc.d.dpkg-new"):
        assert not (root / gone).exists(), gone
    newest = max(path.lstat().st_mtime for path in root.rglob("*"))
    assert newest <= 1_577_836_800
    copyrights = list(root.glob("usr/share/doc/*/copyright"))
    assert len(copyrights) > 50
    assert sum(path.lstat().st_size for path in root.rglob("*") if path.is_file() and not path.is_symlink()) < 200e6
