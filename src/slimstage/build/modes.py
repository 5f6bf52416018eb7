"""`--chmod`: octal, or symbolic as chmod(1) reads it, relative to each file's own mode and with umask 0. Pure.

Source: POSIX chmod, "mode operand"; dockerfile.md §4 (38, 39).
"""

from __future__ import annotations

from collections.abc import Callable

from slimstage.errors import PlanError
from slimstage.regex import pattern
from slimstage.values import dataclass

LARGEST = 0o7777
_OCTAL = pattern(r"[0-7]+\Z")
_CLAUSE = pattern(r"([ugoa]*)((?:[-+=](?:[ugo]|[rwxXst]*))+)\Z")
_ACTION = pattern(r"([-+=])([ugo]|[rwxXst]*)")
_WHO = {"u": 0o4700, "g": 0o2070, "o": 0o1007}
_SHIFT = {"u": 6, "g": 3, "o": 0}
_PERMISSION = {"r": 0o444, "w": 0o222, "x": 0o111}


@dataclass(frozen=True, slots=True)
class ModeChange:
    """What `--chmod` does to a file's mode. `octal`: the mode itself, None when symbolic."""

    octal: int | None
    change: Callable[[int, bool], int]
    """(mode, whether it is a directory) → the new mode."""


def parse_mode(text: str) -> ModeChange:
    """The change that the flag's value means. Raises PlanError for what is neither octal up to 7777 nor symbolic."""
    if _OCTAL.match(text):
        mode = int(text, 8)
        if mode <= LARGEST:
            return ModeChange(mode, lambda _mode, _is_dir: mode)
    elif text:
        clauses = [_CLAUSE.match(clause) for clause in text.split(",")]
        parsed = [(found.group(1), _ACTION.findall(found.group(2))) for found in clauses if found]
        if len(parsed) == len(clauses):
            return ModeChange(None, lambda mode, is_dir: _apply(parsed, mode, is_dir))
    raise PlanError(
        f'invalid --chmod "{text[:80]}"',
        code="bad-chmod",
        hint="write it like 755, 0644 or u=rwX,go=rX; octal is 0 to 07777",
    )


def _apply(clauses: list[tuple[str, list[tuple[str, str]]]], mode: int, is_dir: bool) -> int:
    for who, actions in clauses:
        is_all = not who or "a" in who
        reach = 0
        for letter in "ugo" if is_all else who:
            reach |= _WHO[letter]
        # The sticky bit belongs to nobody: it is reached without a "who", by "a" and, as GNU has it, by "o".
        for operator, what in actions:
            bits = _bits(what, mode, is_dir) & reach
            if operator == "+":
                mode |= bits
            elif operator == "-":
                mode &= ~bits
            else:
                # As GNU: "=" leaves a directory's setuid and setgid alone unless they are named.
                kept = 0o6000 if is_dir else 0
                mode = (mode & ~(reach & ~kept)) | bits
    return mode & LARGEST


def _bits(what: str, mode: int, is_dir: bool) -> int:
    if what in _SHIFT:
        return (mode >> _SHIFT[what] & 0o7) * 0o111
    bits = 0
    for letter in what:
        if letter == "X":
            bits |= 0o111 if is_dir or mode & 0o111 else 0
        elif letter == "s":
            bits |= 0o6000
        elif letter == "t":
            bits |= 0o1000
        else:
            bits |= _PERMISSION[letter]
    return bits
