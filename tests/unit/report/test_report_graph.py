"""The graph of stages: ranks, lanes, and widths that are bytes."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimstage.report.graph import Drawing, Measures, draw
from slimstage.report.graph_svg import MOST_CARDS, graph
from slimstage.report.record import StageEdge, StageNode, Stages
from support.reports import hostile_report, usual_stages

MEASURES = Measures(main=100, cross=80, gap_main=60, gap_cross=20, widest=40)


def ranks(drawing: Drawing) -> dict[int, int]:
    return {card.node: round(card.main / (MEASURES.main + MEASURES.gap_main)) for card in drawing.cards}


@st.composite
def graphs(draw_: st.DrawFn) -> Stages:
    """Each stage takes from earlier ones, as in a Dockerfile."""
    count = draw_(st.integers(1, 9))
    edges = []
    for target in range(1, count):
        for source in draw_(st.sets(st.integers(0, target - 1), max_size=3)):
            size = draw_(st.integers(0, 10**9))
            copy, base = StageEdge(source, target, "copy", size), StageEdge(source, target, "base")
            edges.append(draw_(st.sampled_from((copy, base))))
    nodes = tuple(StageNode(f"s{n}", "stage", n, "built", n * 100, n == count - 1) for n in range(count))
    return Stages("Dockerfile", nodes, tuple(edges))


def test_stages_stand_behind_all_that_they_take_from() -> None:
    found = ranks(draw(usual_stages(), MEASURES))
    assert found == {7: 0, 0: 1, 1: 2, 3: 3, 4: 4}  # neither the skipped stage nor images that are only stood on


def test_width_is_the_share_of_the_largest_copy() -> None:
    drawing = draw(usual_stages(), MEASURES)
    widths = {(r.source, r.target): r.width for r in drawing.ribbons}
    assert widths[1, 3] == 40
    assert widths[3, 4] == pytest.approx(40 * 1300 / 2600)
    assert widths[7, 0] == 2  # thin, and still to be seen
    assert widths[0, 1] == 0  # stands on it, and copies nothing


def test_copies_between_the_same_two_are_one_ribbon() -> None:
    nodes = (StageNode("a", "stage", 1, "built", 5), StageNode("b", "stage", 2, "built", 5, is_target=True))
    edges = (StageEdge(0, 1, "copy", 10, ("/x",)), StageEdge(0, 1, "copy", 20, ("/y",)), StageEdge(0, 1, "base"))
    (ribbon,) = draw(Stages("Dockerfile", nodes, edges), MEASURES).ribbons
    assert (ribbon.size_bytes, ribbon.paths, ribbon.is_base) == (30, ("/x", "/y"), True)


@given(graphs())
def test_cards_are_apart_and_ribbons_lead_from_card_to_card(stages: Stages) -> None:
    drawing = draw(stages, MEASURES)
    places = {card.node: card for card in drawing.cards}
    assert set(places) == set(range(len(stages.nodes)))
    for one in drawing.cards:
        assert 0 <= one.main <= drawing.main - MEASURES.main + 0.01
        assert 0 <= one.cross <= drawing.cross - MEASURES.cross + 0.01
        for other in drawing.cards:
            if one.node != other.node and one.main == other.main:
                assert abs(one.cross - other.cross) >= MEASURES.cross + MEASURES.gap_cross - 0.01
    for ribbon in drawing.ribbons:
        source, target = places[ribbon.source], places[ribbon.target]
        assert source.main < target.main
        first, last = ribbon.points[0], ribbon.points[-1]
        assert first[0] == source.main + MEASURES.main
        assert last[0] == target.main
        assert source.cross <= first[1] <= source.cross + MEASURES.cross
        assert target.cross <= last[1] <= target.cross + MEASURES.cross
        for main, cross in ribbon.points[1:-1]:  # a lane, beside the cards of its rank
            for card in drawing.cards:
                if card.main <= main <= card.main + MEASURES.main:
                    assert not card.cross < cross < card.cross + MEASURES.cross


def test_the_drawing_is_well_formed_and_says_what_it_shows() -> None:
    drawn = graph(usual_stages())
    assert drawn is not None
    both = ET.fromstring(f"<div>{drawn}</div>")
    assert len(both) == 2
    for svg in both:
        title = svg.find("title")
        assert title is not None
        assert title.text == '4 stages; 4.37 GB in 4 copies; the image is "serve"'
        told = [each.text for each in svg.iter("title")]
        assert "2.6 GB from train to quantize: /w/model" in told
        assert "train stands on deps" in told


def test_hostile_names_stay_text_in_the_drawing() -> None:
    stages = hostile_report().stages
    assert stages is not None
    drawn = graph(stages)
    assert drawn is not None
    tags = {each.tag for each in ET.fromstring(f"<div>{drawn}</div>").iter()}
    assert tags == {"div", "svg", "title", "g", "path", "rect", "text"}


def test_too_few_or_too_many_stages_are_told_by_their_table() -> None:
    one = Stages("Dockerfile", (StageNode("a", "stage", 1, "built", 5, is_target=True),), ())
    many = tuple(StageNode(f"s{n}", "stage", n, "built", 5) for n in range(MOST_CARDS + 1))
    assert graph(one) is None
    assert graph(Stages("Dockerfile", many, ())) is None
