"""Extended attributes: which of them are part of a tree, and reading them without following anything.

Kept are `user.*`, `security.capability` and POSIX ACLs; a layer says capabilities only (tree/pack.py). Overlayfs' own and
ours (`trusted.overlay.*`, `user.overlay.*`) steer the mount and never leave or enter a layer; the others (SELinux, IMA,
`trusted.*`) belong to the host.
"""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Mapping

from slimstage.userns import is_user_namespace

CAPABILITY = "security.capability"
DEFAULT_ACL = "system.posix_acl_default"
_KEPT = frozenset((CAPABILITY, DEFAULT_ACL, "system.posix_acl_access"))
OPAQUE_SUBSTITUTE = "user.slimstage.opaque"
"""Marks an opaque directory where the file system keeps overlayfs' own xattrs to itself; see tree/marks.py."""
_OVERLAY = ("trusted.overlay.", "user.overlay.", "user.slimstage.")
_NONE: Mapping[str, bytes] = {}
_ABSENT = {errno.ENODATA, errno.EOPNOTSUPP, errno.EPERM, errno.EACCES}


@functools.cache
def opaque_name() -> str:
    """The xattr that marks an opaque directory: overlayfs needs another one where we are not the host's root."""
    return "trusted.overlay.opaque" if os.geteuid() == 0 and not is_user_namespace() else "user.overlay.opaque"


def is_kept(name: str) -> bool:
    """True for an xattr that goes with a file from step to step."""
    return name in _KEPT or (name.startswith("user.") and not name.startswith(_OVERLAY) and len(name) > 5)


def normalised(name: str, value: bytes) -> bytes:
    """The value as it is kept: a capability set of revision 3 loses its root id, which names the host's ids.

    Source: linux/capability.h, vfs_cap_data and vfs_ns_cap_data.
    """
    if name == CAPABILITY and len(value) == 24 and value[3] == 3:
        return value[:3] + b"\x02" + value[4:20]
    return value


def read_xattrs(where: int | str) -> tuple[Mapping[str, bytes], bool]:
    """(the xattrs that are part of an image, True when the directory is opaque).

    where: a descriptor, or a path of which the last component is not followed. Raises OSError.
    """
    follows = isinstance(where, int)
    try:
        names = os.listxattr(where) if follows else os.listxattr(where, follow_symlinks=False)
    except OSError as error:
        if error.errno in _ABSENT:
            return _NONE, False
        raise
    if not names:
        return _NONE, False
    found: dict[str, bytes] = {}
    is_opaque = False
    opaque = opaque_name()
    for name in sorted(names):
        if name in (opaque, OPAQUE_SUBSTITUTE):
            is_opaque = _get(where, name) == b"y"
        elif is_kept(name) and (value := _get(where, name)) is not None:
            found[name] = normalised(name, value)
    return found or _NONE, is_opaque


def is_opaque(where: int | str) -> bool:
    """True when a directory hides all that lower layers have below it."""
    try:
        names = os.listxattr(where) if isinstance(where, int) else os.listxattr(where, follow_symlinks=False)
    except OSError as error:
        if error.errno in _ABSENT:
            return False
        raise
    if not names:
        return False
    return any(name in names and _get(where, name) == b"y" for name in (opaque_name(), OPAQUE_SUBSTITUTE))


def _get(where: int | str, name: str) -> bytes | None:
    try:
        return os.getxattr(where, name) if isinstance(where, int) else os.getxattr(where, name, follow_symlinks=False)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise
