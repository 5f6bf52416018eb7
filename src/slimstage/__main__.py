"""`python -m slimstage`: the same as the command `slimstage`."""

from __future__ import annotations

from slimstage.cli.main import command

if __name__ == "__main__":
    command()
