"""Rules about bytes, pinning and users: when they speak, when they are silent, and what their fixes write."""

from __future__ import annotations

import pytest

from slimstage.lint.catalogue import rule
from slimstage.lint.examples import check_example
from slimstage.lint.finding import Finding
from slimstage.lint.fix import fix_all
from slimstage.lint.rule import Example

FILES: dict[str, str | int] = {
    "requirements.txt": "fastapi==1\n",
    "model/m.onnx": 50_000_000,
    "run.sh": "x",
    "app/a.py": 2_000,
}


def found(name: str, dockerfile: str, *, base: str = "python:3.12-slim", with_files: bool = False) -> list[Finding]:
    text = dockerfile if "FROM " in dockerfile else f"FROM {base}\n{dockerfile}\n"
    example = Example(text, files=FILES if with_files else None)
    checked = check_example(example, [rule(name)])
    assert not checked.faults
    return list(checked.findings)


def fixed(name: str, dockerfile: str, *, base: str = "python:3.12-slim") -> str:
    text = f"FROM {base}\n{dockerfile}\n"
    example = Example(text)
    after = fix_all(text, lambda now: check_example(example, [rule(name)], now)).text
    return after.removeprefix(f"FROM {base}\n").removesuffix("\n")


# PipCacheKept -----------------------------------------------------------------------------------------------------

PIP = "RUN pip install -r requirements.txt"


@pytest.mark.parametrize(
    "text",
    [
        PIP,
        "RUN python3 -m pip install numpy",
        "RUN pip wheel -w /w numpy",
        "RUN --mount=type=cache,target=/var/cache/apt pip install numpy",
        "RUN pip install numpy && pip cache purge || pip install scipy",
        "RUN pip cache purge && pip install numpy",
        "RUN bash -c 'pip install numpy'",
        "RUN <<EOF\nset -e\npip install numpy\nEOF",
        f"USER app\n{PIP}",
        f"FROM python:3.12-slim AS a\n{PIP}\nFROM a\n",
        f"ENV PIP_CACHE_DIR=/c\n{PIP}",
    ],
)
def test_downloads_of_pip_that_stay_are_told(text: str) -> None:
    assert len(found("PipCacheKept", text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "RUN pip install --no-cache-dir numpy",
        "RUN pip install --no-cache numpy",
        f"ENV PIP_NO_CACHE_DIR=1\n{PIP}",
        f"ARG PIP_NO_CACHE_DIR=off\n{PIP}",
        "RUN PIP_NO_CACHE_DIR=1 pip install numpy",
        "RUN export PIP_NO_CACHE_DIR=1 && pip install numpy",
        "RUN --mount=type=cache,target=/root/.cache pip install numpy",
        "RUN --mount=type=cache,target=/root/.cache/pip,sharing=locked pip install numpy",
        "ARG H=/home/app\nRUN --mount=type=cache,target=$H/.cache/pip pip install numpy",
        "RUN --mount=type=tmpfs,target=/root/.cache pip install numpy",
        "ENV PIP_CACHE_DIR=/c\nRUN --mount=type=cache,target=/c pip install numpy",
        "RUN pip install numpy && pip cache purge",
        "RUN pip install numpy && rm -rf ~/.cache/pip",
        "RUN pip install numpy && rm -rf /root/.cache || true",
        "RUN pip install --no-index --find-links /w numpy",
        "RUN pip install --no-deps .",
        "RUN pip list && pip uninstall -y numpy",
        f"RUN pip config set global.no-cache-dir true\n{PIP}",
        f"COPY pip.conf /etc/pip.conf\n{PIP}",
        "RUN python setup.py install",
        "RUN uv pip install numpy",
        f"FROM python:3.12-slim AS builder\n{PIP}\nFROM scratch\nCOPY --from=builder /w /w\n",
        "RUN echo 'pip install numpy'",
    ],
)
def test_downloads_of_pip_that_do_not_stay_are_not(text: str) -> None:
    assert not found("PipCacheKept", text)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (PIP, "RUN --mount=type=cache,target=/root/.cache/pip pip install -r requirements.txt"),
        (
            "RUN --mount=type=secret,id=x pip install a",
            "RUN --mount=type=cache,target=/root/.cache/pip --mount=type=secret,id=x pip install a",
        ),
        ("RUN <<EOF\npip install a\nEOF", "RUN --mount=type=cache,target=/root/.cache/pip <<EOF\npip install a\nEOF"),
        ('RUN ["pip", "install", "a"]', 'RUN --mount=type=cache,target=/root/.cache/pip ["pip", "install", "a"]'),
        (
            "USER app\nRUN pip install a && pip install b",
            "USER app\nRUN pip install --no-cache-dir a && pip install --no-cache-dir b",
        ),
        ("ENV HOME=/x\nRUN pip install a", "ENV HOME=/x\nRUN pip install --no-cache-dir a"),
        ("RUN sudo pip install \\\n  a", "RUN sudo pip install --no-cache-dir \\\n  a"),
        ('USER app\nRUN ["pip", "install", "a"]', 'USER app\nRUN ["pip", "install", "a"]'),
    ],
)
def test_pips_downloads_go_into_a_mount_or_nowhere(before: str, after: str) -> None:
    assert fixed("PipCacheKept", before) == after


