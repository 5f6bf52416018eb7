"""The page as a file: one policy, two scripts, no text that is markup, nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from slimstage.report.colours import COLOURS, OTHER, purpose_colours
from slimstage.report.document import document
from slimstage.report.folding import fold
from slimstage.report.html import page
from slimstage.report.record import Change, Report
from slimstage.values import replace
from support.reports import PURPOSES, hostile_report, large_files, purpose_rows, usual_report


class Page(HTMLParser):
    """Tags, their attributes, and what is in scripts and styles."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.bodies: list[tuple[str, str]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.bodies.append((tag, ""))

    def handle_data(self, data: str) -> None:
        if self.lasttag in ("script", "style") and self.cdata_elem:
            self.bodies[-1] = (self.bodies[-1][0], self.bodies[-1][1] + data)
        else:
            self.text += data

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@pytest.mark.parametrize("report", [usual_report(), hostile_report()], ids=["usual", "hostile"])
def test_the_policy_names_the_digests_of_its_own_style_and_script_and_nothing_else(report: Report) -> None:
    found = Page(page(report))
    (policy,) = [a["content"] for a in found.attributes("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy is not None
    (style,) = [body for tag, body in found.bodies if tag == "style"]
    data, script = [body for tag, body in found.bodies if tag == "script"]
    assert policy.split("; ") == [
        "default-src 'none'",
        f"script-src {source(script)}",
        f"style-src {source(style)}",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    assert json.loads(data)["tree"]["names"]


@pytest.mark.parametrize("report", [usual_report(), hostile_report()], ids=["usual", "hostile"])
def test_nothing_is_fetched_and_nothing_runs_from_attributes(report: Report) -> None:
    found = Page(page(report))
    assert not {tag for tag, _ in found.tags} & {"img", "iframe", "object", "embed", "base", "form", "b"}
    for tag, attributes in found.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name != "style"
            if name in ("src", "href", "action", "data"):
                assert value is not None
                assert value.startswith("#") or (tag, value) == ("link", "data:,")
    script = found.bodies[-1][1]
    for forbidden in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "new Function",
        "fetch(",
    ):
        assert forbidden not in script


def test_what_may_be_in_an_image_is_on_the_page_with_its_tricks_written_out() -> None:
    text = Page(page(hostile_report())).text
    assert "</script><script>window.harmed = 1</script>" in text
    assert "\\u202egnp.exe" in text
    assert "caf\\xe9 \\xff" in text
    assert "\\x1b[31m" in text
    assert "${style} $data" in text
    assert not set(text) & set("\u202e\u2066\u2028\x1b\x00")


def test_without_a_script_all_essentials_are_there() -> None:
    text = Page(page(usual_report())).text
    for each in (
        "iris:2", "1.74 GB", "12.4 GB", "torch", "2.4.0", "Test suites of 1 package are in the image", "RUN python train.py",
        "epoch 2", "train → quantize", "/srv/model/model.safetensors", "2.3.1 → 2.4.0", "610 MB (compressed)", "+COPY . .",
        'nothing that "serve" needs comes from it', "COPY --from=deps /usr /usr", "maintainer",
    ):  # fmt: skip
        assert each in text, each


def test_what_is_not_known_is_said_or_left_out() -> None:
    report = replace(usual_report(), stages=None, timeline=None, comparison=None, findings=(), packages=())
    found = Page(page(report))
    assert "How this image was built is not known here" in found.text
    assert "Nothing was found that should be mended." in found.text
    links = [attrs["href"] for attrs in found.attributes("a")]
    assert links == ["#main", "#overview", "#stages", "#files", "#findings", "#layers"]
    ids = {attrs.get("id") for _, attrs in found.tags}
    assert {link[1:] for link in links if link} <= ids


def test_every_link_leads_to_something_and_no_id_is_there_twice() -> None:
    found = Page(page(usual_report()))
    ids = [attrs["id"] for _, attrs in found.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert {str(attrs["href"])[1:] for attrs in found.attributes("a")} <= set(ids)


def test_the_timeline_has_stages_in_the_order_of_the_dockerfile() -> None:
    report = usual_report()
    assert report.timeline is not None
    backwards = replace(report.timeline, steps=report.timeline.steps[::-1])
    text = Page(page(replace(report, timeline=backwards))).text
    timeline = text[text.index("3 steps ran, 1 was cached") :]
    assert timeline.index("deps 1 ran") < timeline.index("train 1 ran") < timeline.index("serve 1 ran")


def test_of_many_changes_the_first_are_shown_and_the_rest_is_folded() -> None:
    report = usual_report()
    assert report.comparison is not None
    packages = tuple(Change(f"package {n}", 100 - n, 0, "python") for n in range(30))
    found = Page(page(replace(report, comparison=replace(report.comparison, packages=packages, package_count=45))))
    assert "45 packages changed; the 30 that change most." in found.text
    assert found.text.index("package 9") < found.text.index("20 more") < found.text.index("package 10")


def test_the_same_report_gives_the_same_bytes() -> None:
    assert page(usual_report()) == page(usual_report())


def test_a_large_image_fits_in_two_megabytes() -> None:
    files = large_files(60_000)
    report = replace(usual_report(), tree=fold(files), purposes=purpose_rows(files, PURPOSES))
    assert len(page(report).encode()) < 2_000_000


def test_the_document_has_the_tree_in_columns_and_all_else_by_name() -> None:
    found = document(usual_report())
    assert found["schema"] == 1
    assert list(found) == [
        "schema", "title", "image", "layers", "tree", "purposes", "packages", "findings", "stages", "timeline", "comparison",
        "faults", "version",
    ]  # fmt: skip
    assert {len(column) for column in found["tree"].values()} == {len(usual_report().tree.nodes)}
    assert found["image"]["command"] == ["python", "-m", "app"]
    assert found["stages"]["edges"][1] == {
        "source": 7, "target": 0, "kind": "copy", "size_bytes": 34_000_000, "paths": ["/uv"], "line": 4,
    }  # fmt: skip
    json.dumps(found)


def test_purposes_have_their_usual_colour_and_never_one_of_another() -> None:
    found = purpose_colours(["docs", "weights", *(f"more {n}" for n in range(20)), "cuda"])
    assert (found[1], found[-1]) == ("p1", "p0")
    own = [colour for colour in found if colour != OTHER]
    assert sorted(own) == sorted(COLOURS)


def test_the_style_uses_no_colour_that_it_does_not_name() -> None:
    (style,) = [body for tag, body in Page(page(usual_report())).bodies if tag == "style"]
    defined = set(re.findall(r"(--[\w-]+):", style))
    assert set(re.findall(r"var\((--[\w-]+)\)", style)) <= defined
