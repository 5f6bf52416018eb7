"""Packages of distributions: apt, dpkg, apk, dnf.

Source: apt-get(8), apt(8), aptitude(8), dpkg(1); apk(8) of apk-tools 2.14; dnf(8), microdnf(8), yum(8).
"""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.lint.commands.command import Clean, Command, Install, Options, Remove, Requested, Update
from slimstage.lint.commands.options import Parsed, Table
from slimstage.lint.shell.script import UNKNOWN, Invocation, Word
from slimstage.regex import pattern

_APT = Table(
    """
    -o,--option= -c,--config-file= -t,--target-release,--default-release= -a,--host-architecture=
    -P,--build-profiles= --with-source= -q,--quiet=? --solver= -y,--assume-yes,--yes -f,--fix-broken
    -d,--download-only -s,--simulate -m,--ignore-missing,--fix-missing -u,--show-upgraded -b,--build,--compile
    -V,--verbose-versions -R,--without-recommends --install-recommends --no-install-recommends --install-suggests
    --no-install-suggests --purge --reinstall --force-yes --allow-unauthenticated --allow-downgrades
    --allow-change-held-packages --no-upgrade --auto-remove
    """
)
_FALSE = frozenset(("false", "0", "no", "off", "without", "disable"))
_DEB = pattern(r"(?P<name>[A-Za-z0-9][A-Za-z0-9+._-]*)(?::(?P<arch>[a-z0-9]+))?(?P<constraint>[=/].+)?")

_DPKG = Table(
    """
    -i,--install --unpack --configure -r,--remove -P,--purge -R,--recursive -a,--pending --root= --admindir=
    --instdir= -E,--skip-same-version -G,--refuse-downgrade -B,--auto-deconfigure -l,--list -L,--listfiles
    -s,--status -S,--search
    """
)

_APK = Table(
    """
    -X,--repository= -p,--root= -t,--virtual= --arch= --keys-dir= --repositories-file= --cache-dir= --cache-max-age=
    --wait= --progress-fd= --timeout= -U,--update,--update-cache --no-cache -q,--quiet -v,--verbose -u,--upgrade
    -l,--latest -f,--force -i,--interactive --allow-untrusted --initdb --no-progress --purge -r,--rdepends
    --no-scripts -s,--simulate
    """
)
_APK_SPEC = pattern(
    rf"(?P<name>!?[A-Za-z0-9_.+{UNKNOWN}-]+?)(?P<constraint>(?:[<>=~]=?.+)?)(?:@(?P<tag>[A-Za-z0-9_.-]+))?"
)

_DNF = Table(
    """
    --setopt= --enablerepo= --disablerepo= --repo,--repoid= --installroot= --releasever= -x,--exclude,--excludepkgs=
    -c,--config= -d,--debuglevel= -e,--errorlevel= -R,--randomwait= --disableplugin= --enableplugin= --advisory=
    --rpmverbosity= --forcearch= --comment= --downloaddir,--destdir= --color= --repofrompath= --refresh --nodocs
    --nogpgcheck --allowerasing --best --nobest --skip-broken -y,--assumeyes -q,--quiet -v,--verbose -C,--cacheonly
    --nodeps --no-recommends --no-allow-vendor-change -n,--non-interactive -t,--type=
    """
)
_RPM_VERSION = pattern(
    r"(?P<name>.+?)-(?:[0-9]+:)?[0-9][A-Za-z0-9.+~^_*]*(?:-[A-Za-z0-9.+~^_*]+)?(?:\.(?:x86_64|aarch64|noarch|i686))?"
)
_RPM_ARCH = pattern(r"\.(?:x86_64|aarch64|noarch|i686)")


