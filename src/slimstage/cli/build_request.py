"""Flags and settings become a BuildRequest. Reads the environment it is given; touches no store and runs nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, TypeVar, cast

from slimstage.build.request import BuildRequest, OutputSpec, SecretSource
from slimstage.cache.places import CachePlace, CacheTarget
from slimstage.cli.attest_flags import attested
from slimstage.cli.cache_places import parse_cache_from, parse_cache_to
from slimstage.cli.merging import Merged, build_arguments, named_contexts, wanted_platforms
from slimstage.cli.outputs import check_pushed, parse_annotation, parse_output
from slimstage.cli.secrets import parse_secret, parse_ssh
from slimstage.cli.settings import Settings
from slimstage.cli.values import (
    one_of,
    parse_add_host,
    parse_cpus,
    parse_positive,
    parse_size,
    parse_ulimit,
)
from slimstage.errors import FormatError, UsageError
from slimstage.sandbox.spec import Limits
from slimstage.values import replace

Value = TypeVar("Value")

EPOCH = "SOURCE_DATE_EPOCH"
ENTITLEMENTS = ("network.host", "security.insecure", "device")
_LARGEST_EPOCH_S = 253402300799
"""The end of the year 9999: RFC 3339 has no later times."""


def make_request(
    context: str, flags: Mapping[str, Any], settings: Settings, environment: Mapping[str, str]
) -> BuildRequest:
    """The request that the flags and the settings file ask for.

    flags: option names with underscores, as click gives them; missing ones count as not given.
    environment: for `--build-arg NAME`, secrets and SOURCE_DATE_EPOCH.
    Raises UsageError naming the flag, or the place in the settings file.
    """
    merged = Merged(flags, settings)
    tags = merged.each("tag", _tag)
    platforms = wanted_platforms(merged)
    arguments = build_arguments(merged, environment)
    sbom, provenance = attested(
        merged.each("attest", str), merged.one("sbom", str, None), merged.one("provenance", str, None)
    )
    with merged.value("file") as dockerfile:
        pass
    return BuildRequest(
        context=context,
        dockerfile=dockerfile,
        target=merged.one("target", _target, None),
        platform=platforms[0] if len(platforms) == 1 else None,
        platforms=platforms if len(platforms) > 1 else (),
        build_args=arguments,
        named_contexts=named_contexts(merged, flags, settings),
        tags=tags,
        labels=cast("dict[str, str]", {k: v or "" for k, v in merged.pairs("label", _label).items()}),
        annotations=tuple(a for group in merged.each("annotation", _annotation) for a in group),
        outputs=_outputs(merged, flags, tags),
        secrets=_secrets(merged, environment),
        ssh=dict(merged.each("ssh", lambda text: parse_ssh(text, environment))),
        no_cache=merged.switch("no-cache"),
        no_cache_filter=frozenset(merged.each("no-cache-filter", str.lower)),
        pulls=merged.switch("pull"),
        jobs=merged.one("jobs", lambda text: parse_positive(text, "--jobs"), None),
        network=merged.one("network", _network, "default"),
        extra_hosts=merged.each("add-host", parse_add_host),
        limits=_limits(merged),
        entitlements=frozenset(
            merged.each("allow", _entitlement),
        ),
        uses_host_certs=merged.switch("host-certs"),
        splits_layers=merged.one("layers", _layers, "by-instruction") == "by-package",
        is_reproducible=merged.switch("reproducible"),
        source_date_epoch_s=_epoch(arguments, environment),
        backend=cast(
            'Literal["native", "runc"]',
            merged.one("sandbox", lambda text: one_of(text, ("native", "runc"), "--sandbox"), "native"),
        ),
        sbom=sbom,
        provenance=provenance,
        registries=settings.registries,
        cache_from=merged.each("cache-from", lambda text: parse_cache_from(text, environment)),
        carries_cache_mounts=merged.switch("cache-mounts"),
        cache_to=_cache_targets(merged, environment, arguments.get("BUILDKIT_INLINE_CACHE")),
    )


def _cache_targets(merged: Merged, environment: Mapping[str, str], inline: str | None) -> tuple[CacheTarget, ...]:
    """Those of `--cache-to`. inline: the build argument by which `docker build` asks for an inline cache."""
    found = merged.each("cache-to", lambda text: parse_cache_to(text, environment))
    if inline in ("1", "true") and not any(target.place.kind == "inline" for target in found):
        found = (*found, CacheTarget(CachePlace("inline")))
    seen: set[str] = set()
    for target in found:
        if str(target.place) in seen:
            raise UsageError(f'--cache-to: "{target.place}" is given twice')
        seen.add(str(target.place))
    return found


def _tag(text: str) -> str:
    from slimstage.oci.reference import parse_reference

    try:
        reference = parse_reference(text)
    except FormatError as error:
        raise UsageError(f"--tag: {error.message}", hint=error.hint) from error
    if reference.digest:
        raise UsageError(f'--tag: "{text}" has a digest', hint="a name takes a tag, the digest comes from the build")
    return text


def _layers(text: str) -> str:
    return one_of(text, ("by-instruction", "by-package"), "--layers")


def _target(text: str) -> str | None:
    return text or None


def _label(text: str) -> tuple[str, str]:
    key, _, value = text.partition("=")
    if not key.strip():
        raise UsageError(f'--label: "{text}" has no key', hint="write --label KEY=VALUE")
    return key, value


def _annotation(text: str) -> tuple[tuple[str, str, str], ...]:
    return parse_annotation(text)


def _outputs(merged: Merged, flags: Mapping[str, Any], tags: tuple[str, ...]) -> tuple[OutputSpec, ...]:
    outputs = list(merged.each("output", lambda text: parse_output(text, tags)))
    outputs = [
        OutputSpec("image", names=o.names) if o.kind == "docker" and o.destination is None else o for o in outputs
    ]
    if flags.get("push"):
        check_pushed([name for output in outputs if output.kind == "image" for name in output.names] or tags, "--push")
        if not any(output.kind == "image" for output in outputs):
            outputs.append(OutputSpec("image", names=tags))
        outputs = [replace(output, pushes=True) if output.kind == "image" else output for output in outputs]
    if not outputs or (flags.get("load") and not any(each.kind == "image" and not each.pushes for each in outputs)):
        # Before one that is pushed: what the store has of an image is then as it was pushed.
        outputs.insert(0 if flags.get("push") else len(outputs), OutputSpec("image", names=tags))
    return tuple(outputs)


def _secrets(merged: Merged, environment: Mapping[str, str]) -> dict[str, SecretSource]:
    found: dict[str, SecretSource] = {}
    for source in merged.each("secret", lambda text: parse_secret(text, environment)):
        if source.id in found:
            raise UsageError(f'--secret: "{source.id}" is given twice')
        found[source.id] = source
    return found


def _entitlement(text: str) -> str:
    kind, equals, name = text.partition("=")
    if kind == "device" and equals and not name:
        raise UsageError("--allow: the device has no name", hint="write --allow device=NAME, or --allow device for all")
    return text if kind == "device" and equals else one_of(text, ENTITLEMENTS, "--allow")


def _network(text: str) -> Literal["default", "none", "host"]:
    return cast('Literal["default", "none", "host"]', one_of(text, ("default", "none", "host"), "--network"))


def _limits(merged: Merged) -> Limits:
    return Limits(
        memory_bytes=merged.one("memory", lambda text: parse_size(text, "--memory"), None),
        cpus=merged.one("cpus", parse_cpus, None),
        shm_bytes=merged.one("shm-size", lambda text: parse_size(text, "--shm-size"), Limits().shm_bytes),
        ulimits=merged.each("ulimit", parse_ulimit),
    )


def _epoch(arguments: Mapping[str, str | None], environment: Mapping[str, str]) -> int | None:
    """SOURCE_DATE_EPOCH of a build argument, else of the environment; None when neither says it.

    Source: https://reproducible-builds.org/specs/source-date-epoch/
    """
    text = arguments.get(EPOCH)
    if text is None:
        text = environment.get(EPOCH)
    if not text:
        return None
    try:
        seconds = int(text)
    except ValueError as error:
        raise UsageError(
            f'{EPOCH}: "{text}" is not a number of seconds', hint="try: git log -1 --format=%ct"
        ) from error
    if not 0 <= seconds <= _LARGEST_EPOCH_S:
        raise UsageError(f"{EPOCH}: {seconds} is out of range")
    return seconds
