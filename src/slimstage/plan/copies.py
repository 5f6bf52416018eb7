"""COPY and ADD → a copy step and its history text.

Source: BuildKit frontend/dockerfile/dockerfile2llb/convert_copy.go; dockerfile.md §1.4 and §4 (36 to 55).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

from slimstage.diagnostics import Span
from slimstage.digest import parse_digest
from slimstage.dockerfile.gitref import GitRef, check_git_ref, parse_git_ref, without_credentials
from slimstage.dockerfile.instructions import Add, Copy, Heredoc
from slimstage.errors import FormatError, PlanError
from slimstage.plan import history, paths
from slimstage.plan.configs import check_user
from slimstage.plan.graph import CopyStep, FileSource, FromContext, FromStep, Git, SourceKind, StepId, Url
from slimstage.plan.scope import Expander
from slimstage.values import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Place:
    """Where the step stands and what it is read with."""

    id: StepId
    stage: int
    parent: StepId | None
    working_dir: str
    env: Mapping[str, str]
    expander: Expander


@dataclass(frozen=True, slots=True)
class _Sources:
    """The sources by kind. `words` are for the history: paths and URLs in order, as are the kinds in `order`."""

    words: list[str] = field(default_factory=list)
    order: list[SourceKind] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    urls: list[Url] = field(default_factory=list)
    gits: list[Git] = field(default_factory=list)


def lower_copy(instruction: Copy | Add, source: FileSource, place: Place) -> tuple[CopyStep, str]:
    """The step, and the history text. Raises PlanError, DockerfileError."""
    span = instruction.span
    expand = _expanding(place, span)
    sources = _sources(instruction, expand)
    destination = expand(instruction.destination)
    chown, chmod = expand(instruction.chown or ""), expand(instruction.chmod or "")
    if chown:
        check_user(chown, span)
    if chmod:
        check_mode(chmod, span)
    inline = tuple(_inline(heredoc, place, span) for heredoc in instruction.heredocs)
    keyword = "ADD" if isinstance(instruction, Add) else "COPY"
    flags = ["--parents"] if instruction.parents else []
    flags += [f"--chown={chown}"] if chown else []
    flags += [f"--chmod={chmod}"] if chmod else []
    words = [*sources.words, *(f"<<{each.name}" for each in inline), destination]
    from_ = instruction.from_ if isinstance(instruction, Copy) else None
    shown = [f"--from={from_}"] if from_ is not None else []
    step = CopyStep(
        id=place.id,
        stage=place.stage,
        parent=place.parent,
        line=span.line,
        end_line=span.end_line,
        title=history.title(" ".join([keyword, *shown, *flags, *words])),
        source=source,
        paths=tuple(sources.paths),
        destination=paths.destination(destination, place.working_dir),
        inline=inline,
        urls=tuple(sources.urls),
        gits=tuple(sources.gits),
        order=_unusual(sources.order),
        chown=chown or None,
        chmod=chmod or None,
        # With --chmod BuildKit falls back to a normal copy.
        is_link=instruction.link and not chmod,
        keeps_parents=instruction.parents,
        exclude=instruction.exclude,
        unpack=_unpacks(instruction),
        from_is_stage=isinstance(source, FromStep),
    )
    return step, " ".join([keyword, *flags, *words]) + history.MARK


def copied_context(name: str, place: Place, span: Span, title: str) -> CopyStep:
    """The step that makes a local context the tree of a stage."""
    return CopyStep(
        id=place.id,
        stage=place.stage,
        parent=place.parent,
        line=span.line,
        end_line=span.end_line,
        title=title,
        source=FromContext(name),
        paths=(".",),
        destination="/",
    )


def empty_tree(id_: StepId, stage: int, span: Span) -> CopyStep:
    """The step that copies nothing onto nothing: what there is to read from `scratch`."""
    return CopyStep(
        id=id_,
        stage=stage,
        parent=None,
        line=span.line,
        end_line=span.end_line,
        title="FROM scratch",
        source=FromContext(""),
        paths=(),
        destination="/",
    )


def check_mode(mode: str, span: Span) -> None:
    """Refuses what is neither octal up to 7777 nor symbolic. Raises PlanError."""
    from slimstage.plan.modes import parse_mode  # few Dockerfiles have the flag

    try:
        parse_mode(mode)
    except PlanError as error:
        error.at(span)
        raise


def _expanding(place: Place, span: Span) -> Callable[[str], str]:
    return lambda text: place.expander.word(text, place.env, span)


def _inline(heredoc: Heredoc, place: Place, span: Span) -> Heredoc:
    name = heredoc.name
    if name in (".", "..") or "/" in name or not name:
        raise PlanError(
            f'a heredoc cannot be copied to a file named "{name}"',
            code="heredoc-name",
            span=span,
            hint="its name is one part of a path",
        )
    content = place.expander.heredoc(heredoc.content, place.env, span) if heredoc.expands else heredoc.content
    # Only name and content matter to the copy: how it was written is in no key.
    return Heredoc(name, content, expands=False)


def _unpacks(instruction: Copy | Add) -> Literal["auto", "never"]:
    return "auto" if isinstance(instruction, Add) and instruction.unpack is not False else "never"


def _sources(instruction: Copy | Add, expand: Callable[[str], str]) -> _Sources:
    span, found = instruction.span, _Sources()
    checksum = expand(instruction.checksum or "") if isinstance(instruction, Add) else ""
    is_known_git = isinstance(instruction, Add) and instruction.keep_git_dir is not None
    for word in instruction.sources:
        text = expand(word)
        found.words.append(without_credentials(text))
        try:
            git = parse_git_ref(text, is_known_git=is_known_git)
        except PlanError as error:
            error.at(span)
            raise
        is_url = text.startswith(("http://", "https://"))
        if git and not git.looks_local:
            found.order.append("git")
            found.gits.append(_git(instruction, git, checksum, span))
        elif is_url:
            found.order.append("url")
            found.urls.append(_url(instruction, text, checksum, span))
        else:
            found.order.append("path")
            clean = paths.parents_source if instruction.parents else paths.source
            found.paths.append(clean(text))
    if checksum and (len(instruction.sources) != 1 or instruction.heredocs or found.paths):
        raise PlanError(
            "--checksum needs exactly one source, and that from http, https or git",
            code="checksum-source",
            span=span,
            hint="give each download an ADD of its own",
        )
    return found


def _unusual(order: list[SourceKind]) -> tuple[SourceKind, ...]:
    """The order, or () where it is the usual one, so that the keys of nearly all steps do not know of it."""
    usual: tuple[SourceKind, ...] = ("path", "url", "git")
    return () if order == sorted(order, key=usual.index) else tuple(order)


def _git(instruction: Copy | Add, ref: GitRef, checksum: str, span: Span) -> Git:
    if not isinstance(instruction, Add):
        raise PlanError("COPY cannot read from a git repository", code="copy-git", span=span, hint="use ADD")
    try:
        if checksum and ref.checksum and checksum != ref.checksum:
            raise PlanError(
                f'--checksum "{checksum[:80]}" and the checksum of the URL, "{ref.checksum[:80]}", differ',
                code="bad-checksum",
            )
        keeps = instruction.keep_git_dir
        if keeps is not None and ref.keep_git_dir is not None and keeps != ref.keep_git_dir:
            raise PlanError("--keep-git-dir and the URL contradict each other", code="bad-git-ref")
        ref = replace(ref, checksum=ref.checksum or checksum or None)
        check_git_ref(ref)
    except PlanError as error:
        error.at(span)
        raise
    return Git(
        remote=ref.remote,
        ref=ref.ref,
        subdir=ref.subdir,
        checksum=ref.checksum,
        keep_git_dir=bool(keeps if ref.keep_git_dir is None else ref.keep_git_dir),
        submodules=ref.submodules is not False,
        mtime="commit" if ref.mtime == "commit" else "checkout",
        fetches_by_commit=ref.fetch_by_commit,
    )


def _url(instruction: Copy | Add, url: str, checksum: str, span: Span) -> Url:
    if not isinstance(instruction, Add):
        raise PlanError("COPY cannot read from a URL", code="copy-url", span=span, hint="use ADD")
    if checksum:
        try:
            parse_digest(checksum)
        except FormatError as error:
            hint = "write --checksum=sha256: and 64 hex digits"
            raise PlanError(error.message, code="bad-checksum", span=span, hint=hint) from error
    return Url(url, checksum or None, bool(instruction.unpack))
