"""`.dockerignore` and `--exclude`: which paths a list of patterns keeps out. Pure.

The last pattern that matches decides; a pattern that matches a directory matches all below it; `!` lets in again.
Source: moby/patternmatcher and its ignorefile; dockerfile.md §1.17 and §4 (47, 78).
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator

from slimstage.context.globs import Matcher, has_wildcards, match_segment, matcher_of, parse_tokens
from slimstage.diagnostics import Source, Span
from slimstage.errors import ContextError
from slimstage.values import dataclass, replace

_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
"""Go's unicode.IsSpace."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """One pattern, cleaned: no blanks around it, no leading or double slashes, no `!`. `span`: the line it is from."""

    text: str
    is_exclusion: bool = False
    """`!`: lets in what an earlier pattern kept out."""
    span: Span | None = None

    def __str__(self) -> str:
        return f"!{self.text}" if self.is_exclusion else self.text


def read_ignore_file(text: str, name: str = ".dockerignore") -> list[Pattern]:
    """The patterns of an ignore file in order: comments (`#` in the first column) and blank lines dropped.

    Raises: nothing; a bad pattern is refused by `PatternMatcher`, which then names its line.
    Source: moby/patternmatcher ignorefile.ReadAll.
    """
    source = Source(name, text.removeprefix("\ufeff"))
    found: list[Pattern] = []
    for number, line in enumerate(source.text.split("\n"), 1):
        stripped = line.strip(_SPACE)
        if line.startswith("#") or not stripped:
            continue
        column = len(line) - len(line.lstrip(_SPACE)) + 1
        span = Span(source, number, column, number, column + len(stripped))
        is_exclusion = stripped.startswith("!")
        pattern = stripped[1:].strip(_SPACE) if is_exclusion else stripped
        if pattern:
            pattern = _clean(pattern)
            pattern = pattern[1:] if len(pattern) > 1 and pattern.startswith("/") else pattern
        found.append(Pattern(pattern, is_exclusion, span))
    return found


def _clean(path: str) -> str:
    """As Go's filepath.Clean: POSIX normalisation, where two leading slashes are one."""
    cleaned = posixpath.normpath(path)
    return cleaned[1:] if cleaned.startswith("//") else cleaned


def _pattern_of(text: str) -> Pattern | None:
    text = text.strip(_SPACE)
    if not text:
        return None
    text = _clean(text)
    return Pattern(text[1:], True) if text.startswith("!") else Pattern(text)


Matched = tuple[bool, ...]
"""Which patterns matched a directory: what `match_below` needs to judge the paths in it."""


