"""COPY and ADD as steps."""

from __future__ import annotations

import pytest

from slimstage.dockerfile.instructions import Heredoc
from slimstage.plan import paths
from slimstage.plan.graph import CopyStep, FromContext, Git, Url, parts_of
from support.planning import copies, planned, refused, said

DIGEST = "sha256:" + "ab" * 32


def copied(line: str, before: str = "") -> CopyStep:
    return copies(planned(f"FROM busybox\n{before}{line}\n"))[-1]


@pytest.mark.parametrize(
    ("written", "working_dir", "wanted"),
    [
        ("/x", "/w", "/x"),
        ("x", "/w", "/w/x"),
        ("x/", "/w", "/w/x/"),
        (".", "/w", "/w/"),
        ("./", "/w", "/w/"),
        ("", "/w", "/w/"),
        ("x/.", "/w", "/w/x/"),
        ("..", "/w/v", "/w"),
        ("../../../x", "/w", "/x"),
        ("/../x", "/", "/x"),
        ("/", "/w", "/"),
        ("//x//y/", "/w", "/x/y/"),
        (".", "/", "/"),
        ("x", "/w/", "/w/x"),
    ],
)
def test_a_destination_is_joined_and_cleaned(written: str, working_dir: str, wanted: str) -> None:
    assert paths.destination(written, working_dir) == wanted


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("a", "a"),
        ("/a/b/", "a/b"),
        (".", "."),
        ("", "."),
        ("/", "."),
        ("./a", "a"),
        ("../../a", "a"),
        ("a/../b*", "b*"),
    ],
)
def test_a_source_cannot_leave_its_root(written: str, wanted: str) -> None:
    assert paths.source(written) == wanted


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("a/b", "a/b"),
        ("a/./b/c", "a/./b/c"),
        ("/a/./b", "a/./b"),
        ("/./b", "b"),
        ("a/./../b", "a/./b"),
        ("*/./x", "*/./x"),
    ],
)
def test_parents_keep_their_pivot(written: str, wanted: str) -> None:
    assert paths.parents_source(written) == wanted


def test_a_copy_has_everything_resolved() -> None:
    step = copied(
        "COPY --chown=$U:$U --chmod=0${M} --exclude=*.md --exclude=!R.md $S b d/",
        "WORKDIR /app\nENV S=src/a U=7 M=644\n",
    )
    assert step.source == FromContext("")
    assert (step.paths, step.destination) == (("src/a", "b"), "/app/d/")
    assert (step.chown, step.chmod, step.exclude) == ("7:7", "0644", ("*.md", "!R.md"))
    assert (step.unpack, step.from_is_stage, step.is_link) == ("never", False, False)
    assert step.title == "COPY --chown=7:7 --chmod=0644 src/a b d/"


def test_an_exclude_is_not_expanded() -> None:
    assert copied("COPY --exclude=$X a b", "ENV X=1\n").exclude == ("$X",)


def test_a_source_that_expands_to_nothing_is_the_root_and_shows_as_nothing() -> None:
    graph = planned("FROM busybox\nCOPY $nothing /baz\n")
    assert copies(graph)[0].paths == (".",)
    assert said(graph) == ["COPY  /baz # buildkit"]


def test_history_shows_owner_mode_and_parents_but_not_from_or_link() -> None:
    graph = planned(
        "FROM busybox AS a\nFROM busybox\nCOPY --link --from=a --chown=1 --parents x /y/\nCOPY --from=a --chmod=700 x y\n"
    )
    assert said(graph) == ["COPY --parents --chown=1 x /y/ # buildkit", "COPY --chmod=700 x y # buildkit"]
    assert [step.is_link for step in copies(graph)] == [True, False]
    assert copies(graph)[0].title == "COPY --from=a --parents --chown=1 x /y/"


def test_link_with_a_mode_is_an_ordinary_copy() -> None:
    assert not copied("COPY --link --chmod=755 a b").is_link


@pytest.mark.parametrize("mode", ["0", "7777", "07777", "u=rwX,go=rX", "+x", "a+X,go-w", "u=g", "ug+rw,o="])
def test_modes_that_are_taken(mode: str) -> None:
    assert copied(f"COPY --chmod={mode} a b").chmod == mode


@pytest.mark.parametrize(
    "mode", ["10000", "8", "999", "rwx", "u~x", "u+y", "0x1ff", "0o755", "-1", "u+x,", "77777777777777"]
)
def test_modes_that_are_refused(mode: str) -> None:
    error = refused(f"FROM busybox\nCOPY --chmod={mode} a b\n")
    assert error.code == "bad-chmod"
    assert error.hint is not None


@pytest.mark.parametrize("owner", ["4294967296", "2147483648:1", "1:2147483648", "-1"])
def test_an_owner_out_of_range_is_refused(owner: str) -> None:
    assert refused(f"FROM busybox\nCOPY --chown={owner} a b\n").code == "id-out-of-range"


