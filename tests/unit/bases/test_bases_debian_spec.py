"""What `debian://` references mean, and what of apt's and mmdebstrap's words is understood."""

from __future__ import annotations

import pytest

from slimstage.bases.aptsources import AptSources, Target, choose, parse_sources, parse_targets, signed_by
from slimstage.bases.bootstrap import explained, mmdebstrap_arguments
from slimstage.bases.debian import DebianSpec, check_architecture, debian_config, parse_debian
from slimstage.errors import PlanError, SandboxError
from slimstage.oci.config import to_json
from slimstage.oci.descriptor import Platform

AMD64 = Platform("linux", "amd64")


def test_every_parameter_is_read() -> None:
    spec = parse_debian(
        "debian://bookworm?include=python3,libstdc++6&include=make&variant=buildd&components=main,contrib&arch=amd64"
        "&link=python3:py&env=A=b=c&env=D=&cmd=python3,-q"
    )
    assert spec == DebianSpec(
        "bookworm",
        ("libstdc++6", "make", "python3"),
        "buildd",
        ("main", "contrib"),
        ("A=b=c", "D="),
        ("python3", "-q"),
        (("python3", "py"),),
        "amd64",
    )


def test_the_default_is_minbase_of_main() -> None:
    assert parse_debian("debian://sid") == DebianSpec("sid")


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("debian://", "not a Debian suite"),
        ("debian://Bookworm", "not a Debian suite"),
        ("debian://bookworm;rm -rf", "not a Debian suite"),
        ("debian://../x", "not a Debian suite"),
        ("debian://-x", "not a Debian suite"),
        ("debian://bookworm?includ=a", 'no parameter "includ"'),
        ("debian://bookworm?include=a b;c", "not the name of a Debian package"),
        ("debian://bookworm?include=--x", "not the name of a Debian package"),
        ("debian://bookworm?include=/etc/x.deb", "not the name of a Debian package"),
        ("debian://bookworm?variant=minibase", "not a variant"),
        ("debian://bookworm?variant=minbase&variant=apt", "given twice"),
        ("debian://bookworm?components=main%20'", "not a component"),
        ("debian://bookworm?link=python3", "needs TARGET:NAME"),
        ("debian://bookworm?link=../a:b", "needs TARGET:NAME"),
        ("debian://bookworm?link=a:b'", "needs TARGET:NAME"),
        ("debian://bookworm?env=A", "needs NAME=VALUE"),
        ("debian://bookworm?env==b", "needs NAME=VALUE"),
    ],
)
def test_a_reference_that_makes_no_sense_is_refused(reference: str, words: str) -> None:
    with pytest.raises(PlanError, match=words) as caught:
        parse_debian(reference)
    assert caught.value.code == "bad-base"


def test_a_wrong_parameter_is_told_the_right_one() -> None:
    with pytest.raises(PlanError) as caught:
        parse_debian("debian://bookworm?includ=a")
    assert caught.value.hint == 'did you mean "include"?'


def test_equal_specs_have_one_key_however_they_are_written() -> None:
    keys = {
        parse_debian(reference).key(AMD64)
        for reference in (
            "debian://bookworm?include=bb,aa",
            "debian://bookworm?variant=minbase&include=aa,bb,aa",
            "debian://bookworm?include=aa&include=bb&arch=amd64",
        )
    }
    assert len(keys) == 1


@pytest.mark.parametrize(
    "other", ["include=aa", "include=aa,bb&env=X=y", "include=aa,bb&link=a:b", "include=aa,bb&cmd=x"]
)
def test_whatever_changes_the_image_changes_the_key(other: str) -> None:
    assert parse_debian(f"debian://bookworm?{other}").key(AMD64) != parse_debian("debian://bookworm?include=aa,bb").key(
        AMD64
    )
    assert parse_debian("debian://bookworm").key(AMD64) != parse_debian("debian://bookworm").key(
        Platform("linux", "arm64")
    )


