"""A server's whole way and what can go wrong: a real Hub and proxy, each scheduler, two users.

Each test uses its own server names, so that no test meets what another has left.
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import json
import os
import pwd
import secrets
import socket
import time
from collections.abc import AsyncIterator
from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pytest
from support.attacks import LISTED_SECRET
from support.clusters import CLUSTERS, Cluster
from support.eyes import assert_hidden, assert_seen_by_alice
from support.hub import RunningHub, running_hub, until
from support.journey import (
    PATIENCE,
    failed_event,
    failing_start,
    job_folders,
    log_of,
    nothing_left,
    nothing_new,
    pending_page,
    private_files,
    refused_start,
    server_gone,
    start,
)

from unispawner.admin.hub_client import HubClient, HubClientError

SECRET = secrets.token_hex(16)

WHERE_AM_I = """
import json, os, socket
print(json.dumps([socket.gethostname(), os.getuid(), os.environ.get(%r)]))
"""


@pytest.fixture(scope="module")
async def hub(cluster: Cluster) -> AsyncIterator[RunningHub]:
    """Give a Hub on each scheduler in turn, whose time zone is not the scheduler's."""
    async with running_hub(cluster, prefix=["env", "TZ=Asia/Tokyo"]) as running:
        yield running


@pytest.fixture(scope="module")
async def bob(hub: RunningHub) -> HubClient:
    return await hub.client("bob")


@pytest.mark.threat(
    who="other user",
    tries="They open the URL of somebody else's server.",
    stopped_by="JupyterHub lets in only those who may access the server.",
)
@pytest.mark.hub
async def test_two_users_at_once(
    hub: RunningHub, cluster: Cluster, alice: HubClient, bob: HubClient
) -> None:
    """A kernel answers from a job on another host, with the user's own uid. No user reaches the
    other's server. After a stop, the job and its private files are gone and the log stays, and the
    history has what the job has used, where there is an accounting."""
    users = [alice, bob]
    await asyncio.gather(*map(start, users))
    states = [await hub.state(client.user) for client in users]
    code = WHERE_AM_I % cluster.job_variable
    outputs = await asyncio.gather(*(client.run_cell(code) for client in users))

    for client, output, state in zip(users, outputs, states, strict=True):
        host, uid, job_id = json.loads(output)
        assert (state["job_id"] if cluster.job_variable else None) == job_id
        assert pwd.getpwnam(client.user).pw_uid == uid
        assert (client.user, host) == cluster.owner_and_host(state["job_id"])
        assert socket.gethostname() != host
        assert {state["job_id"]} == cluster.active(user=client.user, name=hub.job_name)
        assert {"cluster", "environment", "job_id"} == set(private_files(state)) - {"script"}

    await _bob_is_kept_out(alice, bob, states[0])

    await asyncio.gather(*(client.stop() for client in users))
    for state in states:
        await nothing_left(cluster, state)
        assert os.path.exists(log_of(state))
    assert {"/"} == set(await hub.routes())
    if cluster.accounts:
        sessions = [
            await until(partial(_used, one), "what was used is known", 60, 1.0) for one in users
        ]
        for state, session in zip(states, sessions, strict=True):
            assert state["job_id"] == session["job_id"]
            assert 2**20 < session["used"]["memory"] < 4 * 2**30
            assert 0 <= session["used"]["seconds"] < PATIENCE


async def _used(client: HubClient) -> dict[str, Any] | None:
    """Return the newest session of the default server, if it is known what it has used."""
    sessions: list[dict[str, Any]] = (await client.api("GET", "unispawner/history"))["sessions"]
    newest = next((one for one in sessions if not one["server"]), None)
    return newest if newest and newest["used"] else None


async def test_the_time_that_is_left(hub: RunningHub, alice: HubClient) -> None:
    """A Hub in another time zone than the scheduler knows when a job began and how long it has."""
    hub.set("alice", "clock", duration="0:30:00")
    before = time.time()
    await start(alice, "clock")

    async def with_times() -> dict[str, Any] | None:
        status: dict[str, Any] = await hub.api("GET", "unispawner/servers/alice/clock")
        return status if status["started"] and status["ends"] else None

    status = await until(with_times, "the scheduler says when the job began and ends")
    began = datetime.fromisoformat(status["started"].replace("Z", "+00:00")).timestamp()
    assert before - 2 <= began <= time.time() + 2
    assert 25 * 60 < status["time_left"] <= 31 * 60
    assert status["ending_soon"] is False
    await alice.stop("clock")


