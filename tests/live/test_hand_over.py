"""A running server is continued with a second job, or with more time, on a real Slurm."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.browser import open_browser, sign_in, why_no_browser
from support.clusters import Slurm, run
from support.folders import commands_folder
from support.hub import RunningHub, started, until, why_no_hub
from support.journey import browser_of, nothing_left

from unispawner.admin.hub_client import HubClient

pytestmark = pytest.mark.slurm

SBATCH = """\
#!/bin/sh
{sbatch} "$@"; status=$?
while [ -e "$(dirname "$0")/hang-sbatch" ]; do sleep 0.1; done
exit $status
"""
CONFIG = """
import unispawner

c.JupyterHub.template_paths = [unispawner.template_path]
c.JupyterHub.init_spawners_timeout = 1
"""
DOCS = Path(__file__).parents[2] / "docs/hand-over.md"
PROGRAM = "/usr/local/sbin/extend-job"
WHERE = "import os; print(os.environ['SLURM_JOB_ID'])"
WHO = """
import json, os, urllib.request
request = urllib.request.Request(os.environ["JUPYTERHUB_API_URL"] + "/user")
request.add_header("Authorization", "token " + os.environ["JUPYTERHUB_API_TOKEN"])
print(json.load(urllib.request.urlopen(request))["name"])
"""


def example(language: str) -> str:
    """Return the first example of docs/hand-over.md in a language."""
    found = re.search(rf"^```{language}\n(.*?)^```$", DOCS.read_text(), re.DOTALL | re.MULTILINE)
    assert found
    return found[1]


@pytest.fixture(scope="module")
def commands() -> Iterator[Path]:
    """Give a folder with an sbatch that can be made to hang after its work."""
    with commands_folder({"sbatch": SBATCH.format(sbatch=shutil.which("sbatch"))}) as folder:
        yield folder


@pytest.fixture(scope="module")
async def hub(slurm: Slurm, commands: Path) -> AsyncIterator[RunningHub]:
    if reason := why_no_hub():
        pytest.skip(f"no Hub: {reason}")
    async with started(RunningHub(slurm, config=CONFIG, path=str(commands))) as running:
        yield running


@pytest.fixture
async def alice(hub: RunningHub) -> AsyncIterator[HubClient]:
    async with browser_of(hub, "alice") as client:
        yield client


async def ends_soon(hub: RunningHub, client: HubClient) -> dict[str, Any]:
    """Start a server whose job ends in 20 minutes; return its saved state."""
    hub.set(client.user, duration=60)
    await client.start()
    await client.wait_ready(timeout=60)
    state = await hub.state(client.user)
    run("scontrol", "update", f"JobId={state['job_id']}", "TimeLimit=20")

    async def offered() -> bool:
        return bool((await status(client))["continuation"]["offered"])

    await until(offered, "it is offered to continue the server", 60)
    return state


async def status(client: HubClient) -> dict[str, Any]:
    found = await client.api("GET", f"unispawner/servers/{client.user}")
    return found if isinstance(found, dict) else dict(json.loads(found))


async def act(client: HubClient, action: str, method: str = "POST") -> Any:
    return await client.api(method, f"unispawner/servers/{client.user}/{action}")


async def is_ready(hub: RunningHub) -> None:
    """Wait until a Hub that was started again has found alice's server up."""

    async def ready() -> bool:
        server = await hub.server("alice")
        return bool(server.get("ready")) and not server.get("pending")

    await until(ready, "the server is up", 60)


async def second_is_ready(client: HubClient) -> None:
    async def ready() -> bool:
        return bool((await status(client))["continuation"]["state"] == "ready")

    await until(ready, "the second job is ready", 60)


@pytest.mark.hub
async def test_a_server_moves_to_its_second_job(
    hub: RunningHub, slurm: Slurm, alice: HubClient
) -> None:
    """The second job runs on another node with the same token, while the first has the route. After
    the switch the same URL answers from there, the first job is gone with its files, and a stop
    leaves nothing."""
    first = await ends_soon(hub, alice)
    node = slurm.job(first["job_id"])["NodeList"]
    hub.set("alice", duration=60, custom_attributes={"slurm.exclude": node})
    await act(alice, "continue")
    await second_is_ready(alice)
    second = (await hub.state("alice"))["next"]
    assert {first["job_id"], second["job_id"]} == slurm.active(name=hub.job_name)
    assert first["job_id"] == await alice.run_cell(WHERE)

    await act(alice, "switch")

    assert second["job_id"] == await alice.run_cell(WHERE)
    assert "alice" == await alice.run_cell(WHO)
    assert node != slurm.job(second["job_id"])["NodeList"]
    await nothing_left(slurm, first)
    server = await hub.server("alice")
    assert (True, None) == (server["ready"], server["pending"])
    await asyncio.wait_for(alice.stop(), 90)
    await nothing_left(slurm, second)
    assert set() == slurm.active(name=hub.job_name)
    tokens = (await hub.api("GET", "users/alice/tokens"))["api_tokens"]
    assert [] == [token for token in tokens if token["id"] == f"a{first['token_id']}"]


