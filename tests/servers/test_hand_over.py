"""A server that is continued with a second job, on a fake scheduler, in a real Hub's application.

The same on a real Slurm, with a Hub that is killed, is in tests/live/test_hand_over.py.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from jupyterhub import orm
from jupyterhub.objects import Server as ServerRow
from support.hub import until
from support.hub_app import NODE, OTHER, PATIENCE, FakeSpawner, Hub, Server, hub_app
from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.web import create_signed_value

from unispawner.errors import InvalidJobError, SubmitError, UniSpawnerError
from unispawner.job import JobState
from unispawner.monitor import rhythm
from unispawner.run_as.accounts import Account
from unispawner.servers import (
    address,
    endings,
    hand_over,
    history,
    notices,
    session_ties,
    starts,
)
from unispawner.servers.hand_over import HandOver
from unispawner.servers.scheduled_job import ScheduledJob, restart
from unispawner.servers.state import DEAD_ADDRESS, ServerState
from unispawner.submit_host.host import SubmitHost
from unispawner.web import continuation
from unispawner.web.allowance import AllowanceByUser
from unispawner.web.per_hub import PerHub

pytestmark = pytest.mark.filterwarnings("ignore:The `version` property of an event schema")
PORT, SECOND_PORT = 2000, 3000


@pytest.fixture(scope="module")
async def hub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hub]:
    async with hub_app(tmp_path_factory.mktemp("hub")) as found:
        yield found


class Running(Server):
    """ada's server, which runs, is ready, and ends soon.

    Attributes
    ----------
    routes
        The addresses to which the proxy was told to send her, in order.
    """

    def __init__(self, hub: Hub, spawner: FakeSpawner) -> None:
        super().__init__(spawner)
        self.hub = hub
        self.routes: list[tuple[str, int]] = []

    async def ready(self) -> Running:
        await self.submitted()
        self.run(self.job, NODE)
        await self.refresh()
        assert 200 == (await self.report(self.job, NODE, PORT)).code
        await asyncio.wait_for(self.start, PATIENCE)
        row = orm.Server(proto="http", ip=NODE, port=PORT, base_url="/user/ada/")
        self.hub.app.db.add(row)
        self.hub.app.db.commit()
        self.spawner.server = ServerRow(orm_server=row)
        self.spawner.server_job.commit()
        assert self.spawner.ready
        return self

    @property
    def job(self) -> ScheduledJob:
        return self.spawner.server_job

    @property
    def second(self) -> ScheduledJob:
        found = self.job.second.job
        assert isinstance(found, ScheduledJob)
        return found

    @property
    def where_users_go(self) -> tuple[str, int]:
        """What is saved of the route."""
        return self.spawner.server.ip, self.spawner.server.port

    @property
    def saved(self) -> dict[str, Any]:
        """What the next Hub would read."""
        self.hub.app.db.expire_all()
        state: dict[str, Any] = self.spawner.orm_spawner.state
        return state

    def run(self, job: ScheduledJob, host: str) -> None:
        """Let a job run on a host, near the end of its time."""
        now = time.time()
        times = {"start_time": now - 3000, "estimated_end": now + 300}
        self.spawner.fake.change(job.state.job_id, JobState.RUNNING, exec_host=host, **times)

    async def refresh(self) -> None:
        """Return when the Hub knows all that the scheduler says."""
        known = self.spawner.fake.jobs
        followed = list(self.spawner.monitor().jobs)
        while any(
            (one.info is None or (one.info.state, one.info.estimated_end))
            != (known[one.job_id].state, known[one.job_id].estimated_end)
            for one in followed
        ):
            await self.spawner.monitor().refresh(PATIENCE)

    async def report(
        self, job: ScheduledJob | None, host: str, port: int, **more: Any
    ) -> HTTPResponse:
        mark = {} if job is None else {"mark": job.state.mark}
        return await self.hub.post({"host": host, "port": port, **mark, **more}, self.token)

    async def go_on(self) -> ScheduledJob:
        await asyncio.wait_for(self.spawner.hand_over.go_on(), PATIENCE)
        return self.second

    async def second_ready(self, host: str = OTHER) -> ScheduledJob:
        """Continue the server, and let the second job's server report."""
        second = await self.go_on()
        self.run(second, host)
        await self.refresh()
        assert 200 == (await self.report(second, host, SECOND_PORT)).code
        return second

    def alive(self) -> set[str]:
        return {one for one, info in self.spawner.fake.jobs.items() if not info.state.final}


