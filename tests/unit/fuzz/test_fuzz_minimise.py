"""What is committed of the inputs that fuzzing found: few, and all that they have the program do."""

from __future__ import annotations

from fuzz.harness import load
from fuzz.minimise import Tracer, choose
from hypothesis import given
from hypothesis import strategies as st


@given(st.lists(st.frozensets(st.integers(0, 12), max_size=6), max_size=12), st.frozensets(st.integers(0, 12)))
def test_the_chosen_have_every_feature_and_none_of_them_can_go(
    features: list[frozenset[int]], seen: frozenset[int]
) -> None:
    inputs = [bytes([number]) * (1 + number % 4) for number in range(len(features))]
    of = dict(zip(inputs, features, strict=True))
    chosen = choose(inputs, features, seen)
    wanted = frozenset().union(*features) - seen
    assert frozenset().union(*(of[data] for data in chosen)) >= wanted
    for left_out in chosen:
        others = frozenset().union(*(of[data] for data in chosen if data != left_out))
        assert not others >= wanted


def test_an_input_has_the_same_features_whenever_it_is_traced() -> None:
    inputs = [b"a/b\n", b"**/x\n!y\n", b"[a-z]*\n"]
    tracer = Tracer(load("ignore"), inputs)
    first = [set(tracer.features(data)) for data in inputs]
    assert [set(tracer.features(data)) for data in reversed(inputs)] == first[::-1]
    assert len(first[0] | first[1] | first[2]) > max(map(len, first)) > 0
