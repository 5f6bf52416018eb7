"""Uses the compiled extension; says whether a compiler is still around."""

import shutil

import distance

print(f"distance {distance.distance([0, 3], [4, 0]):.1f}")
print(f"compiler {shutil.which('gcc') or 'none'}, make {shutil.which('make') or 'none'}")
