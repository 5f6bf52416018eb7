"""A profile → a BPF program, by a small assembler of our own. Pure.

For each architecture the numbers become sorted ranges with one answer each, found by a binary search of compares, so a
call costs about ten instructions. Source: linux/seccomp.h, linux/filter.h, linux/audit.h.
"""

from __future__ import annotations

import functools
import os
import struct
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

from slimstage.sandbox.seccomp_numbers import NEWEST, numbers
from slimstage.sandbox.seccomp_profile import Condition, Profile, default_profile

ALLOW, ERRNO = 0x7FFF0000, 0x00050000
EPERM, ENOSYS = ERRNO | 1, ERRNO | 38

LOAD, AND, RETURN = 0x20, 0x54, 0x06
JUMP, JUMP_EQUAL, JUMP_AT_LEAST = 0x05, 0x15, 0x35

NUMBER_AT, ARCHITECTURE_AT, ARGUMENTS_AT = 0, 4, 16
"""Offsets in struct seccomp_data; each argument has eight bytes, the low word first (little endian)."""

ARCHITECTURES = {"x86_64": 0xC000003E, "i386": 0x40000003, "aarch64": 0xC00000B7}
_TOGETHER = {"x86_64": ("x86_64", "i386"), "aarch64": ("aarch64",)}
"""Machine → the architectures whose programs it runs. The x32 numbers, from 1 << 30, are above all that we know."""


class Instruction(NamedTuple):
    code: int
    jump_true: int
    jump_false: int
    value: int


_Answer: TypeAlias = int | Condition
_Range: TypeAlias = tuple[int, _Answer]
"""From this number on, to the next range's start."""


@functools.lru_cache(maxsize=16)
def default_program(capabilities: int, machine: str = os.uname().machine) -> bytes:
    """The default profile for these capabilities as the kernel takes it; empty on a machine that we have no numbers of."""
    if machine not in _TOGETHER:
        return b""
    return encode(program(default_profile(capabilities), _TOGETHER[machine]))


def encode(instructions: Sequence[Instruction]) -> bytes:
    return b"".join(struct.pack("<HBBI", *each) for each in instructions)


def program(profile: Profile, architectures: Sequence[str]) -> list[Instruction]:
    """The filter for all of these architectures; a call by another one fails with ENOSYS."""
    result = [Instruction(LOAD, 0, 0, ARCHITECTURE_AT)]
    for name in architectures:
        body = [Instruction(LOAD, 0, 0, NUMBER_AT), *_search(_ranges(profile, numbers(name)))]
        result += _unless(JUMP_EQUAL, ARCHITECTURES[name], body)
    return [*result, Instruction(RETURN, 0, 0, ENOSYS)]


def _unless(code: int, value: int, body: list[Instruction]) -> list[Instruction]:
    """`body` when the compare holds, else what follows it. A jump has 8 bits, a body may be longer, so it takes two."""
    return [Instruction(code, 1, 0, value), Instruction(JUMP, 0, 0, len(body)), *body]


def _ranges(profile: Profile, table: dict[str, int]) -> list[_Range]:
    answers: dict[int, _Answer] = {table[name]: ALLOW for name in profile.allowed if name in table}
    answers |= {table[name]: ENOSYS for name in profile.absent if name in table}
    answers |= {table[name]: condition for name, condition in profile.conditional.items() if name in table}
    ranges: list[_Range] = []
    for number in range(NEWEST + 1):
        answer = answers.get(number, EPERM)
        if not ranges or ranges[-1][1] != answer:
            ranges.append((number, answer))
    return [*ranges, (NEWEST + 1, ENOSYS)]


def _search(ranges: list[_Range]) -> list[Instruction]:
    """Binary search over the ranges for the number in the accumulator; every path returns."""
    if len(ranges) == 1:
        return _answer(ranges[0][1])
    middle = len(ranges) // 2
    upper = _search(ranges[middle:])
    return [*_unless(JUMP_AT_LEAST, ranges[middle][0], upper), *_search(ranges[:middle])]


def _answer(answer: _Answer) -> list[Instruction]:
    if isinstance(answer, int):
        return [Instruction(RETURN, 0, 0, answer)]
    found, otherwise = (EPERM, ALLOW) if answer.is_negated else (ALLOW, EPERM)
    code = [Instruction(LOAD, 0, 0, ARGUMENTS_AT + 8 * answer.argument)]
    if answer.mask != 0xFFFFFFFF:
        code.append(Instruction(AND, 0, 0, answer.mask))
    count = len(answer.values)
    code += [Instruction(JUMP_EQUAL, count - index, 0, value) for index, value in enumerate(answer.values)]
    return [*code, Instruction(RETURN, 0, 0, otherwise), Instruction(RETURN, 0, 0, found)]
