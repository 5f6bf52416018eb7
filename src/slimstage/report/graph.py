"""Where stages and the bytes between them are drawn: ranks, order, ribbons with a width by their bytes. Pure.

Ranks go along the main axis (to the right, or downwards on a narrow screen), the nodes of a rank along the cross axis. What
goes past a rank has a lane of its own there, so that no ribbon runs behind a card.
"""

from __future__ import annotations

from collections.abc import Sequence

from slimstage.report.record import Stages
from slimstage.values import dataclass

_SWEEPS = 6


@dataclass(frozen=True, slots=True)
class Measures:
    """Of one drawing, in pixels. main, cross: of a card along its axis; gap_main leaves room for ribbons and their text."""

    main: float
    cross: float
    gap_main: float
    gap_cross: float
    widest: float
    """Of a ribbon; the others are as wide as their share of the largest, and at least `thinnest`."""
    thinnest: float = 2.0


@dataclass(frozen=True, slots=True)
class Card:
    """A node of the stages at its place: the corner nearest to the origin."""

    node: int
    main: float
    cross: float


@dataclass(frozen=True, slots=True)
class Ribbon:
    """All that goes from one node to another: bytes of copies, and whether the target stands on the source.

    points: where it leaves, the two ends of each lane on its way, where it arrives; (main, cross). width: 0 of a base alone.
    """

    source: int
    target: int
    size_bytes: int
    is_base: bool
    paths: tuple[str, ...]
    width: float
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Drawing:
    cards: tuple[Card, ...]
    ribbons: tuple[Ribbon, ...]
    main: float
    cross: float
    """Its whole extent."""
    ranks: int


class _Joined:
    """What goes from one node to another, put together."""

    def __init__(self, source: int, target: int) -> None:
        self.source, self.target = source, target
        self.bytes, self.is_base = 0, False
        self.paths: list[str] = []
        self.width = 0.0
        self.lanes: list[int] = []
        """The items it goes through: source, lanes, target."""


class _Item:
    """A card or a lane. neighbours: of the ranks before and behind."""

    def __init__(self, rank: int, cross: float, order: float, node: int | None) -> None:
        self.rank, self.size, self.order, self.node = rank, cross, order, node
        self.before: list[int] = []
        self.behind: list[int] = []
        self.at = 0.0


def draw(stages: Stages, measures: Measures) -> Drawing:
    """The cards of all that was built and what the copies come from; skipped stages are not in it."""
    joined = _join(stages)
    nodes = [
        position
        for position, node in enumerate(stages.nodes)
        if node.status != "skipped" and (node.kind == "stage" or any(each.source == position for each in joined))
    ]
    largest = max((each.bytes for each in joined), default=0)
    for each in joined:
        if each.bytes or not each.is_base:
            each.width = max(measures.thinnest, measures.widest * each.bytes / largest if largest else 0)
    ranks = _ranks(nodes, joined)
    items, columns = _items(nodes, ranks, joined, measures)
    _order(items, columns)
    extent = _place(items, columns, measures)
    step = measures.main + measures.gap_main
    cards = tuple(Card(i.node, i.rank * step, i.at - i.size / 2) for i in items if i.node is not None)
    ribbons = _ribbons(items, joined, measures, step)
    return Drawing(cards, ribbons, len(columns) * step - measures.gap_main if columns else 0, extent, len(columns))


def _join(stages: Stages) -> list[_Joined]:
    found: dict[tuple[int, int], _Joined] = {}
    for edge in stages.edges:
        if stages.nodes[edge.target].status == "skipped" or stages.nodes[edge.source].status == "skipped":
            continue
        if edge.kind == "base" and stages.nodes[edge.source].kind == "image":
            continue  # said on the card
        each = found.setdefault((edge.source, edge.target), _Joined(edge.source, edge.target))
        each.bytes += edge.size_bytes
        each.is_base |= edge.kind == "base"
        each.paths += edge.paths
    return list(found.values())


def _ranks(nodes: Sequence[int], joined: Sequence[_Joined]) -> dict[int, int]:
    """How many steps each node is from the beginning; one that needs nothing is just before who needs it first."""
    sources: dict[int, list[int]] = {node: [] for node in nodes}
    targets: dict[int, list[int]] = {node: [] for node in nodes}
    for each in joined:
        sources[each.target].append(each.source)
        targets[each.source].append(each.target)
    ranks: dict[int, int] = dict.fromkeys(nodes, 0)
    for _ in nodes:  # as many rounds as the longest chain needs, and no more than there are nodes
        changed = False
        for node in nodes:
            rank = max((ranks[each] + 1 for each in sources[node]), default=0)
            if rank > ranks[node] and rank < len(nodes):
                ranks[node], changed = rank, True
        if not changed:
            break
    for node in nodes:
        if not sources[node] and targets[node]:
            ranks[node] = max(0, min(ranks[each] for each in targets[node]) - 1)
    return ranks


