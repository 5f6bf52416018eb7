"""Keys of steps: what changes them, what must not, and their committed values."""

from __future__ import annotations

from dataclasses import replace

import pytest

from slimstage.cache.keys import (
    EMPTY_TREE,
    base_key,
    content_key,
    definition_key,
    explained,
    is_volatile,
    reads_files,
    rerun_key,
    tree_key,
)
from slimstage.digest import digest_bytes
from slimstage.dockerfile.instructions import Heredoc
from slimstage.plan.graph import (
    AnyStep,
    BaseStep,
    BindMount,
    CacheMount,
    CopyStep,
    FromContext,
    FromStep,
    RunStep,
    SecretMount,
    TmpfsMount,
    Url,
    WorkdirStep,
)

BASE = BaseStep(
    id="s0.0", stage=0, parent=None, line=1, end_line=1, title="FROM x", reference="x", digest="sha256:aa", platform="p"
)
RUN = RunStep(
    id="s0.1", stage=0, parent="s0.0", line=2, end_line=2, title="RUN make", argv=("/bin/sh", "-c", "make"),
    env=(("PATH", "/bin"), ("A", "1")), cwd="/", user="",
)  # fmt: skip
COPY = CopyStep(
    id="s1.1", stage=1, parent="s1.0", line=5, end_line=5, title="COPY", source=FromStep("s0.1"), paths=("out/",),
    destination="/app/", from_is_stage=True,
)  # fmt: skip
ONE, TWO = digest_bytes(b"1"), digest_bytes(b"2")


def run_key(step: RunStep, **extra: object) -> str:
    return content_key(step, "above", (), extra)


def test_the_place_of_a_step_is_in_no_key() -> None:
    moved = replace(RUN, id="s7.3", stage=7, line=99, end_line=99, title="RUN something")
    assert run_key(moved) == run_key(RUN)


@pytest.mark.parametrize(
    "changed",
    [
        replace(RUN, argv=("/bin/sh", "-c", "make all")),
        replace(RUN, env=(("PATH", "/bin"), ("A", "2"))),
        replace(RUN, cwd="/src"),
        replace(RUN, user="app"),
        replace(RUN, network="none"),
        replace(RUN, security="insecure"),
        replace(RUN, script="#!/bin/sh\n"),
        replace(RUN, mounts=(TmpfsMount("/tmp"),)),
        replace(RUN, mounts=(CacheMount("/c", "c"),)),
        replace(RUN, mounts=(CacheMount("/c", "d"),)),
        replace(RUN, mounts=(SecretMount("s", "/run/secrets/s"),)),
        replace(RUN, mounts=(BindMount("/m", FromStep("s9.9")),)),
        replace(RUN, devices=("vendor.com/gpu=0",)),
    ],
)
def test_everything_that_a_command_sees_is_in_its_key(changed: RunStep) -> None:
    assert run_key(changed) != run_key(RUN)


def test_proxies_cache_sharing_and_required_secrets_are_not_in_the_key() -> None:
    with_mounts = replace(RUN, mounts=(CacheMount("/c", "c"), SecretMount("s", "/s")))
    other = replace(
        RUN,
        mounts=(CacheMount("/c", "c", sharing="locked"), SecretMount("s", "/s", is_required=True)),
        proxy_env=(("http_proxy", "http://proxy:3128"),),
    )
    assert run_key(with_mounts) == run_key(other)


def test_what_the_request_adds_is_in_the_key() -> None:
    assert run_key(RUN, **{"--add-host": [["a", "10.0.0.1"]]}) != run_key(RUN)


def test_a_copy_is_keyed_by_content_and_not_by_where_it_came_from() -> None:
    elsewhere = replace(COPY, source=FromStep("s4.2"), paths=("other/",))
    assert content_key(elsewhere, "p", [ONE], {}) == content_key(COPY, "p", [ONE], {})
    assert content_key(COPY, "p", [TWO], {}) != content_key(COPY, "p", [ONE], {})