def test_a_base_of_an_unknown_user_gets_the_option() -> None:
    assert fixed("PipCacheKept", "RUN pip install a", base="ghcr.io/org/app:1") == "RUN pip install --no-cache-dir a"


# AptListsKept -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "is_told"),
    [
        ("RUN apt-get update && apt-get install -y git", True),
        ("RUN apt-get update\nRUN apt-get install -y git", True),
        ("RUN apt-get update && apt-get install -y git\nRUN rm -rf /var/lib/apt/lists/*", True),
        ("RUN rm -rf /var/lib/apt/lists/* && apt-get update", True),
        ("RUN apt-get update && rm -rf /var/lib/{apt,dpkg}", True),
        ("RUN apt-get update && apt-get install -y git && rm -rf /var/lib/apt/lists/*", False),
        ("RUN apt-get update; apt-get install -y git; rm -r /var/lib/apt/lists/* /tmp/*", False),
        ("RUN apt-get update && apt-get install -y git && apt-get distclean", False),
        ("RUN --mount=type=cache,target=/var/lib/apt apt-get update && apt-get install -y git", False),
        ("RUN --mount=type=cache,target=/var/lib/apt/lists apt-get update && apt-get install -y git", False),
        ("RUN --mount=type=cache,target=/var/cache/apt apt-get update && apt-get install -y git", True),
        ("RUN if x; then apt-get update; fi", True),
        ("RUN apt-get install -y git", False),
        ("FROM debian:12 AS b\nRUN apt-get update\nFROM scratch\nCOPY --from=b /x /x\n", False),
    ],
)
def test_lists_of_apt(text: str, is_told: bool) -> None:
    assert bool(found("AptListsKept", text, base="debian:12")) is is_told


def test_lists_that_are_removed_later_are_told_with_the_line() -> None:
    text = "RUN apt-get update && apt-get install -y git\nRUN rm -rf /var/lib/apt/lists/*"
    assert found("AptListsKept", text)[0].notes == ("line 3 removes them, which takes nothing out of this layer",)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "RUN apt-get update && apt-get install -y git",
            "RUN apt-get update && apt-get install -y git && rm -rf /var/lib/apt/lists/*",
        ),
        (
            "RUN apt-get update \\\n && apt-get install -y \\\n      git",
            "RUN apt-get update \\\n && apt-get install -y \\\n      git \\\n && rm -rf /var/lib/apt/lists/*",
        ),
        (
            "RUN <<EOF\n  apt-get update\n  apt-get install -y git\nEOF",
            "RUN <<EOF\n  apt-get update\n  apt-get install -y git\n  rm -rf /var/lib/apt/lists/*\nEOF",
        ),
        (
            "RUN apt-get update && apt-get install -y git && make > log",
            "RUN apt-get update && apt-get install -y git && make > log && rm -rf /var/lib/apt/lists/*",
        ),
    ],
)
def test_lists_are_removed_at_the_end_of_the_same_run(before: str, after: str) -> None:
    assert fixed("AptListsKept", before, base="debian:12") == after


