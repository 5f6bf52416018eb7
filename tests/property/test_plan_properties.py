"""Laws of planning, over made-up Dockerfiles."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from slimstage.digest import canonical_json
from slimstage.dockerfile.gitref import parse_git_ref
from slimstage.dockerfile.parse import parse
from slimstage.errors import PlanError, SlimstageError
from slimstage.plan import history, paths
from slimstage.plan.graph import Graph
from slimstage.plan.lower import bases_needed, lower
from slimstage.plan.render import render_plan
from slimstage.plan.request import PlanRequest
from support.planning import AMD64, Images, planned, target

WORD = st.sampled_from(("a", "b/c", "$X", "${Y:-d}", "/abs/", ".", "..", "*.txt", '"q $X"', "1000", "80/udp", "$(("))
NAMES = ("s0", "s1", "s2", "s3")


@st.composite
def instructions(draw: st.DrawFn) -> str:
    word, other = draw(WORD), draw(WORD)
    source = draw(st.sampled_from((*NAMES, "0", "1", "busybox", "scratch", "ctx")))
    return draw(
        st.sampled_from(
            (
                f"RUN {word} {other}",
                f"RUN --mount=from={source},target=/m {word}",
                f"RUN --mount=type=cache,target={word} x",
                f"COPY {word} {other}",
                f"COPY --from={source} {word} {other}",
                f"ADD --chown={other} {word} /x/",
                f"ENV X={word} Y={other}",
                f"ARG X={word}",
                "ARG Y",
                f"WORKDIR {word}",
                f"USER {word}",
                f"LABEL l={word}",
                f"EXPOSE {word}",
                f"VOLUME {word}",
                f"CMD {word}",
                f"ENTRYPOINT {word}",
                f"ONBUILD RUN {word}",
                f"ONBUILD COPY --from={source} {word} {other}",
                f"COPY <<E {word}\n{other}\nE",
            )
        )
    )


@st.composite
def dockerfiles(draw: st.DrawFn) -> str:
    lines = ["ARG G=busybox"]
    for number in range(draw(st.integers(1, 4))):
        base = draw(st.sampled_from(("busybox", "scratch", "$G", *NAMES[: number + 1])))
        lines.append(f"FROM {base} AS {NAMES[number]}")
        lines += draw(st.lists(instructions(), max_size=6))
    return "\n".join(lines) + "\n"


def attempt(text: str, **request: Any) -> Graph | SlimstageError:
    """The graph, or why there is none."""
    try:
        return planned(text, contexts={"ctx": "./dir"}, **request)
    except SlimstageError as error:
        return error


@given(dockerfiles())
@settings(max_examples=200, deadline=None)
def test_what_is_refused_is_refused_with_codes_and_places(text: str) -> None:
    found = attempt(text)
    if isinstance(found, SlimstageError):
        assert all(each.code and each.span is not None for each in found.diagnostics), str(found)


@given(dockerfiles())
@settings(max_examples=300, deadline=None)
def test_a_plan_is_closed_ordered_serialisable_and_the_same_each_time(text: str) -> None:
    graph = attempt(text)
    if not isinstance(graph, Graph):
        return
    seen: set[str] = set()
    for name, step in graph.steps.items():
        assert name == step.id
        assert set(graph.inputs(name)) <= seen
        assert json.loads(canonical_json(asdict(step)))["id"] == name
        seen.add(name)
    again = attempt(text)
    assert isinstance(again, Graph)
    assert again == graph
    assert list(again.steps) == list(graph.steps)
    for form in ("text", "json", "dot", "mermaid"):
        assert render_plan(graph, {}, form) == render_plan(again, {}, form)


@given(dockerfiles())
@settings(max_examples=300, deadline=None)
def test_stages_are_needed_or_skipped_and_layers_match_history(text: str) -> None:
    graph = attempt(text)
    if not isinstance(graph, Graph):
        return
    numbers = sorted([stage.index for stage in graph.stages] + [stage.index for stage in graph.skipped])
    assert numbers == list(range(text.count("\nFROM ")))
    needed = {stage.index for stage in graph.stages}
    for stage in graph.stages:
        assert set(stage.needs) <= needed
        layers = [entry.step for entry in stage.history if entry.step]
        assert len(layers) == len(set(layers))
        chain, step = [], stage.last
        while step is not None:
            chain.append(step)
            step = graph.steps[step].parent
        bases = [each for each in chain if each.endswith(".0")]
        assert layers == [each for each in reversed(chain) if each not in bases]


@given(dockerfiles())
@settings(max_examples=200, deadline=None)
def test_what_is_asked_first_is_all_that_is_asked_without_triggers(text: str) -> None:
    images = Images()
    try:
        dockerfile = parse(text)
        request = PlanRequest(AMD64, contexts={"ctx": "./dir"})
        lower(dockerfile, request, images)
    except SlimstageError:
        return
    wanted = {(reference, str(platform)) for reference, platform, _ in bases_needed(dockerfile, request)}
    assert wanted == set(images.asked)


@given(dockerfiles(), st.sampled_from(NAMES))
@settings(max_examples=200, deadline=None)
def test_a_stage_is_the_same_whether_it_is_the_target_or_not(text: str, name: str) -> None:
    whole = attempt(text)
    if not isinstance(whole, Graph) or name not in {stage.name for stage in whole.stages}:
        return
    alone = attempt(text, target=name)
    assert isinstance(alone, Graph)
    index = alone.target
    assert target(alone).config == whole.stage(index).config
    assert target(alone).history == whole.stage(index).history


@given(st.text(alphabet="ab./*\\ ", max_size=12), st.text(alphabet="ab./", max_size=8))
def test_paths_stay_below_the_root_and_cleaning_twice_changes_nothing(path: str, working_dir: str) -> None:
    found = paths.destination(path, working_dir)
    assert found.startswith("/")
    assert ".." not in found.split("/")
    assert paths.destination(found, "/other") == found
    assert not paths.source(path).startswith("/")
    assert paths.source(paths.source(path)) == paths.source(path)
    assert paths.absolute(paths.workdir(path, working_dir)) == paths.absolute(path, working_dir)


@given(st.integers(0, 2**63 - 1))
def test_a_duration_reads_back(nanoseconds: int) -> None:
    from slimstage.dockerfile.values import parse_duration

    assert parse_duration(history.duration(nanoseconds)) == nanoseconds


@given(st.text(max_size=60) | st.text(max_size=30).map(lambda tail: "https://h/x.git" + tail))
def test_no_text_breaks_the_reader_of_git_references(text: str) -> None:
    try:
        found = parse_git_ref(text)
    except PlanError:  # a query that makes no sense
        return
    assert found is None or found.remote
