"""store/folding.py and Snapshots.paths: deep stacks are read through few directories."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from slimstage.store.folding import GROUP, KEPT, folded
from slimstage.store.snapshots import LayerId
from slimstage.store.store import Store
from slimstage.tree.union import UnionTree
from support.trees import Whiteout, make_tree


def names(count: int, first: int = 0) -> list[str]:
    """As layers of steps are named: any of the digits may come first."""
    return [
        f"{number * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128):032x}" for number in range(first, first + count)
    ]


def test_a_stack_that_is_not_deep_is_left_as_it_is() -> None:
    stack = names(GROUP + KEPT - 1)
    assert [name for name, _ in folded(stack)] == stack


@pytest.mark.parametrize("depth", [GROUP + KEPT, 500, 5000])
def test_few_directories_stand_for_a_deep_stack(depth: int) -> None:
    stack = names(depth)
    parts = list(folded(stack))
    assert [layer for _, layers in parts for layer in layers] == stack
    assert len(parts) < GROUP + KEPT + depth // GROUP


def test_what_was_folded_is_found_again_by_higher_stacks() -> None:
    stack = names(1000)
    groups = {name for name, layers in folded(stack[:500]) if len(layers) > 1}
    assert groups
    assert groups < {name for name, layers in folded(stack) if len(layers) > 1}


def test_other_layers_are_folded_under_another_name() -> None:
    one, other = names(200), names(200, first=1)
    assert not {name for name, layers in folded(one) if len(layers) > 1} & {
        name for name, layers in folded(other) if len(layers) > 1
    }


def test_layers_of_a_base_are_folded_among_themselves() -> None:
    base, own = [f"c{number:064x}" for number in range(GROUP + KEPT)], names(GROUP + KEPT)
    groups = [list(layers) for _, layers in folded([*base, *own]) if len(layers) > 1]
    assert groups == [base[:GROUP], own[:GROUP]]


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="makes whiteouts")
def test_the_tree_of_a_deep_stack_is_that_of_its_layers(tmp_path: Path) -> None:
    with Store.open(tmp_path / "store") as store:
        snapshots = store.snapshots
        stack: tuple[LayerId, ...] = ()
        for number in range(300):
            draft = snapshots.draft()
            gone = {f"d/{number - 3}": Whiteout()} if number % 2 else {}
            make_tree(draft.path, {f"d/{number}": b"", "last": str(number), **gone})
            stack += (snapshots.freeze(draft),)
        paths = snapshots.paths(stack)
        assert len(paths) < 100
        with UnionTree(paths) as shallow, UnionTree([snapshots.path(layer) for layer in stack]) as deep:
            assert [(e.path, e.kind, e.mode) for e in shallow.walk("")] == [
                (e.path, e.kind, e.mode) for e in deep.walk("")
            ]
            assert shallow.read("last") == b"299"
        assert snapshots.paths(stack) == paths
