"""`debian://SUITE?include=PKG,PKG&variant=minbase`: what a base system made of Debian packages is asked to be. Pure.

A machine that reaches a Debian mirror and no registry can build everything with it. The mirror is the one that this
host's apt is set up for; nothing of it is in the image's config or history. Made like Debian's official slim images: no
manuals, no documentation but copyright files, no package lists, and packages are not kept after they were installed.

Parameters, each at most once unless said:
    include      packages, with commas between them; may be repeated
    variant      mmdebstrap's: minbase (default), buildd, important, standard, essential, apt, custom; or extract, which
                 unpacks the included packages and what they depend on, and runs nothing
    components   default main
    arch         must be the platform's: for files that say what they were written for
    link         TARGET:NAME, a link /usr/local/bin/NAME to the program TARGET; may be repeated
    env          NAME=VALUE of the config, may be repeated
    cmd          words of the config's Cmd, with commas; default bash, or python3 where that is included

With python3 the system behaves as the python images do: there is a `python`, and pip installs for the whole system
(Debian marks its Python as managed by dpkg alone; in an image of one purpose nothing is protected by that).

For an architecture whose programs do not run here, the packages are unpacked and their scripts are not run (`unpacks`):
good to copy from and to copy into.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from slimstage.diagnostics import did_you_mean
from slimstage.digest import digest_json
from slimstage.errors import PlanError
from slimstage.oci.config import HistoryEntry, ImageConfig
from slimstage.oci.descriptor import Platform
from slimstage.regex import pattern
from slimstage.values import dataclass

SCHEME = "debian://"
VERSION = 2
"""Raised when the same parameters give another system than before."""

EPOCH_S = 1_577_836_800
"""2020-01-01: later times in the packages become this one, so that two machines make the same layer."""
_CREATED = "2020-01-01T00:00:00Z"

VARIANTS = ("minbase", "buildd", "important", "standard", "essential", "apt", "custom", "extract")
_PARAMETERS = ("include", "variant", "components", "arch", "link", "env", "cmd")
_REPEATED = frozenset({"include", "link", "env"})
_SUITE = pattern(r"[a-z][a-z0-9.-]{1,40}\Z")
_PACKAGE = pattern(r"[a-z0-9][a-z0-9.+-]+(:[a-z0-9]+)?(/[a-z0-9.-]+)?(=[A-Za-z0-9.+:~-]+)?\Z")
_COMPONENT = pattern(r"[a-z][a-z0-9/-]*\Z")
_LINK = pattern(r"([A-Za-z0-9][A-Za-z0-9._+-]*):([A-Za-z0-9][A-Za-z0-9._+-]*)\Z")
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ARCHITECTURES = {"386": "i386", "arm": "armhf", "ppc64le": "ppc64el", "mips64le": "mips64el"}


@dataclass(frozen=True, slots=True)
class DebianSpec:
    """What is asked for, in a canonical form: equal specs make equal systems."""

    suite: str
    include: tuple[str, ...] = ()
    """Sorted, each once."""
    variant: str = "minbase"
    components: tuple[str, ...] = ("main",)
    env: tuple[str, ...] = ()
    cmd: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    """(target, name)."""
    arch: str | None = None
    """As given: only to be compared."""

    def key(self, platform: Platform, *, unpacks: bool = False) -> str:
        """Names the system in the store: 64 hex digits. unpacks: made without running anything of it."""
        asked = [self.suite, self.include, self.variant, self.components, self.env, self.cmd, self.links]
        return digest_json([VERSION, *asked, str(platform), *(["unpacked"] if unpacks else [])])[7:]


def parse_debian(reference: str) -> DebianSpec:
    """The spec that a reference means. Raises PlanError: bad suite, parameter, variant or package name."""
    suite, _, query = reference.removeprefix(SCHEME).partition("?")
    if not _SUITE.match(suite):
        raise _bad(f'"{suite}" is not a Debian suite', "for example debian://bookworm?include=python3")
    found: dict[str, list[str]] = {}
    # "+" is part of names (libstdc++6), not a blank.
    for name, value in parse_qsl(query.replace("+", "%2B"), keep_blank_values=True):
        if name not in _PARAMETERS:
            hint = did_you_mean(name, _PARAMETERS) or f"there are {', '.join(_PARAMETERS)}"
            raise _bad(f'debian:// has no parameter "{name}"', hint)
        if name in found and name not in _REPEATED:
            raise _bad(f'the parameter "{name}" of debian:// is given twice', None)
        found.setdefault(name, []).append(value)
    variant = found.get("variant", ["minbase"])[0]
    if variant not in VARIANTS:
        hint = did_you_mean(variant, VARIANTS) or f"there are {', '.join(VARIANTS)}"
        raise _bad(f'"{variant}" is not a variant of mmdebstrap', hint)
    for each in found.get("env", []):
        if not each.partition("=")[0] or "=" not in each or "\0" in each:
            raise _bad(f'the parameter env of debian:// needs NAME=VALUE, got "{each}"', None)
    return DebianSpec(
        suite,
        tuple(sorted(set(_words(found, "include", _PACKAGE, "the name of a Debian package")))),
        variant,
        _words(found, "components", _COMPONENT, "a component of Debian") or ("main",),
        tuple(found.get("env", ())),
        tuple(word for word in found.get("cmd", [""])[0].split(",") if word),
        tuple(_link(text) for text in found.get("link", [])),
        found.get("arch", [None])[0] or None,
    )


def debian_config(spec: DebianSpec, platform: Platform) -> ImageConfig:
    """The image's config but for its diff ID. Nothing in it names a mirror or this host."""
    cmd = spec.cmd or (("python3",) if "python3" in spec.include else ("bash",))
    return ImageConfig(
        architecture=platform.architecture,
        os="linux",
        variant=platform.variant,
        created=_CREATED,
        env=(_PATH, *spec.env),
        cmd=cmd,
        history=(HistoryEntry(_CREATED, f"debian {spec.suite} {spec.variant} {' '.join(spec.include)}".strip()),),
    )


def check_architecture(spec: DebianSpec, platform: Platform) -> str:
    """Debian's name of the platform's architecture. Raises PlanError: not Linux, or `arch` says another one."""
    name = _ARCHITECTURES.get(platform.architecture, platform.architecture)
    if (platform.architecture, platform.variant) in {("arm", "v6"), ("arm", "v5")}:
        name = "armel"
    if platform.os != "linux":
        raise _bad(f'debian:// makes Linux systems, and the platform is "{platform}"', None)
    if spec.arch not in (None, name, platform.architecture):
        raise PlanError(
            f'debian:// is asked for the architecture "{spec.arch}", the platform is "{platform}"',
            code="platform-mismatch",
            hint="leave arch out, or build with --platform",
        )
    return name


def _words(found: dict[str, list[str]], name: str, grammar: re.Pattern[str], what: str) -> tuple[str, ...]:
    words = [word for text in found.get(name, []) for word in re.split(r"[,\s]+", text) if word]
    for word in words:
        if not grammar.match(word):
            raise _bad(f'"{word}" is not {what}', "separate several with commas")
    return tuple(dict.fromkeys(words))


def _link(text: str) -> tuple[str, str]:
    match = _LINK.match(text)
    if match is None:
        raise _bad(
            f'the parameter link of debian:// needs TARGET:NAME, got "{text}"', "for example link=python3:python"
        )
    return match[1], match[2]


def _bad(message: str, hint: str | None) -> PlanError:
    return PlanError(message, code="bad-base", hint=hint)
