"""Syntax node → instruction value: what each instruction's arguments mean, and what is wrong with them.

Source: BuildKit frontend/dockerfile/instructions/parse.go; dockerfile.md §1.5 to §1.7.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from slimstage.dockerfile import commands
from slimstage.dockerfile.commands import Common, command_of
from slimstage.dockerfile.faults import Faults, guess, quoted
from slimstage.dockerfile.flags import read_flags
from slimstage.dockerfile.instructions import (
    Arg,
    Cmd,
    Entrypoint,
    Env,
    Expose,
    Instruction,
    KeyValue,
    Label,
    Maintainer,
    OnBuild,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from slimstage.dockerfile.syntax import KEYWORDS, Node
from slimstage.dockerfile.words import SPACE, cut_at_blanks
from slimstage.regex import pattern

_NEVER_TRIGGERS = frozenset(("from", "maintainer"))
_TRIGGER_TEXT = pattern(r"[\t\v\f\r ]*onbuild[\t\v\f\r ]*", re.IGNORECASE)


def interpret(node: Node, faults: Faults) -> Instruction | None:
    """The instruction; None, with at least one fault added, when it makes no sense.

    A fault in a flag alone still gives the instruction, so that what follows it can be judged.
    """
    reader = _READERS.get(node.name)
    if reader is None:
        name = node.keyword.text
        if not name:
            faults.add("empty-instruction", "a line continuation with nothing to continue", node.span_of(node.keyword))
            return None
        hint = guess(name.upper(), [keyword.upper() for keyword in KEYWORDS])
        faults.add("unknown-instruction", f"unknown instruction {quoted(name)}", node.span_of(node.keyword), hint=hint)
        return None
    common = Common(
        span=node.line.whole(),
        text=node.line.text[node.keyword.start : node.rest.end].strip(SPACE),
        comments=node.line.comments,
    )
    return reader(node, common, faults)


def _needs_argument(node: Node, faults: Faults, what: str) -> bool:
    if node.args and any(word.text for word in node.args):
        return True
    keyword = node.keyword.text.upper()
    message = f"{keyword} needs an argument"
    faults.add("missing-argument", message, node.span_of(node.keyword), hint=f"write {keyword} {what}")
    return False


def _arg(node: Node, common: Common, faults: Faults) -> Instruction | None:
    read_flags(node, faults)
    if not _needs_argument(node, faults, "NAME or ARG NAME=DEFAULT"):
        return None
    args: list[KeyValue] = []
    for word in node.args:
        name, equals, value = word.text.partition("=")
        if not name:
            faults.add("blank-name", "a name of ARG is blank", node.span_of(word), hint="write ARG NAME=DEFAULT")
            continue
        args.append(KeyValue(name, value if equals else None, node.span_of(word)))
    return Arg(**common, args=tuple(args))


def _key_values(node: Node, faults: Faults) -> tuple[KeyValue, ...] | None:
    read_flags(node, faults)
    keyword = node.keyword.text.upper()
    if not _needs_argument(node, faults, "NAME=VALUE"):
        return None
    pairs: list[KeyValue] = []
    for name, value, separator in zip(node.args[::3], node.args[1::3], node.args[2::3], strict=True):
        span = node.line.span(name.start, max(name.end, value.end))
        if not name.text:
            faults.add("blank-name", f"a name of {keyword} is blank", span, hint=f"write {keyword} NAME=VALUE")
            continue
        pairs.append(KeyValue(name.text, value.text, span, legacy=not separator.text))
    return tuple(pairs)


def _env(node: Node, common: Common, faults: Faults) -> Instruction | None:
    pairs = _key_values(node, faults)
    return None if pairs is None else Env(**common, pairs=pairs)


def _label(node: Node, common: Common, faults: Faults) -> Instruction | None:
    pairs = _key_values(node, faults)
    return None if pairs is None else Label(**common, pairs=pairs)


def _workdir(node: Node, common: Common, faults: Faults) -> Instruction | None:
    read_flags(node, faults)
    return Workdir(**common, path=node.rest.text) if _needs_argument(node, faults, "PATH") else None


def _user(node: Node, common: Common, faults: Faults) -> Instruction | None:
    read_flags(node, faults)
    return User(**common, user=node.rest.text) if _needs_argument(node, faults, "USER[:GROUP]") else None


def _maintainer(node: Node, common: Common, faults: Faults) -> Instruction | None:
    read_flags(node, faults)
    return Maintainer(**common, author=node.rest.text) if _needs_argument(node, faults, "NAME") else None


def _cmd(node: Node, common: Common, faults: Faults) -> Instruction | None:
    read_flags(node, faults)
    return Cmd(**common, command=command_of(node, node.args))


def _entrypoint(node: Node, common: Common, faults: Faults) -> Instruction | None:
    read_flags(node, faults)
    return Entrypoint(**common, command=command_of(node, node.args))


def _shell(node: Node, common: Common, faults: Faults) -> Instruction | None:
    read_flags(node, faults)
    if not node.args:
        hint = 'write SHELL ["/bin/sh", "-c"]'
        faults.add("missing-argument", "SHELL needs an argument", node.span_of(node.keyword), hint=hint)
        return None
    if not node.is_json:
        hint = f'write SHELL ["{cut_at_blanks(node.rest.text)[0][:80]}", …], with double quotes'
        span = node.line.span(node.rest.start, node.rest.end)
        faults.add("not-json", "SHELL takes a JSON array only", span, hint=hint)
        return None
    return Shell(**common, words=tuple(word.text for word in node.args))


def _expose(node: Node, common: Common, faults: Faults) -> Instruction | None:
    read_flags(node, faults)
    if not _needs_argument(node, faults, "PORT or EXPOSE PORT/udp"):
        return None
    return Expose(**common, ports=tuple(word.text for word in node.args))


def _volume(node: Node, common: Common, faults: Faults) -> Instruction | None:
    read_flags(node, faults)
    if not node.args:
        hint = "write VOLUME PATH"
        faults.add("missing-argument", "VOLUME needs an argument", node.span_of(node.keyword), hint=hint)
        return None
    paths = tuple(word.text.strip(SPACE) for word in node.args)
    if not all(paths):
        faults.add("blank-name", "a path of VOLUME is blank", node.line.span(node.rest.start, node.rest.end))
        return None
    return Volume(**common, paths=paths)


def _stop_signal(node: Node, common: Common, faults: Faults) -> Instruction | None:
    read_flags(node, faults)
    if not _needs_argument(node, faults, "SIGNAL"):
        return None
    return StopSignal(**common, signal=node.rest.text)


def _onbuild(node: Node, common: Common, faults: Faults) -> Instruction | None:
    read_flags(node, faults)
    child = node.child
    if child is None:
        hint = "write ONBUILD and an instruction"
        faults.add("missing-argument", "ONBUILD needs an instruction", node.span_of(node.keyword), hint=hint)
        return None
    if child.name == "onbuild":
        faults.add("onbuild-chain", "ONBUILD cannot hold another ONBUILD", node.span_of(child.keyword))
        return None
    if child.name in _NEVER_TRIGGERS:
        message = f"{child.keyword.text.upper()} cannot be an ONBUILD trigger"
        faults.add("onbuild-trigger", message, node.span_of(child.keyword))
        return None
    instruction = interpret(child, faults)
    if instruction is None:
        return None
    trigger = _TRIGGER_TEXT.sub("", node.line.text, count=1)
    for heredoc in node.heredocs:
        body = heredoc.content if heredoc.as_written is None else heredoc.as_written
        trigger += f"\n{body}{heredoc.name}"
    return OnBuild(**common, trigger=trigger, instruction=instruction)


_READERS: dict[str, Callable[[Node, Common, Faults], Instruction | None]] = {
    "add": commands.read_add,
    "arg": _arg,
    "cmd": _cmd,
    "copy": commands.read_copy,
    "entrypoint": _entrypoint,
    "env": _env,
    "expose": _expose,
    "from": commands.read_from,
    "healthcheck": commands.read_healthcheck,
    "label": _label,
    "maintainer": _maintainer,
    "onbuild": _onbuild,
    "run": commands.read_run,
    "shell": _shell,
    "stopsignal": _stop_signal,
    "user": _user,
    "volume": _volume,
    "workdir": _workdir,
}
