"""A real browser for tests: Chromium, headless, driven by Playwright.

async with open_browser() as browser:
    page = await sign_in(browser, hub, "alice")
"""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import Any

from support.hub import PASSWORD, RunningHub

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
TIMEOUT = 20_000
"""How long (milliseconds) an action or an expectation may take."""


def find_browser() -> str | None:
    """Return the path of a browser; None if there is none."""
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


def why_no_browser() -> str:
    """Return why there is no browser to test with; empty if there is one."""
    if find_spec("playwright") is None:
        return "Playwright is not installed (pip install unispawner[test])"
    if find_browser() is None:
        return f"there is none of {', '.join(PROGRAMS)} on PATH"
    return ""


@asynccontextmanager
async def open_browser() -> AsyncIterator[Any]:
    """Give a browser; it is closed with all its pages."""
    from playwright.async_api import async_playwright, expect

    expect.set_options(timeout=TIMEOUT)
    async with async_playwright() as playwright:
        # As root Chromium has no sandbox; all pages are the tests' own.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = await playwright.chromium.launch(
            executable_path=find_browser(), args=[*arguments, "--disable-dev-shm-usage"]
        )
        try:
            yield browser
        finally:
            await browser.close()


async def sign_in(browser: Any, hub: RunningHub, user: str, **options: Any) -> Any:
    """Return a page in a context of its own, in which a user has logged in.

    Its `problems` are the errors of scripts on the Hub's pages, and requests to other hosts.
    """
    context = await browser.new_context(**{"locale": "en-GB", "timezone_id": "UTC", **options})
    context.set_default_timeout(TIMEOUT)
    page = await context.new_page()
    page.problems = []
    page.on("pageerror", lambda error: _note(page, str(error)))
    page.on("request", lambda asked: _note_foreign(page, asked.url, hub))
    await page.goto(f"{hub.url}hub/login?next=%2Fhub%2Fhome")
    await page.fill("#username_input", user)
    await page.fill("#password_input", PASSWORD)
    await page.click("#login_submit")
    await page.wait_for_url("**/hub/home")
    return page


def _note(page: Any, problem: str) -> None:
    if "/hub/" in page.url:  # pages of a user's server do not count
        page.problems.append(problem)


def _note_foreign(page: Any, url: str, hub: RunningHub) -> None:
    if not url.startswith((hub.url, "data:", "blob:", "about:")):
        _note(page, url)