def test_the_key_of_a_known_spec_stays() -> None:
    """A change here makes every user's systems anew: raise VERSION when their content changes, and only then."""
    key = parse_debian("debian://bookworm?include=python3").key(AMD64)
    assert key == "0b44db14b2af13302614f6b49f6706ff17de9e64c4f832188295ec41ebaab8e3"


@pytest.mark.parametrize(
    ("platform", "name"),
    [
        (AMD64, "amd64"),
        (Platform("linux", "arm64"), "arm64"),
        (Platform("linux", "arm", "v7"), "armhf"),
        (Platform("linux", "arm", "v6"), "armel"),
        (Platform("linux", "386"), "i386"),
        (Platform("linux", "ppc64le"), "ppc64el"),
    ],
)
def test_architectures_have_debians_names(platform: Platform, name: str) -> None:
    assert check_architecture(DebianSpec("bookworm"), platform) == name
    assert check_architecture(DebianSpec("bookworm", arch=name), platform) == name


def test_another_architecture_or_system_is_refused() -> None:
    with pytest.raises(PlanError, match='architecture "arm64"') as caught:
        check_architecture(DebianSpec("bookworm", arch="arm64"), AMD64)
    assert caught.value.code == "platform-mismatch"
    with pytest.raises(PlanError, match="windows"):
        check_architecture(DebianSpec("bookworm"), Platform("windows", "amd64"))


def test_the_config_has_a_path_and_a_command_and_names_no_host() -> None:
    config = debian_config(parse_debian("debian://bookworm?include=make&env=A=b"), AMD64)
    assert config.env == ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "A=b")
    assert config.cmd == ("bash",)
    assert debian_config(parse_debian("debian://bookworm?include=python3"), AMD64).cmd == ("python3",)
    assert debian_config(parse_debian("debian://bookworm?include=python3&cmd=sh"), AMD64).cmd == ("sh",)
    assert b"://" not in to_json(config)


# apt's sources ----------------------------------------------------------------------------------------------------


def _targets(*lines: str) -> list[Target]:
    return parse_targets(lines)


HOST = (
    "http://mirror.test/debian/ bookworm main Debian",
    "http://mirror.test/debian/ bookworm-updates main Debian",
    "http://mirror.test/debian-security/ bookworm-security main Debian",
    "https://other.test/apt tool-bookworm main Some Vendor",
    "https://vendor.test/bookworm bookworm main Some Vendor",
)


def test_the_suite_comes_with_updates_and_security_of_debian_only() -> None:
    assert choose(_targets(*HOST), "bookworm", ["main"]) == (
        "deb http://mirror.test/debian bookworm main",
        "deb http://mirror.test/debian bookworm-updates main",
        "deb http://mirror.test/debian-security bookworm-security main",
    )


def test_a_host_of_another_release_lends_its_mirror() -> None:
    assert choose(_targets(*HOST), "trixie", ["main", "contrib"]) == (
        "deb http://mirror.test/debian trixie main contrib",
    )


def test_without_package_lists_the_path_tells_what_is_debian() -> None:
    bare = [line.rpartition(" main ")[0] + " main " for line in HOST]
    assert choose(_targets(*bare), "bookworm", ["main"]) == choose(_targets(*HOST), "bookworm", ["main"])
    unknown = [f"{line.rpartition(' main ')[0]} main $(ORIGIN)" for line in HOST]
    assert choose(_targets(*unknown), "bookworm", ["main"]) == choose(_targets(*HOST), "bookworm", ["main"])


def test_a_host_without_debian_leaves_the_choice_to_mmdebstrap() -> None:
    assert choose(_targets("http://archive.test/ubuntu noble main Ubuntu", "garbage", ""), "bookworm", ["main"]) == ()


