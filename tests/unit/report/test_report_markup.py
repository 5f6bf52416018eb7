"""Whatever text goes into the page stays text."""

from __future__ import annotations

import html
import json
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimstage.diagnostics import shown
from slimstage.report.markup import Markup, element, inside, script_json
from support.reports import HOSTILE

TEXTS = st.text(st.characters(codec=None, categories=None)) | st.sampled_from(HOSTILE)


class Reader(HTMLParser):
    """Tags with their attributes, and the text between them."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@given(TEXTS)
def test_text_and_attributes_come_back_as_they_went_in(text: str) -> None:
    read = Reader(element("p", text, title=text))
    assert read.text == shown(text)
    assert read.tags == [("p", {"title": shown(text)})]


@pytest.mark.parametrize("text", HOSTILE)
def test_control_and_bidi_characters_are_written_out(text: str) -> None:
    found = html.unescape(inside(text))
    assert found.isprintable()
    assert not set(found) & set("\u202e\u2066\u2069\u2028\x1b\n")
    assert found.encode()  # no surrogate is left


@given(st.recursive(TEXTS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.just("k"), inner)))
def test_a_document_in_a_script_element_reads_back(document: object) -> None:
    text = script_json(document)
    assert not set("<>&") & set(text)
    assert text.isascii()
    read = Reader(f'<script type="application/json">{text}</script>')
    assert [tag for tag, _ in read.tags] == ["script"]

    def safe(value: object) -> object:
        if isinstance(value, str):
            return shown(value)
        if isinstance(value, list):
            return [safe(each) for each in value]
        assert isinstance(value, dict)
        return {key: safe(each) for key, each in value.items()}

    assert json.loads(read.text) == safe(document)


def test_attributes_are_named_as_html_names_them() -> None:
    made = element(
        "a", "x", Markup("<b>y</b>"), None, class_="k", aria_label="l", hidden=True, open=False, id=None, x=1.5
    )
    assert made == '<a class="k" aria-label="l" hidden x="1.5">x<b>y</b></a>'
