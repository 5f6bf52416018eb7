"""Which image of an index fits a platform.

Source: OCI image-spec v1.1, image-index.md; the order of variants as containerd/platforms (compare.go) has it, except
that another architecture never stands in: an image for 386 is not taken on amd64 without a word.
"""

from __future__ import annotations

from collections.abc import Callable

from slimstage.errors import FormatError
from slimstage.oci.config import ImageConfig
from slimstage.oci.descriptor import Descriptor, Platform, normalised
from slimstage.oci.manifest import Index, Manifest, parse_document

DEEPEST_INDEX = 4
"""Indexes in indexes that are followed: one is usual, two are seen in layouts."""


def fits(offered: Platform, wanted: Platform) -> int | None:
    """How well an image for `offered` runs on `wanted`: 0 is exact, larger is a lower variant; None: not at all."""
    offered, wanted = normalised(offered), normalised(wanted)
    if (offered.os, offered.architecture) != (wanted.os, wanted.architecture):
        return None
    if wanted.os_version and offered.os_version and offered.os_version != wanted.os_version:
        return None
    if offered.variant == wanted.variant:
        return 0
    distance = _variant(wanted) - _variant(offered)
    # A higher variant uses instructions that the wanted machine may not have.
    return distance if distance > 0 else None


def select(index: Index, platform: Platform) -> Descriptor:
    """The entry for the platform: the best variant, the first of equals; or the only entry that says no platform.

    The latter may be an index itself, or an image whose config has the last word (`check_platform`).
    Raises FormatError (`no-matching-platform`) that lists the platforms there are.
    """
    best: tuple[int, Descriptor] | None = None
    silent: list[Descriptor] = []
    for descriptor in index.manifests:
        if descriptor.platform is None:
            silent.append(descriptor)
            continue
        distance = fits(descriptor.platform, platform)
        if distance is not None and (best is None or distance < best[0]):
            best = (distance, descriptor)
    if best is not None:
        return best[1]
    if len(silent) == 1:
        return silent[0]
    there = sorted({str(d.platform) for d in index.manifests if d.platform and d.platform.os != "unknown"})
    raise FormatError(
        f'there is no image for "{platform}"' + ("" if not silent else f", and {len(silent)} that say no platform"),
        code="no-matching-platform",
        notes=[f"there are: {', '.join(there)}"] if there else ["there is none for any platform"],
        hint="choose one of them with --platform" if there else None,
    )


def resolve(read: Callable[[Descriptor], bytes], descriptor: Descriptor, platform: Platform) -> Manifest:
    """The manifest for the platform that the descriptor leads to, through indexes.

    read: returns the bytes of a document, verified against digest and size.
    Raises FormatError: nested deeper than `DEEPEST_INDEX`, no matching platform, or what `parse_document` raises.
    """
    for _ in range(DEEPEST_INDEX + 1):
        document = parse_document(read(descriptor), descriptor.media_type)
        if isinstance(document, Manifest):
            return document
        descriptor = select(document, platform)
    raise FormatError(f"indexes are nested deeper than {DEEPEST_INDEX}", code="index-too-deep")


def check_platform(config: ImageConfig, wanted: Platform) -> None:
    """Raises FormatError (`platform-mismatch`) unless the image itself says that it runs on the platform."""
    if fits(config.platform, wanted) is None:
        raise FormatError(
            f'the image is for another platform than asked for: want "{wanted}", got "{config.platform}"',
            code="platform-mismatch",
            hint=f"build with --platform={config.platform} if that is meant",
        )


def _variant(platform: Platform) -> int:
    text = (platform.variant or "").removeprefix("v").partition(".")[0]
    if text.isdigit():
        return int(text)
    return 8 if platform.architecture == "arm64" else 1
