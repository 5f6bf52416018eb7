"""conda's archives and unpacked packages stay in a layer of the image."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.lint.commands.command import Install
from slimstage.lint.finding import Finding, Fix
from slimstage.lint.image_runs import cleans, has_variable, head_span, image_runs, mount_targets
from slimstage.lint.rule import Example, Rule
from slimstage.lint.run_edits import appended
from slimstage.lint.subject import Subject

_ACTIONS = ("install", "create", "update")


def check(subject: Subject) -> Iterator[Finding]:
    for view, run in image_runs(subject):
        commands = subject.commands(view, run)
        install = next(
            (
                each
                for each in commands
                if isinstance(each, Install) and each.manager == "conda" and each.action in _ACTIONS
            ),
            None,
        )
        if install is None or cleans(commands, "conda", behind=install.invocation):
            continue
        if any(target.rpartition("/")[2] in ("pkgs", ".conda") for target in mount_targets(subject, view, run)):
            continue
        if has_variable(subject, view, run, "CONDA_PKGS_DIRS"):
            continue
        name = install.invocation.name
        command = f"{name} clean -afy" if name in ("conda", "mamba") else f"{name} clean --all --yes"
        is_plain = "/" not in install.invocation.program.shape and not install.invocation.wrappers
        edit = appended(subject, view, run, command) if is_plain else None
        yield Finding(
            RULE.name,
            f'"{name} {install.action}" leaves its archives and unpacked packages in this layer',
            head_span(install.invocation),
            hint=f"end the RUN with {command}",
            fix=Fix("clean in the same RUN", (edit,)) if edit else None,
        )


RULE = Rule(
    name="CondaPackagesKept",
    group="bytes",
    summary="conda leaves its archives and unpacked packages in a layer of the image",
    why="""\
conda keeps each archive and each package unpacked under `pkgs/`. Files of environments are hard links to them where it can
make such; the archives, and what no environment has any more, are in the image beside them. Others have measured 1,033 MB
before and 181 MB after cleaning.

The fix ends the RUN with `conda clean -afy`. In a RUN of its own, that takes nothing out of the layer that has them.

Silent for stages of which no layer is in the image.
""",
    bad=Example(
        "FROM condaforge/miniforge3:24.9.2-0\n"
        "COPY environment.yml .\n"
        "RUN conda env update -n base -f environment.yml\n"
        "USER 10001\n"
        'CMD ["python", "-m", "site"]\n'
    ),
    good=Example(
        "FROM condaforge/miniforge3:24.9.2-0\n"
        "COPY environment.yml .\n"
        "RUN conda env update -n base -f environment.yml && conda clean -afy\n"
        "USER 10001\n"
        'CMD ["python", "-m", "site"]\n'
    ),
    check=check,
    has_fix=True,
)
