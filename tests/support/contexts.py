"""What opening a build context is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Request:
    """A `ContextRequest` as a plain value."""

    context: str
    dockerfile: str | None = None
    dockerfile_text: str | None = None
    build_args: Mapping[str, str | None] = field(default_factory=dict)
