"""A final stage that stands on an image with CUDA's compiler and headers."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.lint.finding import Finding
from slimstage.lint.places import word_span
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import StageView, Subject
from slimstage.lint.workplace import is_workplace
from slimstage.regex import pattern

_COMPILES_AT_RUN_TIME = pattern(
    r"(?i)\bnvcc\b|\bnvrtc\b|\bvllm\b|\bsglang\b|\bflashinfer\b|\bdeepspeed\b|\bninja\b|\bnumba\b|torch_extensions|cpp_extension"
    r"|\bCUDA_HOME\b|\bcupy\b|\btensorrt[-_]llm\b|\bapex\b|\btriton\b|\bjupyter"
)
"""What calls CUDA's compiler, or looks for its headers, while the image runs. (Ninja does it for torch's extensions.)"""
_IMAGES = ("nvidia/cuda", "pytorch/pytorch", "rapidsai/base", "nvcr.io/nvidia/cuda")


def check(subject: Subject) -> Iterator[Finding]:
    *_, bottom = subject.final.chain()
    base = bottom.base
    if base is None or base.tag is None or "devel" not in base.tag.split("-") or is_workplace(subject, subject.final):
        return
    if not base.name.endswith(_IMAGES) or any(_COMPILES_AT_RUN_TIME.search(text) for text in _texts(subject.final)):
        return
    from_ = bottom.stage.from_
    tag = "-".join("runtime" if part == "devel" else part for part in base.tag.split("-"))
    shown = f"{base.name}:{tag}"
    yield Finding(
        RULE.name,
        f'the image stands on "{base.name}:{base.tag}", which holds the CUDA compiler, headers and static libraries',
        word_span(subject, from_, from_.image),
        hint=f'end on "{shown}"; what has to be compiled is compiled in a stage on "-devel" and copied',
    )


def _texts(final: StageView) -> Iterator[str]:
    for view in final.chain():
        for instruction in view.instructions:
            yield instruction.text
            yield from (heredoc.content for heredoc in getattr(instruction, "heredocs", ()))


RULE = Rule(
    name="CudaDevelInFinalStage",
    group="ml",
    summary="the final stage stands on a CUDA image with compiler and headers",
    why="""\
`-devel` images hold nvcc, headers and static libraries on top of what `-runtime` images hold: several gigabytes that a
service never opens. torch, onnxruntime and most other wheels bring the CUDA libraries themselves; they run on `-runtime`, and
many on `-base`.

Compile in a stage on `-devel` (flash-attention, own kernels) and copy what it made. Silent where something in the file
compiles while the image runs: vllm, deepspeed, flashinfer, numba, cupy, triton, ninja, nvcc, or an own `CUDA_HOME`.
""",
    bad=Example(
        'FROM nvidia/cuda:12.6.3-cudnn-devel-ubuntu24.04\nWORKDIR /app\nCOPY serve model.onnx ./\nCMD ["./serve"]\n'
    ),
    good=Example(
        'FROM nvidia/cuda:12.6.3-cudnn-runtime-ubuntu24.04\nWORKDIR /app\nCOPY serve model.onnx ./\nCMD ["./serve"]\n'
    ),
    check=check,
)
