"""A distribution of which another variant does what a service needs, in fewer bytes."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.lint.distributions_installed import Installed, in_image
from slimstage.lint.finding import Finding
from slimstage.lint.knowledge import Variant, variants_of
from slimstage.lint.purpose import commands_of_image, serves
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import Subject
from slimstage.lint.variant_fixes import applies, fix_for
from slimstage.lint.wording import size_text
from slimstage.lint.workplace import is_started_by_hand
from slimstage.regex import pattern

_TOLD = frozenset(("opencv-python", "opencv-contrib-python", "mlflow", "ray", "dask"))
"""Those where leaving out the rest changes nothing that a service could miss."""
_SCREEN = pattern(r"(?i)\bDISPLAY\b|xvfb|\bvnc|novnc|x11|\bqt[456]?\b|pyqt|pyside|gtk|wayland|tkinter|python3-tk")
_WINDOWS = pattern(r"\b(?:imshow|namedWindow|waitKey|createTrackbar|destroyAllWindows)\b")
_ASK_FOR_OPENCV = frozenset(
    (
        "ultralytics",
        "paddleocr",
        "insightface",
        "deepface",
        "mediapipe",
        "supervision",
        "retinaface",
        "imgaug",
        "mmcv",
        "rembg",
    )
)
"""Distributions that ask for opencv-python themselves: naming the other one would bring both."""


def check(subject: Subject) -> Iterator[Finding]:
    final = subject.final
    if is_started_by_hand(final):
        return
    installed = list(in_image(subject))
    names = {each.name for each in installed}
    for each in installed:
        if each.name not in _TOLD or each.command.manager not in ("pip", "uv"):
            continue
        for variant in variants_of(each.name):
            if variant.when == "screenless":
                fits = not _has_screen(subject) and not names & _ASK_FOR_OPENCV
            else:
                fits = (
                    variant.when in ("serve", "always")
                    and serves(subject, installed)
                    and not _is_asked_for(subject, each)
                )
            if fits and applies(each, variant):
                yield _finding(each, variant)


def _has_screen(subject: Subject) -> bool:
    """True where something shows windows, or could."""
    texts = [instruction.text for view in subject.final.chain() for instruction in view.instructions]
    if any(_SCREEN.search(text) for text in texts):
        return True
    context = subject.context
    paths = [file.path for file in context.files() if file.path.endswith(".py")] if context else []
    return any(_WINDOWS.search((context.read(path) if context else None) or "") for path in paths[:400])


def _is_asked_for(subject: Subject, each: Installed) -> bool:
    """True where the command of the image is the distribution itself: `mlflow server`."""
    return any(each.name in instruction.text for instruction in commands_of_image(subject))


def _finding(each: Installed, variant: Variant) -> Finding:
    asked = f'"{each.name}[{variant.extra}]"' if variant.extra else f'"{each.name}"'
    size = f", {size_text(variant.saving_bytes)} less" if variant.saving_bytes else ""
    where = (f"{each.line.span.file}:{each.line.span.line} asks for it",) if each.line else ()
    return Finding(
        RULE.name,
        f'{asked} where "{variant.instead}" does{size}',
        each.span,
        severity=None if variant.is_same else "info",
        notes=(variant.why, *where),
        hint=f'install "{variant.instead}"',
        fix=fix_for(each, variant),
    )


RULE = Rule(
    name="HeavyVariant",
    group="ml",
    summary="another variant of a package does the same in fewer bytes",
    why="""\
Some packages come in two sizes. `opencv-python` opens windows, and needs libGL and GLib of the system for it (223 MB on
Debian 12); `opencv-python-headless` is the same module without windows. `mlflow` brings a server with SQL and plots; to load a
model, `mlflow-skinny` and the library of the model do.

The fix names the other one where what imports it sees no difference (opencv); for the others it is advice, of an image that
serves. Silent where a screen is spoken of (DISPLAY, xvfb, Qt) or code opens windows, where another package asks for the
heavy one itself, and where the image's command is that server.
""",
    bad=Example(
        "FROM python:3.12-slim\n"
        "WORKDIR /app\n"
        "RUN --mount=type=cache,target=/root/.cache/pip pip install opencv-python==4.10.0.84 fastapi==0.115.6 uvicorn==0.34.0\n"
        "COPY serve.py .\n"
        'CMD ["uvicorn", "serve:app"]\n'
    ),
    good=Example(
        "FROM python:3.12-slim\n"
        "WORKDIR /app\n"
        "RUN --mount=type=cache,target=/root/.cache/pip \\\n"
        "    pip install opencv-python-headless==4.10.0.84 fastapi==0.115.6 uvicorn==0.34.0\n"
        "COPY serve.py .\n"
        'CMD ["uvicorn", "serve:app"]\n'
    ),
    check=check,
    has_fix=True,
)
