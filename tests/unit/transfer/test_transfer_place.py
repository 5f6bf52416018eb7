"""Names of places: as skopeo reads them, and never guessed."""

from __future__ import annotations

import pytest

from slimstage.errors import UsageError
from slimstage.oci.reference import parse_reference
from slimstage.transfer.place import Place, parse_place


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("docker://alpine", Place("registry", reference=parse_reference("alpine"))),
        ("docker://localhost/a:1", Place("registry", reference=parse_reference("localhost/a:1"))),
        ("127.0.0.1:5000/a:1", Place("registry", reference=parse_reference("127.0.0.1:5000/a:1"))),
        ("localhost/a", Place("registry", reference=parse_reference("localhost/a"))),
        ("ghcr.io/a/b", Place("registry", reference=parse_reference("ghcr.io/a/b"))),
        ("oci:dir", Place("oci", "dir")),
        ("oci:/a/b:1.0", Place("oci", "/a/b", "1.0")),
        ("oci:dir:localhost:5000/a:1", Place("oci", "dir", "localhost:5000/a:1")),
        ("oci-archive:x.tar:@sha256:" + "0" * 64, Place("oci-archive", "x.tar", "@sha256:" + "0" * 64)),
        ("docker-archive:x.tar:app:1", Place("docker-archive", "x.tar", "app:1")),
        ("docker-archive:./x.tar", Place("docker-archive", "./x.tar")),
        ("store:app:1", Place("store", name="app:1")),
        ("store:", Place("store")),
    ],
)
def test_a_place_is_read(text: str, place: Place) -> None:
    assert parse_place(text, "SRC") == place


@pytest.mark.parametrize("text", ["app", "app:1", "team/app", "./dir", "../dir:1", "dir/", "", ":"])
def test_what_may_be_several_things_is_not_guessed(text: str) -> None:
    with pytest.raises(UsageError, match="SRC") as caught:
        parse_place(text, "SRC")
    assert caught.value.code == "bad-place"
    assert "docker://" in str(caught.value)


def test_where_only_images_are_meant_a_short_name_is_one() -> None:
    assert parse_place("app:1", "NAME", is_reference=True) == Place("registry", reference=parse_reference("app:1"))
    assert parse_place("store:app", "NAME", is_reference=True).kind == "store"


@pytest.mark.parametrize(
    ("text", "hint"),
    [("oic:dir", 'did you mean "oci:dir"?'), ("app", "write docker://app for a registry, store:app for the store")],
)
def test_near_transports_are_named(text: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_place(text, "SRC")
    assert caught.value.hint == hint


def test_skopeos_other_transports_and_bad_names_are_refused() -> None:
    with pytest.raises(UsageError, match="not known here"):
        parse_place("containers-storage:app", "SRC")
    with pytest.raises(UsageError, match="lower case"):
        parse_place("docker://App", "SRC")
    with pytest.raises(UsageError, match="no path"):
        parse_place("oci:", "DST")


@pytest.mark.parametrize(
    "text", ["docker://docker.io/library/a:1", "oci:a:1", "oci-archive:a", "docker-archive:a:b/c:1", "store:app:1"]
)
def test_a_place_is_shown_as_it_is_written(text: str) -> None:
    assert str(parse_place(text, "SRC")) == text
