"""The classes of values.py behave as those of the standard library."""

from __future__ import annotations

import ast
import copy
import dataclasses
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import slimstage
from slimstage.values import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Point:
    """A place."""

    x: int
    y: int = 2
    tags: list[str] = field(default_factory=list, compare=False)
    secret: str = field(default="s", repr=False)


@dataclass(frozen=True, slots=True)
class Point3(Point):
    z: int = 0


@dataclass(slots=True, kw_only=True)
class Counter:
    count: int
    step: int = 1

    def __post_init__(self) -> None:
        self.count += self.step


@dataclass(frozen=True, slots=True, eq=False)
class Handle:
    number: int


@dataclass(frozen=True, slots=True)
class Empty:
    pass


@dataclasses.dataclass(frozen=True, slots=True)
class Standard:
    x: int
    y: int = 2
    tags: list[str] = dataclasses.field(default_factory=list, compare=False)
    secret: str = dataclasses.field(default="s", repr=False)


@pytest.fixture(params=["first values", "many values"], scope="module", autouse=True)
def _values_made_before(request: pytest.FixtureRequest) -> None:
    """Everything holds for the first values of a class and for those made by its compiled `__init__`."""
    if request.param == "many values":
        for _ in range(100):
            Point(1), Point3(1), Counter(count=1), Handle(1), Empty()


def test_defaults_and_factories_fill_in_what_is_not_given() -> None:
    first, second = Point(1), Point(1)
    assert (first.x, first.y, first.tags, first.secret) == (1, 2, [], "s")
    assert first.tags is not second.tags


def test_inherited_fields_come_first_and_have_one_slot() -> None:
    value = Point3(1, 5, ["t"], z=3)
    assert (value.x, value.y, value.tags, value.z) == (1, 5, ["t"], 3)
    assert list(vars(Point3)["__slots__"]) == ["z"]
    assert not hasattr(value, "__dict__")


def test_equality_and_hash_look_at_compared_fields_of_the_same_class() -> None:
    assert Point(1, tags=["a"]) == Point(1, tags=["b"])
    assert hash(Point(1)) == hash(Point(1))
    assert Point(1) != Point(2)
    assert Point(1) != Point3(1)
    assert Empty() == Empty()
    assert len({Empty(), Empty()}) == 1


def test_without_eq_a_value_equals_only_itself() -> None:
    one = Handle(1)
    assert one != Handle(1)
    assert len({one, Handle(1)}) == 2


def test_what_can_change_has_no_hash() -> None:
    with pytest.raises(TypeError, match="unhashable"):
        hash(Counter(count=1))


def test_a_frozen_value_refuses_changes() -> None:
    point: Any = Point(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.x = 5
    with pytest.raises(dataclasses.FrozenInstanceError):
        del point.x
    with pytest.raises(AttributeError):
        point.other = 1


def test_post_init_runs_and_keywords_are_kept_to_keywords() -> None:
    assert Counter(count=1).count == 2
    wrong: Any = Counter
    with pytest.raises(TypeError):
        wrong(1)
    assert Counter.__match_args__ == ()
    assert Point.__match_args__ == ("x", "y", "tags", "secret")


@pytest.mark.parametrize("arguments", [{}, {"x": 1, "w": 2}])
def test_missing_and_unknown_arguments_are_refused_each_time(arguments: dict[str, int]) -> None:
    wrong: Any = Point3
    for _ in range(2):
        with pytest.raises(TypeError, match=r"Point3.__init__\(\)"):
            wrong(**arguments)


def test_repr_is_that_of_the_standard_library() -> None:
    assert repr(Point(1)) == repr(Standard(1)).replace("Standard", "Point")


def test_replace_keeps_the_rest_and_refuses_unknown_fields() -> None:
    assert replace(Point(1, 3), x=7) == Point(7, 3)
    assert replace(Counter(count=1), step=0).count == 2
    wrong: Any = {"nothing": 1}
    with pytest.raises(TypeError):
        replace(Point(1), **wrong)


def test_the_standard_library_can_describe_a_value() -> None:
    assert dataclasses.is_dataclass(Point)
    mine, theirs = dataclasses.fields(Point3), dataclasses.fields(Standard)
    for one, other in zip(mine, theirs, strict=False):
        assert (one.name, one.default, one.repr, one.compare) == (other.name, other.default, other.repr, other.compare)
    assert dataclasses.asdict(Point(1, tags=["a"])) == {"x": 1, "y": 2, "tags": ["a"], "secret": "s"}
    assert dataclasses.replace(Point(1), y=9) == Point(1, 9)
    assert [each.name for each in dataclasses.fields(Counter)] == ["count", "step"]


def test_values_survive_pickle_and_copy() -> None:
    for value in (Point3(1, tags=["a"], z=4), Counter(count=3)):
        assert pickle.loads(pickle.dumps(value)) == value
        assert copy.copy(value) == value
        assert copy.deepcopy(value) == value


def test_patterns_match_by_position() -> None:
    match Point(4, 5):
        case Point(x, y):
            assert (x, y) == (4, 5)
        case _:
            raise AssertionError


def test_a_mutable_default_is_refused() -> None:
    wrong: Any = type("Wrong", (), {"__annotations__": {"a": "list[int]"}, "a": []})
    with pytest.raises(TypeError, match="mutable"):
        dataclass(slots=True)(wrong)


def test_the_package_makes_its_values_here() -> None:
    """The standard decorator costs 0.8 ms a class at each start."""
    root = Path(slimstage.__file__).parent
    wrong = [
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        if path.name != "values.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module == "dataclasses"
        if {"dataclass", "field", "replace"} & {each.name for each in node.names}
    ]
    assert wrong == []


def test_importing_values_does_not_bring_the_standard_decorator() -> None:
    code = "import sys, slimstage.values; assert 'dataclasses' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_many_values_of_an_undecorated_subclass_of_a_frozen_value_stay_of_it_and_are_filled() -> None:
    @dataclass(frozen=True, slots=True)
    class Spot:
        x: int
        y: list[int] = field(default_factory=list)

    class Named(Spot):
        name = "n"

    many = [cls(number) for number in range(200) for cls in (Spot, Named)]
    assert [(type(each), each.x, each.y) for each in many[-2:]] == [(Spot, 199, []), (Named, 199, [])]
    with pytest.raises(dataclasses.FrozenInstanceError):
        many[-2].x = 3  # type: ignore[misc]
