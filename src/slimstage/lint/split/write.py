"""The text of a split: two stages out of one, comments and layout kept."""

from __future__ import annotations

import re

from slimstage.dockerfile.instructions import Add, Copy, Instruction, Run, Workdir
from slimstage.lint.finding import Edit, Fix
from slimstage.lint.split.chunks import Chunk, chunks_of, whole, without_leading_blank
from slimstage.lint.split.decide import VENV, Placed, Split
from slimstage.lint.subject import Subject

_PATH = f"ENV PATH={VENV}/bin:$PATH\n"


def fix_of(split: Split, subject: Subject) -> Fix:
    """The stage's text replaced by that of two stages."""
    text = _text(split, subject).removesuffix("\n")
    return Fix("write the split into two stages", (Edit(whole(split.stage.stage), text),))


def _text(split: Split, subject: Subject) -> str:
    from_ = split.stage.stage.from_
    platform = f"--platform={from_.platform} " if from_.platform else ""
    own = f" AS {from_.name}" if from_.name else ""
    pairs = list(zip(split.placed, chunks_of(split.stage.stage), strict=True))
    builder = _builder(split, pairs)
    final = _final(split, pairs)
    return (
        f"FROM {platform}{split.base} AS {split.name}\n{without_leading_blank(builder)}"
        f"\nFROM {platform}{split.final_base}{own}\n{without_leading_blank(final)}"
    )


def _builder(split: Split, pairs: list[tuple[Placed, Chunk]]) -> str:
    inside = [(placed, chunk) for placed, chunk in pairs if placed.in_builder]
    return "".join(
        _with_environment(_in_builder(placed, chunk), chunk)
        if position == _start(split, inside)
        else _in_builder(placed, chunk)
        for position, (placed, chunk) in enumerate(inside)
    )


def _start(split: Split, inside: list[tuple[Placed, Chunk]]) -> int:
    """In front of what the virtual environment is made: the first COPY behind the system's packages, or the first install."""
    first = next(position for position, (placed, _) in enumerate(inside) if placed.instruction is split.first)
    start = first
    while start and isinstance(inside[start - 1][0].instruction, Copy | Add | Workdir):
        start -= 1
    while start < first and not isinstance(inside[start][0].instruction, Copy | Add):
        start += 1
    return start


def _with_environment(text: str, chunk: Chunk) -> str:
    """The text with the making of the virtual environment in front of the instruction, behind blank lines."""
    blank = "\n" if text.startswith("\n") else ""
    return f"{blank}RUN python3 -m venv {VENV}\n{_PATH}{text[len(blank) :]}"


def _in_builder(placed: Placed, chunk: Chunk) -> str:
    # What stands in both stages keeps its comments where the image is described.
    text = _blank(chunk) + chunk.body if placed.in_final else chunk.text
    if placed.instead:
        text = _blank(chunk) + "".join(f"{line}\n" for line in placed.instead)
    if placed.role is not None and placed.role.lacks_venv:
        word = placed.role.lacks_venv
        text = re.sub(rf"(?<=\s){re.escape(word)}(?=[\s;\\&]|\Z)", f"{word} python3-venv", text, count=1)
    return text


def _final(split: Split, pairs: list[tuple[Placed, Chunk]]) -> str:
    pieces: list[str] = []
    seen: set[str] = set()
    anchor = _anchor(split)
    for placed, chunk in pairs:
        role = placed.role
        if placed.instruction is anchor is not split.first:
            pieces.append(_copied(split, chunk))
        if role is not None and role.manager is not None and (role.tools or role.installs_python):
            kept = [name for name in role.kept if name not in seen]
            seen.update(kept)
            if kept or role.upgrades:
                pieces.append(_lead(chunk, placed) + _install(placed, kept))
        elif placed.in_final:
            pieces.append(chunk.text)
        if placed.instruction is anchor is split.first:
            pieces.append(_copied(split, chunk))
    return "".join(pieces)


def _anchor(split: Split) -> Instruction:
    """Where the packages come: in the place of the installation, or in front of sources that were copied for it."""
    for placed in split.placed:
        if placed.instruction is split.first:
            break
        if isinstance(placed.instruction, Copy | Add) and placed.in_builder and placed.in_final:
            return placed.instruction
    return split.first


def _copied(split: Split, chunk: Chunk) -> str:
    return f"{_blank(chunk)}COPY --from={split.name} {VENV} {VENV}\n{_PATH}"


def _lead(chunk: Chunk, placed: Placed) -> str:
    """What stands in front of an instruction in the final stage, where its comments are in the builder."""
    return _blank(chunk) if placed.in_builder else chunk.lead


def _blank(chunk: Chunk) -> str:
    return "\n" if chunk.lead.startswith("\n") else ""


def _install(placed: Placed, packages: list[str]) -> str:
    """An instruction that installs what is needed at run time, and nothing but that."""
    assert placed.role is not None
    assert isinstance(placed.instruction, Run)
    caches = [mount.value for mount in placed.instruction.mounts if "type=cache" in mount.value]
    mounts = "".join(f"--mount={value} " for value in caches)
    names = " ".join(dict.fromkeys(packages))
    if placed.role.manager == "apk":
        return f"RUN {mounts}apk add {'' if mounts else '--no-cache '}{names}\n"
    steps = ["apt-get upgrade -y"] if placed.role.upgrades else []
    steps += [f"apt-get install -y --no-install-recommends {names}"] if packages else []
    if any("/var/lib/apt" in value for value in caches):
        return f"RUN {mounts}\\\n    apt-get update && {' && '.join(steps)}\n"
    return (
        "".join(f"{step} && \\\n    " for step in (f"RUN {mounts}apt-get update", *steps))
        + "rm -rf /var/lib/apt/lists/*\n"
    )
