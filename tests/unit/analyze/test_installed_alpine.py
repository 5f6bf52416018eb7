"""analyze/alpine.py: apk's database."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from slimstage.analyze.alpine import AlpinePackage, read_installed, read_world

TEXT = """C:Q1qKcZ+j23xssAXmgQhkOO8dHnbWw=
P:alpine-baselayout
V:3.4.3-r2
A:x86_64
S:8911
I:331776
o:alpine-baselayout
D:alpine-baselayout-data=3.4.3-r2 /bin/sh so:libc.musl-x86_64.so.1 !old-thing
p:cmd:mkmntdirs=3.4.3-r2 base~1
F:dev
M:0:0:755
F:etc
R:motd
a:0:0:644
Z:Q1SLkS9hBidUbPwwrw+XR0Whv3ww8=
R:shells
F:usr/bin
R:x
F:
R:root-file

P:broken

P:musl
V:1.2.4-r2
A:x86_64
I:x
F:lib
R:ld-musl-x86_64.so.1
R:../../outside
"""


def test_packages_have_their_files_and_needs() -> None:
    first, second = read_installed(TEXT)
    assert first == AlpinePackage(
        "alpine-baselayout",
        "3.4.3-r2",
        "x86_64",
        ("etc/motd", "etc/shells", "usr/bin/x", "root-file"),
        ("alpine-baselayout-data", "/bin/sh", "so:libc.musl-x86_64.so.1"),
        ("cmd:mkmntdirs", "base"),
        "alpine-baselayout",
        331776,
    )
    assert (second.name, second.files, second.installed_bytes) == ("musl", ("lib/ld-musl-x86_64.so.1",), 0)


def test_the_world_has_names_without_versions() -> None:
    assert read_world("busybox\npy3-numpy>=1.2\nx@edge\n!bad\n") == {"busybox", "py3-numpy", "x"}


@given(st.text(alphabet="PVAFRDpI:\n/. a1<=!\udcff"))
def test_any_text_is_read(text: str) -> None:
    for package in read_installed(text):
        assert package.name
        assert all(path and not path.startswith("/") and ".." not in path.split("/") for path in package.files)
