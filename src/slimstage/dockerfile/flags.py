"""The flags each instruction takes, as a table, and reading them.

Source: BuildKit frontend/dockerfile/instructions (parse.go, bflag.go); dockerfile.md §1.2 to §1.7.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from slimstage.dockerfile.faults import Faults, guess, quoted
from slimstage.dockerfile.instructions import FlagText
from slimstage.dockerfile.syntax import Node
from slimstage.dockerfile.words import Word

Kind = Literal["text", "texts", "bool"]

FLAGS: dict[str, dict[str, Kind]] = {
    "add": {
        "checksum": "text",
        "chmod": "text",
        "chown": "text",
        "exclude": "texts",
        "keep-git-dir": "bool",
        "link": "bool",
        "unpack": "bool",
    },
    "copy": {
        "chmod": "text",
        "chown": "text",
        "exclude": "texts",
        "from": "text",
        "link": "bool",
        "parents": "bool",
    },
    "from": {"platform": "text"},
    "healthcheck": {
        "interval": "text",
        "retries": "text",
        "start-interval": "text",
        "start-period": "text",
        "timeout": "text",
    },
    "run": {"device": "texts", "mount": "texts", "network": "text", "security": "text"},
}
"""Instructions that are not here take no flags."""

_TAKES_COMMAND = frozenset(("cmd", "entrypoint", "run", "shell"))


class Flags:
    """The flags of one instruction, read against the table; faults are already reported."""

    def __init__(self, texts: dict[str, list[FlagText]], bools: dict[str, bool]) -> None:
        self._texts, self._bools = texts, bools

    def one(self, name: str) -> FlagText | None:
        """The flag's value and place, or None."""
        found = self._texts.get(name)
        return found[0] if found else None

    def text(self, name: str) -> str | None:
        """The flag's value; None when it is not there. An empty value is as good as none."""
        found = self.one(name)
        return found.value or None if found else None

    def all(self, name: str) -> tuple[FlagText, ...]:
        """The values of a flag that may stand several times."""
        return tuple(self._texts.get(name, ()))

    def is_set(self, name: str) -> bool | None:
        """The boolean; None when the flag is not there."""
        return self._bools.get(name)


def read_flags(node: Node, faults: Faults) -> Flags:
    """The node's flags. Each unknown, repeated or valueless one is reported."""
    known = FLAGS.get(node.name, {})
    texts: dict[str, list[FlagText]] = {}
    bools: dict[str, bool] = {}
    for word in node.flags:
        name, equals, value = word.text.removeprefix("--").partition("=")
        kind = known.get(name)
        span = node.span_of(word)
        if kind is None:
            _unknown(node, word, name, known, faults)
        elif name in bools or (name in texts and kind != "texts"):
            faults.add("duplicate-flag", f"--{name} is given twice", span)
        elif kind == "bool":
            lower = value.lower()
            if (equals and not value) or lower not in ("", "true", "false"):
                message = f"--{name} must be true or false, not {quoted(value)}"
                faults.add("bad-flag-value", message, span, hint=f"--{name} alone means true")
            bools[name] = lower != "false"
        elif not equals:
            faults.add("missing-flag-value", f"--{name} has no value", span, hint=f"write --{name}=VALUE")
        else:
            texts.setdefault(name, []).append(FlagText(value, span))
    return Flags(texts, bools)


def _unknown(node: Node, word: Word, name: str, known: Sequence[str] | dict[str, Kind], faults: Faults) -> None:
    what = node.keyword.text.upper()
    others = sorted(other.upper() for other, flags in FLAGS.items() if name in flags)
    note = f"--{name} belongs to {' and '.join(others)}" if others else ""
    takes = f"{what} takes {', '.join(f'--{flag}' for flag in sorted(known))}" if known else f"{what} takes no flags"
    hint = guess(f"--{name}", [f"--{flag}" for flag in known])
    if not hint and node.name in _TAKES_COMMAND:
        hint = "write -- in front of it when it belongs to the command"
    faults.add("unknown-flag", f"unknown flag {quoted('--' + name)}", node.span_of(word), note, takes, hint=hint)
