"""One stage as two: what goes where, what the text looks like, and what keeps a stage whole."""

from __future__ import annotations

import pytest

from slimstage.dockerfile.parse import parse
from slimstage.lint.context_view import GivenContext
from slimstage.lint.examples import PLATFORM
from slimstage.lint.fix import apply
from slimstage.lint.reading import Reading
from slimstage.lint.split.decide import NotSplit, split_of
from slimstage.lint.split.write import fix_of
from slimstage.plan.request import PlanRequest
from support.command import PROJECT


def divided(text: str, files: dict[str, str | int] | None = None, final_base: str | None = None) -> str | NotSplit:
    """The file with its final stage split, or what is against it."""
    dockerfile = parse(text)
    context = None if files is None else GivenContext(files)
    subject = Reading(dockerfile, PlanRequest(PLATFORM), context=context)
    stage = subject.final
    decided = split_of(subject, stage, final_base=final_base or stage.stage.from_.image)
    if isinstance(decided, NotSplit):
        return decided
    return apply(text, dockerfile.source, fix_of(decided, subject).edits)


WHOLE = """\
# syntax=docker/dockerfile:1
# The service.
FROM python:3.12-slim AS serve

# libgl1 is for opencv
RUN apt-get update && apt-get install -y --no-install-recommends \\
        build-essential \\
        libpq-dev \\
        libgl1 \\
    && rm -rf /var/lib/apt/lists/*

ENV PIP_NO_CACHE_DIR=1
WORKDIR /app

# Requirements first.
COPY requirements.txt .
RUN pip install -r requirements.txt

# Then the code.
COPY . .
RUN useradd -m app
USER app
EXPOSE 8080
CMD ["python", "serve.py"]
"""

DIVIDED = """\
# syntax=docker/dockerfile:1
# The service.
FROM python:3.12-slim AS builder
# libgl1 is for opencv
RUN apt-get update && apt-get install -y --no-install-recommends \\
        build-essential \\
        libpq-dev \\
        libgl1 \\
    && rm -rf /var/lib/apt/lists/*

ENV PIP_NO_CACHE_DIR=1
WORKDIR /app

RUN python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
# Requirements first.
COPY requirements.txt .
RUN pip install -r requirements.txt

FROM python:3.12-slim AS serve
RUN apt-get update && \\
    apt-get install -y --no-install-recommends libgomp1 libpq5 libgl1 && \\
    rm -rf /var/lib/apt/lists/*

ENV PIP_NO_CACHE_DIR=1
WORKDIR /app
COPY --from=builder /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH

# Then the code.
COPY . .
RUN useradd -m app
USER app
EXPOSE 8080
CMD ["python", "serve.py"]
"""


def test_a_service_with_tools_becomes_two_stages() -> None:
    assert divided(WHOLE) == DIVIDED


def test_the_example_of_the_project_ends_on_the_slim_base() -> None:
    iris = PROJECT / "examples" / "iris"
    names = ("requirements-train.txt", "requirements-serve.txt", "src/train.py", "src/serve.py")
    files: dict[str, str | int] = {name: (iris / name).read_text() for name in names}
    found = divided((iris / "Dockerfile.naive").read_text(), files, "python:3.11-slim")
    assert isinstance(found, str)
    assert found.splitlines()[1:] == [
        "FROM python:3.11 AS builder",
        "WORKDIR /src",
        "RUN python3 -m venv /opt/venv",
        "ENV PATH=/opt/venv/bin:$PATH",
        "COPY requirements-train.txt requirements-serve.txt ./",
        "RUN pip install -r requirements-train.txt",
        "",
        "FROM python:3.11-slim",
        "WORKDIR /src",
        "COPY --from=builder /opt/venv /opt/venv",
        "ENV PATH=/opt/venv/bin:$PATH",
        "COPY . .",
        "RUN python3 src/train.py /model",
        "EXPOSE 8080",
        'CMD ["python3", "/src/src/serve.py"]',
    ]


