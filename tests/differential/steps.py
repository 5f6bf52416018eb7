"""What a RUN step sees, beside BuildKit's: one Dockerfile of questions, asked of both, as a table.

    python -m differential.steps [--write ../docs/differential.md]

Each question is a RUN that writes its answer to a file. The exit status is 1 when an answer differs and no reason is known.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from support.buildkit import Bases, Builder, BuildKit, Slimstage, short_home
from support.buildkit_case import Case

_LIST = 'ls -ln {0} | awk \'NR > 1 {{ $2 = ""; i = match($0, /[A-Z][a-z][a-z] +[0-9]+ +[0-9:]+ /); '
_LIST += "print substr($0, 1, i - 1) substr($0, i + RLENGTH) }}'"
_MOUNTS = "awk '$5 !~ /cgroup\\/./ { i = 7; while ($i != \"-\") i++; print $5, $6, $(i + 1) }' /proc/self/mountinfo"
_MASKED = (
    "/proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys /proc/latency_stats /proc/timer_list /proc/timer_stats"
    " /proc/sched_debug /proc/scsi /sys/firmware /sys/devices/virtual/powercap /sys/devices/system/cpu/cpu0/thermal_throttle"
)
_READONLY = "/proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger /sys /sys/fs/cgroup /sys/kernel"
QUESTIONS = {
    "environment": "env | sort",
    "environment of USER app": "cat /tmp/env",
    "working directory": "pwd",
    "user and group": "id -u; id -g",
    "supplementary groups": "grep Groups /proc/self/status",
    "umask": "umask",
    "mounts": _MOUNTS,
    "/dev": _LIST.format("/dev"),
    "/dev/pts, /dev/shm, /dev/mqueue": "for d in pts shm mqueue; do stat -c '%F %A %u:%g %n' /dev/$d; done",
    "/proc and /sys, masked": f"for p in {_MASKED}; do [ -e $p ] || continue;"
    " if [ -d $p ]; then echo $p $(ls $p | wc -l) entries;"
    " else echo $p $(stat -c '%t:%T' $p) $(head -c 9 $p 2>&1 | wc -c) bytes; fi; done",
    "/proc and /sys, read-only": f"for p in {_READONLY}; do grep -q \" $p ro[, ]\" /proc/self/mounts && echo $p ro; done; "
    "grep -E ' (/proc|/sys)[^ ]* ' /proc/self/mountinfo | awk '{ print $5, $6 }'",
    "limits": "sed 1d /proc/self/limits",
    "capabilities": "grep Cap /proc/self/status",
    "capabilities of USER app": "cat /tmp/caps",
    "seccomp and no_new_privs": "grep -E 'Seccomp:|NoNewPrivs' /proc/self/status",
    "seccomp filters": "grep -E 'Seccomp_filters' /proc/self/status",
    "host name": "hostname; cat /proc/sys/kernel/domainname",
    "/etc/hosts": "cat /etc/hosts",
    "/etc/resolv.conf": "cat /etc/resolv.conf",
    "/etc/hostname": "cat /etc/hostname 2>&1",
    "owners of these": "stat -c '%A %u:%g %n' /etc/hosts /etc/resolv.conf",
    "network interfaces": "cat /proc/net/dev | awk -F: 'NR > 2 { print $1 }'",
    "cgroup": "cat /proc/self/cgroup | sed 's/[0-9a-z]*$//' | sort",
    "namespaces": "cd /proc/self/ns; for n in *; do echo $n $(readlink $n); done",
    "user id map": "cat /proc/self/uid_map",
    "open files": "ls -l /proc/self/fd | awk 'NR > 1 { print $9, $10, $11 }' | sed 's/[0-9]*\\]$/…]/; s/[0-9]*\\/fd$/…/'",
    "controlling terminal": "cut -d' ' -f7 /proc/self/stat; (: < /dev/tty) 2>&1 | sed 's/.*: //'",
    "process, parent, group, session": "cut -d' ' -f1,4,5,6 /proc/$$/stat",
    "processes": "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline | cut -c1-8; done",
    "signals": "grep -E 'Sig(Blk|Ign)' /proc/self/status",
    "oom_score_adj": "cat /proc/self/oom_score_adj",
    "nice, scheduler": "cut -d' ' -f19,41 /proc/self/stat",
    "security label": "cat /proc/self/attr/current 2>&1 | tr -d '\\0'",
    "root directory": "stat -c '%A %u:%g' /",
    "personality": "cat /proc/self/personality",
    "core dumps": "cat /proc/self/coredump_filter",
    "session keyring": "head -c1 /proc/keys 2>&1 | wc -c",
    "set-up of sh": "echo $0 $# $-",
    "stdin": "wc -c < /dev/stdin",
}  # fmt: skip
REASONS = {
    "mounts": "device nodes are kept from use by `nodev` mounts, not by a device cgroup (decision 6), and each of `/dev` "
    "is a mount; no cgroup is mounted: a step has nothing to say there",
    "/proc and /sys, masked": "the list of newer Docker releases: `/proc/interrupts` tells of other users' keystrokes",
    "/proc and /sys, read-only": "the same paths; each masked one is its own read-only mount, and cgroups are not mounted",
    "cgroup": "with a cgroup namespace of its own a step does not see where the builder stands; BuildKit has one on cgroup "
    "v2 only",
    "namespaces": "as above",
    "open files": "both are empty: BuildKit's is a pipe whose other end is closed",
}


@dataclass(frozen=True, slots=True)
class Row:
    question: str
    there: str
    here: str

    @property
    def is_same(self) -> bool:
        return self.there == self.here


def dockerfile() -> str:
    """One RUN a question, each with its answer in a file of its own; only the answers are in the last stage."""
    lines = ["FROM base", "USER app", "RUN env | sort > /tmp/env; grep Cap /proc/self/status > /tmp/caps", "USER root"]
    lines.append("RUN mkdir /facts")
    for number, question in enumerate(QUESTIONS.values()):
        lines.append(f"RUN <<'EOF'\nexec 3>/facts/{number:02}\n{{ {question}\n}} >&3 2>&3 3>&-\ntrue\nEOF")
    return "\n".join([*lines, "FROM scratch", "COPY --from=0 /facts /"]) + "\n"


def answers(builder: Builder, home: Path) -> list[str]:
    """What each question was answered; what is chance is written the same for both."""
    case = Case(dockerfile())
    place = home / f"steps-{builder.name}"
    case.lay_out(place)
    builder.files(case, place, place / "facts")
    return [_plain((place / "facts" / f"{number:02}").read_text()) for number, _ in enumerate(QUESTIONS)]


def _plain(text: str) -> str:
    for name in os.listdir("/proc/self/ns"):
        own = os.readlink(f"/proc/self/ns/{name}")
        text = text.replace(f"{name} {own}\n", f"{name} host\n")
        text = re.sub(rf"^{name} .*:\[.*\]$", f"{name} own", text, flags=re.MULTILINE)
    return text.strip()


def rows(there: list[str], here: list[str]) -> list[Row]:
    return [Row(question, *pair) for question, pair in zip(QUESTIONS, zip(there, here, strict=True), strict=True)]


def _differing(row: Row) -> tuple[str, str]:
    """The lines that only one of them has."""
    there, here = row.there.splitlines(), row.here.splitlines()
    return "\n".join(each for each in there if each not in here), "\n".join(each for each in here if each not in there)


def table(found: list[Row]) -> str:
    """In markdown: what both see, or the lines in which they differ and why."""
    lines = ["| a step's | BuildKit | slimstage | why |", "|---|---|---|---|"]
    for row in found:
        there, here = (row.there, "the same") if row.is_same else _differing(row)
        if not row.is_same and not (there or here):
            there, here = row.there, row.here
        cells = (row.question, _cell(there), _cell(here) if not row.is_same else here, REASONS.get(row.question, ""))
        lines.append(f"| {' | '.join(cells if not row.is_same else (*cells[:3], ''))} |")
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    shown = [f"`{line}`" for line in text.replace("|", "\\|").splitlines() if line.strip()]
    return "<br>".join(shown) or "nothing"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, help="a document that ends in this table")
    write = parser.parse_args().write
    home = short_home()
    try:
        bases = Bases(home)
        buildkit = BuildKit(home, bases)
        try:
            there = answers(buildkit, home)
            found = rows(there, answers(Slimstage(home, bases), home))
        finally:
            buildkit.close()
    finally:
        shutil.rmtree(home, ignore_errors=True)
    print(table(found))
    if write:
        text = write.read_text()
        write.write_text(text[: text.rindex("| a step's |")] + table(found))
    unexplained = [row.question for row in found if not row.is_same and row.question not in REASONS]
    print("without a reason:", ", ".join(unexplained) or "nothing")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
