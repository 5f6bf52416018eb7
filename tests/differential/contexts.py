"""Generated contexts: files, links both ways, owners, modes, attributes, archives, and what .dockerignore says of them."""

from __future__ import annotations

from hypothesis import strategies as st

from support.buildkit_case import Entry

FILES = ("a", "b.txt", "d/f", "d/g.txt", "d/e/h", "w/i", "w/x/j.txt", "a b", "ü", "[q].x", ".hid", "d/.hid", "Z")
FOLDERS = ("d", "d/e", "w", "w/x", "empty")
LINKS = {
    "s": ("a", "./b.txt", "d/f", "nowhere"),
    "sd": ("d", "w/", "./d/e"),
    "out": ("../outside", "/etc/passwd", "/"),
    "d/up": ("../a", "../w", "e/h", "."),
    "w/l": ("x", "../d/f", "l"),
}
HARD = {"hl": "a", "d/hl": "d/f", "w/hl": "a"}
ARCHIVES = {"t.tar": "", "t.tar.gz": "gz", "t.bin": "bz2", "d/t.xz": "xz", "t.zst": "zst"}
CAPABILITY = "AQAAAgAEAAAAAAAAAAAAAAAAAAA="
"""security.capability: cap_net_bind_service+ep. In archives only: of a context BuildKit loses it (docs/differential.md)."""

_MODES = st.sampled_from((0o644, 0o600, 0o755, 0o4755, 0o2644, 0o444, 0o777, 0o000, 0o1644))
_FOLDER_MODES = st.sampled_from((0o755, 0o700, 0o2775, 0o1777, 0o555))
_OWNERS = st.sampled_from(((0, 0), (1000, 1000), (7, 0), (123456, 65534)))
_TEXTS = st.sampled_from(("x\n", "", "y", "hello world\n", "#!/bin/sh\necho run\n", "\udcff\n"))

# A letter behind a backslash means another thing to BuildKit: docs/differential.md.
PATTERNS = (
    "d", "*", "!a", "!d/f", "**/*.txt", "d/*", "!d/e", "# b.txt", "", "/a", "a/", "./d", "d/**", "!**/g.txt", "**/e",
    "?", "w/x/../i", "../a", " b.txt ", "!d", "*.txt", "!*.txt", "**", "!d/**", "w", "!w/x", "[a-d]", "[^a]", "\\[q].x",
    "a b", "!ü", "d/e/h", "!/d/e/h", ".*", "Dockerfile", ".dockerignore", "!.dockerignore", "s", "sd", "d/up",
    "**/.hid", "!", "d/*/h", "*/*",
)  # fmt: skip


@st.composite
def archives(draw: st.DrawFn, path: str, packed: str) -> Entry:
    """A tar with members of every kind that an image may hold; sometimes without entries for its directories."""
    names = draw(
        st.lists(st.sampled_from(("m", "n/o", "n/p", "./q", "n", "r", "u", "v/", "opt/l/z")), max_size=5, unique=True)
    )
    members = []
    for name in names:
        uid, gid = draw(_OWNERS)
        if name in ("n", "v/"):
            members.append(Entry(name, "dir", mode=draw(_FOLDER_MODES), uid=uid, gid=gid))
        elif name == "r":
            target = draw(st.sampled_from(("m", "/etc/passwd", "../up", "n")))
            members.append(Entry(name, "symlink", target, 0o777, uid, gid))
        elif name == "u" and "m" in names[: names.index("u")]:
            xattrs = {"security.capability": CAPABILITY} if draw(st.integers(0, 5)) == 5 else {}
            members.append(Entry(name, "hardlink", "m", draw(_MODES), uid, gid, xattrs))
        else:
            xattrs = {"security.capability": CAPABILITY} if draw(st.integers(0, 5)) == 5 else {}
            members.append(Entry(name, "file", draw(_TEXTS), draw(_MODES), uid, gid, xattrs))
    return Entry(path, "tar", packed=packed, members=tuple(members))


@st.composite
def contexts(draw: st.DrawFn) -> tuple[Entry, ...]:
    """Entries with parents before children; a hard link only beside the file that it names."""
    made: dict[str, Entry] = {}
    for path in draw(st.lists(st.sampled_from(FOLDERS), max_size=3, unique=True)):
        uid, gid = draw(_OWNERS)
        made[path] = Entry(path, "dir", mode=draw(_FOLDER_MODES), uid=uid, gid=gid)
    for path in ("a", "d/f", *draw(st.lists(st.sampled_from(FILES), max_size=6, unique=True))):
        uid, gid = draw(_OWNERS)
        made[path] = Entry(path, "file", draw(_TEXTS), draw(_MODES), uid, gid)
    for path in draw(st.lists(st.sampled_from(sorted(LINKS)), max_size=3, unique=True)):
        made[path] = Entry(path, "symlink", draw(st.sampled_from(LINKS[path])))
    for path in draw(st.lists(st.sampled_from(sorted(HARD)), max_size=2, unique=True)):
        made[path] = Entry(path, "hardlink", HARD[path])
    for path in draw(st.lists(st.sampled_from(sorted(ARCHIVES)), max_size=2, unique=True)):
        made[path] = draw(archives(path, ARCHIVES[path]))
    if draw(st.integers(0, 9)) == 9:
        made["fifo"] = Entry("fifo", "fifo", mode=0o640)
    if draw(st.integers(0, 19)) == 19:
        made["d/sock"] = Entry("d/sock", "socket", mode=0o750)
    if draw(st.integers(0, 3)) == 3:
        lines = draw(st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=5))
        name = ".dockerignore" if draw(st.integers(0, 9)) < 9 else "Dockerfile.dockerignore"
        made[name] = Entry(name, "file", "\n".join(lines) + "\n")
    order = sorted(made.values(), key=lambda entry: (entry.kind == "hardlink", entry.path.count("/"), entry.path))
    return tuple(order)


@st.composite
def further(draw: st.DrawFn) -> dict[str, tuple[Entry, ...]]:
    """Contexts beside it: by a name of their own, or in the place of a stage or a base."""
    names = draw(st.lists(st.sampled_from(("more", "more", "more", "one", "three", "base2")), max_size=2, unique=True))
    return {name: draw(contexts()) for name in names} if draw(st.integers(0, 3)) == 3 else {}


def named(context: tuple[Entry, ...]) -> tuple[str, ...]:
    """What a COPY may name: each path, and the directories above it."""
    paths = {entry.path for entry in context if not entry.path.endswith("dockerignore")}
    return tuple(sorted(paths | {path.rpartition("/")[0] for path in paths if "/" in path}))
