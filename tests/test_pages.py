"""The form and the pages in a real browser, with a real Hub and a real Slurm."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from browser import open_browser, sign_in, why_no_browser
from clusters import Slurm
from hub import RunningHub, running_hub

pytestmark = [pytest.mark.slurm, pytest.mark.hub, pytest.mark.browser]
CONFIG = """
import unispawner

c.JupyterHub.spawner_class = "unispawner.ProfilesSpawner"
c.JupyterHub.template_paths = [unispawner.template_path]
c.JupyterHub.init_spawners_timeout = 1
c.UniSpawner.status_interval = 2
c.UniSpawner.inventory_interval = 2
c.ProfilesSpawner.profiles = [
    {
        "display_name": "Notebook", "slug": "notebook",
        "description": "A few cores of a shared node, for most things",
        "default": True,
        "resources": {"memory": "500M"}, "config": {"duration": "00:20:00"},
        "options": {
            "cpu_cores_per_process": {"min": 1, "max": 8, "default": 2},
            "memory": {"min": "200M", "max": "4G", "default": "500M"},
            "duration": {"min": "00:02:00", "max": "queue", "default": "00:20:00"},
            "queue_name": {"choices": {"debug": "Interactive", "small": "Short and small"},
                           "default": "debug"},
        },
    },
    {
        "display_name": "GPU session", "slug": "gpu",
        "description": "One node with A100 GPUs",
        "options": {
            "gpu_cores_per_process": {"choices": {"1": "one", "2": "two"}, "default": "1"},
            "software": {
                "display_name": "Software",
                "choices": {
                    "plain": {"display_name": "System Python", "description": "What the node has"},
                    "conda": {"display_name": "Conda", "description": "With your environments",
                              "override": {"environment": {"WITH_CONDA": "1"}}},
                },
                "default": "plain",
            },
            "memory": {"max": "4G", "default": "1G", "when": {"software": "conda"}},
        },
    },
    {
        "display_name": "Whole cluster", "slug": "large",
        "description": "Every core of every node: waits until all are free",
        "resources": {"node_count": 4, "cpu_cores_per_process": 8, "memory": "2000M"},
        "config": {"duration": "00:30:00"},
    },
    {
        "display_name": "Broken software", "slug": "broken",
        "config": {"prologue": "echo 'no module named jupyter-2031' >&2; exit 3"},
        "options": {"cpu_cores_per_process": {"min": 1, "max": 4, "default": 1}},
    },
]
"""


@pytest.fixture(scope="module")
async def hub(slurm: Slurm) -> AsyncIterator[RunningHub]:
    async with running_hub(slurm, config=CONFIG) as running:
        yield running


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Any]:
    if reason := why_no_browser():
        pytest.skip(f"no browser: {reason}")
    async with open_browser() as opened:
        yield opened


async def test_look(hub, browser, slurm):
    page = await sign_in(browser, hub, "alice")
    await page.goto(f"{hub.url}hub/spawn")
    await page.wait_for_timeout(3000)
    await page.get_by_role("button", name="Start", exact=True).click()
    await page.wait_for_url("**/user/alice/**", timeout=60000)
    await page.wait_for_timeout(2000)
    await page.goto(f"{hub.url}hub/home")
    await page.wait_for_timeout(2000)
    await page.screenshot(path="/tmp/home.png", full_page=True)
    await page.goto(f"{hub.url}hub/spawn/alice/big")
    await page.check('input[value="large"]')
    await page.wait_for_timeout(1000)
    await page.screenshot(path="/tmp/form2.png", full_page=True)
    await page.get_by_role("button", name="Start", exact=True).click()
    await page.wait_for_timeout(9000)
    await page.screenshot(path="/tmp/pending.png", full_page=True)
    await page.click("#cancel-server")
    await page.wait_for_url("**/hub/home")
    await page.goto(f"{hub.url}hub/spawn/alice/broken")
    await page.check('input[value="broken"]')
    await page.get_by_role("button", name="Start", exact=True).click()
    await page.wait_for_timeout(8000)
    print(page.url)
    await page.screenshot(path="/tmp/failed0.png", full_page=True)
    await page.reload()
    await page.wait_for_timeout(1000)
    await page.screenshot(path="/tmp/failed.png", full_page=True)
    print(page.url)
    print(page.problems)
    assert 0
