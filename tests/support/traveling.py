"""A project of three stages whose cache travels, and questions about what came of it."""

from __future__ import annotations

from typing import Any

from support.building import Project

DOCKERFILE = """\
FROM base AS lib
WORKDIR /lib
COPY lib.txt .
RUN sort lib.txt > sorted.txt && ln sorted.txt again.txt

FROM base AS tool
RUN mkdir /tool && echo tool > /tool/name && rm -f /etc/motd
COPY --from=lib /lib/sorted.txt /tool/
RUN wc -l < /tool/sorted.txt > /tool/count

FROM base
COPY --from=tool /tool /tool
COPY own.txt /
RUN cat /tool/count /own.txt > /result
CMD ["cat", "/result"]
"""


def runs(document: dict[str, Any]) -> list[str]:
    """Instructions that ran, FROM left out."""
    return [
        step["instruction"]
        for step in document["steps"]
        if step["status"] == "run" and not step["instruction"].startswith("FROM")
    ]


def sources(document: dict[str, Any]) -> set[str]:
    """Where cached steps came from, "" for the store."""
    return {step["cached_from"] for step in document["steps"] if not step["instruction"].startswith("FROM")}


def other(project: Project, name: str = "other") -> dict[str, Any]:
    """Another machine: another store."""
    return {"root": project.root.with_name(name)}
