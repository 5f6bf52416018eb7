"""What findings say: code, reason and hint of each. Pure; docs/analyze.md has the same list.

In reasons `{by}` is the layer that hides it, `{files}` how many files, `{detail}` what there is to name.
"""

from __future__ import annotations

import re

from slimstage.regex import pattern
from slimstage.values import dataclass


@dataclass(frozen=True, slots=True)
class Text:
    """code: kebab case, stable. reason, hint: one sentence each, lower case, no full stop."""

    code: str
    reason: str
    hint: str


_STAGES = "do it in a stage of its own and take only the result with COPY --from"

CODES = {
    text.code: text
    for text in (
        Text(
            "deleted-later",
            "{files} stored in this layer and deleted by {by}: pulled all the same",
            f"delete them in the instruction that makes them, or {_STAGES}",
        ),
        Text(
            "overwritten-later",
            "{files} stored in this layer and overwritten by {by}: both are pulled",
            f"write each file once; what an installer rewrites belongs in one RUN, or {_STAGES}",
        ),
        Text(
            "copied-again",
            "{files} stored a second time with the content they had: only owner, mode or time changed",
            "use COPY --chown and COPY --chmod in place of RUN chown and chmod",
        ),
        Text(
            "secret-still-there",
            "what looks like a secret is deleted by {by} and still in the image: whoever pulls it can read it",
            "use RUN --mount=type=secret, build again without the cache, and revoke what was in it",
        ),
        Text(
            "duplicate-files",
            "{files} with the content of another file of the image",
            "keep one and make the others symlinks, or hard links in the same RUN",
        ),
        Text(
            "unneeded-symbols",
            "{files} with symbols and debug information at the end that nothing loads",
            "cut them in the build stage with strip --strip-unneeded, but not those that patchelf changed: strip breaks them",
        ),
        Text(
            "other-gpus",
            "{files} with device code for several GPUs: {detail}",
            "install a build for the GPU that it runs on, where the project has one",
        ),
        Text(
            "gpu-libraries",
            "{files} for GPUs, and nothing in the image's configuration asks for one",
            "install the CPU build: torch from its CPU index, xgboost-cpu, onnxruntime without -gpu",
        ),
        Text(
            "unreachable-packages",
            "no import from the entry point and no requirement leads to: {detail}",
            "leave them out of the requirements of the final stage; name more entry points with --entry if they are needed",
        ),
        Text(
            "optional-packages",
            "only optional imports and imports in functions lead to: {detail}",
            "try the image without them: leave them out of the requirements of the final stage, and ask what it has to answer",
        ),
    )
}

PURPOSES = {
    "build-tools": Text(
        "build-tools",
        "{files} of compilers and build systems: nothing that runs needs them",
        "install them in a builder stage, and take only what it makes with COPY --from",
    ),
    "headers": Text(
        "headers",
        "{files} of headers and native sources: only compilers read them",
        "compile in a builder stage, and take only what it makes with COPY --from",
    ),
    "static-libraries": Text(
        "static-libraries",
        "{files} of static libraries: only linkers read them",
        "link in a builder stage, and take only what it makes with COPY --from",
    ),
    "debug-symbols": Text(
        "debug-symbols", "{files} of debug information: only debuggers read them", "leave -dbg packages out"
    ),
    "tests": Text(
        "test-suites",
        "{files} of test suites inside packages",
        "delete the directories named tests in the RUN that installs the packages",
    ),
    "docs": Text(
        "docs",
        "{files} of documentation and manual pages",
        "for apt: write path-exclude=/usr/share/doc/* to /etc/dpkg/dpkg.cfg.d/ before installing; keep the licences",
    ),
    "type-stubs": Text(
        "type-stubs",
        "{files} of type stubs: only type checkers and editors read them",
        "delete *.pyi in the installing RUN",
    ),
    "package-managers": Text(
        "package-managers",
        "{files} of package managers: a running image installs nothing",
        "make the environment with python3 -m venv --without-pip and install from the build stage with pip --python",
    ),
    "locales": Text(
        "locales",
        "{files} of locales and translations",
        "for apt: write path-exclude=/usr/share/locale/* to /etc/dpkg/dpkg.cfg.d/ before installing",
    ),
    "sample-data": Text(
        "sample-data",
        "{files} of example data inside packages",
        "delete them in the RUN that installs the packages",
    ),
    "notebooks": Text("notebooks", "{files} of notebooks", "name them in .dockerignore, or copy only what is served"),
    "vcs": Text("vcs-data", "{files} of version control", "write .git to .dockerignore"),
}
"""By purpose."""

CACHES = tuple(
    (pattern(expression, re.DOTALL), text)
    for expression, text in (
        (
            r"(?:.*/)?\.cache/pip/",
            Text(
                "pip-cache",
                "{files} of pip's cache",
                "RUN --mount=type=cache,target=/root/.cache/pip keeps it out of the layer and makes the next build faster",
            ),
        ),
        (
            r"(?:.*/)?\.cache/uv/",
            Text("uv-cache", "{files} of uv's cache", "RUN --mount=type=cache,target=/root/.cache/uv keeps it out"),
        ),
        (
            r"var/lib/apt/lists/",
            Text(
                "apt-lists",
                "{files} of apt's package lists",
                "delete /var/lib/apt/lists in the RUN that fetches them, or mount caches there and at /var/cache/apt",
            ),
        ),
        (
            r"var/cache/apt/",
            Text(
                "apt-archives",
                "{files} of apt's cache",
                "mount a cache: RUN --mount=type=cache,target=/var/cache/apt,sharing=locked",
            ),
        ),
        (
            r"(?:.*/)?pkgs/.*|(?:.*/)?\.conda/",
            Text("conda-cache", "{files} of conda's package cache", "end the RUN with conda clean -afy"),
        ),
        (
            r"(?:.*/)?\.npm/|(?:.*/)?\.cache/yarn/",
            Text("npm-cache", "{files} of npm's cache", "RUN --mount=type=cache,target=/root/.npm keeps it out"),
        ),
        (
            r"var/cache/apk/|etc/apk/cache/",
            Text("apk-cache", "{files} of apk's cache", "install with apk add --no-cache"),
        ),
        (
            r"var/cache/(?:dnf|yum|libdnf5)/",
            Text("dnf-cache", "{files} of dnf's cache", "end the RUN with dnf clean all"),
        ),
    )
)

OTHER_CACHES = Text("caches", "{files} of caches", "delete them in the RUN that makes them, or mount a cache there")

SECRET_NAMES = pattern(
    r"(?:.*/)?(?:id_(?:rsa|dsa|ecdsa|ed25519)|\.netrc|\.pypirc|\.npmrc|\.git-credentials|\.env|credentials(?:\.json)?|"
    r"kubeconfig|[^/]*\.(?:pem|key|p12|pfx|keystore))\Z",
    re.DOTALL,
)
"""Names that only secrets have, most of the time; certificates of authorities are below etc/ssl and are deleted by nobody."""
