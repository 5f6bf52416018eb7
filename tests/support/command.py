"""The command as its users call it: a process of its own, on a store of the tests."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import forking

PROJECT = Path(__file__).resolve().parents[2]

SHARED_ROOT = Path(os.environ.get("SLIMSTAGE_TEST_ROOT", PROJECT / ".test-store"))
"""A store that tests share and that outlives a run: base systems made by mmdebstrap are made once a machine."""


@dataclass(frozen=True, slots=True)
class Done:
    """How it ended, and what it said."""

    status: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


def slimstage(
    *args: object,
    root: Path | None = None,
    status: int | None = 0,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    stdin: bytes | None = None,
    timeout_s: float = 280,
    may_trace: bool = False,
) -> Done:
    """Runs `slimstage ARGS` and asserts its exit status (None: any). `root` None: the shared store.

    may_trace: a step of the build prints a traceback of its own; without it, one in the output is ours, and a fault.
    """
    environment = {key: value for key, value in os.environ.items() if not key.startswith("SLIMSTAGE_")}
    environment |= {"SLIMSTAGE_ROOT": str(root or SHARED_ROOT), "NO_COLOR": "1", **(env or {})}
    done = forking.run(args, cwd=cwd, env=environment, input=stdin or b"", timeout=timeout_s)
    result = Done(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))
    if status is not None:
        assert result.status == status, (
            f"exit status {result.status}, want {status}\n{result.err[-4000:]}\n{result.out[-1000:]}"
        )
    assert may_trace or "Traceback (most recent call last)" not in result.err, result.err[-4000:]
    return result
