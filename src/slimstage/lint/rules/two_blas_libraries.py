"""A BLAS of the system is installed beside wheels that bring their own."""

from __future__ import annotations

from collections.abc import Iterator

from slimstage.dockerfile.instructions import Copy
from slimstage.lint.commands.command import Compile, Install
from slimstage.lint.distributions_installed import distributions
from slimstage.lint.finding import Finding
from slimstage.lint.rule import Example, Rule
from slimstage.lint.subject import StageView, Subject
from slimstage.lint.wording import quoted
from slimstage.regex import pattern

_SYSTEM = pattern(
    r"(?:libopenblas(?:0|-base|-dev|0-pthread|-pthread-dev)?|openblas(?:-dev|-devel)?|libatlas-base-dev|libatlas3-base|atlas-devel"
    r"|libblas3|libblas-dev|liblapack3|liblapack-dev|lapack-dev(?:el)?|blas-dev(?:el)?|intel-mkl|libmkl-\S+|intel-oneapi-mkl\S*)\Z"
)
_OWN = frozenset(("numpy", "scipy"))
"""Distributions whose wheels hold an OpenBLAS."""
_KNOWN = frozenset(
    (
        *(
            "numpy",
            "scipy",
            "pandas",
            "scikit-learn",
            "joblib",
            "threadpoolctl",
            "fastapi",
            "flask",
            "uvicorn",
            "gunicorn",
        ),
        *(
            "pydantic",
            "requests",
            "httpx",
            "matplotlib",
            "pyarrow",
            "onnxruntime",
            "xgboost",
            "xgboost-cpu",
            "lightgbm",
            "torch",
        ),
        *(
            "starlette",
            "jinja2",
            "boto3",
            "polars",
            "pillow",
            "tqdm",
            "click",
            "rich",
            "transformers",
            "tokenizers",
            "mlflow",
        ),
        *(
            "mlflow-skinny",
            "prometheus-client",
            "python-multipart",
            "orjson",
            "redis",
            "sqlalchemy",
            "psycopg",
            "seaborn",
        ),
        *(
            "statsmodels",
            "numba",
            "shap",
            "catboost",
            "safetensors",
            "huggingface-hub",
            "skops",
            "pyyaml",
            "pip",
            "setuptools",
        ),
        *(
            "wheel",
            "dask",
            "distributed",
            "streamlit",
            "gradio",
            "plotly",
            "opencv-python-headless",
            "scikit-image",
            "nltk",
        ),
    )
)
"""Distributions of which it is known that their wheels use no BLAS of the system."""


def check(subject: Subject) -> Iterator[Finding]:
    chain = [*subject.final.chain()]
    installed = list(distributions(subject, chain))
    names = {each.name for each in installed}
    if not names & _OWN or not names <= _KNOWN or any(each.command.options.no_binary for each in installed):
        return
    if any(_may_bring_programs(subject, view) for view in chain):
        return
    for view in chain:
        for _, _, command in subject.all_commands(view):
            if not isinstance(command, Install) or command.family not in ("debian", "alpine", "rpm"):
                continue
            found = [each for each in command.packages if _SYSTEM.match(each.name)]
            if found:
                yield Finding(
                    RULE.name,
                    f"{quoted([each.name for each in found])} beside wheels of {quoted(sorted(names & _OWN))}, "
                    "which hold an OpenBLAS of their own",
                    found[0].span,
                    hint="leave it out: nothing that is installed here loads it",
                )


def _may_bring_programs(subject: Subject, view: StageView) -> bool:
    """True where something is compiled, or copied from elsewhere, that could use the library."""
    if any(isinstance(each, Copy) and each.from_ is not None for each in view.instructions):
        return True
    return any(isinstance(command, Compile) for _, _, command in subject.all_commands(view))


RULE = Rule(
    name="TwoBlasLibraries",
    group="ml",
    severity="info",
    summary="a BLAS of the system is installed beside wheels that bring their own",
    why="""\
The wheels of numpy and scipy hold an OpenBLAS each (25 MB), and load no other. `libopenblas-dev`, `libatlas-base-dev` or MKL
beside them is what old instructions for building numpy from source ask for: with headers and static libraries up to 350 MB
that nothing opens.

Told only where all that pip installs is known to need no BLAS of the system, and nothing is compiled or copied from elsewhere.
The two OpenBLAS of numpy and scipy themselves are not the same library (64-bit and 32-bit integers): they cannot be merged, and
are not told.
""",
    bad=Example(
        "FROM python:3.12-slim\n"
        "RUN --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=cache,target=/var/lib/apt,sharing=locked \\\n"
        "    apt-get update && apt-get install -y --no-install-recommends libopenblas0\n"
        "RUN --mount=type=cache,target=/root/.cache/pip pip install numpy==2.1.0 scipy==1.14.1\n"
        "COPY serve.py /app/\n"
        'CMD ["python", "/app/serve.py"]\n'
    ),
    good=Example(
        "FROM python:3.12-slim\n"
        "RUN --mount=type=cache,target=/root/.cache/pip pip install numpy==2.1.0 scipy==1.14.1\n"
        "COPY serve.py /app/\n"
        'CMD ["python", "/app/serve.py"]\n'
    ),
    check=check,
)
