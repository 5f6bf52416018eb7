"""Reports made up for tests: a usual one, one whose every text means harm, and one of a large image."""

from __future__ import annotations

import random
from collections.abc import Sequence

from slimstage.report.folding import FoldedFile, fold
from slimstage.report.record import (
    NOBODY,
    USER,
    Change,
    Comparison,
    FindingRow,
    ImageFacts,
    LayerRow,
    PackageRow,
    PurposeRow,
    Report,
    StageEdge,
    StageNode,
    Stages,
    StepRow,
    Timeline,
)

PURPOSES = ("weights", "library", "system", "tests", "application")
_SITE = "usr/lib/python3.11/site-packages"
FILES: tuple[FoldedFile, ...] = (
    ("srv/model/model.safetensors", 1_300_000_000, 0, USER, 1),
    ("srv/app/main.py", 4_000, 4, USER, 1),
    (f"{_SITE}/torch/lib/libtorch_cpu.so", 430_000_000, 1, 0, 1),
    (f"{_SITE}/torch/lib/libc10.so", 1_200_000, 1, 0, 1),
    (f"{_SITE}/torch/tests/test_nn.py", 900_000, 3, 0, 1),
    (f"{_SITE}/numpy/core/_multiarray.so", 7_000_000, 1, 1, 1),
    ("usr/lib/x86_64-linux-gnu/libc.so.6", 1_900_000, 2, 2, 1),
    ("etc/motd", 200, 2, NOBODY, 1),
)
PACKAGES = (
    PackageRow("python", "torch", "2.4.0", 432_100_000, 3, 1, ("transformers", "peft", "accelerate", "trl")),
    PackageRow("python", "numpy", "1.26.4", 7_000_000, 1, 1, ("torch",)),
    PackageRow("debian", "libc6", "2.36-9", 1_900_000, 1, 0),
)

HOSTILE = (
    "</script><script>window.harmed = 1</script>",
    '"><img src="http://127.0.0.1:9/x" onerror="window.harmed = 1">',
    "' onfocus='window.harmed = 1' autofocus='",
    "<!-- <script>",
    "${style} $data %s {{x}} `a`",
    "javascript:window.harmed=1",
    "\u202egnp.exe",
    "\u2066left\u2069",
    "caf\udce9 \udcff",
    "red \x1b[31m\x07 \x00",
    "two\nlines\r\tand a tab",
    "\u2028\u2029",
    "<svg onload=window.harmed=1>",
    "&lt;b&gt; &amp;",
    "__proto__",
    "constructor",
    "🐳" * 3,
    "a" * 300,
)


def image_facts(name: str = "iris:2", **more: object) -> ImageFacts:
    facts: dict[str, object] = {
        "name": name,
        "id": f"sha256:{'4f' * 32}",
        "digest": f"sha256:{'a1' * 32}",
        "platform": "linux/amd64",
        "created": "2026-11-20T10:00:00Z",
        "system": "Debian GNU/Linux 12 (bookworm)",
        "size_bytes": sum(file[1] for file in FILES),
        "hidden_bytes": 23_000_000,
        "compressed_bytes": 900_000_000,
        "files": len(FILES),
        "user": "app",
        "command": ("python", "-m", "app"),
        "labels": (("maintainer", "ml@example.org"),),
    }
    return ImageFacts(**(facts | more))  # type: ignore[arg-type] # fields of the value


def purpose_rows(files: Sequence[FoldedFile], names: Sequence[str]) -> tuple[PurposeRow, ...]:
    return tuple(
        PurposeRow(name, sum(size for _, size, purpose, _, _ in files if purpose == number))
        for number, name in enumerate(names)
    )


def usual_stages() -> Stages:
    """deps → train, quantize → serve, with a copy from an image and a stage that is not needed."""
    nodes = (
        StageNode("deps", "stage", 3, "built", 5_900_000_000),
        StageNode("train", "stage", 12, "built", 9_200_000_000),
        StageNode("test", "stage", 20, "skipped", why='nothing that "serve" needs comes from it'),
        StageNode("quantize", "stage", 24, "cached", 7_300_000_000),
        StageNode("serve", "stage", 31, "built", 1_745_004_200, is_target=True),
        StageNode("python:3.11", "image"),
        StageNode("debian:bookworm-slim", "image"),
        StageNode("ghcr.io/example/uv", "image"),
    )
    edges = (
        StageEdge(5, 0, "base"),
        StageEdge(7, 0, "copy", 34_000_000, ("/uv",), 4),
        StageEdge(0, 1, "base"),
        StageEdge(0, 3, "base"),
        StageEdge(1, 3, "copy", 2_600_000_000, ("/w/model",), 25),
        StageEdge(6, 4, "base"),
        StageEdge(3, 4, "copy", 1_300_000_000, ("/w/model",), 33),
        StageEdge(0, 4, "copy", 440_000_000, ("/usr/lib/python3.11",), 32),
    )
    return Stages("Dockerfile", nodes, edges, 12_400_000_000)


def usual_timeline() -> Timeline:
    steps = (
        StepRow(0, "deps", 3, "FROM python:3.11", "cached"),
        StepRow(0, "deps", 6, "RUN pip install -r requirements.txt", "run", 0.5, 48.2, 3_000_000_000,
                why='the file "requirements.txt" changed', log=("Collecting torch", "Installed 58 packages"), log_count=75),
        StepRow(1, "train", 13, "RUN python train.py", "run", 48.5, 121.0, 90_000_000, log=("epoch 1", "epoch 2"), log_count=2),
        StepRow(4, "serve", 33, "COPY --from=quantize /w/model /srv/model", "run", 121.2, 124.5, 1_300_000_000),
    )  # fmt: skip
    return Timeline(steps, 124.6, ran=3, cached=1)


