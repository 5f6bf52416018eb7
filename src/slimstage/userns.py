"""Whether this process is in a user namespace of its own: overlayfs then keeps its marks in other xattrs."""

from __future__ import annotations

import functools
import os

_FIRST = 0xEFFFFFFD
"""The inode of the namespace that the kernel begins with. Source: Linux, include/linux/proc_ns.h, PROC_USER_INIT_INO."""


@functools.cache
def is_user_namespace() -> bool:
    """False in the namespace that the host began with, and where the kernel knows none.

    Ids say nothing: one inside a container may map each to itself.
    """
    try:
        return os.stat("/proc/self/ns/user").st_ino != _FIRST
    except OSError:
        return False
