"""One step from its plan to its end: the supervisor, and the process that becomes the command.

The supervisor is forked from the zygote for each step. It makes the namespaces and the mounts, forks the command as PID 1
of the new PID namespace (as runc does), waits, leaves the mount namespace, cleans up and reports. When the command ends or
the builder goes away, the kernel kills everything in the PID namespace; all mounts are in the mount namespace and vanish
with it. While anything of the image runs, the supervisor runs too, so the host's python is busy and cannot be overwritten
through /proc/self/exe (CVE-2019-5736).
"""

from __future__ import annotations

import errno
import fcntl
import marshal
import os
import resource
import signal
import socket
import stat
import struct

from slimstage.sandbox import syscalls
from slimstage.sandbox.attach import Assembly
from slimstage.sandbox.cgroup import Group
from slimstage.sandbox.supervising import give_pipes, number_of, oom_kills, wait
from slimstage.sandbox.syscalls import Refused

_TIOCSCTTY = 0x540E
_SIOCSIFFLAGS, _IFF_UP, _IFF_RUNNING = 0x8914, 1, 0x40
_NAMESPACES = (
    syscalls.CLONE_NEWNS
    | syscalls.CLONE_NEWPID
    | syscalls.CLONE_NEWIPC
    | syscalls.CLONE_NEWUTS
    | syscalls.CLONE_NEWCGROUP
)
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126


def supervise(plan_fd: int, control: socket.socket, stdio: list[int]) -> None:
    """Runs one step; what happened is told on `control` as marshalled tuples. Returns when all is cleaned up.

    ("refused", what, errno, detail) | ("started", pid) with the command's pidfd, the terminal's master if there is one,
    and the listening sockets as descriptors, then ("exit", status, killed for memory).
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL, "follow the builder's end")
    with open(plan_fd, "rb") as file:
        plan = marshal.loads(file.read())
    home = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    group = Group(plan["limits"]) if plan["limits"] and not plan["runc"] else None
    assembly = Assembly(plan)
    try:
        _supervise(plan, assembly, group, control, stdio, home)
    except Refused as refused:
        _leave(home, assembly)
        control.send(marshal.dumps(("refused", refused.what, refused.number, refused.detail)))
    except OSError as error:
        _leave(home, assembly)
        what = f"prepare the sandbox ({error.filename})" if error.filename else "prepare the sandbox"
        control.send(marshal.dumps(("refused", what, error.errno or 0, "")))
    except Exception as error:
        _leave(home, assembly)
        control.send(marshal.dumps(("refused", "prepare the sandbox", 0, f"fault of slimstage: {error!r}")))
    finally:
        if group is not None:
            group.remove()


def _set_hostname(name: bytes) -> None:
    """Inside a container the engine's filter may forbid it, whatever our namespaces allow: then its name is kept."""
    try:
        syscalls.sethostname(name)
    except Refused as refused:
        if refused.number != errno.EPERM:
            raise


def _leave(home: int, assembly: Assembly) -> None:
    assembly.thaw()
    try:
        syscalls.setns(home, syscalls.CLONE_NEWNS)  # as the last in the step's namespace: this unmounts everything
    except Refused:
        if assembly.points is not None:
            raise  # nothing was mounted before: who may make no namespaces may enter none, not even its own
    assembly.clean()


