"""What `build --plan` prints."""

from __future__ import annotations

import json

from slimstage.plan.graph import Graph
from slimstage.plan.render import plan_document, render_plan
from support.planning import planned

TEXT = """\
FROM busybox AS deps
RUN --mount=type=bind,target=/src make
FROM busybox AS test
RUN check
FROM deps AS serve
COPY --from=busybox /bin/sh /sh
COPY --from=extra a /a
WORKDIR /srv
"""


def example() -> Graph:
    return planned(TEXT, contexts={"extra": "./dir"})


CACHED = {"s0.0": True, "s0.1": False}


def test_the_text_shows_stages_steps_ties_and_what_is_skipped() -> None:
    assert render_plan(example(), CACHED, "text") == (
        "target serve: 2 stages, 6 steps, 1 cached, 1 skipped\n"
        "\n"
        "deps (stage 0, line 1)\n"
        "  s0.0      cached  FROM busybox\n"
        "  s0.1      run     RUN --mount=type=bind,target=/src make\n"
        "                      mounts the build context\n"
        "\n"
        "serve (stage 2, line 5, the target) on deps\n"
        "  s2.from0  ?       FROM busybox\n"
        "  s2.1      ?       COPY --from=busybox /bin/sh /sh\n"
        "                      copies from s2.from0 (FROM busybox)\n"
        "  s2.2      ?       COPY --from=extra a /a\n"
        "                      copies from context extra\n"
        "  s2.3      ?       WORKDIR /srv\n"
        "\n"
        "not built:\n"
        '  test (stage 1, line 3): "serve" does not need it\n'
        "\n"
        "reads: the build context, context extra\n"
    )


def test_an_empty_stage_says_that_it_has_no_steps() -> None:
    assert "stage-0 (stage 0, line 1, the target) on nothing\n  no steps\n" in render_plan(
        planned("FROM scratch\n"), {}, "text"
    )


def test_the_document_has_every_step_and_tie() -> None:
    document = plan_document(example(), CACHED)
    assert document["target"] == {"index": 2, "name": "serve"}
    assert [stage["name"] for stage in document["stages"]] == ["deps", "serve"]
    assert document["stages"][1] == {
        "index": 2,
        "name": "serve",
        "line": 5,
        "base": "s0.1",
        "steps": ["s2.1", "s2.2", "s2.3"],
        "last": "s2.3",
        "needs": [0],
    }
    kinds = {step["id"]: (step["kind"], step["cached"]) for step in document["steps"]}
    assert kinds == {
        "s0.0": ("base", True),
        "s0.1": ("run", False),
        "s2.from0": ("base", None),
        "s2.1": ("copy", None),
        "s2.2": ("copy", None),
        "s2.3": ("workdir", None),
    }
    ties = [(edge["how"], edge["step"], edge["context"], edge["reader"]) for edge in document["edges"]]
    assert ties == [
        ("from", "s0.0", None, "s0.1"),
        ("mount", None, "", "s0.1"),
        ("from", "s0.1", None, "s2.1"),
        ("copy", "s2.from0", None, "s2.1"),
        ("from", "s2.1", None, "s2.2"),
        ("copy", None, "extra", "s2.2"),
        ("from", "s2.2", None, "s2.3"),
    ]
    assert document["skipped"] == [{"index": 1, "name": "test", "line": 3, "why": '"serve" does not need it'}]
    assert document["contexts"] == ["", "extra"]


def test_json_is_the_document() -> None:
    assert json.loads(render_plan(example(), CACHED, "json")) == plan_document(example(), CACHED)


def test_dot_has_a_cluster_for_each_stage_and_escapes_names() -> None:
    graph = planned('FROM busybox\nRUN echo "a\\nb"\n')
    text = render_plan(graph, {"s0.1": True}, "dot")
    assert text.startswith("digraph plan {\n")
    assert '"s0.1" [label="RUN echo \\"a\\\\nb\\"" style=dashed];' in text
    assert '  "s0.0" -> "s0.1";\n}' in text
    other = render_plan(example(), {}, "dot")
    assert '"context extra" -> "s2.2" [label="COPY --from"];' in other
    assert "subgraph cluster_2" in other
    assert '"skipped 1"' in other


def test_mermaid_has_a_subgraph_for_each_stage_and_no_raw_markup() -> None:
    graph = planned('FROM busybox\nRUN echo "<b>" # & `x`\n')
    text = render_plan(graph, {"s0.0": True}, "mermaid")
    assert text.startswith('flowchart LR\n  subgraph stage0["stage-0 (target)"]\n')
    assert "RUN echo #quot;#lt;b#gt;#quot; #35; #amp; #96;x#96;" in text
    assert "  s0_0 --> s0_1\n" in text
    assert "  class s0_0 cached\n" in text
    other = render_plan(example(), {}, "mermaid")
    assert "  context1 -. COPY --from .-> s2_2\n" in other
    assert "classDef" not in other


def test_control_characters_are_not_printed_raw() -> None:
    graph = planned('FROM busybox\nRUN echo "\x1b[31m"\n')
    for form in ("text", "dot", "mermaid"):
        assert "\x1b" not in render_plan(graph, {}, form)
