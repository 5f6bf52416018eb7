"""The instructions with flags: FROM, RUN, COPY, ADD, HEALTHCHECK. Node → value; faults are collected.

Source: BuildKit frontend/dockerfile/instructions/parse.go; dockerfile.md §1.2 to §1.4 and §1.7.
"""

from __future__ import annotations

import re
from typing import TypedDict

from slimstage.diagnostics import Span
from slimstage.dockerfile.faults import Faults, guess, quoted
from slimstage.dockerfile.flags import Flags, read_flags
from slimstage.dockerfile.heredocs import parse_operator
from slimstage.dockerfile.instructions import Add, Command, Copy, FlagText, From, Healthcheck, Heredoc, Instruction, Run
from slimstage.dockerfile.mounts import parse_mount
from slimstage.dockerfile.syntax import Node
from slimstage.dockerfile.values import parse_bool, parse_duration, parse_fields
from slimstage.dockerfile.words import Word
from slimstage.errors import DockerfileError
from slimstage.regex import pattern
from slimstage.values import dataclass

NETWORKS = ("default", "none", "host")
SECURITY = ("sandbox", "insecure")
_STAGE_NAME = pattern(r"[a-z][a-z0-9\-_.]*")
_VARIABLE = pattern(r"\$.", re.DOTALL)
_SHORTEST_NS = 10**6


class Common(TypedDict):
    """What every instruction value is made with."""

    span: Span
    text: str
    comments: tuple[str, ...]


def command_of(node: Node, args: tuple[Word, ...]) -> Command:
    """The command in the form it was written in; a missing one is the empty shell text."""
    if node.is_json:
        return Command("exec", tuple(word.text for word in args))
    return Command("shell", (" ".join(word.text for word in args),))


def read_from(node: Node, common: Common, faults: Faults) -> Instruction | None:
    """FROM [--platform=…] image [AS name]."""
    flags = read_flags(node, faults)
    args = node.args
    if len(args) == 3 and args[1].text.lower() == "as":
        name = args[2].text
        if not _STAGE_NAME.fullmatch(name.lower()):
            note = "a name starts with a letter and holds letters, digits, dots, dashes and underscores"
            faults.add("bad-stage-name", f"invalid name {quoted(name)} of a stage", node.span_of(args[2]), note)
            return None
        return From(**common, image=args[0].text, platform=flags.text("platform"), name=name)
    if len(args) != 1:
        place = node.span_of(args[1] if len(args) > 1 else node.keyword)
        faults.add("from-arguments", "FROM takes one image, and AS with a name", place, hint="write FROM IMAGE AS NAME")
        return None
    return From(**common, image=args[0].text, platform=flags.text("platform"))


def read_run(node: Node, common: Common, faults: Faults) -> Instruction | None:
    """RUN [flags] command, in shell or exec form, with heredocs."""
    flags = read_flags(node, faults)
    for mount in flags.all("mount"):
        try:
            parse_mount(mount.value, None)
        except DockerfileError as error:
            faults.take(error, mount.span)
    network = _one_of(flags, "network", NETWORKS, faults)
    security = _one_of(flags, "security", SECURITY, faults)
    for device in flags.all("device"):
        try:
            parse_device(device.value)
        except ValueError as error:
            faults.add("bad-device", str(error), device.span)
    if node.is_json and not node.args:
        faults.add("empty-command", "RUN [] has no command", node.line.span(node.rest.start, node.rest.end))
        return None
    return Run(
        **common,
        command=command_of(node, node.args),
        heredocs=node.heredocs,
        mounts=flags.all("mount"),
        network=network,
        security=security,
        devices=flags.all("device"),
    )


def _one_of(flags: Flags, name: str, known: tuple[str, ...], faults: Faults) -> str | None:
    flag = flags.one(name)
    if flag is None:
        return None
    if flag.value not in known:
        note = f"--{name} is one of {', '.join(known)}"
        message = f"invalid --{name} {quoted(flag.value)}"
        faults.add("bad-flag-value", message, flag.span, note, hint=guess(flag.value, known))
    return flag.value


@dataclass(frozen=True, slots=True)
class Device:
    """A CDI device that a RUN asks for."""

    name: str
    is_required: bool = False


def parse_device(text: str) -> Device:
    """`--device=NAME[,required]`, also `name=NAME,required=true`.

    Raises: ValueError with a sentence.
    Source: commands_rundevice.go.
    """
    name, is_required = "", False
    for field in parse_fields(text):
        key, equals, value = field.partition("=")
        key = key.lower()
        if key == "required":
            is_required = parse_bool(value) if equals else True
        elif key == "name" and equals:
            if name:
                raise ValueError(f'the device name is already "{name}"')
            name = value
        elif not name:
            name = field
        else:
            raise ValueError(f'unknown field "{field[:80]}" of the device')
    return Device(name, is_required)


@dataclass(frozen=True, slots=True)
class _Sources:
    paths: tuple[str, ...]
    heredocs: tuple[Heredoc, ...]
    destination: str


