"""Promise 5: which reports of a job the Hub accepts, tested with a real Hub's own application."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from jupyterhub import orm
from jupyterhub.spawner import SimpleLocalProcessSpawner
from support.hub import until
from support.hub_app import NODE, OTHER, PATIENCE, Hub, Server, hub_app, starting_server
from tornado.httpclient import AsyncHTTPClient

from unispawner import TorqueSpawner
from unispawner.job import JobState
from unispawner.schedulers.base import Dialogue
from unispawner.servers.scheduled_job import reports as job_reports
from unispawner.servers.state import DEAD_ADDRESS
from unispawner.testing import FakeScheduler
from unispawner.web import reports, words
from unispawner.web.allowance import Allowance
from unispawner.web.failures import SpawnFailure
from unispawner.web.reports import BODY_LIMIT

FOREIGN_TOKEN = pytest.mark.threat(
    who="job",
    tries="It reports for another server, or with another token.",
    stopped_by="A report counts only with the very token of that server, in the header.",
)

# JupyterHub 5.3's own event schema, as newer releases of jupyter_events see it.
pytestmark = [
    pytest.mark.hub,
    pytest.mark.filterwarnings("ignore:The `version` property of an event schema"),
]


@pytest.fixture(scope="module")
async def hub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hub]:
    async with hub_app(tmp_path_factory.mktemp("hub")) as found:
        yield found


@pytest.fixture
async def server(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    async with starting_server(hub, monkeypatch) as found:
        yield found


# -- reports that are accepted ------------------------------------------------------------------


async def test_a_report_starts_the_server(hub: Hub, server: Server) -> None:
    """A report saves host and port, and start() returns the URL at once."""
    await server.running()
    response = await hub.post({"host": NODE, "port": 1024}, server.token)
    assert (200, {}) == (response.code, json.loads(response.body))
    assert (NODE, 1024) == server.where
    assert f"http://{NODE}:1024" == await asyncio.wait_for(server.start, PATIENCE)
    saved = server.spawner.orm_spawner.state
    assert (NODE, 1024) == (saved["host"], saved["port"])


@pytest.mark.threat(
    who="job",
    tries="It reports settings of its spawner, such as a command, together with its port.",
    stopped_by="Only event, host, port and status of a report count.",
)
async def test_nothing_else_in_a_report_counts(hub: Hub, server: Server) -> None:
    """A report sets nothing but host and port. batchspawner set any attribute that a job posted, so
    exec_prefix made the Hub run commands."""
    await server.running()
    before = dict(server.spawner.server_job.state.to_dict())
    traits = {name: getattr(server.spawner, name) for name in ("cmd", "notebook_dir", "run_as")}
    extra = {"cmd": ["id"], "state": {}, "mark": "x", "account": "root", "notebook_dir": "/"}
    body = {"host": NODE, "port": 65535, "run_as": "same_user", "job_id": "1;id", **extra}
    assert 200 == (await hub.post(body, server.token)).code
    after = {**before, "host": NODE, "port": 65535, "reported_host": NODE}
    assert after == server.spawner.server_job.state.to_dict()
    assert traits == {name: getattr(server.spawner, name) for name in traits}


async def test_the_schedulers_name_is_mapped(hub: Hub, server: Server) -> None:
    """host_map replaces the scheduler's name of a host, which need not be resolvable."""
    server.spawner.host_map = {"node17": NODE}
    await server.running("node17")
    assert 200 == (await hub.post({"host": NODE, "port": 2000}, server.token)).code
    assert (NODE, 2000) == server.where
    server.spawner.host_map = {}


