"""Go, Rust, and what turns source into binaries: make, cmake, ninja, compilers.

Source: `go help build`, `go help install`; `cargo help`; make(1); cmake(1); gcc(1).
"""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.lint.commands.command import Clean, Command, Compile, FileArgument, Install, Options, Requested
from slimstage.lint.commands.options import Table
from slimstage.lint.shell.script import UNKNOWN, Invocation, Word
from slimstage.regex import pattern

_GO = Table(
    """
    -o= -p= -asmflags= -buildmode= -compiler= -gccgoflags= -gcflags= -installsuffix= -ldflags= -mod= -modfile=
    -overlay= -pgo= -pkgdir= -tags= -toolexec= -C= -coverpkg= -covermode= -run= -count= -timeout=
    """,
    is_go=True,
)
_CARGO = Table(
    """
    -p,--package= --target= --target-dir= -F,--features= --manifest-path= -j,--jobs= --profile= --bin= --example=
    --test= --bench= --git= --branch= --tag= --rev= --path= --root= --vers,--version= --registry= --index= --color=
    --config= -Z= -C= --message-format= --out-dir,--artifact-dir= --exclude= --rename= -r,--release -q,--quiet
    -v,--verbose --locked --frozen --offline --all-features --no-default-features --bins --workspace --force
    """
)
_MAKE = Table(
    """
    -C,--directory= -f,--file,--makefile= -I,--include-dir= -j,--jobs=? -l,--load-average=?
    -o,--old-file,--assume-old= -W,--what-if,--new-file= -O,--output-sync=? -E,--eval= -k,--keep-going
    -n,--dry-run,--just-print -s,--silent,--quiet -B,--always-make -q,--question -v,--version -h,--help
    """
)
_CMAKE = Table(
    """
    -S= -B= -D= -G= -A= -T= -C= -U= --build= --install= --preset= -t,--target= -j,--parallel=? --config= --prefix=
    -E= -P= --component= -W= --toolchain=
    """
)
_CRATE = pattern(rf"(?P<name>[A-Za-z0-9_{UNKNOWN}-]+)(?:@(?P<version>.+))?")
_COMPILER = pattern(
    r"(?:[a-z0-9_]+-[a-z0-9_]+-(?:[a-z0-9_]+-)?)?(?:gcc|g\+\+|cc|c\+\+|clang|clang\+\+|gfortran|cpp|as|ld|ar)(?:-\d+(?:\.\d+)*)?"
)
_BUILDERS = frozenset(
    (
        "ninja",
        "ninja-build",
        "meson",
        "bazel",
        "bazelisk",
        "scons",
        "nvcc",
        "rustc",
        "maturin",
        "gradle",
        "gradlew",
        "mvn",
    )
)
_NO_WORK = frozenset(("clean", "distclean", "mrproper", "help", "uninstall", "check", "test"))
_ASK = frozenset(("--version", "--help", "-v", "-dumpversion", "-dumpmachine", "-print-multiarch"))


def go(invocation: Invocation) -> Iterator[Command]:
    """`go build`, `install`, `get`, `mod download`, `clean`."""
    words = invocation.words
    action = words[0].shape if words else ""
    parsed = _GO.parse(words[1:])
    if action in ("install", "get", "run"):
        packages = tuple(_module(word) for word in parsed.rest if "@" in word.shape)
        if packages or action == "get":
            yield Install(
                "go", "add" if action == "get" else "install", packages, (), Options(assume_yes=True), invocation
            )
    elif action == "mod" and any(word.shape in ("download", "vendor") for word in parsed.rest):
        files = (FileArgument("go.mod", "project", invocation.span), FileArgument("go.sum", "lock", invocation.span))
        yield Install("go", "sync", (), files, Options(assume_yes=True, is_frozen=True), invocation)
    if action in ("build", "install"):
        yield Compile("go", invocation)
    elif action == "clean" and parsed.has("-cache", "-modcache"):
        yield Clean(frozenset(("go",)), invocation)


def _module(word: Word) -> Requested:
    name, _, version = word.shape.partition("@")
    is_pinned = version not in ("latest", "upgrade", "patch", "main", "master", "")
    return Requested(
        "" if UNKNOWN in name else name, word.shape, word.span, f"@{version}", (), is_pinned, "name", word.is_exact
    )


def cargo(invocation: Invocation) -> Iterator[Command]:
    """`cargo build`, `install`, `fetch`."""
    parsed = _CARGO.parse(invocation.words)
    rest = [word for word in parsed.rest if not word.shape.startswith("+")]
    action = rest[0].shape if rest else ""
    if action in ("install", "binstall"):
        version = parsed.value("--version")
        packages = tuple(_crate(word, version) for word in rest[1:])
        yield Install(
            "cargo", "install", packages, (), Options(assume_yes=True, is_frozen=parsed.has("--locked")), invocation
        )
        if action == "install":
            yield Compile("cargo", invocation)
    elif action in ("build", "b", "rustc", "chef", "zigbuild"):
        yield Compile("cargo", invocation)
    elif action == "fetch":
        files = (
            FileArgument("Cargo.toml", "project", invocation.span),
            FileArgument("Cargo.lock", "lock", invocation.span),
        )
        yield Install("cargo", "sync", (), files, Options(is_frozen=parsed.has("--locked", "--frozen")), invocation)


def _crate(word: Word, version: str | None) -> Requested:
    found = _CRATE.fullmatch(word.shape)
    if found is None:
        return Requested("", word.shape, word.span, is_exact=word.is_exact)
    said = found.group("version") or version or ""
    name = found.group("name")
    return Requested(
        "" if UNKNOWN in name else name,
        word.shape,
        word.span,
        f"@{said}" if said else "",
        (),
        bool(said),
        "name",
        word.is_exact,
    )


def make(invocation: Invocation) -> Iterator[Command]:
    """make with targets that make something."""
    parsed = _MAKE.parse(invocation.words)
    targets = [word.shape for word in parsed.rest if "=" not in word.shape and not word.shape.isdecimal()]
    if parsed.has("--just-print", "--version", "--help", "--question") or (targets and _NO_WORK.issuperset(targets)):
        return
    yield Compile("make", invocation)


def cmake(invocation: Invocation) -> Iterator[Command]:
    """cmake that configures or builds; not its scripts (`-E`, `-P`)."""
    parsed = _CMAKE.parse(invocation.words)
    if invocation.words and not parsed.has("-E", "-P", "--version", "--help"):
        yield Compile("cmake", invocation)


def compiler(invocation: Invocation) -> Iterator[Command]:
    """gcc and its like, under any of their names, and further builders."""
    shapes = invocation.texts()
    if shapes and not _ASK.issuperset(shapes):
        yield Compile(invocation.name, invocation)


def is_compiler(name: str) -> bool:
    """True of the names of compilers, cross compilers and programs that build projects."""
    return name in _BUILDERS or bool(_COMPILER.fullmatch(name))
