"""What the kernel refused → a SandboxError that says what to do about it. Pure."""

from __future__ import annotations

import errno
import os

from slimstage.errors import SandboxError

OVERLAY_REFUSED = "overlay-refused"
"""The code of the error that says that this host mounts no overlay of these directories."""


def sandbox_error(what: str, number: int, detail: str = "") -> SandboxError:
    """what: a phrase ("mount the root"); number: the errno, 0 when there is none; detail: the kernel's own words."""
    reason = detail or (os.strerror(number).lower() if number else "")
    name = errno.errorcode.get(number, "")
    message = f"cannot {what}" + (f": {reason}" if reason else "") + (f" ({name})" if name else "")
    return SandboxError(message, code=_code(what), hint=_hint(what, number))


def _code(what: str) -> str:
    if what.startswith("limit "):
        return "sandbox-limit"
    if what.startswith(("become user", "set the supplementary groups")):
        return "sandbox-user"
    if "as an overlay" in what:
        return OVERLAY_REFUSED
    if "as a mount point" in what or what.startswith("bind "):
        return "sandbox-mount"
    return "sandbox-refused"


def _hint(what: str, number: int) -> str | None:
    if number == errno.ENOSYS:
        return "this needs Linux 5.12 or newer; `slimstage doctor` lists what this host has"
    if number == errno.ENOSPC and "namespace" in what:
        return "raise /proc/sys/user/max_*_namespaces"
    if what.startswith("limit "):
        return "cgroups must be writable here: run as root, or without this limit"
    if what.startswith(("become user", "set the supplementary groups")):
        return "this user namespace does not map the id: give your user a range in /etc/subuid and /etc/subgid"
    if "overlay" in what and number in (errno.EINVAL, errno.EPERM, errno.ENODEV):
        return "the store has to be on a file system that overlayfs can write to (ext4, xfs, btrfs, tmpfs)"
    if number == errno.EPERM and "namespace" in what:
        return (
            "a container that runs slimstage has to allow user namespaces, as Podman does, or to be privileged "
            "(docker run --privileged); COPY and ADD work without; see `slimstage doctor`"
        )
    if number in (errno.EPERM, errno.EACCES):
        return "this host forbids it: `slimstage doctor` says what is allowed, and why not"
    return None
