"""The caches of dnf and apk stay in a layer of the image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from slimstage.dockerfile.instructions import Run
from slimstage.lint.commands.command import Install
from slimstage.lint.finding import Finding, Fix
from slimstage.lint.image_runs import cleans, head_span, image_runs, is_mounted, mount_targets
from slimstage.lint.rule import Example, Rule
from slimstage.lint.run_edits import action_word, appended, behind_word
from slimstage.lint.subject import StageView, Subject


def check(subject: Subject) -> Iterator[Finding]:
    for view, run in image_runs(subject):
        commands = subject.commands(view, run)
        targets = mount_targets(subject, view, run)
        for command in commands:
            if not isinstance(command, Install) or command.action not in ("install", "upgrade", "build-dep"):
                continue
            found: Finding | None = None
            if command.manager == "dnf" and not _is_kept_out(targets, _DNF) and command.invocation.name != "zypper":
                is_clean = cleans(commands, "dnf", behind=command.invocation)
                found = None if is_clean else _dnf(subject, view, run, command, command.invocation.name)
            elif command.manager == "apk" and not _is_kept_out(targets, _APK) and not command.options.no_cache:
                found = None if cleans(commands, "apk", behind=command.invocation) else _apk(run, command)
            if found is not None and not command.options.root:
                yield found
                break


_DNF = ("/var/cache/dnf", "/var/cache/yum", "/var/cache/libdnf5", "/var/cache")
_APK = ("/var/cache/apk",)


def _is_kept_out(targets: Sequence[str], places: Sequence[str]) -> bool:
    return any(is_mounted(targets, place) for place in places)


def _dnf(subject: Subject, view: StageView, run: Run, install: Install, name: str) -> Finding:
    edit = appended(subject, view, run, f"{name} clean all")
    return Finding(
        RULE.name,
        f'"{name} {install.action}" leaves its lists and packages in this layer',
        head_span(install.invocation),
        hint=f"end the RUN with {name} clean all",
        fix=Fix("clean in the same RUN", (edit,)) if edit and not install.invocation.wrappers else None,
    )


def _apk(run: Run, install: Install) -> Finding:
    word = action_word(install.invocation, "add", "upgrade")
    edit = behind_word(run, word, " --no-cache") if word else None
    return Finding(
        RULE.name,
        "apk leaves the index of its repositories in this layer",
        head_span(install.invocation),
        severity="info",
        hint="give --no-cache: apk then fetches the index itself, and keeps it nowhere",
        fix=Fix("tell apk to keep no cache", (edit,)) if edit else None,
    )


RULE = Rule(
    name="SystemCacheKept",
    group="bytes",
    summary="the caches of dnf or apk stay in a layer of the image",
    why="""\
dnf, yum and microdnf keep lists of all packages, and the packages, under `/var/cache`: tens to hundreds of megabytes. apk
keeps an index of about 2 MB, which is advice only.

The fix ends the RUN with `clean all`, or gives apk `--no-cache`. Of apt, [AptListsKept](apt-lists-kept.md) speaks.

Silent for stages of which no layer is in the image.
""",
    bad=Example(
        "FROM registry.access.redhat.com/ubi9/ubi-minimal:9.4\n"
        "RUN microdnf install -y --setopt=install_weak_deps=0 libgomp\n"
        "USER 10001\n"
        'CMD ["/bin/true"]\n'
    ),
    good=Example(
        "FROM registry.access.redhat.com/ubi9/ubi-minimal:9.4\n"
        "RUN microdnf install -y --setopt=install_weak_deps=0 libgomp && microdnf clean all\n"
        "USER 10001\n"
        'CMD ["/bin/true"]\n'
    ),
    check=check,
    has_fix=True,
)
