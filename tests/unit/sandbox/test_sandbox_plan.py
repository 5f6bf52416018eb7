"""Specs as plans, names as numbers, refusals as errors, and the bundle for runc: all pure."""

from __future__ import annotations

import errno
import json
import marshal
from typing import Any

import pytest

from slimstage.errors import SandboxError, UsageError
from slimstage.sandbox import capabilities, plan
from slimstage.sandbox.refusal import sandbox_error
from slimstage.sandbox.rootless import IdRange, mapping, subordinate_ids
from slimstage.sandbox.runc import oci_config
from slimstage.sandbox.spec import Limits, OverlayRoot, PlainRoot, SandboxSpec, Tmpfs


def spec(**values: Any) -> SandboxSpec:
    made: dict[str, Any] = {"root": OverlayRoot(("/l",), "/u", "/w"), "argv": ("x",)} | values
    return SandboxSpec(**made)


def compiled(**values: Any) -> dict[str, Any]:
    made = spec(**values)
    loaded: dict[str, Any] = marshal.loads(plan.compiled(made, plan.actions(made), has_pipes=True))
    return loaded


def test_a_plan_holds_plain_values_only() -> None:
    made = compiled(uid=5, groups=(1, 2), limits=Limits(memory_bytes=1 << 25, cpus=1.5, pids=9))
    assert made["root"] == ("overlay", ("/l",), "/u", "/w")
    assert made["limits"] == (("memory", 1 << 25), ("cpu", 1_500_000), ("pids", 9))
    assert (made["uid"], made["groups"], made["capabilities"]) == (5, (1, 2), 0xA80425FB)
    assert len(made["seccomp"]) % 8 == 0
    assert made["seccomp"]


def test_privileged_has_all_capabilities_and_no_filter() -> None:
    made = compiled(is_privileged=True)
    assert made["capabilities"] == (1 << 41) - 1
    assert made["seccomp"] == b""


@pytest.mark.parametrize(
    ("cwd", "made"),
    [
        ("/", False),
        ("/a", True),
        ("a/../b", True),
        ("/proc/self/fd/7", False),
        ("/dev", False),
        ("/t/x", False),
        ("/tx", True),
    ],
)
def test_a_working_directory_is_made_unless_it_is_in_a_mount(cwd: str, made: bool) -> None:
    assert compiled(cwd=cwd, mounts=(Tmpfs("/t"),))["make_cwd"] is made


@pytest.mark.parametrize("cwd", ["", "/", "//", "/../.."])
def test_a_working_directory_is_absolute(cwd: str) -> None:
    assert compiled(cwd=cwd)["cwd"] == "/"