def apt(invocation: Invocation) -> Iterator[Command]:
    """`apt-get`, `apt`, `aptitude`."""
    parsed = _APT.parse(invocation.words)
    if not parsed.rest:
        return
    action, rest = parsed.rest[0].shape, parsed.rest[1:]
    options = Options(
        no_recommends=_no_recommends(parsed),
        assume_yes=parsed.has("--yes", "--force-yes") or _quiet(parsed) > 1,
    )
    packages = tuple(deb(word) for word in rest if not word.shape.endswith("-"))
    if action in ("install", "reinstall"):
        yield Install("apt", "install", packages, (), options, invocation)
    elif action in ("upgrade", "dist-upgrade", "full-upgrade", "safe-upgrade"):
        yield Install("apt", "upgrade", packages, (), options, invocation)
    elif action == "build-dep":
        yield Install("apt", "build-dep", packages, (), options, invocation)
    elif action == "download":
        yield Install("apt", "download", packages, (), options, invocation)
    elif action == "update":
        yield Update("apt", invocation)
    elif action in ("remove", "purge", "autoremove", "autopurge"):
        is_auto = action.startswith("auto") or parsed.has("--auto-remove")
        yield Remove("apt", packages, (), invocation, is_auto=is_auto)
    elif action in ("clean", "autoclean", "distclean"):
        yield Clean(
            frozenset(("apt-archives", "apt-lists") if action == "distclean" else ("apt-archives",)), invocation
        )


def _quiet(parsed: Parsed) -> int:
    """How quiet: from 2 on it does not ask."""
    level = parsed.value("--quiet") or ""
    return int(level) if level.isdecimal() else sum(option.name == "--quiet" for option in parsed.options)


def _no_recommends(parsed: Parsed) -> bool:
    """The last word on it counts, as in apt."""
    found = False
    for option in parsed.options:
        if option.name in ("--no-install-recommends", "--without-recommends"):
            found = True
        elif option.name == "--install-recommends":
            found = False
        elif option.name == "--option" and option.value is not None:
            name, _, value = option.value.shape.partition("=")
            if name.lower() == "apt::install-recommends":
                found = value.strip("\"'").lower() in _FALSE
    return found


def deb(word: Word) -> Requested:
    """`name`, `name=version`, `name/release`, `name:arch`, a file."""
    text = word.shape
    if text.startswith(("./", "/", "../")) or text.endswith(".deb"):
        return Requested("", text, word.span, "", (), True, "path", word.is_exact)
    found = _DEB.fullmatch(text)
    if found is None:
        name, equals, version = text.partition("=")
        name = "" if UNKNOWN in name else name.partition(":")[0]
        return Requested(name, text, word.span, equals + version, (), bool(equals), "name", word.is_exact)
    constraint = found.group("constraint") or ""
    return Requested(
        found.group("name"), text, word.span, constraint, (), constraint.startswith("="), "name", word.is_exact
    )


def dpkg(invocation: Invocation) -> Iterator[Command]:
    """`dpkg -i FILE…`, `dpkg -r NAME…`."""
    parsed = _DPKG.parse(invocation.words)
    if parsed.has("--install", "--unpack"):
        yield Install("dpkg", "install", tuple(map(deb, parsed.rest)), (), Options(assume_yes=True), invocation)
    elif parsed.has("--remove", "--purge"):
        yield Remove("dpkg", tuple(map(deb, parsed.rest)), (), invocation)


def apk(invocation: Invocation) -> Iterator[Command]:
    """`apk add`, `del`, `update`, `upgrade`, `cache clean`."""
    parsed = _APK.parse(invocation.words)
    if not parsed.rest:
        return
    action, rest = parsed.rest[0].shape, parsed.rest[1:]
    options = Options(
        no_cache=parsed.has("--no-cache"),
        cache_dir=parsed.value("--cache-dir"),
        no_recommends=True,
        assume_yes=True,
        extra_index_urls=parsed.shapes("--repository"),
        root=parsed.value("--root"),
        virtual=parsed.value("--virtual"),
    )
    packages = tuple(_apk_package(word) for word in rest)
    if action == "add":
        yield Install("apk", "install", packages, (), options, invocation)
    elif action == "upgrade":
        yield Install("apk", "upgrade", packages, (), options, invocation)
    elif action == "update":
        yield Update("apk", invocation)
    elif action == "del":
        yield Remove("apk", packages, (), invocation, is_auto=True)
    elif action == "cache" and any(word.shape in ("clean", "purge") for word in rest):
        yield Clean(frozenset(("apk",)), invocation)


