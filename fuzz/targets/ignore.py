"""Ignore patterns and wildcards: pattern and path are both the fuzzer's, and a slow, plain matcher is the oracle."""

from __future__ import annotations

from functools import cache

from fuzz.harness import Choices, interleaved, pumped
from slimstage.context.globs import has_wildcards, match_segment
from slimstage.context.patterns import PatternMatcher, read_ignore_file
from slimstage.errors import ContextError

MAX_BYTES = 512
_LARGEST_PUMPED = 2048
_WORDS = (
    "a", "b", "ab", ".", "..", "/", "*", "**", "**/", "/**", "?", "[", "]", "[a-c]", "[^a]", "[]", "[a-", "\\",
    "\\*", "!", "!a",
    "#", " ", "\n", "\t", "-", "^", "node_modules", ".git", "*.py", "é", "\udcff", "\ufeff", "\r", "a/b", "c", "z",
    "{", "}", "+",
    "(", ")", "|", "$", ":", "//", "./", "../",
)  # fmt: skip
TOKENS = tuple(word.encode("utf-8", "surrogateescape") for word in _WORDS)


def check(data: bytes) -> None:
    choices = Choices(data)
    is_pumped = choices.byte() > 220
    count = 1 + choices.below(4)
    path = _text(choices, is_pumped=is_pumped and choices.flag()).replace("\n", "/")
    patterns = [_text(choices, is_pumped=is_pumped) for _ in range(count)]
    _check_segment(patterns[0], path)
    try:
        matcher = PatternMatcher(read_ignore_file("\n".join(patterns)))
    except ContextError as error:
        _check_error(error)
        return
    path = "/".join(part for part in path.split("/") if part not in ("", ".", ".."))
    if path:
        _check_paths(matcher, path)


def _text(choices: Choices, *, is_pumped: bool) -> str:
    if is_pumped:
        return pumped(choices, _WORDS, _LARGEST_PUMPED)
    return "".join(choices.words(_WORDS, choices.below(40)))


def _check_error(error: ContextError) -> None:
    assert error.code == "bad-pattern"
    assert error.diagnostics[0].span is not None


def _check_paths(matcher: PatternMatcher, path: str) -> None:
    parts = path.split("/")
    # From the root downwards, as a walker asks.
    above, is_closed = None, False
    for length in range(1, min(len(parts), 40) + 1):
        here = "/".join(parts[:length])
        is_out, now = matcher.match_below(here, above)
        # Asked without what is known of the directory, all above is looked at again: no walker does that at each level,
        # and over a long path with many patterns that alone takes seconds.
        if length <= 8 and len(here) <= 400:
            assert (is_out, now) == matcher.match_below(here), "what is known of the directory changes the answer"
            assert matcher.has_exclusions or is_out == matcher.matches(here), here
        assert is_out or not is_closed, f"{here} is let in, below a directory that need not be entered"
        is_closed = is_closed or (is_out and not matcher.may_let_in_below(here))
        above = now
    if len(path) > 60 or sum(len(pattern.text) for pattern in matcher.patterns) > 120 or "\n" in path:
        return
    candidates = ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]
    is_out = False
    for pattern in matcher.patterns:
        if any(_matches(pattern.text, candidate) for candidate in candidates):
            is_out = not pattern.is_exclusion
    assert matcher.matches(path) == is_out, (path, [str(pattern) for pattern in matcher.patterns])


def _check_segment(pattern: str, name: str) -> None:
    try:
        is_match = match_segment(pattern, name)
    except ValueError:
        return
    if len(pattern) < 40 and len(name) < 40:
        assert is_match == _plain(_parsed(pattern, has_trees=False), name), (pattern, name)
    if not has_wildcards(pattern) and "\\" not in pattern:
        assert is_match == (pattern == name)


# The oracle: moby/patternmatcher's description, written as one recursion over both texts -----------------------------


def _matches(pattern: str, path: str) -> bool:
    tokens = _parsed(pattern, has_trees=True)
    kinds = [kind for kind, _ in tokens]
    trees = [at for at, kind in enumerate(kinds) if kind in ("tree", "rest")]
    is_fixed = all(kind in ("literal", "tree", "rest") for kind in kinds) and "\\" not in pattern
    if is_fixed and trees == [0]:
        rest = pattern[2:]  # "**name" and "**/name" are endings
        return path.endswith(rest) or (rest.startswith("/") and path == rest[1:])
    if is_fixed and trees == [len(kinds) - 1] and kinds:
        return path.startswith(pattern[:-2])
    return _plain(tokens, path)


_Tokens = tuple[tuple[str, str], ...]


def _parsed(pattern: str, *, has_trees: bool) -> _Tokens:
    """(kind, text): literal, any (`?`), star, tree (`**` inside), rest (`**` at the end), class."""
    tokens: list[tuple[str, str]] = []
    at = 0
    while at < len(pattern):
        if has_trees and pattern.startswith("**", at):
            at += 3 if pattern.startswith("**/", at) else 2
            tokens.append(("tree" if at < len(pattern) else "rest", ""))
            continue
        character = pattern[at]
        at += 1
        if character == "*":
            tokens.append(("star", ""))
        elif character == "?":
            tokens.append(("any", ""))
        elif character == "\\":
            tokens.append(("literal", pattern[at]))
            at += 1
        elif character == "[":
            end = at + pattern.startswith("^", at)
            while pattern[end] != "]":
                end += 2 if pattern[end] == "\\" else 1
            tokens.append(("class", pattern[at:end]))
            at = end + 1
        else:
            tokens.append(("literal", character))
    return tuple(tokens)


def _accepts(text: str, character: str) -> bool:
    """Whether a bracket expression holds the character."""
    negates, text = text.startswith("^"), text.removeprefix("^")
    members: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        at += text[at] == "\\"
        low = high = text[at]
        at += 1
        if text.startswith("-", at):
            at += 1
            at += text[at] == "\\"
            high = text[at]
            at += 1
        members.append((low, high))
    return negates != any(low <= character <= high for low, high in members)


def _plain(tokens: _Tokens, path: str) -> bool:
    @cache  # lives as long as one question
    def match(token: int, at: int) -> bool:
        if token == len(tokens):
            return at == len(path)
        kind, text = tokens[token]
        if kind == "star":
            return match(token + 1, at) or (at < len(path) and path[at] != "/" and match(token, at + 1))
        if kind == "rest":
            return True
        if kind == "tree":
            after_slash = (here + 1 for here in range(at, len(path)) if path[here] == "/")
            return match(token + 1, at) or any(match(token + 1, here) for here in after_slash)
        if at == len(path):
            return False
        is_one = {
            "any": path[at] != "/",
            "literal": path[at] == text,
            "class": kind == "class" and _accepts(text, path[at]),
        }
        return is_one[kind] and match(token + 1, at + 1)

    return match(0, 0)


def seeds() -> list[bytes]:
    words = range(len(_WORDS))
    short = []
    for word in words:
        path = [(word + step) % len(_WORDS) for step in range(9)]
        short += [bytes([0, count, 5, 0, 5, 1, 5, 2, 9, *path, 4, 6, 7, 1, 6]) for count in (0, 2)]
    pumps = [bytes([230, 0, 1, 1, 0, 1, word, word % 7, 12, 0, 0, 0, 1, 6, 2, word, 6, 10, 1, 0, 0]) for word in words]
    return interleaved(short, pumps)
