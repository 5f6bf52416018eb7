"""An inventory as a bill of materials: SPDX 2.3 and CycloneDX 1.6, as JSON documents. Pure.

The same image gives the same bytes: identifiers are made from its digest, and the time is the image's own.
Source: SPDX specification 2.3, clauses 6, 7 and 11; CycloneDX 1.6 JSON reference.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

from slimstage.analyze.distribution import normalised
from slimstage.analyze.inventory import Inventory
from slimstage.analyze.purl import debian_purl, image_purl, python_purl, weights_purl
from slimstage.digest import Digest
from slimstage.regex import pattern
from slimstage.values import dataclass
from slimstage.version import __version__

SPDX = "application/spdx+json"
CYCLONEDX = "application/vnd.cyclonedx+json"

Document: TypeAlias = dict[str, Any]

_NAMESPACE = uuid.UUID("5b5ac1a1-7b3a-5f5a-8d5e-5b1d4c7a9e21")
_ID = pattern(r"[^A-Za-z0-9.-]+")
_NOTHING = "NOASSERTION"


@dataclass(frozen=True, slots=True)
class Subject:
    """What the bill is of. name: a full reference, or empty. digest: the manifest's. created_s: seconds since 1970."""

    name: str
    digest: Digest
    architecture: str
    created_s: int

    @property
    def id(self) -> uuid.UUID:
        return uuid.uuid5(_NAMESPACE, self.digest)

    @property
    def created(self) -> str:
        return datetime.fromtimestamp(self.created_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class _Part:
    """One thing in the image, as both formats name it."""

    kind: Literal["deb", "pypi", "weights"]
    name: str
    version: str
    purl: str
    place: str
    licence: str | None = None
    supplier: str = ""
    homepage: str = ""
    digest: Digest | None = None
    facts: tuple[tuple[str, str], ...] = ()
    requires: tuple[str, ...] = ()
    """Keys of Python packages in the same image."""


def spdx(inventory: Inventory, subject: Subject) -> Document:
    """The SPDX document: the image, and a package for each part, which it contains."""
    name = subject.name or f"image {subject.digest}"
    image = {
        "SPDXID": "SPDXRef-Image",
        "name": name,
        "versionInfo": subject.digest,
        "downloadLocation": _NOTHING,
        "filesAnalyzed": False,
        "licenseConcluded": _NOTHING,
        "licenseDeclared": _NOTHING,
        "copyrightText": _NOTHING,
        "primaryPackagePurpose": "CONTAINER",
        "checksums": [{"algorithm": "SHA256", "checksumValue": subject.digest.partition(":")[2]}],
        "externalRefs": [_spdx_purl(image_purl(subject.name, subject.digest, subject.architecture))],
    }
    packages, relations = [image], [_relation("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-Image")]
    parts = list(_parts(inventory))
    ids = [_spdx_id(part, number) for number, part in enumerate(parts)]
    by_key = {part.name: ids[number] for number, part in enumerate(parts) if part.kind == "pypi"}
    for part, identity in zip(parts, ids, strict=True):
        packages.append(_spdx_package(part, identity))
        relations.append(_relation("SPDXRef-Image", "CONTAINS", identity))
        relations += [_relation(identity, "DEPENDS_ON", by_key[key]) for key in part.requires if key in by_key]
    return {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": f"urn:uuid:{subject.id}",
        "creationInfo": {"created": subject.created, "creators": [f"Tool: slimstage-{__version__}"]},
        "packages": packages,
        "relationships": relations,
    }


def _spdx_package(part: _Part, identity: str) -> Document:
    package: Document = {
        "SPDXID": identity,
        "name": part.name,
        **({"versionInfo": part.version} if part.version else {}),
        "downloadLocation": _NOTHING,
        "filesAnalyzed": False,
        "licenseConcluded": _NOTHING,
        "licenseDeclared": part.licence or _NOTHING,
        "copyrightText": _NOTHING,
        "sourceInfo": f"found at /{part.place}",
        "externalRefs": [_spdx_purl(part.purl)],
    }
    if part.supplier:
        package["supplier"] = f"Person: {part.supplier}"
    if part.homepage.startswith(("http://", "https://")):
        package["homepage"] = part.homepage
    if part.digest:
        package["checksums"] = [{"algorithm": "SHA256", "checksumValue": part.digest.partition(":")[2]}]
        package["packageFileName"] = f"/{part.place}"
        package["primaryPackagePurpose"] = "FILE"
    if part.facts:
        package["comment"] = ", ".join(f"{key}: {value}" for key, value in part.facts)
    return package


def _spdx_purl(text: str) -> Document:
    return {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": text}


def _spdx_id(part: _Part, number: int) -> str:
    return f"SPDXRef-{part.kind}-{number}-{_ID.sub('-', part.name)[:100]}"


def _relation(one: str, kind: str, other: str) -> dict[str, str]:
    return {"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}


def cyclonedx(inventory: Inventory, subject: Subject) -> Document:
    """The CycloneDX document: packages are libraries, weights machine-learning models."""
    refs: dict[str, _Part] = {}
    for part in _parts(inventory):
        refs[part.purl if part.purl not in refs else f"{part.purl}#{part.place}"] = part
    by_key = {part.name: ref for ref, part in refs.items() if part.kind == "pypi"}
    image = image_purl(subject.name, subject.digest, subject.architecture)
    hashes = [{"alg": "SHA-256", "content": subject.digest.partition(":")[2]}]
    component = {
        "type": "container", "bom-ref": image, "name": subject.name or "image", "version": subject.digest,
        "purl": image, "hashes": hashes,
    }  # fmt: skip
    components = [_component(part, ref) for ref, part in refs.items()]
    if inventory.system.id:
        system = inventory.system
        components.append({
            "type": "operating-system", "bom-ref": f"os:{system.id}", "name": system.id,
            **({"version": system.version} if system.version else {}),
            **({"description": system.name} if system.name else {}),
        })  # fmt: skip
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{subject.id}",
        "version": 1,
        "metadata": {
            "timestamp": subject.created,
            "tools": {"components": [{"type": "application", "name": "slimstage", "version": __version__}]},
            "component": component,
        },
        "components": components,
        "dependencies": [
            {"ref": image, "dependsOn": sorted(refs)},
            *(
                {"ref": ref, "dependsOn": sorted({by_key[key] for key in part.requires if by_key.get(key, ref) != ref})}
                for ref, part in refs.items()
            ),
        ],
    }


def _component(part: _Part, ref: str) -> Document:
    component: Document = {
        "type": "machine-learning-model" if part.kind == "weights" else "library",
        "bom-ref": ref,
        "name": part.name,
        **({"version": part.version} if part.version else {}),
        "purl": part.purl,
    }
    if part.supplier:
        component["supplier"] = {"name": part.supplier}
    if part.licence:
        component["licenses"] = [{"expression": part.licence}]
    if part.digest:
        component["hashes"] = [{"alg": "SHA-256", "content": part.digest.partition(":")[2]}]
    facts = (("place", f"/{part.place}"), *part.facts)
    component["properties"] = [{"name": f"slimstage:{key}", "value": value} for key, value in facts]
    return component


def _parts(inventory: Inventory) -> Iterator[_Part]:
    for package in inventory.debian:
        yield _Part(
            "deb", package.name, package.version, debian_purl(package, inventory.system), "var/lib/dpkg/status",
            supplier=package.maintainer, homepage=package.homepage,
            facts=(("architecture", package.architecture),),
        )  # fmt: skip
    present = {each.distribution.key for each in inventory.python}
    for python in inventory.python:
        found = python.distribution
        requires = {name for each in found.requires if (name := normalised(each.name)) in present and _applies(each)}
        yield _Part(
            "pypi", found.key, found.version, python_purl(found), found.directory, licence=python.licence,
            requires=tuple(sorted(requires)),
        )  # fmt: skip
    for weights in inventory.weights:
        yield _Part(
            "weights", weights.path.rpartition("/")[2], "", weights_purl(weights), weights.path, digest=weights.digest,
            facts=(("format", weights.format), ("size-bytes", str(weights.size_bytes))),
        )  # fmt: skip


def _applies(requirement: Any) -> bool:
    """False for what only an extra asks for: it is a dependency of whoever asked for the extra."""
    return requirement.marker is None or "extra" not in str(requirement.marker)