@pytest.mark.parametrize(
    "changed",
    [
        replace(COPY, destination="/app2/"),
        replace(COPY, chown="1:1"),
        replace(COPY, chmod="755"),
        replace(COPY, is_link=True),
        replace(COPY, keeps_parents=True),
        replace(COPY, unpack="auto"),
        replace(COPY, order=("url", "path")),
    ],
)
def test_how_a_copy_copies_is_in_its_key(changed: CopyStep) -> None:
    assert content_key(changed, "p", [ONE], {}) != content_key(COPY, "p", [ONE], {})


def test_a_definition_key_follows_the_sources_and_paths() -> None:
    keys = {"s0.1": "a", "s1.0": "b", "s4.2": "c"}
    first = definition_key(COPY, keys, {})
    assert definition_key(COPY, {**keys, "s0.1": "z"}, {}) != first
    assert definition_key(replace(COPY, paths=("out",)), keys, {}) != first
    assert definition_key(replace(COPY, source=FromStep("s4.2")), keys, {}) != first
    assert definition_key(replace(COPY, id="s3.3", title="t"), keys, {}) == first


def test_a_bind_mount_is_keyed_by_what_it_shows() -> None:
    keys = {"s0.0": "p", "s5.0": "q"}
    mounted = replace(RUN, mounts=(BindMount("/m", FromStep("s5.0"), "/a"),))
    other_path = replace(RUN, mounts=(BindMount("/m", FromStep("s5.0"), "/b"),))
    assert definition_key(mounted, keys, {}) != definition_key(other_path, keys, {})
    assert content_key(mounted, "p", [ONE], {}) == content_key(other_path, "p", [ONE], {})
    assert content_key(mounted, "p", [ONE], {}) != content_key(mounted, "p", [TWO], {})


def test_a_linked_copy_does_not_depend_on_its_parent() -> None:
    linked = replace(COPY, is_link=True)
    assert content_key(linked, "p", [ONE], {}) == content_key(linked, "q", [ONE], {})
    assert content_key(COPY, "p", [ONE], {}) != content_key(COPY, "q", [ONE], {})


def test_what_stands_on_a_linked_copy_depends_on_all_below() -> None:
    linked = replace(COPY, is_link=True)
    assert tree_key(linked, "p", "c") != tree_key(linked, "q", "c")
    assert tree_key(linked, "p", "c") != tree_key(linked, "p", "d")
    assert tree_key(COPY, "p", "c") == "c"
    assert tree_key(replace(linked, parent=None), EMPTY_TREE, "c") == "c"


def test_only_what_must_be_read_is_volatile() -> None:
    assert is_volatile(replace(COPY, source=FromContext("")))
    assert is_volatile(replace(COPY, paths=(), urls=(Url("https://x/y"),)))
    assert not is_volatile(replace(COPY, paths=(), urls=(Url("https://x/y", checksum=ONE),)))
    assert not is_volatile(COPY)
    assert is_volatile(replace(RUN, mounts=(BindMount("/m", FromContext("")),)))
    assert not is_volatile(RUN)


def test_a_command_reads_files_only_by_bind_mounts() -> None:
    assert not reads_files(RUN)
    assert reads_files(replace(RUN, mounts=(BindMount("/m", FromStep("s9.9")),)))
    assert reads_files(COPY)
    assert not reads_files(WorkdirStep(id="w", stage=0, parent=None, line=1, end_line=1, title="", path="/w", user=""))


def test_a_base_is_keyed_by_its_image_and_not_by_its_name() -> None:
    assert base_key(replace(BASE, reference="y:latest")) == base_key(BASE)
    assert base_key(replace(BASE, digest="sha256:bb")) != base_key(BASE)


def test_a_command_that_ran_again_gives_its_followers_a_new_key() -> None:
    assert rerun_key("k", "layer1") != rerun_key("k", "layer2") != "k"


def test_keys_of_a_small_project_stay_as_they_are() -> None:
    """An accidental change of a key would throw every user's cache away: raise VERSION when it is meant."""
    keys = {"s0.0": base_key(BASE)}
    keys["s0.1"] = content_key(RUN, keys["s0.0"], (), {})
    keys["s1.0"] = EMPTY_TREE
    assert keys["s0.0"] == EXPECTED[0]
    assert keys["s0.1"] == EXPECTED[1]
    assert definition_key(COPY, keys, {}) == EXPECTED[2]
    assert content_key(COPY, EMPTY_TREE, [ONE], {}) == EXPECTED[3]


