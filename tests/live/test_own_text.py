"""The field of a text that a user types for a choice: a real browser, and a fake scheduler."""

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
SOFTWARE = {
    "display_name": "Software",
    "choices": {
        "site": "The site's",
        "own": {
            "display_name": "My own",
            "value": {
                "display_name": "Its folder",
                "description": "With jupyterhub in it",
                "example": "/home/ada/env",
            },
            "override": {"cmd": "{value}/bin/lab"},
        },
    },
    "default": "site",
}
PROFILES = [
    {
        "display_name": "Notebook",
        "slug": "notebook",
        "spawner": FakeSpawner,
        "options": {"software": SOFTWARE},
    },
]


@pytest.fixture(scope="module")
async def hub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Any]:
    config = Config()
    config.JupyterHub.spawner_class = ProfilesSpawner
    config.ProfilesSpawner.profiles = PROFILES
    async with hub_app(tmp_path_factory.mktemp("hub"), config) as found:
        yield SimpleNamespace(url=found.url.removesuffix("hub/api"))


@pytest.fixture
async def page(hub: Any) -> AsyncIterator[Any]:
    """Give ada's page; at the end no script of it has failed."""
    if reason:
        pytest.skip(f"no browser: {reason}")
    async with open_browser() as browser:
        found = await sign_in(browser, hub, "ada")
        await found.goto(f"{hub.url}hub/spawn")
        yield found
        assert [] == found.problems


async def test_the_field_of_a_choice(page: Any) -> None:
    """The field is there only for its choice, works by keyboard, and says while the user types what
    is wrong; an empty one is not sent."""
    field = page.get_by_label("Its folder")
    await expect(field).to_be_hidden()
    await page.get_by_label("Software").select_option("own")
    await expect(field).to_be_visible()
    await expect(field).to_have_attribute("placeholder", "/home/ada/env")
    await expect(field).to_have_accessible_description("With jupyterhub in it")
    await page.get_by_label("Software").press("Tab")
    await expect(field).to_be_focused()
    await page.locator("#spawn_form [type=submit]").click()
    assert await field.evaluate("control => control.validity.valueMissing")
    error = page.locator('[data-option="software_own"] [data-error]')
    for text, words in {
        "env": "must be a path of letters",
        "/a b": "must be a path of letters",
        "/a/../b": "must have no '..'",
        "/{a}": "must have no braces",
    }.items():
        await field.fill(text)
        await expect(error).to_contain_text(words)
    await field.fill("/home/ada/my-env")
    await expect(error).to_have_text("")
    await page.get_by_label("Software").select_option("site")
    await expect(field).to_be_hidden()
    assert await page.locator("#spawn_form").evaluate("form => form.checkValidity()")


async def test_what_the_hub_finds(page: Any) -> None:
    """What the Hub finds wrong with a path stands beside the field, until the user changes it."""
    FakeSpawner.side.path_problem = "missing"
    await page.get_by_label("Software").select_option("own")
    await page.get_by_label("Its folder").fill("/home/ada/none")
    await page.locator("#spawn_form [type=submit]").click()
    error = page.locator('[data-option="software_own"] [data-error]')
    await expect(error).to_have_text("/home/ada/none does not exist.")
    field = page.get_by_label("Its folder")
    await expect(field).to_have_value("/home/ada/none")
    await expect(field).to_be_focused()
    await field.fill("/home/ada/other")
    await expect(error).to_have_text("")


async def test_a_link_that_fills_the_form(page: Any, hub: Any) -> None:
    """A link fills the field, and nothing is started or looked at before the user says so."""
    await page.goto("about:blank")
    await page.goto(f"{hub.url}hub/spawn#profile=notebook&software=own&software_own=/tmp/x")
    await expect(page.get_by_label("Its folder")).to_have_value("/tmp/x")
    await expect(page.locator("[data-link-status]")).to_contain_text("Nothing has been started")
