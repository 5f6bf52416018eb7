from __future__ import annotations

import json

import pytest

from slimstage.digest import Digest, digest_bytes
from slimstage.errors import FormatError
from slimstage.oci.chain import chain_ids
from slimstage.oci.config import HealthConfig, HistoryEntry, ImageConfig, from_json, image_id, to_json

DIFF = Digest("sha256:" + "1" * 64)
FULL = ImageConfig(
    "arm64",
    "linux",
    variant="v9",
    os_version="1",
    created="2024-01-01T00:00:00Z",
    author="me",
    user="1000:1000",
    exposed_ports=("80/tcp", "9/udp"),
    env=("PATH=/bin", "A="),
    entrypoint=("/run",),
    cmd=(),
    volumes=("/data",),
    working_dir="/app",
    labels=(("a", "<&>"), ("b", "ü")),
    stop_signal="SIGINT",
    healthcheck=HealthConfig(("CMD", "true"), 1, 2, 3, 4, 5),
    on_build=("RUN x",),
    shell=("/bin/bash", "-c"),
    args_escaped=True,
    diff_ids=(DIFF,),
    history=(
        HistoryEntry("2024-01-01T00:00:00Z", "RUN x && y", "c", "a"),
        HistoryEntry(created_by="ENV", empty_layer=True),
    ),
    extra=(("moby.x", {"k": 1}), ("config.Zulu", [1])),
)


def test_config_round_trips_with_unknown_fields() -> None:
    data = to_json(FULL)
    assert from_json(data) == FULL
    assert dict(from_json(data).extra) == dict(FULL.extra)
    assert to_json(from_json(data)) == data


def test_bytes_are_in_the_order_of_go_and_buildkit() -> None:
    data = to_json(FULL)
    document = json.loads(data)
    assert list(document) == sorted(document)
    assert list(document["config"])[:6] == ["User", "ExposedPorts", "Env", "Entrypoint", "Cmd", "Volumes"]
    assert list(document["history"][0]) == ["created", "created_by", "author", "comment"]
    assert b"RUN x \\u0026\\u0026 y" in data
    assert "ü".encode() in data
    assert b" " not in data.replace(b"RUN x", b"").replace(b" y", b"").replace(b" \\u0026", b"")


def test_image_id_is_the_digest_of_the_bytes() -> None:
    assert image_id(FULL) == digest_bytes(to_json(FULL))


def test_empty_and_absent_differ_for_entrypoint_and_cmd() -> None:
    empty = from_json(b'{"architecture":"amd64","os":"linux","config":{"Entrypoint":[],"Cmd":null}}')
    assert empty.entrypoint == ()
    assert empty.cmd is None
    assert b'"Entrypoint":[]' in to_json(empty)
    assert b"Cmd" not in to_json(empty)


def test_smallest_config_has_an_empty_list_of_layers() -> None:
    data = to_json(ImageConfig("amd64", "linux"))
    assert data == b'{"architecture":"amd64","config":{},"os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'


def test_bytes_that_are_no_utf8_become_replacement_characters_as_in_go() -> None:
    data = to_json(ImageConfig("amd64", "linux", env=("A=\udcff",)))
    assert "A=\ufffd".encode() in data


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"os":"linux"}', "image config.architecture"),
        ('{"architecture":"amd64","os":7}', "image config.os"),
        ('{"architecture":"a","os":"b","config":{"Env":["A=1",2]}}', r"image config.config.Env\[1\]"),
        ('{"architecture":"a","os":"b","config":[]}', "image config.config"),
        ('{"architecture":"a","os":"b","config":{"Labels":{"x":1}}}', r"Labels\['x'\]"),
        ('{"architecture":"a","os":"b","rootfs":{"type":"zip"}}', "rootfs.type"),
        ('{"architecture":"a","os":"b","rootfs":{"diff_ids":["sha256:../../etc/passwd"]}}', r"diff_ids\[0\]"),
        ('{"architecture":"a","os":"b","history":[{"empty_layer":"yes"}]}', r"history\[0\].empty_layer"),
        ('{"architecture":"a","os":"b","config":{"Healthcheck":{"Retries":1.5}}}', "Healthcheck.Retries"),
        ('{"architecture":"a","os":"b","config":{"Healthcheck":{"Retries":true}}}', "Healthcheck.Retries"),
    ],
)
def test_wrong_fields_are_named_by_their_place(text: str, place: str) -> None:
    with pytest.raises(FormatError, match=place):
        from_json(text.encode())


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{",
        b"\xff\xfe",
        b'{"architecture":NaN}',
        b'{"architecture":"amd64","os":"linux","os":"windows"}',
        b'{"architecture":"a","os":"b","config":{"Env":[],"Env":[]}}',
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"a":' + b"9" * 100_000 + b"}",
        b" " * ((8 << 20) + 1),
    ],
)
def test_hostile_documents_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        from_json(data)


def test_chain_ids_name_stacks() -> None:
    second = Digest("sha256:" + "2" * 64)
    chains = chain_ids([DIFF, second])
    assert chains == [DIFF, digest_bytes(f"{DIFF} {second}".encode())]
    assert chain_ids([]) == []
