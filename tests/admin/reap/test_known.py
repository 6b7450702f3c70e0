"""What the command knows of a Hub that does not run, and where it finds one that does."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from jupyterhub import orm
from jupyterhub.app import JupyterHub
from sqlalchemy import text
from traitlets.config import Config

from unispawner import ProfilesSpawner, SlurmSpawner, UniSpawner
from unispawner.admin.cli import _parser
from unispawner.admin.reap import command
from unispawner.admin.reap.known import SavedHub, find_listener, find_url, read_hub
from unispawner.admin.reap.places import Problem, find_places
from unispawner.errors import AgentError, InvalidJobError
from unispawner.servers import endings
from unispawner.servers.starts import KnownStart

MARK = "prod-0123456789abcdef"
OLD = "fedcba9876543210"


def hub_with(**settings: Any) -> JupyterHub:
    return read_hub(Config({"JupyterHub": settings}), "jupyterhub_config.py")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Give the database of a Hub: alice has a server, one that has no row any more, and a job that
    is being ended; bob has a server of an older release; carol has none."""
    path = tmp_path / "hub.sqlite"
    session = orm.new_session_factory(f"sqlite:///{path}")()
    users = {name: orm.User(name=name) for name in ("alice", "bob", "carol")}
    session.add_all(users.values())
    states = {
        ("alice", ""): {"mark": MARK, "account": "alice", "job_id": "7"},
        ("bob", "x"): {"child_state": {"version": 1, "mark": OLD, "account": "bob"}},
        ("alice", "lost"): {"mark": "prod-" + "0" * 16, "account": "alice"},
    }
    for (user, name), state in states.items():
        server = None if name == "lost" else orm.Server(ip="127.0.0.1", port=1)
        session.add(orm.Spawner(user=users[user], name=name, state=state, server=server))
    session.commit()
    endings._metadata.create_all(session.connection())
    ending = {"mark": "prod-" + "e" * 16, "job_id": "9"}
    row = {"mark": ending["mark"], "user_name": "alice", "server_name": "", "since": 0.0}
    session.execute(endings._TABLE.insert().values({**row, "state": json.dumps(ending)}))
    session.commit()
    session.get_bind().dispose()
    return path


async def test_the_database_of_a_hub_that_does_not_run(path: Path) -> None:
    """The database has all users, the starts of servers that have a row, whatever release saved
    them, and jobs that are being ended. A state without a server's row belongs to no server."""
    before = path.read_bytes()
    known = await SavedHub(hub_with(db_url=str(path)), "prod").ask()
    assert ("prod", ["alice", "bob", "carol"], []) == (
        known.hub_id,
        sorted(known.users),
        known.unreadable,
    )
    expected = {
        KnownStart(MARK, "alice", "", "alice", "7"),
        KnownStart(OLD, "bob", "x", "bob", ""),
        KnownStart("prod-" + "e" * 16, "alice", "", "", "9"),
    }
    assert expected == set(known.starts)
    assert before == path.read_bytes()


async def test_a_damaged_state_costs_no_other(path: Path) -> None:
    """A state that is not JSON any more gives its marks and its user; the others are read."""
    session = orm.new_session_factory(f"sqlite:///{path}")()
    session.execute(text(f"UPDATE spawners SET state = '{{\"mark\": \"{MARK}\"' WHERE name = ''"))
    session.commit()
    known = await SavedHub(hub_with(db_url=f"sqlite:///{path}"), "prod").ask()
    assert ["alice"] == known.unreadable
    assert {MARK, OLD} < {one.mark for one in known.starts}
    session.get_bind().dispose()


async def test_there_is_no_database(tmp_path: Path) -> None:
    """A database that does not exist is an error, and is not made; neither is an error's password
    shown."""
    with pytest.raises(InvalidJobError, match="there is no database"):
        await SavedHub(hub_with(db_url=f"sqlite:///{tmp_path}/none.sqlite"), "prod").ask()
    assert [] == list(tmp_path.iterdir())
    (tmp_path / "empty.sqlite").touch()
    for url in (f"sqlite:///{tmp_path}/empty.sqlite", "nothing://hub:topsecret@db/hub"):
        with pytest.raises(AgentError, match="can't be read") as caught:
            await SavedHub(hub_with(db_url=url), "prod").ask()
        assert "topsecret" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "http://127.0.0.1:8081/hub/api"),
        ({"hub_ip": "0.0.0.0", "hub_port": 9}, "http://127.0.0.1:9/hub/api"),
        ({"hub_ip": "10.1.0.5"}, "http://10.1.0.5:8081/hub/api"),
        ({"hub_ip": "fd00::5"}, "http://[fd00::5]:8081/hub/api"),
        ({"hub_bind_url": "http://10.1.0.5:99"}, "http://10.1.0.5:99/hub/api"),
        ({"bind_url": "http://:8000/lab/"}, "http://127.0.0.1:8081/lab/hub/api"),
        ({"base_url": "/lab"}, "http://127.0.0.1:8081/lab/hub/api"),
    ],
)
def test_the_address_of_the_hub(settings: dict[str, Any], expected: str) -> None:
    """The Hub's API is where the configuration lets it listen; on all addresses means here."""
    assert expected == find_url(hub_with(**settings))


