"""Trees of a small system: dpkg with a few packages, Python with a few distributions, the user's own files."""

from __future__ import annotations

from support.trees import Dir, Symlink, Tree

STATUS = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36
Essential: yes

Package: python3
Status: install ok installed
Architecture: amd64
Version: 3.11
Depends: libc6 (>= 2.3) | libc7, python3-minimal:any, virtual-thing

Package: thing
Status: install ok installed
Architecture: all
Version: 1
Provides: virtual-thing (= 1)

"""
STATUS_WITH_GCC = (
    STATUS + "Package: gcc\nStatus: install ok installed\nArchitecture: amd64\nVersion: 12\nDepends: libc6, python3\n\n"
)
INFO = "var/lib/dpkg/info"
SITE = "usr/local/lib/python3.11/site-packages"

SYSTEM: Tree = {
    "lib": Symlink("usr/lib"),
    "usr": Dir(),
    "usr/lib": Dir(),
    "usr/lib/libc.so.6": b"c" * 100,
    "usr/lib/unowned.bin": b"u" * 7,
    "usr/bin/python3": b"p" * 50,
    "etc/os-release": 'ID=debian\nVERSION_ID="12"\n',
    "var/lib/dpkg/status": STATUS,
    f"{INFO}/libc6:amd64.list": "/.\n/lib\n/lib/libc.so.6\n/usr/share/doc/libc6/copyright\n",
    f"{INFO}/libc6:amd64.md5sums": "0 lib/libc.so.6\n",
    f"{INFO}/python3.list": "/usr/bin/python3\n",
    f"{INFO}/thing.list": "/usr/bin\n",
}


def distribution(name: str, version: str, record: str, *metadata: str) -> Tree:
    directory = f"{SITE}/{name}-{version}.dist-info"
    return {
        f"{directory}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n" + "".join(metadata),
        f"{directory}/RECORD": record,
        f"{directory}/licenses/LICENSE": "mit",
    }


PACKAGES: Tree = {
    f"{SITE}/top/__init__.py": b"x" * 10,
    f"{SITE}/top/__pycache__/__init__.cpython-311.pyc": b"y" * 20,
    f"{SITE}/top/data/unlisted.bin": b"z" * 30,
    f"{SITE}/base.py": b"b" * 5,
    f"{SITE}/__pycache__/base.cpython-311.pyc": b"b" * 6,
    f"{SITE}/stray.py": b"s" * 3,
    f"{SITE}/shared/a.py": b"1",
    f"{SITE}/shared/b.py": b"2",
    f"{SITE}/shared/c.py": b"3",
    **distribution(
        "top",
        "1.0",
        "top/__init__.py,sha256=x,10\nshared/a.py,,\n../../../../../etc/os-release,,\n/etc/hosts,,\n",
        'Requires-Dist: base[fast]>=1\nRequires-Dist: other; extra == "all"\nRequires-Dist: never; python_version < "3"\n',
    ),
    **distribution(
        "base",
        "2.0",
        "base.py,,\nshared/b.py,,\n",
        'Provides-Extra: fast\nRequires-Dist: quick; extra == "fast"\nRequires-Dist: Nowhere\n',
    ),
    **distribution("quick", "3.0", ""),
    **distribution("other", "4.0", ""),
}
OWN: Tree = {"app/main.py": b"main", "usr/lib/copied.so": b"so"}
