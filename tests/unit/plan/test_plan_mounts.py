"""RUN: commands, environments, mounts, what needs leave."""

from __future__ import annotations

from typing import Any

import pytest

from slimstage.plan.graph import (
    SCRIPT_PATH,
    BindMount,
    CacheMount,
    FromContext,
    FromStep,
    RunMount,
    RunStep,
    SecretMount,
    SshMount,
    TmpfsMount,
)
from support.planning import PATH, environment, planned, refused, runs, said


def ran(line: str, before: str = "", **request: Any) -> RunStep:
    return runs(planned(f"FROM busybox\n{before}{line}\n", **request))[-1]


def mounted(value: str, before: str = "WORKDIR /w\n", **request: Any) -> RunMount:
    return ran(f"RUN --mount={value} true", before, **request).mounts[0]


def test_the_shell_form_goes_to_the_shell_unexpanded() -> None:
    step = ran('RUN echo $X "$Y" | cat', "ENV X=1\n")
    assert step.argv == ("/bin/sh", "-c", 'echo $X "$Y" | cat')


def test_shell_changes_what_follows() -> None:
    step = ran("RUN x", 'SHELL ["/bin/bash", "-euo", "pipefail", "-c"]\n')
    assert step.argv == ("/bin/bash", "-euo", "pipefail", "-c", "x")


def test_the_exec_form_ignores_shell_and_is_not_expanded() -> None:
    step = ran('RUN ["echo", "$X"]', 'SHELL ["/bin/bash", "-c"]\nENV X=1\n')
    assert step.argv == ("echo", "$X")


def test_a_heredoc_alone_is_the_text_of_the_command() -> None:
    step = ran("RUN <<EOF\nset -e\necho $X\nEOF", "")
    assert (step.argv, step.script) == (("/bin/sh", "-c", "set -e\necho $X\n"), None)


def test_a_heredoc_with_an_interpreter_is_a_script() -> None:
    graph = planned("FROM busybox\nRUN <<PY\n#!/usr/bin/python3\nprint(1)\nPY\n")
    step = runs(graph)[0]
    assert step.script == "#!/usr/bin/python3\nprint(1)\n"
    assert step.argv == ("/bin/sh", "-c", SCRIPT_PATH)
    assert said(graph) == ["RUN /bin/sh -c /dev/pipes/PY # buildkit"]
    assert step.title == "RUN <<PY (#!/usr/bin/python3...)"


def test_a_heredoc_among_other_words_is_left_to_the_shell_as_written() -> None:
    step = ran("RUN <<A cat > f && <<-B cat\none\nA\n\ttwo\n\tB")
    assert step.argv[-1] == "<<A cat > f && <<-B cat\none\nA\n\ttwo\nB"


def test_the_environment_is_that_of_the_image_then_arguments_in_order() -> None:
    step = ran("RUN x", "ENV B=1\nARG A=2\nENV PATH=/p:$PATH\n")
    assert step.env == (("PATH", f"/p:{PATH}"), ("B", "1"), ("A", "2"))


def test_user_and_directory_hold_for_the_step() -> None:
    step = ran("RUN x", "USER app:web\nWORKDIR /a\nWORKDIR b\n")
    assert (step.user, step.cwd) == ("app:web", "/a/b")
    assert ran("RUN x").cwd == "/"


# Proxies -------------------------------------------------------------------------------------------------------------


def test_proxies_work_undeclared_and_are_in_no_history() -> None:
    graph = planned("FROM busybox\nRUN x\n", build_args={"HTTP_PROXY": "http://up", "no_proxy": "local", "OTHER": "1"})
    step = runs(graph)[0]
    assert dict(step.proxy_env) == {
        "HTTP_PROXY": "http://up",
        "http_proxy": "http://up",
        "NO_PROXY": "local",
        "no_proxy": "local",
    }
    assert environment(step).keys() == {"PATH"}
    assert said(graph) == ["RUN /bin/sh -c x # buildkit"]


