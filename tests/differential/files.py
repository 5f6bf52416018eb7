"""Generated COPY and ADD: sources of contexts, stages and the web, all flags, all forms of destination."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from urllib.parse import quote

from hypothesis import strategies as st

from differential.words import mostly
from slimstage.context.globs import has_wildcards
from support.buildkit_case import Entry
from support.buildkit_web import ORIGIN

_sampled = st.sampled_from

DESTINATIONS = (
    "/x", "/x/", "x", "./", ".", "/", "/opt/l", "/opt/l/", "/opt/abs/", "/opt/dang/", "/opt/d", "/home/app/", "/x/y/z",
    "/x/y/z/",
    "$A/q", "${U:-/u}", "d/../e", "../up", "/bin/", "/opt/o/", "/opt/o", "/tmp/", "/x/a", "/opt/l/n/", "/x/f", "/x/d",
    "/x/d/", "//y//z",
    "/opt/abs/k", "é", "/x/./w/", "${A:-z}", "$A", "~", "/n$A/", "/opt/l/../m",
)  # fmt: skip
WILD_DESTINATIONS = (
    "/opt/dang", "/opt/d/f", "${U}", "/opt/loop/x", "/opt/d/up", "/etc/passwd", "/opt/dang/z", "/bin/cat/x", "/opt/d/g/", '""',
    "/home/app/f/", "/opt/d/up/",
)  # fmt: skip
IMAGE_SOURCES = (
    "/bin/cat", "/etc/passwd", "/etc", "etc/", "/home", "/tmp", "/etc/[gp]*", "/", "/bin", "bin/yes", "/home/app",
    "/etc/../home/",
    "/bin/[a-b]*", "/nope*", "./etc", "/etc/.", "../etc/group", "/b*/cat",
)  # fmt: skip
"""Of each image but `scratch`."""
WILD_IMAGE_SOURCES = (
    "/opt/d", "/opt/l", "/opt/abs/f", "/opt/d/*", "/x", "/x/", "/x/*", "/opt/*", "/opt/dang", "/opt/o", "opt/d/up", "/y",
    "/opt/d/h",
    "/opt/loop", "/nowhere", "/opt/l/*", "/opt/abs/", "/etc/passwd/", "/opt/l/../d", "/x/a", "[", "/opt/d/f/x", "/proc", "/q",
)  # fmt: skip
CONTEXT_WILD = (
    "d/*", "d/**", "d/[e-g]*", "d/?", "*", "*.txt", "d*", "*/f", "?", "[a-c]*", "*/x/j.txt", "**/f", "[[]q].x", "\\a",
    "nope*", "*/*", "[^d]*", "s*", ".*", "[!d]*", "*[.]txt", "[]a]", "*/e", "\\[q].x",
)  # fmt: skip
MORE_SOURCES = (
    ".",
    "./",
    "/",
    "/a",
    "../a",
    "d/../a",
    "./d/",
    "d/.",
    "$A",
    "d/e/..",
    "a/",
    "//a",
    "nope",
    "[",
    "a\\",
    "d/f/x",
    "${A",
)
OWNERS = (
    "app",
    "app:extra",
    "1:2",
    "1000",
    "root",
    "app:",
    "12345:app",
    "0:0",
    "${U:-app}",
    "root:44",
    "7:root",
    "01:1",
    "$C",
)
WILD_OWNERS = (
    "nobody:wheel",
    "nosuch",
    ":app",
    "app:nosuch",
    "",
    "1:2:3",
    "-1",
    "$A",
    "1:",
    ":",
    "app:$A",
    "4294967295",
    "1.5",
)
MODES = (
    "755", "0644", "4755", "u+x", "a+rX", "go-w", "u=rwX,go=", "1777", "0", "o-rwx,u+s", "a=", "+x", "g=u", "u=g,o=rwt",
    "${M:-600}",
    "-w", "00755", "g+s", "u=rw,g=r,o=", "+t", "ug+rw-x",
)  # fmt: skip
WILD_MODES = ("$M", "999", "77777", "", "u", "755,u+x", "u+y", "0o755", "-1", "+", "u+x,", "888", "rwxr-xr-x", "$A")
EXCLUDES = ("*.txt", "f", "*/f", "**/f", "d", "!a", "e", "**", "a", "d/e/h", ".hid", "*/", "[", "/f", "x/*", "**/*.txt")

QUERIES = ("", "", "", "?as=sent", "?as=a%20b", "?as=../up", "?x=y/z", "#part", "?as=.")
REVISIONS = (
    "", "", "#main", "#v1", "#dev", "#v1:sub", "#:sub", "#dev:sub/deep", "?ref=dev", "?tag=v1", "?branch=dev&subdir=sub",
    "?subdir=sub&ref=v1",
)  # fmt: skip

WILD_REVISIONS = (
    "#nosuch",
    "#:nosuch",
    "?x=y",
    "?ref=v1#dev",
    "#:../x",
    "?branch=v1",
    "?tag=dev",
)


@dataclass(frozen=True, slots=True)
class Sources:
    """What a COPY may name."""

    context: tuple[str, ...]
    served: tuple[Entry, ...]
    """Files of the context, which the web has too."""
    stages: tuple[str, ...]
    """And further contexts."""
    flags: frozenset[str]
    """Those of the flags that not every BuildKit knows, which this one does."""
    is_whole: bool = True
    """No ignore file. Where one keeps all of a directory out, BuildKit does not even send the directory of a wildcard."""


@st.composite
def _flags(draw: st.DrawFn, known: Sources, is_add: bool) -> list[str]:
    made = []
    if draw(st.integers(0, 3)) == 3:
        made.append(f"--chown={draw(mostly(OWNERS, WILD_OWNERS, 20))}")
    if draw(st.integers(0, 3)) == 3:
        made.append(f"--chmod={draw(mostly(MODES, WILD_MODES, 20))}")
    if draw(st.integers(0, 4)) == 4:
        made.append(draw(_sampled(("--link", "--link=true", "--link=false"))))
    if "exclude" in known.flags and draw(st.integers(0, 4)) == 4:
        made += [f"--exclude={each}" for each in draw(st.lists(_sampled(EXCLUDES), min_size=1, max_size=2))]
    if "parents" in known.flags and not is_add and draw(st.integers(0, 5)) == 5:
        made.append("--parents")
    if "unpack" in known.flags and is_add and draw(st.integers(0, 3)) == 3:
        made.append(draw(_sampled(("--unpack", "--unpack=true", "--unpack=false"))))
    return draw(st.permutations(made)) if len(made) > 1 else made


@st.composite
def copies(draw: st.DrawFn, known: Sources) -> str:
    """A COPY or ADD line, now and then with heredocs among its sources."""
    is_add = draw(st.integers(0, 3)) == 3
    if is_add and draw(st.integers(0, 3)) == 3:
        return draw(_fetched(known))
    flags = draw(_flags(known, is_add))
    if known.stages and not is_add and draw(st.integers(0, 1)):
        flags = [f"--from={draw(_sampled(known.stages))}", *flags]
        single = mostly(IMAGE_SOURCES, WILD_IMAGE_SOURCES, 5)
    else:
        present = mostly(known.context, MORE_SOURCES, 10)
        single = st.one_of(present, present, present, _sampled(CONTEXT_WILD if known.is_whole else CONTEXT_WILD[4:]))
    sources = draw(st.lists(single, min_size=1, max_size=3 if draw(st.integers(0, 3)) == 3 else 1))
    if any(has_wildcards(each) for each in sources):
        # BuildKit does not keep out a file that a wildcard matched: docs/differential.md.
        flags = [flag for flag in flags if not flag.startswith("--exclude")]
    to = draw(mostly(DESTINATIONS, WILD_DESTINATIONS, 12))
    if len(sources) > 1 and draw(st.integers(0, 19)) < 19:
        to = to.rstrip("/") + "/"
    word = draw(_sampled(("ADD", "ADD", "Add"))) if is_add else draw(_sampled(("COPY", "COPY", "copy")))
    if draw(st.integers(0, 9)) == 9 and not any(flag.startswith("--from") for flag in flags):
        return _heredocs(draw, word, flags, sources, to)
    if draw(st.integers(0, 7)) == 7 or any(" " in each for each in (*sources, to)):
        quoted = ", ".join('"' + each.replace("\\", "\\\\") + '"' for each in (*sources, to))
        return " ".join((word, *flags, f"[{quoted}]"))
    if draw(st.integers(0, 7)) == 7:
        return " \\\n  ".join((word, *flags, *sources, to))
    return " ".join((word, *flags, *sources, to))


@st.composite
def _fetched(draw: st.DrawFn, known: Sources) -> str:
    """An ADD of a URL, sometimes with its digest or another's; now and then of a repository, or of several sources."""
    flags = draw(_flags(known, is_add=True))
    further = draw(st.lists(_other_sources(known), min_size=1, max_size=3)) if draw(st.integers(0, 3)) == 3 else []
    if draw(st.integers(0, 4)) == 4:
        # With --keep-git-dir the files below .git are others: docs/differential.md.
        source = f"{ORIGIN}/repo.git{draw(mostly(REVISIONS, WILD_REVISIONS, 12))}"
        flags += draw(_sampled(([], [], ["--keep-git-dir=false"])))
    else:
        file = draw(_sampled(known.served))
        source = f"{ORIGIN}{draw(_sampled(('/', '/', '/', '/to/')))}{quote(file.path)}{draw(_sampled(QUERIES))}"
        if draw(st.integers(0, 2)) == 2 and not further:
            digest = hashlib.sha256(file.content()).hexdigest()
            flags.append(
                f"--checksum={draw(_sampled(('sha256:', 'sha256:', 'sha256:', 'sha256:0', 'md5:', '')))}{digest}"
            )
    to = draw(_sampled(DESTINATIONS))
    if further:
        sources, to = draw(st.permutations([source, *further])), to.rstrip("/") + "/"
        return " ".join(("ADD", *flags, *sources, to))
    return " ".join(("ADD", *flags, source, to))


