"""Where an image comes from, as an in-toto statement with SLSA's provenance predicate.

`min` says what was built from what; `max` adds the Dockerfile's stages with their instructions and the values of build
arguments. Secrets are named, never their values; proxies are left out; an argument whose name speaks of a secret has no value.
Source: SLSA v1.0, "Provenance"; in-toto attestation framework, "Statement v1". The keys of `externalParameters` are BuildKit's.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from slimstage.bases.base import Base
from slimstage.build.downloads import StoreDownloads
from slimstage.build.preparation import ImagePlan, Prepared
from slimstage.build.request import BuildRequest
from slimstage.digest import Digest, digest_bytes
from slimstage.dockerfile.gitref import without_credentials
from slimstage.oci.descriptor import host_platform
from slimstage.plan.graph import BaseStep, CopyStep, Graph, RunStep, SecretMount, SshMount
from slimstage.plan.scope import PROXY_NAMES
from slimstage.regex import pattern
from slimstage.store.store import Store
from slimstage.values import dataclass
from slimstage.version import __version__

STATEMENT = "application/vnd.in-toto+json"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:slimstage:dockerfile:v1"

Mode: TypeAlias = Literal["min", "max"]
Document: TypeAlias = dict[str, Any]

_SECRET = pattern(r"(?i)secret|token|passw|credential|private|(?:^|[_-])(?:key|pw|auth)(?:$|[_-])|apikey")
HIDDEN = "xxxxx"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the image itself does not say. started_s, finished_s: seconds since 1970."""

    names: tuple[str, ...]
    digest: Digest
    started_s: float
    finished_s: float


def statement(prepared: Prepared, plan: ImagePlan, facts: Facts, store: Store, dockerfile: str, mode: Mode) -> Document:
    """The statement about the image of one platform. dockerfile: its text. store: knows what ADD fetched."""
    request = prepared.request
    hexadecimal = facts.digest.partition(":")[2]
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": name, "digest": {"sha256": hexadecimal}} for name in facts.names or ("_",)],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": _external(request, plan, dockerfile, mode),
                "internalParameters": _internal(request, plan.graph, dockerfile, mode),
                "resolvedDependencies": list(_materials(prepared, plan, store)),
            },
            "runDetails": {
                "builder": {"id": "urn:slimstage", "version": {"slimstage": __version__}},
                "metadata": {
                    "invocationId": digest_bytes(f"{facts.digest} {facts.started_s}".encode())[7:39],
                    "startedOn": _time(facts.started_s),
                    "finishedOn": _time(facts.finished_s),
                },
            },
        },
    }


def _external(request: BuildRequest, plan: ImagePlan, dockerfile: str, mode: Mode) -> Document:
    """What the user asked for."""
    args: dict[str, str] = {"target": plan.target.name} if request.target else {}
    if mode == "max":
        args |= {
            f"build-arg:{name}": HIDDEN if _SECRET.search(name) else value
            for name, value in sorted(request.build_args.items())
            if value is not None and name.upper() not in PROXY_NAMES
        }
    args |= {f"label:{name}": value for name, value in sorted(request.labels.items())}
    if request.no_cache:
        args["no-cache"] = ""
    source: Document = {"path": _shown_path(request), "digest": {"sha256": digest_bytes(dockerfile.encode())[7:]}}
    if "://" in request.context or request.context.startswith("git@"):
        source["uri"] = without_credentials(request.context)
    return {
        "configSource": source,
        "request": {
            "frontend": "dockerfile",
            "args": args,
            "contexts": {name: without_credentials(value) for name, value in sorted(request.named_contexts.items())
                         if "://" in value},
            "secrets": list(_mounted(plan.graph, SecretMount)),
            "ssh": list(_mounted(plan.graph, SshMount)),
        },
    }  # fmt: skip


def _internal(request: BuildRequest, graph: Graph, dockerfile: str, mode: Mode) -> Document:
    """How it was done, and in `max` what each stage did."""
    stages: list[Document] = []
    hidden = [value for name, value in request.build_args.items() if value and _SECRET.search(name)]
    for stage in graph.stages:
        described: Document = {"name": stage.name}
        if mode == "max":
            described["instructions"] = [
                {"instruction": _without(entry.created_by, hidden), "step": entry.step is not None}
                for entry in stage.history
            ]
        stages.append(described)
    internal: Document = {
        "builderPlatform": str(host_platform()),
        "sandbox": request.backend,
        "network": request.network,
        "reproducible": request.is_reproducible,
        "stages": stages,
        "skippedStages": [stage.name for stage in graph.skipped],
    }
    if mode == "max":
        internal["dockerfile"] = _without(dockerfile, hidden)
    return internal


def _materials(prepared: Prepared, plan: ImagePlan, store: Store) -> Iterator[Document]:
    """Bases, downloads and repositories, each once, in the order of the Dockerfile."""
    seen: set[str] = set()
    downloads = StoreDownloads(store)
    for step in plan.graph.steps.values():
        found: list[Document] = []
        if isinstance(step, BaseStep) and (base := prepared.base_of.get(step.id)) is not None:
            found.append(_base(base))
        elif isinstance(step, CopyStep):
            for url in step.urls:
                known = downloads.find(url.url)
                digest = url.checksum or (known.digest if known else None)
                found.append(_material(without_credentials(url.url), digest))
            for git in step.gits:
                uri = "git+" + without_credentials(git.remote).removeprefix("git+") + (f"@{git.ref}" if git.ref else "")
                found.append({"uri": uri, **({"digest": {"gitCommit": git.checksum}} if git.checksum else {})})
        for material in found:
            if material["uri"] not in seen:
                seen.add(material["uri"])
                yield material


def _base(base: Base) -> Document:
    name = without_credentials(base.reference)
    uri = name if "://" in name else f"docker-image://{name}"
    return {**_material(uri, base.manifest), "annotations": {"platform": str(base.platform), "image": base.id}}


def _material(uri: str, digest: str | None) -> Document:
    if digest is None:
        return {"uri": uri}
    algorithm, _, encoded = digest.partition(":")
    return {"uri": uri, "digest": {algorithm: encoded}}


def _mounted(graph: Graph, kind: type[SecretMount] | type[SshMount]) -> Iterator[Document]:
    mounts = {
        mount.id: mount.is_required
        for step in graph.steps.values()
        if isinstance(step, RunStep)
        for mount in step.mounts
        if isinstance(mount, kind)
    }
    yield from ({"id": name, "optional": not required} for name, required in sorted(mounts.items()))


def _shown_path(request: BuildRequest) -> str:
    """Within the context where it is there: where a user's directories lie is nobody's business."""
    return (request.dockerfile or "Dockerfile").rpartition("/")[2] if request.dockerfile != "-" else "-"


def _without(text: str, hidden: list[str]) -> str:
    """A history names the values of arguments: those of secret ones do not leave."""
    for value in sorted(hidden, key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    return text


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
