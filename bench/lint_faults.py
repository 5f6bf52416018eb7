"""Faults that people make, each as a small change of a good Dockerfile. Used by `lint_corpus.py`."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from lint_projects import Project

Files = dict[str, str | int]
Changed = tuple[str, Files]


@dataclass(frozen=True, slots=True)
class Fault:
    """title: for the table. rule: slimstage's rule that should tell it; "" where it is none of ours.

    put_into: the Dockerfile and context with the fault; None: the project has no place for it.
    """

    name: str
    title: str
    rule: str
    put_into: Callable[[Project], Changed | None]


def _swap(pattern: str, text: str, count: int = 1) -> Callable[[Project], Changed | None]:
    def put(project: Project) -> Changed | None:
        changed, times = re.subn(pattern, text, project.dockerfile, count=count, flags=re.MULTILINE)
        return (changed, dict(project.files)) if times else None

    return put


def _of_kinds(put: Callable[[Project], Changed | None], *kinds: str) -> Callable[[Project], Changed | None]:
    return lambda project: put(project) if project.kind in kinds else None


def _no_ignore_file(project: Project) -> Changed | None:
    if not re.search(r"^COPY \. \.", project.dockerfile, re.MULTILINE):
        return None
    files = {path: content for path, content in project.files.items() if path != ".dockerignore"}
    return project.dockerfile, {**files, ".git/HEAD": "ref: refs/heads/main\n", "node_modules/x/index.js": 3_000_000}


def _sources_first(project: Project) -> Changed | None:
    text = project.dockerfile
    copied = re.search(r"^COPY (requirements\.txt|package\.json package-lock\.json) (\.|\./)\n", text, re.MULTILINE)
    if not copied or not re.search(r"^COPY (\. \.|serve\.py \.|train\.py \.)\n", text, re.MULTILINE):
        return None
    before, _, rest = text.partition(copied.group())
    return before + "COPY . .\n" + re.sub(
        r"^COPY (\. \.|serve\.py \.|train\.py \.)\n", "", rest, flags=re.MULTILINE
    ), dict(project.files)


def _one_stage(project: Project) -> Changed | None:
    """The first stage is the image: the second one is left out, its last lines are kept."""
    if project.kind != "compiled":
        return None
    first, _, last = project.dockerfile.partition("\n\nFROM ")
    entry = [line for line in last.splitlines() if line.startswith("ENTRYPOINT")]
    return "\n".join([first.replace(" AS build", ""), *entry]) + "\n", dict(project.files)


def _with_files(more: Files, put: Callable[[Project], Changed | None]) -> Callable[[Project], Changed | None]:
    def both(project: Project) -> Changed | None:
        changed = put(project)
        return (changed[0], {**changed[1], **more}) if changed else None

    return both


def _requirement(line: str, *kinds: str) -> Callable[[Project], Changed | None]:
    def put(project: Project) -> Changed | None:
        text = project.files.get("requirements.txt")
        if project.kind not in kinds or not isinstance(text, str):
            return None
        return project.dockerfile, {**project.files, "requirements.txt": text + line}

    return put


FAULTS = (
    Fault("shell-cmd", "CMD or ENTRYPOINT as shell text", "JSONArgsRecommended",
          _swap(r'^(CMD|ENTRYPOINT) \["([^"]+)".*\]$', r"\1 \2 --run")),
    Fault("as-casing", "`as` beside `FROM`", "FromAsCasing", _swap(r"^(FROM \S+) AS ", r"\1 as ")),
    Fault("stage-casing", "a stage name with capitals", "StageNameCasing",
          _swap(r"^(FROM (?:--platform=\S+ )?\S+) AS (\w)", r"\1 AS X\2")),
    Fault("legacy-env", "`ENV NAME VALUE`", "LegacyKeyValueFormat", _swap(r"^ENV (\w+)=(\S+)$", r"ENV \1 \2")),
    Fault("maintainer", "MAINTAINER", "MaintainerDeprecated", _swap(r"^(USER|CMD|ENTRYPOINT) ", r"MAINTAINER me\n\1 ")),
    Fault("secret-arg", "a token as ARG", "SecretsUsedInArgOrEnv", _swap(r"^(RUN )", r"ARG API_TOKEN\n\1")),
    Fault("relative-workdir", "a relative WORKDIR", "WorkdirRelativePath", _swap(r"^WORKDIR /", "WORKDIR ")),
    Fault("undefined", "a variable that nothing defines", "UndefinedVar",
          _swap(r"^(USER |CMD |ENTRYPOINT )", r"ENV APP_HOME=$APP_ROOT/app\n\1")),
    Fault("two-cmds", "two CMDs", "MultipleInstructionsDisallowed", _swap(r"^CMD ", 'CMD ["true"]\nCMD ')),
    Fault("host-port", "EXPOSE with a port of the host", "ExposeInvalidFormat", _swap(r"^EXPOSE (\d+)", r"EXPOSE 80:\1")),
    Fault("copy-index", "COPY --from=0", "UnnamedStage",
          _swap(r"(?s)\AFROM (\S+) AS build(.*)--from=build", r"FROM \1\2--from=0")),
    Fault("unused-stage", "a stage that nothing reads", "UnusedStage",
          _of_kinds(_swap(r"\A((?:#[^\n]*\n|ARG[^\n]*\n)*)", r"\1FROM alpine:3.20 AS old-builder\nRUN touch /x\n\n"),
                    "web", "serving", "compiled")),
    Fault("no-ignore", "COPY of everything without an ignore file", "NoIgnoreFile", _no_ignore_file),
    Fault("sources-first", "sources copied in front of the installation", "DependenciesAfterSource", _sources_first),
    Fault("one-stage", "compiler and result in one stage", "SingleStageBuildTools", _one_stage),
    Fault("pip-cache", "pip install that keeps its cache", "PipCacheKept",
          _swap(r"RUN pip install --no-cache-dir|RUN --mount=type=cache,target=\S+ pip install", "RUN pip install")),
    Fault("apt-lists", "apt lists left in a layer", "AptListsKept", _swap(r" \\\n    && rm -rf /var/lib/apt/lists/\*", "")),
    Fault("recommends", "apt-get install with recommended packages", "AptRecommends",
          _of_kinds(_swap(r" --no-install-recommends", ""), "training")),
    Fault("notebooks", "training packages in a server", "TrainingPackagesInFinalStage",
          _requirement("jupyterlab==4.2.2\ntensorboard==2.17.0\n", "serving")),
    Fault("cuda-wheels", "wheels with CUDA where there is no GPU", "CudaWheelsOnCpu",
          _swap(r" --index-url https://download\.pytorch\.org/whl/cpu", "")),
    Fault("cuda-devel", "a CUDA image with compilers", "CudaDevelInFinalStage",
          _of_kinds(_swap(r"runtime-ubuntu", "devel-ubuntu"), "training")),
    Fault("dataset", "a data set in the image", "DatasetInImage",
          _of_kinds(_with_files({"datasets/train.parquet": 900_000_000, ".dockerignore": ".git\n"},
                                _swap(r"^COPY serve\.py \.", "COPY . .")), "serving")),
    Fault("early-weights", "weights in front of the packages", "WeightsInEarlyLayer",
          _of_kinds(_swap(r"^RUN python -m venv /venv\n", "COPY model/ /models/\nRUN python -m venv /venv\n"), "serving")),
    Fault("no-platform", "a constant platform", "FromPlatformFlagConstDisallowed",
          _swap(r"^FROM (python|node|nvidia)", r"FROM --platform=linux/amd64 \1")),
    Fault("latest", "no tag", "LatestTag", _swap(r"^FROM (python|node|golang|rust|debian|ubuntu):\S+", r"FROM \1")),
    Fault("cd", "`cd` instead of WORKDIR", "", _swap(r"^RUN (cmake|make|npm|go) ", r"RUN cd /src && \1 ")),
    Fault("sudo", "sudo", "", _swap(r"^RUN (apt-get|pip|npm) ", r"RUN sudo \1 ")),
)  # fmt: skip
