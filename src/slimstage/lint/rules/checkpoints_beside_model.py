"""Checkpoints and the state of training in an image that has its model already."""

from __future__ import annotations

import re
from collections.abc import Iterator

from slimstage.lint.contents import brought, image_copies, total_bytes, word_for
from slimstage.lint.finding import Finding
from slimstage.lint.kinds import kind_of, of_kind
from slimstage.lint.places import word_span
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import ContextFile, Subject
from slimstage.lint.wording import quoted, size_text
from slimstage.regex import pattern

_SMALLEST = 10_000_000
_STATE = pattern(r"(?:optimizer|optim|scheduler|scaler|rng_state|trainer_state|training_args|events\.out\.tfevents)")


def check(subject: Subject) -> Iterator[Finding]:
    copies = [(stage, copy, brought(subject, stage, copy)) for stage, copy in image_copies(subject)]
    has_model = any(kind_of(file.path, file.size_bytes) == "weights" for _, _, files in copies for file in files)
    for stage, copy, files in copies:
        left = _not_needed(of_kind(files, "checkpoint"), has_model=has_model)
        size = total_bytes(left)
        if size < _SMALLEST:
            continue
        is_direct = getattr(copy, "from_", None) is None
        word = word_for(subject, stage, copy, left[0].path) if is_direct else copy.sources[0]
        yield Finding(
            RULE.name,
            f"{size_text(size)} of checkpoints and training state come beside the model: "
            f"{quoted([file.path for file in left], most=3)}",
            word_span(subject, copy, word),
            hint="copy the one file that is served",
            saving_bytes=size,
        )


def _not_needed(files: list[ContextFile], *, has_model: bool) -> list[ContextFile]:
    """State always; all checkpoints where there is a model, else all but those of the last directory or step."""
    state = [file for file in files if _STATE.match(file.path.rpartition("/")[2].lower())]
    rest = [file for file in files if file not in state]
    if has_model or not rest:
        return sorted([*state, *rest], key=lambda file: -file.size_bytes)
    steps = {_step(file.path) for file in rest}
    return [*state, *(file for file in rest if _step(file.path) != max(steps))]


def _step(path: str) -> tuple[int, ...]:
    """The numbers of a path: `checkpoint-500/model.pt` → (500,). Shards of one model (`00001-of-00003`) count as one."""
    return tuple(int(number) for number in re.findall(r"\d+", re.sub(r"\d+-of-\d+", "", path)))


RULE = Rule(
    name="CheckpointsBesideModel",
    group="ml",
    summary="checkpoints or the state of training come beside the model",
    why="""\
Training leaves a checkpoint for every so many steps, and beside each the state of the optimizer, which is twice the size of
the weights. A service loads one file of all that.

Sizes come from the real context. Silent below 10 MB, and where the only checkpoint is the model: then nothing but the state
beside it is told.
""",
    bad=Example(
        'FROM python:3.12-slim\nWORKDIR /app\nCOPY serve.py .\nCOPY run/ model/\nCMD ["python", "serve.py"]\n',
        files={
            "serve.py": "print()\n",
            "run/model.safetensors": 400_000_000,
            "run/checkpoint-500/model.safetensors": 400_000_000,
            "run/checkpoint-500/optimizer.pt": 800_000_000,
        },
        ignore=".git\n",
    ),
    good=Example(
        "FROM python:3.12-slim\n"
        "WORKDIR /app\n"
        "COPY run/model.safetensors model/\n"
        "COPY serve.py .\n"
        'CMD ["python", "serve.py"]\n',
        files={
            "serve.py": "print()\n",
            "run/model.safetensors": 400_000_000,
            "run/checkpoint-500/model.safetensors": 400_000_000,
            "run/checkpoint-500/optimizer.pt": 800_000_000,
        },
        ignore=".git\n",
    ),
    check=check,
)
