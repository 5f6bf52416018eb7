"""The graph for people and programs: what `slimstage build --plan` prints. Pure.

The JSON document is stable: fields may be added, none changes its meaning. See `plan_document`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from slimstage.diagnostics import shown
from slimstage.plan.graph import (
    AnyStep,
    BaseStep,
    BindMount,
    CacheMount,
    CopyStep,
    FileSource,
    FromContext,
    FromStep,
    Graph,
    RunStep,
    StagePlan,
    StepId,
    WorkdirStep,
)
from slimstage.values import dataclass

PlanFormat = Literal["text", "json", "dot", "mermaid"]
EdgeHow = Literal["from", "copy", "mount"]

_KINDS: dict[type[AnyStep], str] = {BaseStep: "base", CopyStep: "copy", RunStep: "run", WorkdirStep: "workdir"}
_SAID = {"from": "FROM", "copy": "COPY --from", "mount": "mount"}
_LONGEST_LABEL = 60


@dataclass(frozen=True, slots=True)
class PlanEdge:
    """Step `reader` reads the files of `source`: as its parent, by COPY or ADD, or by a mount."""

    source: FileSource
    reader: StepId
    how: EdgeHow


def plan_edges(graph: Graph) -> Iterator[PlanEdge]:
    """Every tie between steps, and from contexts to steps, in the order of the steps."""
    for step in graph.steps.values():
        if step.parent:
            yield PlanEdge(FromStep(step.parent), step.id, "from")
        if isinstance(step, CopyStep) and step.paths:
            yield PlanEdge(step.source, step.id, "copy")
        elif isinstance(step, RunStep):
            for mount in step.mounts:
                if isinstance(mount, BindMount | CacheMount) and mount.source is not None:
                    yield PlanEdge(mount.source, step.id, "mount")


def render_plan(graph: Graph, cached: Mapping[StepId, bool], format: PlanFormat) -> str:
    """The graph as text, JSON, Graphviz or Mermaid.

    cached: for each step whether the cache has it; a step that is not in it is not known.
    """
    if format == "json":
        return json.dumps(plan_document(graph, cached), indent=2) + "\n"
    if format == "dot":
        return "\n".join(_dot(graph, cached)) + "\n"
    if format == "mermaid":
        return "\n".join(_mermaid(graph, cached)) + "\n"
    return "\n".join(_text(graph, cached)) + "\n"


def plan_document(graph: Graph, cached: Mapping[StepId, bool]) -> dict[str, Any]:
    """The document of `build --plan --json`:

    - `target`: {index, name} of the stage that is built.
    - `stages`: needed ones in file order: {index, name, line, base, steps, last, needs}; `base`, `last` and `steps` are
      step ids (`base` and `last` null for nothing), `needs` the indexes of the stages that it reads from.
    - `steps`: inputs first: {id, stage, line, end_line, kind, title, parent, cached}; `kind` is base, copy, run or
      workdir; `cached` true, false, or null when it is not known before earlier steps have run.
    - `edges`: {how, reader, step, context}: step `reader` reads `step` or the local context `context` (`""` is the build
      context), the other one is null; `how` is from, copy or mount.
    - `skipped`: stages that are not built: {index, name, line, why}.
    - `contexts`: names of the local contexts that are read. `warnings`: sentences.
    - `platforms`, only of several: {platform, target}; `target` is then the first one's.
    """
    return {
        "target": {"index": graph.target, "name": graph.stage(graph.target).name},
        "stages": [
            {
                "index": stage.index,
                "name": stage.name,
                "line": stage.line,
                "base": stage.base,
                "steps": list(stage.steps),
                "last": stage.last,
                "needs": list(stage.needs),
            }
            for stage in graph.stages
        ],
        "steps": [
            {
                "id": step.id,
                "stage": step.stage,
                "line": step.line,
                "end_line": step.end_line,
                "kind": _KINDS[type(step)],
                "title": step.title,
                "parent": step.parent,
                "cached": cached.get(step.id),
            }
            for step in graph.steps.values()
        ],
        "edges": [
            {
                "how": edge.how,
                "reader": edge.reader,
                "step": edge.source.step if isinstance(edge.source, FromStep) else None,
                "context": edge.source.name if isinstance(edge.source, FromContext) else None,
            }
            for edge in plan_edges(graph)
        ],
        "skipped": [
            {"index": each.index, "name": each.name, "line": each.line, "why": each.why} for each in graph.skipped
        ],
        "contexts": list(graph.contexts),
        "warnings": list(graph.warnings),
        **({"platforms": _platforms(graph)} if graph.targets else {}),
    }


def _platforms(graph: Graph) -> list[dict[str, Any]]:
    return [
        {"platform": platform, "target": {"index": index, "name": graph.stage(index).name}}
        for platform, index in graph.targets
    ]


# Text ------------------------------------------------------------------------------------------------------------


def _text(graph: Graph, cached: Mapping[StepId, bool]) -> Iterator[str]:
    target = graph.stage(graph.target)
    hits = sum(1 for step in graph.steps if cached.get(step))
    counts = [_count(len(graph.stages), "stage"), _count(len(graph.steps), "step"), f"{hits} cached"]
    if graph.skipped:
        counts.append(f"{len(graph.skipped)} skipped")
    name = shown(target.name)
    if graph.targets:
        name = ", ".join(shown(graph.stage(index).name) for _, index in graph.targets)
    yield f"target {name}: {', '.join(counts)}"
    by_stage = _by_stage(graph)
    names = {stage.index: stage.name for stage in graph.stages}
    targets = {index for _, index in graph.targets} or {graph.target}
    reads = _reads(graph, names)
    width = max((len(step) for step in graph.steps), default=0)
    for stage in graph.stages:
        mark = ", the target" if stage.index in targets else ""
        stands = _stands_on(graph, stage, names)
        yield ""
        yield f"{shown(stage.name)} (stage {stage.index}, line {stage.line}{mark}){stands}"
        for step in by_stage.get(stage.index, []):
            yield f"  {step.id:<{width}}  {_state(cached, step.id):<6}  {shown(step.title)}"
            for line in reads.get(step.id, []):
                yield f"  {'':<{width}}  {'':<6}    {line}"
        if not by_stage.get(stage.index):
            yield "  no steps"
    if graph.skipped:
        yield ""
        yield "not built:"
        for each in graph.skipped:
            yield f"  {shown(each.name)} (stage {each.index}, line {each.line}): {shown(each.why)}"
    if graph.contexts:
        yield ""
        yield "reads: " + ", ".join(_context_name(name) for name in graph.contexts)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _stands_on(graph: Graph, stage: StagePlan, names: Mapping[int, str]) -> str:
    if stage.base is None:
        return " on nothing"
    below = graph.steps[stage.base]
    return "" if below.stage == stage.index else f" on {shown(names[below.stage])}"


def _state(cached: Mapping[StepId, bool], step: StepId) -> str:
    return {True: "cached", False: "run", None: "?"}[cached.get(step)]


def _by_stage(graph: Graph) -> dict[int, list[AnyStep]]:
    found: dict[int, list[AnyStep]] = {}
    for step in graph.steps.values():
        found.setdefault(step.stage, []).append(step)
    return found


def _reads(graph: Graph, names: Mapping[int, str]) -> dict[StepId, list[str]]:
    """For each step a line for each tie that is not to its parent."""
    found: dict[StepId, list[str]] = {}
    for edge in plan_edges(graph):
        if edge.how == "from":
            continue
        if isinstance(edge.source, FromContext):
            what = _context_name(edge.source.name)
        else:
            step = graph.steps[edge.source.step]
            what = f"{step.id} ({shown(step.title if isinstance(step, BaseStep) else names[step.stage])})"
        line = f"{'mounts' if edge.how == 'mount' else 'copies from'} {what}"
        lines = found.setdefault(edge.reader, [])
        if line not in lines:
            lines.append(line)
    return found


def _context_name(name: str) -> str:
    return f"context {shown(name)}" if name else "the build context"


# Graphviz and Mermaid --------------------------------------------------------------------------------------------


def _dot(graph: Graph, cached: Mapping[StepId, bool]) -> Iterator[str]:
    yield "digraph plan {"
    yield "  rankdir=LR;"
    yield "  node [shape=box];"
    by_stage = _by_stage(graph)
    targets = {index for _, index in graph.targets} or {graph.target}
    for stage in graph.stages:
        yield f"  subgraph cluster_{stage.index} {{"
        mark = " (target)" if stage.index in targets else ""
        yield f"    label={_dot_text(stage.name + mark)};"
        for step in by_stage.get(stage.index, []):
            style = " style=dashed" if cached.get(step.id) else ""
            yield f"    {_dot_text(step.id)} [label={_dot_text(_label(step.title))}{style}];"
        yield "  }"
    for name in graph.contexts:
        yield f"  {_dot_text('context ' + name)} [label={_dot_text(_context_name(name))} shape=folder];"
    for each in graph.skipped:
        label = f"{each.name}: {each.why}"
        yield f"  {_dot_text(f'skipped {each.index}')} [label={_dot_text(_label(label))} style=dotted];"
    for edge in plan_edges(graph):
        tail = edge.source.step if isinstance(edge.source, FromStep) else "context " + edge.source.name
        label = "" if edge.how == "from" else f" [label={_dot_text(_SAID[edge.how])}]"
        yield f"  {_dot_text(tail)} -> {_dot_text(edge.reader)}{label};"
    yield "}"


def _label(text: str) -> str:
    return text if len(text) <= _LONGEST_LABEL else text[: _LONGEST_LABEL - 3] + "..."


def _dot_text(text: str) -> str:
    return '"' + shown(text).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _mermaid(graph: Graph, cached: Mapping[StepId, bool]) -> Iterator[str]:
    yield "flowchart LR"
    by_stage = _by_stage(graph)
    targets = {index for _, index in graph.targets} or {graph.target}
    for stage in graph.stages:
        mark = " (target)" if stage.index in targets else ""
        yield f"  subgraph stage{stage.index}[{_mermaid_text(stage.name + mark)}]"
        for step in by_stage.get(stage.index, []):
            yield f"    {_node(step.id)}[{_mermaid_text(_label(step.title))}]"
        yield "  end"
    numbers = {name: number for number, name in enumerate(graph.contexts)}
    for name, number in numbers.items():
        yield f"  context{number}[/{_mermaid_text(_context_name(name))}/]"
    for each in graph.skipped:
        yield f"  skipped{each.index}({_mermaid_text(_label(f'{each.name}: {each.why}'))})"
    for edge in plan_edges(graph):
        tail = _node(edge.source.step) if isinstance(edge.source, FromStep) else f"context{numbers[edge.source.name]}"
        arrow = "-->" if edge.how == "from" else f"-. {_SAID[edge.how]} .->"
        yield f"  {tail} {arrow} {_node(edge.reader)}"
    hits = [_node(step) for step in graph.steps if cached.get(step)]
    if hits:
        yield "  classDef cached stroke-dasharray: 5 5"
        yield f"  class {','.join(hits)} cached"


def _node(step: StepId) -> str:
    return step.translate(_NO_WORD)


_NO_WORD = str.maketrans(dict.fromkeys("./:-", "_"))
"""What Mermaid takes in no name of a node."""


def _mermaid_text(text: str) -> str:
    """In quotes; what could end them or be read as markup becomes an entity."""
    special = {'"': "#quot;", "<": "#lt;", ">": "#gt;", "#": "#35;", "&": "#amp;", "`": "#96;"}
    return '"' + "".join(special.get(character, character) for character in shown(text)) + '"'