async def _bob_is_kept_out(alice: HubClient, bob: HubClient, state: dict[str, Any]) -> None:
    # Through the proxy, with bob's session: OAuth says no.
    for path in ("", "lab", "api/kernels", "api/contents"):
        answer = await bob.request("GET", bob.server_url(owner="alice") + path)
        assert 403 == answer.code, path
    with pytest.raises(HubClientError) as refused:
        await bob.run_cell("6*7", owner="alice")
    assert 403 == refused.value.status
    # At the node's port, without a token.
    node = f"http://{state['host']}:{state['port']}/user/alice/"
    assert 403 == (await bob.request("GET", node + "api/contents", follow=False)).code
    page = await bob.request("GET", node + "lab", follow=False)
    assert 302 == page.code
    assert "/hub/api/oauth2/authorize" == urlsplit(page.headers["Location"]).path


REFUSED = [
    pytest.param(name, server, marks=getattr(pytest.mark, name))
    for name, cls in CLUSTERS.items()
    for server in cls.refused
]


@pytest.mark.hub
@pytest.mark.parametrize(("cluster", "name"), REFUSED, indirect=["cluster"], scope="module")
async def test_refused_submission(
    hub: RunningHub, cluster: Cluster, alice: HubClient, name: str
) -> None:
    """If the scheduler refuses the job, its user reads its own words, by the API and on the page;
    no job and no file is left."""
    settings, words = cluster.refused[name]
    hub.set("alice", name, **settings)
    assert words in await refused_start(alice, name)
    await alice.request("GET", f"hub/spawn/alice/{name}")  # the page starts the server once more

    async def page_shows_words() -> bool:
        return words in html.unescape(await pending_page(alice, name))

    await until(page_shows_words, "the page shows why the job was refused", PATIENCE)
    assert name not in await alice.servers()
    assert {} == await hub.state("alice", name)
    assert set() == cluster.active(user="alice", name=hub.job_name)


async def test_a_job_that_can_never_start(
    hub: RunningHub, cluster: Cluster, alice: HubClient
) -> None:
    """The page of a job that can never start shows the scheduler's reason, and DELETE cancels the
    job while it waits."""
    settings, words = cluster.too_much
    hub.set("alice", "too-much", check_nodes=False, **settings)
    await alice.start("too-much")
    state = await _waits_for(hub, alice, "too-much", words)
    assert state["job_id"] in cluster.active(user="alice", name=hub.job_name)
    await alice.stop("too-much")
    await nothing_left(cluster, state)


STUCK = [
    pytest.param(name, marks=getattr(pytest.mark, name))
    for name, cls in CLUSTERS.items()
    if cls.stuck is not None
]


@pytest.mark.parametrize("cluster", STUCK, indirect=True, scope="module")
async def test_a_job_that_is_stuck(hub: RunningHub, cluster: Cluster, alice: HubClient) -> None:
    """A job that the scheduler gives up but keeps fails at once, with its reason, and is removed
    from the queue."""
    assert cluster.stuck
    settings, words = cluster.stuck
    hub.set("alice", "stuck", **settings)
    before = job_folders("alice")
    with contextlib.suppress(HubClientError):  # it may fail before or after the answer
        await alice.start("stuck")

    async def is_shown() -> bool:
        return words in html.unescape(await pending_page(alice, "stuck"))

    await until(is_shown, f"the page says {words!r}", PATIENCE)
    await nothing_new(hub, cluster, "alice", before)


async def _waits_for(
    hub: RunningHub, client: HubClient, server_name: str, words: str
) -> dict[str, Any]:
    """Follow the progress until it shows a reason; return the server's state."""

    async def follow() -> None:
        async for event in client.progress(server_name):
            if words in event["message"]:
                return
        raise AssertionError(f"the progress ended without {words!r}")

    await asyncio.wait_for(follow(), PATIENCE)
    return await hub.state(client.user, server_name)


@pytest.mark.hub
async def test_cancelled_while_running(hub: RunningHub, cluster: Cluster, alice: HubClient) -> None:
    """If a running job is cancelled at the command line, the Hub notices soon, and nothing is
    left."""
    await start(alice, "cancelled")
    state = await hub.state("alice", "cancelled")
    cluster.cancel(state["job_id"], "alice")
    await server_gone(alice, "cancelled", 20)
    await nothing_left(cluster, state)
    assert "/user/alice/cancelled" not in await hub.routes()
    assert {} == await hub.state("alice", "cancelled")


@pytest.mark.hub
async def test_cancelled_while_pending(hub: RunningHub, cluster: Cluster, alice: HubClient) -> None:
    """If a waiting job is cancelled at the command line, its user reads so."""
    settings, words = cluster.held
    hub.set("alice", "never", **settings)
    await alice.start("never")
    state = await _waits_for(hub, alice, "never", words)
    cluster.cancel(state["job_id"], "alice")
    event = await failed_event(alice, "never")
    assert cluster.cancelled in event["message"]
    assert cluster.cancelled in html.unescape(await pending_page(alice, "never"))
    await nothing_left(cluster, state)


