"""docs/compatibility.md says of everything that the parser and the command line know what it is; each point has its test."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from slimstage.cli import outputs
from slimstage.cli.build_options import IGNORED, REFUSED
from slimstage.cli.commands.build import command
from slimstage.dockerfile import directives, mounts
from slimstage.dockerfile.flags import FLAGS
from slimstage.dockerfile.gitref import parse_git_ref
from slimstage.dockerfile.syntax import KEYWORDS
from slimstage.lint import catalogue
from slimstage.oci.descriptor import Platform
from slimstage.plan.request import PlanRequest
from slimstage.plan.scope import PROXY_NAMES, automatic_args

TESTS = Path(__file__).resolve().parents[2]
PAGE = TESTS.parent / "docs" / "compatibility.md"
KINDS = {"same", "different", "not there", "ours"}

BUILDX = (
    "--add-host --allow --annotation --attest --build-arg --build-context --builder --cache-from --cache-to --call"
    " --cgroup-parent --check --debug -D --file -f --iidfile --label --load --metadata-file --network --no-cache"
    " --no-cache-filter --output -o --platform --progress --provenance --pull --push --quiet -q --sbom --secret"
    " --shm-size --ssh --tag -t --target --ulimit"
)
"""What `docker buildx build --help` lists, version 0.29."""

EXPORTERS = {
    "image", "registry", "oci", "docker", "local", "tar", "cacheonly",
}  # fmt: skip
EXPORTER_KEYS = (
    "name push push-by-digest registry.insecure oci-mediatypes oci-artifact unpack dangling-name-prefix"
    " name-canonical compression compression-level force-compression rewrite-timestamp store annotation"
    " attestation-inline prefer-nondist-layers compatibility-version tar dest platform-split mode attestation-prefix"
)
BACK_ENDS = {"inline", "registry", "local", "gha", "s3", "azblob"}
BUILDKIT_ARGS = (
    "BUILD_NAME CACHE_MOUNT_NS CONTEXT_KEEP_GIT_DIR DOCKERFILE_CHECK INLINE_CACHE MULTI_PLATFORM SANDBOX_HOSTNAME"
    " SBOM_SCAN_CONTEXT SBOM_SCAN_STAGE SYNTAX"
)


def table(title: str) -> dict[str, tuple[str, str]]:
    """name → (what it is, remark) of the table under a heading; a row with several names counts for each."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert found, title
    rows: dict[str, tuple[str, str]] = {}
    for line in found[1].splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split(" | ")]
        if not line.startswith("| ") or cells[1] == "is":
            continue
        for name in re.findall(r"`([^`]+)`", cells[0]) or [cells[0]]:
            assert name not in rows, f"{name} has two rows"
            rows[name] = (cells[1].removesuffix(" |").strip(), cells[2].strip(" |") if len(cells) > 2 else "")
    return rows


TITLES = re.findall(r"^## (.*)$", PAGE.read_text(), re.MULTILINE)


@pytest.mark.parametrize("title", [title for title in TITLES if title not in ("Checks", "Where results differ")])
def test_each_row_is_one_of_four_kinds_and_what_is_not_the_same_has_its_reason(title: str) -> None:
    rows = table(title)
    assert rows
    for name, (kind, remark) in rows.items():
        assert kind in KINDS, (name, kind)
        assert remark or kind in ("same", "ours"), f"{name}: why?"


def test_the_instructions_are_those_of_the_parser() -> None:
    assert set(table("Instructions")) == {keyword.upper() for keyword in KEYWORDS}


def test_the_flags_are_those_of_the_parser() -> None:
    known = {f"{name.upper()} --{flag}" for name, flags in FLAGS.items() for flag in flags}
    assert set(table("Flags of instructions")) == known


def test_the_mount_options_are_those_of_the_parser() -> None:
    known = mounts._KEYS | set(mounts._NAMES) | {f"type={kind}" for kind in mounts._TYPES}
    assert set(table("Mounts")) == known


def test_the_directives_are_those_of_the_parser() -> None:
    assert {name for name in table("The file") if name.startswith("# ")} == {f"# {name}=" for name in directives.NAMES}


def test_the_predefined_arguments_are_those_of_the_plan() -> None:
    rows = table("Predefined arguments")
    platform = Platform("linux", "amd64")
    automatic = set(automatic_args(PlanRequest(platform), None))
    proxies = {name for each in PROXY_NAMES for name in (each, each.lower())}
    buildkit = {f"BUILDKIT_{name}" for name in BUILDKIT_ARGS.split()}
    assert set(rows) == automatic | proxies | buildkit | {"SOURCE_DATE_EPOCH"}
    source = "".join(path.read_text() for path in (TESTS.parent / "src").rglob("*.py"))
    for name in buildkit:
        # What is the same is looked at somewhere; what has no effect is only kept out of the environment, or nowhere.
        assert rows[name][0] == ("same" if f'"{name}"' in source and "SBOM" not in name else "not there"), name


def test_each_check_of_buildkit_has_its_row() -> None:
    named = [name for row in table("Checks") for name in re.findall(r"`?([A-Z][A-Za-z]+)`?", row)]
    assert sorted(named) == sorted(catalogue.NAMES["buildkit"])
    assert {kind for kind, _ in table("Checks").values()} <= {"same", "different"}


def test_the_options_are_those_of_the_command_and_of_buildx() -> None:
    rows = table("Options of `build`")
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    known = {name for option in options for name in (*option.opts, *option.secondary_opts)}
    assert set(rows) == known | set(BUILDX.split())
    for name, (kind, _) in rows.items():
        if (name not in known and name != "-D") or name in REFUSED or name in IGNORED:
            assert kind == "not there", name
        elif name not in BUILDX.split():
            assert kind == "ours", name
        else:
            assert kind in ("same", "different"), name


def test_the_outputs_and_their_options_are_those_of_the_command_and_of_buildx() -> None:
    rows = table("Outputs")
    types = {f"type={name}" for name in EXPORTERS}
    known = {key for keys in outputs._KEYS.values() for key in keys}
    assert set(rows) == types | known | set(EXPORTER_KEYS.split())
    assert {name for name, row in rows.items() if name.startswith("type=") and row[0] != "not there"} == {
        f"type={kind}" for kind in (*outputs._KEYS, "registry")
    }
    for key in set(EXPORTER_KEYS.split()) - known - {"annotation"}:
        assert rows[key][0] == "not there", key


def test_the_cache_back_ends_of_buildkit_have_rows() -> None:
    assert {name.removeprefix("type=") for name in table("Cache back ends") if name.startswith("type=")} == BACK_ENDS


def test_the_queries_of_git_contexts_are_those_that_are_read() -> None:
    (remark,) = [remark for name, (_, remark) in table("Contexts").items() if name.startswith("URL#")]
    for query in re.findall(r"`([a-z-]+)`", remark):
        value = {"checksum": "abcd", "commit": "abcd", "mtime": "commit", "submodules": "1", "keep-git-dir": "1"}
        more = "&checksum=abcd" if query == "fetch-by-commit" else ""
        text = f"https://h/r.git?{query}={value.get(query, '1' if query == 'fetch-by-commit' else 'x')}{more}"
        assert parse_git_ref(text) is not None, query


def test_every_one_of_the_80_points_has_a_test_of_its_name() -> None:
    files = [*TESTS.glob("unit/points/test_points_*.py"), *TESTS.glob("integration/test_points_*.py")]
    named = {
        int(number)
        for path in files
        for number in re.findall(r"^def test_point_(\d\d)_", path.read_text(), re.MULTILINE)
    }
    assert named == set(range(1, 81))
