"""A check takes time in proportion to the file, whatever is in it: CI checks what anybody sends."""

from __future__ import annotations

import time

import pytest

from slimstage.lint import catalogue
from slimstage.lint.context_view import GivenContext
from slimstage.lint.engine import Surroundings, check
from slimstage.oci.descriptor import Platform
from slimstage.plan.request import PlanRequest

REQUEST = PlanRequest(Platform("linux", "amd64"))
CONTEXT = GivenContext({f"src{number}/file.py": 100 for number in range(300)})
MOST_S = 6.0
"""Several times what it takes on a busy machine; a square of the length takes minutes."""


def one_stage(count: int) -> str:
    lines = ["FROM python:3.12 AS build"]
    for number in range(count):
        lines += [
            f"ARG A{number}=x",
            f"ENV B{number}=$A{number}",
            f"RUN apt-get update && apt-get install -y p{number} && rm -rf /var/lib/apt/lists/*",
            f"COPY src{number} /app/src{number}",
            f"RUN pip install --no-cache-dir t{number}==1 -r requirements.txt",
        ]
    return "\n".join([*lines, "FROM python:3.12-slim", "COPY --from=build /app /app"]) + "\n"


def many_stages(count: int) -> str:
    lines = ["FROM alpine AS s0"]
    for number in range(count):
        lines += [
            f"FROM s{number} AS s{number + 1}",
            f"ENV A{number}=$B",
            f"COPY --from=s{max(0, number - 3)} /a /b{number}",
        ]
    return "\n".join(lines) + "\n"


def one_line(count: int) -> str:
    words = " ".join(f"a{number}" for number in range(count))
    return f"FROM alpine\nRUN apk add {words}\nENV X=${{A}}{words.replace(' ', '')}\nEXPOSE {'1:2/TCP ' * count}\n"


@pytest.mark.parametrize("text", [one_stage(250), many_stages(300), one_line(2000)], ids=["stage", "stages", "line"])
def test_long_files_take_time_in_proportion(text: str) -> None:
    began = time.process_time()
    check(text, catalogue.rules(), REQUEST, around=Surroundings(context=CONTEXT), asks_plan=True)
    assert time.process_time() - began < MOST_S
