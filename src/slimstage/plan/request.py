"""What planning is asked for, and the one thing it has to ask back: the config of a base image.

`build/` makes the request from the command line and serves `BaseProvider`; `lower.py` calls it only for images that the
target needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

from slimstage.diagnostics import Span
from slimstage.oci.config import ImageConfig
from slimstage.oci.descriptor import Platform
from slimstage.values import dataclass, field


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """All that the meaning of a Dockerfile depends on, besides the file.

    platform: `--platform`; None: that of the build, and the base image's own is kept in the config.
    build_args: `--build-arg`; a value None is the same as not given.
    contexts: `--build-context` NAME → value; NAME may end in `::os/arch`.
    network: what RUN gets that does not say; naming it on the command line allows it.
    entitlements: `network.host`, `security.insecure`, `device` (all of them) and `device=NAME`.
    """

    build_platform: Platform
    target: str | None = None
    platform: Platform | None = None
    build_args: Mapping[str, str | None] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    contexts: Mapping[str, str] = field(default_factory=dict)
    network: Literal["default", "none", "host"] = "default"
    entitlements: frozenset[str] = frozenset()

    @property
    def target_platform(self) -> Platform:
        return self.platform or self.build_platform

    @property
    def given_args(self) -> dict[str, str]:
        """The build arguments that have a value."""
        return {name: value for name, value in self.build_args.items() if value is not None}


@dataclass(frozen=True, slots=True)
class ResolvedImage:
    """A base image as far as planning needs it. `digest` is the config's; `layers` counts the layers it brings."""

    reference: str
    digest: str
    config: ImageConfig
    layers: int


class BaseProvider(Protocol):
    """Knows images. Called one at a time, and for the same image perhaps several times."""

    def image(self, reference: str, platform: Platform, span: Span) -> ResolvedImage:
        """The image of that name for that platform.

        reference: an image name as the Dockerfile has it, or the value of a named context that is an image
        (`docker-image://…`, `oci-layout://…`, `docker-archive:…`, `oci-archive:…`, `debian://…`).
        span: the instruction that needs it. Raises PlanError and what resolving can raise; a missing place is added.
        """
        ...
