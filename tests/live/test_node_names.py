"""A Hub that can't resolve the names of the nodes, which reach each other by others."""

from __future__ import annotations

import pytest
from support.clusters import Slurm
from support.hub import running_hub, until
from support.journey import nothing_left, start

pytestmark = pytest.mark.slurm

RESOLVER = """
import socket
resolve = socket.getaddrinfo
def getaddrinfo(host, *arguments, **options):
    # The Hub knows the nodes only by the names of their InfiniBand, as many a head node does.
    short = str(host).partition(".")[0]
    if short in ("node1", "node2", "node3", "node4", "c3"):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    return resolve(host[:-3] if str(host).endswith("-ib") else host, *arguments, **options)
socket.getaddrinfo = getaddrinfo
"""


@pytest.mark.parametrize(
    "host_map",
    [
        'c.UniSpawner.host_map = {r"(node\\d+)": r"\\1-ib"}',
        "",  # then Slurm's NodeAddr counts
    ],
    ids=["patterns", "NodeAddr"],
)
async def test_host_map_alone_is_enough(slurm: Slurm, host_map: str) -> None:
    """A server gets ready with host_map and no other setting, and with Slurm's NodeAddr without
    it."""
    config = f"{RESOLVER}\n{host_map}\nc.UniSpawner.custom_attributes = {{'slurm.w': 'node1'}}\n"
    async with running_hub(slurm, config=config) as hub:
        alice = await hub.client("alice")
        await start(alice)
        state = await hub.state("alice")
        assert slurm.node("node1")["NodeAddr"] == state["host"]
        await alice.stop()
        await nothing_left(slurm, state)


async def test_the_page_says_what_is_missing(slurm: Slurm) -> None:
    """The user's page says that the Hub can't resolve the node's name, and which setting helps."""
    config = f"{RESOLVER}\nc.UniSpawner.host_map = {{'node1': 'node1.invalid'}}\n"
    config += "c.UniSpawner.custom_attributes = {'slurm.w': 'node1'}\n"
    async with running_hub(slurm, config=config) as hub:
        alice = await hub.client("alice")
        await alice.start()

        async def told() -> str:
            status = await hub.api("GET", "unispawner/servers/alice")
            return status["message"] if "accept" in status["message"] else ""

        message = await until(told, "the page says why the server is not ready")
        assert "can't resolve 'node1.invalid'" in message
        assert "c.UniSpawner.host_map" in message
        await alice.stop()