def usual_findings() -> tuple[FindingRow, ...]:
    return (
        FindingRow(
            "source-before-install", "Dockerfile", "warning", "each change of the source installs everything again",
            hint="copy `requirements.txt` first", fix="-COPY . .\n+COPY requirements.txt .\n+COPY . .", line=14,
        ),
        FindingRow(
            "test-suites", "image", "warning", "test suites of 1 package are in the image", 900_000,
            "remove them where they are installed", paths=(f"/{_SITE}/torch/tests",), path_count=48, layer=1,
        ),
    )  # fmt: skip


def usual_comparison() -> Comparison:
    return Comparison(
        old=image_facts("iris:1", size_bytes=1_900_000_000, files=1200),
        pull_bytes=610_000_000,
        pull_is_compressed=True,
        shared_layers=1,
        new_layers=2,
        purposes=(Change("weights", 1_450_000_000, 1_300_000_000), Change("library", 430_000_000, 438_200_000)),
        packages=(
            Change("torch", 424_000_000, 432_100_000, "python", "2.3.1 → 2.4.0"),
            Change("pandas", 60_000_000, None, "python", "2.2.2"),
        ),
        files=(Change("/srv/model/model.safetensors", 1_450_000_000, 1_300_000_000),),
        package_count=2,
        file_count=1290,
    )


def usual_report() -> Report:
    """With everything that a report can have."""
    return Report(
        title="iris:2",
        image=image_facts(),
        layers=(
            LayerRow(0, f"sha256:{'0' * 64}", 60_000_000, 0, 30_000_000, 900, "FROM debian:bookworm-slim"),
            LayerRow(1, f"sha256:{'1' * 64}", 440_000_000, 23_000_000, None, 4_000, "COPY --from=deps /usr /usr"),
        ),
        tree=fold(FILES),
        purposes=purpose_rows(FILES, PURPOSES),
        packages=PACKAGES,
        findings=usual_findings(),
        stages=usual_stages(),
        timeline=usual_timeline(),
        comparison=usual_comparison(),
        version="0.0",
    )


def hostile_report() -> Report:
    """Every text of it is one of HOSTILE, in names of files, stages, packages, labels, lines of logs and all else."""
    texts = HOSTILE
    files = tuple(
        (f"{a.replace('/', '∕')}/{b.replace('/', '∕')}", 1000 + 7 * i + j, i % len(texts), j % len(texts), 1)
        for i, a in enumerate(texts)
        for j, b in enumerate(texts)
    )
    nodes = tuple(StageNode(text, "stage", i + 1, "built", 1000 * i) for i, text in enumerate(texts))
    edges = tuple(StageEdge(i, i + 1, "copy", 500 * i, texts, i) for i in range(len(nodes) - 1))
    skipped = tuple(StageNode(text, "stage", 1, "skipped", why=text) for text in texts)
    old = image_facts(texts[0], id=texts[1], size_bytes=5)
    changes = tuple(Change(text, 5, 10 + i, text, text) for i, text in enumerate(texts))
    every = "".join(texts)
    return Report(
        title=every,
        image=image_facts(
            every, id=every, digest=every, platform=every, created=every, system=every, user=every, command=texts,
            labels=tuple((text, text) for text in texts), size_bytes=sum(f[1] for f in files), files=len(files),
        ),
        layers=tuple(LayerRow(i, text, 10, 5, 5, 1, text) for i, text in enumerate(texts)),
        tree=fold(files),
        purposes=purpose_rows(files, texts),
        packages=tuple(PackageRow(text, text, text, 100, 1, 0, texts) for text in texts),
        findings=tuple(
            FindingRow(text, "image", "warning", text, 9, text, f"-{text}\n+{text}", texts, 99, 1, 3) for text in texts
        ),
        stages=Stages(every, (*nodes, *skipped, StageNode(every, "image")), edges, 3),
        timeline=Timeline(
            tuple(StepRow(i, text, 3, text, "run", i, i + 1, 5, text, text, texts, 99) for i, text in enumerate(texts)),
            30.0, len(texts), 0,
        ),
        comparison=Comparison(old, 5, True, 1, 1, changes, changes, changes, 99, 99),
        faults=texts,
        version=every,
    )  # fmt: skip


def large_files(count: int, seed: int = 5) -> list[FoldedFile]:
    """Files of an image as large ones are: a few huge, very many small, in some thousand directories."""
    chosen = random.Random(seed)
    files: list[FoldedFile] = [
        (f"{_SITE}/nvidia/lib{number}/libcu{number}.so.12", chosen.randrange(50, 700) * 1_000_000, 1, 0, 1)
        for number in range(12)
    ]
    for number in range(count - len(files)):
        package = int(chosen.paretovariate(0.6)) % 400
        part = chosen.choice(("", "core/", "utils/", "models/bert/", "tests/", f"data{number % 40}/"))
        size = int(chosen.paretovariate(0.9) * 300) % 3_000_000
        purpose = 3 if part == "tests/" else chosen.choice((1, 2, 4))
        files.append((f"{_SITE}/package{package}/{part}file{number}.py", size, purpose, package % 3, 1))
    return files
