"""A running server is continued with a second job, or with more time, on real schedulers."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.browser import open_browser, sign_in, why_no_browser
from support.clusters import Cluster, Slurm
from support.folders import commands_folder
from support.hand_over import (
    CONFIG,
    SERVER,
    act,
    answers_from,
    ask_server,
    offered,
    second_is_ready,
    status,
)
from support.hub import RunningHub, find_program, running_hub, until
from support.journey import browser_of, nothing_left, start

from unispawner.admin.hub_client import HubClient

SUBMIT = """\
#!/bin/sh
{program} "$@"; status=$?
while [ -e "$(dirname "$0")/hang" ]; do sleep 0.1; done
exit $status
"""
"""A command that can be made to hang after its work."""
SUBMITS = {"gridengine": "qsub", "htcondor": "condor_submit", "slurm": "sbatch"}
EXTENDED = "bob"
"""The user whose jobs a hook extends."""
HOOK = f"""
async def hook_for_one(spawner):
    await as_the_test_says(spawner)
    if spawner.user.name != "{EXTENDED}":
        spawner.extend_hook = None

c.Spawner.pre_spawn_hook = hook_for_one
"""
DOCS = Path(__file__).parents[2] / "docs/hand-over.md"
PROGRAM = "/usr/local/sbin/extend-job"
WHERE = "import os; print(os.environ['UNISPAWNER_MARK'])"
STEPS = ("submission", "both run", "switch")
"""When a Hub may be killed: during the submission, while both jobs run, and after the switch."""
on_slurm = pytest.mark.parametrize(
    "cluster", [pytest.param("slurm", marks=pytest.mark.slurm)], indirect=True, scope="module"
)


def example(language: str) -> str:
    """Return the first example of docs/hand-over.md in a language."""
    found = re.search(rf"^```{language}\n(.*?)^```$", DOCS.read_text(), re.DOTALL | re.MULTILINE)
    assert found
    return found[1]


@pytest.fixture(scope="module")
def commands(cluster: Cluster) -> Iterator[Path]:
    """Give a folder with our server, a command to submit that can hang, and the hook's program."""
    submit = SUBMITS[cluster.name]
    scripts = {"server": SERVER, submit: SUBMIT.format(program=shutil.which(submit))}
    script = example("sh")
    for name, value in cluster.environment.items():
        script = script.replace("exec scontrol", f"{name}={value} exec scontrol")
    with commands_folder({**scripts, "extend-job": script}) as folder:
        yield folder


@pytest.fixture(scope="module")
async def hub(cluster: Cluster, commands: Path) -> AsyncIterator[RunningHub]:
    config = CONFIG + f"c.UniSpawner.cmd = ['{commands / 'server'}']\n"
    config += "import unispawner\nc.JupyterHub.template_paths = [unispawner.template_path]\n"
    config += "c.UniSpawner.use_drmaa = False\n"
    config += example("python").replace(PROGRAM, str(commands / "extend-job")) + HOOK
    async with running_hub(cluster, config=config, path=str(commands)) as running:
        yield running


@pytest.fixture
async def alice(hub: RunningHub) -> AsyncIterator[HubClient]:
    async with browser_of(hub, "alice") as client:
        yield client


async def running(hub: RunningHub, client: HubClient) -> dict[str, Any]:
    """Start a server that can be continued; return its saved state."""
    await start(client)
    await offered(client)
    return await hub.state(client.user)


async def is_ready(hub: RunningHub) -> None:
    """Wait until a Hub that was started again has found alice's server up."""

    async def ready() -> bool:
        server = await hub.server("alice")
        return bool(server.get("ready")) and not server.get("pending")

    await until(ready, "the server is up", 60)


@pytest.mark.parametrize(
    "cluster",
    [
        pytest.param("slurm", marks=pytest.mark.slurm),
        pytest.param("gridengine", marks=pytest.mark.gridengine),
        pytest.param("htcondor", marks=[pytest.mark.htcondor, pytest.mark.long]),
    ],
    indirect=True,
    scope="module",
)
async def test_a_server_moves_from_job_to_job(
    hub: RunningHub, cluster: Cluster, alice: HubClient
) -> None:
    """The second job has the same token, while the first has the route. After the switch the same
    URL leads to it, and the first job is gone with its files. If the first job ends by itself while
    the second is ready, the route moves by itself. A stop leaves nothing."""
    first = await running(hub, alice)
    if isinstance(cluster, Slurm):
        node = cluster.job(first["job_id"])["NodeList"]
        hub.set("alice", custom_attributes={"slurm.exclude": node})
    await act(alice, "continue")
    await second_is_ready(alice)
    second = (await hub.state("alice"))["next"]
    assert {first["job_id"], second["job_id"]} == cluster.active(name=hub.job_name)
    assert {"mark": first["mark"], "user": "alice"} == await ask_server(alice, "who")

    await act(alice, "switch")
    assert {"mark": second["mark"], "user": "alice"} == await ask_server(alice, "who")
    if isinstance(cluster, Slurm):
        assert node != cluster.job(second["job_id"])["NodeList"]
    await nothing_left(cluster, first)
    server = await hub.server("alice")
    assert (True, None) == (server["ready"], server["pending"])

    await offered(alice)
    await act(alice, "continue")
    await second_is_ready(alice)
    third = (await hub.state("alice"))["next"]
    cluster.cancel(second["job_id"], user="alice")
    await answers_from(alice, third)
    assert third["mark"] == (await hub.state("alice"))["mark"]
    await asyncio.wait_for(alice.stop(), 90)
    await nothing_left(cluster, second)
    await nothing_left(cluster, third)
    assert set() == cluster.active(name=hub.job_name)
    tokens = (await hub.api("GET", "users/alice/tokens"))["api_tokens"]
    assert [] == [token for token in tokens if token["id"] == f"a{first['token_id']}"]


