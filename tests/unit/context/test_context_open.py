"""What the context argument names, and which Dockerfile and ignore file go with it."""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from slimstage.context.open import OpenedContext, open_context
from slimstage.errors import ContextError, FormatError, UsageError
from support.contexts import Request
from support.trees import Symlink, Tree, make_tar, make_tree, member


def opened(
    context: str | Path, dockerfile: str | None = None, text: str | None = None, stdin: bytes = b""
) -> AbstractContextManager[OpenedContext]:
    return open_context(Request(str(context), dockerfile, text), stdin=lambda: io.BytesIO(stdin))


def walked(found: OpenedContext) -> list[str]:
    return [entry.path for entry in found.context.walk("")]


def test_a_directory_with_its_dockerfile(tmp_path: Path) -> None:
    with opened(make_tree(tmp_path / "c", {"Dockerfile": "FROM a", "x": ""})) as found:
        assert (found.dockerfile_text, found.dockerfile_name, found.is_local) == ("FROM a", "Dockerfile", True)
        assert walked(found) == ["Dockerfile", "x"]


def test_the_lower_case_name_is_the_second_choice(tmp_path: Path) -> None:
    with opened(make_tree(tmp_path / "c", {"dockerfile": "FROM b"})) as found:
        assert (found.dockerfile_text, found.dockerfile_name) == ("FROM b", "dockerfile")


def test_the_ignore_file_of_the_dockerfile_is_the_first_choice(tmp_path: Path) -> None:
    tree: Tree = {"Dockerfile": "", "D2": "", ".dockerignore": "a", "D2.dockerignore": "b", "a": "", "b": ""}
    path = make_tree(tmp_path / "c", tree)
    with opened(path) as found:
        assert "a" not in walked(found)
    with opened(path, f"{path}/D2") as found:
        assert "a" in walked(found)
        assert "b" not in walked(found)


def test_the_dockerfile_may_be_ignored(tmp_path: Path) -> None:
    with opened(make_tree(tmp_path / "c", {"Dockerfile": "FROM a", ".dockerignore": "*", "x": ""})) as found:
        assert found.dockerfile_text == "FROM a"
        assert walked(found) == []


def test_a_dockerfile_elsewhere_brings_its_own_ignore_file(tmp_path: Path) -> None:
    make_tree(tmp_path / "e", {"D": "FROM e", "D.dockerignore": "x"})
    path = make_tree(tmp_path / "c", {"x": "", "y": ""})
    with opened(path, str(tmp_path / "e/D")) as found:
        assert (found.dockerfile_text, walked(found)) == ("FROM e", ["y"])


def test_a_relative_name_is_found_here_or_in_the_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_tree(tmp_path / "c", {"docker/D": "FROM inside"})
    monkeypatch.chdir(tmp_path)
    with opened("c", "docker/D") as found:
        assert found.dockerfile_text == "FROM inside"
    make_tree(tmp_path, {"docker/D": "FROM here"})
    with opened("c", "docker/D") as found:
        assert found.dockerfile_text == "FROM here"


def test_a_dockerfile_on_stdin(tmp_path: Path) -> None:
    with opened(make_tree(tmp_path / "c", {"x": ""}), "-", stdin=b"FROM stdin") as found:
        assert (found.dockerfile_text, walked(found)) == ("FROM stdin", ["x"])


def test_a_text_wins_over_files(tmp_path: Path) -> None:
    with opened(make_tree(tmp_path / "c", {"Dockerfile": "no"}), text="FROM text") as found:
        assert found.dockerfile_text == "FROM text"


def test_no_dockerfile_names_one_that_is_near(tmp_path: Path) -> None:
    with pytest.raises(ContextError) as caught, opened(make_tree(tmp_path / "c", {"Dockerfil": ""})):
        pass
    assert (caught.value.code, caught.value.hint) == ("no-dockerfile", 'did you mean "Dockerfil"?')


