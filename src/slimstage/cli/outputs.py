"""`--output`: buildx's CSV to an OutputSpec.

Source: Docker's reference of `docker buildx build --output` and the exporters' pages (image, oci, docker, local, tar).
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import cast

from slimstage.build.request import Compression, OutputKind, OutputSpec
from slimstage.cli.values import one_of, parse_bool, split_csv, split_pair
from slimstage.diagnostics import did_you_mean
from slimstage.errors import FormatError, UsageError
from slimstage.oci.descriptor import parse_platform
from slimstage.oci.reference import parse_reference
from slimstage.regex import pattern

FLAG = "--output"

_ANNOTATION = pattern(
    r"annotation(?:-(manifest-descriptor|index-descriptor|manifest|index))?(\[[^\]]*\])?\.(.+)\Z", re.DOTALL
)
_WHERE = pattern(r"([a-z-]+)(\[[^\]]*\])?\Z")
_ANNOTATION_WHERE = ("manifest", "index", "manifest-descriptor", "index-descriptor")

_IMAGE_KEYS = frozenset({
    "name", "compression", "compression-level", "force-compression", "rewrite-timestamp", "oci-mediatypes",
})  # fmt: skip
_KEYS: dict[str, frozenset[str]] = {
    "image": _IMAGE_KEYS
    | {"push", "push-by-digest", "registry.insecure", "unpack", "store", "name-canonical", "dangling-name-prefix"},
    "oci": _IMAGE_KEYS | {"dest", "tar"},
    "docker": _IMAGE_KEYS | {"dest", "tar"},
    "local": frozenset({"dest", "mode", "platform-split"}),
    "tar": frozenset({"dest"}),
}
_ALL_KEYS = frozenset({"type"}.union(*_KEYS.values()))
_LEVELS = {"gzip": range(10), "zstd": range(23), "estargz": range(10), "zstd:chunked": range(23)}
_OCI_ONLY = ("estargz", "zstd:chunked")


def parse_output(text: str, tags: Sequence[str] = ()) -> OutputSpec:
    """The OutputSpec of one `--output`; `-o DIR` is `type=local`, `-o -` a tar on stdout.

    tags: of `-t`: the names of an image, oci or docker output that has no `name=` of its own.
    Raises UsageError naming the key and what would be right.
    """
    fields = split_csv(text, FLAG)
    if fields == [text] and not text.startswith("type="):
        key = text.partition("=")[0]
        if "=" in text and key in _ALL_KEYS:
            raise UsageError(f'{FLAG}: "{text}" has no type', hint=f'write "type=oci,{text}", for example')
        return OutputSpec("tar", "-") if text == "-" else OutputSpec("local", text)
    options: dict[str, str] = {}
    annotations: list[tuple[str, str, str]] = []
    for field in fields:
        key, value = split_pair(field, FLAG)
        annotation = _ANNOTATION.match(key)
        if annotation:
            annotations.append((_place(annotation[1] or "manifest", annotation[2], FLAG), annotation[3], value))
            continue
        key = key.lower()
        if key in options:
            raise UsageError(f'{FLAG}: "{key}" is given twice')
        options[key] = value
    kind = _kind(options.pop("type", None), options)
    _check_keys(kind, options, annotations)
    return _spec(kind, options, tuple(annotations), tuple(tags))


def _kind(text: str | None, options: dict[str, str]) -> OutputKind:
    """The kind; `registry` is an image that is pushed, as with buildx."""
    if text is None:
        raise UsageError(f"{FLAG}: the type is missing", hint='begin with "type=image", "type=oci", "type=local", …')
    if text == "registry":
        options.setdefault("push", "true")
        return "image"
    return cast(OutputKind, one_of(text, _KEYS, f"{FLAG} type"))


def _check_keys(kind: OutputKind, options: dict[str, str], annotations: list[tuple[str, str, str]]) -> None:
    for key in options:
        if key not in _KEYS[kind]:
            elsewhere = [other for other, keys in _KEYS.items() if key in keys]
            raise UsageError(
                f'{FLAG}: type={kind} has no option "{key}"',
                hint=f"it belongs to type={elsewhere[0]}" if elsewhere else did_you_mean(key, _KEYS[kind]),
                notes=(f"it has {', '.join(sorted(_KEYS[kind]))}",),
            )
    if annotations and kind in ("local", "tar"):
        raise UsageError(f"{FLAG}: type={kind} has no annotations")


def _spec(
    kind: OutputKind, options: dict[str, str], annotations: tuple[tuple[str, str, str], ...], tags: tuple[str, ...]
) -> OutputSpec:
    def flag(key: str, default: bool) -> bool:
        return parse_bool(options[key], f"{FLAG} {key}") if key in options else default

    if flag("registry.insecure", False):
        raise UsageError(
            f"{FLAG}: registry.insecure is not offered",
            hint='set plain-http = true, or insecure-skip-verify = true, under [registry."HOST:PORT"] of slimstage.toml',
        )
    if options.get("mode", "copy") not in ("copy", "delete"):
        one_of(options["mode"], ("copy", "delete"), f"{FLAG} mode")
    if options.get("mode") == "delete":
        raise UsageError(f"{FLAG}: mode=delete is not offered", hint="empty the directory first")
    compression, level = _compression(options)
    names = tuple(name for name in options.get("name", "").split(",") if name) or tags
    pushes = flag("push", False) or flag("push-by-digest", False)
    if pushes:
        check_pushed(names, FLAG)
    return OutputSpec(
        kind,
        _destination(kind, options, is_tar=flag("tar", True)),
        is_tar=flag("tar", True),
        names=names if kind in ("image", "oci", "docker") else (),
        compression=compression,
        compression_level=level,
        forces_compression=flag("force-compression", False),
        rewrites_timestamps=flag("rewrite-timestamp", False),
        annotations=annotations,
        # What finds the table of contents stands in annotations, which Docker's manifest has not: as with buildx.
        uses_docker_types=not flag("oci-mediatypes", True) and compression not in _OCI_ONLY,
        splits_platforms=flag("platform-split", True) if "platform-split" in options else None,
        pushes=pushes,
        pushes_by_digest=flag("push-by-digest", False),
    )


def check_pushed(names: Sequence[str], flag: str) -> None:
    """Raises UsageError: without a name, or with one that is none, nobody knows where to push to."""
    if not names:
        raise UsageError(f"{flag}: an image that is pushed needs a name", hint="give -t REGISTRY/NAME:TAG")
    for name in names:
        try:
            reference = parse_reference(name)
        except FormatError as error:
            raise UsageError(f"{flag}: {error.message}", code=error.code, hint=error.hint) from error
        if reference.digest:
            raise UsageError(
                f'{flag}: "{name}" has a digest', hint="a name takes a tag, the digest comes from the build"
            )


def _destination(kind: OutputKind, options: dict[str, str], *, is_tar: bool) -> str | None:
    dest = options.get("dest")
    if dest == "":
        raise UsageError(f"{FLAG}: dest is empty")
    if kind == "image":
        return None
    if kind == "local" or (kind in ("oci", "docker") and not is_tar):
        if dest is None or dest == "-":
            raise UsageError(f"{FLAG}: type={kind} needs a directory", hint=f'write "type={kind},dest=DIR"')
        return dest
    if kind == "docker" and dest is None:
        return None  # as `--load`: into the store
    return dest or "-"


def _compression(options: dict[str, str]) -> tuple[Compression | None, int | None]:
    kind: Compression | None = None
    if "compression" in options:
        kind = cast(Compression, one_of(options["compression"], (*_LEVELS, "uncompressed"), f"{FLAG} compression"))
    if "compression-level" not in options:
        return kind, None
    text = options["compression-level"]
    if kind == "uncompressed":
        raise UsageError(f"{FLAG}: compression-level makes no sense with compression=uncompressed")
    allowed = _LEVELS[kind or "gzip"]
    try:
        level = int(text)
    except ValueError as error:
        raise UsageError(f'{FLAG}: compression-level "{text}" is not a number') from error
    if level not in allowed:
        raise UsageError(f"{FLAG}: compression-level {level} is not in {allowed.start} to {allowed.stop - 1}")
    return kind, level


def check_outputs(outputs: Sequence[OutputSpec], *, stdout_is_terminal: bool, stdout_is_taken: bool) -> None:
    """Raises UsageError when outputs would get in each other's way, or cannot be written where they shall be.

    Asked before anything is built: a build may take an hour. stdout_is_taken: by `--json` or `--quiet`.
    """
    to_stdout = [output for output in outputs if output.destination == "-"]
    if len(to_stdout) > 1:
        raise UsageError(f"{FLAG}: only one output can go to stdout", hint="give the others a dest=")
    if to_stdout and stdout_is_taken:
        raise UsageError(f"{FLAG}: stdout cannot hold both an output and --json or --quiet", hint="give it a dest=")
    if to_stdout and stdout_is_terminal:
        raise UsageError(f"{FLAG}: an archive is not written to a terminal", hint="give it a dest=, or a pipe")
    seen: set[str] = set()
    for output in outputs:
        place = output.destination
        if place in (None, "-") or place is None:
            continue
        if os.path.abspath(place) in seen:
            raise UsageError(f'{FLAG}: two outputs go to "{place}"')
        seen.add(os.path.abspath(place))
        _check_place(place, is_file=output.kind != "local" and (output.kind == "tar" or output.is_tar))


def _check_place(place: str, *, is_file: bool) -> None:
    """What is in the way of a path. A directory that is missing is no fault: it will be made."""
    path = os.path.abspath(place)
    if is_file and os.path.isdir(path) and not os.path.islink(path):
        raise UsageError(
            f'{FLAG}: "{place}" is a directory', code="bad-output", hint="name a file in it, or use tar=false"
        )
    above = path if not is_file else os.path.dirname(path)
    while not os.path.lexists(above):
        above = os.path.dirname(above)
    if not os.path.isdir(above):
        shown = place if above == path else os.path.relpath(above)
        raise UsageError(f'{FLAG}: "{shown}" is not a directory', code="bad-output")


def parse_annotation(text: str) -> tuple[tuple[str, str, str], ...]:
    """`[WHERE[[PLATFORM]][,WHERE]:]KEY=VALUE` of `--annotation`, one (where, key, value) for each place.

    Source: Docker's guide "Annotations", "Specify annotation level".
    """
    what = "--annotation"
    key, value = split_pair(text, what, wants="[WHERE:]KEY=VALUE")
    head, colon, rest = key.partition(":")
    places = [_WHERE.match(part.strip()) for part in head.split(",")]
    if not colon or not all(places):
        return (("manifest", key, value),)
    if not rest:
        raise UsageError(f'{what}: "{text}" has no key')
    return tuple(
        (_place(one_of(place[1], _ANNOTATION_WHERE, what), place[2], what), rest, value) for place in places if place
    )


def _place(where: str, platform: str | None, flag: str) -> str:
    """Where an annotation goes: `manifest`, `manifest[linux/arm64]`, … Raises UsageError: no platform, none is meant."""
    if not platform:
        return where
    if where.startswith("index"):
        raise UsageError(f"{flag}: an index is of all platforms", hint=f'write "{where}" without {platform}')
    try:
        return f"{where}[{parse_platform(platform.strip('[]'))}]"
    except FormatError as error:
        raise UsageError(f"{flag}: {error.message}", hint=error.hint) from error
