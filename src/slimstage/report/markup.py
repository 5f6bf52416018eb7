"""HTML as values: whatever text goes in is escaped, and only what was made here is markup. Pure.

Others' text (names of files, labels, lines of logs) also has its control, bidirectional and undecodable characters written
out, so that it can neither leave its place nor look like something else.
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterable
from typing import Any, TypeAlias

from slimstage.diagnostics import shown

VOID = frozenset({"br", "meta", "col", "input"})


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


Content: TypeAlias = "str | Markup | Iterable[Content] | None"


def element(name: str, *content: Content, **attributes: str | int | float | bool | None) -> Markup:
    """One element. Attributes: a trailing `_` is dropped, other `_` become `-`; None and False leave one out, True is bare."""
    opened = f"<{name}{''.join(_attribute(key, value) for key, value in attributes.items())}>"
    return Markup(opened if name in VOID else f"{opened}{inside(content)}</{name}>")


def inside(content: Content) -> Markup:
    """The content as HTML: text escaped, markup as it is, everything else gone through in order."""
    if content is None:
        return Markup()
    if isinstance(content, Markup):
        return content
    if isinstance(content, str):
        return Markup(html.escape(shown(content)))
    return Markup("".join([inside(each) for each in content]))


def script_json(document: Any) -> Markup:
    """The document as text of a `<script type="application/json">`: nothing in it ends the element or opens a comment.

    Source: HTML Standard, "Restrictions for contents of script elements".
    """
    text = json.dumps(safe(document), separators=(",", ":"), ensure_ascii=True)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def safe(document: Any) -> Any:
    """The same document with all text in it fit to be shown."""
    if isinstance(document, str):
        return shown(document)
    if isinstance(document, dict):
        return {key: safe(value) for key, value in document.items()}
    if isinstance(document, list):
        return [safe(value) for value in document]
    return document


def _attribute(name: str, value: str | int | float | bool | None) -> str:
    if value is None or value is False:
        return ""
    name = name.rstrip("_").replace("_", "-")
    if value is True:
        return f" {name}"
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return f' {name}="{html.escape(shown(text))}"'
