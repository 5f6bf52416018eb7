"""`python -m slimstage`: the same as the command `slimstage`."""

from __future__ import annotations

import sys

from slimstage.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
