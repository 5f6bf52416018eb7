"""CUDA's libraries are in the base image and in the wheels: the image has them twice."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.lint.distributions_installed import Installed, in_image
from slimstage.lint.finding import Finding
from slimstage.lint.places import word_span
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import Subject
from slimstage.lint.wording import quoted

_BRING_CUDA = frozenset(("torch", "torchvision", "torchaudio", "vllm", "xformers"))
"""Distributions whose wheels depend on those of NVIDIA."""
_NEED_THE_BASE = frozenset(
    (
        *(
            "onnxruntime-gpu",
            "cupy",
            "cupy-cuda11x",
            "cupy-cuda12x",
            "cupy-cuda13x",
            "tensorrt",
            "faiss-gpu",
            "ctranslate2",
        ),
        *(
            "faster-whisper",
            "bitsandbytes",
            "llama-cpp-python",
            "flash-attn",
            "deepspeed",
            "tensorflow",
            "paddlepaddle-gpu",
        ),
        *(
            "numba",
            "nvidia-dali-cuda120",
            "torch-tensorrt",
            "triton",
            "apex",
            "jax",
            "rapidsai",
            "cudf-cu12",
            "tensorrt-llm",
        ),
    )
)
"""Distributions that load CUDA's libraries from the system, or may."""


def check(subject: Subject) -> Iterator[Finding]:
    *_, bottom = subject.final.chain()
    base = bottom.base
    parts = (base.tag or "").split("-") if base else []
    if base is None or base.name != "nvidia/cuda" or not {"runtime", "cudnn", "cudnn8", "cudnn9"}.intersection(parts):
        return
    if "devel" in parts:
        return
    found = list(in_image(subject))
    bring = [each for each in found if each.name in _BRING_CUDA and not _is_for_cpu(each)]
    names = {each.name for each in found}
    if (
        not bring
        or names & _NEED_THE_BASE
        or any(name.startswith(("nvidia-", "cupy", "cudf", "cuml")) for name in names)
    ):
        return
    from_ = bottom.stage.from_
    shown = f"{base.name}:{'-'.join(_to_base(parts))}"
    yield Finding(
        RULE.name,
        f'"{base.name}:{base.tag}" holds the CUDA libraries, and {quoted(sorted({each.name for each in bring}))} '
        f"(line {bring[0].span.line}) brings its own",
        word_span(subject, from_, from_.image),
        hint=f'stand on "{shown}", or on an image of Python: the wheels need nothing of CUDA but the driver of the host',
    )


def _is_for_cpu(each: Installed) -> bool:
    """True of a wheel that is asked for without CUDA."""
    return "+cpu" in each.rest or any("/cpu" in url for url in each.command.options.index_urls)


def _to_base(parts: list[str]) -> list[str]:
    """`12.6.3-cudnn-runtime-ubuntu24.04` → `12.6.3-base-ubuntu24.04`."""
    kept = [part for part in parts if not part.startswith("cudnn")]
    return ["base" if part == "runtime" else part for part in kept]


RULE = Rule(
    name="CudaInBaseAndWheels",
    group="ml",
    summary="the CUDA libraries are in the base image and in the wheels",
    why="""\
The wheels of torch depend on wheels with cuBLAS, cuDNN, NCCL and the rest, about 4 GB unpacked, and load those. A `-runtime` or
`-cudnn` image holds the same libraries once more, and nothing loads them. `-base`, or a plain image of Python, is enough: the
driver comes from the host.

Silent for `-devel` images, which [CudaDevelInFinalStage](cuda-devel-in-final-stage.md) tells, for CPU wheels, and where
something that loads CUDA from the system is installed too (onnxruntime-gpu, cupy, tensorrt, ctranslate2, flash-attn).
""",
    bad=Example(
        "FROM nvidia/cuda:12.6.3-cudnn-runtime-ubuntu24.04\n"
        "COPY --from=ghcr.io/astral-sh/uv:0.5.9 /uv /usr/local/bin/uv\n"
        "RUN --mount=type=cache,target=/root/.cache/uv \\\n"
        "    uv venv /opt/venv && uv pip install --python /opt/venv/bin/python torch==2.5.1 fastapi==0.115.6\n"
        "COPY serve.py /app/\n"
        'CMD ["/opt/venv/bin/python", "/app/serve.py"]\n'
    ),
    good=Example(
        "FROM nvidia/cuda:12.6.3-base-ubuntu24.04\n"
        "COPY --from=ghcr.io/astral-sh/uv:0.5.9 /uv /usr/local/bin/uv\n"
        "RUN --mount=type=cache,target=/root/.cache/uv \\\n"
        "    uv venv /opt/venv && uv pip install --python /opt/venv/bin/python torch==2.5.1 fastapi==0.115.6\n"
        "COPY serve.py /app/\n"
        'CMD ["/opt/venv/bin/python", "/app/serve.py"]\n'
    ),
    check=check,
)
