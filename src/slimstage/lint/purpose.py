"""What the image is for, as far as the Dockerfile and the context tell: to answer, to train; with a GPU, or without."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from slimstage.dockerfile.instructions import Cmd, Entrypoint, Expose, Healthcheck, Instruction
from slimstage.lint.distributions_installed import Installed
from slimstage.lint.knowledge import base_facts, role_of
from slimstage.lint.subject import StageView, Subject
from slimstage.regex import pattern

_SERVES = pattern(
    r"\b(?:uvicorn|gunicorn|hypercorn|daphne|flask|waitress|fastapi|bentoml|torchserve|tritonserver|ray|serve\w*|server\w*|serving"
    r"|api\w*|app|infer\w*|predict\w*|inference|celery|streamlit|gradio)\b"
)
_TRAINS = pattern(
    r"\b(?:train\w*|fine_?tune\w*|fit|pretrain\w*|sweep|tune|experiment\w*|notebook\w*|jupyter\w*|accelerate)\b"
)

_PORTS_OF_WORK = frozenset(("8888", "6006", "22", "8787"))
"""Notebooks, tensorboard, a shell, RStudio: not those of a service."""

Wish = Literal["yes", "no", "unknown"]

_GPU = pattern(
    r"(?i)nvidia|\bcuda|\bcu1[0-9]{2}\b|\brocm|\bgpus?\b|\bgpu[-_]|[-_]gpu\b|tensorrt|\bnccl|\bmps\b|\bxpu\b"
)
"""Words of a Dockerfile that speak of a GPU; what it says against one is taken out before."""
_CPU = pattern(
    r"""(?ix) CUDA_VISIBLE_DEVICES = ["']? (?:-1|["']|\s|\Z) | /whl/cpu\b | \+cpu\b | \b(?:tensorflow|faiss|xgboost)-cpu\b
    | \bcpu[-_]only\b | --device[=\s]cpu\b | \bdevice=["']?cpu\b | \bDEVICE=["']?cpu\b """
)
_GPU_IN_CODE = pattern(
    r"(?i)cuda|\bgpu|device_map|\.to\(\s*device|accelerator\s*=|nvidia|\bmps\b|torch\.device|\bdevice\s*=\s*[0-9]"
)
_NEED_GPU = frozenset(
    (
        *(
            "vllm",
            "sglang",
            "flash-attn",
            "deepspeed",
            "xformers",
            "triton",
            "bitsandbytes",
            "auto-gptq",
            "autoawq",
            "cupy",
        ),
        *(
            "onnxruntime-gpu",
            "faiss-gpu",
            "tensorrt",
            "torch-tensorrt",
            "nvidia-dali-cuda120",
            "apex",
            "pynvml",
            "nvidia-ml-py",
        ),
        *("tensorflow-gpu", "paddlepaddle-gpu", "accelerate", "numba", "unsloth", "lightning", "pytorch-lightning"),
    )
)
_CHOOSE_BY_THEMSELVES = frozenset(
    (
        *(
            "sentence-transformers",
            "ultralytics",
            "easyocr",
            "openai-whisper",
            "spacy",
            "flair",
            "fastai",
            "transformers",
        ),
        *(
            "faster-whisper",
            "paddleocr",
            "insightface",
            "diffusers",
            "stanza",
            "bertopic",
            "keybert",
            "detoxify",
            "tts",
        ),
    )
)
"""Distributions that use a GPU where one is, without a word in the code."""
_MOST_READ = 400
"""Files of Python that are read to find out."""


def commands_of_image(subject: Subject) -> Iterator[Instruction]:
    """CMD, ENTRYPOINT and HEALTHCHECK of the final stage and those below."""
    for view in subject.final.chain():
        yield from (each for each in view.instructions if isinstance(each, Cmd | Entrypoint | Healthcheck))


def trains(subject: Subject) -> bool:
    """True of an image whose command trains, or opens notebooks."""
    return any(_TRAINS.search(each.text.lower()) for each in commands_of_image(subject))


def serves(subject: Subject, installed: list[Installed]) -> bool:
    """True of an image that certainly answers requests: a port, a server among its packages, a command that says so."""
    if trains(subject):
        return False
    exposed = [each for view in subject.final.chain() for each in view.instructions if isinstance(each, Expose)]
    ports = any(port.partition("/")[0] not in _PORTS_OF_WORK for each in exposed for port in each.ports)
    roles = [role_of(each.name) for each in installed]
    has_server = any(role is not None and role.name == "serving" for role in roles)
    texts = [each.text.lower() for each in commands_of_image(subject) if isinstance(each, Cmd | Entrypoint)]
    return bool(texts) and (ports or has_server or any(_SERVES.search(text) for text in texts))


def wants_gpu(subject: Subject, installed: list[Installed]) -> Wish:
    """Whether the image is to use a GPU. "no" only on evidence; without any either way "unknown"."""
    names = {each.name for each in installed}
    *_, bottom = subject.final.chain()
    facts = base_facts(bottom.base) if bottom.base else None
    if names & _NEED_GPU or (facts is not None and facts.cuda != "none"):
        return "yes"
    text = "\n".join(_texts(subject, installed))
    says_cpu = _CPU.search(text) is not None
    if _GPU.search(_CPU.sub(" ", text)):
        return "yes"
    if says_cpu:
        return "no"
    return "no" if not names & _CHOOSE_BY_THEMSELVES and _code_is_silent(subject) else "unknown"


def _texts(subject: Subject, installed: list[Installed]) -> Iterator[str]:
    for view in subject.stages:
        if view.is_needed:
            yield from _words(view)
    for each in installed:
        yield from each.command.options.index_urls
        if each.line is not None:
            yield each.line.text


def _words(view: StageView) -> Iterator[str]:
    yield view.stage.from_.text
    yield from view.stage.from_.comments
    for each in view.instructions:
        yield each.text
        yield from each.comments
        yield from (heredoc.content for heredoc in getattr(each, "heredocs", ()))


def _code_is_silent(subject: Subject) -> bool:
    """True when all Python of the context was read, there is some, and none of it speaks of a GPU."""
    context = subject.context
    if context is None:
        return False
    paths = [file.path for file in context.files() if file.path.endswith(".py") and not file.is_ignored]
    if not paths or len(paths) > _MOST_READ:
        return False
    for path in paths:
        text = context.read(path)
        if text is None or _GPU_IN_CODE.search(text):
            return False
    return True
