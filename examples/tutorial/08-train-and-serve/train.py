"""Fits a line with numpy, and writes it as plain numbers so that serving needs no numpy."""

import argparse
import struct

import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("--out", required=True)
out = parser.parse_args().out

rng = np.random.default_rng(7)
x = rng.uniform(0, 10, 200)
y = 2.5 * x + 4 + rng.normal(0, 0.1, 200)
slope, offset = np.polyfit(x, y, 1)
with open(out, "wb") as file:
    file.write(struct.pack("<2d", slope, offset))
print(f"slope {slope:.3f}, offset {offset:.3f}")
