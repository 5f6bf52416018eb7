"""Git references."""

from __future__ import annotations

import pytest

from slimstage.dockerfile.gitref import GitRef, check_git_ref, parse_git_ref, without_credentials
from slimstage.errors import PlanError

REPO = "https://host.example/team/tool.git"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (REPO, GitRef(REPO, "tool")),
        (f"{REPO}#v1", GitRef(REPO, "tool", ref="v1")),
        (f"{REPO}#a/b:c/d", GitRef(REPO, "tool", ref="a/b", subdir="c/d")),
        (f"{REPO}#:sub", GitRef(REPO, "tool", subdir="sub")),
        (f"{REPO}?tag=v1", GitRef(REPO, "tool", ref="refs/tags/v1")),
        (f"{REPO}?branch=refs/heads/x", GitRef(REPO, "tool", ref="refs/heads/x")),
        (f"{REPO}?ref=v1&subdir=/s", GitRef(REPO, "tool", ref="v1", subdir="/s")),
        (f"{REPO}?subdir=/s#v1", GitRef(REPO, "tool", ref="v1", subdir="/s")),
        (f"{REPO}?checksum=abcd12", GitRef(REPO, "tool", ref="abcd12", checksum="abcd12")),
        (f"{REPO}?fetch-by-commit&commit=abcd12", GitRef(REPO, "tool", checksum="abcd12", fetch_by_commit=True)),
        (f"{REPO}?keep-git-dir&submodules=false", GitRef(REPO, "tool", keep_git_dir=True, submodules=False)),
        (f"{REPO}?mtime=commit", GitRef(REPO, "tool", mtime="commit")),
        ("git://h/x", GitRef("git://h/x", "x", is_unencrypted=True)),
        ("http://h/x.git", GitRef("http://h/x.git", "x", is_unencrypted=True)),
        ("ssh://git@h:22/x", GitRef("ssh://git@h:22/x", "x")),
        ("git@h:team/x.git#v1", GitRef("git@h:team/x.git", "x", ref="v1")),
        ("git@h:x?subdir=/s#v", GitRef("git@h:x", "x", ref="v", subdir="/s")),
        ("github.com/a/b#m", GitRef("github.com/a/b", "b", ref="m", looks_local=True)),
    ],
)
def test_a_repository_is_read(text: str, wanted: GitRef) -> None:
    assert parse_git_ref(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "https://host.example/",
        "https://host.example/x",
        "https://host.example/x.git/",
        "https://host.example/x.git.bar",
        "http://h/d.git:#branch",
        "http://h:port/x.git",
        "host.example/x.git",
        "./.git",
        "../x.git",
        ".git",
        "file:///x.git",
        "ftp://h/x.git",
        "a:b",
        "dir/file",
        "",
    ],
)
def test_what_is_no_repository_is_none(text: str) -> None:
    assert parse_git_ref(text) is None


def test_an_http_url_is_a_repository_when_the_flag_says_so() -> None:
    assert parse_git_ref("https://h/x", is_known_git=True) == GitRef("https://h/x", "x")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("ref=a#b", "ref conflicts"),
        ("ref=a&tag=b", "ref conflicts"),
        ("tag=a&branch=b", "branch conflicts with tag"),
        ("subdir=a#:b", "subdir conflicts"),
        ("mtime=never", "invalid mtime"),
        ("submodules=maybe", "invalid submodules"),
        ("fetch-by-commit=maybe", "invalid fetch-by-commit"),
        ("fetch-by-commit", "needs a checksum"),
        ("ref=a&ref=b", "multiple values"),
        ("ref=", "has no value"),
        ("brunch=a", 'unexpected query "brunch"'),
    ],
)
def test_a_query_that_makes_no_sense_is_refused(query: str, said: str) -> None:
    with pytest.raises(PlanError) as caught:
        parse_git_ref(f"{REPO}?{query}")
    assert said in caught.value.message
    assert caught.value.code == "bad-git-ref"


def test_an_unknown_query_gets_a_near_one() -> None:
    with pytest.raises(PlanError) as caught:
        parse_git_ref(f"{REPO}?brnch=a")
    assert caught.value.hint == 'did you mean "branch"?'


@pytest.mark.parametrize(
    "ref",
    [
        GitRef("ssh://-oProxyCommand=touch x/y", "y"),
        GitRef("ssh://git@-oProxyCommand=x/y", "y"),
        GitRef("--upload-pack=x", "x"),
        GitRef(REPO, "tool", ref="--output=x"),
        GitRef(REPO, "tool", checksum="-x"),
        GitRef(REPO, "tool", checksum="zzzz"),
        GitRef(REPO, "tool", ref="a\nb"),
        GitRef(REPO, "tool", subdir="../.."),
        GitRef(REPO, "tool", subdir="a/../../b"),
    ],
)
def test_what_git_could_misread_is_refused(ref: GitRef) -> None:
    with pytest.raises(PlanError):
        check_git_ref(ref)


def test_an_ordinary_reference_passes_the_check() -> None:
    check_git_ref(GitRef(REPO, "tool", ref="release/1.2", subdir="a/..b/c", checksum="0f" * 20))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://u:p@h/x", "https://xxxxx@h/x"),
        ("https://TOKEN@h/x.git#m", "https://xxxxx@h/x.git#m"),
        ("ssh://git:p@h/x", "ssh://git:xxxxx@h/x"),
        ("ssh://git@h/x", "ssh://git@h/x"),
        ("git@h:x", "git@h:x"),
        ("https://h/a@b", "https://h/a@b"),
        ("a@b:c", "a@b:c"),
    ],
)
def test_credentials_are_not_shown(url: str, shown: str) -> None:
    assert without_credentials(url) == shown