def test_the_lower_case_proxy_argument_wins() -> None:
    step = ran("RUN x", build_args={"HTTPS_PROXY": "upper", "https_proxy": "lower"})
    assert dict(step.proxy_env) == {"HTTPS_PROXY": "lower", "https_proxy": "lower"}


def test_a_declared_proxy_is_an_argument_like_others() -> None:
    graph = planned("FROM busybox\nARG http_proxy\nRUN x\n", build_args={"http_proxy": "p"})
    step = runs(graph)[0]
    assert environment(step)["http_proxy"] == "p"
    assert dict(step.proxy_env) == {"HTTP_PROXY": "p"}
    assert said(graph)[-1] == "RUN |1 http_proxy=p /bin/sh -c x # buildkit"


# Mounts --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("target=x", BindMount("/w/x", FromContext(""))),
        ("type=bind,source=a/../b,dst=/x,rw", BindMount("/x", FromContext(""), "/b", True)),
        ("type=bind,src=../../b,target=/x/", BindMount("/x", FromContext(""), "/b")),
        ("source=a", BindMount("/w", FromContext(""), "/a")),
        ("type=cache,target=/c/", CacheMount("/c", "/c")),
        ("type=cache,target=c", CacheMount("/w/c", "c")),
        ("type=cache,id=i,target=/c,sharing=locked", CacheMount("/c", "i", "locked")),
        (
            "type=cache,target=/c,ro,source=s,mode=0700,uid=1,gid=2",
            CacheMount("/c", "/c", path="/s", is_readonly=True, mode=0o700, uid=1, gid=2),
        ),
        ("type=tmpfs,target=/t,size=1m", TmpfsMount("/t", 1 << 20)),
        ("type=secret,id=k", SecretMount("k", "/run/secrets/k")),
        ("type=secret,id=a/k", SecretMount("a/k", "/run/secrets/k")),
        ("type=secret,target=/a/k", SecretMount("k", "/a/k")),
        ("type=secret,id=k,target=a/k", SecretMount("k", "/w/a/k")),
        ("type=secret,id=k,env=K", SecretMount("k", None, "K")),
        ("type=secret,id=k,env=K,target=/k,required", SecretMount("k", "/k", "K", True)),
        ("type=secret,id=k,mode=0,uid=3", SecretMount("k", "/run/secrets/k", mode=0, uid=3)),
        ("type=ssh", SshMount("default", None)),
        ("type=ssh,id=h,target=/s,required=true,mode=0660", SshMount("h", "/s", True, 0o660)),
        ("type=ssh,target=r//s", SshMount("default", "/w/r/s", written="r//s")),
    ],
)
def test_a_mount_has_its_defaults(value: str, wanted: RunMount) -> None:
    assert mounted(value) == wanted


def test_values_of_mounts_are_expanded() -> None:
    found = mounted("type=$T,target=$D/c,id=${I:-x}", "ARG T=cache\nENV D=/d\n")
    assert found == CacheMount("/d/c", "x")


def test_two_targets_are_two_caches_and_a_namespace_sets_them_apart() -> None:
    found = mounted("type=cache,target=/c", build_args={"BUILDKIT_CACHE_MOUNT_NS": "team"})
    assert isinstance(found, CacheMount)
    assert found.id == "team//c"


def test_mounts_from_a_stage_by_name() -> None:
    graph = planned(
        "FROM busybox AS a\nRUN 1\nFROM busybox\nRUN --mount=from=A,target=/x --mount=from=a,type=cache,target=/y 2\n"
    )
    step = runs(graph)[-1]
    assert step.mounts == (BindMount("/x", FromStep("s0.1")), CacheMount("/y", "/y", source=FromStep("s0.1")))
    assert graph.inputs(step.id) == ("s1.0", "s0.1")