def _supervise(
    plan: dict[str, object],
    assembly: Assembly,
    group: Group | None,
    control: socket.socket,
    stdio: list[int],
    home: int,
) -> None:
    if group is not None:
        group.enter()
    has_network = plan["network"] == "none"
    assembly.prepare()
    if plan["runc"]:
        syscalls.unshare(syscalls.CLONE_NEWNS)
    else:
        syscalls.unshare(_NAMESPACES | (syscalls.CLONE_NEWNET if has_network else 0))
    if plan["runc"]:
        from slimstage.sandbox.runc_step import supervise_runc

        supervise_runc(plan, assembly, control, stdio, lambda: _leave(home, assembly))
        return
    if has_network:
        _raise_loopback()
    hostname = plan["hostname"]
    if hostname:
        _set_hostname(os.fsencode(str(hostname)))
    assembly.build()
    passed: list[int] = []
    if plan["terminal"]:
        assert assembly.system is not None
        master, slave = assembly.system.open_terminal(number_of(plan, "uid"), number_of(plan, "gid"))
        stdio = [slave, slave, slave]
        passed.append(master)
    elif plan["own_pipes"]:
        give_pipes(stdio[1:], number_of(plan, "uid"), number_of(plan, "gid"))
    passed += assembly.listeners
    killed_before = oom_kills()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become(plan, assembly, writer, stdio)
    os.close(writer)
    for fd in set(stdio):
        os.close(fd)
    if group is not None:
        group.leave()
    pidfd = os.pidfd_open(pid)
    with open(reader, "rb") as file:
        refusal = file.read()  # ends when the command is executed, or has told why it is not
    if refusal:
        os.waitpid(pid, 0)
        what, number, detail = marshal.loads(refusal)
        raise Refused(what, number, detail)
    try:
        socket.send_fds(control, [marshal.dumps(("started", pid))], [pidfd, *passed])
    except OSError:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)  # the builder is gone
    for fd in passed:
        os.close(fd)
    status = wait(pid, pidfd, control)
    _leave(home, assembly)
    killed = status != 0 and group is not None and group.was_out_of_memory()
    killed = killed or (status == 128 + signal.SIGKILL and oom_kills() > killed_before)
    try:
        control.send(marshal.dumps(("exit", status, killed)))
    except OSError:
        pass  # nobody is there to hear it


def _raise_loopback() -> None:
    request = struct.pack("16sh14x", b"lo", _IFF_UP | _IFF_RUNNING)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
            fcntl.ioctl(control, _SIOCSIFFLAGS, request)
    except OSError as error:
        raise Refused("raise the loopback interface", error.errno or 0) from None


# -- the command ------------------------------------------------------------------------------------------------------


def _become(plan: dict[str, object], assembly: Assembly, writer: int, stdio: list[int]) -> None:
    """Never returns: becomes the command, or says on `writer` what was refused."""
    status = 1
    try:
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL, "follow the supervisor's end")
        assembly.mount_proc()
        os.fchdir(assembly.root_fd)
        syscalls.pivot_root()
        os.chdir("/")
        _keep_only(stdio, writer)
        writer = 3
        os.setsid()
        if plan["terminal"]:
            fcntl.ioctl(0, _TIOCSCTTY, 0)
        _reset_signals()
        os.umask(0o022)
        _set_limits(plan["rlimits"])
        problem = _enter(str(plan["cwd"]))
        _drop(plan)
        status = _execute(plan, _enter(str(plan["cwd"])) if problem else None)
    except Refused as refused:
        os.write(writer, marshal.dumps((refused.what, refused.number, refused.detail)))
    except BaseException as error:
        number = error.errno if isinstance(error, OSError) else 0
        os.write(writer, marshal.dumps((f"prepare the command ({error!r})", number or 0, "")))
    finally:
        os._exit(status)


def _keep_only(stdio: list[int], writer: int) -> None:
    """Descriptors 0, 1, 2 are the command's and 3 is the writer, closed by exec; nothing else stays open."""
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 16) for fd in (*stdio, writer)]
    for number, fd in enumerate(high):
        os.dup2(fd, number, inheritable=number < 3)
    syscalls.close_range(4)


