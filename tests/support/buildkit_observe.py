"""What a built image is, as plain data that two builders' images are compared by, and in which they differ.

The archive is docker's (`manifest.json`), which both builders write. Paths, owners, modes, links, digests and extended
attributes are taken from the layers; times only where the input determines them: what is older than `OLD_S` and three
years came from the input, all else was made during the build and is called `now`.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import posixpath
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from support.packed import unpacked

INPUT_END_S = 1_705_000_000
"""Before it: contexts (2011 to 2014) and the base (2023)."""
_KINDS = {
    tarfile.REGTYPE: "f", tarfile.AREGTYPE: "f", tarfile.DIRTYPE: "d", tarfile.SYMTYPE: "l",
    tarfile.CHRTYPE: "c", tarfile.BLKTYPE: "b", tarfile.FIFOTYPE: "p",
}  # fmt: skip
_MOUNT_POINTS = {"dev/", "proc/", "sys/"}
_XATTR = "SCHILY.xattr."
Observed = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Node:
    """One inode; further names of it are the same object."""

    kind: str
    text: str
    """All that is compared of it."""


Members = tuple[tuple[str, Node | str], ...]
"""Path and what is there: a node, or the path of which it is a further name. Whiteouts keep their names in the tar."""


@dataclass(frozen=True, slots=True)
class Base:
    """A base image, so that results say only what differs from it."""

    diff_ids: tuple[str, ...]
    history: int
    known: dict[str, str]
    """Digests of the base's large files: another version of busybox changes no result."""
    lines: dict[str, str]


def read_base(layout: Path) -> Base:
    """Of an OCI layout with one image."""
    blobs = layout / "blobs/sha256"
    (entry,) = json.loads((layout / "index.json").read_text())["manifests"]
    manifest = json.loads((blobs / entry["digest"][7:]).read_text())
    config = json.loads((blobs / manifest["config"]["digest"][7:]).read_text())
    layers = [unpacked((blobs / layer["digest"][7:]).read_bytes()) for layer in manifest["layers"]]
    program = hashlib.sha256()
    with tarfile.open(fileobj=io.BytesIO(layers[0])) as tar:
        stream = tar.extractfile("bin/busybox")
        assert stream is not None
        data = stream.read()
    program.update(data)
    known = {program.hexdigest(): "busybox"}
    lines = _lines([_members(data, tuple(known.items())) for data in layers])
    return Base(tuple(config["rootfs"]["diff_ids"]), len(config["history"]), known, lines)