def _items(
    nodes: Sequence[int], ranks: dict[int, int], joined: Sequence[_Joined], measures: Measures
) -> tuple[list[_Item], list[list[int]]]:
    items: list[_Item] = []
    columns: list[list[int]] = [[] for _ in range(max(ranks.values(), default=-1) + 1)]
    of_node: dict[int, int] = {}

    def add(rank: int, cross: float, order: float, node: int | None) -> int:
        items.append(_Item(rank, cross, order, node))
        columns[rank].append(len(items) - 1)
        return len(items) - 1

    for node in nodes:
        of_node[node] = add(ranks[node], measures.cross, node, node)
    for each in joined:
        first, last = ranks[each.source], ranks[each.target]
        lanes = [add(rank, max(each.width, 4), each.source, None) for rank in range(first + 1, last)]
        each.lanes = [of_node[each.source], *lanes, of_node[each.target]]
        for before, behind in zip(each.lanes, each.lanes[1:], strict=False):
            items[before].behind.append(behind)
            items[behind].before.append(before)
    return items, columns


def _order(items: list[_Item], columns: list[list[int]]) -> None:
    """Sorts each rank so that few ribbons cross: by the mean place of neighbours, forwards and backwards in turn."""
    for column in columns:
        column.sort(key=lambda each: items[each].order)
        _number(items, column)
    for sweep in range(_SWEEPS):
        for column in columns if sweep % 2 == 0 else columns[::-1]:
            for each in column:
                near = items[each].before if sweep % 2 == 0 else items[each].behind
                if near:
                    items[each].order = sum(items[one].order for one in near) / len(near)
            column.sort(key=lambda each: items[each].order)
            _number(items, column)


def _number(items: list[_Item], column: list[int]) -> None:
    """Places between 0 and 1, so that ranks of different length can be compared."""
    for number, each in enumerate(column):
        items[each].order = (number + 0.5) / len(column)


def _place(items: list[_Item], columns: list[list[int]], measures: Measures) -> float:
    """Gives each item the middle of its place on the cross axis; the whole extent."""
    lengths = [
        sum(items[each].size for each in column) + measures.gap_cross * (len(column) - 1)
        for column in columns
        if column
    ]
    extent = max(lengths, default=0)
    for column, length in zip([column for column in columns if column], lengths, strict=True):
        at = (extent - length) / 2
        for each in column:
            items[each].at = at + items[each].size / 2
            at += items[each].size + measures.gap_cross
    return extent


def _ribbons(items: list[_Item], joined: Sequence[_Joined], measures: Measures, step: float) -> tuple[Ribbon, ...]:
    leaves = _ports(items, joined, 0)
    arrives = _ports(items, joined, -1)
    found = []
    for each in joined:
        source, target = items[each.lanes[0]], items[each.lanes[-1]]
        points = [(source.rank * step + measures.main, leaves[id(each)])]
        for lane in each.lanes[1:-1]:
            start = items[lane].rank * step
            points += [(start, items[lane].at), (start + measures.main, items[lane].at)]
        points.append((target.rank * step, arrives[id(each)]))
        found.append(
            Ribbon(each.source, each.target, each.bytes, each.is_base, tuple(each.paths), each.width, tuple(points))
        )
    return tuple(found)


def _ports(items: list[_Item], joined: Sequence[_Joined], end: int) -> dict[int, float]:
    """Where each ribbon meets the card at its beginning (0) or end (-1): side by side, in the order of where it goes."""
    of_item: dict[int, list[_Joined]] = {}
    for each in joined:
        of_item.setdefault(each.lanes[end], []).append(each)
    found: dict[int, float] = {}
    for item, ribbons in of_item.items():
        ribbons.sort(key=lambda each: items[each.lanes[1 if end == 0 else -2]].at)
        gap = 7.0
        whole = sum(max(each.width, 2) for each in ribbons) + gap * (len(ribbons) - 1)
        room = items[item].size - 12
        scale = min(1.0, room / whole) if whole else 1.0
        at = items[item].at - whole * scale / 2
        for each in ribbons:
            width = max(each.width, 2) * scale
            found[id(each)] = at + width / 2
            at += width + gap * scale
    return found