async def test_the_reported_name_is_mapped(
    hub: Hub, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """host_map alone is enough where the Hub can't resolve the nodes' names: the name that the
    server reports goes through it as well, whether it is the scheduler's name, the full name or
    another."""
    monkeypatch.setattr(server.spawner, "host_map", {r"node(\d+)": NODE, "c17.example": NODE})
    await server.running("node17")
    for number, name in enumerate(("node17", "node17.example", "c17.example", NODE)):
        response = await hub.post({"host": name, "port": 2000 + number}, server.token)
        assert (200, (NODE, 2000 + number)) == (response.code, server.where)
    response = await hub.post({"host": "c18.invalid", "port": 2000}, server.token)
    assert 503 == response.code


async def test_the_schedulers_address_of_a_node_is_the_fallback(
    hub: Hub, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the Hub can't resolve the scheduler's name of a node, the scheduler's own address of it
    counts, but not against host_map."""
    monkeypatch.setattr(FakeScheduler, "find_address", _find_address)
    await server.running("node1.invalid")
    monkeypatch.setattr(server.spawner, "host_map", {"node1.invalid": "other.invalid"})
    response = await hub.post({"host": "node1.invalid", "port": 2000}, server.token)
    message = json.loads(response.body)["message"]
    assert (503, True, True) == (response.code, "other" in message, "node1.invalid" in message)
    monkeypatch.setattr(server.spawner, "host_map", {})
    for host in ("node1.invalid", NODE):
        assert 200 == (await hub.post({"host": host, "port": 2000}, server.token)).code
        assert (NODE, 2000) == server.where
    assert 409 == (await hub.post({"host": OTHER, "port": 2000}, server.token)).code


def _find_address(_: FakeScheduler, host: str) -> Dialogue[str]:
    yield ["/bin/true"]
    return {"node1.invalid": NODE}.get(host, "")


async def test_the_user_reads_why_a_report_is_not_accepted(
    hub: Hub, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page of a starting server shows why the Hub does not accept its report, until it does. A
    report that only comes too early is not worth a word."""
    await server.submitted()
    late = await hub.post({"host": NODE, "port": 2000}, server.token)
    assert late.code in (403, 503)  # 403 when JupyterHub has cleared the failed start
    assert "report" not in server.spawner.server_job.facts().message
    await server.running("node2.invalid")
    assert 409 == (await hub.post({"host": "<b>x", "port": 2000}, server.token)).code
    event = await anext(server.spawner.progress())
    assert "the Hub did not accept the report: host: '<b>x' is neither" in event["message"]
    assert "html_message" not in event
    late = await hub.post({"host": NODE, "port": 2000}, server.token)
    assert late.code in (403, 503)  # 403 when JupyterHub has cleared the failed start
    message = server.spawner.server_job.facts().message
    assert "can't resolve 'node2.invalid'" in message
    assert "c.UniSpawner.host_map" in message
    monkeypatch.setattr(server.spawner, "host_map", {"node2.invalid": NODE})
    assert 200 == (await hub.post({"host": NODE, "port": 2000}, server.token)).code
    assert "accept" not in server.spawner.server_job.facts().message


async def test_a_server_may_report_again(hub: Hub, server: Server) -> None:
    """A second report from the same host with another port is accepted: the launcher may have been
    run again."""
    await server.running()
    for port in (2000, 2001):
        assert 200 == (await hub.post({"host": NODE, "port": port}, server.token)).code
        assert (NODE, port) == server.where


# -- the beginning and the end ------------------------------------------------------------------


@pytest.mark.threat(
    who="job",
    tries="It says that it runs, although it waits.",
    stopped_by="Such a report only makes the Hub ask the scheduler.",
)
async def test_a_job_that_has_begun(hub: Hub, server: Server) -> None:
    """The Hub asks about a job that says that it runs, and believes only the scheduler."""
    await server.submitted()
    await server.spawner.monitor().refresh(PATIENCE)
    job = server.spawner.server_job.tracked
    assert job
    begun = {"event": "begun", "host": NODE}
    assert 200 == (await hub.post(begun, server.token)).code
    await server.spawner.monitor().refresh(PATIENCE)
    assert job.info
    assert (JobState.QUEUED, ("", 0)) == (job.info.state, server.where)
    server.runs_on(NODE)
    assert 200 == (await hub.post(begun, server.token)).code
    await until(lambda: job.info and job.info.exec_host == NODE, "the scheduler names the host")
    assert (
        200 == (await hub.post({"event": "ready", "host": NODE, "port": 2000}, server.token)).code
    )
    assert (NODE, 2000) == server.where


async def test_a_job_that_begins_before_its_id_is_known(hub: Hub, server: Server) -> None:
    """Such a report is taken: the job is asked for as soon as it has an id."""
    job = server.spawner.server_job
    assert job.tracked is None
    assert {} == await job.take_begin(NODE)
    await server.submitted()
    assert 200 == (await hub.post({"event": "begun", "host": NODE}, server.token)).code


async def ready(hub: Hub, server: Server, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """Make a server ready for JupyterHub; return a list of the addresses that its route gets."""
    await server.running()
    assert 200 == (await hub.post({"host": NODE, "port": 2000}, server.token)).code
    await asyncio.wait_for(server.start, PATIENCE)
    moves: list[tuple[str, int]] = []

    async def note(host: str, port: int) -> None:
        moves.append((host, port))

    monkeypatch.setattr(server.spawner.server_job, "move_route", note)
    return moves


@pytest.mark.threat(
    who="other user",
    tries="They take the port that a server has left, to receive what its user's browser sends.",
    stopped_by="The launcher holds the port until the Hub has moved the route to a dead address.",
)
async def test_the_end_of_a_server(
    hub: Hub, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The route leads to the dead address before the report is answered. The job is followed as
    before, until the scheduler says that it has ended."""
    moves = await ready(hub, server, monkeypatch)
    ended = {"event": "ended", "host": NODE, "port": 2000, "status": 3}
    assert 200 == (await hub.post(ended, server.token)).code
    assert ([DEAD_ADDRESS], ("", 0)) == (moves, server.where)
    assert await server.spawner.poll() is None
    job = server.spawner.server_job.tracked
    assert job
    assert "has ended, as its job" in words.progress_event(job, None, "Slurm")["message"]
    server.spawner.fake.change(job.job_id, JobState.FAILED, exit_code=3)
    assert 200 == (await hub.post(ended, server.token)).code
    await until(lambda: job.final, "the scheduler confirms it")
    assert "before its server was ready" not in words.job_ended(job, "Slurm")


async def test_a_server_that_its_time_limit_ends(
    hub: Hub, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the scheduler takes a job down, its route leads nowhere already, without a report of
    its end. The message about the end does not say that its server was never ready."""
    await ready(hub, server, monkeypatch)
    job = server.spawner.server_job.tracked
    assert job
    server.spawner.fake.change(job.job_id, JobState.RUNNING, ending=True)
    await until(lambda: server.where == ("", 0), "the route leads nowhere")
    server.spawner.fake.change(job.job_id, JobState.FAILED, native_state="TIMEOUT")
    await until(lambda: job.final, "the scheduler confirms it")
    assert "before its server was ready" not in words.job_ended(job, "Slurm")


@pytest.mark.parametrize(
    "late", [{"host": NODE, "port": 1999}, {"host": OTHER, "port": 2000}, {"host": NODE}]
)
async def test_a_late_end_of_an_earlier_run(
    hub: Hub, server: Server, monkeypatch: pytest.MonkeyPatch, late: dict[str, Any]
) -> None:
    """The end of a server that listened elsewhere moves no route: the job was run again."""
    moves = await ready(hub, server, monkeypatch)
    assert 200 == (await hub.post({**late, "event": "ended", "status": 1}, server.token)).code
    assert ([], (NODE, 2000)) == (moves, server.where)


async def test_an_end_while_the_report_is_checked(
    hub: Hub, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A report whose server has ended meanwhile is not taken any more."""
    await server.running()
    checking, go_on = asyncio.Event(), asyncio.Event()

    async def slow(*_: Any, **__: Any) -> str:
        checking.set()
        await go_on.wait()
        return NODE

    monkeypatch.setattr(job_reports, "check_address", slow)
    report = {"host": NODE, "port": 2000}
    posted = asyncio.ensure_future(hub.post(report, server.token))
    await asyncio.wait_for(checking.wait(), PATIENCE)
    ended = {**report, "event": "ended", "status": 0}
    assert 200 == (await hub.post(ended, server.token)).code
    go_on.set()
    assert (503, ("", 0)) == ((await posted).code, server.where)
    assert 200 == (await hub.post(report, server.token)).code, "another server on the same port"


async def test_a_proxy_that_does_not_take_the_dead_address(
    hub: Hub, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The launcher gets an error and reports again: it holds the port until the route is gone."""
    moves = await ready(hub, server, monkeypatch)

    async def fail(host: str, port: int) -> None:
        raise OSError("the proxy is down")

    with monkeypatch.context() as broken:
        broken.setattr(server.spawner.server_job, "move_route", fail)
        ended = {"event": "ended", "host": NODE, "port": 2000}
        assert 500 == (await hub.post(ended, server.token)).code
    assert 200 == (await hub.post(ended, server.token)).code
    assert ([DEAD_ADDRESS], ("", 0)) == (moves, server.where)


async def test_events_that_make_no_sense(hub: Hub, server: Server) -> None:
    """Unknown events and values of a wrong type are refused, and nothing changes."""
    await server.running()
    for body in (
        {"event": "paused", "host": NODE},
        {"event": None, "host": NODE, "port": 2000},
        {"event": ["begun"], "host": NODE},
        {"event": "begun"},
        {"event": "ended", "host": 5},
        {"event": "ended", "host": NODE, "port": "2000"},
    ):
        assert 400 == (await hub.post(body, server.token)).code
    assert (
        200 == (await hub.post({"event": "ended", "host": NODE, "status": "x"}, server.token)).code
    )
    assert ("", 0) == server.where


@pytest.mark.threat(
    who="job",
    tries="It reports without a pause.",
    stopped_by="A server may report a limited number of times, and then once a second.",
)
async def test_a_server_that_reports_too_often(hub: Hub, server: Server) -> None:
    """The answer says how long to wait, and later the server may report again."""
    await server.submitted()
    begun = {"event": "begun", "host": NODE}
    now = 0.0
    server.spawner.server_job.allowance = Allowance(reports.REPORTS_AT_ONCE, clock=lambda: now)
    codes = [(await hub.post(begun, server.token)).code for _ in range(reports.REPORTS_AT_ONCE)]
    assert {200} == set(codes)
    response = await hub.post(begun, server.token)
    assert (429, "2") == (response.code, response.headers["Retry-After"])
    now = 1.0
    assert 200 == (await hub.post(begun, server.token)).code
    assert 429 == (await hub.post(begun, server.token)).code


# -- reports that come too early ----------------------------------------------------------------


async def test_while_the_host_is_not_known_the_answer_is_retry(hub: Hub, server: Server) -> None:
    """A report that comes before the scheduler has named the host is answered with 503 and
    Retry-After, and accepted later."""
    await server.submitted()
    response = await hub.post({"host": NODE, "port": 2000}, server.token)
    assert (503, "1") == (response.code, response.headers["Retry-After"])
    assert ("", 0) == server.where
    server.runs_on(NODE)
    while response.code == 503:
        await asyncio.sleep(0.2)
        response = await hub.post({"host": NODE, "port": 2000}, server.token)
    assert (200, (NODE, 2000)) == (response.code, server.where)


async def test_a_scheduler_that_is_down_is_no_refusal(hub: Hub, server: Server) -> None:
    """While the scheduler does not answer, reports get 503 and change nothing, so that the job
    tries again."""
    await server.submitted()
    server.spawner.fake.answer(stderr="does not answer", exit_status=1)
    try:
        response = await hub.post({"host": NODE, "port": 2000}, server.token)
        assert (503, ("", 0)) == (response.code, server.where)
    finally:
        server.spawner.fake.recover()


async def test_a_job_that_is_being_taken_down_reports_nothing(hub: Hub, server: Server) -> None:
    """A report of a job that is being ended is not accepted, because its host may soon run another
    user's job."""
    await server.running()
    job_id = server.spawner.server_job.state.job_id
    server.spawner.fake.change(job_id, JobState.RUNNING, exec_host=NODE, ending=True)
    while not (server.info and server.info.ending):
        await server.spawner.monitor().refresh(PATIENCE)
    late = await hub.post({"host": NODE, "port": 2000}, server.token)
    assert late.code in (403, 503)  # 403 when JupyterHub has cleared the failed start
    assert ("", 0) == server.where


# -- tokens -------------------------------------------------------------------------------------


@FOREIGN_TOKEN
@pytest.mark.parametrize("token", [None, "", "wrong", "0" * 32, "undefined"])
async def test_without_the_token(hub: Hub, server: Server, token: str | None) -> None:
    """A report without the server's token gets 403."""
    await server.running()
    assert 403 == (await hub.post({"host": NODE, "port": 2000}, token)).code
    assert ("", 0) == server.where


@FOREIGN_TOKEN
@pytest.mark.parametrize("name", ["ada", "bob"])
async def test_with_another_token_of_a_user(hub: Hub, server: Server, name: str) -> None:
    """Any other token of the server's own user gets 403, too."""
    await server.running()
    token = hub.user(name).new_api_token(scopes=["self"])
    assert 403 == (await hub.post({"host": NODE, "port": 2000}, token)).code
    assert ("", 0) == server.where


@FOREIGN_TOKEN
async def test_with_another_servers_token(hub: Hub, server: Server) -> None:
    """A server's token counts for that server alone."""
    await server.running()
    bob = Server(hub.user("bob").spawners[""])
    try:
        await bob.running(OTHER)
        assert 409 == (await hub.post({"host": NODE, "port": 2000}, bob.token)).code
        assert (("", 0), ("", 0)) == (server.where, bob.where)
        assert 200 == (await hub.post({"host": OTHER, "port": 2000}, bob.token)).code
        assert (("", 0), (OTHER, 2000)) == (server.where, bob.where)
    finally:
        bob.start.cancel()
        await asyncio.wait({bob.start})
        await bob.spawner.stop()
        bob.spawner.clear_state()


@pytest.mark.threat(
    who="job",
    tries="It goes on to use its token after its server has ended.",
    stopped_by="The token is revoked when the server is forgotten, also after a restart of"
    " the Hub.",
)
async def test_the_token_of_a_server_that_is_gone(hub: Hub, server: Server) -> None:
    """The token is revoked when the server is forgotten."""
    await server.running()
    server.start.cancel()
    await server.spawner.stop()
    server.spawner.clear_state()
    assert 403 == (await hub.post({"host": NODE, "port": 2000}, server.token)).code


@FOREIGN_TOKEN
async def test_a_token_in_a_cookie_or_the_query_does_not_count(hub: Hub, server: Server) -> None:
    """Only a token in the header counts, because a browser never adds this header by itself."""
    await server.running()
    cookie = await hub.post({"host": NODE, "port": 2000}, None, Cookie=f"token={server.token}")
    assert 403 == cookie.code
    query = await AsyncHTTPClient().fetch(
        f"{hub.report_url}?token={server.token}",
        method="POST",
        body=json.dumps({"host": NODE, "port": 2000}),
        raise_error=False,
    )
    assert (403, ("", 0)) == (query.code, server.where)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
async def test_only_post(hub: Hub, server: Server, method: str) -> None:
    """Methods other than POST are refused."""
    await server.running()
    response = await AsyncHTTPClient().fetch(
        hub.report_url,
        method=method,
        body=b"{}" if method in ("PUT", "PATCH") else None,
        headers={"Authorization": f"token {server.token}"},
        raise_error=False,
    )
    assert response.code in (403, 404, 405)


# -- bodies and hosts ---------------------------------------------------------------------------


@pytest.mark.threat(
    who="job",
    tries="It reports a port below 1024, or something that is not a report.",
    stopped_by="The Hub checks each value, and changes nothing if one is wrong.",
)
@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"hello", b"\xff\xfe", b"[" * 4000, b"null", b"[]", b'"x"', b"1"),
        *({}, {"host": NODE}, {"port": 2000}, [NODE, 2000]),
        *({"host": NODE, "port": port} for port in (True, False, "2000", 2000.0, None, [2000])),
        *({"host": NODE, "port": port} for port in (0, -1, 22, 1023, 65536, 10**20)),
        *({"host": host, "port": 2000} for host in (None, 1, "", "a" * 254, [NODE], {"a": 1})),
    ],
    ids=lambda body: str(body)[:40],
)
async def test_invalid_bodies(hub: Hub, server: Server, body: Any) -> None:
    """A body that is not JSON, or has a wrong host or port, gets 400 and changes nothing."""
    await server.running()
    assert 400 == (await hub.post(body, server.token)).code
    assert ("", 0) == server.where


@pytest.mark.threat(
    who="job",
    tries="It sends an endless report.",
    stopped_by="A report has a limit of 4096 bytes.",
)
async def test_a_body_that_is_too_large(hub: Hub, server: Server) -> None:
    """A body over the limit gets 413, whatever it contains."""
    await server.running()
    body = {"host": NODE, "port": 2000, "padding": "x" * BODY_LIMIT}
    assert 413 == (await hub.post(body, server.token)).code
    assert ("", 0) == server.where


@pytest.mark.threat(
    who="job",
    tries="It reports another host as its own, so that the proxy sends its user's requests there.",
    stopped_by="The Hub accepts only the host on which the scheduler says that the job runs.",
)
@pytest.mark.parametrize(
    "host",
    [OTHER, "127.0.0.1", "localhost", "0.0.0.0", "169.254.169.254", "::1", "a b", "-x", "\ud800"],
)
async def test_a_host_that_is_not_the_jobs(hub: Hub, server: Server, host: str) -> None:
    """A report from another host gets 409 with the reason, and the server goes on waiting."""
    await server.running()
    response = await hub.post({"host": host, "port": 2000}, server.token)
    assert (409, ("", 0)) == (response.code, server.where)
    assert "host: " in json.loads(response.body)["message"]
    assert not server.start.done()


@pytest.mark.threat(
    who="job",
    tries="It leads its route to the Hub's own services, or to special addresses.",
    stopped_by="Loopback, link-local and the Hub's own addresses are refused.",
)
@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "0.0.0.0"])
async def test_loopback_is_refused_although_the_scheduler_names_it(
    hub: Hub, server: Server, host: str
) -> None:
    """A loopback address is refused although the scheduler names it, because it would be the Hub's
    own host."""
    await server.running(host)
    assert 409 == (await hub.post({"host": host, "port": 2000}, server.token)).code
    assert ("", 0) == server.where


