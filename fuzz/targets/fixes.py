"""`check --fix` over any Dockerfile: what parsed still does, with the same target, and mending it again changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fuzz.harness import Choices, decoded, interleaved
from fuzz.targets import dockerfile, shell
from slimstage.lint import catalogue
from slimstage.lint.engine import Checked
from slimstage.lint.engine import check as check_rules
from slimstage.lint.fix import fix_all
from slimstage.oci.descriptor import Platform
from slimstage.plan.request import PlanRequest

MAX_BYTES = 512
_WORDS = (
    "FROM debian:12 AS One\n", "from python:3.12 as two\n", "FROM One\n", "COPY --from=one /a /b\n", "COPY --from=0 a b\n",
    "COPY . /app\n", "ENV A b c\n", "env A=$B\n", "LABEL a b\n", "EXPOSE 80/TCP 1:2/udp\n", "CMD python app.py\n",
    "MAINTAINER a <b@c.d>\n", "RUN apt-get update && apt-get install -y gcc\n", "RUN pip install torch\n", "\\\n\n", "# x\n",
    "RUN <<EOF\napt-get install -y a\nEOF\n", "EXPOSE 80\n", "\n", "\r\n", "RUN dnf install -y a \\\n", " && b\n",
    "# escape=`\n", "# slimstage: skip=all\n", "# check=skip=all\n", "\\\n",
    "WORKDIR app\n", "USER a\n", "ONBUILD ", "FROM --platform=$TARGETPLATFORM a\n", "ARG TOKEN\n", "RUN ", "CMD ",
)  # fmt: skip
TOKENS = tuple(word.encode("utf-8", "surrogateescape") for word in _WORDS)
_REQUEST = PlanRequest(Platform("linux", "amd64"))


def check(data: bytes) -> None:
    choices = Choices(data)
    kind = choices.below(4)
    if kind == 0:
        check_text(decoded(choices.rest()))
    elif kind == 1:
        check_text("FROM debian:12\nRUN " + "".join(choices.words(shell.WORDS, 60)) + "\nCMD a\n")
    elif kind == 2:
        check_text("FROM debian:12\n" + "".join(choices.words(dockerfile.WORDS, 60)))
    else:
        check_text("FROM debian:12\n" + "".join(choices.pick(_WORDS) for _ in range(min(24, choices.left))))


def check_text(text: str) -> None:
    before = _checked(text)
    fixed = fix_all(text, _checked)
    if before.faults:
        assert fixed.text == text
        return
    after = _checked(fixed.text)
    assert not after.faults
    assert len(after.refusals) <= len(before.refusals)
    assert after.dockerfile.stages[-1].name == before.dockerfile.stages[-1].name
    assert fix_all(fixed.text, _checked).text == fixed.text


def _checked(text: str) -> Checked:
    return check_rules(text, catalogue.rules(), _REQUEST, asks_plan=True)


def seeds() -> Iterator[bytes]:
    golden = Path(__file__).parents[2] / "tests/golden"
    texts = [path.read_bytes() for path in sorted(golden.glob("**/Dockerfile"))]
    words = [
        bytes([kind, *range(start, start + 12)])
        for kind, table in ((1, shell.WORDS), (2, dockerfile.WORDS), (3, _WORDS))
        for start in range(0, len(table), 6)
    ]
    yield from interleaved(words, [b"\0" + text[: MAX_BYTES - 1] for text in texts])
