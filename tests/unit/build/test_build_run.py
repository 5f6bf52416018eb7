"""A RUN step becomes a sandbox spec: environment, mounts, secrets, certificates, and what to say when it fails."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from slimstage.build.lines import Lines
from slimstage.build.request import BuildRequest, SecretSource
from slimstage.build.run import (
    HOST_CERTS_PATH,
    RunInputs,
    hint_for,
    key_values,
    redactor,
    sandbox_spec,
    wanted_agents,
    wanted_secrets,
)
from slimstage.errors import PlanError, UsageError
from slimstage.oci.user import Identity
from slimstage.plan.graph import (
    SCRIPT_PATH,
    BindMount,
    CacheMount,
    FromStep,
    RunStep,
    SecretMount,
    SshMount,
    TmpfsMount,
)
from slimstage.sandbox.spec import FileMount, HostPath, OverlayRoot, SandboxSpec, SocketMount, StackPath, Tmpfs

STEP = RunStep(
    id="s0.1", stage=0, parent="s0.0", line=3, end_line=3, title="RUN make", argv=("/bin/sh", "-c", "make"),
    env=(("PATH", "/bin"),), cwd="/src", user="app",
)  # fmt: skip
INPUTS = RunInputs(("/l/1", "/l/2"), Identity(1000, 1001, (10,), "/home/app"))
REQUEST = BuildRequest(".")


def spec(step: RunStep = STEP, inputs: RunInputs = INPUTS, request: BuildRequest = REQUEST) -> SandboxSpec:
    return sandbox_spec(step, inputs, request, "/up", "/work")


def test_the_new_layer_is_the_upper_directory() -> None:
    assert spec().root == OverlayRoot(("/l/1", "/l/2"), "/up", "/work")
    assert (spec().uid, spec().gid, spec().groups, spec().cwd) == (1000, 1001, (10,), "/src")


def test_home_is_the_users_unless_the_image_sets_it() -> None:
    assert dict(spec().env)["HOME"] == "/home/app"
    assert dict(spec(replace(STEP, env=(("HOME", "/x"),))).env)["HOME"] == "/x"


def test_mounts_of_every_kind_are_placed() -> None:
    step = replace(
        STEP,
        mounts=(
            BindMount("/b", FromStep("s1.0"), "/sub", is_writable=True),
            CacheMount("/c", "c", path="/in/side", is_readonly=True),
            TmpfsMount("/t", 4096),
        ),
    )
    inputs = replace(INPUTS, binds=((("/l/9",), "/sub"),), caches=("/caches/c",))
    assert spec(step, inputs).mounts == (
        StackPath("/b", ("/l/9",), "/sub", is_writable=True),
        HostPath("/c", "in/side", beneath="/caches/c", is_readonly=True),
        Tmpfs("/t", 4096),
    )


def test_a_secret_is_a_file_or_a_variable_or_both() -> None:
    step = replace(STEP, mounts=(SecretMount("s", "/run/secrets/s", env="TOKEN", mode=0o440, uid=5, gid=6),))
    made = spec(step, replace(INPUTS, secrets={"s": b"v\n"}))
    assert made.mounts == (FileMount("/run/secrets/s", b"v\n", mode=0o440, uid=5, gid=6),)
    assert dict(made.env)["TOKEN"] == "v\n"
    only_variable = spec(replace(STEP, mounts=(SecretMount("s", None, env="T"),)), replace(INPUTS, secrets={"s": b"v"}))
    assert only_variable.mounts == ()


def test_an_optional_secret_that_was_not_given_is_no_file_and_an_empty_variable() -> None:
    assert spec(replace(STEP, mounts=(SecretMount("s", "/s"),))) == spec()
    made = spec(replace(STEP, mounts=(SecretMount("s", "/s", env="T"),)))
    assert made.mounts == spec().mounts
    assert dict(made.env) == {**dict(spec().env), "T": ""}


def test_a_required_secret_that_was_not_given_fails_by_name() -> None:
    step = replace(STEP, mounts=(SecretMount("s", "/s", is_required=True),))
    with pytest.raises(PlanError, match='secret "s": not found'):
        wanted_secrets(step, {})


def test_secrets_come_from_files_and_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "s").write_bytes(b"from file")
    monkeypatch.setenv("SECRET_T", "from env")
    step = replace(STEP, mounts=(SecretMount("a", "/a"), SecretMount("b", "/b")))
    sources = {"a": SecretSource("a", path=str(tmp_path / "s")), "b": SecretSource("b", env="SECRET_T")}
    assert wanted_secrets(step, sources) == {"a": b"from file", "b": b"from env"}
    with pytest.raises(UsageError, match="not set"):
        wanted_secrets(step, {"a": SecretSource("a", env="NO_SUCH_VARIABLE")})
    with pytest.raises(UsageError, match="cannot read"):
        wanted_secrets(step, {"a": SecretSource("a", path=str(tmp_path / "gone"))})
    (tmp_path / "s").write_bytes(b"x" * (501 << 10))
    with pytest.raises(UsageError, match="larger"):
        wanted_secrets(step, sources)


def test_agents_are_numbered_and_named_in_the_environment() -> None:
    step = replace(STEP, mounts=(SshMount("default", None), SshMount("k", "/k.sock")))
    made = spec(step, replace(INPUTS, agents={"default": "/host/a", "k": "/host/k"}))
    assert made.mounts == (SocketMount("/run/buildkit/ssh_agent.0", "/host/a"), SocketMount("/k.sock", "/host/k"))
    assert dict(made.env)["SSH_AUTH_SOCK"] == "/run/buildkit/ssh_agent.0"


def test_an_agent_is_forwarded_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSH_AUTH_SOCK", "/host/agent")
    step = replace(STEP, mounts=(SshMount("default", None),))
    assert wanted_agents(step, {}) == {}
    assert wanted_agents(step, {"default": ()}) == {"default": "/host/agent"}
    with pytest.raises(PlanError, match="not forwarded"):
        wanted_agents(replace(STEP, mounts=(SshMount("x", None, is_required=True),)), {})


def test_a_script_heredoc_stands_as_an_executable_file() -> None:
    made = spec(replace(STEP, script="#!/bin/sh\ntrue\n"))
    assert made.mounts == (FileMount(SCRIPT_PATH, b"#!/bin/sh\ntrue\n", mode=0o755),)


def test_host_certs_are_mounted_and_named_unless_the_image_names_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = tmp_path / "ca.pem"
    bundle.write_bytes(b"CERT")
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    made = spec(replace(STEP, env=(("PIP_CERT", "/own"),)), request=BuildRequest(".", uses_host_certs=True))
    assert FileMount(HOST_CERTS_PATH, b"CERT", mode=0o444) in made.mounts
    assert dict(made.env)["SSL_CERT_FILE"] == HOST_CERTS_PATH
    assert dict(made.env)["PIP_CERT"] == "/own"
    assert not key_values(STEP, BuildRequest(".", uses_host_certs=True))


def test_devices_that_are_there_are_shown_and_only_a_required_one_has_to_be() -> None:
    wanted = ("/dev/null", "/dev/nothing", "vendor.com/gpu=all", "/dev/zero,required")
    assert spec(replace(STEP, devices=wanted)).devices == ("/dev/null", "/dev/zero")
    for missing in ("/dev/nothing", "vendor.com/gpu=all", "/etc/passwd"):
        with pytest.raises(PlanError, match=f'device "{missing}": not found'):
            spec(replace(STEP, devices=(f"{missing},required",)))


def test_the_steps_own_network_wins_over_the_requests() -> None:
    assert spec(request=BuildRequest(".", network="none")).network == "none"
    assert spec(replace(STEP, network="host"), request=BuildRequest(".", network="none")).network == "host"


@pytest.mark.parametrize(
    ("status", "oom", "lines", "said"),
    [
        (127, False, ["sh: gcc: not found"], "not in this stage"),
        (1, False, ["curl: (6) Could not resolve host: x"], "no network"),
        (1, False, ["tar: write error: No space left on device"], "disk"),
        (137, False, [], "killed"),
        (137, True, [], "memory"),
        (1, False, ["SSLError: CERTIFICATE_VERIFY_FAILED certificate verify failed"], "--host-certs"),
        (126, False, [], "chmod"),
    ],
)
def test_common_failures_have_a_hint(status: int, oom: bool, lines: list[str], said: str) -> None:
    hint = hint_for(STEP, status, oom, lines)
    assert hint
    assert said in hint


def test_an_ordinary_failure_has_no_hint() -> None:
    assert hint_for(STEP, 1, False, ["3 tests failed"]) is None


def test_output_becomes_lines_and_secrets_do_not_show() -> None:
    seen: list[tuple[int, str]] = []
    lines = Lines(lambda stream, text: seen.append((stream, text)), redactor({"s": b"hunter2\n", "short": b"abc"}))
    lines(1, b"one\ntoken hun")
    lines(2, b"err\n")
    lines(1, b"ter2 abc\r\n10%\r100%\ntail")
    lines.flush()
    assert seen == [(1, "one"), (2, "err"), (1, "token *** abc"), (1, "100%"), (1, "tail")]
    assert list(lines.last)[-1] == "tail"


def test_an_endless_line_is_passed_on_in_pieces() -> None:
    seen: list[str] = []
    lines = Lines(lambda _, text: seen.append(text), redactor({}))
    for _ in range(100):
        lines(1, b"x" * 4096)
    assert seen
    assert max(map(len, seen)) <= (64 << 10) + 4096
