"""Whatever a stage is made of: written as two, it describes the same image, keeps every comment, and leaves no tool in it."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from slimstage.dockerfile.parse import parse
from slimstage.lint import catalogue
from slimstage.lint.examples import check_example
from slimstage.lint.fix import fix_all
from slimstage.lint.rule import Example
from slimstage.oci.config import ImageConfig
from support.planning import BUSYBOX, Images, planned, target

BASES = ("python:3.12-slim", "python:3.12", "python:3.12-slim AS svc")
INSTRUCTIONS = (
    "RUN apt-get update && apt-get install -y gcc libpq-dev libgl1",
    "RUN apt-get update && apt-get install -y ffmpeg && rm -rf /var/lib/apt/lists/*",
    "RUN apt-get update && apt-get upgrade -y && apt-get install -y g++",
    "COPY requirements.txt .",
    "COPY requirements.txt /r.txt",
    "RUN pip install -r requirements.txt",
    "RUN pip install -r /r.txt",
    "RUN pip install --upgrade pip",
    "RUN <<EOF\npip install numpy\nEOF",
    "COPY <<EOF /etc/x\nhello\nEOF",
    "COPY . .",
    "COPY --chown=1 . /app/",
    "COPY model.onnx /m/",
    "ADD data.csv /d/",
    "WORKDIR /app",
    "WORKDIR sub",
    "ENV A=1 \\\n    B=2",
    "ENV PATH=$PATH:/x",
    "ARG V=3",
    "# a comment",
    "",
    "USER 10001",
    "EXPOSE 80",
    "LABEL a=b",
    "RUN useradd x",
    "RUN mkdir -p /data",
    "RUN python x.py",
    "VOLUME /data",
    "HEALTHCHECK CMD python -c 'print()'",
    "STOPSIGNAL SIGINT",
    'SHELL ["/bin/bash", "-c"]',
)
FILES: dict[str, str | int] = {
    "requirements.txt": "numpy\n",
    "x.py": "print()\n",
    "a.py": "",
    "model.onnx": 20_000_000,
    "data.csv": "a\n",
}
TOOLS = [catalogue.rule("SingleStageBuildTools"), catalogue.rule("BuildToolsInFinalStage")]


def described(text: str) -> ImageConfig:
    """What the image says of itself, without its history and its search path."""
    images = Images({stage.from_.image: BUSYBOX for stage in parse(text).stages})
    config = target(planned(text, images)).config
    return replace(config, history=(), env=tuple(each for each in config.env if not each.startswith("PATH=")))


@given(st.sampled_from(BASES), st.lists(st.sampled_from(INSTRUCTIONS), min_size=3, max_size=14), st.booleans())
@settings(max_examples=150, deadline=None)
def test_a_split_describes_the_same_image(base: str, body: list[str], has_context: bool) -> None:
    text = f"# top\nFROM {base}\n" + "\n".join(body) + '\nCMD ["python", "a.py"]\n'
    example = Example(text, FILES if has_context else None, ".git\n")
    fixed = fix_all(text, lambda after: check_example(example, TOOLS, after)).text
    if fixed == text:
        return
    assert len(parse(fixed).stages) == 2
    assert described(fixed) == described(text)
    assert fixed.count("# a comment") == text.count("# a comment")
    assert fixed.startswith("# top\n")
    assert not check_example(example, TOOLS, fixed).findings
