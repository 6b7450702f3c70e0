"""States that are saved together."""

from __future__ import annotations

import asyncio
import datetime
import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from jupyterhub import orm
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError
from support.fake_broker import until

from unispawner.servers import database
from unispawner.web.bookkeeping import ServerToken, has_token


class Database:
    """A database that counts the commits that save something."""

    def __init__(self) -> None:
        self.session = orm.new_session_factory("sqlite:///:memory:")()
        self.saved: list[int] = []
        self.refusals: list[str] = []
        event.listen(self.session, "after_flush", self._after_flush)

    def _after_flush(self, session: Any, context: Any) -> None:
        if self.refusals:
            raise OperationalError(self.refusals.pop(), {}, Exception("database is locked"))
        self.saved.append(len(session.dirty))

    def spawner(self, name: str) -> Any:
        """Return a spawner of a new user, whose state has the user's name."""
        user = orm.User(name=name)
        row = orm.Spawner(name="", user=user)
        self.session.add_all([user, row])
        self.session.commit()
        self.saved.clear()
        return SimpleNamespace(
            orm_spawner=row,
            get_state=lambda: {"name": name},
            log=logging.getLogger("JupyterHub.test"),
            _log_name=name,
        )

    def states(self) -> list[Any]:
        """Return what a Hub would find that starts now."""
        self.session.rollback()
        self.session.expire_all()
        return [row.state for row in self.session.query(orm.Spawner).order_by(orm.Spawner.id)]


@pytest.fixture
def hubs_database() -> Iterator[Database]:
    """Give a database as the Hub has it, in memory."""
    made = Database()
    yield made
    made.session.close()
    made.session.get_bind().dispose()


async def test_many_states_are_saved_by_one_commit(hubs_database: Database) -> None:
    """Twenty servers that start at once cost one commit; when each goes on, its state is saved."""
    spawners = [hubs_database.spawner(f"user{number}") for number in range(20)]
    assert [True] * 20 == await asyncio.gather(*map(database.commit_soon, spawners))
    assert [20] == hubs_database.saved
    assert [{"name": f"user{number}"} for number in range(20)] == hubs_database.states()


async def test_nothing_is_changed_before_it_is_saved(hubs_database: Database) -> None:
    """JupyterHub undoes, with a warning, what it finds changed when it has answered a request."""
    ada = hubs_database.spawner("ada")

    def change() -> None:
        ada.orm_spawner.user.name = "Ada"

    saving = asyncio.ensure_future(database.commit_soon(ada, change))
    await asyncio.sleep(0)
    assert [] == list(hubs_database.session.dirty)
    assert await saving
    assert [] == list(hubs_database.session.dirty)
    assert [{"name": "ada"}] == hubs_database.states()
    assert "Ada" == ada.orm_spawner.user.name


async def test_a_rollback_of_jupyterhubs_loses_no_state(hubs_database: Database) -> None:
    """What JupyterHub undoes meanwhile is not the state that waits to be saved."""
    saving = asyncio.ensure_future(database.commit_soon(hubs_database.spawner("ada")))
    await asyncio.sleep(0)
    hubs_database.session.rollback()
    assert await saving
    assert [{"name": "ada"}] == hubs_database.states()


async def test_a_refused_commit_is_tried_for_each_state(hubs_database: Database) -> None:
    """A database that refuses a commit of many states is asked again for each: those that it
    takes are saved, and the others' servers learn that theirs are not."""
    spawners = [hubs_database.spawner(name) for name in ("ada", "bob")]
    hubs_database.refusals = ["for ada", "for both"]
    assert [False, True] == await asyncio.gather(*map(database.commit_soon, spawners))
    assert [{}, {"name": "bob"}] == [state or {} for state in hubs_database.states()]


async def test_an_error_of_one_state_costs_no_other(hubs_database: Database) -> None:
    """A site's own spawner that can't say what its state is fails alone."""
    ada, bob = hubs_database.spawner("ada"), hubs_database.spawner("bob")
    saving = asyncio.gather(*map(database.commit_soon, [ada, bob]), return_exceptions=True)
    await asyncio.sleep(0)

    def fail() -> None:
        raise ValueError("no state")

    ada.get_state = fail
    error, saved = await saving
    assert "no state" == str(error)
    assert saved is True
    assert {"name": "bob"} == hubs_database.states()[1]


def test_states_are_saved_in_each_event_loop(hubs_database: Database) -> None:
    """What waited in an event loop that has ended does not hold up the next one's states."""
    spawner = hubs_database.spawner("ada")

    async def leave() -> None:
        waiting = asyncio.ensure_future(database.commit_soon(spawner))
        await asyncio.sleep(0)
        waiting.cancel()

    asyncio.run(leave())
    assert asyncio.run(database.commit_soon(spawner))


async def test_a_spawner_that_belongs_to_nobody_has_nothing_to_save() -> None:
    """Without a row in a database there is nothing to do."""
    assert await database.commit_soon(SimpleNamespace(orm_spawner=None))


# -- tokens ----------------------------------------------------------------------------------


def add_token(hubs: Database, user: orm.User, number: int, second: int) -> None:
    """Add a token with an id, which was made at a second of the minute."""
    made = datetime.datetime(2026, 1, 1, 12, 0, second)
    token = orm.APIToken(id=number, user=user, hashed=f"{number} {second}", created=made)
    hubs.session.add(token)
    hubs.session.commit()


def find(hubs: Database, number: int) -> orm.APIToken:
    return hubs.session.get(orm.APIToken, number)


