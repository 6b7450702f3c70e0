"""What the Hub keeps of each start, and who may read and delete it, with a Hub's application."""

from __future__ import annotations

import asyncio
import importlib
import json
import re
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from jinja2 import TemplateNotFound, meta
from jupyterhub import orm
from jupyterhub.apihandlers import default_handlers as of_api
from jupyterhub.apihandlers import users
from jupyterhub.apihandlers.users import UserServerAPIHandler
from sqlalchemy.exc import OperationalError
from sqlalchemy.schema import CreateTable
from support.hub import until
from support.hub_app import NODE, PATIENCE, FakeSpawner, Hub, Server, hub_app, starting_server
from tornado.httpclient import AsyncHTTPClient
from tornado.web import create_signed_value

from unispawner.job import JobState
from unispawner.monitor.usage_collector import UsageCollector
from unispawner.schedulers.usage import Accounting, Usage
from unispawner.servers import history, history_pages, live_log, notices, session_facts, stops

pytestmark = pytest.mark.filterwarnings("ignore:The `version` property of an event schema")


@pytest.fixture
async def hub(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Hub]:
    async with hub_app(tmp_path_factory.mktemp("hub")) as found:
        yield found


@pytest.fixture
async def server(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    """Give a server that is starting; `user_options` were chosen."""
    hub.app.db.info.pop("unispawner_history", None)
    hub.user("ada").spawners[""].user_options = {"profile": "gpu", "memory": "4G"}
    async with starting_server(hub, monkeypatch) as found:
        yield found


async def read(hub: Hub, user: str = "ada") -> list[dict[str, Any]]:
    """Return the sessions of a user as the API has them."""
    answer = await hub.get("unispawner/history", hub.user(user).new_api_token())
    assert 200 == answer.code
    return list(json.loads(answer.body)["sessions"])


async def wait_for(hub: Hub, outcome: str) -> dict[str, Any]:
    """Return the only session as soon as it has an outcome."""

    async def find() -> bool:
        return [outcome] == [one["outcome"] for one in await read(hub)]

    await until(find, f"the session is {outcome or 'open'}", PATIENCE)
    return (await read(hub))[0]


async def ready(hub: Hub, server: Server) -> None:
    """Let the server become ready, as JupyterHub finds it."""
    await server.running()
    assert 200 == (await hub.post({"host": NODE, "port": 2000}, server.token)).code
    await asyncio.wait_for(server.start, PATIENCE)
    server.spawner.start_polling()
    server.spawner.stop_polling()


def end(server: Server, state: JobState, **more: Any) -> None:
    """Let the scheduler end the job."""
    FakeSpawner.fake.change(server.spawner.server_job.state.job_id, state, **more)


async def over(server: Server) -> None:
    """Wait until the Hub knows that the job has ended, and let it forget the server."""
    job = server.spawner.server_job
    while not job.over:
        await job.monitor.refresh(PATIENCE)
    server.spawner.clear_state()


@pytest.mark.parametrize("name", ["mysql", "postgresql", "sqlite"])
def test_the_tables_in_each_database(name: str) -> None:
    """Each database that JupyterHub may use can make the table: MySQL needs a length for each text
    that is not of type TEXT, and a FLOAT of 53 bits for the seconds since 1970."""
    dialect = importlib.import_module(f"sqlalchemy.dialects.{name}").dialect()
    statement = str(CreateTable(history._TABLE).compile(dialect=dialect))
    assert statement.count("VARCHAR") == statement.count("VARCHAR(")
    assert name == "sqlite" or not re.search(r"\bFLOAT\b(?!\(53\))", statement)


async def test_a_server_that_its_user_stops(hub: Hub, server: Server) -> None:
    """The session has the choice, the job, when it was asked for, began, was ready and ended."""
    before = time.time()
    await server.submitted()
    session = await wait_for(hub, "")
    assert {"profile": "gpu", "memory": "4G"} == session["options"]
    assert server.spawner.server_job.state.job_id == session["job_id"]
    assert (None, None, None) == (session["started"], session["ready"], session["waited"])
    await server.running()
    end(server, JobState.RUNNING, exec_host=NODE, start_time=before + 60)
    while server.info is None or server.info.start_time is None:
        await server.spawner.monitor().refresh(PATIENCE)
    await ready(hub, server)
    await server.spawner.stop()
    server.spawner.clear_state()
    session = await wait_for(hub, "stopped")
    assert (NODE, "", "") == (session["host"], session["reason"], session["log"])
    assert session["ready"] is not None
    assert session["ended"] is not None
    assert session["waited"] == pytest.approx(60, abs=30)


async def test_a_server_that_fails(hub: Hub, server: Server) -> None:
    """The reason is the scheduler's, in the words that the user read. The end of the log stays,
    also if it was read before the Hub forgets the server."""
    await ready(hub, server)
    job = server.spawner.server_job
    history.note_log(job, job.state.mark, "the last words")
    end(server, JobState.FAILED, native_state="TIMEOUT", message="the time limit was reached")
    await over(server)
    session = await wait_for(hub, "failed")
    assert "TIMEOUT: the time limit was reached" in session["reason"]
    assert "the last words" == session["log"]


def measured(server: Server, *answers: Accounting, requested: dict[str, Any]) -> None:
    """Let the accounting answer soon; the job was given some amounts."""
    FakeSpawner.side.accounting = answers[0]
    server.spawner.monitor().usage = UsageCollector((0.0, 0.01))
    server.spawner.server_job.state.requested = requested


async def used(hub: Hub) -> dict[str, Any]:
    """Return the only session as soon as it is known what it has used."""

    async def find() -> bool:
        return bool((await read(hub))[0]["used"])

    await until(find, "it is known what the session has used", PATIENCE)
    return (await read(hub))[0]


async def test_what_a_server_has_used(hub: Hub, server: Server) -> None:
    """After the end of a job, its user's side is asked what it has used. The answer is kept beside
    what the job was given, and deleted with the session."""
    await ready(hub, server)
    measured(
        server,
        Accounting(Usage(seconds=100.0, cpu_seconds=150.0, memory=3 * 2**30, cause="memory")),
        requested={"memory": 64 * 2**30, "cores": 8},
    )
    state = server.spawner.server_job.state
    end(server, JobState.FAILED, native_state="FAILED", message="the job ended with an error")
    await over(server)
    session = await used(hub)
    assert {"memory": 64 * 2**30, "cores": 8} == session["requested"]
    assert {"seconds": 100.0, "cores": 1.5, "memory": 3 * 2**30} == session["used"]
    assert ("failed", "memory") == (session["outcome"], session["cause"])
    [asked] = FakeSpawner.side.asked("usage")
    assert (state.job_id, state.mark) == (asked["job_id"], asked["mark"])
    assert asked["submitted"] == state.submit_time <= asked["ended"]
    assert 204 == await delete(hub, "", "ada", "servers!user=ada")
    assert {} == session_facts.read(hub.app.db, "ada")


async def test_a_time_limit(hub: Hub, server: Server, caplog: pytest.LogCaptureFixture) -> None:
    """The scheduler's word for it is its cause, whatever else the accounting says later. While the
    job ends (COMPLETING), the log does not say that it has moved."""
    await ready(hub, server)
    caplog.set_level("INFO", server.spawner.log.name)
    end(server, JobState.RUNNING, ending=True)
    while server.spawner.server_job.state.port:
        await server.spawner.monitor().refresh(PATIENCE)
    assert "this run of the job is ending" in caplog.text
    assert "no longer where its server was" not in caplog.text
    measured(server, Accounting(Usage(seconds=1.0, cause="cancelled")), requested={})
    fake = server.spawner.monitor().scheduler
    end(server, JobState.FAILED, native_state="TIMEOUT", message="the job reached its time limit")
    object.__setattr__(fake, "causes", {"TIMEOUT": "time_limit"})
    await over(server)
    assert "time_limit" == (await used(hub))["cause"]


@pytest.mark.parametrize("setting", ["ask_accounting", "history_days"])
async def test_an_accounting_that_nobody_asks(hub: Hub, server: Server, setting: str) -> None:
    """An administrator can switch the question off, and nobody asks for a history that is off."""
    await ready(hub, server)
    measured(server, Accounting(Usage(seconds=1.0)), requested={})
    asked = len(FakeSpawner.side.asked("usage"))
    setattr(server.spawner, setting, 0)
    end(server, JobState.COMPLETED, native_state="COMPLETED")
    await over(server)
    await asyncio.sleep(0.1)
    assert asked == len(FakeSpawner.side.asked("usage"))


async def test_a_session_that_is_deleted_before_its_usage_is_known(
    hub: Hub, server: Server
) -> None:
    """A session that its user deletes does not come back when its usage is known."""
    await ready(hub, server)
    measured(server, Accounting(Usage(seconds=1.0)), requested={})
    server.spawner.monitor().usage.pauses = (0.3,)
    end(server, JobState.COMPLETED, native_state="COMPLETED")
    await over(server)
    await wait_for(hub, "ended")
    assert 204 == await delete(hub, "", "ada", "servers!user=ada")
    await until(lambda: FakeSpawner.side.asked("usage"), "the accounting is asked", PATIENCE)
    await asyncio.sleep(0.1)
    assert {} == session_facts.read(hub.app.db, "ada")


async def test_rows_of_the_previous_version(hub: Hub, server: Server) -> None:
    """Rows of the previous version have no row of facts, and load as before; a damaged row of facts
    costs nothing else."""
    await server.submitted()
    session = await wait_for(hub, "")
    hub.app.db.execute(session_facts.TABLE.delete())
    [before] = await read(hub)
    assert ({}, {}, "") == (before["requested"], before["used"], before["cause"])
    session_facts.write(
        hub.app.db, "ada", session["mark"], time.time() + 60, requested="{", used='{"memory": "x"}'
    )
    [after] = await read(hub)
    assert before == after


@pytest.mark.parametrize(
    ("sender", "expected"), [("ada", ""), ("bob", "administrator"), (None, "service")]
)
async def test_who_has_stopped_a_server(
    hub: Hub,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    sender: str | None,
    expected: str,
) -> None:
    """The server's user, an administrator or a service, such as the culler of idle servers, may ask
    for its end; JupyterHub's own handler of that does the rest."""
    stopped = []

    async def stop(_: Any, user: Any, name: str = "") -> None:
        stopped.append((user.name, name))

    monkeypatch.setattr(UserServerAPIHandler, "stop_single_user", stop)
    await server.submitted()
    job, handler = server.spawner.server_job, stops.StopHandler.__new__(stops.StopHandler)
    handler._jupyterhub_user = hub.user(sender) if sender else orm.Service(name="cull-idle")
    await handler.stop_single_user(hub.user("ada"))
    assert ([("ada", "")], expected) == (stopped, job.stopped_by)
    job.state.stopping = True
    assert history.Ending("stopped", cause=expected) == history.find_ending(job)
    job.state.stopping = False


def test_the_routes_of_stopping() -> None:
    """Our handler comes before JupyterHub's for the same addresses, which it takes from there."""
    theirs = {path for path, cls in users.default_handlers if cls is UserServerAPIHandler}
    for path in theirs:
        first = next(route[1] for route in of_api if route[0] == path)
        assert first is stops.StopHandler


async def test_a_server_that_ends_by_itself(hub: Hub, server: Server) -> None:
    """A server that its user has shut down inside has no reason."""
    await ready(hub, server)
    end(server, JobState.COMPLETED, native_state="COMPLETED")
    await over(server)
    assert "" == (await wait_for(hub, "ended"))["reason"]


async def test_a_start_that_fails(hub: Hub, server: Server) -> None:
    """A job that ends before its server was ready has its reason and the end of its log; what
    JupyterHub does afterwards does not change it."""
    await server.submitted()
    end(server, JobState.FAILED, native_state="NODE_FAIL", message="the node died")
    with pytest.raises(Exception, match="NODE_FAIL"):
        await server.start
    await server.spawner.stop()
    server.spawner.clear_state()
    session = await wait_for(hub, "failed")
    assert "before its server was ready" in session["reason"]


async def test_a_start_that_is_refused(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A submission that the scheduler refuses is in the history, without a job."""
    spawner = hub.user("ada").spawners[""]
    spawner.account_name = lambda _: "no-such-account-at-all"
    async with starting_server(hub, monkeypatch) as server:
        with pytest.raises(Exception, match="no-such-account-at-all"):
            await server.start
        session = await wait_for(hub, "refused")
    assert ("", "no-such-account-at-all" in session["reason"]) == (session["job_id"], True)


async def test_a_restart_between(hub: Hub, server: Server) -> None:
    """A session whose end the Hub did not see is not open for ever."""
    await server.submitted()
    await wait_for(hub, "")
    server.spawner.server_job.state.mark, mark = "", server.spawner.server_job.state.mark
    assert ["unknown"] == [one["outcome"] for one in await read(hub)]
    server.spawner.server_job.state.mark = mark


async def test_how_long_it_is_kept(
    hub: Hub, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is older than history_days is not shown, and is deleted soon; with 0 nothing is kept."""
    await server.submitted()
    session, job = await wait_for(hub, ""), server.spawner.server_job
    row = rows(hub)[0]
    assert 30 * 86400 == pytest.approx(row.expires - row.asked)
    values = history._values_of_start(job)
    history._insert(hub.app.db, {**values, "mark": "old", "expires": time.time() - 1})
    assert [session["mark"]] == [one["mark"] for one in await read(hub)]
    assert {session["mark"], "old"} == {one.mark for one in rows(hub)}
    hub.app.db.info.pop("unispawner_history", None)
    history._insert(hub.app.db, {**values, "mark": "new"})
    assert {session["mark"], "new"} == {one.mark for one in rows(hub)}
    server.spawner.history_days = 0
    before = len(rows(hub))
    history.note_submitted(job)
    await asyncio.sleep(0.1)
    assert before == len(rows(hub))


async def test_a_refused_row_costs_no_job(
    hub: Hub, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the database refuses the history's row, the job's id is saved all the same."""
    monkeypatch.setattr(history, "_insert", _refuse)
    await server.submitted()
    row = server.spawner.orm_spawner
    await until(lambda: (row.state or {}).get("job_id"), "the job's id is saved", PATIENCE)
    assert [] == await read(hub)


def _refuse(_session: Any, _values: Any) -> None:
    raise OperationalError("", {}, Exception("the row is too large"))


@pytest.mark.threat(
    who="user",
    tries="They let starts fail in a loop, so that the history fills the Hub's database.",
    stopped_by="Only the newest sessions of each user are kept, beside those that have not ended.",
)
async def test_how_many_are_kept(hub: Hub, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the sessions that have ended, the oldest make room; a server that runs keeps its own."""
    monkeypatch.setattr(history, "_MOST", 3)
    await server.submitted()
    session, now = await wait_for(hub, ""), time.time()
    values = {**history._values_of_start(server.spawner.server_job), "ended": now}
    for number in range(5):
        history._insert(hub.app.db, {**values, "mark": str(number), "asked": now + number})
    other = {**values, "user_name": "bob", "mark": "0", "asked": now}
    history._insert(hub.app.db, other)
    expected = {("ada", session["mark"]), *(("ada", one) for one in "234"), ("bob", "0")}
    assert expected == {(one.user_name, one.mark) for one in rows(hub)}


@pytest.mark.threat(
    who="user",
    tries="Their side names a host, or a reason, with characters that no database keeps.",
    stopped_by="Such characters are replaced before they are saved.",
)
async def test_characters_that_no_database_keeps(hub: Hub, server: Server) -> None:
    """Half of a pair of surrogates, or a NUL, costs no other part of the session."""
    assert "n\ufffd1\ufffd" == history._cut("n\x001\ud800")  # pytest-xdist can't send a log with it
    await ready(hub, server)
    end(server, JobState.FAILED, message="a\x00b", exec_host="n\x001")
    await over(server)
    session = await wait_for(hub, "failed")
    assert "n\ufffd1" == session["host"]
    assert "a\ufffdb" in session["reason"]


def rows(hub: Hub) -> list[Any]:
    """Return the rows of the table, whoever may see them."""
    return list(hub.app.db.execute(history._TABLE.select()).all())


async def delete(hub: Hub, path: str, user: str, scope: str = "") -> int:
    token = hub.user(user).new_api_token(scopes=[scope] if scope else None)
    answer = await AsyncHTTPClient().fetch(
        f"{hub.url}/unispawner/history{path}?user=ada",
        method="DELETE",
        headers={"Authorization": f"token {token}"},
        raise_error=False,
    )
    return int(answer.code)


@pytest.mark.threat(
    who="other user",
    tries="They read or delete what the Hub keeps of somebody else's sessions.",
    stopped_by="Reading needs read:servers for that user, and deleting needs servers.",
)
async def test_whose_sessions(hub: Hub, server: Server) -> None:
    """A user reads and deletes only their own sessions; a server that runs goes on."""
    await server.submitted()
    mark = (await wait_for(hub, ""))["mark"]
    bob = hub.user("bob").new_api_token()
    assert 404 == (await hub.get("unispawner/history?user=ada", bob)).code
    assert 404 == (await hub.get(f"unispawner/history/{mark}", bob)).code
    assert 403 == (await hub.get("unispawner/history", None)).code
    assert 404 == await delete(hub, "", "bob")
    assert 404 == await delete(hub, "", "ada", "read:servers!user=ada")
    assert 404 == await delete(hub, "/other", "ada")
    assert 204 == await delete(hub, f"/{mark}", "ada", "servers!user=ada")
    assert [] == await read(hub)
    assert not server.start.done()


@pytest.mark.threat(
    who="other user",
    tries="They read the log of somebody else's server, which may have its user's secrets.",
    stopped_by="The log is for whoever may open the server: the scope access:servers.",
)
async def test_the_log_of_a_server_that_starts(hub: Hub, server: Server) -> None:
    """The end of the log is read as the user while the server starts, for who may open it."""
    ada, bob = hub.user("ada").new_api_token(), hub.user("bob").new_api_token()
    path = "unispawner/servers/ada//log"
    assert 404 == (await hub.get(path, bob)).code
    assert (
        404
        == (
            await hub.get(path, hub.user("ada").new_api_token(scopes=["read:servers!user=ada"]))
        ).code
    )
    await server.running()
    answer = await hub.get(path, ada)
    assert 200 == answer.code
    assert "log" in json.loads(answer.body)


async def test_a_log_that_is_asked_for_too_often(
    hub: Hub, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer 429 says after how many seconds to ask again."""

    async def refuse(*_: Any) -> str:
        raise live_log.ReadLater(7)

    await server.running()
    monkeypatch.setattr(live_log.LIVE_LOGS.of(hub.app.tornado_settings), "read", refuse)
    answer = await hub.get("unispawner/servers/ada//log", hub.user("ada").new_api_token())
    assert (429, "7") == (answer.code, answer.headers["Retry-After"])


async def test_the_page(hub: Hub, server: Server) -> None:
    """The page has the sessions as text, whatever the scheduler said; it needs a login."""
    await server.submitted()
    await wait_for(hub, "")
    session = history.read_sessions(hub.app.db, "ada", set())[0]
    assert "gpu" == session.options["profile"]
    page = await AsyncHTTPClient().fetch(
        hub.url.replace("/api", "/unispawner/history"), raise_error=False, follow_redirects=False
    )
    assert 302 == page.code


async def test_the_page_as_a_browser_gets_it(hub: Hub, server: Server) -> None:
    """The page of earlier sessions shows a session in the reader's language."""
    await ready(hub, server)
    name, secret = hub.app.hub.cookie_name, hub.app.cookie_secret
    cookie = create_signed_value(secret, name, hub.user("ada").orm_user.cookie_id).decode()
    page = await AsyncHTTPClient().fetch(
        hub.url.replace("/api", "/unispawner/history"),
        headers={"Cookie": f"{name}={cookie}", "Accept-Language": "de"},
        raise_error=False,
    )
    assert 200 == page.code
    text = page.body.decode()
    assert server.spawner.server_job.state.mark in text
    assert 'lang="de"' in text


@pytest.mark.parametrize("kind", ["jinja2_env", "jinja2_env_sync"])
async def test_the_page_without_template_paths(hub: Hub, kind: str) -> None:
    """A Hub without template_paths has the page, and each template that it refers to."""
    plain = hub.app.tornado_settings[kind]
    environment = history_pages.add_our_templates(plain)
    waiting, found = ["unispawner_history.html"], set()
    while waiting:
        name = waiting.pop()
        found.add(name)
        environment.get_template(name)
        assert environment.loader
        source, _, _ = environment.loader.get_source(environment, name)
        named = meta.find_referenced_templates(environment.parse(source))
        waiting += [one for one in named if one and one not in found]
    assert {"page.html", "unispawner_language.html"} <= found
    with pytest.raises(TemplateNotFound):
        plain.get_template("unispawner_language.html")


def test_a_choice_becomes_the_fields_of_a_form() -> None:
    """Numbers and flags are texts in a form; without a profile there is nothing to choose again."""
    session = history.Session("m", profile="gpu", options={"profile": "gpu", "on": True, "n": 2})
    assert {"profile": "gpu", "on": "true", "n": "2"} == history_pages._as_fields(session)
    assert {} == history_pages._as_fields(history.Session("m"))


async def test_a_database_that_fails(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API replies with status 503, and the user reads nothing of what the database has said."""

    def refuse(_session: Any, _table: Any) -> None:
        raise OperationalError("SELECT secret", {}, Exception("locked"))

    token = hub.user("ada").new_api_token()
    monkeypatch.setattr(history, "make_table", refuse)
    monkeypatch.setattr(notices, "make_table", refuse)
    hub.app.db.info.pop("unispawner_notices", None)
    for path in ("unispawner/history", "unispawner/notices"):
        answer = await hub.get(path, token)
        assert 503 == answer.code
        expected = "The Hub's database does not answer at the moment. Try again later."
        assert expected == json.loads(answer.body)["message"]
    assert orm.User.find(hub.app.db, "ada") is not None
