"""Packages are downloaded again whenever a RUN runs, though a cache mount would keep them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from slimstage.dockerfile.instructions import Run
from slimstage.lint.commands.command import Install, Manager
from slimstage.lint.commands.python import runs_pip
from slimstage.lint.finding import Edit, Finding, Fix
from slimstage.lint.image_runs import (
    cleans,
    has_variable,
    head_span,
    image_runs,
    is_root,
    mount_targets,
    needed_runs,
    user_at,
)
from slimstage.lint.rule import Example, Rule
from slimstage.lint.run_edits import with_mounts, without_word
from slimstage.lint.subject import StageView, Subject

_PLACES: dict[Manager, str] = {"pip": "/root/.cache/pip", "uv": "/root/.cache/uv", "npm": "/root/.npm"}
"""Where root's downloads lie."""
_SET: dict[Manager, tuple[str, ...]] = {
    "pip": ("PIP_NO_CACHE_DIR", "PIP_CACHE_DIR", "PIP_CONFIG_FILE", "XDG_CACHE_HOME", "HOME"),
    "uv": ("UV_NO_CACHE", "UV_CACHE_DIR", "XDG_CACHE_HOME", "HOME"),
    "npm": ("NPM_CONFIG_CACHE", "npm_config_cache", "HOME"),
}
"""Variables with which downloads are kept elsewhere, or nowhere."""
_OTHERS = frozenset(("sudo", "su", "gosu", "su-exec", "runuser", "doas"))


def check(subject: Subject) -> Iterator[Finding]:
    in_image = {id(run) for _, run in image_runs(subject)}
    for view, run in needed_runs(subject):
        installs = [
            each for each in subject.commands(view, run) if isinstance(each, Install) and each.manager in _PLACES
        ]
        for manager in dict.fromkeys(each.manager for each in installs):
            mine = [each for each in installs if each.manager == manager]
            if _is_told(subject, view, run, manager, mine, in_image=id(run) in in_image):
                first = mine[0].invocation
                yield Finding(
                    RULE.name,
                    f"whenever this RUN runs, {manager} downloads everything again",
                    head_span(first),
                    hint=f"mount a cache: --mount=type=cache,target={_PLACES[manager]}",
                    fix=_fix(subject, run, manager, mine),
                )


def _is_told(
    subject: Subject, view: StageView, run: Run, manager: Manager, installs: Sequence[Install], *, in_image: bool
) -> bool:
    """Nothing is kept, on purpose or in a builder, where a mount at root's usual place would keep it."""
    if not is_root(user_at(subject, view, run)) or has_variable(subject, view, run, *_SET[manager]):
        return False
    if any(
        each.options.cache_dir or each.options.no_index or _OTHERS & {*each.invocation.wrappers} for each in installs
    ):
        return False
    if not any(each.packages or each.files for each in installs):
        return False
    if manager == "pip" and not all(runs_pip(each.invocation) for each in installs):
        return False
    name = _PLACES[manager].rpartition("/")[2]
    if any(target.endswith((f"/{name}", "/.cache")) for target in mount_targets(subject, view, run)):
        return False
    # What the image would keep is PipCacheKept's.
    is_kept = in_image and manager == "pip" and not all(each.options.no_cache for each in installs)
    return not (is_kept and not cleans(subject.commands(view, run), "pip"))


def _fix(subject: Subject, run: Run, manager: Manager, installs: Sequence[Install]) -> Fix | None:
    edits: list[Edit | None] = [with_mounts(subject, run, f"type=cache,target={_PLACES[manager]}")]
    for each in installs:
        options = ("--no-cache-dir", "--no-cache", "-n") if each.options.no_cache else ()
        edits += [without_word(run, word) for word in each.invocation.words if word.shape in options]
    found = [edit for edit in edits if edit is not None]
    return Fix("mount a cache over the downloads", tuple(found)) if len(found) == len(edits) else None


RULE = Rule(
    name="CacheMountInstead",
    group="caching",
    severity="info",
    summary="downloads are kept nowhere, and each run of the RUN fetches all again",
    why="""\
`--no-cache-dir` keeps downloads out of the image, and out of the next build too: a change of one line of the requirements
fetches every wheel again. In a builder, whose layers are in no image, they are lost as well when its RUN runs again.

`--mount=type=cache` keeps them on the machine that builds, out of every layer. The fix mounts it at root's usual place and
takes the option out.

Told of pip, uv and npm where the RUN is known to run as root, and where no variable says another place.
""",
    bad=Example(
        "FROM python:3.12-slim\n"
        "COPY requirements.txt .\n"
        "RUN pip install --no-cache-dir -r requirements.txt\n"
        "USER 10001\n"
        'CMD ["python", "-m", "serve"]\n'
    ),
    good=Example(
        "FROM python:3.12-slim\n"
        "COPY requirements.txt .\n"
        "RUN --mount=type=cache,target=/root/.cache/pip pip install -r requirements.txt\n"
        "USER 10001\n"
        'CMD ["python", "-m", "serve"]\n'
    ),
    check=check,
    has_fix=True,
)
