"""Which instructions of a stage belong to a builder, and which to the image.

A split is decided only when every instruction is understood; else the answer is the instruction that is not, with the
reason. The builder makes a virtual environment; the final stage copies it and keeps everything else: libraries that are
needed at run time, files, ENV, WORKDIR, USER, CMD.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from slimstage.context.patterns import has_wildcards
from slimstage.dockerfile.instructions import (
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Healthcheck,
    Instruction,
    OnBuild,
    Run,
    Shell,
    User,
    Workdir,
)
from slimstage.lint.contents import source_paths
from slimstage.lint.requirement_copies import requirement_copies
from slimstage.lint.split.read import role_of
from slimstage.lint.split.roles import Role
from slimstage.lint.subject import StageView, Subject
from slimstage.regex import pattern
from slimstage.values import dataclass

VENV = "/opt/venv"
"""Where the packages go; a file that speaks of a virtual environment itself is not split."""

_OWN_PLACES = pattern(
    r"\bvenv\b|VIRTUAL_ENV|PYTHONHOME|PIP_(?:USER|TARGET|PREFIX|ROOT|PYTHON)\b|site-packages|dist-packages"
    r"|/usr/local/(?:bin|lib)|/usr/bin/(?:python|pip|gunicorn|uvicorn|flask|celery)"
)
"""Words that know where packages are: they would look in the wrong place after a split."""
_TOOLS_AT_RUN_TIME = pattern(
    r"\b(?:git|gcc|g\+\+|cc|c\+\+|clang|make|cmake|ninja|nvcc|gfortran|pkg-config|cython|pyximport|numba|torch\.compile|torch_compile"
    r"|triton|vllm|deepspeed|flashinfer|sglang|jupyter\w*|notebook)\b"
)
"""Programs that building needs, or that themselves compile, where they are named in what stays."""


@dataclass(frozen=True, slots=True)
class NotSplit:
    """Why not: the instruction that keeps the stage whole, and the reason."""

    at: Instruction
    reason: str


@dataclass(frozen=True, slots=True)
class Placed:
    """An instruction and where it goes. role: of a RUN. instead: the lines that the builder gets in its place."""

    instruction: Instruction
    in_builder: bool
    in_final: bool
    role: Role | None = None
    instead: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Split:
    """placed: all instructions in order. first: the RUN that installs Python packages first. name: of the builder."""

    stage: StageView
    placed: tuple[Placed, ...]
    first: Instruction
    name: str
    base: str
    final_base: str


def split_of(subject: Subject, stage: StageView, *, final_base: str) -> Split | NotSplit:
    """The split of a stage that stands on an image.

    final_base: what the final stage's FROM names, as written.
    """
    from_ = stage.stage.from_
    if stage.parent is not None or stage.readers or stage.triggers:
        return NotSplit(from_, "other stages are tied to this one")
    roles: dict[int, Role] = {}
    for instruction in stage.instructions:
        if isinstance(instruction, Run):
            role = role_of(subject, stage, instruction)
            if isinstance(role, str):
                return NotSplit(instruction, role)
            roles[id(instruction)] = role
    installing = [each for each in stage.instructions if id(each) in roles and roles[id(each)].installs_python]
    if not installing:
        return NotSplit(from_, "no RUN installs Python packages")
    last = stage.instructions.index(installing[-1])
    placed: list[Placed] = []
    for position, instruction in enumerate(stage.instructions):
        found = _placed(subject, stage, instruction, roles, is_before=position <= last, installing=installing)
        if isinstance(found, NotSplit):
            return found
        placed.append(found)
    first = installing[0]
    if refused := _without_interpreter(stage, placed, first):
        return refused
    return Split(stage, tuple(placed), first, _name(subject), from_.image, final_base)


def _placed(
    subject: Subject,
    stage: StageView,
    instruction: Instruction,
    roles: dict[int, Role],
    *,
    is_before: bool,
    installing: Sequence[Instruction],
) -> Placed | NotSplit:
    """Where one instruction goes. is_before: no further RUN installs Python packages behind it, or it is the last."""
    if isinstance(instruction, Run):
        role = roles[id(instruction)]
        if role.is_neutral:
            if reason := _reason_against(instruction):
                return NotSplit(instruction, reason)
            return Placed(instruction, in_builder=False, in_final=True, role=role)
        if not is_before:
            # System packages behind the last installation: nothing is built with them, so none is a tool of it.
            stays = bool(role.kept) or not role.tools
            return Placed(instruction, in_builder=False, in_final=stays, role=role)
        is_for_both = not role.tools and not role.installs_python
        return Placed(instruction, in_builder=True, in_final=is_for_both, role=role)
    if isinstance(instruction, User) and is_before:
        return NotSplit(instruction, "packages are installed as another user than root")
    if isinstance(instruction, Env | Arg | Workdir | Shell):
        if reason := _reason_against(instruction):
            return NotSplit(instruction, reason)
        return Placed(instruction, in_builder=is_before, in_final=True)
    if isinstance(instruction, Copy | Add):
        return _placed_copy(subject, stage, instruction, roles, installing, is_before=is_before)
    if isinstance(instruction, OnBuild):
        return NotSplit(instruction, "what ONBUILD adds is not known here")
    if isinstance(instruction, Cmd | Entrypoint | Healthcheck) and (reason := _reason_against(instruction, subject)):
        return NotSplit(instruction, reason)
    return Placed(instruction, in_builder=False, in_final=True)


def _placed_copy(
    subject: Subject,
    stage: StageView,
    copy: Copy | Add,
    roles: dict[int, Role],
    installing: Sequence[Instruction],
    *,
    is_before: bool,
) -> Placed | NotSplit:
    if _OWN_PLACES.search(copy.text):
        return NotSplit(copy, "it speaks of where packages are")
    position = stage.instructions.index(copy)
    behind = [roles[id(each)] for each in installing if stage.instructions.index(each) > position]
    if not is_before or not behind:
        return Placed(copy, in_builder=False, in_final=True)
    sources = source_paths(subject, stage, copy)
    if sources is None:
        return NotSplit(copy, "a variable in it has no known value")
    if any(role.installs_project for role in behind) or copy.heredocs:
        return Placed(copy, in_builder=True, in_final=True)
    names = {posixpath.basename(file) for role in behind for file in role.requirements}
    paths = [path for _, path in sources]
    is_renamed = len(paths) == 1 and posixpath.basename(copy.destination) in names
    are_named = bool(paths) and all(posixpath.basename(path) in names for path in paths)
    if (is_renamed or are_named) and not has_from(copy):
        return Placed(copy, in_builder=True, in_final=False)  # only the installation reads them
    brings = is_renamed or any(
        not path or has_wildcards(path) or posixpath.basename(path) in names or "." not in posixpath.basename(path)
        for path in paths
    )
    # Of everything, the builder needs the requirement files alone.
    runs = [each for each in installing if stage.instructions.index(each) > position]
    reads = [(run, file) for run in runs for file in roles[id(run)].requirements]
    lines = requirement_copies(subject, stage, copy, reads) if brings and reads else None
    return Placed(copy, in_builder=brings, in_final=True, instead=tuple(lines or ()))


def has_from(copy: Copy | Add) -> bool:
    return getattr(copy, "from_", None) is not None


def _reason_against(instruction: Instruction, subject: Subject | None = None) -> str | None:
    """What in an instruction that stays keeps the stage whole."""
    text = instruction.text
    if found := _OWN_PLACES.search(text):
        return f'"{found.group().strip()}" is where packages are now'
    if isinstance(instruction, Env):
        for pair in instruction.pairs:
            if pair.name == "PATH" and "$PATH" not in (pair.value or "") and "${PATH}" not in (pair.value or ""):
                return "PATH is set without what it was before"
    elif found := _TOOLS_AT_RUN_TIME.search(text):
        return f'"{found.group()}" is a tool of building'
    if subject is not None and isinstance(instruction, Cmd | Entrypoint | Healthcheck):
        return _reason_in_scripts(instruction, subject)
    return None


def _reason_in_scripts(instruction: Cmd | Entrypoint | Healthcheck, subject: Subject) -> str | None:
    """A script of the project that the command runs must say nothing of where packages or tools are either."""
    words = _words_of(instruction)
    for position, word in enumerate(words):
        name = posixpath.basename(word)
        is_program = position == 0 and "/" in word and not word.startswith(_SYSTEM_PROGRAMS)
        if not is_program and not name.endswith((".sh", ".bash")):
            continue
        context = subject.context
        files = [file.path for file in context.files() if posixpath.basename(file.path) == name] if context else []
        texts = [context.read(path) for path in files] if context else []
        if not texts or any(text is None for text in texts):
            return f'what "{word}" does is not known'
        for text in texts:
            if _OWN_PLACES.search(text or "") or _TOOLS_AT_RUN_TIME.search(text or ""):
                return f'"{word}" speaks of where packages or tools are'
    return None


_SYSTEM_PROGRAMS = ("/usr/bin/", "/bin/", "/sbin/", "/usr/sbin/")


def _words_of(instruction: Cmd | Entrypoint | Healthcheck) -> list[str]:
    """The words of what is started, quotes and commas of arrays taken away."""
    words = instruction.test[1:] if isinstance(instruction, Healthcheck) else instruction.command.words
    return [word.strip("\"'") for each in words for word in each.split()]


def _without_interpreter(stage: StageView, placed: Sequence[Placed], first: Instruction) -> NotSplit | None:
    """Refuses where the interpreter comes with the same RUN that uses it, so that nothing can stand between."""
    image = stage.stage.from_.image.removeprefix("docker.io/").removeprefix("library/")
    if image.partition("@")[0].partition(":")[0] == "python":
        return None
    for each in placed:
        if each.role is not None and each.role.provides_python:
            return (
                NotSplit(first, "the interpreter is installed by the same RUN") if each.instruction is first else None
            )
        if each.instruction is first:
            break
    return NotSplit(stage.stage.from_, "whether the base has a Python that makes virtual environments is not known")


def _name(subject: Subject) -> str:
    taken = {view.stage.name for view in subject.stages} | {view.stage.from_.image.lower() for view in subject.stages}
    names = ("builder", "packages", *(f"builder-{number}" for number in range(2, len(subject.stages) + 4)))
    return next(name for name in names if name not in taken)
