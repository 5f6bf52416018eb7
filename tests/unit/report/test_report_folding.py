"""Folding a tree: what is large keeps its name, and nothing is lost."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from slimstage.report.folding import FoldedFile, fold
from slimstage.report.record import FoldedTree
from support.reports import FILES, large_files

_PARTS = st.sampled_from(("a", "b", "c", "dir", "é", "x\udcff"))
_PATHS = st.lists(_PARTS, min_size=1, max_size=4).map("/".join)
_ROWS = st.tuples(st.integers(0, 1000), st.integers(0, 3), st.integers(-3, 3), st.integers(0, 1))


@st.composite
def trees(draw: st.DrawFn) -> list[FoldedFile]:
    """Files whose paths are no other file's directory."""
    found: dict[str, tuple[int, int, int, int]] = {}
    for path in draw(st.lists(_PATHS, max_size=40)):
        is_above = any(other.startswith(path + "/") for other in found)
        is_below = any(path.startswith(other + "/") for other in found)
        if path not in found and not is_above and not is_below:
            found[path] = draw(_ROWS)
    return [(path, *row) for path, row in found.items()]


def sums(tree: FoldedTree, field: str) -> Counter[int]:
    found: Counter[int] = Counter()
    for node in tree.nodes:
        if node.kind != "dir":
            found[getattr(node, field)] += node.size_bytes
    return found


def path_of(tree: FoldedTree, position: int) -> str:
    names = []
    while position > 0:
        names.append(tree.nodes[position].name)
        position = tree.nodes[position].parent
    return "/".join(reversed(names))


@given(trees(), st.integers(2, 30))
def test_bytes_and_files_of_every_directory_are_those_of_what_is_in_it(files: list[FoldedFile], most: int) -> None:
    tree = fold(files, most)
    assert len(tree.nodes) <= most
    assert tree.nodes[0].size_bytes == sum(size for _, size, *_ in files)
    assert tree.nodes[0].files == sum(count for *_, count in files)
    for position, node in enumerate(tree.nodes):
        if node.kind == "dir":
            inside = [each for each in tree.nodes if each.parent == position]
            assert node.size_bytes == sum(each.size_bytes for each in inside)
            assert node.files == sum(each.files for each in inside)
            path = path_of(tree, position)
            of_it = [file for file in files if not path or file[0].startswith(path + "/")]
            assert node.size_bytes == sum(size for _, size, *_ in of_it)


@given(trees(), st.integers(40, 60))
def test_purposes_and_owners_keep_their_bytes(files: list[FoldedFile], most: int) -> None:
    tree = fold(files, most)
    for column, field in ((2, "purpose"), (3, "owner")):
        expected: Counter[int] = Counter()
        for file in files:
            expected[file[column]] += file[1]  # type: ignore[index]  # a column of numbers
        assert +sums(tree, field) == +expected


@given(trees(), st.integers(2, 20))
def test_parents_come_first_and_children_by_size(files: list[FoldedFile], most: int) -> None:
    nodes = fold(files, most).nodes
    assert [node.parent for node in nodes][:1] == [-1]
    for position, node in enumerate(nodes[1:], 1):
        assert 0 <= node.parent < position
        assert nodes[node.parent].kind == "dir"
    for parent in range(len(nodes)):
        sizes = [node.size_bytes for node in nodes if node.parent == parent]
        assert sizes == sorted(sizes, reverse=True)


def test_what_fits_is_told_file_by_file() -> None:
    tree = fold(FILES)
    files = {
        path_of(tree, position): node.size_bytes for position, node in enumerate(tree.nodes) if node.kind == "file"
    }
    assert files == {path: size for path, size, *_ in FILES}
    assert not [node for node in tree.nodes if node.kind == "rest"]


def test_the_largest_keep_their_names_and_the_rest_is_a_sum_where_it_is() -> None:
    files: list[FoldedFile] = [("big/one", 1000, 0, -1, 1), ("big/two", 900, 0, -1, 1)]
    files += [(f"big/small/{number}", 1, number % 2, 7, 1) for number in range(100)]
    tree = fold(files, 8)
    told = {(path_of(tree, position), node.kind): node for position, node in enumerate(tree.nodes)}
    assert told["big/one", "file"].size_bytes == 1000
    rests = [node for node in tree.nodes if node.kind == "rest"]
    assert {(node.purpose, node.owner, node.size_bytes, node.files) for node in rests} == {
        (0, 7, 50, 50),
        (1, 7, 50, 50),
    }


def test_one_file_alone_is_never_a_rest() -> None:
    tree = fold([("a/b/c", 0, 0, -1, 1), ("d", 5, 0, -1, 1)], 10)
    assert [(node.name, node.kind) for node in tree.nodes[1:]] == [("d", "file"), ("a/b/c", "file")]


def test_more_purposes_and_owners_than_nodes_become_several() -> None:
    files: list[FoldedFile] = [(f"f{number}", number, number, number, 1) for number in range(100)]
    tree = fold(files, 10)
    assert len(tree.nodes) <= 10
    several = [node for node in tree.nodes if (node.purpose, node.owner) == (-1, -1) and node.kind == "rest"]
    assert len(several) == 1
    assert tree.nodes[0].size_bytes == sum(range(100))


def test_an_image_without_files_is_a_root() -> None:
    (root,) = fold([]).nodes
    assert (root.size_bytes, root.files, root.kind) == (0, 0, "dir")


def test_twenty_thousand_files_fit_in_two_thousand_nodes() -> None:
    files = large_files(20_000)
    tree = fold(files, 2_000)
    assert 1_000 < len(tree.nodes) <= 2_000
    assert tree.nodes[0].size_bytes == sum(size for _, size, *_ in files)
    kept = max(node.size_bytes for node in tree.nodes if node.kind == "file")
    assert kept == max(size for _, size, *_ in files)