@pytest.mark.hub
async def test_a_first_job_that_ends_by_itself(
    hub: RunningHub, slurm: Slurm, alice: HubClient
) -> None:
    """If the first job ends while the second is ready, the route moves by itself, and a stop leaves
    nothing."""
    first = await ends_soon(hub, alice)
    await act(alice, "continue")
    await second_is_ready(alice)
    second = (await hub.state("alice"))["next"]
    run("scancel", first["job_id"])

    async def moved() -> bool:
        return bool((await hub.state("alice")).get("job_id") == second["job_id"])

    await until(moved, "the second job has the route", 60)
    assert second["job_id"] == await alice.run_cell(WHERE)
    await asyncio.wait_for(alice.stop(), 90)
    await nothing_left(slurm, first)
    await nothing_left(slurm, second)


@pytest.mark.browser
async def test_the_home_page_continues_a_server(
    hub: RunningHub, slurm: Slurm, alice: HubClient
) -> None:
    """The home page offers it near the end, says what is kept, cancels the second job, begins
    another, and switches to it; all of it by buttons that have names."""
    if reason := why_no_browser():
        pytest.skip(f"no browser: {reason}")
    from playwright.async_api import expect

    first = await ends_soon(hub, alice)
    async with open_browser() as browser:
        page = await sign_in(browser, hub, "alice")

        def button(name: str) -> Any:
            return page.get_by_role("button", name=name)

        going_on, switching = button("Continue for another hour"), button("Switch now")
        message = page.locator("[data-continuation-message]")
        await expect(going_on).to_be_visible()
        await expect(page.locator("[data-kept]")).to_contain_text("Running kernels")
        await expect(switching).to_be_hidden()
        await going_on.click()
        await expect(button("Cancel the second job")).to_be_visible()
        await expect(going_on).to_be_hidden()
        await button("Cancel the second job").click()
        await expect(going_on).to_be_visible()
        assert {first["job_id"]} == slurm.active(name=hub.job_name)

        await going_on.focus()
        await page.keyboard.press("Enter")
        await expect(switching).to_be_visible(timeout=60_000)
        await expect(message).to_contain_text("save your notebooks first")
        second = (await hub.state("alice"))["next"]
        await switching.click()
        await expect(page.locator('[data-fact="job_id"]')).to_contain_text(second["job_id"])
        await expect(switching).to_be_hidden()
        assert [] == page.problems
    assert second["job_id"] == await alice.run_cell(WHERE)
    await alice.stop()
    await nothing_left(slurm, first)


async def test_a_hub_that_is_killed_at_each_step(
    hub: RunningHub, slurm: Slurm, alice: HubClient, commands: Path
) -> None:
    """A Hub that is killed during the second submission, while both jobs run, and right after the
    switch, leaves the route to one job and follows or ends the other."""
    first = await ends_soon(hub, alice)
    hang = commands / "hang-sbatch"
    hang.touch()
    posting = asyncio.ensure_future(act(alice, "continue"))
    posting.add_done_callback(lambda task: task.cancelled() or task.exception())
    await until(lambda: 2 == len(slurm.active(name=hub.job_name)), "it is submitted")
    saved = await hub.state("alice")
    assert (first["mark"], "") == (saved["mark"], saved["next"]["job_id"])
    hub.kill()
    hang.unlink()
    await hub.start()
    await is_ready(hub)
    await second_is_ready(alice)
    assert first["job_id"] == await alice.run_cell(WHERE)

    hub.kill()
    await hub.start()
    await is_ready(hub)
    await second_is_ready(alice)
    second = (await hub.state("alice"))["next"]
    assert saved["next"]["mark"] == second["mark"]
    assert {first["job_id"], second["job_id"]} == slurm.active(name=hub.job_name)

    await act(alice, "switch")
    hub.kill()
    await hub.start()
    await is_ready(hub)
    assert second["job_id"] == await alice.run_cell(WHERE)
    await nothing_left(slurm, first)
    await alice.stop()
    await nothing_left(slurm, second)


async def test_more_time_for_the_same_job(
    slurm: Slurm, hub: RunningHub, alice: HubClient, commands: Path
) -> None:
    """With the hook of docs/hand-over.md the job's own time limit is raised; what the program
    refuses is shown, and a second job is offered."""
    program = commands / "extend-job"
    script, sudo, hook = (example(language) for language in ("sh", "sudoers", "python"))
    conf = slurm.environment.get("SLURM_CONF", "")
    program.write_text(script.replace("exec scontrol", f"SLURM_CONF={conf} exec scontrol"))
    program.chmod(0o755)
    sudoers = Path("/etc/sudoers.d/unispawner-test-extend")
    sudoers.write_text(sudo.replace(PROGRAM, str(program)))
    sudoers.chmod(0o440)
    hub.configure(CONFIG + hook.replace(PROGRAM, str(program)))
    try:
        hub.kill()
        await hub.start()
        first = await ends_soon(hub, alice)
        await act(alice, "continue")
        await until(
            lambda: slurm.job(first["job_id"])["TimeLimit"] == "01:20:00", "it has more time"
        )

        async def known() -> bool:
            found = await status(alice)
            return bool(found["time_left"] > 3600 and not found["continuation"]["offered"])

        await until(known, "the page shows the new end", 60)
        assert {first["job_id"]} == slurm.active(name=hub.job_name)
        await alice.stop()
        await nothing_left(slurm, first)
    finally:
        sudoers.unlink()
        hub.configure(CONFIG)