def observe(archive: Path, bases: dict[str, Base]) -> Observed:
    """What is compared of the image in a docker archive; every layer is checked to be what its diff ID says."""
    with tarfile.open(archive) as tar:
        read = {member.name: member for member in tar}

        def content(name: str) -> bytes:
            stream = tar.extractfile(read[name])
            assert stream is not None
            return stream.read()

        (manifest,) = json.loads(content("manifest.json"))
        config = json.loads(content(manifest["Config"]))
        layers = [unpacked(content(name)) for name in manifest["Layers"] or ()]
    diff_ids = tuple(config["rootfs"].get("diff_ids") or ())
    found = tuple("sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers)
    if found != diff_ids:
        raise ValueError(f"the layers are {found}, and the config says {diff_ids}")
    name, base = next(
        ((name, base) for name, base in bases.items() if diff_ids[: len(base.diff_ids)] == base.diff_ids),
        ("", Base((), 0, next(iter(bases.values())).known, {})),
    )
    members = [_members(layer, tuple(base.known.items())) for layer in layers]
    lines = {path: line for path, line in _lines(members).items() if not _is_mount_point(path, line)}
    history = (config.get("history") or [])[base.history :]
    return {
        "ok": True,
        "base": name,
        "config": _config(config),
        "history": [_history(each) for each in history],
        "layers": [
            sorted({_entry_name(*entry) for entry in layer} - _MOUNT_POINTS) for layer in members[len(base.diff_ids) :]
        ],
        "tree": {path: _beside(base, path, line) for path, line in lines.items() if line != base.lines.get(path)},
        "removed": sorted(set(base.lines) - set(lines)),
    }


def _is_mount_point(path: str, line: str) -> bool:
    """BuildKit leaves these in a root that has none when a RUN needed them; we leave no trace. See docs/differential.md."""
    return f"{path}/" in _MOUNT_POINTS and line == "d 755 0:0 @now"


def _beside(base: Base, path: str, line: str) -> str:
    """The line; `touched` for a directory of the base of which only the time is new, as by writing into it."""
    known = base.lines.get(path, "")
    is_touched = _is_new(line) and line.rpartition("@")[0] == known.rpartition("@")[0]
    return line.rpartition("@")[0] + "@touched" if is_touched else line


def _is_new(line: str) -> bool:
    return line.startswith("d ") and line.endswith("@now")


def _without_kept_times(want: dict[str, str], got: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Both, where a directory that BuildKit gave a new time may have kept its old one: the input does not determine it."""
    want, got = dict(want), dict(got)
    for path in sorted(want.keys() | got.keys()):
        there, here = want.get(path, ""), got.get(path, "")
        is_same = there.rpartition("@")[0] == here.rpartition("@")[0]
        if there.endswith("@touched") and (is_same or not here):
            want.pop(path)
            got.pop(path, None)
        elif here.endswith("@touched") and not there:
            del got[path]
        elif _is_new(there) and is_same:
            got[path] = there
    return want, got


def _history(entry: dict[str, Any]) -> dict[str, Any]:
    """One entry, with its time where that is determined. The comment names the builder."""
    kept = {key: value for key, value in entry.items() if key != "created" or _is_of_input(value)}
    return {**kept, "comment": "builder"} if kept.get("comment") in ("buildkit.dockerfile.v0", "slimstage") else kept


def _is_of_input(moment: str | None) -> bool:
    """Times in RFC 3339 are ordered as words are; a missing one is compared as well."""
    return moment is None or moment < "2024-01-01"


def _config(config: dict[str, Any]) -> dict[str, Any]:
    """The whole document but ids, times that are chance and what is compared elsewhere; empty values are as absent."""
    kept = {key: value for key, value in config.items() if key not in ("history", "rootfs", "config")}
    if not _is_of_input(kept.get("created")):
        del kept["created"]
    # A cache export and a provenance are BuildKit's own business.
    kept = {key: value for key, value in kept.items() if not key.startswith("moby.buildkit.")}
    inner = {
        key: value for key, value in (config.get("config") or {}).items() if value not in (None, "", [], {}, False)
    }
    return {**kept, "config": inner}


def _entry_name(path: str, node: Node | str) -> str:
    return path + "/" if isinstance(node, Node) and node.kind == "d" else path


@lru_cache(maxsize=16)
def _members(layer: bytes, known: tuple[tuple[str, str], ...]) -> Members:
    contents = dict(known)

    def each() -> Iterator[tuple[str, Node | str]]:
        with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
            for member in tar:
                path = posixpath.normpath("/" + member.name).lstrip("/")
                if member.islnk():
                    yield path, posixpath.normpath("/" + member.linkname).lstrip("/")
                else:
                    yield path, _node(tar, member, contents)

    return tuple(each())


def _node(tar: tarfile.TarFile, member: tarfile.TarInfo, contents: dict[str, str]) -> Node:
    kind = _KINDS[member.type]
    words = [kind, "-" if kind == "l" else f"{member.mode & 0o7777:o}", f"{member.uid}:{member.gid}"]
    if kind == "f":
        stream = tar.extractfile(member)
        assert stream is not None
        data = stream.read()
        digest = hashlib.sha256(data).hexdigest()
        words.append(contents.get(digest) or _shown(data, digest))
    elif kind == "l":
        words.append(f"-> {member.linkname}")
    elif kind in "cb":
        words.append(f"{member.devmajor}:{member.devminor}")
    for name, value in sorted(member.pax_headers.items()):
        if name.startswith(_XATTR):
            raw = value.encode("utf-8", "surrogateescape")
            words.append(f"{name.removeprefix(_XATTR)}={base64.b64encode(raw).decode()}")
    words.append(f"@{int(member.mtime)}" if member.mtime < INPUT_END_S else "@now")
    return Node(kind, " ".join(words))


def _shown(data: bytes, digest: str) -> str:
    """Short text as it is, so that a report can be read; all else by size and digest."""
    return json.dumps(data.decode()) if len(data) <= 400 and data.isascii() else f"{len(data)} {digest}"


def _lines(layers: list[Members]) -> dict[str, str]:
    """The layers applied in order: each path and what is there."""
    root: dict[str, Node] = {}
    names: dict[int, str] = {}
    for members in layers:
        for path, _ in members:
            parent, _, name = path.rpartition("/")
            if name == ".wh..wh..opq":
                _drop_below(root, parent)
            elif name.startswith(".wh."):
                gone = posixpath.join(parent, name.removeprefix(".wh."))
                _drop_below(root, gone)
                root.pop(gone, None)
        for path, what in members:
            if posixpath.basename(path).startswith(".wh."):
                continue
            # A tar's entry is one inode, also where two layers say the same of a path.
            node = root[what] if isinstance(what, str) else Node(what.kind, what.text)
            if not (node.kind == "d" and path in root and root[path].kind == "d"):
                _drop_below(root, path)
            root[path] = node
    lines = {}
    for path in sorted(root):
        node = root[path]
        first = names.setdefault(id(node), path)
        lines[path] = node.text if first == path else f"= {first}"
    return lines


def _drop_below(root: dict[str, Node], path: str) -> None:
    start = f"{path}/" if path else ""
    for each in [each for each in root if each.startswith(start) and each != path]:
        del root[each]


def differences(want: Observed, got: Observed) -> list[str]:
    """Sentences, none when the two agree; each begins with the part that it is about and a colon."""
    if want["ok"] != got["ok"]:
        said = (got if want["ok"] else want).get("message", "")
        return [
            f"status: {'succeeds' if want['ok'] else 'fails'} there, here it {'does not' if want['ok'] else 'does'}: {said}"
        ]
    if not want["ok"]:
        return []
    found = []
    if want["base"] != got["base"]:
        found.append(f"base: {want['base']!r} there, {got['base']!r} here")
    found += _pairs("config", _flat(want["config"]), _flat(got["config"]))
    found += _pairs("history", _numbered(want["history"]), _numbered(got["history"]))
    found += _pairs("tree", *_without_kept_times(want["tree"], got["tree"]))
    found += _pairs("removed", dict.fromkeys(want["removed"], "gone"), dict.fromkeys(got["removed"], "gone"))
    if len(want["layers"]) != len(got["layers"]):
        found.append(f"layers: {len(want['layers'])} there, {len(got['layers'])} here")
    else:
        found += _pairs("entries", _numbered(want["layers"]), _numbered(got["layers"]))
    return found


def _flat(config: dict[str, Any]) -> dict[str, Any]:
    return {**config.get("config", {}), **{key: value for key, value in config.items() if key != "config"}}


def _numbered(items: list[Any]) -> dict[str, Any]:
    return {str(number): item for number, item in enumerate(items)}


def _pairs(part: str, want: dict[str, Any], got: dict[str, Any]) -> list[str]:
    return [
        f"{part}: {key}: {_said(want.get(key))} there, {_said(got.get(key))} here"
        for key in sorted(want.keys() | got.keys())
        if want.get(key) != got.get(key)
    ]


def _said(value: Any) -> str:
    return "nothing" if value is None else value if isinstance(value, str) else json.dumps(value)
