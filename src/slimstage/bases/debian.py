"""`debian://SUITE?include=PKG,PKG&variant=minbase`: a base system made by mmdebstrap, once, and kept in the store.

A machine that reaches a Debian mirror and no registry can build everything with it. The mirror is the one that this host's
apt is set up for; nothing of it is in the image's config or history. Made like Debian's official slim images: no manuals,
no documentation but copyright files.

Parameters, each at most once unless said:
    include      packages, with commas between them
    variant      mmdebstrap's: minbase (default), buildd, important, standard, essential, apt, custom
    components   default main
    env          NAME=VALUE of the config, may be repeated
    cmd          words of the config's Cmd, with commas; default bash, or python3 where that is included

`mmdebstrap.py` makes the system. With python3 the image behaves as the python images do: there is a `python`, and pip
installs for the whole system.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from slimstage.diagnostics import did_you_mean
from slimstage.digest import digest_json
from slimstage.errors import PlanError
from slimstage.oci.config import HistoryEntry, ImageConfig
from slimstage.oci.descriptor import Platform
from slimstage.values import dataclass

SCHEME = "debian://"
VERSION = 2
"""Raised when the same parameters give another system than before."""

EPOCH_S = 1_577_836_800
"""2020-01-01: later times in the packages become this one, so that two machines make the same layer."""
_CREATED = "2020-01-01T00:00:00Z"

VARIANTS = ("minbase", "buildd", "important", "standard", "essential", "apt", "custom")
_PARAMETERS = ("include", "variant", "components", "env", "cmd")
_SUITE = re.compile(r"[a-z][a-z0-9.-]{1,40}\Z")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9.+-]+(:[a-z0-9]+)?(/[a-z0-9.-]+)?(=[A-Za-z0-9.+:~-]+)?\Z")
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class DebianSpec:
    """What a `debian://` reference asks for, in a canonical form: equal specs make equal systems."""

    suite: str
    include: tuple[str, ...] = ()
    variant: str = "minbase"
    components: tuple[str, ...] = ("main",)
    env: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Names the system in the store."""
        values = [VERSION, self.suite, self.include, self.variant, self.components, self.env, self.cmd]
        return digest_json(values)[7:]


def parse_debian(reference: str) -> DebianSpec:
    """The spec that a reference means. Raises PlanError: bad suite, parameter, variant or package name."""
    suite, _, query = reference.removeprefix(SCHEME).partition("?")
    if not _SUITE.match(suite):
        raise _bad(f'"{suite}" is not a Debian suite', "for example debian://bookworm?include=python3")
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _PARAMETERS:
            hint = did_you_mean(name, _PARAMETERS) or f"there are {', '.join(_PARAMETERS)}"
            raise _bad(f'debian:// has no parameter "{name}"', hint)
        if name in found and name != "env":
            raise _bad(f'the parameter "{name}" of debian:// is given twice', None)
        found.setdefault(name, []).append(value)
    include = _list(found, "include")
    for package in include:
        if not _PACKAGE.match(package):
            raise _bad(f'"{package}" is not the name of a Debian package', "separate packages with commas")
    variant = found.get("variant", ["minbase"])[0]
    if variant not in VARIANTS:
        hint = did_you_mean(variant, VARIANTS) or f"there are {', '.join(VARIANTS)}"
        raise _bad(f'"{variant}" is not a variant of mmdebstrap', hint)
    for each in found.get("env", []):
        if "=" not in each:
            raise _bad(f'the parameter env of debian:// needs NAME=VALUE, got "{each}"', None)
    components = _list(found, "components") or ("main",)
    return DebianSpec(
        suite, tuple(sorted(set(include))), variant, components, tuple(found.get("env", ())), _list(found, "cmd")
    )


def debian_config(spec: DebianSpec, platform: Platform) -> ImageConfig:
    """The image's config but for its diff ID. Nothing in it names a mirror or this host."""
    cmd = spec.cmd or (("python3",) if any(p == "python3" for p in spec.include) else ("bash",))
    return ImageConfig(
        architecture=platform.architecture,
        os="linux",
        variant=platform.variant,
        created=_CREATED,
        env=(_PATH, *spec.env),
        cmd=cmd,
        history=(HistoryEntry(_CREATED, f"debian {spec.suite} {spec.variant} {' '.join(spec.include)}".strip()),),
    )


def _list(found: dict[str, list[str]], name: str) -> tuple[str, ...]:
    return tuple(each for each in re.split(r"[,\s]+", found.get(name, [""])[0]) if each)


def _bad(message: str, hint: str | None) -> PlanError:
    return PlanError(message, code="bad-base", hint=hint)
