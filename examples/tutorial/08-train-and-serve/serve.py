import importlib.util
import struct

with open("model.bin", "rb") as file:
    slope, offset = struct.unpack("<2d", file.read())
print("f(10) =", round(slope * 10 + offset, 1), "; numpy here:", importlib.util.find_spec("numpy") is not None)