@pytest.mark.parametrize(
    "text",
    [
        "RUN apt-get update",
        "RUN apt-get update && apt-get install -y git\nRUN apt-get install -y curl",
        "RUN apt-get update && apt-get install -y git || true",
        "RUN apt-get update && apt-get install -y git | tee log",
        "RUN apt-get update && if x; then apt-get install -y git; fi",
        "RUN bash -c 'apt-get update && apt-get install -y git'",
        'RUN ["sh", "-c", "apt-get update && apt-get install -y git"]',
        "RUN apt-get update && apt-get install -y git ) ; (",
    ],
)
def test_lists_that_may_be_needed_or_a_text_that_is_not_plain_is_left(text: str) -> None:
    assert fixed("AptListsKept", text, base="debian:12") == text


# AptRecommends ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "severity"),
    [
        ("RUN apt-get install -y libgomp1", "info"),
        ("RUN apt-get install -y libgomp1 python3-pip", "warning"),
        ("RUN apt-get install -y --no-install-recommends git", None),
        ("RUN apt-get install -y -o APT::Install-Recommends=0 git", None),
        ("RUN apt-get install -y ./x.deb", None),
        ("RUN apt-get upgrade -y", None),
        ("RUN echo 'APT::Install-Recommends \"0\";' > /etc/apt/apt.conf.d/x\nRUN apt-get install -y git", None),
        ("FROM debian:12 AS b\nRUN apt-get install -y git\nFROM scratch\nCOPY --from=b /x /x\n", None),
    ],
)
def test_recommended_packages(text: str, severity: str | None) -> None:
    findings = found("AptRecommends", text, base="debian:12")
    assert [each.severity for each in findings] == ([severity] if severity else [])


# CondaPackagesKept, SystemCacheKept -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("RUN conda install -y numpy", "RUN conda install -y numpy && conda clean -afy"),
        (
            "RUN micromamba install -y -n base -f e.yml",
            "RUN micromamba install -y -n base -f e.yml && micromamba clean --all --yes",
        ),
        ("RUN conda install -y numpy && conda clean -afy", None),
        ("RUN conda install -y numpy && rm -rf /opt/conda/pkgs", None),
        ("RUN --mount=type=cache,target=/opt/conda/pkgs conda install -y numpy", None),
        ("ENV CONDA_PKGS_DIRS=/x\nRUN conda install -y numpy", None),
    ],
)
def test_packages_of_conda(before: str, after: str | None) -> None:
    assert fixed("CondaPackagesKept", before, base="condaforge/miniforge3:24.9.2-0") == (after or before)
    assert bool(found("CondaPackagesKept", before)) is bool(after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("RUN dnf install -y gcc", "RUN dnf install -y gcc && dnf clean all"),
        ("RUN dnf install -y gcc && dnf clean all", None),
        ("RUN dnf install -y gcc && rm -rf /var/cache/dnf", None),
        ("RUN --mount=type=cache,target=/var/cache/libdnf5 dnf install -y gcc", None),
        ("RUN apk add git", "RUN apk add --no-cache git"),
        ("RUN apk add --no-cache git", None),
        ("RUN apk add git && rm -rf /var/cache/apk/*", None),
        ("RUN --mount=type=cache,target=/var/cache/apk apk add git", None),
    ],
)
def test_caches_of_systems(before: str, after: str | None) -> None:
    assert fixed("SystemCacheKept", before) == (after or before)
    assert bool(found("SystemCacheKept", before)) is bool(after)


