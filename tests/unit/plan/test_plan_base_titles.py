"""A base is shown under the name that the Dockerfile has, whatever stands in for it."""

from __future__ import annotations

from slimstage.plan.contexts import ImageSource
from slimstage.plan.graph import BaseStep, Graph
from support.planning import BUSYBOX, Images, planned

DEBIAN = "debian://bookworm?include=python3"
CONTEXTS = {"python:3.11": DEBIAN, "tools": DEBIAN}


def bases(graph: Graph) -> list[tuple[str, str]]:
    return [(step.title, step.reference) for step in graph.steps.values() if isinstance(step, BaseStep)]


def test_from_says_what_the_dockerfile_says_and_resolves_what_the_context_says() -> None:
    images = Images({DEBIAN: BUSYBOX})
    graph = planned("FROM docker.io/library/python:3.11\nRUN x\n", images, contexts=CONTEXTS)
    assert bases(graph) == [("FROM docker.io/library/python:3.11", DEBIAN)]
    assert [reference for reference, _ in images.asked] == [DEBIAN]


def test_an_image_that_only_gives_files_is_named_as_well() -> None:
    graph = planned("FROM busybox\nCOPY --from=tools /a /a\n", {DEBIAN: BUSYBOX}, contexts=CONTEXTS)
    assert bases(graph) == [("FROM busybox", "busybox"), ("FROM tools", DEBIAN)]


def test_without_a_context_the_name_is_the_reference() -> None:
    assert bases(planned("FROM busybox\n")) == [("FROM busybox", "busybox")]


def test_two_names_for_one_image_are_one_source_of_files() -> None:
    assert ImageSource(DEBIAN, "a") == ImageSource(DEBIAN, "b")
    text = "FROM busybox\nCOPY --from=tools /a /a\nCOPY --from=python:3.11 /b /b\n"
    graph = planned(text, {DEBIAN: BUSYBOX}, contexts=CONTEXTS)
    assert bases(graph) == [("FROM busybox", "busybox"), ("FROM tools", DEBIAN)]
