"""What the stages of one build hold, what was taken on, what stayed behind, and whether they were worth having.

Every number is of bytes of layers as the store counts them. A layer that several stages stand on counts once where stages are
added up, so that "all stages together" is what the disk holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias

from slimstage.store.builds import BuiltCopy, BuiltStage, StoredBuild
from slimstage.store.snapshots import LayerId
from slimstage.values import dataclass

Verdict: TypeAlias = Literal["saves", "little", "nothing", "single"]
"""saves: the image is much smaller for its stages. little: it is a bit. nothing: a single stage gives the same image, and
would be simpler. single: there is only one."""

LITTLE_SHARE = 0.05
LITTLE_BYTES = 1_000_000
"""What stages save below both of these is nothing, below the share alone little."""

Purposes: TypeAlias = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class StageView:
    """One stage that was built. base: what FROM names. own_bytes: of the layers that are its own and no other's below it.

    taken: what it took by COPY --from. handed_on_bytes: what other stages took from it that the image has. behind_bytes: what
    of its own the image has not. purposes: of what stayed behind here, where the files are still in the store; else empty.
    """

    index: int
    name: str
    line: int
    base: str
    size_bytes: int
    own_bytes: int
    taken: tuple[BuiltCopy, ...]
    handed_on_bytes: int
    behind_bytes: int
    is_in_image: bool
    is_skipped: bool = False
    why: str = ""
    purposes: Purposes | None = None


@dataclass(frozen=True, slots=True)
class StageComparison:
    """stages: in file order. image_bytes: of the image; together_bytes: of all stages, bases included, each layer once.

    saved_bytes: what a single stage would hold more than the image does.
    """

    target: int
    stages: tuple[StageView, ...]
    image_bytes: int
    together_bytes: int
    saved_bytes: int
    verdict: Verdict

    @property
    def saved_share(self) -> float:
        """Of what a single stage would hold."""
        whole = self.image_bytes + self.saved_bytes
        return self.saved_bytes / whole if whole else 0.0


def compared_stages(
    build: StoredBuild,
    size_of: Callable[[LayerId], int],
    purposes_of: Callable[[Sequence[LayerId]], Purposes | None] = lambda _: None,
) -> StageComparison:
    """size_of: bytes of a layer of the store. purposes_of: of the files of a stage's own layers; None: they are gone."""
    by_index = {stage.index: stage for stage in build.stages}
    chain = _chain(by_index, build.target)
    image = by_index[build.target]
    built = [stage for stage in build.stages if stage.status != "skipped"]
    own = {stage.index: _own(build, stage.index) for stage in built}
    handed = _handed_on(build, built, chain)
    bases = {layer: size_of(layer) for stage in built for layer in stage.base_layers}
    step_bytes = {each.index: sum(size for _, size in own[each.index]) for each in built}
    together = sum(bases.values()) + sum(step_bytes.values())
    views = []
    for stage in build.stages:
        if stage.index not in own:
            views.append(
                StageView(
                    stage.index, stage.name, stage.line, stage.base, 0, 0, (), 0, 0, False, True, stage.why
                )
            )  # fmt: skip
            continue
        is_in_image = stage.index in chain
        behind = 0 if is_in_image else max(0, step_bytes[stage.index] - handed.get(stage.index, 0))
        layers = [layer for layer, _ in own[stage.index] if layer]
        views.append(
            StageView(
                index=stage.index,
                name=stage.name,
                line=stage.line,
                base=stage.base,
                size_bytes=stage.size_bytes,
                own_bytes=step_bytes[stage.index],
                taken=stage.copies,
                handed_on_bytes=handed.get(stage.index, 0),
                behind_bytes=behind,
                is_in_image=is_in_image,
                purposes=purposes_of(layers) if behind and layers else None,
            )
        )
    saved = build.stayed_behind_bytes
    return StageComparison(
        target=build.target,
        stages=tuple(views),
        image_bytes=image.size_bytes,
        together_bytes=together,
        saved_bytes=saved,
        verdict=_verdict(len(built), saved, image.size_bytes),
    )


def _verdict(stages: int, saved: int, image: int) -> Verdict:
    if stages < 2:
        return "single"
    is_little = saved < LITTLE_SHARE * (image + saved)
    if is_little and saved < LITTLE_BYTES:
        return "nothing"
    return "little" if is_little else "saves"


def _chain(by_index: Mapping[int, BuiltStage], target: int) -> frozenset[int]:
    """The stages that the image stands on, the target too."""
    found: set[int] = set()
    at: int | None = target
    while at is not None and at in by_index and at not in found:
        found.add(at)
        at = by_index[at].base_stage
    return frozenset(found)


def _own(build: StoredBuild, stage: int) -> list[tuple[LayerId | Literal[""], int]]:
    """The layers of a stage's own steps; its base's are not among them."""
    return [
        (step.layer, step.layer_bytes)
        for step in build.steps
        if step.stage == stage and not step.title.startswith("FROM ")
    ]


def _handed_on(build: StoredBuild, built: Sequence[BuiltStage], chain: frozenset[int]) -> dict[int, int]:
    """Bytes that the image's own stages took of each other stage."""
    found: dict[int, int] = {}
    for stage in built:
        if stage.index in chain:
            for copy in stage.copies:
                if copy.stage is not None and copy.stage not in chain:
                    found[copy.stage] = found.get(copy.stage, 0) + copy.size_bytes
    return found
