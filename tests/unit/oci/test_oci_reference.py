from __future__ import annotations

import pytest

from slimstage.errors import FormatError
from slimstage.oci.reference import Reference, familiar, parse_reference

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("text", "full"),
    [
        ("alpine", "docker.io/library/alpine:latest"),
        ("alpine:3.18", "docker.io/library/alpine:3.18"),
        ("index.docker.io/alpine", "docker.io/library/alpine:latest"),
        ("user/app", "docker.io/user/app:latest"),
        ("docker.io/a/b/c", "docker.io/a/b/c:latest"),
        ("localhost/app", "localhost/app:latest"),
        ("localhost:5000/app:1", "localhost:5000/app:1"),
        ("quay.io/a_b/c__d/e-f.g", "quay.io/a_b/c__d/e-f.g:latest"),
        ("[::1]:5000/app", "[::1]:5000/app:latest"),
        ("[2001:db8::1]/app:x", "[2001:db8::1]/app:x"),
        ("127.0.0.1:5000/a", "127.0.0.1:5000/a:latest"),
        ("Host/app", "Host/app:latest"),
        (f"alpine@{DIGEST}", f"docker.io/library/alpine@{DIGEST}"),
        (f"alpine:3@{DIGEST}", f"docker.io/library/alpine:3@{DIGEST}"),
        ("a:" + "t" * 128, "docker.io/library/a:" + "t" * 128),
    ],
)
def test_reference_is_normalised(text: str, full: str) -> None:
    reference = parse_reference(text).with_default_tag()
    assert str(reference) == full
    assert parse_reference(full) == reference


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":tag",
        "../x",
        "a/../b",
        "a//b",
        "/a",
        "a/",
        "a?x=y",
        "a#frag",
        "a%2fb",
        "a\r\nHost: evil",
        "a:tag\n",
        "Alpine",
        "docker.io/App",
        "a:" + "t" * 129,
        "a:-tag",
        "a:tag/x",
        "a@sha256:abc",
        "a@md5:" + "a" * 32,
        "a@" + DIGEST.upper(),
        f"a@{DIGEST}?x",
        "a" * 300,
        "host:port/app",
        "host:123456/app",
        "[::1/app",
        "-host.com/app",
        "a b",
        "a.-b",
        "ä",
        "f" * 64,
        "user@host/app",
    ],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(FormatError, match="is not an image name") as caught:
        parse_reference(text)
    assert caught.value.code == "bad-reference"


def test_upper_case_is_named_as_the_fault() -> None:
    with pytest.raises(FormatError, match="lower case"):
        parse_reference("docker.io/library/Python")


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("docker.io/library/alpine:3", "alpine:3"),
        ("docker.io/user/app:1", "user/app:1"),
        ("quay.io/app:1", "quay.io/app:1"),
        ("not a name", "not a name"),
    ],
)
def test_familiar_name_is_as_people_write_it(text: str, short: str) -> None:
    assert familiar(text) == short


def test_library_below_library_is_not_shortened_into_another_name() -> None:
    reference = Reference("docker.io", "library/a/b", "1")
    assert parse_reference(reference.familiar()) == reference
