"""Values of `run`'s flags."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slimstage.cli.run_values import parse_env, parse_mount, parse_publish, parse_volume
from slimstage.container.options import Publish, Volume
from slimstage.errors import UsageError


def test_volumes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    here = str(tmp_path / "data")
    assert parse_volume(f"{here}:/x") == Volume(here, "/x")
    assert parse_volume("./data:/x:ro") == Volume(here, "/x", True)
    assert parse_volume(f"{here}:/a/../x/:rw,z") == Volume(here, "/x")
    assert parse_mount("type=bind,src=data,dst=/x,readonly") == Volume(here, "/x", True)
    assert parse_mount(f"source={here},target=/x") == Volume(here, "/x")


@pytest.mark.parametrize(
    "text",
    ["/a", "name:/x", "/tmp:x", "/tmp:/", "/tmp:/x/..", "/tmp:/x:rx", ":/x", "/tmp:", "/a:/b:ro:x", "/no/such:/x"],
)
def test_bad_volumes(text: str) -> None:
    with pytest.raises(UsageError, match="--volume"):
        parse_volume(text)


@pytest.mark.parametrize("text", ["type=volume,source=/tmp,target=/x", "source=/tmp", "sorce=/tmp,target=/x"])
def test_bad_mounts(text: str) -> None:
    with pytest.raises(UsageError, match="--mount"):
        parse_mount(text)


@pytest.mark.parametrize(
    ("text", "wants"),
    [
        ("8080:80", (Publish("0.0.0.0", 8080, 80),)),
        ("80", (Publish("0.0.0.0", 0, 80),)),
        (":80", (Publish("0.0.0.0", 0, 80),)),
        ("127.0.0.1:8080:80/tcp", (Publish("127.0.0.1", 8080, 80),)),
        ("127.0.0.1::80", (Publish("127.0.0.1", 0, 80),)),
        ("[::1]:53:53/udp", (Publish("::1", 53, 53, "udp"),)),
        ("1-2:11-12", (Publish("0.0.0.0", 1, 11), Publish("0.0.0.0", 2, 12))),
    ],
)
def test_ports(text: str, wants: tuple[Publish, ...]) -> None:
    assert parse_publish(text) == wants


@pytest.mark.parametrize(
    "text",
    ["", "x", "80:x", "0:80", "80:0", "80:65536", "1-3:1-2", "3-1:3-1", "host:80:80", "80:80/sctp", "1:2:3:4", "-:80"],
)
def test_bad_ports(text: str) -> None:
    with pytest.raises(UsageError, match="--publish"):
        parse_publish(text)


@given(st.text(max_size=20))
def test_no_text_makes_ports_and_volumes_fail_otherwise(text: str) -> None:
    for parse in (parse_publish, parse_volume):
        try:
            parse(text)
        except UsageError:
            pass


def test_variables_come_from_files_flags_and_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("# comment\n\nA=file\n  B= x y \nHAS\nHASNOT\n")
    found = parse_env(["A=flag", "C="], [str(path)], {"HAS": "here"})
    assert found == {"A": "flag", "B": " x y ", "HAS": "here", "C": ""}


def test_bad_variables_have_their_place(tmp_path: Path) -> None:
    path = tmp_path / "env"
    path.write_text("A=1\n=2\n")
    with pytest.raises(UsageError, match="env:2"):
        parse_env([], [str(path)], {})
    with pytest.raises(UsageError, match="--env:"):
        parse_env(["A B=1"], [], {})
    with pytest.raises(UsageError, match="--env-file"):
        parse_env([], [str(tmp_path / "none")], {})