def test_a_number_names_no_stage_of_a_mount() -> None:
    """As in BuildKit, where only COPY --from knows numbers."""
    error = refused("FROM busybox AS a\nRUN 1\nFROM busybox\nRUN --mount=from=0,target=/x true\n")
    assert error.code == "mount-from-number"
    assert error.hint == "write from=a"


@pytest.mark.parametrize(
    "value",
    [
        "type=cache,target=/",
        "target=/..",
        "type=tmpfs,target=/.",
        "type=bind,source=a",
        "type=ssh,source=x",
        "type=tmpfs,target=/t,source=/x",
    ],
)
def test_a_mount_that_cannot_be_is_refused_at_the_flag(value: str) -> None:
    error = refused(f"FROM busybox\nRUN --mount={value} true\n")
    assert error.code in ("mount-target", "bad-mount")
    assert error.diagnostics[0].span is not None
    assert (error.diagnostics[0].span.line, error.diagnostics[0].span.column > 1) == (2, True)


def test_a_tmpfs_has_no_source_but_what_it_names_must_be_there() -> None:
    for value in ("source=", "source=/", "source=.", "from=a"):
        graph = planned(f"FROM busybox AS a\nRUN 1\nFROM busybox\nRUN --mount=type=tmpfs,target=/t,{value} true\n")
        step = runs(graph)[-1]
        assert step.mounts == (TmpfsMount("/t"),)
        assert graph.inputs(step.id) == ("s1.0",)
    late = "FROM busybox AS a\nRUN --mount=type=tmpfs,target=/t,from=b true\nFROM busybox AS b\n"
    assert refused(late, target="a").code == "stage-later"


def test_a_mount_whose_type_turns_out_wrong_is_refused() -> None:
    assert refused("FROM busybox\nARG T=cahce\nRUN --mount=type=$T,target=/x true\n").code == "bad-mount"


def test_a_mount_from_a_later_stage_says_where_it_is() -> None:
    error = refused("FROM busybox AS a\nRUN --mount=from=b,target=/b x\nFROM busybox AS b\n", target="a")
    assert (error.code, error.diagnostics[0].notes[0]) == ("stage-later", '"b" is defined at line 3')


# What needs leave ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("default", "flag", "wanted"),
    [
        ("default", "", "default"),
        ("none", "", "none"),
        ("none", "default", "none"),
        ("default", "none", "none"),
        ("host", "host", "host"),
        ("host", "none", "none"),
    ],
)
def test_the_network_is_the_steps_or_the_builds(default: str, flag: str, wanted: str) -> None:
    word = f"--network={flag} " if flag else ""
    assert ran(f"RUN {word}x", network=default).network == wanted


@pytest.mark.parametrize(
    ("flag", "needed"), [("--network=host", "network.host"), ("--security=insecure", "security.insecure")]
)
def test_what_reaches_out_of_the_sandbox_has_to_be_allowed(flag: str, needed: str) -> None:
    error = refused(f"FROM busybox\nRUN {flag} x\n")
    assert (error.code, error.hint) == ("entitlement", f"build with --allow {needed}")
    step = ran(f"RUN {flag} x", entitlements=frozenset((needed,)))
    assert (step.network == "host") != (step.security == "insecure")


def test_devices_are_named() -> None:
    line = "RUN --device=vendor.com/gpu=0 --device=name=x.y/z=1,required x"
    wanted = ("vendor.com/gpu=0", "x.y/z=1,required")
    assert ran(line, entitlements=frozenset(("device",))).devices == wanted
    assert ran(line, entitlements=frozenset(("device=vendor.com/gpu=0", "device=x.y/z=1"))).devices == wanted


def test_a_device_of_the_host_has_to_be_allowed_by_its_name_or_with_all() -> None:
    for entitlements in ((), ("device=/dev/kvm",), ("security.insecure", "network.host")):
        error = refused("FROM busybox\nRUN --device=/dev/sda x\n", entitlements=frozenset(entitlements))
        assert (error.code, error.hint) == ("entitlement", "build with --allow device=/dev/sda")
