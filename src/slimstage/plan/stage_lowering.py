"""One stage: its instructions in order → steps, config and history.

Source: BuildKit frontend/dockerfile/dockerfile2llb/convert.go (dispatch and dispatchXxx); dockerfile.md §1.3 to §1.7.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from slimstage.diagnostics import Span
from slimstage.dockerfile.commands import parse_device
from slimstage.dockerfile.instructions import (
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    Healthcheck,
    Instruction,
    Label,
    Maintainer,
    OnBuild,
    Run,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
)
from slimstage.errors import DockerfileError, PlanError
from slimstage.oci.config import HealthConfig
from slimstage.plan import history, paths
from slimstage.plan.commands import run_command, summary
from slimstage.plan.configs import ConfigDraft, check_signal, check_user, ports
from slimstage.plan.copies import Place, lower_copy
from slimstage.plan.graph import (
    AnyStep,
    FileSource,
    FromContext,
    RunStep,
    StageHistory,
    StepId,
    WorkdirStep,
)
from slimstage.plan.mounts import lower_mount
from slimstage.plan.request import PlanRequest
from slimstage.plan.scope import Expander, Scope, proxies
from slimstage.values import dataclass, field


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all stages of one plan share. `shared`: the global arguments."""

    request: PlanRequest
    shared: Mapping[str, str]
    expander: Expander
    find: Callable[[str, Span], FileSource]
    """Where the files of a `from=NAME` of the current stage come from."""


@dataclass(slots=True)
class StageState:
    """A stage as far as it has been read."""

    index: int
    parent: StepId | None
    config: ConfigDraft
    scope: Scope
    steps: list[AnyStep] = field(default_factory=list)
    history: list[StageHistory] = field(default_factory=list)

    def next_id(self) -> StepId:
        return f"s{self.index}.{len(self.steps) + 1}"

    def add(self, step: AnyStep) -> None:
        self.steps.append(step)
        self.parent = step.id


