"""Generated words and small instructions: variables in all their forms, and everything that only changes the config."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st

_sampled = st.sampled_from


def mostly(usual: Sequence[str], wild: Sequence[str], odds: int = 40) -> st.SearchStrategy[str]:
    """One of `usual`; once in `odds` one of `wild`, which is refused or nearly so: two in a file say no more than one."""
    return st.integers(1, odds).flatmap(lambda n: _sampled(tuple(wild) if n == odds else tuple(usual)))


WORDS = (
    "x", "y", "$A", "${A}", "${B:-def}", "${B-def}", "${A:+alt}", "${U+alt}", "${U:+alt}", "\\$A", "'$A'", '"$A"', "$U",
    "${A#x}", "${A%y}", "${A/x/z}", "${A//x/z}", "${A##*x}", "${A%%x*}", "a$A-b", "${A}${B}", '"q \\"$A\\""', "'a b'",
    "a\\ b", "${U:-${A}}", "${U:-'q r'}", "${A:+\"$B\"}", "$1", "$", "a'b'\"c\"d", "\\\\x", "${BASE}", "é", "''", '""',
    "${A/#x/w}", "$A$B$C", "${TARGETARCH}", "x=y", "#x", "a#b", "${U-}", "${A+}", "%A%", "~", "*", "${A/\\//_}", "$A:$B",
    "${A//[ax]/y}", "${A%%*}", "${A#*}", "${A:-${B:-${C:-deep}}}", "${A:+${B}}", "$A$", "\"a'b\"", "'a\"b'", "$A_B",
    '"$A ${B}"', "\\'", '\\"', "a\\$b", "${A%%/*}", "${A##*/}", '"a\\nb"', "é${A}", "${A:-'x'y}", '${A:-"x y"}',
    "${B:-\\$A}", "$TARGETPLATFORM", "${_}",
)  # fmt: skip
WILD_WORDS = (
    "${U:?no}", "${", "${A", "'x", '"x', "${A!x}", "${}", "$(x)", "`x`", "\\", "${A:?no}", "${A/x}", "${A?}", "${A?no}",
    "${A:2}", "${A^^}", "${A-b c}", "$'x'",
)  # fmt: skip
words = mostly(WORDS, WILD_WORDS)

names = _sampled(("A", "B", "U", "C", "PATH", "TARGETARCH"))
_pairs = st.lists(st.tuples(names, words), min_size=1, max_size=3).map(
    lambda all_: " ".join(f"{k}={v}" for k, v in all_)
)

arguments = st.one_of(
    names.map("ARG {}".format),
    _pairs.map("ARG {}".format),
    mostly((
        "ARG A B=2", "ARG A=", "ARG HTTP_PROXY", "ARG no_proxy=x", "ARG TARGETPLATFORM", "ARG BUILDPLATFORM TARGETOS",
        "ARG TARGETVARIANT", 'ARG A="x y" B=$A', "ARG SOURCE_DATE_EPOCH", "ARG A=${A:-${B:-c}} B=${A}", "ARG C=\\$A",
        "ARG A='$B' B=\"x $A\"", "ARG A=1 A=2", "ARG PATH=/a:$PATH", "ARG TARGETARCH=mine", "ARG TARGETSTAGE",
        "ARG BUILDARCH BUILDVARIANT BUILDOSVERSION", "ARG A=x \\\n  # between\n  B=y", "ARG ALL_PROXY=z FTP_PROXY",
        "ARG HOME=/g", "ARG BUILDKIT_SBOM_SCAN_STAGE=true", "arg B=lower",
    ), ("ARG", "ARG =x", "ARG A=x y", "ARG 'A'=x", 'ARG "A B"=c', "ARG A =x", "ARG A-b=c")),
)  # fmt: skip
"""ARG lines, for a stage and for above the first FROM."""

environment = st.one_of(
    _pairs.map("ENV {}".format),
    st.tuples(names, words).map(lambda kv: f"ENV {kv[0]} {kv[1]}"),
    st.tuples(names, words, words).map(lambda kv: f"ENV {kv[0]}   {kv[1]}  {kv[2]} "),
    mostly((
        "ENV PATH=/q:$PATH", "ENV A=1 B=$A C=${B}", 'ENV "A"=x', "ENV A='b'", "env A=1", "ENV HOME=/h", "ENV A=$B B=$A",
        'ENV A="x y"\\ z\'w\' B=\\"', 'ENV A="one \\\n two" \\\n  B=3', "ENV A = b", "ENV A b=c", "ENV A='$B' B=\"$A\"",
        "ENV  A=  B=\\  C=x", "ENV A.b-c=d", "ENV A=`x`", "ENV A\tx", "ENV A=1\tB=2", "ENV A=1 \\\n\n  B=2",
    ), ("ENV A", "ENV =x", 'ENV "A B"=c', "ENV PATH=", "ENV A=a#b # c=d", "ENV", "ENV A=1 B", "ENV $A=x", "ENV 'A'=x")),
)  # fmt: skip
_LABELS = (
    "LABEL a=1 b=2 \\\n  c=3", 'LABEL multi="a \\\nb"', "LABEL x= y=", "LABEL A=$A A=2", "LABEL \"a\"='b' 'c'=\"d\"",
    "LABEL a.$A=x b.${B:-c}=$A", 'LABEL k="\\"q\\""', "LABEL k='a \\\n b'", "LABEL k=a\\ b l=c", "LABEL k=$A$B l=\\$A",
    "LABEL k   a  b ",
)  # fmt: skip
labels = st.one_of(
    st.tuples(_sampled(("k", '"k l"', "$A", "a.b/c-d", "'k'", "base")), words).map(lambda kv: f"LABEL {kv[0]}={kv[1]}"),
    words.map("LABEL k {}".format),
    mostly(_LABELS, ("LABEL k", "LABEL =x", "LABEL", "LABEL a=1 b", "LABEL $U=x")),
)
_PORTS = mostly((
    "80", "80/udp", "8000-8003", "80 443/tcp", "$P 90", "80/TCP", "53/udp 53/tcp", "${P:-70-71}", "80 80/tcp 80/TCP",
    "443-444/udp", "80-80", "$P/udp", "080", " 80   81 ", "80/sctp 79", "65535", "0",
), (
    "127.0.0.1:80:90", "99999", "x", "8003-8000", "80-81:90-91/sctp", "80/foo", "$U", "1:2:3", "[::1]:80:81", '"80"',
    "'80 81'", "80/", "/tcp", "-1", "65536", "8080:80-81", "0.0.0.0::80", "80:81", "", "80/tcp/udp", "1-2-3", "80,81",
), 10)  # fmt: skip
_SIGNALS = mostly(
    ("SIGTERM", "9", "KILL", "$S", "SIGRTMIN+3", "sigint", "${S:-SIGQUIT}", "RTMAX-1", "64", "SIGRTMAX", "RTMIN+15", "SIGIO"),
    (
        "BOGUS", "0", "65", "-1", "SIGTERM x", "RTMIN+16", "SigUsr1", '"SIGHUP"', "SIGTERM ", "09", "SIGRTMIN+0", "", "$A",
        "RTMAX-15", "32", "SIGSIGTERM", "SIG9", "+9",
    ),
    10,
)  # fmt: skip
_HEALTH = mostly((
    "NONE", "CMD x $A", '--interval=5s CMD ["a", "b c"]', "--timeout=1m30s --retries=3 --start-period=0s CMD a  b", "none",
    "--start-interval=2s --interval=1.5s CMD true", "--retries=0 CMD x", '--interval=500ms --retries=1000 CMD ["x"]',
    "--interval=0s CMD x", '--start-period=1h2m3.5s CMD ["a"] b', "CMD a \\\n  b", "CMD ['a']", "cmd lower",
    "--start-interval=1ms CMD []x",
), (
    "--interval=1us CMD x", "CMD", "--retries=-1 CMD x", "CMD []", "BAD x", "--timeout=999us CMD x", "--interval=-1s CMD x",
    "--interval=1 CMD x", "--interval=$A CMD x", "--retries=2.5 CMD x", "", "--interval=5s", "NONE x", "--interval= CMD x",
    "--retries= CMD x", "--retries=+1 CMD x", "--interval=1h1 CMD x", "--interval=.5s CMD x",
), 12)  # fmt: skip
_COMMANDS = mostly((
    '["a", "b c"]', "a $A 'b'", '["a" , "\\u00e9"]', "[]", '["a", ]', "exec  x   y", '["a"] x', "['a']", "[ ]", "", '["$A"]',
    "a \\\n b \\\n  # comment\n c", '["a\\"b"]', '["a\\tb", ""]', 'echo "a"  # no comment', '{"a": 1}', '[ "a" , "b" ]  ',
    '["a"]["b"]', '["a\\/b", "\\ud83d\\ude00"]', "&& x", '"a b" c', '["a", "b"] \\\n ', "$A ${B}", '["a", "b",\\\n "c"]',
    '["<>&"]', "<>&", "a\tb", '["\\ud83d"]', '["a\\u0000b"]', "\\$A \\\\ \\n",
), ("[1]", '["a", 1]', '["a", null]', "[[]]", '["a" "b"]', "[true]", '["\\x"]', "[,]"), 25)  # fmt: skip
_SHELLS = mostly((
    '["/bin/sh", "-ec"]', '["/bin/busybox", "sh", "-c"]', '["/bin/sh", "-c"]', '["/bin/busybox", "ash", "-euc"]',
    '["/bin/sh", "-x", "-c"]', '[ "sh" , "-c" ]',
), ("/bin/sh -c", '["/bin/echo"]', "[]", '["/bin/sh"]', '["$A"]', "", '["/bin/sh", 1]'), 12)  # fmt: skip
_USERS = mostly((
    "root", "app", "1000", "1000:0", "app:extra", "12345", "0", "0:0", "app:", "12345:app", "${U:-app}", ":10", "root:wheel",
    "app:44", '"app"', "'1000':10", "${U:-1000}:44",
), ("nosuch", "nobody", "$A", "$A:$B", "app extra", "01000", "+1", "app:10:1", "0x10", "1000:", "", "-1", "app:nosuch"),
14)  # fmt: skip
_PLACES = mostly((
    "/x", "rel", "/etc/../y", "$A", "/", "..", "/opt/l", "d/", "./a b", "/home/app", "/a//b/./c", '"/q r"', "${U:-/z}", "'/s'",
    "/x\\ y", ".", "~", '["/a"]', "$A/$B", "x//y/", "/tmp/../k", '"$A"', "/é", "\\$A", "a\\\n b", "/a/./", "${A}x",
    "  /s  ", "/opt/abs", "...", "${A:-a}/b",
), ("/opt/dang", "/opt/d/f", "", "/opt/loop", "/opt/dang/z", "/bin/cat/x", "$U", '""', "/etc/passwd", "''"), 20)  # fmt: skip
_VOLUMES = mostly((
    "/v", '["/v", "/w x"]', "$A /q", "rel", "/v /v", "/home/app", '["$A"]', "/a//b/../c", '"/q r"', "'/s'", '["/v"] /w',
    "/v \\\n /w", "/x/", '[ "/v" , "/v" ]', "/v\\ w", "/opt/l",
), ("[]", '""', "", "$A", '["/v", 1]', "$U", '[""]'), 14)  # fmt: skip

config = st.one_of(
    labels,
    _PORTS.map("EXPOSE {}".format),
    _SIGNALS.map("STOPSIGNAL {}".format),
    _HEALTH.map("HEALTHCHECK {}".format),
    _COMMANDS.map("CMD {}".format),
    _COMMANDS.map("ENTRYPOINT {}".format),
    _VOLUMES.map("VOLUME {}".format),
    mostly(
        ("MAINTAINER a b <c>", "MAINTAINER $A", "maintainer x"), ("MAINTAINER", "NOSUCH x", "CROSS_BUILD", "FORM base")
    ),
)
"""Each once in a while one that is refused."""
places = _PLACES.map("WORKDIR {}".format)
users = _USERS.map("USER {}".format)
shells = _SHELLS.map("SHELL {}".format)
