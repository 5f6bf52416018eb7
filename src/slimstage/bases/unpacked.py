"""Debian systems of which nothing is run: packages are unpacked, and the little that programs cannot do without is written.

Scripts of packages are of the system's architecture, and on a host that does not run it they cannot be. What most of them
do matters to a system that is administrated, not to an image that is copied into: but for users, the bundle of
certificates and dpkg's list of what is there, which are made here, by the host's own programs. Pure: only texts.
"""

from __future__ import annotations

_LIB64 = frozenset({"amd64", "ppc64el", "mips64el", "loong64"})
"""Architectures whose loader of programs lies in /lib64."""

_PACKAGES: dict[str, tuple[str, ...]] = {
    "extract": (),
    "custom": (),
    "essential": ("?essential",),
    "apt": ("?essential", "apt"),
    "minbase": ("?or(?essential,?priority(required))", "apt"),
    "buildd": ("?or(?essential,?priority(required))", "apt", "build-essential"),
    "important": ("?or(?essential,?priority(required),?priority(important))", "apt"),
    "standard": ("?or(?essential,?priority(required),?priority(important),?priority(standard))", "apt"),
}
"""What mmdebstrap's variants install, as apt's patterns. Source: mmdebstrap(1), "VARIANTS"; apt-patterns(7)."""

_MERGED = """set -e
for directory in bin sbin lib @LIB64@; do mkdir -p "$1/usr/$directory"; ln -s "usr/$directory" "$1/$directory"; done
"""

_UNPACKED = r"""set -e
info="$1/var/lib/dpkg/info"
mkdir -p "$info"
for deb in "$1"/var/cache/apt/archives/*.deb; do
  [ -e "$deb" ] || continue
  name=$(dpkg-deb -f "$deb" Package)
  if [ "$(dpkg-deb -f "$deb" Multi-Arch)" = same ]; then name="$name:$(dpkg-deb -f "$deb" Architecture)"; fi
  { dpkg-deb -f "$deb" | sed '/^Package:/a Status: install ok unpacked'; echo; } >> "$1/var/lib/dpkg/status"
  dpkg-deb --fsys-tarfile "$deb" | tar -t | sed -e 's,^\.,,' -e 's,\(.\)/$,\1,' -e 's,^/$,/.,' > "$info/$name.list"
done
for file in passwd group; do
  if [ ! -e "$1/etc/$file" ] && [ -e "$1/usr/share/base-passwd/$file.master" ]; then
    sed 's/:\*:/:x:/' "$1/usr/share/base-passwd/$file.master" > "$1/etc/$file"
  fi
done
if [ -d "$1/usr/share/ca-certificates/mozilla" ]; then
  mkdir -p "$1/etc/ssl/certs"
  cat "$1"/usr/share/ca-certificates/mozilla/*.crt > "$1/etc/ssl/certs/ca-certificates.crt"
fi
"""
"""dpkg's state as after `dpkg --unpack`, for those who list what an image holds, and for a later `dpkg --configure`."""


def wanted_packages(variant: str) -> tuple[str, ...]:
    """What the variant itself consists of, each for an `--include` of its own: patterns cannot stand in one with others."""
    return _PACKAGES[variant]


def set_up_hook(architecture: str) -> str:
    """Run before packages are unpacked: /bin and the like are links into /usr, as Debian has had them since bookworm.

    architecture: Debian's name.
    """
    return _MERGED.replace("@LIB64@", "lib64" if architecture in _LIB64 else "")


def unpacked_hook() -> str:
    """Run when they are, with the system's directory as argument, outside of it."""
    return _UNPACKED
