"""JUnit XML, which CI systems show beside test results: a test case for each finding, failed; one passed for a clean file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from slimstage.diagnostics import render, shown
from slimstage.lint.formats.told import Told


def junit(files: Sequence[str], remarks: Sequence[Told]) -> str:
    """The whole document. files: all that were checked, as they were named."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>']
    faults = sum(each.is_fault for each in remarks)
    counts = f'tests="{_cases(files, remarks)}" failures="{len(remarks) - faults}" errors="{faults}"'
    lines.append(f'<testsuites name="slimstage check" {counts}>')
    for file in files:
        lines += _suite(file, [each for each in remarks if each.file == file])
    lines.append("</testsuites>")
    return "\n".join(lines) + "\n"


def _cases(files: Sequence[str], remarks: Sequence[Told]) -> int:
    return len(remarks) + sum(not any(each.file == file for each in remarks) for file in files)


def _suite(file: str, remarks: Sequence[Told]) -> Iterable[str]:
    faults = sum(each.is_fault for each in remarks)
    counts = f'tests="{max(1, len(remarks))}" failures="{len(remarks) - faults}" errors="{faults}"'
    yield f'  <testsuite name="{_escaped(file)}" {counts}>'
    if not remarks:
        yield f'    <testcase classname="{_escaped(file)}" name="check"/>'
    for each in remarks:
        tag = "error" if each.is_fault else "failure"
        name = _escaped(f"{each.rule} (line {each.line})")
        yield f'    <testcase classname="{_escaped(file)}" name="{name}">'
        yield f'      <{tag} type="{each.severity}" message="{_escaped(each.message)}">{_text(each)}</{tag}>'
        yield "    </testcase>"
    yield "  </testsuite>"


def _text(each: Told) -> str:
    return "\n".join(_escaped(line) for line in render(each.diagnostic()).split("\n"))


def _escaped(text: str) -> str:
    """For text and attributes; what XML cannot hold is shown as an escape."""
    plain = shown(text, tabs=True).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return plain.replace('"', "&quot;").replace("\t", "&#9;")
