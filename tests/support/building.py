"""A small project that is built by the command, and questions about what came of it."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from slimstage.oci.descriptor import host_platform
from slimstage.store.layout import Layout
from slimstage.store.verify import verify_image
from support.analysing import analysed_image
from support.command import Done, slimstage
from support.packed import unpacked


@dataclass
class Project:
    """A directory with a Dockerfile, a store of its own, and a base that Dockerfiles call `base`."""

    path: Path
    root: Path
    base: Path
    more: tuple[str, ...] = field(default=())
    """Arguments of every build."""

    @classmethod
    def new(cls, top: Path, base: Path, *more: str) -> Project:
        """An empty one below `top`, with a store of its own beside it."""
        (top / "project").mkdir()
        return cls(top / "project", top / "root", base, more)

    def on(self, root: Path) -> Project:
        """The same directory, for another store."""
        return Project(self.path, root, self.base, self.more)

    def write(self, name: str, text: str | bytes, mode: int | None = None) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        if mode is not None:
            path.chmod(mode)
        return path

    def dockerfile(self, text: str) -> None:
        self.write("Dockerfile", text)

    def run(self, *args: object, status: int | None = 0, **more: Any) -> Done:
        """Any command on the project's store."""
        more.setdefault("cwd", self.path)
        return slimstage(*args, root=more.pop("root", self.root), status=status, **more)

    def build(self, *args: object, status: int | None = 0, context: object = ".", **more: Any) -> Done:
        named = ["--build-context", f"base=oci-layout://{self.base}"]
        return self.run("build", *named, *self.more, *args, context, status=status, **more)

    def document(self, *args: object, **more: Any) -> dict[str, Any]:
        """What `build --json` says."""
        document: dict[str, Any] = self.build("--json", *args, **more).json()
        return document

    def steps(self, *args: object, **more: Any) -> dict[str, str]:
        """Status of each step but FROM, by its text."""
        return statuses(self.document(*args, **more))

    def layout(self, name: str = "layout", *args: object, options: str = "", **more: Any) -> Image:
        """Builds into a new OCI layout of that name, verifies it and opens it."""
        place = self.path.parent / name
        self.build("-o", f"type=oci,tar=false,dest={place}{options}", *args, **more)
        return Image.of(place)


def statuses(document: dict[str, Any]) -> dict[str, str]:
    steps = [step for step in document["steps"] if not step["instruction"].startswith("FROM")]
    return {step["instruction"]: step["status"] for step in steps}


def ran(document: dict[str, Any]) -> list[str]:
    """First words of the instructions that ran, FROM left out."""
    return [text.split()[0] for text, status in statuses(document).items() if status == "run"]


@dataclass(frozen=True)
class Image:
    """An image of a layout directory, verified against every invariant of an image, and analysed, when it is opened."""

    path: Path
    manifest: dict[str, Any]
    config: dict[str, Any]
    digest: str

    @classmethod
    def of(cls, path: Path) -> Image:
        with Layout(str(path)) as layout:
            image = layout.image(host_platform())
            assert [str(fault) for fault in verify_image(image)] == []
            analysed_image(image)
        (entry,) = json.loads((path / "index.json").read_text())["manifests"][:1]
        manifest = json.loads(_blob(path, entry["digest"]))
        return cls(path, manifest, json.loads(_blob(path, manifest["config"]["digest"])), entry["digest"])

    def layer_bytes(self) -> list[bytes]:
        """The uncompressed tars, base first; each is what its diff ID says."""
        found = [unpacked(_blob(self.path, layer["digest"])) for layer in self.manifest["layers"]]
        assert ["sha256:" + hashlib.sha256(each).hexdigest() for each in found] == self.config["rootfs"]["diff_ids"]
        return found

    def layers(self) -> list[dict[str, tarfile.TarInfo]]:
        return [
            {member.name: member for member in tarfile.open(fileobj=io.BytesIO(each))} for each in self.layer_bytes()
        ]

    def read(self, name: str) -> bytes:
        """The content of a file as the topmost layer that has it says."""
        for data in reversed(self.layer_bytes()):
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                if name in tar.getnames():
                    stream = tar.extractfile(name)
                    assert stream is not None
                    return stream.read()
        raise KeyError(name)


def _blob(path: Path, digest: str) -> bytes:
    data = (path / "blobs" / digest.replace(":", "/")).read_bytes()
    assert "sha256:" + hashlib.sha256(data).hexdigest() == digest
    return data


def mounts_below(path: Path) -> list[str]:
    """What is mounted below a directory, in this mount namespace."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [point for line in lines if (point := line.split(" ")[4]).startswith(f"{path}/")]


def processes_with(mark: str) -> list[int]:
    """Living processes whose command line or environment has the mark."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                text = (entry / "cmdline").read_bytes() + b"\0" + (entry / "environ").read_bytes()
            except OSError:
                continue
            if state != "Z" and mark.encode() in text:
                found.append(int(entry.name))
    return found


def files_below(*places: Path) -> Iterable[Path]:
    """Every regular file, symlinks not followed."""
    for place in places:
        for path in place.rglob("*"):
            if path.is_file() and not path.is_symlink():
                yield path


@pytest.fixture
def project(tmp_path: Path, busybox: Path) -> Project:
    """An empty project on a store of its own."""
    return Project.new(tmp_path, busybox)
