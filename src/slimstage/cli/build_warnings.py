"""What BuildKit's checks say of a Dockerfile that is built: told at the end, as buildx does.

They are run when the build is over, and remembered in the store for the same file, arguments and bases: a build that finds
all cached reads them there. Only `check=error=true` needs them before anything runs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from slimstage.build.request import WarningResult
from slimstage.diagnostics import shown
from slimstage.digest import digest_json
from slimstage.dockerfile.directives import find_directive
from slimstage.errors import StoreError
from slimstage.version import __version__

if TYPE_CHECKING:
    from slimstage.build.preparation import Prepared
    from slimstage.cli.terminal import Paint
    from slimstage.context.open import OpenedContext
    from slimstage.context.patterns import Pattern
    from slimstage.lint.engine import Checked
    from slimstage.lint.subject import ImageFacts
    from slimstage.store.store import Store

CHECK_ARGUMENT = "BUILDKIT_DOCKERFILE_CHECK"
_MOST_SHOWN = 50


class BuildWarnings:
    """The checks of one build; `look` is given to the engine."""

    def __init__(self) -> None:
        self._seen: tuple[str, str, tuple[Pattern, ...] | None, Prepared] | None = None

    def look(self, opened: OpenedContext, prepared: Prepared) -> None:
        """Remembers what was read. Raises DockerfileError: a check finds something, and the file says that this is an error."""
        ignored = opened.context.ignored
        self._seen = (opened.dockerfile_text, opened.dockerfile_name, ignored.patterns if ignored else None, prepared)
        told = find_directive("check", opened.dockerfile_text)
        given = prepared.request.build_args.get(CHECK_ARGUMENT)
        if "error" in (given if given is not None else told[0] if told else ""):
            for checked in self._checked():
                if checked.fails_build:
                    from slimstage.cli.calls import violation  # only for a file that has the directive

                    raise violation(checked)

    def found(self, store: Store) -> tuple[WarningResult, ...]:
        """What the checks say, each once, in the order of the file. Call it when the build is over."""
        if self._seen is None:
            return ()
        text, name, patterns, prepared = self._seen
        request = prepared.request
        place = digest_json(["check", prepared.name])
        key = digest_json(
            [
                __version__,
                text,
                name,
                [str(each) for each in patterns or ()],
                dict(request.build_args),
                request.target,
                dict(request.named_contexts),
                [str(each.platform) for each in prepared.plans],
                sorted(base.id for base in prepared.base_of.values()),
            ]
        )
        known = _remembered(store.places.get(place), key)
        if known is not None:
            return known
        found = tuple(
            dict.fromkeys(
                WarningResult(each.rule, each.message, each.span.line)
                for checked in self._checked()
                for each in checked.findings
            )
        )
        with suppress(StoreError):
            store.places.put(place, json.dumps([key, [[each.code, each.message, each.line] for each in found]]))
        return found

    def _checked(self) -> list[Checked]:
        from slimstage.lint import catalogue  # a cached build needs none of this
        from slimstage.lint.engine import Surroundings, check
        from slimstage.oci.descriptor import host_platform
        from slimstage.plan.request import PlanRequest

        assert self._seen is not None
        text, name, patterns, prepared = self._seen
        request = prepared.request
        return [
            check(
                text,
                [catalogue.rule(each) for each in catalogue.NAMES["buildkit"]],
                PlanRequest(
                    build_platform=host_platform(),
                    target=request.target,
                    platform=plan.platform,
                    build_args=request.build_args,
                    contexts=request.named_contexts,
                ),
                name=name,
                around=Surroundings(patterns, facts=_Facts(prepared)),
                only_reached=True,
            )
            for plan in prepared.plans
        ]


class _Facts:
    """What the configs of a build's bases say."""

    def __init__(self, prepared: Prepared) -> None:
        self._bases = {base.reference: base for base in prepared.base_of.values()}

    def __call__(self, reference: str) -> ImageFacts | None:
        from slimstage.lint.subject import ImageFacts
        from slimstage.oci.descriptor import Platform, normalised

        base = self._bases.get(reference)
        if base is None:
            return None
        config = base.config
        return ImageFacts(
            normalised(Platform(config.os, config.architecture, config.variant)),
            {name: value for name, _, value in (pair.partition("=") for pair in config.env)},
            has_shell=config.shell is not None,
        )


def _remembered(text: str, key: str) -> tuple[WarningResult, ...] | None:
    try:
        known, found = json.loads(text)
        return tuple(WarningResult(str(c), str(m), int(n)) for c, m, n in found) if known == key else None
    except (ValueError, TypeError):
        return None


def warnings_text(found: Sequence[WarningResult], paint: Paint) -> str:
    """As buildx prints them below a build."""
    count = f"{len(found)} warning{'s' if len(found) > 1 else ''} found"
    lines = [" " + paint(f"{count} (slimstage check tells more):", "yellow")]
    lines += [f" - {each.code}: {shown(each.message)} (line {each.line})" for each in found[:_MOST_SHOWN]]
    if len(found) > _MOST_SHOWN:
        lines.append(f" - and {len(found) - _MOST_SHOWN} more")
    return "\n".join(lines)