def test_a_python_of_the_system_gets_what_makes_environments_and_stays() -> None:
    text = (
        "FROM debian:bookworm-slim\n"
        "RUN apt-get update && apt-get install -y gcc python3 python3-pip && rm -rf /var/lib/apt/lists/*\n"
        "COPY requirements.txt /r.txt\n"
        "RUN --mount=type=cache,target=/root/.cache/pip pip3 install --break-system-packages -r /r.txt\n"
        "COPY app.py /app.py\n"
        "CMD python3 /app.py\n"
    )
    assert divided(text) == (
        "FROM debian:bookworm-slim AS builder\n"
        "RUN apt-get update && apt-get install -y gcc python3 python3-pip python3-venv && rm -rf /var/lib/apt/lists/*\n"
        "RUN python3 -m venv /opt/venv\n"
        "ENV PATH=/opt/venv/bin:$PATH\n"
        "COPY requirements.txt /r.txt\n"
        "RUN --mount=type=cache,target=/root/.cache/pip pip3 install --break-system-packages -r /r.txt\n"
        "\n"
        "FROM debian:bookworm-slim\n"
        "RUN apt-get update && \\\n"
        "    apt-get install -y --no-install-recommends libgomp1 python3 && \\\n"
        "    rm -rf /var/lib/apt/lists/*\n"
        "COPY --from=builder /opt/venv /opt/venv\n"
        "ENV PATH=/opt/venv/bin:$PATH\n"
        "COPY app.py /app.py\n"
        "CMD python3 /app.py\n"
    )


def test_alpine_and_a_file_without_a_last_line_end() -> None:
    text = (
        "FROM python:3.12-alpine\nRUN apk add --no-cache build-base libffi-dev\nRUN pip install cffi\nCMD python a.py"
    )
    assert divided(text) == (
        "FROM python:3.12-alpine AS builder\nRUN apk add --no-cache build-base libffi-dev\nRUN python3 -m venv /opt/venv\n"
        "ENV PATH=/opt/venv/bin:$PATH\nRUN pip install cffi\n\nFROM python:3.12-alpine\n"
        "RUN apk add --no-cache libgomp libstdc++\nCOPY --from=builder /opt/venv /opt/venv\nENV PATH=/opt/venv/bin:$PATH\n"
        "CMD python a.py"
    )


def test_one_run_that_does_both_goes_to_the_builder_as_it_is() -> None:
    text = (
        "FROM python:3.12-slim\nRUN apt-get update && apt-get install -y g++ libsndfile1 && pip install a b \\\n"
        "  && rm -rf /var/lib/apt/lists/*\nCMD python a.py\n"
    )
    found = divided(text)
    assert isinstance(found, str)
    builder, final = found.split("\nFROM ")
    assert "apt-get install -y g++ libsndfile1 && pip install a b \\\n  && rm" in builder
    assert "libgomp1 libsndfile1" in final
    assert "g++" not in final


def test_libraries_that_are_no_tools_stay_where_they_are() -> None:
    text = (
        "FROM python:3.12-slim\n# for video\nRUN apt-get update && apt-get install -y ffmpeg\n"
        "RUN apt-get update && apt-get install -y gcc\nRUN pip install a\nCMD python a.py\n"
    )
    found = divided(text)
    assert isinstance(found, str)
    builder, final = found.split("\nFROM ")
    assert "install -y ffmpeg" in builder
    assert "# for video\nRUN apt-get update && apt-get install -y ffmpeg\n" in final


def test_a_platform_and_the_name_of_the_stage_are_kept() -> None:
    found = divided(
        "FROM --platform=linux/amd64 python:3.12 AS Serve\nRUN pip install a\nCMD python a.py\n", {}, "python:3.12-slim"
    )
    assert isinstance(found, str)
    assert "FROM --platform=linux/amd64 python:3.12 AS builder\n" in found
    assert "FROM --platform=linux/amd64 python:3.12-slim AS Serve\n" in found


def test_the_name_of_the_builder_is_a_new_one() -> None:
    text = (
        "FROM golang AS builder\nFROM python:3.12-slim\nCOPY --from=builder /x /x\nRUN pip install a\nCMD python a.py\n"
    )
    found = divided(text)
    assert isinstance(found, str)
    assert "FROM python:3.12-slim AS packages\n" in found
    assert "COPY --from=packages /opt/venv /opt/venv\n" in found


