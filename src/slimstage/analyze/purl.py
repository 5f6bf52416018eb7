"""Package URLs: how bills of materials name a package. Pure.

Source: package-url specification, "Rules for each purl component"; types deb, pypi, oci, docker, generic.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from slimstage.analyze.debian import DebianPackage
from slimstage.analyze.distribution import Distribution
from slimstage.analyze.inventory import System, Weights
from slimstage.digest import Digest


def purl(
    kind: str, name: str, version: str = "", namespace: str = "", qualifiers: Mapping[str, str] | None = None
) -> str:
    """`pkg:KIND/NAMESPACE/NAME@VERSION?KEY=VALUE`; empty parts are left out, qualifiers are in order of their keys."""
    above = "".join(f"{_quoted(part)}/" for part in namespace.split("/") if part)
    text = f"pkg:{kind}/{above}{_quoted(name)}" + (f"@{_quoted(version)}" if version else "")
    pairs = sorted((key, value) for key, value in (qualifiers or {}).items() if value)
    return text + ("?" + "&".join(f"{key}={_quoted(value, '/')}" for key, value in pairs) if pairs else "")


def debian_purl(package: DebianPackage, system: System) -> str:
    distribution = f"{system.id}-{system.version}" if system.id and system.version else ""
    upstream = f"{package.source[0]}@{package.source[1]}" if package.source else ""
    qualifiers = {"arch": package.architecture, "distro": distribution, "upstream": upstream}
    return purl("deb", package.name, package.version, system.id or "debian", qualifiers)


def python_purl(distribution: Distribution) -> str:
    origin = distribution.origin
    vcs = f"{origin.vcs}+{origin.url}" + (f"@{origin.commit}" if origin.commit else "") if origin and origin.vcs else ""
    return purl("pypi", distribution.key, distribution.version, qualifiers={"vcs_url": vcs})


def weights_purl(weights: Weights) -> str:
    name = weights.path.rpartition("/")[2]
    return purl("generic", name, qualifiers={"checksum": weights.digest})


def image_purl(name: str, digest: Digest, architecture: str) -> str:
    """name: a full reference or "image"."""
    repository = name.partition("@")[0]
    head, colon, tag = repository.rpartition(":")
    if not colon or "/" in tag:
        head, tag = repository, ""
    qualifiers = {"arch": architecture, "repository_url": head if "/" in head else "", "tag": tag}
    return purl("oci", head.rpartition("/")[2].lower() or "image", digest, qualifiers=qualifiers)


def _quoted(text: str, safe: str = "") -> str:
    return quote(text, safe=f":{safe}", errors="surrogateescape")
