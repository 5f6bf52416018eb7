"""One input for two builders: a Dockerfile, a context described entry by entry, and what is said on the command line.

A case is kept as a folder: `Dockerfile` as it is, `case.json` with all else.
"""

from __future__ import annotations

import base64
import bz2
import gzip
import io
import json
import lzma
import os
import stat
import subprocess
import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

OLD_S = 1_300_000_000
"""2011: every time that an input has lies in the three years from here, so that what a builder made is told apart."""
_OLD_SPAN_S = 100_000_000

_PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    "gz": lambda data: gzip.compress(data, 6, mtime=0),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda data: subprocess.run(["zstd", "-qc"], input=data, capture_output=True, check=True).stdout,
}
_TAR_TYPES = {"file": tarfile.REGTYPE, "dir": tarfile.DIRTYPE, "symlink": tarfile.SYMTYPE, "hardlink": tarfile.LNKTYPE}


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of a context, or of an archive in it."""

    path: str
    kind: str = "file"
    """file, dir, symlink, hardlink, fifo, socket, or tar: an archive made of `members`."""
    text: str = ""
    """A file's content, surrogate escapes for other bytes; of a link, its target."""
    mode: int = 0o644
    """Of a file or directory; links have none."""
    uid: int = 0
    gid: int = 0
    xattrs: dict[str, str] = field(default_factory=dict)
    """Name to base64 of the value."""
    packed: str = ""
    """Of an archive: its compression."""
    members: tuple[Entry, ...] = ()

    @property
    def mtime_s(self) -> int:
        """A time of its own for each path and content: BuildKit does not read a file again with size and time as before."""
        own = b"" if self.kind == "dir" else self.content()
        return OLD_S + zlib.crc32(self.path.encode("utf-8", "surrogateescape") + b"\0" + own) % _OLD_SPAN_S

    def content(self) -> bytes:
        return self._archive() if self.kind == "tar" else self.text.encode("utf-8", "surrogateescape")

    def _archive(self) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for each in self.members:
                info = tarfile.TarInfo(each.path)
                info.type, info.mode, info.mtime = _TAR_TYPES[each.kind], each.mode, each.mtime_s
                info.uid, info.gid = each.uid, each.gid
                data = each.content() if each.kind == "file" else b""
                info.size = len(data)
                info.linkname = each.text if each.kind in ("symlink", "hardlink") else ""
                info.pax_headers = {
                    f"SCHILY.xattr.{name}": base64.b64decode(value).decode("utf-8", "surrogateescape")
                    for name, value in each.xattrs.items()
                }
                tar.addfile(info, io.BytesIO(data))
        return _PACKERS[self.packed](out.getvalue())

    def plain(self) -> dict[str, Any]:
        """As JSON; what is as usual is left out."""
        made: dict[str, Any] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name == "members":
                value = [member.plain() for member in value]
            elif each.name == "mode":
                value = f"{value:o}"
            if value and value != (each.default if each.name != "mode" else "644"):
                made[each.name] = value
        return made

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Entry:
        made = dict(plain)
        made["mode"] = int(made.get("mode", "644"), 8)
        made["members"] = tuple(cls.of(each) for each in made.get("members", ()))
        return cls(**made)


