"""Hub and node on one host: a real Slurm whose only node is the Hub's own machine.

The Hub has JupyterHub's default address, 127.0.0.1, which no other host could reach.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.clusters import OneHostSlurm
from support.hub import HUB_ACCOUNT, USER_GROUP, RunningHub, find_program, running_hub, until
from support.journey import nothing_left, pending_page, start
from tornado.httpclient import AsyncHTTPClient

pytestmark = pytest.mark.one_host

WHO = "import json, os, socket; print(json.dumps([socket.gethostname(), os.getuid()]))"

LEAVES_ITS_PORT = """
import os, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(sys.argv[2].encode())
port = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"]).port
while True:
    server = ThreadingHTTPServer(("0.0.0.0", port), Handler)
    server.timeout = 0.1
    while not os.path.exists(sys.argv[1]):
        server.handle_request()
    server.server_close()
    while os.path.exists(sys.argv[1]):
        time.sleep(0.1)
"""
"""A server that leaves its port as long as a file exists."""


@pytest.fixture(scope="module")
async def hub(one_host: OneHostSlurm) -> AsyncIterator[RunningHub]:
    config = "c.Spawner.poll_interval = 1\nc.UniSpawner.resources = {'memory': '200M'}\n"
    async with running_hub(one_host, config=config) as running:
        yield running


@pytest.fixture
def folder() -> Iterator[Path]:
    """Give a folder that every account may read."""
    path = Path(tempfile.mkdtemp(prefix="unispawner-one-host-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@contextlib.contextmanager
def server_of(account: str, port: int) -> Iterator[int]:
    """Give the port of a server that an account runs outside of any job; 0 takes a free one."""
    code = (
        "import http.server, sys\n"
        f"s = http.server.HTTPServer(('0.0.0.0', {port}), http.server.SimpleHTTPRequestHandler)\n"
        "print(s.server_address[1], flush=True); s.serve_forever()\n"
    )
    process = subprocess.Popen(
        [*("setpriv", f"--reuid={account}", "--clear-groups", "--", "python3", "-c", code)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        text=True,
    )
    assert process.stdout
    try:
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def report(url: str, token: str, host: str, port: int, **headers: str) -> tuple[int, str]:
    """Report as a job does; return the status and the Hub's words."""
    response = await AsyncHTTPClient().fetch(
        f"{url}hub/api/unispawner/report",
        method="POST",
        body=json.dumps({"host": host, "port": port}),
        headers={"Authorization": f"token {token}", **headers},
        raise_error=False,
    )
    return response.code, str(json.loads(response.body).get("message", ""))


async def token_of(hub: RunningHub, user: str, name: str) -> str:
    """Return the token of a server, from its job's private file."""
    state = await hub.state(user, name)
    home = Path(pwd.getpwnam(user).pw_dir)
    text = (home / ".unispawner/jobs" / state["mark"] / "environment").read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("export JUPYTERHUB_API_TOKEN")]
    return str(line.partition("=")[2].strip("'\""))


async def test_two_users_on_the_hubs_own_host(hub: RunningHub, one_host: OneHostSlurm) -> None:
    """Servers on the Hub's own host get ready without any setting, each under its user's account,
    and kernels answer through the proxy."""
    users = [await hub.client(name) for name in ("alice", "bob")]
    await asyncio.gather(*map(start, users))
    states = [await hub.state(client.user) for client in users]
    outputs = await asyncio.gather(*(client.run_cell(WHO) for client in users))
    for client, output, state in zip(users, outputs, states, strict=True):
        host, uid = json.loads(output)
        assert (os.uname().nodename, pwd.getpwnam(client.user).pw_uid) == (host, uid)
        assert (client.user, host) == one_host.owner_and_host(state["job_id"])
    await asyncio.gather(*(client.stop() for client in users))
    for state in states:
        await nothing_left(one_host, state)


@pytest.mark.threat(
    who="job",
    tries="On the Hub's own host it reports the port of another program or of another user.",
    stopped_by="On the Hub's own host a report counts only if it comes from there, and if "
    "the job's account listens at that very address.",
)
async def test_forged_reports(hub: RunningHub, one_host: OneHostSlurm) -> None:
    """Of the ports of the Hub's host a job can report only those on which its own account listens,
    and only itself: not the Hub's, the proxy's, another user's, another host's, and not through the
    proxy. The user's page says why."""
    alice = await hub.client("alice")
    hub.set("alice", "forger", cmd=["sleep", "1000"])
    await alice.start("forger")
    state = await until(lambda: hub.state("alice", "forger"), "there is a job")
    await until(lambda: hub.job_id("alice", "forger"), "the job is submitted")
    token = await token_of(hub, "alice", "forger")
    direct = f"http://127.0.0.1:{hub.hub_port}/"
    proxy_api = int(hub._proxy_api_url.rpartition(":")[2])
    public = int(hub.url.rstrip("/").rpartition(":")[2])

    async def known() -> bool:
        return (await report(direct, token, "192.0.2.1", 40000))[0] == 409

    await until(known, "the scheduler says where the job runs")
    with server_of("bob", 0) as bobs, server_of("alice", 0) as hers:
        for host, port, words in (
            ("127.0.0.1", bobs, "alice does not listen on port"),
            ("127.0.0.1", hub.hub_port, "is a port of the Hub"),
            ("127.0.0.1", proxy_api, "is a port of the Hub"),
            ("127.0.0.1", public, "is a port of the Hub"),
            ("127.0.0.1", 6817, "alice does not listen|nothing listens"),
            ("192.0.2.1", hers, "the server reports 192.0.2.1"),
        ):
            status, message = await report(direct, token, host, port)
            assert 409 == status, (port, message)
            assert any(part in message for part in words.split("|")), message
        status, message = await report(hub.url, token, "127.0.0.1", hers)
        assert (409, True) == (status, "through the proxy" in message)
        forged = {"X-Forwarded-For": "127.0.0.1"}
        assert 409 == (await report(direct, token, "127.0.0.1", hers, **forged))[0]
        async for event in alice.progress("forger"):
            if "the Hub did not accept the report" in event["message"]:
                break
        assert "through the proxy" in event["message"]
        assert "forger" in await pending_page(alice, "forger")
        assert 200 == (await report(direct, token, "127.0.0.1", hers))[0]
    await alice.stop("forger")
    await nothing_left(one_host, state)