def _apk_package(word: Word) -> Requested:
    text = word.shape
    if text.endswith(".apk"):
        return Requested("", text, word.span, "", (), True, "path", word.is_exact)
    found = _APK_SPEC.fullmatch(text)
    if found is None:
        return Requested("", text, word.span, is_exact=word.is_exact)
    name, constraint = found.group("name"), found.group("constraint")
    is_pinned = constraint.startswith(("=", "~"))
    name = "" if UNKNOWN in name else name
    return Requested(name, text, word.span, constraint, (), is_pinned, "name", word.is_exact, found.group("tag") or "")


def dnf(invocation: Invocation) -> Iterator[Command]:
    """`dnf`, `yum`, `microdnf`, `tdnf`, `zypper`."""
    parsed = _DNF.parse(invocation.words)
    if not parsed.rest:
        return
    action, rest = parsed.rest[0].shape, parsed.rest[1:]
    weak = [word.shape.lower().replace(" ", "") for word in parsed.values("--setopt")]
    options = Options(
        no_recommends=any(each in ("install_weak_deps=false", "install_weak_deps=0") for each in weak)
        or parsed.has("--no-recommends")
        or invocation.name == "tdnf",
        assume_yes=parsed.has("--assumeyes", "--non-interactive"),
        root=parsed.value("--installroot"),
    )
    packages = tuple(_rpm(word) for word in rest)
    if action in ("install", "localinstall", "groupinstall", "reinstall", "in"):
        yield Install("dnf", "install", packages, (), options, invocation)
    elif action == "group" and rest and rest[0].shape == "install":
        yield Install("dnf", "install", packages[1:], (), options, invocation)
    elif action == "builddep":
        yield Install("dnf", "build-dep", packages, (), options, invocation)
    elif action in ("upgrade", "update", "dist-upgrade", "upgrade-minimal", "up"):
        yield Install("dnf", "upgrade", packages, (), options, invocation)
    elif action in ("makecache", "check-update", "refresh", "ref"):
        yield Update("dnf", invocation)
    elif action in ("remove", "erase", "autoremove", "rm"):
        yield Remove("dnf", packages, (), invocation, is_auto=action == "autoremove")
    elif action == "clean" and (invocation.name == "zypper" or any(word.shape in ("all", "packages") for word in rest)):
        yield Clean(frozenset(("dnf",)), invocation)


def _rpm(word: Word) -> Requested:
    text = word.shape
    if text.startswith("@"):
        return Requested(text[1:], text, word.span, kind="group", is_exact=word.is_exact)
    if "://" in text or text.endswith(".rpm"):
        kind = "url" if "://" in text else "path"
        return Requested("", text, word.span, "", (), True, "url" if kind == "url" else "path", word.is_exact)
    name, _, unknown = text.partition("-" + UNKNOWN)
    if unknown or text.endswith("-" + UNKNOWN):
        return Requested(
            "" if UNKNOWN in name else name, text, word.span, "-" + UNKNOWN, (), True, "name", word.is_exact
        )
    if UNKNOWN in text:
        return Requested("", text, word.span, is_exact=word.is_exact)
    found = _RPM_VERSION.fullmatch(text)
    if found and "." in text[len(found.group("name")) + 1 :]:
        name = found.group("name")
        return Requested(name, text, word.span, text[len(name) :], (), True, "name", word.is_exact)
    return Requested(_RPM_ARCH.sub("", text), text, word.span, is_exact=word.is_exact)
