"""``unispawner reap`` against a Hub's own application, on a fake scheduler."""

from __future__ import annotations

import asyncio
import io
import json
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jupyterhub import orm
from sqlalchemy import text
from support.hub import until
from support.hub_app import NODE, PATIENCE, FakeSpawner, Hub, hub_app, starting_server
from traitlets.config import Config

from unispawner.admin.cli import _parser
from unispawner.admin.reap import accounts as accounts_module
from unispawner.admin.reap import command, places
from unispawner.admin.reap.known import RunningHub
from unispawner.errors import AgentError, InvalidJobError
from unispawner.job import JobState, make_mark
from unispawner.run_as.accounts import Account
from unispawner.servers import as_user
from unispawner.submit_host.host import SubmitHost

pytestmark = pytest.mark.filterwarnings("ignore:The `version` property of an event schema")

DAY = 86400.0
SERVICES = {
    "reaper": ["admin:server_state", "list:users"],
    "half": ["admin:server_state"],
    "one-user": ["admin:server_state!user=alice", "list:users"],
    "portal": ["read:servers", "list:users"],
}
CONFIG = """
from support.hub_app import FakeSpawner
c.JupyterHub.spawner_class = FakeSpawner
c.JupyterHub.cookie_secret_file = "{folder}/cookie_secret"
c.JupyterHub.hub_port = {port}
c.FakeSpawner.account_name = lambda spawner: spawner.user.name
"""


def token_of(service: str) -> str:
    return (service * 32)[:32]


class FakeHost(SubmitHost):
    """A host that has alice, bob and carol."""

    async def find_entry(self, name: str) -> Any:
        return SimpleNamespace(name=name) if name in ("alice", "bob", "carol") else None


async def find_account(name: str, *_: Any, **__: Any) -> Account:
    return Account(name, 60_000, f"/home/{name}")


@pytest.fixture
async def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hub]:
    """Give a Hub with the id prod and the users alice and bob."""
    config = Config()
    config.FakeSpawner.hub_id = "prod"
    config.FakeSpawner.account_name = lambda spawner: spawner.user.name
    config.JupyterHub.services = [{"name": n, "api_token": token_of(n)} for n in SERVICES]
    config.JupyterHub.load_roles = [
        {"name": name, "services": [name], "scopes": scopes} for name, scopes in SERVICES.items()
    ]
    monkeypatch.setattr(as_user, "find_account", find_account)
    monkeypatch.setattr(accounts_module, "find_account", find_account)
    monkeypatch.setattr(accounts_module, "_PAUSE", 0.01)
    host = FakeHost()  # one, because a monitor belongs to a host
    monkeypatch.setattr(FakeSpawner, "get_host", lambda _: host)
    async with hub_app(tmp_path, config) as found:
        found.user("alice")
        found.user("bob")
        port = found.url.split(":")[2].partition("/")[0]
        (tmp_path / "config.py").write_text(CONFIG.format(folder=tmp_path, port=port))
        (tmp_path / "token").write_text(token_of("reaper"))
        (tmp_path / "token").chmod(0o600)
        yield found


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the command run two days later, when no start is young."""
    monkeypatch.setattr(command, "time", SimpleNamespace(time=lambda: time.time() + 2 * DAY))


class Reap:
    """Runs the command in the loop of the Hub's application."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder, self._capsys = folder, capsys
        self.report: dict[str, Any] = {}

    async def __call__(self, *options: str, status: int) -> dict[str, str]:
        """Return the kind of each listed job, or what became of it, by the job's id."""
        words = ["reap", "-f", str(self._folder / "config.py"), "--json"]
        if "--token-file" not in options:
            words += ["--token-file", str(self._folder / "token")]
        self._capsys.readouterr()
        found = await command._Reaper(_parser().parse_args([*words, *options])).run()
        self.report = json.loads(self._capsys.readouterr().out)
        assert status == found, self.report
        return {one["job_id"]: one["result"] or one["kind"] for one in self.report["jobs"]}


