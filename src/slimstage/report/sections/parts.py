"""What several sections are made of: a section's frame, tables, bars, lists of facts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from slimstage.report.markup import Content, Markup, element


def frame(name: str, title: str, *content: Content, lead: Content = None) -> Markup:
    """One section. name: what the page's navigation leads to; lead: what matters of it in a sentence."""
    return element(
        "section",
        element("h2", title, id=f"{name}-title"),
        element("p", lead, class_="lead") if lead else None,
        content,
        id=name,
        aria_labelledby=f"{name}-title",
    )


def bar(part: float, whole: float, class_: str = "") -> Markup:
    """How much of the whole it is, as a bar; the figure is beside it in text."""
    share = min(100.0, max(0.0, 100 * part / whole)) if whole else 0.0
    inner = element("rect", width=f"{share:.3g}%", height="100%", rx=2, class_=class_ or None)
    return element("svg", inner, class_="bar", aria_hidden="true")


def table(
    caption: str,
    header: Sequence[str],
    rows: Iterable[Sequence[Content]],
    *,
    right: Iterable[int] = (),
    text: Iterable[int] = (),
    name: str = "",
    is_titled: bool = False,
) -> Markup:
    """A table that scrolls sideways in its own box where it is too wide; it can be reached by keyboard for that.

    right: columns of figures; text: columns of others' text, which may break anywhere. The first cell of a row names it.
    is_titled: a heading above says what the caption does, which only screen readers get then.
    """
    numbers, breaking = set(right), set(text)

    def kind(column: int) -> str | None:
        return "num" if column in numbers else "any" if column in breaking else None

    head = element(
        "tr",
        [element("th", each, scope="col", class_=kind(n)) if each else element("td") for n, each in enumerate(header)],
    )
    body = [
        element(
            "tr",
            [
                element("th", cell, scope="row", class_=kind(0)) if n == 0 else element("td", cell, class_=kind(n))
                for n, cell in enumerate(row)
            ],
        )
        for row in rows
    ]
    inner = element(
        "table",
        element("caption", caption, class_="unseen" if is_titled else None),
        element("thead", head),
        element("tbody", body),
    )
    return element("div", inner, class_="scroll", tabindex="0", role="group", aria_label=caption, id=name or None)


def prose(text: str) -> Content:
    """A sentence in which what stands between back-quotes is code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return text
    return [element("code", each) if number % 2 else each for number, each in enumerate(parts)]


def facts(pairs: Iterable[tuple[str, Content]]) -> Markup:
    """Names and values."""
    return element("dl", [element("div", element("dt", name), element("dd", value)) for name, value in pairs])


def folded(title: Content, *content: Content, is_open: bool = False) -> Markup:
    return element("details", element("summary", title), content, open=is_open)


def lines(text: str) -> list[Markup]:
    """Text of several lines for a `pre`: each escaped, changes (`+`, `-`) marked."""
    found = []
    for each in text.split("\n"):
        kind = {"+": "add", "-": "del"}.get(each[:1])
        found.append(element("span", each or " ", class_=f"line {kind}" if kind else "line"))
    return found
