"""Good Dockerfiles of five kinds of project, in variants: what the corpus of `lint_corpus.py` is made of.

Each is what its ecosystem's own documentation recommends: several stages where something is built, caches as mounts, what
changes seldom first, one user who is not root, arrays for CMD, an ignore file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Literal

Kind = Literal["web", "serving", "training", "compiled", "monorepo"]
IGNORE = ".git\n.venv\n__pycache__\n*.pyc\nnode_modules\ndata\n*.ipynb\n.env\n"


@dataclass(frozen=True, slots=True)
class Project:
    """A good Dockerfile with its context: path → text, or size in bytes."""

    name: str
    kind: Kind
    dockerfile: str
    files: Mapping[str, str | int] = field(default_factory=dict)


def projects() -> Iterator[Project]:
    """All, each under a name of its own."""
    yield from _python_web()
    yield from _node()
    yield from _serving()
    yield from _training()
    yield from _compiled()
    yield from _monorepo()


PIP_CACHE = "--mount=type=cache,target=/root/.cache/pip"
APT_CACHE = (
    "--mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=cache,target=/var/lib/apt,sharing=locked"
)


def _python_web() -> Iterator[Project]:
    frameworks = {
        "flask": ("flask==3.0.3\ngunicorn==22.0.0\n", '["gunicorn", "-b", "0.0.0.0:8000", "app:app"]'),
        "fastapi": ("fastapi==0.111.0\nuvicorn==0.30.1\n", '["uvicorn", "app:app", "--host", "0.0.0.0"]'),
        "django": ("django==5.0.6\ngunicorn==22.0.0\n", '["gunicorn", "-b", "0.0.0.0:8000", "site.wsgi"]'),
    }
    for (name, (requirements, command)), version, is_venv in product(
        frameworks.items(), ("3.10", "3.11", "3.12", "3.13"), (True, False)
    ):
        files: dict[str, str | int] = {
            "requirements.txt": requirements,
            "app.py": "app = None\n",
            ".dockerignore": IGNORE,
        }
        if is_venv:
            text = f"""\
FROM python:{version}-slim AS build
RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH
COPY requirements.txt .
RUN {PIP_CACHE} pip install -r requirements.txt

FROM python:{version}-slim
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1
WORKDIR /app
COPY --from=build /venv /venv
COPY . .
USER 1000
EXPOSE 8000
CMD {command}
"""
        else:
            text = f"""\
FROM python:{version}-slim
ENV PYTHONUNBUFFERED=1
WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir -r requirements.txt
COPY . .
USER 1000
EXPOSE 8000
CMD {command}
"""
        yield Project(f"{name}-{version}-{'venv' if is_venv else 'plain'}", "web", text, files)


def _node() -> Iterator[Project]:
    for version, is_static in product(("18", "20", "22", "24"), (True, False)):
        files: dict[str, str | int] = {
            "package.json": '{"name": "x"}\n', "package-lock.json": "{}\n", "src/index.js": "1\n", ".dockerignore": IGNORE,
        }  # fmt: skip
        head = f"""\
FROM node:{version}-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci
COPY . .
RUN npm run build
"""
        tail = (
            """
FROM nginx:1.27-alpine
COPY --from=build /app/dist /usr/share/nginx/html
"""
            if is_static
            else f"""
FROM node:{version}-slim
ENV NODE_ENV=production
WORKDIR /app
COPY package.json package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci --omit=dev
COPY --from=build /app/dist ./dist
USER node
CMD ["node", "dist/index.js"]
"""
        )
        yield Project(f"node-{version}-{'static' if is_static else 'server'}", "web", head + tail, files)


def _serving() -> Iterator[Project]:
    servers = {
        "onnx": ("onnxruntime==1.18.0\nnumpy==1.26.4\nfastapi==0.111.0\nuvicorn==0.30.1\n", ""),
        "sklearn": ("scikit-learn==1.5.0\nfastapi==0.111.0\nuvicorn==0.30.1\n", ""),
        "torch-cpu": (
            "torch==2.3.1\nfastapi==0.111.0\nuvicorn==0.30.1\n",
            " --index-url https://download.pytorch.org/whl/cpu --extra-index-url https://packages.example.org/simple",
        ),
        "xgboost": ("xgboost-cpu==2.1.0\nfastapi==0.111.0\nuvicorn==0.30.1\n", ""),
    }
    for (name, (requirements, index)), version, copies_model in product(
        servers.items(), ("3.10-slim", "3.11-slim", "3.12-slim-bookworm"), (True, False)
    ):
        files: dict[str, str | int] = {
            "requirements.txt": requirements, "serve.py": "app = None\n", ".dockerignore": IGNORE,
            "model/model.bin": 40_000_000,
        }  # fmt: skip
        model = "COPY model/ /models/\n" if copies_model else "VOLUME /models\n"
        text = f"""\
# syntax=docker/dockerfile:1
FROM python:{version} AS build
RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH
COPY requirements.txt .
RUN {PIP_CACHE} pip install{index} -r requirements.txt