EXPECTED = (
    "b1-81a6de1a3fc654a6297d08d93ff4f6ca3a2e28d1beb44889762a9df31ea0824d",
    "c1-311d635191ec0bddc380f3c23f07fe71be4d7cddf138063afcb96e498668c261",
    "d1-a6f6770e1790b26ab429a46ddf2864f181753770368fb4c41366901841dc579f",
    "c1-95f6a4ee84d020b15612bc5c69484d20ba3bb1c42028c409cdda95a260067fe7",
)


def test_explanations_name_variables_and_mounts_without_their_values() -> None:
    pairs = explained(replace(RUN, env=(("TOKEN", "hunter2"),), mounts=(CacheMount("/c", "c"),)), "p", {})
    assert {"variable TOKEN", "cache mount /c", "command"} <= {name for name, _ in pairs}
    assert "hunter2" not in repr(pairs)


RICH_RUN = replace(RUN, mounts=(CacheMount("/c", "c"), BindMount("/m", FromStep("s9.9")), SecretMount("s", "/s")))
RICH_COPY = replace(COPY, urls=(Url("https://x/y"),), inline=(Heredoc("EOT", "text", expands=False),), exclude=("a",))


@pytest.mark.parametrize(
    ("step", "changed"),
    [
        (RUN, replace(RUN, argv=("x",))),
        (RUN, replace(RUN, script="#!/bin/sh\n")),
        (RUN, replace(RUN, env=(("PATH", "/bin"), ("A", "2")))),
        (RUN, replace(RUN, env=(("A", "1"), ("PATH", "/bin")))),
        (RUN, replace(RUN, cwd="/src")),
        (RUN, replace(RUN, user="app")),
        (RUN, replace(RUN, network="none")),
        (RUN, replace(RUN, security="insecure")),
        (RUN, replace(RUN, devices=("vendor.com/gpu=0",))),
        (RICH_RUN, replace(RICH_RUN, mounts=(CacheMount("/d", "c"), *RICH_RUN.mounts[1:]))),
        (RICH_RUN, replace(RICH_RUN, mounts=(CacheMount("/c", "c", mode=0o700), *RICH_RUN.mounts[1:]))),
        (RICH_RUN, replace(RICH_RUN, mounts=RICH_RUN.mounts[::-1])),
        (RICH_RUN, replace(RICH_RUN, mounts=RICH_RUN.mounts[:-1])),
        (COPY, replace(COPY, destination="/app2/")),
        (COPY, replace(COPY, chown="1:1")),
        (COPY, replace(COPY, chmod="755")),
        (COPY, replace(COPY, is_link=True)),
        (COPY, replace(COPY, keeps_parents=True)),
        (COPY, replace(COPY, unpack="auto")),
        (COPY, replace(COPY, from_is_stage=False)),
        (RICH_COPY, replace(RICH_COPY, exclude=())),
        (RICH_COPY, replace(RICH_COPY, urls=(Url("https://x/y", unpack=True),))),
        (RICH_COPY, replace(RICH_COPY, inline=(Heredoc("EOT", "other", expands=False),))),
    ],
)
def test_whatever_changes_a_key_is_explained(step: AnyStep, changed: AnyStep) -> None:
    assert content_key(changed, "p", (), {}) != content_key(step, "p", (), {})
    assert explained(changed, "p", {}) != explained(step, "p", {})


def test_what_is_in_no_key_explains_nothing() -> None:
    other = replace(
        RICH_RUN,
        mounts=(CacheMount("/c", "other", sharing="locked"), BindMount("/m", FromStep("s1.4"), "/elsewhere"),
                SecretMount("s", "/s", is_required=True)),
        proxy_env=(("http_proxy", "http://proxy:3128"),),
        title="RUN another",
    )  # fmt: skip
    assert content_key(other, "p", (), {}) == content_key(RICH_RUN, "p", (), {})
    assert explained(other, "p", {}) == explained(RICH_RUN, "p", {})
