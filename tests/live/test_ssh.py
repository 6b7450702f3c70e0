"""A Hub in a container, without accounts, homes and a scheduler; a login node with a real sshd."""

from __future__ import annotations

import asyncio
import json
import os
import pwd
import re
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.clusters import CLUSTERS, Cluster, Slurm, run
from support.elsewhere import CLOCK_OFFSET, HubElsewhere, LoginNode, why_not_elsewhere
from support.eyes import assert_hidden
from support.folders import commands_folder
from support.hand_over import CONFIG, SERVER, act, ask_server, offered, second_is_ready
from support.hub import HUB_ACCOUNT, find_program, started, until
from support.journey import (
    PATIENCE,
    browser_of,
    failing_start,
    log_of,
    nothing_left,
    private_files,
    queued,
    requeue,
    start,
    state_of_run,
)

from unispawner.admin.hub_client import HubClient

WHERE_AM_I = "import json, os, socket; print(json.dumps([socket.gethostname(), os.getuid()]))"


@pytest.fixture(scope="module")
def login(slurm: Slurm) -> Iterator[LoginNode]:
    """Give this host as a login node."""
    if reason := why_not_elsewhere():
        pytest.skip(f"no Hub elsewhere: {reason}")
    with LoginNode(slurm) as node:
        yield node


@pytest.fixture(scope="module")
async def hub(slurm: Slurm, login: LoginNode) -> AsyncIterator[HubElsewhere]:
    """Give a Hub in a container that reaches the login node by ssh only."""
    async with started(HubElsewhere(slurm, login, config=CONFIG)) as running:
        yield running


@pytest.fixture
async def alice(hub: HubElsewhere) -> AsyncIterator[HubClient]:
    """Give alice's browser; at the end all her jobs are gone."""
    async with browser_of(hub, "alice") as client:
        yield client


async def message_with(client: HubClient, words: str) -> str:
    """Return the first message of a start's progress that has these words."""

    async def follow() -> str:
        async for event in client.progress():
            if words in str(event.get("message")):
                return str(event["message"])
        return ""

    return await asyncio.wait_for(follow(), PATIENCE)


@pytest.mark.slurm
async def test_a_servers_whole_life(
    hub: HubElsewhere, slurm: Slurm, login: LoginNode, alice: HubClient
) -> None:
    """The Hub has no account, home or scheduler, and a clock of its own. A kernel answers from a
    node as the user; a requeue is followed; a report that names another host is refused; neither
    the login node's listings nor its processes show the token; after the stop nothing is left."""
    missing = hub.container.run("sh", "-c", "id alice; ls /home; command -v squeue sbatch sudo")
    assert "no such user" in missing
    assert 1 == len(missing.splitlines())
    clock = "import time; print(time.monotonic())"
    ahead = float(hub.container.run(sys.executable, "-c", clock)) - time.monotonic()
    assert CLOCK_OFFSET - 60 < ahead < CLOCK_OFFSET + 60

    await start(alice)

    state = await state_of_run(hub, "alice")
    host, uid = json.loads(await alice.run_cell(WHERE_AM_I))
    assert ("alice", host) == slurm.owner_and_host(state["job_id"])
    assert pwd.getpwnam("alice").pw_uid == uid
    assert 1 == len([one for one in login.connections() if one.username() == "hubsvc"])
    environment = Path(f"/home/alice/.unispawner/jobs/{state['mark']}/environment").read_text()
    match = re.search(r"JUPYTERHUB_API_TOKEN\W+(\w{32,})", environment)
    assert match
    await assert_hidden(slurm, state["job_id"], [match[1]])
    status = await hub.api("GET", "unispawner/servers/alice")
    assert slurm.job(state["job_id"])["BatchHost"] == status["exec_host"]

    refused = await alice.request(
        "POST",
        f"{hub.url}hub/api/unispawner/report",
        body=json.dumps({"host": login.address, "port": login.port}),
        headers={"Authorization": f"token {match[1]}"},
    )
    assert 409 == refused.code
    assert state == await hub.state("alice")

    await requeue(hub, slurm, alice, "", state["job_id"])
    await alice.stop()
    await nothing_left(slurm, state)
    assert os.path.exists(log_of(state))
    assert {"/"} == set(await hub.routes())


@pytest.mark.slurm
async def test_a_node_with_a_name_of_its_own(
    hub: HubElsewhere, slurm: Slurm, alice: HubClient
) -> None:
    """A server on a node that calls itself c3.cluster.example, and Slurm calls it node3, gets ready
    with no setting for names: the login node resolves both names."""
    hub.set("alice", custom_attributes={"slurm.w": "node3"})
    assert "c3" not in hub.container.run("getent", "hosts", "c3.cluster.example")

    await start(alice)

    assert (await hub.state("alice"))["host"] == slurm.node("node3")["NodeAddr"]
    host, _ = json.loads(await alice.run_cell(WHERE_AM_I))
    assert host.startswith("c3")
    await alice.stop()


