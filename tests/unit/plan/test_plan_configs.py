"""Instructions that change the config, and the history letter for letter."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slimstage.oci.config import HealthConfig, ImageConfig
from slimstage.plan import history
from slimstage.plan.graph import WorkdirStep
from support.planning import ARM64, BUSYBOX, PATH, planned, refused, said, steps, target

FULL = replace(
    BUSYBOX,
    user="web",
    working_dir="/srv",
    entrypoint=("/entry",),
    labels=(("a", "1"),),
    volumes=("/v",),
    exposed_ports=("80/tcp",),
    shell=("/bin/ash", "-c"),
    stop_signal="SIGINT",
    healthcheck=HealthConfig(("CMD", "true"), interval_ns=10**9),
    author="me",
)


def config(text: str, **images: ImageConfig) -> ImageConfig:
    return target(planned(f"FROM busybox\n{text}\n", images)).config


def test_scratch_has_a_path_and_a_directory() -> None:
    made = target(planned("FROM scratch\nCOPY a /\n", platform=ARM64)).config
    assert (made.env, made.working_dir, made.os, made.architecture) == ((f"PATH={PATH}",), "/", "linux", "arm64")


def test_a_base_without_path_gets_one_at_the_end() -> None:
    made = target(planned("FROM bare\n", {"bare": ImageConfig("amd64", "linux", env=("A=1",))})).config
    assert made.env == ("A=1", f"PATH={PATH}")


def test_windows_keeps_its_own_path() -> None:
    made = target(planned("FROM win\nCMD x\n", {"win": ImageConfig("amd64", "windows")})).config
    assert (made.env, made.cmd) == ((), ("cmd", "/S", "/C", "x"))


def test_everything_of_the_base_is_inherited() -> None:
    made = target(planned("FROM full\nRUN x\n", {"full": FULL})).config
    assert made == replace(FULL, history=())


# CMD and ENTRYPOINT ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "entrypoint", "cmd"),
    [
        ('ENTRYPOINT ["e"]', ("e",), None),
        ('CMD ["c"]\nENTRYPOINT ["e"]', ("e",), ("c",)),
        ('ENTRYPOINT ["e"]\nCMD ["c"]', ("e",), ("c",)),
        ('CMD ["c"]\nCMD ["d"]', ("/entry",), ("d",)),
        ("ENTRYPOINT e $X", ("/bin/ash", "-c", "e $X"), None),
        ("ENTRYPOINT []", (), None),
        ("USER x", ("/entry",), ("sh",)),
    ],
)
def test_entrypoint_resets_an_inherited_command_only(text: str, entrypoint: object, cmd: object) -> None:
    made = target(planned(f"FROM full\n{text}\n", {"full": FULL})).config
    assert (made.entrypoint, made.cmd) == (entrypoint, cmd)


def test_a_command_of_the_parent_stage_counts_as_inherited() -> None:
    made = target(planned('FROM busybox AS a\nCMD ["c"]\nFROM a\nENTRYPOINT ["e"]\n')).config
    assert (made.entrypoint, made.cmd) == (("e",), None)


def test_shell_goes_in_front_of_shell_forms_from_then_on() -> None:
    graph = planned('FROM busybox\nCMD a\nSHELL ["/bin/bash", "-ec"]\nENTRYPOINT b\n')
    made = target(graph).config
    assert (made.shell, made.entrypoint) == (("/bin/bash", "-ec"), ("/bin/bash", "-ec", "b"))
    assert said(graph) == ['CMD ["/bin/sh" "-c" "a"]', "SHELL [/bin/bash -ec]", 'ENTRYPOINT ["/bin/bash" "-ec" "b"]']


# WORKDIR and USER --------------------------------------------------------------------------------------------------------


def test_directories_join_and_are_layers_but_for_the_root() -> None:
    graph = planned("FROM busybox\nUSER u\nWORKDIR a\nWORKDIR b/../c\nWORKDIR /\nWORKDIR ..\nWORKDIR /t/\n")
    found = [(step.path, step.user) for step in steps(graph) if isinstance(step, WorkdirStep)]
    assert found == [("/a", "u"), ("/a/c", "u"), ("/t", "u")]
    assert [(entry.created_by, entry.step is None) for entry in target(graph).history] == [
        ("USER u", True),
        ("WORKDIR /a", False),
        ("WORKDIR /a/c", False),
        ("WORKDIR /", True),
        ("WORKDIR /", True),
        ("WORKDIR /t/", False),
    ]
    assert target(graph).config.working_dir == "/t/"


def test_a_directory_is_expanded_and_joins_the_one_of_the_base() -> None:
    made = target(planned("FROM full\nENV d=x\nWORKDIR $d/$e\n", {"full": FULL})).config
    assert made.working_dir == "/srv/x"


def test_an_absolute_directory_stays_as_it_is_written() -> None:
    plan = target(planned("FROM busybox\nWORKDIR /a//b/../c/\nWORKDIR d/\nCOPY x .\nWORKDIR /e/\n"))
    assert [entry.created_by.partition(" #")[0] for entry in plan.history] == [
        "WORKDIR /a//b/../c/",
        "WORKDIR /a/c/d",
        "COPY x .",
        "WORKDIR /e/",
    ]
    assert plan.config.working_dir == "/e/"


@pytest.mark.parametrize("user", ["4294967296", "2147483648:2147483648", "-1", "0:-1", "1:99999999999999999999999"])
def test_a_user_id_out_of_range_is_refused(user: str) -> None:
    error = refused(f"FROM busybox\nENV U={user}\nUSER $U\n")
    assert error.code == "id-out-of-range"
    assert error.diagnostics[0].span is not None
    assert error.diagnostics[0].span.line == 3


@pytest.mark.parametrize("user", ["0", "2147483647:2147483647", "web", "web:www-data", "1000:web", "0x0"])
def test_users_that_are_taken(user: str) -> None:
    assert config(f"USER {user}").user == user


# The rest ----------------------------------------------------------------------------------------------------------------


def test_ports_are_expanded_split_and_sorted() -> None:
    graph = planned('FROM busybox\nARG P="3000-3001 53/UDP"\nEXPOSE 9 $P 127.0.0.1:1:2\nEXPOSE 9\n')
    assert target(graph).config.exposed_ports == ("2/tcp", "3000/tcp", "3001/tcp", "53/udp", "9/tcp")
    assert said(graph)[1:] == ["EXPOSE [2/tcp 3000/tcp 3001/tcp 53/udp 9/tcp]", "EXPOSE [9/tcp]"]


def test_a_port_that_is_none_after_expansion_is_refused() -> None:
    error = refused("FROM busybox\nARG P=70000\nEXPOSE $P\n")
    assert error.code == "bad-port"
    assert error.hint is not None


@pytest.mark.parametrize(
    ("line", "code", "hint"),
    [
        ("EXPOSE 9 80/tpc", "bad-port", 'did you mean "tcp"?'),
        ("EXPOSE 9-8", "bad-port", "write a port, a range or PORT/udp, like 8080, 8000-8010, 53/udp"),
        ("STOPSIGNAL SIGTREM", "bad-signal", 'did you mean "SIGTERM"?'),
        ("STOPSIGNAL 0", "bad-signal", "write it like SIGTERM or 15"),
    ],
)
def test_a_wrong_port_or_signal_is_refused_where_the_target_needs_it(line: str, code: str, hint: str) -> None:
    error = refused(f"FROM busybox\n{line}\n")
    assert (error.code, error.hint) == (code, hint)
    graph = planned(f"FROM busybox\n{line}\nFROM busybox\nONBUILD {line}\n")
    assert target(graph).config.on_build == (line,)


def test_volumes_and_labels_are_expanded() -> None:
    graph = planned('FROM busybox\nENV D=/d K=k\nVOLUME ["/b", "$D"]\nLABEL $K="a b" z=1\nLABEL k=2\n')
    made = target(graph).config
    assert (made.volumes, made.labels) == (("/b", "/d"), (("k", "2"), ("z", "1")))
    assert said(graph)[1:] == ["VOLUME [/b /d]", "LABEL k=a b z=1", "LABEL k=2"]


def test_a_volume_that_expands_to_nothing_is_refused() -> None:
    assert refused("FROM busybox\nVOLUME $nothing\n").code == "blank-name"


def test_a_stop_signal_is_checked_when_it_is_known() -> None:
    assert config("ARG S=TERM\nSTOPSIGNAL SIG$S").stop_signal == "SIGTERM"
    assert refused("FROM busybox\nARG S=SIGNONE\nSTOPSIGNAL $S\n").code == "bad-signal"


def test_a_health_check_is_kept_and_shown_as_go_prints_it() -> None:
    graph = planned(
        "FROM busybox\nHEALTHCHECK --interval=90s --timeout=1500ms --retries=3 CMD curl -f x\nHEALTHCHECK NONE\n"
    )
    assert target(graph).config.healthcheck == HealthConfig(("NONE",))
    assert said(graph) == [
        """HEALTHCHECK &{["CMD-SHELL" "curl -f x"] "1m30s" "1.5s" "0s" "0s" '\\x03'}""",
        """HEALTHCHECK &{["NONE"] "0s" "0s" "0s" "0s" '\\x00'}""",
    ]


def test_onbuild_and_maintainer() -> None:
    graph = planned("FROM busybox\nONBUILD RUN $X\nONBUILD COPY a b\nMAINTAINER Me <m@x>\n")
    made = target(graph).config
    assert (made.on_build, made.author) == (("RUN $X", "COPY a b"), "Me <m@x>")
    assert said(graph) == ["MAINTAINER Me <m@x>"]


def test_env_replaces_in_place_and_keys_are_expanded() -> None:
    graph = planned('FROM busybox\nENV A=1 B=2\nENV N=C\nENV A=3 $N="x y"\nENV legacy a b\n')
    assert target(graph).config.env == (f"PATH={PATH}", "A=3", "B=2", "N=C", "C=x y", "legacy=a b")
    assert said(graph) == ["ENV A=1 B=2", "ENV N=C", "ENV A=3 C=x y", "ENV legacy=a b"]


def test_a_variable_whose_name_expands_to_nothing_is_refused() -> None:
    assert refused("FROM busybox\nENV $nothing=x\n").code == "bad-name"


def test_layers_and_entries_of_history_agree() -> None:
    graph = planned("FROM busybox\nRUN a\nENV x=1\nWORKDIR /\nWORKDIR /w\nCOPY a b\nCMD x\nRUN b\n")
    layers = [entry.step for entry in target(graph).history if entry.step is not None]
    assert layers == [step.id for step in steps(graph)]


# Go's formats ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('say "hi"', '"say \\"hi\\""'),
        ("a\\b\n\t\x07", '"a\\\\b\\n\\t\\a"'),
        ("é 世", '"é 世"'),
        ("\x01\x7f", '"\\x01\\x7f"'),
        ("\u200b\u00a0", '"\\u200b\\u00a0"'),
        ("\udcff", '"\\xff"'),
        ("\U000e0001", '"\\U000e0001"'),
    ],
)
def test_quotes_are_go_quotes(text: str, wanted: str) -> None:
    assert history.quoted(text) == wanted


@pytest.mark.parametrize(
    ("nanoseconds", "wanted"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1500, "1.5µs"),
        (2_000_000, "2ms"),
        (999_999_999, "999.999999ms"),
        (10**9, "1s"),
        (1_500_000_000, "1.5s"),
        (60 * 10**9, "1m0s"),
        (3_661 * 10**9, "1h1m1s"),
        (3_600 * 10**9 + 10**6, "1h0m0.001s"),
    ],
)
def test_durations_are_go_durations(nanoseconds: int, wanted: str) -> None:
    assert history.duration(nanoseconds) == wanted


def test_a_title_is_one_line_and_not_endless() -> None:
    assert history.title("RUN a\n  b\n\nc") == "RUN a b c"
    assert len(history.title("x" * 10_000)) == 400
