"""Overlays of layer directories, by descriptor, on kernels old and new."""

from __future__ import annotations

import os

from slimstage.sandbox.syscalls import (
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_RDONLY,
    MS_NODEV,
    MS_RDONLY,
    Refused,
    make_filesystem,
    mount,
    move_mount,
)

_PATH = os.O_PATH | os.O_CLOEXEC
_EINVAL = 22
_Options = list[tuple[str, str | None]]


def make_overlay(
    stack: list[int],
    upper: tuple[int, int] | None,
    place: int,
    attributes: int,
    what: str,
    *,
    uses_userxattr: bool,
    is_legacy: bool,
) -> int:
    """A descriptor of a new overlay, attached at `place`.

    stack: directories, the top one first. upper: the directory that receives changes and its work directory.
    uses_userxattr: marks are kept in `user.` attributes, as a user namespace has to. is_legacy: do as kernels before 6.8.
    Renamed directories are copied (redirect_dir) and files are whole (metacopy), so an upper directory is a plain layer;
    nothing is synced to disk (volatile), which is the store's to do when it keeps the layer.
    Raises Refused. Source: the kernel's Documentation/filesystems/overlayfs.rst.
    """
    options: _Options = [("redirect_dir", "nofollow"), ("index", "off"), ("metacopy", "off"), ("xino", "off")]
    if uses_userxattr:
        options.append(("userxattr", None))
    if upper is not None:
        options += [("upperdir", f"/proc/self/fd/{upper[0]}"), ("workdir", f"/proc/self/fd/{upper[1]}")]
        options.append(("volatile", None))
    if is_legacy:
        return _by_mount(stack, options, attributes, place, what)
    appended: _Options = [("lowerdir+", f"/proc/self/fd/{fd}") for fd in stack]
    try:
        tree = make_filesystem("overlay", [*appended, *options], attributes, what)
    except Refused as refused:
        if refused.number != _EINVAL:
            raise
        try:  # it may be lowerdir+ that an older kernel does not know; not every kernel says so
            return _by_mount(stack, options, attributes, place, what)
        except Refused as again:
            raise (refused if refused.detail else again) from None
    move_mount(tree, place, what)
    return tree


def _by_mount(stack: list[int], options: _Options, attributes: int, place: int, what: str) -> int:
    """By mount(2), whose options are one string of at most a page: there the layers have short names."""
    text = ["lowerdir=" + ":".join(map(str, stack))]
    text += [key if value is None else f"{key}={value}" for key, value in options]
    flags = MS_NODEV if attributes & MOUNT_ATTR_NODEV else 0
    flags |= MS_RDONLY if attributes & MOUNT_ATTR_RDONLY else 0
    os.chdir("/proc/self/fd")
    try:
        mount(b"overlay", str(place).encode(), b"overlay", flags, ",".join(text).encode(), what)
    finally:
        os.chdir("/")
    name = os.path.basename(os.readlink(f"/proc/self/fd/{place}"))
    parent = os.open("..", _PATH | os.O_DIRECTORY, dir_fd=place)
    try:
        return os.open(name, _PATH | os.O_DIRECTORY, dir_fd=parent)
    finally:
        os.close(parent)


def empty_work(work_fd: int) -> None:
    """Removes what overlayfs left in a work directory: `volatile` marks it as used, for good, unless that goes."""
    for path, remove in (
        ("work/incompat/volatile/dirty", os.unlink), ("work/incompat/volatile", os.rmdir), ("work/incompat", os.rmdir),
        ("work", os.rmdir), ("index", os.rmdir),
    ):  # fmt: skip
        try:
            remove(path, dir_fd=work_fd)
        except OSError:
            pass  # not there, or not empty: the store removes the whole directory anyway


def open_host(path: str, flags: int = _PATH) -> int:
    """An O_PATH descriptor of a path of the host. Raises Refused."""
    try:
        return os.open(path, flags)
    except OSError as error:
        raise Refused(f'open "{path}"', error.errno or 0) from None