class StageReader:
    """Reads instructions into a state, one by one."""

    def __init__(self, state: StageState, around: Surroundings) -> None:
        self._state, self._around = state, around
        self._given = around.request.given_args
        self._readers: dict[type[Instruction], Callable[[Any], None]] = {
            Add: self._copy,
            Arg: self._arg,
            Cmd: self._cmd,
            Copy: self._copy,
            Entrypoint: self._entrypoint,
            Env: self._env,
            Expose: self._expose,
            Healthcheck: self._healthcheck,
            Label: self._label,
            Maintainer: self._maintainer,
            OnBuild: self._onbuild,
            Run: self._run,
            Shell: self._shell,
            StopSignal: self._stop_signal,
            User: self._user,
            Volume: self._volume,
            Workdir: self._workdir,
        }

    def read(self, instruction: Instruction) -> None:
        """Raises PlanError, DockerfileError, with the place."""
        try:
            self._readers[type(instruction)](instruction)
        except (PlanError, DockerfileError) as error:
            error.at(instruction.span)
            raise
        if self._state.history:
            self._around.expander.said(self._state.history[-1].created_by, instruction.span)

    def _expand(self, text: str, span: Span) -> str:
        return self._around.expander.word(text, self._state.scope.env, span)

    def _say(self, text: str, step: StepId | None = None) -> None:
        self._state.history.append(StageHistory(text, step))

    # Files and commands --------------------------------------------------------------------------------------

    def _copy(self, instruction: Copy | Add) -> None:
        state = self._state
        source: FileSource = FromContext("")
        if isinstance(instruction, Copy) and instruction.from_ is not None:
            source = self._around.find(instruction.from_, instruction.span)
        working_dir = state.config.working_dir or "/"
        place = Place(state.next_id(), state.index, state.parent, working_dir, state.scope.env, self._around.expander)
        step, said = lower_copy(instruction, source, place)
        state.add(step)
        self._say(said, step.id)

    def _run(self, instruction: Run) -> None:
        state, span = self._state, instruction.span
        command = run_command(instruction, state.config)
        working_dir = state.config.working_dir or "/"
        mounts = tuple(
            lower_mount(flag, lambda text: self._expand(text, span), working_dir, self._around.find, self._given)
            for flag in instruction.mounts
        )
        given = proxies(self._given)
        step = RunStep(
            id=state.next_id(),
            stage=state.index,
            parent=state.parent,
            line=span.line,
            end_line=span.end_line,
            title=history.title("RUN " + _without_keyword(instruction.text) + summary(instruction.heredocs)),
            argv=command.argv,
            env=state.scope.pairs(self._around.expander, span),
            cwd=working_dir,
            user=state.config.user,
            mounts=mounts,
            network=self._network(instruction),
            security=self._security(instruction),
            proxy_env=tuple((name, value) for name, value in given.items() if name not in state.scope.env),
            script=command.script,
            devices=tuple(self._device(flag.value, flag.span) for flag in instruction.devices),
        )
        state.add(step)
        self._say(history.run(command.shown, state.scope.arguments()), step.id)

    def _network(self, instruction: Run) -> Any:
        wanted, default = instruction.network, self._around.request.network
        if wanted in (None, "", "default"):
            return default
        if wanted == "host" and default != "host":
            self._require("--network=host", instruction.span, "network.host")
        return wanted

    def _security(self, instruction: Run) -> Any:
        if instruction.security == "insecure":
            self._require("--security=insecure", instruction.span, "security.insecure")
        return instruction.security or "sandbox"

    def _require(self, flag: str, span: Span, needed: str, *, or_all: str = "") -> None:
        if not {needed, or_all} & self._around.request.entitlements:
            raise PlanError(
                f"RUN {flag} is not allowed in this build",
                code="entitlement",
                span=span,
                notes=("it reaches beyond the sandbox, so the person who builds has to agree",),
                hint=f"build with --allow {needed}",
            )

    def _device(self, text: str, span: Span) -> str:
        try:
            device = parse_device(self._expand(text, span))
        except ValueError as error:
            raise PlanError(str(error), code="bad-device", span=span) from error
        self._require(f"--device={device.name}", span, f"device={device.name}", or_all="device")
        return f"{device.name},required" if device.is_required else device.name

    def _workdir(self, instruction: Workdir) -> None:
        state, span = self._state, instruction.span
        path = paths.workdir(self._expand(instruction.path, span), state.config.working_dir or "/")
        state.config.working_dir = path
        if path == "/":
            self._say("WORKDIR /")
            return
        step = WorkdirStep(
            id=state.next_id(),
            stage=state.index,
            parent=state.parent,
            line=span.line,
            end_line=span.end_line,
            title=history.title(f"WORKDIR {path}"),
            path=paths.absolute(path),
            user=state.config.user,
        )
        state.add(step)
        self._say(f"WORKDIR {path}", step.id)

    # Variables -----------------------------------------------------------------------------------------------

    def _arg(self, instruction: Arg) -> None:
        around = self._around
        self._say(self._state.scope.declare(instruction, around.shared, self._given, around.expander))

    def _pairs(self, instruction: Env | Label) -> list[tuple[str, str]]:
        """Names and values, all expanded with the values from before the instruction."""
        span = instruction.span
        return [(self._expand(pair.name, span), self._expand(pair.value or "", span)) for pair in instruction.pairs]

    def _env(self, instruction: Env) -> None:
        found = self._pairs(instruction)
        for name, value in found:
            if not name or "=" in name or "\0" in name + value:
                raise PlanError(f'a variable cannot be named "{name[:80]}"', code="bad-name", span=instruction.span)
            self._state.scope.set(name, value, instruction.span)
            self._state.config.env[name] = value
        self._say(history.pairs("ENV", found))

    def _label(self, instruction: Label) -> None:
        found = self._pairs(instruction)
        self._state.config.labels.update(found)
        self._say(history.pairs("LABEL", found))

    # The config ----------------------------------------------------------------------------------------------

    def _cmd(self, instruction: Cmd) -> None:
        argv = self._state.config.argv(instruction.command)
        self._state.config.set_cmd(argv)
        self._say(f"CMD {history.quoted_list(argv)}")

    def _entrypoint(self, instruction: Entrypoint) -> None:
        argv = self._state.config.argv(instruction.command)
        self._state.config.set_entrypoint(argv)
        self._say(f"ENTRYPOINT {history.quoted_list(argv)}")

    def _shell(self, instruction: Shell) -> None:
        self._state.config.shell = instruction.words
        self._say(f"SHELL {history.plain_list(instruction.words)}")

    def _user(self, instruction: User) -> None:
        user = self._expand(instruction.user, instruction.span)
        check_user(user, instruction.span)
        self._state.config.user = user
        self._say(f"USER {user}")

    def _expose(self, instruction: Expose) -> None:
        span, env = instruction.span, self._state.scope.env
        words = [word for text in instruction.ports for word in self._around.expander.words(text, env, span)]
        found = ports(words, span)
        self._state.config.exposed_ports.update(found)
        self._say(f"EXPOSE {history.plain_list(found)}")

    def _volume(self, instruction: Volume) -> None:
        found = [self._expand(path, instruction.span) for path in instruction.paths]
        if not all(found):
            raise PlanError("a path of VOLUME is empty", code="blank-name", span=instruction.span)
        self._state.config.volumes.update(found)
        self._say(f"VOLUME {history.plain_list(found)}")

    def _stop_signal(self, instruction: StopSignal) -> None:
        signal = self._expand(instruction.signal, instruction.span)
        check_signal(signal, instruction.span)
        self._state.config.stop_signal = signal
        self._say(f"STOPSIGNAL {signal}")

    def _healthcheck(self, instruction: Healthcheck) -> None:
        health = HealthConfig(
            instruction.test,
            instruction.interval_ns,
            instruction.timeout_ns,
            instruction.start_period_ns,
            instruction.start_interval_ns,
            instruction.retries,
        )
        self._state.config.healthcheck = health
        self._say(history.healthcheck(health))

    def _maintainer(self, instruction: Maintainer) -> None:
        self._state.config.author = instruction.author
        self._say(f"MAINTAINER {instruction.author}")

    def _onbuild(self, instruction: OnBuild) -> None:
        self._state.config.on_build.append(instruction.trigger)  # BuildKit writes no history for it


def _without_keyword(text: str) -> str:
    return text.split(None, 1)[1] if len(text.split(None, 1)) > 1 else ""