@dataclass(frozen=True, slots=True)
class Case:
    """What both builders are given."""

    dockerfile: str
    context: tuple[Entry, ...] = ()
    """Parents before children; missing parents are made with 0755."""
    args: dict[str, str] = field(default_factory=dict)
    target: str = ""
    secrets: dict[str, str] = field(default_factory=dict)
    contexts: dict[str, tuple[Entry, ...]] = field(default_factory=dict)
    """Further contexts by name, as `--build-context` gives them."""
    words: tuple[str, ...] = ()
    """More of the command line, which both know; `{place}` is where the case lies."""

    def plain(self) -> dict[str, Any]:
        """All but the Dockerfile, as JSON; what is empty is left out."""
        context = [entry.plain() for entry in self.context]
        contexts = {name: [entry.plain() for entry in entries] for name, entries in self.contexts.items()}
        made = {"context": context, "args": self.args, "target": self.target, "secrets": self.secrets,
                "contexts": contexts, "words": list(self.words)}  # fmt: skip
        return {name: value for name, value in made.items() if value}

    @classmethod
    def of(cls, dockerfile: str, plain: dict[str, Any]) -> Case:
        context = tuple(Entry.of(each) for each in plain.get("context", ()))
        contexts = {name: tuple(map(Entry.of, entries)) for name, entries in plain.get("contexts", {}).items()}
        return cls(
            dockerfile, context, plain.get("args", {}), plain.get("target", ""), plain.get("secrets", {}), contexts,
            tuple(plain.get("words", ())),
        )  # fmt: skip

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "Dockerfile").write_bytes(self.dockerfile.encode("utf-8", "surrogateescape"))
        write_json(folder / "case.json", self.plain())

    @classmethod
    def load(cls, folder: Path) -> Case:
        text = (folder / "Dockerfile").read_bytes().decode("utf-8", "surrogateescape")
        rest = folder / "case.json"
        return cls.of(text, json.loads(rest.read_text()) if rest.exists() else {})

    def lay_out(self, place: Path) -> Path:
        """Writes the context to the new directory `place/context`, which is returned, and all else beside it."""
        top = place / "context"
        _lay_out((Entry("Dockerfile", text=self.dockerfile), *self.context), top)
        for name, entries in self.contexts.items():
            _lay_out(entries, place / f"context-{name}")
        for number, value in enumerate(self.secrets.values()):
            (place / f"secret-{number}").write_text(value)
        return top

    def options(self, place: Path) -> list[str]:
        """What both builders' `build` takes, secrets as `lay_out` wrote them."""
        made: list[str] = []
        for name, value in self.args.items():
            made += ["--build-arg", f"{name}={value}"]
        if self.target:
            made += ["--target", self.target]
        for number, name in enumerate(self.secrets):
            made += ["--secret", f"id={name},src={place}/secret-{number}"]
        for name in self.contexts:
            made += ["--build-context", f"{name}={place}/context-{name}"]
        return [*made, *(word.replace("{place}", str(place)) for word in self.words)]


def write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=True, sort_keys=True) + "\n")


def _lay_out(entries: tuple[Entry, ...], top: Path) -> None:
    top.mkdir(parents=True)
    top.chmod(0o755)
    for entry in entries:
        _write(entry, top)
    named = {entry.path: entry for entry in entries}
    _set_times(top, {path: named[e.text] if e.kind == "hardlink" else e for path, e in named.items()})


def _write(entry: Entry, top: Path) -> None:
    path = top / entry.path
    path.parent.mkdir(parents=True, exist_ok=True)
    if entry.kind in ("file", "tar"):
        path.write_bytes(entry.content())
    elif entry.kind == "dir":
        path.mkdir(exist_ok=True)
    elif entry.kind == "symlink":
        path.symlink_to(entry.text)
        os.chown(path, entry.uid, entry.gid, follow_symlinks=False)
        return
    elif entry.kind == "hardlink":
        os.link(top / entry.text, path, follow_symlinks=False)
        return
    elif entry.kind == "fifo":
        os.mkfifo(path)
    elif entry.kind == "socket":
        os.mknod(path, stat.S_IFSOCK)
    else:
        raise ValueError(f"no entry is a {entry.kind}")
    os.chown(path, entry.uid, entry.gid)
    path.chmod(entry.mode)
    for name, value in entry.xattrs.items():
        os.setxattr(path, name, base64.b64decode(value))


def _set_times(top: Path, entries: dict[str, Entry]) -> None:
    """entries: of each path, of a hard link the file that it is a name of."""
    for directory, folders, names in os.walk(top, topdown=False):
        for name in (*folders, *names):
            path = Path(directory, name)
            at = str(path.relative_to(top))
            moment = entries.get(at, Entry(at)).mtime_s
            os.utime(path, (moment, moment), follow_symlinks=False)
    os.utime(top, (OLD_S, OLD_S))