FROM python:{version}
ENV PATH=/venv/bin:$PATH
WORKDIR /app
COPY --from=build /venv /venv
{model}COPY serve.py .
USER 1000
EXPOSE 8080
HEALTHCHECK CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://localhost:8080/')"]
CMD ["uvicorn", "serve:app", "--host", "0.0.0.0", "--port", "8080"]
"""
        yield Project(f"{name}-{version}-{'inside' if copies_model else 'mounted'}", "serving", text, files)


def _training() -> Iterator[Project]:
    for cuda, name, has_tools in product(
        ("12.4.1-runtime-ubuntu22.04", "12.1.1-cudnn8-runtime-ubuntu22.04", "12.6.3-base-ubuntu24.04"),
        ("lightning", "transformers", "jax"),
        (True, False),
    ):
        packages = {
            "lightning": "lightning==2.3.0\ntensorboard==2.17.0\n",
            "transformers": "transformers==4.42.3\ndatasets==2.20.0\naccelerate==0.31.0\n",
            "jax": "jax==0.4.30\noptax==0.2.2\n",
        }[name]
        files: dict[str, str | int] = {"requirements.txt": packages, "train.py": "pass\n", ".dockerignore": IGNORE}
        tools = " git" if has_tools else ""
        text = f"""\
FROM nvidia/cuda:{cuda} AS train
ENV DEBIAN_FRONTEND=noninteractive PIP_NO_CACHE_DIR=1
RUN apt-get update \\
    && apt-get install -y --no-install-recommends python3 python3-pip{tools} \\
    && rm -rf /var/lib/apt/lists/*
WORKDIR /work
COPY requirements.txt .
RUN pip install -r requirements.txt
COPY train.py .
ENTRYPOINT ["python3", "train.py"]
"""
        short = cuda.partition("-")[0]
        yield Project(f"{name}-{short}-{'git' if has_tools else 'plain'}", "training", text, files)


def _compiled() -> Iterator[Project]:
    for version, base in product(
        ("1.22", "1.23"), ("scratch", "gcr.io/distroless/static-debian12:nonroot", "alpine:3.20")
    ):
        text = f"""\
FROM --platform=$BUILDPLATFORM golang:{version} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG TARGETOS TARGETARCH
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \\
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -ldflags="-s -w" -o /out/server ./cmd/server

FROM {base}
COPY --from=build /out/server /server
USER 65532
ENTRYPOINT ["/server"]
"""
        files: dict[str, str | int] = {
            "go.mod": "module x\n",
            "go.sum": "",
            "cmd/server/main.go": "package main\n",
            ".dockerignore": IGNORE,
        }
        yield Project(f"go-{version}-{base.partition(':')[0].rpartition('/')[2]}", "compiled", text, files)
    for version, is_musl in product(("1.79", "1.80", "1.81"), (True, False)):
        build, run = ("alpine", "alpine:3.20") if is_musl else ("slim-bookworm", "debian:12-slim")
        text = f"""\
FROM rust:{version}-{build} AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY src ./src
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \\
    cargo build --release --locked && cp target/release/app /app

FROM {run}
COPY --from=build /app /usr/local/bin/app
USER 1000
ENTRYPOINT ["app"]
"""
        files = {"Cargo.toml": "", "Cargo.lock": "", "src/main.rs": "", ".dockerignore": IGNORE}
        yield Project(f"rust-{version}-{build}", "compiled", text, files)
    for system, compiler in product(("debian:12", "debian:13", "ubuntu:24.04"), ("cmake", "make")):
        tools = "build-essential cmake ninja-build" if compiler == "cmake" else "build-essential"
        how = "cmake -B out -G Ninja && cmake --build out && cmake --install out --prefix /opt/app"
        how = how if compiler == "cmake" else 'make -j "$(nproc)" && make install PREFIX=/opt/app'
        text = f"""\
FROM {system} AS build
RUN {APT_CACHE} \\
    rm -f /etc/apt/apt.conf.d/docker-clean && apt-get update && apt-get install -y --no-install-recommends {tools}
WORKDIR /src
COPY . .
RUN {how}

FROM {system}{"-slim" if system.startswith("debian") else ""}
COPY --from=build /opt/app /opt/app
USER 1000
ENTRYPOINT ["/opt/app/bin/app"]
"""
        files = {"CMakeLists.txt": "", "Makefile": "", "src/main.cc": "", ".dockerignore": IGNORE}
        yield Project(f"cxx-{system.replace(':', '')}-{compiler}", "compiled", text, files)


def _monorepo() -> Iterator[Project]:
    for services, version, has_tests in product(
        (("api", "worker"), ("api", "worker", "cron")), ("3.11", "3.12", "3.13"), (True, False)
    ):
        parts = [f"""\
ARG PYTHON={version}
FROM python:${{PYTHON}}-slim AS base
ENV PYTHONUNBUFFERED=1
WORKDIR /app

FROM base AS packages
RUN python -m venv /venv
ENV PATH=/venv/bin:$PATH
COPY libs/shared/requirements.txt shared.txt
RUN {PIP_CACHE} pip install -r shared.txt
"""]  # fmt: skip
        files: dict[str, str | int] = {"libs/shared/requirements.txt": "pydantic==2.7.4\n", ".dockerignore": IGNORE}
        if has_tests:
            parts.append(f"""\
FROM packages AS test
COPY dev-requirements.txt .
RUN {PIP_CACHE} pip install -r dev-requirements.txt
COPY . .
RUN pytest -q
""")
            files["dev-requirements.txt"] = "pytest==8.2.2\n"
        for service in services:
            parts.append(f"""\
FROM base AS {service}
COPY --from=packages /venv /venv
ENV PATH=/venv/bin:$PATH
COPY libs/shared ./libs/shared
COPY services/{service} ./services/{service}
USER 1000
CMD ["python", "-m", "services.{service}"]
""")
            files[f"services/{service}/__main__.py"] = "pass\n"
        name = f"mono-{len(services)}-{version}-{'tested' if has_tests else 'plain'}"
        yield Project(name, "monorepo", "\n".join(parts), files)
