"""ProfilesSpawner on a real Slurm: choices by form and API, their limits, and restarts."""

from __future__ import annotations

import asyncio
import html
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.clusters import Slurm, run
from support.hub import RunningHub, post_form, running_hub, until
from support.journey import refused_start

from unispawner.admin.hub_client import HubClient

pytestmark = pytest.mark.slurm
PATIENCE = 60
CONFIG = """
c.JupyterHub.spawner_class = "unispawner.ProfilesSpawner"
c.JupyterHub.init_spawners_timeout = 1
c.JupyterHub.load_groups = {"gpu-users": {"users": ["bob"]}}
c.ProfilesSpawner.profiles = [
    {
        "display_name": "CPU <session>", "slug": "cpu", "config": {"duration": "00:20:00"},
        "resources": {"memory": "500M"},
        "options": {
            "cpu_cores_per_process": {"min": 1, "max": 4, "default": 2},
            "memory": {"choices": ["300M", "500M"], "default": "500M"},
        },
    },
    {"display_name": "Held", "config": {"custom_attributes": {"slurm.hold": True}}},
    {"display_name": "GPU", "groups": ["gpu-users"], "resources": {"gpu_cores_per_process": 1}},
]
"""


@pytest.fixture(scope="module")
async def hub(slurm: Slurm) -> AsyncIterator[RunningHub]:
    async with running_hub(slurm, config=CONFIG) as running:
        yield running


async def child_state(hub: RunningHub, name: str) -> dict[str, Any]:
    return dict((await hub.state("alice", name)).get("child_state") or {})


async def job_of(hub: RunningHub, name: str) -> str:
    async def find() -> str:
        return str((await child_state(hub, name)).get("job_id", ""))

    return str(await until(find, "a job"))


@pytest.mark.hub
async def test_the_form(hub: RunningHub, slurm: Slurm, alice: HubClient) -> None:
    """The job has the choices of the form and the profile's settings, and a kernel answers. What
    another group is offered is not shown."""
    page = (await alice.request("GET", "hub/spawn/alice")).body.decode()
    assert "CPU &lt;session&gt;" in page
    assert "GPU" not in page
    fields = {"profile": "cpu", "cpu--cpu_cores_per_process": "3", "cpu--memory": "300M"}
    assert 302 == (await post_form(alice, "hub/spawn/alice", fields)).code
    await alice.wait_ready(timeout=PATIENCE)
    assert "42" == await alice.run_cell("6*7")
    job = slurm.job(await job_of(hub, ""))
    assert ("3", "00:20:00") == (job["CPUs/Task"], job["TimeLimit"])
    assert "mem=300M" in job["TRES"]
    saved = (await hub.api("GET", "users/alice"))["servers"][""]["user_options"]
    assert {"profile": "cpu", "cpu_cores_per_process": 3, "memory": "300M"} == saved
    await alice.stop()


@pytest.mark.hub
async def test_what_is_wrong_in_the_form(hub: RunningHub, alice: HubClient) -> None:
    """Errors are shown in the form, and the input is kept."""
    fields = {"profile": "cpu", "cpu--cpu_cores_per_process": "17"}
    page = html.unescape((await post_form(alice, "hub/spawn/alice", fields)).body.decode())
    assert "17 must be at most 4" in page
    assert 'value="17"' in page
    assert "" not in await alice.servers()


@pytest.mark.threat(
    who="user",
    tries="They send the API a choice that no profile offers.",
    stopped_by="The Hub checks every choice against the profile's definition, whoever sends it.",
)
@pytest.mark.hub
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"profile": "cpu", "cpu_cores_per_process": 5}, "5 must be at most 4"),
        ({"profile": "cpu", "memory": "400M"}, "must be one of 300M, 500M"),
        ({"profile": "cpu", "prologue": "id"}, "unknown option of profile 'cpu'"),
        ({"profile": "gpu"}, "'gpu' is not offered; offered profiles: cpu, held"),
        ({"profile": "$(id)"}, "is not offered"),
        ({"cpu_cores_per_process": 2}, "profile: no profile is named"),
    ],
)
async def test_what_is_not_offered(
    hub: RunningHub, alice: HubClient, options: dict[str, Any], words: str
) -> None:
    """The API refuses a choice that is not offered with 400 and the reason, both when it is sent
    with the start and when it was saved before."""
    assert words in await refused_start(alice, "wrong", options)


async def test_a_member_of_the_group(hub: RunningHub) -> None:
    """bob is offered a profile of his group that alice is not."""
    bob = await hub.client("bob")
    page = (await bob.request("GET", "hub/spawn/bob")).body.decode()
    assert 'value="gpu"' in page


@pytest.mark.hub
async def test_restarts(hub: RunningHub, slurm: Slurm, alice: HubClient) -> None:
    """After a SIGKILL of the Hub, a running server and a start that waits in the queue are both
    there."""
    await alice.start("runs", {"profile": "cpu"})
    await alice.wait_ready("runs", timeout=PATIENCE)
    starting = asyncio.ensure_future(alice.start("waits", {"profile": "held"}))
    waiting = await job_of(hub, "waits")
    await starting
    hub.kill()
    await hub.start()
    assert "42" == await alice.run_cell("6*7", "runs")
    assert waiting in slurm.active(user="alice")
    run("scontrol", "release", waiting)
    await alice.wait_ready("waits", timeout=PATIENCE)
    assert "42" == await alice.run_cell("6*7", "waits")
    assert waiting == await job_of(hub, "waits")
    for name in ("runs", "waits"):
        await alice.stop(name)
    await until(lambda: not slurm.active(user="alice", name=hub.job_name), "no job is left")
    assert {} == await hub.state("alice", "runs")
