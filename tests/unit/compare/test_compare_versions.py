"""Which of two versions is later, by the kind of package."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimstage.analyze.analysis import OwnerKind
from slimstage.compare.versions import order


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("1.9", "1.10", "python"),
        ("1.0rc1", "1.0", "python"),
        ("1.0", "1.0.post1", "python"),
        ("9:1", "10:0", "debian"),
        ("2.0~rc1-1", "2.0-1", "debian"),
        ("1.2.3-1", "1.2.3-1+deb12u1", "debian"),
        ("1.9.0", "1.10.0", "npm"),
        ("not.a.version!", "not.a.version!2", "python"),
    ],
)
def test_the_later_version_is_known(old: str, new: str, kind: OwnerKind) -> None:
    assert order(old, new, kind) < 0
    assert order(new, old, kind) > 0
    assert order(new, new, kind) == 0


@given(st.text(max_size=30), st.text(max_size=30), st.sampled_from(["python", "debian", "rpm", "none"]))
def test_any_two_texts_have_an_order(old: str, new: str, kind: OwnerKind) -> None:
    assert (order(old, new, kind) > 0) == (order(new, old, kind) < 0)
