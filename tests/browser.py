"""A real browser for tests of pages: Chromium of the system, or what BENCH_BROWSER names."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
WORDS = "no browser: install chromium (apt-get install chromium), or name one in BENCH_BROWSER"


def browser_path() -> str | None:
    """Return the browser's program, ``None`` where there is none."""
    named = os.environ.get("BENCH_BROWSER")
    return named or next((found for name in NAMES if (found := shutil.which(name))), None)


@contextmanager
def browser(path: str) -> Iterator[Browser]:
    """Open a browser without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield opened
        finally:
            opened.close()


@contextmanager
def opened(
    browser: Browser,
    file: Path,
    anchor: str = "",
    *,
    width: int = 1200,
    height: int = 900,
    dark: bool = False,
    **more: Any,
) -> Iterator[Watched]:
    """Open a file as a page, and watch what it asks for and what it complains of."""
    context = browser.new_context(
        viewport={"width": width, "height": height}, color_scheme="dark" if dark else "light", **more
    )
    try:
        page = context.new_page()
        watched = Watched(page, file)
        page.goto(f"{watched.address}#{anchor}" if anchor else watched.address)
        yield watched
    finally:
        context.close()


class Watched:
    """A page, with the ``requests`` that it made for anything but itself, and the ``complaints`` of its console."""

    def __init__(self, page: Page, file: Path) -> None:
        self.page, self.address = page, file.absolute().as_uri()
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.route("**/*", self._routed)
        page.on(
            "console", lambda told: self.complaints.append(told.text) if told.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _routed(self, route: Any) -> None:
        address = route.request.url
        if address.split("#")[0] == self.address or address.startswith(("data:", "blob:")):
            route.continue_()
        else:
            self.requests.append(address)
            route.abort()

    def tab(self, name: str) -> None:
        """Open a tab, and wait until the charts in sight are drawn."""
        self.page.get_by_role("tab", name=name, exact=True).click()
        self.settle()

    def settle(self) -> None:
        """Wait until each chart in sight is drawn or has failed."""
        self.page.wait_for_function(
            "() => [...document.querySelectorAll('.chart')].every((box) => { const { top, bottom } = "
            "box.getBoundingClientRect(); return box.dataset.state || !box.checkVisibility() || top > innerHeight "
            "|| bottom < 0; })"
        )
