"""A real Chromium for pages that we make, and axe-core, which looks for what keeps people out of a page.

The browser is Debian's, driven by Playwright; axe-core comes from npm and is checked against its digest. Pages are files.
"""

from __future__ import annotations

import base64
import hashlib
import io
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from support.command import PROJECT

CHROMIUM = "/usr/bin/chromium"
_ARGUMENTS = (
    "--no-sandbox",  # tests run as root; the pages are ours
    "--disable-gpu",
    "--disable-dev-shm-usage",  # in a container it may be small
    "--disable-background-networking",
    "--no-first-run",
    "--disable-component-update",
    "--disable-sync",
)
_AXE = "4.14.1"
_AXE_SHA512 = "FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ=="
_CACHE = PROJECT / ".test-cache" / "npm"

needs_browser = pytest.mark.skipif(
    not Path(CHROMIUM).exists(), reason=f"no Chromium at {CHROMIUM}: apt-get install chromium"
)
needs_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="no npm, which brings axe-core")


@contextmanager
def chromium() -> Iterator[Browser]:
    """One browser; its pages are independent of each other."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


class Visit:
    """A page that is shown, and what happened meanwhile: messages of its console, errors, requests, dialogs."""

    def __init__(self, browser: Browser, path: Path, **context: Any) -> None:
        context.setdefault("viewport", {"width": 1280, "height": 900})
        self._context = browser.new_context(**context)
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(10_000)
        self.trouble: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.trouble.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: self.trouble.append(f"dialog: {dialog.message}"))
        self.page.on("request", self._request)
        self.page.goto(path.as_uri())
        if context.get("java_script_enabled", True):
            self.page.locator("html[data-ready]").wait_for()

    def _console(self, message: ConsoleMessage) -> None:
        self.trouble.append(f"{message.type}: {message.text}")

    def _request(self, request: Request) -> None:
        self.requests.append(request.url)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def focused(self) -> str:
        """Tag and name of what has the focus."""
        found: str = self.page.evaluate(
            """() => {
              const it = document.activeElement;
              return `${it.tagName.toLowerCase()} ${it.ariaLabel || it.placeholder || it.textContent.trim() || it.value}`;
            }"""
        )
        return found

    def close(self) -> None:
        self._context.close()


def axe_source() -> str:
    """The script of axe-core, fetched once and verified each time."""
    archive = _CACHE / f"axe-core-{_AXE}.tgz"
    if not archive.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["npm", "pack", "--silent", "--ignore-scripts", f"axe-core@{_AXE}", "--pack-destination", str(_CACHE)],
            cwd=_CACHE,
            check=True,
            capture_output=True,
            timeout=120,
        )
    data = archive.read_bytes()
    digest = base64.b64encode(hashlib.sha512(data).digest()).decode()
    if digest != _AXE_SHA512:
        archive.unlink()
        raise AssertionError(f"axe-core: want sha512 {_AXE_SHA512}, got {digest}")
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        member = tar.extractfile("package/axe.min.js")
        assert member is not None
        return member.read().decode()


def axe_findings(page: Page) -> list[str]:
    """What axe finds serious or critical in the page as it is now, one line each."""
    page.evaluate(f"{axe_source()}; 0")
    result = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{each['impact']} {each['id']}: {node['html'][:200]} {node['failureSummary']}"
        for each in result["violations"]
        if each["impact"] in ("serious", "critical")
        for node in each["nodes"]
    ]
