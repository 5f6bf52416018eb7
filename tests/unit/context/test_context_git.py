"""Git sources: what is fetched, what is refused before git starts, and that no credential stays."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from slimstage.context.git import fetch_git, git_context
from slimstage.errors import ContextError, PlanError, SandboxError

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs the git program")

LOCAL = ("file",)


def run(where: Path, *arguments: str) -> str:
    env = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
    env |= {"GIT_COMMITTER_DATE": "@1600000000 +0000"}
    identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main")
    done = subprocess.run(
        ["git", *identity, *arguments], cwd=where, env=env, capture_output=True, check=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """main: f=2, sub/g; tag v1 (annotated): f=1; branch dev: f=dev."""
    where = tmp_path / "origin"
    (where / "sub").mkdir(parents=True)
    run(where, "init", "-q")
    (where / "f").write_text("1")
    (where / "sub/g").write_text("g")
    (where / "run.sh").write_text("#!/bin/sh\n")
    (where / "run.sh").chmod(0o755)
    run(where, "add", ".")
    run(where, "commit", "-qm", "one")
    run(where, "tag", "-am", "v1", "v1")
    (where / "f").write_text("2")
    os.symlink("/", where / "escape")
    run(where, "add", ".")
    run(where, "commit", "-qm", "two")
    run(where, "checkout", "-qb", "dev")
    (where / "f").write_text("dev")
    run(where, "commit", "-qam", "three")
    run(where, "checkout", "-q", "main")
    return where


def fetched(origin: Path, tmp_path: Path, **wanted: object) -> tuple[Path, str]:
    place = tmp_path / "place"
    commit = fetch_git(f"file://{origin}", str(place), protocols=LOCAL, **wanted)  # type: ignore[arg-type]
    return place, commit


@pytest.mark.parametrize(("ref", "content"), [(None, "2"), ("dev", "dev"), ("v1", "1"), ("refs/tags/v1", "1")])
def test_a_branch_tag_or_head_is_checked_out(origin: Path, tmp_path: Path, ref: str | None, content: str) -> None:
    place, commit = fetched(origin, tmp_path, ref=ref)
    assert (place / "f").read_text() == content
    assert commit == run(origin, "rev-parse", f"{ref or 'main'}^{{commit}}")
    assert not (place / ".git").exists()
    assert (place / "run.sh").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("digits", [40, 8])
def test_a_commit_is_found_in_full_or_abbreviated(origin: Path, tmp_path: Path, digits: int) -> None:
    commit = run(origin, "rev-parse", "main~1")
    place, got = fetched(origin, tmp_path, ref=commit[:digits])
    assert got == commit
    assert (place / "f").read_text() == "1"


def test_a_subdirectory_is_the_result(origin: Path, tmp_path: Path) -> None:
    place, _ = fetched(origin, tmp_path, subdir="/sub/")
    assert os.listdir(place) == ["g"]


@pytest.mark.parametrize("subdir", ["../..", "a/../../b", "escape", "escape/etc", "f", "none"])
def test_a_subdirectory_that_leads_outside_or_is_none_is_refused(origin: Path, tmp_path: Path, subdir: str) -> None:
    with pytest.raises(ContextError):
        fetched(origin, tmp_path, subdir=subdir)
    assert not (tmp_path / "place").exists()


def test_a_checksum_must_be_the_commits_beginning(origin: Path, tmp_path: Path) -> None:
    commit = run(origin, "rev-parse", "main")
    fetched(origin, tmp_path, checksum=commit[:12])
    shutil.rmtree(tmp_path / "place")
    with pytest.raises(ContextError) as caught:
        fetched(origin, tmp_path, checksum="0" * 40)
    assert caught.value.code == "checksum-mismatch"


def test_a_missing_ref_is_the_inputs_fault(origin: Path, tmp_path: Path) -> None:
    with pytest.raises(ContextError, match="no branch, tag or commit"):
        fetched(origin, tmp_path, ref="nothing")


def test_the_kept_directory_says_nothing_of_who_fetched(origin: Path, tmp_path: Path) -> None:
    place, _ = fetched(origin, tmp_path, keeps_git_dir=True)
    assert run(place, "status", "--porcelain") == ""
    assert run(place, "remote", "get-url", "origin") == f"file://{origin}"
    assert not (place / ".git/FETCH_HEAD").exists()


@pytest.mark.parametrize(
    ("remote", "ref"),
    [
        ("https://h/r.git", "-btest"),
        ("https://h/r.git", "--upload-pack=touch x"),
        ("ssh://-oProxyCommand=touch x/r.git", None),
        ("ssh://u@-oProxyCommand=x/r.git", None),
        ("-oX:r.git", None),
        ("ext::sh -c touch", None),
        ("https://h/r.git", "a:b"),
        ("https://h/r.git", "a\nb"),
    ],
)
def test_what_git_could_take_for_an_option_is_refused_before_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, remote: str, ref: str | None
) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("git was started"))
    with pytest.raises(ContextError) as caught:
        fetch_git(remote, str(tmp_path / "place"), ref=ref)
    assert caught.value.code == "bad-git-ref"


def test_other_transports_are_not_allowed(origin: Path, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="not allowed"):
        fetch_git(f"file://{origin}", str(tmp_path / "place"))


def test_hooks_and_the_users_configuration_are_not_used(
    origin: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    (home / "hooks").mkdir(parents=True)
    hook = home / "hooks/post-checkout"
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/marker\n")
    hook.chmod(0o755)
    (home / ".gitconfig").write_text(f"[core]\n hooksPath = {home}/hooks\n")
    monkeypatch.setenv("HOME", str(home))
    fetched(origin, tmp_path)
    assert not (tmp_path / "marker").exists()


def test_a_token_is_in_no_argument_message_or_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against a host that cannot be reached: the error is git's own, and must not repeat the URL's secret."""
    started: list[list[str]] = []
    original = subprocess.run

    def noting(arguments: list[str], **options: object) -> object:
        started.append(arguments)
        return original(arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(subprocess, "run", noting)
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    with pytest.raises(Exception, match="git cannot fetch") as caught:
        fetch_git("http://user:t0ken@127.0.0.1:1/r.git", str(tmp_path / "place"))
    assert "t0ken" not in str(caught.value)
    assert "t0ken" not in repr(started)
    assert any("fetch" in arguments for arguments in started)


def test_a_missing_program_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(SandboxError, match="git program") as caught:
        fetch_git("https://h/r.git", str(tmp_path / "place"))
    assert caught.value.hint is not None


def test_files_are_as_old_as_the_commit_when_that_is_asked(origin: Path, tmp_path: Path) -> None:
    place, commit = fetched(origin, tmp_path, ref="v1", mtime="commit", subdir="sub")
    assert {path.lstat().st_mtime for path in (place, place / "g")} == {1_600_000_000}
    assert commit == run(origin, "rev-parse", "v1^{commit}")


def test_a_commit_is_fetched_whatever_its_name_means_by_now(origin: Path, tmp_path: Path) -> None:
    commit = run(origin, "rev-parse", "v1^{commit}")
    place, got = fetched(origin, tmp_path, ref="dev", checksum=commit, by_commit=True)
    assert (got, (place / "f").read_text()) == (commit, "1")


@pytest.mark.parametrize(
    ("value", "want"),
    [
        ("https://h/r.git#v1:sub", ("https://h/r.git", "v1", "sub")),
        ("https://h/r.git", ("https://h/r.git", None, None)),
        ("https://h/r.git?branch=b&subdir=d", ("https://h/r.git", "refs/heads/b", "d")),
        ("https://h/r.git?tag=v1", ("https://h/r.git", "refs/tags/v1", None)),
        ("https://h/r.git?ref=pull/42/head", ("https://h/r.git", "pull/42/head", None)),
        ("git@h:u/r.git#:sub", ("git@h:u/r.git", None, "sub")),
        ("ssh://h/r#x", ("ssh://h/r", "x", None)),
        ("github.com/a/b", ("https://github.com/a/b", None, None)),
        ("github.com/a/b?commit=abcd12", ("https://github.com/a/b", "abcd12", None)),
    ],
)
def test_a_context_that_is_a_repository(value: str, want: tuple[str, str | None, str | None]) -> None:
    ref = git_context(value)
    assert ref is not None
    assert (ref.remote, ref.ref, ref.subdir) == want


@pytest.mark.parametrize("value", [".", "dir#x", "https://h/x.tar.gz", "/a/b.git", "https://h/x.tar.gz?ref=x"])
def test_a_context_that_is_none(value: str) -> None:
    assert git_context(value) is None


@pytest.mark.parametrize(
    "value", ["https://h/r.git?brnch=x", "https://h/r.git?tag=a&branch=b", "https://h/r.git#:../x"]
)
def test_a_context_whose_parts_make_no_sense_is_refused(value: str) -> None:
    with pytest.raises(PlanError):
        git_context(value)
