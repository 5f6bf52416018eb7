"""Generated RUN lines: what a step may do to a file tree and see of its mounts and environment."""

from __future__ import annotations

from hypothesis import strategies as st

from differential.words import mostly
from slimstage.dockerfile.mounts import parse_mount
from slimstage.errors import DockerfileError

_sampled = st.sampled_from

PATHS = (
    "/x", "/x/a", "/x/d", "/x/d/f", "/opt", "/opt/d", "/opt/d/f", "/opt/l", "/opt/o", "/opt/o/new", "/home/app",
    "/home/app/f", "/y", "/etc/group", "/tmp/t", "/y/z", "/bin/yes", "q", "/opt/d/h", "/root", "/opt/dang",
    "/usr/bin",
)  # fmt: skip
_CHANGES = (
    "echo one > {0}", "mkdir -p {0}", "rm -rf {0}", "rm -f {0}", "mv {0} {1}", "ln -s {1} {0}", "ln -f {0} {1}",
    "cp -a {0} {1}", "chmod 750 {0}", "chmod 4711 {0}", "chmod u=rwx,go=rx {0}", "chown 1000:44 {0}",
    "chown -h app {0}", "touch {0}", "touch -d '2012-03-04 05:06:07' {0}", "rm -rf {0} && mkdir {0}",
    "rm -rf {0} && echo file > {0}", "rm -rf {0} && ln -s {1} {0}", "mkfifo {0}", "echo more >> {0}",
    "rm -rf {0}/* {0}/.[!.]*", "rm -rf {0} && mkdir -p {0}/n && echo n > {0}/n/m", "mv {0} {0}.new",
    "mv {0} /m && mv /m {0}", "cp {0} {0}.c && mv {0}.c {0}", "mkdir -p {0} && cp -a {1} {0}/", "rmdir {0}",
    "chmod g+s {0}", ": > {0}", "truncate -s 5 {0}", "mknod {0} p", "chown 0:0 {0}", "ln {0} {0}.2 && rm {0}",
    "echo $A > {0}", "echo '$A' \"$B\" > {0}",
)  # fmt: skip
SEEN = (
    "env | sort > /seen", "id > /seen", "pwd > /seen", "umask > /seen", "echo $0 $# > /seen",
    "cat /proc/self/status | grep -E '^(Cap|NoNew|Secc|Gr)' > /seen", "hostname > /seen", "ulimit -a > /seen",
    "set -o > /seen", "ls / > /seen", "cat /proc/self/cmdline | tr '\\0' '|' > /seen", "ls -a /dev > /seen",
)  # fmt: skip
_SECRETS = (
    "id=s1", "id=s1,target=/sec/ret", "id=s1,mode=0444,uid=1000", "id=s1,env=S", "id=nosuch", "target=/etc/s1",
    "id=s1,target=rel", "id=s1,env=S,target=/k", "id=s1,dst=/opt/d/f", "id=nosuch,env=S", "src=s1,gid=44",
)  # fmt: skip
_WILD_SECRETS = (
    "id=nosuch,required",
    "id=s1,mode=x",
    "id=s1,target=/",
    "id=s1,env=1-x",
    "",
    "id=s1,nosuch=1",
    "id=s1,required=x",
)
_SECRETS_SEEN = (
    "stat -c '%F %a %u:%g %n' /run/secrets /run/secrets/* /sec /sec/* /k /etc/s1 /opt/d/f > /listed 2>&1;"
    ' cat /run/secrets/* >> /listed 2>&1; echo "s=$S" >> /listed'
)
_WILD_BOUND = (
    ",source=/opt/d",
    ",source=/x",
    ",source=/opt/l",
    ",source=/opt/abs/f",
    ",source=/opt/dang",
    ",source=/nope",
)
_CACHES = (
    "",
    ",uid=1000,gid=44",
    ",mode=0700",
    ",sharing=locked",
    ",uid=7,mode=0711,sharing=private",  # what others may write, dockerd's umask takes away: docs/differential.md
    ",ro",
    ",from=base,source=/etc",
)
_SSH = mostly(
    ("", ",id=x", ",target=/s/k", ",required=false", ",mode=0666,uid=7", ",target=rel"),
    (",id=x,required", ",uid=$A", ",mode=8"),
    9,
)
_SSH_SEEN = 'ls -ld /run/buildkit /run/buildkit/* /s /s/* > /listed 2>&1; echo "s=$SSH_AUTH_SOCK" >> /listed'
_EXEC = mostly((
    '["/bin/mkdir", "-p", "/e/f"]', '["touch", "/$A"]', '["/bin/sh", "-c", "echo $A > /y"]', '["/bin/ln", "-s", "a", "/ln"]',
    '["sh", "-c", "echo \\"$0\\" $# > /y", "a b", ""]', '["/bin/sh", "-c", "exit 0"] ', '["/bin/echo", "<&>"]', '["true"]',
    '["/bin/sh", "-c", "printf \'%s|\' \\"$@\\" > /y", "x", "\\u00e9", "\\t", "$A"]', "[]x; true",
), ('["nosuch"]', "['true']", '["true",]', "[]", '["/bin/sh", 1]', '[""]', '["/etc/passwd"]', '["/tmp"]'), 8)  # fmt: skip
_FLAGS = mostly(("--network=none", "--network=default", "--mount=type=tmpfs,dst=/m"), (
    "--network=$A", "--network=host", "--network=NONE", "--network=none --network=none",
    "--nosuch", "--mount=type=bogus,target=/m", "--mount=target=/", "--mount=type=tmpfs", "--mount=type=cache", "--mount=",
    "--",
    "--mount=type=tmpfs,target=/m,size=x", "--mount=type=cache,target=/m,sharing=no", "--mount=target=/m,from=nosuch",
    "--network",
    "--mount=target=/m,nosuch=1", "--mount=type=tmpfs,target=/m,source=/x", "--mount=type=cache,target=/m,mode=9", "--network=",
    '--mount="type=tmpfs,target=/m"', "--mount=type=TMPFS,target=/m", "--mount=type=tmpfs,dst=/m,",
    "--mount=target=/m,target=/n",
    "--mount=type=tmpfs,target=/m --mount=type=tmpfs,target=/m", "--mount=from=$A,target=/m", "--mount=type=secret",

    "--mount=type=bind,target=/m,id=x", "--mount=type=cache,target=/m,uid=x", "--mount=type=ssh,source=/x",
    "--mount=type=cache,target=",
), 3)  # fmt: skip
_SCRIPTS = (
    "echo $A '$B' \"$0\" > /h4",
    "x \\$A \\\\ \\`",
    "\ttab $1",
    "echo a \\\n  b > /h5",
    "# only",
    "",
    "EOF2",
    "echo `id -u` > /h6",
)
_INTERPRETERS = mostly(("/bin/sh", "/bin/sh -e", "/bin/cat", " /bin/busybox sh"), ("/nosuch", "", "sh"), 9)
_MOUNTED = "for f in {0} {0}/*; do stat -c '%F %a %u:%g %n' $f; done > /listed 2>&1"


