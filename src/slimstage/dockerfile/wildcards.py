"""Shell patterns of `${name#pattern}` and its relatives: `*` and `?`, without bracket expressions.

Matching walks from star to star and takes the earliest (for the last part: the earliest or the latest) place of each
fixed part, which is enough for such patterns: time grows with the text, never exponentially.
Source: BuildKit frontend/dockerfile/shell/lex.go, convertShellPatternToRegex; neither `*` nor `?` matches a newline.
"""

from __future__ import annotations

import re

from slimstage.values import dataclass

LONGEST_PATTERN = 256
"""Characters of a pattern; a limit of ours, so that no pattern makes a search slow."""


@dataclass(frozen=True, slots=True)
class ShellPattern:
    """Fixed parts, with a `*` between each two; in a part None stands for `?`."""

    parts: tuple[tuple[str | None, ...], ...]

    @classmethod
    def parse(cls, text: str) -> ShellPattern:
        """Read a pattern. A backslash makes `*`, `?` and itself literal; before `}` and `/` it vanishes.

        Raises: ValueError for a backslash before anything else, and for a pattern that is too long.
        """
        if len(text) > LONGEST_PATTERN:
            raise ValueError(f"longer than {LONGEST_PATTERN} characters")
        parts: list[list[str | None]] = [[]]
        position = 0
        while position < len(text):
            character = text[position]
            position += 1
            if character == "*":
                parts.append([])
            elif character == "?":
                parts[-1].append(None)
            elif character == "\\":
                following = text[position : position + 1]
                if following in ("}", "/"):
                    continue
                if following not in ("*", "?", "\\"):
                    raise ValueError(f'invalid escape "\\{following}"')
                parts[-1].append(following)
                position += 1
            else:
                parts[-1].append(character)
        return cls(tuple(tuple(part) for part in parts))

    def without_prefix(self, value: str, *, longest: bool) -> str:
        """`value` without the shortest or longest prefix that matches; unchanged when none does."""
        searches = self._searches()
        first = searches[0].match(value)
        end = _match_rest(searches[1:], value, first.end(), longest=longest) if first else None
        return value if end is None else value[end:]

    def replaced(self, value: str, replacement: str, *, everywhere: bool) -> str:
        """`value` with the first match, or every match, replaced; each match is as long as it can be.

        An empty match directly behind a match is not replaced (as Go's regexp has it).
        """
        searches = self._searches()
        pieces: list[str] = []
        copied = position = 0
        last_end = -1
        while position <= len(value):
            found = self._find(searches, value, position)
            if found is None:
                break
            start, end = found
            if start == end == last_end:
                position = end + 1
                continue
            pieces += [value[copied:start], replacement]
            copied = last_end = end
            position = end if end > start else end + 1
            if not everywhere:
                break
        return "".join([*pieces, value[copied:]])

    def _searches(self) -> list[re.Pattern[str]]:
        return [re.compile("".join("." if c is None else re.escape(c) for c in part)) for part in self.parts]

    def _find(self, searches: list[re.Pattern[str]], value: str, position: int) -> tuple[int, int] | None:
        while first := searches[0].search(value, position):
            end = _match_rest(searches[1:], value, first.end(), longest=True)
            if end is not None:
                return first.start(), end
            # What follows a star was not found on this line; from a later start on the same line it is not either.
            newline = value.find("\n", first.start())
            if newline < 0:
                return None
            position = newline + 1 if newline + 1 > first.start() else first.start() + 1
        return None


def trim_prefix(pattern: str, value: str, *, longest: bool) -> str:
    """`value` without the shortest or longest prefix that matches. Raises: ValueError for a bad pattern."""
    return ShellPattern.parse(pattern).without_prefix(value, longest=longest)


def trim_suffix(pattern: str, value: str, *, longest: bool) -> str:
    """`value` without the shortest or longest suffix that matches. Raises: ValueError for a bad pattern.

    Both are reversed as texts, as BuildKit does it: so a backslash at the very end protects what stands before it.
    """
    return trim_prefix(_backwards(pattern), value[::-1], longest=longest)[::-1]


def _backwards(pattern: str) -> str:
    """The pattern's characters in reverse order, where a backslash stays in front of what it protects."""
    return "".join(reversed(re.findall(r"\\.|.", pattern, re.DOTALL)))


def _match_rest(searches: list[re.Pattern[str]], value: str, position: int, *, longest: bool) -> int | None:
    """Where the match ends when each of `searches` follows a star, from `position` on; None when one is missing."""
    for index, search in enumerate(searches):
        newline = value.find("\n", position)
        furthest = len(value) if newline < 0 else newline
        if longest and index == len(searches) - 1:
            return _last(search, value, position, furthest)
        # Not searched behind the line: a text of many lines would be searched to its end for each of them.
        found = search.search(value, position, furthest + LONGEST_PATTERN)
        if found is None or found.start() > furthest:
            return None
        position = found.end()
    return position


def _last(search: re.Pattern[str], value: str, position: int, furthest: int) -> int | None:
    """The end of the last match that starts between `position` and `furthest`."""
    if search.pattern == "":
        return furthest
    for start in range(furthest, position - 1, -1):
        found = search.match(value, start)
        if found:
            return found.end()
    return None