@pytest.mark.threat(
    who="job",
    tries="It gets the host of somebody else's job, through a wrong job id.",
    stopped_by="The host of a job with another owner does not count.",
)
async def test_the_host_of_another_users_row_does_not_count(hub: Hub, server: Server) -> None:
    """A host of a job with another owner does not count, in case the user's side has given a wrong
    job id."""
    await server.submitted()
    job_id = server.spawner.server_job.state.job_id
    server.spawner.fake.change(job_id, JobState.RUNNING, exec_host=OTHER, owner="eve")
    assert 503 == (await hub.post({"host": OTHER, "port": 2000}, server.token)).code
    assert ("", 0) == server.where


# -- a start that fails -------------------------------------------------------------------------


async def test_a_job_that_fails(hub: Hub, server: Server) -> None:
    """If the job fails, the error shows state, reason and the end of the log, escaped; a late
    report is refused."""
    await server.running()
    server.spawner.side.log = "starting\n<b>no module</b>\n"
    job_id = server.spawner.server_job.state.job_id
    server.spawner.fake.change(job_id, JobState.FAILED, message="it ended <badly>")
    with pytest.raises(SpawnFailure) as caught:
        await asyncio.wait_for(asyncio.shield(server.start), PATIENCE)
    text, html = caught.value.jupyterhub_message, caught.value.jupyterhub_html_message
    for part in (job_id, "FAILED", "it ended <badly>", "<b>no module</b>"):
        assert part in text
    assert "&lt;b&gt;no module&lt;/b&gt;" in html
    assert "<b>" not in html
    late = await hub.post({"host": NODE, "port": 2000}, server.token)
    assert late.code in (403, 503)  # 403 when JupyterHub has cleared the failed start