def test_files_of_sources_are_read_where_no_lists_were_fetched() -> None:
    lines = """# a comment
deb [arch=amd64 signed-by=/k.gpg] http://mirror.test/debian/ bookworm main contrib # ours
  deb http://mirror.test/debian-security bookworm-security main
deb-src http://mirror.test/debian bookworm main
#deb http://off.test/debian bookworm main
deb cdrom:[Debian]/ bookworm main
"""
    stanzas = """Types: deb deb-src
# URIs: http://snapshot.test/
URIs: http://mirror.test/debian
Suites: bookworm
 bookworm-updates
Components: main contrib
Signed-By: /k.gpg

Types: deb
URIs: http://mirror.test/debian-security/
Suites: bookworm-security
Components: main

Types: deb
Enabled: no
URIs: http://off.test/debian
Suites: bookworm
Components: main

Types: deb-src
URIs: http://src.test/debian
Suites: bookworm
Components: main
"""
    assert [(each.uri, each.release, each.component) for each in parse_sources(lines)] == [
        ("http://mirror.test/debian", "bookworm", "main"),
        ("http://mirror.test/debian", "bookworm", "contrib"),
        ("http://mirror.test/debian-security", "bookworm-security", "main"),
    ]
    assert choose(parse_sources(stanzas), "bookworm", ["main"]) == (
        "deb http://mirror.test/debian bookworm main",
        "deb http://mirror.test/debian bookworm-updates main",
        "deb http://mirror.test/debian-security bookworm-security main",
    )


@pytest.mark.parametrize(
    "text", ["", "\n\n", "deb\n", "deb x", ": :\n  y\n", "Types:\nURIs:\n", " leading\n", "deb [ x y z"]
)
def test_odd_files_of_sources_name_nothing(text: str) -> None:
    assert parse_sources(text) == []


def test_keyrings_are_read_from_both_forms_of_sources() -> None:
    assert signed_by("deb [arch=amd64 signed-by=/a/debian.gpg,/b.gpg] http://x y z\n# deb [signed-by=/no.gpg] x") == [
        "/a/debian.gpg",
        "/b.gpg",
    ]
    assert signed_by("Types: deb\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n") == [
        "/usr/share/keyrings/debian-archive-keyring.gpg"
    ]
    assert signed_by("Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n") == []


# mmdebstrap -------------------------------------------------------------------------------------------------------


def test_the_command_line_holds_what_was_asked_for() -> None:
    sources = AptSources(("deb http://mirror.test/debian bookworm main",), "/keys/debian.gpg")
    arguments = mmdebstrap_arguments(parse_debian("debian://bookworm?include=bb,aa&link=a:x"), "arm64", sources)
    assert arguments[0] == "--variant=minbase"
    assert {"--format=tar", "--architectures=arm64", "--include=aa,bb", "--components=main"} <= set(arguments)
    assert "--keyring=/keys/debian.gpg" in arguments
    assert arguments[-3:] == ["bookworm", "-", "deb http://mirror.test/debian bookworm main"]
    (hook,) = [each for each in arguments if each.startswith("--customize-hook=")]
    assert hook.endswith("link 'a' 'x'\n")
    assert "@APT_CLEAN@" not in hook


@pytest.mark.parametrize(
    ("line", "kind", "code"),
    [
        ("E: Unable to locate package nosuch", PlanError, "no-such-package"),
        ("E: Package 'nosuch' has no installation candidate", PlanError, "no-such-package"),
        ("E: The repository 'http://x y Release' does not have a Release file.", PlanError, "no-such-suite"),
        ("E: slimstage: there is no program nosuch to link", PlanError, "bad-base"),
        ("tar: x: Cannot write: No space left on device", SandboxError, "no-room-for-system"),
        ("E: something else", SandboxError, "mmdebstrap-failed"),
    ],
)
def test_failures_are_told_by_their_cause(line: str, kind: type[Exception], code: str) -> None:
    error = explained(DebianSpec("bookworm"), 25, ["I: running apt-get update...", line, "E: mmdebstrap failed to run"])
    assert type(error) is kind
    assert error.code == code
    if "nosuch" in line:
        assert '"nosuch"' in error.message
