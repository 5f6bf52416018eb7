"""Who a command runs as: `USER` and the config's `User`, resolved against an image's /etc/passwd and /etc/group.

Pure: the two files come in as text. Source: OCI image-spec v1.1, config.md, "User"; the rules for groups as runc's and
BuildKit's (dockerfile.md §4, points 75 and 76).
"""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.diagnostics import did_you_mean
from slimstage.errors import PlanError
from slimstage.regex import pattern
from slimstage.values import dataclass

PASSWD = "/etc/passwd"
GROUP = "/etc/group"

_LARGEST_ID = (1 << 31) - 1
_NUMBER = pattern(r"[0-9]+\Z")
_LINE_NUMBER = pattern(r"[0-9]{1,19}\Z")
"""An id in a line of the files; a line with a longer one counts as malformed."""


@dataclass(frozen=True, slots=True)
class Identity:
    """`groups`: the supplementary ones as the process has them: its own group first, then the others, sorted.

    `home` is "/" when passwd does not say.
    """

    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    home: str = "/"


@dataclass(frozen=True, slots=True)
class _Account:
    name: str
    uid: int
    gid: int
    home: str


def resolve_user(spec: str, passwd: str | None, group: str | None) -> Identity:
    """The ids of `user`, `uid`, `user:group` or any mix; "" is root.

    A user from passwd has the supplementary groups that name it, unless a group is given explicitly; a process always is
    in its own group as well (containerd GHSA-hmfx-3pcx-653p). A number without passwd entry has
    group 0. Raises PlanError: a name that is not in the files (with a near one), an id out of range.
    """
    user, colon, wanted_group = spec.partition(":")
    accounts = list(_accounts(passwd or ""))
    user = user or "0"
    account = _find(user, accounts)
    if account is None and user == "root" and passwd is None:
        user = "0"  # an image without the file still has its root
    groups = list(_groups(group or ""))
    if account is None:
        if not _NUMBER.match(user):
            raise PlanError(
                f'no user "{user}" in {PASSWD} of this stage',
                code="unknown-user",
                hint=did_you_mean(user, [a.name for a in accounts]) or "make it with RUN useradd, or use a number",
            )
        account = _Account("", check_id(user), 0, "/")
    if max(account.uid, account.gid) > _LARGEST_ID:
        check_id(str(account.uid))
        check_id(str(account.gid))
    if not (colon and wanted_group):
        extra = {gid for _, gid, members in groups if account.name and account.name in members} - {account.gid}
        check_id(str(max(extra, default=0)))
        return Identity(account.uid, account.gid, (account.gid, *sorted(extra)), account.home)
    gid = group_id(wanted_group, group)
    return Identity(account.uid, gid, (gid,), account.home)


def group_id(name: str, group: str | None) -> int:
    """The number of a group name or number. Raises PlanError when the name is not in /etc/group."""
    groups = list(_groups(group or ""))
    for known, gid, _ in groups:
        if known == name:
            return check_id(str(gid))
    if _NUMBER.match(name):
        return check_id(name)
    raise PlanError(
        f'no group "{name}" in {GROUP} of this stage',
        code="unknown-group",
        hint=did_you_mean(name, [known for known, _, _ in groups]) or "make it with RUN groupadd, or use a number",
    )


def check_id(number: str) -> int:
    """The id as a number. Raises PlanError beyond 2147483647: larger ones wrap to 0 in some programs (CVE-2024-40635)."""
    value = int(number) if len(number) < 20 else _LARGEST_ID + 1
    if value > _LARGEST_ID:
        raise PlanError(
            f'user or group id "{number[:40]}" is out of range', code="id-out-of-range", hint="0 to 2147483647"
        )
    return value


def _find(user: str, accounts: list[_Account]) -> _Account | None:
    for account in accounts:
        if account.name == user:
            return account
    if _NUMBER.match(user):
        number = check_id(user)
        for account in accounts:
            if account.uid == number:
                return account
    return None


def _accounts(text: str) -> Iterator[_Account]:
    for line in text.split("\n"):
        fields = line.strip().split(":")
        if len(fields) < 4 or line.startswith("#"):
            continue
        if _LINE_NUMBER.match(fields[2]) and _LINE_NUMBER.match(fields[3]):
            yield _Account(
                fields[0], int(fields[2]), int(fields[3]), fields[5] if len(fields) > 5 and fields[5] else "/"
            )


def _groups(text: str) -> Iterator[tuple[str, int, frozenset[str]]]:
    for line in text.split("\n"):
        fields = line.strip().split(":")
        if len(fields) >= 3 and not line.startswith("#") and _LINE_NUMBER.match(fields[2]):
            yield fields[0], int(fields[2]), frozenset(fields[3].split(",") if len(fields) > 3 else ())
