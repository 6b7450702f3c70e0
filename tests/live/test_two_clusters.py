"""One Hub with two clusters: two real Slurms, whose job ids and nodes' names are the same, and two
schedulers. The clusters' networks don't reach each other, so that each profile has its own address
of the Hub."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from support.clusters import Cluster, OneOfTwoSlurms, Slurm, cluster_of
from support.hub import RunningHub, running_hub, until
from support.journey import PATIENCE, start

from unispawner.admin.hub_client import HubClient

Two = tuple[OneOfTwoSlurms, OneOfTwoSlurms]

CONFIG = """
c.JupyterHub.spawner_class = "unispawner.ProfilesSpawner"
c.JupyterHub.hub_ip = "0.0.0.0"
c.JupyterHub.init_spawners_timeout = 1
c.Spawner.poll_interval = 1
profiles = {profiles!r}
for one in profiles:  # each cluster reaches the Hub at another address
    one["config"]["hub_connect_url"] = f"http://{{one['config'].pop('hub_ip')}}:{{c.JupyterHub.hub_port}}"
c.ProfilesSpawner.profiles = profiles
"""
WHERE = (
    "import json, os, socket; "
    'print(json.dumps([socket.gethostname(), os.environ["JUPYTERHUB_API_URL"]]))'
)


def config_of(clusters: dict[str, tuple[Cluster, dict[str, Any]]]) -> str:
    """Return a configuration with a profile for each cluster, of that name."""
    profiles = [
        {"display_name": name, "slug": name, "config": {"hub_ip": cluster.hub_ip, **settings}}
        for name, (cluster, settings) in clusters.items()
    ]
    return CONFIG.format(profiles=profiles)


def settings_of(two: Two, way: str) -> dict[str, tuple[Cluster, dict[str, Any]]]:
    """Return each cluster with the settings of its profile: by -M, or by its own slurm.conf."""
    result: dict[str, tuple[Cluster, dict[str, Any]]] = {}
    for one in two:
        name = one.cluster
        chosen: dict[str, Any] = {"slurm_cluster": name}
        if way == "SLURM_CONF":
            chosen = {"scheduler_environment": one.environment, "cluster": name}
        # Both clusters have a node1, and the Hub's host knows the nodes by other names.
        result[name] = (one, {**chosen, "host_map": {r"node(\d)": rf"{name}\1"}})
    return result


async def same_next_id(two: Two) -> None:
    """Submit jobs to the cluster that has had fewer, until the next ids of both are the same."""
    last = {one: one.submit_held("alice") for one in two}
    while len(set(last.values())) > 1:
        behind = min(last, key=last.__getitem__)
        last[behind] = await asyncio.to_thread(behind.submit_held, "alice")


async def child_state(hub: RunningHub, name: str) -> dict[str, Any]:
    return dict((await hub.state("alice", name)).get("child_state") or {})


async def status(alice: HubClient, name: str) -> dict[str, Any]:
    """Return what the Hub's API says about a server."""
    return dict(await alice.api("GET", f"unispawner/servers/alice/{name}"))


async def where(alice: HubClient, name: str) -> tuple[str, str]:
    """Return the host of a server's kernel, and the address of the Hub's API there."""
    host, url = json.loads(await alice.run_cell(WHERE, name))
    return host, url


async def start_both(hub: RunningHub, alice: HubClient, names: tuple[str, str]) -> list[str]:
    """Start a server of each profile; return the jobs' ids."""
    for name in names:
        await alice.start(name, {"profile": name})
    await asyncio.gather(*(alice.wait_ready(name, timeout=PATIENCE) for name in names))
    return [(await child_state(hub, name))["job_id"] for name in names]


@pytest.fixture(scope="module", params=["-M", "SLURM_CONF"])
async def hub(request: pytest.FixtureRequest, two_slurms: Two) -> AsyncIterator[RunningHub]:
    """Give a Hub with a profile for each Slurm, which `-M` or their own slurm.conf chooses."""
    config = config_of(settings_of(two_slurms, request.param))
    async with running_hub(two_slurms[0], config=config) as running:
        yield running
    two_slurms[1].cancel_named(running.job_name)


