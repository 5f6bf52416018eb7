"""Generated COPY and ADD: sources of the context and of stages, all flags, all forms of destination."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

_sampled = st.sampled_from

DESTINATIONS = (
    "/x", "/x/", "x", "./", ".", "/", "/opt/l", "/opt/l/", "/opt/abs/", "/opt/dang", "/opt/dang/", "/opt/d",
    "/opt/d/f", "/home/app/", "/x/y/z", "/x/y/z/", "$A/q", "${U}", "d/../e", "../up", "/opt/loop/x", "/bin/",
    "/opt/o/", "/opt/o", "/tmp/", "/x/a", "/opt/d/up", "/opt/l/n/", "/etc/passwd", "/x/f", "/x/d", "/x/d/",
)  # fmt: skip
IMAGE_SOURCES = (
    "/bin/cat", "/etc/passwd", "/etc", "etc/", "/home", "/opt/d", "/opt/l", "/opt/abs/f", "/opt/d/*", "/x", "/x/",
    "/x/*", "/opt/*", "/opt/dang", "/opt/o", "/", "opt/d/up", "/y", "/tmp", "/etc/[gp]*", "/opt/d/h", "/opt/loop",
    "/nowhere",
)  # fmt: skip
CONTEXT_WILD = (
    "d/*", "d/**", "*", "*.txt", "d*", "*/f", "?", "[a-c]*", "*/x/j.txt", "**/f", "[[]q].x", "\\a", "nope*", "*/*",
    "[^d]*", "s*", ".*",
)  # fmt: skip
MORE_SOURCES = (".", "./", "/", "/a", "../a", "d/../a", "./d/", "d/.", "nope", "$A", "d/e/..", "a/", "//a")
OWNERS = (
    "app", "app:extra", "1:2", "1000", "root", "app:", "12345:app", "$C", "0:0", "nobody:wheel", "nosuch", ":app",
    "app:nosuch", "${U:-app}",
)  # fmt: skip
MODES = (
    "755", "0644", "4755", "u+x", "a+rX", "go-w", "u=rwX,go=", "1777", "$M", "0", "o-rwx,u+s", "999", "a=", "+x",
    "g=u", "77777", "u=g,o=rwt", "${M:-600}", "", "-w",
)  # fmt: skip
EXCLUDES = ("*.txt", "f", "*/f", "**/f", "d", "!a", "e", "**", "a", "d/e/h", ".hid", "*/", "[", "/f", "x/*", "**/*.txt")


@dataclass(frozen=True, slots=True)
class Sources:
    """What a COPY may name."""

    context: tuple[str, ...]
    stages: tuple[str, ...]
    flags: frozenset[str]
    """Those of the flags that not every BuildKit knows, which this one does."""
    is_whole: bool = True
    """No ignore file. Where one keeps all of a directory out, BuildKit does not even send the directory of a wildcard."""


@st.composite
def _flags(draw: st.DrawFn, known: Sources, is_add: bool) -> list[str]:
    made = []
    if draw(st.integers(0, 3)) == 3:
        made.append(f"--chown={draw(_sampled(OWNERS))}")
    if draw(st.integers(0, 3)) == 3:
        made.append(f"--chmod={draw(_sampled(MODES))}")
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
    flags = draw(_flags(known, is_add))
    if known.stages and not is_add and draw(st.integers(0, 1)):
        flags = [f"--from={draw(_sampled(known.stages))}", *flags]
        single = st.one_of(_sampled(IMAGE_SOURCES), _sampled(IMAGE_SOURCES[:12]))
    else:
        present = _sampled(known.context) if known.context else _sampled(MORE_SOURCES)
        single = st.one_of(
            present, present, _sampled(CONTEXT_WILD if known.is_whole else CONTEXT_WILD[2:]), _sampled(MORE_SOURCES)
        )
    sources = draw(st.lists(single, min_size=1, max_size=3 if draw(st.integers(0, 3)) == 3 else 1))
    to = draw(_sampled(DESTINATIONS))
    if len(sources) > 1 and draw(st.integers(0, 9)) < 9:
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


def _heredocs(draw: st.DrawFn, word: str, flags: list[str], sources: list[str], to: str) -> str:
    bodies = ("text $A\n", "\ttab\n", "a \\$A \\\\ 'q' \"$B\"\n", "", "one \\\ntwo\n", "${U:-x}\n#c\n\n")
    marks = draw(
        st.lists(_sampled(("EOF", "'EOF'", '"E2"', "-F3", "-'F4'", "in.txt")), min_size=1, max_size=2, unique=True)
    )
    more = [each for each in sources if " " not in each and draw(st.booleans())][:1]
    to = to if to.endswith("/") or (len(marks) == 1 and not more) else f"{to}/"
    text = " ".join((word, *flags, *more, *(f"<<{mark}" for mark in marks), to)) + "\n"
    for mark in marks:
        end = mark.strip("-'\"")
        text += draw(_sampled(bodies)) + ("\t" if mark.startswith("-") and draw(st.booleans()) else "") + end + "\n"
    return text.rstrip("\n")
