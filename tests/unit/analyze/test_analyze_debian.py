"""What dpkg's and apt's own texts say."""

from __future__ import annotations

from slimstage.analyze.debian import package_of, read_automatic, read_status


def test_relations_are_names_without_versions_and_architectures() -> None:
    text = "Package: a\nVersion: 1\nDepends: b (>= 1) | c:any, d, , e\nPre-Depends: f\nProvides: g (= 1), h\nProtected: yes\n"
    (package,) = read_status(text)
    assert package.depends == (("f",), ("b", "c"), ("d",), ("e",))
    assert package.provides == ("g", "h")
    assert package.is_essential


def test_files_of_dpkg_are_named_by_their_package() -> None:
    assert package_of("libc6:amd64.list") == package_of("libc6.md5sums") == "libc6"
    assert package_of("python3.11.list") == "python3.11"


def test_automatic_packages_are_those_that_apt_marked() -> None:
    text = "Package: a\nAuto-Installed: 1\n\nPackage: b\nAuto-Installed: 0\n\nAuto-Installed: 1\n"
    assert read_automatic(text) == frozenset({"a"})
