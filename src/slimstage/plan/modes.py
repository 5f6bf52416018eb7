"""`--chmod`: octal, or symbolic as BSD's chmod reads it, relative to each file's own mode and with umask 0. Pure.

What it makes of setuid, setgid and sticky is BSD's: `=` leaves the sticky bit alone, for a directory too it clears the set-id
bits of whom it names, and "o" reaches neither.
Source: NetBSD lib/libc/gen/setmode.c, which the library that BuildKit uses follows; measured on BuildKit
(tests/golden/differential/chmod-symbolic); dockerfile.md §4 (38, 39).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from slimstage.errors import PlanError
from slimstage.regex import pattern
from slimstage.values import dataclass

LARGEST = 0o7777
_OCTAL = pattern(r"[0-7]+\Z")
_CLAUSE = pattern(r"([ugoa]*)((?:[-+=][rwxXstugo]*)+)\Z")
_ACTION = pattern(r"([-+=])([rwxXstugo]*)")
_STICKY, _OTHERS, _SET_IDS, _EXECUTE = 0o1000, 0o007, 0o6000, 0o111
_WHO = {"u": 0o4700, "g": 0o2070, "o": _OTHERS}
_EVERYONE = 0o6777
_SHIFT = {"u": 6, "g": 3, "o": 0}
_PERMISSION = {"r": 0o444, "w": 0o222, "x": _EXECUTE}

_Command: TypeAlias = tuple[str, int, int, str]
"""What it does (an operator, "X", or of whom the bits are copied), whom it reaches (0: all), the bits, the operator."""


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
        commands = [each for found in clauses if found for each in _commands(found.group(1), found.group(2))]
        if all(clauses):
            return ModeChange(None, lambda mode, is_dir: _apply(commands, mode, is_dir))
    raise PlanError(
        f'invalid --chmod "{text[:80]}"',
        code="bad-chmod",
        notes=("it is octal, 0 to 07777, or symbolic",),
        hint="write it like 755, 0644 or u=rwX,go=rX",
    )


def _commands(letters: str, actions: str) -> list[_Command]:
    """Of one clause: those whom it names, and what stands behind."""
    found: list[_Command] = []
    who = 0
    for letter in letters:
        who |= _WHO.get(letter, _EVERYONE)
    for operator, what in _ACTION.findall(actions):
        who &= ~_STICKY
        bits, is_done = 0, operator != "="
        for letter in what:
            if letter in _PERMISSION:
                bits |= _PERMISSION[letter]
            elif letter == "s" and who != _OTHERS:
                bits |= _SET_IDS
            elif letter == "t" and who != _OTHERS:
                who |= _STICKY
                bits |= _STICKY
            elif letter in _SHIFT:
                if bits:
                    found.append((operator, who, bits, operator))
                bits, is_done = 0, True
                found.append((letter, who, 0, operator))
        if bits or not is_done:
            found.append((operator, who, bits, operator))
        if "X" in what:
            found.append(("X", who, _EXECUTE, operator))
    return found


def _apply(commands: list[_Command], mode: int, is_dir: bool) -> int:
    has_execute = is_dir or bool(mode & _EXECUTE)
    for kind, who, bits, operator in commands:
        if kind in _SHIFT:
            mode = _copied(mode, mode >> _SHIFT[kind] & 0o7, who or _EVERYONE, operator)
            continue
        if kind == "X" and not has_execute:
            continue
        if kind == "=":
            mode &= ~(who or _EVERYONE)
        reached = bits & (who or LARGEST)
        mode = mode & ~reached if operator == "-" else mode | reached
    return mode & LARGEST


def _copied(mode: int, bits: int, who: int, operator: str) -> int:
    """The mode with the read, write and execute bits of somebody given to, or taken from, whom it reaches."""
    for name, shift in _SHIFT.items():
        if who & _WHO[name] & 0o777:
            if operator != "+":
                mode &= ~((0o7 if operator == "=" else bits) << shift)
            if operator != "-":
                mode |= bits << shift
    return mode
