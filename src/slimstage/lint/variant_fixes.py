"""A word of an installation that becomes another variant of the same: a fix where it stands in the Dockerfile itself."""

from __future__ import annotations

import re

from slimstage.diagnostics import Span
from slimstage.lint.commands.command import Requested
from slimstage.lint.distributions_installed import Installed
from slimstage.lint.finding import Edit, Fix
from slimstage.lint.knowledge import Variant
from slimstage.regex import pattern

_NAME = pattern(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")


def applies(each: Installed, variant: Variant) -> bool:
    """True where the variant is one of this request: its extra is asked for, its version is one that the other has."""
    extras = each.requested.extras if each.requested else ()
    if variant.extra is not None:
        return variant.extra in extras or (each.line is not None and f"[{variant.extra}]" in each.line.text)
    return variant.since is None or not _is_older(each.rest, variant.since)


def _is_older(constraint: str, since: str) -> bool:
    """True where the constraint keeps the version below `since`: `==1.7.6`, `<2`."""
    for operator, version in re.findall(r"(==|<=|<|~=|=)\s*([0-9][0-9.]*)", constraint):
        numbers, least = _numbers(version), _numbers(since)
        if numbers < least[: len(numbers)] or (operator == "<" and numbers <= least[: len(numbers)]):
            return True
    return False


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part)


def fix_for(each: Installed, variant: Variant) -> Fix | None:
    """The edit; None where the word stands in a requirement file, is made of variables, or the change is not the same."""
    package = each.requested
    if not variant.is_same or package is None or package.kind != "name":
        return None
    options = each.command.options
    if options.requires_hashes or options.no_index or options.no_binary or options.find_links:
        return None
    span = package.span
    start = _start(package)
    if start is None:
        return None
    if variant.action == "name":
        found = _NAME.match(package.raw)
        if found is None or each.command.family != "python":
            return None
        place = Span(span.source, span.line, start, span.line, start + found.end())
        return Fix(f'install "{variant.instead}"', (Edit(place, variant.instead),))
    if variant.action == "index" and not options.index_urls and each.command.manager in ("pip", "uv"):
        place = Span(span.source, span.line, span.column, span.line, span.column)
        return Fix("take the wheel without CUDA", (Edit(place, f"--extra-index-url {variant.instead} "),))
    return None


def _start(package: Requested) -> int | None:
    """The column of the word's first letter, where the file has it letter by letter, with quotes around it or without."""
    span = package.span
    if span.line != span.end_line:
        return None
    written = (span.source.line(span.line) or "")[span.column - 1 : span.end_column - 1]
    if written == package.raw:
        return span.column
    return span.column + 1 if written in (f"'{package.raw}'", f'"{package.raw}"') else None