@pytest.mark.two_slurms
async def test_the_same_job_id_on_both(hub: RunningHub, two_slurms: Two) -> None:
    """Jobs of one id on two clusters are two jobs: each server is where its own job is, also after
    a restart of the Hub; stopping one ends that one only, and so does its end."""
    alpha, beta = two_slurms
    alice = await hub.client("alice")
    await same_next_id(two_slurms)
    one, other = await start_both(hub, alice, ("alpha", "beta"))
    assert one == other
    for cluster in two_slurms:
        api = f"http://{cluster.hub_ip}:{hub.hub_port}/hub/api"
        host, url = await where(alice, cluster.cluster)
        assert (cluster.cluster, api) == (host[:-1], url)
        found = await status(alice, cluster.cluster)
        assert ("Slurm", cluster.cluster) == (found["scheduler"], found["cluster"])
        assert ("node1", one) == (found["exec_host"], found["job_id"])
    inventory = await alice.api("GET", "unispawner/inventory")
    assert {"alpha", "beta"} == set(inventory["clusters"])
    hub.kill()
    await hub.start()
    assert "alpha" == (await where(alice, "alpha"))[0][:-1]
    await alice.stop("alpha")
    assert one not in alpha.active()
    assert one in beta.active()
    assert "beta" == (await where(alice, "beta"))[0][:-1]
    beta.cancel(one, "alice")

    async def gone() -> bool:
        return "beta" not in await alice.servers()

    await until(gone, "the Hub knows that the job has ended", PATIENCE)
    assert "printed lines that do not belong" not in hub.log()


@pytest.mark.two_slurms
@pytest.mark.parametrize("hub", ["-M"], indirect=True)
async def test_one_cluster_is_down(hub: RunningHub, two_slurms: Two) -> None:
    """While one cluster's controller is down, its servers are unknown and not gone, also after a
    restart of the Hub, and servers start on the other cluster."""
    _, beta = two_slurms
    alice = await hub.client("alice")
    await alice.start("beta", {"profile": "beta"})
    await alice.wait_ready("beta", timeout=PATIENCE)
    beta.kill_controller()
    try:

        async def unheard() -> bool:
            return not (await status(alice, "beta"))["heard"]

        await until(unheard, "the Hub knows that beta does not answer", PATIENCE)
        hub.kill()
        await hub.start()
        await alice.start("alpha", {"profile": "alpha"})
        await alice.wait_ready("alpha", timeout=PATIENCE)
        assert (await status(alice, "alpha"))["heard"]
        assert "beta" == (await where(alice, "beta"))[0][:-1]
    finally:
        await asyncio.to_thread(beta.bring_up)
    assert "Slurm (beta) gave no answer that can be read" in hub.log()
    assert "Slurm (alpha) gave no answer" not in hub.log()
    for name in ("alpha", "beta"):
        await alice.stop(name)
    assert not beta.active(name=hub.job_name)


@pytest.mark.two_slurms
async def test_a_cluster_that_does_not_exist(two_slurms: Two) -> None:
    """The Hub does not start with the name of a cluster that the database does not know, and says
    which profile and setting it is."""
    settings = settings_of(two_slurms, "-M")
    settings["beta"][1]["slurm_cluster"] = "betta"
    with pytest.raises(
        AssertionError, match="profile 'beta': slurm_cluster: .* no cluster 'betta'"
    ):
        async with running_hub(two_slurms[0], config=config_of(settings)):
            pass


@pytest.mark.slurm
@pytest.mark.htcondor
async def test_two_schedulers(slurm: Slurm) -> None:
    """One Hub has servers on Slurm and on HTCondor, each with its own scheduler, commands and
    network. Both are there after a restart of the Hub, and stopping one leaves the other."""
    condor = cluster_of("htcondor")
    clusters: dict[str, tuple[Cluster, dict[str, Any]]] = {
        one.name: (
            one,
            {
                "scheduler": one.name,
                "scheduler_path": one.path,
                "scheduler_environment": one.environment,
            },
        )
        for one in (slurm, condor)
    }
    async with running_hub(slurm, config=config_of(clusters)) as hub:
        alice = await hub.client("alice")
        slurm_job, condor_job = await start_both(hub, alice, ("slurm", "htcondor"))
        for name, (cluster, _) in clusters.items():
            api = f"http://{cluster.hub_ip}:{hub.hub_port}/hub/api"
            assert api == (await where(alice, name))[1]
        hub.kill()
        await hub.start()
        await alice.stop("slurm")
        assert slurm_job not in slurm.active(user="alice")
        assert condor_job in condor.active(user="alice")
        assert "42" == await alice.run_cell("6*7", "htcondor")
        await start(alice, "slurm")
        await alice.stop("htcondor")
        assert condor_job not in condor.active(user="alice")
        assert "42" == await alice.run_cell("6*7", "slurm")
        await alice.stop("slurm")
