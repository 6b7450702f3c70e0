"""Our pages in other languages: a real browser, and a Hub's own application on a fake scheduler.

In the languages of these tests each message stands in ⟦brackets⟧, so that a text which was not
taken through the catalogues is found. One of them is written from right to left.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from support.browser import open_browser, sign_in, why_no_browser
from support.hub_app import FakeSpawner, hub_app
from support.pseudo import FIND_OVERFLOW, FIND_PLAIN, write_pseudo_catalogue
from traitlets.config import Config

import unispawner
from unispawner import ProfilesSpawner
from unispawner.job import JobState
from unispawner.monitor import rhythm
from unispawner.reasons import never_starts

if not (reason := why_no_browser()):
    from playwright.async_api import expect

pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore:The `version` property of an event schema"),
]
LANGUAGES = ["sv", "ar"]
OPTIONS = {
    "cpu_cores_per_process": {"min": 1, "max": 8, "default": 2},
    "queue_name": {"default": "default"},
    "memory": {"min": "1G", "max": "64G", "step": "1G", "default": "4G"},
    "duration": {"max": "1-00:00:00", "default": "08:00:00"},
    "account": {},
    "exclusive_node_use": {},
}
PROFILES = [
    {"display_name": "Notebook", "slug": "notebook", "spawner": FakeSpawner, "options": OPTIONS},
    {"display_name": "Other", "slug": "other", "spawner": FakeSpawner},
]
KNOWN = ["Notebook", "Other", "sv-user", "ar-user", "The fake scheduler", "default", "8G"]
"""What is not ours to translate: names, and the scheduler's words."""
DIRECTION = "getComputedStyle(document.querySelector('[lang]:not(html)')).direction"
WCAG = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"]}}


@pytest.fixture(scope="module")
async def hub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    folder = tmp_path_factory.mktemp("locale")
    for language in LANGUAGES:
        write_pseudo_catalogue(folder, language)
    config = Config()
    config.JupyterHub.spawner_class = ProfilesSpawner
    config.JupyterHub.template_paths = [unispawner.template_path]
    config.JupyterHub.tornado_settings = {"slow_spawn_timeout": 0}
    config.ProfilesSpawner.profiles = PROFILES
    config.UniSpawner.catalogues = str(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rhythm, "FAST_INTERVAL", 0.1)
        patch.setattr(rhythm, "LARGEST_SHARE", 1.0)
        async with running_hub(tmp_path_factory.mktemp("hub"), config) as found:
            yield found


@asynccontextmanager
async def running_hub(folder: Path, config: Config) -> AsyncIterator[Any]:
    async with hub_app(folder, config) as found:
        await found.get("unispawner/inventory", found.user("ada").new_api_token())
        yield SimpleNamespace(url=found.url.removesuffix("hub/api"), app=found)


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Any]:
    if reason:
        pytest.skip(f"no browser: {reason}")
    async with open_browser() as found:
        yield found


async def check(page: Any, language: str) -> None:
    """Check that our texts are in the language and fit into the page, and that axe is content."""
    roots, plain = await page.evaluate(FIND_PLAIN, KNOWN)
    assert roots, "the page has no part of ours"
    assert [] == plain
    direction = await page.evaluate(DIRECTION)
    assert ("rtl" if language == "ar" else "ltr") == direction
    for width in (360, 1280):
        await page.set_viewport_size({"width": width, "height": 900})
        assert [] == await page.evaluate(FIND_OVERFLOW), f"at a width of {width}"
    results = await Axe().run(page, context="[lang]:not(html)", options=WCAG)
    found = results.response["violations"]
    assert [] == [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]


@pytest.mark.parametrize("language", LANGUAGES)
async def test_all_texts_are_in_the_readers_language(hub: Any, browser: Any, language: str) -> None:
    """The form with its errors, the pages of a server that waits, runs, has failed, the home page
    and the earlier sessions have no text that is in no catalogue, from the Hub or from a script;
    also from right to left nothing stands out of the page, and axe-core finds nothing."""
    user = f"{language}-user"
    page = await sign_in(browser, hub, user, locale=language)
    await page.goto(f"{hub.url}hub/spawn")
    await expect(page.locator("[data-free]").first).to_contain_text("24")
    await page.get_by_label("⟦Memory⟧").first.fill("99G")
    await expect(page.locator('[data-option="memory"] [data-error]')).to_contain_text("⟦must be")
    await check(page, language)
    await page.get_by_label("⟦Memory⟧").first.fill("8G")
    await page.get_by_label("⟦Keep this choice as a preset⟧").fill("Other")
    await page.locator("[data-save-preset]").click()
    await expect(page.locator("[data-preset-status]").last).to_contain_text("⟦The preset")
    await check(page, language)
    await page.get_by_label("⟦Account⟧").fill("no account!")
    await page.evaluate("document.getElementById('spawn_form').noValidate = true")
    await page.locator("#spawn_form button[type=submit]").click()
    await expect(page.locator('[data-option="account"] [data-error]')).to_contain_text("⟦'no acc")
    await check(page, language)
    await page.get_by_label("⟦Account⟧").fill("")
    await page.locator("#spawn_form button[type=submit]").click()
    await page.wait_for_url("**/spawn-pending/**")
    await expect(page.locator('[data-fact="summary"]')).to_contain_text("⟦")
    await check(page, language)
    server = hub.app.user(user).spawners[""].child_spawner.server_job
    job_id = server.state.job_id
    reason = never_starts("no node has what the job asks for")
    FakeSpawner.fake.change(job_id, JobState.QUEUED, message=reason)
    await expect(page.locator("#progress-message")).to_contain_text("⟦no node has")
    await expect(page.locator('[data-fact="reason"]')).to_contain_text("⟦no node has")
    await check(page, language)
    await page.goto(f"{hub.url}hub/home")
    await expect(page.locator("[data-state]")).to_have_text(re.compile("⟦(queued|submitting)⟧"))
    await check(page, language)
    await page.goto(f"{hub.url}hub/spawn-pending/{user}")
    FakeSpawner.fake.change(job_id, JobState.FAILED)
    await expect(page.locator("#failure")).to_contain_text(f"⟦The job {job_id} ended before")
    await check(page, language)
    await page.goto(f"{hub.url}hub/unispawner/history")
    await expect(page.locator("[data-session]").first).to_contain_text("⟦Failed⟧")
    await check(page, language)
    assert [] == page.problems
