"""A Dockerfile and a request → the `Subject` that rules look at: stages tied together, values as far as they are known.

It reads what `plan/` would lower, but takes no fault: of what cannot be resolved there is no parent, no base, no value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias, TypeVar, cast

from slimstage.diagnostics import Source as SourceText
from slimstage.dockerfile.faults import Faults
from slimstage.dockerfile.instructions import Copy, Dockerfile, Instruction, OnBuild, Run, Shell
from slimstage.dockerfile.parse import parse_trigger
from slimstage.dockerfile.reader import LineReader
from slimstage.dockerfile.syntax import Node, read_nodes
from slimstage.errors import FormatError, SlimstageError
from slimstage.lint.scopes import Scopes, known
from slimstage.lint.subject import BaseImage, ContextView, ImageFacts, Kept, Seen, StageView
from slimstage.oci.reference import Reference, parse_reference
from slimstage.plan.contexts import EmptySource, ImageSource, Source, StageSource
from slimstage.plan.request import PlanRequest
from slimstage.plan.scope import Expander, automatic_args, global_args
from slimstage.plan.stages import StageTable

if TYPE_CHECKING:
    from slimstage.context.patterns import Pattern
    from slimstage.lint.commands.command import Command
    from slimstage.lint.shell.script import Script

_Given = TypeVar("_Given")
Facts: TypeAlias = Callable[[str], ImageFacts | None]
"""Asks for what is known of an image of that name."""


class Reading:
    """The subject of a check. Made once for a file; what is costly is made when it is asked for, and kept."""

    def __init__(
        self,
        dockerfile: Dockerfile,
        request: PlanRequest,
        *,
        ignore: Sequence[Pattern] | None = None,
        ignore_name: str = ".dockerignore",
        context: ContextView | None = None,
        facts: Facts | None = None,
    ) -> None:
        """dockerfile: has at least one stage. facts: knows configs of base images. Raises: nothing."""
        self.dockerfile: Dockerfile = dockerfile
        self.request: PlanRequest = request
        self.context: ContextView | None = context
        self._ask_facts = facts
        self._references: dict[StageView, str] = {}
        self.ignore = None if ignore is None else tuple(ignore)
        self.ignore_name = ignore_name
        self.shared = _shared(dockerfile, request)
        self._table = StageTable(dockerfile, request, self.shared, Expander(dockerfile.escape))
        self.stages: tuple[StageView, ...] = ()
        for stage in dockerfile.stages:
            source = _asked(lambda stage=stage: self._table.replacement(stage) or self._table.base(stage))  # type: ignore[misc]
            parent: StageView | None = None
            if isinstance(source, StageSource) and source.index < stage.index:
                parent = self.stages[source.index]
            view = StageView(stage, parent, _base_of(source))
            view.platform = _asked(lambda stage=stage: str(self._table.platform(stage) or "")) or None  # type: ignore[misc]
            if isinstance(source, ImageSource):
                self._references[view] = source.reference
            view.triggers = tuple(_fired(parent, view)) if parent else ()
            self.stages += (view,)
        self.final = self.stages[_asked(self._table.target) or -1]
        self.final.is_final = True
        self._tie()
        self._scopes = Scopes(dockerfile, request, self.shared)
        self._sources: dict[int, Source | None] = {}
        self._kept: dict[object, object] = {}
        self._nodes: dict[tuple[int, int], Node] | None = None
        self._scripts: dict[int, Script] = {}
        self._commands: dict[int, Sequence[Command]] = {}

    def _tie(self) -> None:
        """Who reads whom, and from that who is needed."""
        needs: dict[StageView, list[StageView]] = {view: [] for view in self.stages}
        for view in self.stages:
            if view.parent is not None:
                view.parent.readers.append((view, view.stage.from_))
                needs[view].append(view.parent)
            for instruction in (*view.triggers, *view.instructions):
                edges = _asked(lambda view=view, each=instruction: list(self._table.edges(view.stage, each)))  # type: ignore[misc]
                for edge in edges or ():
                    if isinstance(edge.source, StageSource):
                        read = self.stages[edge.source.index]
                        read.readers.append((view, instruction))
                        needs[view].append(read)
        todo = [self.final]
        while todo:
            view = todo.pop()
            if not view.is_needed:
                view.is_needed = True
                todo += needs[view]

    def environment(self, stage: StageView, instruction: Instruction) -> Mapping[str, str]:
        """ARG and ENV that the instruction sees, with values as far as they are known; inherited ones too."""
        return self._scopes.at(stage, instruction).values

    def seen(self, stage: StageView, instruction: Instruction) -> Seen:
        """The same in full: also which names have a value that is not known, and which are declared by ARG."""
        return self._scopes.at(stage, instruction)

    def once(self, key: object, make: Callable[[], Kept]) -> Kept:
        """What `make` gives, made when it is asked for first."""
        if key not in self._kept:
            self._kept[key] = make()
        return cast("Kept", self._kept[key])

    def node(self, instruction: Instruction) -> Node | None:
        """The instruction split into words, each with its place; None: it is not the file's own text."""
        if self._nodes is None:
            self._nodes = _nodes(self.dockerfile.source)
        found = self._nodes.get((instruction.span.line, instruction.span.column))
        return found if found is not None and found.name == instruction.keyword.lower() else None

    def expanded(self, stage: StageView, instruction: Instruction, word: str) -> str | None:
        """A word of the instruction with variables replaced and quotes removed; None when a variable is not known."""
        return known(word, self.environment(stage, instruction), self.dockerfile.escape)

    def script(self, stage: StageView, run: Run) -> Script:
        """The shell text of a RUN as invocations with places. Empty for shells that are no POSIX shell."""
        found = self._scripts.get(id(run))
        if found is None:
            from slimstage.lint.shell.read import read_script

            found = read_script(
                run,
                self.node(run),
                self.environment(stage, run),
                shell=self._shell(stage, run),
                escape=self.dockerfile.escape,
            )
            self._scripts[id(run)] = found
        return found

    def _shell(self, stage: StageView, run: Run) -> Sequence[str]:
        """What SHELL says where the RUN stands, also in the stages below."""
        from slimstage.lint.shell.read import DEFAULT_SHELL

        for view in stage.chain():
            before: list[Instruction] = []
            for each in (*view.triggers, *view.instructions):
                if each is run:
                    break
                before.append(each)
            for each in reversed(before):
                if isinstance(each, Shell):
                    return each.words
        platform = stage.platform or str(self.request.platform or self.request.build_platform)
        return ("cmd", "/S", "/C") if platform.startswith("windows") else DEFAULT_SHELL

    def commands(self, stage: StageView, run: Run) -> Sequence[Command]:
        """What a RUN does, as far as it is understood: installs, removals, clean-ups, compilations, downloads, in order."""
        found = self._commands.get(id(run))
        if found is None:
            from slimstage.lint.commands.read import commands_of

            found = self._commands[id(run)] = commands_of(self.script(stage, run))
        return found

    def all_commands(self, stage: StageView, *, inherited: bool = False) -> Iterator[tuple[StageView, Run, Command]]:
        """The commands of all RUNs of a stage in order; with `inherited` those of the stages it stands on come first."""
        views = [*stage.chain()][::-1] if inherited else [stage]
        for view in views:
            for instruction in (*view.triggers, *view.instructions):
                if isinstance(instruction, Run):
                    for command in self.commands(view, instruction):
                        yield view, instruction, command

    def expanded_base(self, stage: StageView) -> str:
        """What FROM names, variables replaced, as far as they are known."""
        image = stage.stage.from_.image
        return known(image, self.shared, self.dockerfile.escape) or image

    def facts(self, stage: StageView) -> ImageFacts | None:
        """What is known of the image that the stage itself names, besides its name; mostly nothing."""
        reference = self._references.get(stage)
        return self._ask_facts(reference) if self._ask_facts is not None and reference is not None else None

    def source_of(self, stage: StageView, copy: Copy) -> StageView | BaseImage | None:
        """What `COPY --from` names: a stage, an image; None for the build context or a named one."""
        if copy.from_ is None:
            return None
        if id(copy) not in self._sources:
            edges = _asked(lambda: list(self._table.edges(stage.stage, copy)))
            self._sources[id(copy)] = edges[0].source if edges else None
        source = self._sources[id(copy)]
        return self.stages[source.index] if isinstance(source, StageSource) else _base_of(source)