@st.composite
def changes(draw: st.DrawFn) -> str:
    """One command of a shell; it may fail, and the step goes on."""
    if draw(st.integers(0, 5)) == 5:
        return draw(_sampled(SEEN))
    first, second = draw(_sampled(PATHS)), draw(_sampled(PATHS))
    return draw(_sampled(_CHANGES)).format(first, second)


PLACES = (
    "/m", "/m/n", "/opt/d", "rel", "/mnt", "$A", "/opt/l/k", "/tmp", "/m/n/o", "/home/app", "./r/../s", "/opt/o", "${U:-/m}",
    "/etc/new", "/opt/abs/z", "/x",
)  # fmt: skip


@st.composite
def _mounts(draw: st.DrawFn, stages: tuple[str, ...], number: int) -> tuple[str, str]:
    """A --mount and a command that looks at it."""
    kind = draw(st.integers(0, 5))
    place = draw(_sampled(PLACES))
    seen = place if place.startswith("/") else "."
    if kind == 0:
        source = draw(
            _sampled(("", ",source=d", ",src=/d", ",source=a", ",source=d/f", ",source=d,readonly", ",source=$U"))
        )
        if draw(st.integers(0, 19)) == 19:
            source = draw(_sampled((",source=nope", ",source=d/e", ",source=../a", ",source=s", ",source=sd")))
        rw = draw(_sampled(("", ",rw", ",ro", ",rw=true", ",readonly=false")))
        return f"--mount=target={place}{source}{rw}", f"{_MOUNTED.format(seen)}; echo w > {seen}/w"
    if kind == 1 and stages:
        source = draw(
            mostly(("", ",source=/home", ",source=etc", ",source=/etc/passwd", ",src=bin/yes"), _WILD_BOUND, 6)
        )
        return f"--mount=type=bind,from={draw(_sampled(stages))},target={place}{source}", _MOUNTED.format(seen)
    if kind == 2:
        look = f"{_MOUNTED.format(seen)}; echo c >> {seen}/kept; wc -l {seen}/kept >> /listed 2>&1"
        how = draw(st.integers(0, len(_CACHES) - 1))
        # To BuildKit the same id with other owners is another cache: docs/differential.md.
        return f"--mount=type=cache,id=c{number}{how},target={place}{_CACHES[how]}", look
    if kind == 3:
        size = draw(_sampled(("", ",size=1m", ",size=4096")))
        return f"--mount=type=tmpfs,target={place}{size}", f"{_MOUNTED.format(seen)}; echo t > {seen}/t; mkdir {seen}/u"
    if kind == 4:
        return f"--mount=type=ssh{draw(_SSH)}", _SSH_SEEN
    return f"--mount=type=secret,{draw(mostly(_SECRETS, _WILD_SECRETS, 12))}", _SECRETS_SEEN


