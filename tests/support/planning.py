"""Plans for tests: a Dockerfile's text and known images → the graph, or the error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from slimstage.diagnostics import Span
from slimstage.dockerfile.parse import parse
from slimstage.errors import PlanError, SlimstageError
from slimstage.oci.config import HistoryEntry, ImageConfig
from slimstage.oci.descriptor import Platform
from slimstage.plan.graph import AnyStep, CopyStep, Graph, RunStep, StagePlan
from slimstage.plan.lower import lower
from slimstage.plan.request import PlanRequest, ResolvedImage

AMD64 = Platform("linux", "amd64")
ARM64 = Platform("linux", "arm64")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
BUSYBOX = ImageConfig(
    "amd64", "linux", env=(f"PATH={PATH}",), cmd=("sh",), history=(HistoryEntry(created_by="base layer"),)
)


class Images:
    """A provider of the images given (`busybox` is always one); `asked` holds what was asked for, in order."""

    def __init__(self, images: Mapping[str, ImageConfig] | None = None) -> None:
        self._images = {"busybox": BUSYBOX, **(images or {})}
        self.asked: list[tuple[str, str]] = []

    def image(self, reference: str, platform: Platform, span: Span) -> ResolvedImage:
        self.asked.append((reference, str(platform)))
        if reference not in self._images:
            raise PlanError(f'no image "{reference}"', code="no-such-base")
        number = list(self._images).index(reference)
        config = replace(self._images[reference], architecture=platform.architecture)
        return ResolvedImage(reference, f"sha256:{number:064x}", config, 1)


def planned(text: str, images: Images | Mapping[str, ImageConfig] | None = None, **request: Any) -> Graph:
    """The graph of a Dockerfile; keywords are those of PlanRequest."""
    provider = images if isinstance(images, Images) else Images(images)
    request.setdefault("build_platform", AMD64)
    return lower(parse(text), PlanRequest(**request), provider)


def refused(text: str, images: Images | Mapping[str, ImageConfig] | None = None, **request: Any) -> SlimstageError:
    """The error that planning ends with; it has a code, and a place unless it is about the request."""
    with pytest.raises(SlimstageError) as caught:
        planned(text, images, **request)
    return caught.value


def target(graph: Graph) -> StagePlan:
    return graph.stage(graph.target)


def said(graph: Graph) -> list[str]:
    """History texts of the target, after the base's."""
    return [entry.created_by for entry in target(graph).history]


def steps(graph: Graph, stage: int | None = None) -> list[AnyStep]:
    """Own steps of a stage (the target)."""
    plan = target(graph) if stage is None else graph.stage(stage)
    return [graph.steps[step] for step in plan.steps]


def runs(graph: Graph) -> list[RunStep]:
    return [step for step in graph.steps.values() if isinstance(step, RunStep)]


def copies(graph: Graph) -> list[CopyStep]:
    return [step for step in graph.steps.values() if isinstance(step, CopyStep)]


def environment(step: RunStep) -> dict[str, str]:
    return dict(step.env)
