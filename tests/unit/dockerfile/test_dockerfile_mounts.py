"""`--mount` values, before and after expansion."""

from __future__ import annotations

import pytest

from slimstage.dockerfile.expand import expand_word
from slimstage.dockerfile.mounts import MountOptions, parse_mount
from slimstage.errors import DockerfileError


def read(text: str) -> MountOptions:
    return parse_mount(text, lambda value: expand_word(value, {"x": "/data", "kind": "cache"}).text)


def test_a_mount_without_a_type_binds_read_only() -> None:
    assert read("target=/a") == MountOptions(type="bind", target="/a", is_readonly=True)


def test_every_key_has_its_place() -> None:
    assert read("type=cache,id=i,dst=/a,src=s,from=f,sharing=LOCKED,mode=0750,uid=1,gid=2,ro") == MountOptions(
        type="cache",
        target="/a",
        source="s",
        from_="f",
        is_readonly=True,
        id="i",
        sharing="locked",
        mode=0o750,
        uid=1,
        gid=2,
    )
    assert read("type=tmpfs,destination=/t,size=1.5k") == MountOptions(
        "tmpfs", target="/t", is_readonly=False, size_bytes=1536
    )
    secret = read("type=secret,id=a,env=A,required=false,mode=0400")
    assert (secret.env, secret.is_required, secret.mode) == ("A", False, 0o400)


@pytest.mark.parametrize(
    ("text", "is_readonly"),
    [
        ("target=/a", True),
        ("target=/a,rw", False),
        ("target=/a,readwrite=true", False),
        ("target=/a,rw=0", True),
        ("type=cache,target=/a", False),
        ("type=cache,target=/a,readonly=T", True),
        ("type=tmpfs,target=/a", False),
        ("type=ssh", True),
        ("target=/a,rw,ro", True),
    ],
)
def test_writability_follows_type_and_flags(text: str, is_readonly: bool) -> None:
    assert read(text).is_readonly is is_readonly


def test_values_are_expanded_and_unquoted() -> None:
    mount = read("type=$kind,target=$x/a,id='$x'")
    assert (mount.type, mount.target, mount.id) == ("cache", "/data/a", "$x")


def test_a_field_in_double_quotes_may_hold_commas() -> None:
    assert parse_mount('"target=/a,b"', None).target == "/a,b"


def test_a_value_with_a_variable_waits_for_expansion() -> None:
    mount = parse_mount("type=$kind,mode=$m,sharing=$s,target=$t,size=4m,required", None)
    assert (mount.mode, mount.sharing, mount.target) == (None, None, None)
    with pytest.raises(DockerfileError):
        read("type=$kind,size=4m,target=/a")
    assert parse_mount("type=secret,id=$id", None).id is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("target", "has no value"),
        ("tagret=/x", "unknown key"),
        ("type=bnd", "unknown mount type"),
        ("type=cache,sharing=x", "unknown sharing"),
        ("from=$x", "cannot hold a variable"),
        ("type=bind,required", "takes no"),
        ("required,type=secret,id=x", "takes no"),
        ("type=bind,size=1m", "takes no"),
        ("type=bind,mode=0644", "takes no"),
        ("type=tmpfs,uid=0", "takes no"),
        ("type=bind,sharing=shared", "takes no"),
        ("type=cache,env=A", "takes no"),
        ("type=cache,mode=0899", "octal"),
        ("type=cache,uid=-1", "no number"),
        ("type=cache,uid=4294967296", "too large"),
        ("type=tmpfs,size=big", "no size"),
        ("type=secret", "needs an"),
        ("type=secret,id=a,source=b", "not both"),
        ("type=secret,id=a,from=b", "takes no"),
        ("ro=maybe", "neither true nor false"),
        ('target="/a"', "double quote inside"),
        ('"target=/a', "not closed"),
        ('"target=/a"b', "followed by a comma"),
        ("target=/a,bind-propagation=rshared", "unknown key"),
    ],
)
def test_a_mount_that_makes_no_sense_is_refused(text: str, message: str) -> None:
    with pytest.raises(DockerfileError, match=message):
        parse_mount(text, None)


def test_the_hint_names_what_was_meant() -> None:
    with pytest.raises(DockerfileError) as caught:
        parse_mount("type=cahce,target=/x", None)
    assert caught.value.hint == 'did you mean "cache"?'
    with pytest.raises(DockerfileError) as caught:
        parse_mount("from=$BASE", None)
    assert "AS NAME" in (caught.value.hint or "")
