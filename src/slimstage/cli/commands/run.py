"""`slimstage run`."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import click

from slimstage.cli.program import Session
from slimstage.cli.run_values import parse_env, parse_mount, parse_publish, parse_volume
from slimstage.cli.show import note, print_json
from slimstage.cli.terminal import is_terminal
from slimstage.cli.values import (
    one_of,
    parse_add_host,
    parse_cpus,
    parse_duration,
    parse_positive,
    parse_size,
    parse_ulimit,
)
from slimstage.cli.verb import complete_images, option, pass_session, verb
from slimstage.container.options import RunOptions
from slimstage.container.records import ContainerRecord, Containers, Launch
from slimstage.container.spec import command_of
from slimstage.errors import SandboxError, UsageError
from slimstage.oci.config import ImageConfig
from slimstage.sandbox.spec import Limits

_EXAMPLES = """\
slimstage run --rm iris                             run the image's own command
slimstage run --rm -it iris sh                      a shell inside
slimstage run -d --name web -p 8080:8080 iris       in the background, reachable at port 8080
slimstage run --rm -v ./data:/data:ro iris train    with files of this host, read-only
slimstage run --rm --entrypoint python iris -V      another program\
"""

_ON, _IN, _LIM = "The container", "What it sees", "Limits"


@verb("run", examples=_EXAMPLES, context_settings={"allow_interspersed_args": False})
@click.argument("image", shell_complete=complete_images)
@click.argument("command", nargs=-1, metavar="[COMMAND [ARG]...]", type=click.UNPROCESSED)
@option("-d", "--detach", is_flag=True, group=_ON, help="Run in the background and print the container's ID.")
@option("--name", metavar="NAME", group=_ON, help="Name the container.")
@option("--rm", "removes", is_flag=True, group=_ON, help="Remove the container when it ends.")
@option("-i", "--interactive", is_flag=True, group=_ON, help="Pass stdin on to it.")
@option("-t", "--tty", is_flag=True, group=_ON, help="Give it a terminal.")
@option("--entrypoint", metavar="PROGRAM", group=_ON, help="Run PROGRAM instead of the image's entrypoint.")
@option("--platform", metavar="OS/ARCH", group=_ON, help="Which of an index' images to run.")
@option("--pull", "pulls", is_flag=True, group=_ON, help="Ask the registry even when the store has the image.")
@option("--stop-signal", metavar="SIGNAL", group=_ON, help="What `stop` sends first [default: the image's, else TERM].")
@option("--stop-timeout", metavar="SECONDS", group=_ON, help="When `stop` kills [default: 10].")
@option("--sandbox", metavar="BACKEND", group=_ON, help="What confines it: native or runc [default: native].")
@option("-e", "--env", multiple=True, metavar="NAME[=VALUE]", group=_IN, help="Set a variable.")
@option("--env-file", multiple=True, metavar="FILE", group=_IN, help="Set the variables of a file of NAME=VALUE lines.")
@option(
    "-v", "--volume", multiple=True, metavar="SOURCE:TARGET[:ro]", group=_IN, help="Show a path of this host inside."
)
@option("--mount", multiple=True, metavar="SPEC", group=_IN, help="The same as type=bind,source=…,target=…[,readonly].")
@option("--tmpfs", multiple=True, metavar="PATH", group=_IN, help="A temporary file system at PATH.")
@option(
    "-p",
    "--publish",
    multiple=True,
    metavar="[ADDRESS:]HOST:PORT",
    group=_IN,
    help="Let a port of this host lead inside; on all its addresses unless one is given.",
)
@option("-w", "--workdir", metavar="DIR", group=_IN, help="The working directory.")
@option("-u", "--user", metavar="USER[:GROUP]", group=_IN, help="Run as this user, by name or number.")
@option("--network", metavar="MODE", group=_IN, help="default, none or host [default: default].")
@option("--hostname", metavar="NAME", group=_IN, help="Its host name.")
@option("--add-host", multiple=True, metavar="NAME:ADDRESS", group=_IN, help="A line for /etc/hosts.")
@option("--read-only", is_flag=True, group=_IN, help="Its files cannot be changed.")
@option("-m", "--memory", metavar="SIZE", group=_LIM, help="Memory limit.")
@option("--cpus", metavar="N", group=_LIM, help="CPU limit.")
@option("--pids-limit", metavar="N", group=_LIM, help="Limit of processes and threads.")
@option("--shm-size", metavar="SIZE", group=_LIM, help="Size of /dev/shm [default: 64m].")
@option("--ulimit", multiple=True, metavar="NAME=SOFT[:HARD]", group=_LIM, help="A resource limit.")
@option("--cap-add", multiple=True, metavar="CAP", group=_LIM, help="Add a capability.")
@option("--cap-drop", multiple=True, metavar="CAP", group=_LIM, help="Drop a capability, or ALL.")
@option("--privileged", is_flag=True, group=_LIM, help="Confine it as little as possible.")
@option("--json", "as_json", is_flag=True, help="Print the container as JSON (with -d).")
@pass_session
@click.pass_context
def command(ctx: click.Context, session: Session, /, image: str, command: tuple[str, ...], **given: Any) -> None:
    """Run a command in a new container made from IMAGE.

    IMAGE is the name or ID of an image in the store; one that is not there is pulled. The exit status is the
    command's own: 126 when it cannot be run, 127 when it is not there, 128 and the signal's number when it was killed.
    """
    options = make_options(command, given, os.environ)
    if given["as_json"] and not given["detach"]:
        raise UsageError("--json needs -d: in the foreground, stdout is the command's own")
    _check_streams(options, is_detached=given["detach"])

    from slimstage.cli.runnable import check_runs, find_runnable

    store = session.store()
    runnable = find_runnable(store, image, pulls=given["pulls"], platform=given["platform"], session=session)
    check_runs(image, runnable.config)
    record = _record(given, image, runnable.image_id, runnable.config, options)
    containers = Containers(session.root_path())
    record = containers.create(record, Launch(stack=runnable.stack, options=options))
    if given["detach"]:
        from slimstage.container.launching import start_detached

        record = start_detached(containers, str(session.root_path()), record)
        if given["as_json"]:
            print_json(record)
        else:
            sys.stdout.write(record.id + "\n")
        for port in record.ports:
            note(f"listening on {port}")
        return
    ctx.exit(_foreground(session, record, runnable.config, options, runnable.stack))


def make_options(command: tuple[str, ...], given: dict[str, Any], environment: Any) -> RunOptions:
    """The RunOptions of the flags. Raises UsageError naming the flag."""
    entrypoint = given["entrypoint"]
    timeout = given["stop_timeout"]
    return RunOptions(
        command=command,
        entrypoint=None if entrypoint is None else (entrypoint,) if entrypoint else (),
        env=tuple(parse_env(given["env"], given["env_file"], environment).items()),
        volumes=(*map(parse_volume, given["volume"]), *map(parse_mount, given["mount"])),
        tmpfs=tuple(_tmpfs(text) for text in given["tmpfs"]),
        publish=tuple(port for text in given["publish"] for port in parse_publish(text)),
        workdir=given["workdir"],
        user=given["user"],
        is_interactive=given["interactive"],
        has_terminal=given["tty"],
        is_readonly=given["read_only"],
        is_privileged=given["privileged"],
        add_capabilities=given["cap_add"],
        drop_capabilities=given["cap_drop"],
        network=one_of(given["network"] or "default", ("default", "none", "host"), "--network"),  # type: ignore[arg-type] # checked
        hostname=given["hostname"],
        extra_hosts=tuple(map(parse_add_host, given["add_host"])),
        limits=_limits(given),
        stop_signal=given["stop_signal"],
        stop_timeout_s=10.0 if timeout is None else _seconds(timeout),
        backend=one_of(given["sandbox"] or "native", ("native", "runc"), "--sandbox"),  # type: ignore[arg-type] # checked
        removes_itself=given["removes"],
    )


def _limits(given: dict[str, Any]) -> Limits:
    memory, cpus, pids, shm = (given[name] for name in ("memory", "cpus", "pids_limit", "shm_size"))
    return Limits(
        memory_bytes=parse_size(memory, "--memory") if memory else None,
        cpus=parse_cpus(cpus) if cpus else None,
        pids=parse_positive(pids, "--pids-limit") if pids else None,
        shm_bytes=parse_size(shm, "--shm-size") if shm else Limits().shm_bytes,
        ulimits=tuple(map(parse_ulimit, given["ulimit"])),
    )


def _seconds(text: str) -> float:
    return float(text) if text.isdigit() else parse_duration(text, "--stop-timeout")


def _tmpfs(text: str) -> str:
    path = text.partition(":")[0]
    if not path.startswith("/"):
        raise UsageError(f'--tmpfs: "{path}" is not an absolute path')
    return path


def _check_streams(options: RunOptions, *, is_detached: bool) -> None:
    if is_detached and (options.is_interactive or options.has_terminal):
        raise UsageError("-d has no terminal and no stdin", hint="leave -i and -t out")
    if options.has_terminal and not (is_terminal(sys.stdin) and is_terminal(sys.stdout)):
        raise UsageError("-t needs a terminal, and stdin or stdout is none", hint="leave -t out")
    if options.network == "host" and options.publish:
        raise UsageError("--publish makes no sense with --network=host", hint="its ports are this host's already")
    if options.network == "none" and options.publish:
        raise UsageError("--publish makes no sense with --network=none", hint="leave one of them out")


def _record(
    given: dict[str, Any], image: str, image_id: str, config: ImageConfig, options: RunOptions
) -> ContainerRecord:
    from slimstage.container.processes import signal_number

    try:
        stop_signal = signal_number(options.stop_signal or config.stop_signal or "TERM")
    except SandboxError as error:
        if options.stop_signal:
            raise UsageError(f"--stop-signal: {error.message}", hint='write it like "INT" or "SIGQUIT"') from error
        stop_signal = 15  # the image's own is nonsense: Docker takes TERM then
    return ContainerRecord(
        id="",
        name=given["name"] or "",
        image=image,
        image_id=image_id,
        command=command_of(config, options),
        created_s=time.time(),
        is_detached=given["detach"],
        removes_itself=options.removes_itself,
        stop_signal=stop_signal,
        stop_timeout_s=options.stop_timeout_s,
    )


def _foreground(session: Session, record: ContainerRecord, config: ImageConfig, options: RunOptions, stack: Any) -> int:
    from slimstage.container.session import ContainerSession
    from slimstage.sandbox.backends import make_sandbox

    def show(stream: int, data: bytes) -> None:
        target = sys.stdout.buffer if stream == 1 else sys.stderr.buffer
        try:
            target.write(data)
            target.flush()
        except (OSError, ValueError):
            pass  # nobody reads: the command goes on, its log has all of it

    def announce(started: ContainerRecord) -> None:
        for port in started.ports:
            if port.host_port:  # none when the command had ended before one was opened
                note(f"listening on {port}")

    running = ContainerSession(session.store(), record, config, options, stack)
    try:
        return running.run(
            make_sandbox(options.backend),
            None if options.has_terminal else show,
            stdin=0 if options.is_interactive and not options.has_terminal else None,
            on_start=announce,
        )
    finally:
        running.close()
