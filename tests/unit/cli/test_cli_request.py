"""Flags and settings become a BuildRequest."""

from __future__ import annotations

from typing import Any

import pytest

from slimstage.build.request import BuildRequest, OutputSpec
from slimstage.cli.build_request import make_request
from slimstage.cli.settings import Settings, parse_settings
from slimstage.errors import UsageError
from slimstage.oci.descriptor import Platform


def request(settings: str = "", environment: dict[str, str] | None = None, /, **flags: Any) -> BuildRequest:
    found = parse_settings(settings, "/project/slimstage.toml") if settings else Settings()
    return make_request(".", flags, found, environment or {})


def test_nothing_given_is_an_image_in_the_store() -> None:
    assert request() == BuildRequest(".", outputs=(OutputSpec("image"),))


def test_a_build_argument_without_value_comes_from_the_environment() -> None:
    made = request("", {"HAS": "v"}, build_arg=("A=1", "HAS", "HASNOT", "EMPTY=", "E=a=b"))
    assert made.build_args == {"A": "1", "HAS": "v", "HASNOT": None, "EMPTY": "", "E": "a=b"}


@pytest.mark.parametrize("text", ["=x", "", "A B=1"])
def test_a_build_argument_without_name_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--build-arg"):
        request(build_arg=(text,))


def test_flags_beat_the_file_and_tables_are_merged_key_by_key() -> None:
    made = request(
        '[build]\nnetwork = "none"\njobs = 3\nargs = {A = "file", B = "file"}\ntag = "file"\n[contexts]\nx = "a"\ny = "b"\n',
        network="host",
        build_arg=("A=flag",),
        tag=("flag",),
        build_context=("y=https://example.org/y.git",),
    )
    assert (made.network, made.jobs, made.tags) == ("host", 3, ("flag",))
    assert made.build_args == {"A": "flag", "B": "file"}
    assert made.named_contexts == {"x": "/project/a", "y": "https://example.org/y.git"}


def test_a_bad_value_in_the_file_has_its_place() -> None:
    with pytest.raises(UsageError) as caught:
        request('[build]\njobs = 2\nnetwork = "bridge"\n')
    assert "slimstage.toml:3:1" in str(caught.value)


def test_a_bad_value_in_the_file_does_no_harm_when_a_flag_beats_it() -> None:
    assert request('[build]\nnetwork = "bridge"\n', network="none").network == "none"


def test_a_named_context_that_is_missing_is_left_to_whoever_needs_it() -> None:
    assert request(build_context=("x=/no/such/directory",)).named_contexts == {"x": "/no/such/directory"}
    with pytest.raises(UsageError, match="empty"):
        request(build_context=("x=",))
    with pytest.raises(UsageError, match="NAME=SPEC"):
        request(build_context=("x",))


def test_load_adds_the_store_to_other_outputs() -> None:
    made = request(output=("type=oci,dest=x.tar",), load=True, tag=("iris",))
    assert made.outputs == (OutputSpec("oci", "x.tar", names=("iris",)), OutputSpec("image", names=("iris",)))
    assert request(output=("type=docker",), tag=("iris",)).outputs == (OutputSpec("image", names=("iris",)),)
    assert request(output=("dist",)).outputs == (OutputSpec("local", "dist"),)


def test_the_epoch_comes_from_the_argument_then_the_environment() -> None:
    assert request("", {"SOURCE_DATE_EPOCH": "7"}).source_date_epoch_s == 7
    assert request("", {"SOURCE_DATE_EPOCH": "7"}, build_arg=("SOURCE_DATE_EPOCH=8",)).source_date_epoch_s == 8
    assert request("", {"SOURCE_DATE_EPOCH": ""}).source_date_epoch_s is None
    for bad in ("now", "-1", "99999999999999"):
        with pytest.raises(UsageError, match="SOURCE_DATE_EPOCH"):
            request("", {"SOURCE_DATE_EPOCH": bad})


def test_limits_hosts_and_the_rest() -> None:
    made = request(
        memory="512m",
        cpus="1.5",
        shm_size="1g",
        ulimit=("nofile=1:2",),
        add_host=("a:1.2.3.4",),
        allow=("network.host",),
        platform=("linux/arm64/v8",),
        no_cache=True,
        no_cache_filter=("Train",),
        pull=True,
        host_certs=True,
        reproducible=True,
        sandbox="runc",
        label=("a=b", "c"),
        annotation=("index:k=v",),
        target="serve",
        file="-",
    )
    assert made.limits.memory_bytes == 512 << 20
    assert (made.limits.cpus, made.limits.shm_bytes, made.limits.ulimits) == (1.5, 1 << 30, (("nofile", 1, 2),))
    assert made.extra_hosts == (("a", "1.2.3.4"),)
    assert made.entitlements == {"network.host"}
    assert made.platform == Platform("linux", "arm64")
    assert made.no_cache
    assert made.no_cache_filter == {"train"}
    assert (made.pulls, made.uses_host_certs, made.is_reproducible, made.backend) == (True, True, True, "runc")
    assert made.labels == {"a": "b", "c": ""}
    assert made.annotations == (("index", "k", "v"),)
    assert (made.target, made.dockerfile) == ("serve", "-")


def test_devices_are_allowed_all_or_by_name() -> None:
    assert request("", {}, allow=("device", "device=/dev/kvm")).entitlements == {"device", "device=/dev/kvm"}


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"platform": ("li nux",)}, "not a platform"),
        ({"tag": ("UPPER:case",)}, "--tag"),
        ({"tag": ("a@sha256:" + "0" * 64,)}, "has a digest"),
        ({"allow": ("network.hosts",)}, "--allow"),
        ({"allow": ("device=",)}, "device has no name"),
        ({"sandbox": "docker"}, "--sandbox"),
        ({"network": "bridge"}, "--network"),
        ({"jobs": "0"}, "--jobs"),
        ({"secret": ("id=a,env=A", "id=a,env=A")}, "given twice"),
        ({"label": ("=v",)}, "has no key"),
        ({"annotation": ("manifest[no pe]:a=b",)}, "--annotation"),
    ],
)
def test_bad_flags_are_refused_by_name(flags: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        request("", {"A": "x"}, **flags)


def test_several_platforms_are_each_taken_once_in_their_order() -> None:
    given = ("linux/arm64/v8,linux/arm", "amd64", "linux/aarch64, linux/arm/v7")
    made = request(platform=given)
    assert made.platform is None
    assert [str(each) for each in made.platforms] == ["linux/arm64", "linux/arm/v7", "linux/amd64"]
    assert request(platform=("linux/arm64,linux/arm64/v8",)).platforms == ()
