"""`--chown`: the ids that a copy writes, names looked up in the files of the destination's root file system.

Source: dockerfile.md §4 (40, 41); BuildKit's file operations (solver/llbsolver/file/user_linux.go).
"""

from __future__ import annotations

from collections.abc import Callable

from slimstage.errors import PlanError
from slimstage.oci.user import GROUP, PASSWD, check_id, group_id, resolve_user
from slimstage.regex import pattern

Owner = tuple[int, int]
"""(uid, gid)."""

ReadFile = Callable[[str], bytes | None]
"""The content of a file in the destination's tree, None when it is not there."""

_NUMBER = pattern(r"[0-9]+\Z")
_ROOT = "root"


def parse_owner(text: str, read: ReadFile | None) -> Owner:
    """The ids of `user[:group]`.

    A number alone is user and group; a name alone has its primary group; `name:` has group 0. Without a passwd file
    every name is 0, without a group file a group's name is what it would be if none were given, as in BuildKit.
    `root` is 0, whatever the files say of it, and is never looked up.
    read: None where nothing is below (`--link`, the first step on `scratch`), and other names cannot be.
    Raises PlanError: a name that the files do not have, or any name where nothing is below; an id out of range.
    """
    user, colon, group = ("0" if part == _ROOT else part for part in text.partition(":"))
    if read is None and not all(_NUMBER.match(part) for part in (user, group) if part):
        raise PlanError(
            f'--chown="{text}" names a user or group, which --link and the first step on scratch cannot look up',
            code="link-chown-name",
            hint="give numbers, or leave --link out",
        )
    if _NUMBER.match(user):
        uid = check_id(user)
        default = uid
    elif not user:
        uid = default = 0
    else:
        passwd = _read(read, PASSWD)
        if passwd is None:
            uid = default = 0
        else:
            found = resolve_user(user, passwd, None)
            uid, default = found.uid, found.gid
    if not colon:
        return uid, default
    if not group:
        return uid, 0
    if _NUMBER.match(group):
        return uid, check_id(group)
    groups = _read(read, GROUP)
    return uid, default if groups is None else group_id(group, groups)


def _read(read: ReadFile | None, path: str) -> str | None:
    data = read(path) if read is not None else None
    return None if data is None else data.decode("utf-8", "surrogateescape")
