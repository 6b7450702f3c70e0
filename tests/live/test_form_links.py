"""Links that fill in the form: a real browser, and a Hub's own application on a fake scheduler.

The other tests of the form, with a real Hub and a real Slurm, are in test_pages.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest
from support.browser import open_browser, sign_in, why_no_browser
from support.hub_app import FakeSpawner, hub_app
from traitlets.config import Config

from unispawner import ProfilesSpawner

if not (reason := why_no_browser()):
    from playwright.async_api import expect

pytestmark = [
    pytest.mark.browser,
    pytest.mark.filterwarnings("ignore:The `version` property of an event schema"),
]
OPTIONS = {
    "cpu_cores_per_process": {"min": 1, "max": "queue", "default": 2},
    "queue_name": {"default": "default"},
    "memory": {"max": "64G", "default": "4G"},
}
PROFILES = [
    {"display_name": "Notebook", "slug": "notebook", "spawner": FakeSpawner, "options": OPTIONS},
    {"display_name": "Other", "slug": "other", "spawner": FakeSpawner},
]


@pytest.fixture(scope="module")
async def hub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    config = Config()
    config.JupyterHub.spawner_class = ProfilesSpawner
    config.ProfilesSpawner.profiles = PROFILES
    async with hub_app(tmp_path_factory.mktemp("hub"), config) as found:
        await found.get("unispawner/inventory", found.user("ada").new_api_token())
        yield SimpleNamespace(url=found.url.removesuffix("hub/api"))


@pytest.fixture(scope="module")
async def page(hub: Any) -> AsyncIterator[Any]:
    """Give ada's page; at the end no script of it has failed."""
    if reason:
        pytest.skip(f"no browser: {reason}")
    async with open_browser() as browser:
        found = await sign_in(browser, hub, "ada")
        yield found
        assert [] == found.problems


async def follow(page: Any, hub: Any, fragment: str) -> None:
    await page.goto("about:blank")  # another fragment alone would load nothing
    await page.goto(f"{hub.url}hub/spawn#{fragment}")
    await expect(page.locator("[data-free]").last).to_contain_text("There are 24 cores")


@pytest.mark.parametrize("queue", ["none", "constructor", "__proto__"])
async def test_a_queue_that_is_not_there(page: Any, hub: Any, queue: str) -> None:
    """For an unknown queue of any name nothing free is shown, and the rest of the form works."""
    await follow(page, hub, "profile=other")
    await page.evaluate(f"window.location.hash = 'profile=notebook&queue_name={queue}'")
    await page.get_by_label("Memory").fill("99G")
    await expect(page.locator('[data-option="memory"] [data-error]')).to_have_text(
        "must be at most 64 GiB"
    )
    await expect(page.locator("[data-free]").first).to_have_text(
        "What is free is not known at the moment."
    )


@pytest.mark.threat(
    who="stranger",
    tries="They write HTML or scripts into a link that fills the form.",
    stopped_by="Our scripts set text and never HTML.",
)
@pytest.mark.parametrize("text", ["<img src=x onerror=alert(1)>", '"><b>', "constructor"])
async def test_texts_of_a_link_are_plain_text(page: Any, hub: Any, text: str) -> None:
    """The texts of a link, which may come from anybody, are shown as plain text and have no other
    effect."""
    status = page.locator("[data-link-status]")
    await follow(page, hub, f"profile={text}")
    await expect(status).to_have_text(
        f"The link names the profile {text}, which is not offered to you."
    )
    await follow(page, hub, f"profile=notebook&{text}=1&queue_name={text}")
    await expect(status).to_contain_text(f"options that are not offered: {text.partition('=')[0]}")
    await expect(page.get_by_label("Queue")).to_have_value(text)
    await expect(page.locator("#unispawner-form img, #unispawner-form b")).to_have_count(0)
