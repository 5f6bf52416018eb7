"""WWW-Authenticate headers and scopes as values."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from slimstage.registry.challenge import Challenge, merge_scopes, parse_challenges


def test_a_bearer_challenge_with_quoted_parameters() -> None:
    header = 'Bearer realm="https://auth.example/token",service="registry.example",scope="repository:a/b:pull,push"'
    assert parse_challenges([header]) == [
        Challenge(
            "bearer",
            {"realm": "https://auth.example/token", "service": "registry.example", "scope": "repository:a/b:pull,push"},
        )
    ]


def test_several_challenges_in_one_header_and_in_several() -> None:
    found = parse_challenges(['Basic realm="a, b", Bearer realm=x , service="s"', "NEGOTIATE"])
    assert [challenge.scheme for challenge in found] == ["basic", "bearer", "negotiate"]
    assert found[0].parameters == {"realm": "a, b"}
    assert found[1].parameters == {"realm": "x", "service": "s"}


def test_quoted_pairs_are_unescaped_and_the_first_of_equal_names_counts() -> None:
    (challenge,) = parse_challenges(['bearer Realm="a\\"b",realm="c"'])
    assert challenge.parameters == {"realm": 'a"b'}


@given(st.lists(st.text(max_size=200), max_size=3))
def test_no_header_makes_the_parser_fail(headers: list[str]) -> None:
    parse_challenges(headers)


def test_a_long_header_is_read_in_linear_time() -> None:
    parse_challenges(["Bearer " + 'a="' * 100_000, "," * 1_000_000, "Bearer " + "a=b," * 100_000])


def test_actions_of_one_resource_are_joined() -> None:
    merged = merge_scopes(["repository:a/b:pull", "repository:c:pull", "repository:a/b:push,pull", ""])
    assert merged == ("repository:a/b:pull,push", "repository:c:pull")


def test_a_resource_whose_name_has_a_port_keeps_it() -> None:
    assert merge_scopes(["repository:host:5000/a:pull"]) == ("repository:host:5000/a:pull",)


@given(st.lists(st.sampled_from(["repository:a:pull", "repository:a:push", "registry:catalog:*", "odd"]), max_size=6))
def test_merging_is_a_normal_form(scopes: list[str]) -> None:
    merged = merge_scopes(scopes)
    assert merge_scopes(merged) == merged == merge_scopes(reversed(scopes))
