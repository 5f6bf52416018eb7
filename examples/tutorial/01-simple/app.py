from packaging.version import Version

print("hello from one stage;", Version("1.10") > Version("1.9"))