@pytest.fixture
async def server(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Running]:
    """Give ada's server, which is ready and ends in five minutes."""
    monkeypatch.setattr(rhythm, "FAST_INTERVAL", 0.02)
    monkeypatch.setattr(rhythm, "LARGEST_SHARE", 1.0)
    monkeypatch.setattr(address, "REPORT_WAITS", 0.2)
    monkeypatch.setattr(restart, "_FIRST_ANSWER", 0.5)
    monkeypatch.setattr(hand_over, "PACE", PerHub(lambda: AllowanceByUser(10, 3600.0)))
    spawner: FakeSpawner = hub.user("ada").spawners[""]
    found = Running(hub, spawner)

    async def add_user(user: Any, name: str) -> None:
        found.routes.append(found.where_users_go)

    monkeypatch.setattr(hub.app.proxy, "add_user", add_user)
    yield await found.ready()
    FakeSpawner.side.error = None
    await asyncio.wait_for(spawner.stop(), PATIENCE)
    spawner.clear_state()
    spawner.server = None
    hub.app.db.commit()
    await until(lambda: not recorded(hub), "all ends are confirmed", PATIENCE)
    assert set() == found.alive()
    spawner._spawn_pending, spawner._spawn_future = False, None


def recorded(hub: Hub) -> dict[str, dict[str, Any]]:
    """Return the saved states of jobs that are being ended, by mark."""
    return {one.mark: one.state for one in endings.read_all(hub.app.db)}


# -- the way that it usually goes -----------------------------------------------------------------


async def test_a_second_job_has_the_same_token_and_nothing_else_of_the_first(
    server: Running,
) -> None:
    """The second job has its own mark and id; it gets the first one's environment, which the Hub
    does not send, and its state has the same token."""
    first, second = server.job, await server.go_on()
    request = server.spawner.side.asked("submit")[-1]
    assert first.state.mark == request["environment_of"]
    assert {} == request["spec"]["environment"]
    assert second.state.mark == request["spec"]["mark"] != first.state.mark
    assert (first.state.token_id, first.state.token_created) == (
        second.state.token_id,
        second.state.token_created,
    )
    assert {first.state.job_id, second.state.job_id} == server.alive()
    await server.refresh()
    assert "queued" == server.spawner.hand_over.status().state


async def test_a_switch_moves_the_route_and_ends_the_first_job(server: Running) -> None:
    """Only the user's switch moves the route of a server that runs. Then the first job is ended,
    its files are removed, and the server is ready all the time."""
    first = server.job
    second = await server.second_ready()
    assert ((NODE, PORT), []) == (server.where_users_go, server.routes)
    assert "ready" == server.spawner.hand_over.status().state
    await server.spawner.hand_over.switch()
    assert (OTHER, SECOND_PORT) == server.where_users_go
    assert server.job is second
    await until(lambda: {second.state.job_id} == server.alive(), "the first job ends", PATIENCE)
    await until(lambda: not recorded(server.hub), "its end is confirmed", PATIENCE)
    assert [(OTHER, SECOND_PORT)] == server.routes
    assert server.spawner.ready
    assert await server.spawner.poll() is None
    assert (second.state.mark, {}) == (server.saved["mark"], server.saved["next"])
    assert first.state.mark == server.spawner.side.asked("cleanup")[-1]["mark"]
    assert {second.state.job_id} == {one.job_id for one in server.spawner.monitor().jobs}


async def test_a_server_can_be_continued_again(server: Running) -> None:
    """The second job of a server can be followed by a third."""
    await server.second_ready()
    await server.spawner.hand_over.switch()
    third = await server.second_ready(NODE)
    await server.spawner.hand_over.switch()
    assert (server.job is third, (NODE, SECOND_PORT)) == (True, server.where_users_go)


async def test_a_second_click_begins_no_third_job(server: Running) -> None:
    """Two clicks, at once and later, begin one second job."""
    both = [server.spawner.hand_over.go_on() for _ in range(2)]
    await asyncio.wait_for(asyncio.gather(*both), PATIENCE)
    await server.spawner.hand_over.go_on()
    assert 2 == len(server.alive())


async def test_continuing_and_giving_up_in_a_loop(server: Running) -> None:
    """A user who does it again and again submits a few jobs, and then reads that it was too often.
    The server goes on."""
    token = server.spawner.user.new_api_token(scopes=["servers!user"])
    url = f"{server.hub.url}/unispawner/servers/ada/continue"
    headers = {"Authorization": f"token {token}"}
    codes, before = [], len(server.spawner.side.asked("submit"))
    for _ in range(12):
        answer = await AsyncHTTPClient().fetch(
            url, method="POST", body="", headers=headers, raise_error=False
        )
        codes.append(answer.code)
        await server.spawner.hand_over.give_up()
    assert 10 * [200] + 2 * [429] == codes
    assert "60" == answer.headers["Retry-After"]
    assert continuation.TOO_OFTEN == json.loads(answer.body)["message"]
    assert before + 10 == len(server.spawner.side.asked("submit"))
    assert {server.job.state.job_id} == server.alive()


