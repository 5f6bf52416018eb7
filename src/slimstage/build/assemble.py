"""Layers and history → the image's config. Pure.

A config is the same for the same cached steps: its times are those at which the layers were made, not now.
Source: OCI image-spec v1.1, config.md; dockerfile.md §4, points 68 to 74.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from slimstage.digest import Digest
from slimstage.oci.config import HistoryEntry, ImageConfig
from slimstage.plan.graph import StagePlan, StepId
from slimstage.values import dataclass, replace


@dataclass(frozen=True, slots=True)
class LayerFact:
    """What the config needs of a step's layer."""

    diff_id: Digest
    created_s: float
    holds: str = ""
    """Of one layer of several that the step's became: what is in it."""


def timestamp(seconds: float) -> str:
    """RFC 3339 in UTC, as Go writes it: fractions only where there are some."""
    when = datetime.fromtimestamp(seconds, UTC)
    fraction = f".{when.microsecond:06d}".rstrip("0") if when.microsecond else ""
    return when.strftime("%Y-%m-%dT%H:%M:%S") + fraction + "Z"


def assemble_config(
    stage: StagePlan,
    base_diff_ids: Sequence[Digest],
    layers: Mapping[StepId, Sequence[LayerFact]],
    *,
    epoch_s: int | None,
    fallback_s: float,
) -> ImageConfig:
    """The stage's config, complete: diff IDs, history and times.

    base_diff_ids: of the base image. layers: the stage's own, by step: one, or those that its layer was split into.
    epoch_s: SOURCE_DATE_EPOCH, replaces every time but the base's. fallback_s: the time of an image without layers of its
    own, on a base that says no time.
    Returns a config in which every entry of history that is not empty has its diff ID, in order.
    """
    diff_ids = list(base_diff_ids)
    below = _own(stage, base_diff_ids)
    made = [layers[entry.step][0].created_s for entry in stage.history if entry.step is not None]
    # An entry without a layer happened with the layer before it; ahead of the first, with the first; without any, with
    # the base.
    if epoch_s is not None:
        now = timestamp(epoch_s)
    elif made:
        now = timestamp(made[0])
    else:
        now = next((each.created for each in reversed(below) if each.created), None) or timestamp(fallback_s)
    history: list[HistoryEntry] = []
    for entry in stage.history:
        facts = layers[entry.step] if entry.step is not None else (None,)
        for fact in facts:
            if fact is not None:
                diff_ids.append(fact.diff_id)
                if epoch_s is None:
                    now = timestamp(fact.created_s)
            history.append(
                HistoryEntry(
                    created=now,
                    created_by=entry.created_by,
                    comment=f"{entry.comment}: {fact.holds}" if fact is not None and fact.holds else entry.comment,
                    empty_layer=fact is None,
                )
            )
    created = now if history or stage.config.created is None else stage.config.created
    return replace(stage.config, created=created, diff_ids=tuple(diff_ids), history=(*below, *history))


def _own(stage: StagePlan, base_diff_ids: Sequence[Digest]) -> tuple[HistoryEntry, ...]:
    """The base's history; none where it does not fit the base's layers, which would make ours not fit either."""
    full = sum(1 for entry in stage.base_history if not entry.empty_layer)
    if full == len(base_diff_ids):
        return stage.base_history
    return tuple(HistoryEntry(comment="base image without history") for _ in base_diff_ids)
