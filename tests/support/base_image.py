"""Base images as OCI layouts, written by hand: tests judge our reader by files that our writer has not touched."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from support.rootfs import BUSYBOX, has_busybox

CREATED = "2023-11-14T22:13:20Z"
_MTIME_S = 1_700_000_000
_APPLETS = (
    "[ awk basename cat chgrp chmod chown cmp cp cut date dd df diff dirname du echo env expr false find grep head hostname id"
    " kill ln ls md5sum mkdir mkfifo mknod mktemp mount mv nc od printf ps pwd readlink realpath rm rmdir sed seq sh sha256sum"
    " sleep sort stat stty sync tail tar tee test touch tr true tty umount uname uniq unshare wc wget which whoami xargs yes"
)
PASSWD = "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000::/home/app:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"
GROUP = "root:x:0:\nwheel:x:10:root\nextra:x:44:app\napp:x:1000:\nnobody:x:65534:\n"

Member = tuple[str, bytes, int, bytes | str]
"""Path, tar type, mode, and the content of a file or the target of a link."""


def tar_of(members: Sequence[Member]) -> bytes:
    """An uncompressed tar of these members by `tarfile`, all of root and of one time."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, mode, value in members:
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.mtime = kind, mode, _MTIME_S
            if isinstance(value, str):
                info.linkname = value
                tar.addfile(info)
            else:
                info.size = len(value)
                tar.addfile(info, io.BytesIO(value))
    return out.getvalue()


def busybox_members() -> list[Member]:
    """Debian's static busybox with its applets as links, /etc/passwd, /etc/group and the usual directories."""
    folder, file, link = tarfile.DIRTYPE, tarfile.REGTYPE, tarfile.SYMTYPE
    names = ("bin", "dev", "etc", "home", "home/app", "proc", "root", "run", "sys", "usr", "usr/bin", "var")
    return [
        *((name, folder, 0o755, b"") for name in names),
        ("tmp", folder, 0o1777, b""),
        ("bin/busybox", file, 0o755, Path(BUSYBOX).read_bytes()),
        *((f"bin/{name}", link, 0o777, "busybox") for name in _APPLETS.split()),
        ("etc/passwd", file, 0o644, PASSWD.encode()),
        ("etc/group", file, 0o644, GROUP.encode()),
    ]


class LayoutWriter:
    """One image as an OCI layout, piece by piece, so that a test can make any piece lie."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "blobs/sha256").mkdir(parents=True)
        self.diff_ids: list[str] = []
        self.layers: list[dict[str, Any]] = []

    def blob(self, data: bytes, media_type: str) -> dict[str, Any]:
        name = hashlib.sha256(data).hexdigest()
        (self.path / "blobs/sha256" / name).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{name}", "size": len(data)}

    def layer(self, tar: bytes, *, diff_id: str | None = None, packed: bytes | None = None) -> dict[str, Any]:
        """Adds a gzip layer. diff_id: what the config says of it; packed: the blob's bytes in place of the right ones."""
        data = gzip.compress(tar, 6, mtime=0) if packed is None else packed
        descriptor = self.blob(data, "application/vnd.oci.image.layer.v1.tar+gzip")
        self.layers.append(descriptor)
        self.diff_ids.append(diff_id or "sha256:" + hashlib.sha256(tar).hexdigest())
        return descriptor

    def finish(self, config: Mapping[str, Any] | None = None, *, tag: str = "latest", **manifest: Any) -> str:
        """Writes config, manifest and index; returns the manifest's digest. manifest: keys put over the right ones."""
        machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
        document = {
            "architecture": machine,
            "os": "linux",
            "created": CREATED,
            "config": {"Env": ["PATH=/usr/bin:/bin"], "Cmd": ["sh"], **(config or {})},
            "rootfs": {"type": "layers", "diff_ids": self.diff_ids},
            "history": [{"created": CREATED, "created_by": f"base layer {n}"} for n, _ in enumerate(self.layers)],
        }
        body = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": self.blob(json.dumps(document).encode(), "application/vnd.oci.image.config.v1+json"),
            "layers": self.layers,
            **manifest,
        }
        entry = self.blob(json.dumps(body).encode(), "application/vnd.oci.image.manifest.v1+json")
        entry["annotations"] = {"org.opencontainers.image.ref.name": tag}
        (self.path / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        (self.path / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
        return str(entry["digest"])


def write_busybox(path: Path, config: Mapping[str, Any] | None = None, *more: Sequence[Member]) -> Path:
    """A busybox base at the path, with further layers of these members. The same bytes each time."""
    writer = LayoutWriter(path)
    for members in (busybox_members(), *more):
        writer.layer(tar_of(members))
    writer.finish(config)
    return path


@pytest.fixture(scope="session")
def busybox(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The layout of a busybox base, made once a session; read only."""
    if not has_busybox():
        pytest.skip("needs Debian's busybox-static")
    return write_busybox(tmp_path_factory.mktemp("base") / "busybox")
