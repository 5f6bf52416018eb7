"""The options of `build`, in the groups its help shows: those of `docker build` and buildx, and slimstage's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from slimstage.cli.authfile import authfile
from slimstage.cli.verb import option

PROGRESS = ("auto", "plain", "tty", "json", "rawjson", "quiet", "none")

_INPUT, _IMAGE, _CACHE, _STEPS, _OUTPUT, _SHOW = (
    "What to build",
    "The image",
    "Cache and bases",
    "How steps run",
    "Where the result goes",
    "What is shown",
)

_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    option("-f", "--file", metavar="PATH", group=_INPUT, help="The Dockerfile; - is stdin [default: CONTEXT/Dockerfile]."),
    option("--target", metavar="STAGE", group=_INPUT, help="Build this stage instead of the last."),
    option("--build-arg", multiple=True, metavar="NAME[=VALUE]", group=_INPUT,
           help="Set an ARG; NAME alone takes the environment's value."),
    option("--build-context", multiple=True, metavar="NAME=SPEC", group=_INPUT,
           help="Use SPEC for the stage or image NAME: a directory, docker-image://, oci-layout://, target:, debian://."),
    option("--platform", multiple=True, metavar="OS/ARCH[,…]", group=_INPUT,
           help="Build for this platform [default: this host]; of several, the result is an index."),
    option("-t", "--tag", multiple=True, metavar="NAME[:TAG]", group=_IMAGE, help="Name the image; may be repeated."),
    option("--label", multiple=True, metavar="KEY=VALUE", group=_IMAGE, help="Add a label to the image's config."),
    option("--annotation", multiple=True, metavar="[WHERE:]KEY=VALUE", group=_IMAGE,
           help="Annotate the manifest, index, manifest-descriptor or index-descriptor."),
    option("--sbom", is_flag=False, flag_value="true", metavar="[=true|false]", group=_IMAGE,
           help="Attach bills of materials (SPDX, CycloneDX) to the image."),
    option("--provenance", is_flag=False, flag_value="true", metavar="[=false|mode=max]", group=_IMAGE,
           help="Attach a statement of what the image was built from (SLSA)."),
    option("--attest", multiple=True, metavar="type=sbom|provenance,…", group=_IMAGE, help="The same, in buildx's words."),
    option("--reproducible", is_flag=True, group=_IMAGE,
           help="The same inputs give the same digest anywhere; times are clamped to SOURCE_DATE_EPOCH (else 1980)."),
    option("--layers", metavar="HOW", group=_IMAGE,
           help="by-instruction, or by-package: a COPY becomes one layer for each big package and weight "
                "[default: by-instruction]."),
    option("--no-cache", is_flag=True, group=_CACHE, help="Run every step."),
    option("--no-cache-filter", multiple=True, metavar="STAGE", group=_CACHE, help="Run every step of these stages."),
    option("--cache-from", multiple=True, metavar="SPEC", group=_CACHE,
           help="Also find steps in a cache of another machine: an image name, or type=registry|local|s3,…."),
    option("--cache-to", multiple=True, metavar="SPEC", group=_CACHE,
           help="Write what this build made to a cache: an image name, or type=registry|local|inline|s3,…,mode=min|max."),
    option("--cache-mounts", is_flag=True, default=None, group=_CACHE,
           help="What RUN --mount=type=cache directories hold travels with --cache-to and --cache-from."),
    option("--pull", is_flag=True, group=_CACHE, help="Ask the registry for newer bases."),
    option("--jobs", metavar="N", group=_STEPS, help="Steps that run at the same time [default: as many as CPUs, at least 4]."),
    option("--secret", multiple=True, metavar="id=NAME[,src=FILE|,env=VAR]", group=_STEPS,
           help="A secret for RUN --mount=type=secret."),
    option("--ssh", multiple=True, metavar="ID[=SOCKET|KEY]", group=_STEPS, help="An ssh agent for RUN --mount=type=ssh."),
    option("--network", metavar="MODE", group=_STEPS, help="Network of RUN steps: default, none or host."),
    option("--add-host", multiple=True, metavar="NAME:ADDRESS", group=_STEPS, help="A line for /etc/hosts of RUN steps."),
    option("--host-certs", is_flag=True, default=None, group=_STEPS,
           help="Let RUN steps trust this host's certificates; the image does not change."),
    option("--allow", multiple=True, metavar="ENTITLEMENT", group=_STEPS,
           help="Allow network.host, security.insecure, device or device=NAME."),
    option("-m", "--memory", metavar="SIZE", group=_STEPS, help="Memory limit of each RUN step."),
    option("--cpus", metavar="N", group=_STEPS, help="CPU limit of each RUN step."),
    option("--shm-size", metavar="SIZE", group=_STEPS, help="Size of /dev/shm [default: 64m]."),
    option("--ulimit", multiple=True, metavar="NAME=SOFT[:HARD]", group=_STEPS, help="A resource limit of RUN steps."),
    option("--sandbox", metavar="BACKEND", group=_STEPS, help="What confines RUN steps: native or runc [default: native]."),
    option("-o", "--output", multiple=True, metavar="SPEC", group=_OUTPUT,
           help="A directory, or type=image|registry|oci|docker|local|tar,dest=PATH,…; may be repeated [default: the store]."),
    option("--load", is_flag=True, group=_OUTPUT,
           help="Keep the image in the store, and give it to this host's Docker or Podman where there is one."),
    option("--push", is_flag=True, group=_OUTPUT,
           help="Push the image to the registries of its names; the same as -o type=registry."),
    option("--sign-key", metavar="FILE", group=_OUTPUT,
           help="Then sign what was pushed with this private key, as `sign` does."),
    authfile(_OUTPUT),
    option("--iidfile", metavar="PATH", group=_OUTPUT, help="Write the image ID to this file."),
    option("--metadata-file", metavar="PATH", group=_OUTPUT, help="Write what was built to this file, as buildx does."),
    option("--summary", metavar="PATH", group=_OUTPUT, help="Add a summary in Markdown to this file, for a CI job's page."),
    option("--report", metavar="PATH", group=_OUTPUT, help="Write a page about the build and its image, as one HTML file."),
    option("--progress", metavar="KIND", group=_SHOW, help="auto, plain, tty or json [default: auto]."),
    option("-q", "--quiet", is_flag=True, group=_SHOW, help="Show no progress, print only the image ID."),
    option("--json", "as_json", is_flag=True, group=_SHOW, help="Print one JSON document about the build on stdout."),
    option("--explain", is_flag=True, group=_SHOW, help="Say for every step that ran what changed since the last time."),
    option("--check", is_flag=True, group=_SHOW, help="Run BuildKit's checks on the Dockerfile, and build nothing."),
    option("--call", metavar="METHOD", group=_SHOW,
           help="check, outline (arguments and secrets) or targets, and build nothing; METHOD,format=json."),
    option("--plan", is_flag=True, group=_SHOW, help="Print what would be built, and build nothing."),
    option("--format", "plan_format", metavar="FORMAT", group=_SHOW,
           help="Form of the plan: text, json, dot or mermaid [default: text]."),
)  # fmt: skip

IGNORED = {
    "--rm": "a step leaves no container behind",
    "--force-rm": "a step leaves no container behind",
    "--compress": "the context is read in place, nothing is sent",
    "--disable-content-trust": "digests are always verified",
    "--builder": "there is no builder to choose: slimstage builds in its own process",
    "--cpu-shares": "only --cpus and --memory limit steps",
    "--cpuset-cpus": "only --cpus and --memory limit steps",
    "--cpuset-mems": "only --cpus and --memory limit steps",
    "--memory-swap": "only --cpus and --memory limit steps",
    "--cgroup-parent": "steps have cgroups of their own",
}
"""Flags of `docker build` that change nothing about the result: accepted, with this said once on stderr."""

REFUSED = {
    "--squash": "copy what is needed into a last stage instead: it holds nothing else",
    "--security-opt": "use --allow=security.insecure with RUN --security=insecure",
    "--isolation": "isolation is Windows' own; --sandbox chooses the backend here",
    "--cpu-period": "write --cpus=QUOTA/PERIOD, as a number",
    "--cpu-quota": "write --cpus=QUOTA/PERIOD, as a number",
}
"""Flags whose absence the user would miss: an error that says what to do."""

_HARMLESS_VALUES = {"false", "0", "default"}
"""`--squash=false`, `--isolation=default` ask for nothing."""

_SWITCHES = {"--rm", "--force-rm", "--compress", "--disable-content-trust", "--squash"}


def _destination(flag: str) -> str:
    return "foreign_" + flag.strip("-").replace("-", "_")


def _foreign(flag: str) -> Callable[[Any], Any]:
    if flag in _SWITCHES:
        # `--rm=true` and `--rm=false` are as common as `--rm`.
        return option(flag, _destination(flag), hidden=True, is_flag=False, flag_value="true", default=None)
    return option(flag, _destination(flag), hidden=True, multiple=True)


def build_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """All options of `build` on a click callback."""
    for flag in reversed([*IGNORED, *REFUSED]):
        function = _foreign(flag)(function)
    for one in reversed(_OPTIONS):
        function = one(function)
    return click.argument("context", metavar="CONTEXT", required=False)(function)


def foreign_flags(given: dict[str, Any]) -> tuple[list[str], list[str]]:
    """(ignored, refused): the flags of the two tables that were given and ask for something. Takes them out of `given`."""
    ignored: list[str] = []
    refused: list[str] = []
    for flag in (*IGNORED, *REFUSED):
        value = given.pop(_destination(flag), None)
        texts = [value] if isinstance(value, str) else list(value or ())
        if any(text.lower() not in _HARMLESS_VALUES for text in texts):
            (ignored if flag in IGNORED else refused).append(flag)
    return ignored, refused