async def test_the_history_ties_both_jobs(server: Running) -> None:
    """The session of the second job names the one that it continues, in the API and on the page,
    before and after the switch."""
    first, second = server.job.state, (await server.second_ready()).state
    user = server.spawner.user
    token = user.new_api_token()

    async def ties() -> dict[str, str]:
        answer = await server.hub.get("unispawner/history", token)
        sessions = json.loads(answer.body)["sessions"]
        return {one["mark"]: one["continues"] for one in sessions}

    async def is_tied() -> bool:
        return (await ties()).get(second.mark) == first.mark

    await until(is_tied, "the sessions are tied", PATIENCE)
    await server.spawner.hand_over.switch()
    assert (True, "") == (await is_tied(), (await ties())[first.mark])
    user.cookie_id = user.cookie_id or "a cookie"
    server.hub.app.db.commit()
    cookie = create_signed_value(b"x" * 32, "jupyterhub-hub-login", user.cookie_id).decode()
    page = await AsyncHTTPClient().fetch(
        server.hub.url.removesuffix("api") + "unispawner/history",
        headers={"Cookie": f"jupyterhub-hub-login={cookie}"},
    )
    assert 1 == page.body.decode().count(f"Continued the server of job {first.job_id}")
    assert await history.delete_sessions(server.hub.app.db, "ada", second.mark)
    assert second.mark not in session_ties.read(server.hub.app.db, "ada")


async def test_a_second_job_that_is_given_up(server: Running) -> None:
    """The user's DELETE ends the second job; the first goes on, and nothing is saved of the
    second."""
    first, _ = server.job, await server.second_ready()
    await server.spawner.hand_over.give_up()
    assert {first.state.job_id} == server.alive()
    assert ({}, "") == (server.saved["next"], server.spawner.hand_over.status().message)
    assert server.spawner.hand_over.status().offered


async def test_reap_takes_both_jobs_for_the_servers_own(server: Running) -> None:
    """The marks of both jobs are known, in the memory of the Hub and in its database."""
    second = await server.go_on()
    both = {server.job.state.mark, second.state.mark}
    users = {server.spawner.user.id: server.spawner.user}
    assert both == {one.mark for one in starts.read_running(users)}
    known = starts.KnownStarts()
    for _ in starts.read_saved(server.hub.app.db, known):
        pass
    assert both == {one.mark for one in known.starts}
    assert server.alive() == {one.job_id for one in known.starts}


# -- what goes wrong ------------------------------------------------------------------------------


async def test_a_first_job_that_ends_while_the_second_is_ready(server: Running) -> None:
    """The route moves by itself when the first job ends, and the server stays ready."""
    first, second = server.job, await server.second_ready()
    server.spawner.fake.change(first.state.job_id, JobState.COMPLETED)
    await server.refresh()
    await until(lambda: [(OTHER, SECOND_PORT)] == server.routes, "the route moves", PATIENCE)
    assert (second, None) == (server.job, await server.spawner.poll())
    assert server.spawner.ready


async def test_a_first_server_that_ends_while_the_second_is_ready(server: Running) -> None:
    """The first one's own report of its end moves the route at once, and its job is ended."""
    first, second = server.job, await server.second_ready()
    assert 200 == (await server.report(first, NODE, PORT, event="ended", status=0)).code
    assert (second, (OTHER, SECOND_PORT)) == (server.job, server.where_users_go)
    await until(lambda: {second.state.job_id} == server.alive(), "the first ends", PATIENCE)


async def test_a_first_job_that_ends_while_the_second_waits(server: Running) -> None:
    """The server is then where a requeued one is: users are sent to the dead address, they see why
    the job waits, and the route follows the report."""
    first, second = server.job, await server.go_on()
    server.spawner.fake.change(first.state.job_id, JobState.COMPLETED)
    await server.refresh()
    assert (second, DEAD_ADDRESS) == (server.job, server.where_users_go)
    assert await server.spawner.poll() is None
    status = server.spawner.server_status()
    assert ("queued", second.state.job_id) == (status.state, status.job_id)
    assert f"Job {second.state.job_id} is queued" in status.message
    server.run(second, OTHER)
    await server.refresh()
    assert 200 == (await server.report(second, OTHER, SECOND_PORT)).code
    assert (OTHER, SECOND_PORT) == server.where_users_go == server.routes[-1]


async def test_a_second_job_that_ends_before_it_is_ready(server: Running) -> None:
    """The first job goes on, and the user reads the scheduler's word."""
    first, second = server.job, await server.go_on()
    server.spawner.fake.change(second.state.job_id, JobState.FAILED, message="no such node")
    await server.refresh()
    await until(lambda: server.job.second.job is None, "it is given up", PATIENCE)
    await until(lambda: not recorded(server.hub), "its end is confirmed", PATIENCE)
    message = server.spawner.hand_over.status().message
    assert "this server goes on as before" in message
    assert "no such node" in message
    assert (first, (NODE, PORT)) == (server.job, server.where_users_go)
    assert server.spawner.hand_over.status().offered