# UnstrippedDownloads -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "is_told"),
    [
        ("RUN curl -LO https://x/a.tgz && tar xzf a.tgz", True),
        ("RUN cd /tmp && wget https://x/a.zip && unzip a.zip", True),
        ("RUN wget -O /tmp/a.deb https://x/y && dpkg -i /tmp/a.deb", True),
        ("RUN curl -o install.sh https://x && bash install.sh", False),
        ("RUN wget https://x/Miniconda3-latest.sh && bash Miniconda3-latest.sh -b", True),
        ("WORKDIR /w\nRUN curl https://x > a.tgz && tar xzf /w/a.tgz", True),
        ("RUN curl -LO https://x/a.tgz && tar xzf a.tgz && rm a.tgz", False),
        ("RUN cd /tmp && wget https://x/a.zip && unzip a.zip && rm -rf /tmp/*", False),
        ("RUN curl -L https://x/a.tgz | tar xz", False),
        ("RUN --mount=type=tmpfs,target=/tmp curl -o /tmp/a.tgz https://x && tar xzf /tmp/a.tgz", False),
        ("RUN curl -o /usr/local/bin/tool https://x && chmod +x /usr/local/bin/tool", False),
        ("RUN curl -o a.tgz https://x", False),
        ("RUN curl -o a.tgz https://x && mv a.tgz /m && tar xf a.tgz", False),
        ("RUN curl -o $F https://x && tar xf $F", False),
        ("RUN curl -L https://x/$V.tgz -o a.tgz && tar xf a.tgz && cd b && make && cd .. && rm a.tgz", False),
    ],
)
def test_archives_that_stay(text: str, is_told: bool) -> None:
    assert bool(found("UnstrippedDownloads", text)) is is_told


# ChangedInLaterLayer, RemovedInLaterLayer -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "is_told"),
    [
        ("COPY model /model\nRUN chown -R app /model", True),
        ("COPY model /srv/model\nRUN chmod -R a+rX /srv", True),
        ("WORKDIR /app\nCOPY . .\nRUN chown -R app:app .", True),
        ("COPY --from=builder /opt/venv /opt/venv\nRUN chown -R app /opt/venv", True),
        ("RUN python -m venv /opt/venv\nRUN chown -R app /opt/venv", True),
        ("RUN curl -o /m/w.bin https://x\nRUN chown -R app /m", False),
        ("ADD https://x/tool /usr/bin/tool\nRUN chmod +x /usr/bin/tool", True),
        ("COPY model /model\nRUN mv /model /srv", True),
        ("COPY model/m.onnx /m.onnx\nRUN chmod 644 /m.onnx", True),
        ("COPY app /app\nRUN chown -R app /app", False),
        ("COPY run.sh /run.sh\nRUN chmod +x /run.sh", False),
        ("COPY model /model\nRUN chown app /model", False),
        ("COPY model /model\nRUN chown -R app /data", False),
        ("RUN chown -R app /usr/share", False),
        ("RUN mkdir /data && chown -R app /data", False),
        ("COPY model /model\nRUN if x; then chown -R app /model; fi", False),
        (
            "FROM base AS b\nCOPY model /model\nRUN chown -R app /model\nFROM scratch\nCOPY --from=b /model /model\n",
            False,
        ),
    ],
)
def test_files_that_are_stored_again(text: str, is_told: bool) -> None:
    text = text if "builder" not in text else f"FROM base:1 AS builder\nFROM base:1\n{text}\n"
    assert bool(found("ChangedInLaterLayer", text, with_files=True)) is is_told


def test_the_nearest_of_several_copies_is_named() -> None:
    text = "WORKDIR /app\nCOPY a.txt b.txt ./\nCOPY . .\nRUN chown -R app /app"
    assert "COPY of line 4" in found("ChangedInLaterLayer", text)[0].message


def test_what_a_change_doubles_is_counted() -> None:
    finding = found("ChangedInLaterLayer", "COPY model /model\nRUN chown -R 10001:0 /model", with_files=True)[0]
    assert finding.saving_bytes == 50_000_000
    assert finding.hint == "let COPY do it: --chown=10001:0"
    assert finding.span.line == 3