def _sources(node: Node, faults: Faults) -> _Sources | None:
    what = node.keyword.text.upper()
    args = node.args
    if len(args) < 2:
        message = f"{what} needs a source and a destination"
        note = "only one is given" if args else ""
        place = args[0] if args else node.keyword
        faults.add("missing-destination", message, node.span_of(place), note, hint=f"write {what} SOURCE DESTINATION")
        return None
    if node.is_json:
        return _Sources(tuple(word.text for word in args[:-1]), (), args[-1].text)
    if _operator(args[-1].text):
        message = f"{what} cannot have a heredoc as destination"
        faults.add("heredoc-destination", message, node.span_of(args[-1]))
        return None
    paths = tuple(word.text for word in args[:-1] if not _operator(word.text))
    if len(args) - 1 - len(paths) != len(node.heredocs):
        word = next((word for word in args if "<<" in word.text), args[0])
        message = f"{what} cannot read this heredoc's name"
        hint = "write it in one piece, as <<EOF"
        faults.add(
            "heredoc-word", message, node.span_of(word), "the name holds blanks or quotes around blanks", hint=hint
        )
        return None
    return _Sources(paths, node.heredocs, args[-1].text)


def _operator(word: str) -> bool:
    try:
        return parse_operator(word) is not None
    except DockerfileError:
        return False


def read_copy(node: Node, common: Common, faults: Faults) -> Instruction | None:
    """COPY [flags] source… destination."""
    flags = read_flags(node, faults)
    from_ = flags.one("from")
    if from_ and _VARIABLE.search(from_.value):
        hint = "give the stage or image a name: FROM $IMAGE AS NAME, then --from=NAME"
        faults.add("from-variable", "--from of COPY cannot hold a variable", from_.span, hint=hint)
    found = _sources(node, faults)
    if found is None:
        return None
    return Copy(
        **common,
        sources=found.paths,
        destination=found.destination,
        heredocs=found.heredocs,
        from_=flags.text("from"),
        chown=flags.text("chown"),
        chmod=flags.text("chmod"),
        link=flags.is_set("link") or False,
        parents=flags.is_set("parents") or False,
        exclude=_values(flags.all("exclude")),
    )


def read_add(node: Node, common: Common, faults: Faults) -> Instruction | None:
    """ADD [flags] source… destination."""
    flags = read_flags(node, faults)
    found = _sources(node, faults)
    if found is None:
        return None
    return Add(
        **common,
        sources=found.paths,
        destination=found.destination,
        heredocs=found.heredocs,
        chown=flags.text("chown"),
        chmod=flags.text("chmod"),
        link=flags.is_set("link") or False,
        exclude=_values(flags.all("exclude")),
        checksum=flags.text("checksum"),
        keep_git_dir=flags.is_set("keep-git-dir"),
        unpack=flags.is_set("unpack"),
    )


def _values(flags: tuple[FlagText, ...]) -> tuple[str, ...]:
    return tuple(flag.value for flag in flags)


def read_healthcheck(node: Node, common: Common, faults: Faults) -> Instruction | None:
    """HEALTHCHECK NONE, or HEALTHCHECK [flags] CMD command."""
    flags = read_flags(node, faults)
    if not node.args:
        hint = "write HEALTHCHECK CMD COMMAND, or HEALTHCHECK NONE"
        faults.add("missing-argument", "HEALTHCHECK needs an argument", node.span_of(node.keyword), hint=hint)
        return None
    kind, args = node.args[0], node.args[1:]
    if kind.text.upper() == "NONE":
        if args or node.is_json:
            faults.add(
                "too-many-arguments", "HEALTHCHECK NONE takes no arguments", node.span_of(args[0] if args else kind)
            )
            return None
        return Healthcheck(**common, test=("NONE",))
    if kind.text.upper() != "CMD":
        message = f"HEALTHCHECK cannot be {quoted(kind.text)}"
        hint = guess(kind.text, ("CMD", "NONE")) or "write CMD in front of the command"
        faults.add("bad-healthcheck", message, node.span_of(kind), "it is CMD with a command, or NONE", hint=hint)
        return None
    command = command_of(node, args)
    if not args:
        faults.add("empty-command", "HEALTHCHECK CMD has no command", node.span_of(kind))
        return None
    word = "CMD" if node.is_json else "CMD-SHELL"
    return Healthcheck(
        **common,
        test=(word, *command.words),
        interval_ns=_duration(flags, "interval", faults),
        timeout_ns=_duration(flags, "timeout", faults),
        start_period_ns=_duration(flags, "start-period", faults),
        start_interval_ns=_duration(flags, "start-interval", faults),
        retries=_retries(flags, faults),
    )


def _duration(flags: Flags, name: str, faults: Faults) -> int:
    flag = flags.one(name)
    if flag is None or not flag.value:
        return 0
    try:
        nanoseconds = parse_duration(flag.value)
    except ValueError as error:
        faults.add("bad-duration", f"--{name}: {error}", flag.span)
        return 0
    if nanoseconds and nanoseconds < _SHORTEST_NS:
        note = "0 means that the base image's value stays"
        faults.add("bad-duration", f"--{name} cannot be less than 1ms", flag.span, note)
        return 0
    return nanoseconds


def _retries(flags: Flags, faults: Faults) -> int:
    flag = flags.one("retries")
    if flag is None or not flag.value:
        return 0
    if not re.fullmatch(r"[+-]?[0-9]{1,10}", flag.value) or not -(2**31) <= int(flag.value) < 2**31:
        faults.add("bad-flag-value", f"--retries {quoted(flag.value)} is no number", flag.span)
        return 0
    if int(flag.value) < 0:
        faults.add("bad-flag-value", f"--retries cannot be negative, not {flag.value}", flag.span)
        return 0
    return int(flag.value)