async def test_a_second_job_that_is_requeued_is_not_ready_any_more(server: Running) -> None:
    """A ready second job that the scheduler runs again is ready when it has reported anew."""
    second = await server.second_ready()
    server.spawner.fake.change(second.state.job_id, JobState.QUEUED, exec_host="")
    await server.refresh()
    with pytest.raises(InvalidJobError, match="no second job that is ready"):
        await server.spawner.hand_over.switch()
    server.run(second, OTHER)
    await server.refresh()
    assert 200 == (await server.report(second, OTHER, SECOND_PORT)).code
    await server.spawner.hand_over.switch()
    assert server.job is second


async def test_a_scheduler_that_refuses_the_second_job(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first job goes on, and the user reads the scheduler's words."""

    def refuse(owner: str, request: Mapping[str, Any]) -> Any:
        raise SubmitError("The job was refused:", output="QOSMaxSubmitJobPerUserLimit")

    monkeypatch.setattr(server.spawner.side, "_submit", refuse)
    with pytest.raises(SubmitError, match="QOSMaxSubmitJobPerUserLimit"):
        await server.go_on()
    status = server.spawner.hand_over.status()
    assert (True, "") == (status.offered, status.state)
    assert "QOSMaxSubmitJobPerUserLimit" in status.message
    assert ({}, server.job.state.mark) == (server.saved["next"], server.saved["mark"])
    assert 1 == len(server.alive())


async def test_a_stop_ends_both_jobs(server: Running) -> None:
    """A stop ends the second job, too, and returns when both ends are confirmed."""
    await server.second_ready()
    await asyncio.wait_for(server.spawner.stop(), PATIENCE)
    assert (set(), {}) == (server.alive(), recorded(server.hub))


async def test_a_stop_during_the_second_submission(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stop waits until it is known whether there is a second job, and ends it."""
    call, go = server.spawner.side.call, asyncio.Event()
    before = len(server.spawner.fake.jobs)

    async def slowly(*arguments: Any) -> Any:
        if arguments[2]["action"] == "submit":
            await go.wait()
        return await call(*arguments)

    monkeypatch.setattr(server.spawner.side, "call", slowly)
    beginning = asyncio.ensure_future(server.spawner.hand_over.go_on())
    await until(lambda: server.job.second.job, "it is being submitted", PATIENCE)
    stopping = asyncio.ensure_future(server.spawner.stop())
    await asyncio.wait({stopping}, timeout=0.2)
    assert not stopping.done()
    go.set()
    await asyncio.wait_for(stopping, PATIENCE)
    await asyncio.wait({beginning})
    assert before + 1 == len(server.spawner.fake.jobs)
    assert (set(), {}) == (server.alive(), recorded(server.hub))


async def test_a_server_that_is_forgotten_leaves_no_second_job(server: Running) -> None:
    """Whoever makes JupyterHub forget a server without a stop, its second job is ended."""
    first, second = server.job, await server.go_on()
    server.spawner.clear_state()
    await until(lambda: {first.state.job_id} == server.alive(), "the second ends", PATIENCE)
    assert second.over
    server.spawner.fake.change(first.state.job_id, JobState.CANCELED)


async def test_a_database_that_refuses_the_switch(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing has changed: the first job has the route, in memory and in the database."""
    first, second = server.job, await server.second_ready()
    monkeypatch.setattr(ScheduledJob, "commit", lambda self, change=None: False)
    with pytest.raises(UniSpawnerError, match="Nothing has changed"):
        await server.spawner.hand_over.switch()
    monkeypatch.undo()
    assert (first, second) == (server.job, server.second)
    assert (NODE, PORT) == server.where_users_go
    assert 2 == len(server.alive())


# -- when it is offered ---------------------------------------------------------------------------


async def test_it_is_not_offered_in_the_first_half_of_the_time(server: Running) -> None:
    """A click that comes too early does nothing; the status says when it is possible."""
    now = time.time()
    times = {"start_time": now - 100, "estimated_end": now + 1000}
    server.spawner.fake.change(server.job.state.job_id, JobState.RUNNING, exec_host=NODE, **times)
    await server.refresh()
    status = server.spawner.hand_over.status()
    assert (False, "Continue for another 18 minutes") == (status.offered, status.label)
    assert status.offered_from == pytest.approx(now + 450)
    with pytest.raises(InvalidJobError, match="too early"):
        await server.go_on()
    server.spawner.continue_window = 60.0
    late = server.spawner.hand_over.status().offered_from
    server.spawner.continue_window = 3600.0
    assert late == pytest.approx(now + 940)


async def test_it_is_not_offered_without_an_end(server: Running) -> None:
    """Where nobody knows when the job ends, there is nothing to continue."""
    server.spawner.fake.change(
        server.job.state.job_id, JobState.RUNNING, exec_host=NODE, estimated_end=None
    )
    await server.refresh()
    with pytest.raises(InvalidJobError, match="end of this server's job is not known"):
        await server.go_on()


async def test_it_is_not_offered_for_a_server_that_is_not_ready(server: Running) -> None:
    """A server whose job waits again, and a site that does not want it, offer nothing."""
    server.spawner.continue_window = 0.0
    with pytest.raises(InvalidJobError, match="continue_window is 0"):
        await server.go_on()
    server.spawner.continue_window = 3600.0
    server.spawner.fake.change(server.job.state.job_id, JobState.QUEUED, exec_host="")
    await server.refresh()
    with pytest.raises(InvalidJobError, match="does not run"):
        await server.go_on()
    with pytest.raises(InvalidJobError, match="no second job that is ready"):
        await server.spawner.hand_over.switch()
    assert 1 == len(server.alive())


async def test_hooks_run_as_for_a_start(server: Running) -> None:
    """The site's hooks run for the second job, on a spawner of their own: what they set is not set
    for the server that runs, and what they refuse is refused."""
    seen: list[Any] = []

    def hook(spawner: Any) -> None:
        seen.append(spawner)
        spawner.queue_name = "night"

    server.hub.app.config.FakeSpawner.pre_spawn_hook = hook
    try:
        await server.go_on()
        assert "night" == server.spawner.side.asked("submit")[-1]["spec"]["queue_name"]
        assert ("", "ada") == (server.spawner.queue_name, seen[0].user.name)
        await server.spawner.hand_over.give_up()

        def refuse(spawner: Any) -> None:
            raise ValueError("no home yet")

        server.hub.app.config.FakeSpawner.pre_spawn_hook = refuse
        with pytest.raises(InvalidJobError, match="no home yet"):
            await server.go_on()
    finally:
        del server.hub.app.config.FakeSpawner["pre_spawn_hook"]


async def test_another_account_or_cluster_is_refused(server: Running) -> None:
    """A choice that leads elsewhere by now can't be continued: the two jobs could not be followed
    in the same way."""
    server.hub.app.config.FakeSpawner.state_dir = "/scratch/elsewhere"
    try:
        with pytest.raises(InvalidJobError, match="the state_dir of its choice"):
            await server.go_on()
    finally:
        del server.hub.app.config.FakeSpawner["state_dir"]
    assert 1 == len(server.alive())


# -- attackers ------------------------------------------------------------------------------------

EARLY: Mapping[str, str] = {
    "who": "job",
    "tries": "A second job of the server reports as if it were the first, or with a mark that it "
    "has made up, to get the route before its user wants that.",
    "stopped_by": "A report counts for the job whose mark it names, or else for the first one, and "
    "only from the host on which the scheduler runs that very job.",
}


@pytest.mark.threat(**EARLY)
async def test_a_report_of_the_second_job_does_not_move_the_route(server: Running) -> None:
    """Whatever mark the second job sends, the route stays; the first job's mark, or none, is
    refused from the second one's host."""
    second = await server.second_ready()
    for job in (server.job, None):
        assert 409 == (await server.report(job, OTHER, SECOND_PORT)).code
    body = {"host": OTHER, "port": SECOND_PORT, "mark": "f" * 16}
    assert 409 == (await server.hub.post(body, server.token)).code
    assert 200 == (await server.report(second, OTHER, SECOND_PORT + 1)).code
    assert ((NODE, PORT), []) == (server.where_users_go, server.routes)


@pytest.mark.threat(**EARLY)
async def test_an_end_of_the_second_job_does_not_move_the_route(server: Running) -> None:
    """The second job's end takes nothing from the first, and a made-up mark ends nothing."""
    second = await server.second_ready()
    for mark in (second.state.mark, "f" * 16):
        body = {"event": "ended", "host": OTHER, "port": SECOND_PORT, "mark": mark}
        assert 200 == (await server.hub.post(body, server.token)).code
    assert (NODE, PORT) == server.where_users_go
    assert 0 == second.state.port
    with pytest.raises(InvalidJobError, match="no second job that is ready"):
        await server.spawner.hand_over.switch()


async def test_a_launcher_of_an_older_release_reports_for_the_first_job(server: Running) -> None:
    """A report without a mark, or with a text that is not one, is the first job's."""
    await server.go_on()
    for mark in ({}, {"mark": 7}, {"mark": "x\ny"}):
        body = {"host": NODE, "port": PORT, **mark}
        assert 200 == (await server.hub.post(body, server.token)).code
    assert (NODE, PORT) == server.where_users_go
    assert 0 == server.second.state.port


async def send(hub: Hub, method: str, path: str, token: str) -> HTTPResponse:
    return await AsyncHTTPClient().fetch(
        f"{hub.url}/unispawner/servers/{path}",
        method=method,
        headers={"Authorization": f"token {token}"},
        body="" if method == "POST" else None,
        raise_error=False,
    )


@pytest.mark.threat(
    who="other user",
    tries="They continue, switch or end the second job of somebody else's server.",
    stopped_by="The API needs the scope servers for that server.",
)
@pytest.mark.threat(
    who="job",
    tries="It prolongs itself with its own token, without its user.",
    stopped_by="A server's token does not have the scope servers.",
)
async def test_only_who_may_start_a_server_may_continue_it(server: Running) -> None:
    """Another user's token and the server's own are answered with 404 or 403, and begin nothing."""
    bob = server.hub.user("bob").new_api_token()
    for token in (bob, server.token):
        for method, action in (("POST", "continue"), ("POST", "switch"), ("DELETE", "continue")):
            answer = await send(server.hub, method, f"ada/{action}", token)
            assert answer.code in (403, 404)
    assert (1, None) == (len(server.alive()), server.job.second.job)


async def test_the_api(server: Running) -> None:
    """POST continue, POST switch and DELETE continue answer with the server's status."""
    ada = server.spawner.user.new_api_token()
    assert 400 == (await send(server.hub, "POST", "ada/switch", ada)).code
    answer = await send(server.hub, "POST", "ada//continue", ada)
    status = json.loads(answer.body)
    assert (200, "running") == (answer.code, status["state"])
    assert status["continuation"]["state"] in ("submitting", "queued")
    answer = await send(server.hub, "DELETE", "ada/continue", ada)
    assert (200, "") == (answer.code, json.loads(answer.body)["continuation"]["state"])
    assert 405 == (await send(server.hub, "DELETE", "ada/switch", ada)).code
    second = await server.second_ready()
    answer = await send(server.hub, "POST", "ada/switch", ada)
    assert (200, second.state.job_id) == (answer.code, json.loads(answer.body)["job_id"])
    assert 404 == (await send(server.hub, "POST", "ada/none/continue", ada)).code
    assert 404 == (await send(server.hub, "GET", "ada/continue", ada)).code


# -- a Hub that is killed -------------------------------------------------------------------------


async def killed(server: Running) -> None:
    """Kill the Hub, and start the next one: it has what is saved, and the two jobs."""
    state = server.saved
    assert state["mark"]
    server.spawner.hand_over = HandOver(server.spawner)
    server.spawner.load_state({**state, "scheduler": "slurm"})
    assert await asyncio.wait_for(server.spawner.poll(), PATIENCE) is None


async def test_killed_before_the_submission(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next Hub finds that there is no second job, and the first goes on."""
    monkeypatch.setattr(restart, "_SUBMIT_MARGIN", 0.0)
    call = server.spawner.side.call

    async def hang(*arguments: Any) -> Any:
        if arguments[2]["action"] == "submit":
            await asyncio.Event().wait()
        return await call(*arguments)

    monkeypatch.setattr(server.spawner.side, "call", hang)
    begins = asyncio.ensure_future(server.spawner.hand_over.go_on())
    await until(lambda: server.saved["next"], "the mark is saved", PATIENCE)
    assert "" == server.saved["next"]["job_id"]
    server.spawner.agent_timeout = 1.0
    begins.cancel()
    await killed(server)
    await until(lambda: server.job.second.job is None, "it is given up", PATIENCE)
    assert "restarted before the job was submitted" in server.spawner.hand_over.status().message
    assert ((NODE, PORT), 1) == (server.where_users_go, len(server.alive()))
    assert {} == server.saved["next"]
    server.spawner.agent_timeout = 60.0


async def test_killed_before_the_id_was_saved(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next Hub finds the second job by its mark, and follows it."""
    call = server.spawner.side.call

    async def hang(host: SubmitHost, account: Account, request: Any, seconds: float) -> Any:
        answer = await call(host, account, request, seconds)
        if request["action"] == "submit":
            await asyncio.Event().wait()
        return answer

    monkeypatch.setattr(server.spawner.side, "call", hang)
    begins = asyncio.ensure_future(server.spawner.hand_over.go_on())
    await until(lambda: 2 == len(server.alive()), "the scheduler has it", PATIENCE)
    assert "" == server.saved["next"]["job_id"]
    begins.cancel()
    await killed(server)
    await until(lambda: server.second.state.job_id, "it is found", PATIENCE)
    assert {server.job.state.job_id, server.second.state.job_id} == server.alive()
    assert (NODE, PORT) == server.where_users_go


async def test_killed_while_the_second_job_waits(server: Running) -> None:
    """The next Hub follows the second job; its report makes it ready, and the route stays."""
    await server.go_on()
    await killed(server)
    second = server.second
    server.run(second, OTHER)
    await until(lambda: second.tracked, "it is found", PATIENCE)
    await server.refresh()
    assert 200 == (await server.report(second, OTHER, SECOND_PORT)).code
    assert (NODE, PORT) == server.where_users_go
    await server.spawner.hand_over.switch()
    assert (OTHER, SECOND_PORT) == server.where_users_go
    await until(lambda: {second.state.job_id} == server.alive(), "the first ends", PATIENCE)


async def test_killed_after_the_switch(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """One commit has given the second job the route and noted that the first is being ended."""
    monkeypatch.setattr(server.spawner.side, "_cancel", lambda owner, request: {})
    first, second = server.job, await server.second_ready()
    await server.spawner.hand_over.switch()
    assert (second.state.mark, {}) == (server.saved["mark"], server.saved["next"])
    ending = recorded(server.hub)[first.state.mark]
    assert (first.state.job_id, {}) == (ending["job_id"], ending["next"])
    assert (OTHER, SECOND_PORT) == server.where_users_go
    monkeypatch.undo()
    server.spawner.fake.change(first.state.job_id, JobState.CANCELED)


async def test_the_first_job_ended_while_there_was_no_hub(server: Running) -> None:
    """The next Hub gives the second job the route, and the server is not lost."""
    first, second = server.job, await server.second_ready()
    server.spawner.fake.change(first.state.job_id, JobState.COMPLETED)
    await killed(server)
    assert second.state.mark == server.job.state.mark
    assert f"http://{OTHER}:{SECOND_PORT}" == server.job.url
    assert {second.state.job_id} == server.alive()


async def test_killed_when_a_stop_has_just_begun(server: Running) -> None:
    """The next Hub goes on with the stop, and ends both jobs."""
    await server.second_ready()
    server.spawner.load_state({**server.saved, "scheduler": "slurm", "stopping": True})
    assert await asyncio.wait_for(server.spawner.poll(), PATIENCE) is not None
    assert set() == server.alive()


async def test_killed_in_the_middle_of_a_stop(server: Running) -> None:
    """The table of jobs that are being ended has the second job from when the server's state does
    not have it any more. The next Hub ends all jobs in that table."""
    second = await server.second_ready()
    server.spawner.side.error = UniSpawnerError("nobody answers")
    stopping = asyncio.ensure_future(server.spawner.stop())
    await until(lambda: not server.saved["next"], "the second job is being ended", PATIENCE)
    assert server.saved["stopping"]
    assert second.state.job_id == recorded(server.hub)[second.state.mark]["job_id"]
    server.spawner.side.error = None
    await asyncio.wait_for(stopping, PATIENCE)
    assert set() == server.alive()


def test_a_row_of_the_version_before() -> None:
    """A state without a second job is read as before, and one that is damaged has none."""
    old = {"version": 1, "mark": "0123456789abcdef", "job_id": "7", "scheduler": "slurm"}
    assert {} == ServerState.from_dict(old).next
    assert {} == ServerState.from_dict({**old, "next": "7"}).next


# -- more time for the same job -------------------------------------------------------------------


async def test_a_hook_that_extends_the_job(server: Running) -> None:
    """The hook is asked for the job's own length once more; no second job begins."""
    asked: list[float] = []

    async def extend(spawner: Any, seconds: float) -> None:
        asked.append(seconds)
        now = time.time()
        spawner.fake.change(
            spawner.server_job.state.job_id,
            JobState.RUNNING,
            exec_host=NODE,
            start_time=now - 3000,
            estimated_end=now + 3600,
        )

    server.spawner.extend_hook = extend
    try:
        assert ("extend", True) == (
            server.spawner.hand_over.status().way,
            server.spawner.hand_over.status().offered,
        )
        await server.spawner.hand_over.go_on()
        await until(lambda: not server.spawner.hand_over.status().offered, "it is news", PATIENCE)
        assert [pytest.approx(3300)] == asked
        assert continuation.EXTENDED == server.spawner.hand_over.status().message
        assert 1 == len(server.alive())
    finally:
        server.spawner.extend_hook = None


@pytest.mark.threat(
    who="user",
    tries="They continue a server again before the scheduler says that its job was extended.",
    stopped_by="The site's hook is not called again until a later answer, and always for the first "
    "length of the job.",
)
async def test_clicks_in_a_row_extend_once(server: Running) -> None:
    """Until the scheduler was asked after an extension, there is no other one. The next one is for
    the same time as the first."""
    asked: list[float] = []
    known = server.job.tracked
    assert known is not None
    before = known.info
    assert before is not None

    async def extend(spawner: Any, seconds: float) -> None:
        asked.append(seconds)
        times = {"start_time": before.start_time, "estimated_end": time.time() + 300 + seconds}
        spawner.fake.change(server.job.state.job_id, JobState.RUNNING, exec_host=NODE, **times)

    server.spawner.extend_hook = extend
    try:
        await server.spawner.hand_over.go_on()
        known.asked_at, answered = server.spawner.hand_over._extended_at - 1, known.asked_at
        with pytest.raises(InvalidJobError, match="extended just now"):
            await server.spawner.hand_over.go_on()
        known.asked_at = answered
        await server.refresh()
        with pytest.raises(InvalidJobError, match="too early"):
            await server.spawner.hand_over.go_on()
        assert [pytest.approx(3300, abs=2)] == asked
        assert pytest.approx(3300, abs=2) == server.spawner.hand_over.status().seconds
    finally:
        server.spawner.extend_hook = None


async def _wait(spawner: Any, seconds: float) -> None:
    await asyncio.sleep(PATIENCE)


def _refuse(spawner: Any, seconds: float) -> None:
    raise PermissionError("Only operators may do that")


@pytest.mark.parametrize(
    ("hook", "words"),
    [(_refuse, "Only operators may do that."), (_wait, "did not finish within 0.2 s")],
)
async def test_a_hook_that_fails(
    server: Running, monkeypatch: pytest.MonkeyPatch, hook: Any, words: str
) -> None:
    """The user reads why, and is offered a second job instead."""
    monkeypatch.setattr(hand_over, "HOOK_SECONDS", 0.2)
    server.spawner.extend_hook = hook
    try:
        with pytest.raises(UniSpawnerError, match=words):
            await server.spawner.hand_over.go_on()
        status = server.spawner.hand_over.status()
        assert ("second job", True) == (status.way, status.offered)
        assert words in status.message
        await server.go_on()
        assert 2 == len(server.alive())
    finally:
        server.spawner.extend_hook = None


# -- notices -------------------------------------------------------------------------------------


@pytest.fixture
def told(server: Running, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """Give what the user is told: for each message the event, the subject and the text."""
    found: list[tuple[str, str, str]] = []

    def note(job: Any, event: str, subject: tuple[Any, Any], body: Any, **_: Any) -> None:
        found.append((event, str(subject[1]), str(body)))

    monkeypatch.setattr(notices, "_tell", note)
    monkeypatch.setattr(notices, "_WORTH_A_MAIL", 0.0)
    return found


async def test_the_user_is_told_that_the_second_job_is_ready(
    server: Running, told: list[tuple[str, str, str]]
) -> None:
    """The user gets one mail when the second job is ready, and none from a Hub that was started
    since. A switch that the user wants causes no mail."""
    await server.second_ready()
    await killed(server)
    await server.spawner.hand_over.switch()
    assert [("ready", "Your server can move to its second job", str(continuation.READY))] == told


async def test_the_user_is_told_that_there_is_no_second_job(
    server: Running, told: list[tuple[str, str, str]]
) -> None:
    """The user gets mail if the second job is refused, or ends before it is ready; not if the user
    gives it up."""
    FakeSpawner.side.error = SubmitError("no such queue")
    with pytest.raises(UniSpawnerError):
        await server.go_on()
    FakeSpawner.side.error = None
    second = await server.go_on()
    server.spawner.fake.change(second.state.job_id, JobState.FAILED, native_state="NODE_FAIL")
    await until(lambda: server.job.second.job is None, "it has ended", PATIENCE)
    await server.go_on()
    await server.spawner.hand_over.give_up()
    assert [("ended", "Your server has no second job")] * 2 == [one[:2] for one in told]
    assert "no such queue" in told[0][2]
    assert "NODE_FAIL" in told[1][2]


@pytest.mark.parametrize(
    ("ready", "subject"),
    [
        (True, "Your server has moved to its second job"),
        (False, "Your server waits for its second job"),
    ],
)
async def test_the_user_is_told_that_the_first_job_has_ended(
    server: Running,
    told: list[tuple[str, str, str]],
    monkeypatch: pytest.MonkeyPatch,
    ready: bool,
    subject: str,
) -> None:
    """The user gets mail when the first job ends: the server is then in the second job, or waits
    for it. The user also learns of its end."""
    watched: list[Any] = []
    monkeypatch.setattr(notices, "watch_end", watched.append)
    first = server.job
    second = await (server.second_ready() if ready else server.go_on())
    told.clear()
    server.spawner.fake.change(first.state.job_id, JobState.FAILED, native_state="TIMEOUT")
    await until(lambda: server.job is second, "it has the route", PATIENCE)
    assert [("ended", subject)] == [one[:2] for one in told]
    assert [second] == watched
    if not ready:
        server.run(second, OTHER)
        await server.refresh()
        await server.report(second, OTHER, SECOND_PORT)
        await until(lambda: len(told) == 2, "the user is told that it is ready", PATIENCE)
        assert ("ready", "Your server is ready") == told[1][:2]
