"""Generated words and small instructions: variables in all their forms, and everything that only changes the config."""

from __future__ import annotations

from hypothesis import strategies as st

_sampled = st.sampled_from

WORDS = (
    "x", "y", "$A", "${A}", "${B:-def}", "${B-def}", "${A:+alt}", "${U+alt}", "${U:+alt}", "\\$A", "'$A'", '"$A"',
    "${A#x}", "${A%y}", "${A/x/z}", "${A//x/z}", "${A##*x}", "${A%%x*}", "$U", "a$A-b", "${A}${B}", '"q \\"$A\\""',
    "'a b'", "a\\ b", "${U:-${A}}", "${U:-'q r'}", "${A:+\"$B\"}", "$1", "$", "a'b'\"c\"d", "\\\\x", "${A:?no}",
    "${BASE}", "é", "''", '""', "${A/#x/w}", "$A$B$C", "${TARGETARCH}", "x=y", "#x", "a#b", "${U-}", "${A+}", "%A%",
    "~", "*",
)  # fmt: skip
WILD_WORDS = ("${U:?no}", "${", "${A", "'x", '"x', "${A!x}", "${}", "$(x)", "`x`", "\\")
words = st.integers(0, 39).flatmap(lambda n: _sampled(WILD_WORDS) if n == 39 else _sampled(WORDS))

names = _sampled(("A", "B", "U", "C", "PATH", "TARGETARCH"))
_pairs = st.lists(st.tuples(names, words), min_size=1, max_size=3).map(
    lambda all_: " ".join(f"{k}={v}" for k, v in all_)
)

arguments = st.one_of(
    names.map("ARG {}".format),
    _pairs.map("ARG {}".format),
    _sampled((
        "ARG A B=2", "ARG A=", "ARG HTTP_PROXY", "ARG no_proxy=x", "ARG TARGETPLATFORM", "ARG BUILDPLATFORM TARGETOS",
        "ARG TARGETVARIANT", 'ARG A="x y" B=$A', "ARG SOURCE_DATE_EPOCH", "ARG BUILDKIT_SBOM_SCAN_STAGE=true", "arg B=lower",
    )),
)  # fmt: skip
"""ARG lines, for a stage and for above the first FROM."""

environment = st.one_of(
    _pairs.map("ENV {}".format),
    st.tuples(names, words).map(lambda kv: f"ENV {kv[0]} {kv[1]}"),
    st.tuples(names, words, words).map(lambda kv: f"ENV {kv[0]}   {kv[1]}  {kv[2]} "),
    _sampled(
        (
            "ENV PATH=/q:$PATH",
            "ENV A=1 B=$A C=${B}",
            'ENV "A"=x',
            "ENV A='b'",
            "ENV A",
            "ENV =x",
            "env A=1",
            "ENV HOME=/h",
        )
    ),
)
labels = st.one_of(
    st.tuples(_sampled(("k", '"k l"', "$A", "a.b/c-d", "'k'", "base")), words).map(lambda kv: f"LABEL {kv[0]}={kv[1]}"),
    words.map("LABEL k {}".format),
    _sampled(("LABEL a=1 b=2 \\\n  c=3", "LABEL k", 'LABEL multi="a \\\nb"', "LABEL x= y=", "LABEL A=$A A=2")),
)
_PORTS = (
    "80", "80/udp", "8000-8003", "80 443/tcp", "$P 90", "127.0.0.1:80:90", "80/TCP", "53/udp 53/tcp", "99999", "x",
    "8003-8000", "80-81:90-91/sctp", "0", "${P:-70-71}", "80/foo", "$U", "1:2:3", "[::1]:80:81",
)  # fmt: skip
_SIGNALS = (
    "SIGTERM", "9", "KILL", "$S", "SIGRTMIN+3", "sigint", "BOGUS", "0", "65", "${S:-SIGQUIT}", "RTMAX-1", "-1",
    "SIGTERM x",
)  # fmt: skip
_HEALTH = (
    "NONE", "CMD x $A", '--interval=5s CMD ["a", "b c"]', "--timeout=1m30s --retries=3 --start-period=0s CMD a  b",
    "--start-interval=2s --interval=1.5s CMD true", "--retries=0 CMD x", "--interval=1us CMD x", "CMD", "none",
    "--retries=-1 CMD x", "CMD []", "BAD x", "--interval=500ms --retries=1000 CMD [\"x\"]",
)  # fmt: skip
_COMMANDS = (
    '["a", "b c"]', "a $A 'b'", '["a" , "\\u00e9"]', "[]", '["a", ]', "exec  x   y", '["a"] x', "['a']", "[ ]", "",
    '["$A"]', "a \\\n b \\\n  # comment\n c", "[1]", '["a\\"b"]', '["a\\tb", ""]', "echo \"a\"  # no comment",
    "{\"a\": 1}",
)  # fmt: skip
_SHELLS = (
    '["/bin/sh", "-ec"]', '["/bin/busybox", "sh", "-c"]', '["/bin/sh", "-c"]', "/bin/sh -c", '["/bin/echo"]', "[]",
)  # fmt: skip
_USERS = (
    "root", "app", "1000", "1000:0", "app:extra", "$A", "12345", "nobody", "nosuch", "0", "0:0", "app:", "12345:app",
    "${U:-app}", ":10", "root:wheel", "app:44",
)  # fmt: skip
_PLACES = (
    "/x", "rel", "/etc/../y", "$A", "/", "..", "/opt/l", "d/", "/opt/dang", "./a b", "/home/app", "/a//b/./c", '"/q r"',
    "/opt/d/f", "${U:-/z}", "'/s'", "/x\\ y", ".", "", "/opt/loop", "~", "[\"/a\"]",
)  # fmt: skip
_VOLUMES = ("/v", '["/v", "/w x"]', "$A /q", "rel", "/v /v", "[]", '""', "/home/app", '["$A"]', "")

config = st.one_of(
    labels,
    _sampled(_PORTS).map("EXPOSE {}".format),
    _sampled(_SIGNALS).map("STOPSIGNAL {}".format),
    _sampled(_HEALTH).map("HEALTHCHECK {}".format),
    _sampled(_COMMANDS).map("CMD {}".format),
    _sampled(_COMMANDS).map("ENTRYPOINT {}".format),
    _sampled(_VOLUMES).map("VOLUME {}".format),
    _sampled(("MAINTAINER a b <c>", "MAINTAINER $A", "maintainer x")),
)
"""Each once in a while one that is refused."""
places = _sampled(_PLACES).map("WORKDIR {}".format)
users = _sampled(_USERS).map("USER {}".format)
shells = st.integers(0, 7).flatmap(lambda n: _sampled(_SHELLS if n == 7 else _SHELLS[:3])).map("SHELL {}".format)
