"""`--budget` and `[budget]` in the settings: limits as people write them, and what broke them as they read it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from slimstage.analyze.budget import Budget, Excess
from slimstage.analyze.purposes import PURPOSES
from slimstage.cli.units import size_text
from slimstage.diagnostics import did_you_mean, shown
from slimstage.errors import UsageError
from slimstage.regex import pattern

_SIZE = pattern(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(i?)b?\Z", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
KEYS = ("total", "compressed", "layer", "growth", "against", "purposes", "packages")


def parse_bytes(value: object, what: str) -> int:
    """Bytes of `250MB`, `1.5 GiB`, `1000`: decimal units as sizes are shown here, powers of 1024 with an i.

    Raises UsageError.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    match = _SIZE.match(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise UsageError(f'{what}: "{value}" is not a size', code="bad-size", hint='write it like "250MB" or "1.5GiB"')
    number, unit, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** _POWERS[unit.lower()])


def budget_of(
    table: Mapping[str, Any], total: str | None = None, against: str | None = None
) -> tuple[Budget, str | None]:
    """The limits of a `[budget]` table, and the image that growth is measured against; what flags say goes before it.

    Raises UsageError: an unknown key or purpose, a value that is no size.
    """
    for key in table:
        if key not in KEYS:
            raise UsageError(
                f'unknown key "{key}" in [budget]',
                code="settings",
                hint=did_you_mean(key, KEYS) or f"known: {', '.join(KEYS)}",
            )
    named: dict[str, dict[str, int]] = {}
    for key in ("purposes", "packages"):
        limits = table.get(key, {})
        if not isinstance(limits, Mapping):
            raise UsageError(
                f'"{key}" in [budget] is a table', code="settings", hint=f"write [budget.{key}] on its own line"
            )
        named[key] = {str(name): parse_bytes(value, f"[budget.{key}] {name}") for name, value in limits.items()}
    for purpose in named["purposes"]:
        if purpose not in PURPOSES:
            raise UsageError(
                f'unknown purpose "{purpose}" in [budget.purposes]',
                code="settings",
                hint=did_you_mean(purpose, PURPOSES) or f"known: {', '.join(PURPOSES)}",
            )
    sizes = {
        key: parse_bytes(table[key], f"[budget] {key}")
        for key in ("total", "compressed", "layer", "growth")
        if key in table
    }
    if total is not None:
        sizes["total"] = parse_bytes(total, "--budget")
    against = against or table.get("against")
    if against is not None and not isinstance(against, str):
        raise UsageError('"against" in [budget] is the name of an image', code="settings")
    if "growth" in sizes and against is None:
        raise UsageError(
            '"growth" in [budget] needs an image to compare with', code="settings", hint='add against = "NAME"'
        )
    return (
        Budget(
            sizes.get("total"), sizes.get("compressed"), sizes.get("layer"), named["purposes"], named["packages"],
            sizes.get("growth"),
        ),
        against,
    )  # fmt: skip


def excess_text(excess: Excess) -> list[str]:
    """What broke a limit: a sentence, then what has most of it."""
    what = {
        "total": "the image has",
        "compressed": "the image compressed has",
        "layer": f"layer {excess.name} has",
        "purpose": f"{excess.name} have",
        "package": f"package {excess.name} has",
        "growth": f"against {excess.name} it grew by",
    }[excess.kind]
    line = f" (line {excess.line} of the Dockerfile)" if excess.line else ""
    head = (
        f"over budget: {shown(what)} {size_text(excess.size_bytes, ' ')}{line}, {size_text(excess.over_bytes, ' ')} over"
        f" {size_text(excess.limit_bytes, ' ')}"
    )
    lines = [head, *([f"  {shown(' '.join(excess.note.split()))}"] if excess.note else [])]
    sign = "+" if excess.kind == "growth" else ""
    return lines + [f"  {shown(name)}: {sign}{size_text(size, ' ')}" for name, size in excess.details]


def excess_document(excess: Excess) -> dict[str, Any]:
    """One broken limit as in the JSON document."""
    return {
        "kind": excess.kind,
        "name": excess.name,
        "limit_bytes": excess.limit_bytes,
        "size_bytes": excess.size_bytes,
        "over_bytes": excess.over_bytes,
        "note": excess.note,
        "line": excess.line,
        "details": [{"name": name, "size_bytes": size} for name, size in excess.details],
    }
