"""Variables: global arguments, what a stage sees from line to line, and proxies.

Source: BuildKit frontend/dockerfile/dockerfile2llb/convert.go (buildMetaArgs, dispatchArg, proxyEnvFromBuildArgs);
dockerfile.md §1.5 and §4 (16 to 26).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from slimstage.diagnostics import Span
from slimstage.dockerfile.expand import expand_heredoc, expand_word, expand_words
from slimstage.dockerfile.instructions import Arg, Dockerfile
from slimstage.errors import DockerfileError, PlanError
from slimstage.oci.descriptor import Platform
from slimstage.plan.request import PlanRequest
from slimstage.values import dataclass, field

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""PATH of an image that sets none, on every system but Windows."""

PROXY_NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY")
"""In upper case; each is known in lower case too."""

LARGEST_PLAN = 64 * 1024 * 1024
"""Characters that all expansions of one Dockerfile may give together."""

TARGET_ARGS = ("TARGETPLATFORM", "TARGETOS", "TARGETARCH", "TARGETVARIANT")
"""Arguments by which a stage learns what it builds for."""

_ENTRY = 64
"""Characters that one entry of an environment or history counts for."""

LARGEST_ENVIRONMENT = 2 * 1024 * 1024
"""Characters of names and values that one stage may hold in ENV and ARG. Linux starts no program with more."""

_NEVER_IN_ENVIRONMENT = frozenset(("BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"))


class Expander:
    """Expands words with one escape character; faults get the instruction's place, the sum of results is bounded."""

    def __init__(self, escape: str) -> None:
        self._escape = escape
        self._left = LARGEST_PLAN

    def word(self, text: str, env: Mapping[str, str], span: Span) -> str:
        if "$" not in text and "'" not in text and '"' not in text and self._escape not in text:
            return text
        try:
            return self._counted(expand_word(text, env, self._escape).text, span)
        except DockerfileError as error:
            error.at(span)
            raise

    def words(self, text: str, env: Mapping[str, str], span: Span) -> list[str]:
        try:
            found = expand_words(text, env, self._escape)
        except DockerfileError as error:
            error.at(span)
            raise
        self._counted("".join(found), span)
        return found

    def heredoc(self, text: str, env: Mapping[str, str], span: Span) -> str:
        try:
            return self._counted(expand_heredoc(text, env).text, span)  # bodies know the backslash only
        except DockerfileError as error:
            error.at(span)
            raise

    def said(self, text: str, span: Span) -> None:
        """Count a history text. Raises PlanError when all together are too much."""
        self._spend(len(text), span)

    def entries(self, count: int, span: Span) -> None:
        """Count entries of an environment or history that are held once more. Raises PlanError when it is too much."""
        self._spend(count * _ENTRY, span)

    def _counted(self, text: str, span: Span) -> str:
        self._spend(len(text), span)
        return text

    def _spend(self, characters: int, span: Span) -> None:
        self._left -= characters
        if self._left < 0:
            raise PlanError(
                f"the values of this file are larger than {LARGEST_PLAN} characters when all are expanded",
                code="expansion-too-large",
                span=span,
                hint="a variable that holds itself several times doubles with every line",
            )


def automatic_args(request: PlanRequest, target_name: str | None) -> dict[str, str]:
    """The arguments that are there without being declared, in BuildKit's order; `--build-arg` overrides each."""
    found = {
        **_platform_args("BUILD", request.build_platform),
        **_platform_args("TARGET", request.target_platform),
        "TARGETSTAGE": request.target or target_name or "default",
    }
    given = request.given_args
    return {name: given.get(name, value) for name, value in found.items()}


def _platform_args(prefix: str, platform: Platform) -> dict[str, str]:
    return {
        f"{prefix}PLATFORM": str(platform),
        f"{prefix}OS": platform.os,
        f"{prefix}OSVERSION": platform.os_version or "",
        f"{prefix}ARCH": platform.architecture,
        f"{prefix}VARIANT": platform.variant or "",
    }


