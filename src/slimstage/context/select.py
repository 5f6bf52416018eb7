"""The files that a COPY picks, sorted: from patterns and a tree to a list of entries with the place each is copied to.

Nothing of a file's content is read here. `fingerprint.py` digests what was picked, `build/copy.py` writes it.
Source: dockerfile.md §4 (43 to 48, 51, 52); BuildKit's behaviour as shown by fsutil's copy package.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from typing import TypeAlias

from slimstage.context.globs import has_wildcards, match_segment
from slimstage.context.listing import Item, Listing
from slimstage.context.local import LocalContext
from slimstage.context.patterns import Matched, PatternMatcher
from slimstage.context.tree import SourceTree
from slimstage.diagnostics import did_you_mean
from slimstage.errors import ContextError
from slimstage.tree.entry import Entry
from slimstage.values import dataclass


@dataclass(frozen=True, slots=True)
class Picked:
    """One source: a file, or a directory with what is copied from it.

    entry: what the source is, symlinks followed. name: what a file is called in a destination directory, as it was
    written or matched; "" for a directory, whose contents are copied. below: (path under the destination, entry) of
    all in a directory, a directory before what it holds. passing: directories in `below` that are there only because
    something under them was picked: when they exist at the destination they keep their metadata.
    """

    entry: Entry
    name: str
    below: Listing = ()
    passing: frozenset[str] = frozenset()

    @property
    def is_dir(self) -> bool:
        return self.entry.kind == "dir"


Selection = tuple[Picked, ...]
_Keep: TypeAlias = Callable[[Iterable[Item]], Listing]


def select(
    tree: SourceTree,
    paths: Iterable[str],
    *,
    excludes: Sequence[str] = (),
    keeps_parents: bool = False,
    where: str = "the build context",
    keep: _Keep = tuple,
) -> Selection:
    """What the source patterns of one COPY pick, in their order, each pattern's matches sorted by bytes.

    A pattern without match picks nothing; a literal path that is not there, or the literal start of a pattern, is an error.
    excludes: patterns relative to each source directory; a file that a wildcard matched is excluded by its name. keep: makes
    the listing of a directory, see `listing.Scratch`; all in memory without.
    Raises ContextError with all missing sources, near names and the ignore pattern that keeps one out.
    """
    matcher = PatternMatcher(excludes) if excludes else None
    picked: list[Picked] = []
    missing: list[ContextError] = []
    for path in paths:
        try:
            picked += (_with_parents if keeps_parents else _plain)(tree, path, matcher, where, keep)
        except ContextError as error:
            if error.code != "copy-source-missing":
                raise
            missing.append(error)
    if missing:
        raise ContextError.of([d for error in missing for d in error.diagnostics])
    return tuple(picked)


def _plain(tree: SourceTree, path: str, matcher: PatternMatcher | None, where: str, keep: _Keep) -> Iterator[Picked]:
    path = _clean(path)
    if not has_wildcards(path):
        yield _pick(tree, path, matcher, where, path, keep)
        return
    for match in _matches(tree, path, where):
        picked = _pick(tree, match, matcher, where, path, keep)
        if picked.is_dir or matcher is None or not matcher.matches(picked.name):
            yield picked


def _pick(tree: SourceTree, path: str, matcher: PatternMatcher | None, where: str, written: str, keep: _Keep) -> Picked:
    resolved = tree.resolve(path)
    entry = tree.lstat(resolved)
    if entry is None:
        raise _missing(tree, path, where, written)
    if entry.kind != "dir":
        return Picked(entry, posixpath.basename(path))
    return Picked(entry, "", keep(_below(tree, resolved, matcher)))


def _below(tree: SourceTree, directory: str, matcher: PatternMatcher | None) -> Iterable[Item]:
    skip = len(directory) + 1 if directory else 0
    items = ((entry.path[skip:], entry) for entry in tree.walk(directory))
    return items if matcher is None else _without(items, matcher)


def _without(items: Iterable[Item], matcher: PatternMatcher) -> Iterator[Item]:
    """The items that the patterns do not exclude; an excluded directory comes back when something below it does."""
    states: dict[str, Matched] = {}
    waiting: dict[str, Entry] = {}
    dropped: set[str] = set()
    for path, entry in items:
        parent = path.rpartition("/")[0]
        if parent in dropped:
            if entry.kind == "dir":
                dropped.add(path)
            continue
        is_out, states_here = matcher.match_below(path, states.get(parent))
        if entry.kind == "dir":
            states[path] = states_here
            if is_out:
                if matcher.may_let_in_below(path):
                    waiting[path] = entry
                else:
                    dropped.add(path)
                continue
        if is_out:
            continue
        for above in _above(path):
            if above in waiting:
                yield above, waiting.pop(above)
        yield path, entry


def _above(path: str) -> Iterator[str]:
    """The directories above a path, outermost first."""
    at = path.find("/")
    while at > 0:
        yield path[:at]
        at = path.find("/", at + 1)


def _matches(tree: SourceTree, pattern: str, where: str) -> list[str]:
    """Paths that match a pattern, component by component, sorted. Only what stands before the first wildcard is followed.

    Raises ContextError when that is not there: only a wildcard may match nothing.
    """
    components = pattern.split("/")
    literal = next(i for i, component in enumerate(components) if has_wildcards(component))
    leading = "/".join(components[:literal])
    base = tree.resolve(leading)
    if base and tree.lstat(base) is None:
        raise _missing(tree, leading, where, pattern)
    found: list[str] = []
    try:
        _descend(tree, base, components[literal:], found)
    except ValueError as error:
        raise ContextError(f'"{pattern}" is not a pattern: {error}', code="bad-pattern") from error
    return found


def _descend(tree: SourceTree, directory: str, components: list[str], found: list[str]) -> None:
    match_segment(components[0], "")  # a bad pattern is one even where nothing could match
    entry = tree.lstat(directory) if directory else None
    if directory and (entry is None or entry.kind != "dir"):
        return
    for name in tree.names(directory):
        if not match_segment(components[0], name):
            continue
        path = f"{directory}/{name}" if directory else name
        if len(components) == 1:
            found.append(path)
        else:
            _descend(tree, path, components[1:], found)


# --parents -------------------------------------------------------------------------------------------------------


def _with_parents(
    tree: SourceTree, path: str, matcher: PatternMatcher | None, where: str, keep: _Keep
) -> Iterator[Picked]:
    """The source with the directories that lead to it, from the pivot `/./` on (else from the root)."""
    before, pivot, after = path.lstrip("/").removeprefix("./").partition("/./")
    base, pattern = (_clean(before), _clean(after)) if pivot else ("", _clean(path))
    bases = _matches(tree, base, where) if has_wildcards(base) else [base]
    for each in bases:
        resolved = tree.resolve(each)
        root = tree.lstat(resolved)
        if root is None or root.kind != "dir":
            raise _missing(tree, each, where, path)
        items, passing = _keep_parents(tree, resolved, pattern, where, path)
        below = keep(items if matcher is None else _without(items, matcher))
        yield Picked(root, "", below, frozenset(passing))


def _keep_parents(
    tree: SourceTree, base: str, pattern: str, where: str, written: str
) -> tuple[Iterable[Item], set[str]]:
    """(what is picked, those of it that are only passed); the second is whole when the first was gone through."""
    components = [c for c in pattern.split("/") if c]
    literal = next((i for i, c in enumerate(components) if has_wildcards(c)), len(components))
    items: list[Item] = []
    here, at = base, ""
    for component in components[:literal]:
        at = f"{at}/{component}" if at else component
        parent, here = here, f"{here}/{component}" if here else component
        entry = tree.lstat(here)
        if entry is not None and entry.kind == "symlink" and at != pattern:
            here = tree.resolve(here)
            entry = tree.lstat(here)
        if entry is None:
            if literal < len(components):
                return [], set()
            raise _missing(tree, f"{parent}/{component}" if parent else component, where, written)
        items.append((at, entry))
    passing = {path for path, _ in items}
    if literal == len(components):
        passing.discard(at)
        if not items or items[-1][1].kind == "dir":
            prefix = f"{at}/" if at else ""
            return chain(items, ((prefix + path, entry) for path, entry in _below(tree, here, None))), passing
        return items, passing
    passing.clear()
    return _matching(items, _below(tree, here, None), at, "/".join(components[literal:]), passing), passing


def _matching(leading: list[Item], below: Iterable[Item], at: str, pattern: str, passing: set[str]) -> Iterator[Item]:
    """Those below that match (`**` spans directories), what such a directory holds, and the directories on the way."""
    matcher = PatternMatcher([pattern])
    directories: dict[str, Entry] = {}
    states: dict[str, Matched] = {}
    found: set[str] = set()
    has_led = False
    prefix = f"{at}/" if at else ""
    for path, entry in below:
        is_in, state = matcher.match_below(path, states.get(path.rpartition("/")[0]))
        if entry.kind == "dir":
            states[path] = state
            directories[path] = entry
        if not is_in:
            continue
        if not has_led:
            has_led = True
            passing.update(path for path, _ in leading)
            yield from leading
        for above in _above(path):
            if above not in found:
                found.add(above)
                passing.add(prefix + above)
                yield prefix + above, directories[above]
        if entry.kind == "dir":
            found.add(path)
        yield prefix + path, entry


# Errors ----------------------------------------------------------------------------------------------------------


def _missing(tree: SourceTree, path: str, where: str, written: str) -> ContextError:
    message = f'"{written}" is not in {where}'
    if isinstance(tree, LocalContext) and (pattern := tree.kept_out(path)) is not None:
        place = f"{pattern.span.file}:{pattern.span.line}" if pattern.span else "the ignore file"
        return ContextError(
            message,
            code="copy-source-missing",
            notes=[f'{place} excludes it (pattern "{pattern}")'],
            hint=f'add "!{tree.resolve(path)}" after that line',
        )
    parent, _, name = path.rpartition("/")
    resolved = tree.resolve(parent)
    entry = tree.lstat(resolved) if resolved else None
    notes: list[str] = []
    if resolved and (entry is None or entry.kind != "dir"):
        notes.append(f'there is no directory "{parent}" either' if entry is None else f'"{parent}" is not a directory')
        return ContextError(message, code="copy-source-missing", notes=notes)
    link = tree.lstat(path)
    if link is not None and link.kind == "symlink":
        notes.append(f'it is a symlink to "{link.target}", which is not there')
    return ContextError(message, code="copy-source-missing", notes=notes, hint=did_you_mean(name, tree.names(resolved)))


def _clean(path: str) -> str:
    """Relative to the root, without `.`, `..` (which ends at the root) and doubled or trailing slashes; "" is the root."""
    return posixpath.normpath("/" + path).lstrip("/")