@pytest.mark.parametrize(
    ("text", "is_told"),
    [
        ("COPY model /model\nRUN rm -rf /model", True),
        ("COPY model /model\nRUN use && rm -rf /model/*", True),
        ("RUN curl -o /tmp/x.tgz https://x\nRUN tar xf /tmp/x.tgz && rm /tmp/x.tgz", True),
        ("RUN apt-get install -y gcc\nRUN make\nRUN apt-get purge -y gcc", True),
        ("RUN apk add --virtual .deps gcc\nRUN make\nRUN apk del .deps", True),
        ("RUN pip install torch\nRUN pip uninstall -y Torch", True),
        ("RUN apt-get install -y gcc && make && apt-get purge -y gcc", False),
        ("RUN apt-get purge -y gcc", False),
        ("RUN pip install x && rm -rf /usr/share/doc", False),
        ("COPY app /tmp/app\nRUN rm -rf /tmp/app", False),
        ("COPY requirements.txt /tmp/\nRUN pip install -r /tmp/requirements.txt && rm /tmp/requirements.txt", False),
        ("RUN --mount=type=bind,source=model,target=/model use && rm -rf /model", False),
        ("COPY model /model\nRUN rm -rf /", False),
        ("COPY model /model\nRUN rm -rf $X", False),
    ],
)
def test_what_is_removed_too_late(text: str, is_told: bool) -> None:
    assert bool(found("RemovedInLaterLayer", text, with_files=True)) is is_told


# NaiveStrip -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "is_told"),
    [
        ("RUN find / -path '*/site-packages/*' -name '*.so' -exec strip {} +", False),
        ("RUN pip install numpy && find / -name '*.so' -exec strip {} +", True),
        ("RUN strip /usr/lib/python3/dist-packages/numpy/core/*.so", True),
        ("RUN find /opt/venv -name '*.so' | xargs strip -s", True),
        ("RUN pip install numpy\nRUN find /usr/local -type f -exec strip --strip-debug {} \\;", True),
        ("RUN make && strip /usr/local/bin/tool", False),
        ("RUN pip install numpy && make && strip build/x.so", False),
        ("RUN find /usr/local/lib -name '*.so' -exec strip {} +", False),
    ],
)
def test_strip_over_wheels(text: str, is_told: bool) -> None:
    assert bool(found("NaiveStrip", text)) is is_told


# Pinning ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("FROM python\n", 1),
        ("FROM python:latest\n", 1),
        ("FROM python:3.12\n", 0),
        ("FROM python@sha256:" + "a" * 64 + "\n", 0),
        ("FROM scratch\n", 0),
        ("FROM python:3.12 AS b\nFROM b\n", 0),
        ("ARG V\nFROM python:$V\n", 0),
        ("FROM python:3.12\nCOPY --from=nginx /a /b\n", 1),
        ("FROM python:3.12\nCOPY --from=nginx:1.27 /a /b\n", 0),
        ("FROM python AS unused\nFROM python:3.12\n", 0),
        ("FROM debian://bookworm\n", 0),
    ],
)
def test_latest(text: str, count: int) -> None:
    assert len(found("LatestTag", text)) == count


@pytest.mark.parametrize(
    ("image", "is_told"),
    [
        ("python:3", True),
        ("python:3-slim", True),
        ("python:slim", True),
        ("node:lts", True),
        ("debian:stable", True),
        ("python:3.12-slim", False),
        ("node:22", False),
        ("debian:bookworm-slim", False),
        ("ubuntu:24.04", False),
        ("ghcr.io/org/app:main", True),
        ("ghcr.io/org/app:v3", False),
        ("python:3@sha256:" + "a" * 64, False),
    ],
)
def test_tags_without_a_version(image: str, is_told: bool) -> None:
    assert bool(found("UnpinnedBase", f"FROM {image}\n")) is is_told


