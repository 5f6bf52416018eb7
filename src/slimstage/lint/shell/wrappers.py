"""Commands that run another command: `sudo pip …`, `env A=b pip …`, `sh -c "…"`, `xargs pip …`, looked through.

One function for each way in which a wrapper finds the command in its own arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from slimstage.lint.shell.script import UNKNOWN
from slimstage.lint.shell.words import Field
from slimstage.regex import pattern
from slimstage.values import dataclass, replace

POSIX_SHELLS = frozenset(("sh", "bash", "dash", "ash", "ksh", "zsh", "mksh"))
_ASSIGNMENT = pattern(r"[A-Za-z_][A-Za-z0-9_]*=", 16)
_MOST_WRAPPERS = 16
_MOST_EXECUTED = 16
"""Commands of one `find` that are read."""


@dataclass(frozen=True, slots=True)
class Unwrapped:
    """What a simple command runs in the end.

    fields: the program and its arguments. script: a shell's text in place of them (`sh -c`), or what a shell reads from its
    input (`fields` then is that shell). wrappers: names of what was looked through.
    """

    fields: tuple[Field, ...]
    wrappers: tuple[str, ...] = ()
    assignments: tuple[Field, ...] = ()
    script: Field | None = None
    takes_more: bool = False
    directory: Field | None = None
    reads_script: bool = False


def base_name(field: Field) -> str:
    """The name of a program without its directory; "" when it is not known."""
    name = field.shape.rpartition("/")[2]
    return "" if UNKNOWN in name else name


def unwrap(fields: Sequence[Field]) -> Unwrapped:
    """What the words of a simple command run. fields: at least one."""
    found = Unwrapped(tuple(fields))
    for _ in range(_MOST_WRAPPERS):
        name = base_name(found.fields[0])
        look = _LOOK.get(name)
        inner = look(found) if look else None
        if inner is None:
            return found
        found = replace(inner, wrappers=(*found.wrappers, name))
        if found.script is not None or found.reads_script or not found.fields:
            return found
    return found


_Look: TypeAlias = Callable[[Unwrapped], Unwrapped | None]


def _skip(fields: Sequence[Field], valued: frozenset[str], *, start: int = 1) -> int:
    """The index of the first word that is no option. valued: options whose value is a word of its own."""
    index = start
    while index < len(fields):
        shape = fields[index].shape
        if shape == "--":
            return index + 1
        if not shape.startswith("-") or shape == "-":
            return index
        takes = shape in valued or (len(shape) > 2 and shape[1] != "-" and f"-{shape[-1]}" in valued)
        index += 2 if takes else 1
    return index


def _simple(*valued: str, positions: int = 0) -> _Look:
    """A wrapper with options, then `positions` words of its own, then the command."""
    known = frozenset(valued)

    def look(found: Unwrapped) -> Unwrapped | None:
        index = _skip(found.fields, known) + positions
        return replace(found, fields=found.fields[index:]) if index < len(found.fields) else None

    return look


def _env(found: Unwrapped) -> Unwrapped | None:
    index = _skip(found.fields, frozenset(("-u", "--unset", "-C", "--chdir")))
    directory = found.directory
    for at, field in enumerate(found.fields[1:index], 1):
        if field.shape in ("-C", "--chdir") and at + 1 < len(found.fields):
            directory = found.fields[at + 1]
    first = index
    while index < len(found.fields) and _ASSIGNMENT.match(found.fields[index].shape):
        index += 1
    if index >= len(found.fields):
        return None
    assignments = (*found.assignments, *found.fields[first:index])
    return replace(found, fields=found.fields[index:], assignments=assignments, directory=directory)


def _command(found: Unwrapped) -> Unwrapped | None:
    """`command -v NAME` runs nothing."""
    if len(found.fields) > 1 and found.fields[1].shape.startswith("-") and set(found.fields[1].shape) & {"v", "V"}:
        return None
    return _simple()(found)


def _xargs(found: Unwrapped) -> Unwrapped | None:
    valued = frozenset(
        ("-a", "-d", "-E", "-I", "-L", "-n", "-P", "-s", "--arg-file", "--delimiter", "--max-args", "--max-procs")
    )
    index = _skip(found.fields, valued)
    return replace(found, fields=found.fields[index:], takes_more=True) if index < len(found.fields) else None


def _shell(found: Unwrapped) -> Unwrapped | None:
    """`sh -c TEXT`, also `-lc`, `-o pipefail -c`; a shell that is given no file reads its input."""
    index, wants = 1, False
    fields = found.fields
    while index < len(fields):
        shape = fields[index].shape
        if shape == "--":
            index += 1
            break
        if not shape.startswith(("-", "+")) or shape == "-":
            break
        if not shape.startswith("--"):
            wants = wants or "c" in shape[1:]
        index += 2 if shape.endswith(("o", "O")) and not shape.startswith("--") else 1
    if wants:
        return replace(found, script=fields[index]) if index < len(fields) else None
    if index >= len(fields) or fields[index].shape == "-":
        return replace(found, reads_script=True)
    if fields[index].shape == "-s":
        return replace(found, reads_script=True)
    return None


def _eval(found: Unwrapped) -> Unwrapped | None:
    return replace(found, script=found.fields[1]) if len(found.fields) == 2 else None


def _su(found: Unwrapped) -> Unwrapped | None:
    for index, field in enumerate(found.fields):
        if field.shape in ("-c", "--command") and index + 1 < len(found.fields):
            return replace(found, script=found.fields[index + 1])
    return None


def _run_of(*valued: str) -> _Look:
    """`conda run -n NAME command`."""
    known = frozenset(valued)

    def look(found: Unwrapped) -> Unwrapped | None:
        at = _skip(found.fields, known)
        if at >= len(found.fields) or found.fields[at].shape != "run":
            return None
        index = _skip(found.fields, known, start=at + 1)
        return replace(found, fields=found.fields[index:]) if index < len(found.fields) else None

    return look


def _busybox(found: Unwrapped) -> Unwrapped | None:
    if len(found.fields) > 1 and not found.fields[1].shape.startswith("-"):
        return replace(found, fields=found.fields[1:])
    return None


def executed(fields: Sequence[Field]) -> list[Unwrapped]:
    """The commands behind `-exec` of a `find`, with patterns of what it finds in place of `{}`."""
    made: list[Unwrapped] = []
    index = 0
    while index < len(fields) and len(made) < _MOST_EXECUTED:
        if fields[index].shape in ("-exec", "-execdir", "-ok", "-okdir"):
            end = index + 1
            while end < len(fields) and fields[end].shape not in (";", "+"):
                end += 1
            inside: list[Field] = []
            for field in fields[index + 1 : end]:
                inside += found_by(fields, field) if field.shape == "{}" else [field]
            if inside:
                made.append(replace(unwrap(inside), takes_more=True))
            index = end
        index += 1
    return made


def found_by(fields: Sequence[Field], at: Field | None = None) -> list[Field]:
    """Patterns of what a `find` finds: each place it starts at, and the name it looks for. at: whose place they have."""
    starts: list[Field] = []
    for field in fields[1:]:
        if field.shape.startswith(("-", "(", "!")):
            if field.shape in ("-H", "-L", "-P"):
                continue
            break
        starts.append(field)
    shapes = [field.shape for field in fields]
    names = [shapes[at + 1] for at, shape in enumerate(shapes[:-1]) if shape in ("-name", "-iname")]
    name = names[0] if len(names) == 1 and "!" not in shapes and "-not" not in shapes else "*"
    made: list[Field] = []
    for start in starts or [Field(".", (fields[0].start,), fields[0].start, fields[0].end)]:
        place = at or start
        shape = f"{start.shape.rstrip('/')}/**/{name}"
        made.append(Field(shape, (place.start,) * len(shape), place.start, place.end, True, False))
    return made


_SUDO = (
    "-u",
    "-g",
    "-h",
    "-p",
    "-r",
    "-t",
    "-C",
    "-D",
    "-R",
    "-T",
    "-U",
    "--user",
    "--group",
    "--chdir",
    "--host",
    "--prompt",
)


def _sudo(found: Unwrapped) -> Unwrapped | None:
    index = _skip(found.fields, frozenset(_SUDO))
    first = index
    while index < len(found.fields) and _ASSIGNMENT.match(found.fields[index].shape):
        index += 1
    if index >= len(found.fields):
        return None
    return replace(found, fields=found.fields[index:], assignments=(*found.assignments, *found.fields[first:index]))


_CONDA = ("-n", "--name", "-p", "--prefix", "--cwd", "-r", "--root-prefix", "-e", "--env", "-a", "--attach")

_LOOK: dict[str, _Look] = {
    "sudo": _sudo,
    "doas": _simple("-u", "-C"),
    "env": _env,
    "nice": _simple("-n", "--adjustment"),
    "ionice": _simple("-c", "-n", "--class", "--classdata"),
    "time": _simple("-f", "-o", "--format", "--output"),
    "timeout": _simple("-k", "-s", "--kill-after", "--signal", positions=1),
    "nohup": _simple(),
    "exec": _simple("-a"),
    "builtin": _simple(),
    "command": _command,
    "stdbuf": _simple("-i", "-o", "-e"),
    "setsid": _simple(),
    "eatmydata": _simple(),
    "fakeroot": _simple(),
    "linux32": _simple(),
    "linux64": _simple(),
    "setarch": _simple(positions=1),
    "gosu": _simple(positions=1),
    "su-exec": _simple(positions=1),
    "runuser": _su,
    "su": _su,
    "xargs": _xargs,
    "eval": _eval,
    "busybox": _busybox,
    "conda": _run_of(*_CONDA),
    "mamba": _run_of(*_CONDA),
    "micromamba": _run_of(*_CONDA),
    "poetry": _run_of("-C", "--directory", "-P", "--project"),
    "pipenv": _run_of(),
    **dict.fromkeys(POSIX_SHELLS, _shell),
}
