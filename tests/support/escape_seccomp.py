"""Docker's seccomp list beside ours, call by call: the facts, the reasons, and the page docs/seccomp.md made of both.

`escape_docker_seccomp.json` is what dockerd 28.5.2 gave runc for a container (its config.json, with the default and with
other capabilities), and what that container's kernel (6.18) answered to `escape_probe.c`: numbers of EPERM and ENOSYS.
`python -m support.escape_seccomp` writes the page again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slimstage.sandbox import capabilities
from slimstage.sandbox.seccomp_numbers import numbers
from slimstage.sandbox.seccomp_profile import Condition, Profile, default_profile
from slimstage.sandbox.spec import DEFAULT_CAPABILITIES

PAGE = Path(__file__).resolve().parents[2] / "docs/seccomp.md"
DOCKER: dict[str, Any] = json.loads(Path(__file__).with_name("escape_docker_seccomp.json").read_text())
DEFAULT = capabilities.mask(DEFAULT_CAPABILITIES)

ELSEWHERE = {"riscv_hwprobe": "a call of RISC-V, which we have no numbers of: there is no filter there at all"}
"""Calls of Docker's list that do not exist where our filter does."""


@dataclass(frozen=True)
class Difference:
    docker: str
    ours: str
    reason: str


DIFFERENCES = {
    "ioctl": Difference(
        "allowed", "allowed but for TIOCSTI and TIOCLINUX",
        "both type into a terminal; a step that inherits the user's own (`run -i`) could type on the host (CVE-2017-5226)",
    ),
    "socket": Difference(
        "all families but AF_VSOCK", "not AF_VSOCK, AF_ALG, DECnet, Econet, ATM SVC, IrDA, WANPIPE, IUCV, CAIF",
        "AF_ALG writes into the page cache of shared layers (CVE-2026-31431); Docker refuses these too since 29.4.2",
    ),
    "lsm_get_self_attr": Difference("with CAP_SYS_ADMIN", "refused", "no build asks for it"),
    "lsm_set_self_attr": Difference("with CAP_SYS_ADMIN", "refused", "no build asks for it"),
    "lsm_list_modules": Difference("with CAP_SYS_ADMIN", "refused", "no build asks for it"),
}  # fmt: skip
"""Every call whose answer differs, and why."""


def docker_allows(name: str, capability: str | None = None) -> str:
    """What Docker's list says of a call: "allowed", "allowed when …", "ENOSYS" or "refused"."""
    if name in DOCKER["always"] or (capability and name in DOCKER["with_capability"].get(capability, ())):
        return "allowed"
    rules = [rule for rule in DOCKER["conditional"] if name in rule["names"]]
    if any(rule["action"] == "SCMP_ACT_ERRNO" and rule["errno"] == 38 for rule in rules):
        return "ENOSYS"
    return "allowed when " + _conditions(rules) if rules else "refused"


def ours_allows(name: str, profile: Profile) -> str:
    """The same of ours."""
    if name in profile.conditional:
        return "allowed when " + _condition(profile.conditional[name])
    return "allowed" if name in profile.allowed else "ENOSYS" if name in profile.absent else "refused"


def _conditions(rules: list[dict[str, Any]]) -> str:
    (index,) = {argument["index"] for rule in rules for argument in rule["arguments"]}
    operators = {argument["op"] for rule in rules for argument in rule["arguments"]}
    values = tuple(argument["value"] for rule in rules for argument in rule["arguments"])
    (operator,) = operators
    if operator == "SCMP_CMP_MASKED_EQ":  # Docker leaves out the second value: 0
        return _condition(Condition(index, (0,), mask=values[0]))
    return _condition(Condition(index, values, is_negated=operator == "SCMP_CMP_NE"))


def _condition(condition: Condition) -> str:
    masked = "" if condition.mask == 0xFFFFFFFF else f" & {condition.mask:#x}"
    relation = "is none of" if condition.is_negated else "is one of" if len(condition.values) > 1 else "is"
    return f"argument {condition.argument}{masked} {relation} {', '.join(f'{value:#x}' for value in condition.values)}"


def all_names() -> list[str]:
    """Every call that either list or our table of numbers knows, but for those of other machines."""
    profile = default_profile(capabilities.ALL)
    with_capability = {name for calls in DOCKER["with_capability"].values() for name in calls}
    conditional = {name for rule in DOCKER["conditional"] for name in rule["names"]}
    known = set(numbers("x86_64")) | set(numbers("i386")) | set(numbers("aarch64"))
    names = known | set(DOCKER["always"]) | with_capability | conditional | profile.allowed | set(profile.conditional)
    return sorted(names - set(ELSEWHERE))


def page() -> str:
    """docs/seccomp.md."""
    profile = default_profile(DEFAULT)
    special = {name for calls in DOCKER["with_capability"].values() for name in calls} | set(profile.conditional)
    special |= set(DIFFERENCES) | profile.absent
    rows = {name: (docker_allows(name), ours_allows(name, profile)) for name in all_names()}
    both_allow = [name for name, row in rows.items() if row == ("allowed", "allowed") and name not in special]
    neither = [name for name, row in rows.items() if row == ("refused", "refused") and name not in special]
    lines = [
        "# System calls of a step, beside Docker's list",
        "",
        "Written by `python -m support.escape_seccomp` (in `tests/`) from the list that dockerd 28.5.2 gives runc;",
        "`tests/unit/sandbox/test_seccomp_docker.py` holds it fresh, and `tests/integration/test_escape_syscalls.py` asks",
        "the kernel about each call in a step, on both backends, for 64 and 32 bits.",
        "",
        "## Where we differ",
        "",
        "| call | Docker | slimstage | why |",
        "|---|---|---|---|",
        *(f"| `{name}` | {d.docker} | {d.ours} | {d.reason} |" for name, d in DIFFERENCES.items()),
        "| all of the x32 numbers | as the others | ENOSYS | Debian's kernels have none; one table less to get wrong |",
        "",
        "Conditions are on the low 32 bits of an argument, which is what the kernel reads; libseccomp, and so Docker,",
        "compares 64, where high bits make AF_VSOCK another value (CVE-2019-10063 was of this kind).",
        "A 32-bit program's `socketcall` hides its arguments in memory, so families cannot be told apart there, here as",
        "in Docker: refusing it breaks every 32-bit libc. What refuses is EPERM; what is newer than the list is ENOSYS.",
        "",
        "## On a condition",
        "",
        "| call | Docker | slimstage |",
        "|---|---|---|",
        *(
            f"| `{name}` | {rows[name][0]} | {rows[name][1]} |"
            for name in sorted(set(profile.conditional) | profile.absent)
        ),
        "",
        "## With a capability",
        "",
        "None of these but `chroot` is in the default set.",
        "",
        "| capability | calls |",
        "|---|---|",
        *(
            f"| {name} | {', '.join(f'`{call}`' for call in calls if call not in DIFFERENCES)} |"
            for name, calls in sorted(DOCKER["with_capability"].items())
        ),
        "",
        f"## Allowed by both ({len(both_allow)})",
        "",
        *_wrapped(both_allow),
        "",
        f"## Refused by both ({len(neither)})",
        "",
        *_wrapped(neither),
        "",
    ]
    return "\n".join(lines)


def _wrapped(names: list[str]) -> list[str]:
    lines, line = [], ""
    for name in names:
        if len(line) + len(name) > 115:
            lines.append(line.rstrip())
            line = ""
        line += name + " "
    return [*lines, line.rstrip()]


if __name__ == "__main__":
    PAGE.write_text(page())
