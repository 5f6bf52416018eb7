"""UndefinedVar: a variable is defined in front of where it is used."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.dockerfile.instructions import (
    Add,
    Arg,
    Copy,
    Env,
    Heredoc,
    Instruction,
    Label,
    Run,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from slimstage.dockerfile.values import parse_fields
from slimstage.lint import narrow
from slimstage.lint.finding import Finding
from slimstage.lint.images import ImageNames, variables_of
from slimstage.lint.lookups import did_you_mean, look_up
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import StageView, Subject

_NEVER_SET = ("BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE")
_MAYBE = "the base image may set it: name it with ARG or ENV to be sure"


def check(subject: Subject) -> Iterator[Finding]:
    for view in subject.stages:
        for each in (*view.triggers, *view.instructions):
            if "$" in each.text or _heredocs(each):
                yield from _found(subject, view, each)


def _found(subject: Subject, view: StageView, instruction: Instruction) -> Iterator[Finding]:
    seen = subject.seen(view, instruction)
    image = _image(subject, view)
    names = seen.names | image.names
    env = {**dict.fromkeys(names, ""), **seen.values}
    escape = subject.dockerfile.escape
    words = [look_up(word, env, escape).unset for word in _words(instruction, subject)]
    words += [_unset_in_body(body, env) for body in _heredocs(instruction)]
    declared = {*seen.declared, *_NEVER_SET}
    for number, unset in enumerate(words):
        if isinstance(instruction, Arg) and number:
            declared.add(instruction.args[number - 1].name)  # an ARG sees those in front of it in its own line
        for name in sorted(unset - declared):
            message = f"Usage of undefined variable '${name}'{did_you_mean(name, names, '$')}"
            is_sure = image.is_whole or "did you mean" in message
            yield Finding(
                "UndefinedVar",
                message,
                narrow.variable(subject, instruction, name),
                severity=None if is_sure else "info",
                hint=None if is_sure else _MAYBE,
            )


def _image(subject: Subject, view: StageView) -> ImageNames:
    *_, root = view.chain()
    facts = subject.facts(root)
    return variables_of(root.base) if facts is None else ImageNames(frozenset(facts.env))


def _words(instruction: Instruction, subject: Subject) -> Iterator[str]:
    """What BuildKit expands word by word. EXPOSE is not looked at, as there, nor what a shell expands."""
    match instruction:
        case Env(pairs=pairs) | Label(pairs=pairs):
            for pair in pairs:
                yield pair.name
                yield pair.value or ""
        case Arg(args=args):
            given = subject.request.given_args
            for arg in args:
                yield "" if arg.name in given else arg.value or ""
        case Copy(chown=chown, chmod=chmod, sources=sources, destination=destination):
            yield from (chown or "", chmod or "", *sources, destination)
        case Add(chown=chown, chmod=chmod, checksum=checksum, sources=sources, destination=destination):
            yield from (chown or "", chmod or "", checksum or "", *sources, destination)
        case Workdir(path=path):
            yield path
        case User(user=user):
            yield user
        case Volume(paths=paths):
            yield from paths
        case StopSignal(signal=signal):
            yield signal
        case Run(mounts=mounts):
            for mount in mounts:
                yield from _mount_values(mount.value)


def _mount_values(text: str) -> Iterator[str]:
    try:
        fields = parse_fields(text)
    except ValueError:
        return
    for field in fields:
        key, _, value = field.partition("=")
        if key.lower() != "from":
            yield value


def _heredocs(instruction: Instruction) -> list[str]:
    heredocs: tuple[Heredoc, ...] = instruction.heredocs if isinstance(instruction, Copy | Add) else ()
    return [each.content for each in heredocs if each.expands and "$" in each.content]


def _unset_in_body(body: str, env: dict[str, str]) -> frozenset[str]:
    return look_up(body, env, "\\", reads_quotes=False).unset


RULE = Rule(
    name="UndefinedVar",
    group="buildkit",
    summary="variables should be defined before their use",
    why="""\
A variable that nothing defines is empty, so `COPY $SRC .` quietly becomes `COPY .`. Variables of RUN, CMD and ENTRYPOINT are
the shell's own and not looked at.

BuildKit asks the registry what the base image sets. `slimstage check` asks nobody: of images that everybody uses it knows the
variables, and what another image may set is said as advice only.
""",
    bad=Example("FROM alpine:3.20\nARG DIR_ASSETS=assets/\nCOPY $DIR_ASSET /srv/\n"),
    good=Example("FROM alpine:3.20\nARG DIR_ASSETS=assets/\nCOPY $DIR_ASSETS /srv/\n"),
    check=check,
    asks_reached=True,
)
