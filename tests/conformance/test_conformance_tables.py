"""The shared tables of BuildKit's unit tests, where the suite stands beside the checkout."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from slimstage.context.patterns import PatternMatcher, read_ignore_file
from slimstage.diagnostics import Source
from slimstage.dockerfile.commands import parse_device
from slimstage.dockerfile.directives import find_directive
from slimstage.dockerfile.faults import Faults
from slimstage.dockerfile.heredocs import operators_of, parse_operator
from slimstage.dockerfile.instructions import Env, Healthcheck, Label
from slimstage.dockerfile.parse import parse
from slimstage.dockerfile.ports import parse_port
from slimstage.dockerfile.reader import LineReader
from slimstage.dockerfile.syntax import Node, read_nodes
from slimstage.dockerfile.wildcards import ShellPattern
from slimstage.dockerfile.words import NotStrings, json_strings, split_words
from slimstage.errors import ContextError, DockerfileError

SUITE = Path(__file__).resolve().parents[3] / "shared" / "conformance"
pytestmark = pytest.mark.skipif(not SUITE.is_dir(), reason="the shared conformance suite is not beside this checkout")


def table(name: str) -> Any:
    return json.loads((SUITE / "tables" / f"{name}.json").read_text())


def nodes_of(text: str) -> tuple[list[Node], Faults, LineReader]:
    faults = Faults()
    source = Source("Dockerfile", text)
    reader = LineReader(source, faults)
    return list(read_nodes(source, reader, faults)), faults, reader


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("area", ["parser", "shell", "ignore"])
def test_the_area_passes_whole(area: str) -> None:
    runner, adapter = _load(SUITE / "run.py"), _load(Path(__file__).with_name("adapter.py"))
    cases = list(runner.read_cases(area))
    assert cases
    answers = {case["id"]: runner.check_table(area, case, adapter) for case in cases}
    assert {case: answer for case, answer in answers.items() if answer is not None} == {}


def test_heredoc_bodies() -> None:
    case = table("heredoc")["cases"]["heredoc_parse"]
    nodes, faults, _ = nodes_of(case["dockerfile"])
    assert not faults.found
    found = [
        [
            {
                "Name": h.name,
                "Content": h.content if h.as_written is None else h.as_written,
                "Expand": h.expands,
                "Chomp": h.strips_tabs,
                "FileDescriptor": h.fd,
            }
            for h in node.heredocs
        ]
        for node in nodes[1:]
    ]
    blank = {"Chomp": False, "FileDescriptor": 0}
    assert found == [[blank | heredoc for heredoc in row or []] for row in case["expected_by_instruction"]]


def test_heredoc_words() -> None:
    cases = table("heredoc")["cases"]
    words = cases["heredoc_words"]
    assert all(parse_operator(word) for word in words["validHeredocs"])
    assert not any(parse_operator(word) for word in words["notHeredocs"])
    for word in words["invalidHeredocs"]:
        with pytest.raises(DockerfileError):
            parse_operator(word)
    for row in cases.get("heredocs_from_line") or table("heredoc")["heredocs_from_line"]:
        assert [operator.name for operator in operators_of(row["line"])] == (row["heredocNames"] or [])


def test_json_arrays() -> None:
    cases = table("json_arrays")["cases"]
    for text, expected in cases["valid"].items():
        assert json_strings(text) == (expected or [])
    for text in cases["invalid"]:
        with pytest.raises(NotStrings):
            json_strings(text)


def test_word_splitting() -> None:
    for case in table("parse_words")["cases"]:
        assert [word.text for text in case["input"] for word in split_words(text)] == case["expect"]


def test_line_ranges() -> None:
    nodes, _, _ = nodes_of((SUITE / "tables" / "lines.Dockerfile").read_text())
    assert [[node.line.whole().line, node.line.whole().end_line] for node in nodes] == table("lines")["children"]


def test_error_lines() -> None:
    cases = {case["name"]: case for case in table("error_lines")["cases"]}
    for name in ("invalidenv", "invalidflag"):
        with pytest.raises(DockerfileError) as caught:
            parse(cases[name]["dockerfile"])
        assert [d.span and d.span.line for d in caught.value.diagnostics] == cases[name]["error_lines"]
    span = parse(cases["invalidmultiline"]["dockerfile"]).stages[0].instructions[0].span
    assert [*range(span.line, span.end_line + 1)] == cases["invalidmultiline"]["error_lines"]


def test_instruction_faults_and_values() -> None:
    rows = table("instructions")
    for case in rows["error_cases"]:
        with pytest.raises(DockerfileError):
            parse("FROM a\n" + case["dockerfile"])
    for group in ("exactly_one_argument", "at_least_one_argument", "no_destination_argument"):
        for name in rows["arity"][group]:
            with pytest.raises(DockerfileError):
                parse(f"FROM a\n{name}\n")
    for row in rows["name_value"]:
        text = f"FROM a\n{row['instruction']} {row['rest']}\n"
        if "error" in row:
            with pytest.raises(DockerfileError):
                parse(text)
            continue
        made = parse(text).stages[0].instructions[0]
        assert isinstance(made, Env | Label)
        assert [[p.name, p.value, "" if p.legacy else "="] for p in made.pairs] == row["pairs"]
    for row in rows["healthcheck"]:
        made = parse(f"FROM a\n{row['input']}\n").stages[0].instructions[0]
        assert isinstance(made, Healthcheck)
        assert list(made.test) == row["test"]
    for row in rows["healthcheck_interval"]:
        text = f"FROM a\nHEALTHCHECK --interval={row['value']} CMD a\n"
        if "error" in row:
            with pytest.raises(DockerfileError, match=row["error"]):
                parse(text)
        else:
            parse(text)


def test_directives_and_devices() -> None:
    rows = table("instructions")
    for row in rows["directives"]:
        if row["kind"] == "all":
            found = [[name, value] for name, value, _ in parse(row["text"] + "FROM a\n").directives]
            assert found == row["expected"]
            continue
        directive = find_directive(row["kind"], row["text"])
        assert (directive and directive[0]) == row["ref"]
        if directive and "line" in row:
            assert directive[1] == row["line"]
    for row in rows["device_flag"]:
        if "error" in row:
            with pytest.raises(ValueError):
                parse_device(row["input"])
        else:
            device = parse_device(row["input"])
            assert (device.name, device.is_required) == (row["name"], row["required"])


def test_empty_continuations_warn_once_for_each_instruction() -> None:
    case = table("instructions")["empty_continuation"]
    _, _, reader = nodes_of(case["dockerfile"])
    assert len(reader.warnings) == case["expected_warnings"]


def test_ports() -> None:
    rows = table("expose")
    for case in rows["cases"]:
        if "error" in case:
            with pytest.raises(ValueError):
                parse_port(case["spec"])
        else:
            assert parse_port(case["spec"]) == case["expected"]
    for case in rows["lists"]:
        if "error" in case:
            with pytest.raises(ValueError):
                parse_port(case["specs"][0])
        else:
            assert [port for spec in case["specs"] for port in parse_port(spec)] == case["expected"]


def test_shell_patterns() -> None:
    rows = table("shell_patterns")["convert_shell_pattern_to_regex"]
    assert all(ShellPattern.parse(text) for text in rows["cases"])
    for text in rows["invalid"]:
        with pytest.raises(ValueError):
            ShellPattern.parse(text)


def test_ignore_files() -> None:
    rows = table("ignore_more")
    case = rows["ignorefile_readall"]
    assert [str(pattern) for pattern in read_ignore_file(case["content"])] == case["expected"]
    for row in rows["clean_patterns"]:
        if "error" in row:
            with pytest.raises(ContextError):
                PatternMatcher(row["input"])
            continue
        matcher = PatternMatcher(row["input"])
        assert matcher.has_exclusions is row["exclusions"]
        assert len(matcher.patterns) == row.get("n_patterns", len(matcher.patterns))


def test_the_corpus_never_fails_otherwise_than_with_a_diagnostic() -> None:
    refused: list[DockerfileError] = []
    cases = table("corpus")["dockerfiles"]
    for case in cases:
        try:
            parse(case["dockerfile"])
        except DockerfileError as error:
            refused.append(error)
    assert all(diagnostic.span for error in refused for diagnostic in error.diagnostics)
    assert len(refused) < len(cases) / 10