def _is_tmpfs_in_bind(flags: list[str]) -> bool:
    """There the tmpfs of BuildKit has the mode of the directory that it hides: docs/differential.md."""
    places: dict[str, list[str]] = {"tmpfs": [], "bind": []}
    for flag in flags:
        options = dict(each.partition("=")[::2] for each in flag.removeprefix("--mount=").split(","))
        places.setdefault(options.get("type", "bind"), []).append(options.get("target", ""))
    return any(tmpfs.startswith(f"{bind}/") for tmpfs in places["tmpfs"] for bind in places["bind"])


def is_wrong_mount(flag: str) -> bool:
    """A mount that makes no sense: BuildKit says so only of stages that are needed (docs/decisions/0013-where-we-differ.md)."""
    if not flag.startswith("--mount="):
        return False
    try:
        parse_mount(flag.removeprefix("--mount="), None)
    except DockerfileError as error:
        return error.code != "from-variable"
    return False


@st.composite
def runs(draw: st.DrawFn, stages: tuple[str, ...], number: int) -> str:
    """A RUN in one of its forms. number: tells its cache mounts from those of other stages."""
    commands = draw(st.lists(changes(), min_size=1, max_size=4))
    flags: list[str] = []
    if draw(st.integers(0, 3)) == 3:
        for _ in range(draw(_sampled((1, 1, 2, 2, 3)))):
            flag, look = draw(_mounts(stages, number))
            if not _is_tmpfs_in_bind([*flags, flag]):
                flags.append(flag)
                commands.insert(0, look)
    if draw(st.integers(0, 19)) == 19:
        flags.append(draw(_FLAGS))
    head = " ".join(("RUN", *flags))
    form = draw(st.integers(0, 15))
    if form == 0:
        return f"{head} {draw(_EXEC)}"
    if form == 1:
        return f"{head} <<EOF\n" + "\n".join(commands) + "\nEOF"
    if form == 2:
        # A `#!` behind a tab is a script to us alone: docs/decisions/0013-where-we-differ.md.
        return f"{head} <<-'EOF'\n#!/bin/sh\n" + "\n".join(f"\t{each}" for each in commands) + "\n\tEOF"
    if form == 3:
        return f"{head} cat <<EOF > /h && cat <<'E2' >> /h\n$A \\$B\nEOF\n$A \\$B\nE2"
    if form == 6:
        first, second = draw(_sampled(_SCRIPTS)), draw(_sampled(_SCRIPTS))
        return f"{head} 3<<E1 sh <<-'E2'; true\n{first}\nE1\n\t{second}\ncat <&3 > /h3\n\tE2"
    if form == 7:
        return f"{head} <<EOF\n#!{draw(_INTERPRETERS)}\n{draw(_sampled(_SCRIPTS))}\nEOF"
    if form == 4:
        return f"{head} " + "; \\\n  # a comment\n  ".join(commands) + "; \\\n\n true"
    if form == 5 and draw(st.integers(0, 2)) == 2:
        return f"{head} set -e; " + "; ".join(commands)
    return f"{head} " + "; ".join(commands) + "; true"