def _nodes(source: SourceText) -> dict[tuple[int, int], Node]:
    faults = Faults()
    found: dict[tuple[int, int], Node] = {}
    for node in read_nodes(source, LineReader(source, faults), faults):
        whole = node.line.whole()
        found[whole.line, whole.column] = node
    return found


def _asked(ask: Callable[[], _Given]) -> _Given | None:
    """What a question about names gives; None where its answer is a fault, which planning reports."""
    try:
        return ask()
    except SlimstageError:
        return None


def _shared(dockerfile: Dockerfile, request: PlanRequest) -> Mapping[str, str]:
    try:
        return global_args(dockerfile, request, Expander(dockerfile.escape))
    except SlimstageError:
        last = dockerfile.stages[-1].name if dockerfile.stages else None
        return automatic_args(request, last)


def _base_of(source: Source | None) -> BaseImage | None:
    if isinstance(source, EmptySource):
        return BaseImage("scratch")
    return base_image(source.reference) if isinstance(source, ImageSource) else None


def base_image(text: str) -> BaseImage | None:
    """The image of that name; None when it is no name."""
    if "://" in text or text.startswith(("docker-archive:", "oci-archive:")):
        if not text.startswith("docker-image://"):
            return BaseImage(text, has_scheme=True)
        text = text.removeprefix("docker-image://")
    try:
        found = parse_reference(text)
    except FormatError:
        return None
    name = Reference(found.registry, found.repository).familiar()
    return BaseImage(name, found.tag, str(found.digest) if found.digest else None)


def _fired(parent: StageView, view: StageView) -> Iterator[Instruction]:
    """What the ONBUILDs of the stage below add, at the FROM that makes them fire."""
    for each in parent.instructions:
        if isinstance(each, OnBuild):
            fired = _asked(lambda each=each: parse_trigger(each.trigger, view.stage.from_.span))  # type: ignore[misc]
            if fired is not None:
                yield fired
