"""An analysis becomes a report: the tree's bytes in every view, and what is not part of the tree beside it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from slimstage.analyze.analysis import AnalysisFinding
from slimstage.compare.differences import compared
from slimstage.compare.files import Opened
from slimstage.oci.config import ImageConfig
from slimstage.report.html import page
from slimstage.report.of_analysis import image_facts, report_of
from slimstage.report.of_comparison import comparison_of
from slimstage.report.record import NOBODY, USER, Report
from slimstage.values import replace
from support.analysing import analysed
from support.layering import opened_image
from support.system_tree import PACKAGES, SYSTEM
from support.trees import Tree, Whiteout

CONFIG = ImageConfig("amd64", "linux", user="app", entrypoint=("python",), cmd=("-m", "app"), labels=(("k", "v"),))
TOP: Tree = {"srv/model.onnx": b"y" * 70_000, "srv/app.py": b"z" * 11, "data/big": Whiteout()}
TREES = (SYSTEM, {**PACKAGES, "data/big": b"b" * 5000}, TOP)


def leaves(report: Report, field: str) -> Counter[int]:
    found: Counter[int] = Counter()
    for node in report.tree.nodes:
        if node.kind != "dir":
            found[getattr(node, field)] += node.size_bytes
    return found


def test_the_tree_the_purposes_and_the_packages_have_the_bytes_of_the_analysis(tmp_path: Path) -> None:
    analysis = analysed(tmp_path, *TREES).analysis
    report = report_of(analysis, CONFIG)
    assert report.tree.nodes[0].size_bytes == report.image.size_bytes == analysis.seen_bytes
    assert report.tree.nodes[0].files == report.image.files
    assert report.image.hidden_bytes == 5000
    assert sum(row.size_bytes for row in report.purposes) == analysis.seen_bytes
    by_purpose = leaves(report, "purpose")
    assert {row.name: row.size_bytes for row in report.purposes} == {
        report.purposes[number].name: size for number, size in by_purpose.items()
    }
    by_owner = leaves(report, "owner")
    assert len(report.packages) > 1
    for number, row in enumerate(report.packages):
        assert by_owner[number] == row.size_bytes, row
    assert by_owner[USER] >= 70_011
    assert set(by_owner) <= {*range(len(report.packages)), USER, NOBODY}


def test_facts_layers_and_findings_are_told(tmp_path: Path) -> None:
    analysis = analysed(tmp_path, *TREES, created_by=["a", "b", "COPY . /"], config=CONFIG).analysis
    finding = AnalysisFinding("tests", 7, "tests are there", "remove them", ("usr/a", "usr/b"), 9, 1, 12)
    report = report_of(replace(analysis, findings=(finding,)), CONFIG)
    image = report.image
    assert (image.user, image.command, image.labels) == ("app", ("python", "-m", "app"), (("k", "v"),))
    assert image.system.lower().startswith("debian")
    assert [layer.size_bytes for layer in report.layers] == [layer.size_bytes for layer in analysis.layers]
    assert report.layers[1].hidden_bytes == 5000
    (row,) = report.findings
    assert (row.code, row.about, row.saving_bytes, row.line) == ("tests", "image", 7, 12)
    assert (row.paths, row.path_count) == (("/usr/a", "/usr/b"), 9)


def test_a_part_of_a_file_is_told_beside_the_rest_of_it(tmp_path: Path) -> None:
    analysis = analysed(tmp_path, {"srv/lib": b"l" * 1000}).analysis
    report = report_of(replace(analysis, parts={0: (("debug-symbols", 300),)}), CONFIG)
    names = {node.name: (node.size_bytes, node.files) for node in report.tree.nodes if node.kind == "file"}
    assert names == {"lib": (700, 1), "lib (debug-symbols)": (300, 0)}
    assert {row.name: row.size_bytes for row in report.purposes}["debug-symbols"] == 300
    assert report.tree.nodes[0].files == 1


def test_names_that_are_no_text_go_through_to_the_page(tmp_path: Path) -> None:
    analysis = analysed(tmp_path, {"srv/caf\udce9": b"x", "srv/</script>": b"y", "srv/\u202ea": b"z"}).analysis
    text = page(report_of(analysis, CONFIG))
    assert "caf\\\\xe9" in text  # within the script's JSON
    assert "\\\\u202ea" in text
    assert "srv/&lt;/script&gt;" in text
    text.encode()


def test_a_comparison_has_what_changed(tmp_path: Path) -> None:
    old_trees: list[Tree] = [SYSTEM, {"srv/model.onnx": b"o" * 90_000, "srv/same": b"s"}]
    new_trees: list[Tree] = [SYSTEM, {"srv/model.onnx": b"n" * 70_000, "srv/same": b"s", "srv/more": b"m" * 50}]
    with opened_image(tmp_path / "old", old_trees) as old, opened_image(tmp_path / "new", new_trees) as new:
        from slimstage.analyze.analyse import analyse

        before, after = Opened(old, analyse(old).analysis), Opened(new, analyse(new).analysis)
        found = comparison_of(compared(before, after), image_facts(before.analysis, CONFIG))
    assert (found.shared_layers, found.new_layers, found.file_count) == (1, 1, 2)
    weights = next(row for row in found.purposes if row.name == "weights")
    assert (weights.old_bytes, weights.new_bytes, weights.delta_bytes) == (90_000, 70_000, -20_000)
    assert [(row.name, row.old_bytes, row.new_bytes) for row in found.files] == [
        ("/srv/model.onnx", 90_000, 70_000),
        ("/srv/more", None, 50),
    ]
    assert found.pull_is_compressed
    assert 0 < found.pull_bytes < 70_000
