"""An image's config and `run`'s options become a sandbox spec."""

from __future__ import annotations

import pytest

from slimstage.container.options import RunOptions, Volume
from slimstage.container.spec import (
    DEFAULT_PATH,
    capabilities_of,
    command_of,
    container_spec,
    environment_of,
    missing_directories,
    user_of,
    working_directory,
)
from slimstage.errors import UsageError
from slimstage.oci.config import ImageConfig
from slimstage.oci.user import Identity
from slimstage.sandbox.spec import DEFAULT_CAPABILITIES, HostPath, PlainRoot, Tmpfs


def config(**fields: object) -> ImageConfig:
    return ImageConfig("amd64", "linux", **fields)  # type: ignore[arg-type] # fields by name


@pytest.mark.parametrize(
    ("entrypoint", "cmd", "given_entrypoint", "given", "wants"),
    [
        (None, ("sh",), None, (), ("sh",)),
        (("e",), ("c",), None, (), ("e", "c")),
        (("e",), ("c",), None, ("x",), ("e", "x")),
        (("e",), ("c",), ("f",), (), ("f",)),
        (("e",), ("c",), ("f",), ("x",), ("f", "x")),
        (("e",), ("c",), (), ("x",), ("x",)),
    ],
)
def test_the_command_is_put_together_as_docker_does(
    entrypoint: tuple[str, ...] | None,
    cmd: tuple[str, ...],
    given_entrypoint: tuple[str, ...] | None,
    given: tuple[str, ...],
    wants: tuple[str, ...],
) -> None:
    options = RunOptions(command=given, entrypoint=given_entrypoint)
    assert command_of(config(entrypoint=entrypoint, cmd=cmd), options) == wants


@pytest.mark.parametrize("options", [RunOptions(), RunOptions(entrypoint=()), RunOptions(entrypoint=("",))])
def test_no_command_is_an_error(options: RunOptions) -> None:
    with pytest.raises(UsageError, match="no command"):
        command_of(config(), options)


def test_an_image_with_an_empty_cmd_has_no_command() -> None:
    with pytest.raises(UsageError):
        command_of(config(cmd=(), entrypoint=()), RunOptions())


def test_the_environment_has_dockers_defaults_under_the_images_under_the_given() -> None:
    options = RunOptions(env=(("A", "given"), ("B", "")))
    found = dict(environment_of(config(env=("A=image", "C=1=2", "D")), options, "/root", "host"))
    assert found == {
        "PATH": DEFAULT_PATH, "HOSTNAME": "host", "A": "given", "B": "", "C": "1=2", "D": "", "HOME": "/root",
    }  # fmt: skip
    assert dict(environment_of(config(env=("HOME=/x",)), RunOptions(has_terminal=True), "/r", "h"))["TERM"] == "xterm"
    assert dict(environment_of(config(env=("HOME=/x",)), RunOptions(), "/r", "h"))["HOME"] == "/x"


@pytest.mark.parametrize(
    ("image", "given", "wants"),
    [("", None, "/"), ("/app/", None, "/app"), ("app", None, "/app"), ("/a", "/b/../c", "/c")],
)
def test_the_working_directory(image: str, given: str | None, wants: str) -> None:
    assert working_directory(config(working_dir=image), RunOptions(workdir=given)) == wants


def test_a_relative_working_directory_is_refused() -> None:
    with pytest.raises(UsageError, match="--workdir"):
        working_directory(config(), RunOptions(workdir="app"))


def test_capabilities() -> None:
    assert capabilities_of(RunOptions()) == DEFAULT_CAPABILITIES
    assert "CAP_NET_RAW" not in capabilities_of(RunOptions(drop_capabilities=("net_raw",)))
    assert capabilities_of(RunOptions(drop_capabilities=("ALL",), add_capabilities=("CAP_CHOWN",))) == ("CAP_CHOWN",)
    assert "CAP_SYS_PTRACE" in capabilities_of(RunOptions(add_capabilities=("SYS_PTRACE",)))


def test_the_whole_spec() -> None:
    options = RunOptions(
        volumes=(Volume("/host", "/data", True),),
        tmpfs=("/tmp",),
        hostname="web",
        network="none",
        is_readonly=True,
        extra_hosts=(("a", "1.1.1.1"),),
    )
    identity = Identity(1000, 1000, (10, 20), "/home/me")
    spec = container_spec(config(cmd=("sh",)), options, PlainRoot("/r"), identity, container_id="0123456789abcdef")
    assert (spec.argv, spec.uid, spec.gid, spec.groups) == (("sh",), 1000, 1000, (10, 20))
    assert spec.mounts == (HostPath("/data", "/host", is_readonly=True), Tmpfs("/tmp"))
    assert (spec.hostname, spec.network, spec.is_readonly_root) == ("web", "none", True)
    assert dict(spec.env)["HOME"] == "/home/me"
    plain = container_spec(
        config(cmd=("sh",)), RunOptions(), PlainRoot("/r"), identity, container_id="0123456789abcdef"
    )
    assert plain.hostname == "0123456789ab"


def test_the_user_is_the_given_one_even_when_empty() -> None:
    assert user_of(config(user="me"), RunOptions()) == "me"
    assert user_of(config(user="me"), RunOptions(user="0")) == "0"
    assert user_of(config(user="me"), RunOptions(user="")) == ""


def test_missing_directories_are_named_outermost_first() -> None:
    assert missing_directories("a/b/c", ["a"]) == ["a/b", "a/b/c"]
    assert missing_directories("a", ["a"]) == []
    assert missing_directories("", []) == []
