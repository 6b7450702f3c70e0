"""Types of GPU, features and bounds in the form: a real browser, a real Hub and a real Slurm."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.browser import open_browser, sign_in, why_no_browser
from support.clusters import Slurm
from support.hub import RunningHub, running_hub, until

from unispawner.admin.hub_client import HubClientError

if not (reason := why_no_browser()):
    from playwright.async_api import expect

pytestmark = [pytest.mark.slurm, pytest.mark.browser]
CONFIG = """
c.JupyterHub.spawner_class = "unispawner.ProfilesSpawner"
c.JupyterHub.load_groups = {"staff": {"users": ["alice"]}}
c.Spawner.default_url = "/api"
c.UniSpawner.inventory_interval = 2
c.ProfilesSpawner.profiles = [
    {
        "display_name": "Nodes", "slug": "nodes", "max_servers_per_user": 1,
        "resources": {"memory": "200M"},
        "options": {
            "gpu_cores_per_process": {"min": 0, "max": 4, "default": 1},
            "gpu_type": {"choices": "inventory"},
            "constraint": {"choices": "inventory"},
            "cpu_cores_per_process": {
                "max": {"constraint": {"rome": 2, "milan": 4}}, "default": 1,
            },
            "duration": {"max": "00:10:00", "default": "00:05:00"},
        },
        "limits": {"staff": {"duration": {"max": "04:00:00"}}},
    },
]
"""


@pytest.fixture(scope="module")
async def hub(slurm: Slurm) -> AsyncIterator[RunningHub]:
    async with running_hub(slurm, config=CONFIG) as running:
        yield running


@pytest.fixture(scope="module")
async def page(hub: RunningHub) -> AsyncIterator[Any]:
    """Give alice's page, once the Hub knows the cluster."""
    async with open_browser() as browser:
        page = await sign_in(browser, hub, "alice")

        async def known() -> bool:
            found = await hub.api("GET", "unispawner/inventory?user=alice")
            return any(one["queues"] for one in found["clusters"].values())

        await until(known, "the cluster is known", seconds=60)
        yield page


async def to_form(page: Any, hub: RunningHub) -> None:
    await page.goto("about:blank")
    await page.goto(f"{hub.url}hub/spawn/alice")


async def start(page: Any) -> None:
    await page.get_by_role("button", name="Start", exact=True).click()


async def test_what_is_free_of_each(page: Any, hub: RunningHub) -> None:
    """The form offers what the nodes of the default queue have, with what is free of each."""
    await to_form(page, hub)
    types = page.get_by_label("GPU type", exact=True).locator("option")
    await expect(types).to_have_text(["Default", re.compile(r"^a100: \d of 4 free$")])
    features = page.get_by_label("Node feature", exact=True).locator("option")
    await expect(features.nth(2)).to_have_text(re.compile(r"^rome: \d+ of 16 cores free$"))
    queues = (await hub.api("GET", "unispawner/inventory?user=alice"))["clusters"].popitem()[1]
    share = queues["queues"]["debug"]["gpu_types"]["a100"]
    assert (4, f"a100: {share['idle']} of 4 free") == (share["total"], share["words"])


async def test_a_bound_follows_the_other_option(page: Any, hub: RunningHub) -> None:
    """The field shows at once which bound counts; a group has its own."""
    await to_form(page, hub)
    cores, feature = page.get_by_label("Cores"), page.get_by_label("Node feature", exact=True)
    error = page.locator('[data-option="cpu_cores_per_process"] [data-error]')
    await cores.fill("4")
    await expect(error).to_have_text("must be at most 2")
    await feature.select_option("milan")
    await expect(error).to_have_text("")
    await page.get_by_label("Time", exact=True).fill("05:00:00")
    error = page.locator('[data-option="duration"] [data-error]')
    await expect(error).to_have_text("must be at most 4 hours")


async def test_what_no_node_can_do(page: Any, hub: RunningHub, slurm: Slurm) -> None:
    """A choice that no node can run is refused beside the option, and no job waits for ever."""
    await to_form(page, hub)
    await page.get_by_label("GPU type", exact=True).select_option("a100")
    await page.get_by_label("Node feature", exact=True).select_option("milan")
    await start(page)
    words = "no node of the queue debug has"
    await expect(page.locator("[data-error]", has_text=words)).to_be_visible()
    assert not slurm.active(name=hub.job_name)


async def test_more_time_than_the_queue_allows(page: Any, hub: RunningHub, slurm: Slurm) -> None:
    """A time that the option allows and the queue does not is refused beside the field: this Slurm
    would accept the job, and it would wait for ever."""
    await to_form(page, hub)
    await page.get_by_label("Time", exact=True).fill("03:00:00")
    await start(page)
    error = page.locator('[data-option="duration"] [data-error]')
    words = "the queue debug allows at most 02:00:00, and the job asks for 03:00:00"
    await expect(error).to_contain_text(words)
    await expect(page.get_by_label("Time", exact=True)).to_have_value("03:00:00")
    assert not slurm.active(name=hub.job_name)


async def test_a_job_has_what_was_chosen(page: Any, hub: RunningHub, slurm: Slurm) -> None:
    """The server runs on a node with the type and the feature; a second one is refused."""
    await to_form(page, hub)
    await page.get_by_label("GPU type", exact=True).select_option("a100")
    await page.get_by_label("Node feature", exact=True).select_option("rome")
    summary = page.locator("[data-summary]")
    await expect(summary).to_contain_text("1 GPU (a100)")
    await expect(summary).to_contain_text("nodes with rome")
    await start(page)
    await until(lambda: slurm.active(name=hub.job_name), "the job is submitted")
    second = {"profile": "nodes"}
    words = "Nodes allows 1 server of each user at a time, and you have 1 already"
    with pytest.raises(HubClientError, match=words):
        await hub.api("POST", "users/alice/servers/second", second)
    await until(lambda: is_running(hub), "the server runs")
    await hub.api("DELETE", "users/alice/server")
    await until(lambda: not slurm.active(name=hub.job_name), "no job is left")


async def is_running(hub: RunningHub) -> bool:
    servers = (await hub.api("GET", "users/alice"))["servers"]
    return any(one["ready"] for one in servers.values())
