"""Words: variables in all their forms, shell patterns, the JSON form, flags' values, mounts, ports.

Oracles: shell patterns against regular expressions, the JSON form against the standard library.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import TypeVar

from fuzz.harness import Choices, interleaved, pumped
from slimstage.dockerfile.expand import LARGEST_EXPANSION, expand_heredoc, expand_word, expand_words, variables
from slimstage.dockerfile.heredocs import operators_of
from slimstage.dockerfile.mounts import parse_mount
from slimstage.dockerfile.ports import parse_port
from slimstage.dockerfile.values import (
    parse_bool,
    parse_duration,
    parse_fields,
    parse_signal,
    parse_size,
    parse_unsigned,
)
from slimstage.dockerfile.wildcards import ShellPattern, trim_prefix, trim_suffix
from slimstage.dockerfile.words import NotStrings, json_strings, split_blanks, split_words
from slimstage.errors import DockerfileError

MAX_BYTES = 1024
_T = TypeVar("_T")
_LARGEST_PUMPED = 50_000
_WORDS = (
    "a", "b", "A", "V", "$", "{", "}", "${", "${V", "${A:-", "${A:+", "${A:?", "${V-", "${V+", "${V?", "${V#",
    "${V##", "${V%",
    "${V%%", "${V/", "${V//", "$V", "$A", "'", '"', "\\", "`", " ", "\t", "\n", "*", "?", "/", ":", "-", "+", "#",
    "%", "=",
    ",", "<<", "<<-", "EOF", "[", "]", '"a"', "\\u00e9", "\\ud800", "\\n", "é", "\udcff", "\u2003", "1", "0", "9",
    ".", "1s", "5m",
    "h", "ns", "_", "!", "@", "type=", "bind", "cache", "tmpfs", "secret", "ssh", "target=", "source=", "from=",
    "id=", "ro",
    "rw=", "true", "uid=", "gid=", "mode=0755", "size=64m", "sharing=locked", "required", "env=", "80", "8000-8010",
    "65535", "/tcp",
    "/udp", "[::1]", "127.0.0.1", "SIGKILL", "RTMIN+", "{}", "null", "1e999", "NaN",
)  # fmt: skip
TOKENS = tuple(word.encode("utf-8", "surrogateescape") for word in _WORDS)


def check(data: bytes) -> None:
    choices = Choices(data)
    kind = choices.below(16)
    is_pumped = choices.byte() > 200
    value = _text(choices, is_pumped=is_pumped and choices.flag())[:_LARGEST_PUMPED]
    text = _text(choices, is_pumped=is_pumped)
    if kind < 6:
        _check_expansion(text, {"V": value, "A": "", "B": "${V}"}, "`" if kind == 0 else "\\")
    elif kind < 9:
        _check_pattern(text[:300], value)
    elif kind < 11:
        _check_json(text)
    else:
        _check_values(text)


def _text(choices: Choices, *, is_pumped: bool) -> str:
    if is_pumped:
        return pumped(choices, _WORDS, _LARGEST_PUMPED)
    return "".join(choices.words(_WORDS, choices.byte()))


def _check_expansion(text: str, env: dict[str, str], escape: str) -> None:
    names = set(variables(text, escape))
    expand: Callable[..., object]
    for expand in (expand_word, expand_heredoc, expand_words):
        expanded = _tried(DockerfileError, expand, text, env, escape)
        if expand is expand_word and expanded is not None:
            result = expand_word(text, env, escape)
            assert expanded == result
            assert len(result.text) <= LARGEST_EXPANSION
            assert not result.used & result.unset
            assert result.used <= set(env)
            assert not names or result.unset | result.used or not text
            if not set(text) & set("$'\"<" + escape):
                assert result.text == text
    if "'" not in text:
        assert expand_word(f"'{text}'", env, escape).text == text
    _tried(DockerfileError, operators_of, text)
    words = split_words(text, escape, 7)
    assert all(text[word.start - 7 : word.end - 7] == word.text for word in words)
    assert "".join(word.text for word in split_blanks(text)) == re.sub(r"[\t\v\f\r ]", "", text)


def _check_pattern(pattern: str, value: str) -> None:
    replacement, longest = "<>", len(pattern) % 2 == 0
    try:
        parsed = ShellPattern.parse(pattern)
    except ValueError:
        return
    first = parsed.replaced(value, replacement, everywhere=False)
    all_ = parsed.replaced(value, replacement, everywhere=True)
    prefix = trim_prefix(pattern, value, longest=longest)
    assert value.endswith(prefix)
    try:
        assert value.startswith(trim_suffix(pattern, value, longest=longest))
    except ValueError:
        pass  # reversed, a backslash may protect something else
    if len(value) > 40 or pattern.count("*") > 4:
        return
    greedy = _regex(parsed, "*")
    assert (first, all_) == (_replaced(greedy, value, once=True), _replaced(greedy, value, once=False))
    found = _regex(parsed, "*" if longest else "*?").match(value)
    if longest:
        # The longest prefix is asked for, and a greedy expression gives the one that it finds first.
        ends = [end for end in range(len(value) + 1) if greedy.fullmatch(value, 0, end)]
        assert prefix == (value[max(ends) :] if ends else value)
    else:
        ends = [end for end in range(len(value) + 1) if greedy.fullmatch(value, 0, end)]
        assert prefix == (value[min(ends) :] if ends else value)
        assert (found is None) == (not ends)


def _regex(pattern: ShellPattern, star: str) -> re.Pattern[str]:
    parts = ["".join("." if c is None else re.escape(c) for c in part) for part in pattern.parts]
    return re.compile(f".{star}".join(parts))


def _replaced(regex: re.Pattern[str], value: str, *, once: bool) -> str:
    """As Go's ReplaceAllString: an empty match directly behind a match is left alone."""
    pieces, copied, at, last = [], 0, 0, -1
    while at <= len(value) and (found := regex.search(value, at)):
        if found.start() == found.end() == last:
            at = found.end() + 1
            continue
        pieces += [value[copied : found.start()], "<>"]
        copied = last = found.end()
        at = found.end() if found.end() > found.start() else found.end() + 1
        if once:
            break
    return "".join([*pieces, value[copied:]])