def test_what_the_project_itself_needs_is_in_both() -> None:
    text = "FROM python:3.12-slim\nCOPY pyproject.toml .\nCOPY src src\nRUN pip install .\nCMD python -m app\n"
    found = divided(text)
    assert isinstance(found, str)
    assert found.count("COPY src src\n") == 2


def test_weights_do_not_go_through_the_builder() -> None:
    text = "FROM python:3.12-slim\nCOPY model.onnx /m/\nCOPY r.txt .\nRUN pip install -r r.txt\nCMD python a.py\n"
    found = divided(text)
    assert isinstance(found, str)
    assert found.count("COPY model.onnx /m/\n") == 1
    assert found.index("COPY model.onnx") > found.index("\nFROM ")


def test_of_everything_the_builder_gets_the_requirements() -> None:
    text = HEAD + "WORKDIR /app\n\nCOPY . .\nRUN pip install -r requirements.txt\nCMD python a.py\n"
    assert divided(text, {"requirements.txt": "a\n", "a.py": ""}) == (
        "FROM python:3.12-slim AS builder\nWORKDIR /app\n\nRUN python3 -m venv /opt/venv\nENV PATH=/opt/venv/bin:$PATH\n"
        "COPY requirements.txt .\nRUN pip install -r requirements.txt\n\nFROM python:3.12-slim\nWORKDIR /app\n\n"
        "COPY --from=builder /opt/venv /opt/venv\nENV PATH=/opt/venv/bin:$PATH\n\nCOPY . .\nCMD python a.py\n"
    )


HEAD = "FROM python:3.12-slim\n"
PIP = "RUN pip install a\n"
WHOLE_STAGES = {
    "an unknown program": (HEAD + "RUN ./configure\n" + PIP + "CMD python a.py\n", 2, '"./configure" is started'),
    "a program that is not known": (HEAD + "RUN dvc pull\n" + PIP + "CMD python a.py\n", 2, 'what "dvc"'),
    "a program of Python without a context": (HEAD + PIP + "RUN python x.py\nCMD python a.py\n", 3, 'what "x.py" does'),
    "an editable project": (HEAD + "COPY . .\nRUN pip install -e .\nCMD python a.py\n", 3, 'the option "-e"'),
    "a place of its own": (HEAD + "RUN pip install --target /x a\nCMD python a.py\n", 2, 'the option "--target"'),
    "another user installs": (HEAD + "USER app\n" + PIP + "CMD python a.py\n", 2, "as another user"),
    "an environment of its own": (HEAD + "ENV VIRTUAL_ENV=/v\n" + PIP + "CMD python a.py\n", 2, '"VIRTUAL_ENV"'),
    "a path to the interpreter": (HEAD + PIP + 'CMD ["/usr/local/bin/python", "a.py"]\n', 3, '"/usr/local/bin"'),
    "a search path of its own": (HEAD + PIP + "ENV PATH=/a:/b\nCMD python a.py\n", 3, "PATH is set"),
    "a copy into the packages": (
        HEAD + PIP + "COPY x.pth /usr/local/lib/python3.12/site-packages/\nCMD python a.py\n", 3, "where packages are",
    ),
    "a tool at run time": (HEAD + PIP + "CMD git pull && python a.py\n", 3, '"git" is a tool'),
    "a library whose run-time part is not known": (
        HEAD + "RUN apt-get update && apt-get install -y libfoo-dev\n" + PIP + "CMD python a.py\n", 2, '"libfoo-dev"',
    ),
    "packages of the system's Python": (
        HEAD + "RUN apt-get update && apt-get install -y gcc python3-numpy\n" + PIP + "CMD python a.py\n", 2, "does not see",
    ),
    "no installation": (HEAD + "RUN apt-get update && apt-get install -y gcc\nCMD python a.py\n", 1, "no RUN installs"),
    "a base of unknown content": ("FROM org/base:1\n" + PIP + "CMD python a.py\n", 1, "is not known"),
    "a branch": (HEAD + "RUN if [ $X ]; then pip install a; fi\nCMD python a.py\n", 2, "is not certain"),
    "sudo": (HEAD + "RUN sudo pip install a\nCMD python a.py\n", 2, "is not understood"),
    "files made by the same RUN": (HEAD + "RUN pip install a && mkdir /data\nCMD python a.py\n", 2, "makes files"),
    "a variable for the packages": (HEAD + "RUN pip install $PACKAGES\nCMD python a.py\n", 2, "$PACKAGES"),
    "a script of unknown content": (HEAD + PIP + 'CMD ["./run.sh"]\n', 3, "run.sh"),
    "ONBUILD": (HEAD + PIP + "ONBUILD COPY . .\nCMD python a.py\n", 3, "ONBUILD"),
    "a shell that is no POSIX shell": (
        HEAD + 'SHELL ["python3", "-c"]\nRUN print(1)\n' + "CMD python a.py\n", 3, "is not understood",
    ),
    "building with what the interpreter has": (
        HEAD + "RUN pip install --no-build-isolation a\nCMD python a.py\n", 2, '"--no-build-isolation"',
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "line", "reason"), WHOLE_STAGES.values(), ids=WHOLE_STAGES)
def test_a_stage_stays_whole_for(text: str, line: int, reason: str) -> None:
    found = divided(text)
    assert isinstance(found, NotSplit)
    assert found.at.span.line == line
    assert reason in found.reason