@pytest.mark.browser
@on_slurm
async def test_the_home_page_continues_a_server(
    hub: RunningHub, slurm: Slurm, alice: HubClient
) -> None:
    """The home page offers it near the end, says what is kept, cancels the second job, begins
    another, and switches to it; all of it by buttons that have names. A kernel answers from the
    second job then."""
    if reason := why_no_browser():
        pytest.skip(f"no browser: {reason}")
    from playwright.async_api import expect

    first = await running(hub, alice)
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

        hub.set("alice", cmd=[find_program("jupyterhub-singleuser")])
        await going_on.focus()
        await page.keyboard.press("Enter")
        await expect(switching).to_be_visible(timeout=60_000)
        await expect(message).to_contain_text("save your notebooks first")
        second = (await hub.state("alice"))["next"]
        await switching.click()
        await expect(page.locator('[data-fact="job_id"]')).to_contain_text(second["job_id"])
        await expect(switching).to_be_hidden()
        assert [] == page.problems
    assert second["mark"] == await alice.run_cell(WHERE)
    await alice.stop()
    await nothing_left(slurm, first)


@pytest.mark.parametrize(
    ("cluster", "steps"),
    [
        pytest.param("slurm", ("submission", "switch"), marks=pytest.mark.slurm),
        *(
            pytest.param(name, STEPS, marks=[getattr(pytest.mark, name), pytest.mark.long])
            for name in SUBMITS
        ),
    ],
    indirect=["cluster"],
    scope="module",
)
async def test_a_hub_that_is_killed(
    hub: RunningHub, cluster: Cluster, alice: HubClient, commands: Path, steps: tuple[str, ...]
) -> None:
    """A Hub that is killed during the second submission, while both jobs run, or right after the
    switch, leaves the route to one job and follows or ends the other."""
    first = await running(hub, alice)
    hang = commands / "hang"
    hang.touch()
    posting = asyncio.ensure_future(act(alice, "continue"))
    posting.add_done_callback(lambda task: task.cancelled() or task.exception())
    await until(lambda: 2 == len(cluster.active(name=hub.job_name)), "it is submitted", 60)
    saved = await hub.state("alice")
    assert (first["mark"], "") == (saved["mark"], saved["next"]["job_id"])
    hub.kill()
    hang.unlink()
    await hub.start()
    await is_ready(hub)
    await second_is_ready(alice)
    assert first["mark"] == (await ask_server(alice))["mark"]

    if "both run" in steps:
        hub.kill()
        await hub.start()
        await is_ready(hub)
        await second_is_ready(alice)
    second = (await hub.state("alice"))["next"]
    assert saved["next"]["mark"] == second["mark"]
    assert {first["job_id"], second["job_id"]} == cluster.active(name=hub.job_name)

    await act(alice, "switch")
    hub.kill()
    await hub.start()
    await is_ready(hub)
    assert {"mark": second["mark"], "user": "alice"} == await ask_server(alice, "who")
    await nothing_left(cluster, first)
    await alice.stop()
    await nothing_left(cluster, second)


@on_slurm
async def test_more_time_for_the_same_job(hub: RunningHub, slurm: Slurm, commands: Path) -> None:
    """With the hook of docs/hand-over.md the job's own time limit is raised."""
    sudoers = Path("/etc/sudoers.d/unispawner-test-extend")
    sudoers.write_text(example("text").replace(PROGRAM, str(commands / "extend-job")))
    sudoers.chmod(0o440)
    try:
        async with browser_of(hub, EXTENDED) as client:
            first = await running(hub, client)
            await act(client, "continue")
            await until(
                lambda: slurm.job(first["job_id"])["TimeLimit"] == "02:00:00", "it has more time"
            )

            async def known() -> bool:
                found = await status(client)
                return bool(found["time_left"] > 3600 and not found["continuation"]["offered"])

            await until(known, "the page shows the new end", 60)
            assert {first["job_id"]} == slurm.active(name=hub.job_name)
            await client.stop()
            await nothing_left(slurm, first)
    finally:
        sudoers.unlink()