@pytest.mark.parametrize("target", ["/etc/passwd", "../secret"])
def test_a_dockerfile_that_is_a_symlink_out_of_the_context_is_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "secret").write_text("host secret line")
    path = make_tree(tmp_path / "c", {"Dockerfile": Symlink(target)})
    for name in (None, f"{path}/Dockerfile"):
        with pytest.raises(ContextError) as caught, opened(path, name):
            pass
        assert caught.value.code == "dockerfile-escapes"
        assert "root:" not in str(caught.value)
        assert "host secret" not in str(caught.value)


def test_a_dockerfile_that_is_a_symlink_inside_is_read(tmp_path: Path) -> None:
    with opened(make_tree(tmp_path / "c", {"Dockerfile": Symlink("d/D"), "d/D": "FROM x"})) as found:
        assert found.dockerfile_text == "FROM x"


@pytest.mark.parametrize("name", [".dockerignore", "Dockerfile.dockerignore"])
def test_an_ignore_file_that_leads_out_of_the_context_is_refused_and_not_shown(tmp_path: Path, name: str) -> None:
    """Taken for missing, it would let into the image what its writer means to keep out."""
    (tmp_path / "patterns").write_text("x\n[bad secret")
    tree = make_tree(tmp_path / "c", {"Dockerfile": "", name: Symlink("../patterns"), "x": ""})
    with pytest.raises(ContextError) as caught, opened(tree):
        pass
    assert caught.value.code == "ignore-file-escapes"
    assert "secret" not in str(caught.value)


def test_an_ignore_file_that_is_a_symlink_in_the_context_is_read(tmp_path: Path) -> None:
    files: Tree = {"Dockerfile": "", ".dockerignore": Symlink("patterns"), "patterns": "x\n", "x": ""}
    with opened(make_tree(tmp_path / "c", files)) as found:
        assert "x" not in walked(found)


def test_a_dockerfile_with_a_nul_byte_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContextError, match="NUL"), opened(make_tree(tmp_path / "c", {"Dockerfile": b"FROM \0"})):
        pass


def test_a_context_that_is_a_file_or_missing(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("text")
    for path, code in ((tmp_path / "f", "context-is-file"), (tmp_path / "no", "context-missing")):
        with pytest.raises(ContextError) as caught, opened(path):
            pass
        assert caught.value.code == code


TAR = make_tar(member("Dockerfile", b"FROM tar"), member("d/x", b"1"), member(".dockerignore", b"y"), member("y", b""))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_tar_is_a_context_from_stdin_or_a_file(tmp_path: Path, pack: type[bytes]) -> None:
    (tmp_path / "c.tar").write_bytes(pack(TAR))
    for context, stdin in (("-", pack(TAR)), (str(tmp_path / "c.tar"), b"")):
        with opened(context, stdin=stdin) as found:
            assert (found.dockerfile_text, found.is_local) == ("FROM tar", False)
            assert walked(found) == [".dockerignore", "Dockerfile", "d", "d/x"]
            place = found.context.path
        assert not os.path.exists(place)


def test_a_dockerfile_within_a_tar_is_named_with_f(tmp_path: Path) -> None:
    with opened("-", "docker/D", stdin=make_tar(member("docker/D", b"FROM d"))) as found:
        assert found.dockerfile_text == "FROM d"


def test_a_dockerfile_alone_on_stdin_has_no_files() -> None:
    with opened("-", stdin=b"FROM scratch\n") as found:
        assert (found.dockerfile_text, walked(found)) == ("FROM scratch\n", [])


def test_stdin_is_wanted_only_once() -> None:
    with pytest.raises(UsageError), opened("-", "-"):
        pass


@pytest.mark.parametrize(
    "evil",
    [
        make_tar(member("../evil", b"x")),
        make_tar(member("l", type=tarfile.SYMTYPE, linkname="/tmp"), member("l/evil", b"x")),
        make_tar(member("h", type=tarfile.LNKTYPE, linkname="none")),
        TAR[:700],
    ],
    ids=["dotdot", "through-symlink", "link-to-nothing", "truncated"],
)
def test_a_tar_that_leads_outside_or_is_broken_is_refused_and_leaves_nothing(
    evil: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(FormatError), opened("-", stdin=evil):
        pass
    assert list(tmp_path.iterdir()) == []