def test_heredocs_come_last_and_unquoted_ones_are_expanded() -> None:
    graph = planned('FROM busybox\nENV X=1\nCOPY <<A file <<"B" d/\n"$X" \\$X\nA\n$X\nB\n')
    step = copies(graph)[0]
    assert step.inline == (Heredoc("A", '"1" $X\n', False), Heredoc("B", "$X\n", False))
    assert step.paths == ("file",)
    assert said(graph)[-1] == "COPY file <<A <<B d/ # buildkit"


def test_how_a_heredoc_was_written_is_not_in_the_step() -> None:
    first = copied("COPY <<-A /d\n\tx\n\tA")
    second = copied("COPY <<'A' /d\nx\nA")
    assert first.inline == second.inline


@pytest.mark.parametrize("name", ["../x", "a/b", ".."])
def test_a_heredoc_name_that_is_a_path_is_refused(name: str) -> None:
    assert refused(f"FROM busybox\nCOPY <<{name} /d\nx\n{name}\n").code == "heredoc-name"


# ADD -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("flag", "wanted"), [("", "auto"), ("--unpack=true ", "auto"), ("--unpack=false ", "never")])
def test_add_unpacks_local_archives_unless_told_not_to(flag: str, wanted: str) -> None:
    assert copied(f"ADD {flag}a.tar /").unpack == wanted


def test_add_tells_urls_repositories_and_paths_apart() -> None:
    graph = planned("FROM busybox\nADD https://h/f.bin https://h/r.git#v1:sub local git@h:t/r.git github.com/a/b /d/\n")
    step = copies(graph)[0]
    assert step.urls == (Url("https://h/f.bin"),)
    assert step.gits == (Git("https://h/r.git", "v1", "sub"), Git("git@h:t/r.git"))
    assert step.paths == ("local", "github.com/a/b")
    assert step.order == ("url", "git", "path", "git", "path")
    assert parts_of(step) == [step.urls[0], step.gits[0], ("local",), step.gits[1], ("github.com/a/b",)]


def test_paths_then_urls_then_repositories_are_the_usual_order() -> None:
    step = copied("ADD a b https://h/f https://h/g https://h/r.git /d/")
    assert step.order == ()
    assert parts_of(step) == [("a", "b"), *step.urls, *step.gits]


def test_a_checksum_is_expanded_and_kept() -> None:
    step = copied("ADD --checksum=$SUM --unpack=true https://h/x.tar /d/", f"ENV SUM={DIGEST}\n")
    assert step.urls == (Url("https://h/x.tar", DIGEST, True),)
    step = copied("ADD --checksum=abcdef0 --keep-git-dir=true https://h/x.git?submodules=false /d/")
    assert step.gits == (Git("https://h/x.git", None, None, "abcdef0", True, False),)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (f"ADD --checksum={DIGEST} https://h/a https://h/b /d/", "checksum-source"),
        (f"ADD --checksum={DIGEST} local /d/", "checksum-source"),
        ("ADD --checksum=md5:00 https://h/a /d/", "bad-checksum"),
        ("ADD --checksum=00 https://h/a /d/", "bad-checksum"),
        ("ADD --checksum=sha256:xyz https://h/a.git /d/", "bad-checksum"),
        ("ADD --checksum=abcd https://h/a.git?checksum=abce /d/", "bad-checksum"),
        ("ADD --keep-git-dir=true https://h/a.git?keep-git-dir=false /d/", "bad-git-ref"),
        ("ADD https://h/a.git#main:../.. /d/", "git-subdir-escape"),
        ("ADD ssh://-oProxyCommand=x/y /d/", "bad-git-ref"),
        ("ADD https://h/a.git?what=1 /d/", "bad-git-ref"),
        ("COPY https://h/a /d/", "copy-url"),
        ("COPY https://h/a.git /d/", "copy-git"),
        ("COPY git@h:a/b /d/", "copy-git"),
    ],
)
def test_what_cannot_be_fetched_is_refused_with_its_place(line: str, code: str) -> None:
    error = refused(f"FROM busybox\n{line}\n")
    assert error.code == code
    assert error.diagnostics[0].span is not None
    assert error.diagnostics[0].span.line == 2


def test_credentials_are_in_the_step_only() -> None:
    graph = planned("FROM busybox\nADD https://me:secret@h/r.git https://tok@h/f /d/\n")
    step = copies(graph)[0]
    assert step.gits[0].remote == "https://me:secret@h/r.git"
    assert step.title == "ADD https://xxxxx@h/r.git https://xxxxx@h/f /d/"
    assert said(graph) == ["ADD https://xxxxx@h/r.git https://xxxxx@h/f /d/ # buildkit"]


def test_the_git_switches_of_the_query_reach_the_step() -> None:
    step = copied("ADD https://h/r.git?mtime=commit&fetch-by-commit=true&checksum=abcdef /d/")
    assert step.gits == (Git("https://h/r.git", None, None, "abcdef", False, True, "commit", True),)
