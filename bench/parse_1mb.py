"""How much processor time reading a Dockerfile of 1, 2 and 4 MB
takes, for several shapes: it must grow with the size, no faster.

    python bench/parse_1mb.py [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable

from slimstage.dockerfile.parse import parse
from slimstage.errors import DockerfileError

MEGABYTE = 1024 * 1024


def _repeat(head: str, unit: str, size: int, tail: str = "") -> str:
    return head + unit * ((size - len(head) - len(tail)) // len(unit)) + tail


SHAPES: dict[str, Callable[[int], str]] = {
    "instructions": lambda size: _repeat(
        "FROM a\n", "ENV NAME=value OTHER='a b'\nRUN echo hello | cat\nCOPY a b /c/\n", size
    ),
    "continuations": lambda size: _repeat("FROM a\nRUN true \\\n", "  && echo hello \\\n", size, "  && true\n"),
    "comments": lambda size: _repeat("FROM a\n", "# a comment that says nothing\n", size),
    "one heredoc": lambda size: _repeat("FROM a\nRUN <<EOF\n", 'echo $HELLO "world"\n', size, "EOF\n"),
    "many heredocs": lambda size: _repeat("FROM a\n", "COPY <<EOF /x\nhello $X\nEOF\n", size),
    "words": lambda size: _repeat("FROM a\nENV A=1 \\\n", '  NAME="a b" \\\n', size, "  Z=1\n"),
    "exec form": lambda size: _repeat("FROM a\n", 'CMD ["echo", "hello", "world"]\n', size),
    "garbage": lambda size: _repeat("", "FORM a b --c <<'\n", size),
    "open heredoc": lambda size: _repeat("FROM a\n", "RUN <<EOF\n", size),
    "open quote": lambda size: _repeat("FROM a\nRUN <<EOF \\\n", "  '\" ${a:-  \\\n", size),
}


def _seconds(text: str) -> float:
    start = time.process_time()
    try:
        parse(text)
    except DockerfileError:
        pass
    return time.process_time() - start


def main() -> int:
    """Print one row for each shape; status 1 when one grows clearly faster than its size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    as_json = parser.parse_args().json
    rows = {name: [_seconds(make(size * MEGABYTE)) for size in (1, 2, 4)] for name, make in SHAPES.items()}
    if as_json:
        print(json.dumps(rows))
    else:
        print(f"{'shape':<16}{'1 MB':>9}{'2 MB':>9}{'4 MB':>9}")
        for name, seconds in rows.items():
            print(f"{name:<16}" + "".join(f"{value:>8.3f}s" for value in seconds))
    return 1 if any(seconds[2] > 0.2 and seconds[2] > 8 * seconds[0] for seconds in rows.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
