"""COPY and ADD for tests: trees from dicts in, what the step's tree looks like out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from slimstage.build.add import Source
from slimstage.build.copy import CopyResult, copy_step
from slimstage.context.local import LocalContext
from slimstage.context.patterns import PatternMatcher
from slimstage.context.select import Selection, select
from slimstage.context.tree import DigestMemory, SourceTree
from slimstage.plan.graph import CopyStep, FromContext, FromStep
from slimstage.store.snapshots import Draft, LayerId
from slimstage.tree.union import UnionTree
from support.trees import Tree, make_tree

NOW_NS = 1_700_000_000_000_000_000


def copy_of(paths: Sequence[str], destination: str, **others: Any) -> CopyStep:
    """A step; `source` is the context unless said otherwise."""
    values: dict[str, Any] = {"source": FromContext(""), "paths": tuple(paths), "destination": destination, **others}
    return CopyStep(id="s0.1", stage=0, parent=None, line=1, end_line=1, title="COPY", **values)


def _source(step: CopyStep, selection: Selection, tree: SourceTree) -> Source:
    return Source(tree, selection, step.unpack != "never", step.from_is_stage and step.chown is None)


class Bench:
    """Layer directories below a temporary directory, and steps that are put on top of one another."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.layers: list[str] = []
        self.last: CopyResult | None = None

    def base(self, tree: Tree) -> Bench:
        """One more layer with this tree."""
        self.layers.append(make_tree(self.top / f"layer-{len(self.layers)}", tree))
        return self

    def draft(self) -> Draft:
        path, work = self.top / f"layer-{len(self.layers)}", self.top / f"work-{len(self.layers)}"
        path.mkdir()
        work.mkdir()
        return Draft(LayerId("0" * 32), str(path), str(work))

    def context(self, tree: Tree, ignore: Sequence[str] = ()) -> LocalContext:
        path = make_tree(self.top / "context", tree)
        return LocalContext(path).ignore(PatternMatcher(ignore) if ignore else None)

    def top_context(self) -> LocalContext:
        """The context of the last step, opened again."""
        return LocalContext(self.top / "context")

    def copy(self, tree: Tree | LocalContext, paths: Sequence[str], destination: str, **others: Any) -> Bench:
        """COPY from a context."""
        context = tree if isinstance(tree, LocalContext) else self.context(tree)
        with context:
            self._copy(context, copy_of(paths, destination, **others))
        return self

    def copy_from(self, stack: Sequence[str], paths: Sequence[str], destination: str, **others: Any) -> Bench:
        """COPY --from."""
        with UnionTree(stack) as tree:
            self._copy(tree, copy_of(paths, destination, source=FromStep("s0.0"), from_is_stage=True, **others))
        return self

    def _copy(self, tree: LocalContext | UnionTree, step: CopyStep, memory: DigestMemory | None = None) -> None:
        selection = select(tree, step.paths, excludes=step.exclude, keeps_parents=step.keeps_parents)
        draft = self.draft()
        self.last = copy_step(step, self.layers, [_source(step, selection, tree)], draft, memory=memory, now_ns=NOW_NS)
        self.layers.append(draft.path)

    def seen(self) -> dict[str, str]:
        """path → what a process inside sees there: kind, mode, owner, content or target."""
        with UnionTree(self.layers) as tree:
            found = {}
            for entry in tree.walk(""):
                text = f"{entry.kind} {entry.mode:o} {entry.uid}:{entry.gid}"
                if entry.kind == "symlink":
                    text = f"symlink {entry.target}"
                elif entry.kind == "file":
                    text += " " + (tree.read(entry.path) or b"").decode(errors="replace")
                found[entry.path] = text
            return found

    def paths(self) -> list[str]:
        return list(self.seen())

    def own(self) -> Path:
        """The directory of the last layer."""
        return Path(self.layers[-1])