# -- batchspawner's own report ------------------------------------------------------------------


async def test_the_port_of_batchspawners_report(hub: Hub, server: Server) -> None:
    """The port of batchspawner's report is used as soon as the scheduler names the host; no other
    key of the report counts."""
    await server.submitted()
    before = server.spawner.server_job.state.to_dict()
    body = {"port": 3000, "ip": OTHER, "host": OTHER, "run_as": "same_user", "cmd": ["id"]}
    response = await hub.post(body, server.token, "batchspawner")
    assert 201 == response.code
    assert {"message": "BatchSpawner data configured"} == json.loads(response.body)
    assert ("", 0) == server.where
    server.runs_on(NODE)
    assert f"http://{NODE}:3000" == await asyncio.wait_for(server.start, PATIENCE)
    assert {**before, "host": NODE, "port": 3000} == server.spawner.server_job.state.to_dict()
    assert ["jupyterhub-singleuser"] == server.spawner.cmd


@pytest.mark.threat(
    who="job",
    tries="It posts batchspawner's report many times while its host is not known.",
    stopped_by="Each server has one task that waits, and the last port counts.",
)
async def test_a_port_is_waited_with_once(hub: Hub, server: Server) -> None:
    """However often a job posts a port, a single task per server waits for the host, and the last
    port counts."""
    await server.submitted()
    for port in range(3000, 3050):
        assert 201 == (await hub.post({"port": port}, server.token, "batchspawner")).code
    waiting = [task for task in asyncio.all_tasks() if "port of" in task.get_name()]
    assert 1 == len(waiting)
    server.runs_on(NODE)
    assert f"http://{NODE}:3049" == await asyncio.wait_for(server.start, PATIENCE)


