"""When a server would start: a real Slurm is asked as the user, and a real browser shows it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Any

import pytest
from support.browser import open_browser, sign_in, why_no_browser
from support.clusters import Slurm, run
from support.hub import RunningHub, running_hub, until

from unispawner.admin.hub_client import HubClient, HubClientError

if not (reason := why_no_browser()):
    from playwright.async_api import expect

pytestmark = [pytest.mark.slurm, pytest.mark.browser]
CONFIG = """
import unispawner

c.JupyterHub.spawner_class = "unispawner.ProfilesSpawner"
c.JupyterHub.template_paths = [unispawner.template_path]
c.Spawner.default_url = "/api"
c.UniSpawner.queue_name = "small"
c.ProfilesSpawner.profiles = [{
    "display_name": "Small", "slug": "small",
    "config": {"duration": "00:05:00"}, "resources": {"memory": "200M"},
    "options": {"cpu_cores_per_process": {"min": 1, "max": 8, "default": 4}},
}]
"""
ASK = "unispawner/start-time"
FOUR = {"user_options": {"profile": "small", "cpu_cores_per_process": 4}}
CLOCK = r"\d\d:\d\d"


@pytest.fixture(scope="module")
async def hub(slurm: Slurm) -> AsyncIterator[RunningHub]:
    async with running_hub(slurm, config=CONFIG) as running:
        yield running


@pytest.fixture(scope="module")
async def nearly_full(slurm: Slurm) -> AsyncIterator[str]:
    """Fill the only node of the partition "small" but for two cores; give the job's id."""
    words = ("-p", "small", "-c", "6", "--mem=100", "-t", "9", "-J", "filler", "-o", "/dev/null")
    job_id = run("sbatch", "--parsable", *words, "--wrap", "sleep 300", user="bob").strip()
    try:
        await until(lambda: slurm.job(job_id)["JobState"] == "RUNNING", "bob's job runs", 60)
        yield job_id
    finally:
        run("scancel", job_id)


@pytest.fixture
def no_jobs(slurm: Slurm, hub: RunningHub) -> Iterator[None]:
    yield
    slurm.cancel_named(hub.job_name)


async def refused(client: HubClient, body: Any, path: str = ASK) -> int:
    with pytest.raises(HubClientError) as error:
        await client.api("POST", path, body)
    return error.value.status


async def test_the_answer_of_slurm(hub: RunningHub, alice: HubClient, nearly_full: str) -> None:
    """The choice that does not fit has a time, and the smaller one that fits can start now. Nothing
    is submitted."""
    answer = await alice.api("POST", ASK, FOUR)
    assert ("later", False) == (answer["outlook"], answer["by_inventory"])
    start = datetime.fromisoformat(answer["start"].replace("Z", "+00:00")).timestamp()
    end = datetime.fromisoformat(hub.cluster.job(nearly_full)["EndTime"]).timestamp()  # type: ignore[attr-defined] # Slurm's
    assert abs(start - end) < 120
    sooner = answer["sooner"]
    assert ("2 cores", "now") == (sooner["words"], sooner["outlook"])
    assert {"profile": "small", "cpu_cores_per_process": 2} == sooner["user_options"]
    assert set() == hub.cluster.active(user="alice", name=hub.job_name)


async def test_what_is_refused(hub: RunningHub, alice: HubClient) -> None:
    """A choice that is not offered is refused as at a start; another user can't be asked about."""
    nine = {"user_options": {"profile": "small", "cpu_cores_per_process": 9}}
    assert 400 == await refused(alice, nine)
    assert 400 == await refused(alice, {"user_options": {"profile": "small"}, "server": ""})
    assert 400 == await refused(alice, [])
    assert 403 == await refused(alice, FOUR, f"{ASK}?user=bob")
    assert 404 == await refused(alice, {"server": "none"})


@pytest.mark.skipif(bool(reason), reason=f"no browser: {reason}")
async def test_the_form_and_the_waiting_page(
    hub: RunningHub, nearly_full: str, no_jobs: None
) -> None:
    """The form says when the choice starts, and a button changes it to the one that starts now. The
    page of a server that waits offers the same, after a cancellation."""
    async with open_browser() as browser:
        page = await sign_in(browser, hub, "alice")
        await page.goto(f"{hub.url}hub/spawn")
        words, cores = page.locator("[data-start-words]"), page.get_by_label("Cores")
        both = rf"It starts at about {CLOCK}\. It starts sooner with 2 cores: now\."
        await expect(words).to_have_text(re.compile(both))
        await page.get_by_role("button", name="Change to 2 cores").press("Enter")
        await expect(cores).to_have_value("2")
        await expect(cores).to_be_focused()
        await expect(words).to_have_text("It can start now.")
        await expect(page.locator("[data-start-sooner]")).to_be_hidden()
        await cores.fill("4")
        await page.get_by_role("button", name="Start").click()
        await page.wait_for_url(re.compile("/hub/spawn-pending/alice"))
        await expect(page.locator('[data-fact="estimated_start"]')).to_have_text(re.compile(CLOCK))
        await expect(words).to_have_text(
            "With 2 cores your server could start now. If you cancel, your place in the queue is "
            "lost. Nothing starts until you say so in the form."
        )
        await page.get_by_role("button", name="Cancel, and open the form with 2 cores").click()
        await page.wait_for_url(re.compile("/hub/spawn/alice#"))
        await expect(cores).to_have_value("2")
        assert "" not in await (await hub.client("alice")).servers()
        assert [] == page.problems
