"""What a tree is called in an error about a file that is not in it."""

from __future__ import annotations

from slimstage.build.files import source_names
from slimstage.plan.graph import FromStep
from support.planning import BUSYBOX, copies, planned


def test_stages_and_images_are_named() -> None:
    text = (
        "FROM busybox AS lib\nRUN x\nFROM lib AS same\nFROM scratch\n"
        "COPY --from=lib /a /a\nCOPY --from=1 /b /b\nCOPY --from=other /c /c\nRUN --mount=from=scratch,target=/m y\n"
    )
    graph = planned(text, {"other": BUSYBOX})
    names = source_names(graph)
    sources = [step.source for step in copies(graph) if isinstance(step.source, FromStep)]
    assert [names[source.step] for source in sources] == [
        'the stage "lib" or "same"',
        'the stage "lib" or "same"',
        'the image "other"',
    ]