@pytest.mark.parametrize(
    "values",
    [
        {"argv": ()}, {"argv": ("",)}, {"argv": ("a\0b",)}, {"env": (("A", "\0"),)}, {"env": (("", "x"),)},
        {"env": (("A=", "x"),)}, {"cwd": "/\0"}, {"hostname": "a/b"}, {"hostname": "x" * 65}, {"capabilities": ("CAP_X",)},
        {"extra_hosts": (("a\nb", "1.1.1.1"),)}, {"limits": Limits(memory_bytes=1)}, {"limits": Limits(cpus=0.0)},
        {"limits": Limits(pids=0)}, {"limits": Limits(ulimits=(("nofil", 1, 1),))},
        {"limits": Limits(ulimits=(("nofile", 2, 1),))}, {"limits": Limits(ulimits=(("nofile", -1, 1),))},
    ],
)  # fmt: skip
def test_senseless_specs(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        compiled(**values)


def test_a_root_without_upper_is_read_only() -> None:
    assert compiled(root=OverlayRoot(("/l",), None, None))["readonly"] is True
    assert compiled()["readonly"] is False
    assert compiled(root=PlainRoot("/p"), is_readonly_root=True)["readonly"] is True


def test_capability_names() -> None:
    assert capabilities.mask(["CAP_CHOWN", "sys_admin", "cap_checkpoint_restore"]) == 1 | 1 << 21 | 1 << 40
    with pytest.raises(UsageError) as caught:
        capabilities.mask(["CAP_CHWON"])
    assert caught.value.hint == 'did you mean "CAP_CHOWN"?'


def test_ulimits() -> None:
    assert capabilities.rlimits([("nofile", 1, 2), ("core", 0, -1)]) == (("nofile", 7, 1, 2), ("core", 4, 0, -1))


@pytest.mark.parametrize(
    ("what", "number", "code", "hint"),
    [
        ("make new namespaces (mount)", errno.EPERM, "sandbox-refused", "doctor"),
        ("make new namespaces (PID)", errno.ENOSPC, "sandbox-refused", "max_*_namespaces"),
        ("mount the root as an overlay", errno.EINVAL, "overlay-refused", "file system"),
        ("become user 7:7", errno.EINVAL, "sandbox-user", "/etc/subuid"),
        ("limit memory by cgroup", errno.EACCES, "sandbox-limit", "cgroups"),
        ("set attributes", errno.ENOSYS, "sandbox-refused", "Linux 5.12"),
        ('bind "x"', errno.ENOENT, "sandbox-mount", None),
    ],
)  # fmt: skip
def test_a_refusal_says_what_to_do(what: str, number: int, code: str, hint: str | None) -> None:
    error = sandbox_error(what, number)
    assert isinstance(error, SandboxError)
    assert (error.code, error.message.startswith(f"cannot {what}: ")) == (code, True)
    assert errno.errorcode[number] in error.message
    assert (hint is None and error.hint is None) or (hint or "") in (error.hint or "")


def test_a_refusal_has_the_kernels_own_words() -> None:
    assert sandbox_error("mount", errno.EINVAL, "overlay: no such thing").message == (
        "cannot mount: overlay: no such thing (EINVAL)"
    )


def test_subordinate_ids() -> None:
    text = "a:1:2\nuser:100000:65536\n# comment\n1000:200000:10\nuser:x:1\nuser:1\nuser2:5:5\n"
    assert subordinate_ids(text, "user", 1000) == [(100000, 65536), (200000, 10)]
    assert subordinate_ids("", "user", 1000) == []


def test_ids_are_mapped_without_gaps() -> None:
    assert mapping(1000, []) == (IdRange(0, 1000, 1),)
    assert mapping(1000, [(100, 10), (7, 0), (500, 5)]) == (
        IdRange(0, 1000, 1),
        IdRange(1, 100, 10),
        IdRange(11, 500, 5),
    )


def test_bundle_says_what_the_spec_says() -> None:
    config: Any = oci_config(
        spec(
            env=(("A", "b c"),), uid=7, gid=8, groups=(9,), network="none", has_new_privileges=False,
            limits=Limits(memory_bytes=1 << 25, cpus=0.5, pids=3, ulimits=(("nofile", 5, -1),)),
        )
    )  # fmt: skip
    json.dumps(config)
    process = config["process"]
    assert process["user"] == {"uid": 7, "gid": 8, "umask": 18, "additionalGids": [9]}
    assert (process["env"], process["noNewPrivileges"], process["capabilities"]["effective"]) == (["A=b c"], True, [])
    assert process["rlimits"] == [{"type": "RLIMIT_NOFILE", "soft": 5, "hard": 2**64 - 1}]
    assert {"type": "network"} in config["linux"]["namespaces"]
    assert config["linux"]["resources"]["cpu"] == {"period": 100000, "quota": 50000}
    assert config["linux"]["resources"]["memory"] == {"limit": 1 << 25}
    assert config["linux"]["seccomp"]["defaultAction"] == "SCMP_ACT_ERRNO"


def test_bundle_of_a_privileged_step_hides_nothing() -> None:
    linux: Any = oci_config(spec(is_privileged=True))["linux"]
    assert (linux["maskedPaths"], linux["readonlyPaths"], "seccomp" in linux) == ([], [], False)


def test_bundle_is_refused_for_bytes_that_are_no_utf8() -> None:
    with pytest.raises(SandboxError):
        oci_config(spec(argv=("a\udcff",)))
