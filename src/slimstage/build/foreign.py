"""RUN steps of another platform than this host's: refused before anything runs where nothing runs their programs."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from slimstage.build.preparation import Prepared
from slimstage.errors import FormatError, SandboxError
from slimstage.oci.descriptor import Platform, host_platform, parse_platform
from slimstage.plan.graph import RunStep, StepId


def check_foreign(prepared: Prepared, undone: Collection[StepId]) -> None:
    """Raises SandboxError (`no-emulation`) at the first RUN that cannot run here, with how that is changed.

    undone: the steps that will be done, as far as that is known; what the cache has needs no emulator.
    """
    host = host_platform()
    wanted = {
        step: platform
        for step, platform in _platforms(prepared, host).items()
        if step in undone and not _is_native(platform, host)
    }
    if not wanted:
        return
    from slimstage.sandbox.emulation import HINT, runs  # only for foreign steps

    found = runs(platform.architecture for platform in wanted.values() if platform.os == host.os)
    for step_id in sorted(wanted, key=lambda step: prepared.graph.steps[step].line):
        platform = wanted[step_id]
        answer = found.get(platform.architecture)
        if platform.os == host.os and (answer is None or answer.is_runnable):
            continue
        others = sum(1 for each in wanted.values() if each == platform) - 1
        notes = [f"{others} more {'RUN step' if others == 1 else 'RUN steps'} for it would follow"] if others else []
        if platform.os != host.os:
            hint = "copy what is built elsewhere; only COPY, ADD and WORKDIR work for it here"
        else:
            notes.append(answer.by if answer else "")
            hint = f"{HINT.format(architecture=platform.architecture)}; or let the stage run here and build for there: "
            hint += "FROM --platform=$BUILDPLATFORM"
        error = SandboxError(
            f'RUN steps for "{platform}" cannot run on this host, which is "{host}"',
            code="no-emulation",
            notes=notes,
            hint=hint,
        )
        span = prepared.spans.get(step_id)
        raise error.at(span) if span else error


def _platforms(prepared: Prepared, host: Platform) -> Mapping[StepId, Platform]:
    """What each RUN step of a stage that is not this host's runs on."""
    found: dict[StepId, Platform] = {}
    own = str(host)
    for plan in prepared.plans:
        by_stage = {stage.index: _parsed(stage.platform) for stage in plan.graph.stages if stage.platform != own}
        for step in plan.graph.steps.values() if by_stage else ():
            platform = by_stage.get(step.stage)
            if isinstance(step, RunStep) and platform is not None:
                found[step.id] = platform
    return found


def _parsed(text: str) -> Platform | None:
    try:
        return parse_platform(text) if text else None
    except FormatError:
        return None


def _is_native(platform: Platform, host: Platform) -> bool:
    # Variants are not asked about: that a processor knows them is the user's word.
    return (platform.os, platform.architecture) == (host.os, host.architecture)
