"""Why a build of a Dockerfile would be refused before anything runs: planning is asked, with bases that say nothing."""

from __future__ import annotations

from slimstage.diagnostics import Diagnostic, Span
from slimstage.dockerfile.instructions import Dockerfile
from slimstage.errors import SlimstageError
from slimstage.oci.descriptor import Platform
from slimstage.plan.request import PlanRequest, ResolvedImage


def refusals(dockerfile: Dockerfile, request: PlanRequest) -> tuple[Diagnostic, ...]:
    """What planning says against the file, in order; each has a place in it, or concerns `--target`."""
    from slimstage.plan.lower import lower  # a build that only wants warnings does not plan again

    try:
        lower(dockerfile, request, _AnyImage())
    except SlimstageError as error:
        return error.diagnostics
    return ()


class _AnyImage:
    def image(self, reference: str, platform: Platform, span: Span) -> ResolvedImage:
        from slimstage.oci.config import ImageConfig
        from slimstage.oci.reference import parse_reference

        if "://" not in reference and not reference.startswith(("docker-archive:", "oci-archive:")):
            parse_reference(reference)
        return ResolvedImage(reference, "sha256:" + "0" * 64, ImageConfig(platform.architecture, platform.os), 1)
