"""Files that go, change or are unpacked: rm, find -delete, chown, chmod, strip, mv, cp, touch, tar, unzip.

Source: POSIX.1-2024 and coreutils 9; strip(1) of binutils; tar(1); unzip(1).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from slimstage.lint.commands.command import Cache, Change, ChangeAction, Clean, Command, Extract, Remove, place
from slimstage.lint.commands.options import Parsed, Table
from slimstage.lint.shell.script import UNKNOWN, Invocation, Word
from slimstage.regex import pattern
from slimstage.values import replace

_RM = Table("-r,-R,--recursive -f,--force -v,--verbose -d,--dir -i", abbreviates=True)
_TABLES: dict[ChangeAction, Table] = {
    "chown": Table("-R,--recursive --from= --reference= -h,--no-dereference -v,--verbose -c,--changes -f -H -L -P"),
    "chgrp": Table("-R,--recursive --reference= -h,--no-dereference -v,--verbose -c,--changes -f -H -L -P"),
    "chmod": Table("-R,--recursive --reference= -v,--verbose -c,--changes -f"),
    "strip": Table(
        "-o= -F,--target= -I,--input-target= -O,--output-target= -K,--keep-symbol= -N,--strip-symbol= -R,--remove-section="
        " -s,--strip-all -g,-S,-d,--strip-debug --strip-unneeded -x,--discard-all -X -p,--preserve-dates -v -w"
    ),
    "mv": Table("-t,--target-directory= -S,--suffix= -f -n -v -i -u -T -b"),
    "cp": Table(
        "-t,--target-directory= -S,--suffix= -r,-R,--recursive -a,--archive -f -n -v -i -u -T -p -d -l -L -s -x"
    ),
    "touch": Table("-d,--date= -r,--reference= -t= -a -c,--no-create -m -h"),
}
_MODE = pattern(r"-[rwxXstugoa,+=-]*")

_CACHES: tuple[tuple[tuple[Cache, ...], str], ...] = (
    (("apt-lists",), r"/var/lib/apt(?:/\*+|/lists(?:/[^/]*\*.*)?)?"),
    (("apt-archives",), r"/var/cache/apt(?:/.*)?"),
    (("apt-archives", "apk", "dnf"), r"/var/cache(?:/\*+)*"),
    (("dnf",), r"/var/cache/(?:dnf|yum|microdnf|tdnf|libdnf5)(?:/.*)?"),
    (("apk",), r"(?:/var/cache|/etc)/apk(?:/.*)?"),
    (("pip", "uv", "huggingface", "poetry"), r".*/\.cache(?:/\*+)*"),
    (("pip",), r".*/\.cache/pip(?:/.*)?"),
    (("uv",), r".*/\.cache/uv(?:/.*)?"),
    (("poetry",), r".*/\.cache/pypoetry(?:/.*)?"),
    (("huggingface",), r".*/\.cache/huggingface(?:/.*)?"),
    (("yarn",), r".*/\.cache/yarn(?:/.*)?|.*/\.yarn/cache(?:/.*)?"),
    (("npm",), r".*/\.npm(?:/.*)?"),
    (("pnpm",), r".*/\.(?:local/share/)?pnpm(?:-store)?(?:/.*)?"),
    (("conda",), r".*/(?:mini|ana|mamba|micro)?(?:conda|forge)3?/pkgs(?:/.*)?"),
    (("go",), r".*/\.cache/go-build(?:/.*)?|/go/pkg(?:/.*)?"),
    (("cargo",), r".*/(?:\.cargo|cargo)/(?:registry|git)(?:/.*)?"),
    (("temporary",), r"/(?:var/)?tmp/.*"),
)
_CACHE_PATTERNS = tuple((caches, pattern(text)) for caches, text in _CACHES)

_TAR = Table(
    """
    -f,--file= -C,--directory= --strip-components,--strip= -I,--use-compress-program= --exclude= -T,--files-from=
    -X,--exclude-from= --transform,--xform= --owner= --group= --mode= -b,--blocking-factor= --warning=
    -x,--get,--extract -c,--create -t,--list -z,--gzip -j,--bzip2 -J,--xz --zstd -v,--verbose
    -p,--preserve-permissions --no-same-owner -k,--keep-old-files -a,--auto-compress -O,--to-stdout --overwrite
    """
)
_UNZIP = Table("-d= -x= -P= -q -o -j -n -u -l -p -t -v")


def remove(invocation: Invocation, paths: Sequence[Word], *, is_recursive: bool) -> Iterator[Command]:
    """Files that go: those that are caches as one `Clean`, the others as one `Remove`."""
    caches: set[Cache] = set()
    others: list[Word] = []
    for path in paths:
        found = caches_at(path)
        caches |= found
        if not found or found == {"temporary"}:
            others.append(path)
    if caches:
        yield Clean(frozenset(caches), invocation)
    if others:
        yield Remove(None, (), tuple(others), invocation, is_recursive)


def caches_at(word: Word) -> frozenset[Cache]:
    """The caches that a path is, or holds."""
    path = word.shape.rstrip("/")
    if path.startswith(("~", UNKNOWN)):
        path = "/root" + path[1:]
    return frozenset(cache for caches, known in _CACHE_PATTERNS if known.fullmatch(path) for cache in caches)


def rm(invocation: Invocation) -> Iterator[Command]:
    """rm, rmdir, unlink."""
    parsed = _RM.parse(invocation.words)
    is_recursive = parsed.has("--recursive", "-R", "-r")
    yield from remove(invocation, parsed.rest, is_recursive=is_recursive)


def find(invocation: Invocation, found: Sequence[Word]) -> Iterator[Command]:
    """`find … -delete`. found: patterns of what it finds."""
    if any(word.shape == "-delete" for word in invocation.words):
        yield from remove(invocation, found, is_recursive=True)


def change(action: ChangeAction, invocation: Invocation) -> Iterator[Command]:
    """chown, chgrp, chmod, strip, mv, cp, touch."""
    words = invocation.words
    value: Word | None = None
    if action == "chmod":
        mode = next((word for word in words if _MODE.fullmatch(word.shape) and set(word.shape) & set("wxXst")), None)
        if mode is not None and not mode.shape.startswith("--"):
            value, words = mode, tuple(word for word in words if word is not mode)
    parsed = _TABLES[action].parse(words)
    paths = parsed.rest
    if action in ("chown", "chgrp", "chmod") and value is None and not parsed.values("--reference"):
        value, paths = (paths[0], paths[1:]) if paths else (None, paths)
    elif action in ("mv", "cp"):
        target = parsed.values("--target-directory")
        value, paths = (target[0], paths) if target else (paths[-1], paths[:-1]) if paths else (None, paths)
    if paths or invocation.takes_more:
        is_recursive = parsed.has("--recursive", "-R", "--archive", "-a")
        yield Change(action, paths, invocation, value, is_recursive)


def tar(invocation: Invocation) -> Iterator[Command]:
    """tar that unpacks, with or without a dash in front of its letters."""
    words = invocation.words
    if words and not words[0].shape.startswith("-") and UNKNOWN not in words[0].shape:
        words = _old_style(words)
    parsed = _TAR.parse(words)
    if not parsed.has("--extract"):
        return
    archives = parsed.values("--file")
    archive = archives[-1] if archives and archives[-1].shape != "-" else None
    yield Extract("tar", archive, invocation, _directory(parsed, invocation, "--directory"))


def _old_style(words: tuple[Word, ...]) -> tuple[Word, ...]:
    """`xzfC a b`: the letters' values stand behind them, in their order."""
    letters, rest = words[0].shape, [*words[1:]]
    made: list[Word] = []
    for letter in letters:
        made.append(replace(words[0], shape=f"-{letter}", is_exact=False))
        if letter in "fCTXIb" and rest:
            made.append(rest.pop(0))
    return (*made, *rest)


def unzip(invocation: Invocation) -> Iterator[Command]:
    """unzip that unpacks."""
    parsed = _UNZIP.parse(invocation.words)
    if parsed.rest and not parsed.has("-l", "-p", "-t", "-v"):
        yield Extract("unzip", parsed.rest[0], invocation, _directory(parsed, invocation, "-d"))


def _directory(parsed: Parsed, invocation: Invocation, name: str) -> str | None:
    found = parsed.values(name)
    return place(invocation, found[-1]) if found else invocation.directory