def _other_sources(known: Sources) -> st.SearchStrategy[str]:
    """What may stand beside a URL on one line."""
    paths = [path for path in known.context if " " not in path]
    urls = [f"{ORIGIN}/{quote(entry.path)}" for entry in known.served]
    return st.one_of(_sampled(paths), _sampled(urls), _sampled((f"{ORIGIN}/repo.git", f"{ORIGIN}/repo.git#v1:sub")))


_MARKS = ("EOF", "'EOF'", '"E2"', "-F3", "-'F4'", "in.txt", "E'O'6", "d/p", "3E")


_BODIES = (
    "${A:-x} ${A#x} ${B//b/c} $1 `x` $(y)\n", "\\\\\\\n \\t \\\"\n", "EOFX\n EOF\n", "text $A\n", "\ttab\n", "",
    "a \\$A \\\\ 'q' \"$B\"\n", "one \\\ntwo\n", "${U:-x}\n#c\n\n",
)  # fmt: skip


def _heredocs(draw: st.DrawFn, word: str, flags: list[str], sources: list[str], to: str) -> str:
    marks = draw(st.lists(_sampled(_MARKS), min_size=1, max_size=3, unique=True))
    more = [each for each in sources if " " not in each and draw(st.booleans())][:1]
    to = to if to.endswith("/") or (len(marks) == 1 and not more) else f"{to}/"
    text = " ".join((word, *flags, *more, *(f"<<{mark}" for mark in marks), to)) + "\n"
    for mark in marks:
        end = mark.lstrip("-").replace("'", "").replace('"', "")
        text += draw(_sampled(_BODIES)) + ("\t" if mark.startswith("-") and draw(st.booleans()) else "") + end + "\n"
    return text.rstrip("\n")