def _check_json(text: str) -> None:
    position, strings = 0, None
    try:
        strings = json_strings(text)
    except NotStrings as error:
        position = error.position
    assert 0 <= position <= len(text)
    try:
        wanted = json.loads(text)
    except (ValueError, RecursionError):
        return  # blanks of Go's that are none of JSON's may stand in front
    is_strings = isinstance(wanted, list) and all(isinstance(item, str) for item in wanted)
    assert (strings is not None) == is_strings
    if strings is not None:
        assert strings == [re.sub("[\ud800-\udfff]", "\ufffd", item) for item in wanted]


def _check_values(text: str) -> None:
    for expand in (None, str):
        mount = _tried(DockerfileError, parse_mount, text, expand)
        assert mount is None or mount.size_bytes is None or mount.size_bytes >= 0
    ports = _tried(ValueError, parse_port, text)
    assert ports is None or 1 <= len(ports) <= 65536
    parse: Callable[[str], object]
    for parse in (parse_duration, parse_bool, parse_unsigned, parse_size, parse_fields, parse_signal):
        _tried(ValueError, parse, text)


def _tried(kind: type[Exception], call: Callable[..., _T], *arguments: object) -> _T | None:
    """What the call returns; None when it refuses, which it has to do in words."""
    try:
        return call(*arguments)
    except kind as error:
        said = str(error)
    assert said
    return None


def seeds() -> list[bytes]:
    ends = range(0, len(_WORDS), 12)
    plain = [
        bytes([kind, 0, 6, 0, 1, 11, 25, 0, 1, 40, *range(end, min(end + 12, len(_WORDS)))])
        for kind in (1, 7, 9, 12)
        for end in ends
    ]
    pumps = [
        bytes([kind, 255, kind & 1, 2, 2, 0, 1, 10, 1, 3, 1, end, end + 1, 4, 3, 0, 1, 2])
        for kind in (1, 7, 9, 12)
        for end in ends
    ]
    return interleaved(plain, pumps)
