"""Wheels that carry CUDA, in an image that uses no GPU."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.lint.distributions_installed import Installed, in_image
from slimstage.lint.finding import Finding
from slimstage.lint.knowledge import Variant, variants_of
from slimstage.lint.purpose import wants_gpu
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import Subject
from slimstage.lint.variant_fixes import applies, fix_for
from slimstage.lint.wording import size_text


def check(subject: Subject) -> Iterator[Finding]:
    platform = subject.final.platform or str(subject.request.target_platform)
    if "amd64" not in platform:
        return  # the default wheels of other platforms carry no CUDA
    installed = list(in_image(subject))
    heavy = [(each, variant) for each in installed for variant in _variants(each)]
    if not heavy:
        return
    wish = wants_gpu(subject, installed)
    if wish == "yes":
        return
    first = {id(each.command): each for each, _ in reversed(heavy) if _by_index(each)}
    for each, variant in heavy:
        if variant.action == "index" and first.get(id(each.command)) is not each:
            continue  # torchvision beside torch: one index for both
        yield _finding(each, variant, is_sure=wish == "no")


def _variants(each: Installed) -> Iterator[Variant]:
    if each.command.manager not in ("pip", "uv"):
        return
    for variant in variants_of(each.name):
        if variant.when == "cpu" and applies(each, variant) and not _is_light(each):
            yield variant


def _by_index(each: Installed) -> bool:
    return any(variant.when == "cpu" and variant.action == "index" for variant in variants_of(each.name))


def _is_light(each: Installed) -> bool:
    """True where the request says which build it wants: `+cpu`, an index of its own, a wheel by its address."""
    if "+" in each.rest or "://" in each.rest or each.command.options.torch_backend:
        return True
    is_named = each.requested is not None and each.requested.kind != "name"
    return is_named or bool(_by_index(each) and (each.command.options.index_urls or each.command.options.find_links))


def _finding(each: Installed, variant: Variant, *, is_sure: bool) -> Finding:
    size = f" ({size_text(variant.size_bytes)})" if variant.size_bytes else ""
    smaller = f", {size_text(variant.instead_bytes)}" if variant.instead_bytes else ""
    where = f"{each.line.span.file}:{each.line.span.line} asks for it" if each.line else None
    if variant.action == "index":
        hint = f"take it from the index without CUDA{smaller}: --extra-index-url {variant.instead}"
    elif variant.action == "name":
        hint = f'install "{variant.instead}"{smaller}'
    else:
        hint = "leave it out"
    message = f'the wheels of "{each.name}" carry CUDA{size}'
    return Finding(
        RULE.name,
        f"{message}, and nothing here uses a GPU" if is_sure else f"{message}; without a GPU nothing loads it",
        each.span,
        severity=None if is_sure else "info",
        notes=tuple(note for note in (variant.why, where) if note),
        hint=hint,
        saving_bytes=variant.saving_bytes if is_sure else None,
        fix=fix_for(each, variant) if is_sure else None,
    )


RULE = Rule(
    name="CudaWheelsOnCpu",
    group="ml",
    summary="wheels that carry CUDA are installed where no GPU is used",
    why="""\
The default wheels of torch, xgboost and tensorflow for x86-64 carry CUDA: 5.7 GB for torch instead of 0.9, 970 MB for xgboost
instead of 270. On a machine without a GPU all of it is dead weight, pulled, stored and scanned.

Told as a warning, with a fix, where it is certain that no GPU is used: the file says so (`/whl/cpu`, `CUDA_VISIBLE_DEVICES=`,
`device=cpu`), or all Python of the context was read and speaks of none, and no package chooses one by itself. Told as advice
where nothing is known. Silent where anything speaks of a GPU: a CUDA base or index, `nvidia` or `gpu` in the file, vllm,
accelerate, onnxruntime-gpu; and for platforms whose default wheels have no CUDA.

Right all the same: an image that runs on machines of both kinds.
""",
    bad=Example(
        "FROM python:3.12-slim\n"
        "WORKDIR /app\n"
        "RUN --mount=type=cache,target=/root/.cache/pip pip install torch==2.5.1 xgboost==2.1.4\n"
        "COPY serve.py .\n"
        'CMD ["python", "serve.py"]\n',
        files={"serve.py": "import torch, xgboost\nprint(torch.load('model.pt', map_location='cpu'))\n"},
        ignore=".git\n",
    ),
    good=Example(
        "FROM python:3.12-slim\n"
        "WORKDIR /app\n"
        "RUN --mount=type=cache,target=/root/.cache/pip \\\n"
        "    pip install --extra-index-url https://download.pytorch.org/whl/cpu torch==2.5.1 xgboost-cpu==2.1.4\n"
        "COPY serve.py .\n"
        'CMD ["python", "serve.py"]\n',
        files={"serve.py": "import torch, xgboost\nprint(torch.load('model.pt', map_location='cpu'))\n"},
        ignore=".git\n",
    ),
    check=check,
    has_fix=True,
)