class PatternMatcher:
    """An ordered list of patterns. Immutable; paths are relative, with `/`."""

    def __init__(self, patterns: Iterable[str | Pattern]) -> None:
        """Compile the patterns; blank ones are dropped.

        Raises: ContextError, placed where the pattern is from, for one that is malformed or a lone `!`.
        """
        given = (_pattern_of(p) if isinstance(p, str) else p for p in patterns)
        self.patterns: tuple[Pattern, ...] = tuple(p for p in given if p is not None)
        self.has_exclusions: bool = any(p.is_exclusion for p in self.patterns)
        self._compiled = [(p.is_exclusion, _compile(p)) for p in self.patterns]
        self._exclusions = [_literal_start(p.text) for p in self.patterns if p.is_exclusion]

    def matches(self, path: str) -> bool:
        """True when the patterns keep `path` out. The root itself is never kept out.

        Source: patternmatcher.MatchesOrParentMatches.
        """
        decided = self.deciding(path)
        return decided is not None and not decided.is_exclusion

    def deciding(self, path: str) -> Pattern | None:
        """The last pattern that matches `path` or a directory above it; None when none does."""
        path = _clean(path)
        if path == ".":
            return None
        candidates = [path, *_parents(path)]
        for pattern, (_, matcher) in zip(reversed(self.patterns), reversed(self._compiled), strict=True):
            if any(matcher(candidate) for candidate in candidates):
                return pattern
        return None

    def match_below(self, path: str, above: Matched | None = None) -> tuple[bool, Matched]:
        """Whether `path` is kept out, and what to give when its children are asked for.

        above: what this returned for the directory that holds `path`; None: `path` is in the root, or nothing is known.
        As a walker asks from the root downwards, each pattern sees each path once.
        Source: patternmatcher.MatchesUsingParentResults, which BuildKit's walker uses.
        """
        if above is None and "/" in path:
            for parent in reversed(list(_parents(path))):
                _, above = self.match_below(parent, above)
        is_out = False
        matched: list[bool] = []
        for index, (is_exclusion, matcher) in enumerate(self._compiled):
            # A pattern that could not change the answer is not asked, and counts as not matching for what is below.
            is_match = above is not None and above[index]
            if not is_match and is_exclusion == is_out:
                is_match = matcher(path)
            matched.append(is_match)
            if is_match:
                is_out = not is_exclusion
        return is_out, tuple(matched)

    def keeping_out(self, path: str) -> Pattern | None:
        """The pattern by which a walk from the root keeps `path` out; None when it does not.

        Other than `matches`: of `dir/**` and then `!dir` the second is not asked about `dir`, which nothing kept out, and so
        says nothing of what is in it.
        """
        is_out, matched = self.match_below(path)
        return self.patterns[len(matched) - 1 - matched[::-1].index(True)] if is_out else None

    def may_let_in_below(self, directory: str) -> bool:
        """False when nothing below a directory that is kept out can be let in again: a walker need not enter it."""
        prefix = directory + "/"
        return any(
            start is None or start.startswith(prefix) or prefix.startswith(start + "/") for start in self._exclusions
        )


def _parents(path: str) -> Iterator[str]:
    """The directories above, nearest first; an absolute path's root is the empty text."""
    end = path.rfind("/")
    while end >= 0:
        yield path[:end]
        end = path.rfind("/", 0, end)


def _literal_start(text: str) -> str | None:
    """The pattern without a trailing wildcard when that is all it has; None when it may match anywhere."""
    for ending in ("/**", "/*"):
        text = text.removesuffix(ending)
    return None if has_wildcards(text) or "\\" in text else text


def _compile(pattern: Pattern) -> Matcher:
    text = pattern.text
    if pattern.is_exclusion and not text:
        raise ContextError('illegal exclusion pattern "!"', code="bad-pattern", span=pattern.span)
    try:
        parse_tokens(text, has_trees=False)  # Go's own syntax is checked first: it is the stricter one
        tokens = parse_tokens(text, has_trees=True)
    except ValueError as error:
        message = f'bad pattern "{text[:80]}": {error}'
        hint = "write a backslash in front of a bracket that is meant literally"
        raise ContextError(message, code="bad-pattern", span=pattern.span, hint=hint) from None
    is_plain = not has_wildcards(text.removeprefix("**").removesuffix("**")) and "\\" not in text
    if is_plain and text.startswith("**") and (len(text) == 2 or not text.endswith("**")):
        return _suffix_matcher(text[2:])
    if is_plain and text.endswith("**") and not text.startswith("**"):
        return _prefix_matcher(text[:-2])
    return matcher_of(tokens)


def _suffix_matcher(suffix: str) -> Matcher:
    """`**/name` and `**name`: the latter is a plain text ending, wherever it starts (as in moby)."""
    if suffix.startswith("/"):
        name = suffix[1:]
        return lambda path: path.endswith(suffix) or path == name
    return lambda path: path.endswith(suffix)


def _prefix_matcher(prefix: str) -> Matcher:
    return lambda path: path.startswith(prefix)


def at(pattern: Pattern, span: Span) -> Pattern:
    """The pattern with a place: for patterns that come from an instruction's flag."""
    return replace(pattern, span=span)


__all__ = ["Matched", "Pattern", "PatternMatcher", "at", "has_wildcards", "match_segment", "read_ignore_file"]
