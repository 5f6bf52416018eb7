"""Cases again: each folder is built by both, BuildKit's answer is written beside it, and differences are said.

    python -m differential.record FOLDER...

A folder holds a `Dockerfile` and, unless only the Dockerfile matters, a `case.json`. To take a found case in, copy its folder
to tests/golden/differential under a name that says what it shows, and record it there.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from support.buildkit import Bases, BuildKit, Slimstage, short_home
from support.buildkit_case import Case, write_json
from support.buildkit_observe import differences


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="+", type=Path)
    folders = parser.parse_args().folder
    home = short_home()
    different = 0
    try:
        bases = Bases(home)
        buildkit, slimstage = BuildKit(home, bases), Slimstage(home, bases)
        try:
            for number, folder in enumerate(each for each in folders if (each / "Dockerfile").exists()):
                case = Case.load(folder)
                place = home / f"case-{number}"
                case.lay_out(place)
                own = ("--build-arg", f"BUILDKIT_CACHE_MOUNT_NS={number}")
                there, here = buildkit.build(case, place, *own), slimstage.build(case, place, *own)
                write_json(folder / "expected.json", there)
                found = differences(there, here)
                different += bool(found)
                print(f"{folder}: {'the same' if not found else 'different'}, {there.get('message', 'built')}")
                for sentence in found:
                    print(f"  {sentence}")
        finally:
            buildkit.close()
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