def _reset_signals() -> None:
    """Exec keeps what is ignored. The zygote reset all but these, which it or Python ignores."""
    for number in (signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _set_limits(limits: object) -> None:
    assert isinstance(limits, tuple)
    for name, number, soft, hard in limits:
        try:
            resource.setrlimit(number, (soft, hard))
        except (OSError, ValueError) as error:
            number = error.errno if isinstance(error, OSError) and error.errno else 1
            raise Refused(f"set the limit {name}={soft}:{hard}", number) from None


def _drop(plan: dict[str, object]) -> None:
    """Gives up every privilege that the plan does not name. The filter comes first where loading it needs privilege."""
    capabilities, seccomp = number_of(plan, "capabilities"), plan["seccomp"]
    has_new_privileges = plan["has_new_privileges"]
    assert isinstance(seccomp, bytes)
    capabilities &= syscalls.permitted_capabilities()
    syscalls.new_session_keyring()
    if plan["network"] != "none" and not plan["privileged"]:
        syscalls.leave_abstract_sockets()
    syscalls.limit_bounding_set(capabilities)
    if seccomp and has_new_privileges:
        syscalls.load_seccomp(seccomp)
    _set_ids(plan)
    syscalls.set_capabilities(capabilities if plan["uid"] == 0 else 0)
    if not has_new_privileges:
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1, "set no_new_privs")
        if seccomp:
            syscalls.load_seccomp(seccomp)
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL, "follow the supervisor's end")  # setuid clears it


def _set_ids(plan: dict[str, object]) -> None:
    uid, gid, groups = number_of(plan, "uid"), number_of(plan, "gid"), plan["groups"]
    assert isinstance(groups, tuple)
    try:
        os.setgroups(groups)
    except OSError as error:
        # EPERM: a namespace with one mapped id forbids setgroups; its one group is ours anyway.
        if error.errno != errno.EPERM or not {*groups} <= {gid}:
            raise Refused(f"set the supplementary groups {list(groups)}", error.errno or 0) from None
    try:
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError as error:
        raise Refused(f"become user {uid}:{gid}", error.errno or 0) from None


def _execute(plan: dict[str, object], problem: OSError | None) -> int:
    """Executes the command; returns 126 or 127, after a sentence on stderr, when there is nothing to execute.

    problem: why the working directory could not be entered.
    """
    argv, environment = plan["argv"], plan["env"]
    assert isinstance(argv, tuple)
    assert isinstance(environment, tuple)
    if problem is not None:
        return _say(_NOT_FOUND, f'chdir to cwd ("{plan["cwd"]}"): {_words(problem)}')
    name = argv[0]
    path, problem = _find(name, dict(environment).get("PATH"))
    if path is None:
        missing = problem is None or isinstance(problem, FileNotFoundError)
        words = "executable file not found in $PATH" if problem is None else _words(problem)
        return _say(_NOT_FOUND if missing else _NOT_EXECUTABLE, f'exec: "{name}": {words}')
    try:
        os.execve(path, argv, dict(environment))
    except FileNotFoundError:
        return _say(_NOT_FOUND, f"exec {path}: no such file or directory (its interpreter or loader is missing)")
    except OSError as error:
        return _say(_NOT_EXECUTABLE, f"exec {path}: {_words(error)}")


def _enter(cwd: str) -> OSError | None:
    """chdir, but never through a magic link, and never to a place outside the root (CVE-2024-21626).

    Returns why not. Tried as root first and then as the user, as runc does: a directory that only root may enter is a
    common WORKDIR (/root) of images with a USER, and one on a file system that root may not enter is the user's.
    """
    try:
        fd = syscalls.openat2(-100, os.fsencode(cwd), os.O_PATH | os.O_DIRECTORY, syscalls.RESOLVE_NO_MAGICLINKS)
        os.fchdir(fd)
        os.close(fd)
        if not os.getcwd().startswith("/"):
            raise OSError(2, "it is outside the root")
    except OSError as error:
        return error
    return None


def _find(name: str, search: str | None) -> tuple[str | None, OSError | None]:
    """The path to execute, looked up in the image as its user; or why there is none (None: not in $PATH)."""
    if "/" in name:
        problem = _problem(name)
        return (None, problem) if problem else (name, None)
    for directory in (search or "").split(":"):
        path = f"{directory or '.'}/{name}"
        if name and _problem(path) is None:
            return path, None
    return None, None


def _problem(path: str) -> OSError | None:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        return error
    if stat.S_ISDIR(mode):
        return IsADirectoryError(21, "is a directory")
    if not os.access(path, os.X_OK, effective_ids=False):
        return PermissionError(13, "permission denied")
    return None


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _say(status: int, sentence: str) -> int:
    try:
        os.write(2, os.fsencode(sentence) + b"\n")
    except OSError:
        pass
    return status
