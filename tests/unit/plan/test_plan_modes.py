"""--chmod as a value."""

from __future__ import annotations

import pytest

from slimstage.errors import PlanError
from slimstage.plan.modes import parse_mode


@pytest.mark.parametrize(
    ("change", "mode", "is_dir", "want"),
    [
        ("0644", 0o777, False, 0o644),
        ("7", 0o777, True, 0o7),
        ("4755", 0o600, False, 0o4755),
        ("go-w", 0o666, False, 0o644),
        ("u=rw,g=r,o=r", 0o777, False, 0o644),
        ("a+X", 0o644, False, 0o644),
        ("a+X", 0o744, False, 0o755),
        ("a+X", 0o640, True, 0o751),
        ("u+rw,g+r,o-x,o+w", 0o701, True, 0o742),
        ("+x", 0o600, False, 0o711),
        ("=", 0o777, False, 0o0),
        ("g=u", 0o750, False, 0o770),
        ("o=g-w", 0o670, False, 0o675),
        ("u+s", 0o755, False, 0o4755),
        ("g+s,+t", 0o755, True, 0o3755),
        ("ug-s", 0o6755, False, 0o755),
        ("u=rwX,go=rX", 0o600, False, 0o644),
        ("u=rwX,go=rX", 0o700, False, 0o755),
    ],
)
def test_a_mode_changes_as_chmod_does_with_umask_0(change: str, mode: int, is_dir: bool, want: int) -> None:
    assert oct(parse_mode(change).change(mode, is_dir)) == oct(want)


@pytest.mark.parametrize("text", ["", "10000", "8", "0o7", "u", "q+x", "u+x,", "+y", "-1", "u=rw g=r"])
def test_what_is_no_mode_is_refused(text: str) -> None:
    with pytest.raises(PlanError, match="invalid --chmod"):
        parse_mode(text)


def test_only_octal_is_known_without_a_file() -> None:
    assert parse_mode("755").octal == 0o755
    assert parse_mode("a+r").octal is None
