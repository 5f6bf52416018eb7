"""Files or packages of an earlier layer are removed in a later one, where they can only be hidden."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.dockerfile.instructions import Copy, Run
from slimstage.lint.commands.command import FAMILY, Family, Install, Remove
from slimstage.lint.finding import Finding
from slimstage.lint.layer_contents import Brought, brought_by, covers, target_of
from slimstage.lint.rule import Example, Rule
from slimstage.lint.rules.changed_in_later_layer import LITTLE
from slimstage.lint.subject import StageView, Subject
from slimstage.lint.wording import quoted, size_text


def check(subject: Subject) -> Iterator[Finding]:
    before: list[Brought] = []
    installed: dict[tuple[Family, str], Run] = {}
    for view in reversed([*subject.final.chain()]):
        for instruction in (*view.triggers, *view.instructions):
            if isinstance(instruction, Run):
                yield from _files(subject, view, instruction, before)
                yield from _packages(subject, view, instruction, installed)
                for command in subject.commands(view, instruction):
                    if isinstance(command, Install):
                        names = [each.name for each in command.packages if each.name]
                        for name in (*names, *filter(None, (command.options.virtual,))):
                            installed[command.family, name] = instruction
            before += brought_by(subject, view, instruction)


def _files(subject: Subject, view: StageView, run: Run, before: list[Brought]) -> Iterator[Finding]:
    for command in subject.commands(view, run):
        if not isinstance(command, Remove) or command.manager is not None or not command.invocation.is_certain:
            continue
        for word in command.paths:
            target = target_of(subject, view, run, command, word)
            gone = [
                each
                for each in before
                if target is not None and target != "/" and covers(target, each) and _is_worth(each)
            ]
            if gone:
                first = max(reversed(gone), key=lambda each: each.size_bytes or 0)
                known = sum(each.size_bytes or 0 for each in gone)
                yield Finding(
                    RULE.name,
                    f'"{word.shape}" stays in the layer of line {first.instruction.span.line}: removing it here only hides it',
                    word.span if word.is_exact else command.invocation.span,
                    notes=(f"{size_text(known)} of the build context",) if known else (),
                    hint=_hint(first),
                    saving_bytes=known or None,
                )


def _is_worth(brought: Brought) -> bool:
    """It is large, or of unknown size and more than one file."""
    if brought.size_bytes is not None:
        return brought.size_bytes >= LITTLE
    return not brought.is_file or brought.what == "a download"


def _hint(brought: Brought) -> str:
    if isinstance(brought.instruction, Copy):
        source = brought.instruction.sources[0]
        origin = f"from={brought.instruction.from_}," if brought.instruction.from_ else ""
        return f"mount it for the RUN that needs it: --mount=type=bind,{origin}source={source},target={brought.path}"
    return "remove it in the RUN that makes it"


def _packages(
    subject: Subject, view: StageView, run: Run, installed: dict[tuple[Family, str], Run]
) -> Iterator[Finding]:
    for command in subject.commands(view, run):
        if not isinstance(command, Remove) or command.manager is None or not command.invocation.is_certain:
            continue
        family = FAMILY[command.manager]
        there = [each for each in command.packages if (family, each.name) in installed]
        if there:
            line = installed[family, there[0].name].span.line
            yield Finding(
                RULE.name,
                f"{quoted([each.name for each in there])} stay in the layer of line {line}: removing them here only hides them"
                if len(there) > 1
                else f'"{there[0].name}" stays in the layer of line {line}: removing it here only hides it',
                command.invocation.span,
                hint="install, use and remove it in one RUN, or do that part in a stage of its own",
            )


RULE = Rule(
    name="RemovedInLaterLayer",
    group="bytes",
    summary="a RUN removes what an earlier layer holds, which frees nothing",
    why="""\
Layers are put on each other. What a layer holds is in the image and in every pull of it, whether or not a later layer hides it.

What only a RUN needs can be mounted for that RUN (`--mount=type=bind`), or be made, used and removed in one RUN; compilers
belong into a stage of their own.

Told where the file says who brought it: COPY, ADD, a download, an installation of the same name. Silent for files of the base
image, which nobody can take out of it, and below 1 MB.
""",
    bad=Example(
        "FROM python:3.12-slim AS wheels\n"
        "RUN --mount=type=cache,target=/root/.cache/pip pip wheel -w /wheels numpy==2.1.0\n"
        "\n"
        "FROM python:3.12-slim\n"
        "COPY --from=wheels /wheels /wheels\n"
        "RUN pip install --no-index --find-links /wheels numpy==2.1.0\n"
        "RUN rm -rf /wheels\n"
        "USER 10001\n"
        'CMD ["python", "-c", "import numpy"]\n'
    ),
    good=Example(
        "FROM python:3.12-slim AS wheels\n"
        "RUN --mount=type=cache,target=/root/.cache/pip pip wheel -w /wheels numpy==2.1.0\n"
        "\n"
        "FROM python:3.12-slim\n"
        "RUN --mount=type=bind,from=wheels,source=/wheels,target=/wheels \\\n"
        "    pip install --no-index --find-links /wheels numpy==2.1.0\n"
        "USER 10001\n"
        'CMD ["python", "-c", "import numpy"]\n'
    ),
    check=check,
)
