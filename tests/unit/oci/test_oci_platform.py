"""What a user may call a platform, and what it is then."""

from __future__ import annotations

import pytest

from slimstage.errors import FormatError
from slimstage.oci.descriptor import host_platform, parse_platform


@pytest.mark.parametrize(
    ("text", "means"),
    [
        ("linux/amd64", "linux/amd64"),
        ("amd64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/x86-64/v1", "linux/amd64"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("Linux/AMD64", "linux/amd64"),
        ("linux/aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/arm64/v8.0", "linux/arm64"),
        ("linux/arm64/9.0", "linux/arm64/v9"),
        ("linux/arm", "linux/arm/v7"),
        ("linux/arm/7", "linux/arm/v7"),
        ("linux/arm/v6", "linux/arm/v6"),
        ("armhf", "linux/arm/v7"),
        ("armel", "linux/arm/v6"),
        ("i386", "linux/386"),
        ("windows/amd64", "windows/amd64"),
        ("local", str(host_platform())),
        ("linux", str(host_platform())),
    ],
)
def test_a_platform_is_normalised_as_containerd_does(text: str, means: str) -> None:
    assert str(parse_platform(text)) == means


@pytest.mark.parametrize("text", ["", "/", "linux/", "a/b/c/d", "li nux", "linux/arm64,", "linux//v7"])
def test_what_is_no_platform_is_refused(text: str) -> None:
    with pytest.raises(FormatError) as caught:
        parse_platform(text)
    assert caught.value.code == "bad-platform"
