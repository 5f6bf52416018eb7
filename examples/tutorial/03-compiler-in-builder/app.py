import ctypes
import shutil

fast = ctypes.CDLL("./libfast.so")
fast.fib.restype = ctypes.c_long
print("fib(50) =", fast.fib(50), "; compiler here:", shutil.which("gcc") is not None)