def test_a_script_of_the_context_is_read() -> None:
    text = HEAD + PIP + 'COPY run.sh .\nCMD ["./run.sh"]\n'
    assert isinstance(divided(text, {"run.sh": "#!/bin/sh\nexec python a.py\n"}), str)
    found = divided(text, {"run.sh": "#!/bin/sh\n/usr/local/bin/gunicorn a\n"})
    assert isinstance(found, NotSplit)
    assert "speaks of where packages" in found.reason


def test_a_program_of_the_context_is_read() -> None:
    text = HEAD + PIP + "COPY x.py .\nRUN python x.py\nCMD python a.py\n"
    assert isinstance(divided(text, {"x.py": "print(1)\n"}), str)
    assert isinstance(divided(text, {"x.py": "import subprocess\n"}), NotSplit)


def test_a_stage_that_others_read_stays_whole() -> None:
    assert isinstance(divided("FROM python:3.12-slim AS a\nRUN pip install a\nFROM a\nCMD python a.py\n"), NotSplit)


def test_a_program_that_is_no_script_by_its_name_is_read_too() -> None:
    text = HEAD + PIP + 'COPY start .\nENTRYPOINT ["./start"]\n'
    assert isinstance(divided(text), NotSplit)
    assert isinstance(divided(text, {"start": "#!/bin/sh\nexec python a.py\n"}), str)
    assert isinstance(divided(text, {"start": "#!/usr/bin/python3\n"}), NotSplit)
    assert isinstance(divided(HEAD + PIP + 'ENTRYPOINT ["/usr/bin/tini", "--", "python", "a.py"]\n'), str)


def test_an_image_that_is_only_called_python_is_not_known() -> None:
    assert isinstance(divided("FROM ghcr.io/org/python:3.12\n" + PIP + "CMD python a.py\n"), NotSplit)
    assert isinstance(divided("FROM docker.io/library/python:3.12-slim\n" + PIP + "CMD python a.py\n"), str)


def test_an_upgrade_of_the_system_is_in_the_image_still() -> None:
    found = divided(
        HEAD + "RUN apt-get update && apt-get upgrade -y && apt-get install -y git gcc\n" + PIP + "CMD python a.py\n"
    )
    assert isinstance(found, str)
    assert found.split("\nFROM ")[1].splitlines()[1:5] == [
        "RUN apt-get update && \\",
        "    apt-get upgrade -y && \\",
        "    apt-get install -y --no-install-recommends libgomp1 && \\",
        "    rm -rf /var/lib/apt/lists/*",
    ]
