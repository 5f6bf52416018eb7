"""The image config of a stage while its instructions are read.

Source: BuildKit frontend/dockerfile/dockerfile2llb/convert.go (dispatchCmd … dispatchShell) and image.go; dockerfile.md §1.7
and §4 (68, 69).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from slimstage.diagnostics import Span
from slimstage.dockerfile.faults import guess
from slimstage.dockerfile.instructions import Command
from slimstage.dockerfile.ports import PROTOCOLS, check_port
from slimstage.dockerfile.values import SIGNAL_NAMES, parse_signal
from slimstage.errors import PlanError
from slimstage.oci.config import HealthConfig, ImageConfig
from slimstage.oci.descriptor import Platform
from slimstage.oci.user import check_id
from slimstage.plan import paths
from slimstage.plan.scope import DEFAULT_PATH
from slimstage.regex import pattern
from slimstage.values import dataclass, field, replace

_NUMBER = pattern(r"[+-]?[0-9]+\Z")
_SHELLS: dict[str, tuple[str, ...]] = {"windows": ("cmd", "/S", "/C")}
_UNIX_SHELL: tuple[str, ...] = ("/bin/sh", "-c")


@dataclass(slots=True)
class ConfigDraft:
    """What instructions change. `image` holds the rest: what the base says of itself."""

    image: ImageConfig
    user: str
    working_dir: str
    env: dict[str, str]
    labels: dict[str, str]
    exposed_ports: set[str]
    volumes: set[str]
    entrypoint: tuple[str, ...] | None
    cmd: tuple[str, ...] | None
    shell: tuple[str, ...] | None
    stop_signal: str | None
    healthcheck: HealthConfig | None
    author: str | None
    args_escaped: bool
    on_build: list[str] = field(default_factory=list)
    has_own_cmd: bool = False
    """CMD stands in this stage: ENTRYPOINT leaves it alone."""

    @classmethod
    def of(cls, image: ImageConfig) -> ConfigDraft:
        """The config that a stage begins with: PATH is always set, ONBUILD is not handed on."""
        env = dict(env_pairs(image.env))
        if image.os != "windows":
            env.setdefault("PATH", DEFAULT_PATH)
        return cls(
            image=image,
            user=image.user,
            working_dir=paths.workdir(image.working_dir, "/") if image.working_dir else "",
            env=env,
            labels=dict(image.labels),
            exposed_ports=set(image.exposed_ports),
            volumes=set(image.volumes),
            entrypoint=image.entrypoint,
            cmd=image.cmd,
            shell=image.shell,
            stop_signal=image.stop_signal,
            healthcheck=image.healthcheck,
            author=image.author,
            args_escaped=image.args_escaped,
        )

    def frozen(self) -> ImageConfig:
        """The config as it stands, without diff IDs, history and dates."""
        return replace(
            self.image,
            created=None,
            author=self.author,
            user=self.user,
            working_dir=self.working_dir,
            env=tuple(f"{name}={value}" for name, value in self.env.items()),
            labels=tuple(sorted(self.labels.items())),
            exposed_ports=tuple(sorted(self.exposed_ports)),
            volumes=tuple(sorted(self.volumes)),
            entrypoint=self.entrypoint,
            cmd=self.cmd,
            shell=self.shell,
            stop_signal=self.stop_signal,
            healthcheck=self.healthcheck,
            on_build=tuple(self.on_build),
            args_escaped=self.args_escaped,
            diff_ids=(),
            history=(),
            extra=(),
        )

    def argv(self, command: Command) -> tuple[str, ...]:
        """What runs: the exec form as it is, the shell form behind SHELL."""
        if command.form == "exec":
            return command.words
        shell = self.shell or _SHELLS.get(self.image.os, _UNIX_SHELL)
        return (*shell, " ".join(command.words))

    def set_cmd(self, argv: tuple[str, ...]) -> None:
        self.cmd, self.has_own_cmd, self.args_escaped = argv, True, True

    def set_entrypoint(self, argv: tuple[str, ...]) -> None:
        """An inherited CMD was meant for the inherited ENTRYPOINT: it goes."""
        self.entrypoint = argv
        if not self.has_own_cmd:
            self.cmd = None


def empty_image(platform: Platform) -> ImageConfig:
    """The config of `FROM scratch`."""
    return ImageConfig(
        architecture=platform.architecture,
        os=platform.os,
        variant=platform.variant,
        os_version=platform.os_version,
        working_dir="/",
    )


def for_platform(image: ImageConfig, platform: Platform) -> ImageConfig:
    """The config said to be for a platform that was asked for by name."""
    is_same = (image.os, image.architecture) == (platform.os, platform.architecture)
    return replace(
        image,
        os=platform.os,
        architecture=platform.architecture,
        variant=platform.variant if platform.variant or not is_same else image.variant,
        os_version=platform.os_version if platform.os_version or not is_same else image.os_version,
    )


def env_pairs(env: Iterable[str]) -> Iterator[tuple[str, str]]:
    for each in env:
        name, _, value = each.partition("=")
        yield name, value


def ports(words: Iterable[str], span: Span) -> tuple[str, ...]:
    """The ports of EXPOSE, sorted as text. Raises PlanError."""
    ranges: set[tuple[int, int, str]] = set()
    for word in words:
        try:
            ranges.add(check_port(word))
        except ValueError as error:
            hint = guess(word.rpartition("/")[2], PROTOCOLS) if "/" in word else None
            hint = hint or "write a port, a range or PORT/udp, like 8080, 8000-8010, 53/udp"
            raise PlanError(str(error), code="bad-port", span=span, hint=hint) from error
    found: list[str] = []
    free: dict[str, int] = {}
    for first, last, protocol in sorted(ranges):
        # Each port once, so that thousands of ranges that overlap cost no more than one.
        start = max(first, free.get(protocol, 0))
        found += (f"{port}/{protocol}" for port in range(start, last + 1))
        free[protocol] = max(start, last + 1)
    return tuple(sorted(found))


def check_user(user: str, span: Span, code: str = "id-out-of-range") -> None:
    """Refuses ids that are no ids: negative, or so large that they wrap to 0 (CVE-2024-40635). Raises PlanError."""
    for part in user.split(":")[:2]:
        if _NUMBER.match(part):
            if part[0] in "+-":
                raise PlanError(
                    f'user or group id "{part[:40]}" is out of range', code=code, span=span, hint="0 to 2147483647"
                )
            try:
                check_id(part)
            except PlanError as error:
                error.at(span)
                raise


def check_signal(signal: str, span: Span) -> None:
    """Raises PlanError unless it is a signal's name or number."""
    try:
        parse_signal(signal)
    except ValueError as error:
        known = [f"SIG{name}" for name in SIGNAL_NAMES] if signal.upper().startswith("SIG") else SIGNAL_NAMES
        hint = guess(signal.upper(), known) or "write it like SIGTERM or 15"
        raise PlanError(str(error), code="bad-signal", span=span, hint=hint) from error