def global_args(dockerfile: Dockerfile, request: PlanRequest, expander: Expander) -> dict[str, str]:
    """What FROM lines see: automatic arguments, then each ARG before the first FROM.

    A default is not looked at when `--build-arg` gives the value. Raises: DockerfileError at the ARG.
    """
    last = dockerfile.stages[-1].name if dockerfile.stages else None
    values = automatic_args(request, last)
    given = request.given_args
    for instruction in dockerfile.global_args:
        for arg in instruction.args:
            if arg.name in given:
                values[arg.name] = given[arg.name]
            elif arg.value is not None:
                values[arg.name] = expander.word(arg.value, values, instruction.span)
    return values


def proxies(build_args: Mapping[str, str]) -> dict[str, str]:
    """The proxy variables that RUN sees without ARG, in upper and lower case; the lower-case argument wins.

    They are in no history and no key. `ALL_PROXY` as the others.
    """
    found: dict[str, str] = {}
    for name in PROXY_NAMES:
        given = [value for key in sorted(build_args) if key.upper() == name and (value := build_args[key])]
        if given:
            found[name] = found[name.lower()] = given[-1]
    return found


@dataclass(slots=True)
class Scope:
    """What a stage's instructions see. `env` is ENV and ARG together; `args` are the declared names, oldest first."""

    env: dict[str, str] = field(default_factory=dict)
    args: dict[str, str | None] = field(default_factory=dict)
    size: int = 0
    _pairs: tuple[tuple[str, str], ...] | None = None
    """`env` as RUN steps hold it; None after a change, so that steps between two changes share one."""

    def child(self, image_env: Iterable[tuple[str, str]]) -> Scope:
        """The scope of a stage that stands on this one: arguments stay visible, ENV of the image wins over them."""
        below = Scope(dict(self.env), dict(self.args), self.size)
        for name, value in image_env:
            below.env[name] = value
        return below

    def set(self, name: str, value: str, span: Span) -> None:
        """Raises PlanError when the environment grows beyond all use."""
        before = self.env.get(name)
        self.size += len(value) - len(before) if before is not None else len(name) + len(value) + 1
        if self.size > LARGEST_ENVIRONMENT:
            raise PlanError(
                f"the environment of this stage is larger than {LARGEST_ENVIRONMENT} characters",
                code="environment-too-large",
                span=span,
                notes=(f'"{name[:80]}" is {len(value)} characters long',),
                hint="a variable that holds itself several times doubles with every line",
            )
        self.env[name] = value
        self._pairs = None

    def pairs(self, expander: Expander, span: Span) -> tuple[tuple[str, str], ...]:
        """The environment in order, each as (name, value)."""
        if self._pairs is None:
            expander.entries(len(self.env), span)
            self._pairs = tuple(self.env.items())
        return self._pairs

    def declare(self, instruction: Arg, shared: Mapping[str, str], given: Mapping[str, str], expander: Expander) -> str:
        """Take in an ARG. Returns its history text.

        shared: the global arguments. given: `--build-arg`.
        """
        said: list[str] = []
        for arg in instruction.args:
            value: str | None = None
            if arg.name in given:
                value = given[arg.name]
            elif arg.value is not None:
                value = expander.word(arg.value, self.env, instruction.span)
            else:
                value = shared.get(arg.name)
            if value is not None and arg.name not in _NEVER_IN_ENVIRONMENT:
                self.set(arg.name, value, instruction.span)
            self.args[arg.name] = value
            said.append(arg.name if value is None else f"{arg.name}={value}")
        return "ARG " + " ".join(said)

    def arguments(self) -> list[str]:
        """`NAME=value` of each declared argument as RUN sees it: the latest value, in the order of first declaration."""
        return [f"{name}={self.env.get(name, value or '')}" for name, value in self.args.items()]