@pytest.fixture
def reap(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Reap:
    return Reap(tmp_path, capsys)


def submit(owner: str, hub_id: str = "prod", age: float = 0.0) -> str:
    """Submit a job whose start no Hub knows; return its id."""
    return FakeSpawner.fake.submit(owner, make_mark(hub_id, time.time() - age))


def alive() -> set[str]:
    return {one for one, info in FakeSpawner.fake.jobs.items() if not info.state.final}


async def test_what_is_listed_and_what_is_ended(hub: Hub, reap: Reap) -> None:
    """Only jobs of this Hub that no server owns and whose start is old are ended. Others are
    listed, or counted if they are another Hub's."""
    orphan, running = submit("alice", age=2 * DAY), submit("bob", age=3 * DAY)
    FakeSpawner.fake.change(running, JobState.RUNNING, exec_host=NODE)
    young, old = submit("alice"), submit("bob", "")
    other, ended = submit("bob", "other", 2 * DAY), submit("bob", age=2 * DAY)
    FakeSpawner.fake.change(ended, JobState.COMPLETED)

    listed = {orphan: "orphan", running: "orphan", young: "young", old: "old mark"}
    assert listed == await reap(status=3)
    assert (0, 1, 2) == tuple(reap.report[name] for name in ("owned", "other_hubs", "accounts"))
    assert {**listed, orphan: "ended", running: "ended"} == await reap(
        "--cancel", "--yes", status=0
    )
    assert {young, old, other} == alive()
    assert {young: "young", old: "old mark"} == await reap("--cancel", "--yes", status=0)


@pytest.mark.threat(
    who="other user",
    tries="Their job carries the mark of somebody else's server, so that the one or the other is "
    "ended as a job without a server.",
    stopped_by="A job with the mark of a server is never ended, and jobs are ended as their owner.",
)
async def test_jobs_of_servers_are_never_ended(
    hub: Hub, reap: Reap, monkeypatch: pytest.MonkeyPatch, later: None
) -> None:
    """The jobs of a start in the queue, of a server that runs and of one whose stop is not
    confirmed are left alone, as is another user's job that carries such a mark."""
    async with starting_server(hub, monkeypatch, "alice") as server:
        await server.submitted()
        state = server.spawner.server_job.state
        assert {} == await reap("--cancel", "--yes", status=0)
        copy = FakeSpawner.fake.submit("bob")
        original = FakeSpawner.fake.marks[state.mark]
        FakeSpawner.fake.load({}, {state.mark: copy})
        assert {copy: "copy"} == await reap("--cancel", "--yes", status=0)
        FakeSpawner.fake.load({}, {state.mark: original})
        await server.running()
        assert {} == await reap("--cancel", "--yes", status=0)
        assert 1 == reap.report["owned"]
        assert {copy, original} == alive()


async def test_a_start_that_begins_meanwhile(
    hub: Hub, reap: Reap, monkeypatch: pytest.MonkeyPatch, later: None
) -> None:
    """The Hub is asked for its starts after the accounts were asked for their jobs: a start that
    begins in between is known, however fast it is, and even if its mark looks old."""
    async with starting_server(hub, monkeypatch, "alice") as server:
        await server.submitted()
        spawner, call = hub.user("bob").spawners[""], FakeSpawner.side.call
        started: list[asyncio.Task[str]] = []

        async def begin(host: Any, account: Account, request: Any, seconds: float) -> Any:
            if request["action"] == "marked" and account.name == "bob" and not started:
                started.append(asyncio.create_task(spawner.start()))
                await until(lambda: spawner.server_job.state.job_id, "bob's job", PATIENCE)
            return await call(host, account, request, seconds)

        monkeypatch.setattr(FakeSpawner.side, "call", begin)
        assert {} == await reap("--cancel", "--yes", status=0)
        assert 2 == reap.report["owned"]
        assert spawner.server_job.state.job_id in alive()
        started[0].cancel()
        await spawner.stop()


async def test_an_id_that_is_reused(hub: Hub, reap: Reap, monkeypatch: pytest.MonkeyPatch) -> None:
    """A job that has got the id of one that was listed is not ended: the mark is read again."""
    listed = submit("alice", age=2 * DAY)
    end = FakeSpawner.side._end_marked

    def begin_anew(owner: str, request: Mapping[str, Any]) -> Any:
        FakeSpawner.fake.marks.clear()  # the job with this id is another one now
        return end(owner, request)

    monkeypatch.setattr(FakeSpawner.side, "_end_marked", begin_anew)
    assert {listed: "ended"} == await reap("--cancel", "--yes", status=0)
    assert {listed} == alive()


@pytest.mark.threat(
    who="user",
    tries="Their own agent names other users' jobs as jobs without a server, so that these are "
    "ended.",
    stopped_by="A job counts only if the scheduler's word in the answer is that it is the "
    "account's, and it is ended as that account, which can't end the jobs of others.",
)
@pytest.mark.parametrize("owner", ["alice", "bob"])
async def test_an_agent_that_lies(
    hub: Hub, reap: Reap, monkeypatch: pytest.MonkeyPatch, owner: str
) -> None:
    """An agent that names another user's job gets nothing ended, and costs no other account."""
    theirs, orphan = submit("bob", "other"), submit("bob", age=2 * DAY)
    ask = FakeSpawner.side._marked
    row = {"mark": make_mark("prod", 0), "job_id": theirs, "status": {"owner": owner}}

    def lie(name: str, request: Mapping[str, Any]) -> Any:
        return {"jobs": [row], "left_out": 0} if name == "alice" else ask(name, request)

    def end(name: str, request: Mapping[str, Any]) -> Any:
        for job_id in request["jobs"].values():
            FakeSpawner.side._cancel(name, {"job_id": job_id})
        return {"cancelled": list(request["jobs"]), "errors": {}}

    monkeypatch.setattr(FakeSpawner.side, "_marked", lie)
    monkeypatch.setattr(FakeSpawner.side, "_end_marked", end)
    monkeypatch.setattr(accounts_module, "CONFIRM_SECONDS", 0.05)
    await reap("--cancel", "--yes", status=4 if owner == "alice" else 0)
    assert {theirs} == alive()
    assert "ended" == next(one["result"] for one in reap.report["jobs"] if one["job_id"] == orphan)


STATUS = {"owner": "alice"}
NO_ANSWERS: list[Any] = [
    *(None, [], {}, {"jobs": 7, "left_out": 0}, {"jobs": [7], "left_out": 0}),
    {"jobs": [], "left_out": "0"},
    {"jobs": [{"mark": "prod-../x", "job_id": "1", "status": STATUS}], "left_out": 0},
    {"jobs": [{"mark": "0" * 16, "job_id": "-f", "status": STATUS}], "left_out": 0},
    {"jobs": [{"mark": "0" * 16, "job_id": "1", "status": None}], "left_out": 0},
]


async def test_an_account_that_fails_costs_no_other(
    hub: Hub, reap: Reap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that makes no sense is reported with its account; the others' jobs are ended."""
    ask, answers = FakeSpawner.side._marked, list(NO_ANSWERS)
    monkeypatch.setattr(
        FakeSpawner.side, "_marked", lambda name, r: answers[0] if name == "alice" else ask(name, r)
    )
    while answers:
        orphan = submit("bob", age=2 * DAY)
        assert {orphan: "ended"} == await reap("--cancel", "--yes", status=4), answers[0]
        (error,) = reap.report["errors"]
        assert ("alice", "The fake scheduler") == (error["account"], error["cluster"])
        answers.pop(0)


async def test_an_account_that_hangs(hub: Hub, reap: Reap, monkeypatch: pytest.MonkeyPatch) -> None:
    """An account that does not answer in time is reported, and costs no other."""
    orphan, call = submit("bob", age=2 * DAY), FakeSpawner.side.call

    async def hang(host: Any, account: Account, request: Any, seconds: float) -> Any:
        if account.name == "alice":
            await asyncio.sleep(PATIENCE)
        return await call(host, account, request, seconds)

    monkeypatch.setattr(FakeSpawner.side, "call", hang)
    monkeypatch.setattr(accounts_module, "_MARGIN", 0.0)
    assert {orphan: "orphan"} == await reap("--timeout", "0.2", status=4)
    assert ["alice"] == [one["account"] for one in reap.report["errors"]]
    assert "--timeout" in reap.report["errors"][0]["message"]


async def test_many_accounts(hub: Hub, reap: Reap, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a thousand users no more than --at-once are asked at the same time, and each once; names
    without an account are counted, and are not an error."""
    names = [f"user{number}" for number in range(1000)]
    hub.app.db.add_all([orm.User(name=name) for name in [*names, "ghost"]])
    hub.app.db.commit()
    now, most, call = 0, 0, FakeSpawner.side.call

    async def find_entry(_: Any, name: str) -> Any:
        return None if name == "ghost" else SimpleNamespace(name=name)

    async def count(*arguments: Any) -> Any:
        nonlocal now, most
        now, most = now + 1, max(most, now + 1)
        try:
            await asyncio.sleep(0.001)
            return await call(*arguments)
        finally:
            now -= 1

    monkeypatch.setattr(FakeHost, "find_entry", find_entry)
    monkeypatch.setattr(FakeSpawner.side, "call", count)
    assert {} == await reap("--at-once", "5", status=0)
    assert (1003, ["ghost"]) == (reap.report["accounts"], reap.report["without_account"])
    assert (5, 1002) == (most, len(FakeSpawner.side.asked("marked")))


async def test_accounts_by_name(hub: Hub, reap: Reap) -> None:
    """With --account only that account is asked, which need not belong to a user."""
    submit("alice", age=2 * DAY)
    orphan = submit("carol", age=2 * DAY)
    assert {orphan: "orphan"} == await reap("--account", "carol", status=3)


async def test_a_function_that_needs_a_user(
    hub: Hub, reap: Reap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If c.UniSpawner.account_name fails for one user, that is reported with the user."""
    orphan = submit("bob", age=2 * DAY)
    find = places.find_account_name

    def fail(spawner: Any, user: Any) -> str:
        spawner.account_name = lambda one: {"bob": "bob"}[one.user.name]
        return find(spawner, user)

    monkeypatch.setattr(accounts_module, "find_account_name", fail)
    assert {orphan: "orphan"} == await reap(status=4)
    assert ["alice"] == [one["account"] for one in reap.report["errors"]]
    assert "account_name failed" in reap.report["errors"][0]["message"]


async def test_a_damaged_row(hub: Hub, reap: Reap) -> None:
    """If the state of a server can't be read, none of its user's jobs is ended."""
    spawner = hub.user("alice").spawners[""].orm_spawner
    spawner.server = orm.Server(ip="127.0.0.1", port=1)
    hub.app.db.commit()
    hub.app.db.execute(text('UPDATE spawners SET state = \'{"mark": "damag\''))
    hub.app.db.commit()
    mine, orphan = submit("alice", age=2 * DAY), submit("bob", age=2 * DAY)
    found = await reap("--cancel", "--yes", status=0)
    assert {mine: "unclear", orphan: "ended"} == found


async def test_the_hub_is_asked_again_before_anything_is_ended(
    hub: Hub, reap: Reap, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the Hub does not answer any more when the jobs are to be ended, nothing is ended."""
    orphan = submit("bob", age=2 * DAY)
    ask, answers = RunningHub.ask, 0

    async def twice(self: RunningHub) -> Any:
        nonlocal answers
        answers += 1
        if answers > 2:
            raise AgentError("the Hub was stopped")
        return await ask(self)

    monkeypatch.setattr(RunningHub, "ask", twice)
    assert {orphan: "orphan"} == await reap("--cancel", "--yes", status=4)
    assert ["Nothing was ended: the Hub was stopped"] == [
        one["message"] for one in reap.report["errors"]
    ]
    assert {orphan} == alive()


# -- who may ask the Hub, and which Hub it is -----------------------------------------------------


@pytest.mark.threat(
    who="user",
    tries="They ask the Hub's API which starts, accounts and job ids all users have.",
    stopped_by="The API answers only with the scopes admin:server_state and list:users for all "
    "users.",
)
async def test_who_may_not_ask(hub: Hub) -> None:
    """Users, services without both scopes, and scopes for one user are refused."""
    services = [token_of(name) for name in ("half", "one-user", "portal", "wrong")]
    for token in (*services, hub.user("alice").new_api_token(), None):
        response = await hub.get("unispawner/starts", token)
        assert 403 == response.code
        assert b"hub_id" not in response.body


async def test_what_the_api_answers(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API answers with the Hub's id, all users and all starts."""
    async with starting_server(hub, monkeypatch, "alice") as server:
        await server.submitted()
        state = server.spawner.server_job.state
        found = json.loads((await hub.get("unispawner/starts", token_of("reaper"))).body)
        assert ("prod", ["alice", "bob"], []) == (
            found["hub_id"],
            sorted(found["users"]),
            found["unreadable"],
        )
        start = {"user": "alice", "server": "", "account": "alice", "job_id": state.job_id}
        assert {"mark": state.mark, **start} in found["starts"]


ERRORS = {
    ("--token-file", "/nonexistent"): "^--token-file: ",
    ("--token-file", "/dev/null"): "^JUPYTERHUB_API_TOKEN: .*--no-hub",
    ("--hub-url", "http://127.0.0.1:1/hub/api"): "^No Hub answers .*--no-hub",
    ("--no-hub",): "^--no-hub: something answers",
    ("--older-than", "00:01:00"): "^--older-than: .* is less than",
    ("--older-than", "soon"): "^--older-than: ",
}


async def test_errors(hub: Hub, reap: Reap) -> None:
    """What keeps the command from its work is an error that names the option; nothing is asked."""
    submit("alice", age=2 * DAY)
    for options, message in ERRORS.items():
        with pytest.raises((InvalidJobError, AgentError), match=message):
            await reap("--cancel", "--yes", *options, status=1)
    assert [] == FakeSpawner.side.requests


async def test_a_token_without_the_scopes(hub: Hub, reap: Reap, tmp_path: Path) -> None:
    """A token that the Hub refuses is an error that names the scopes."""
    (tmp_path / "token").write_text(token_of("half"))
    with pytest.raises(AgentError, match="admin:server_state"):
        await reap(status=1)


async def test_the_configuration_of_another_hub(hub: Hub, reap: Reap, tmp_path: Path) -> None:
    """If the Hub that answers has another id than the configuration says, nothing is done."""
    with open(tmp_path / "config.py", "a") as file:
        file.write('c.UniSpawner.hub_id = "teaching"\n')
    with pytest.raises(InvalidJobError, match="'teaching'.*'prod'"):
        await reap("--cancel", "--yes", status=1)


async def test_json_with_a_question(hub: Hub, tmp_path: Path) -> None:
    """--json asks no question, so --cancel needs --yes with it."""
    words = ["reap", "-f", str(tmp_path / "config.py"), "--json", "--cancel"]
    with pytest.raises(InvalidJobError, match="^--json: .*--yes"):
        command.run(_parser().parse_args(words))


async def test_the_table(
    hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table has a line for each job and a line for each kind. Without --yes and without a
    terminal nothing is ended."""
    orphan = submit("bob", age=2 * DAY)
    FakeSpawner.fake.change(orphan, JobState.RUNNING, exec_host="node1\x1b[31m")
    words = ["reap", "-f", str(tmp_path / "config.py"), "--token-file", str(tmp_path / "token")]
    monkeypatch.setattr("sys.stdin", io.StringIO())
    options = _parser().parse_args([*words, "--cancel"])
    assert 3 == await command._Reaper(options).run()
    shown = capsys.readouterr()
    head, line, _, meaning, *_ = shown.out.splitlines()
    assert head.startswith("CLUSTER ")
    assert ["bob", orphan, "running"] == line.split()[3:6]
    assert "1 orphan: no server owns it" == meaning
    assert "\x1b" not in shown.out
    assert "add --yes to --cancel" in shown.err
    assert {orphan} == alive()