@pytest.mark.slurm
async def test_doctor_in_the_container(hub: HubElsewhere, login: LoginNode) -> None:
    """doctor goes the Hub's way: it starts the broker, asks the scheduler, finds the commands with
    the agent on the login node, and says which host it means."""
    become = ("setpriv", f"--reuid={HUB_ACCOUNT}", f"--regid={HUB_ACCOUNT}", "--init-groups")
    command = (*become, find_program("unispawner") or "unispawner", "doctor")
    options = ("-f", f"{hub.folder}/jupyterhub_config.py", "--account", "alice")

    lines = hub.container.run(*command, *options)

    assert "ok      submit_host: the broker runs on " in lines
    assert f"ok      scheduler: Slurm on {login.address}" in lines
    assert re.search(r"^ok      account: .*alice", lines, re.MULTILINE)
    assert "WRONG" not in lines


@pytest.mark.slurm
async def test_the_connection_breaks(
    hub: HubElsewhere, slurm: Slurm, login: LoginNode, alice: HubClient
) -> None:
    """While sshd is down, a running server answers and a start stays pending and says why; a stop
    stays pending. All of it goes on when sshd is back, also if the Hub was restarted meanwhile."""

    async def checked() -> bool:
        return not (await hub.server("alice"))["pending"]

    job_id = await queued(hub, alice)
    before = login.log().count("Accepted publickey")
    assert login.cut()
    await until(lambda: login.log().count("Accepted publickey") > before, "a new connection")
    await asyncio.sleep(2)
    assert "pending" in await hub.server("alice")

    login.stop()
    await message_with(alice, "does not answer at the moment")
    hub.kill()
    await hub.start()  # while the login node is down
    assert job_id == (await hub.state("alice"))["job_id"]
    run("scontrol", "release", job_id)
    await until(lambda: "RUNNING" == slurm.job(job_id)["JobState"], "the job runs")
    login.start()
    await alice.wait_ready(timeout=PATIENCE)
    assert "42" == await alice.run_cell("6*7")

    login.stop()
    await asyncio.sleep(3)
    assert "42" == await alice.run_cell("6*7")
    hub.kill()
    await hub.start()
    assert "42" == await alice.run_cell("6*7")
    await until(checked, "JupyterHub has looked at the server")  # it stops none meanwhile
    stopping = asyncio.ensure_future(alice.api("DELETE", "users/alice/server"))
    stopping.add_done_callback(lambda task: task.cancelled() or task.exception())
    await asyncio.sleep(2)
    state = await hub.state("alice")
    assert {job_id} == slurm.active(name=hub.job_name)

    login.start()
    await nothing_left(slurm, state)
    await until(lambda: not private_files(state), "the private files are gone")


@pytest.mark.threat(
    who="node",
    tries="Another host answers in the place of the submit host.",
    stopped_by="A host key that is not the known one is refused, and no option loosens this.",
)
@pytest.mark.slurm
async def test_a_login_node_that_can_not_be_reached(
    hub: HubElsewhere, slurm: Slurm, login: LoginNode, alice: HubClient
) -> None:
    """A Hub starts also if the login node is down or shows another host key. Its log says what to
    do; whoever starts a server reads a plain sentence, and there is no job. With all in order, the
    next start works at once, without a restart of the Hub."""
    key = ""
    refused, changed = f"nothing listens on port {login.port}", "is not the one that the Hub's"
    for problem in (refused, changed):
        login.stop()
        if problem == changed:
            key = login.change_host_key()
            login.start()
        hub.kill()
        await hub.start()
        assert problem in hub.log()
        event = await failing_start(alice, "")
        assert "no connection to the submit host" in event["message"]
        assert "submit_host: " not in event["message"]
        assert set() == slurm.active(name=hub.job_name)

    login.stop()
    login.change_host_key(key)
    login.start()
    await start(alice)
    await alice.stop()


@pytest.mark.long
@pytest.mark.slurm
async def test_a_second_job(hub: HubElsewhere, slurm: Slurm, alice: HubClient) -> None:
    """A server is continued with a second job, and moves to it; its environment is copied on the
    login node."""
    with commands_folder({"server": SERVER}) as folder:
        hub.set("alice", cmd=[str(folder / "server")])
        await start(alice)
        first = await hub.state("alice")
        await offered(alice)
        await act(alice, "continue")
        await second_is_ready(alice)
        second = (await hub.state("alice"))["next"]
        await act(alice, "switch")
        assert {"mark": second["mark"], "user": "alice"} == await ask_server(alice, "who")
        await nothing_left(slurm, first)
        await alice.stop()
        await nothing_left(slurm, second)


OTHERS = [
    pytest.param(name, marks=getattr(pytest.mark, name)) for name in CLUSTERS if name != "slurm"
]


@pytest.mark.parametrize("cluster", OTHERS, indirect=True, scope="module")
async def test_other_schedulers(cluster: Cluster) -> None:
    """A server runs and stops also where only the login node can resolve the names of the nodes,
    and where what the Hub's settings leave open is looked up there."""
    if reason := why_not_elsewhere():
        pytest.skip(f"no Hub elsewhere: {reason}")
    with LoginNode(cluster) as node:
        async with started(HubElsewhere(cluster, node)) as hub:
            alice = await hub.client("alice")
            await start(alice)
            state = await hub.state("alice")
            host, _ = json.loads(await alice.run_cell(WHERE_AM_I))
            assert ("alice", host) == cluster.owner_and_host(state["job_id"])
            await alice.stop()
            await nothing_left(cluster, state)
