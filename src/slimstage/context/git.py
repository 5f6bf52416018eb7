"""Files of a git repository, by the git program, which sees nothing of the user's configuration.

The repository is not trusted: no hooks, no helpers, only the named protocols; what git could take for an option is
refused before it starts, and a subdirectory is entered without following a symlink. Credentials of the URL reach git by
the environment of its process, and appear in no argument, message or file.
Source: dockerfile.md §1.4 ("ADD git"); CVE-2019-13139, CVE-2023-26054, GHSA-4vrq-3vrq-g6gg.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit, urlunsplit

from slimstage.dockerfile.gitref import GitRef, check_git_ref, parse_git_ref
from slimstage.errors import ContextError, RegistryError, SandboxError
from slimstage.regex import pattern
from slimstage.tree.paths import DIRECTORY, open_real
from slimstage.values import replace

if TYPE_CHECKING:
    import subprocess

PROTOCOLS = ("https", "http", "ssh", "git")
_COMMIT = pattern(r"(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")
_PASSED_ON = (
    "PATH", "SSH_AUTH_SOCK", "SSL_CERT_FILE", "SSL_CERT_DIR", "GIT_SSL_CAINFO", "http_proxy", "https_proxy", "HTTP_PROXY",
    "HTTPS_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY", "TMPDIR",
)  # fmt: skip
_SETTINGS = (
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
    ("core.symlinks", "true"),
    ("core.autocrlf", "false"),
    ("credential.helper", ""),
    ("advice.detachedHead", "false"),
    ("init.defaultBranch", "main"),
    ("gc.auto", "0"),
    ("http.lowSpeedLimit", "1000"),
    ("http.lowSpeedTime", "60"),
    ("fetch.fsckObjects", "true"),
)


def git_context(value: str) -> GitRef | None:
    """What a context value says when it names a repository, else None.

    `git://`, `ssh://` and `user@host:path` always do, http(s) when its path ends in `.git`; `github.com/…` is short for
    https. Branch, directory and the rest follow in a query or a fragment. Raises PlanError for what makes no sense there.
    Source: Docker's manual "Build context", "Git repositories" and "URL queries".
    """
    ref = parse_git_ref(value)
    if ref is None:
        return None
    check_git_ref(ref)
    return replace(ref, remote="https://" + ref.remote) if ref.looks_local else ref


def fetch_git(
    remote: str,
    place: str,
    *,
    ref: str | None = None,
    subdir: str | None = None,
    checksum: str | None = None,
    keeps_git_dir: bool = False,
    submodules: bool = True,
    mtime: Literal["checkout", "commit"] = "checkout",
    by_commit: bool = False,
    protocols: Sequence[str] = PROTOCOLS,
) -> str:
    """The commit whose files (or those of `subdir`) are now in the new directory `place`.

    ref: a branch, tag, full ref or commit; None is the remote's HEAD. checksum: what the commit, or the tag that names
    it, must begin with. keeps_git_dir: `.git` stays, without credentials; not with a subdirectory.
    mtime: whether files are as old as the checkout or as the commit. by_commit: fetch the checksum itself, whatever `ref`
    names now.
    Raises ContextError (refused, not found, other commit), RegistryError (network), SandboxError (no git program).
    """
    import shutil  # only when a repository is fetched
    import tempfile

    _refuse_options(remote, ref, checksum)
    if subdir and ".." in subdir.split("/"):
        raise ContextError(f'the subdirectory "{subdir}" leads out of the repository', code="git-subdir-escape")
    program = shutil.which("git")
    if program is None:
        raise SandboxError(
            "the git program is not here", code="no-git", hint="install it, for example: apt-get install git"
        )
    with tempfile.TemporaryDirectory(prefix="git-", dir=os.path.dirname(place)) as work:
        git = _Git(program, work, remote, protocols)
        commit = git.check_out(checksum if by_commit else ref, checksum)
        if submodules and os.path.lexists(os.path.join(git.tree, ".gitmodules")):
            git.run("submodule", "update", "--init", "--recursive", "--depth=1")
        if keeps_git_dir and not subdir:
            git.keep_directory()
        seconds = int(git.run("show", "--no-patch", "--format=%ct", commit)) if mtime == "commit" else None
        _move(git.tree, subdir, place, keeps_git_dir)
    if seconds is not None:
        set_times(place, seconds * 1_000_000_000)
    return commit


def set_times(place: str, mtime_ns: int) -> None:
    """Makes all in a directory of ours, and itself, as old as that."""
    for folder, directories, files, fd in os.fwalk(place, topdown=False, follow_symlinks=False):
        del folder
        for name in (*directories, *files):
            os.utime(name, ns=(mtime_ns, mtime_ns), dir_fd=fd, follow_symlinks=False)
    os.utime(place, ns=(mtime_ns, mtime_ns))


def _refuse_options(remote: str, ref: str | None, checksum: str | None) -> None:
    host = re.sub(r"\A[a-z0-9+]+://", "", remote, flags=re.IGNORECASE).rpartition("@")[2]
    for value in (remote, host, ref or "", checksum or ""):
        if value.startswith("-") or any(ord(c) < 0x20 or c == "\x7f" for c in value):
            raise ContextError("a part of the git source could be taken for an option of git", code="bad-git-ref")
    if "::" in remote.partition("/")[0] or (ref and ref.startswith("+")) or (ref and ":" in ref):
        raise ContextError("the git source names another transport or a refspec", code="bad-git-ref")


class _Git:
    """One repository being fetched; `tree` is its work tree."""

    def __init__(self, program: str, work: str, remote: str, protocols: Sequence[str]) -> None:
        self._program, self._work = program, work
        self._remote, secret = _without_credentials(remote)
        self._secret = secret
        self.tree = os.path.join(work, "tree")
        os.mkdir(self.tree)
        os.mkdir(os.path.join(work, "home"))
        self._env = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        self._env |= {
            "HOME": os.path.join(work, "home"),
            "LC_ALL": "C.UTF-8",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "true",
            "GIT_SSH_COMMAND": "ssh -oBatchMode=yes",
            "GIT_ALLOW_PROTOCOL": ":".join(protocols),
            "GIT_PROTOCOL_FROM_USER": "0",
        }
        settings = [*_SETTINGS, *([(f"url.{remote}.insteadOf", self._remote)] if secret else [])]
        self._env["GIT_CONFIG_COUNT"] = str(len(settings))
        for number, (key, value) in enumerate(settings):
            self._env[f"GIT_CONFIG_KEY_{number}"], self._env[f"GIT_CONFIG_VALUE_{number}"] = key, value
        self.run("init", "--quiet")

    def run(self, *arguments: str) -> str:
        done = self._try(*arguments)
        if done.returncode:
            raise self._failure(done)
        return done.stdout.decode(errors="replace").strip()

    def _try(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        import subprocess  # only when a repository is fetched

        return subprocess.run(
            [self._program, *arguments],
            cwd=self.tree,
            env=self._env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            umask=0o022,
        )

    def check_out(self, ref: str | None, checksum: str | None) -> str:
        """Fetches as little as possible, checks the commit and writes its files."""
        wanted = ref or "HEAD"
        fetch = ("fetch", "--quiet", "--no-tags", "--force", "--no-recurse-submodules")
        done = self._try(*fetch, "--depth=1", "--", self._remote, wanted)
        found = "FETCH_HEAD"
        if done.returncode:
            # An abbreviated commit, or a server that gives only what a ref names: all refs are needed.
            full = self._try(
                *fetch, "--", self._remote, "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"
            )
            if full.returncode:
                raise self._failure(full)
            found = wanted if self._resolved(wanted) else f"refs/remotes/origin/{wanted}"
        named = self._resolved(found)
        commit = self._resolved(found + "^{commit}") if named else None
        if commit is None or named is None:
            raise ContextError(f'"{wanted}" is no branch, tag or commit of {self._remote}', code="git-ref-missing")
        if _COMMIT.match(wanted) and wanted not in (commit, named):
            raise ContextError(
                f"{self._remote} gave another commit: want {wanted}, got {commit}", code="git-commit-mismatch"
            )
        if checksum and not (commit.startswith(checksum) or named.startswith(checksum)):
            raise ContextError(
                f'"{wanted}" of {self._remote} is another commit: want {checksum}, got {commit}',
                code="checksum-mismatch",
            )
        self.run("checkout", "--quiet", "--force", "--detach", commit, "--")
        return commit

    def _resolved(self, name: str) -> str | None:
        done = self._try("rev-parse", "--verify", "--quiet", "--end-of-options", name)
        text = done.stdout.decode(errors="replace").strip()
        return text.splitlines()[-1] if not done.returncode and text else None

    def keep_directory(self) -> None:
        """Leaves `.git` as a clone has it, and nothing in it that says who fetched."""
        import shutil  # only when a repository is fetched

        self.run("remote", "add", "origin", "--", self._remote)
        for name in ("FETCH_HEAD", "logs"):
            path = os.path.join(self.tree, ".git", name)
            if os.path.isdir(path):
                shutil.rmtree(path)
            elif os.path.exists(path):
                os.unlink(path)

    def _failure(self, done: subprocess.CompletedProcess[bytes]) -> ContextError | RegistryError:
        lines = [line for line in done.stderr.decode(errors="replace").splitlines() if line.strip()]
        reason = next(
            (line for line in lines if line.startswith(("fatal:", "error:", "ERROR:"))), lines[-1] if lines else ""
        )
        for part in self._secret:
            reason = reason.replace(part, "xxxxx")
        message = f"git cannot fetch {self._remote}: {reason or f'it ended with status {done.returncode}'}"
        if re.search(
            r"not found|does not exist|not allowed|couldn't find remote ref|Authentication|could not read Username",
            reason,
        ):
            return ContextError(message, code="git-failed")
        return RegistryError(message, code="git-failed", is_temporary=True)


def _without_credentials(remote: str) -> tuple[str, tuple[str, ...]]:
    """The remote as it may be shown, and what was taken out of it. A user of ssh stays: it is no secret."""
    if not re.match(r"(?i)(https?|git|ssh)://", remote):
        return remote, ()
    parts = urlsplit(remote)
    user, at, host = parts.netloc.rpartition("@")
    if not at:
        return remote, ()
    if parts.scheme.lower() == "ssh":
        name, colon, _ = user.partition(":")
        return urlunsplit(parts._replace(netloc=f"{name}@{host}")), (user,) if colon else ()
    secrets = [user, *(part for part in user.split(":", 1) if part)]
    return urlunsplit(parts._replace(netloc=host)), tuple(dict.fromkeys(secrets))


def _move(tree: str, subdir: str | None, place: str, keeps_git_dir: bool) -> None:
    """Puts the wanted files at `place`: nothing on the way to a subdirectory may be a symlink."""
    import shutil  # only when a repository is fetched

    if not keeps_git_dir or subdir:
        shutil.rmtree(os.path.join(tree, ".git"))
    path = "/".join(part for part in (subdir or "").split("/") if part not in ("", "."))
    if path:
        root = os.open(tree, DIRECTORY)
        try:
            os.close(open_real(root, path, DIRECTORY))
        except OSError as error:
            raise ContextError(f'"{subdir}" is no directory of the repository', code="git-subdir-missing") from error
        finally:
            os.close(root)
    os.rename(os.path.join(tree, path) if path else tree, place)
