"""What the fixes of our rules write can be planned, and the image says of itself what it said before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slimstage.dockerfile.parse import parse
from slimstage.lint import catalogue
from slimstage.lint.examples import check_example
from slimstage.lint.fix import fix_all
from slimstage.lint.rule import Example, Rule
from slimstage.oci.config import ImageConfig
from support.planning import BUSYBOX, Images, planned, target

OURS = [rule for rule in catalogue.rules() if rule.has_fix and rule.group in ("stages", "caching", "ml")]


def images_of(text: str) -> Images:
    names = {stage.from_.image for stage in parse(text).stages} - {stage.name for stage in parse(text).stages}
    return Images({name: BUSYBOX for name in names if name != "scratch"} | {"ghcr.io/astral-sh/uv:0.5.9": BUSYBOX})


def config_of(text: str) -> ImageConfig:
    """What the final image says of itself, its history left out."""
    return replace(target(planned(text, images_of(text))).config, history=())


def mended(rule: Rule, example: Example) -> str:
    return fix_all(example.dockerfile, lambda text: check_example(example, [rule], text)).text


@pytest.mark.parametrize("rule", OURS, ids=lambda rule: rule.name)
def test_a_mended_example_can_be_planned(rule: Rule) -> None:
    before, after = config_of(rule.bad.dockerfile), config_of(mended(rule, rule.bad))
    assert without_path(after) == without_path(before)


def without_path(config: ImageConfig) -> ImageConfig:
    return replace(config, env=tuple(each for each in config.env if not each.startswith("PATH=")))


def test_a_split_keeps_all_that_the_image_says_of_itself() -> None:
    text = (
        'ARG V=3.12\nFROM python:3.12-slim AS svc\nARG BUILD=1\nENV A=1 B=two\nLABEL a=b\nSHELL ["/bin/bash", "-c"]\n'
        "RUN apt-get update && apt-get install -y gcc libpq-dev\nWORKDIR /srv\nCOPY r.txt ./\nRUN pip install -r r.txt\n"
        "WORKDIR app\nCOPY . .\nENV PATH=$PATH:/srv/bin C=$B\nEXPOSE 80 81/udp\nVOLUME /data\nUSER 10001:10001\n"
        "STOPSIGNAL SIGINT\n"
        'HEALTHCHECK --interval=10s CMD python -c \'print(1)\'\nENTRYPOINT ["python"]\nCMD ["app.py"]\n'
    )
    rule = catalogue.rule("SingleStageBuildTools")
    after = mended(rule, Example(text))
    assert len(parse(after).stages) == 2
    old, new = config_of(text), config_of(after)
    assert without_path(new) == without_path(old)
    (path,) = (each for each in new.env if each.startswith("PATH="))
    (before,) = (each for each in old.env if each.startswith("PATH="))
    assert path == before.replace("PATH=", "PATH=/opt/venv/bin:")
