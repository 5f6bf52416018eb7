"""Why a registry does not take what is pushed, in one sentence with what helps. Pure.

Source: distribution-spec v1.1, "Error Codes"; what Harbor, Quay, ECR and proxies answer in practice.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from slimstage.oci.reference import DEFAULT_REGISTRY, Reference
from slimstage.regex import pattern
from slimstage.registry.faults import HttpError

_QUOTA = pattern(
    r"(?i)quota|exceed(?:s|ed)?\b.*\b(?:limit|storage|size)|upper limit|insufficient storage|no space left"
)


@contextmanager
def explained(target: Reference) -> Iterator[None]:
    """Gives an HttpError of its body the code and hint that help whoever pushes to the target."""
    try:
        yield
    except HttpError as error:
        told = refused(error, target)
        if told is error:
            raise  # an error is never its own cause: whoever follows causes would not come to an end
        raise told from error


def refused(error: HttpError, target: Reference) -> HttpError:
    """The same answer as an error about a push: its code, and what can be done."""
    found = _cause(error, target)
    if found is None:
        return error
    code, why, hint = found
    said = f' (it says "{error.said}")' if error.said else ""
    return HttpError(
        f"{target.repository_name}: {why}{said}",
        status=error.status or 0,
        code=code,
        codes=error.codes,
        retry_after_s=error.retry_after_s,
        notes=error.diagnostics[0].notes,
        hint=hint,
        said=error.said,
        digests=error.digests,
    )


def _cause(error: HttpError, target: Reference) -> tuple[str, str, str] | None:
    """(code, why, hint)."""
    host, status, codes = target.registry, error.status, set(error.codes)
    login = "slimstage login" if host == DEFAULT_REGISTRY else f"slimstage login {host}"
    if (status in (403, 412, 413, 507) and _QUOTA.search(error.said)) or status == 507:
        return "quota", "the registry has no room for it", "remove old images there, or ask for a larger quota"
    if status == 413:
        return (
            "too-large",
            "the registry, or a proxy before it, takes no request of this size",
            "raise its limit for request bodies (nginx: client_max_body_size 0)",
        )
    if status == 401:
        return "unauthorized", "the registry wants a login", f"{login}"
    if "NAME_UNKNOWN" in codes and status in (400, 404):
        return "name-unknown", "the registry has no such repository", "make it there first, or check the name"
    if status == 405 or codes & {"UNSUPPORTED"}:
        return (
            "read-only",
            "the registry takes no pushes",
            "it is read-only, or a cache of another registry: push to that one",
        )
    if status == 403 or "DENIED" in codes:
        where = (
            "with your own user or organisation in front"
            if host == DEFAULT_REGISTRY
            else "with a name that you may push"
        )
        return (
            "denied",
            "this account may not push there",
            f'"{login}" with an account that may, or slimstage tag the image {where}',
        )
    if "MANIFEST_BLOB_UNKNOWN" in codes:
        return "blob-unknown", "the registry lost a blob that it had taken", "push once more"
    return None
