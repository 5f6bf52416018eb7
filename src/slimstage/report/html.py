"""A report as one HTML file that needs nothing else: no network, no font, no script of others. Pure, but for reading page/.

The policy in it (CSP) forbids all that is not the page's own style and script, which it names by their digests: even markup
that got in would load nothing and run nothing. Source: W3C, Content Security Policy Level 3.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any

from slimstage.report.colours import purpose_colours
from slimstage.report.document import tree_columns
from slimstage.report.markup import Markup, element, inside, script_json
from slimstage.report.record import Report
from slimstage.report.sections import (
    comparison,
    findings,
    layers,
    overview,
    packages,
    stages,
    timeline,
)
from slimstage.report.sections import files as files_section

_SCRIPTS = ("figures.js", "elements.js", "trees.js", "squares.js", "canvas.js", "map.js", "packages.js", "start.js")
"""In this order, in one scope."""


def page(report: Report) -> str:
    """The whole file; the same report gives the same text."""
    style, script = _text("style.css"), _script()
    sections = [
        overview.section(report),
        comparison.section(report),
        stages.section(report),
        files_section.section(report),
        findings.section(report),
        packages.section(report),
        timeline.section(report),
        layers.section(report),
    ]
    return Template(_text("template.html")).substitute(
        policy=_policy(style, script),
        title=inside(report.title),
        about=_about(report),
        navigation=_navigation(report),
        main=inside(sections),
        made_by=inside(f"slimstage {report.version}".strip()),
        style=style,
        data=script_json(_data(report)),
        script=script,
    )


def _policy(style: str, script: str) -> str:
    return (
        f"default-src 'none'; script-src '{_source(script)}'; style-src '{_source(style)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _source(text: str) -> str:
    """Source: CSP Level 3, "hash-source"."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _about(report: Report) -> Markup:
    image = report.image
    parts = [image.platform, image.system, image.id[:19]]
    return element("p", " · ".join(part for part in parts if part), class_="about")


def _navigation(report: Report) -> Markup:
    """Links to the sections that there are, in the order of the page."""
    known = {
        "overview": "Overview",
        "comparison": "Comparison" if report.comparison else "",
        "stages": "Stages",
        "files": "Files",
        "findings": "Findings",
        "packages": "Packages" if report.packages else "",
        "timeline": "Timeline" if report.timeline and report.timeline.steps else "",
        "layers": "Layers",
    }
    return inside([element("li", element("a", title, href=f"#{name}")) for name, title in known.items() if title])


def _data(report: Report) -> dict[str, Any]:
    """What the script draws from: the rest of the report is on the page as it is."""
    names = [each.name for each in report.purposes]
    return {
        "tree": tree_columns(report.tree),
        "purposes": names,
        "colours": list(purpose_colours(names)),
        "packages": [
            [each.kind, each.name, each.version, each.size_bytes, each.files, list(each.needed_by)]
            for each in report.packages
        ],
    }


@cache
def _text(name: str) -> str:
    return files("slimstage.report").joinpath("page", name).read_text(encoding="utf-8")


@cache
def _script() -> str:
    bodies = "".join(_text(name) for name in _SCRIPTS)
    return f'(() => {{\n"use strict";\n{bodies}}})();\n'