@pytest.mark.parametrize(
    "settings", [{"internal_ssl": True}, {"hub_bind_url": "http+unix://%2Fsrv%2Fhub.sock"}]
)
def test_an_address_that_must_be_named(settings: dict[str, Any]) -> None:
    """With internal_ssl or a socket, --hub-url has to name the public address."""
    with pytest.raises(InvalidJobError, match="^--hub-url: "):
        find_url(hub_with(**settings))


class Visitors:
    """What a server does with its only visitor: it ends the connection."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()

    async def send_away(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()
        await writer.wait_closed()
        self.gone.set()


async def test_a_hub_that_speaks_no_http() -> None:
    """A Hub with internal_ssl, or one too busy to answer, is found: it listens, which is enough."""
    visitors = Visitors()
    other = await asyncio.start_server(visitors.send_away, "127.0.0.1", 0)
    port = other.sockets[0].getsockname()[1]
    hub = hub_with(internal_ssl=True, hub_ip="", hub_port=port)
    assert f"127.0.0.1:{port}" == await find_listener(hub)
    await visitors.gone.wait()
    other.close()
    await other.wait_closed()
    assert "" == await find_listener(hub)


async def test_a_hub_on_a_socket(tmp_path: Path) -> None:
    """A Hub that listens on a socket is found by the socket's path."""
    path = tmp_path / "hub.sock"
    hub = hub_with(hub_bind_url="http+unix://" + quote(str(path), safe=""))
    assert "" == await find_listener(hub)
    visitors = Visitors()
    listening = await asyncio.start_unix_server(visitors.send_away, path)
    assert str(path) == await find_listener(hub)
    await visitors.gone.wait()
    listening.close()
    await listening.wait_closed()


# -- clusters -------------------------------------------------------------------------------------


async def places(spawner: Any) -> tuple[list[str], list[Problem], list[str]]:
    problems: list[Problem] = []
    notes: list[str] = []
    found = await find_places(spawner, problems, notes)
    return [one.name for one in found], problems, notes


def profile(slug: str, spawner: Any = UniSpawner, **config: Any) -> dict[str, Any]:
    return {"display_name": slug, "slug": slug, "spawner": spawner, "config": config}


def with_profiles(profiles: Any) -> ProfilesSpawner:
    config = Config()
    config.UniSpawner.scheduler = "slurm"
    config.UniSpawner.run_as = "sudo"
    config.ProfilesSpawner.profiles = profiles
    return ProfilesSpawner(config=config)


PROFILES = [
    profile("cpu"),
    profile("long", duration="24:00:00"),
    profile("gpu", slurm_cluster="gpu"),
    profile("other", scheduler="gridengine"),
    profile("old", SlurmSpawner),
    profile("own", scheduler="template", template="torque"),
]


@pytest.mark.parametrize("given", [PROFILES, lambda _: PROFILES])
async def test_each_cluster_of_the_profiles_is_asked_once(given: Any) -> None:
    """Each cluster is asked once, however many profiles have it; jobs without marks are named."""
    names, problems, notes = await places(with_profiles(given))
    assert (["Slurm", "Slurm (gpu)", "Grid Engine"], []) == (names, problems)
    assert 2 == len(notes)
    assert "SlurmSpawner" in notes[0]
    assert "template" in notes[1]


def test_a_hub_with_a_legacy_class(tmp_path: Path) -> None:
    """Where all jobs are of a legacy class, which have no marks, the command says so."""
    (tmp_path / "config.py").write_text('c.JupyterHub.spawner_class = "unispawner.SlurmSpawner"\n')
    options = _parser().parse_args(["reap", "-f", str(tmp_path / "config.py")])
    with pytest.raises(InvalidJobError, match="jobs of SlurmSpawner have no marks"):
        command.run(options)


async def test_a_function_of_profiles_that_needs_a_user() -> None:
    """If the function fails without a user, that is reported, and c.UniSpawner's cluster is
    asked."""
    names, (problem,), _ = await places(with_profiles(lambda spawner: spawner.user.name))
    assert ["Slurm"] == names
    assert "c.ProfilesSpawner.profiles: the function fails" in problem.message