@pytest.mark.threat(
    who="other user",
    tries="They take a port that a server on the Hub's own host has left.",
    stopped_by="Each poll looks whether the job's account still listens there.",
)
async def test_a_port_that_its_server_has_left(
    hub: RunningHub, one_host: OneHostSlurm, folder: Path
) -> None:
    """If a server leaves its port, its route leads nowhere within a poll, also when another user
    takes the port, and comes back with the server. The job goes on."""
    alice = await hub.client("alice")
    left, script = folder / "left", folder / "server.py"
    script.write_text(LEAVES_ITS_PORT)
    hub.set("alice", "leaves", cmd=[sys.executable, str(script), str(left), "of alice"])
    await start(alice, "leaves")
    state: dict[str, Any] = await hub.state("alice", "leaves")

    async def target() -> str:
        return str((await hub.routes()).get("/user/alice/leaves"))

    async def leads(to: str) -> bool:
        return to == await target()

    place = await target()
    assert place.endswith(f":{state['port']}")
    assert b"of alice" == (await alice.request("GET", "user/alice/leaves/")).body
    left.touch()
    await until(lambda: leads("http://127.0.0.1:1"), "the route leads nowhere")
    with server_of("bob", state["port"]):
        await asyncio.sleep(3)
        assert "http://127.0.0.1:1" == await target()
    status = await hub.api("GET", "unispawner/servers/alice/leaves")
    assert "no longer listens" in status["message"]
    assert state["job_id"] in one_host.active()
    left.unlink()
    await until(lambda: leads(place), "the route leads to the server again")
    assert b"of alice" == (await alice.request("GET", "user/alice/leaves/")).body
    await alice.stop("leaves")
    await nothing_left(one_host, state)


async def test_a_server_that_the_hub_finds_again(hub: RunningHub, one_host: OneHostSlurm) -> None:
    """A server on the Hub's own host survives a restart of the Hub."""
    alice = await hub.client("alice")
    await start(alice, "stays")
    before = await hub.state("alice", "stays")
    hub.kill()
    await hub.start()

    async def answers() -> bool:
        with contextlib.suppress(Exception):
            return "42" == await alice.run_cell("6*7", "stays")
        return False

    await until(answers, "a kernel answers again", 60)
    after = await hub.state("alice", "stays")
    assert (before["port"], before["host"]) == (after["port"], after["host"])
    await alice.stop("stays")
    await nothing_left(one_host, after)


LEGACY = """
import os
os.environ["SLURM_CONF"] = {conf!r}
c.JupyterHub.spawner_class = "unispawner.SlurmSpawner"
c.Spawner.cmd = [{singleuser!r}]
c.Spawner.poll_interval = 1
c.BatchSpawnerBase.startup_poll_interval = 0.2
c.SlurmSpawner.req_memory = "200"
c.SlurmSpawner.req_options = "--job-name=legacy-one-host"
"""


async def test_a_legacy_class(one_host: OneHostSlurm, folder: Path) -> None:
    """A legacy class runs servers on the Hub's own host, as with batchspawner. If a server leaves
    its port, its route leads nowhere."""
    singleuser = find_program("jupyterhub-singleuser")
    config = LEGACY.format(conf=OneHostSlurm.conf(), singleuser=singleuser)
    sudoers = f"{HUB_ACCOUNT} ALL=(%{USER_GROUP}) NOPASSWD:SETENV: ALL"
    left, script = folder / "left", folder / "server.py"
    script.write_text(LEAVES_ITS_PORT)
    async with running_hub(one_host, config=config, sudoers=sudoers) as hub:
        alice = await hub.client("alice")
        await start(alice)
        assert "42" == await alice.run_cell("6*7")
        await alice.stop()
        hub.set("alice", "leaves", cmd=[sys.executable, str(script), str(left), "alice"])
        await start(alice, "leaves")

        async def is_dead() -> bool:
            return (await hub.routes()).get("/user/alice/leaves") == "http://127.0.0.1:1"

        assert not await is_dead()
        left.touch()
        await until(is_dead, "the route leads nowhere")
        await alice.stop("leaves")