def test_the_next_token_with_the_same_id_is_kept(hubs_database: Database) -> None:
    """JupyterHub deletes a server's token before it forgets the server, and waits for the site's
    post_stop_hook in between. SQLite gives the id to the user's next token, perhaps that of another
    server: to revoke this one would lose that start."""
    ada = hubs_database.spawner("ada")
    ada.user = SimpleNamespace(orm_user=ada.orm_spawner.user)
    add_token(hubs_database, ada.orm_spawner.user, 7, second=0)
    first = ServerToken.of(find(hubs_database, 7))
    hubs_database.session.delete(find(hubs_database, 7))
    hubs_database.session.commit()
    add_token(hubs_database, ada.orm_spawner.user, 7, second=30)
    ada.token_id, ada.token_created = first.id, first.created
    assert not has_token(ada, find(hubs_database, 7))  # its reports are another server's
    database.revoke_token(ada, first)
    hubs_database.session.commit()
    assert find(hubs_database, 7)
    database.revoke_token(ada, ServerToken.of(find(hubs_database, 7)))
    hubs_database.session.commit()
    assert find(hubs_database, 7) is None


async def test_a_token_is_revoked_as_soon_as_the_database_agrees(
    hubs_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that refuses when a server stops does not keep the token of its job: JupyterHub
    tries once, and the revoking is tried again until it is saved."""
    monkeypatch.setattr(database, "REVOKE_AFTER", 0.01)
    ada = hubs_database.spawner("ada")
    ada.user = SimpleNamespace(orm_user=ada.orm_spawner.user)
    add_token(hubs_database, ada.orm_spawner.user, 7, second=0)
    token = ServerToken.of(find(hubs_database, 7))
    hubs_database.refusals += ["refused"] * 2
    database.revoke_token_surely(ada, token)
    await until(lambda: find(hubs_database, 7) is None)
    hubs_database.session.rollback()
    assert find(hubs_database, 7) is None
    assert [] == hubs_database.refusals


@pytest.mark.parametrize(
    ("hours", "seconds", "expected"),
    [
        (0, 0, True),
        (0, 0.5, True),
        (0, -0.5, True),
        (2, 0, True),
        (-3.5, 0.5, True),
        (0, 30, False),
    ],
)
def test_when_a_token_was_made_as_the_database_has_it(
    hours: float, seconds: float, expected: bool
) -> None:
    """A database may round the time, and a driver may have converted it to another time zone: the
    token is the server's all the same, and its reports count after a restart of the Hub."""
    made = datetime.datetime(2026, 1, 1, 12, tzinfo=datetime.timezone.utc)
    first = ServerToken.of(orm.APIToken(id=7, created=made))
    saved = made.replace(tzinfo=None) + datetime.timedelta(hours=hours, seconds=seconds)
    assert expected is first.matches(orm.APIToken(id=7, created=saved))


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_hub_that_starts_revokes_no_later_token(hubs_database: Database, wrapped: bool) -> None:
    """A killed Hub has left the state of a server that it had forgotten. A Hub that starts revokes
    that server's token, and no later one of the same user that has got its id."""
    row = hubs_database.spawner("ada").orm_spawner
    for second, left in ((0, False), (30, True)):
        add_token(hubs_database, row.user, 7, second=second)
        if second == 0:
            found = ServerToken.of(find(hubs_database, 7))
            state = {"token_id": found.id, "token_created": found.created}
            row.state = {"child_state": state} if wrapped else state
            hubs_database.session.commit()
        database.revoke_lost_tokens(hubs_database.session)
        assert left is (find(hubs_database, 7) is not None)


@pytest.mark.parametrize("damaged", ["{", "[1]", '{"child_state": 3}', '{"token_id": [7]}'])
def test_a_damaged_state_costs_no_start_of_the_hub(hubs_database: Database, damaged: str) -> None:
    """A Hub that starts revokes what a killed one has left, although the state of another server
    that does not exist can't be read."""
    bad, good = hubs_database.spawner("ada").orm_spawner, hubs_database.spawner("bob").orm_spawner
    add_token(hubs_database, good.user, 7, second=0)
    good.state = {"token_id": 7}
    hubs_database.session.commit()
    change = text("UPDATE spawners SET state = :state WHERE id = :id")
    hubs_database.session.execute(change, {"state": damaged, "id": bad.id})
    hubs_database.session.commit()
    hubs_database.session.expire_all()
    database.revoke_lost_tokens(hubs_database.session)
    assert find(hubs_database, 7) is None


@pytest.mark.parametrize("damaged", ["{", "", '{"mark": "01'])
def test_a_state_that_keeps_jupyterhub_from_starting(
    hubs_database: Database, caplog: pytest.LogCaptureFixture, damaged: str
) -> None:
    """A state that is not valid JSON is replaced by one that tells its user; the log names the row
    and has what is left of the state. Other states stay as they are."""
    bad, good = hubs_database.spawner("ada").orm_spawner, hubs_database.spawner("bob").orm_spawner
    good.state = {"token_id": 7}
    hubs_database.session.commit()
    change = text("UPDATE spawners SET state = :state WHERE id = :id")
    hubs_database.session.execute(change, {"state": damaged, "id": bad.id})
    hubs_database.session.commit()
    hubs_database.session.expire_all()
    database.mend_damaged_states(hubs_database.session, logging.getLogger("JupyterHub.test"))
    assert "has lost what it knew of this server" in bad.state["failure"]
    assert {"token_id": 7} == good.state
    [record] = caplog.records
    assert ("ada" in record.getMessage(), True) == (True, record.getMessage().endswith(damaged))