@pytest.mark.threat(
    who="user",
    tries="They write HTML into a job's log or into a text that the scheduler prints.",
    stopped_by="All foreign text on a page is escaped.",
)
@pytest.mark.hub
async def test_job_that_dies_early(hub: RunningHub, cluster: Cluster, alice: HubClient) -> None:
    """The user of a job that fails early sees its last state and the last lines of its log, whose
    HTML is escaped."""
    script = "<script>alert('x')</script>"
    hub.set("alice", "dies", prologue=f'echo "{script}"; echo no such licence; exit 3')
    before = job_folders("alice")
    event = await failing_start(alice, "dies")
    assert cluster.died in event["message"]
    page = await pending_page(alice, "dies")
    for text in (event["html_message"], page):
        assert cluster.died in text
        assert "no such licence" in text
        assert html.escape(script) in text
        assert script not in text
    await nothing_new(hub, cluster, "alice", before)


async def test_user_without_an_account(hub: RunningHub) -> None:
    """A user without a system account reads so, and what an administrator can do."""
    nobody = await hub.client("unispawner-stranger")
    message = await refused_start(nobody)
    assert "There is no account 'unispawner-stranger' on the Hub's host" in message
    assert "c.UniSpawner.account_name" in message
    page = html.unescape(await pending_page(nobody, ""))
    assert "There is no account 'unispawner-stranger'" in page


@pytest.mark.threat(
    who="user",
    tries="They log in under a name whose account is root or a system account.",
    stopped_by="Uid 0 and uids below min_uid are refused on both sides.",
)
async def test_system_account(hub: RunningHub) -> None:
    """root and system accounts can't run servers, even if the Hub's authenticator lets them in."""
    for name in ("root", "daemon"):
        client = await hub.client(name)
        message = await refused_start(client)
        assert f"The account {name} has uid {pwd.getpwnam(name).pw_uid}" in message


@pytest.mark.hub
async def test_named_servers(hub: RunningHub, cluster: Cluster, alice: HubClient) -> None:
    """A user's named servers are separate jobs with separate addresses; stopping one leaves the
    other."""
    names = ["one", "two"]
    await asyncio.gather(*(start(alice, name) for name in names))
    states = [await hub.state("alice", name) for name in names]
    assert states[0]["job_id"] != states[1]["job_id"]
    answers = await asyncio.gather(*(alice.run_cell("6*7", name) for name in names))
    assert ["42", "42"] == answers

    await alice.stop("one", remove=True)
    await nothing_left(cluster, states[0])
    assert ["two"] == list(await alice.servers())
    assert "42" == await alice.run_cell("6*7", "two")
    await alice.stop("two")
    await nothing_left(cluster, states[1])


async def test_server_that_never_reports(
    hub: RunningHub, cluster: Cluster, alice: HubClient
) -> None:
    """A job whose server never listens is cancelled, and the error names the address that nodes
    must reach."""
    hub.set("alice", "silent", report_timeout=3, cmd=["sleep", "1000"])
    before = job_folders("alice")
    event = await failing_start(alice, "silent")
    assert "its server has not reported" in event["message"]
    assert f"http://{hub.hub_ip}:{hub.hub_port}/hub/api" in event["message"]
    await nothing_new(hub, cluster, "alice", before)


@pytest.mark.threat(**LISTED_SECRET)
async def test_another_user_sees_no_secret(
    hub: RunningHub, cluster: Cluster, alice: HubClient
) -> None:
    """Another user finds neither the server's token nor a value of its environment: not in the
    listings of the scheduler's commands, not in the arguments or environment of a process, not in a
    file of the nodes' spool folders, the users' homes or the usual temporary folders. The same
    search finds them for the server's own user."""
    value = f'a {SECRET} with = and " in it'
    hub.set("alice", "secret", environment={"UNISPAWNER_TEST": value})
    await start(alice, "secret")
    names = "JUPYTERHUB_API_TOKEN", "UNISPAWNER_TEST"
    code = f"import json, os; print(json.dumps([os.environ[name] for name in {names}]))"
    token, found = json.loads(await alice.run_cell(code, "secret"))
    assert value == found
    words = [token, SECRET]
    assert all(len(word) >= 32 for word in words)
    state = await hub.state("alice", "secret")
    await assert_hidden(cluster, state["job_id"], words)
    environment = f"/home/alice/.unispawner/jobs/{state['mark']}/environment"
    await assert_seen_by_alice(environment, words)
    await alice.stop("secret")
