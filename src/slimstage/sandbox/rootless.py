"""Without root, or as root of a container that may not mount: the command moves into a user namespace first.

In it, it is root with every capability. An ordinary user's ids are those of the user's range in /etc/subuid and /etc/subgid,
mapped by newuidmap and newgidmap (Debian: uidmap); without them only the user's own id is, as 0, and steps with other users
or package managers that change owners fail. The root of a container keeps all ids that the container has, each as itself.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from slimstage.errors import SandboxError
from slimstage.sandbox.syscalls import CAP_SYS_ADMIN, CLONE_NEWNS, CLONE_NEWUSER, Refused, unshare
from slimstage.values import dataclass

VARIABLE = "SLIMSTAGE_USERNS_UID"
"""Set in the environment of the process inside: the user's id outside."""


@dataclass(frozen=True, slots=True)
class IdRange:
    """Ids inside from `inside` on are the host's from `outside` on, `count` of them."""

    inside: int
    outside: int
    count: int


def outer_uid() -> int | None:
    """The id of the user that made our user namespace, when `ensure_namespace` did; else None."""
    text = os.environ.get(VARIABLE, "")
    return int(text) if text.isdigit() and os.geteuid() == 0 else None


def subordinate_ids(text: str, name: str, number: int) -> list[tuple[int, int]]:
    """The (first, count) ranges that /etc/subuid or /etc/subgid gives a user. Malformed lines are passed over. Pure.

    Source: subuid(5).
    """
    found = []
    for line in text.splitlines():
        parts = line.split(":")
        if len(parts) == 3 and parts[0] in (name, str(number)) and parts[1].isdigit() and parts[2].isdigit():
            found.append((int(parts[1]), int(parts[2])))
    return found


def mapping(own: int, ranges: Sequence[tuple[int, int]]) -> tuple[IdRange, ...]:
    """Our own id as 0, then the ranges from 1 on, without gaps. Pure."""
    result, following = [IdRange(0, own, 1)], 1
    for first, count in ranges:
        if count:
            result.append(IdRange(following, first, count))
            following += count
    return tuple(result)


def planned_mappings(uid: int, gid: int) -> tuple[tuple[IdRange, ...], tuple[IdRange, ...]]:
    """What this user's namespace would map: (uids, gids); one id each when ranges or the two programs are missing."""
    import pwd  # who is root needs none of it

    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    users = subordinate_ids(_text("/etc/subuid"), name, uid)
    groups = subordinate_ids(_text("/etc/subgid"), name, uid)
    if not users or not groups or not _program("newuidmap") or not _program("newgidmap"):
        return mapping(uid, ()), mapping(gid, ())
    return mapping(uid, users), mapping(gid, groups)


def own_mapping(text: str) -> tuple[IdRange, ...]:
    """Every id of the namespace whose `uid_map` or `gid_map` this is, as itself. Pure. Source: user_namespaces(7)."""
    rows = [line.split() for line in text.splitlines()]
    return tuple(IdRange(int(row[0]), int(row[0]), int(row[2])) for row in rows if len(row) == 3)


def may_mount(status: str) -> bool:
    """True when `/proc/self/status` says that the process has CAP_SYS_ADMIN, and when it does not say. Pure."""
    effective = next((line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), None)
    return effective is None or int(effective, 16) >> CAP_SYS_ADMIN & 1 == 1


def ensure_namespace(argv: Sequence[str]) -> None:
    """Returns when this process may mount (or is inside already); otherwise becomes `argv` in a new user namespace.

    Where root may neither mount nor make such a namespace it returns as well: much works without, and what does not says
    so. argv: a program by its path, and its arguments. To be called before there is a second thread.
    Raises SandboxError when the host allows an ordinary user no user namespaces.
    """
    is_root = os.geteuid() == 0
    if is_root and (VARIABLE in os.environ or may_mount(_text("/proc/self/status"))):
        return
    uid, gid = os.getuid(), os.getgid()
    if is_root:
        users, groups = own_mapping(_text("/proc/self/uid_map")), own_mapping(_text("/proc/self/gid_map"))
    else:
        users, groups = planned_mappings(uid, gid)
    needs_helper = is_root or len(users) > 1
    ready_r, ready_w = os.pipe()
    helper = os.fork() if needs_helper else 0
    if needs_helper and helper == 0:
        os.close(ready_w)
        _map_parent(ready_r, os.getppid(), users, groups, writes_itself=is_root)
    try:
        unshare(CLONE_NEWUSER | CLONE_NEWNS)
    except Refused as refused:
        os.close(ready_w)
        if needs_helper:
            os.waitpid(helper, 0)
        if is_root:
            os.close(ready_r)
            return
        raise SandboxError(
            f"this host lets ordinary users make no user namespaces: {os.strerror(refused.number).lower()}",
            code="no-user-namespaces",
            hint="run as root, or see `slimstage doctor` for the setting that forbids it",
        ) from refused
    if needs_helper:
        os.write(ready_w, b"!")
        os.close(ready_w)
        if os.waitstatus_to_exitcode(os.waitpid(helper, 0)[1]) != 0:
            raise SandboxError(
                "the ids of this container cannot be mapped into a user namespace"
                if is_root
                else "newuidmap or newgidmap refused the ranges in /etc/subuid and /etc/subgid",
                code="no-subordinate-ids",
                hint="the container's root needs CAP_SETUID, CAP_SETGID and CAP_SETFCAP, which Docker and Podman give it"
                if is_root
                else "each range has to be this user's alone, and the two programs setuid root",
            )
    else:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(_lines(users))
        Path("/proc/self/gid_map").write_text(_lines(groups))
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    os.execve(argv[0], list(argv), {**os.environ, VARIABLE: str(uid)})


def _map_parent(
    ready: int, parent: int, users: Sequence[IdRange], groups: Sequence[IdRange], *, writes_itself: bool
) -> NoReturn:
    """In the helper, which stayed outside: maps the ids of its parent once that is in its namespace.

    writes_itself: root needs nobody's help for it.
    """
    status = 1
    try:
        if os.read(ready, 1):
            for program, name, ranges in (("newuidmap", "uid_map", users), ("newgidmap", "gid_map", groups)):
                if writes_itself:
                    Path(f"/proc/{parent}/{name}").write_text(_lines(ranges))
                else:
                    import subprocess

                    subprocess.run([_program(program) or program, str(parent), *_lines(ranges).split()], check=True)
            status = 0
    finally:
        os._exit(status)


def _lines(ranges: Sequence[IdRange]) -> str:
    return "".join(f"{each.inside} {each.outside} {each.count}\n" for each in ranges)


def _program(name: str) -> str | None:
    import shutil

    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/bin:/bin")


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""
