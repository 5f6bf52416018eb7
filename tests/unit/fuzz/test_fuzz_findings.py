"""What fuzzing, and reading for it, has found outside the parsers of one format: each was a crash or a hang once."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest

from slimstage.bases.aptsources import Target, parse_targets
from slimstage.cli.settings import parse_settings
from slimstage.context.patterns import PatternMatcher
from slimstage.dockerfile.expand import expand_word
from slimstage.dockerfile.parse import parse
from slimstage.dockerfile.ports import check_port, parse_port
from slimstage.dockerfile.values import parse_duration
from slimstage.dockerfile.wildcards import ShellPattern
from slimstage.errors import DockerfileError, FormatError, PlanError, RegistryError, UsageError
from slimstage.oci.config import from_json, to_json
from slimstage.oci.user import group_id, resolve_user
from slimstage.registry.credentials import CredentialSource
from slimstage.registry.faults import Secrets
from slimstage.registry.hosts import read_hosts
from slimstage.registry.paging import next_path
from slimstage.store.archive import Archive
from slimstage.tree.unpack import unpack_layer
from slimstage.tree.untar import TarReader
from support.trees import make_tar, member


def config(**fields: object) -> bytes:
    return json.dumps({"architecture": "amd64", "os": "linux", **fields}).encode()


def test_a_config_with_a_lone_surrogate_is_written_with_a_replacement() -> None:
    read = from_json(config(config={"Labels": {"a": "\ud800"}}))
    assert b'"a":"\xef\xbf\xbd"' in to_json(read)


def test_a_number_that_no_float_holds_is_refused() -> None:
    with pytest.raises(FormatError, match="out of range"):
        from_json(config(x=1).replace(b"1}", b"1e999}"))


def test_a_document_nested_hundreds_deep_is_refused() -> None:
    deep = b"[" * 500 + b"]" * 500
    with pytest.raises(FormatError, match="nested deeper than 100"):
        from_json(config(x="").replace(b'""', deep))
    assert from_json(config(x="").replace(b'""', deep[450:550])).extra


@pytest.mark.parametrize("number", ["4294967296", "2147483648", "9" * 19])
def test_an_id_of_passwd_or_group_that_would_wrap_is_refused(number: str) -> None:
    with pytest.raises(PlanError, match="out of range"):
        resolve_user("a", f"a:x:{number}:0::/:/bin/sh\n", None)
    with pytest.raises(PlanError, match="out of range"):
        resolve_user("a", f"a:x:1:{number}::/:/bin/sh\n", None)
    with pytest.raises(PlanError, match="out of range"):
        resolve_user("a", "a:x:1:1::/:/bin/sh\n", f"g:x:{number}:a\n")
    with pytest.raises(PlanError, match="out of range"):
        group_id("g", f"g:x:{number}:\n")


def test_a_line_of_passwd_with_thousands_of_digits_is_no_account() -> None:
    with pytest.raises(PlanError, match="no user"):
        resolve_user("a", f"a:x:{'9' * 5000}:0::/:/bin/sh\n", f"g:x:{'9' * 5000}:a\n")


@pytest.mark.parametrize("end", ["\f", "\x85", "\u2028", "\x1c"])
def test_only_a_newline_ends_a_line_of_passwd(end: str) -> None:
    with pytest.raises(PlanError, match='no user "b"'):
        resolve_user("b", f"a:x:1:1:{end}b:x:0:0::/:/bin/sh\n", None)


@pytest.mark.parametrize(
    "text", ["a = " + "[" * 3000, "[build]\njobs = " + "9" * 5000, "[build]\njobs = 0x" + "f" * 5000], ids=len
)
def test_settings_that_tomllib_chokes_on_are_the_users_fault(text: str) -> None:
    with pytest.raises(UsageError):
        parse_settings(text, "/nowhere/slimstage.toml")


def test_a_link_to_an_address_that_is_none_ends_a_list() -> None:
    endpoint = read_hosts({}).endpoints("registry.example")[0]
    with pytest.raises(RegistryError) as caught:
        next_path(endpoint, "a", "tags/list", '<http://[x/>; rel="next"')
    assert caught.value.code == "bad-link"


@pytest.mark.parametrize("link", [" " * 60_000, "<x>;rel= " + " a" * 30_000, ";rel= " * 10_000])
def test_a_link_header_of_blanks_is_read_in_one_pass(link: str) -> None:
    endpoint = read_hosts({}).endpoints("registry.example")[0]
    assert next_path(endpoint, "a", "tags/list", link) is None


def test_a_line_of_apt_without_an_address_is_no_source() -> None:
    assert parse_targets(["https:// bookworm main Debian", "https://d/debian/ bookworm main Debian"]) == [
        Target("https://d/debian", "bookworm", "main", "Debian")
    ]


@pytest.mark.parametrize("name", ["username", "password", "identitytoken"])
def test_a_login_that_no_encoding_has_is_none(tmp_path: Path, name: str) -> None:
    entry = {"username": "u", "password": "p", name: "\ud800"}
    if name == "identitytoken":
        entry = {name: "\ud800"}
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"registry.example": entry}}))
    environ = {"DOCKER_CONFIG": str(tmp_path), "HOME": str(tmp_path)}
    assert CredentialSource(Secrets(), environ).find("registry.example", "a").credential is None


def test_a_member_of_an_archive_whose_size_has_thousands_of_digits_is_refused(tmp_path: Path) -> None:
    body = b"=" + b"9" * 5000 + b"\n"
    record = b"%d size" % (len(body) + len(b"5010 size")) + body
    path = tmp_path / "x.tar"
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, len(record)
    path.write_bytes(info.tobuf() + record + bytes(-len(record) % 512) + make_tar(member("a")))
    with pytest.raises(FormatError, match="size in a PAX record"):
        Archive(str(path))


def test_records_of_a_tar_that_mean_nothing_are_not_kept_for_each_member() -> None:
    """A global header of 60,000 records: each member was given a copy of all of them."""
    body = b"".join(b"13 %05d=xxx\n" % number for number in range(60_000))
    info = tarfile.TarInfo("g")
    info.type, info.size = tarfile.XGLTYPE, len(body)
    head = info.tobuf() + body + bytes(-len(body) % 512)
    members = make_tar(*(member(f"m{number}") for number in range(5_000)))
    assert sum(1 for _ in TarReader(io.BytesIO(head + members))) == 5_000


def test_the_records_of_one_member_are_bounded_together() -> None:
    parts = []
    for number in range(30):
        body = b"100000 SCHILY.xattr.user.%02d=" % number
        body += b"v" * (100_000 - len(body) - 1) + b"\n"
        info = tarfile.TarInfo("x")
        info.type, info.size = tarfile.XHDTYPE, len(body)
        parts.append(info.tobuf() + body + bytes(-len(body) % 512))
    with pytest.raises(FormatError, match="one member are too large"):
        TarReader(io.BytesIO(b"".join(parts) + make_tar(member("a")))).next()


def test_thousands_of_port_ranges_in_one_line_make_no_list_each() -> None:
    words = " ".join(f"{first}-65535" for first in range(5_000))
    assert len(parse(f"FROM a\nEXPOSE {words}\n").stages[0].instructions) == 1
    assert check_port("1-3/udp") == (1, 3, "udp")
    assert parse_port("1-3/udp") == ["1/udp", "2/udp", "3/udp"]


def test_a_duration_of_very_many_terms_is_read_in_one_pass() -> None:
    assert parse_duration("1ns" * 100_000) == 100_000


def test_a_heredoc_whose_long_delimiter_has_blanks_is_looked_for_in_one_pass() -> None:
    text = f'FROM a\nRUN <<" {"x" * 60_000}"\n' + "\n" * 300_000
    with pytest.raises(DockerfileError, match="not closed"):
        parse(text)


def test_a_pattern_over_many_lines_is_looked_for_in_each_line_only() -> None:
    value = "a\n" * 200_000
    assert ShellPattern.parse("a*b*c").replaced(value, "x", everywhere=True) == value


def test_thousands_of_patterns_over_a_large_value_are_refused() -> None:
    with pytest.raises(DockerfileError, match="too much text to search"):
        expand_word("${A##*}" * 3000, {"A": "x" * 100_000})


@pytest.mark.parametrize("pattern", ["*a*a**b", "*a*a**/b"])
def test_wildcards_that_multiply_are_not_tried_in_all_combinations(pattern: str) -> None:
    matcher = PatternMatcher([pattern])
    assert not matcher.matches("a" * 4000)
    assert matcher.matches("aa/x/b")


def test_symlinks_that_wind_through_a_tree_do_not_make_each_member_slow(tmp_path: Path) -> None:
    """A directory that is entered and left 800 times in each of 30 symlinks: 24,000 look-ups for one member."""
    links = [
        member(f"l{number}", type=tarfile.SYMTYPE, linkname="d/../" * 800 + f"l{number + 1}") for number in range(30)
    ]
    tar = make_tar(
        member("d/", type=tarfile.DIRTYPE), *links, member("l30/", type=tarfile.DIRTYPE), member("l0/a", b"a")
    )
    with pytest.raises(FormatError) as caught:
        unpack_layer(io.BytesIO(tar), str(tmp_path), [])
    assert caught.value.code == "symlink-loop"
