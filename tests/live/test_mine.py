"""What this user may use, on a real Slurm with accounting: in a browser, and on the server."""

from __future__ import annotations

import asyncio
import html
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.browser import open_browser, sign_in, why_no_browser
from support.clusters import Slurm, run
from support.hub import RunningHub, post_form, until, why_no_hub
from support.slurm_options import bring_up, its_usual_options_afterwards

from unispawner.admin.hub_client import HubClientError

if not (reason := why_no_browser()):
    from playwright.async_api import expect

pytestmark = [pytest.mark.slurm, pytest.mark.browser]
CONFIG = """
c.JupyterHub.spawner_class = "unispawner.ProfilesSpawner"
c.JupyterHub.init_spawners_timeout = 1
c.Spawner.default_url = "/api"  # JupyterLab would keep the browser, and this machine, busy
c.ProfilesSpawner.profiles = [
    {
        "display_name": "Mine", "slug": "mine", "config": {"duration": "00:05:00"},
        "resources": {"memory": "300M"},
        "options": {
            "account": {"choices": "mine"},
            "queue_name": {"choices": "mine", "display_name": "Partition"},
            "qos": {"choices": "mine"},
            "reservation_id": {"choices": "mine"},
            "cpu_cores_per_process": {"min": 1, "max": 4, "default": 1},
        },
    },
]
"""
ADD = """\
add qos test-long
add account test-chem organization=ci qos=normal,test-long defaultqos=normal
add account test-bio organization=ci qos=normal
add user alice account=test-chem partition=long qos=test-long defaultqos=test-long
add user bob account=test-bio
"""
REMOVE = """\
delete account test-chem,test-bio
delete qos test-long
"""


async def set_up() -> None:
    """Restart the Slurm of ci/slurm with accounting, and make what the tests ask for."""
    await bring_up("--accounting", "--enforce")
    await asyncio.to_thread(make_accounts)


def make_accounts() -> None:
    run("sacctmgr", "-iQ", stdin=ADD, check=False)
    run("scontrol", "create", "partitionname=test-bio", "nodes=node1", "allowaccounts=test-bio")
    for name, user in (("test-course", "alice"), ("test-bobs", "bob")):
        what = [f"reservationname={name}", f"users={user}", "nodes=node4", "flags=overlap"]
        run("scontrol", "create", *what, "starttime=now", "duration=90")


def remove_accounts() -> None:
    for name in ("test-course", "test-bobs"):
        run("scontrol", "delete", f"reservationname={name}", check=False)
    run("scontrol", "delete", "partitionname=test-bio", check=False)
    run("sacctmgr", "-iQ", stdin=REMOVE, check=False)


@pytest.fixture(scope="module")
async def hub(slurm: Slurm) -> AsyncIterator[RunningHub]:
    if reason := why_no_hub() or why_no_browser():
        pytest.skip(f"no Hub or no browser: {reason}")
    async with its_usual_options_afterwards():
        running = RunningHub(slurm, config=CONFIG)
        try:
            await asyncio.gather(set_up(), running.start())  # the Hub asks Slurm for nothing yet
            yield running
        finally:
            await running.close()
            slurm.cancel_named(running.job_name)
            await asyncio.to_thread(remove_accounts)


@pytest.fixture(scope="module")
async def page(hub: RunningHub) -> AsyncIterator[Any]:
    """Give alice's page; no script of it fails."""
    async with open_browser() as browser:
        opened = await sign_in(browser, hub, "alice")
        yield opened
        assert [] == opened.problems


def option(page: Any, name: str) -> Any:
    return page.locator(f'[data-option="{name}"] select')


async def offered(page: Any, name: str) -> list[str]:
    """Return the values that a menu offers now; the empty one leaves it to Slurm."""
    found = (
        await option(page, name)
        .locator("option")
        .evaluate_all("all => all.filter((one) => !one.disabled).map((one) => one.value)")
    )
    return list(found)


async def test_the_form_offers_what_is_the_users(hub: RunningHub, page: Any, slurm: Slurm) -> None:
    """The form is there before Slurm has answered, and then offers this user's accounts,
    partitions, QOS and reservations. Each choice narrows the others, and the job gets it."""
    await page.goto(f"{hub.url}hub/spawn/alice")
    await expect(option(page, "account")).to_be_visible(timeout=30_000)
    assert {"", "physics", "test-chem"} == set(await offered(page, "account"))
    assert "test-bio" not in await offered(page, "queue_name")
    assert ["", "test-course"] == await offered(page, "reservation_id")
    reservation = page.locator('option[value="test-course"]')
    await expect(reservation).to_have_text(
        re.compile(r"^test-course \(1 hour \d+ minutes left, until")
    )
    assert {"", "normal", "high"} == set(await offered(page, "qos"))

    await option(page, "qos").select_option("high")
    await option(page, "account").select_option("test-chem")
    assert ["long"] == await offered(page, "queue_name")
    assert {"", "test-long"} == set(await offered(page, "qos"))
    assert "" == await option(page, "qos").input_value()
    await expect(page.locator("[data-mine-status]")).to_contain_text("high does not go together")

    await option(page, "account").select_option("physics")
    await option(page, "queue_name").select_option("debug")
    await option(page, "qos").select_option("high")
    await page.get_by_role("button", name="Start", exact=True).click()
    await until(lambda: bool(slurm.active(name=hub.job_name)), "there is a job")
    (job_id,) = slurm.active(name=hub.job_name)
    job = slurm.job(job_id)
    assert ("physics", "high", "debug") == (job["Account"], job["QOS"], job["Partition"])
    alice = await hub.client("alice")
    await alice.stop()


async def test_somebody_elses_account_is_refused(hub: RunningHub, slurm: Slurm) -> None:
    """Another user's account, QOS and reservation are refused beside their fields, by the form with
    all that was typed, and by the API; nothing is submitted."""
    alice = await hub.client("alice")
    fields = {
        "profile": "mine",
        "mine--account": "test-bio",
        "mine--reservation_id": "test-bobs",
        "mine--cpu_cores_per_process": "3",
    }
    shown = html.unescape((await post_form(alice, "hub/spawn/alice", fields)).body.decode())
    assert "'test-bio' must be one that you may use: " in shown
    assert "'test-bobs' must be one that you may use: test-course" in shown
    assert 'value="test-bio"' in shown
    assert 'value="3"' in shown
    with pytest.raises(HubClientError, match="must be one that you may use"):
        await alice.start("", {"profile": "mine", "account": "test-bio"})
    assert set() == slurm.active(name=hub.job_name)


async def test_an_account_is_taken_away(hub: RunningHub, slurm: Slurm) -> None:
    """What the Hub knows may be hours old. Slurm then refuses the job in its own words, and the
    next form knows better."""
    bob = await hub.client("bob")

    async def knows(*names: str) -> bool:
        answer = await bob.api("GET", "unispawner/mine?profile=mine")
        return set(names) == {one["name"] for one in answer["fields"].get("account", [])}

    await until(lambda: knows("physics", "test-bio"), "it is known")
    run("sacctmgr", "-iQ", "delete", "user", "bob", "where", "account=test-bio")
    with pytest.raises(HubClientError, match="Invalid account"):
        await bob.start("", {"profile": "mine", "account": "test-bio"})
    await until(lambda: knows("physics"), "it is known anew")
