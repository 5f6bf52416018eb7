"""The keys of a step.

A step has two. The *definition key* comes from the instruction's resolved values and the content keys of the steps that
it stands on or reads from: it is known without reading a file. The *content key* comes from what it really reads:
digests of the files a COPY selected or a bind mount shows, and the parent's content key. Asking the definition key first
costs nothing; the content key is what steps further on use, so that an earlier stage that gives equal bytes leaves them
cached. Modification times, secrets, cache-mount contents and undeclared proxies are in no key. Pure.

Source: design.md "Two keys for each step"; dockerfile.md §4, points 59 to 66; BuildKit's docs/dev/solver.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from slimstage.digest import Digest, digest_json
from slimstage.plan.graph import (
    AnyStep,
    BaseStep,
    BindMount,
    CacheMount,
    CopyStep,
    FromContext,
    FromStep,
    RunStep,
    SecretMount,
    SshMount,
    StepId,
)
from slimstage.values import names_of

VERSION = 1
"""Raised whenever the same key could stand for another result than before."""

EMPTY_TREE = "empty"
"""The content key of `FROM scratch`."""

_PLACE = frozenset({"id", "stage", "parent", "line", "end_line", "title"})
"""Fields that say where a step stands, not what it does."""


def is_volatile(step: AnyStep) -> bool:
    """True when only reading can tell what the step will give: files of a context, a URL without checksum, git."""
    if isinstance(step, CopyStep):
        reads_context = isinstance(step.source, FromContext) and bool(step.paths)
        return reads_context or any(not url.checksum for url in step.urls) or bool(step.gits)
    if isinstance(step, RunStep):
        return any(
            isinstance(mount, BindMount | CacheMount) and isinstance(mount.source, FromContext) for mount in step.mounts
        )
    return False


def reads_files(step: AnyStep) -> bool:
    """True when the step reads files of another tree than its parent, so that its two keys differ."""
    if isinstance(step, CopyStep):
        return bool(step.paths or step.urls or step.gits)
    return isinstance(step, RunStep) and any(isinstance(mount, BindMount) for mount in step.mounts)


def _is_base_key(key: str) -> bool:
    return key.startswith("b")


def base_key(step: BaseStep) -> str:
    """The content key of a base: the image, not the name it was asked for by."""
    return _key("base", {"digest": step.digest})


def definition_key(step: AnyStep, keys: Mapping[StepId, str], extra: Mapping[str, Any]) -> str:
    """The key that is known without reading files.

    keys: the content keys of all inputs. extra: what the request adds to a RUN (hosts, environment).
    """
    return _key("definition", {**_values(step, extra), "inputs": [keys[each] for each in _inputs(step)]})


def content_key(step: AnyStep, parent: str, digests: Sequence[Digest], extra: Mapping[str, Any]) -> str:
    """The key by what is really read.

    parent: the parent's content key, EMPTY_TREE without one. A `--link` COPY does not depend on its parent.
    digests: of the selection, or of each bind mount in order. Of a tree below, `parent` is what `tree_key` gives.
    """
    values = _values(step, extra, by_content=True)
    above = EMPTY_TREE if isinstance(step, CopyStep) and step.is_link else parent
    return _key("content", {**values, "parent": above, "digests": list(digests)})


def tree_key(step: AnyStep, parent: str, content: str) -> str:
    """What stands for the whole tree after a step, for the keys of those that stand on it or read from it.

    parent: what stands for the tree below. content: the content key of the step, which says it all, unless the step does
    not depend on what is below.
    """
    if isinstance(step, CopyStep) and step.is_link and step.parent:
        return _key("linked", {"parent": parent, "content": content})
    return content


def rerun_key(key: str, layer: str) -> str:
    """The content key of a step that ran although its key was known: its result may differ from the one before."""
    return _key("rerun", {"key": key, "layer": layer})


def explained(step: AnyStep, parent: str, extra: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """What went into the content key, as (name, value) pairs that a person understands; what was read is added by whoever
    read it.

    Values are digests where they could be long or private; comparing two lists says what changed.
    """
    if isinstance(step, CopyStep) and step.is_link:
        parent = EMPTY_TREE
    pairs: list[tuple[str, str]] = [("base image" if _is_base_key(parent) else "parent", parent)]
    if isinstance(step, RunStep):
        pairs.append(("command", digest_json([step.argv, step.script])))
        pairs += [(f"variable {name}", digest_json(value)) for name, value in step.env]
        pairs += [("working directory", step.cwd), ("user", step.user)]
        pairs += [("network", step.network), ("security", step.security), ("devices", digest_json(step.devices))]
        pairs += [(_mount_name(mount), digest_json(_mount_values(mount, by_content=True))) for mount in step.mounts]
        pairs += [(name, digest_json(value)) for name, value in sorted(extra.items())]
    elif isinstance(step, CopyStep):
        pairs.append(("destination", step.destination))
        pairs += [(f"--{flag}", str(getattr(step, flag))) for flag in ("chown", "chmod", "exclude")]
        pairs += [("--link", str(step.is_link)), ("--parents", str(step.keeps_parents))]
        pairs += [("unpacking", f"{step.unpack} {[url.unpack for url in step.urls]}")]
        pairs += [("whether files come from a stage", str(step.from_is_stage))]
        pairs += [(f"heredoc {each.name}", digest_json(_plain(each))) for each in step.inline]
    elif not isinstance(step, BaseStep):
        pairs += [("path", step.path), ("user", step.user)]
    return tuple(pairs)


def _mount_name(mount: object) -> str:
    kind = type(mount).__name__.removesuffix("Mount").lower()
    return f"{kind} mount {getattr(mount, 'target', None) or getattr(mount, 'env', None) or getattr(mount, 'id', '')}"


def _inputs(step: AnyStep) -> list[StepId]:
    found = [step.parent] if step.parent else []
    if isinstance(step, CopyStep):
        if step.is_link:
            found = []
        found += [step.source.step] if isinstance(step.source, FromStep) else []
    elif isinstance(step, RunStep):
        for mount in step.mounts:
            if isinstance(mount, BindMount) and isinstance(mount.source, FromStep):
                found.append(mount.source.step)
    return found


def _values(step: AnyStep, extra: Mapping[str, Any], *, by_content: bool = False) -> dict[str, Any]:
    """What the step does. By content, where its files are is left out: their digests stand for them."""
    values: dict[str, Any] = {"kind": type(step).__name__}
    for name in names_of(step):
        if name not in _PLACE:
            values[name] = getattr(step, name)
    if isinstance(step, CopyStep):
        values.pop("source")
        if not step.order:
            values.pop("order")
        for name in ("inline", "urls", "gits"):
            values[name] = [_plain(each) for each in values[name]]
        values["unpacks"] = [url.unpack for url in step.urls]
        if by_content:
            for name in ("paths", "urls", "gits"):
                values.pop(name)
    elif isinstance(step, RunStep):
        values.pop("proxy_env")
        values["mounts"] = [_mount_values(mount, by_content) for mount in step.mounts]
        values |= extra
    return values


def _plain(value: Any) -> Any:
    """A value and those in it as JSON has them."""
    if hasattr(value, "__match_args__"):
        return {name: _plain(getattr(value, name)) for name in names_of(value)}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _mount_values(mount: object, by_content: bool) -> dict[str, Any]:
    """What of a mount can change a result: where it is and how, not which step it comes from, nor which cache it is and
    who shares it: what a cache holds is in no key.
    """
    values: dict[str, Any] = {"kind": type(mount).__name__}
    for name in names_of(mount):
        values[name] = getattr(mount, name)
    values.pop("source", None)
    if isinstance(mount, BindMount) and by_content:
        values.pop("path")
    if isinstance(mount, CacheMount):
        values.pop("sharing")
        values.pop("id")
    if isinstance(mount, SecretMount):
        values.pop("is_required")
    if isinstance(mount, SshMount) and mount.written is None:
        values.pop("written")
    return values


def _key(kind: str, values: Mapping[str, Any]) -> str:
    return f"{kind[0]}{VERSION}-" + digest_json({"version": VERSION, "kind": kind, **values})[7:]