@pytest.mark.parametrize(
    ("text", "is_told"),
    [
        ("RUN pip install numpy", True),
        ("RUN uv pip install numpy", True),
        ("RUN conda install -y numpy", True),
        ("RUN npm install -g typescript", True),
        ("RUN pip install git+https://x/y.git@main", True),
        ("RUN pip install numpy==1.26", False),
        ("RUN pip install 'numpy>=1.26'", False),
        ("RUN pip install numpy==$V", False),
        ("RUN pip install $PACKAGES", False),
        ("RUN pip install -U pip setuptools wheel", False),
        ("RUN pip install -c constraints.txt numpy", False),
        ("RUN pip install . ./x.whl", False),
        ("RUN pip install --no-index --find-links /w numpy", False),
        ("RUN apt-get install -y git", False),
        ("RUN uv sync --frozen && npm ci", False),
        ("COPY requirements.txt .\nRUN pip install -r requirements.txt", False),
    ],
)
def test_packages_without_a_version(text: str, is_told: bool) -> None:
    assert bool(found("UnpinnedPackages", text, with_files=True)) is is_told


# RunAsRoot, CacheMountInstead -------------------------------------------------------------------------------------

SERVES = 'CMD ["python", "serve.py"]'


@pytest.mark.parametrize(
    ("text", "base", "is_told"),
    [
        (SERVES, "python:3.12-slim", True),
        (f"USER root\n{SERVES}", "ghcr.io/org/app:1", True),
        (f"USER app\nUSER 0:0\n{SERVES}", "python:3.12-slim", True),
        (f"USER app\n{SERVES}", "python:3.12-slim", False),
        (f"ARG U=app\nUSER $U\n{SERVES}", "python:3.12-slim", False),
        (SERVES, "ghcr.io/org/app:1", False),
        (SERVES, "gcr.io/distroless/python3-debian12:nonroot", False),
        ("RUN x", "python:3.12-slim", False),
        ('ENTRYPOINT ["/docker-entrypoint.sh"]', "python:3.12-slim", False),
        ('CMD ["gosu", "app", "python", "serve.py"]', "python:3.12-slim", False),
        ('CMD ["bash"]', "python:3.12-slim", False),
    ],
)
def test_programs_of_root(text: str, base: str, is_told: bool) -> None:
    assert bool(found("RunAsRoot", text, base=base)) is is_told


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "RUN pip install --no-cache-dir -r r.txt",
            "RUN --mount=type=cache,target=/root/.cache/pip pip install -r r.txt",
        ),
        (
            "RUN pip install \\\n    --no-cache-dir \\\n    numpy",
            "RUN --mount=type=cache,target=/root/.cache/pip pip install \\\n    numpy",
        ),
        ("RUN uv sync --frozen --no-cache", "RUN --mount=type=cache,target=/root/.cache/uv uv sync --frozen"),
        ("RUN npm ci", "RUN --mount=type=cache,target=/root/.npm npm ci"),
        ("RUN pip install numpy", None),
        ("RUN --mount=type=cache,target=/root/.cache/pip pip install numpy", None),
        ("ENV PIP_NO_CACHE_DIR=1\nRUN pip install numpy", None),
        ("USER app\nRUN pip install --no-cache-dir numpy", None),
        ("RUN pip install --no-cache-dir --no-index --find-links /w numpy", None),
        ("RUN apt-get install -y git", None),
    ],
)
def test_a_mount_keeps_the_downloads(before: str, after: str | None) -> None:
    assert fixed("CacheMountInstead", before) == (after or before)
    assert bool(found("CacheMountInstead", before)) is bool(after)


def test_builders_get_a_mount_too() -> None:
    text = "FROM python:3.12 AS b\nRUN pip wheel -w /w numpy\nFROM python:3.12-slim\nCOPY --from=b /w /w\n"
    assert len(found("CacheMountInstead", text)) == 1


@pytest.mark.parametrize(("lines", "note"), [("flask\n", "line 1 of"), ("flask\nnumpy\n", "lines 1 and 2 of")])
def test_the_lines_without_a_version_are_counted_in_words(lines: str, note: str) -> None:
    text = "FROM python:3.12-slim\nCOPY r.txt .\nRUN pip install -r r.txt\n"
    (finding,) = check_example(Example(text, files={"r.txt": lines}), [rule("UnpinnedPackages")]).findings
    assert finding.notes == (f"{note} r.txt",)