async def test_a_port_that_comes_during_the_check_counts(
    hub: Hub, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a second port comes while the first one is checked, the start returns the second one. It
    would otherwise wait at an address at which nothing listens."""
    begun, gate = asyncio.Event(), asyncio.Event()

    async def check_slowly(*_: Any, **__: Any) -> str:
        begun.set()
        await gate.wait()
        await asyncio.sleep(0.1)  # the next check takes time, too
        return NODE

    monkeypatch.setattr(job_reports, "check_address", check_slowly)
    await server.running()
    assert 201 == (await hub.post({"port": 3000}, server.token, "batchspawner")).code
    await asyncio.wait_for(begun.wait(), PATIENCE)
    assert 201 == (await hub.post({"port": 3001}, server.token, "batchspawner")).code
    gate.set()
    assert f"http://{NODE}:3001" == await asyncio.wait_for(server.start, PATIENCE)


@pytest.mark.parametrize("port", [None, "3000", 1023, 65536, 3000.0, True])
async def test_invalid_ports(hub: Hub, server: Server, port: Any) -> None:
    """batchspawner's report gets 400 for an invalid port, and 403 for a wrong token."""
    await server.submitted()  # in its first moments Python 3.11 may swallow a start's cancellation
    assert 400 == (await hub.post({"port": port}, server.token, "batchspawner")).code
    assert 403 == (await hub.post({"port": 3000}, "0" * 32, "batchspawner")).code


async def test_a_legacy_server_reports_either_way(hub: Hub) -> None:
    """A legacy server may use either path of the API; only the port counts, because its host comes
    from the site's patterns."""
    user = hub.user("grace")
    token = user.new_api_token(scopes=["users:activity!user"])
    spawner = user._new_spawner("", spawner_class=TorqueSpawner)
    user.spawners[""] = spawner
    spawner.server_job.state.mark = "0" * 16
    spawner.server_job.state.token_id = orm.APIToken.find(hub.app.db, token).id
    for port, path in ((3000, "batchspawner"), (3001, "unispawner/report")):
        body = {"port": port, "host": OTHER, "exec_prefix": "id;", "job_id": "9", "ip": OTHER}
        assert (await hub.post(body, token, path)).code in (200, 201)
        assert (port, port) == (spawner.port, spawner.server_job.state.port)
        assert spawner.server_job.state.from_here  # this test is on the Hub's host
    assert ("sudo -E -u {username}", "", "0.0.0.0") == (
        spawner.exec_prefix,
        spawner.job_id,
        spawner.ip,
    )
    headers = {"X-Forwarded-For": "192.0.2.1"}
    await hub.post({"port": 3002, "host": OTHER}, token, **headers)
    assert (3002, False) == (spawner.port, spawner.server_job.state.from_here)


@pytest.mark.threat(
    who="job",
    tries="It sets attributes of a foreign spawner through batchspawner's path.",
    stopped_by="Only the port is taken, and only of batchspawner's own class.",
)
async def test_a_server_of_batchspawners_own_class(hub: Hub) -> None:
    """A spawner of batchspawner's own classes, or of a site's subclass, gets its port during a
    migration, and no other attribute."""
    base = type("BatchSpawnerBase", (SimpleLocalProcessSpawner,), {})
    base.__module__ = "batchspawner.batchspawner"
    spawner = foreign_server(hub, "joan", type("Site", (base,), {}))
    body = {"port": 3000, "cmd": ["id"]}
    assert 201 == (await hub.post(body, spawner.api_token, "batchspawner")).code
    assert (3000, ["jupyterhub-singleuser"]) == (spawner.port, spawner.cmd)


@pytest.mark.threat(
    who="job",
    tries="It reports a port for a server whose spawner is neither ours nor batchspawner's.",
    stopped_by="Only spawners of batchspawner's own classes get a port from such a report.",
)
async def test_a_server_of_any_other_class(hub: Hub) -> None:
    """A spawner of another class gets no port from a report."""
    spawner = foreign_server(hub, "jack", SimpleLocalProcessSpawner)
    before = spawner.port
    assert 403 == (await hub.post({"port": 3000}, spawner.api_token, "batchspawner")).code
    assert before == spawner.port


def foreign_server(hub: Hub, name: str, cls: type) -> Any:
    """Return the spawner of a user's server that is of another class."""
    user = hub.user(name)
    spawner = user.spawners[""] = user._new_spawner("", spawner_class=cls)
    spawner.api_token = user.new_api_token(scopes=["users:activity!user"])
    return spawner
