"""Generated cases: stages, their scopes and their links to each other, over one context."""

from __future__ import annotations

import re

from hypothesis import strategies as st

from differential import words
from differential.commands import is_wrong_mount, runs
from differential.contexts import contexts, further, named
from differential.files import Sources, copies
from differential.words import mostly
from slimstage.diagnostics import Source, Span
from slimstage.dockerfile.parse import parse_trigger
from slimstage.errors import DockerfileError
from support.buildkit_case import Case

_sampled = st.sampled_from
NAMES = ("one", "two", "Three", "base2")
_ARGS = {
    "A": ("x", "", "xyx", "/from/arg", "a b"),
    "B": ("bb", "$A"),
    "U": ("u",),
    "B_": ("base", "rich", "one"),
    "TARGETARCH": ("mips",),
    "HTTP_PROXY": ("http://proxy:1",),
    "C": ("7:8",),
    "M": ("711",),
    "P": ("8080",),
    "S": ("SIGHUP",),
    "UNUSED": ("1",),
    "PATH": ("/p",),
    "BUILDKIT_SANDBOX_HOSTNAME": ("h",),
    "TARGETPLATFORM": ("linux/amd64",),  # of another one our bases are none (docs/decisions/0013)
}
_PLATFORMS = mostly(
    (
        "",
        "",
        "",
        "--platform=$BUILDPLATFORM ",
        "--platform=linux/amd64 ",
        "--platform=$TARGETPLATFORM ",
        "--platform=amd64 ",
    ),
    (
        "--platform=linux ",
        "--platform=${A:-linux/amd64} ",
        "--platform=$NOPE ",
        "--platform= ",
    ),
    15,
)
_WORDS = (
    *((),) * 20, ("--label", "k=v=w", "--label", "l"), ("--label=base=mine",), ("--platform=linux/amd64",), ("--target=0",),
    ("--add-host=h:1.2.3.4",), ("--shm-size=1m",), ("--label=",),
    ("--ulimit=nofile=100:200",), ("--build-arg=A",), ("--ulimit=core=0",),
    ("--platform=linux/amd64/v2",),
)  # fmt: skip
_FOREIGN = ((), ("--platform=linux/arm64",), ("--platform=linux/arm/v6",), ("--platform=linux/riscv64",))
"""Of a Dockerfile without bases: an image for another platform is no base here (docs/decisions/0013)."""


@st.composite
def _instructions(draw: st.DrawFn, known: Sources, number: int) -> str:
    kind = draw(st.integers(0, 11))
    if kind <= 3:
        made = draw(copies(known))
    elif kind <= 6:
        made = draw(runs(known.stages, number))
    elif kind == 7:
        made = draw(words.environment)
    elif kind == 8:
        made = draw(words.arguments)
    elif kind == 9:
        made = draw(words.places)
    elif kind == 10:
        made = draw(st.one_of(words.users, words.shells))
    else:
        made = draw(words.config)
    if draw(st.integers(0, 17)) == 17 and _makes_sense(made):
        return f"ONBUILD {made}"
    return made


def _makes_sense(instruction: str) -> bool:
    """A trigger that does not is refused by us where it is written: docs/decisions/0013-where-we-differ.md."""
    try:
        parse_trigger(instruction, _NOWHERE)
    except DockerfileError:
        return False
    return True


_NOWHERE = Span(Source("", ""), 1, 1, 1, 1)
_MOUNT = re.compile(r"--mount=\S*")


def _without_wrong_mounts(instruction: str) -> str:
    """For stages that may not be needed."""
    return _MOUNT.sub(lambda flag: "" if is_wrong_mount(flag[0]) else flag[0], instruction)


@st.composite
def cases(draw: st.DrawFn, flags: frozenset[str]) -> Case:
    """flags: of the newer flags, those that this BuildKit knows."""
    context = draw(contexts())
    paths = named(context)
    served = tuple(entry for entry in context if entry.kind in ("file", "tar"))
    more = draw(further())
    is_whole = not any(entry.path.endswith("dockerignore") for entry in context)
    lines: list[str] = []
    if draw(st.integers(0, 14)) == 14:
        lines.append(
            draw(_sampled(("# check=skip=all", "# check=error=false", "# escape=\\", "#escape = \\", "# unknown=x")))
        )
    if draw(st.integers(0, 9)) == 9:
        lines.append("# comment above")
    lines += draw(st.lists(words.arguments, max_size=2))
    bases = ["base", "rich"]
    stages: list[str] = []
    starts: set[str] = set()
    bare = {"scratch"}
    """Of these not every directory is there through which a WORKDIR goes."""
    count = draw(_sampled((1, 1, 2, 2, 3, 4)))
    for number in range(count):
        start = draw(_sampled((*bases, "base", "base", "rich", "scratch", *(stages * 3), "${B_:-base}")))
        starts.add(start.lower())
        platform = draw(_PLATFORMS)
        name = draw(_sampled(("", *NAMES)))
        lines.append(f"FROM {platform}{start}" + (f" {draw(_sampled(('AS', 'as')))} {name}" if name else ""))
        others = (*stages, *map(str, range(number)), *bases, *more)
        known = Sources(paths, served, others, flags, is_whole)
        if start == "scratch" and draw(st.integers(0, 3)):
            lines.append("COPY --from=base /bin /bin")
        for _ in range(draw(st.integers(1, 7))):
            made = draw(_instructions(known, number))
            if start.lower() in bare:
                # RUN in /missing/../x makes /missing with BuildKit: docs/differential.md.
                made = made.replace("/etc/../y", "/y").replace("/tmp/../k", "/k")
            if number < count - 1 or made.startswith("ONBUILD "):
                made = _without_wrong_mounts(made)
            lines += [made, ""] if draw(st.integers(0, 9)) == 9 else [made]
        if start.lower() in bare:
            bare.add(name.lower() or str(number))
        if name:
            stages.append(name)
    args = {
        name: draw(_sampled(_ARGS[name])) for name in draw(st.lists(_sampled(sorted(_ARGS)), max_size=3, unique=True))
    }
    target = draw(_sampled(("", "", "", "", *stages, *(name.upper() for name in stages))))
    if any(is_wrong_mount(flag) for flag in _MOUNT.findall("\n".join(lines))):
        target = ""  # the last stage must be needed
    # A directory is no image: BuildKit cannot export one, and what stands on one has no history for it.
    images = {*starts, args.get("B_", ""), (target or name).lower()}
    more = {each: files for each, files in more.items() if each not in images}
    secrets = {"s1": "secret value\n"}
    text = "\n".join(lines) + "\n"
    if draw(st.integers(0, 19)) == 19 and "\\" not in text.replace("\\\n", ""):
        text = "# escape=`\n" + text.replace("\\\n", "`\n")
    if draw(st.integers(0, 29)) == 29:
        text = text.replace("\n", "\r\n")
    has_base = any(base in text for base in (*bases, "$"))
    return Case(text, context, args, target, secrets, more, draw(_sampled(_WORDS if has_base else _FOREIGN)))
